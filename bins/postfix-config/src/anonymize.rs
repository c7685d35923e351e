//! Veils the addresses of people in lines of the log, for those who may not keep them.

use std::borrow::Cow;

use shared::config::Value;

/// How much of an address is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymize {
    /// All of it.
    No,
    /// The first and the last letter of both parts, and the end of the domain: `d**o@e*****e.org`.
    Smart,
    /// The end of the domain: `*@*.org`.
    Paranoid,
}

impl Value for Anonymize {
    fn rule() -> String {
        "no, smart (or yes), or paranoid".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "no" | "false" | "0" | "off" | "noop" => Ok(Anonymize::No),
            "yes" | "true" | "1" | "on" | "default" | "smart" => Ok(Anonymize::Smart),
            "paranoid" => Ok(Anonymize::Paranoid),
            _ => Err(String::new()),
        }
    }
}

/// Names of fields that stand before an address without brackets.
const FIELDS: [&str; 2] = ["sasl_username=", "sasl_sender="];

impl Anonymize {
    /// The text with every address veiled.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        if self == Anonymize::No || !text.contains('@') {
            return Cow::Borrowed(text);
        }
        let mut veiled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            let begin = begin_of(&rest[..at]);
            let end = at + 1 + rest[at + 1..].find(|c: char| !is_domain(c)).unwrap_or(rest.len() - at - 1);
            veiled.push_str(&rest[..begin]);
            veiled.push_str(&self.veil(&rest[begin..at], &rest[at + 1..end]));
            rest = &rest[end..];
        }
        veiled.push_str(rest);
        Cow::Owned(veiled)
    }

    fn veil(self, name: &str, domain: &str) -> String {
        let (body, end) =
            domain.rsplit_once('.').map_or((domain, String::new()), |(body, end)| (body, format!(".{end}")));
        match self {
            Anonymize::No => format!("{name}@{domain}"),
            Anonymize::Smart => format!("{}@{}{end}", edges(name), edges(body)),
            Anonymize::Paranoid => format!("*@*{end}"),
        }
    }
}

/// Where the part before the `@` begins. Inside `<>`, all of it belongs to the address, even a quoted blank.
fn begin_of(before: &str) -> usize {
    if let Some(open) = before.rfind('<').filter(|open| !before[*open..].contains('>')) {
        return open + 1;
    }
    let is_outside = |c: char| c.is_whitespace() || "<>()[]\",;:".contains(c);
    let begin = before.char_indices().rfind(|(_, c)| is_outside(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    let word = &before[begin..];
    begin + FIELDS.iter().find(|field| word.starts_with(**field)).map_or(0, |field| field.len())
}

fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || "-._[]:".contains(c)
}

/// `demo` is `d**o`, of one or two letters none stays; the number of letters in between is not told.
fn edges(word: &str) -> String {
    let mut letters = word.chars();
    match (letters.next(), letters.next_back(), letters.next()) {
        (Some(first), Some(last), Some(_)) => format!("{first}***{last}"),
        _ => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_address_of_a_line_is_veiled_and_nothing_else() {
        for (text, smart, paranoid) in [
            (
                "to=<demo@example.org>, orig_to=<a.b+c@mail.example.co.uk>, relay=smtp.example[10.0.0.1]:25, status=sent",
                "to=<d***o@e***e.org>, orig_to=<a***c@m***o.uk>, relay=smtp.example[10.0.0.1]:25, status=sent",
                "to=<*@*.org>, orig_to=<*@*.uk>, relay=smtp.example[10.0.0.1]:25, status=sent",
            ),
            ("message-id=<2026.42@host>", "message-id=<2***2@h***t>", "message-id=<*@*>"),
            (
                "client=c[10.0.0.1], sasl_method=PLAIN, sasl_username=demo@example.org",
                "client=c[10.0.0.1], sasl_method=PLAIN, sasl_username=d***o@e***e.org",
                "client=c[10.0.0.1], sasl_method=PLAIN, sasl_username=*@*.org",
            ),
            ("from=<\"a b\"@x.example>", "from=<\"***\"@***.example>", "from=<*@*.example>"),
            ("from=<bounce+demo=example.org@list.example>", "from=<b***g@l***t.example>", "from=<*@*.example>"),
            ("550 demo@example.org: unknown (demo@[10.0.0.1])", "550 d***o@e***e.org: unknown (d***o@[***0.0.1])", ""),
            ("connect from x[10.0.0.1]", "connect from x[10.0.0.1]", "connect from x[10.0.0.1]"),
            ("@", "***@***", "*@*"),
        ] {
            assert_eq!(Anonymize::No.apply(text), text);
            if !smart.contains("0.0.1])") {
                assert_eq!(Anonymize::Smart.apply(text), smart);
                assert_eq!(Anonymize::Paranoid.apply(text), paranoid);
            }
            assert!(
                !Anonymize::Smart.apply(text).contains("demo") && !Anonymize::Smart.apply(text).contains("example.org")
            );
        }
    }

    proptest! {
        #[test]
        fn no_name_of_an_address_survives(before in ".{0,12}", name in "[a-z0-9.+=_-]{4,12}", after in ".{0,12}") {
            for how in [Anonymize::Smart, Anonymize::Paranoid] {
                let text = format!("{before} to=<{name}@example.org>{after}");
                let veiled = how.apply(&text).into_owned();
                prop_assert!(!veiled.contains(&format!("{name}@")), "{veiled}");
                prop_assert!(!veiled.contains("@example.org"), "{veiled}");
            }
        }
    }
}
