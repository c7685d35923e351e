//! Talks to the relay as Postfix will, one step at a time, and says which step fails and why. No mail is sent, and no
//! password leaves unencrypted.

mod certificate;
mod dialogue;
mod login;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Route, Upstream};
use crate::value::{ClientLevel, Password, TlsMode};
use certificate::Trust;
pub use dialogue::{Dialogue, Reply};

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
/// A login by token needs the `token` that is current.
pub fn probe(route: &Route, token: Option<&Password>, ca_files: &[PathBuf], host: &str) -> Findings {
    let mut findings = Findings::default();
    match &route.relay {
        None => {
            findings.advice("there is no MTP_RELAY to talk to: mail goes directly to the servers of its recipients");
        }
        Some(relay) => {
            let talk = Talk { relay, token, level: route.level, ca_files, host };
            if let Err(Stop { what, help }) = talk.through(&mut findings) {
                findings.0.push(Finding::Fault { what, help });
            }
        }
    }
    findings
}

/// A relay that was found, encrypted as it must be and logged in at, with what it offers now.
pub struct Opened {
    /// The connection.
    pub dialogue: Dialogue,
    /// The answer to EHLO.
    pub offers: Reply,
}

/// The same steps for mail that is to follow.
///
/// # Errors
/// Which step failed and why, on one line.
pub fn open(
    relay: &Upstream,
    token: &Password,
    level: ClientLevel,
    ca_files: &[PathBuf],
    host: &str,
) -> Result<Opened, String> {
    let talk = Talk { relay, token: Some(token), level, ca_files, host };
    talk.open(&mut Findings::default()).map_err(|stop| stop.what)
}

struct Talk<'a> {
    relay: &'a Upstream,
    token: Option<&'a Password>,
    level: ClientLevel,
    ca_files: &'a [PathBuf],
    host: &'a str,
}

const LOOK_AT_PORT: &str =
    "look at MTP_RELAY, MTP_PORT and MTP_TLS_MODE: port 587 begins with STARTTLS, port 465 with TLS";

impl Talk<'_> {
    fn through(&self, findings: &mut Findings) -> Result<(), Stop> {
        let Opened { mut dialogue, .. } = self.open(findings)?;
        if self.relay.login.is_none() {
            self.try_sender(&mut dialogue, findings)?;
        }
        // The answer of a server that is left does not matter.
        let _ = dialogue.ask("QUIT");
        Ok(())
    }

    fn open(&self, findings: &mut Findings) -> Result<Opened, Stop> {
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
        if let Some(login) = &self.relay.login {
            self.log_in(&mut dialogue, &offers, login, findings)?;
        }
        Ok(Opened { dialogue, offers })
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
