//! What a job says, on its way through the engine's log driver, and with little memory.

use tests::engine::{Recipe, image};

/// Where the driver cuts: each message of it holds at most so many bytes.
const DRIVER_BYTES: usize = 16_384;
const LITTLE_MEMORY: [&str; 4] = ["--memory", "32m", "--memory-swap", "32m"];

fn job(command: &str) -> Recipe {
    Recipe::of("rsync-client").hardened().env("RSYNC_COMMANDS", command).env("RSYNC_SPLIT", "never")
}

/// The engine writes a moment before each message that it keeps, so a line it has cut has moments inside.
fn messages(line: &str) -> usize {
    let year = jiff::Timestamp::now().strftime("%Y-").to_string();
    line.match_indices(&year).count()
}

#[test]
fn c_044_a_long_line_is_cut_by_us_and_not_by_the_engine() {
    const LINE: &str = "head -c 40000 /dev/zero | tr '\\0' x";
    // What would happen without us.
    let bare = Recipe::of_image(&image("rsync-client")).with(&["--entrypoint", "/bin/sh"]).start(&["-c", LINE]);
    assert_eq!(bare.end().is(0).output.trim().len(), 40_000);
    let cut = bare.logs_with(&["--timestamps"]);
    assert_eq!(messages(&cut), 3, "the engine cuts no more: this test proves nothing");

    let ours = job(LINE).env("LOG_FORMAT", "text").start(&["once"]);
    let end = ours.end().is(0);
    let pieces: Vec<&str> = end.output.lines().filter(|line| line.contains("xxxx")).collect();
    assert!(pieces.len() >= 3 && pieces.iter().all(|piece| piece.len() < DRIVER_BYTES), "{} pieces", pieces.len());
    assert!(pieces.iter().all(|piece| piece.contains("rsync-1")), "{end:?}");
    let bytes: usize = pieces.iter().map(|piece| piece.matches('x').count()).sum();
    assert_eq!(bytes, 40_000, "every byte is in a piece");
    for line in ours.logs_with(&["--timestamps"]).lines().filter(|line| line.contains("xxxx")) {
        assert_eq!(messages(line), 1, "the engine has cut {}", &line[..200]);
    }
}

#[test]
fn c_137_floods_of_output_fit_into_32_megabytes() {
    // What is larger than the limit dies of it here.
    let greedy = job("head -c 64m /dev/zero | tail -n 1 | wc -c").with(&LITTLE_MEMORY).env("RSYNC_RETRIES", "0");
    let end = greedy.run(&["once"]);
    assert!(end.starved, "the limit has no effect: this test proves nothing\n{}", end.output);
    for (case, command, said) in [
        ("C-031", "head -c 10000000 /dev/zero | tr '\\0' x", 10_000_000),
        ("C-032", "yes $(printf x%.0s 1 2 3 4 5 6 7 8 9 10 11) | head -n 200000", 200_000 * 11),
    ] {
        let end = job(command).with(&LITTLE_MEMORY).run(&["once"]).is(0);
        assert!(!end.starved, "{case} was killed by the limit");
        let of_the_job = end.output.lines().filter(|line| line.contains("xxxxxxxxxxx"));
        let heard: usize = of_the_job.map(|line| line.matches('x').count()).sum();
        assert_eq!(heard, said, "{case}: bytes of the job in the log");
    }
}
