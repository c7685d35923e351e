//! A mail address.

use std::fmt;

use shared::config::Value;

const ADDRESS_BYTES_MAX: usize = 254;

/// `user@domain`, of the letters that need no quoting anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAddress(String);

impl MailAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for MailAddress {
    fn rule() -> String {
        "a mail address such as reports@example.org".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (user, domain) = text.rsplit_once('@').ok_or("there is no `@` in it")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#%&'*+-./=?^_~".contains(c);
        let dots = user.starts_with('.') || user.ends_with('.') || user.contains("..");
        if user.is_empty() || !user.chars().all(plain) || dots || text.len() > ADDRESS_BYTES_MAX {
            return Err("the part before its `@` has letters that addresses do not have".to_owned());
        }
        super::host::check(domain)?;
        Ok(Self(format!("{user}@{}", domain.to_ascii_lowercase())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        for text in ["a@b", "first.last+tag@Example.org", "o'neil@example.org"] {
            assert!(MailAddress::parse(text).is_ok(), "{text}");
        }
        for text in [
            "a", "@b", "a@", "a b@c", "a@b@c", "<a@b>", "a$x@b", "\"a\"@b", "a@b c", "a@b\n", ".a@b", "a..b@c", "a,b@c",
        ] {
            assert!(MailAddress::parse(text).is_err(), "{text}");
        }
    }
}
