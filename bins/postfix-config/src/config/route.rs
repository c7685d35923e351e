//! Which way mail leaves: a decision from a handful of variables, made once and whole.

use shared::config::{Declared, Reader, Setting};

use super::token::{TokenSource, Tokens};
use crate::value::{ClientLevel, Password, Port, Relay, TlsMode, User};

const PORT_PLAIN: Port = Port::new(25);
const PORT_LOGIN: Port = Port::new(587);
const PORT_IMPLICIT: Port = Port::new(465);
/// Ports on which servers speak TLS from the first byte.
const PORTS_IMPLICIT: [u16; 2] = [465, 2465];

shared::settings! {
    /// The variables that decide the way.
    pub struct RouteSettings {
        /// Server that all mail is handed to; without it, mail goes directly to the servers of its recipients.
        pub relay: Option<Relay> = optional("MTP_RELAY").formerly(&["RELAYHOST"]).example("smtp.example.org"),
        /// Port of MTP_RELAY. Default: 25, with a login 587, with implicit TLS 465.
        pub port: Option<Port> = optional("MTP_PORT").example("587"),
        /// Name of the login at MTP_RELAY.
        pub user: Option<User> = optional("MTP_USER").formerly(&["RELAYHOST_USERNAME"]).example("reports@example.org"),
        /// Password of the login at MTP_RELAY, taken as it stands. It is never sent unencrypted.
        pub password: Option<Password> = optional("MTP_PASS").verbatim().formerly(&["RELAYHOST_PASSWORD"]),
        /// A token in place of the password.
        pub tokens: Tokens,
        /// How encryption to MTP_RELAY begins. Default: implicit on ports 465 and 2465, else starttls.
        pub tls_mode: Option<TlsMode> = optional("MTP_TLS_MODE").example("implicit"),
        /// Protection of mail on its way out. Default: encrypt with a login or implicit TLS, else may.
        pub level: Option<ClientLevel> = optional("SMTP_TLS_SECURITY_LEVEL").example("secure"),
    }
}

/// The way that mail takes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The server that all mail is handed to; else mail goes to the servers of its recipients.
    pub relay: Option<Upstream>,
    /// Its protection.
    pub level: ClientLevel,
}

/// A server that all mail is handed to.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name or address, in lower case, without brackets.
    pub host: String,
    /// Its port.
    pub port: Port,
    /// `[host]:port`: the next hop and the key of the password map, which must be the same.
    pub next_hop: String,
    /// When encryption begins.
    pub tls_mode: TlsMode,
    /// What it is told of us.
    pub login: Option<Login>,
}

/// A whole login.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name.
    pub user: User,
    /// What proves that it is ours.
    pub proof: Proof,
}

/// What proves that a login is ours.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A password, for as long as we run.
    Password(Password),
    /// An access token (XOAUTH2), which lasts an hour or so, and where the next one comes from.
    Token(TokenSource),
}

impl Upstream {
    /// The password of its login; nothing when there is no login, or one by token.
    pub fn password(&self) -> Option<&Password> {
        match &self.login.as_ref()?.proof {
            Proof::Password(password) => Some(password),
            Proof::Token(_) => None,
        }
    }
}

impl Route {
    /// The way in a few words, for the log and for the head of the file.
    pub fn in_words(&self) -> String {
        let Some(relay) = &self.relay else {
            return format!("directly to the servers of the recipients, TLS level {}", self.level);
        };
        let tls = match (relay.tls_mode, self.level) {
            (TlsMode::Implicit, level) => format!("implicit TLS, level {level}"),
            (TlsMode::StartTls, ClientLevel::None) => "no TLS".to_owned(),
            (TlsMode::StartTls, level) => format!("STARTTLS, level {level}"),
        };
        let login = match relay.login.as_ref().map(|login| &login.proof) {
            Some(Proof::Password(_)) => "with a login",
            Some(Proof::Token(_)) => "with a login by token (XOAUTH2)",
            None => "without a login",
        };
        format!("through {}, {tls}, {login}", relay.next_hop)
    }

    /// The login, if there is one.
    pub fn login(&self) -> Option<&Login> {
        self.relay.as_ref()?.login.as_ref()
    }

    /// Where the tokens of the login come from, if it is by token.
    pub fn tokens(&self) -> Option<&TokenSource> {
        match &self.login()?.proof {
            Proof::Password(_) => None,
            Proof::Token(source) => Some(source),
        }
    }
}

impl Declared for Route {
    fn declared() -> Vec<Setting> {
        RouteSettings::declared()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let settings = RouteSettings::read(reader)?;
        let judged = decide(&settings);
        judged.notices.into_iter().for_each(|notice| reader.notice(notice));
        let clashes = !judged.clashes.is_empty();
        judged.clashes.into_iter().for_each(|clash| reader.clash(clash));
        judged.route.filter(|_| !clashes)
    }
}

/// What came of the variables.
#[derive(Default)]
struct Judged {
    route: Option<Route>,
    clashes: Vec<String>,
    notices: Vec<String>,
}

impl Judged {
    fn clash(&mut self, sentence: &str) {
        self.clashes.push(sentence.to_owned());
    }

    fn notice(&mut self, sentence: &str) {
        self.notices.push(sentence.to_owned());
    }
}

fn decide(settings: &RouteSettings) -> Judged {
    let mut judged = Judged::default();
    let login = whole_login(settings, &mut judged);
    judged.route = match &settings.relay {
        None => Some(direct(settings, &mut judged)),
        Some(relay) => Some(through(relay, login, settings, &mut judged)),
    };
    judged
}

/// Half a login would be refused by the relay, and the mail bounced.
fn whole_login(settings: &RouteSettings, judged: &mut Judged) -> Option<Login> {
    let token = settings.tokens.0.clone().map(Proof::Token);
    let password = settings.password.clone().map(Proof::Password);
    match (settings.user.clone(), token, password) {
        (_, Some(_), Some(_)) => judged.clash("MTP_PASS is set, and a token in its place (MTP_OAUTH_…) too: keep one of them"),
        (Some(user), Some(proof), None) | (Some(user), None, Some(proof)) => return Some(Login { user, proof }),
        (None, None, None) => {}
        (Some(_), None, None) => judged.clash("MTP_USER is set but MTP_PASS is not: a login needs both; set MTP_PASS (or MTP_PASS_FILE), or remove MTP_USER"),
        (None, None, Some(_)) => judged.clash("MTP_PASS is set but MTP_USER is not: a login needs both; set MTP_USER, or remove MTP_PASS"),
        (None, Some(_), None) => judged.clash("tokens are asked for (MTP_OAUTH_…) but MTP_USER is not set: set it to the mail address that has signed in"),
    }
    None
}

fn direct(settings: &RouteSettings, judged: &mut Judged) -> Route {
    if settings.user.is_some() || settings.password.is_some() || settings.tokens.0.is_some() {
        judged.clash(
            "MTP_USER and MTP_PASS are a login at MTP_RELAY, which is not set: set MTP_RELAY, or remove the login",
        );
    }
    if settings.port.is_some() {
        judged.notice("MTP_PORT is ignored, because it is the port of MTP_RELAY, which is not set");
    }
    if settings.tls_mode.is_some() {
        judged.notice("MTP_TLS_MODE is ignored, because it is about MTP_RELAY, which is not set");
    }
    Route { relay: None, level: settings.level.unwrap_or(ClientLevel::May) }
}

fn through(relay: &Relay, login: Option<Login>, settings: &RouteSettings, judged: &mut Judged) -> Route {
    let port = port_of(relay, login.is_some(), settings, judged);
    let by_port = if PORTS_IMPLICIT.contains(&port.get()) { TlsMode::Implicit } else { TlsMode::StartTls };
    let tls_mode = settings.tls_mode.unwrap_or(by_port);
    let insists = login.is_some() || tls_mode == TlsMode::Implicit;
    let level = settings.level.unwrap_or(if insists { ClientLevel::Encrypt } else { ClientLevel::May });
    if tls_mode == TlsMode::Implicit && !level.insists() {
        judged.clash(&format!(
            "SMTP_TLS_SECURITY_LEVEL is {level}, but implicit TLS to MTP_RELAY (port {port}) is encrypted or nothing: \
             set encrypt, verify or secure, or remove it"
        ));
    } else if login.is_some() && level == ClientLevel::None {
        judged.clash(
            "SMTP_TLS_SECURITY_LEVEL is none, but MTP_USER and MTP_PASS are set, and a password is never sent unencrypted: \
             set encrypt, verify or secure, or remove the login",
        );
    } else if matches!(level, ClientLevel::Dane | ClientLevel::DaneOnly) && settings.tokens.0.is_some() {
        judged.clash(&format!(
            "SMTP_TLS_SECURITY_LEVEL is {level}, which a login by token (MTP_OAUTH_…) does not know: set encrypt, verify or secure"
        ));
    } else if login.is_some() && !level.insists() {
        judged.notice(&format!(
            "SMTP_TLS_SECURITY_LEVEL is {level}, weaker than encrypt: the password still needs TLS, and mail waits when there is none"
        ));
    }
    let next_hop = relay.with_port(port);
    Route { relay: Some(Upstream { host: relay.host().to_owned(), port, next_hop, tls_mode, login }), level }
}

fn port_of(relay: &Relay, login: bool, settings: &RouteSettings, judged: &mut Judged) -> Port {
    match (relay.port, settings.port) {
        (Some(one), Some(other)) if one != other => {
            judged.clash(&format!("MTP_RELAY says port {one} and MTP_PORT says port {other}: keep one of them"));
            one
        }
        (Some(port), _) | (None, Some(port)) => port,
        (None, None) if settings.tls_mode == Some(TlsMode::Implicit) => PORT_IMPLICIT,
        (None, None) => {
            if login {
                PORT_LOGIN
            } else {
                PORT_PLAIN
            }
        }
    }
}
