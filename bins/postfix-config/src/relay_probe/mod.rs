//! Talks to the relay as Postfix will, one step at a time, and says which step fails and why. No mail is sent, and no
//! password leaves unencrypted.

mod certificate;
mod dialogue;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Login, Route, Upstream};
use crate::value::{ClientLevel, TlsMode};
use certificate::Trust;
use dialogue::{Dialogue, Reply};

/// A relay that is slower than this keeps mail waiting anyway.
const STEP_MAX: Duration = Duration::from_secs(10);
/// A name with more addresses than these is tried no further.
const ADDRESSES_MAX: usize = 4;

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good(String),
    /// Worth knowing.
    Advice(String),
    /// Mail would not leave.
    Fault {
        /// Which step failed, and why.
        what: String,
        /// What to do about it.
        help: &'static str,
    },
}

/// Everything found out, up to the first fault.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

/// The step that ended the talk.
struct Stop {
    what: String,
    help: &'static str,
}

impl Stop {
    fn at(what: impl Into<String>, help: &'static str) -> Self {
        Self { what: what.into(), help }
    }
}

impl Findings {
    /// Whether mail would not leave.
    pub fn has_fault(&self) -> bool {
        self.0.iter().any(|finding| matches!(finding, Finding::Fault { .. }))
    }

    fn good(&mut self, what: impl Into<String>) {
        self.0.push(Finding::Good(what.into()));
    }

    fn advice(&mut self, what: impl Into<String>) {
        self.0.push(Finding::Advice(what.into()));
    }
}

/// Talks to the relay. `ca_files` are the authorities that Postfix trusts, `host` is our own name.
pub fn probe(route: &Route, ca_files: &[PathBuf], host: &str) -> Findings {
    let mut findings = Findings::default();
    match &route.relay {
        None => {
            findings.advice("there is no MTP_RELAY to talk to: mail goes directly to the servers of its recipients");
        }
        Some(relay) => {
            let talk = Talk { relay, level: route.level, ca_files, host };
            if let Err(Stop { what, help }) = talk.through(&mut findings) {
                findings.0.push(Finding::Fault { what, help });
            }
        }
    }
    findings
}

struct Talk<'a> {
    relay: &'a Upstream,
    level: ClientLevel,
    ca_files: &'a [PathBuf],
    host: &'a str,
}

const LOOK_AT_PORT: &str =
    "look at MTP_RELAY, MTP_PORT and MTP_TLS_MODE: port 587 begins with STARTTLS, port 465 with TLS";

impl Talk<'_> {
    fn through(&self, findings: &mut Findings) -> Result<(), Stop> {
        let stream = self.connect(findings)?;
        let mut dialogue = Dialogue::on(stream);
        if self.relay.tls_mode == TlsMode::Implicit {
            dialogue = self.encrypt(dialogue, findings)?;
        }
        let greeting = dialogue.hear().map_err(|error| Stop::at(format!("greeting: {error}"), LOOK_AT_PORT))?;
        self.expect(&greeting, 220, "greeting", LOOK_AT_PORT)?;
        findings.good(format!("greeting: {}", greeting.first()));
        let mut offers = self.hello(&mut dialogue)?;
        if self.relay.tls_mode == TlsMode::StartTls && self.level != ClientLevel::None {
            if offers.offers("STARTTLS") {
                let go = self.ask(&mut dialogue, "STARTTLS", "STARTTLS")?;
                self.expect(&go, 220, "STARTTLS", LOOK_AT_PORT)?;
                dialogue = self.encrypt(dialogue, findings)?;
                offers = self.hello(&mut dialogue)?;
            } else if self.level.insists() {
                let help = "ask the provider for the port with TLS; without a login, SMTP_TLS_SECURITY_LEVEL=may sends unencrypted";
                return Err(Stop::at(
                    format!("STARTTLS: the relay does not offer it, and the level is {}", self.level),
                    help,
                ));
            } else {
                findings.advice("STARTTLS: the relay does not offer it, so mail leaves unencrypted");
            }
        }
        match &self.relay.login {
            Some(login) => self.log_in(&mut dialogue, &offers, login, findings)?,
            None => self.try_sender(&mut dialogue, findings)?,
        }
        // The answer of a server that is left does not matter.
        let _ = dialogue.ask("QUIT");
        Ok(())
    }

    fn connect(&self, findings: &mut Findings) -> Result<TcpStream, Stop> {
        let (host, port) = (self.relay.host.as_str(), self.relay.port.get());
        let unknown = |why: String| {
            Stop::at(
                format!("name: {host} cannot be resolved: {why}"),
                "look at MTP_RELAY, and at the name servers of this container",
            )
        };
        let addresses: Vec<SocketAddr> =
            (host, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        findings.good(format!("name: {host} is {}", shown.join(", ")));
        let mut refusals = Vec::new();
        for address in addresses.iter().take(ADDRESSES_MAX) {
            match TcpStream::connect_timeout(address, STEP_MAX) {
                Ok(stream) => {
                    findings.good(format!("TCP: connected to {address}"));
                    let limited =
                        stream.set_read_timeout(Some(STEP_MAX)).and_then(|()| stream.set_write_timeout(Some(STEP_MAX)));
                    return limited.map(|()| stream).map_err(|error| Stop::at(format!("TCP: {error}"), ""));
                }
                Err(error) => refusals.push(format!("{address}: {error}")),
            }
        }
        let help = "look at MTP_PORT, and whether a firewall lets this container out";
        Err(Stop::at(format!("TCP: cannot connect to {}", refusals.join("; ")), help))
    }

    fn encrypt(&self, dialogue: Dialogue, findings: &mut Findings) -> Result<Dialogue, Stop> {
        let trust = Trust::load(self.ca_files, &self.relay.host);
        let trust = trust.map_err(|why| Stop::at(format!("TLS: {why}"), "look at MTP_RELAY and MTP_CA_FILE"))?;
        let dialogue = dialogue.encrypt(&trust).map_err(|error| Stop::at(format!("TLS: {error}"), LOOK_AT_PORT))?;
        findings.good(format!("TLS: {}", dialogue.cipher().unwrap_or_default()));
        match trust.objection() {
            None => findings.good(format!("certificate: it is trusted and names {}", self.relay.host)),
            Some(why) if self.level.verifies() => {
                let help = "put the certificate of the relay's authority into a file and set MTP_CA_FILE; MTP_RELAY must be the name in the certificate";
                return Err(Stop::at(
                    format!("certificate: {why}; the level {} demands a trusted one", self.level),
                    help,
                ));
            }
            Some(why) => findings.advice(format!(
                "certificate: {why}; the level {} does not look at it, SMTP_TLS_SECURITY_LEVEL=secure would",
                self.level
            )),
        }
        Ok(dialogue)
    }

    fn hello(&self, dialogue: &mut Dialogue) -> Result<Reply, Stop> {
        let offers = self.ask(dialogue, "EHLO", &format!("EHLO {}", self.host))?;
        self.expect(&offers, 250, "EHLO", "look at MTP_HOST: the relay may want a name that exists")?;
        Ok(offers)
    }

    fn log_in(
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
        let has = |name: &str| mechanisms.iter().any(|offered| offered.eq_ignore_ascii_case(name));
        let (user, password) = (login.user.as_str(), login.password.reveal());
        let answer = if has("PLAIN") {
            let words = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")));
            self.ask(dialogue, "AUTH", &words)?
        } else if has("LOGIN") {
            let first = self.ask(dialogue, "AUTH", "AUTH LOGIN")?;
            self.expect(&first, 334, "AUTH", LOOK_AT_LOGIN)?;
            let second = self.ask(dialogue, "AUTH", &STANDARD.encode(user))?;
            self.expect(&second, 334, "AUTH", LOOK_AT_LOGIN)?;
            self.ask(dialogue, "AUTH", &STANDARD.encode(password))?
        } else if mechanisms.is_empty() {
            return Err(Stop::at(
                "AUTH: the relay offers no login",
                "remove MTP_USER and MTP_PASS, or look at MTP_PORT",
            ));
        } else {
            findings.advice(format!(
                "AUTH: the relay offers {}, which this probe does not speak; Postfix may",
                mechanisms.join(" ")
            ));
            return Ok(());
        };
        self.expect(&answer, 235, "AUTH", LOOK_AT_LOGIN)?;
        findings.good(format!("AUTH: the relay takes the login of {user}"));
        Ok(())
    }

    /// A relay that wants a login says so here.
    fn try_sender(&self, dialogue: &mut Dialogue, findings: &mut Findings) -> Result<(), Stop> {
        let answer = self.ask(dialogue, "MAIL FROM", "MAIL FROM:<>")?;
        if answer.code == 530 {
            let what = format!("MAIL FROM: the relay wants a login: {}", answer.first());
            return Err(Stop::at(what, "set MTP_USER and MTP_PASS; without them mail waits"));
        }
        match answer.code {
            250 => findings.good("MAIL FROM: the relay takes mail without a login"),
            _ => findings.advice(format!("MAIL FROM: the relay says {}", answer.first())),
        }
        Ok(())
    }

    fn ask(&self, dialogue: &mut Dialogue, step: &str, words: &str) -> Result<Reply, Stop> {
        dialogue.ask(words).map_err(|error| Stop::at(format!("{step}: {error}"), LOOK_AT_PORT))
    }

    fn expect(&self, reply: &Reply, code: u16, step: &str, help: &'static str) -> Result<(), Stop> {
        match reply.code == code {
            true => Ok(()),
            false => Err(Stop::at(format!("{step}: the relay says {}", reply.first()), help)),
        }
    }
}

const LOOK_AT_LOGIN: &str = "look at MTP_USER and MTP_PASS, and whether the provider allows logins from programs";
