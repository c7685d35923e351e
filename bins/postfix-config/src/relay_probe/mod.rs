//! Talks to the relay as Postfix will, one step at a time, and says which step fails and why. No mail is sent, and no
//! password leaves unencrypted.

mod certificate;
mod dialogue;
mod login;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Route, Settings, Upstream};
use crate::main_cf;
use crate::value::{ClientLevel, List, Password, Protocol, TlsMode};
use certificate::Trust;
pub use dialogue::{Dialogue, Reply};

/// How many addresses of a name Postfix tries (`smtp_mx_address_limit`).
const ADDRESSES_MAX: usize = 5;

/// How long Postfix waits for a relay.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection (`smtp_connect_timeout`).
    pub connect: Duration,
    /// For the greeting and each answer (`smtp_helo_timeout`).
    pub answer: Duration,
}

impl Default for Patience {
    /// The defaults of Postfix 3.7.
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), answer: Duration::from_secs(300) }
    }
}

/// How Postfix goes about a talk.
#[derive(Debug, Clone)]
pub struct Client {
    /// Our own name.
    pub host: String,
    /// Files of the authorities that are trusted.
    pub ca_files: Vec<PathBuf>,
    /// The protection that is wanted.
    pub level: ClientLevel,
    /// The Internet protocols that are used.
    pub protocols: List<Protocol>,
    /// How long it waits.
    pub patience: Patience,
    /// Whether an operator says which mechanisms it may log in by.
    pub has_filter: bool,
}

impl Client {
    /// As the settings say; time limits are those of Postfix's defaults.
    pub fn of(settings: &Settings) -> Self {
        Self {
            host: settings.host.as_str().to_owned(),
            ca_files: main_cf::ca_files(settings),
            level: settings.route.level,
            protocols: settings.protocols.clone(),
            patience: Patience::default(),
            has_filter: settings.overrides.iter().any(|(name, _)| name == "smtp_sasl_mechanism_filter"),
        }
    }
}

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

    /// Why one address of several does not work.
    fn one_of_many(&mut self, address: SocketAddr, stop: &Stop) {
        self.advice(format!("one of several addresses does not work, {}: {}", address.ip(), stop.what));
    }

    fn advice(&mut self, what: impl Into<String>) {
        self.0.push(Finding::Advice(what.into()));
    }
}

/// Talks to the relay. A login by token needs the `token` that is current.
pub fn probe(route: &Route, token: Option<&Password>, client: &Client) -> Findings {
    let mut findings = Findings::default();
    match &route.relay {
        None => {
            findings.advice("there is no MTP_RELAY to talk to: mail goes directly to the servers of its recipients");
        }
        Some(relay) => {
            let talk = Talk { relay, token, client };
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
pub fn open(relay: &Upstream, token: &Password, client: &Client) -> Result<Opened, String> {
    let talk = Talk { relay, token: Some(token), client };
    let addresses = talk.addresses(&mut Findings::default()).map_err(|stop| stop.what)?;
    let mut why = String::new();
    for address in addresses {
        match talk.open(address, &mut Findings::default()) {
            Ok(opened) => return Ok(opened),
            Err(stop) => why = stop.what,
        }
    }
    Err(why)
}

struct Talk<'a> {
    relay: &'a Upstream,
    token: Option<&'a Password>,
    client: &'a Client,
}

const LOOK_AT_PORT: &str =
    "look at MTP_RELAY, MTP_PORT and MTP_TLS_MODE: port 587 begins with STARTTLS, port 465 with TLS";

impl Talk<'_> {
    /// Postfix takes the addresses of a name as they come, so each is talked to: one that works is enough.
    fn through(&self, findings: &mut Findings) -> Result<(), Stop> {
        let mut failed: Option<(SocketAddr, Findings, Stop)> = None;
        let mut works = None;
        for address in self.addresses(findings)? {
            let mut found = Findings::default();
            match self.talk_with(address, &mut found) {
                Ok(()) if works.is_none() => works = Some(found),
                Ok(()) => {}
                // The one that came farthest says most.
                Err(stop) if failed.as_ref().is_none_or(|(_, other, _)| found.0.len() > other.0.len()) => {
                    let before = failed.replace((address, found, stop));
                    before.into_iter().for_each(|(address, _, stop)| findings.one_of_many(address, &stop));
                }
                Err(stop) => findings.one_of_many(address, &stop),
            }
        }
        match (works, failed) {
            (Some(found), failed) => {
                findings.0.extend(found.0);
                failed.into_iter().for_each(|(address, _, stop)| findings.one_of_many(address, &stop));
                Ok(())
            }
            (None, Some((_, found, stop))) => {
                findings.0.extend(found.0);
                Err(stop)
            }
            (None, None) => Ok(()),
        }
    }

    fn talk_with(&self, address: SocketAddr, findings: &mut Findings) -> Result<(), Stop> {
        let Opened { mut dialogue, .. } = self.open(address, findings)?;
        if self.relay.login.is_none() {
            self.try_sender(&mut dialogue)?;
        }
        // The answer of a server that is left does not matter.
        let _ = dialogue.ask("QUIT");
        Ok(())
    }

    fn open(&self, address: SocketAddr, findings: &mut Findings) -> Result<Opened, Stop> {
        let mut dialogue = self.connect(address, findings)?;
        if self.relay.tls_mode == TlsMode::Implicit {
            dialogue = self.encrypt(dialogue, findings)?;
        }
        let greeting = dialogue.hear().map_err(|error| Stop::at(format!("greeting: {error}"), LOOK_AT_PORT))?;
        self.expect(&greeting, 220, "greeting", LOOK_AT_PORT)?;
        findings.good(format!("greeting: {}", greeting.first()));
        let mut offers = self.hello(&mut dialogue)?;
        if self.relay.tls_mode == TlsMode::StartTls && self.client.level != ClientLevel::None {
            if offers.offers("STARTTLS") {
                let go = self.ask(&mut dialogue, "STARTTLS", "STARTTLS")?;
                self.expect(&go, 220, "STARTTLS", LOOK_AT_PORT)?;
                dialogue = self.encrypt(dialogue, findings)?;
                offers = self.hello(&mut dialogue)?;
            } else if self.client.level.insists() {
                let help = "ask the provider for the port with TLS; without a login, SMTP_TLS_SECURITY_LEVEL=may sends unencrypted";
                return Err(Stop::at(
                    format!("STARTTLS: the relay does not offer it, and the level is {}", self.client.level),
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

    /// The addresses that Postfix would try.
    fn addresses(&self, findings: &mut Findings) -> Result<Vec<SocketAddr>, Stop> {
        let (host, port) = (self.relay.host.as_str(), self.relay.port.get());
        let unknown = |why: String| {
            Stop::at(
                format!("name: {host} cannot be resolved: {why}"),
                "look at MTP_RELAY, and at the name servers of this container",
            )
        };
        let all: Vec<SocketAddr> =
            (host, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        if all.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        let mut used = all.clone();
        used.retain(|address| self.client.protocols.iter().any(|protocol| protocol.has(address.ip())));
        if used.is_empty() {
            let what = format!("name: {host} is {}, and MTP_PROTOCOLS is {}", listed(&all), self.client.protocols);
            return Err(Stop::at(what, "look at MTP_PROTOCOLS, and at what the name stands for in this container"));
        }
        findings.good(format!("name: {host} is {}", listed(&used)));
        used.truncate(ADDRESSES_MAX);
        Ok(used)
    }

    fn connect(&self, address: SocketAddr, findings: &mut Findings) -> Result<Dialogue, Stop> {
        let Patience { connect, answer } = self.client.patience;
        let help = "look at MTP_PORT, and whether a firewall lets this container out";
        let stream = TcpStream::connect_timeout(&address, connect)
            .map_err(|error| Stop::at(format!("TCP: cannot connect to {address}: {error}"), help))?;
        findings.good(format!("TCP: connected to {address}"));
        Dialogue::on(stream, answer).map_err(|error| Stop::at(format!("TCP: {error}"), help))
    }

    fn encrypt(&self, dialogue: Dialogue, findings: &mut Findings) -> Result<Dialogue, Stop> {
        let trust = Trust::load(&self.client.ca_files, &self.relay.host);
        let trust = trust.map_err(|why| Stop::at(format!("TLS: {why}"), "look at MTP_RELAY and MTP_CA_FILE"))?;
        let dialogue = dialogue.encrypt(&trust).map_err(|error| Stop::at(format!("TLS: {error}"), LOOK_AT_PORT))?;
        findings.good(format!("TLS: {}", dialogue.cipher().unwrap_or_default()));
        match trust.objection() {
            None => findings.good(format!("certificate: it is trusted and names {}", self.relay.host)),
            Some(why) if self.client.level.verifies() => {
                let help = "put the certificate of the relay's authority into a file and set MTP_CA_FILE; MTP_RELAY must be the name in the certificate";
                return Err(Stop::at(
                    format!("certificate: {why}; the level {} demands a trusted one", self.client.level),
                    help,
                ));
            }
            Some(why) => findings.advice(format!(
                "certificate: {why}; the level {} does not look at it, SMTP_TLS_SECURITY_LEVEL=secure would",
                self.client.level
            )),
        }
        Ok(dialogue)
    }

    fn hello(&self, dialogue: &mut Dialogue) -> Result<Reply, Stop> {
        let offers = self.ask(dialogue, "EHLO", &format!("EHLO {}", self.client.host))?;
        self.expect(&offers, 250, "EHLO", "look at MTP_HOST: the relay may want a name that exists")?;
        Ok(offers)
    }

    /// A relay that wants a login says so here.
    fn try_sender(&self, dialogue: &mut Dialogue) -> Result<(), Stop> {
        let answer = self.ask(dialogue, "MAIL FROM", "MAIL FROM:<>")?;
        if answer.code == 530 {
            let what = format!("MAIL FROM: the relay wants a login: {}", answer.first());
            return Err(Stop::at(what, "set MTP_USER and MTP_PASS; without them mail waits"));
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

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ")
}
