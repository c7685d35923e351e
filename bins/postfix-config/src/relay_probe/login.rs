//! The step that logs in, by the mechanisms that Postfix would use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::dialogue::{Dialogue, Reply};
use super::{Findings, LOOK_AT_PORT, Stop, Talk};
use crate::config::{Login, Proof};
use crate::mechanism::BY_PASSWORD;

/// The mechanisms that this probe speaks itself. Cyrus SASL takes PLAIN before LOGIN.
const SPOKEN: [&str; 2] = ["plain", "login"];
const LOOK_AT_LOGIN: &str = "look at MTP_USER and MTP_PASS, and whether the provider allows logins from programs";
const LOOK_AT_TOKEN: &str =
    "see that MTP_USER is the address that has signed in, and that the token is one for sending mail";

impl Talk<'_> {
    pub(super) fn log_in(
        &self,
        dialogue: &mut Dialogue,
        offers: &Reply,
        login: &Login,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        if dialogue.cipher().is_none() {
            let help = "nothing was sent; ask the provider for the port with TLS";
            return Err(Stop::at(
                "AUTH: the connection is not encrypted, and a password is never sent over such a one",
                help,
            ));
        }
        let mechanisms = offers.mechanisms();
        if mechanisms.is_empty() {
            return Err(Stop::at(
                "AUTH: the relay offers no login",
                "remove MTP_USER and MTP_PASS, or look at MTP_PORT",
            ));
        }
        let user = login.user.as_str();
        let (answer, help) = match (&login.proof, self.token) {
            (Proof::Password(password), _) => match self.by_postfix_alone(&mechanisms)? {
                Some(why) => {
                    findings.advice(format!("AUTH: {why}"));
                    return Ok(());
                }
                None => (self.by_password(dialogue, &mechanisms, user, password.reveal())?, LOOK_AT_LOGIN),
            },
            (Proof::Token(_), Some(token)) => {
                (self.by_token(dialogue, &mechanisms, user, token.reveal())?, LOOK_AT_TOKEN)
            }
            (Proof::Token(_), None) => return Err(Stop::at("AUTH: there is no token", LOOK_AT_TOKEN)),
        };
        self.expect(&answer, 235, "AUTH", help)?;
        findings.good(format!("AUTH: the relay takes the login of {}", login.user));
        Ok(())
    }

    /// Why the login is left to Postfix, which takes the strongest mechanism and speaks more than this probe.
    fn by_postfix_alone(&self, offered: &[&str]) -> Result<Option<String>, Stop> {
        if self.client.has_filter {
            return Ok(Some(
                "POSTFIX_smtp_sasl_mechanism_filter is set, so the login is left to Postfix itself".to_owned(),
            ));
        }
        let (known, strange): (Vec<&str>, Vec<&str>) = offered.iter().partition(|name| has(&BY_PASSWORD, name));
        if known.is_empty() {
            let what = format!(
                "AUTH: the relay offers {}, and no login by name and password that Postfix can speak",
                strange.join(" ")
            );
            return Err(Stop::at(what, "look at MTP_PORT, or ask the provider for the port with PLAIN or LOGIN"));
        }
        let beyond = known.iter().any(|name| !has(&SPOKEN, name));
        Ok(beyond.then(|| format!("Postfix takes the strongest of {}, so the login is left to it", known.join(" "))))
    }

    fn by_password(
        &self,
        dialogue: &mut Dialogue,
        mechanisms: &[&str],
        user: &str,
        password: &str,
    ) -> Result<Reply, Stop> {
        if has(mechanisms, "PLAIN") {
            let words = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")));
            return self.ask(dialogue, "AUTH", &words);
        }
        let first = self.ask(dialogue, "AUTH", "AUTH LOGIN")?;
        self.expect(&first, 334, "AUTH", LOOK_AT_LOGIN)?;
        let second = self.ask(dialogue, "AUTH", &STANDARD.encode(user))?;
        self.expect(&second, 334, "AUTH", LOOK_AT_LOGIN)?;
        self.ask(dialogue, "AUTH", &STANDARD.encode(password))
    }

    fn by_token(&self, dialogue: &mut Dialogue, mechanisms: &[&str], user: &str, token: &str) -> Result<Reply, Stop> {
        if !has(mechanisms, "XOAUTH2") {
            let what = format!("AUTH: the relay offers {}, and no login by token (XOAUTH2)", mechanisms.join(" "));
            return Err(Stop::at(what, "set MTP_PASS in place of MTP_OAUTH_…, or look at MTP_PORT"));
        }
        let words = STANDARD.encode(format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"));
        let answer = self.ask(dialogue, "AUTH", &format!("AUTH XOAUTH2 {words}"))?;
        // A refusal comes as a question with its reason, and ends with an empty answer.
        match answer.code {
            334 => dialogue.ask("").map_err(|error| Stop::at(format!("AUTH: {error}"), LOOK_AT_PORT)),
            _ => Ok(answer),
        }
    }
}

fn has(mechanisms: &[&str], name: &str) -> bool {
    mechanisms.iter().any(|offered| offered.eq_ignore_ascii_case(name))
}
