//! What a client of `server` asks for: the other end of an rsync, or something that is refused.

use crate::script::words;

/// How an option takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It has none.
    Flag,
    /// `--name=value`.
    Value,
    /// `--name=path` or `--name path`; the path must stay in the folder.
    Path,
    /// As `Path`, and only `-` is taken: the list comes from the client.
    List,
}

/// Long options that a client of rsync 3.5 sends to the other end. All others are refused, above all those that run
/// programs, read or write files of their own choice, or load more code (`--daemon`, `--config`, `--log-file`, `--rsh`,
/// `--password-file`, `--write-devices`, `--copy-devices`, `--iconv`).
const OPTIONS: &[(Kind, &[&str])] = &[
    (
        Kind::Flag,
        &[
            "append",
            "copy-unsafe-links",
            "delay-updates",
            "delete",
            "delete-after",
            "delete-before",
            "delete-delay",
            "delete-during",
            "delete-excluded",
            "delete-missing-args",
            "dirs",
            "existing",
            "fake-super",
            "force",
            "from0",
            "fsync",
            "fuzzy",
            "group",
            "hard-links",
            "ignore-errors",
            "ignore-existing",
            "ignore-missing-args",
            "ignore-times",
            "inplace",
            "links",
            "list-only",
            "mkpath",
            "msgs2stderr",
            "munge-links",
            "new-compress",
            "no-W",
            "no-implied-dirs",
            "no-msgs2stderr",
            "no-r",
            "no-relative",
            "no-specials",
            "numeric-ids",
            "old-compress",
            "omit-dir-times",
            "one-file-system",
            "open-noatime",
            "owner",
            "partial",
            "perms",
            "preallocate",
            "recursive",
            "remove-sent-files",
            "remove-source-files",
            "safe-links",
            "sender",
            "size-only",
            "specials",
            "stats",
            "super",
            "times",
            "use-qsort",
        ],
    ),
    (
        Kind::Value,
        &[
            "block-size",
            "bwlimit",
            "checksum-choice",
            "checksum-seed",
            "compress-choice",
            "compress-level",
            "compress-threads",
            "groupmap",
            "info",
            "log-format",
            "max-alloc",
            "max-delete",
            "max-size",
            "min-size",
            "modify-window",
            "skip-compress",
            "stderr",
            "stop-after",
            "stop-at",
            "suffix",
            "timeout",
            "usermap",
        ],
    ),
    (Kind::Path, &["backup-dir", "compare-dest", "copy-dest", "link-dest", "partial-dir", "temp-dir"]),
    (Kind::List, &["files-from"]),
];

/// Short options without a value that a client sends; not `s`, with which all else comes later and unseen.
const LETTERS: &str = "ACDEHIJKLNORSUWXbcdgklmnopqrtuvxyz";

/// The other end of an rsync that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// From `--server` on, as they came.
    pub options: Vec<String>,
    /// What it is about, from the key's folder downwards: no slash in front, and nothing that climbs out.
    pub paths: Vec<String>,
    /// Whether this end only reads.
    pub only_reads: bool,
}

impl Request {
    /// Reads what a client asks sshd to run.
    ///
    /// # Errors
    /// With a sentence that says what is refused.
    pub fn read(asked: &str) -> Result<Self, String> {
        let words = words(asked).ok_or("the request is no plain command")?;
        let Some(("rsync" | "/usr/bin/rsync", arguments)) =
            words.split_first().map(|(name, rest)| (name.as_str(), rest))
        else {
            return Err("the request is not rsync".to_owned());
        };
        let Some(("--server", arguments)) = arguments.split_first().map(|(word, rest)| (word.as_str(), rest)) else {
            return Err("the request is not the other end of an rsync".to_owned());
        };
        let given = Given::read(arguments)?;
        let behind = &arguments[given.words + 1..];
        if let Some(word) = behind.iter().find(|word| word.starts_with('-')) {
            return Err(format!("{word} stands where only paths may; write ./{word} for a file of that name"));
        }
        let paths: Vec<String> = behind.iter().map(|path| within(path)).collect::<Result<_, _>>()?;
        let base = paths.first().map(String::as_str).unwrap_or_default();
        given.paths.iter().try_for_each(|path| stays(base, path))?;
        let mut options = vec!["--server".to_owned()];
        options.extend_from_slice(&arguments[..given.words]);
        Ok(Self { options, paths, only_reads: given.only_reads })
    }
}

/// What stands in front of the dot.
struct Given {
    /// How many words.
    words: usize,
    /// Values that are paths.
    paths: Vec<String>,
    only_reads: bool,
}

impl Given {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut given = Self { words: 0, paths: Vec::new(), only_reads: false };
        let (mut sends, mut removes) = (false, false);
        let mut rest = arguments.iter();
        loop {
            let word = rest.next().ok_or("the request names no paths; --secluded-args (-s) cannot be used here")?;
            if word == "." {
                break;
            }
            given.words += 1;
            let Some(long) = word.strip_prefix("--") else {
                short(word)?;
                continue;
            };
            sends |= long == "sender";
            removes |= long.starts_with("remove-");
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let kind = kind(name).ok_or_else(|| format!("the option --{name} is refused"))?;
            let value = match (kind, value) {
                (Kind::Flag, Some(_)) => return Err(format!("the option --{name} takes no value")),
                (Kind::Path | Kind::List, None) => {
                    given.words += 1;
                    Some(rest.next().ok_or_else(|| format!("the option --{name} has no value"))?.as_str())
                }
                (_, value) => value,
            };
            match (kind, value.unwrap_or_default()) {
                (Kind::List, list) if list != "-" => {
                    return Err(format!("the option --{name} is refused for a list that lies on this server"));
                }
                (Kind::Path, path) if path.starts_with('-') => return Err(format!("{path} is no folder for --{name}")),
                (Kind::Path, path) => given.paths.push(path.to_owned()),
                _ => {}
            }
        }
        given.only_reads = sends && !removes;
        Ok(given)
    }
}

fn kind(name: &str) -> Option<Kind> {
    OPTIONS.iter().find(|(_, names)| names.contains(&name)).map(|(kind, _)| *kind)
}

/// Short options in one word; what follows `e` says what the client can do, and `B` and `@` have a number.
fn short(word: &str) -> Result<(), String> {
    let refused = || format!("the option {word} is refused");
    let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty()).ok_or_else(refused)?;
    for (at, letter) in letters.char_indices() {
        let rest = &letters[at + 1..];
        match letter {
            'e' if is_client(rest) => return Ok(()),
            'B' | '@' if !rest.is_empty() && rest.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) => {
                return Ok(());
            }
            _ if LETTERS.contains(letter) => {}
            _ => return Err(refused()),
        }
    }
    Ok(())
}

/// `.LsfxCIvu`, or `31.0LsfxC` of a version before its release: no name of a program.
fn is_client(text: &str) -> bool {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    text.len() > letters.len()
        && text[..text.len() - letters.len()].contains('.')
        && letters.bytes().all(|b| b.is_ascii_alphabetic())
}

/// A path as it is meant: from the key's folder downwards, also with a slash in front.
fn within(path: &str) -> Result<String, String> {
    let below = path.trim_start_matches('/');
    stays("", below)?;
    Ok(if below.is_empty() { ".".to_owned() } else { below.to_owned() })
}

/// Refuses what climbs out of the key's folder by its words alone; the kernel holds what does so by links.
fn stays(base: &str, path: &str) -> Result<(), String> {
    let refused = || format!("{path} lies outside of the folder of your key");
    if path.contains(['\0', '\n', '\r']) {
        return Err("a path holds a control character".to_owned());
    }
    let base = if path.starts_with('/') { "" } else { base };
    let mut depth = 0_usize;
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or_else(refused)?,
            _ => depth += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(asked: &str) -> Request {
        Request::read(asked).unwrap_or_else(|why| panic!("{asked}: {why}"))
    }

    #[test]
    fn b_13_the_other_end_of_rsync_is_understood() {
        let pull = read("rsync --server --sender -vlogDtprze.iLsfxCIvu . /var/log/ a\\ b");
        assert_eq!(pull.options, ["--server", "--sender", "-vlogDtprze.iLsfxCIvu"]);
        assert_eq!((pull.paths, pull.only_reads), (vec!["var/log/".to_owned(), "a b".to_owned()], true));
        let push =
            read("rsync --server -logDtpre.iLsfxCIvu --delete --partial-dir .part --temp-dir . --max-delete=9 . /");
        assert_eq!((push.paths, push.only_reads), (vec![".".to_owned()], false));
        assert_eq!(push.options.len(), 8);
        for asked in [
            "/usr/bin/rsync --server --sender -lr -B1000 -@-1 . .",
            "rsync --server --sender -lRe.LsfxCIvu --files-from=- --from0 . /",
            "rsync --server -le.L --link-dest ../daily.1 . backup/daily.0/",
            "rsync --server -le.L --link-dest=/daily.1 . daily.0/",
            "rsync --server -e31.0LsfxC . a",
        ] {
            read(asked);
        }
        assert!(!read("rsync --server --sender -le.L --remove-source-files . a").only_reads);
    }

    #[test]
    fn b_13_all_else_is_refused() {
        for asked in [
            "",
            "sh",
            "rsync",
            "rsync -a /etc /tmp",
            "rsync --daemon",
            "/tmp/rsync --server --sender -l . a",
            "sudo rsync --server . a",
            "rsync --server --daemon .",
            "rsync --server --daemon --config=/tmp/x .",
            "rsync --server --sender -s . /",
            "rsync --server --sender -slogDtpre.iLsfxCIvu",
            "rsync --server --sender -vlogDtprs . /",
            "rsync --server -e sh . /",
            "rsync --server -esh . /",
            "rsync --server -ve./bin/sh . /",
            "rsync --server --rsh=sh . /",
            "rsync --server --rsync-path=sh . /",
            "rsync --server --log-file=/etc/x . /",
            "rsync --server --password-file=/etc/shadow . /",
            "rsync --server --write-devices . /",
            "rsync --server --sender --copy-devices . /",
            "rsync --server --sender --iconv=UTF8 . /",
            "rsync --server --sender --debug=FILTER2 . /",
            "rsync --server --sender --exclude-from=/etc/shadow . /",
            "rsync --server --sender -f x . /",
            "rsync --server --sender -Mx . /",
            "rsync --server --no-munge-links . /",
            "rsync --server --delete=x . /",
            "rsync --server - . /",
            "rsync --server x . /",
            "rsync --server . /; sh",
            "rsync --server . / && sh",
            "rsync --server . / | sh",
            "rsync --server . > /etc/x",
            "rsync --server $(sh) . /",
            "rsync --server `sh` . /",
            "rsync --server . --daemon --config=/tmp/x .",
            "rsync --server --sender -e.LsfxC . --log-file=/tmp/x /etc/hostname",
            "rsync --server --sender -l . a -",
            "rsync --server --files-from=/etc/shadow --sender . /",
            "rsync --server --files-from list --sender . /",
            "rsync --server --temp-dir=../x . /",
            "rsync --server --temp-dir",
            "rsync --server --temp-dir --daemon . /",
            "rsync --server --partial-dir=/a/../../x . /",
            "rsync --server --backup-dir ../../x . a",
            "rsync --server --link-dest=../../x . a/",
            "rsync --server --copy-dest=../../x . a/",
            "rsync --server --compare-dest=../../x . a/",
            "rsync --server --sender -l . ../x",
            "rsync --server --sender -l . /../etc",
            "rsync --server --sender -l . a/../../etc",
            "rsync --server --sender -l . 'a\nb'",
        ] {
            assert!(Request::read(asked).is_err(), "{asked}: {:?}", Request::read(asked));
        }
    }
}
