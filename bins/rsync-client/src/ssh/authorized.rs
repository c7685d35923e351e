//! Lines of `authorized_keys`: read from variables that hold one key or several, and written with a forced command.

use shared::config::{Kin, Value};

/// A public key with what stands before and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    /// Options in front of the key, as sshd reads them; often empty.
    pub options: String,
    /// `ssh-ed25519 AAAA… comment`
    pub key: String,
}

/// The keys in a text: on lines of their own, or one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedKeys(pub Vec<AuthorizedKey>);

impl AuthorizedKeys {
    /// Reads a text. Comments and empty lines are no keys.
    pub fn of(text: &str) -> Self {
        // One variable is one line in many places, so line ends were often written as `\n`.
        let text = text.replace("\\n", "\n");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.flat_map(keys_of_line).collect())
    }
}

impl Value for AuthorizedKeys {
    fn rule() -> String {
        "one or several public keys, such as `ssh-ed25519 AAAA… name`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY") {
            return Err("it is a private key; give the public one".to_owned());
        }
        let keys = Self::of(text);
        if keys.0.is_empty() { Err("no key is in it".to_owned()) } else { Ok(keys) }
    }
}

impl Kin for AuthorizedKeys {
    // Whatever follows: the old entrypoint took `SSH_AUTH_KEY2` as well as `SSH_AUTH_KEY_2`.
    const NAMES: &'static str = "SSH_AUTH_KEY*";
    const ABOUT: &'static str = "`server`: more keys, in as many variables as you like.";
    const EXAMPLE: &'static str = "ssh-ed25519 AAAA… backup@example.org";
}

fn keys_of_line(line: &str) -> Vec<AuthorizedKey> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_key = |at: &usize| is_type(words[*at]) && words.get(at + 1).is_some_and(|body| body.starts_with("AAAA"));
    let begins: Vec<usize> = (0..words.len()).filter(is_key).collect();
    let ends = begins.iter().skip(1).copied().chain([words.len()]);
    let keys = begins.iter().zip(ends).map(|(begin, end)| words[*begin..end].join(" "));
    let mut keys: Vec<AuthorizedKey> = keys.map(|key| AuthorizedKey { options: String::new(), key }).collect();
    if let (Some(first), Some(begin)) = (keys.first_mut(), begins.first()) {
        first.options = words[..*begin].join(" ");
    }
    keys
}

/// Names of key types in OpenSSH 9.2: `ssh-…`, `ecdsa-sha2-…`, and `sk-…` for those on a token.
fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"].iter().any(|begin| word.starts_with(begin))
}

impl AuthorizedKey {
    /// The line for sshd: this command and nothing else. A command that a person chose stays.
    pub fn line(&self, command: &str) -> String {
        if self.options.contains("command=") {
            return format!("{} {}", self.options, self.key);
        }
        let more = if self.options.is_empty() { String::new() } else { format!(",{}", self.options) };
        format!("command=\"{command}\",restrict{more} {}", self.key)
    }
}

/// The line that lets a key read one folder with rsync and do nothing else.
pub fn restricted(key: &str, folder: &str) -> String {
    let folder = if folder.trim_end_matches('/').is_empty() { "/path/to/logs" } else { folder.trim_end_matches('/') };
    format!("command=\"rrsync -ro {folder}\",restrict {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        AuthorizedKeys::of(text).0.into_iter().map(|key| key.key).collect()
    }

    #[test]
    fn b_13_one_variable_may_hold_several_keys_of_any_type() {
        assert_eq!(
            keys(
                "ssh-rsa AAAAB3 a b sk-ssh-ed25519@openssh.com AAAAGn c\necdsa-sha2-nistp256 AAAAE2 d\n# ssh-rsa AAAA no"
            ),
            ["ssh-rsa AAAAB3 a b", "sk-ssh-ed25519@openssh.com AAAAGn c", "ecdsa-sha2-nistp256 AAAAE2 d"]
        );
        assert_eq!(keys(r"ssh-rsa AAAA1 x\nssh-rsa AAAA2 y").len(), 2);
        // A comment that looks like a type is none without a body.
        assert_eq!(keys("ssh-rsa AAAA1 ssh-laptop"), ["ssh-rsa AAAA1 ssh-laptop"]);
    }

    #[test]
    fn options_stay_in_front_of_the_forced_command() {
        let line = |text: &str| AuthorizedKeys::of(text).0[0].line("x");
        assert_eq!(line("ssh-rsa AAAA"), "command=\"x\",restrict ssh-rsa AAAA");
        assert_eq!(
            line("from=\"10.0.0.1, 10.0.0.2\" ssh-rsa AAAA"),
            "command=\"x\",restrict,from=\"10.0.0.1, 10.0.0.2\" ssh-rsa AAAA"
        );
        assert_eq!(
            line("command=\"rrsync -ro /a\",restrict ssh-rsa AAAA"),
            "command=\"rrsync -ro /a\",restrict ssh-rsa AAAA"
        );
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        assert!(AuthorizedKeys::parse("-----BEGIN OPENSSH PRIVATE KEY-----").is_err());
        assert!(AuthorizedKeys::parse("hello").is_err());
    }

    #[test]
    fn the_restricted_line_names_a_folder() {
        assert_eq!(restricted("ssh-rsa AAAA", "/logs/"), "command=\"rrsync -ro /logs\",restrict ssh-rsa AAAA");
        assert!(restricted("k", "/").contains("/path/to/logs"));
    }
}
