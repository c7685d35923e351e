//! `rrsync`: what sshd runs for a client of `server`: rsync's other end, or nothing.

use shared::config;
use shared::entry::{Exit, Failure};
use shared::process::{Limits, Program};

use crate::config::Surroundings;
use crate::script::words;

/// Options that a client of rsync 3.5 sends to the other end; all others are refused, above all those that run programs
/// or write files of their own choice (`--daemon`, `--config`, `--log-file`, `--write-devices`).
const OPTIONS: &[&str] = &[
    "append",
    "append-verify",
    "backup-dir",
    "block-size",
    "bwlimit",
    "checksum-choice",
    "checksum-seed",
    "compare-dest",
    "compress-choice",
    "compress-level",
    "copy-dest",
    "copy-unsafe-links",
    "debug",
    "delay-updates",
    "delete",
    "delete-after",
    "delete-before",
    "delete-delay",
    "delete-during",
    "delete-excluded",
    "delete-missing-args",
    "existing",
    "fake-super",
    "force",
    "from0",
    "fuzzy",
    "group",
    "groupmap",
    "hard-links",
    "iconv",
    "ignore-errors",
    "ignore-existing",
    "ignore-missing-args",
    "info",
    "inplace",
    "link-dest",
    "links",
    "list-only",
    "log-format",
    "max-alloc",
    "max-delete",
    "max-size",
    "min-size",
    "mkpath",
    "modify-window",
    "munge-links",
    "new-compress",
    "no-W",
    "no-implied-dirs",
    "no-r",
    "no-relative",
    "numeric-ids",
    "old-compress",
    "omit-dir-times",
    "one-file-system",
    "open-noatime",
    "owner",
    "partial",
    "partial-dir",
    "perms",
    "preallocate",
    "recursive",
    "remove-sent-files",
    "remove-source-files",
    "safe-links",
    "sender",
    "size-only",
    "skip-compress",
    "specials",
    "stats",
    "stop-after",
    "stop-at",
    "suffix",
    "super",
    "temp-dir",
    "timeout",
    "times",
    "use-qsort",
    "usermap",
];

/// Runs rsync for a client, if that is what it asks for.
pub fn rrsync() -> Result<Exit, Failure> {
    let around = config::from_env::<Surroundings>(&config::Neighbours::default())?.settings;
    let arguments = arguments(around.original_command.as_deref().unwrap_or_default()).map_err(|why| {
        Failure::new(Exit::Code(126), why).help("this server runs rsync and nothing else for your key")
    })?;
    let shutdown = super::listen()?;
    let program = Program::new("rsync").args(arguments).foreground();
    Ok(super::block_on(program.run(&Limits::default(), &shutdown))??.exit())
}

/// The arguments of rsync's other end in what a client asks for.
fn arguments(asked: &str) -> Result<Vec<String>, String> {
    let words = words(asked).ok_or("the request is no plain command")?;
    let Some(("rsync" | "/usr/bin/rsync", arguments)) = words.split_first().map(|(name, rest)| (name.as_str(), rest))
    else {
        return Err("the request is not rsync".to_owned());
    };
    if arguments.first().map(String::as_str) != Some("--server") {
        return Err("the request is not the other end of an rsync".to_owned());
    }
    let options = arguments[1..].iter().take_while(|word| *word != ".").filter(|word| word.starts_with('-'));
    match options.clone().find(|option| !is_allowed(option)) {
        Some(option) => Err(format!("the option {option} is refused")),
        None => Ok(arguments.to_vec()),
    }
}

fn is_allowed(option: &str) -> bool {
    match option.strip_prefix("--") {
        Some(long) => OPTIONS.contains(&long.split('=').next().unwrap_or_default()),
        None => {
            // What follows `e.` says what the client can do. With `s`, all options come later and unseen.
            let (letters, rest) = option.split_once('e').unwrap_or((option, "."));
            rest.starts_with('.') && !letters.contains('s')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_13_only_the_other_end_of_rsync_is_run() {
        for asked in [
            "rsync --server --sender -vlogDtprze.iLsfxCIvu . /var/log/",
            "rsync --server -logDtpre.iLsfxCIvu --delete --partial . /backup/a\\ b/",
        ] {
            assert!(arguments(asked).is_ok(), "{asked}: {:?}", arguments(asked));
        }
        for asked in [
            "",
            "sh",
            "rsync -a /etc /tmp",
            "rsync --daemon",
            "rsync --server --daemon --config=/tmp/x .",
            "rsync --server --sender -s . /",
            "rsync --server -e sh . /",
            "rsync --server --log-file=/etc/x . /",
            "rsync --server . /; sh",
            "rsync --server $(sh) . /",
            "rsync --server --sender -vlogDtprs . /",
        ] {
            assert!(arguments(asked).is_err(), "{asked}");
        }
    }
}
