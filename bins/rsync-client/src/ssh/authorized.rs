//! Lines of `authorized_keys`: read from variables that hold one key or several, and written with a forced command.

use shared::config::{Kin, Value};

/// A public key, and what its owner may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    /// `ssh-ed25519 AAAA… comment`
    pub key: String,
    /// Whether it may write (`rw` in front of the key); otherwise it only reads.
    pub may_write: bool,
    /// Its folder below SSH_SERVER_DIR (`folder="web1"` in front of the key), when that is said.
    pub folder: Option<String>,
    /// Options of sshd that narrow its use: `from="10.0.0.1"` and the like.
    pub options: Vec<String>,
}

/// The keys in a text: on lines of their own, or one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedKeys(pub Vec<AuthorizedKey>);

impl AuthorizedKeys {
    /// Reads a text. Comments and empty lines are no keys.
    ///
    /// # Errors
    /// When an option in front of a key is not among those that are taken; the sentence names it.
    pub fn of(text: &str) -> Result<Self, String> {
        // One variable is one line in many places, so line ends were often written as `\n`.
        let text = text.replace("\\n", "\n");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<Vec<AuthorizedKey>> = lines.map(keys_of_line).collect::<Result<_, _>>()?;
        Ok(Self(keys.into_iter().flatten().collect()))
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
        let keys = Self::of(text)?;
        if keys.0.is_empty() { Err("no key is in it".to_owned()) } else { Ok(keys) }
    }

    /// A private key that was set by mistake is not shown either.
    fn shown(text: &str) -> String {
        if text.contains("PRIVATE KEY") { shared::secret::HIDDEN.to_owned() } else { text.to_owned() }
    }
}

impl Kin for AuthorizedKeys {
    // Whatever follows: the old entrypoint took `SSH_AUTH_KEY2` as well as `SSH_AUTH_KEY_2`.
    const NAMES: &'static str = "SSH_AUTH_KEY*";
    const ABOUT: &'static str = "`server`: more keys, in as many variables as you like.";
    const EXAMPLE: &'static str = "rw,folder=\"web1\" ssh-ed25519 AAAA… backup@example.org";
}

fn keys_of_line(line: &str) -> Result<Vec<AuthorizedKey>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_key = |at: &usize| is_type(words[*at]) && words.get(at + 1).is_some_and(|body| body.starts_with("AAAA"));
    let begins: Vec<usize> = (0..words.len()).filter(is_key).collect();
    let ends = begins.iter().skip(1).copied().chain([words.len()]);
    let mut keys = Vec::new();
    for (begin, end) in begins.iter().zip(ends) {
        let key = &words[*begin..end];
        if let Some(stray) = key[2..].iter().find(|word| **word == "rw" || word.contains("folder=")) {
            return Err(format!("`{stray}` stands behind a key; write each key on a line of its own, options first"));
        }
        let options = if keys.is_empty() { words[..*begin].join(" ") } else { String::new() };
        keys.push(AuthorizedKey::new(key.join(" "), &options)?);
    }
    Ok(keys)
}

/// Names of key types in OpenSSH 9.2: `ssh-…`, `ecdsa-sha2-…`, and `sk-…` for those on a token.
fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"].iter().any(|begin| word.starts_with(begin))
}

/// What sshd itself checks; none of these gives a right.
const NARROWING: [&str; 4] = ["from", "expiry-time", "no-touch-required", "verify-required"];
/// What `restrict` says already.
const IMPLIED: [&str; 7] =
    ["ro", "restrict", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding"];

impl AuthorizedKey {
    fn new(key: String, options: &str) -> Result<Self, String> {
        let mut entry = Self { key, may_write: false, folder: None, options: Vec::new() };
        for option in separate(options) {
            entry.take(option)?;
        }
        Ok(entry)
    }

    fn take(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        // As sshd, which does not mind the case.
        match name.to_ascii_lowercase().as_str() {
            "rw" if value.is_empty() => self.may_write = true,
            "folder" => self.folder = Some(folder_name(value.trim_matches('"'))?),
            name if NARROWING.contains(&name) => self.options.push(option.to_owned()),
            name if IMPLIED.contains(&name) && value.is_empty() => {}
            "command" => {
                return Err("`command=` is not taken, as every key runs rsync in a folder of its own; \
                            write folder=\"NAME\" in its place, and rw to let the key write"
                    .to_owned());
            }
            _ => return Err(format!("the option `{name}` is not taken in front of a key")),
        }
        Ok(())
    }

    /// Type and body, which are the key; the comment is not.
    pub fn body(&self) -> String {
        self.key.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// What stands behind the body.
    pub fn comment(&self) -> &str {
        self.key.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// Its comment, or else the end of its body: enough to know it again in a message.
    pub fn name(&self) -> String {
        let body: Vec<char> = self.body().chars().collect();
        let end: String = body[body.len().saturating_sub(12)..].iter().collect();
        if self.comment().is_empty() { format!("…{end}") } else { self.comment().to_owned() }
    }

    /// The line for sshd: this command and nothing else.
    pub fn line(&self, command: &str) -> String {
        let more: String = self.options.iter().map(|option| format!(",{option}")).collect();
        format!("command=\"{}\",restrict{more} {}", command.replace('"', "\\\""), self.key)
    }
}

/// A folder's name as we take it: a plain path downwards.
///
/// # Errors
/// When it is anything else.
pub fn folder_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    let goes_down = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain);
    let name = text.trim_end_matches('/');
    if name == "." || name.split('/').all(goes_down) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "folder=\"{text}\" must be a path below SSH_SERVER_DIR of letters, digits and ._@+-, or a single dot for all of it"
    ))
}

/// Cuts at commas and blanks outside double quotes.
fn separate(options: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = options.split(move |c: char| {
        is_quoted ^= c == '"';
        !is_quoted && (c == ',' || c.is_whitespace())
    });
    parts.filter(|part| !part.is_empty())
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
        AuthorizedKeys::of(text).unwrap().0.into_iter().map(|key| key.key).collect()
    }

    fn only(text: &str) -> AuthorizedKey {
        AuthorizedKeys::of(text).unwrap().0.remove(0)
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
    fn options_that_narrow_stay_behind_the_forced_command() {
        let line = |text: &str| only(text).line("x");
        assert_eq!(line("ssh-rsa AAAA"), "command=\"x\",restrict ssh-rsa AAAA");
        assert_eq!(
            line("from=\"10.0.0.1, 10.0.0.2\",no-pty ssh-rsa AAAA"),
            "command=\"x\",restrict,from=\"10.0.0.1, 10.0.0.2\" ssh-rsa AAAA"
        );
        assert_eq!(only("ssh-rsa AAAA").line("a \"b\""), "command=\"a \\\"b\\\"\",restrict ssh-rsa AAAA");
    }

    #[test]
    fn a_key_reads_unless_rw_is_said_and_may_name_its_folder() {
        let key = |text: &str| (only(text).may_write, only(text).folder);
        assert_eq!(key("ssh-rsa AAAA x"), (false, None));
        assert_eq!(key("rw ssh-rsa AAAA x"), (true, None));
        assert_eq!(key("rw,folder=\"web1/logs\" ssh-rsa AAAA x"), (true, Some("web1/logs".to_owned())));
        assert_eq!(key("ro folder=web1/ from=\"10.0.0.1\" ssh-rsa AAAA"), (false, Some("web1".to_owned())));
        assert_eq!(key("folder=. ssh-rsa AAAA"), (false, Some(".".to_owned())));
        assert_eq!(only("ssh-rsa AAAA x").name(), "x");
        assert_eq!(only("ssh-rsa AAAA0123456789end").name(), "…123456789end");
    }

    #[test]
    fn options_that_give_rights_are_refused() {
        for options in [
            "command=\"sh\"",
            "restrict,COMMAND=\"id\"",
            "environment=\"PATH=/x\"",
            "cert-authority",
            "principals=\"root\"",
            "permitopen=\"*:22\"",
            "pty",
            "port-forwarding",
            "tunnel=\"0\"",
            "folder=\"../x\"",
            "folder=\"/etc\"",
            "folder=\"a/./b\"",
            "folder=\"\"",
            "folder=\"a%b\"",
            "rw=\"no\"",
            "restrict=\"x\"",
        ] {
            assert!(AuthorizedKeys::of(&format!("{options} ssh-rsa AAAA x")).is_err(), "{options}");
        }
        assert!(AuthorizedKeys::of("ssh-rsa AAAA1 x rw ssh-rsa AAAA2 y").unwrap_err().contains("line of its own"));
    }

    #[test]
    fn what_is_no_public_key_is_refused_and_not_shown() {
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl";
        assert!(AuthorizedKeys::parse(private).is_err());
        assert!(!AuthorizedKeys::shown(private).contains("b3Bl"));
        assert!(AuthorizedKeys::parse("hello").is_err());
    }

    #[test]
    fn the_restricted_line_names_a_folder() {
        assert_eq!(restricted("ssh-rsa AAAA", "/logs/"), "command=\"rrsync -ro /logs\",restrict ssh-rsa AAAA");
        assert!(restricted("k", "/").contains("/path/to/logs"));
    }
}
