//! Every sidecar, started with canaries in all that may hold a secret: they are in nothing that it prints, writes or runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// In every value that may be secret.
const CANARY: &str = "CANARYpw1234";
/// How long a command may work before it is asked to end.
const PATIENCE: Duration = Duration::from_secs(4);

/// What all of them read.
const EVERYWHERE: [(&str, &str); 5] = [
    ("NOTIFY_PING_URL", "http://127.0.0.1:9/CANARYpw1234"),
    ("NOTIFY_WEBHOOK_URL", "http://127.0.0.1:9/hooks/CANARYpw1234?k=CANARYpw1234"),
    ("MATOMO_URL", "http://u:CANARYpw1234@127.0.0.1:9/?token_auth=CANARYpw1234"),
    ("MATOMO_TOKEN", "CANARYpw1234"),
    ("HEALTH_LISTEN", "127.0.0.1:0"),
];

/// A sidecar in a folder of its own.
struct World {
    program: &'static str,
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl World {
    /// `@` in a value is the folder.
    fn new(program: &'static str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().to_string_lossy().into_owned();
        let variables = EVERYWHERE.iter().chain(variables);
        let variables = variables.map(|(name, value)| ((*name).to_owned(), value.replace('@', "\u{1}"))).map(
            // An `@` of an address stays one.
            |(name, value)| (name, value.replace("\u{1}/", &format!("{here}/")).replace('\u{1}', "@")),
        );
        let variables = variables.collect();
        Self { program, folder, variables }
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it, and looks for canaries in what it printed, in what ran below it, and in its folder.
    #[track_caller]
    fn tells_nothing(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.program);
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("LOG_LEVEL", "trace");
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).env("HOME", self.folder.path());
        let output = self.folder.path().join("output");
        let file = fs::File::create(&output).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let arguments = watched(child);
        let said = String::from_utf8_lossy(&fs::read(output).unwrap()).into_owned();
        let settings = &self.variables;
        let leak = said.lines().find(|line| line.contains(CANARY));
        assert_eq!(leak, None, "{} {words:?} printed it, with {settings:?}", self.program);
        assert!(!arguments.contains(CANARY), "{} {words:?} ran {arguments}", self.program);
        let held = walk(self.folder.path()).into_iter().find(|file| holds(file) && !is_for_postfix(file));
        assert_eq!(held, None, "{} {words:?} wrote it, with {settings:?}", self.program);
        for file in walk(self.folder.path()).iter().filter(|file| file.to_string_lossy().contains("history")) {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} may be read by others", file.display());
        }
        said
    }
}

/// The lookup table and the files of Postfix must have what is set; whose they are is another test's matter.
fn is_for_postfix(file: &Path) -> bool {
    ["relay_passwd", "main.cf", "master.cf"].iter().any(|name| file.ends_with(name))
}

fn holds(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(CANARY))
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// The arguments of everything that ran below it until its end, which it is asked for in time.
fn watched(mut child: Child) -> String {
    let begin = Instant::now();
    let mut seen = String::new();
    let ours = child.id().to_string();
    while child.try_wait().unwrap().is_none() {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
            if parent == ours {
                seen += &fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            }
        }
        match begin.elapsed() {
            age if age > PATIENCE * 4 => child.kill().unwrap(),
            age if age > PATIENCE => drop(kill_process(Pid::from_child(&child), Signal::TERM)),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    seen
}

#[test]
fn b11_the_importer_tells_no_secret_of_its_settings() {
    let forms = [
        "--enable-static",
        "--token-auth=CANARYpw1234 --enable-static",
        "--tok CANARYpw1234",
        "--auth-user=CANARYpw1234 --auth-password=CANARYpw1234",
        "--auth-pass 'CANARYpw1234 and more'",
        "--url=http://u:CANARYpw1234@127.0.0.1:9/?token_auth=CANARYpw1234",
        "--request-suffix '&token_auth=CANARYpw1234'",
        "--tracker-endpoint-path=/x?CANARYpw1234",
        "--login=admin --password=CANARYpw1234",
        "--token-auth=CANARYpw1234 --nonsense=CANARYpw1234",
        "--token-auth='CANARYpw1234",
        "--recorders=CANARYpw1234",
    ];
    let variables = [
        ("ANALYTICS_DIR", "@/analytics"),
        ("MATOMO_REQUEST_ATTEMPTS", "1"),
        ("REPORT_TOKEN", "CANARYpw1234"),
        ("REPORT_FILE", "@/report.html"),
        ("SHUTDOWN_GRACE", "2s"),
    ];
    let mut world = World::new(env!("CARGO_BIN_EXE_log-analytics"), &variables);
    let logs = world.folder.path().join("analytics/logs/4");
    fs::create_dir_all(&logs).unwrap();
    let line = "192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"x\"\n";
    fs::write(logs.join("access.log"), line).unwrap();
    for form in forms {
        world.set("MATOMO_IMPORT_OPTIONS", form);
        for words in [&["print-config"][..], &["check"], &["once"]] {
            world.tells_nothing(words);
        }
    }
    world.set("MATOMO_IMPORT_OPTIONS", "--token-auth=CANARYpw1234 --encoding=utf-8 --recorders 3");
    for words in [&["run"][..], &["status"], &["history"], &["report"], &["health"]] {
        world.tells_nothing(words);
    }
    let shown = world.tells_nothing(&["print-config"]);
    assert!(shown.contains("--token-auth=(hidden) --encoding=utf-8 --recorders 3"), "{shown}");
}

#[test]
fn b11_the_archiver_tells_no_secret_of_its_settings() {
    let variables =
        [("STATE_DIR", "@/state"), ("WAIT_FOR_MATOMO", "1s"), ("ARCHIVE_MODE", "http"), ("SHUTDOWN_GRACE", "2s")];
    let mut world = World::new(env!("CARGO_BIN_EXE_archiver"), &variables);
    for (name, form) in [
        ("ARCHIVE_OPTIONS", "--url=http://u:CANARYpw1234@h/"),
        ("ARCHIVE_OPTIONS", "--x CANARYpw1234 -pCANARYpw1234 'CANARYpw1234"),
        ("ARCHIVE_OPTIONS", "--x CANARYpw1234 -pCANARYpw1234"),
        ("CONSOLE_JOB_X", "* * * * * user:create --password=CANARYpw1234 CANARYpw1234"),
        ("CONSOLE_JOB_X", "* * * user:create --password=CANARYpw1234"),
        ("CONSOLE_JOB_X", "* * * * * CANARYpw1234!"),
    ] {
        world.set("ARCHIVE_OPTIONS", "").set("CONSOLE_JOB_X", "").set(name, form);
        for words in [&["print-config"][..], &["check"], &["once"], &["status"], &["history", "--json"]] {
            world.tells_nothing(words);
        }
    }
    world.tells_nothing(&["run"]);
}

#[test]
fn b11_the_relay_tells_no_secret_of_its_settings() {
    let variables = [
        ("MTP_CONFIG_DIR", "@/postfix"),
        ("MTP_RELAY", "relay.example.org"),
        ("MTP_USER", "me"),
        ("MTP_PASS", "CANARYpw1234"),
        ("POSTFIX_smtp_generic_maps", "inline:{a=CANARYpw1234}"),
        ("POSTFIXMASTER_smtp__inet", "smtp inet n - n - - smtpd -o x=CANARYpw1234"),
    ];
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config"), &variables);
    let out = world.folder.path().join("postfix").to_string_lossy().into_owned();
    for words in [&["generate", "--out", &out][..], &["check"], &["health"]] {
        world.tells_nothing(words);
    }
    let mut world = world;
    world.set("POSTFIX_smtp_generic_maps", "inline:{a=CANARYpw1234}\nb");
    let said = world.tells_nothing(&["generate", "--out", &out]);
    assert!(said.contains("POSTFIX_smtp_generic_maps is \"(hidden)\""), "{said}");
}

#[test]
fn b11_maintenance_and_the_fetcher_tell_no_secret_of_their_settings() {
    let variables = [
        ("MATOMO_DIR", "@/matomo"),
        ("MAINTENANCE_DIR", "@/state"),
        ("MARIADB_HOST", "127.0.0.1"),
        ("MARIADB_PORT_NUMBER", "9"),
        ("MATOMO_DATABASE_PASSWORD", "CANARYpw1234"),
        ("MARIADB_ROOT_PASSWORD", "CANARYpw1234"),
        ("BACKUP_KEY", "CANARYpw1234CANARYpw1234"),
    ];
    let world = World::new(env!("CARGO_BIN_EXE_maintenance"), &variables);
    for words in [&["print-config"][..], &["check"], &["status"], &["backup"], &["history"]] {
        world.tells_nothing(words);
    }
    let variables = [
        ("ANALYTICS_DIR", "@/analytics"),
        ("SSH_DIR", "@/ssh"),
        ("VOLUME_WAIT", "1s"),
        ("RSYNC_RETRIES", "0"),
        ("CRON_TASK_1", "@daily curl -s --user=u:CANARYpw1234 http://127.0.0.1:9/"),
        ("RSYNC_COMMANDS", "P=CANARYpw1234; false # CANARYpw1234"),
    ];
    // What its commands tell in every form is held by fetch_secrets.
    let world = World::new(env!("CARGO_BIN_EXE_rsync-client"), &variables);
    for words in [&["print-config"][..], &["check"], &["history"]] {
        world.tells_nothing(words);
    }
}
