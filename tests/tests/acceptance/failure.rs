//! Failures: tried again, counted, timed, told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use tests::acceptance::{As, World};
use tests::mail::Authority;

use crate::subject;

#[test]
fn c_081_a_failure_that_may_pass_is_tried_again_and_a_fatal_one_is_not() {
    let world = World::new(&subject()).job("echo x >> @/tries; test $(wc -l < @/tries) -ge 3").env("JOB_ATTEMPTS", "3");
    world.env("JOB_RETRY_DELAY", "1s").once(As::Process).is(0).says("is tried again");
    let world = World::new(&subject()).job("echo x >> @/tries; exit 78").env("JOB_ATTEMPTS", "3");
    world.once(As::Process).is(78);
    assert_eq!(world.read("tries"), "x\n");
    let world = World::new(&subject()).job("exit 1").env("JOB_ATTEMPTS", "2").env("JOB_RETRY_DELAY", "0s");
    world.once(As::Process).is(1).says("No further attempt is made");
}

#[test]
fn c_082_too_many_failures_in_a_row_end_the_program() {
    let world = World::new(&subject()).job("exit 3").cron("* * * * * *").env("MAX_CONSECUTIVE_FAILURES", "2");
    world.run(As::Process, &["run"]).is(1).says("Too many runs failed in a row");
}

#[test]
fn c_083_a_hard_timeout_stops_and_a_soft_one_warns() {
    let world = World::new(&subject()).job("sleep 600").env("JOB_TIMEOUT", "1s");
    world.once(As::Process).is(124).says("result=timeout");
    let world = World::new(&subject()).job("sleep 2").env("JOB_WARN_AFTER", "1s");
    world.once(As::Process).is(0).says("A job takes longer than expected");
}

/// A server that keeps what it is told and answers as it is told.
struct Watchman {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Watchman {
    fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let page = heard.clone();
        // It lives until the test process ends.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let page = page.clone();
                std::thread::spawn(move || serve(stream, answer, &page));
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &str, page: &Mutex<Vec<String>>) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    page.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    let _ = stream.write_all(answer.as_bytes());
}

const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[test]
fn c_084_a_watchman_hears_start_success_and_failure_with_the_tail() {
    let watchman = Watchman::answering(FINE);
    let url = format!("http://{}/uuid", watchman.address);
    World::new(&subject()).job("echo fine").env("NOTIFY_PING_URL", &url).once(As::Process).is(0);
    let job = "seq 1 100000; echo the reason; exit 3";
    World::new(&subject()).job(job).env("NOTIFY_PING_URL", &url).once(As::Process).is(3);
    let heard = watchman.heard();
    let first: Vec<&str> = heard.iter().map(|request| request.lines().next().unwrap()).collect();
    assert!(first[0].starts_with("POST /uuid/start?rid=") && first[1].starts_with("POST /uuid?rid="), "{first:?}");
    assert!(first[2].starts_with("POST /uuid/start?rid=") && first[3].starts_with("POST /uuid/fail?rid="), "{first:?}");
    let run = |line: &str| line.split("rid=").nth(1).unwrap().to_owned();
    assert_eq!((run(first[0]), run(first[2])), (run(first[1]), run(first[3])));
    assert!(heard[3].contains("the reason") && heard[3].len() < 12_000, "{}", heard[3]);
}

#[test]
fn c_084_a_watchman_who_is_down_slow_or_lies_harms_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let angry = Watchman::answering("HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let round =
        Watchman::answering("HTTP/1.1 302 go\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let odd = Watchman::answering("what?\r\n");
    let slow = silent.local_addr().unwrap();
    let urls = [
        "http://127.0.0.1:9/".to_owned(),
        format!("http://{slow}/"),
        format!("http://{}/", angry.address),
        format!("http://{}/", round.address),
        format!("http://{}/", odd.address),
        format!("https://{}/", angry.address),
    ];
    for url in urls {
        let end = World::new(&subject()).job("exit 5").env("NOTIFY_PING_URL", &url).once(As::Process);
        let end = end.is(5).says("A notification did not get through; the job is not affected");
        assert!(end.took < Duration::from_secs(25), "{url}: {:?}", end.took);
    }
    assert_eq!(round.heard().len(), 2, "a redirect is not followed");
}

/// A server with a certificate of this authority for `localhost`, and what it could read after the handshake.
fn certified(authority: &Authority, host: &str) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, heard) = (authority.server(), Arc::new(Mutex::new(Vec::new())));
    let page = heard.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut buffer = [0; 65_536];
            if let Ok(count) = stream.read(&mut buffer) {
                page.lock().unwrap().extend_from_slice(&buffer[..count]);
                let _ = stream.write_all(FINE.as_bytes());
            }
        }
    });
    (port, heard)
}

#[test]
fn c_084_a_wrong_certificate_is_not_trusted_and_harms_nothing() {
    // Nobody vouches for the first; the second is vouched for, but has the name of somebody else; the third is right.
    for (host, vouched, trusted) in [("127.0.0.1", false, false), ("127.0.0.2", true, false), ("127.0.0.1", true, true)]
    {
        let authority = Authority::new();
        let (port, heard) = certified(&authority, host);
        let world = World::new(&subject()).job("exit 5").env("NOTIFY_PING_URL", &format!("https://{host}:{port}/uuid"));
        world.write("ca.pem", authority.pem());
        let world = if vouched { world.env("SSL_CERT_FILE", "@/ca.pem") } else { world };
        let end = world.once(As::Process).is(5);
        assert!(end.took < Duration::from_secs(25), "{:?}", end.took);
        let refused = end.output.contains("A notification did not get through; the job is not affected");
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert_eq!((refused, heard.contains("POST /uuid/start")), (!trusted, trusted), "{}\n{heard}", end.output);
    }
}

#[test]
fn a_webhook_hears_of_an_incident_and_its_end_once() {
    let hook = Watchman::answering(FINE);
    let url = format!("http://{}/hook", hook.address);
    let world = World::new(&subject()).env("NOTIFY_WEBHOOK_URL", &url).job("exit 1");
    world.once(As::Process).is(1);
    world.once(As::Process).is(1);
    let world = world.job("true");
    world.once(As::Process).is(0);
    world.once(As::Process).is(0);
    let heard = hook.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("\"event\":\"failing\"") && heard[1].contains("\"event\":\"recovered\""));
}

/// A mail server that answers each command with the code it is told to.
fn postmaster(greylists: bool) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mails = Arc::new(Mutex::new(Vec::new()));
    let page = mails.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            take_mail(stream, greylists, &page);
        }
    });
    (address, mails)
}

fn take_mail(stream: TcpStream, greylists: bool, page: &Mutex<Vec<String>>) {
    use std::io::{BufRead as _, BufReader};
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let mut say = |text: &str| answers.write_all(text.as_bytes());
    let _ = say("220 test\r\n");
    let (mut mail, mut inside) = (String::new(), false);
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let said = match line.as_str() {
            "." if inside => {
                inside = false;
                page.lock().unwrap().push(std::mem::take(&mut mail));
                say("250 taken\r\n")
            }
            text if inside => {
                mail += &format!("{text}\n");
                Ok(())
            }
            "DATA" => {
                inside = true;
                say("354 go on\r\n")
            }
            "QUIT" => return,
            text if greylists && text.starts_with("RCPT") => say("451 later\r\n"),
            _ => say("250 fine\r\n"),
        };
        if said.is_err() {
            return;
        }
    }
}

#[test]
fn c_085_one_mail_per_incident_and_one_when_it_is_over() {
    let (relay, mails) = postmaster(false);
    let world = World::new(&subject()).env("NOTIFY_MAIL_TO", "ops@example.org").env("NOTIFY_MAIL_RELAY", &relay);
    let world = world.env("NOTIFY_MAIL_FROM", "sidecar@example.org").job("echo the reason; exit 1");
    world.once(As::Process).is(1);
    world.once(As::Process).is(1);
    assert_eq!(mails.lock().unwrap().len(), 1);
    let world = world.job("true");
    world.once(As::Process).is(0);
    world.once(As::Process).is(0);
    let mails = mails.lock().unwrap();
    assert_eq!(mails.len(), 2);
    assert!(mails[0].contains("job failing") && mails[0].contains("the reason"), "{}", mails[0]);
    assert!(mails[1].contains("job recovered"), "{}", mails[1]);
}

#[test]
fn c_085_a_mail_server_that_is_down_slow_or_greylists_harms_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (grey, _) = postmaster(true);
    for relay in ["127.0.0.1:9".to_owned(), silent.local_addr().unwrap().to_string(), grey] {
        let world = World::new(&subject()).env("NOTIFY_MAIL_TO", "ops@example.org").env("NOTIFY_MAIL_RELAY", &relay);
        let end = world.env("NOTIFY_MAIL_FROM", "a@example.org").job("exit 6").once(As::Process);
        let end = end.is(6).says("A notification did not get through");
        assert!(end.took < Duration::from_secs(25), "{relay}: {:?}", end.took);
    }
}

#[test]
fn c_087_nothing_where_something_was_expected_is_suspicious() {
    let world = World::new(&subject()).job("true").env("JOB_EXPECT_OUTPUT", "yes");
    world.once(As::Process).is(1).says("result=suspicious");
    world.job("echo 1 file").once(As::Process).is(0);
}
