//! A mail when an incident begins, and one when it is over.

use std::{fmt, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

use super::{News, NotifyOptions};
use crate::words::sentence;
use crate::{config::Value, job::Report};

const SMTP_PATIENCE: Duration = Duration::from_secs(5);

/// Somebody's address: `ops@example.org` or `Operators <ops@example.org>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(Mailbox);

impl Value for MailAddress {
    fn rule() -> String {
        "a mail address".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| String::new())
    }
}

/// A mail server by name and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    host: String,
    port: u16,
}

impl Value for Relay {
    fn rule() -> String {
        "the name of a mail server, with a port if it is not 25".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "25"));
        let port = port.parse().map_err(|_| "its port is not a number".to_owned())?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("it names no host".to_owned());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// The sender cannot be made up from the name of this host.
#[derive(Debug, thiserror::Error)]
#[error("the name of this host makes no sender of mails; set NOTIFY_MAIL_FROM")]
pub(super) struct SenderError;

pub(super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    /// What did not get through and is still true: a server that was down, or puts strangers off.
    owed: Option<News>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Mail {
    pub(super) fn new(options: &NotifyOptions) -> Result<Option<Self>, SenderError> {
        if options.mail_to.is_empty() {
            return Ok(None);
        }
        let Relay { host, port } = &options.mail_relay;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str());
        let from = match &options.mail_from {
            Some(MailAddress(from)) => from.clone(),
            None => format!("sidecar@{}", host_name()).parse().map_err(|_| SenderError)?,
        };
        Ok(Some(Self {
            transport: transport.port(*port).timeout(Some(SMTP_PATIENCE)).build(),
            from,
            to: options.mail_to.iter().map(|to| to.0.clone()).collect(),
            owed: None,
        }))
    }

    pub(super) async fn tell(&mut self, news: Option<News>, job: &str, report: &Report) -> Result<bool, String> {
        self.owed = news.or(self.owed);
        let Some(news) = self.owed else { return Ok(false) };
        let message = self.message(news, job, report)?;
        self.transport.send(message).await.map_err(|error| sentence(&error))?;
        self.owed = None;
        Ok(true)
    }

    fn message(&self, news: News, job: &str, report: &Report) -> Result<Message, String> {
        let host = host_name();
        let body = format!(
            "{}\n\nJob: {job} on {host}\nResult: {} (exit code {})\n\nLast lines of its output:\n{}\n\n{}\n",
            report.sentence,
            report.result.word(),
            report.exit.code(),
            report.tail,
            match news {
                News::Begins => "No further mail follows until the job works again.",
                News::Over => "The job works again.",
            }
        );
        let message = Message::builder().from(self.from.clone()).subject(format!("[{host}] {job} {}", news.word()));
        let message = self.to.iter().fold(message, |message, to| message.to(to.clone()));
        message.header(ContentType::TEXT_PLAIN).body(body).map_err(|error| sentence(&error))
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
