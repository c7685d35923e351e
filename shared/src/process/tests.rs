//! Programs run as they should. What needs our own executable in between is proved by journeys.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Signal, getpgid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::shutdown::Shutdown;

fn limits() -> Limits {
    Limits { grace: Duration::from_secs(10), ..Limits::default() }
}

async fn run(program: Program) -> (Ended, Vec<String>) {
    let mut lines = Vec::new();
    let ended = program.run_with(&limits(), &Shutdown::never(), |line| lines.push(line.text().into_owned())).await;
    (ended.unwrap(), lines)
}

async fn wait_for(path: &Path) -> String {
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn c_001_exit_codes_are_passed_unchanged() {
    for code in [0, 1, 2, 42, 126, 127, 143, 255] {
        let (ended, _) = run(Program::shell(format!("exit {code}"))).await;
        assert_eq!((ended.status, ended.why, ended.exit().code()), (Status::Exited(code), Why::Itself, code));
        assert_eq!(ended.succeeded(), code == 0);
    }
}

#[tokio::test]
async fn c_002_a_signal_is_128_and_its_number() {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
        let (ended, _) = run(Program::shell(format!("kill -{name} $$"))).await;
        assert_eq!((ended.status, ended.exit().code()), (Status::Killed(number), 128 + number as u8));
        assert!(ended.sentence().contains(&format!("was ended by signal {name}")), "{}", ended.sentence());
    }
}

#[tokio::test]
async fn lines_of_both_streams_reach_the_caller_and_the_tail() {
    let (ended, lines) = run(Program::shell("echo one; echo two >&2; printf three")).await;
    assert_eq!(lines.len(), 3);
    assert!(
        lines.contains(&"one".to_owned()) && lines.contains(&"two".to_owned()) && lines.contains(&"three".to_owned())
    );
    assert_eq!((ended.lines, ended.bytes, ended.dropped), (3, 13, 0));
    assert!(ended.tail.contains("three"));
}

#[tokio::test]
async fn the_environment_and_the_folder_are_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new("/bin/sh").args(["-c", "pwd; echo $GREETING; echo $PATH; env | wc -l; cat"]);
    let program = program.env_clear().env("GREETING", "hello").env("GONE", "1").env_remove("GONE");
    let (_, lines) = run(program.folder(folder.path()).input("what it reads")).await;
    assert_eq!(lines[0], folder.path().display().to_string());
    assert_eq!((lines[1].as_str(), lines[4].as_str()), ("hello", "what it reads"));
}

#[tokio::test]
async fn a_stream_of_bytes_goes_through() {
    let mut running = Program::new("cat").input_as_stream().stdout_as_stream().start().unwrap();
    let (mut input, mut output) = (running.take_stdin().unwrap(), running.take_stdout().unwrap());
    assert!(running.take_stdout().is_none());
    let write = async move { input.write_all(&vec![0xff; 1_000_000]).await };
    let mut bytes = Vec::new();
    let (limits, never) = (limits(), Shutdown::never());
    let (written, read, ended) =
        tokio::join!(write, output.read_to_end(&mut bytes), running.supervise(&limits, &never));
    written.unwrap();
    assert_eq!((read.unwrap(), bytes.len()), (1_000_000, 1_000_000));
    assert!(ended.succeeded());
}

#[tokio::test]
async fn a_long_running_program_is_signalled_and_stopped_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let script = format!("trap 'echo reloaded' HUP; echo ready > {}; while :; do sleep 0.05; done", ready.display());
    let running = Program::shell(script).start().unwrap();
    let remote = running.remote();
    let steer = async {
        wait_for(&ready).await;
        assert!(remote.signal(Signal::HUP));
        tokio::time::sleep(Duration::from_millis(200)).await;
        remote.stop();
    };
    let mut lines = Vec::new();
    let (limits, never) = (limits(), Shutdown::never());
    let (ended, ()) =
        tokio::join!(running.supervise_with(&limits, &never, |line| lines.push(line.text().into_owned())), steer);
    assert_eq!((ended.why, ended.killed), (Why::Stopped, false));
    assert!(lines.contains(&"reloaded".to_owned()));
    assert!(!remote.signal(Signal::HUP));
}

#[tokio::test]
async fn c_083_the_hard_limit_stops_and_the_soft_one_does_not() {
    let begin = Instant::now();
    let hard = Limits { soft: Some(Duration::from_millis(10)), hard: Some(Duration::from_millis(100)), ..limits() };
    let ended = Program::shell("sleep 60").run(&hard, &Shutdown::never()).await.unwrap();
    assert_eq!((ended.why, ended.exit().code()), (Why::TimedOut, 124));
    let soft = Limits { soft: Some(Duration::from_millis(10)), ..limits() };
    assert!(Program::shell("sleep 0.1").run(&soft, &Shutdown::never()).await.unwrap().succeeded());
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn c_007_what_ignores_term_is_killed_at_the_deadline() {
    let shutdown = Shutdown::never();
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let program =
        Program::shell(format!("trap '' TERM; echo ready > {}; while :; do sleep 0.05; done", ready.display()));
    let limits = Limits { grace: Duration::from_millis(300), ..limits() };
    let ask = async {
        wait_for(&ready).await;
        shutdown.request();
    };
    let (ended, ()) = tokio::join!(program.run(&limits, &shutdown), ask);
    let ended = ended.unwrap();
    assert_eq!((ended.why, ended.killed, ended.status), (Why::Stopped, true, Status::Killed(9)));
}

#[tokio::test]
async fn c_023_c_026_a_background_child_is_ended_with_its_job() {
    let begin = Instant::now();
    let (ended, lines) = run(Program::shell("sleep 600 & echo $!")).await;
    assert!(ended.succeeded() && begin.elapsed() < Duration::from_secs(20));
    assert_eq!(ended.left_behind.len(), 1);
    assert!(ended.left_behind[0].ended && ended.left_behind[0].pid.to_string() == lines[0], "{ended:?}");
}

#[tokio::test]
async fn a_background_child_may_stay_when_it_is_wanted() {
    let begin = Instant::now();
    let (ended, _) = run(Program::shell("sleep 600 &").leave_background()).await;
    let left = &ended.left_behind[0];
    let pid = Pid::from_raw(left.pid).unwrap();
    assert!(!left.ended && getpgid(Some(pid)).is_ok() && begin.elapsed() < Duration::from_secs(20));
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test]
async fn dropping_a_program_kills_it() {
    let running = Program::shell("sleep 600 & wait").start().unwrap();
    let mut end = running.remote();
    drop(running);
    assert_eq!(end.ended().await, Status::Killed(9));
}

#[tokio::test]
async fn c_003_a_program_that_is_not_there_is_127_and_one_that_cannot_run_is_126() {
    let missing = Program::new("no-such-program").start().err().unwrap();
    assert_eq!((missing.exit().code(), missing.to_string().as_str()), (127, "there is no program no-such-program"));
    let plain = Program::new("/etc/passwd").start().err().unwrap();
    assert_eq!((plain.exit().code(), plain.to_string().contains("/etc/passwd is not executable")), (126, true));
}

#[test]
fn the_group_of_settings_reads_what_it_documents() {
    assert_eq!(crate::config::faults_in_declaration::<LimitOptions>(), [""; 0]);
}
