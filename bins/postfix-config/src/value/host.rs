//! The name of a host, as Postfix accepts it for itself.

use std::fmt;

use shared::config::Value;

const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A host name in lower case, without scheme and trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    name: String,
    repaired: bool,
}

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether something had to be removed from what was given.
    pub fn repaired(&self) -> bool {
        self.repaired
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Value for HostName {
    fn rule() -> String {
        "a host name of letters, digits, `-`, `_` and `.`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let name = bare(text);
        check(name)?;
        Ok(Self { name: name.to_ascii_lowercase(), repaired: name != text })
    }
}

/// The form of the EEA's catalog has `https://…/` habits; one trailing slash made Postfix die without a word.
fn bare(text: &str) -> &str {
    let without_scheme = ["https://", "http://", "smtp://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let text = without_scheme.unwrap_or(text);
    text.strip_suffix('/').unwrap_or(text)
}

/// Why a text is not the name of a host.
pub(super) fn check(name: &str) -> Result<(), String> {
    super::one_line(name)?;
    if name.is_empty() {
        return Err("nothing is left of it".to_owned());
    }
    if !name.is_ascii() {
        return Err("it has letters outside ASCII: write it in its `xn--` form".to_owned());
    }
    if let Some(odd) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c)) {
        return Err(format!("it contains {odd:?}"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("it is longer than {NAME_BYTES_MAX} letters"));
    }
    name.split('.').try_for_each(check_label)?;
    // Postfix takes a name of digits and dots for an address and refuses it.
    match name.chars().all(|c| c.is_ascii_digit() || c == '.') {
        true => Err("it is a number or an address".to_owned()),
        false => Ok(()),
    }
}

fn check_label(label: &str) -> Result<(), String> {
    match label {
        "" => Err("it has a dot too many".to_owned()),
        label if label.starts_with('-') || label.ends_with('-') => {
            Err("a part of it begins or ends with `-`".to_owned())
        }
        label if label.len() > LABEL_BYTES_MAX => Err(format!("a part of it is longer than {LABEL_BYTES_MAX} letters")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_and_a_scheme_are_repaired() {
        for text in ["matomo.example.org/", "https://matomo.example.org", "http://Matomo.Example.org/"] {
            let host = HostName::parse(text).unwrap();
            assert_eq!((host.as_str(), host.repaired()), ("matomo.example.org", true), "{text}");
        }
        assert!(!HostName::parse("matomo.example.org").unwrap().repaired());
    }

    #[test]
    fn what_postfix_accepts_is_accepted_and_nothing_else() {
        for name in ["single", "under_score.example", "a-b.example", "xn--bcher-kva.example", "1a.example", "3com"] {
            assert!(HostName::parse(name).is_ok(), "{name}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for name in [
            "a/b",
            "a b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "[10.0.0.1]",
            "10.0.0.1",
            "bücher.example",
            "a\nb",
            "a$b",
            "a,b",
            "a//",
            "http://",
            "/",
            "a#b",
            "a:25",
            &long,
        ] {
            assert!(HostName::parse(name).is_err(), "{name}");
        }
    }
}
