//! Every environment variable of postfix-config, declared once.

mod inbound;
mod overrides;
mod route;
mod services;
#[cfg(test)]
mod tests;
mod token;

use std::net::{Ipv4Addr, SocketAddr};

use jiff::tz::TimeZone;
use shared::config::{Count, Neighbours, Size, Span, Value as _};
use shared::logging::LogOptions;

use crate::anonymize::Anonymize;
use crate::value::{Banner, CleanPath, Domain, HostName, Interface, List, MailAddress, Network, Port, Protocol, Relay};

pub use inbound::{Certificate, Inbound};
pub use overrides::{OWNED, Overrides, instead_of};
pub use route::{Login, Proof, Route, Upstream};
pub use services::{Change, Line, Services};
pub use token::{Endpoint, TokenSource};

/// The port that OpenDKIM suggests.
const MILTER_PORT: Port = Port::new(8891);

shared::settings! {
    /// What postfix-config reads from its environment.
    pub struct Settings {
        /// Name of this relay, as it greets others and signs what it sends.
        pub host: HostName = required("MTP_HOST").example("mail.example.org"),
        /// Which way mail leaves.
        pub route: Route,
        /// Further certificate authorities that the relay's certificate may come from, beside those of the image.
        pub ca_file: Option<CleanPath> = optional("MTP_CA_FILE").example("/run/secrets/ca.pem"),
        /// Clients that may send through this relay.
        pub networks: List<Network> = default("MTP_NETWORKS", "127.0.0.0/8, [::1]/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, [fc00::]/7"),
        /// Domains that a sender's address must belong to; any when unset.
        pub allowed_sender_domains: List<Domain> = optional("MTP_ALLOWED_SENDER_DOMAINS").formerly(&["ALLOWED_SENDER_DOMAINS"]).example("example.org"),
        /// Address that replaces every sender, in the envelope and in the headers From and Sender. Reply-To stays, and so does the empty sender of notices of failure.
        pub sender: Option<MailAddress> = optional("MTP_SENDER").example("reports@example.org"),
        /// Domains whose host names are cut off in addresses: with example.org, a@www.example.org becomes a@example.org.
        pub masquerade_domains: List<Domain> = optional("MTP_MASQUERADE_DOMAINS").formerly(&["MASQUERADED_DOMAINS"]).example("example.org"),
        /// Whether headers that describe the inside of this installation are removed from what leaves.
        pub header_privacy: bool = default("MTP_HEADER_PRIVACY", "no").example("yes"),
        /// Messages handed to one destination a minute, at most; the others wait in the queue. Not limited when unset.
        pub messages_per_minute: Option<Count<1, 60>> = optional("MTP_MESSAGES_PER_MINUTE").example("30"),
        /// A DKIM signer to pass each message through. If it does not answer, mail leaves unsigned.
        pub dkim_milter: Option<Relay> = optional("MTP_DKIM_MILTER").example("opendkim:8891"),
        /// Domains for which mail ends here. This relay has no mailboxes, so it is refused instead of being sent on.
        pub destination: List<Domain> = optional("MTP_DESTINATION").example("localhost"),
        /// Domains for which mail is accepted from everybody and sent on.
        pub relay_domains: List<Domain> = optional("MTP_RELAY_DOMAINS").example("example.org"),
        /// What clients read first.
        pub banner: Option<Banner> = optional("MTP_BANNER").example("$myhostname ESMTP $mail_name"),
        /// Interfaces on which mail is accepted.
        pub interfaces: List<Interface> = default("MTP_INTERFACES", "all"),
        /// Internet protocols that are used.
        pub protocols: List<Protocol> = default("MTP_PROTOCOLS", "all"),
        /// Largest message; Postfix's 10240000 bytes when unset, no limit when 0.
        pub message_size: Option<Size> = optional("MTP_MS_SIZE_LIMIT").example("20M"),
        /// Encryption that clients are offered.
        pub inbound: Inbound,
        /// Port on which mail is accepted.
        pub listen_port: Port = default("MTP_LISTEN_PORT", "25"),
        /// Time zone of the dates in mail.
        pub zone: Option<TimeZone> = optional("TZ").example("Europe/Copenhagen"),
        /// Port of the loopback where Postfix hands over mail that leaves with a token (MTP_OAUTH_…).
        pub gate_port: Port = default("MTP_OAUTH_PORT", "10587"),
        /// Parameters passed through.
        pub overrides: Overrides,
        /// Services of Postfix.
        pub services: Services,
        /// Whether and how addresses are veiled in the log: `smart` leaves the first and the last letter of a name and the end of a domain, `paranoid` the end of a domain.
        pub anonymize: Anonymize = default("ANONYMIZE_EMAILS", "no").example("smart"),
        /// Where Postfix lives.
        pub place: Place,
        /// How long Postfix may take to stop.
        pub grace: Span = shared::shutdown::GRACE,
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// Where Postfix lives: all that a command needs that only asks.
    pub struct Place {
        /// Folder of the written configuration. Nothing of Postfix's own is in it, so an empty one will do.
        pub config_dir: CleanPath = default("MTP_CONFIG_DIR", "/run/postfix-config"),
        /// Folder of the queue: mount a volume.
        pub queue_dir: CleanPath = default("MTP_QUEUE_DIR", "/var/spool/postfix"),
        /// Folder of Postfix's caches and locks.
        pub data_dir: CleanPath = default("MTP_DATA_DIR", "/var/lib/postfix"),
    }
}

shared::settings! {
    /// The few settings that `health` needs: it must answer when others are wrong.
    pub struct HealthSettings {
        /// Where Postfix lives.
        pub place: Place,
        /// When it is not well.
        pub limits: HealthLimits,
    }
}

shared::settings! {
    /// When the queue counts as stuck.
    pub struct HealthLimits {
        /// `health` fails when a message waits longer than this.
        pub queue_age: Span = default("MTP_HEALTH_QUEUE_AGE", "4h"),
        /// `health` fails when more messages wait than this; not limited when unset.
        pub queue_count: Option<Count<0, 1_000_000>> = optional("MTP_HEALTH_MAX_DEFERRED").example("100"),
    }
}

/// Everything that `run` and `health` read together, for the page of settings and for misspelt names.
struct Documented;

impl shared::config::Declared for Documented {
    fn declared() -> Vec<shared::config::Setting> {
        [Settings::declared(), HealthLimits::declared()].concat()
    }

    fn read(_: &mut shared::config::Reader) -> Option<Self> {
        None
    }
}

impl Settings {
    /// Where Postfix hands over mail that leaves with a token; nothing when none does.
    pub fn gate(&self) -> Option<SocketAddr> {
        self.route.tokens().map(|_| (Ipv4Addr::LOCALHOST, self.gate_port.get()).into())
    }

    /// An address that may send: the one sender, the login if it is an address, or one of a domain that is allowed.
    pub fn own_sender(&self) -> String {
        let login =
            || self.route.login().map(|login| login.user.as_str()).filter(|user| MailAddress::parse(user).is_ok());
        match (&self.sender, self.allowed_sender_domains.iter().next()) {
            (Some(sender), _) => sender.to_string(),
            (None, Some(domain)) => format!("postmaster@{domain}"),
            (None, None) => login().map_or_else(|| format!("postmaster@{}", self.host), str::to_owned),
        }
    }

    /// What was odd but understood, beside what the reader has noticed itself.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.host.repaired() {
            notices.push(format!("MTP_HOST was not a plain host name; it was taken as {}", self.host));
        }
        if self.networks.iter().any(Network::is_everything) {
            notices.push("MTP_NETWORKS lets everybody send through this relay".to_owned());
        }
        if !self.destination.is_empty() {
            notices.push(format!(
                "mail to {} is refused, as MTP_DESTINATION asks: this relay has no mailboxes",
                self.destination
            ));
        }
        if self.route.relay.is_none() {
            notices.push("MTP_RELAY is not set: mail goes directly to the servers of its recipients".to_owned());
        }
        notices
    }
}

/// How Postfix names a milter.
pub fn milter_address(milter: &Relay) -> String {
    let port = milter.port.unwrap_or(MILTER_PORT);
    format!("inet:{}", milter.with_port(port))
}

/// Reads settings from pairs, for tests.
#[cfg(test)]
pub fn from_pairs(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let reading = shared::config::read::<Settings>(variables.iter().copied(), &neighbours());
    reading.map(|reading| reading.settings).map_err(|error| error.to_string())
}

/// The rows of this program in `docs/reference/environment.md`.
pub fn reference() -> String {
    shared::config::reference::<Documented>()
}

/// Which unknown variables are worth a warning: those that look like ours.
pub fn neighbours() -> Neighbours {
    Neighbours {
        ours: &["MTP_", "SMTP_", "SMTPD_"],
        // Read by `health` alone.
        theirs: &["MTP_HEALTH_*"],
    }
}
