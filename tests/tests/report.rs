//! The page that shows how every site stands.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use tests::log::{self, Format};
use tests::matomo::Setup;
use tests::stack::{FAILED, SETTINGS, Stack};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() })
}

fn page(stack: &Stack) -> String {
    stack.run(&["report"]).succeeds().stdout
}

#[test]
fn the_page_shows_the_hits_of_each_day() {
    let stack = stack();
    stack.gaps_of(2_000);
    let lines = stack.writes(SITE, 300);
    assert!(page(&stack).contains("no hits yet"));
    stack.once().succeeds();
    let page = page(&stack);
    let day = |second: i64| jiff::Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d").to_string();
    for wanted in [day(lines[0].second), day(lines[150].second), day(lines[299].second)] {
        let hits = lines.iter().filter(|line| day(line.second) == wanted).count();
        assert!(page.contains(&format!("{wanted}: {hits} hits<")), "{wanted} {hits}\n{page}");
    }
    assert!(page.contains("<title>All is well</title>"), "{page}");
}

#[test]
fn a_file_with_a_hostile_name_is_shown_as_text() {
    let stack = stack();
    stack.set("IMPORT_ATTEMPTS", "1");
    stack.writes(SITE, 30);
    let name = "access_log.<img src=x onload=alert(1)>\"'&\u{202e}.gz";
    let packed = log::compressed(&stack.lines(300), Format::Combined);
    fs::write(stack.logs_of(SITE).join(name), &packed[..packed.len() / 2]).unwrap();
    stack.once().ends_with(FAILED);
    let page = page(&stack);
    assert!(page.contains("&lt;img src=x onload=alert(1)&gt;&quot;&#39;&amp;\\u{202e}.gz"), "{page}");
    assert!(!page.contains("<img") && page.contains("<title>1 site needs a person</title>"));
}

#[test]
fn the_page_goes_where_it_is_wanted_after_each_pass() {
    let stack = stack();
    let file: PathBuf = stack.folder().join("pages/report.html");
    stack.set("REPORT_FILE", &file.to_string_lossy()).writes(SITE, 30);
    // A page that cannot be written stops no import.
    stack.once().succeeds().says(&["Report cannot be written"]);
    fs::create_dir(file.parent().unwrap()).unwrap();
    let running = stack.run_in_background();
    let read = || fs::read_to_string(&file).unwrap_or_default();
    let begin = std::time::Instant::now();
    while !read().contains("class=\"title\">All is well") {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{}", read());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.terminate().succeeds();
    let other = stack.folder().join("other.html");
    stack.run(&["report", "--out", &other.to_string_lossy()]).succeeds();
    assert!(fs::read_to_string(other).unwrap().ends_with("</html>\n"));
}

#[test]
fn without_the_folder_of_the_logs_there_is_no_page_but_an_answer() {
    let stack = stack();
    stack.set("ANALYTICS_DIR", "/no/such/folder");
    stack.run(&["report"]).ends_with(SETTINGS).says(&["cannot list the folder of the logs"]);
}

#[test]
fn a_damaged_ledger_of_one_site_hides_no_other() {
    let sites = vec![(SITE, "https://www.example.org".to_owned()), (7, "https://data.example.org".to_owned())];
    let stack = Stack::new(PROGRAM, Setup { sites, ledger_site: Some(9), ..Setup::default() });
    stack.writes(SITE, 30);
    stack.writes(7, 40);
    stack.once().succeeds();
    let journal = stack.folder().join("ledger/site-4.journal");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("garbage\n{text}")).unwrap();
    let page = page(&stack);
    assert!(page.contains("Its ledger cannot be read") && page.contains(">40<small>40 lines"), "{page}");
    // Nor does it keep the others from being imported.
    let lines = stack.writes(7, 20);
    stack.once().ends_with(tests::stack::CANNOT_WRITE_STATE).says(&["is damaged at byte 0"]);
    assert_eq!(stack.matomo().hits_of(7).len(), 40 + lines.len());
}
