//! The options of a program that no shell reads: names are shown, and values that are known to be no secrets.

use super::harmless::{is_file, is_number};
use crate::{
    config::{Address, Value as _},
    quoting,
    secret::HIDDEN,
};

/// Options as anybody may read them. `plain` are the names of those whose values are no secrets, without dashes; of others
/// only numbers, dates and files are shown, and addresses without user, password and query.
pub fn options(text: &str, plain: &[&str]) -> String {
    // Nobody can tell where the words end.
    let Ok(words) = quoting::words(text) else { return HIDDEN.to_owned() };
    let mut before = None;
    let shown = words.iter().map(|word| {
        let (shown, name) = match word.strip_prefix('-').filter(|rest| !rest.is_empty() && !is_number(rest)) {
            Some(rest) => option(word, rest, plain),
            None => (value(word, before.is_some_and(|name| plain.contains(&name))), None),
        };
        before = name;
        shown
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// An option as it is shown, and its name if the next word is its value.
fn option<'a>(word: &'a str, rest: &'a str, plain: &[&str]) -> (String, Option<&'a str>) {
    let Some(long) = rest.strip_prefix('-') else { return (letters(rest), None) };
    let (name, given) = long.split_once('=').map_or((long, None), |(name, given)| (name, Some(given)));
    if name.len() > 40 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return (HIDDEN.to_owned(), None);
    }
    match given {
        Some(given) => (format!("--{name}={}", value(given, plain.contains(&name))), None),
        None => (word.to_owned(), Some(name)),
    }
}

/// `-v`, `-vvv`; of `-pPASSWORD` the first letter.
fn letters(rest: &str) -> String {
    let first = rest.chars().next().unwrap_or_default();
    match rest.chars().all(|letter| letter == first) && first.is_ascii_alphabetic() {
        true => format!("-{rest}"),
        false if first.is_ascii_alphabetic() => format!("-{first}{HIDDEN}"),
        false => HIDDEN.to_owned(),
    }
}

fn value(text: &str, is_plain: bool) -> String {
    let is_date = |part: &str| part.len() == 10 && part.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let parts_are = |test: &dyn Fn(&str) -> bool| text.split([',', ' ']).all(test);
    let is_word = matches!(text, "" | "yes" | "no" | "true" | "false" | "all");
    if text.contains("://") {
        return if Address::parse(text).is_ok() { quoted(&Address::shown(text)) } else { HIDDEN.to_owned() };
    }
    match is_plain
        || is_word
        || is_file(text)
        || parts_are(&|part| is_number(part.trim_start_matches('-')) || is_date(part))
    {
        true => quoted(text),
        false => HIDDEN.to_owned(),
    }
}

/// As it can be written again.
fn quoted(text: &str) -> String {
    let is_bare = |c: char| !c.is_whitespace() && !"'\"\\".contains(c);
    if !text.is_empty() && text.chars().all(is_bare) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b11_names_and_harmless_values_are_shown_and_nothing_else() {
        for (text, expected) in [
            ("--enable-static --recorders=4", "--enable-static --recorders=4"),
            (
                "--token-auth=s3cret --auth-user u --auth-password 's3 cret'",
                "--token-auth=(hidden) --auth-user (hidden) --auth-password (hidden)",
            ),
            ("--tok s3cret", "--tok (hidden)"),
            ("--url=http://u:s3cret@h/p?token_auth=s3cret", "--url=http://(hidden)@h/p?(hidden)"),
            ("--url http://u:s3cret@[::bad", "--url (hidden)"),
            ("--encoding=utf-8 --encoding latin1", "--encoding=utf-8 --encoding latin1"),
            (
                "--force-idsites=1,2 -1 -vvv -v -pS3cret -p S3cret",
                "--force-idsites=1,2 -1 -vvv -v -p(hidden) -p (hidden)",
            ),
            (
                "--dates=2026-01-01,2026-02-01 --skip-segments s3cret",
                "--dates=2026-01-01,2026-02-01 --skip-segments (hidden)",
            ),
            ("--request-suffix '&token_auth=s3cret'", "--request-suffix (hidden)"),
            ("--x{s3cret} --a='never closed s3cret", "(hidden)"),
            ("--x{s3cret} --log=/var/log/a", "(hidden) --log=/var/log/a"),
            ("--encoding='a b'", "--encoding='a b'"),
        ] {
            assert_eq!(options(text, &["encoding"]), expected, "{text}");
        }
    }
}
