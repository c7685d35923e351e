//! What an rsync command says about itself: where it reads, where it writes, and which of its options are dangerous.

use std::path::{Component, Path, PathBuf};

use super::chain::Chain;
use shared::veil::rsync::{letters, takes_next_word, takes_value};
use shared::veil::{Kind, Word, password, tokens};

/// An rsync command that was recognised in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rsync {
    /// Its options, each as written, with the value where it has one.
    pub options: Vec<(String, Option<String>)>,
    /// What it reads.
    pub sources: Vec<String>,
    /// Where it writes.
    pub target: Option<String>,
}

/// Every rsync command in a text, as far as it can be told without running it.
pub fn rsyncs(text: &str) -> Vec<Rsync> {
    let mut commands: Vec<Vec<Word>> = vec![Vec::new()];
    let mut after_redirect = false;
    for token in tokens(text).all {
        match token.kind {
            Kind::Word(_) if std::mem::take(&mut after_redirect) => {}
            Kind::Word(word) => commands.last_mut().into_iter().for_each(|command| command.push(word.clone())),
            Kind::Redirect => after_redirect = true,
            Kind::End | Kind::Joint => commands.push(Vec::new()),
        }
    }
    commands.iter().filter_map(|command| Rsync::of(command)).collect()
}

impl Rsync {
    fn of(command: &[Word]) -> Option<Self> {
        let is_rsync = |word: &Word| word.text.rsplit('/').next() == Some("rsync");
        let begin = command.iter().position(is_rsync)?;
        let (mut options, mut places) = (Vec::new(), Vec::new());
        let mut words = command[begin + 1..].iter().map(|word| word.text.clone());
        let mut only_places = false;
        while let Some(word) = words.next() {
            if only_places || !word.starts_with('-') || word == "-" {
                places.push(word);
            } else if word == "--" {
                only_places = true;
            } else if let Some((name, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
                options.push((name.to_owned(), Some(value.to_owned())));
            } else if takes_next_word(&word) {
                options.push((word, words.next()));
            } else {
                options.push((word, None));
            }
        }
        let target = if places.len() > 1 { places.pop() } else { None };
        Some(Self { options, sources: places, target })
    }

    /// Whether an option is there, by its long name or by its letter among others (`-avz`).
    fn has(&self, long: &str, letter: Option<char>) -> bool {
        self.options.iter().any(|(name, _)| {
            name == long
                || letter.is_some_and(|letter| letters(name).take_while(|c| !takes_value(*c)).any(|c| c == letter))
        })
    }

    /// Sentences about options that an operator should think about twice.
    pub fn remarks(&self) -> Vec<&'static str> {
        let has = |long: &str| self.has(long, None);
        let parked = has("--partial-dir");
        let mut remarks = Vec::new();
        if !parked && (has("--partial") || self.has("--partial", Some('P'))) {
            remarks.push(
                "--partial (and -P) leaves a truncated file under its final name when a transfer breaks: leave it out, or use --partial-dir=.rsync-partial",
            );
        }
        if has("--inplace") || has("--append") || has("--append-verify") {
            remarks.push(
                "--inplace and --append write into the final file: one that breaks off stays truncated, and one that is read meanwhile is torn; leave them out",
            );
        }
        let deletes = self.options.iter().any(|(name, _)| name.starts_with("--delete") || name == "--del");
        if deletes && !has("--max-delete") {
            remarks.push(
                "--delete without --max-delete: a source that is empty by mistake empties the folder here; add --max-delete=1000 or so",
            );
        }
        remarks
    }

    /// Where it writes, when that is on this machine.
    pub fn local_target(&self) -> Option<PathBuf> {
        self.target.as_deref().filter(|target| !is_remote(target) && !target.contains('$')).map(PathBuf::from)
    }

    /// The first source on another machine: where it is, and the folder there.
    pub fn remote_source(&self) -> Option<(&str, &str)> {
        let source = self.sources.iter().find(|source| is_remote(source) && password(source).is_none())?;
        source.split_once(':').filter(|(_, path)| !path.starts_with(':') && !path.starts_with("//"))
    }

    /// The words of its remote shell (`-e 'ssh -p 2222'`), `ssh` when none is given.
    pub fn remote_shell(&self) -> &str {
        let given = self.options.iter().rev().find_map(|(name, value)| {
            let is_shell = name == "--rsh" || (letters(name).last() == Some('e'));
            value.as_deref().filter(|_| is_shell)
        });
        given.unwrap_or("ssh")
    }
}

/// `host:path`, `host::module` or `rsync://…`; a colon after a slash belongs to a path.
fn is_remote(place: &str) -> bool {
    place.find(':').is_some_and(|colon| !place[..colon].contains('/')) || place.starts_with("rsync://")
}

/// How a local target lies to the folder of the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The folder of a site.
    Site(String),
    /// Within the folder of a site.
    Inside(String),
    /// In the folder of the logs, but in no site's.
    NoSite,
    /// Somewhere else.
    Elsewhere,
}

/// Finds out whose logs are written.
pub fn place(target: &Path, logs: &Path) -> Place {
    let tidy = |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    let (target, logs) = (tidy(target), tidy(logs));
    let Ok(below) = target.strip_prefix(&logs) else { return Place::Elsewhere };
    let mut names = below.iter().map(|name| name.to_string_lossy());
    match (names.next(), names.next()) {
        (Some(site), inside) if site.parse::<u64>().is_ok() => {
            if inside.is_none() {
                Place::Site(site.into_owned())
            } else {
                Place::Inside(site.into_owned())
            }
        }
        _ => Place::NoSite,
    }
}

/// Sentences about host keys that nobody checks, for any text that runs ssh.
pub fn host_key_remark(text: &str) -> Option<&'static str> {
    let squeezed: String = text.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let unchecked = ["stricthostkeychecking=no", "stricthostkeycheckingno", "stricthostkeychecking=off"];
    let forgotten = ["userknownhostsfile=/dev/null", "userknownhostsfile/dev/null"];
    unchecked.iter().chain(&forgotten).any(|words| squeezed.contains(words)).then_some(
        "StrictHostKeyChecking=no and UserKnownHostsFile=/dev/null let anybody in between pose as the server: leave both out (a first contact needs no question here), or pin the key with SSH_KNOWN_HOSTS",
    )
}

/// Sentences about programs that are named by their paths, and so go around ours of the same names.
pub fn path_remarks(text: &str) -> Vec<&'static str> {
    let mut remarks = Vec::new();
    let words =
        || text.split(|c: char| c.is_whitespace() || "'\"=;&|(`".contains(c)).filter(|word| word.starts_with('/'));
    let names = |names: &[&str]| {
        words().any(|word| names.iter().any(|name| word.ends_with(&format!("/{name}")) && word.contains("bin/")))
    };
    if names(&["ssh", "scp", "sftp"]) {
        remarks.push(
            "ssh, scp or sftp is named by its path: it runs without our key, known hosts and limits of time; write the name alone, such as `-e ssh`",
        );
    }
    let chain = Chain::of(text);
    if chain.names_path && !chain.is_plain {
        remarks.push(
            "rsync is named by its path among other commands: files that vanish (24) stop what stands behind `&&`, and a failure shows in its own error line only; write `rsync`",
        );
    } else if chain.names_path && (text.contains("rsync://") || text.contains("::")) {
        remarks.push(
            "rsync is named by its path: a daemon that goes silent holds it up until RSYNC_TIMEOUT; write `rsync`",
        );
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    const EEA: &str = r#"rsync -e "ssh -p 2222 -o StrictHostKeyChecking=no" -avz --delete root@web.example.org:/var/log/apache/ /analytics/logs/4/"#;

    fn only(text: &str) -> Rsync {
        let mut found = rsyncs(text);
        assert_eq!(found.len(), 1, "{text}");
        found.remove(0)
    }

    #[test]
    fn the_documented_command_is_understood() {
        let rsync = only(EEA);
        assert_eq!(rsync.remote_shell(), "ssh -p 2222 -o StrictHostKeyChecking=no");
        assert_eq!(rsync.remote_source(), Some(("root@web.example.org", "/var/log/apache/")));
        assert_eq!(rsync.local_target(), Some(PathBuf::from("/analytics/logs/4/")));
        assert_eq!(rsync.remarks().len(), 1);
        assert!(host_key_remark(EEA).is_some());
    }

    #[test]
    fn short_options_with_values_take_the_next_word() {
        let rsync =
            only("RSYNC_PASSWORD=x timeout 5 /usr/bin/rsync -avzPe 'ssh -p 1' --exclude a h:/b c > /dev/null 2>&1");
        assert_eq!((rsync.sources, rsync.target), (vec!["h:/b".to_owned()], Some("c".to_owned())));
    }

    #[test]
    fn dangerous_options_draw_a_remark() {
        let remarks = |options: &str| only(&format!("rsync {options} h:/a/ /b/")).remarks().len();
        assert_eq!(remarks("-av"), 0);
        assert_eq!(remarks("-avP"), 1);
        assert_eq!(remarks("--partial --inplace"), 2);
        assert_eq!(remarks("--partial --partial-dir=.p"), 0);
        assert_eq!(remarks("--append-verify"), 1);
        assert_eq!(remarks("--delete-after --max-delete=5"), 0);
        assert_eq!(remarks("--delete-after"), 1);
        // The letter belongs to the value of another option.
        assert_eq!(remarks("-av -eP"), 0);
    }

    #[test]
    fn a_target_lies_in_a_site_or_not() {
        let at = |path: &str| place(Path::new(path), Path::new("/analytics/logs"));
        assert_eq!(at("/analytics/logs/4/"), Place::Site("4".to_owned()));
        assert_eq!(at("/analytics//logs/./4"), Place::Site("4".to_owned()));
        assert_eq!(at("/analytics/logs/4/web1"), Place::Inside("4".to_owned()));
        assert_eq!(at("/analytics/logs/"), Place::NoSite);
        assert_eq!(at("/analytics/logs/shop"), Place::NoSite);
        assert_eq!(at("/backup"), Place::Elsewhere);
    }

    #[test]
    fn remote_places_are_told_from_paths() {
        assert!(
            is_remote("host:/a") && is_remote("me@host:a") && is_remote("host::module") && is_remote("rsync://h/m")
        );
        assert!(!is_remote("/a:b") && !is_remote("a/b:c") && !is_remote("a"));
    }

    #[test]
    fn programs_with_a_path_draw_a_remark() {
        let remarks = |text: &str| path_remarks(text).len();
        assert_eq!(remarks("rsync -e /usr/bin/ssh h:/a b"), 1);
        assert_eq!(remarks("rsync -e '/usr/bin/ssh -p 22' h:/a b"), 1);
        assert_eq!(remarks("rsync --rsh=/usr/bin/ssh h:/a b && /usr/bin/scp h:/x y"), 1);
        assert_eq!(remarks("/usr/bin/rsync h:/a b && /usr/bin/rsync h:/c d"), 1);
        assert_eq!(remarks("/usr/bin/rsync rsync://h/a b"), 1);
        assert_eq!(remarks("/usr/bin/rsync h:/a b"), 0);
        assert_eq!(remarks("rsync -e ssh h:/etc/ssh /backup/ssh"), 0);
    }

    #[test]
    fn a_place_with_a_password_is_told_to_nobody() {
        assert_eq!(only("rsync me:hush@host:/a b").remote_source(), None);
        assert_eq!(only("rsync me@host:/a b").remote_source(), Some(("me@host", "/a")));
    }

    #[test]
    fn host_keys_left_unchecked_draw_a_remark() {
        assert!(host_key_remark("ssh -o 'UserKnownHostsFile /dev/null' h").is_some());
        assert!(host_key_remark("ssh -oStrictHostKeyChecking=accept-new h").is_none());
    }
}
