//! `POSTFIX_<parameter>`: any parameter that has no variable of its own. Postfix says later whether it exists.

use shared::config::{Declared, Reader, Setting};

const PREFIX: &str = "POSTFIX_";

/// Parameters that cannot be passed through, and what to do instead.
pub const OWNED: &[(&str, &str)] = &[
    ("config_directory", "set MTP_CONFIG_DIR"),
    ("data_directory", "set MTP_DATA_DIR"),
    ("inet_interfaces", "set MTP_INTERFACES"),
    ("inet_protocols", "set MTP_PROTOCOLS"),
    ("local_transport", "this relay has no mailboxes"),
    ("maillog_file", "the log goes to standard output"),
    ("masquerade_domains", "set MTP_MASQUERADE_DOMAINS"),
    ("message_size_limit", "set MTP_MS_SIZE_LIMIT"),
    ("mydestination", "set MTP_DESTINATION"),
    ("myhostname", "set MTP_HOST"),
    ("mynetworks", "set MTP_NETWORKS"),
    ("queue_directory", "set MTP_QUEUE_DIR"),
    ("relay_domains", "set MTP_RELAY_DOMAINS"),
    ("relayhost", "set MTP_RELAY"),
    ("sender_canonical_maps", "set MTP_SENDER"),
    ("smtp_sasl_auth_enable", "set MTP_USER and MTP_PASS"),
    ("smtp_sasl_password_maps", "set MTP_USER and MTP_PASS"),
    ("smtp_sasl_security_options", "it keeps the password from being sent unencrypted"),
    ("smtp_sasl_tls_security_options", "it keeps the password from being sent unencrypted"),
    ("smtp_sasl_tls_verified_security_options", "it keeps the password from being sent unencrypted"),
    ("smtp_sasl_type", "the plugins of Cyrus SASL are used"),
    ("smtp_tls_security_level", "set SMTP_TLS_SECURITY_LEVEL"),
    ("smtp_tls_wrappermode", "set MTP_TLS_MODE"),
    ("smtpd_banner", "set MTP_BANNER"),
    ("smtpd_relay_restrictions", "set MTP_NETWORKS"),
    ("smtpd_sender_restrictions", "set MTP_ALLOWED_SENDER_DOMAINS"),
    ("smtpd_tls_cert_file", "set SMTPD_TLS_CERT_FILE"),
    ("smtpd_tls_key_file", "set SMTPD_TLS_KEY_FILE"),
    ("smtpd_tls_security_level", "set SMTPD_TLS_SECURITY_LEVEL"),
];

/// One parameter and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The name in `main.cf`.
    pub parameter: String,
    /// The value; Postfix fills in `$name`.
    pub value: String,
}

/// All of them, sorted by name.
#[derive(Debug, Clone, Default)]
pub struct Overrides(pub Vec<Override>);

impl Declared for Overrides {
    /// An open set has no list; the page of settings has a row for it.
    fn declared() -> Vec<Setting> {
        Vec::new()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let mut overrides = Vec::new();
        let mut clashes = Vec::new();
        for (parameter, value) in reader.open_set(PREFIX) {
            match judge(&parameter, &value) {
                Verdict::Take => overrides.push(Override { parameter, value }),
                Verdict::Ignore => {}
                Verdict::Odd(sentence) => reader.notice(sentence),
                Verdict::Refuse(sentence) => clashes.push(sentence),
            }
        }
        let refused = !clashes.is_empty();
        clashes.into_iter().for_each(|clash| reader.clash(clash));
        Some(Self(overrides)).filter(|_| !refused)
    }
}

enum Verdict {
    Take,
    Ignore,
    Odd(String),
    Refuse(String),
}

fn judge(parameter: &str, value: &str) -> Verdict {
    let name = format!("{PREFIX}{parameter}");
    // Engines describe a service called `postfix` by POSTFIX_PORT_25_TCP and the like.
    if is_service_link(parameter) {
        return Verdict::Ignore;
    }
    if parameter.contains(|c: char| c.is_ascii_uppercase()) {
        return Verdict::Odd(format!("{name} is ignored: the parameters of Postfix are written in small letters"));
    }
    if !parameter.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Verdict::Refuse(format!("{name} is no parameter of Postfix: those have small letters, digits and `_`"));
    }
    if let Some((_, instead)) = OWNED.iter().find(|(owned, _)| *owned == parameter) {
        return Verdict::Refuse(format!("{name} cannot be passed through: {instead}"));
    }
    if parameter.starts_with("multi_instance") {
        return Verdict::Refuse(format!("{name} cannot be passed through: there is one Postfix in this container"));
    }
    match value.chars().any(char::is_control) {
        true => Verdict::Refuse(format!("{name} must be text on one line")),
        false => Verdict::Take,
    }
}

fn is_service_link(rest: &str) -> bool {
    rest == "PORT"
        || rest == "NAME"
        || ["PORT_", "SERVICE_", "ENV_"].iter().any(|beginning| rest.starts_with(beginning))
}
