//! The stand-in against the table of what a real Matomo 5.0.2 answered, by a client that only knows sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Matomo, Outcome, Rights, Setup, Switch, TOKEN};
use crate::fault::{Fault, FaultMix, Faults, Lost};

/// Status and body of an answer; nothing when the connection ends without a whole one.
fn send(matomo: &Matomo, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
    let (head, body) = exchange(matomo, method, path, body)?;
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let whole = length.is_none_or(|length: usize| body.len() == length);
    whole.then(|| (head.split(' ').nth(1).unwrap().parse().unwrap(), body))
}

/// Head and body of an answer.
fn exchange(matomo: &Matomo, method: &str, path: &str, body: &[u8]) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(matomo.address()).unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut answer = Vec::new();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    stream.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer);
    text.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned()))
}

fn bulk(matomo: &Matomo, requests: &Value) -> Option<(u16, Value)> {
    let body = json!({"requests": requests, "token_auth": TOKEN}).to_string();
    let (status, text) = send(matomo, "POST", "/matomo.php", body.as_bytes())?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

fn call(matomo: &Matomo, form: &str) -> (u16, Value) {
    let (status, text) =
        send(matomo, "POST", "/index.php", format!("module=API&format=json&{form}").as_bytes()).unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn hits(count: usize) -> Value {
    (0..count).map(|n| json!({"rec": "1", "idsite": 4, "url": format!("https://www.example.org/{n}")})).collect()
}

fn with_ledger(faults: Faults) -> Matomo {
    Matomo::start(Setup { ledger_site: Some(9), faults, silence: Duration::from_millis(50), ..Setup::default() })
}

#[test]
fn a_bulk_request_is_counted_and_stored() {
    let matomo = Matomo::start(Setup::default());
    let mixed = json!([
        {"rec": "1", "idsite": 4, "url": "https://www.example.org/a"},
        null,
        {"rec": "1", "idsite": 5, "url": "https://www.example.org/b"},
        "?rec=1&idsite=4&url=https%3A%2F%2Fwww.example.org%2Fc",
        {"rec": 0, "idsite": 4, "cip": "192.0.2.1"},
        {"rec": "1", "idsite": 4, "url": "https://www.example.org/d", "cid": "short"},
    ]);
    let expected = json!({"status": "success", "tracked": 4, "invalid": 2, "invalid_indices": [2, 5]});
    assert_eq!(bulk(&matomo, &mixed), Some((200, expected)));
    let urls: Vec<String> = matomo.hits_of(4).iter().map(|hit| hit.text("url")).collect();
    assert_eq!(urls, ["https://www.example.org/a", "https://www.example.org/c"]);
    assert_eq!(matomo.requests()[0].outcome, Outcome::Tracked { tracked: 4, invalid: 2 });
}

#[test]
fn only_a_superuser_learns_which_hits_were_invalid_and_may_invalidate() {
    let matomo = Matomo::start(Setup { rights: Rights::Write, ..Setup::default() });
    assert_eq!(bulk(&matomo, &hits(2)), Some((200, json!({"status": "success", "tracked": 2, "invalid": 0}))));
    let form = format!("method=CoreAdminHome.invalidateArchivedReports&idSites=4&dates=2026-01-01&token_auth={TOKEN}");
    assert_eq!(call(&matomo, &form).1["result"], "error");
    let matomo = Matomo::start(Setup::default());
    assert!(call(&matomo, &form).1.is_array());
    assert_eq!(matomo.invalidated()[&4], ["2026-01-01"]);
}

#[test]
fn a_wrong_token_makes_every_hit_invalid() {
    let matomo = Matomo::start(Setup { token: "other".into(), ..Setup::default() });
    assert_eq!(bulk(&matomo, &hits(2)), Some((200, json!({"status": "success", "tracked": 0, "invalid": 2}))));
    assert!(matomo.hits().is_empty());
}

#[test]
fn a_body_that_php_cannot_read_is_a_success_of_nothing() {
    let matomo = Matomo::start(Setup::default());
    let nothing = json!({"status": "success", "tracked": 0, "invalid": 0}).to_string();
    for body in [
        &b"{\"requests\": [{\"rec\": 1, \"idsite\": 4, \"url\": \"http://x/\xff\"}]}"[..],
        br#"{"requests": [{"rec": 1, "idsite": 4, "url": "http://x/\ud800"}]}"#,
        br#"{"requests": [{"rec": 1, "idsite""#,
    ] {
        assert_eq!(send(&matomo, "POST", "/piwik.php", body), Some((200, nothing.clone())));
    }
    assert_eq!(send(&matomo, "POST", "/piwik.php", b"").unwrap().0, 200);
    assert!(matomo.hits().is_empty());
}

#[test]
fn every_switch_answers_as_measured() {
    let matomo = Matomo::start(Setup::default());
    let version = format!("method=API.getMatomoVersion&token_auth={TOKEN}");
    assert_eq!(call(&matomo, "method=API.getMatomoVersion").0, 401);
    assert_eq!(call(&matomo, &version), (200, json!({"value": "5.0.2"})));
    assert_eq!(send(&matomo, "GET", "/matomo.php", b"").unwrap().0, 200);

    matomo.set(Switch::RecordingOff, true);
    assert_eq!(bulk(&matomo, &hits(1)), Some((200, json!({"status": "success", "tracked": 0, "invalid": 0}))));
    assert_eq!(send(&matomo, "GET", "/matomo.php", b"").unwrap().0, 503);
    matomo.set(Switch::RecordingOff, false);

    matomo.set(Switch::Maintenance, true);
    assert_eq!(call(&matomo, &version).0, 503);
    assert_eq!(bulk(&matomo, &hits(1)).unwrap().1["tracked"], 1);
    matomo.set(Switch::Maintenance, false);

    matomo.set(Switch::DatabaseDown, true);
    assert_eq!(bulk(&matomo, &hits(1)), Some((500, json!({"status": "error", "tracked": 0, "invalid": 0}))));
    assert_eq!(call(&matomo, &version).0, 500);
    assert_eq!(matomo.hits().len(), 1);
}

#[test]
fn every_fault_stores_all_or_nothing_and_the_ledger_knows() {
    for fault in Fault::KINDS {
        let matomo = with_ledger(Faults::every(1, fault).until(1));
        let mut batch = hits(3);
        batch
            .as_array_mut()
            .unwrap()
            .push(json!({"rec": 1, "idsite": 9, "cid": "00112233445566aa", "url": "http://m"}));
        let answer = bulk(&matomo, &batch);
        matomo.rests();
        assert_eq!(matomo.hits_of(4).len(), if fault.stores() { 3 } else { 0 }, "{fault:?} answered {answer:?}");
        let segment = "segment=visitorId%3D%3D00112233445566aa,visitorId%3D%3D0000000000000000";
        let form = format!("method=Live.getLastVisitsDetails&idSite=9&{segment}&token_auth={TOKEN}");
        // The last entry of a short batch is the one that is lost, and that is the mark.
        let marked = fault.stores() && fault != Fault::Short;
        assert_eq!(call(&matomo, &form).1.as_array().unwrap().len(), usize::from(marked), "{fault:?}");
        let no_answer = matches!(
            fault,
            Fault::Hang | Fault::Close | Fault::Reset | Fault::CommitThenDrop | Fault::CommitThenHang | Fault::Truncate
        );
        assert_eq!(answer.is_none(), no_answer, "{fault:?} answered {answer:?}");
    }
}

#[test]
fn a_mark_that_comes_twice_is_noticed() {
    let matomo = with_ledger(Faults::none());
    let mark = json!([{"rec": 1, "idsite": 9, "cid": "00112233445566aa", "url": "http://m", "new_visit": "1"}]);
    bulk(&matomo, &mark);
    assert_eq!(matomo.marks_doubled(), 0);
    bulk(&matomo, &mark);
    assert_eq!(matomo.marks_doubled(), 1);
    let form =
        format!("method=Live.getMostRecentVisitorId&idSite=9&segment=visitorId==00112233445566aa&token_auth={TOKEN}");
    assert_eq!(call(&matomo, &form).1, json!({"value": "00112233445566aa"}));
}

/// The two hits of a batch's mark, and the hit of another one.
fn marks() -> Value {
    let mark =
        |cid: &str, title: &str| json!({"rec": 1, "idsite": 9, "cid": cid, "url": "http://m", "action_name": title});
    let mut marks = json!([mark("00112233445566aa", "first"), mark("00112233445566aa", "last")]);
    marks[0]["new_visit"] = json!("1");
    marks.as_array_mut().unwrap().push(mark("ffffffffffffffff", "announcement"));
    marks
}

#[test]
fn two_actions_of_one_visit_are_one_mark() {
    let matomo = with_ledger(Faults::none());
    bulk(&matomo, &marks());
    assert_eq!(matomo.marks()["00112233445566aa"], 1);
    assert_eq!((matomo.marks().len(), matomo.marks_doubled()), (2, 0));
    let form = format!(
        "method=Live.getLastVisitsDetails&idSite=9&segment=visitorId==00112233445566aa,visitorId==0000000000000000\
         &token_auth={TOKEN}"
    );
    let (_, visits) = call(&matomo, &form);
    assert_eq!((visits.as_array().unwrap().len(), &visits[0]["visitorId"]), (1, &json!("00112233445566aa")));
    let titles: Vec<&Value> =
        visits[0]["actionDetails"].as_array().unwrap().iter().map(|action| &action["pageTitle"]).collect();
    assert_eq!(titles, ["first", "last"]);
    bulk(&matomo, &marks());
    assert_eq!((matomo.marks()["00112233445566aa"], matomo.marks_doubled()), (2, 1));
}

fn last_visits(matomo: &Matomo, parameters: &str) -> Vec<Value> {
    let form = format!("method=Live.getLastVisitsDetails&idSite=4&{parameters}&token_auth={TOKEN}");
    call(matomo, &form).1.as_array().unwrap().clone()
}

#[test]
fn visits_are_found_by_time_and_carry_the_page_view_id() {
    let matomo = Matomo::start(Setup { time_zones: vec![(4, "Europe/Copenhagen".into())], ..Setup::default() });
    let at = |cdt: &str, cip: &str, id: &str| json!({"rec": 1, "idsite": 4, "url": "http://x/", "cip": cip, "cdt": cdt, "pv_id": id});
    let hits = json!([
        at("2026-01-01 22:40:00", "192.0.2.1", "aaaaaa"),
        at("2026-01-01 22:50:00", "192.0.2.1", "bbbbbb"),
        at("2026-01-01 23:01:00", "192.0.2.1", "cccccc"),
        at("2026-01-01 23:02:00", "2001:db8:1:2:3:4:5:6", "dddddd"),
    ]);
    bulk(&matomo, &hits);
    // The third hit is of another day in Copenhagen, so of another visit.
    let visits = last_visits(&matomo, "filter_limit=-1");
    let addresses: Vec<&Value> = visits.iter().map(|visit| &visit["visitIp"]).collect();
    assert_eq!(addresses, ["2001:db8:1::", "192.0.0.0", "192.0.0.0"]);
    let last = 1_767_307_800;
    assert_eq!((&visits[2]["serverTimestamp"], &visits[2]["lastActionTimestamp"]), (&json!(last), &json!(last)));
    assert_eq!(visits[2]["actionDetails"][1]["idpageview"], "bbbbbb");
    assert_eq!(visits[2]["actionDetails"][0]["timestamp"], last - 600);

    assert_eq!(last_visits(&matomo, &format!("minTimestamp={last}")).len(), 2);
    assert_eq!(last_visits(&matomo, &format!("minTimestamp={}", last - 1)).len(), 3);
    assert_eq!(last_visits(&matomo, "period=day&date=2026-01-02").len(), 2);
    assert_eq!(last_visits(&matomo, "filter_limit=2&filter_offset=1"), visits[1..]);
    assert_eq!(last_visits(&matomo, "doNotFetchActions=1")[0]["actionDetails"], json!([]));
}

#[test]
fn titles_and_addresses_are_cut() {
    let matomo = Matomo::start(Setup::default());
    let long = "\u{e6}".repeat(1_200);
    bulk(&matomo, &json!([{"rec": 1, "idsite": 4, "url": format!("http://x/{long}"), "action_name": long}]));
    let action = &last_visits(&matomo, "")[0]["actionDetails"][0];
    for name in ["url", "pageTitle"] {
        assert_eq!(action[name].as_str().unwrap().chars().count(), 1_024);
    }
}

#[test]
fn a_site_out_of_sight_is_401_with_its_number_and_a_wrong_token_401_with_a_page() {
    let ask = |rights, site, token| {
        let sites = vec![(4, "http://a".to_owned()), (5, "http://b".to_owned())];
        let matomo = Matomo::start(Setup { sites, rights, hidden_sites: vec![5], ..Setup::default() });
        call(&matomo, &format!("method=SitesManager.getSiteFromId&idSite={site}&token_auth={token}"))
    };
    let refusal = |site| {
        let message =
            format!("You can't access this resource as it requires 'view' access for the website id = {site}.");
        (401, json!({"result": "error", "message": message}))
    };
    for rights in [Rights::Write, Rights::View] {
        assert_eq!(ask(rights, 4, TOKEN).1["main_url"], "http://a");
        assert_eq!(ask(rights, 5, TOKEN), refusal(5));
        assert_eq!(ask(rights, 99, TOKEN), refusal(99));
    }
    assert_eq!(ask(Rights::Superuser, 5, TOKEN).1["main_url"], "http://b");
    let (status, answer) = ask(Rights::Superuser, 99, TOKEN);
    assert_eq!((status, &answer["result"]), (200, &json!("error")));
    let (status, page) = ask(Rights::Superuser, 4, "wrong");
    assert_eq!(status, 401);
    assert!(page.as_str().unwrap().contains("Unable to authenticate with the provided token"));
    assert_eq!(ask(Rights::Superuser, 4, "").1["result"], "error");
}

#[test]
fn a_token_that_may_only_look_and_a_site_out_of_sight_make_hits_invalid() {
    let matomo = Matomo::start(Setup { rights: Rights::View, ..Setup::default() });
    assert_eq!(bulk(&matomo, &hits(2)), Some((200, json!({"status": "success", "tracked": 0, "invalid": 2}))));
    let matomo = Matomo::start(Setup { rights: Rights::Write, hidden_sites: vec![4], ..Setup::default() });
    assert_eq!(bulk(&matomo, &hits(2)), Some((200, json!({"status": "success", "tracked": 0, "invalid": 2}))));
}

#[test]
fn every_answer_says_what_time_it_is_there() {
    let matomo = Matomo::start(Setup::default());
    let asked = |path: &str| {
        let (head, _) = exchange(&matomo, "GET", path, b"").unwrap();
        let date = head.lines().find_map(|line| line.strip_prefix("date: ")).unwrap();
        let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        date.as_second() - jiff::Timestamp::now().as_second()
    };
    for path in ["/matomo.php", "/index.php?module=API", "/matomo.js"] {
        assert!((-2..=2).contains(&asked(path)), "{path}");
    }
    matomo.set_clock_ahead(SignedDuration::from_hours(-3));
    assert!((-10_802..=-10_798).contains(&asked("/matomo.php")));
}

/// Hits of one visitor, ten on each of these days, the first ones of January 2026.
fn days(days: &[u8]) -> Value {
    let hit = |day: &u8, second: u8| {
        let cdt = format!("2026-01-{day:02} 12:00:{second:02}");
        json!({"rec": 1, "idsite": 4, "url": "http://x/", "cip": "192.0.2.1", "cdt": cdt})
    };
    days.iter().flat_map(|day| (0..10).map(move |second| hit(day, second))).collect()
}

/// A stand-in whose requests of twenty hits take half a second.
fn slow(lock_wait_max: Duration) -> Matomo {
    Matomo::start(Setup { hit_pace: Duration::from_millis(25), lock_wait_max, ..Setup::default() })
}

/// The answers to two requests of which the second is sent while the first one is at work.
fn both(matomo: &Matomo, first: &Value, second: &Value) -> [(u16, Value); 2] {
    thread::scope(|scope| {
        let first = scope.spawn(|| bulk(matomo, first).unwrap());
        matomo.wait_for("the first request", |seen| seen.working > 0);
        let second = bulk(matomo, second).unwrap();
        [first.join().unwrap(), second]
    })
}

#[test]
fn several_new_days_at_once_are_a_deadlock_that_is_swallowed() {
    // The order of the days does not matter.
    for (first, second) in [([1, 2], [2, 1]), ([1, 2], [2, 3])] {
        let matomo = slow(Duration::from_secs(50));
        let [(status, _), (failed, answer)] = both(&matomo, &days(&first), &days(&second));
        assert_eq!((status, failed), (200, 500));
        // The deadlock took what came before it, and that was nothing.
        assert_eq!(answer, json!({"status": "error", "tracked": 20, "invalid": 0}));
        assert_eq!(matomo.hits().len(), 40);
        assert!(matomo.requests().iter().any(|request| request.outcome == Outcome::Deadlock { tracked: 20 }));
    }
}

#[test]
fn a_deadlock_takes_what_came_before_it_and_leaves_the_rest() {
    let matomo = slow(Duration::from_secs(50));
    // The first three hits are of today, and need no lock.
    let mut second: Vec<Value> = vec![json!({"rec": 1, "idsite": 4, "url": "http://today/"}); 3];
    second.extend(days(&[2]).as_array().unwrap().iter().cloned());
    let [(status, _), (failed, answer)] = both(&matomo, &days(&[1, 3]), &json!(second));
    assert_eq!((status, failed, &answer["tracked"]), (200, 500, &json!(13)));
    let urls: Vec<String> = matomo.hits().iter().map(|hit| hit.text("url")).collect();
    assert_eq!(urls, vec!["http://x/"; 30]);
}

#[test]
fn a_new_day_in_two_requests_at_once_tears_its_visits() {
    let matomo = slow(Duration::from_secs(50));
    let [(first, _), (second, _)] = both(&matomo, &days(&[1]), &days(&[1]));
    assert_eq!((first, second, matomo.hits().len()), (200, 200, 20));
    assert_eq!((matomo.visits_of(4).len(), matomo.visits_torn(4)), (2, 1));
}

#[test]
fn days_whose_first_hit_came_alone_are_nobodys_trouble() {
    let matomo = slow(Duration::from_secs(50));
    for day in [1, 2] {
        bulk(&matomo, &json!([days(&[day])[0]]));
    }
    let [(first, _), (second, _)] = both(&matomo, &days(&[1, 2]), &days(&[2, 1]));
    assert_eq!((first, second, matomo.hits().len()), (200, 200, 42));
    assert_eq!((matomo.visits_of(4).len(), matomo.visits_torn(4)), (2, 0));
}

#[test]
fn a_lock_that_does_not_come_in_time_costs_a_hit() {
    let matomo = slow(Duration::from_millis(20));
    // The second hit is of today, and waits for nothing.
    let second = json!([days(&[1])[0], {"rec": 1, "idsite": 4, "url": "http://x/"}]);
    let [(first, _), (status, answer)] = both(&matomo, &days(&[1, 1]), &second);
    assert_eq!((first, status), (200, 200));
    assert_eq!((&answer["tracked"], &answer["invalid"]), (&json!(1), &json!(0)));
    assert_eq!(matomo.hits().len(), 21);
}

#[test]
fn a_hit_without_a_credible_date_happened_now() {
    let matomo = Matomo::start(Setup { clock_ahead: SignedDuration::from_hours(24), ..Setup::default() });
    let at = |cdt: &str| json!({"rec": 1, "idsite": 4, "url": "http://x/", "cip": cdt, "cdt": cdt});
    bulk(&matomo, &json!([at("2999-01-01 00:00:00"), at("1999-01-01 00:00:00"), at("soon")]));
    let tomorrow = jiff::Timestamp::now().as_second() + 86_400;
    for visit in matomo.visits_of(4) {
        assert!((tomorrow - 60..=tomorrow).contains(&visit.first), "{visit:?}");
    }
}

#[test]
fn partial_faults_store_and_count_what_they_say() {
    for fault in Fault::PARTIAL {
        let matomo = with_ledger(Faults::every(1, fault));
        let (status, answer) = bulk(&matomo, &hits(8)).unwrap();
        assert_eq!(matomo.hits().len(), fault.stored_of(8), "{fault:?}");
        let counted = match fault {
            Fault::Deadlock(_) => (500, 8),
            _ => (200, 7),
        };
        assert_eq!((status, answer["tracked"].as_u64().unwrap()), counted, "{fault:?}");
        // What a deadlock takes stands first.
        let last = matomo.hits().last().map(|hit| hit.text("url"));
        assert_eq!(last.as_deref(), Some("https://www.example.org/7"), "{fault:?}");
    }
}

#[test]
fn of_a_batch_cut_by_a_deadlock_only_the_last_action_of_its_mark_is_there() {
    let matomo = with_ledger(Faults::every(1, Fault::Deadlock(Lost::Hits(3))));
    let mut batch = hits(6);
    let marks = marks();
    batch.as_array_mut().unwrap().insert(0, marks[0].clone());
    batch.as_array_mut().unwrap().push(marks[1].clone());
    bulk(&matomo, &batch);
    let visits = matomo.visits_of(9);
    assert_eq!((visits.len(), visits[0].actions.len(), matomo.hits().len()), (1, 1, 4));
    assert_eq!(visits[0].actions[0].1.text("action_name"), "last");
}

#[test]
fn late_faults_store_after_whatever_was_answered() {
    for fault in Fault::LATE {
        let matomo = with_ledger(Faults::every(1, fault));
        let answer = bulk(&matomo, &hits(3));
        assert_eq!((matomo.hits().len(), matomo.seen().late), (0, 1), "{fault:?} answered {answer:?}");
        matomo.rests();
        assert_eq!(matomo.hits().len(), 3, "{fault:?}");
    }
}

#[test]
fn a_mix_of_faults_never_stores_half_a_batch() {
    let matomo = Matomo::start(Setup {
        faults: FaultMix::seeded(11, 0.6).into(),
        silence: Duration::from_millis(5),
        ..Setup::default()
    });
    for _ in 0..80 {
        bulk(&matomo, &hits(4));
    }
    matomo.rests();
    let short = matomo.requests().iter().filter(|request| request.outcome == Outcome::Fault(Fault::Short)).count();
    assert!(short > 0);
    assert_eq!((matomo.hits().len() + short) % 4, 0);
    assert_eq!(matomo.requests().len(), 80);
}
