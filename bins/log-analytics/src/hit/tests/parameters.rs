//! Every parameter of a hit.

use super::*;
use crate::format::{Event, GenerationTime};
use crate::hit::{OptionError, Replay, add_parameter};

fn pairs(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn url(options: &HitOptions, record: &Record<'_>) -> String {
    hit(options, record)["url"].as_str().unwrap().to_owned()
}

#[test]
fn a_page_view_carries_these_parameters_and_no_others() {
    let record = Record { length: Some(text("5120")), referrer: Some(text("-")), ..view("/a?x=1") };
    assert_eq!(
        hit(&HitOptions::default(), &record),
        serde_json::json!({
            "rec": "1", "apiv": "1", "queuedtracking": "0", "dp": "1", "idsite": "1",
            "url": "https://www.example.org/a?x=1", "urlref": "", "cip": "192.0.2.1",
            "cdt": "2024-03-12 08:00:00", "ua": "Mozilla/5.0 (X11)",
            "cvar": r#"{"1":["HTTP-code","200"]}"#, "bw_bytes": 5120
        })
    );
}

#[test]
fn the_prefix_of_an_address_depends_on_who_says_the_host() {
    let options = HitOptions::default();
    let of = |host| Record { host: Some(text(host)), ..view("/p") };
    assert_eq!(url(&options, &of("..Data.Example.ORG.")), "https://data.example.org/p");
    assert_eq!(url(&options, &of("\"quoted\"")), "https://quoted/p");
    assert_eq!(url(&options, &of("-")), "https://-/p");
    assert_eq!(url(&options, &of("")), "https:///p");
    for path in ["*", "?only=query", "host:443", "http://proxy/x?y=1", "\\x01"] {
        assert_eq!(url(&options, &view(path)), path);
    }
    let forced = |host: &str| HitOptions { log_hostname: Some(host.to_owned()), ..HitOptions::default() };
    assert_eq!(url(&forced("Forced.Example"), &of("other")), "https://Forced.Example/p");
    assert_eq!(url(&forced("ftp://own.scheme"), &of("other")), "ftp://own.scheme/p");
}

#[test]
fn a_line_without_host_takes_the_main_address_with_its_path() {
    let mut judge = judge(&HitOptions::default());
    let record = view("/p");
    let kept = kept(&mut judge, &record);
    let mut out = Vec::new();
    judge.write(&kept, &Site::new(7, "https://h.example/base"), &mut out);
    let hit: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&hit["url"], &hit["idsite"]), (&"https://h.example/base/p".into(), &"7".into()));
}

#[test]
fn in_host_mode_every_hit_has_a_host() {
    let mut judge = Judge::new(&HitOptions::default(), true).unwrap();
    for (host, expected) in [(Some("WWW.example.org"), "www.example.org"), (Some(""), "no-hostname-found-in-log")] {
        let record = Record { host: host.map(text), ..view("/p") };
        let kept = kept(&mut judge, &record);
        assert_eq!(judge.host(&kept), Some(expected.as_bytes()));
        let mut out = Vec::new();
        judge.write(&kept, &Site::new(2, "https://other.example"), &mut out);
        let hit: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(hit["url"], format!("http://{expected}/p"));
    }
}

#[test]
fn a_replayed_request_without_address_takes_the_one_of_its_site() {
    let options = HitOptions { replay: Some(Replay::default()), ..HitOptions::default() };
    let mut judge = Judge::new(&options, true).unwrap();
    for (host, expected) in [(None, "https://www.example.org"), (Some("Data.example.org"), "https://data.example.org")]
    {
        let record = Record { host: host.map(text), ..view("/matomo.php?idsite=2&rec=1") };
        let kept = kept(&mut judge, &record);
        let mut out = Vec::new();
        judge.write(&kept, &Site::new(2, "https://www.example.org"), &mut out);
        let hit: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(hit["url"], format!("{expected}/matomo.php?idsite=2&rec=1"));
    }
}

#[test]
fn a_replayed_request_is_for_the_site_of_this_very_number_or_for_none() {
    let options = HitOptions { replay: Some(Replay::default()), ..HitOptions::default() };
    let mut judge = Judge::new(&options, true).unwrap();
    for (idsite, number) in [("7", 7), ("07", 0), ("+7", 0), ("7%20", 0), ("shop", 0), ("-7", 0)] {
        let path = format!("/matomo.php?idsite={idsite}&rec=1");
        let record = view(&path);
        let kept = kept(&mut judge, &record);
        assert_eq!(kept.replayed_site(), Some(number), "{idsite}");
        assert_eq!(judge.host(&kept), Some(&b"no-hostname-found-in-log"[..]), "the summary's name for it");
    }
}

#[test]
fn addresses_are_cut_after_1024_characters_behind_the_prefix() {
    let path = format!("/{}", "ü".repeat(2000));
    let referrer = "r".repeat(1025);
    let record = Record { referrer: Some(text(&referrer)), ..view(&path) };
    let hit = hit(&HitOptions::default(), &record);
    let url = hit["url"].as_str().unwrap();
    assert_eq!(url.chars().count(), "https://www.example.org".len() + 1024);
    assert_eq!(hit["urlref"].as_str().unwrap().len(), 1024);
}

#[test]
fn queries_come_from_the_path_or_a_column_of_their_own() {
    let options = HitOptions::default();
    let column = |query| Record { query: Some(text(query)), ..view("/p?in=path") };
    assert_eq!(url(&options, &view("/a?b?c=d")), "https://www.example.org/a?b?c=d");
    assert_eq!(url(&options, &view("/a?")), "https://www.example.org/a");
    assert_eq!(url(&options, &column("x=1")), "https://www.example.org/p?in=path?x=1");
    assert_eq!(url(&options, &column("-")), "https://www.example.org/p?in=path");
    let strip = HitOptions { strip_query_string: true, ..HitOptions::default() };
    assert_eq!(url(&strip, &view("/a?b")), "https://www.example.org/a");
    let other = HitOptions { query_string_delimiter: "::".into(), ..HitOptions::default() };
    assert_eq!(url(&other, &view("/a.zip?b::c")), "https://www.example.org/a.zip?b::c");
    assert_eq!(reason(&other, &view("/a.css::c")), Some(Skip::Static));
    let lower = HitOptions { force_lowercase_path: true, ..HitOptions::default() };
    assert_eq!(url(&lower, &view("/ÄB?C=D")), "https://www.example.org/äb?c=d");
}

#[test]
fn errors_and_redirects_have_a_title() {
    let record = Record { status: text("404"), referrer: Some(text("https://r/?q=a b~ü")), ..view("/x?y") };
    assert_eq!(
        hit(&everything(), &record)["action_name"],
        "404/URL = https%3A%2F%2Fwww.example.org%2Fx%3Fy/From = https%3A%2F%2Fr%2F%3Fq%3Da%20b~%C3%BC"
    );
    let options = HitOptions { title_category_delimiter: "\"".into(), ..everything() };
    let redirect = Record { status: text("301"), ..view("/x") };
    assert_eq!(hit(&options, &redirect)["action_name"], "301\"URL = https%3A%2F%2Fwww.example.org%2Fx");
    let cached = Record { status: text("304"), ..view("/x") };
    assert_eq!(hit(&options, &cached).get("action_name"), None);
}

#[test]
fn quotes_around_fields_go_and_the_agent_stays_as_it_is() {
    let record = Record { referrer: Some(text("\"https://r/\"")), user_agent: Some(text("\"UA\"")), ..view("/") };
    let quoted = hit(&everything(), &record);
    assert_eq!((&quoted["urlref"], &quoted["ua"]), (&"https://r/".into(), &"UA".into()));
    for (agent, sent) in [(Some("-"), "-"), (Some(""), ""), (None, "")] {
        let record = Record { user_agent: agent.map(text), ..view("/") };
        let hit = hit(&everything(), &record);
        assert_eq!(hit["ua"], sent);
        assert_eq!(hit["_cvar"], format!(r#"{{"1":["Not-Bot","{sent}"]}}"#));
        assert_eq!(hit["bots"], "1");
    }
}

#[test]
fn users_lengths_and_times_are_sent_when_there_is_something_to_say() {
    let sent = |userid: &str, length: &str, time: GenerationTime<'_>| {
        let record =
            Record { userid: Some(text(userid)), length: Some(text(length)), generation_time: Some(time), ..view("/") };
        let hit = hit(&HitOptions::default(), &record);
        let get = |name: &str| hit.get(name).map(Value::to_string);
        (get("uid"), get("bw_bytes"), get("pf_srv"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(sent("-", "-", GenerationTime::Milli(text("0"))), (None, None, None));
    assert_eq!(sent("", "0", GenerationTime::Seconds(text("-"))), (some("\"\""), None, None));
    assert_eq!(
        sent("D\\bob", "+1_000", GenerationTime::Micro(text("400"))),
        (some("\"D\\\\bob\""), some("1000"), some("0"))
    );
    assert_eq!(sent("a", "-5", GenerationTime::Seconds(text("1.2509"))), (some("\"a\""), some("-5"), some("1250")));
}

#[test]
fn fractions_of_seconds_and_reverse_look_ups_are_passed_on() {
    let record = Record { date: Date::Unix { seconds: THEN, micros: 584_000 }, ..view("/") };
    let options = HitOptions { reverse_dns: true, add_to_date_seconds: -3600, ..HitOptions::default() };
    let hit = hit(&options, &record);
    assert_eq!((&hit["cdt"], &hit["dp"]), (&"2024-03-12 07:00:00.584000".into(), &"0".into()));
}

#[test]
fn fields_become_variables_before_they_are_ignored() {
    let options = HitOptions {
        page_variables: pairs(&[("userid", "User"), ("nosuch", "No"), ("length", "Si\"ze"), ("request_id", "Req")]),
        visit_variables: pairs(&[("referrer", "Ref")]),
        ignore_groups: vec!["userid".into(), "length".into(), "referrer".into(), "generation_time_milli".into()],
        track_http_method: true,
        ..everything()
    };
    let record = Record {
        userid: Some(text("bob")),
        length: Some(text("7")),
        referrer: Some(text("https://r/")),
        method: Some(text("GET")),
        generation_time: Some(GenerationTime::Milli(text("5"))),
        extra: vec![("request_id".into(), text("a\\b"))],
        ..view("/")
    };
    let hit = hit(&options, &record);
    let variables = |name: &str| serde_json::from_str::<Value>(hit[name].as_str().unwrap()).unwrap();
    assert_eq!(
        variables("cvar"),
        serde_json::json!({
            "1": ["User", "bob"], "2": ["Si\"ze", "7"], "3": ["Req", "a\\b"], "4": ["HTTP-method", "GET"],
            "5": ["HTTP-code", "200"]
        })
    );
    assert_eq!(
        variables("_cvar"),
        serde_json::json!({"1": ["Ref", "https://r/"], "2": ["Not-Bot", "Mozilla/5.0 (X11)"]})
    );
    for gone in ["uid", "bw_bytes", "pf_srv"] {
        assert_eq!(hit.get(gone), None, "{gone}");
    }
    assert_eq!(hit["urlref"], "");
}

#[test]
fn a_visit_variable_without_value_leaves_no_trace() {
    let options = HitOptions { visit_variables: pairs(&[("referrer", "Ref")]), ..HitOptions::default() };
    let record = Record { referrer: Some(text("-")), ..view("/") };
    assert_eq!(hit(&options, &record).get("_cvar"), None);
}

#[test]
fn events_of_streaming_servers_are_passed_on() {
    let event = Event { category: text("cloudfront_rtmp"), action: text("play"), name: text("-") };
    let hit = hit(&HitOptions::default(), &Record { event: Some(Box::new(event)), ..view("/") });
    assert_eq!((&hit["e_c"], &hit["e_a"], hit.get("e_n")), (&"cloudfront_rtmp".into(), &"play".into(), None));
}

#[test]
fn bytes_that_are_not_utf8_never_reach_matomo() {
    let record = Record {
        path: Cow::Borrowed(b"/caf\xE9?q=\xFC"),
        referrer: Some(Cow::Borrowed(b"https://r/\xF1")),
        user_agent: Some(Cow::Borrowed(b"Agent \xE9")),
        userid: Some(Cow::Borrowed(b"\xE9")),
        ..view("")
    };
    let hit = hit(&everything(), &record);
    assert_eq!(hit["url"], "https://www.example.org/caf%E9?q=%FC");
    assert_eq!(hit["urlref"], "https://r/%F1");
    assert_eq!(hit["ua"], "Agent \u{fffd}");
    assert_eq!(hit["uid"], "\u{fffd}");
    assert_eq!(hit["_cvar"], "{\"1\":[\"Not-Bot\",\"Agent \u{fffd}\"]}");
}

#[test]
fn a_written_hit_takes_one_more_parameter() {
    let mut judge = judge(&everything());
    let record = view("/");
    let kept = kept(&mut judge, &record);
    let mut out = b"[".to_vec();
    judge.write(&kept, &site(), &mut out);
    assert_eq!(out.last(), Some(&b'}'));
    add_parameter(&mut out, "pv_id", "abc123");
    out.push(b']');
    let hits: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(hits[0]["pv_id"], "abc123");
    assert_eq!(hits[0]["rec"], "1");
}

#[test]
fn visitors_and_agents_are_told_apart() {
    let mut judge = judge(&HitOptions::default());
    let (one, other) = (view("/a"), Record { ip: text("192.0.2.2"), ..view("/b") });
    let (one, other) = (kept(&mut judge, &one), kept(&mut judge, &other));
    assert_ne!(one.visitor, other.visitor);
    assert_eq!(one.agent, other.agent);
}

#[test]
fn options_that_cannot_work_make_no_judge() {
    let empty = HitOptions { query_string_delimiter: String::new(), ..HitOptions::default() };
    assert_eq!(Judge::new(&empty, false).unwrap_err(), OptionError::EmptyDelimiter);
    let no_date = HitOptions { ignore_groups: vec!["date".into()], ..HitOptions::default() };
    assert_eq!(Judge::new(&no_date, false).unwrap_err(), OptionError::NeededGroup { group: "date".into() });
}
