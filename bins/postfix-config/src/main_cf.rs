//! `main.cf`, whole and sorted, each line with the variable it comes from.

use std::path::Path;

use crate::config::{Route, Settings, Upstream};
use crate::value::{ClientLevel, TlsMode};

/// Certificate authorities of the image: one file of them, and a folder for the case that another file is named.
const CA_FILE_OF_SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
const CA_FOLDER_OF_SYSTEM: &str = "/etc/ssl/certs";

/// The one parameter that an operator and we may both need.
const HEADER_CHECKS: &str = "header_checks";

/// Name of the file.
pub const NAME: &str = "main.cf";

/// One parameter.
struct Line {
    parameter: String,
    value: String,
    origin: String,
}

#[derive(Default)]
struct Page(Vec<Line>);

impl Page {
    fn set(&mut self, parameter: &str, value: impl Into<String>, origin: &str) {
        self.0.push(Line { parameter: parameter.to_owned(), value: value.into(), origin: origin.to_owned() });
    }

    /// What an operator passes through takes the place of what we would have written.
    fn pass_through(&mut self, parameter: &str, value: &str) {
        self.0.retain(|line| line.parameter != parameter);
        self.set(parameter, value, &format!("POSTFIX_{parameter}"));
    }

    fn text(mut self, route: &Route) -> String {
        self.0.sort_by(|a, b| a.parameter.cmp(&b.parameter));
        let mut text = format!(
            "# Written by postfix-config at every start, from environment variables; edits are lost.\n# Mail leaves {}.\n",
            route.in_words()
        );
        for Line { parameter, value, origin } in self.0 {
            text.push_str(&format!("\n# {origin}\n{parameter} ={}{value}\n", if value.is_empty() { "" } else { " " }));
        }
        text
    }
}

/// The text of `main.cf` for a configuration that lies in `folder`.
pub fn render(settings: &Settings, folder: &Path) -> String {
    let mut page = Page::default();
    ground(&mut page, settings);
    listening(&mut page, settings);
    clients(&mut page, settings);
    rewriting(&mut page, settings, folder);
    leaving(&mut page, settings, folder);
    let joined = |parameter: &str| settings.sender.is_some() && parameter == HEADER_CHECKS;
    for (parameter, passed) in settings.overrides.iter().filter(|(parameter, _)| !joined(parameter)) {
        page.pass_through(parameter, passed.as_str());
    }
    page.text(&settings.route)
}

/// What holds for every relay.
fn ground(page: &mut Page, settings: &Settings) {
    page.set("compatibility_level", "3.6", "behave as this version does, without messages about older ones");
    page.set("maillog_file", "/dev/stdout", "the log is read by postfix-config");
    page.set("queue_directory", settings.place.queue_dir.to_string(), "MTP_QUEUE_DIR");
    page.set("data_directory", settings.place.data_dir.to_string(), "MTP_DATA_DIR");
    page.set("myhostname", settings.host.as_str(), "MTP_HOST");
    page.set(
        "mydestination",
        settings.destination.to_string(),
        "MTP_DESTINATION: nothing is delivered here, everything is sent on",
    );
    page.set("local_transport", "error:5.1.1 this relay has no mailboxes", "no mailboxes");
    page.set("local_recipient_maps", "", "no mailboxes, so no list of them");
    page.set("alias_maps", "", "no mailboxes, so no aliases");
    page.set("alias_database", "", "no mailboxes, so no aliases");
    page.set("notify_classes", "", "no mailboxes, so no postmaster: what would be told is in the log");
    page.set("mailbox_size_limit", "0", "no mailboxes, so no limit that a large message could meet");
    if let Some(size) = settings.message_size {
        page.set("message_size_limit", size.bytes().to_string(), "MTP_MS_SIZE_LIMIT");
    }
}

fn listening(page: &mut Page, settings: &Settings) {
    page.set("inet_interfaces", settings.interfaces.to_string(), "MTP_INTERFACES");
    page.set("inet_protocols", settings.protocols.to_string(), "MTP_PROTOCOLS");
    if let Some(banner) = &settings.banner {
        page.set("smtpd_banner", banner.written(), "MTP_BANNER");
    }
    page.set(
        "smtpd_peername_lookup",
        "no",
        "nothing here goes by the names of clients, and a silent name server delays no greeting",
    );
    page.set("disable_vrfy_command", "yes", "nobody needs to ask which addresses exist");
    page.set("smtpd_tls_security_level", settings.inbound.level.to_string(), "SMTPD_TLS_SECURITY_LEVEL");
    if let Some(certificate) = &settings.inbound.certificate {
        page.set("smtpd_tls_cert_file", certificate.chain.to_string(), "SMTPD_TLS_CERT_FILE");
        page.set("smtpd_tls_key_file", certificate.key.to_string(), "SMTPD_TLS_KEY_FILE");
    }
}

/// Who may send, and in whose name.
fn clients(page: &mut Page, settings: &Settings) {
    page.set("mynetworks", settings.networks.to_string(), "MTP_NETWORKS");
    page.set("smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination", "MTP_NETWORKS: no open relay");
    page.set("relay_domains", settings.relay_domains.to_string(), "MTP_RELAY_DOMAINS");
    if !settings.allowed_sender_domains.is_empty() {
        let domains: Vec<String> =
            settings.allowed_sender_domains.iter().map(|domain| format!("{domain}=OK")).collect();
        let table = format!("check_sender_access inline:{{ {} }}, reject", domains.join(", "));
        page.set("smtpd_sender_restrictions", table, "MTP_ALLOWED_SENDER_DOMAINS");
    }
    if let Some(milter) = &settings.dkim_milter {
        let address = crate::config::milter_address(milter);
        page.set("smtpd_milters", address.as_str(), "MTP_DKIM_MILTER");
        page.set("non_smtpd_milters", address, "MTP_DKIM_MILTER");
        page.set("milter_default_action", "accept", "MTP_DKIM_MILTER: a client that is refused may not try again");
    }
}

fn rewriting(page: &mut Page, settings: &Settings, folder: &Path) {
    if settings.sender.is_some() {
        one_sender(page, settings, folder);
    }
    if !settings.masquerade_domains.is_empty() {
        page.set("masquerade_domains", settings.masquerade_domains.to_string(), "MTP_MASQUERADE_DOMAINS");
    }
    if settings.sender.is_some() || !settings.masquerade_domains.is_empty() {
        let origin = "MTP_SENDER, MTP_MASQUERADE_DOMAINS: headers of clients are rewritten too";
        page.set("local_header_rewrite_clients", "permit_mynetworks", origin);
    }
    if settings.header_privacy {
        let table = format!("regexp:{}", folder.join(crate::header_privacy::NAME).display());
        page.set("smtp_header_checks", table, "MTP_HEADER_PRIVACY");
    }
}

/// The table of headers comes first, and an operator's own one after it; what is attached to a message keeps its headers.
fn one_sender(page: &mut Page, settings: &Settings, folder: &Path) {
    let table = |name| format!("regexp:{}", folder.join(name).display());
    page.set("sender_canonical_classes", "envelope_sender", "MTP_SENDER: headers have a table of their own");
    page.set("sender_canonical_maps", table(crate::sender::ENVELOPE_NAME), "MTP_SENDER");
    let theirs = passed_through(settings, HEADER_CHECKS);
    let both: Vec<String> =
        std::iter::once(table(crate::sender::HEADERS_NAME)).chain(theirs.map(str::to_owned)).collect();
    page.set(HEADER_CHECKS, both.join(", "), "MTP_SENDER, POSTFIX_header_checks");
    page.set("nested_header_checks", theirs.unwrap_or_default(), "MTP_SENDER: attached messages stay as they are");
}

/// What an operator passes through for a parameter.
fn passed_through<'a>(settings: &'a Settings, parameter: &str) -> Option<&'a str> {
    settings.overrides.iter().find(|(name, _)| *name == parameter).map(|(_, passed)| passed.as_str())
}

fn leaving(page: &mut Page, settings: &Settings, folder: &Path) {
    let level = settings.route.level;
    match settings.gate() {
        Some(_) => page.set(
            "smtp_tls_security_level",
            "none",
            "MTP_OAUTH_…: the way to the relay is encrypted by postfix-config",
        ),
        None => page.set("smtp_tls_security_level", level.to_string(), level_origin(settings)),
    }
    page.set("smtp_tls_loglevel", "1", "the log says how each connection was encrypted");
    page.set("smtp_tls_CAfile", ca_file(settings), "MTP_CA_FILE");
    if settings.ca_file.is_some() {
        page.set("smtp_tls_CApath", CA_FOLDER_OF_SYSTEM, "MTP_CA_FILE comes on top of the authorities of the image");
    }
    match level {
        ClientLevel::Dane | ClientLevel::DaneOnly => {
            page.set("smtp_dns_support_level", "dnssec", "SMTP_TLS_SECURITY_LEVEL");
            page.set("smtp_host_lookup", "dns", "SMTP_TLS_SECURITY_LEVEL");
        }
        _ => page.set("smtp_host_lookup", "native", "names from the hosts file are found as well"),
    }
    if let Some(count) = settings.messages_per_minute {
        let pause = 60_u64.div_ceil(count.get());
        page.set("default_destination_rate_delay", format!("{pause}s"), "MTP_MESSAGES_PER_MINUTE");
    }
    if settings.route.relay.is_some() {
        let replies = format!("regexp:{}", folder.join(crate::replies::NAME).display());
        page.set(
            "smtp_delivery_status_filter",
            replies,
            "what the relay refuses because of us, and not because of a recipient, waits instead of being lost",
        );
    }
    match (&settings.route.relay, settings.gate()) {
        (Some(_), Some(gate)) => {
            page.set(
                "relayhost",
                format!("[{}]:{}", gate.ip(), gate.port()),
                "MTP_OAUTH_…: from there to MTP_RELAY, with the token",
            );
        }
        (Some(relay), None) => through(page, relay, folder),
        (None, _) => page.set("relayhost", "", "MTP_RELAY"),
    }
}

fn through(page: &mut Page, relay: &Upstream, folder: &Path) {
    page.set("relayhost", relay.next_hop.as_str(), "MTP_RELAY, MTP_PORT");
    if relay.tls_mode == TlsMode::Implicit {
        page.set("smtp_tls_wrappermode", "yes", "MTP_TLS_MODE, MTP_PORT");
    }
    if relay.password().is_some() {
        let map = format!("texthash:{}", folder.join(crate::password_map::NAME).display());
        page.set("smtp_sasl_auth_enable", "yes", "MTP_USER, MTP_PASS");
        page.set("smtp_sasl_password_maps", map, "MTP_USER, MTP_PASS");
        page.set(
            "smtp_sasl_mechanism_filter",
            crate::mechanism::BY_PASSWORD.join(", "),
            "Postfix takes the strongest and tries no other, so what it cannot speak (NTLM, GSSAPI) is passed over",
        );
        page.set(
            "smtp_sasl_security_options",
            "noplaintext, nodictionary, noanonymous",
            "neither a password nor a digest of it leaves unencrypted, at whatever level",
        );
        page.set("smtp_sasl_tls_security_options", "noanonymous", "inside TLS a password may be sent");
        page.set("smtp_sasl_tls_verified_security_options", "noanonymous", "inside TLS a password may be sent");
    }
}

fn level_origin(settings: &Settings) -> &'static str {
    match settings.route.login() {
        Some(_) => "SMTP_TLS_SECURITY_LEVEL; encrypt unless it says otherwise, because there is a login",
        None => "SMTP_TLS_SECURITY_LEVEL",
    }
}

/// The file of authorities that Postfix reads before it gives up the rights of root, so a mounted secret will do.
fn ca_file(settings: &Settings) -> String {
    settings.ca_file.as_ref().map_or_else(|| CA_FILE_OF_SYSTEM.to_owned(), ToString::to_string)
}

/// Every file of authorities that Postfix trusts, the system's first, for the probe of the relay.
pub fn ca_files(settings: &Settings) -> Vec<std::path::PathBuf> {
    let more = settings.ca_file.as_ref().map(|path| path.as_path().to_owned());
    std::iter::once(CA_FILE_OF_SYSTEM.into()).chain(more).collect()
}
