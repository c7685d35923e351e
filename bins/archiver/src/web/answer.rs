//! From an answer over HTTP to an outcome: the status first, then the words that the console says, too.

use shared::entry::Exit;
use shared::http::{Answer, HttpError};

use super::{Method, Silent};
use crate::judge::{Ending, judge};
use crate::outcome::{Class, Outcome};
use crate::transcript::{Mark, Transcript, hide};

/// How a compressed answer begins.
const GZIP: &[u8] = b"\x1f\x8b";

const HELP_GATEWAY: &str = "raise the time limit of the web server or proxy in front of Matomo (it must outlast an archiving), or use console mode; Matomo may still be at work";
const HELP_TIMEOUT: &str = "see by `archiver status` which sites take long; JOB_TIMEOUT is the longest time for a job";
const HELP_ELSEWHERE: &str = "set MATOMO_URL to the address that Matomo itself has, with https:// if it sends us there";
const HELP_500: &str =
    "read the log of Matomo's web server: PHP out of memory or out of time, or a folder that cannot be written, end so";
const HELP_NOT_MATOMO: &str = "see what answers at MATOMO_URL: it must be Matomo's own address, without index.php";

/// What an answer is, by its first bytes: PHP calls any text a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    Text,
    Page,
    Compressed,
}

impl BodyKind {
    pub(super) fn of(body: &[u8]) -> Self {
        if body.starts_with(GZIP) {
            BodyKind::Compressed
        } else if body.trim_ascii_start().starts_with(b"<") {
            BodyKind::Page
        } else {
            BodyKind::Text
        }
    }
}

pub(super) fn outcome(method: Method, said: &Transcript, answer: &Answer, is_page: bool) -> Outcome {
    match answer.status {
        200 if is_page && said.archives.is_none() => {
            Outcome::new(Class::Failed, "the answer is a web page, not the report of a job")
                .exit(Exit::Unavailable)
                .help(HELP_NOT_MATOMO)
        }
        200 => judge(method.kind(), said, Ending::code(0)),
        status @ (401 | 403) => {
            Outcome::new(Class::Failed, Silent::Token { status }.to_string()).help(super::HELP_TOKEN)
        }
        status @ (502 | 504) => {
            let sentence = format!("the web server gave up waiting for Matomo (status {status})");
            Outcome::new(Class::Failed, sentence).help(HELP_GATEWAY)
        }
        status @ 300..=399 => {
            let to = elsewhere(answer);
            Outcome::new(Class::Failed, Silent::Elsewhere { status, to }.to_string()).help(HELP_ELSEWHERE)
        }
        500 if said.has(Mark::Memory) || said.has(Mark::Database) || said.errors_total.is_some() => {
            judge(method.kind(), said, Ending::code(255))
        }
        status => {
            let text = match (&said.api_error, said.tail().last()) {
                (Some(message), _) => message,
                (None, _) if is_page => "a web page",
                (None, text) => text.unwrap_or("nothing more"),
            };
            Outcome::new(Class::Failed, format!("Matomo answered with status {status}: {text}")).help(HELP_500)
        }
    }
}

pub(super) fn no_answer(error: &HttpError) -> Outcome {
    let sentence = crate::sentence(error);
    match error {
        HttpError::NotSent { .. } => {
            Outcome::new(Class::Failed, sentence).exit(Exit::Unavailable).help(HELP_NOT_MATOMO)
        }
        HttpError::TimedOut { .. } => {
            Outcome::new(Class::TimedOut, format!("{sentence}; Matomo may still be at work")).help(HELP_TIMEOUT)
        }
        HttpError::Closed { .. } | HttpError::TooLarge { .. } => {
            Outcome::new(Class::Failed, sentence).help(HELP_GATEWAY)
        }
    }
}

pub(super) fn elsewhere(answer: &Answer) -> String {
    let to = answer.location.as_deref().unwrap_or("nowhere");
    hide(&to.chars().take(200).collect::<String>())
}

/// How an answer begins, on one line; of a page that nobody would want to read in a log, what it is.
pub(super) fn beginning(body: &[u8]) -> String {
    if BodyKind::of(body) == BodyKind::Page {
        return "a web page".to_owned();
    }
    let error = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = error.as_ref().and_then(|error| error["message"].as_str()).map(str::as_bytes);
    let text = message.unwrap_or(body);
    let text = String::from_utf8_lossy(&text[..text.len().min(400)]);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.as_str() {
        "" => "nothing more".to_owned(),
        text => hide(&text.chars().take(200).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_is_one_line_for_people() {
        assert_eq!(beginning(b"{\"result\":\"error\",\"message\":\"no\\n database\"}"), "no database");
        assert_eq!(beginning(b" <!DOCTYPE html>\n<html>"), "a web page");
        assert_eq!(beginning(b"Error:\n  token_auth=0123 is bad"), "Error: token_auth=(hidden) is bad");
        assert_eq!(beginning(b""), "nothing more");
    }

    fn answer(status: u16) -> Answer {
        Answer { status, body: Vec::new(), content_type: None, location: None, date: None, elapsed: Duration::ZERO }
    }

    #[test]
    fn an_answer_is_judged_by_status_and_text() {
        let ask = |method, status, text: &str| {
            let is_page = BodyKind::of(text.as_bytes()) == BodyKind::Page;
            outcome(method, &Transcript::of(text), &answer(status), is_page).class
        };
        let class = |status, text: &str| ask(Method::Archive, status, text);
        assert_eq!(class(200, include_str!("../transcript/samples/ok.txt")), Class::Ok);
        assert_eq!(class(200, "Finished archiving for site 1, 8 API requests, Time elapsed: 3.3s"), Class::Unclear);
        assert_eq!(class(200, ""), Class::Unclear);
        assert_eq!(class(200, "{\"value\":7}"), Class::Unclear);
        assert_eq!(class(200, "<html>Installation</html>"), Class::Failed);
        assert_eq!(class(200, "{\"result\":\"error\",\"message\":\"no\"}"), Class::Failed);
        assert_eq!(class(401, ""), Class::Failed);
        assert_eq!(class(504, ""), Class::Failed);
        assert_eq!(class(302, ""), Class::Failed);
        assert_eq!(class(500, "Allowed memory size of 1 bytes exhausted"), Class::Failed);
        let tasks = |text: &str| ask(Method::ScheduledTasks, 200, text);
        assert_eq!(tasks(r#"[{"task":"a","output":"Time elapsed: 0.1s"}]"#), Class::Ok);
        assert_eq!(tasks("[]"), Class::Ok);
        assert_eq!(tasks(r#"[{"task":"a","output":"ERROR: no"}]"#), Class::Failed);
        assert_eq!(tasks("{}"), Class::Unclear);
    }
}
