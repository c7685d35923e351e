//! Archiving over HTTP, without PHP in the container: what Matomo is asked, and what its answers are taken for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rustix::process::Signal;
use tests::console::{Console, Plays, TOKEN, Web};

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");

fn console(web: &Web) -> Console {
    let console = Console::new(PROGRAM);
    console
        .unset("MATOMO_CONSOLE")
        .set("ARCHIVE_MODE", "http")
        .set("MATOMO_URL", &web.url())
        .set("MATOMO_TOKEN", TOKEN);
    console
}

#[test]
fn http_mode_asks_by_post_and_the_token_is_in_no_address_and_no_output() {
    let web = Web::open(Plays::Well);
    let ended = console(&web).set("LOG_LEVEL", "debug").run(&["once"]);
    ended
        .ends_with(0)
        .says(&["Site archived", "site=2"])
        .says(&["outcome=ok", "8 archives of 2 sites"])
        .never_says(TOKEN);
    let asked = web.asked();
    assert!(asked.iter().any(|asked| asked.body.contains("method=CoreAdminHome.runCronArchiving")), "{asked:?}");
    for request in asked {
        assert!(request.line.starts_with("POST /index.php HTTP/1.1"), "{}", request.line);
        assert!(request.body.contains(&format!("token_auth={TOKEN}")));
    }
}

#[test]
fn http_answers_are_read_to_the_end_and_judged() {
    for (plays, code, words) in [
        (Plays::Errors, 1, ["outcome=failed", "1 error"]),
        (Plays::Cut, 1, ["outcome=failed", "closed before the end"]),
        (Plays::Gateway, 1, ["outcome=failed", "Matomo may still be at work"]),
        (Plays::Page, 69, ["outcome=failed", "web page"]),
        (Plays::Maintenance, 75, ["outcome=maintenance", "503"]),
        (Plays::Forbidden, 1, ["outcome=failed", "answered with an error: You need superuser access"]),
        (Plays::Compressed, 1, ["outcome=unclear", "compressed"]),
        (Plays::Died, 1, ["outcome=failed", "status 500: nothing more"]),
        (Plays::Short, 1, ["outcome=unclear", "did not say how many archives"]),
        (Plays::Flood, 0, ["outcome=ok", "8 archives of 1 site"]),
        (Plays::Slowly(Duration::from_millis(500)), 0, ["outcome=ok", "8 archives of 2 sites"]),
    ] {
        let web = Web::open(plays);
        let ended = console(&web).run(&["once"]);
        ended.ends_with(code).says(&["Job ended", words[0], words[1]]).never_says(TOKEN);
        assert!(ended.output.len() < 20_000, "{plays:?}: {} bytes", ended.output.len());
        ended.never_says("<html>");
    }
}

#[test]
fn who_is_not_matomo_or_not_there_is_waited_for_and_named() {
    for (plays, words) in [
        (Plays::Nobody, ["status 503, for matomo.js too", "no Matomo is behind the address"]),
        (Plays::Moved, ["sends us elsewhere", "status 301, https://elsewhere.example.org/index.php"]),
    ] {
        let web = Web::open(plays);
        let ended = console(&web).set("WAIT_FOR_MATOMO", "1s").run(&["once"]);
        ended.ends_with(69).says(&["Matomo is not ready; waiting for it"]).says(&[
            "outcome=failed",
            words[0],
            words[1],
        ]);
    }
}

#[test]
fn an_answer_that_takes_too_long_is_given_up_and_said_so() {
    let web = Web::open(Plays::Slowly(Duration::from_secs(60)));
    let ended = console(&web).set("JOB_TIMEOUT", "1s").run(&["once"]);
    ended.ends_with(124).says(&["outcome=\"timed out\"", "no answer in time", "Matomo may still be at work"]);
}

#[test]
fn a_wrong_token_and_a_silent_server_are_told() {
    let web = Web::open(Plays::Well);
    let console = console(&web);
    console.set("MATOMO_TOKEN", "00000000000000000000000000000000");
    // Waiting makes no token better.
    console.run(&["once"]).ends_with(69).says(&["status 401", "superuser"]).never_says("waiting");
    console.set("WAIT_FOR_MATOMO", "1s");
    console.run(&["check"]).ends_with(69).says(&["FAULT", "status 401"]).says(&["superuser"]);
    console.set("MATOMO_TOKEN", TOKEN).run(&["check"]).ends_with(0).says(&["ok", "Matomo 5.0.2 answers"]);
    console.run(&["check"]).says(&["ok", "the token is a superuser's"]);
    drop(web);
    let web = Web::open(Plays::Forbidden);
    let no = console.set("MATOMO_URL", &web.url()).run(&["check"]);
    no.ends_with(78).says(&["FAULT", "not a superuser's"]).says(&["set MATOMO_TOKEN"]);
    drop(web);
    console.run(&["once"]).ends_with(69).says(&["cannot reach"]);
    let web = Web::open(Plays::Maintenance);
    console.set("MATOMO_URL", &web.url()).run(&["check"]).ends_with(0).says(&["advice", "maintenance mode"]);
}

#[test]
fn a_stop_lets_an_answer_come_to_its_end() {
    let web = Web::open(Plays::Slowly(Duration::from_millis(1_500)));
    let console = console(&web);
    let mut running = console.start(&["once"]);
    running.until_it_says("Site archived").signal(Signal::TERM);
    running.wait().ends_with(0).says(&["may finish first"]).says(&["outcome=ok"]);
}

#[test]
fn a_second_term_waits_for_no_answer() {
    let web = Web::open(Plays::Slowly(Duration::from_secs(60)));
    let console = console(&web);
    let mut running = console.start(&["once"]);
    running.until_it_says("Site archived").signal(Signal::TERM).until_it_says("may finish first").signal(Signal::TERM);
    running.wait().ends_with(143).says(&["outcome=stopped"]);
}

#[test]
fn scheduled_tasks_can_be_asked_for_and_console_jobs_cannot() {
    let web = Web::open(Plays::Well);
    let console = console(&web);
    console.run(&["once", "scheduled-tasks"]).ends_with(0).says(&["outcome=ok"]);
    console.run(&["once", "free"]).ends_with(1).says(&["needs Matomo's console"]);
    console.set("CONSOLE_JOB_X", "@daily core:x").run(&["run"]).ends_with(78).says(&["these jobs need it: x"]);
}
