//! Asks Postfix what it thinks of a written configuration. `postfix check` alone says nothing without a terminal;
//! a look-up in a table that is written on the command line reads the same parameters and tells why not.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shared::process::StartError;

use super::{Answer, Postfix, Refusal, plugin};
use crate::config::{Change, Settings, Upstream};
use crate::value::{CleanPath, Password, User};
use crate::{master_cf, password_map};

impl Postfix {
    /// Everything that speaks against a start and can be known without touching the queue.
    ///
    /// # Errors
    /// When a program cannot be started.
    pub async fn validate(&self, settings: &Settings) -> Result<Vec<Refusal>, StartError> {
        let (values, names, key) = tokio::join!(
            self.ask("postmap", &["-q", "probe", "inline:{probe=ok}"]),
            self.ask("postconf", &["-n"]),
            self.look_up(settings),
        );
        let mut refusals: Vec<Refusal> = Vec::new();
        refusals.extend(about_values(&values?, settings));
        // Without values that it can use, Postfix looks nothing up.
        refusals.extend(key?.filter(|_| refusals.is_empty()));
        refusals.extend(about_names(&names?, settings));
        refusals.extend(about_files(settings));
        if password(settings).is_some() {
            let missing = plugin::missing();
            if !missing.is_empty() {
                refusals.push(Refusal::Plugins { names: missing.join(" and ") });
            }
        }
        Ok(refusals)
    }

    /// Looks the login up as Postfix will. Its answer is the password, so it is compared and forgotten.
    async fn look_up(&self, settings: &Settings) -> Result<Option<Refusal>, StartError> {
        let Some((relay, user, password)) = password(settings) else { return Ok(None) };
        let map = format!("texthash:{}", self.folder().join(password_map::NAME).display());
        let answer = self.ask("postmap", &["-q", &relay.next_hop, &map]).await?;
        let expected = format!("{user}:{}", password.reveal());
        let found = answer.good && answer.stdout == expected;
        Ok((!found).then(|| Refusal::Key { key: relay.next_hop.clone() }))
    }

    /// The queue and the folders, by Postfix's own script; it also makes what is missing.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn check(&self) -> Result<Option<Refusal>, StartError> {
        let answer = self.ask("postfix", &["check"]).await?;
        Ok((!answer.good).then(|| Refusal::Check { complaint: answer.complaint() }))
    }
}

fn password(settings: &Settings) -> Option<(&Upstream, &User, &Password)> {
    let relay = settings.route.relay.as_ref()?;
    Some((relay, &relay.login.as_ref()?.user, relay.password()?))
}

fn about_values(answer: &Answer, settings: &Settings) -> Option<Refusal> {
    if answer.good {
        return None;
    }
    let complaint = answer.complaint();
    let overrides = settings.overrides.iter().filter(|(parameter, _)| complaint.contains(parameter));
    let mut variables: Vec<String> = overrides.map(|(parameter, _)| format!("POSTFIX_{parameter}")).collect();
    let ours = [
        ("inet_interfaces", "MTP_INTERFACES"),
        ("inet_protocols", "MTP_PROTOCOLS"),
        ("message_size_limit", "MTP_MS_SIZE_LIMIT"),
        ("myhostname", "MTP_HOST"),
    ];
    variables
        .extend(ours.iter().filter(|(name, _)| complaint.contains(name)).map(|(_, variable)| (*variable).to_owned()));
    Some(Refusal::Value { complaint, variables })
}

/// The warnings of `postconf -n`: each is a slip in something passed through, or a fault of ours.
fn about_names(answer: &Answer, settings: &Settings) -> Vec<Refusal> {
    let lines = answer.stderr.lines().filter_map(|line| line.split_once("warning: ")).map(|(_, warning)| warning);
    let mut refusals: Vec<Refusal> = lines.map(|warning| about_name(warning, settings)).collect();
    if !answer.good {
        refusals.push(Refusal::Value { complaint: answer.complaint(), variables: Vec::new() });
    }
    refusals
}

fn about_name(warning: &str, settings: &Settings) -> Refusal {
    let after =
        |mark: &str| warning.split_once(mark).map(|(_, rest)| rest.split('=').next().unwrap_or(rest).trim().to_owned());
    if let Some(parameter) = after("unused parameter: ") {
        let variables = match warning.contains(master_cf::NAME) {
            true => passed_through(settings, |name, _| name == parameter),
            false => vec![format!("POSTFIX_{parameter}")],
        };
        return Refusal::UnknownParameter { parameter, variables };
    }
    match after("undefined parameter: ") {
        Some(name) => {
            Refusal::UnknownName { variables: passed_through(settings, |_, value| fills_in(value, &name)), name }
        }
        None => Refusal::Warning { warning: warning.to_owned() },
    }
}

/// The variables that pass such a parameter through, by its name and its value.
fn passed_through(settings: &Settings, is_such: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let parameters = settings.overrides.iter().filter(|(name, value)| is_such(name, value.as_str()));
    let parameters = parameters.map(|(name, _)| format!("POSTFIX_{name}"));
    let services = settings.services.0.iter();
    let services = services.filter(|change| change.options().iter().any(|(name, value)| is_such(name, value)));
    parameters.chain(services.map(Change::variable)).collect()
}

/// `$name`, `${name}` and `$(name)`, and `${name?…}`.
fn fills_in(value: &str, name: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let after = value.split('$').skip(1).filter_map(|part| part.trim_start_matches(['{', '(']).strip_prefix(name));
    after.into_iter().any(is_end)
}

fn about_files(settings: &Settings) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut look = |variable: &'static str, path: &CleanPath, has: fn(&[u8]) -> bool, lacks: &str| {
        let why = match fs::read(path.as_path()) {
            Err(error) => format!("which cannot be read: {error}"),
            Ok(bytes) if has(&bytes) => return,
            Ok(_) => format!("which holds {lacks}"),
        };
        refusals.push(Refusal::File { variable, path: path.as_path().to_owned(), why });
    };
    if let Some(path) = &settings.ca_file {
        look("MTP_CA_FILE", path, has_certificate, "no certificate in PEM form");
    }
    if let Some(certificate) = &settings.inbound.certificate {
        look("SMTPD_TLS_CERT_FILE", &certificate.chain, has_certificate, "no certificate in PEM form");
        look("SMTPD_TLS_KEY_FILE", &certificate.key, has_key, "no key in PEM form");
    }
    refusals
}

fn has_certificate(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem).next().is_some_and(|first| first.is_ok())
}

fn has_key(pem: &[u8]) -> bool {
    rustls::pki_types::PrivateKeyDer::from_pem_slice(pem).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_become_reasons_with_the_name_of_the_variable() {
        let variables = [
            ("MTP_HOST", "x.example"),
            ("POSTFIX_foo", "$bar"),
            ("POSTFIX_biff", "$barn"),
            ("POSTFIXMASTER_submission__inet", "submission inet n - n - - smtpd -o baz=1"),
            ("POSTFIXMASTER_smtp__unix__smtp_helo_name", "x$bar.y"),
        ];
        let settings = crate::config::from_pairs(&variables).unwrap();
        let stderr = "postconf: warning: /c/main.cf: unused parameter: foo=$bar\n\
                      postconf: warning: /c/master.cf: unused parameter: baz=1\n\
                      postconf: warning: /c/main.cf: undefined parameter: bar";
        let answer = Answer { good: true, stdout: String::new(), stderr: stderr.to_owned() };
        let reasons: Vec<String> = about_names(&answer, &settings).iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            [
                "POSTFIX_foo: foo is no parameter of this Postfix",
                "POSTFIXMASTER_submission__inet: baz is no parameter of this Postfix",
                "POSTFIX_foo, POSTFIXMASTER_smtp__unix__smtp_helo_name: a value fills in $bar, which does not exist"
            ]
        );
    }

    #[test]
    fn a_complaint_is_the_fatal_line() {
        let stderr = "postmap: warning: valid_hostname: x/y\npostmap: fatal: file /c/main.cf: parameter myhostname: bad parameter value: x/y";
        let answer = Answer { good: false, stdout: String::new(), stderr: stderr.to_owned() };
        assert_eq!(answer.complaint(), "file /c/main.cf: parameter myhostname: bad parameter value: x/y");
        let silent = Answer { good: false, stdout: String::new(), stderr: String::new() };
        assert_eq!(silent.complaint(), "it gave no reason");
    }
}
