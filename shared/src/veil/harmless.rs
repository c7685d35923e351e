//! What may be shown of a command: programs whose words we know, and words that cannot be secrets.

/// How the words behind the name of a program are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Not at all.
    Closed,
    /// Files and letters.
    Files,
    /// Its own words up to the next program.
    Prefix,
    /// As `Prefix`, with a password among them.
    Password,
    /// Options and places of rsync.
    Rsync,
    /// Options of ssh, and a host.
    Ssh,
    /// A word of the shell's language: a command may follow.
    Word,
    /// Assignments follow.
    Setter,
}

/// Programs by name.
const PROGRAMS: &[(Manner, &[&str])] = &[
    (Manner::Rsync, &["rsync"]),
    (Manner::Ssh, &["ssh", "scp", "sftp"]),
    (Manner::Password, &["sshpass"]),
    (
        Manner::Prefix,
        &["timeout", "nice", "ionice", "flock", "nohup", "setsid", "stdbuf", "env", "command", "exec", "time", "sudo"],
    ),
    (
        Manner::Files,
        &[
            "touch", "mkdir", "cat", "tee", "cd", "rm", "mv", "cp", "chmod", "chown", "ls", "find", "gzip", "zstd",
            "xz", "tail", "head", "test", "[", "sleep", "true", "false", ":", "sync", "du", "df", "sort", "wc", "exit",
            "wait",
        ],
    ),
    (
        Manner::Closed,
        &[
            "curl",
            "wget",
            "lftp",
            "ftp",
            "mysql",
            "mysqldump",
            "mariadb",
            "mariadb-dump",
            "psql",
            "pg_dump",
            "echo",
            "printf",
            "sh",
            "bash",
            "logger",
            "mail",
            "aws",
            "rclone",
            "s3cmd",
            "gsutil",
            "az",
            "restic",
            "borg",
            "grep",
            "sed",
            "awk",
            "date",
            "tar",
            "for",
            "case",
            "trap",
            "eval",
            "ssh-keyscan",
            "ssh-keygen",
            "gpg",
            "openssl",
            "su",
        ],
    ),
    (Manner::Word, &["!", "{", "}", "if", "then", "else", "elif", "fi", "do", "done", "while", "until", "in", "esac"]),
    (Manner::Setter, &["export", "readonly", "local", "declare", "set"]),
];

/// Variables whose values are known to be harmless.
const VARIABLES: [&str; 8] =
    ["LANG", "LC_ALL", "LC_TIME", "TZ", "PATH", "HOME", "RSYNC_PROTECT_ARGS", "RSYNC_OLD_ARGS"];

/// Settings of ssh that run commands or carry values into them.
const SSH_SETTINGS_CLOSED: [&str; 7] =
    ["proxycommand", "localcommand", "remotecommand", "knownhostscommand", "setenv", "sendenv", "pkcs11provider"];

/// How the words of a program are shown, if we know it.
pub fn manner(program: &str) -> Option<Manner> {
    let name = program.rsplit('/').next().unwrap_or_default();
    let found = PROGRAMS.iter().find(|(_, names)| names.contains(&name)).map(|(manner, _)| *manner);
    found.filter(|_| name == program || is_file(program))
}

/// A name that a shell takes for a variable.
pub fn is_variable(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A variable whose value is harmless.
pub fn is_plain_variable(name: &str) -> bool {
    VARIABLES.contains(&name)
}

/// `$NAME`: the shell puts the value in.
pub fn is_reference(value: &str) -> bool {
    value.strip_prefix('$').is_some_and(is_variable)
}

/// A path from the root, or the name of a descriptor.
pub fn is_file(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-*,@".contains(c);
    text.starts_with('/') && text[1..].contains(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain)
}

/// `5`, `10m`, `&1`, `0.5`.
pub fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches('&').trim_end_matches(['s', 'm', 'h', 'd']);
    !digits.is_empty() && digits.len() < 7 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// `-avz`, `-c3`: a few letters behind a dash.
pub fn is_letters(text: &str) -> bool {
    let letters = text.strip_prefix('-').unwrap_or_default();
    !letters.is_empty() && letters.len() <= 16 && letters.bytes().all(|b| b.is_ascii_alphabetic())
        || (letters.len() == 2 && letters.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// `max-delete`: what may stand behind two dashes.
pub fn is_option_name(name: &str) -> bool {
    name.len() < 30 && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-' || b == b'0')
}

/// `user@host`, `host:/path`, with no password in it.
pub fn is_host(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-*,@:~[]".contains(c);
    !text.is_empty() && text.chars().all(is_plain) && super::secret::password(text).is_none()
}

/// `Name=value` or `Name value` for ssh's `-o`.
pub fn is_ssh_setting(text: &str) -> bool {
    let name = text.trim().split(['=', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()) && !SSH_SETTINGS_CLOSED.contains(&name.as_str())
}
