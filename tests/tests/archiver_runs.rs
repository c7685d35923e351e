//! Archiving by a real PHP: what a run is taken for, what the console is called with, and what the operator is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::geteuid;
use serde_json::Value;
use tests::acceptance::script;
use tests::console::Console;

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");
const SECRET: &str = "5ec2e7c0ffee";

fn console() -> Console {
    Console::new(PROGRAM)
}

fn history(console: &Console) -> Value {
    let ended = console.run(&["history", "--json"]);
    serde_json::from_str(&ended.output).unwrap_or_else(|error| panic!("{error}\n{ended}"))
}

#[test]
fn a_good_run_names_every_site_and_ends_with_0() {
    let console = console();
    let ended = console.run(&["once"]);
    ended.ends_with(0).says(&["Site archived", "site=1", "seconds=0.123"]).says(&["Site archived", "site=2"]);
    ended.says(&["Job ended", "outcome=ok", "8 archives of 2 sites", "slowest=\"2:82s 1:0s\""]);
    let run = &history(&console)[0];
    assert_eq!((run["outcome"].as_str(), run["archives"].as_u64()), (Some("ok"), Some(8)), "{run}");
    let status = console.run(&["status"]);
    status.ends_with(0).says(&["archive", "ok"]).says(&[
        "2",
        "81.5",
        "0m",
        &jiff::Zoned::now().date().to_string()[..8],
    ]);
}

#[test]
fn c_141_the_process_list_holds_exactly_one_archiver_while_it_runs() {
    let console = console();
    console.set("CONSOLE_JOB_X", "@daily core:archive").run(&["once", "archive"]).ends_with(0);
    let archive = &console.calls_of("core:archive")[0];
    let seen = archive["archivers"].as_array().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn c_142_every_end_has_its_class() {
    for (scenario, code, words) in [
        ("ok", 0, ["outcome=ok", "8 archives"]),
        ("nothing", 0, ["outcome=\"nothing to do\"", "no archive"]),
        ("warnings", 0, ["outcome=warnings", "1 warning"]),
        ("errors", 1, ["outcome=failed", "1 error while archiving (site 2)"]),
        ("maintenance", 75, ["outcome=maintenance", "maintenance mode"]),
        ("crowded", 75, ["outcome=skipped", "another archiver"]),
        ("database-down", 69, ["outcome=failed", "no database"]),
        ("broken", 1, ["outcome=failed", "a database that is down or a configuration that is missing"]),
        ("memory", 1, ["outcome=failed", "PHP_MEMORY_LIMIT"]),
        ("crash", 139, ["outcome=killed", "PHP crashed (signal 11)"]),
        ("killed", 137, ["outcome=killed", "memory of the container"]),
    ] {
        let console = console();
        let ended = console.plays(scenario).run(&["once"]);
        ended.ends_with(code).says(&["Job ended", words[0], words[1]]);
        ended.never_says(SECRET);
        let class = history(&console)[0]["outcome"].as_str().unwrap().to_owned();
        assert!(words[0].replace('"', "").replace(' ', "-").ends_with(&class), "{scenario}: {class}");
    }
}

#[test]
fn an_end_that_says_nothing_known_is_never_called_good() {
    let console = console();
    for scenario in ["silent", "stranger", "unfinished"] {
        let ended = console.plays(scenario).run(&["once"]);
        ended.ends_with(1).says(&[
            "Job ended badly",
            "outcome=unclear",
            "did not say how many archives",
            "leave options",
        ]);
    }
    console.plays("stranger").run(&["once"]).says(&["last output: Archiving is complete"]);
    let tasks = console.plays("silent").run(&["once", "scheduled-tasks"]);
    tasks.ends_with(1).says(&["outcome=unclear", "did not say that the scheduled tasks were run"]);
    assert_eq!(history(&console)[0]["outcome"], "unclear");
    console.set("CONSOLE_JOB_MORE", "@daily core:archive --force-idsites=7").plays("maintenance");
    console.run(&["once", "more"]).ends_with(75).says(&["outcome=maintenance"]);
}

#[test]
fn c_142_a_failure_shows_its_last_output_and_no_token() {
    let console = console();
    let ended = console.set("LOG_LEVEL", "debug").plays("errors").run(&["once"]);
    ended.ends_with(1).says(&["last output", "Got invalid response", "token_auth=(hidden)"]).never_says(SECRET);
    assert!(!history(&console).to_string().contains(SECRET));
}

#[test]
fn c_031_c_032_output_without_end_is_judged_and_little_of_it_is_kept() {
    for scenario in ["flood-line", "flood-lines"] {
        let console = console();
        let ended = console.plays(scenario).run(&["once"]);
        ended.ends_with(0).says(&["outcome=ok", "4 archives of 1 site"]);
        assert!(ended.output.len() < 20_000, "{} bytes", ended.output.len());
    }
}

#[test]
fn c_031_a_flood_does_not_grow_the_archiver() {
    let console = console();
    console.plays("flood-line").set("MATOMO_ARCHIVE_CRON", "* * * * * *");
    let mut running = console.start(&["run"]);
    running.until_it_says("Job ended");
    let before = peak_kib(running.pid());
    running.until("four runs have ended", |heard| heard.matches("Job ended").count() >= 4);
    let after = peak_kib(running.pid());
    assert!(after < before + 1_024, "{before} KiB before, {after} KiB after");
    running.signal(rustix::process::Signal::TERM);
    running.wait().ends_with(0);
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn the_command_line_says_what_the_settings_say_and_holds_no_secret() {
    let console = console();
    console
        .set("MATOMO_URL", "http://user:pass@matomo/?x=y")
        .set("MATOMO_TOKEN", SECRET)
        .set("CONCURRENT_ARCHIVERS", "900");
    console
        .set("CONCURRENT_REQS_PER_WEBSITE", "3")
        .set("IDSITE", "1,2")
        .set("EXCLUDEIDSITE", "3")
        .set("PHP_MEMORY_LIMIT", "300M");
    console.set("ARCHIVE_OPTIONS", "--force-date-range='2026-01-01,2026-02-01'");
    console.run(&["once"]).ends_with(0).never_says(SECRET).never_says("user:pass");
    let call = &console.calls_of("core:archive")[0];
    let words: Vec<&str> = call["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    for word in [
        "--url=http://matomo",
        "--concurrent-archivers=900",
        "--concurrent-requests-per-website=3",
        "--force-idsites=1,2",
        "--skip-idsites=3",
        "--php-cli-options=-d memory_limit=300M",
        "--force-date-range=2026-01-01,2026-02-01",
    ] {
        assert!(words.contains(&word), "{word} is not in {words:?}");
    }
    assert_eq!((call["memory"].as_str(), call["token"].as_bool()), (Some("300M"), Some(false)));
}

#[test]
fn a_root_container_runs_the_console_as_the_owner_of_matomos_files() {
    if !geteuid().is_root() {
        panic!("this test needs root, as the container has it");
    }
    let console = console();
    let (uid, gid) = (4_711, 4_712);
    fs::set_permissions(console.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in [console.root(), console.root().join("config/config.ini.php"), console.root().join("tmp")] {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
    console.unset("RUN_AS_USER").run(&["once"]).ends_with(0);
    let call = &console.calls_of("core:archive")[0];
    assert_eq!((call["uid"].as_u64(), call["gid"].as_u64()), (Some(u64::from(uid)), Some(u64::from(gid))));
    let written = fs::metadata(console.root().join("calls.jsonl")).unwrap();
    assert_eq!((written.uid(), written.gid()), (uid, gid), "a file changed its owner");
    assert_eq!(fs::metadata(console.root().join("console")).unwrap().uid(), 0, "nothing is changed recursively");
    console.set("RUN_AS_USER", "nobody here").run(&["once"]).ends_with(78);
}

#[test]
fn c_143_a_run_waits_for_a_configuration_and_for_the_database() {
    let console = console();
    let port = console.stop_database();
    console.unconfigure();
    let mut running = console.start(&["once"]);
    running.until_it_says("Matomo is not ready; waiting for it");
    assert!(running.heard().contains("config.ini.php"));
    console.configure(port);
    thread::sleep(Duration::from_millis(700));
    assert_eq!(console.calls_of("core:archive").len(), 0, "the database is not there yet");
    console.start_database(port);
    running.until_it_says("Matomo is ready");
    running.wait().ends_with(0).says(&["outcome=ok"]);
}

#[test]
fn c_143_waiting_has_a_deadline_and_a_reason() {
    let console = console();
    console.stop_database();
    console.set("WAIT_FOR_MATOMO", "1s").run(&["once"]).ends_with(69).says(&[
        "outcome=failed",
        "cannot connect to the database",
        "127.0.0.1",
    ]);
    console.unconfigure();
    console.run(&["once"]).ends_with(69).says(&["outcome=failed", "cannot read Matomo's configuration"]);
    fs::write(console.root().join("config/config.ini.php"), "[General]\n").unwrap();
    console.run(&["once"]).ends_with(69).says(&["no [database] section"]);
    assert_eq!(console.calls().len(), 0);
}

#[test]
fn stuck_sites_are_named_with_the_command_that_frees_them() {
    let console = console();
    console.queue(
        r#"[{"Site":"4","Period":"Day","Status":"Processing","Started":"2020-01-01 00:00:00"},
            {"Site":"4","Period":"Week","Status":"Processing","Started":"2020-01-01 00:00:00"},
            {"Site":"5","Status":"Queued","Started":null}]"#,
    );
    let ended = console.run(&["once"]);
    ended.ends_with(0).says(&["Site is stuck", "site=4", "rows=2", "archiver once free"]).never_says("site=5");
    ended.says(&["outcome=warnings", "8 archives of 2 sites computed; stuck and left out: site 4"]);
    console.run(&["status"]).ends_with(0).says(&["4", "stuck: archiver once free"]);
    console.queue("[]").run(&["once"]).ends_with(0).never_says("stuck");
    for odd in ["garbage", r#"[{"Site":"4","Status":"En cours","Started":"2020-01-01 00:00:00"}]"#] {
        let nobody_knows =
            ["archiving queue cannot be read", "nobody can tell which sites are stuck", "not known here"];
        console.queue(odd).run(&["once"]).ends_with(0).says(&nobody_knows);
        console.run(&["once", "free"]).ends_with(1).says(&["outcome=failed", "nobody can tell which sites are stuck"]);
    }
}

#[test]
fn check_tells_everything_at_once() {
    let console = console();
    let ended = console.set("MATOMO_ARCHIVE_CRON", "0 5 * * * *").run(&["check"]);
    ended
        .ends_with(0)
        .says(&["ok", "PHP 8"])
        .says(&["ok", "finds ps"])
        .says(&["ok", "10.11.14-MariaDB"])
        .says(&["job archive", "next"]);
    ended.never_says("pcntl");
    // Several faults in one answer.
    console.stop_database();
    console.set("MATOMO_DELETE_CRON", "@daily").set("STATE_DIR", "/proc/nowhere");
    let ended = console.run(&["check"]);
    ended
        .says(&["FAULT", "cannot connect"])
        .says(&["DAYS_TO_KEEP"])
        .says(&["SITE_TO_DELETE"])
        .says(&["FAULT", "/proc/nowhere"]);
    assert_ne!(ended.code(), Some(0));
    console.set("PHP_MEMORY_LIMIT", "lots").set("IDSITE", "first").set("MATOMO_ARCHIVE_CRON", "61 * * * *");
    console.run(&["check"]).ends_with(78).says(&["PHP_MEMORY_LIMIT"]).says(&["IDSITE"]).says(&["MATOMO_ARCHIVE_CRON"]);
}

#[test]
fn an_image_without_ps_is_told_before_every_archive_fails() {
    let console = console();
    let bin = console.folder().join("bin");
    fs::create_dir(&bin).unwrap();
    let php = String::from_utf8(Command::new("sh").args(["-c", "command -v php"]).output().unwrap().stdout).unwrap();
    symlink(php.trim(), bin.join("php")).unwrap();
    console.set("PATH", &bin.to_string_lossy());
    console.run(&["check"]).ends_with(78).says(&["FAULT", "no ps"]);
    console.run(&["once"]).says(&["There is no `ps` here", "MATOMO_URL"]);
    console.set("MATOMO_URL", "http://matomo").run(&["check"]).ends_with(0).says(&["advice", "no ps"]);
    console.run(&["once"]).says(&["There is no `ps` here", "asks MATOMO_URL over HTTP"]);
}

#[test]
fn php_without_pcntl_is_told_apart() {
    let console = console();
    let php = console.folder().join("php");
    script(&php, "#!/bin/sh\nexec php -d disable_functions=pcntl_signal \"$@\"\n", 0o755);
    console.set("MATOMO_PHP", &php.to_string_lossy()).run(&["check"]).ends_with(0).says(&["advice", "no pcntl"]);
    script(&php, "#!/bin/sh\nexec php -d disable_functions=shell_exec \"$@\"\n", 0o755);
    console.run(&["check"]).ends_with(78).says(&["FAULT", "disable_functions"]).says(&["MATOMO_URL"]);
    console.set("MATOMO_URL", "http://matomo").run(&["check"]).ends_with(0).says(&["advice", "disable_functions"]);
}

/// As a container whose operator mounted folders at `/config` and `/plugins`: a root of its own around the program.
const CONTAINER: &str = r#"#!/bin/sh
set -e
if [ "$1" != inside ]; then exec unshare --mount "$0" inside "$@"; fi
shift
root=FOLDER/root
mkdir -p $root
mount -t tmpfs -o mode=755 tmpfs $root
for entry in /*; do
    if [ -L "$entry" ]; then cp -a "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir "$root$entry"; mount --rbind "$entry" "$root$entry"; fi
done
for name in config plugins; do mkdir -p "$root/$name"; mount --bind "FOLDER/mounted/$name" "$root/$name"; done
exec chroot "$root" PROGRAM "$@"
"#;

#[test]
fn mounted_configuration_and_plugins_are_linked_and_nothing_else_is_changed() {
    let outside = tempfile::tempdir().unwrap();
    let wrapper = outside.path().join("container");
    script(
        &wrapper,
        &CONTAINER.replace("FOLDER", &outside.path().to_string_lossy()).replace("PROGRAM", PROGRAM),
        0o755,
    );
    let mounted = outside.path().join("mounted");
    fs::create_dir_all(mounted.join("plugins/New")).unwrap();
    fs::create_dir_all(mounted.join("plugins/Shipped")).unwrap();
    fs::create_dir_all(mounted.join("config")).unwrap();
    fs::write(mounted.join("config/common.config.ini.php"), "; common").unwrap();
    let console = Console::new(&wrapper.to_string_lossy());
    let plugins = console.root().join("plugins");
    fs::create_dir_all(plugins.join("Shipped")).unwrap();
    let config = console.root().join("config/config.ini.php");
    let before = (fs::metadata(&config).unwrap().mode(), fs::metadata(&plugins).unwrap().mode());
    console.plays("ok").run(&["once"]).ends_with(0).never_says("is linked");
    assert!(!plugins.join("New").exists(), "nothing is done unless it is wanted");
    let ended = console.set("PREPARE_ENVIRONMENT", "yes").run(&["once"]);
    ended.ends_with(0).says(&["is linked into Matomo", "plugins/New"]).says(&["is not linked", "plugins/Shipped"]);
    assert_eq!(fs::read_link(plugins.join("New")).unwrap(), Path::new("/plugins/New"));
    let common = console.root().join("config/common.config.ini.php");
    assert_eq!(fs::read_link(common).unwrap(), Path::new("/config/common.config.ini.php"));
    assert!(!fs::symlink_metadata(plugins.join("Shipped")).unwrap().is_symlink());
    assert_eq!((fs::metadata(&config).unwrap().mode(), fs::metadata(&plugins).unwrap().mode()), before);
    console.run(&["once"]).ends_with(0).never_says("is linked into Matomo");
}

#[test]
fn no_matomo_and_no_php_are_faults_with_advice() {
    let console = console();
    console
        .set("MATOMO_CONSOLE", "/no/such/matomo")
        .run(&["once"])
        .ends_with(78)
        .says(&["/no/such/matomo"])
        .says(&["help", "MATOMO_CONSOLE"]);
    let console = self::console();
    console
        .set("MATOMO_PHP", "/no/such/php")
        .run(&["once"])
        .ends_with(78)
        .says(&["there is no PHP here"])
        .says(&["MATOMO_PHP"]);
    console.set("ARCHIVE_MODE", "http").run(&["once"]).ends_with(78).says(&["MATOMO_URL and MATOMO_TOKEN"]);
}

#[test]
fn sibling_jobs_run_their_commands() {
    let console = console();
    console.set("CONSOLE_JOB_API", "@daily climulti:request 'method=X.y'").set("CONSOLE_JOB_LIST", "@daily no:command");
    console.run(&["once", "scheduled-tasks"]).ends_with(0).says(&["job=scheduled-tasks", "outcome=ok"]);
    console.run(&["once", "ldap"]).ends_with(0);
    console.run(&["once", "api"]).ends_with(1).says(&["outcome=failed", "answered with an error"]);
    console.run(&["once", "list"]).ends_with(1).says(&["last output", "is not defined"]);
    console.run(&["once", "nonsense"]).ends_with(64).says(&["there is no job nonsense"]).says(&["scheduled-tasks"]);
    let commands: Vec<String> =
        console.calls().iter().map(|call| call["words"][0].as_str().unwrap().to_owned()).collect();
    assert_eq!(commands, ["scheduled-tasks:run", "loginldap:synchronize-users", "climulti:request", "no:command"]);
}

#[test]
fn usage_version_and_help_answer_without_settings() {
    let console = console();
    console.run(&["--version"]).ends_with(0).says(&["archiver"]);
    console.run(&["--help"]).ends_with(0).says(&["history"]);
    console.run(&["onec"]).ends_with(64);
    console.run(&["once", "--dry-run"]).ends_with(64).says(&["--dry-run means nothing"]);
}
