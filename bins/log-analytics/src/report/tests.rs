//! The page, whatever the files are called and however the sites stand.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-24T14:05:00Z".parse().unwrap()
}

fn standing(site: u32) -> SiteStanding {
    let day = |text: &str| text.parse::<Date>().unwrap();
    SiteStanding {
        site: SiteId(site),
        waiting: 0,
        waiting_bytes: 0,
        waiting_since: None,
        being_written: 1,
        in_progress: 0,
        imported: 312,
        quarantined: Vec::new(),
        failing: Vec::new(),
        set_aside_lines: 0,
        unreadable_lines: 0,
        vanished: 0,
        lines: 40_000,
        hits: 38_000,
        hits_per_second: Some(212.4),
        last_import: Some("2026-11-24T14:05:00Z".parse().unwrap()),
        last_hit: Some("2026-11-24T13:59:58Z".parse().unwrap()),
        last_fetched: None,
        last_changed: None,
        last_log: Some("2026-11-24T14:00:10Z".parse().unwrap()),
        days_to_invalidate: 0,
        taken_over: None,
        hits_by_day: BTreeMap::from([(day("2026-11-23"), 1_200), (day("2026-11-24"), 600)]),
    }
}

fn report(sites: Vec<Result<SiteStanding, (SiteId, String)>>) -> Report {
    Report {
        now: now(),
        zone: TimeZone::UTC,
        schedule: "at minute 5 past every hour (UTC)".to_owned(),
        next_pass: Some("2026-11-24T15:05:00Z".parse().unwrap()),
        health: None,
        sites,
    }
}

fn with_file(file: &str, why: &str) -> String {
    let quarantined = vec![Quarantined { file: file.to_owned(), why: why.to_owned() }];
    let failing = vec![Failing { file: file.to_owned(), attempts: 2 }];
    page(&report(vec![Ok(SiteStanding { quarantined, failing, ..standing(4) }), Err((SiteId(5), why.to_owned()))]))
}

/// Every tag of a page, in its order and with all its attributes.
fn tags(page: &str) -> Vec<&str> {
    let begins = page.match_indices('<').map(|(at, _)| at);
    begins.map(|at| &page[at..=at + page[at..].find('>').unwrap()]).collect()
}

#[test]
fn a_calm_day_says_so() {
    let page = page(&report(vec![Ok(standing(4)), Ok(standing(7))]));
    assert!(page.contains("<title>All is well</title>"), "{page}");
    assert!(page.contains("Next pass 24 Nov 2026 15:05 UTC, at minute 5 past every hour (UTC)."));
    assert!(!page.contains("class=\"remarks\""));
}

#[test]
fn the_worst_leads() {
    let silent = SiteStanding { last_log: Some("2026-11-20T14:00:00Z".parse().unwrap()), ..standing(4) };
    let broken = with_quarantined(standing(7));
    let drawn = page(&report(vec![Ok(standing(1)), Ok(silent.clone()), Ok(broken)]));
    assert!(drawn.contains("<title>1 site needs a person</title>"));
    let place = |words: &str| drawn.find(words).unwrap_or_else(|| panic!("{words} is not in {drawn}"));
    assert!(place("Site 7") < place("Site 4") && place("Site 4") < place("Site 1"));
    assert!(drawn.contains("No log has arrived for 4 days"));
    assert!(page(&report(vec![Ok(silent)])).contains("<title>1 site worth a look</title>"));
}

fn with_quarantined(standing: SiteStanding) -> SiteStanding {
    let file = "/analytics/logs/7/access log.gz".to_owned();
    let quarantined =
        vec![Quarantined { why: format!("cannot read {file} to its end: incomplete deflate stream"), file }];
    SiteStanding { quarantined, ..standing }
}

#[test]
fn a_program_that_is_late_is_told_before_anything_else() {
    let late = Report {
        health: Some(Verdict::Late("a run should have ended by 12:00".to_owned())),
        ..report(vec![Ok(standing(4))])
    };
    let page = page(&late);
    assert!(
        page.contains("<title>The import needs a person</title>") && page.contains("a run should have ended by 12:00")
    );
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = with_file("a", "b");
    for word in ["src=", "href", "url(", "@import", "<script", "http:", "https:"] {
        assert!(!page.contains(word), "{word} is in the page");
    }
}

#[test]
fn long_lists_are_cut() {
    let many = (0..200).map(|number| Quarantined { file: format!("/logs/{number}"), why: "damaged".to_owned() });
    let page = page(&report(vec![Ok(SiteStanding { quarantined: many.collect(), ..standing(4) })]));
    assert!(page.contains("and 180 more") && page.len() < 40_000);
}

proptest! {
    #[test]
    fn whatever_a_file_is_called_it_stays_text(file in "\\PC{0,40}|[<>&\"'/a-z=!-]{0,40}|.{0,20}", why in ".{0,60}") {
        let page = with_file(&file, &why);
        let plain = with_file("a", "b");
        prop_assert_eq!(tags(&page), tags(&plain));
        let hidden = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        prop_assert!(!page.contains(hidden));
    }
}
