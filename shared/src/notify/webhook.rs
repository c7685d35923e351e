//! A JSON object for a chat or a ticket system, when an incident begins and when it is over.

use serde_json::json;

use super::{News, end_of, ping::accepted};
use crate::{config::Address, http::Http, job::Report};

const TAIL_BYTES_MAX: usize = 4_096;

#[derive(Debug)]
pub(super) struct Webhook {
    http: Http,
    url: Address,
    /// What did not get through and is still true.
    owed: Option<News>,
}

impl Webhook {
    pub(super) fn new(http: Http, url: Address) -> Self {
        Self { http, url, owed: None }
    }

    pub(super) async fn tell(&mut self, news: Option<News>, job: &str, report: &Report) -> Result<bool, String> {
        self.owed = news.or(self.owed);
        let Some(news) = self.owed else { return Ok(false) };
        let text = format!("{job} {}: {}", news.word(), report.sentence);
        let body = json!({
            "text": text,
            "job": job,
            "event": news.word(),
            "result": report.result.word(),
            "exit": report.exit.code(),
            "outcome": report.sentence,
            "tail": end_of(&report.tail, TAIL_BYTES_MAX),
            "moment": crate::words::whole_seconds(jiff::Timestamp::now()).to_string(),
        });
        accepted(self.http.post(self.url.as_str(), "application/json", body.to_string()).await)?;
        self.owed = None;
        Ok(true)
    }
}
