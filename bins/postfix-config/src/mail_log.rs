//! The lines that Postfix writes, as events: the level says who must act, and what says nothing about mail is quiet.

use tracing::{debug, error, info, warn};

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A person: mail is lost, or Postfix does not work.
    Error,
    /// Nobody yet: mail waits.
    Warn,
    /// Nobody: the way of a message.
    Info,
    /// Nobody: connections without mail.
    Debug,
}

/// One line of the mail log, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// The program of Postfix: `smtpd`, `qmgr`.
    pub program: &'a str,
    /// The message it is about.
    pub queue_id: Option<&'a str>,
    /// What was said.
    pub text: &'a str,
}

/// What an event of the log means for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Postfix accepts mail from now on.
    Ready,
    /// The relay wants a login and got none; mail waits.
    LoginMissing,
    /// The relay refuses us, by its rules and not because of a recipient; mail waits.
    Refused,
    /// The relay does not take the login; mail waits.
    LoginRefused,
    /// The relay offers no login that may be used; mail waits, and the password was not sent.
    LoginImpossible,
    /// Nothing special.
    Ordinary,
}

impl<'a> Said<'a> {
    /// Reads `Nov 24 10:54:51 host postfix/smtpd[123]: 4F2A1: text`, or what a program says before it has a log.
    pub fn read(line: &'a str) -> Self {
        let (program, text) = program_and_text(line);
        match text.split_once(": ") {
            Some((id, rest)) if is_queue_id(id) => Self { program, queue_id: Some(id), text: rest },
            _ => Self { program, queue_id: None, text },
        }
    }

    /// Who must act on it.
    pub fn level(&self) -> Level {
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| self.text.starts_with(beginning));
        match self.text {
            _ if begins(&["fatal: ", "panic: ", "error: "]) => Level::Error,
            text if text.contains("status=bounced") || text.contains("status=expired") => Level::Error,
            text if text.contains("status=deferred") => Level::Warn,
            _ if begins(&["warning: ", "reject: ", "milter-reject: "]) || self.text.contains("NOQUEUE: reject: ") => {
                Level::Warn
            }
            _ if self.program == "smtpd" && self.is_without_mail() => Level::Debug,
            _ => Level::Info,
        }
    }

    /// A probe connects and goes; a client that sends is named with its message, by `client=`.
    fn is_without_mail(&self) -> bool {
        [
            "connect from ",
            "disconnect from ",
            "lost connection after CONNECT ",
            "lost connection after QUIT ",
            "lost connection after EHLO ",
        ]
        .iter()
        .any(|beginning| self.text.starts_with(beginning))
    }

    /// What it means.
    pub fn meaning(&self) -> Meaning {
        let text = self.text;
        if self.program == "master" && text.starts_with("daemon started ") {
            return Meaning::Ready;
        }
        if let Some((_, refusal)) = text.split_once(" said: 5").or_else(|| text.split_once(" refused to talk to me: 5"))
            && text.contains("status=deferred")
            && !text.contains("SASL authentication failed")
        {
            return if is_about_a_login(refusal) { Meaning::LoginMissing } else { Meaning::Refused };
        }
        match text.split_once("SASL authentication failed").filter(|(before, _)| before.contains("status=deferred")) {
            Some((_, why)) if why.contains("cannot authenticate to server") => Meaning::LoginImpossible,
            Some(_) => Meaning::LoginRefused,
            None => Meaning::Ordinary,
        }
    }

    /// Tells our log; `relay` says whether mail leaves through one, or to many servers that nobody here can do anything about.
    pub fn tell(&self, relay: bool) {
        let (program, queue_id, text) = (self.program, self.queue_id, self.text);
        match self.level() {
            Level::Error => error!(program, queue_id, text, "mail log"),
            Level::Warn => warn!(program, queue_id, text, "mail log"),
            Level::Info => info!(program, queue_id, text, "mail log"),
            Level::Debug => debug!(program, queue_id, text, "mail log"),
        }
        match self.meaning() {
            _ if !relay => {}
            Meaning::LoginMissing => {
                error!(
                    "the relay wants a login and got none; mail waits until MTP_USER and MTP_PASS are set and TLS is possible"
                );
            }
            Meaning::Refused => {
                error!(
                    "the relay refuses us, and not a recipient; mail waits until its sender (MTP_SENDER), the login or the rules of the relay are right, and is returned after POSTFIX_maximal_queue_lifetime (5 days)"
                );
            }
            Meaning::LoginRefused => {
                warn!("the relay does not take the login; mail waits until MTP_USER and MTP_PASS are right");
            }
            Meaning::LoginImpossible => {
                warn!(
                    "the relay offers no login over this connection that keeps the password secret; it was not sent, mail waits"
                );
            }
            Meaning::Ready | Meaning::Ordinary => {}
        }
    }
}

/// Whether a refusal, without its first digit, says that a login or its encryption is missing.
fn is_about_a_login(refusal: &str) -> bool {
    let by_code = ["03", "30", "34", "35", "38"].iter().any(|code| refusal.starts_with(code));
    let said = refusal.to_ascii_lowercase();
    by_code || ["auth", "log in", "login", "logged in", "anmeld", "sign in"].iter().any(|word| said.contains(word))
}

/// `Nov 24 10:54:51 host postfix/smtpd[123]: text` has five words before its text.
fn program_and_text(line: &str) -> (&str, &str) {
    let whole = line.split_once("]: ").and_then(|(head, text)| {
        let (tag, pid) = head.rsplit(' ').next()?.rsplit_once('[')?;
        let is_head = head.split_whitespace().count() == 5 && pid.bytes().all(|b| b.is_ascii_digit());
        is_head.then(|| (tag.rsplit('/').next().unwrap_or(tag), text))
    });
    if let Some(found) = whole {
        return found;
    }
    // Before it has a log, a program writes `postfix/master: fatal: text`, or `postconf: warning: text`.
    match line.split_once(": ") {
        Some((tag, text)) if !tag.contains(' ') => (tag.rsplit('/').next().unwrap_or(tag), text),
        _ => ("postfix", line),
    }
}

/// Short ones are hexadecimal, long ones have no vowels.
fn is_queue_id(word: &str) -> bool {
    (6..=20).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric())
        && word.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let said = Said::read("Nov  4 10:54:51 x postfix/smtp[59]: 4F2A1B3C: to=<a@b>, status=sent (250 2.0.0 Ok)");
        let text = "to=<a@b>, status=sent (250 2.0.0 Ok)";
        assert_eq!(said, Said { program: "smtp", queue_id: Some("4F2A1B3C"), text });
        let said = Said::read("Nov 24 10:54:51 x postfix/smtpd[59]: connect from a[127.0.0.1]");
        assert_eq!(said, Said { program: "smtpd", queue_id: None, text: "connect from a[127.0.0.1]" });
        let said = Said::read("Nov 24 10:54:51 x postfix/relay/smtp[59]: warning: x[1]: y");
        assert_eq!(said, Said { program: "smtp", queue_id: None, text: "warning: x[1]: y" });
        let said = Said::read("postfix/master: fatal: bind 127.0.0.1 port 25: Address already in use");
        assert_eq!((said.program, said.text), ("master", "fatal: bind 127.0.0.1 port 25: Address already in use"));
        assert_eq!(Said::read("odd: [1]: 2").text, "[1]: 2");
        assert_eq!(Said::read("").text, "");
    }

    #[test]
    fn the_level_says_who_must_act() {
        for (line, level) in [
            ("postfix/smtp[1]: 4F2A1B3C: to=<a@b>, dsn=2.0.0, status=sent (250 ok)", Level::Info),
            ("postfix/smtp[1]: 4F2A1B3C: to=<a@b>, dsn=4.4.1, status=deferred (connect: refused)", Level::Warn),
            (
                "postfix/smtp[1]: 4F2A1B3C: to=<a@b>, dsn=5.7.0, status=bounced (host said: 530 5.7.0 login)",
                Level::Error,
            ),
            ("postfix/qmgr[1]: 4F2A1B3C: from=<a@b>, status=expired, returned to sender", Level::Error),
            (
                "postfix/smtpd[1]: NOQUEUE: reject: RCPT from a[10.0.0.1]: 554 5.7.1 <a@b>: Relay access denied",
                Level::Warn,
            ),
            ("postfix/smtpd[1]: connect from localhost[127.0.0.1]", Level::Debug),
            ("postfix/smtpd[1]: lost connection after CONNECT from localhost[127.0.0.1]", Level::Debug),
            ("postfix/smtpd[1]: lost connection after RCPT from localhost[127.0.0.1]", Level::Info),
            ("postfix/smtpd[1]: disconnect from localhost[127.0.0.1] quit=1 commands=1", Level::Debug),
            ("postfix/smtpd[1]: 4F2A1B3C: client=localhost[127.0.0.1]", Level::Info),
            ("postfix/smtpd[1]: warning: hostname x does not resolve", Level::Warn),
            ("postfix/smtp[1]: fatal: no SASL authentication mechanisms", Level::Error),
        ] {
            assert_eq!(Said::read(&format!("Nov 24 10:54:51 x {line}")).level(), level, "{line}");
        }
    }

    #[test]
    fn some_lines_mean_more() {
        let meaning = |text: &str| Said::read(&format!("Nov 24 10:54:51 x postfix/{text}")).meaning();
        assert_eq!(meaning("master[1]: daemon started -- version 3.7.11, configuration /c"), Meaning::Ready);
        let lost = "smtp[1]: 4F2A1B3C: to=<a@b>, status=deferred (host r[1.2.3.4] said: 550 5.7.0 Authentication required (in reply to MAIL FROM command))";
        assert_eq!(meaning(lost), Meaning::LoginMissing);
        assert_eq!(meaning(&lost.replace("Authentication required", "you may not")), Meaning::Refused);
        assert_eq!(meaning(&lost.replace("550 5.7.0 Authentication", "450 4.7.0 Authentication")), Meaning::Ordinary);
        let refused =
            "smtp[1]: 4F2A1B3C: to=<a@b>, status=deferred (SASL authentication failed; server r said: 535 5.7.8 no)";
        assert_eq!(meaning(refused), Meaning::LoginRefused);
        let impossible = "smtp[1]: 4F2A1B3C: to=<a@b>, status=deferred (SASL authentication failed; cannot authenticate to server r[1.2.3.4]: no mechanism available)";
        assert_eq!(meaning(impossible), Meaning::LoginImpossible);
        assert_eq!(meaning("smtp[1]: 4F2A1B3C: to=<a@b>, status=sent (250 said: 430)"), Meaning::Ordinary);
    }
}
