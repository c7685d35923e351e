//! Counters and the words that scripts look for.

use std::time::Duration;

use super::*;

const PLACE: Place = Place { line: 3, offset: 120 };

fn skip(counts: &mut Counts, reason: Skip, times: usize) {
    for _ in 0..times {
        counts.skip(Skipped { reason, download: false }, PLACE, b"GET /x");
    }
}

fn some() -> Counts {
    let mut counts = Counts { lines: 30, recorded: 7, ..Counts::default() };
    skip(&mut counts, Skip::Static, 12);
    skip(&mut counts, Skip::Bot, 3);
    skip(&mut counts, Skip::TooOld, 1);
    skip(&mut counts, Skip::InvalidDate, 1);
    counts.malformed(PLACE, b"\x16\x03garbage");
    counts.without_site(b"unknown.example.net", false);
    counts
}

#[test]
fn a_download_without_a_site_is_a_download() {
    let mut counts = Counts::default();
    counts.without_site(b"unknown.example.net", true);
    assert_eq!((counts.no_site, counts.downloads), (1, 1));
}

#[test]
fn only_reasons_that_happened_are_named() {
    assert_eq!(Counts::default().left_out(), "");
    assert_eq!(some().left_out(), "invalid 1, no_site 1, static 12, bots 3, invalid_date 1, too_old 1");
}

#[test]
fn a_skipped_download_still_counts_as_one() {
    let mut counts = Counts::default();
    counts.kept(true);
    counts.kept(false);
    counts.skip(Skipped { reason: Skip::Bot, download: true }, PLACE, b"");
    assert_eq!(counts.downloads, 2);
}

#[test]
fn counts_add_up_and_keep_the_first_sample() {
    let mut total = some();
    let mut more = some();
    skip(&mut more, Skip::InFuture { seconds_ahead: 9 }, 2);
    more.sites.insert(4);
    total += &more;
    assert_eq!((total.lines, total.recorded, total.skipped(Skip::Static), total.held_back()), (60, 14, 24, 2));
    assert_eq!(total.invalid(), 4);
    assert_eq!(total.filtered(), 2);
    assert_eq!(total.ignored(), 24 + 6 + 2 + 4 + 2);
    assert_eq!(total.hostnames_ignored.len(), 1);
    assert_eq!(total.samples().count(), 6);
}

#[test]
fn samples_are_cut_and_printable() {
    let mut counts = Counts::default();
    counts.malformed(PLACE, &[b"\x16\xff\"", &[b'a'; 500][..]].concat());
    counts.malformed(PLACE, b"second");
    let (word, sample) = counts.samples().next().unwrap();
    assert_eq!(word, "invalid");
    assert!(sample.to_string().starts_with("line 3 at byte 120: \\x16\\xff\\\"aaa"), "{sample}");
    assert!(sample.text.ends_with("a...") && sample.text.len() < 220);
}

#[test]
fn the_printed_summary_keeps_the_words_scripts_look_for() {
    let text = some().text(Duration::from_millis(3500));
    for line in [
        "Logs import summary",
        "    8 requests imported successfully",
        "    0 requests were downloads",
        "    19 requests ignored:",
        "        0 HTTP errors",
        "        0 HTTP redirects",
        "        2 invalid log lines",
        "        1 filtered log lines",
        "        1 requests did not match any known site",
        "        0 requests did not match any --hostname",
        "        3 requests done by bots, search engines...",
        "        12 requests to static resources (css, js, images, ico, ttf...)",
        "        0 requests to file downloads did not match any --download-extensions",
        "Website import summary",
        "    1 distinct hostnames did not match any existing site:",
        "Performance summary",
        "    Total time: 3 seconds",
        "    Requests imported per second: 2.00 requests per second",
    ] {
        assert!(text.lines().any(|have| have == line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("held back") && !text.contains("--exclude-path"), "{text}");
}

#[test]
fn our_own_lines_are_printed_when_they_say_something() {
    let mut counts = some();
    skip(&mut counts, Skip::Path, 2);
    skip(&mut counts, Skip::BeforeMatomoLimit, 1);
    let text = counts.text(Duration::ZERO);
    assert!(text.contains("    2 requests left out by --exclude-path or --include-path\n"), "{text}");
    assert!(text.contains("    1 requests held back: "), "{text}");
    assert_eq!(counts.ignored(), some().ignored());
    assert_eq!(counts.json()["path"], 2);
}

#[test]
fn created_sites_are_not_existing_ones() {
    let mut counts = Counts { sites: [1, 2, 3].into(), ..Counts::default() };
    counts.sites_created.insert("new.example.org".into(), 3);
    let json = counts.json();
    assert_eq!((&json["sites"], &json["sites_existing"], &json["sites_created"]), (&3.into(), &2.into(), &1.into()));
    assert!(counts.text(Duration::ZERO).contains("new.example.org (ID: 3)"));
}
