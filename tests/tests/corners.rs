//! Corners of Matomo's own importer that its examples do not show: W3C headers, lines to skip, repeated options, patterns as
//! Python writes them. Hits and counters are expected as it sends and counts them; refusals and their words are our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tests::matomo::Setup;
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const HEADER: &str = "#Software: x\n#Fields: date time cs-host c-ip cs-uri-stem sc-status\n";
const SITE: &str = "--idsite=4";

/// What an ad hoc import came to.
struct Import {
    code: Option<i32>,
    /// Both outputs.
    said: String,
    /// Of every hit this parameter.
    sent: Vec<String>,
}

/// Imports a log by these words and shows one parameter of its hits.
fn import(parameter: &str, words: &[&str], log: &str) -> Import {
    let stack = Stack::new(PROGRAM, Setup::default());
    for name in ["MATOMO_IMPORT_OPTIONS", "MATOMO_RECORDERS", "MATOMO_BATCH_SIZE"] {
        stack.unset(name);
    }
    let file = stack.folder().join("access.log");
    std::fs::write(&file, log).unwrap();
    let words: Vec<&str> = ["import"].iter().chain(words).copied().chain(file.to_str()).collect();
    let outcome = stack.run(&words);
    let mut hits = stack.matomo().hits();
    hits.sort_by_key(|hit| hit.text("cdt"));
    Import {
        code: outcome.code(),
        said: outcome.stdout.clone() + &outcome.stderr,
        sent: hits.iter().map(|hit| hit.text(parameter)).collect(),
    }
}

fn urls(words: &[&str], log: &str) -> Vec<String> {
    let import = import("url", words, log);
    assert_eq!(import.code, Some(0), "{}", import.said);
    import.sent
}

/// Lines of a W3C log below their header.
fn w3c(paths: &[&str]) -> String {
    let line =
        |(second, path): (usize, &&str)| format!("2024-06-05 08:00:{second:02} www.example.org 192.0.2.1 {path} 200\n");
    HEADER.to_owned() + &paths.iter().enumerate().map(line).collect::<String>()
}

fn combined(paths: &[&str]) -> String {
    let line = |(second, path): (usize, &&str)| {
        format!("192.0.2.1 - - [05/Jun/2024:08:00:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 7 \"-\" \"M\"\n")
    };
    paths.iter().enumerate().map(line).collect()
}

#[test]
fn the_columns_of_a_named_w3c_format_tell_whether_its_lines_have_a_host() {
    let named = "--log-format-name=w3c_extended";
    assert_eq!(urls(&[named], &w3c(&["/a"])), ["http://www.example.org/a"]);
    assert_eq!(urls(&[named], &format!("\n{}", w3c(&["/a"]))), ["http://www.example.org/a"]);
    let without = import("url", &[named], &w3c(&["/a"]).replace("cs-host", "x-other"));
    assert_eq!(without.code, Some(1));
    assert!(without.said.contains("lines without a host (w3c_extended)"), "{}", without.said);
}

#[test]
fn lines_to_skip_are_counted_below_the_header_of_a_named_format_and_from_its_first_line_otherwise() {
    let log = w3c(&["/a", "/b", "/c"]);
    assert_eq!(urls(&[SITE, "--log-format-name=w3c_extended", "--skip=2"], &log), ["https://www.example.org/c"]);
    assert_eq!(urls(&[SITE, "--skip=3"], &log).len(), 2);
    let twice =
        log + &w3c(&["/d"]).replace("cs-host c-ip", "c-ip cs-host").replace("www.example.org 192.0.2.1", "192.0.2.1 h");
    assert_eq!(urls(&[SITE, "--log-format-name=w3c_extended", "--skip=5"], &twice), ["https://h/d"]);
}

#[test]
fn a_named_w3c_format_without_a_header_says_how_to_give_one() {
    let lines = w3c(&["/a"]).replace(HEADER, "");
    let import = import("url", &[SITE, "--log-format-name=w3c_extended"], &lines);
    assert_eq!(import.code, Some(1));
    assert!(import.said.contains("give --w3c-fields") && !import.said.contains("twice"), "{}", import.said);
    let fields = HEADER.lines().nth(1).unwrap();
    assert_eq!(urls(&[SITE, "--log-format-name=w3c_extended", "--w3c-fields", fields], &lines).len(), 1);
}

#[test]
fn a_stream_is_sent_without_its_scheme() {
    let log = "#Fields: date time x-edge-location c-ip x-event sc-bytes x-cf-status cs-uri-stem x-sname\n\
        2024-05-05 14:08:26 LHR 192.0.2.34 stop 7 - rtmp://host/app/stream zs\n\
        2024-05-05 14:08:27 \"LHR 5\" 192.0.2.34 stop 7 - rtmp://host/app/stream zs\n";
    assert_eq!(urls(&[SITE], log), ["https://www.example.org/host/app/stream"; 2]);
}

#[test]
fn variables_of_a_repeated_option_add_up() {
    let words = [SITE, "--regex-group-to-page-cvar=method=M", "--regex-group-to-page-cvar=status=S,length=L"];
    let sent = import("cvar", &words, &combined(&["/a"])).sent;
    assert_eq!(sent, [r#"{"1":["M","GET"],"2":["S","200"],"3":["L","7"],"4":["HTTP-code","200"]}"#]);
}

#[test]
fn a_pattern_may_pass_over_case_and_end_like_pythons() {
    let regex = r#"--log-format-regex=(?i)(?P<ip>\S+) .*\[(?P<date>\S+) (?P<timezone>.*?)\] "get (?P<path>\S+) .*" (?P<status>\d+) .*\Z"#;
    assert_eq!(urls(&[SITE, regex], &combined(&["/a"])), ["https://www.example.org/a"]);
    let import = import("url", &[SITE, r"--log-format-regex=(?P<ip>\S+"], "");
    assert_eq!(import.code, Some(2));
    assert!(import.said.contains(r"(?P<ip>\S+") && !import.said.contains("x1c"), "{}", import.said);
}

#[test]
fn a_date_that_no_text_can_follow_is_refused_at_the_start() {
    for (format, directive) in [("%c", "has %c"), ("%Y-%Q", "has %Q"), ("%Y%", "has %,")] {
        let regex = r"--log-format-regex=(?P<ip>\S+) (?P<date>\S+) (?P<path>\S+) (?P<status>\d+)";
        let import = import("url", &[SITE, regex, &format!("--log-date-format={format}")], "");
        assert_eq!(import.code, Some(2), "{format}");
        assert!(import.said.contains(directive) && import.said.contains("%d"), "{}", import.said);
    }
}

#[test]
fn a_limit_of_no_requests_is_none() {
    let log = combined(&["/a", "/b"]);
    assert_eq!(urls(&[SITE, "--debug-request-limit=0"], &log).len(), 2);
    assert_eq!(urls(&[SITE, "--debug-request-limit=2"], &log).len(), 1);
}

#[test]
fn an_import_of_no_file_is_refused() {
    let stack = Stack::new(PROGRAM, Setup::default());
    let outcome = stack.run(&["import", SITE]);
    assert_eq!(outcome.code(), Some(2));
    assert!(outcome.stderr.contains("no log file is named"), "{}", outcome.stderr);
}

#[test]
fn the_summary_counts_sites_as_matomos_own_importer_does() {
    let nothing = import("url", &[SITE], &combined(&["/a.css"]));
    assert!(nothing.said.contains("1 sites already existed"), "{}", nothing.said);
    let line = |host: &str, path: &str| format!("{host} {}", combined(&[path]));
    let some = import("url", &[], &(line("www.example.org", "/a") + &line("elsewhere.example", "/b")));
    for words in [
        "2 requests imported successfully",
        "2 requests imported to 1 sites",
        "1 requests did not match any known site",
    ] {
        assert!(some.said.contains(words), "{words}: {}", some.said);
    }
    assert_eq!(some.sent, ["http://www.example.org/a"]);
}

#[test]
fn a_client_of_haproxy_has_an_address() {
    let line = |client: &str| {
        format!(
            "haproxy[1]: {client}:55008 [05/Jun/2024:08:00:05.584] ft bk/a 0/0/0/72/72 200 7456 - - ---- 5/4/0/1/0 0/0 \"GET / HTTP/1.1\"\n"
        )
    };
    let log = line("192.0.2.1") + &line("") + &line("2001:db8::1") + &line("::1");
    let sent = import("cip", &[SITE, "--log-format-name=haproxy"], &log).sent;
    assert_eq!(sent, ["192.0.2.1", "2001:db8::1", "::1"]);
}

#[test]
fn a_column_mapped_to_the_clients_address_goes_before_the_plain_one() {
    let log = "#Fields: date time c-ip cs-uri-stem sc-status x-forwarded-for\n\
               2024-06-05 08:00:00 10.0.0.1 /p 200 192.0.2.9\n";
    let clients =
        |words: &[&str]| import("cip", &[&["--log-format-name=w3c_extended", SITE], words].concat(), log).sent;
    assert_eq!(clients(&[]), ["10.0.0.1"]);
    assert_eq!(clients(&["--w3c-map-field=x-forwarded-for=c-ip"]), ["192.0.2.9"]);
    assert_eq!(clients(&["--w3c-map-field=x-real-ip=c-ip"]), ["10.0.0.1"]);
}

#[test]
fn an_event_without_an_action_is_none() {
    let log = "#Fields: date time c-ip cs-uri-stem sc-status x-event x-sname\n\
               2024-06-05 08:00:00 192.0.2.1 /p 200 play one\n2024-06-05 08:00:01 192.0.2.1 /p 200 - two\n";
    let words = ["--log-format-name=amazon_cloudfront", SITE];
    for (parameter, expected) in [("e_c", "cloudfront_rtmp"), ("e_a", "play"), ("e_n", "one")] {
        assert_eq!(import(parameter, &words, log).sent, [expected, ""]);
    }
}

#[test]
fn a_redirect_that_is_kept_has_a_title_in_a_replay_too() {
    let log = combined(&["/matomo.php?idsite=4&url=x", "/matomo.php?idsite=4&action_name=own"]);
    let log = log.replace(" 200 ", " 301 ");
    let titles = import("action_name", &["--replay-tracking", "--enable-http-redirects", SITE], &log).sent;
    assert!(titles[0].starts_with("301/URL = "), "{titles:?}");
    assert_eq!(titles[1], "own");
}
