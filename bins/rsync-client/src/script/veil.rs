//! Hides passwords and tokens: in the text of a command, and wherever its output repeats them.

use std::collections::BTreeSet;
use std::ops::Range;

use shared::secret::HIDDEN;

use super::token::{Kind, Word, tokens};

/// Parts of names of variables, options and headers whose value nobody should see.
const TELLING: [&str; 8] = ["pass", "secret", "token", "apikey", "api_key", "api-key", "credential", "auth"];
/// Shorter texts are words, and hiding those would hide half of the log.
const BYTES_MIN: usize = 4;

/// What is hidden in the output of commands.
#[derive(Clone, Debug, Default)]
pub struct Veil(BTreeSet<String>);

impl Veil {
    /// Knows the secrets in the text of commands.
    pub fn of(text: &str) -> Self {
        Self(spots(text).into_iter().map(|spot| text[spot].to_owned()).filter(|s| s.len() >= BYTES_MIN).collect())
    }

    /// What must not be seen, the longest first, so that a part of another is hidden with it.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.0.iter().cloned().collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts
    }

    /// A line of output without them.
    pub fn over(&self, line: &str) -> String {
        self.texts().iter().fold(line.to_owned(), |line, secret| line.replace(secret.as_str(), HIDDEN))
    }
}

/// The text of a command as anybody may read it.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for spot in spots(text) {
        shown.push_str(&text[from..spot.start]);
        shown.push_str(HIDDEN);
        from = spot.end;
    }
    shown.push_str(&text[from..]);
    // The same password may stand in another place, where nothing tells that it is one.
    Veil::of(text).over(&shown)
}

/// Where the secrets are, in order and apart from each other.
fn spots(text: &str) -> Vec<Range<usize>> {
    let mut spots = Vec::new();
    let mut command = Vec::new();
    for token in tokens(text).all {
        match token.kind {
            Kind::Word(word) => {
                let written = &text[token.span.clone()];
                spots.extend(within(&command, &word, written).map(|Range { start, end }| {
                    let from = token.span.start;
                    from + start..from + end
                }));
                command.push(word);
            }
            Kind::Redirect => {}
            Kind::End | Kind::Joint => command.clear(),
        }
    }
    spots
}

/// The secret in a word, by the words before it in the same command.
fn within(before: &[Word], word: &Word, written: &str) -> Option<Range<usize>> {
    let option = before.last().map(|word| word.text.as_str()).unwrap_or_default();
    let program = before.iter().map(|word| word.text.rsplit('/').next().unwrap_or_default());
    let mut program = program.skip_while(|name| name.contains('='));
    let program = program.next();
    let all = unquoted(written);
    // Only the name of a variable is written here, and the shell puts its value in.
    let named = |range: Range<usize>| {
        let value = &written[range.clone()];
        let is_name = value.strip_prefix('$').is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
        (!value.is_empty() && !is_name).then_some(range)
    };
    if program == Some("sshpass") {
        if option == "-p" {
            return named(all);
        }
        if word.text.starts_with("-p") && word.text.len() > 2 {
            let inner = unquoted(&written[2..]);
            return named(2 + inner.start..(2 + inner.end).min(all.end.max(2 + inner.start)));
        }
    }
    if ((option == "-u" || option == "--user") && program == Some("curl"))
        || (option.starts_with("--") && !option.contains('=') && is_telling(option) && !word.text.starts_with('-'))
    {
        return named(all);
    }
    if let Some((name, _)) = written.split_once('=')
        && is_telling(name)
        && !name.contains(['/', ':', '@'])
    {
        let from = name.len() + 1;
        let inner = unquoted(&written[from..]);
        let end = (from + inner.end).min(all.end);
        return named((from + inner.start).min(end)..end);
    }
    if let Some((name, _)) = written[all.clone()].split_once(": ")
        && is_telling(name)
    {
        return named(all.start + name.len() + 2..all.end);
    }
    user_and_password(written).and_then(named)
}

/// A word without the quotes around it.
fn unquoted(written: &str) -> Range<usize> {
    let is_quote = |c: char| c == '"' || c == '\'';
    let start = written.len() - written.trim_start_matches(is_quote).len();
    start..written.trim_end_matches(is_quote).len().max(start)
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A file with a password in it is named, not shown; and these are names of methods.
    let harmless = ["-file", "_file", "authentications", "sock", "authmode", "batchmode", "checking", "passive"];
    TELLING.iter().any(|part| name.contains(part)) && !harmless.iter().any(|part| name.contains(part))
}

/// The password in `user:password@host`.
fn user_and_password(written: &str) -> Option<Range<usize>> {
    let start = written.find("://").map(|at| at + 3);
    let begin = start.unwrap_or(0);
    let at = match start {
        // Up to the host's slash at most; a password in an address has no bare slash.
        Some(begin) => begin + written[begin..].split(['/', '?', '#']).next().unwrap_or_default().rfind('@')?,
        None => written.rfind('@')?,
    };
    let colon = begin + written[begin..at].find(':')?;
    let password = &written[colon + 1..at];
    let is_path = start.is_none() && password.contains('/');
    (!password.is_empty() && !is_path).then_some(colon + 1..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_14_secrets_in_commands_are_hidden() {
        for (written, expected) in [
            ("RSYNC_PASSWORD=hush rsync rsync://me@host/x y", "RSYNC_PASSWORD=(hidden) rsync rsync://me@host/x y"),
            ("RSYNC_PASSWORD='hu sh' rsync a b", "RSYNC_PASSWORD='(hidden)' rsync a b"),
            ("rsync rsync://me:hush@host/x y", "rsync rsync://me:(hidden)@host/x y"),
            ("rsync 'rsync://me:h@sh@host/x' y", "rsync 'rsync://me:(hidden)@host/x' y"),
            ("rsync me:hush@host:/x y", "rsync me:(hidden)@host:/x y"),
            ("sshpass -p hush rsync a b", "sshpass -p (hidden) rsync a b"),
            ("sshpass -p'hush it' rsync a b", "sshpass -p'(hidden)' rsync a b"),
            ("/usr/bin/sshpass -phush rsync a b", "/usr/bin/sshpass -p(hidden) rsync a b"),
            ("X=1 sshpass -p \"hush\" ssh h", "X=1 sshpass -p \"(hidden)\" ssh h"),
            ("curl -u me:hush http://x", "curl -u (hidden) http://x"),
            ("curl -H 'Authorization: Bearer hush' http://x", "curl -H 'Authorization: (hidden)' http://x"),
            ("fetch --password hush --token=\"hush\"", "fetch --password (hidden) --token=\"(hidden)\""),
            ("a ; API_TOKEN=hush b", "a ; API_TOKEN=(hidden) b"),
        ] {
            assert_eq!(shown(written), expected);
        }
    }

    #[test]
    fn the_rest_is_shown_as_it_is() {
        for text in [
            "rsync -e 'ssh -p 2222 -o StrictHostKeyChecking=no' -avz --delete root@web:/logs/ /analytics/logs/4/",
            "rsync --password-file=/run/secrets/x me@host::logs y",
            "sshpass -f /run/secrets/x rsync a b",
            "rsync host:/a/b@c y",
            "RSYNC_PASSWORD=$PASSWORD rsync a b",
            "rsync -e 'ssh -o PreferredAuthentications=publickey' a b",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn b_14_output_that_repeats_a_secret_is_veiled() {
        let veil = Veil::of("RSYNC_PASSWORD='hush hush' rsync rsync://me:tops3cret@host/x y");
        assert_eq!(
            veil.over("cannot reach me:tops3cret@host with hush hush"),
            "cannot reach me:(hidden)@host with (hidden)"
        );
    }
}
