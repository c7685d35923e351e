//! Signals beyond the core cases.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tests::acceptance::{As, World, is_alive, script, wait_until};

use crate::subject;

const BOTH: [As; 2] = [As::Process, As::First];

#[test]
fn c_003_a_missing_program_is_127_and_one_that_cannot_run_is_126() {
    for how in BOTH {
        let world = World::new(&subject()).job("true");
        script(&world.path("plain"), "no program\n", 0o644);
        script(&world.path("lost"), "#!/no/such/interpreter\n", 0o755);
        world.run(how, &["exec", "no-such-program"]).is(127).says("there is no program no-such-program");
        world.run(how, &["exec", "./plain"]).is(126).says("./plain is not executable");
        world.run(how, &["exec", "./lost"]).is(127).says("cannot run ./lost");
        world.run(how, &["exec", "sh", "-c", "exit 42"]).is(42);
    }
}

#[test]
fn c_009_hup_usr1_usr2_are_heard_and_winch_and_cont_are_not() {
    for how in BOTH {
        let world = World::new(&subject()).job("echo ran >> @/runs").env("RUN_AT_START", "no");
        let mut life = world.start(how, &["run"]);
        life.says("Schedule");
        for signal in [Signal::WINCH, Signal::CONT] {
            life.signal(signal);
        }
        life.signal(Signal::USR2);
        life.says("Status");
        life.signal(Signal::HUP);
        life.says("Settings were read again");
        life.signal(Signal::USR1);
        life.says("Run ended");
        assert_eq!(world.read("runs"), "ran\n");
        life.stop().is(0);
    }
}

#[test]
fn c_010_unknown_signals_neither_kill_nor_are_lost_when_forwarded() {
    let job =
        "trap 'echo alarm > @/alarm' ALRM; trap 'echo rt > @/rt' RTMIN+3; touch @/ready; while :; do sleep 0.05; done";
    for how in BOTH {
        let world = World::new(&subject()).job(&format!("exec bash -c \"{job}\"")).env("FORWARD_SIGNALS", "yes");
        let mut life = world.start_and_wait(how);
        life.signal(Signal::ALARM);
        wait_until("the job heard ALRM", || world.read("alarm") == "alarm\n");
        let sent = std::process::Command::new("bash")
            .args(["-c", &format!("kill -RTMIN+3 {}", life.pid.as_raw_pid())])
            .status();
        assert!(sent.unwrap().success());
        wait_until("the job heard a real-time signal", || world.read("rt") == "rt\n");
        life.stop().is(0);
    }
}

#[test]
fn c_011_a_signal_at_any_moment_is_no_hang() {
    let world = World::new(&subject()).job("sleep 0.01");
    for attempt in 0..400_u64 {
        let mut life = world.start(if attempt % 4 == 0 { As::First } else { As::Process }, &["once"]);
        std::thread::sleep(Duration::from_micros(attempt * 100));
        // It may have ended already.
        let _ = rustix::process::kill_process(life.pid, Signal::TERM);
        assert!(life.is_alive() || !life.is_alive());
        let end = life.end();
        assert!([0, 130, 143].contains(&end.code), "{}: {}", end.code, end.output);
    }
}

#[test]
fn c_012_a_stop_ends_every_wait() {
    // In a back-off.
    let world = World::new(&subject()).job("exit 1").env("JOB_ATTEMPTS", "3").env("JOB_RETRY_DELAY", "10m");
    let mut life = world.start(As::Process, &["run"]);
    life.says("is tried again");
    assert!(life.stop().is(0).took < Duration::from_secs(10));
    // While it waits for a lock.
    let world = World::new(&subject()).job("touch @/ready; sleep 600").env("LOCK_WAIT", "10m");
    let holder = world.start_and_wait(As::Process);
    let mut life = world.start(As::Process, &["once"]);
    life.says("sidecar starts");
    std::thread::sleep(Duration::from_millis(300));
    assert!(life.is_alive());
    assert!(life.stop().is(0).took < Duration::from_secs(10));
    holder.stop().is(0);
    // While somebody is told who does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ping", silent.local_addr().unwrap());
    let world = World::new(&subject()).job("exit 1").env("NOTIFY_PING_URL", &url);
    let mut life = world.start(As::Process, &["run"]);
    life.says("Run starts");
    assert!(life.stop().took < Duration::from_secs(20));
}

#[test]
fn c_014_the_job_sees_default_signals_whatever_we_inherited() {
    let world = World::new(&subject()).job("grep -E 'Sig(Blk|Ign)' /proc/self/status > @/masks");
    let path = world.path("output");
    let page = fs::File::create(&path).unwrap();
    let plain = world.command(As::Process, &["once"]);
    // Python blocks and ignores signals, then becomes the sidecar.
    let mut command = std::process::Command::new("python3");
    let program = "import os,signal,sys\nsignal.pthread_sigmask(signal.SIG_BLOCK,{signal.SIGTERM,signal.SIGUSR1})\nfor s in (signal.SIGHUP,signal.SIGINT,signal.SIGQUIT,signal.SIGCHLD): signal.signal(s,signal.SIG_IGN)\nos.execv(sys.argv[1],sys.argv[1:])";
    command.arg("-c").arg(program).arg(plain.get_program()).arg("once").env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    command.stdout(page.try_clone().unwrap()).stderr(page);
    tests::acceptance::Life::new(command, As::Process, path).end().is(0);
    let masks = world.read("masks");
    let mask = |name: &str| {
        let line = masks.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    };
    // Two signals belong to the C library; what it does with them is not ours to see.
    let of_the_library = (1 << 31) | (1 << 32);
    assert_eq!((mask("SigBlk"), mask("SigIgn") & !of_the_library), (0, 0), "{masks}");
}

#[test]
fn c_015_the_job_has_no_stray_descriptor_and_an_empty_input() {
    for how in BOTH {
        let world = World::new(&subject()).job("ls /proc/$$/fd > @/open; readlink /proc/$$/fd/0 > @/input; cat");
        let path = world.path("output");
        let page = fs::File::create(&path).unwrap();
        let inner = world.command(how, &["once"]);
        // A shell leaves two descriptors open in us.
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "exec 7</dev/zero 9</dev/zero; exec \"$@\"", "sh"])
            .arg(inner.get_program())
            .args(inner.get_args());
        command
            .env_clear()
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
        command.stdout(page.try_clone().unwrap()).stderr(page);
        tests::acceptance::Life::new(command, As::Process, path).end().is(0);
        let open: Vec<String> = world.read("open").lines().map(str::to_owned).collect();
        assert!(open.iter().all(|fd| !["7", "9"].contains(&fd.as_str())), "{open:?}");
        assert_eq!(world.read("input"), "/dev/null\n");
    }
}

#[test]
fn c_016_a_job_dies_with_us_and_its_lock_is_free() {
    for how in BOTH {
        let world = World::new(&subject()).job("echo $$ > @/pid; touch @/ready; exec sleep 600");
        let mut life = world.start_and_wait(how);
        life.signal(Signal::KILL);
        // `unshare` has its own way to end when its child was killed.
        let end = life.end();
        if how == As::Process {
            end.is(137);
            let pid = world.read("pid");
            wait_until("the job is dead", || !is_alive(&pid));
        }
        let world = world.job("true");
        world.once(how).is(0);
        assert!(world.run(how, &["history"]).is(0).output.contains("interrupted"));
    }
}

#[test]
fn c_017_a_pause_across_slots_is_one_run() {
    let world = World::new(&subject()).job("date +%s >> @/runs").cron("*/2 * * * * *");
    let mut life = world.start(As::Process, &["run"]);
    life.says("Run ended");
    life.signal(Signal::STOP);
    let before = world.read("runs").lines().count();
    std::thread::sleep(Duration::from_secs(9));
    life.signal(Signal::CONT);
    life.says("one run makes up for them");
    let runs = world.read("runs");
    let moments: Vec<i64> = runs.lines().skip(before).map(|line| line.parse().unwrap()).collect();
    assert!(moments.windows(2).all(|pair| pair[1] - pair[0] >= 1), "a burst: {moments:?}");
    life.stop().is(0);
}

#[test]
fn c_018_a_reader_that_leaves_does_not_kill_us() {
    let world = World::new(&subject()).job("echo ran >> @/runs; seq 1 20000");
    let mut command = world.command(As::Process, &["once"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.read("runs"), "ran\n");
}
