//! `send-test`: a real message through the running Postfix, and what became of it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use lettre::message::Mailbox;
use lettre::{Message, SmtpTransport, Transport as _};
use shared::config::Value as _;
use shared::entry::{Exit, Failure};

use crate::config::Settings;
use crate::outcome::{self, Outcome, Status};
use crate::postfix::listening_at;
use crate::value::MailAddress;

const ANSWER_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Sends a message and waits for what becomes of it.
pub fn send_test(address: &str, wait_seconds: u64) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let to = MailAddress::parse(address).map_err(|why| {
        Failure::new(Exit::Usage, format!("{address:?} is not a mail address: {why}"))
            .help("for example: postfix-config send-test you@example.org")
    })?;
    let queue_id = send(&settings, &to)?;
    super::say(&format!("Postfix has taken the message to {to} as {queue_id}\n"));
    Ok(tell(&queue_id, &settings, Duration::from_secs(wait_seconds)))
}

/// Hands the message to Postfix; the answer is its name in the queue.
fn send(settings: &Settings, to: &MailAddress) -> Result<String, Failure> {
    let impossible = |error: Box<dyn std::error::Error + Send + Sync>| Failure::new(Exit::Software, error);
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| impossible(error.into()));
    let now = Timestamp::now();
    let message = Message::builder()
        .from(mailbox(&settings.own_sender())?)
        .to(mailbox(to.as_str())?)
        .subject(format!("Test message of the mail relay {}", settings.host))
        .message_id(Some(format!("<{}{}@{}>", outcome::TEST_MARK, now.as_nanosecond(), settings.host)))
        .body(format!("This is a test of {}, sent at {now}.\nIf you can read it, mail leaves.\n", settings.host))
        .map_err(|error| impossible(error.into()))?;
    let address = listening_at(settings);
    let postfix = SmtpTransport::builder_dangerous(address.to_string())
        .port(settings.listen_port.get())
        .timeout(Some(ANSWER_MAX))
        .build();
    let answer = postfix.send(&message).map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("Postfix at {address} port {} does not take the message: {error}", settings.listen_port),
        )
        .help("is `postfix-config run` running in this container? Otherwise its log says why it refused")
    })?;
    // "2.0.0 Ok: queued as 4F2A1B"
    let words = answer.message().collect::<Vec<_>>().join(" ");
    Ok(words.rsplit(' ').next().unwrap_or_default().to_owned())
}

fn tell(queue_id: &str, settings: &Settings, wait: Duration) -> Exit {
    let begin = Instant::now();
    let folder = settings.place.data_dir.as_path();
    while begin.elapsed() < wait {
        if let Some(Outcome { status, text, .. }) = Outcome::read(folder).filter(|outcome| outcome.queue_id == queue_id)
        {
            let (sentence, exit) = match status {
                Status::Sent => ("it was sent", Exit::Done),
                Status::Deferred => ("it waits in the queue and is tried again", Exit::TryAgain),
                Status::Bounced => ("it was refused for good", Exit::Failed),
            };
            super::say(&format!("{sentence}: {text}\n"));
            return exit;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    super::say(&format!(
        "nothing is known of it after {} seconds; see `postfix-config queue` and the log\n",
        wait.as_secs()
    ));
    Exit::TryAgain
}
