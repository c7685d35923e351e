//! `master.cf`: the services of a relay, none of them in a chroot, and none that delivers to mailboxes;
//! and what an operator adds to them.

use crate::config::{Change, Line, Services};
use crate::value::Port;

/// Name of the file.
pub const NAME: &str = "master.cf";

const HEAD: &str = "\
# Written by postfix-config at every start; edits are lost.
# service  type  private unpriv  chroot  wakeup  maxproc command
";

/// A chroot would need copies of the files that name servers and certificates.
const SERVICES: &str = "\
pickup     unix  n       -       n       60      1       pickup
cleanup    unix  n       -       n       -       0       cleanup
qmgr       unix  n       -       n       300     1       qmgr
tlsmgr     unix  -       -       n       1000?   1       tlsmgr
rewrite    unix  -       -       n       -       -       trivial-rewrite
bounce     unix  -       -       n       -       0       bounce
defer      unix  -       -       n       -       0       bounce
trace      unix  -       -       n       -       0       bounce
verify     unix  -       -       n       -       1       verify
flush      unix  n       -       n       1000?   0       flush
proxymap   unix  -       -       n       -       -       proxymap
proxywrite unix  -       -       n       -       1       proxymap
smtp       unix  -       -       n       -       -       smtp
relay      unix  -       -       n       -       -       smtp
showq      unix  n       -       n       -       -       showq
error      unix  -       -       n       -       -       error
retry      unix  -       -       n       -       -       error
discard    unix  -       -       n       -       -       discard
anvil      unix  -       -       n       -       1       anvil
scache     unix  -       -       n       -       1       scache
postlog    unix-dgram n  -       n       -       1       postlogd
";

/// The service that accepts mail, as operators call it; its port is a variable.
const LISTENER: (&str, &str) = ("smtp", "inet");

/// A line and what it says.
struct Row {
    place: (String, String),
    text: String,
}

impl Row {
    fn of(text: &str, place: (&str, &str)) -> Self {
        Self { place: (place.0.to_owned(), place.1.to_owned()), text: text.to_owned() }
    }

    fn is_at(&self, (service, kind): (&str, &str)) -> bool {
        self.place.0 == service && self.place.1 == kind
    }
}

/// Whether a relay has this service: name and type.
pub fn has(place: (&str, &str)) -> bool {
    place == LISTENER || SERVICES.lines().any(|line| place_of(line) == place)
}

fn place_of(line: &str) -> (&str, &str) {
    let mut words = line.split_whitespace();
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// The text of `master.cf`.
pub fn render(port: Port, services: &Services) -> String {
    text(&rows(port, services))
}

/// The text of `master.cf` for a Postfix that listens on no network and never sends a message: its smtpd, on a socket
/// of this name, has each recipient verified at the next server, in the name of `sender`.
pub fn render_for_trial(services: &Services, socket: &str, sender: &str) -> String {
    let mut rows = rows(Port::new(25), services);
    rows.retain(|row| !["inet", "pass"].contains(&row.place.1.as_str()));
    if let Some(verify) = rows.iter_mut().find(|row| row.is_at(("verify", "unix"))) {
        verify.text.push_str(&(option("address_verify_sender", sender) + &option("address_verify_map", "")));
    }
    let mut smtpd = format!("{socket} unix n - n - - smtpd");
    for (name, value) in TRIAL {
        smtpd.push_str(&option(name, value));
    }
    rows.push(Row::of(&smtpd, (socket, "unix")));
    text(&rows)
}

/// What the smtpd of a trial has otherwise than the one that accepts mail: nothing refuses but the verification.
const TRIAL: [(&str, &str); 11] = [
    // No message comes, so no room is needed for one.
    ("message_size_limit", "1000"),
    ("queue_minfree", "0"),
    ("smtpd_client_restrictions", ""),
    ("smtpd_helo_restrictions", ""),
    ("smtpd_sender_restrictions", ""),
    ("smtpd_relay_restrictions", "permit"),
    ("smtpd_recipient_restrictions", "reject_unverified_recipient, reject"),
    ("smtpd_milters", ""),
    ("smtpd_tls_security_level", "none"),
    ("smtpd_delay_reject", "yes"),
    ("address_verify_poll_count", "1"),
];

fn text(rows: &[Row]) -> String {
    rows.iter().fold(HEAD.to_owned(), |text, row| text + &row.text + "\n")
}

fn rows(port: Port, services: &Services) -> Vec<Row> {
    let port = port.to_string();
    let listener = format!("{port:<10} inet  n       -       n       -       -       smtpd");
    let mut rows = vec![Row::of(&listener, LISTENER)];
    rows.extend(SERVICES.lines().map(|line| Row::of(line, place_of(line))));
    for change in &services.0 {
        let place = change.place();
        // The listener may be called by its port as well.
        let place = if place == (port.as_str(), "inet") { LISTENER } else { place };
        let row = rows.iter_mut().find(|row| row.is_at(place));
        match (change, row) {
            (Change::Line(line), Some(row)) if place == LISTENER => row.text = written(line, &port),
            (Change::Line(line), Some(row)) => row.text = written(line, &line.service),
            (Change::Line(line), None) => rows.push(Row::of(&written(line, &line.service), place)),
            (Change::Option { option: (name, value), .. }, Some(row)) => row.text.push_str(&option(name, value)),
            (Change::Option { .. }, None) => {}
        }
    }
    rows
}

fn written(line: &Line, name: &str) -> String {
    let options: String = line.options.iter().map(|(name, value)| option(name, value)).collect();
    let variable = format!("# POSTFIXMASTER_{}__{}", line.service, line.kind);
    format!("{variable}\n{name:<10} {} {} {}{options}", line.kind, line.columns.join(" "), line.command)
}

/// Braces keep blanks and commas together.
fn option(name: &str, value: &str) -> String {
    format!("\n  -o {{ {name} = {value} }}")
}

#[cfg(test)]
mod tests {
    use crate::config::from_pairs;

    fn text(more: &[(&str, &str)]) -> String {
        let base = [("MTP_HOST", "x.example"), ("MTP_LISTEN_PORT", "2525")];
        let settings = from_pairs(&[&base, more].concat()).unwrap_or_else(|letter| panic!("{letter}"));
        super::render(settings.listen_port, &settings.services)
    }

    #[test]
    fn services_are_added_replaced_and_given_options() {
        let submission = "submission inet n - n - - smtpd -o smtpd_tls_security_level=encrypt";
        let text = text(&[
            ("POSTFIXMASTER_submission__inet", submission),
            ("POSTFIXMASTER_submission__inet__smtpd_client_restrictions", "permit_mynetworks, reject"),
            ("POSTFIXMASTER_smtp__inet", "smtp inet n - n - 7 smtpd"),
            ("POSTFIXMASTER_smtp__unix__smtp_helo_timeout", "5s"),
        ]);
        for part in [
            "# POSTFIXMASTER_submission__inet\nsubmission inet n - n - - smtpd\n  -o { smtpd_tls_security_level = encrypt }\n  -o { smtpd_client_restrictions = permit_mynetworks, reject }\n",
            "# POSTFIXMASTER_smtp__inet\n2525       inet n - n - 7 smtpd\n",
            "-       -       smtp\n  -o { smtp_helo_timeout = 5s }\nrelay ",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn an_option_needs_a_service() {
        let pairs = [("MTP_HOST", "x.example"), ("POSTFIXMASTER_submission__inet__smtpd_banner", "x")];
        assert!(from_pairs(&pairs).unwrap_err().contains("a service that does not exist"));
    }
}
