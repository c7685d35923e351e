//! The output of a job on its way into our log.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::acceptance::{As, World};

use crate::subject;

/// The lines of the job, without their mark, pieces of a line joined. In a flood the label is left out.
fn job_lines(output: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in output.lines() {
        let marked = line.strip_prefix("job").unwrap_or(line);
        if let Some(text) = marked.strip_prefix("|+ ") {
            lines.last_mut().unwrap().push_str(text);
        } else if let Some(text) = marked.strip_prefix(['|', '!']) {
            lines.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        }
    }
    lines
}

#[test]
fn c_031_ten_megabytes_without_a_newline_arrive_in_pieces_and_memory_stays_flat() {
    let job = "touch @/ready; sleep 0.5; head -c 10000000 /dev/zero | tr '\\0' x; touch @/said; sleep 1";
    let world = World::new(&subject()).job(job);
    let mut life = world.start(As::Process, &["once"]);
    life.until("the job is ready", |_| world.path("ready").exists());
    let before = life.status("VmRSS");
    life.until("everything was said", |_| world.path("said").exists());
    let after = life.status("VmRSS");
    let end = life.end().is(0);
    let longest = end.output.lines().map(str::len).max().unwrap();
    let bytes: usize = job_lines(&end.output).iter().map(String::len).sum();
    assert_eq!(bytes, 10_000_000);
    assert!(longest <= 16_000 + 20, "{longest}");
    assert!(end.output.len() as f64 <= 1.5 * 10_000_000.0, "{}", end.output.len());
    assert!(after < before + 3_000, "{before} to {after} kB");
}

#[test]
fn c_032_short_lines_cost_at_most_half_as_much_again() {
    let world = World::new(&subject()).job("seq -f 'line %06g' 1 200000");
    let end = world.once(As::Process).is(0);
    let lines = job_lines(&end.output);
    assert_eq!((lines.len(), lines[0].as_str(), lines[199_999].as_str()), (200_000, "line 000001", "line 200000"));
    assert!(end.output.len() as f64 <= 1.5 * 200_000.0 * 12.0, "{}", end.output.len());
}

#[test]
fn c_032_even_the_shortest_lines_cost_at_most_half_as_much_again() {
    // 7 bytes with their ends; the label alone is longer than that.
    let said: usize = (100_000..300_000).map(|number: u32| number.to_string().len() + 1).sum();
    let world = World::new(&subject()).job("seq 100000 299999").env("JOB_LABEL", "rsync-command-1");
    let end = world.once(As::Process).is(0);
    let marked: Vec<&str> = end.output.lines().filter(|line| line.contains("| ")).collect();
    let lines: Vec<&str> = marked.iter().filter_map(|line| line.split_once("| ")).map(|(_, text)| text).collect();
    assert_eq!((lines.len(), lines[0], lines[199_999]), (200_000, "100000", "299999"));
    assert!(end.output.len() as f64 <= 1.5 * said as f64, "{} for {said}", end.output.len());
    // Whoever looks at any part of it sees whose lines they are.
    let labelled = |line: &&str| line.starts_with("rsync-command-1| ");
    assert!(marked[..100].iter().all(labelled) && marked.chunks(1_000).all(|part| part.iter().any(labelled)));
}

#[test]
fn c_033_every_kind_of_line_end_is_one_line() {
    let world = World::new(&subject()).job(r"printf 'a\nb\r\n1%%\r2%%\r\n\nno end'");
    let end = world.once(As::Process).is(0);
    assert_eq!(job_lines(&end.output), ["a", "b", "1%", "2%", "", "no end"]);
    for length in [15_999, 16_000, 16_001] {
        let job = format!("head -c {length} /dev/zero | tr '\\0' x; echo");
        let end = World::new(&subject()).job(&job).once(As::Process).is(0);
        assert_eq!(job_lines(&end.output), ["x".repeat(length)]);
    }
}

#[test]
fn c_034_bytes_that_are_no_text_stay_on_their_line_and_command_no_terminal() {
    let job = r"printf 'a\033[31mb\007\000\377\303\251\n'";
    let end = World::new(&subject()).job(job).once(As::Process).is(0);
    assert_eq!(job_lines(&end.output), [r"a\u{1b}[31mb\u{7}\u{0}\xffé"]);
    let end = World::new(&subject()).job(job).env("LOG_FORMAT", "json").once(As::Process).is(0);
    let lines = end.output.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let said = lines.filter(|line| line["stream"] == "stdout").map(|line| line["message"].clone()).collect::<Vec<_>>();
    assert_eq!(said, [r"a\u{1b}[31mb\u{7}\u{0}\xffé"]);
}

#[test]
fn c_035_no_character_is_split() {
    let job = "printf 'x'; i=0; while [ $i -lt 3000 ]; do printf 'é€😀'; i=$((i+1)); done; echo; printf '\\342'; sleep 0.2; printf '\\202\\254\\n'";
    let end = World::new(&subject()).job(job).once(As::Process).is(0);
    assert_eq!(job_lines(&end.output), [format!("x{}", "é€😀".repeat(3_000)), "€".to_owned()]);
}

#[test]
fn c_036_each_stream_keeps_its_order_and_lines_never_mix() {
    let job = "for i in $(seq 1 2000); do echo out $i; echo err $i >&2; done";
    let end = World::new(&subject()).job(job).once(As::Process).is(0);
    for (mark, word) in [("| ", "out"), ("! ", "err")] {
        let marked = end.output.lines().map(|line| line.strip_prefix("job").unwrap_or(line));
        let lines: Vec<&str> = marked.filter_map(|line| line.strip_prefix(mark)).collect();
        let expected: Vec<String> = (1..=2_000).map(|number| format!("{word} {number}")).collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn c_037_c_038_a_closed_or_full_output_does_not_stop_the_job() {
    for redirect in [">&-", "> /dev/full", ">&- 2>&-"] {
        let world = World::new(&subject()).job("seq 1 10000; echo ran >> @/runs; exit 4");
        let inner = world.command(As::Process, &["once"]);
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(format!("exec \"$@\" {redirect}")).arg("sh").arg(inner.get_program()).arg("once");
        command
            .env_clear()
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
        assert_eq!(command.stderr(Stdio::null()).status().unwrap().code(), Some(4), "{redirect}");
        assert_eq!(world.read("runs"), "ran\n");
    }
}

#[test]
fn c_039_a_reader_that_dies_does_not_stop_the_job() {
    let world = World::new(&subject()).job("for i in $(seq 1 200); do echo $i; sleep 0.005; done; echo ran >> @/runs");
    let mut command = world.command(As::Process, &["once"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 200];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.read("runs"), "ran\n");
}

#[test]
fn c_040_a_reader_that_stalls_holds_up_neither_the_job_nor_a_stop() {
    let world = World::new(&subject()).job("seq 1 300000; touch @/said; touch @/ready; while :; do sleep 0.05; done");
    let mut command = world.command(As::Process, &["run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut unread = child.stdout.take().unwrap();
    tests::acceptance::wait_until("the job went on although nobody read", || world.path("said").exists());
    let begin = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(ended.code(), Some(0));
    let mut rest = Vec::new();
    unread.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
}

#[test]
fn c_040_what_a_stalled_reader_missed_is_counted_for_it() {
    let world = World::new(&subject()).job("seq 1 300000; touch @/said; while [ ! -e @/go ]; do sleep 0.05; done");
    let mut command = world.command(As::Process, &["once"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut unread = child.stdout.take().unwrap();
    tests::acceptance::wait_until("the job went on although nobody read", || world.path("said").exists());
    world.write("go", "");
    let mut text = String::new();
    unread.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let lost = |line: &str| -> Option<usize> {
        let (_, rest) = line.split_once("lines were dropped because nobody read them lines=")?;
        rest.split(' ').next()?.parse().ok()
    };
    let lost: usize = text.lines().filter_map(lost).sum();
    let numbers = text.lines().filter(|line| line.rsplit(' ').next().is_some_and(|last| last.parse::<u32>().is_ok()));
    let own = text.lines().filter(|line| line.contains(" INFO ") || line.contains(" WARN ")).count();
    let seen = numbers.count();
    assert!(lost > 0 && seen <= 300_000 && seen + lost >= 300_000, "{seen} seen, {lost} lost, {own} of our own");
}

#[test]
fn c_041_colours_are_for_terminals() {
    let world = World::new(&subject()).job("exit 1");
    assert!(!world.once(As::Process).is(1).output.contains('\u{1b}'));
    let inner = world.command(As::Process, &["once"]);
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &format!("{} once", inner.get_program().display()), "/dev/null"]).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\u{1b}[31mERROR"), "{output:?}");
}

#[test]
fn c_042_secrets_never_show() {
    const SECRET: &str = "s3cr3t-Zq9";
    let world = World::new(&subject()).job("tr '\\0' ' ' < /proc/$PPID/cmdline > @/parent; exit 1");
    world.write("secret", SECRET);
    let world =
        world.env("JOB_PASSWORD_FILE", "@/secret").env("NOTIFY_PING_URL", &format!("http://127.0.0.1:9/{SECRET}"));
    let mut said = world.once(As::Process).is(1).output;
    for words in [&["check"][..], &["print-config"], &["history", "--json"]] {
        said += &world.run(As::Process, words).is(0).output;
    }
    said += &world.read("parent");
    for file in ["state/health.json", "state/job.history.json"] {
        said += &world.read(file);
    }
    assert!(!said.contains(SECRET), "{said}");
    let seen = World::new(&subject()).job("test \"$JOB_PASSWORD\" = s3cr3t-Zq9").env("JOB_PASSWORD", SECRET);
    seen.once(As::Process).is(0);
}

#[test]
fn c_043_moments_are_utc_and_in_order() {
    let world = World::new(&subject()).job("true").env("TZ", "Asia/Tokyo");
    let end = world.once(As::Process).is(0);
    let moments: Vec<jiff::Timestamp> = end.output.lines().map(|line| line[..20].parse().unwrap()).collect();
    assert!(moments.len() >= 3 && moments.is_sorted() && end.output.lines().all(|line| line[..20].ends_with('Z')));
}
