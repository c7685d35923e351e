//! `POSTFIXMASTER_<service>__<type>`: services of `master.cf` and their options, in the words of the image that most use.

use shared::config::{Declared, Family, Kin, Reader, Setting, Standing, Value};
use shared::secret::HIDDEN;

use super::instead_of;
use crate::master_cf;

/// Parameters that one service may have otherwise than the rest, although they have a variable for all of them.
const FREE_FOR_A_SERVICE: [&str; 4] =
    ["message_size_limit", "smtpd_banner", "smtpd_sender_restrictions", "smtpd_tls_security_level"];
/// Programs of Postfix that neither deliver to mailboxes nor start other programs.
const COMMANDS: [&str; 18] = [
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "lmtp",
    "pickup",
    "postscreen",
    "proxymap",
    "qmgr",
    "scache",
    "showq",
    "smtp",
    "smtpd",
    "tlsproxy",
    "trivial-rewrite",
];
const TYPES: [&str; 3] = ["inet", "unix", "pass"];
/// private, unprivileged, chroot, wakeup, maxproc: between the type and the command.
const COLUMNS: usize = 5;

/// What is changed in `master.cf`, lines before options.
#[derive(Debug, Clone, Default)]
pub struct Services(pub Vec<Change>);

impl Declared for Services {
    fn declared() -> Vec<Setting> {
        Family::<ServiceText>::declared()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let family = Family::<ServiceText>::read(reader)?;
        let (mut lines, mut options, mut clashes) = (Vec::new(), Vec::new(), Vec::new());
        for (rest, text) in family.iter() {
            match change(rest, text) {
                Ok(line @ Change::Line(_)) => lines.push(line),
                Ok(option) => options.push((rest, option)),
                Err(why) => clashes.push(format!("POSTFIXMASTER_{rest} cannot be used: {why}")),
            }
        }
        for (rest, option) in options {
            match lines.iter().any(|line| line.place() == option.place()) || master_cf::has(option.place()) {
                true => lines.push(option),
                false => clashes.push(format!("POSTFIXMASTER_{rest} is an option of a service that does not exist")),
            }
        }
        let refused = !clashes.is_empty();
        clashes.into_iter().for_each(|clash| reader.clash(clash));
        Some(Self(lines)).filter(|_| !refused)
    }
}

/// A line of `master.cf`, or the value of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceText(String);

impl Value for ServiceText {
    fn rule() -> String {
        "a line of `master.cf`, or the value of the option that its name ends with".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.chars().any(char::is_control) {
            true => Err("it has more than one line, or a control character".to_owned()),
            false => Ok(Self(text.trim().to_owned())),
        }
    }

    /// It may hold a password among its options; `postconf -M` shows all to whoever may read the files.
    fn shown(_: &str) -> String {
        HIDDEN.to_owned()
    }
}

impl Kin for ServiceText {
    const NAMES: &'static str = "POSTFIXMASTER_*";
    const ABOUT: &'static str = "A service of `master.cf`: `POSTFIXMASTER_<service>__<type>` is its whole line, `POSTFIXMASTER_<service>__<type>__<parameter>` one option of it (`-o`).";
    const EXAMPLE: &'static str = "submission inet n - n - - smtpd -o smtpd_tls_security_level=encrypt";

    fn standing(rest: &str) -> Standing {
        match Name::read(rest) {
            Ok(_) => Standing::Member,
            Err(why) => Standing::Refused(format!("POSTFIXMASTER_{rest} cannot be used: {why}")),
        }
    }
}

/// What a variable is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name<'a> {
    service: &'a str,
    kind: &'a str,
    parameter: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn read(rest: &'a str) -> Result<Self, String> {
        let mut parts = rest.split("__");
        let (service, kind, parameter) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let Some(kind) = kind.filter(|_| parts.next().is_none()) else {
            return Err("its name is <service>__<type> or <service>__<type>__<parameter>".to_owned());
        };
        if service.is_empty() || !service.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c)) {
            return Err("a service is a name, a port, or `address:port`".to_owned());
        }
        if !TYPES.contains(&kind) {
            return Err(format!("a type of service is {}", TYPES.join(", ")));
        }
        parameter.map_or(Ok(()), may_differ)?;
        Ok(Self { service, kind, parameter })
    }
}

/// Whether an option of one service may be set: by the rule for all, but for what services are made for.
fn may_differ(parameter: &str) -> Result<(), String> {
    if parameter.is_empty() || !parameter.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("{parameter:?} is no parameter of Postfix"));
    }
    match instead_of(parameter).filter(|_| !FREE_FOR_A_SERVICE.contains(&parameter)) {
        Some(instead) => Err(format!("{parameter} cannot be passed through: {instead}")),
        None => Ok(()),
    }
}

/// One change of `master.cf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A line that is new, or takes the place of ours.
    Line(Line),
    /// One more option of a line.
    Option {
        /// The service.
        service: String,
        /// Its type.
        kind: String,
        /// The option.
        option: (String, String),
    },
}

impl Change {
    /// Which service it is about: name and type.
    pub fn place(&self) -> (&str, &str) {
        match self {
            Change::Line(Line { service, kind, .. }) | Change::Option { service, kind, .. } => (service, kind),
        }
    }

    /// The options it sets.
    pub fn options(&self) -> &[(String, String)] {
        match self {
            Change::Line(line) => &line.options,
            Change::Option { option, .. } => std::slice::from_ref(option),
        }
    }

    /// The variable that asks for it.
    pub fn variable(&self) -> String {
        let (service, kind) = self.place();
        match self {
            Change::Line(_) => format!("POSTFIXMASTER_{service}__{kind}"),
            Change::Option { option: (name, _), .. } => format!("POSTFIXMASTER_{service}__{kind}__{name}"),
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub service: String,
    /// Its type.
    pub kind: String,
    /// The five columns between the type and the command.
    pub columns: Vec<String>,
    /// The program.
    pub command: String,
    /// Its options.
    pub options: Vec<(String, String)>,
}

/// Reads a variable as the change it asks for. The name has been found good.
fn change(rest: &str, text: &ServiceText) -> Result<Change, String> {
    let Name { service, kind, parameter } = Name::read(rest)?;
    match parameter {
        Some(parameter) => {
            check_value(&text.0)?;
            let option = (parameter.to_owned(), text.0.clone());
            Ok(Change::Option { service: service.to_owned(), kind: kind.to_owned(), option })
        }
        None => {
            let line = Line::read(&text.0)?;
            match line.service == service && line.kind == kind {
                true => Ok(Change::Line(line)),
                false => Err(format!("its line is about {} {}", line.service, line.kind)),
            }
        }
    }
}

/// Braces end a value of `master.cf`.
fn check_value(value: &str) -> Result<(), String> {
    match value.contains(['{', '}']) {
        true => Err("a value of `master.cf` has no braces here".to_owned()),
        false => Ok(()),
    }
}

impl Line {
    /// Reads a line as it stands in `master.cf`.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut word = || words.next().map(str::to_owned).ok_or("a line of `master.cf` has eight words at least");
        let (service, kind) = (word()?, word()?);
        let columns: Vec<String> = (0..COLUMNS).map(|_| word()).collect::<Result<_, _>>()?;
        let command = word()?;
        check_columns(&columns)?;
        if !COMMANDS.contains(&command.as_str()) {
            return Err(format!("{command} is none of the programs that a relay may run: {}", COMMANDS.join(", ")));
        }
        let options = options(text, &command)?;
        Ok(Self { service, kind, columns, command, options })
    }
}

fn check_columns(columns: &[String]) -> Result<(), String> {
    let [private, unprivileged, chroot, wakeup, most] = columns else { return Err(String::new()) };
    let number = |text: &str| text == "-" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let flag = |text: &String| ["-", "y", "n"].contains(&text.as_str());
    if !flag(private) || !flag(unprivileged) {
        return Err("private and unpriv are y, n or -".to_owned());
    }
    if !["-", "n"].contains(&chroot.as_str()) {
        return Err("chroot is n: no service has a chroot here".to_owned());
    }
    match number(wakeup.strip_suffix('?').unwrap_or(wakeup)) && number(most) {
        true => Ok(()),
        false => Err("wakeup and maxproc are numbers or -".to_owned()),
    }
}

/// `-o name=value`, or `-o { name = value with blanks }`; nothing else.
fn options(text: &str, command: &str) -> Result<Vec<(String, String)>, String> {
    // The command is the eighth word.
    let mut rest = text.trim_start();
    for _ in 0..=COLUMNS + 2 {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
    }
    let mut options = Vec::new();
    while !rest.is_empty() {
        let odd =
            || format!("after {command} there are options, -o name=value or -o {{ name = value }}, and nothing else");
        let after = rest.strip_prefix("-o").filter(|after| after.starts_with(char::is_whitespace)).ok_or_else(odd)?;
        let after = after.trim_start();
        let (pair, behind) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').ok_or_else(odd)?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        let (name, value) = pair.split_once('=').ok_or_else(odd)?;
        let (name, value) = (name.trim(), value.trim());
        may_differ(name)?;
        check_value(value)?;
        options.push((name.to_owned(), value.to_owned()));
        rest = behind.trim_start();
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change_of(rest: &str, text: &str) -> Result<Change, String> {
        change(rest, &ServiceText::parse(text)?)
    }

    #[test]
    fn a_line_and_an_option_are_read_as_postfix_does() {
        let Ok(Change::Line(line)) = change_of(
            "submission__inet",
            "submission inet n - n - 5 smtpd -o smtpd_tls_security_level=encrypt -o { smtpd_client_restrictions = permit_mynetworks, reject }",
        ) else {
            panic!("no line")
        };
        assert_eq!((line.service.as_str(), line.kind.as_str(), line.command.as_str()), ("submission", "inet", "smtpd"));
        assert_eq!(line.columns.join(" "), "n - n - 5");
        let options: Vec<String> = line.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            options,
            ["smtpd_tls_security_level=encrypt", "smtpd_client_restrictions=permit_mynetworks, reject"]
        );
        assert!(matches!(change_of("smtp__unix__smtp_helo_timeout", "5s"), Ok(Change::Option { .. })));
    }

    #[test]
    fn what_a_relay_must_not_do_is_refused() {
        for (rest, text) in [
            ("smtp", "smtp inet n - n - - smtpd"),
            ("a__b__c__d", "x"),
            ("smtp__fifo", "smtp fifo n - n - - smtpd"),
            ("a b__inet", "a inet n - n - - smtpd"),
            ("submission__inet", "smtps inet n - n - - smtpd"),
            ("submission__inet", "submission inet n - n - - spawn"),
            ("submission__inet", "submission inet n - n - - pipe flags=R user=root argv=/bin/sh"),
            ("submission__inet", "submission inet n - n - - local"),
            ("submission__inet", "submission inet n - y - - smtpd"),
            ("submission__inet", "submission inet n - n a - smtpd"),
            ("submission__inet", "submission inet n - n - - smtpd -v"),
            ("submission__inet", "submission inet n - n - - smtpd -o smtpd_relay_restrictions=permit"),
            ("submission__inet", "submission inet n - n - - smtpd -o mynetworks=0.0.0.0/0"),
            ("submission__inet", "submission inet n - n - - smtpd -o { smtp_sasl_security_options = noanonymous }"),
            ("submission__inet", "submission inet n - n - - smtpd -o { a = b"),
            ("submission__inet", "submission inet n"),
            ("smtp__unix__smtp_sasl_security_options", "noanonymous"),
            ("smtp__unix__smtp_sasl_password_maps", "static:a:b"),
            ("smtp__unix__smtp_helo_name", "a } -o { b"),
            ("smtp__unix__", "x"),
            ("submission__inet", "submission inet n - n - - smtpd\nevil inet n - n - - smtpd"),
        ] {
            assert!(change_of(rest, text).is_err(), "{rest}={text}");
        }
    }
}
