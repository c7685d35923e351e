//! What operators do to the variables, and what comes of it.

use std::path::Path;

use proptest::prelude::*;
use shared::config::faults_in_declaration;

use super::{OWNED, from_pairs};
use crate::plan::{Plan, Secrets};

const BASE: [(&str, &str); 4] =
    [("MTP_HOST", "mail.example.org"), ("MTP_RELAY", "smtp.example.org"), ("MTP_USER", "user"), ("MTP_PASS", "s3cret")];

/// The base with some variables in the place of its own; an empty one is taken away.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = BASE.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    kept.chain(more.iter().copied()).filter(|(_, value)| !value.is_empty()).collect()
}

fn letter(more: &[(&str, &str)]) -> String {
    match from_pairs(&with(more)) {
        Ok(_) => panic!("{more:?} was accepted"),
        Err(letter) => letter,
    }
}

fn notices(more: &[(&str, &str)]) -> Vec<String> {
    let reading = shared::config::read::<super::Settings>(with(more), &super::neighbours()).unwrap();
    [reading.notices, reading.settings.notices()].concat()
}

fn file(name: &str, more: &[(&str, &str)]) -> Option<String> {
    let settings = from_pairs(&with(more)).unwrap_or_else(|letter| panic!("{more:?}: {letter}"));
    let plan = Plan::of(&settings, Path::new("/conf"), Secrets::Written);
    plan.files.into_iter().find(|file| file.name == name).map(|file| file.text)
}

/// The value of a parameter; nothing when it is not set.
fn parameter(name: &str, more: &[(&str, &str)]) -> Option<String> {
    let text = file("main.cf", more)?;
    let lines = text.lines().filter_map(|line| line.split_once(" ="));
    let values: Vec<&str> = lines.filter(|(found, _)| *found == name).map(|(_, value)| value.trim()).collect();
    assert!(values.len() <= 1, "{name} is set twice");
    values.first().map(|value| (*value).to_owned())
}

#[test]
fn what_is_declared_can_be_read() {
    assert_eq!(faults_in_declaration::<super::Documented>(), Vec::<String>::new());
    assert!(OWNED.is_sorted_by_key(|(name, _)| name));
}

#[test]
fn the_way_out_is_decided_by_six_variables() {
    let direct = [("MTP_RELAY", ""), ("MTP_USER", ""), ("MTP_PASS", "")];
    let no_login = [("MTP_USER", ""), ("MTP_PASS", "")];
    let get = |name, more: &[(&str, &str)]| parameter(name, more).unwrap_or_else(|| "-".to_owned());
    for (more, next_hop, level, wrapper, auth) in [
        (&direct[..], "", "may", "-", "-"),
        (&no_login, "[smtp.example.org]:25", "may", "-", "-"),
        (&[], "[smtp.example.org]:587", "encrypt", "-", "yes"),
        (&[("MTP_PORT", "8587")], "[smtp.example.org]:8587", "encrypt", "-", "yes"),
        (&[("MTP_PORT", "465")], "[smtp.example.org]:465", "encrypt", "yes", "yes"),
        (&[("MTP_RELAY", "smtp.example.org:2465")], "[smtp.example.org]:2465", "encrypt", "yes", "yes"),
        (&[("MTP_TLS_MODE", "implicit")], "[smtp.example.org]:465", "encrypt", "yes", "yes"),
        (&[("MTP_TLS_MODE", "implicit"), ("MTP_PORT", "10465")], "[smtp.example.org]:10465", "encrypt", "yes", "yes"),
        (&[("MTP_TLS_MODE", "starttls"), ("MTP_PORT", "465")], "[smtp.example.org]:465", "encrypt", "-", "yes"),
        (&[("SMTP_TLS_SECURITY_LEVEL", "may")], "[smtp.example.org]:587", "may", "-", "yes"),
        (&[("SMTP_TLS_SECURITY_LEVEL", "secure")], "[smtp.example.org]:587", "secure", "-", "yes"),
    ] {
        let found = ["relayhost", "smtp_tls_security_level", "smtp_tls_wrappermode", "smtp_sasl_auth_enable"];
        assert_eq!(found.map(|name| get(name, more)), [next_hop, level, wrapper, auth], "{more:?}");
    }
}

#[test]
fn settings_that_do_not_fit_each_other_are_named() {
    for (more, words) in [
        (&[("MTP_PASS", "")][..], "MTP_USER is set but MTP_PASS is not"),
        (&[("MTP_USER", "")], "MTP_PASS is set but MTP_USER is not"),
        (&[("MTP_RELAY", "")], "MTP_USER and MTP_PASS are a login at MTP_RELAY, which is not set"),
        (&[("MTP_RELAY", "h:25"), ("MTP_PORT", "26")], "MTP_RELAY says port 25 and MTP_PORT says port 26"),
        (&[("SMTP_TLS_SECURITY_LEVEL", "none")], "SMTP_TLS_SECURITY_LEVEL is none, but MTP_USER and MTP_PASS are set"),
        (
            &[("SMTP_TLS_SECURITY_LEVEL", "may"), ("MTP_PORT", "465")],
            "SMTP_TLS_SECURITY_LEVEL is may, but implicit TLS",
        ),
        (
            &[("SMTPD_TLS_SECURITY_LEVEL", "encrypt")],
            "SMTPD_TLS_SECURITY_LEVEL is encrypt, but without SMTPD_TLS_CERT_FILE",
        ),
        (&[("SMTPD_TLS_CERT_FILE", "/a")], "SMTPD_TLS_CERT_FILE and SMTPD_TLS_KEY_FILE belong together"),
        (&[("POSTFIX_relayhost", "h")], "POSTFIX_relayhost cannot be passed through: set MTP_RELAY"),
        (
            &[("POSTFIX_smtp_sasl_security_options", "noanonymous")],
            "POSTFIX_smtp_sasl_security_options cannot be passed through",
        ),
        (&[("POSTFIX_a-b", "x")], "POSTFIX_a-b is no parameter of Postfix"),
        (&[("POSTFIX_biff", "a\nrelayhost = evil")], "POSTFIX_biff is"),
        (&[("POSTFIX_smtp_tls_CAfile", "/a")], "POSTFIX_smtp_tls_CAfile cannot be passed through: set MTP_CA_FILE"),
        (
            &[("POSTFIXMASTER_smtp__unix__smtp_sasl_security_options", "noanonymous")],
            "smtp_sasl_security_options cannot be passed through: it keeps the password",
        ),
        (&[("POSTFIXMASTER_evil__inet", "evil inet n - n - - spawn")], "spawn is none of the programs"),
        (&[("POSTFIX_multi_instance_enable", "yes")], "POSTFIX_multi_instance_enable cannot be passed through"),
    ] {
        let letter = letter(more);
        assert!(letter.contains(words), "{more:?} says\n{letter}");
        assert!(!letter.contains("s3cret"), "{letter}");
    }
}

#[test]
fn faults_of_all_kinds_come_at_once() {
    let letter = letter(&[
        ("MTP_HOST", "a b"),
        ("MTP_PASS", ""),
        ("MTP_NETWORKS", "10.0.0.1/8"),
        ("SMTPD_TLS_SECURITY_LEVEL", "encrypt"),
        ("POSTFIX_relayhost", "h"),
    ]);
    assert!(letter.starts_with("5 settings cannot be used"), "{letter}");
}

#[test]
fn odd_but_understood_is_said() {
    for (more, words) in [
        (
            &[("MTP_HOST", "mail.example.org/")][..],
            "MTP_HOST was not a plain host name; it was taken as mail.example.org",
        ),
        (&[("SMTP_TLS_SECURITY_LEVEL", "may")], "weaker than encrypt"),
        (&[("MTP_RELAY", ""), ("MTP_USER", ""), ("MTP_PASS", "")], "MTP_RELAY is not set: mail goes directly"),
        (&[("MTP_RELAY", ""), ("MTP_USER", ""), ("MTP_PASS", ""), ("MTP_PORT", "25")], "MTP_PORT is ignored"),
        (&[("MTP_NETWORKS", "0.0.0.0/0")], "lets everybody send"),
        (&[("SMTPD_TLS_SECURITY_LEVEL", "may")], "no TLS is offered"),
        (&[("MTP_DESTINATION", "a.example")], "mail to a.example is refused"),
        (&[("POSTFIX_VERSION", "3")], "POSTFIX_VERSION is ignored"),
        (&[("MTP_PASSWORD", "x")], "MTP_PASSWORD is not a setting of this program"),
        (&[("MTP_RELAY", ""), ("RELAYHOST", "[h]:587")], "RELAYHOST is an old name"),
    ] {
        let notices = notices(more);
        assert!(notices.iter().any(|notice| notice.contains(words)), "{more:?}: {notices:?}");
    }
    for foreign in ["POSTFIX_PORT", "POSTFIX_PORT_25_TCP", "POSTFIX_SERVICE_HOST", "MTP_HEALTH_QUEUE_AGE", "HOSTNAME"] {
        assert_eq!(notices(&[(foreign, "1")]), [""; 0], "{foreign}");
    }
}

#[test]
fn a_parameter_passed_through_takes_the_place_of_ours() {
    assert_eq!(parameter("disable_vrfy_command", &[("POSTFIX_disable_vrfy_command", "no")]).as_deref(), Some("no"));
    assert_eq!(parameter("a_b", &[("POSTFIX_a_b", " $myhostname # x ")]).as_deref(), Some("$myhostname # x"));
}

#[test]
fn the_rest_of_the_variables_reach_their_parameters() {
    for (more, name, value) in [
        (("MTP_BANNER", "a $x $$ ${"), "smtpd_banner", "a $$x $$$$ $${"),
        (("MTP_NETWORKS", "10.0.0.0/8 ::1"), "mynetworks", "10.0.0.0/8, [::1]/128"),
        (("MTP_INTERFACES", "127.0.0.1"), "inet_interfaces", "127.0.0.1"),
        (("MTP_PROTOCOLS", "ipv4"), "inet_protocols", "ipv4"),
        (("MTP_MS_SIZE_LIMIT", "20M"), "message_size_limit", "20971520"),
        (("MTP_MS_SIZE_LIMIT", "0"), "message_size_limit", "0"),
        (("MTP_RELAY_DOMAINS", "a.example b.example"), "relay_domains", "a.example, b.example"),
        (("MTP_DESTINATION", "a.example"), "mydestination", "a.example"),
        (
            ("MTP_ALLOWED_SENDER_DOMAINS", "a.example,b.example"),
            "smtpd_sender_restrictions",
            "check_sender_access inline:{ a.example=OK, b.example=OK }, reject",
        ),
        (("MTP_SENDER", "a@b.example"), "sender_canonical_maps", "regexp:/conf/sender"),
        (("MTP_MASQUERADE_DOMAINS", "b.example"), "masquerade_domains", "b.example"),
        (("MTP_HEADER_PRIVACY", "yes"), "smtp_header_checks", "regexp:/conf/header_privacy"),
        (("MTP_MESSAGES_PER_MINUTE", "25"), "default_destination_rate_delay", "3s"),
        (("MTP_DKIM_MILTER", "opendkim"), "smtpd_milters", "inet:[opendkim]:8891"),
        (("MTP_CA_FILE", "/run/ca.pem"), "smtp_tls_CAfile", "/run/ca.pem"),
        (("SMTP_TLS_SECURITY_LEVEL", "dane-only"), "smtp_host_lookup", "dns"),
    ] {
        assert_eq!(parameter(name, &[more]).as_deref(), Some(value), "{more:?}");
    }
}

/// Every variable that takes free text in some way.
const TEXTS: [&str; 26] = [
    "MTP_HOST",
    "MTP_RELAY",
    "MTP_PORT",
    "MTP_USER",
    "MTP_PASS",
    "MTP_TLS_MODE",
    "SMTP_TLS_SECURITY_LEVEL",
    "MTP_CA_FILE",
    "MTP_NETWORKS",
    "MTP_ALLOWED_SENDER_DOMAINS",
    "MTP_SENDER",
    "MTP_MASQUERADE_DOMAINS",
    "MTP_DKIM_MILTER",
    "MTP_DESTINATION",
    "MTP_RELAY_DOMAINS",
    "MTP_BANNER",
    "MTP_INTERFACES",
    "MTP_PROTOCOLS",
    "MTP_MS_SIZE_LIMIT",
    "SMTPD_TLS_SECURITY_LEVEL",
    "SMTPD_TLS_CERT_FILE",
    "MTP_QUEUE_DIR",
    "MTP_DATA_DIR",
    "POSTFIX_biff",
    "POSTFIXMASTER_smtp__unix__smtp_helo_name",
    "POSTFIXMASTER_submission__inet",
];

/// Texts made of what matters to Postfix, and of anything else.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\n relayhost = [evil]",
        "\nrelayhost = [evil]",
        " ",
        "\t",
        "#",
        "$",
        "${",
        "}",
        "$(",
        "$myhostname",
        "\"",
        "'",
        "\\",
        ":",
        ",",
        ";",
        "{",
        "[",
        "]",
        "=",
        "a.example",
        "a",
        "@",
        "/",
        "25",
        "ü",
        "\u{0}",
        "\u{85}",
        "10.0.0.0/8",
        "\u{2028}",
        "static:",
        "inline:{a=b}",
        "all",
        "yes",
    ]);
    prop_oneof![prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat()), ".{0,20}"]
}

/// The parameters of a page as Postfix reads it: a line that begins with a blank continues the one before.
fn as_postfix_reads(page: &str) -> Vec<(String, String)> {
    let mut read: Vec<String> = Vec::new();
    for line in page.split('\n').filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match line.starts_with([' ', '\t']) {
            true => read.last_mut().unwrap().push_str(line),
            false => read.push(line.to_owned()),
        }
    }
    let pairs = read.iter().map(|line| line.split_once('=').unwrap_or_else(|| panic!("no parameter: {line:?}")));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_value_adds_or_changes_another_parameter(name in prop::sample::select(TEXTS.to_vec()), text in texts()) {
        let more = [(name, text.as_str())];
        let usual: Vec<String> = as_postfix_reads(&file("main.cf", &[]).unwrap()).into_iter().map(|(name, _)| name).collect();
        if let Ok(settings) = from_pairs(&with(&more)) {
            let plan = Plan::of(&settings, Path::new("/conf"), Secrets::Written);
            // The services are those that there always are: no value of an option is one.
            let services = plan.files[1].text.lines().filter(|line| !line.starts_with(['#', ' '])).count();
            prop_assert_eq!(services, 22);
            for file in &plan.files {
                prop_assert!(!file.text.contains(['\r', '\0']), "{}", file.name);
            }
            let pairs = as_postfix_reads(&plan.files[0].text);
            let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
            prop_assert!(names.is_sorted(), "{names:?}");
            names.dedup();
            prop_assert_eq!(names.len(), pairs.len());
            prop_assert!(pairs.iter().all(|(name, value)| !(name == "relayhost" && value.contains("evil"))));
            // Nothing of ours disappears but what belongs to the login or to the way out, which some values switch off.
            let lost: Vec<&String> = usual.iter().filter(|name| !names.contains(&name.as_str())).collect();
            prop_assert!(lost.iter().all(|name| name.starts_with("smtp_")), "{lost:?}");
            if let Some(map) = plan.files.iter().find(|file| file.name == "relay_passwd") {
                prop_assert_eq!(map.text.matches('\n').count(), 1);
                prop_assert!(map.text.ends_with('\n') && map.text.starts_with('['));
            }
            // A dollar is ours, doubled, a name of the banner, or passed through by wish.
            for (found, value) in pairs.iter().filter(|(found, _)| found != "biff") {
                let bare = value.replace("$$", "");
                let bare = ["$myhostname", "$mail_name", "$mail_version", "$mydomain"].iter().fold(bare, |text, name| text.replace(name, ""));
                prop_assert!(!bare.contains('$'), "{found} = {value}");
            }
        }
    }

    #[test]
    fn no_letter_shows_a_secret(text in "[!-~]{1,20}") {
        let secret = format!("S3CRET{text}");
        let variables = with(&[("MTP_PASS", &secret), ("MTP_HOST", "a b"), ("MTP_USER", "")]);
        let letter = from_pairs(&variables).unwrap_err();
        prop_assert!(!letter.contains("S3CRET"));
    }

    #[test]
    fn a_login_is_the_whole_line_of_the_map(user in "[^:\\p{C}\\s]{1,10}", password in "[^\\p{C}]{0,10}[^\\p{C}\\s]") {
        // The reader takes quotes around a name away.
        prop_assume!(user.trim_matches(['"', '\'']) == user);
        let map = file("relay_passwd", &[("MTP_USER", &user), ("MTP_PASS", &password)]);
        prop_assert_eq!(map.unwrap(), format!("[smtp.example.org]:587 {user}:{password}\n"));
    }
}
