//! Hides passwords and tokens wherever the output of a command repeats them.
//!
//! What is shown of the commands themselves is up to [`super::shown`]; here are the forms in which people write secrets.

use std::collections::BTreeSet;
use std::ops::Range;

use super::harmless::{is_file, is_number, is_plain_variable, is_reference, is_variable};
use super::token::{Kind, Token, Word, tokens};
use crate::secret::HIDDEN;

/// Parts of names of variables, options, headers and fields whose value nobody should see.
const TELLING: [&str; 11] =
    ["pass", "pwd", "secret", "token", "apikey", "api_key", "api-key", "credential", "auth", "signature", "access-key"];
/// A file with a password in it is named, not shown; and these are names of methods.
const HARMLESS: [&str; 8] =
    ["-file", "_file", "authentications", "sock", "authmode", "batchmode", "checking", "passive"];
/// Programs that take `-u user:password`, with what separates the two.
const WITH_USER: [(&str, char); 5] =
    [("curl", ':'), ("wget", ':'), ("lftp", ','), ("ncftpget", ':'), ("smbclient", '%')];
/// Programs that take `-pPASSWORD`.
const WITH_PASSWORD: [&str; 8] =
    ["sshpass", "mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mariadb-admin", "mongodump"];
/// Programs that read a password from their standard input.
const READS_PASSWORD: [&str; 8] = ["sshpass", "sudo", "su", "gpg", "openssl", "docker", "kinit", "chpasswd"];
/// What may stand in front of an assignment.
const SETTERS: [&str; 7] = ["export", "readonly", "local", "declare", "env", "-i", "sudo"];
/// Shorter texts are words, and hiding those would hide half of the log.
const BYTES_MIN: usize = 4;

/// What is hidden in the output of commands.
#[derive(Clone, Debug, Default)]
pub struct Veil(BTreeSet<String>);

impl Veil {
    /// Knows the secrets in the text of commands.
    pub fn of(text: &str) -> Self {
        let mut secrets = BTreeSet::new();
        let mut command: Vec<&Word> = Vec::new();
        let mut before: Vec<&Word> = Vec::new();
        let tokens = tokens(text);
        for (at, token) in tokens.all.iter().enumerate() {
            match &token.kind {
                Kind::Word(word) => {
                    secrets.extend(in_word(&command, word));
                    command.push(word);
                    if is_first_of(&command, &READS_PASSWORD) {
                        secrets.extend(words_of_echo(&std::mem::take(&mut before)));
                    }
                }
                Kind::Redirect => {}
                Kind::End | Kind::Joint => {
                    // `<(echo X)` is a file with X in it, `echo X | sshpass` a password.
                    if is_file_of_command(text, &tokens.all[..at]) {
                        secrets.extend(words_of_echo(&command));
                    }
                    before = std::mem::take(&mut command);
                }
            }
        }
        Self(secrets.into_iter().filter(|secret| secret.len() >= BYTES_MIN).collect())
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

/// The program of a command: its first word that is no assignment.
fn program<'a>(command: &[&'a Word]) -> Option<&'a str> {
    let mut names = command.iter().map(|word| word.text.as_str()).skip_while(|name| name.contains('='));
    names.next().and_then(|name| name.rsplit('/').next())
}

/// Whether its last word is its program, and one of these.
fn is_first_of(command: &[&Word], programs: &[&str]) -> bool {
    let count = command.iter().filter(|word| !word.text.contains('=')).count();
    count == 1 && program(command).is_some_and(|name| programs.contains(&name))
}

fn words_of_echo(command: &[&Word]) -> Vec<String> {
    match program(command) {
        Some("echo" | "printf") => command[1..].iter().map(|word| word.text.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Whether the command that ends here stands in `<( )`.
fn is_file_of_command(text: &str, tokens: &[Token]) -> bool {
    let mut back = tokens.iter().rev().skip_while(|token| matches!(token.kind, Kind::Word(_)));
    let opens = back.next().is_some_and(|token| &text[token.span.clone()] == "(");
    opens && back.next().is_some_and(|token| token.kind == Kind::Redirect)
}

/// The secrets in a word, by the words before it in the same command.
fn in_word(before: &[&Word], word: &Word) -> Vec<String> {
    let text = word.text.as_str();
    let option = before.last().map(|word| word.text.as_str()).unwrap_or_default();
    let program = program(before).unwrap_or_default();
    let mut found: Vec<&str> = Vec::new();
    found.extend(of_user(program, option, text));
    if WITH_PASSWORD.contains(&program) {
        found.extend((option == "-p" && program == "sshpass").then_some(text));
        found.extend(text.strip_prefix("-p").filter(|rest| !rest.is_empty()));
    }
    let names_next = option.starts_with('-') && !option.contains('=') && is_telling(option);
    found.extend(Some(text).filter(|_| names_next && !text.starts_with('-')));
    let may_assign = before.iter().all(|word| word.text.contains('=') || SETTERS.contains(&word.text.as_str()));
    found.extend(assigned(text, may_assign));
    found.extend(fields(text));
    found.extend(password(text).map(|range| &text[range]));
    // A command within a word, as for `-e 'sshpass -p … ssh'`.
    let inner = if text.contains(' ') && text != option { Veil::of(text).texts() } else { Vec::new() };
    let found = found.into_iter().filter(|secret| !is_reference(secret) && !secret.is_empty());
    found.map(str::to_owned).chain(inner).collect()
}

/// `-u user:password`, `-uuser:password`, `--user=user:password`: all of it, and the password alone.
fn of_user<'a>(program: &str, option: &str, text: &'a str) -> Vec<&'a str> {
    let Some((_, separator)) = WITH_USER.iter().find(|(name, _)| *name == program) else { return Vec::new() };
    let is_user = |name: &str| ["-u", "-U", "--user", "--proxy-user"].contains(&name);
    let attached = ["-u", "-U"].iter().find_map(|letter| text.strip_prefix(letter)).filter(|rest| !rest.is_empty());
    let inline = text.split_once('=').filter(|(name, _)| is_user(name)).map(|(_, value)| value);
    let value = if is_user(option) { Some(text) } else { inline.or(attached) };
    let Some(value) = value else { return Vec::new() };
    let password = value.split_once(*separator).map(|(_, password)| password);
    std::iter::once(value).chain(password).collect()
}

/// The value of `NAME=value` and `--name=value`: of a variable unless it is known to be harmless, of an option if its
/// name tells.
fn assigned(text: &str, may_assign: bool) -> Option<&str> {
    let (name, value) = text.split_once('=')?;
    let is_secret = if may_assign && is_variable(name) {
        is_telling(name) || !(is_plain_variable(name) || name.ends_with("_FILE") || is_file(value) || is_number(value))
    } else {
        is_telling(name) && !name.contains(['/', ':', '@', '?', '{'])
    };
    is_secret.then_some(value)
}

/// `?token=…&x`, `{"password":"…"}`, `Authorization: Bearer …`: values behind a name that tells, in any text.
fn fields(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, separator) in text.char_indices().filter(|(_, c)| matches!(c, '=' | ':')) {
        let before = text[..at].trim_end_matches(['"', '\'', ' ']);
        let begins = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).map_or(0, |at| at + 1);
        if !is_telling(&before[begins..]) {
            continue;
        }
        let value = text[at + 1..].trim_start();
        let is_header = separator == ':' && !value.starts_with('"') && text[at..].starts_with(": ");
        let value = value.trim_start_matches(['"', '\'']);
        let end = if is_header { None } else { value.find(['&', '"', '\'', ',', ';', '}', ' ', '#']) };
        let value = &value[..end.unwrap_or(value.len())];
        found.push(value);
        // `Bearer X`, `Basic X`: the rest alone as well.
        found.extend(value.split_once(' ').map(|(_, rest)| rest));
    }
    found
}

pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|part| name.contains(part)) && !HARMLESS.iter().any(|part| name.contains(part))
}

/// The password in `user:password@host`, with or without `scheme://` in front. It may hold an `@` itself.
pub fn password(text: &str) -> Option<Range<usize>> {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let colon = begin + text[begin..].find(':')?;
    let at = colon + 1 + text[colon + 1..].rfind('@')?;
    let user = &text[begin..colon];
    let password = &text[colon + 1..at];
    let is_port = password.split('/').next().is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
        && password.contains('/');
    let is_path = password.is_empty() || password.starts_with(['/', ':', '~']) || is_port;
    (!is_path && !user.contains(['/', '@', ' ', '"'])).then_some(colon + 1..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hides(text: &str, secrets: &[&str]) {
        let veil = Veil::of(text);
        for secret in secrets {
            let line = format!("said <{secret}> aloud");
            assert_eq!(veil.over(&line), "said <(hidden)> aloud", "{text}: {:?}", veil.texts());
        }
    }

    #[test]
    fn b_14_every_form_of_a_secret_is_hidden_in_the_output() {
        for text in [
            "RSYNC_PASSWORD=tops3cret rsync a b",
            "RSYNC_PASSWORD='tops3cret' rsync a b",
            "rsync rsync://me:tops3cret@host/x y",
            "rsync me:tops3cret@host:/x y",
            "sshpass -p tops3cret rsync a b",
            "sshpass -v -p tops3cret rsync a b",
            "sshpass -p'tops3cret' rsync a b",
            "X=1 sshpass -p \"tops3cret\" ssh h",
            "rsync -e 'sshpass -p tops3cret ssh' a:/b c",
            "curl -u me:tops3cret http://x",
            "curl -s --user=me:tops3cret http://x",
            "curl --user me:tops3cret http://x",
            "curl -ume:tops3cret http://x",
            "curl 'http://x/?token=tops3cret'",
            "curl 'http://x/?a=b&token=tops3cret&c=d'",
            "curl http://me:tops3cret@x/",
            "curl -H 'Authorization: Bearer tops3cret' http://x",
            "curl -H 'X-Api-Key: tops3cret' http://x",
            "curl -d '{\"password\":\"tops3cret\"}' http://x",
            "curl -d '{\"user\": \"me\", \"password\": \"tops3cret\"}' http://x",
            "curl -d password=tops3cret http://x",
            "curl -d 'user=me&password=tops3cret' http://x",
            "mysql -ptops3cret -h x",
            "mysqldump --password=tops3cret x",
            "lftp -u me,tops3cret x",
            "export PW=tops3cret; echo $PW",
            "set -x; P=tops3cret",
            "KEY=tops3cret true",
            "env PASS=tops3cret true",
            "AWS_SECRET_ACCESS_KEY='tops3cret' true",
            "echo tops3cret | sshpass rsync a b",
            "printf '%s' tops3cret | sudo -S rsync a b",
            "rsync --password-file=<(echo tops3cret) a b",
            "wget --http-password tops3cret http://x",
            "wget --password='tops3cret' http://x",
            "rclone --sftp-pass tops3cret ls x:",
            "fetch --token=\"tops3cret\"",
        ] {
            hides(text, &["tops3cret"]);
        }
    }

    #[test]
    fn passwords_may_hold_an_at_sign_and_a_slash() {
        hides("rsync rsync://me:pa@ss@host/x y", &["pa@ss"]);
        hides("rsync me:pa@ss@host:/x y", &["pa@ss"]);
        hides("rsync me:pa/ss@host::x y", &["pa/ss"]);
        hides("curl https://me:pa@ss@host/a@b", &["pa@ss@host/a", "pa@ss@host/a"]);
    }

    #[test]
    fn of_two_secrets_the_longer_one_is_hidden_whole() {
        let veil = Veil::of("A=hush B=hush-and-more rsync a b");
        assert_eq!(veil.over("hush-and-more, hush"), "(hidden), (hidden)");
        assert_eq!(veil.texts(), ["hush-and-more", "hush"]);
    }

    #[test]
    fn what_is_no_secret_stays_in_the_output() {
        for text in [
            "rsync -e 'ssh -p 2222 -o StrictHostKeyChecking=no' -avz --delete root@web:/logs/ /analytics/logs/4/",
            "rsync --password-file=/run/secrets/x me@host::logs y",
            "sshpass -f /run/secrets/x rsync a b",
            "rsync host:/a/b@c y",
            "rsync rsync://host:873/a/b@c y",
            "RSYNC_PASSWORD=$PASSWORD rsync a b",
            "RSYNC_RSH=/usr/bin/ssh LIMIT=1000 LANG=C.UTF-8 rsync a b",
            "rsync -e 'ssh -o PreferredAuthentications=publickey' a b",
            "echo fetching | tee /log/x",
        ] {
            assert_eq!(Veil::of(text).texts(), [""; 0], "{text}");
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
