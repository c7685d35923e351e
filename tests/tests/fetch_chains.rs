//! rsync-client and commands of more than one rsync: what ran decides, not the code with which a chain or a pipe ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tests::fetch::{Fetch, names, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");

/// A world whose first rsync in the search path ends as `ENDS` says for its source, and otherwise is the real one.
struct World {
    fetch: Fetch,
    stub: PathBuf,
}

impl World {
    fn new() -> Self {
        let fetch = Fetch::trusted(PROGRAM);
        fetch.writes("a.log", "line\n").stack.set("RSYNC_RETRIES", "0");
        let stub = fetch.stack.folder().join("stub");
        fs::create_dir(&stub).unwrap();
        let script = "#!/bin/sh\nfor word; do case $word in ends:*) code=${word#*:}; code=${code%%/*};; esac; done\n\
                      [ \"$code\" ] || exec /usr/bin/rsync \"$@\"\n\
                      [ \"$code\" = 24 ] || echo \"rsync error: as it was told (code $code) at stub.c(1) [Receiver=3.5.0]\" >&2\n\
                      exit $code\n";
        fs::write(stub.join("rsync"), script).unwrap();
        fs::set_permissions(stub.join("rsync"), fs::Permissions::from_mode(0o755)).unwrap();
        fetch.stack.set("PATH", &format!("{}:/usr/bin:/bin", stub.display()));
        Self { fetch, stub }
    }

    /// An rsync that ends with a code.
    fn ends(&self, code: u32, site: u64) -> String {
        format!("rsync -a ends:{code}/ {}/", self.fetch.stack.logs_of(site).display())
    }

    /// An rsync that does its work.
    fn works(&self, site: u64) -> String {
        format!("rsync -a {}/ {}/", self.fetch.sshd.source().display(), self.fetch.stack.logs_of(site).display())
    }

    fn fetched(&self, site: u64) -> bool {
        self.fetch.state()["sites"][site.to_string()]["last_fetched"].is_string()
    }
}

#[test]
fn files_that_vanish_stop_no_chain() {
    let world = World::new();
    let chain = format!("{} && {}", world.ends(24, 4), world.works(7));
    world.fetch.commands(&chain).once().succeeds().says(&["Command done", "24 (source files vanished)"]);
    assert_eq!(world.fetch.fetched(7), ["a.log"]);
    assert!(world.fetched(4) && world.fetched(7));
    let set = format!("set -e; {}; {}", world.ends(24, 4), world.works(8));
    world.fetch.commands(&set).once().succeeds();
    assert_eq!(world.fetch.fetched(8), ["a.log"]);
    // A failure still stops it.
    let failing = format!("{} && {}", world.ends(23, 4), world.works(9));
    world.fetch.commands(&failing).once().ends_with(1).says(&["Command failed", "23 (partial"]);
    assert_eq!(world.fetch.fetched(9), Vec::<String>::new());
    assert!(!world.fetched(9));
    let left = names(&world.fetch.stack.folder().join("rsync"));
    assert!(!left.iter().any(|name| name.contains("tally")), "{left:?}");
}

#[test]
fn a_chain_that_was_cut_by_an_rsync_with_a_path_is_no_success() {
    let world = World::new();
    let by_path = format!("{}/{}", world.stub.display(), world.ends(24, 4));
    world
        .fetch
        .commands(&format!("{by_path} && {}", world.works(7)))
        .once()
        .ends_with(1)
        .says(&["deserves a look", "named by its path"])
        .says(&["Command failed", "may not have run", "without its path"]);
    assert!(!world.fetch.stack.folder().join("rsync/state.json").exists() || !world.fetched(7));
    // Alone it is what it always was.
    world.fetch.commands(&by_path).once().succeeds().says(&["24 (source files vanished)"]);
}

#[test]
fn a_failure_behind_a_pipe_or_a_loop_is_told() {
    let world = World::new();
    let log = world.fetch.stack.folder().join("log").display().to_string();
    let path = format!("{}/{}", world.stub.display(), world.ends(23, 4));
    for text in [
        format!("{} | tee {log}", world.ends(23, 4)),
        format!("{} || true", world.ends(23, 4)),
        format!("{} >> {log} 2>&1 || :", world.ends(23, 4)),
        format!("{} 2>/dev/null | cat", world.ends(23, 4)),
        "for site in 4 5; do rsync -a ends:$((site == 4 ? 23 : 0))/ /x/$site/; done".to_owned(),
        format!("if ! {}; then echo sorry; fi", world.ends(23, 4)),
        format!("{path} | tee {log}"),
    ] {
        let outcome = world.fetch.commands(&text).once().ends_with(1);
        outcome.says(&["Command failed", "23 (partial", "some files could not be fetched"]);
        assert!(!world.fetched(4), "{text}");
    }
}

#[test]
fn what_was_made_up_for_is_no_failure() {
    let world = World::new();
    let mark = world.fetch.stack.folder().join("mark").display().to_string();
    let until = format!("until test -e {mark} && {}; do touch {mark}; done", world.works(4));
    world.fetch.commands(&until).once().succeeds();
    let again = format!("{} || {}", world.ends(10, 4), world.works(4));
    world.fetch.commands(&again).once().succeeds().says(&["Command done"]);
    assert!(world.fetched(4));
    world.fetch.commands(&format!("{} | tee /dev/null", world.works(5))).once().succeeds().says(&["files"]);
    assert!(world.fetched(5));
}

#[test]
fn another_program_that_fails_is_not_judged_by_the_table_of_rsync() {
    let world = World::new();
    let text = format!("{} && test -e /no/such/file", world.works(4));
    world.fetch.commands(&text).once().ends_with(1).says(&["Command failed", "exit=1 ", "result=\"it failed\""]);
}

#[test]
fn a_command_that_failed_fetched_nothing() {
    let world = World::new();
    world.fetch.commands(&format!("{}\n{}", world.ends(23, 5), world.works(4))).once().ends_with(1);
    assert!(world.fetched(4) && !world.fetched(5), "{}", world.fetch.state());
}

#[test]
fn a_stop_in_a_chain_leaves_nothing_half() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes_much("big.log", 6_000_000).stack.set("RSYNC_RETRIES", "0");
    let slow = fetch.command_with(4, fetch.sshd.port(), "-av --bwlimit=300");
    fetch.commands(&format!("{slow} | cat && true"));
    let running = fetch.stack.start(&["once"]);
    wait_for("a transfer", || fetch.fetched(4).iter().any(|name| name.starts_with(".big.log.")));
    running.terminate().ends_with(143).says(&["Command was stopped"]);
    assert_eq!(fetch.fetched(4), Vec::<String>::new());
}
