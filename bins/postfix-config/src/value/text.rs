//! Free text that a client shall see as it was written.

use shared::config::Value;

/// Names that mean something in a banner, as in Postfix's own default.
const NAMES: [&str; 4] = ["$myhostname", "$mail_name", "$mail_version", "$mydomain"];
/// A reply line of SMTP has 512 bytes.
const BANNER_BYTES_MAX: usize = 480;

/// What a client reads first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banner(String);

impl Banner {
    /// As a value of `main.cf`, where `$name` is expanded and a doubled dollar is one: every `$` is literal, but for the few names a banner is made of.
    pub fn written(&self) -> String {
        let mut written = String::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            let name = NAMES.iter().find(|name| is_word(from, name)).copied();
            written.push_str(before);
            written.push_str(name.unwrap_or("$$"));
            rest = &from[name.map_or(1, str::len)..];
        }
        written + rest
    }
}

/// Does the text begin with this name, and not with a longer one?
fn is_word(text: &str, name: &str) -> bool {
    let after = text.strip_prefix(name).map(|rest| rest.chars().next());
    after.is_some_and(|next| next.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_'))
}

impl Value for Banner {
    fn rule() -> String {
        format!("text on one line, at most {BANNER_BYTES_MAX} bytes; {} are filled in", NAMES.join(", "))
    }

    fn parse(text: &str) -> Result<Self, String> {
        super::one_line(text)?;
        match text.len() > BANNER_BYTES_MAX {
            true => Err("it is longer".to_owned()),
            false => Ok(Self(text.trim().to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_a_banner_are_filled_in() {
        for (text, written) in [
            ("$myhostname ESMTP $mail_name", "$myhostname ESMTP $mail_name"),
            ("a $x $$ ${", "a $$x $$$$ $${"),
            ("$myhostnames $mail_name_x $mail_version.", "$$myhostnames $$mail_name_x $mail_version."),
            ("${myhostname}", "$${myhostname}"),
            ("$", "$$"),
        ] {
            assert_eq!(Banner::parse(text).unwrap().written(), written, "{text}");
        }
    }
}
