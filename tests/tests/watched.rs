//! log-analytics, watched over HTTP, and those it tells about its passes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::acceptance::wait_until;
use tests::matomo::Setup;
use tests::sshd::free_port;
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() })
}

/// Status, head and body; nothing while nobody listens.
fn get(port: u16, path: &str) -> Option<(u16, String, String)> {
    get_with(port, path, "")
}

/// The same, with more lines in its head.
fn get_with(port: u16, path: &str, more: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, head.to_ascii_lowercase(), body.to_owned()))
}

/// Somebody who is told: keeps the first line of each request.
fn listener() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let page = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            page.lock().unwrap().push(line.trim().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (port, heard)
}

#[test]
fn health_metrics_and_the_page_are_answered_by_http() {
    let stack = stack();
    let port = free_port();
    stack.set("HEALTH_LISTEN", &port.to_string());
    let count = stack.writes(SITE, 30).len();
    let running = stack.run_in_background();
    wait_until("it is well", || {
        get(port, "/healthz").is_some_and(|(status, _, body)| status == 200 && body.starts_with("ok:"))
    });
    assert_eq!(
        get(port, "/healthz").unwrap().2.split(':').next(),
        stack.run(&["health"]).succeeds().stdout.split(':').next()
    );
    wait_until("the page shows what came in", || {
        let (status, head, page) = get(port, "/report").unwrap();
        assert!(status == 200 && head.contains("text/html; charset=utf-8"), "{head}");
        page.contains("<title>All is well</title>") && page.contains(&format!(">{count}<small>"))
    });
    let (_, _, metrics) = get(port, "/metrics").unwrap();
    assert!(metrics.contains("sidecar_healthy{job=\"import\"} 1"), "{metrics}");
    assert_eq!(get(port, "/none").unwrap().0, 404);
    running.terminate().succeeds();
    // Nobody listens unless it is wanted.
    stack.unset("HEALTH_LISTEN");
    let running = stack.run_in_background();
    wait_until("it runs", || stack.run(&["health"]).code() == Some(0));
    assert!(get(port, "/healthz").is_none());
    running.terminate().succeeds().never_says("answered by HTTP");
}

#[test]
fn the_page_can_ask_for_a_token_and_health_does_not() {
    let stack = stack();
    let port = free_port();
    stack.set("HEALTH_LISTEN", &port.to_string()).set("REPORT_TOKEN", "page-token");
    stack.writes(SITE, 30);
    let running = stack.run_in_background();
    wait_until("it is well", || get(port, "/healthz").is_some_and(|(status, ..)| status == 200));
    let (status, head, body) = get(port, "/report").unwrap();
    assert!(status == 401 && head.contains("www-authenticate: basic"), "{head}");
    assert!(!body.contains("<title>") && body.contains("token"), "{body}");
    assert_eq!(get_with(port, "/report", "Authorization: Bearer other\r\n").unwrap().0, 401);
    for right in ["Authorization: Bearer page-token\r\n", "Authorization: Basic b3BlcmF0b3I6cGFnZS10b2tlbg==\r\n"] {
        let (status, _, body) = get_with(port, "/report", right).unwrap();
        assert!(status == 200 && body.contains("<title>"), "{body}");
    }
    assert_eq!(get(port, "/metrics").unwrap().0, 200);
    running.terminate().succeeds().never_says("page-token");
}

#[test]
fn a_watchman_hears_of_passes_and_a_person_of_incidents() {
    let stack = stack();
    let ((ping, pings), (hook, hooks)) = (listener(), listener());
    stack.set("NOTIFY_PING_URL", &format!("http://127.0.0.1:{ping}/me"));
    stack.set("NOTIFY_WEBHOOK_URL", &format!("http://127.0.0.1:{hook}/hook"));
    let heard = |page: &Mutex<Vec<String>>, line: &str| page.lock().unwrap().iter().any(|heard| heard.contains(line));
    stack.writes(SITE, 30);
    let running = stack.run_in_background();
    wait_until("a start and a success are told", || heard(&pings, "/me/start") && heard(&pings, "/me?"));
    assert!(hooks.lock().unwrap().is_empty(), "no incident yet");
    running.terminate().succeeds();
    let address = stack.matomo().url();
    stack.set("MATOMO_URL", "http://127.0.0.1:9").set("MATOMO_REQUEST_ATTEMPTS", "1");
    stack.writes(SITE, 30);
    let running = stack.run_in_background();
    wait_until("a failure is told", || heard(&pings, "/me/fail") && heard(&hooks, "/hook"));
    running.terminate().succeeds();
    // The incident goes on across the restart, and is over once.
    stack.set("MATOMO_URL", &address);
    let told = hooks.lock().unwrap().len();
    let running = stack.run_in_background();
    wait_until("the end of the incident is told", || hooks.lock().unwrap().len() > told);
    running.terminate().succeeds();
    assert_eq!(hooks.lock().unwrap().len(), told + 1);
    // `once`, as a cron of the engine runs it, tells the same.
    stack.set("MATOMO_URL", "http://127.0.0.1:9");
    stack.writes(SITE, 30);
    for _ in 0..2 {
        stack.once();
    }
    assert_eq!(hooks.lock().unwrap().len(), told + 2, "the incident is told once");
    stack.set("MATOMO_URL", &address);
    stack.once().succeeds();
    assert_eq!(hooks.lock().unwrap().len(), told + 3);
}

#[test]
fn c_082_too_many_failed_passes_in_a_row_end_the_program() {
    let stack = stack();
    stack.writes(SITE, 10);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    stack.set("MATOMO_URL", &nobody).set("MATOMO_IMPORT_LOGS_CRON", "* * * * * *").set("MAX_CONSECUTIVE_FAILURES", "2");
    let ended = stack.run(&["run"]).ends_with(1);
    ended.says(&["Too many runs failed in a row", "failures=2", "MAX_CONSECUTIVE_FAILURES"]);
}
