//! What Matomo's own importer cannot do: dimensions, masked addresses, networks, lists that are read again, formats in the
//! web server's own words, zones, and a word about every line that is no hit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use tests::matomo::{Hit, Setup};
use tests::stack::{EVERYTHING, Stack};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const LOG: &str = r#"192.0.2.77 - - [05/Jun/2024:08:00:00 +0000] "GET /a?session=1 HTTP/1.1" 200 1 "-" "Mozilla/5.0 (X11)"
198.51.100.7 - - [05/Jun/2024:08:00:01 +0000] "GET /b HTTP/1.1" 404 2 "-" "Mozilla/5.0 (compatible; GPTBot/1.2)"
2001:db8:1:2:3:4:5:6 - - [05/Jun/2024:08:00:02 +0000] "GET /c HTTP/1.1" 200 3 "-" "curl/8.5.0"
"#;

fn stack(options: &str) -> Stack {
    let stack = Stack::new(PROGRAM, Setup::default());
    stack.set("MATOMO_IMPORT_OPTIONS", &format!("{EVERYTHING} {options}"));
    stack
}

fn write(stack: &Stack, name: &str, text: &str) {
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    fs::write(stack.logs_of(SITE).join(name), text).unwrap();
}

/// The hits of one pass over `log`, by path.
fn hits(options: &str, log: &str) -> Vec<Hit> {
    let stack = stack(options);
    write(&stack, "access.log", log);
    stack.once().succeeds();
    let mut hits = stack.matomo().hits();
    hits.sort_by_key(|hit| hit.text("url"));
    hits
}

fn texts(hits: &[Hit], name: &str) -> Vec<String> {
    hits.iter().map(|hit| hit.text(name)).collect()
}

fn paths(hits: &[Hit]) -> Vec<String> {
    texts(hits, "url").iter().map(|url| url.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn fields_and_the_kind_of_agent_become_dimensions() {
    let hits = hits("--dimension 1=status --dimension 7=agent_class --dimension=2=userid", LOG);
    assert_eq!(texts(&hits, "dimension1"), ["200", "404", "200"]);
    assert_eq!(texts(&hits, "dimension7"), ["human", "ai", "bot"]);
    assert_eq!(texts(&hits, "dimension2"), ["", "", ""], "a field that is not there is not sent");
}

#[test]
fn addresses_are_masked_before_they_leave() {
    assert_eq!(texts(&hits("--mask-ip=1", LOG), "cip"), ["192.0.2.0", "198.51.100.0", "2001:db8:1:2::"]);
    assert_eq!(texts(&hits("--mask-ip=2", LOG), "cip"), ["192.0.0.0", "198.51.0.0", "2001:db8:1::"]);
    assert_eq!(texts(&hits("", LOG), "cip"), ["192.0.2.77", "198.51.100.7", "2001:db8:1:2:3:4:5:6"]);
}

#[test]
fn networks_and_whole_addresses_are_let_in_and_kept_out() {
    assert_eq!(paths(&hits("--exclude-ip 192.0.2.0/24", LOG)), ["b", "c"]);
    assert_eq!(paths(&hits("--include-ip 192.0.2.0/24 --include-ip 2001:db8::/32", LOG)), ["a?session=1", "c"]);
    assert_eq!(paths(&hits("--exclude-url *session=*", LOG)), ["b", "c"]);
    assert_eq!(paths(&hits("--include-url /b", LOG)), ["b"]);
    assert_eq!(paths(&hits("--exclude-ai-crawlers", LOG)), ["a?session=1", "c"]);
}

#[test]
fn a_list_that_changes_holds_from_the_next_pass_on() {
    let stack = Stack::new(PROGRAM, Setup::default());
    let list = stack.folder().join("networks");
    fs::write(&list, "# nobody yet\n").unwrap();
    stack.set("MATOMO_IMPORT_OPTIONS", &format!("{EVERYTHING} --exclude-ip-from {}", list.display()));
    write(&stack, "one.log", LOG);
    let running = stack.start(&["run"]);
    stack.matomo().wait_for("all three", |seen| seen.hits >= 3);
    fs::write(&list, "192.0.2.0/24\n2001:db8::/32\n").unwrap();
    write(&stack, "two.log", &LOG.replace("/2024", "/2025"));
    stack.matomo().wait_for("the one that is left", |seen| seen.hits >= 4);
    running.terminate().succeeds();
    assert_eq!(stack.matomo().hits().len(), 4);
    assert!(stack.matomo().hits()[3].text("url").ends_with("/b"));
}

#[test]
fn a_list_that_cannot_be_read_is_named_at_the_start() {
    let stack = stack("--exclude-url-from /nowhere/list");
    stack.once().ends_with(tests::stack::SETTINGS).says(&["--exclude-url-from", "/nowhere/list"]);
}

#[test]
fn a_format_in_the_words_of_nginx_or_apache_is_read() {
    let nginx = r#"--log-format '$remote_addr|$time_iso8601|$request|$status|$http_user_agent'"#;
    let found = hits(nginx, "192.0.2.1|2024-06-05T08:00:00+02:00|GET /n HTTP/1.1|200|UA\n");
    assert_eq!((texts(&found, "cdt"), paths(&found)), (vec!["2024-06-05 06:00:00".to_owned()], vec!["n".to_owned()]));
    let apache = r#"--log-format '%h %t \"%r\" %>s \"%{User-Agent}i\"'"#;
    let found = hits(apache, "192.0.2.1 [05/Jun/2024:08:00:00 +0200] \"GET /p HTTP/1.1\" 200 \"UA\"\n");
    assert_eq!((texts(&found, "ua"), paths(&found)), (vec!["UA".to_owned()], vec!["p".to_owned()]));
    let stack = stack("--log-format '%h%u %t'");
    stack.once().ends_with(tests::stack::SETTINGS).says(&["nothing separates %h from %u"]);
}

#[test]
fn json_lines_are_read_by_a_map_of_their_fields() {
    let map = "--json-fields ip=client.addr,date=ts,path=request.uri,status=code,user_agent=request.ua";
    let line = r#"{"ts":1717567200.5,"client":{"addr":"192.0.2.1"},"request":{"uri":"/j?x=1","ua":"UA"},"code":200}"#;
    let found = hits(map, &format!("{line}\n"));
    assert_eq!((texts(&found, "ua"), paths(&found)), (vec!["UA".to_owned()], vec!["j?x=1".to_owned()]));
    let stack = stack("--json-fields ip=a,date=b,path=c");
    stack.once().ends_with(tests::stack::SETTINGS).says(&["--json-fields", "status"]);
}

#[test]
fn dates_without_a_zone_are_read_in_the_zone_that_was_named() {
    let line = "Sep 25 06:05:27 hostname haproxy[6801]: 4.3.2.1:55008 [25/Sep/2018:06:05:27.584] ft_https~ bk_https/abc \
                0/0/0/72/72 200 7456 - - ---- 5/4/0/1/0 0/0 \"POST /user HTTP/1.1\"\n";
    assert_eq!(texts(&hits("", line), "cdt"), ["2018-09-25 06:05:27.584000"]);
    assert_eq!(texts(&hits("--log-timezone Europe/Copenhagen", line), "cdt"), ["2018-09-25 04:05:27.584000"]);
}

#[test]
fn a_file_without_a_hit_says_why() {
    let stack = Stack::new(PROGRAM, Setup::default());
    stack.set("MATOMO_IMPORT_OPTIONS", "--exclude-ip=0.0.0.0/0 --exclude-ip=::/0");
    write(&stack, "access.log", LOG);
    stack.once().succeeds().says(&["No line of the file became a hit", "ip_excluded 2", "GET /a?session=1"]);
}
