//! Tell a person, or a watchman: mail and webhook when an incident begins and ends, a ping at every run.
//!
//! Whoever is told may be down, slow or lie: a job never waits longer than ten seconds for all of them, and its result
//! never depends on them.

mod mail;
mod ping;
mod webhook;

use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use crate::{
    config::Address,
    entry::{Exit, Failure},
    http::{Http, HttpOptions, SetupError},
    job::Report,
    shutdown::Shutdown,
};
use mail::{Mail, MailAddress, Relay};
use ping::Ping;
use webhook::Webhook;

/// Longest wait for all who are told that a run begins.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for all who are told that a run ended.
const END_PATIENCE: Duration = Duration::from_secs(7);
/// The same while the program stops.
const STOPPING_PATIENCE: Duration = Duration::from_millis(500);
/// Nobody who is told answers with a book.
const ANSWER_BYTES_MAX: usize = 64 << 10;

crate::settings! {
    /// Who is told about runs. A group for the settings of any program with a job.
    pub struct NotifyOptions {
        /// Address of a watchman who misses us when we are silent: it is asked at the end of every run, with `/start` appended at the beginning and `/fail` after a failure. The addresses of healthchecks.io and its kind work as they are.
        pub ping_url: Option<Address> = optional("NOTIFY_PING_URL").example("https://hc-ping.com/your-uuid").secret(),
        /// Address that gets a JSON object when an incident begins and when it is over.
        pub webhook_url: Option<Address> = optional("NOTIFY_WEBHOOK_URL").example("https://chat.example.org/hooks/1").secret(),
        /// Who gets a mail when an incident begins and when it is over.
        pub mail_to: Vec<MailAddress> = optional("NOTIFY_MAIL_TO").example("ops@example.org"),
        /// Sender of these mails. Default: `sidecar` at the name of this host.
        pub mail_from: Option<MailAddress> = optional("NOTIFY_MAIL_FROM").example("sidecar@example.org"),
        /// Mail server that takes them without a password: the Postfix of the stack.
        pub mail_relay: Relay = default("NOTIFY_MAIL_RELAY", "postfix:25"),
    }
}

/// What has happened to a job, for those who are told about incidents only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// A run failed, and the one before did not.
    Begins,
    /// A run did its work again.
    Over,
}

impl News {
    fn word(self) -> &'static str {
        match self {
            News::Begins => "failing",
            News::Over => "recovered",
        }
    }
}

/// Tells whoever the settings name.
#[derive(Debug)]
pub struct Notifier {
    ping: Option<Ping>,
    webhook: Option<Webhook>,
    mail: Option<Mail>,
}

impl Notifier {
    /// For these settings; nobody is asked yet.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn new(options: &NotifyOptions) -> Result<Self, Failure> {
        let addresses = [&options.ping_url, &options.webhook_url];
        let http = match addresses.into_iter().flatten().next() {
            Some(_) => Some(client(addresses.into_iter().flatten().any(|url| url.as_str().starts_with("https")))?),
            None => None,
        };
        let with_http = |url: &Option<Address>| Some((http.clone()?, url.clone()?));
        Ok(Self {
            ping: with_http(&options.ping_url).map(|(http, url)| Ping::new(http, url)),
            webhook: with_http(&options.webhook_url).map(|(http, url)| Webhook::new(http, url)),
            mail: Mail::new(options).map_err(|error| Failure::new(Exit::Config, error))?,
        })
    }

    /// A run begins.
    pub(crate) async fn run_started(&mut self, _job: &str, shutdown: &Shutdown) {
        let Some(ping) = &mut self.ping else { return };
        told("ping", ping.started(), patience(START_PATIENCE, shutdown)).await;
    }

    /// A run ended; `was_bad` says how the one before did.
    pub(crate) async fn run_ended(&mut self, job: &str, report: &Report, was_bad: bool, shutdown: &Shutdown) {
        let news = match (was_bad, report.is_bad()) {
            _ if report.result == crate::job::RunResult::Stopped => None,
            (false, true) => Some(News::Begins),
            (true, false) => Some(News::Over),
            _ => None,
        };
        let patience = patience(END_PATIENCE, shutdown);
        let ping = async {
            if let Some(ping) = &mut self.ping {
                told("ping", ping.ended(report), patience).await;
            }
        };
        let webhook = async {
            if let Some(webhook) = &mut self.webhook {
                told("webhook", webhook.tell(news, job, report), patience).await;
            }
        };
        let mail = async {
            if let Some(mail) = &mut self.mail {
                told("mail", mail.tell(news, job, report), patience).await;
            }
        };
        tokio::join!(ping, webhook, mail);
    }
}

fn client(https: bool) -> Result<Http, SetupError> {
    Http::new(HttpOptions {
        connect_timeout: Duration::from_secs(4),
        deadline: END_PATIENCE,
        answer_bytes_max: ANSWER_BYTES_MAX,
        https,
        ..HttpOptions::named(concat!("sidecar/", env!("CARGO_PKG_VERSION")))
    })
}

fn patience(usual: Duration, shutdown: &Shutdown) -> Duration {
    if shutdown.requested() { STOPPING_PATIENCE } else { usual }
}

/// Waits for somebody to be told, not for long; trouble is a line in the log and nothing else.
async fn told(who: &'static str, telling: impl Future<Output = Result<bool, String>>, patience: Duration) {
    match timeout(patience, telling).await {
        Ok(Ok(true)) if who != "ping" => info!(who, "Notified"),
        Ok(Ok(_)) => {}
        Ok(Err(why)) => warn!(who, why, "A notification did not get through; the job is not affected"),
        Err(_) => warn!(who, why = "no answer in time", "A notification did not get through; the job is not affected"),
    }
}

/// The part of a text that fits, cut at its beginning: the end of an output says why.
fn end_of(text: &str, bytes_max: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_settings_reads_what_it_documents() {
        assert_eq!(crate::config::faults_in_declaration::<NotifyOptions>(), [""; 0]);
    }

    #[test]
    fn the_end_of_a_text_is_whole_characters() {
        assert_eq!((end_of("äöü", 3), end_of("äöü", 4), end_of("abc", 9)), ("ü", "öü", "abc"));
    }
}
