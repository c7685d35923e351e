//! rsync-client and the secrets in its settings: whatever form they have, they reach no log, no file and no other host.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::fetch::{Fetch, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");
const CANARY: &str = "CANARYpw1234";
/// How people write passwords into commands. Port 9 answers nobody.
const FORMS: [&str; 31] = [
    "RSYNC_PASSWORD=CANARYpw1234 rsync -a rsync://u@127.0.0.1:9/m x",
    "sshpass -p CANARYpw1234 rsync -a u@127.0.0.1:/x y",
    "sshpass -pCANARYpw1234 false",
    "sshpass -v -p CANARYpw1234 false",
    "rsync -e 'sshpass -p CANARYpw1234 ssh -p 9' -a u@127.0.0.1:/x y",
    "rsync -a rsync://u:CANARYpw1234@127.0.0.1:9/m x",
    "rsync -a rsync://u:at@CANARYpw1234@127.0.0.1:9/m x",
    "rsync -a u:CANARYpw1234@127.0.0.1:/m x",
    "rsync -a u:CANARYpw1234@127.0.0.1::m x",
    "curl -s -u u:CANARYpw1234 http://127.0.0.1:9/",
    "curl -s --user=u:CANARYpw1234 http://127.0.0.1:9/",
    "curl -s -uu:CANARYpw1234 http://127.0.0.1:9/",
    "curl -sS 'http://127.0.0.1:9/x?token=CANARYpw1234'",
    "curl -sS http://u:CANARYpw1234@127.0.0.1:9/",
    "curl -s -H 'X-Api-Key: CANARYpw1234' http://127.0.0.1:9/",
    "curl -s -H 'PRIVATE-TOKEN: CANARYpw1234' http://127.0.0.1:9/",
    "curl -s -d '{\"password\":\"CANARYpw1234\"}' http://127.0.0.1:9/",
    "mysql -pCANARYpw1234 -h 127.0.0.1",
    "export PW=CANARYpw1234; echo $PW | cat; false",
    "echo CANARYpw1234 | sshpass rsync -a u@127.0.0.1:/x y",
    "bash -c 'rsync --password-file=<(echo CANARYpw1234) rsync://u@127.0.0.1:9/m x'",
    "wget -q --http-password CANARYpw1234 http://127.0.0.1:9/",
    "wget -q --password='CANARYpw1234' http://127.0.0.1:9/",
    "lftp -u u,CANARYpw1234 127.0.0.1:9 -e 'set net:max-retries 1; ls; exit'",
    "set -x; P=CANARYpw1234; false",
    "AWS_SECRET_ACCESS_KEY='CANARYpw1234' false",
    "KEY=CANARYpw1234 false",
    "env PASS=CANARYpw1234 false",
    "rclone --sftp-pass CANARYpw1234 ls x:",
    "false # the old password was CANARYpw1234",
    "printf '%s' 'CANARYpw1234' > /dev/null; false",
];

/// Takes what is sent to it, as a watchman and a chat would.
struct Listener {
    port: u16,
    heard: Arc<Mutex<String>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::<Mutex<String>>::default());
        let said = heard.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
                let mut buffer = [0; 16 << 10];
                while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
                    said.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..bytes]));
                    if said.lock().unwrap().ends_with('}') || bytes < buffer.len() {
                        break;
                    }
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

/// Every file below the folder that holds the canary, and who may read it.
fn files_with_canary(fetch: &Fetch) -> Vec<String> {
    let mut command = std::process::Command::new("grep");
    let found = command.args(["-rl", CANARY]).arg(fetch.stack.folder()).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}

fn world() -> (Fetch, Listener) {
    let (fetch, listener) = (Fetch::new(PROGRAM), Listener::start());
    fetch.stack.set("RSYNC_RETRIES", "0").set("LOG_LEVEL", "trace");
    fetch.stack.set("NOTIFY_PING_URL", &format!("http://127.0.0.1:{}/ping", listener.port));
    fetch.stack.set("NOTIFY_WEBHOOK_URL", &format!("http://127.0.0.1:{}/hook", listener.port));
    (fetch, listener)
}

#[test]
fn b_11_no_form_of_a_secret_in_rsync_commands_is_told() {
    let (fetch, listener) = world();
    for form in FORMS {
        fetch.commands(form);
        let once = fetch.once();
        assert_ne!(once.code(), Some(78).filter(|_| once.output().contains("cannot be used")), "{once}");
        let told = [&["check"][..], &["print-config"], &["history"], &["history", "--json"], &["check", "--probe"]];
        let outputs = told.iter().map(|words| fetch.stack.run(words)).chain([once]);
        for outcome in outputs {
            assert!(!outcome.output().contains(CANARY), "{form}\n{outcome}");
        }
        assert_eq!(files_with_canary(&fetch), Vec::<String>::new(), "{form}");
    }
    wait_for("the last message", || listener.heard().contains("/fail"));
    assert!(!listener.heard().contains(CANARY), "{}", listener.heard());
    let mode = fs::metadata(fetch.stack.folder().join("rsync/history.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn b_11_no_form_of_a_secret_in_cron_tasks_is_told() {
    let (fetch, listener) = world();
    for (at, form) in FORMS.iter().enumerate() {
        fetch.stack.set(&format!("CRON_TASK_{at}"), &format!("@every 1s {form}"));
    }
    fetch.commands("true");
    let running = fetch.run();
    wait_for("all tasks", || {
        let history = fs::read_to_string(fetch.stack.folder().join("rsync/history.jsonl")).unwrap_or_default();
        (0..FORMS.len()).all(|at| history.contains(&format!("cron-task-{at}\"")))
    });
    let outputs = [&["check"][..], &["print-config"], &["history"], &["history", "--json"], &["health"]];
    let outputs: Vec<_> = outputs.iter().map(|words| fetch.stack.run(words)).chain([running.terminate()]).collect();
    for outcome in outputs {
        let line = outcome.output().lines().find(|line| line.contains(CANARY)).map(str::to_owned);
        assert_eq!(line, None);
    }
    assert_eq!(files_with_canary(&fetch), Vec::<String>::new());
    assert!(!listener.heard().contains(CANARY), "{}", listener.heard());
}

#[test]
fn b_11_a_text_that_cannot_be_used_is_not_told_either() {
    let (fetch, _listener) = world();
    for text in [
        "RSYNC_PASSWORD='CANARYpw1234 rsync -a x y",
        "rsync -a x y; ; curl -u u:CANARYpw1234 http://x",
        "if true; then CANARYpw1234",
        "rsync -a 'x ; curl -u u:CANARYpw1234 http://x",
    ] {
        let outcome = fetch.commands(text).once().ends_with(78);
        assert!(!outcome.output().contains(CANARY), "{outcome}");
    }
    fetch.commands("true");
    for text in ["* * * curl -s -u u:CANARYpw1234 http://x", "CANARYpw1234 * * * * true", "* * * * * 'CANARYpw1234"] {
        fetch.stack.set("CRON_TASK_1", text);
        let outcome = fetch.stack.run(&["run"]).ends_with(78);
        assert!(!outcome.output().contains(CANARY), "{outcome}");
    }
}

#[test]
fn a_history_that_everybody_could_read_is_closed() {
    let fetch = Fetch::new(PROGRAM);
    let file = fetch.stack.folder().join("rsync/history.jsonl");
    fs::create_dir(fetch.stack.folder().join("rsync")).unwrap();
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fetch.commands("true").once().succeeds();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}
