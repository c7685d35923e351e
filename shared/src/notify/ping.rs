//! The watchman who misses us when we are silent.

use std::hash::{BuildHasher as _, RandomState};

use super::end_of;
use crate::{config::Address, http::Http, job::Report};

/// What such services keep of a body.
const BODY_BYTES_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Ping {
    http: Http,
    url: Address,
    run: String,
}

impl Ping {
    pub(super) fn new(http: Http, url: Address) -> Self {
        Self { http, url, run: new_run() }
    }

    pub(super) async fn started(&mut self) -> Result<bool, String> {
        self.run = new_run();
        self.send("/start", String::new()).await
    }

    pub(super) async fn ended(&mut self, report: &Report) -> Result<bool, String> {
        let body = format!("{}\n{}\n", report.sentence, report.tail);
        let body = end_of(&body, BODY_BYTES_MAX).to_owned();
        self.send(if report.is_bad() { "/fail" } else { "" }, body).await
    }

    async fn send(&self, suffix: &str, body: String) -> Result<bool, String> {
        let (place, query) = self.url.as_str().split_once('?').unwrap_or((self.url.as_str(), ""));
        let separator = if query.is_empty() { "" } else { "&" };
        let url = format!("{place}{suffix}?{query}{separator}rid={}", self.run);
        accepted(self.http.post(&url, "text/plain; charset=utf-8", body).await)
    }
}

/// Whether a server took what it was told; the reason has neither the address nor the answer in it.
pub(super) fn accepted(answer: Result<crate::http::Answer, crate::http::HttpError>) -> Result<bool, String> {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(true),
        Ok(answer) => Err(format!("the server answered {}", answer.status)),
        Err(error) => Err(error.reason()),
    }
}

/// A random name for a run, in the form that such services expect.
fn new_run() -> String {
    let half = || RandomState::new().hash_one(jiff::Timestamp::now());
    let (high, low) = (half(), half());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff,
        low & 0xffff_ffff_ffff
    )
}
