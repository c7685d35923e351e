//! Postfix itself, tried: does it get as far as a recipient at the relay?
//!
//! A Postfix of its own, with the configuration in question and an empty queue, verifies one recipient at the relay
//! (address verification: connection, TLS, login, sender, recipient, and no message). So the answer holds for whatever
//! was passed through to Postfix, and for what our own talk with the relay does not speak. A Postfix that runs is left alone.

use std::io::{self, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shared::config::Value as _;
use shared::entry::{Exit, Failure};
use shared::process::{Limits, Line};
use shared::shutdown::Shutdown;

use super::ownership::Owner;
use super::ready::{be_root, own_folders};
use super::{Postfix, Refusal, not_installed};
use crate::config::{Place, Settings};
use crate::mail_log::Said;
use crate::master_cf;
use crate::plan::{Plan, Secrets};
use crate::relay_probe::Patience;
use crate::value::CleanPath;

/// A recipient elsewhere, at a domain that is reserved for such purposes (RFC 2606), so that the relay must send it on.
pub const RECIPIENT: &str = "postmaster@example.com";
const SOCKET: &str = "trial";
/// Name, connection, greeting, TLS, login, sender and recipient may each take as long as Postfix waits.
const TRIAL_MAX: Duration = Duration::from_secs(1_800);
const START_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What Postfix says in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its status code: `2.1.5`.
    pub status: String,
    /// The reason: mostly the words of the relay.
    pub text: String,
}

impl Verdict {
    /// Reads `to=<…>, relay=…, dsn=2.1.5, status=deliverable (250 ok)`.
    fn read(said: &Said<'_>) -> Option<Self> {
        let (head, tail) = said.text.split_once(" status=")?;
        let is_ours = head.contains(&format!("to=<{RECIPIENT}>"));
        let (word, text) = tail.split_once(' ').filter(|_| is_ours)?;
        let status = head.split_once("dsn=")?.1.trim_end_matches(',').to_owned();
        let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).to_owned();
        ["deliverable", "undeliverable"].contains(&word).then_some(Self { status, text })
    }

    /// The relay takes the recipient.
    pub fn is_yes(&self) -> bool {
        self.status.starts_with('2')
    }

    /// The relay refuses this recipient, who is made up, and not us: by a status about addresses or mailboxes (RFC 3463).
    pub fn is_about_recipient(&self) -> bool {
        ["5.1.", "5.2."].iter().any(|class| self.status.starts_with(class))
            && self.text.ends_with("(in reply to RCPT TO command)")
    }
}

/// Tries it in a folder that goes afterwards.
///
/// # Errors
/// When it cannot be tried.
pub async fn trial(settings: &Settings, folder: &Path) -> Result<Verdict, Failure> {
    be_root()?;
    let shutdown = Shutdown::listen().map_err(|error| Failure::new(Exit::Software, error))?;
    let settings = aside(settings, folder)?;
    own_folders(&settings, Owner::of_image()?)?;
    let mut plan = Plan::of(&settings, folder, Secrets::Written);
    let services = plan.files.iter_mut().filter(|file| file.name == master_cf::NAME);
    services.for_each(|file| {
        file.text = master_cf::render_for_trial(&settings.services, SOCKET, &settings.own_sender());
    });
    plan.write()?;
    let postfix = Postfix::at(folder, settings.zone.as_ref());
    if let Some(refusal) = postfix.check().await.map_err(not_installed)? {
        return Err(Refusal::failure(vec![refusal]));
    }
    let socket = settings.place.queue_dir.join("public").join(SOCKET);
    let stop = shutdown.clone();
    // It ends by itself, at the latest when Postfix is gone.
    let knocking = thread::spawn(move || {
        let knocked = knock(&socket);
        if knocked.is_err() {
            stop.request();
        }
        knocked
    });
    let verdict = listen(&postfix, &shutdown).await?;
    let why = || match knocking.join() {
        Ok(Err(error)) => error.to_string(),
        _ => "it ended before it knew".to_owned(),
    };
    verdict.ok_or_else(|| Failure::new(Exit::Unavailable, why()))
}

/// The same settings for a Postfix in this folder.
fn aside(settings: &Settings, folder: &Path) -> Result<Settings, Failure> {
    let below = |name: &str| {
        let path = folder.join(name);
        CleanPath::parse(&path.to_string_lossy())
            .map_err(|_| Failure::new(Exit::Config, format!("Postfix cannot be tried in {}", path.display())))
    };
    let place = Place { config_dir: below("")?, queue_dir: below("queue")?, data_dir: below("data")? };
    Ok(Settings { place, ..settings.clone() })
}

/// What Postfix says in the end; nothing when it was stopped before.
async fn listen(postfix: &Postfix, shutdown: &Shutdown) -> Result<Option<Verdict>, Failure> {
    let master = postfix.master().await.map_err(not_installed)?;
    let running = postfix.program(&master).arg("-s").start().map_err(not_installed)?;
    let limits = Limits { hard: Some(TRIAL_MAX), ..Limits::default() };
    let (mut verdict, mut fatal) = (None, None);
    let hear = |line: Line<'_>| {
        let text = line.text();
        let said = Said::read(&text);
        if verdict.is_some() || fatal.is_some() {
            return;
        }
        verdict = Verdict::read(&said);
        // A program that cannot start would be started again and again.
        fatal = said.text.strip_prefix("fatal: ").map(str::to_owned);
        if verdict.is_some() || fatal.is_some() {
            shutdown.request();
        }
    };
    running.supervise_with(&limits, shutdown, hear).await;
    match fatal {
        Some(why) => Err(Failure::new(Exit::Unavailable, why)),
        None => Ok(verdict),
    }
}

/// Names the recipient to the smtpd of the trial. What it answers to that does not matter, because the log says it
/// better; but it must have understood.
fn knock(socket: &Path) -> io::Result<()> {
    let begin = Instant::now();
    let stream = loop {
        match UnixStream::connect(socket) {
            Err(_) if begin.elapsed() < START_MAX => thread::sleep(LOOK_EVERY),
            connected => break connected?,
        }
    };
    stream.set_read_timeout(Some(TRIAL_MAX))?;
    let mut reader = BufReader::new(stream);
    for words in ["", "EHLO trial", "MAIL FROM:<>", &format!("RCPT TO:<{RECIPIENT}>")] {
        if !words.is_empty() {
            reader.get_mut().write_all(format!("{words}\r\n").as_bytes())?;
        }
        let answer = last_line(&mut reader)?;
        let understood = answer.starts_with('2') || (words.starts_with("RCPT") && !answer.starts_with("50"));
        if !understood {
            return Err(io::Error::other(format!("its own smtpd says {answer:?} to {words:?}")));
        }
    }
    Ok(())
}

fn last_line(reader: &mut impl io::BufRead) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.trim_end().to_owned());
        }
    }
}

impl Postfix {
    /// How long this Postfix waits for a relay; what cannot be read is as Postfix's defaults.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn patience(&self) -> Result<Patience, shared::process::StartError> {
        let answer = self.ask("postconf", &["-h", "smtp_connect_timeout", "smtp_helo_timeout"]).await?;
        let spans = answer.stdout.lines().map(|line| shared::config::Span::parse(line.trim()).ok());
        let mut spans = spans.map(|span| span.map(shared::config::Span::get).filter(|span| !span.is_zero()));
        let known = Patience::default();
        let mut next = |default| spans.next().flatten().unwrap_or(default);
        Ok(Patience { connect: next(known.connect), answer: next(known.answer) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Option<Verdict> {
        Verdict::read(&Said { program: "smtp", queue_id: Some("A1"), text })
    }

    #[test]
    fn a_verdict_is_read_from_the_log() {
        let yes = verdict(
            "to=<postmaster@example.com>, relay=r[1.2.3.4]:25, delay=1, dsn=2.1.5, status=deliverable (250 2.1.5 ok)",
        )
        .unwrap();
        assert!(yes.is_yes() && yes.text == "250 2.1.5 ok");
        let recipient = "to=<postmaster@example.com>, relay=r, dsn=5.1.10, status=undeliverable (host r said: 550 5.1.10 no (in reply to RCPT TO command))";
        assert!(verdict(recipient).unwrap().is_about_recipient());
        let us = recipient.replace("dsn=5.1.10", "dsn=4.7.1");
        let us = verdict(&us).unwrap();
        assert!(!us.is_yes() && !us.is_about_recipient());
        assert_eq!(verdict("to=<a@b>, dsn=2.0.0, status=deliverable (ok)"), None);
        assert_eq!(verdict("message-id=<x>"), None);
    }
}
