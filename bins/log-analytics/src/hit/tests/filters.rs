//! Every filter, and their order.

use super::*;
use crate::hit::{Dates, Skipped};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn errors_and_redirects_need_their_options_and_304_does_not() {
    let strict = HitOptions::default();
    for (status, expected) in [
        ("200", None),
        ("304", None),
        ("abc", None),
        ("", None),
        ("404", Some(Skip::HttpError)),
        ("4", Some(Skip::HttpError)),
        ("500x", Some(Skip::HttpError)),
        ("301", Some(Skip::HttpRedirect)),
        ("30", Some(Skip::HttpRedirect)),
        ("3040", Some(Skip::HttpRedirect)),
    ] {
        let record = Record { status: text(status), ..view("/") };
        assert_eq!(reason(&strict, &record), expected, "{status}");
        assert_eq!(reason(&everything(), &record), None, "{status}");
    }
}

#[test]
fn static_files_and_robots_txt_are_dropped_or_sent_as_downloads() {
    for path in ["/a.css", "/Logo.PNG", "/robots.txt", "/x/robots.txt", "robots.txt", "/a.js?v=1", "/feed.xml"] {
        assert_eq!(reason(&HitOptions::default(), &view(path)), Some(Skip::Static), "{path}");
        let hit = hit(&everything(), &view(path));
        assert_eq!(hit["download"], hit["url"], "{path}");
    }
    assert_eq!(reason(&HitOptions::default(), &view("/norobots.txt/")), None);
    let options = HitOptions { enable_static: true, ..HitOptions::default() };
    let (css, record) = (view("/a.css"), view("/a.xml"));
    assert!(!kept(&mut judge(&options), &css).download, "kept static files are no downloads in the summary");
    assert!(kept(&mut judge(&options), &record).download, "xml is both");
}

#[test]
fn a_dropped_download_is_counted_all_the_same() {
    let record = Record { status: text("404"), ..view("/f.zip") };
    let Verdict::Skip(skipped) = judge(&HitOptions::default()).judge(&record, &mut Dates::default(), NOW) else {
        panic!("kept")
    };
    assert_eq!(skipped, Skipped { reason: Skip::HttpError, download: true });
}

#[test]
fn a_download_list_of_ones_own_drops_the_other_known_downloads() {
    let options = HitOptions { download_extensions: Some(strings(&["csv"])), ..HitOptions::default() };
    assert_eq!(reason(&options, &view("/a.csv")), None);
    assert_eq!(reason(&options, &view("/a.html")), None);
    let pdf = view("/a.pdf");
    let Verdict::Skip(skipped) = judge(&options).judge(&pdf, &mut Dates::default(), NOW) else { panic!("kept") };
    assert_eq!(skipped, Skipped { reason: Skip::Download, download: false });
}

#[test]
fn paths_are_matched_without_their_query_and_exclusion_wins() {
    let options = HitOptions {
        exclude_paths: strings(&["*/admin/*"]),
        include_paths: strings(&["/site/*"]),
        ..HitOptions::default()
    };
    assert_eq!(reason(&options, &view("/site/a?x=/admin/")), None);
    assert_eq!(reason(&options, &view("/site/admin/x")), Some(Skip::Path));
    assert_eq!(reason(&options, &view("/other?/site/")), Some(Skip::Path));
}

#[test]
fn bots_are_dropped_or_labelled() {
    let record = Record { user_agent: Some(text("Googlebot/2.1")), ..view("/") };
    assert_eq!(reason(&HitOptions::default(), &record), Some(Skip::Bot));
    assert_eq!(hit(&everything(), &record)["_cvar"], r#"{"1":["Bot","Googlebot/2.1"]}"#);
    let options = HitOptions { useragent_excludes: strings(&["PYTHON"]), ..HitOptions::default() };
    let python = Record { user_agent: Some(text("python-requests/2")), ..view("/") };
    assert_eq!(reason(&options, &python), Some(Skip::Bot));
    assert_eq!(reason(&HitOptions::default(), &python), None);
}

#[test]
fn hostname_patterns_judge_lines_that_say_a_host() {
    let options = HitOptions { hostnames: strings(&["*.example.org"]), ..HitOptions::default() };
    let of = |host| Record { host: Some(text(host)), ..view("/") };
    assert_eq!(reason(&options, &of("WWW.Example.ORG.")), None);
    assert_eq!(reason(&options, &of("other.example.net")), Some(Skip::Hostname));
    assert_eq!(reason(&options, &of("")), Some(Skip::Hostname));
    assert_eq!(reason(&options, &view("/")), None);
}

#[test]
fn host_lists_judge_exact_hosts_and_those_of_addresses() {
    let exclude = HitOptions { exclude_hosts: strings(&["Data.example.org"]), ..HitOptions::default() };
    let include = HitOptions { include_hosts: strings(&["www.example.org"]), ..HitOptions::default() };
    let of = |host| Record { host: Some(text(host)), ..view("/") };
    assert_eq!(reason(&exclude, &of("DATA.example.org")), Some(Skip::HostExcluded));
    assert_eq!(reason(&exclude, &of("www.example.org")), None);
    assert_eq!(reason(&include, &of("data.example.org")), Some(Skip::HostNotIncluded));
    assert_eq!(reason(&include, &of("")), None);
    assert_eq!(reason(&include, &view("/")), None);
    assert_eq!(reason(&include, &view("http://proxy.example.net/x")), Some(Skip::HostNotIncluded));
    assert_eq!(reason(&exclude, &view("http://data.example.org:80/x")), Some(Skip::HostExcluded));
}

#[test]
fn the_window_of_dates_keeps_its_limits() {
    let limit = Some(Moment { seconds: THEN, micros: 0 });
    let older = HitOptions { exclude_older_than: limit, ..HitOptions::default() };
    let newer = HitOptions { exclude_newer_than: limit, ..HitOptions::default() };
    let at = |seconds, micros| Record { date: Date::Unix { seconds, micros }, ..view("/") };
    assert_eq!(reason(&older, &at(THEN, 0)), None);
    assert_eq!(reason(&older, &at(THEN - 1, 999_999)), Some(Skip::TooOld));
    assert_eq!(reason(&newer, &at(THEN, 0)), None);
    assert_eq!(reason(&newer, &at(THEN, 1)), Some(Skip::TooNew));
    let shifted = HitOptions { exclude_newer_than: limit, add_to_date_seconds: 1, ..HitOptions::default() };
    assert_eq!(reason(&shifted, &at(THEN, 0)), Some(Skip::TooNew));
}

#[test]
fn what_matomo_would_store_under_another_date_is_held_back() {
    let options = HitOptions::default();
    let at = |seconds, micros| Record { date: Date::Unix { seconds, micros }, ..view("/") };
    assert_eq!(reason(&options, &at(NOW.seconds, 0)), None);
    assert_eq!(reason(&options, &at(NOW.seconds, 1)), Some(Skip::InFuture { seconds_ahead: 1 }));
    assert_eq!(reason(&options, &at(NOW.seconds + 60, 0)), Some(Skip::InFuture { seconds_ahead: 60 }));
    let limit = NOW.seconds - 20 * 365 * 86_400;
    assert_eq!(reason(&options, &at(limit + 1, 0)), None);
    assert_eq!(reason(&options, &at(limit, 0)), Some(Skip::BeforeMatomoLimit));
    for beyond_the_calendar in [i64::MIN, i64::MAX] {
        assert_eq!(reason(&options, &at(beyond_the_calendar, 0)), Some(Skip::InvalidDate));
    }
}

#[test]
fn the_first_filter_that_says_no_gives_the_reason() {
    let options = HitOptions {
        hostnames: strings(&["www.*"]),
        exclude_paths: strings(&["*"]),
        download_extensions: Some(Vec::new()),
        ..HitOptions::default()
    };
    let all_wrong = Record {
        host: Some(text("data")),
        status: text("404"),
        user_agent: Some(text("curl")),
        date: Date::Clf { date: text("no date"), zone: text("+0000") },
        ..view("/a.zip")
    };
    assert_eq!(reason(&options, &all_wrong), Some(Skip::Download));
    let next = Record { path: text("/a.css"), ..all_wrong };
    assert_eq!(reason(&options, &next), Some(Skip::Hostname));
    let next = Record { host: None, ..next };
    assert_eq!(reason(&options, &next), Some(Skip::HttpError));
    let next = Record { status: text("200"), ..next };
    assert_eq!(reason(&options, &next), Some(Skip::Path));
    let options = HitOptions::default();
    assert_eq!(reason(&options, &next), Some(Skip::Static));
    let next = Record { path: text("/a"), ..next };
    assert_eq!(reason(&options, &next), Some(Skip::Bot));
    let next = Record { user_agent: None, ..next };
    assert_eq!(reason(&options, &next), Some(Skip::InvalidDate));
}
