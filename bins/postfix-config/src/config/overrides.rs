//! `POSTFIX_<parameter>`: any parameter that has no variable of its own. Postfix says later whether it exists.

use shared::config::{Family, Kin, Standing, Value};
use shared::secret::HIDDEN;

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
    ("sender_canonical_classes", "set MTP_SENDER"),
    ("sender_canonical_maps", "set MTP_SENDER"),
    ("smtp_sasl_auth_enable", "set MTP_USER and MTP_PASS"),
    ("smtp_sasl_password_maps", "set MTP_USER and MTP_PASS"),
    ("smtp_sasl_security_options", "it keeps the password from being sent unencrypted"),
    ("smtp_sasl_tls_security_options", "it keeps the password from being sent unencrypted"),
    ("smtp_sasl_tls_verified_security_options", "it keeps the password from being sent unencrypted"),
    ("smtp_sasl_type", "the plugins of Cyrus SASL are used"),
    ("smtp_tls_CAfile", "set MTP_CA_FILE"),
    ("smtp_tls_security_level", "set SMTP_TLS_SECURITY_LEVEL"),
    ("smtp_tls_wrappermode", "set MTP_TLS_MODE"),
    ("smtpd_banner", "set MTP_BANNER"),
    ("smtpd_relay_restrictions", "set MTP_NETWORKS"),
    ("smtpd_sender_restrictions", "set MTP_ALLOWED_SENDER_DOMAINS"),
    ("smtpd_tls_cert_file", "set SMTPD_TLS_CERT_FILE"),
    ("smtpd_tls_key_file", "set SMTPD_TLS_KEY_FILE"),
    ("smtpd_tls_security_level", "set SMTPD_TLS_SECURITY_LEVEL"),
];

/// All of them, by the names of the parameters.
pub type Overrides = Family<Override>;

/// The value of one parameter; Postfix fills in `$name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override(String);

impl Override {
    /// As it stands in `main.cf`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Override {
    fn rule() -> String {
        "text on one line; the parameter must exist and have no variable of its own".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.chars().any(char::is_control) {
            true => Err("it has more than one line, or a control character".to_owned()),
            false => Ok(Self(text.trim().to_owned())),
        }
    }

    /// A table such as `static:` or `inline:` may hold a password; `postconf` shows all to whoever may read the files.
    fn shown(_: &str) -> String {
        HIDDEN.to_owned()
    }
}

impl Kin for Override {
    const NAMES: &'static str = "POSTFIX_*";
    const ABOUT: &'static str = "Any other parameter of Postfix; the rest of the name is its name in `main.cf`, as in `POSTFIX_maximal_queue_lifetime`. `$name` is filled in by Postfix.";
    const EXAMPLE: &'static str = "2d";

    fn standing(parameter: &str) -> Standing {
        let name = format!("POSTFIX_{parameter}");
        // Engines describe a service called `postfix` by POSTFIX_PORT_25_TCP and the like.
        if is_service_link(parameter) {
            return Standing::Stranger;
        }
        if !parameter.contains(|c: char| c.is_ascii_lowercase()) {
            return Standing::Odd(format!("{name} is ignored: the parameters of Postfix are written in small letters"));
        }
        if !parameter.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Standing::Refused(format!("{name} is no parameter of Postfix: those have letters, digits and `_`"));
        }
        match instead_of(parameter) {
            Some(instead) => Standing::Refused(format!("{name} cannot be passed through: {instead}")),
            None => Standing::Member,
        }
    }
}

/// What to do instead of passing a parameter through that has to stay as we write it.
pub fn instead_of(parameter: &str) -> Option<&'static str> {
    if parameter.starts_with("multi_instance") {
        return Some("there is one Postfix in this container");
    }
    OWNED.iter().find(|(owned, _)| *owned == parameter).map(|(_, instead)| *instead)
}

fn is_service_link(rest: &str) -> bool {
    rest == "PORT"
        || rest == "NAME"
        || ["PORT_", "SERVICE_", "ENV_"].iter().any(|beginning| rest.starts_with(beginning))
}
