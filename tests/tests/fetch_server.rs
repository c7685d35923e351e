//! rsync-client as a server, attacked with real keys, a real sshd and a real rsync: a key reaches its own folder and
//! nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use tests::fetch::{Fetch, names, wait_for};
use tests::sshd::{free_port, make_key};
use tests::stack::Running;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");
/// What no key may see.
const CANARY: &str = "CANARY-out-of-reach";

/// A server with a key that reads `data/logs` and one that writes `data/in`, and a secret beside its data.
struct World {
    fetch: Fetch,
    folder: PathBuf,
    port: u16,
    running: Option<Running>,
}

impl World {
    /// A server that does not run yet.
    fn new() -> Self {
        let fetch = Fetch::new(PROGRAM);
        let folder = fs::canonicalize(fetch.stack.folder()).unwrap();
        let port = free_port();
        for name in ["data/logs/sub", "data/in", "secret", "mine"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::write(folder.join("data/logs/a.log"), "line\n").unwrap();
        fs::write(folder.join("data/logs/sub/b.log"), "line\n").unwrap();
        fs::write(folder.join("secret/canary"), format!("{CANARY}\n")).unwrap();
        fetch.stack.set("SSH_SERVER_DIR", &folder.join("data").to_string_lossy());
        fetch.stack.set("SSH_HOST_KEYS_DIR", &folder.join("host_keys").to_string_lossy());
        fetch.stack.set("SSH_PORT", &port.to_string()).set("SSH_PARAMS", "-o ListenAddress=127.0.0.1");
        Self { fetch, folder, port, running: None }
    }

    fn start() -> Self {
        let mut world = Self::new();
        let (reader, writer) = (world.key("reader", "ed25519"), world.key("writer", "ecdsa"));
        world.fetch.stack.set("SSH_AUTH_KEY", &format!("folder=\"logs\" {reader}"));
        world.fetch.stack.set("SSH_AUTH_KEY_2", &format!("rw,folder=\"in\" {writer}"));
        world.serve();
        world
    }

    fn serve(&mut self) {
        self.running = Some(self.fetch.stack.start(&["server"]));
        wait_for("the server", || self.fetch.stack.run(&["health"]).output().contains("serves rsync"));
    }

    fn key(&self, name: &str, kind: &str) -> String {
        make_key(&self.folder.join(name), kind);
        fs::read_to_string(self.folder.join(format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    /// The words of an ssh with a key, as a stranger on the network has it.
    fn ssh(&self, key: &str) -> Vec<String> {
        let (port, key) = (self.port.to_string(), self.folder.join(key));
        let quiet = "-o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR";
        let words = format!("ssh -F /dev/null -p {port} -i {} {quiet} -o UserKnownHostsFile=/dev/null", key.display());
        words.split(' ').map(str::to_owned).collect()
    }

    /// Runs ssh with more words behind.
    fn shell(&self, key: &str, more: &[&str]) -> Output {
        let ssh = self.ssh(key);
        let mut command = Command::new(&ssh[0]);
        command.args(&ssh[1..]).args(more).stdin(Stdio::null()).output().unwrap()
    }

    /// What ssh makes of a request that it sends as it is.
    fn asks(&self, key: &str, request: &str) -> Output {
        self.shell(key, &["root@127.0.0.1", request])
    }

    /// Runs rsync by a key; `HOST:` in a word is the server.
    fn rsync(&self, key: &str, words: &[&str]) -> Output {
        let words = words.iter().map(|word| word.replace("HOST:", "root@127.0.0.1:"));
        let mut command = Command::new("rsync");
        command.arg("-e").arg(self.ssh(key).join(" ")).args(words).current_dir(self.folder.join("mine"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn works(&self, key: &str, words: &[&str]) {
        let output = self.rsync(key, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whatever an attack answers, the secret is in nobody's hands and nothing was written outside of the data.
    #[track_caller]
    fn is_unharmed(&self, attack: &str, output: &Output) {
        let said = String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned();
        assert!(!said.contains(CANARY) && !said.contains("uid=0"), "{attack}: {said}");
        let mut command = Command::new("grep");
        let found = command.args(["-rl", CANARY]).arg(self.folder.join("mine")).arg(self.folder.join("data")).output();
        assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "", "{attack}: the secret left its folder");
        assert_eq!(names(&self.folder.join("secret")), ["canary"], "{attack}");
        assert_eq!(fs::read_to_string(self.folder.join("secret/canary")).unwrap().trim(), CANARY, "{attack}");
        let authorized = fs::read_to_string(self.folder.join("ssh/rsync-client/server/authorized_keys")).unwrap();
        assert_eq!(authorized.matches(" rrsync ").count(), 2, "{attack}: {authorized}");
    }

    fn attack(&self, key: &str, words: &[&str]) {
        let output = self.rsync(key, words);
        self.is_unharmed(&words.join(" "), &output);
    }

    fn mine(&self, name: &str) -> String {
        self.folder.join("mine").join(name).display().to_string()
    }
}

#[test]
fn b_13_a_key_reads_its_folder_as_any_rsync_does() {
    let world = World::start();
    world.works("reader", &["-az", "HOST:/", "all/"]);
    assert_eq!(names(Path::new(&world.mine("all"))), ["a.log", "sub"]);
    world.works("reader", &["-a", "HOST:a.log", "HOST:sub/", "some/"]);
    assert_eq!(names(Path::new(&world.mine("some"))), ["a.log", "b.log"]);
    world.works("reader", &["-a", "HOST:/*.log", "pattern/"]);
    assert_eq!(names(Path::new(&world.mine("pattern"))), ["a.log"]);
    fs::write(world.mine("list"), "sub/b.log\n").unwrap();
    world.works("reader", &["-a", "--files-from=list", "HOST:/", "listed/"]);
    assert_eq!(names(Path::new(&world.mine("listed/sub"))), ["b.log"]);
    world.works("reader", &["-a", "--protocol=29", "HOST:/", "old/"]);
    assert_eq!(names(Path::new(&world.mine("old"))), ["a.log", "sub"]);
    let listed = world.rsync("reader", &["HOST:/"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("a.log"));
}

#[test]
fn b_13_a_key_with_rw_writes_its_folder_and_large_files_arrive_whole() {
    let world = World::start();
    let bytes: Vec<u8> = (0..30_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::create_dir(world.mine("up")).unwrap();
    fs::write(world.mine("up/big"), &bytes).unwrap();
    fs::write(world.mine("up/old"), "old").unwrap();
    world.works("writer", &["-a", "up/", "HOST:/daily.0/"]);
    assert!(fs::read(world.folder.join("data/in/daily.0/big")).unwrap() == bytes);
    fs::remove_file(world.mine("up/old")).unwrap();
    world.works("writer", &["-az", "--delete", "--link-dest=../daily.0", "up/", "HOST:daily.1/"]);
    assert_eq!(names(&world.folder.join("data/in/daily.1")), ["big"]);
    world.works(
        "writer",
        &["-a", "--delete", "--partial-dir=.part", "--backup", "--backup-dir=/kept", "up/", "HOST:daily.0/"],
    );
    assert_eq!(names(&world.folder.join("data/in/kept")), ["old"]);
    world.works("writer", &["-a", "HOST:daily.1/big", "back"]);
    assert!(fs::read(world.mine("back")).unwrap() == bytes);
    world.works("writer", &["-a", "--remove-source-files", "HOST:daily.1/big", "gone"]);
    assert_eq!(names(&world.folder.join("data/in/daily.1")), Vec::<String>::new());
}

#[test]
fn the_health_of_a_server_tells_the_truth() {
    let mut world = World::start();
    world.fetch.stack.run(&["health"]).succeeds().says(&["ok", "serves rsync over ssh for 2 keys"]);
    world
        .running
        .take()
        .unwrap()
        .terminate()
        .succeeds()
        .says(&["Serving rsync over ssh", "keys=2"])
        .says(&["data/logs", "access=ro"])
        .says(&["data/in", "access=rw"]);
    world.fetch.stack.run(&["health"]).ends_with(1).says(&["does not run any more"]);
}

#[test]
fn a_key_that_only_reads_writes_nothing() {
    let world = World::start();
    fs::write(world.mine("new"), "new").unwrap();
    for words in [
        &["-a", "new", "HOST:/new"][..],
        &["-a", "--delete", "./", "HOST:/"],
        &["-a", "--remove-source-files", "HOST:/a.log", "taken"],
        &["-a", "--remove-sent-files", "HOST:/a.log", "taken"],
    ] {
        let output = world.rsync("reader", words);
        assert!(!output.status.success(), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("may only read"), "{output:?}");
    }
    assert_eq!(names(&world.folder.join("data/logs")), ["a.log", "sub"]);
}

#[test]
fn b_10_the_list_of_keys_and_all_else_of_ours_is_out_of_reach() {
    let world = World::start();
    let keys = world.folder.join("ssh/rsync-client/server/authorized_keys");
    let own = fs::read_to_string(world.folder.join("writer.pub")).unwrap();
    fs::write(world.mine("ak"), format!("command=\"id\" {own}")).unwrap();
    for key in ["reader", "writer"] {
        let to = |path: &Path| format!("HOST:{}", path.display());
        world.attack(key, &["--no-o", "--no-g", "--chmod=600", "ak", &to(&keys)]);
        world.attack(key, &["ak", "HOST:../../ssh/rsync-client/server/authorized_keys"]);
        for ours in
            [keys.clone(), world.folder.join("ssh"), world.folder.join("host_keys"), world.folder.join("secret")]
        {
            world.attack(key, &["-aL", &to(&ours), "taken/"]);
        }
        for outside in
            ["HOST:/etc/shadow", "HOST:../in", "HOST:../logs", "HOST:x/../../in/", "HOST:/../../secret/canary"]
        {
            world.attack(key, &["-aL", outside, "taken/"]);
        }
        let output = world.asks(key, "id");
        world.is_unharmed("a shell", &output);
    }
    let taken: Vec<String> = names(Path::new(&world.mine("taken")));
    assert!(taken.is_empty(), "{taken:?}");
}

#[test]
fn b_10b_no_options_behind_the_dot_and_no_daemon_of_the_client() {
    let world = World::start();
    let ran = world.folder.join("ran");
    let config = format!("use chroot = no\n[m]\npath = /\nearly exec = /bin/sh -c 'id > {}'\n", ran.display());
    fs::write(world.mine("conf"), config).unwrap();
    world.works("writer", &["conf", "HOST:/conf"]);
    let loaded = world.folder.join("data/in/conf").display().to_string();
    let log = world.folder.join("log").display().to_string();
    for request in [
        format!("rsync --server . --daemon --config={loaded} ."),
        format!("rsync --server --daemon --config={loaded} ."),
        format!("rsync --server --sender -l . x --config={loaded} --daemon"),
        format!("rsync --server --sender -e.LsfxC . --log-file={log} /etc/hostname"),
        format!("rsync --server --sender -l --log-file={log} . /"),
        "rsync --server --daemon .".to_owned(),
    ] {
        let ssh = world.ssh("writer");
        let mut command = Command::new(&ssh[0]);
        let mut child = command
            .args(&ssh[1..])
            .args(["root@127.0.0.1", &request])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write;
        let _ = child.stdin.take().unwrap().write_all(b"@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\nm\n");
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success(), "{request}");
        world.is_unharmed(&request, &output);
    }
    world.attack("writer", &["-a", "HOST::m/", "taken/"]);
    assert!(!ran.exists() && !Path::new(&log).exists());
}

#[test]
fn links_lead_nowhere_whoever_made_them() {
    let world = World::start();
    fs::create_dir(world.mine("links")).unwrap();
    symlink(world.folder.join("secret"), world.mine("links/absolute")).unwrap();
    symlink("../../secret", world.mine("links/relative")).unwrap();
    symlink(world.folder.join("secret/canary"), world.mine("links/file")).unwrap();
    // Sent by the client, and lying there already.
    world.works("writer", &["-a", "links/", "HOST:/"]);
    for name in ["absolute", "relative", "file"] {
        let link = fs::read_link(world.mine(&format!("links/{name}"))).unwrap();
        symlink(link, world.folder.join("data/logs").join(name)).unwrap();
    }
    fs::remove_dir_all(world.mine("links")).unwrap();
    fs::write(world.mine("planted"), "planted").unwrap();
    fs::create_dir_all(world.mine("tree/absolute")).unwrap();
    fs::write(world.mine("tree/absolute/planted"), "planted").unwrap();
    fs::write(world.mine("list"), "absolute/canary\nrelative/canary\nfile\n../../secret/canary\n").unwrap();
    for key in ["reader", "writer"] {
        for words in [
            &["-a", "HOST:absolute/canary", "HOST:relative/canary", "HOST:file", "taken/"][..],
            &["-a", "HOST:absolute/", "taken/"],
            &["-aL", "HOST:/", "taken/"],
            &["-ak", "HOST:/", "taken/"],
            &["-a", "--copy-unsafe-links", "HOST:/", "taken/"],
            &["-aR", "HOST:./absolute/./canary", "taken/"],
            &["-a", "HOST:abs*/can*", "taken/"],
            &["-aL", "--files-from=list", "HOST:/", "taken/"],
            &["-aL", "--files-from=:/etc/shadow", "HOST:/", "taken/"],
            &["-a", "planted", "HOST:absolute/planted"],
            &["-a", "planted", "HOST:file"],
            &["-aK", "tree/", "HOST:/"],
            &["-a", "--inplace", "planted", "HOST:relative/canary"],
        ] {
            world.attack(key, words);
        }
    }
}

#[test]
fn the_kernel_takes_the_folder_for_the_root() {
    let world = World::start();
    // Without chroot(2) it would lead to a folder of the machine, which is not there.
    symlink("/sub", world.folder.join("data/logs/inner")).unwrap();
    world.works("reader", &["-aL", "HOST:inner/", "inside/"]);
    assert_eq!(names(Path::new(&world.mine("inside"))), ["b.log"]);
}

#[test]
fn folders_that_options_name_stay_inside() {
    let world = World::start();
    fs::write(world.mine("canary"), "a file of the name of the secret").unwrap();
    let secret = world.folder.join("secret").display().to_string();
    for option in ["backup-dir", "temp-dir", "partial-dir", "link-dest", "copy-dest", "compare-dest"] {
        for folder in [secret.as_str(), "../../secret", "x/../../../secret"] {
            let option = format!("--{option}={folder}");
            world.attack("writer", &["-ab", "--inplace", &option, "canary", "HOST:/"]);
            world.attack("writer", &["-ab", &option, "canary", "HOST:/"]);
            world.attack("writer", &["-a", &format!("-M{option}"), "HOST:/", "taken/"]);
        }
    }
    // Content of the secret by its name, size and time alone, as a basis of a copy.
    world.attack("writer", &["-a", "--size-only", &format!("--copy-dest={secret}"), "canary", "HOST:/"]);
}

#[test]
fn filters_and_lists_read_no_file_outside() {
    let world = World::start();
    for (key, rule) in [
        ("reader", "dir-merge,- ../../secret/canary"),
        ("reader", "dir-merge ../../secret/canary"),
        ("reader", "dir-merge /../../secret/canary"),
        ("writer", "dir-merge,e- ../../../../../../../../etc/passwd"),
    ] {
        world.attack(key, &["-avvv", &format!("--filter={rule}"), "HOST:/", "taken/"]);
    }
    let passwd =
        world.rsync("reader", &["-avvvv", "--filter=dir-merge,- ../../../../../../../etc/passwd", "HOST:/", "x/"]);
    assert!(!String::from_utf8_lossy(&passwd.stdout).contains("root:"), "{passwd:?}");
    for option in [
        "-M--exclude-from=/etc/shadow",
        "-M--password-file=/etc/shadow",
        "-M--debug=ALL4",
        "-M--read-batch=/etc/shadow",
    ] {
        world.attack("reader", &["-a", option, "HOST:/", "taken/"]);
    }
}

#[test]
fn no_request_but_rsync_runs_and_nothing_is_forwarded() {
    let world = World::start();
    let touched = world.folder.join("touched").display().to_string();
    for request in [
        "id".to_owned(),
        "sh -c id".to_owned(),
        String::new(),
        "rsync --version; id".to_owned(),
        format!("rsync --server --sender -l . $(touch {touched})"),
        format!("rsync --server --sender -l . `touch {touched}`"),
        format!("rsync --server --sender -l . x | tee {touched}"),
        format!("rsync --server --sender -l . x > {touched}"),
        format!("rsync --server --sender -l . x\ntouch {touched}"),
        "rsync -a /etc/passwd /dev/stdout".to_owned(),
        "scp -f /etc/passwd".to_owned(),
        "/usr/lib/openssh/sftp-server".to_owned(),
    ] {
        let output = world.asks("writer", &request);
        assert!(!output.status.success(), "{request}");
        world.is_unharmed(&request, &output);
    }
    let path = format!("--rsync-path=touch {touched}; rsync");
    for words in [
        &["-a", path.as_str(), "HOST:/", "taken/"][..],
        &["-a", "-M--rsh=sh", "HOST:/", "taken/"],
        &["-a", "-M-e", "-Msh", "HOST:/", "taken/"],
        &["-a", "-M--write-devices", "mine", "HOST:/"],
        &["-a", "-M--copy-devices", "HOST:/", "taken/"],
        &["-a", "-s", "HOST:/../../secret/", "taken/"],
    ] {
        world.attack("writer", words);
    }
    let port = world.fetch.sshd.port().to_string();
    let forwarded = format!("127.0.0.1:{port}");
    for words in [
        &["-W", forwarded.as_str(), "root@127.0.0.1"][..],
        &["-s", "root@127.0.0.1", "sftp"],
        &["-tt", "root@127.0.0.1", "sh"],
        &["-A", "-o", "SendEnv=*", "root@127.0.0.1", "env"],
    ] {
        let output = world.shell("writer", words);
        assert!(!output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("SSH-"), "{output:?}");
        world.is_unharmed(&words.join(" "), &output);
    }
    assert!(!Path::new(&touched).exists());
    // A stranger is not let in at all.
    world.key("stranger", "ed25519");
    assert!(!world.rsync("stranger", &["HOST:/"]).status.success());
}

#[test]
fn a_folder_that_changes_under_way_lets_nobody_out() {
    let world = World::start();
    let (real, flip) = (world.folder.join("data/in/real"), world.folder.join("data/in/flip"));
    fs::create_dir(&real).unwrap();
    fs::write(real.join("canary"), "harmless").unwrap();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // As a second session of the attacker would, only faster.
            while !ends.load(Ordering::Relaxed) {
                for target in ["real", "../../secret"] {
                    let _ = fs::remove_file(&flip);
                    let _ = symlink(target, &flip);
                }
            }
        });
        for round in 0..15 {
            let to = format!("taken{round}/");
            world.attack("writer", &["-aL", "HOST:flip/canary", "HOST:flip/", &to]);
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_server_that_would_open_more_does_not_start() {
    let world = World::new();
    let key = world.key("one", "ed25519");
    let start = |name: &str, value: &str| {
        world.fetch.stack.set(name, value);
        world.fetch.stack.run(&["server"]).ends_with(78)
    };
    world.fetch.stack.set("SSH_AUTH_KEY", "");
    world.fetch.stack.run(&["server"]).ends_with(1).says(&["No SSH_AUTH_KEY provided"]);
    start("SSH_AUTH_KEY", &format!("command=\"id\" {key}")).says(&["SSH_AUTH_KEY", "command=", "folder="]);
    world.fetch.stack.set("SSH_AUTH_KEY", &key);
    for folder in ["/", "/etc", &world.folder.display().to_string(), &world.folder.join("ssh").display().to_string()] {
        start("SSH_SERVER_DIR", folder).says(&["SSH_SERVER_DIR", "can be reached"]).says(&["folder of its own"]);
    }
    world.fetch.stack.set("SSH_SERVER_DIR", &world.folder.join("data").to_string_lossy());
    for parameters in ["-o PermitRootLogin=yes", "-o ForceCommand=sh", "-f /tmp/x"] {
        start("SSH_PARAMS", parameters).says(&["SSH_PARAMS", "not taken"]);
    }
    world.fetch.stack.set("SSH_PARAMS", "");
    let twin = world.key("two", "ed25519");
    start("SSH_AUTH_KEY_2", &twin).says(&["two keys are called"]).says(&["folder="]);
    fs::write(world.folder.join("ssh/authorized_keys"), format!("command=\"sh\" {key}\n")).unwrap();
    start("SSH_AUTH_KEY_2", "").says(&["authorized_keys", "command="]);
}

#[test]
fn b_13_keys_of_all_kinds_come_from_variables_and_the_volume() {
    let mut world = World::new();
    let keys: Vec<String> = [("one", "ed25519"), ("two", "ecdsa"), ("three", "rsa"), ("four", "ed25519")]
        .map(|(name, kind)| format!("{} {name}", world.key(name, kind).rsplit_once(' ').unwrap().0))
        .to_vec();
    let token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJ1dOnTbVgJ5OFZ4sUyZrDEdKYZcYLWpDwqQ0cMF1HjOAAAABHNzaDo= token";
    world.fetch.stack.set("SSH_AUTH_KEY", &format!("{} {}", keys[0], keys[1])).set("SSH_AUTH_KEY_2", &keys[2]);
    world.fetch.stack.set("SSH_AUTH_KEY_3", token);
    // The old entrypoint wrote keys of variables to this file as well.
    fs::create_dir(world.folder.join("ssh")).unwrap();
    let lying = format!("# old\n{}\nfrom=\"127.0.0.1\" {}\n", keys[0], keys[3]);
    fs::write(world.folder.join("ssh/authorized_keys"), lying).unwrap();
    world.serve();
    for name in ["one", "two", "three", "four"] {
        fs::write(world.folder.join("data").join(name).join("of"), name).unwrap();
        world.works(name, &["-a", "HOST:/", name]);
        assert_eq!(fs::read_to_string(world.mine(&format!("{name}/of"))).unwrap(), name);
    }
    let authorized = fs::read_to_string(world.folder.join("ssh/rsync-client/server/authorized_keys")).unwrap();
    assert_eq!(authorized.lines().count(), 5, "{authorized}");
    assert!(authorized.lines().all(|line| line.starts_with("command=") && line.contains(",restrict")), "{authorized}");
}
