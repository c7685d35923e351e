//! The text of commands as anybody may read it: only what is known to be harmless is shown.
//!
//! A list of what looks like a password is never complete, so this is the other way round: names of programs that we
//! know, options and places of rsync and ssh, and files. All else is `(hidden)`.

use super::harmless::{self, Manner};
use super::rsync::{takes_next_word, takes_value};
use super::secret::{Veil, is_telling, password};
use super::token::{Kind, Word, tokens};
use crate::secret::HIDDEN;

/// The text of commands without anything that may be a secret.
pub fn shown(text: &str) -> String {
    let tokens = tokens(text);
    let cut_off = tokens.doubt == Some(super::token::OPEN_QUOTE);
    let last = tokens.all.len().saturating_sub(1);
    let mut display = Display::default();
    let mut from = 0;
    for (at, token) in tokens.all.iter().enumerate() {
        display.gap(&text[from..token.span.start]);
        let written = &text[token.span.clone()];
        match &token.kind {
            // Nobody can tell what the word is that a quote without an end begins.
            Kind::Word(_) if cut_off && at == last => display.hide(),
            Kind::Word(word) => display.word(word, written),
            // What follows belongs to a document, and looks like commands.
            Kind::Redirect if written.contains("<<") => {
                display.hide();
                break;
            }
            Kind::Redirect => display.redirect(written),
            Kind::End | Kind::Joint => display.operator(written),
        }
        from = token.span.end;
    }
    // The same password may stand in another place, where nothing tells that it is one.
    Veil::of(text).over(display.text.trim())
}

/// What is shown so far, and where in a command we are.
#[derive(Default)]
struct Display {
    text: String,
    /// How words of the program are shown that runs now; none before its name.
    manner: Option<Manner>,
    /// What the word before says about the next one.
    next: Option<Next>,
    /// A command inside a command, between two grave accents.
    inside: bool,
}

/// What an option says about the word behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    File,
    Show,
    Hide,
    Shell,
    Setting,
}

impl Display {
    /// Blanks stay; a comment may say anything.
    fn gap(&mut self, gap: &str) {
        let has_comment = gap.trim_start().starts_with('#');
        let blank = if gap.contains('\n') && !has_comment { "\n" } else { " " };
        if !gap.is_empty() && !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
            self.text.push_str(blank);
        }
    }

    fn operator(&mut self, written: &str) {
        self.text.push_str(written);
        (self.manner, self.next) = (None, None);
    }

    fn redirect(&mut self, written: &str) {
        self.text.push_str(written);
        self.next = Some(Next::File);
    }

    fn show(&mut self, written: &str) {
        self.text.push_str(written);
    }

    /// Several in a row are one.
    fn hide(&mut self) {
        if !self.text.trim_end().ends_with(HIDDEN) {
            self.text.push_str(HIDDEN);
        }
    }

    fn show_if(&mut self, is_harmless: bool, written: &str) {
        if is_harmless { self.show(written) } else { self.hide() }
    }

    fn word(&mut self, word: &Word, written: &str) {
        let accents = written.matches('`').count();
        let is_inside = self.inside || accents > 0;
        self.inside ^= accents % 2 == 1;
        if is_inside || written.contains("$(") || written.contains("${") {
            self.next = None;
            return self.hide();
        }
        match (self.next.take(), self.manner) {
            (Some(next), _) => self.value(next, word, written),
            (None, None) => self.name(word, written),
            (None, Some(manner)) => self.argument(manner, word, written),
        }
    }

    /// The word behind an option or a redirection.
    fn value(&mut self, next: Next, word: &Word, written: &str) {
        match next {
            Next::File => self.show_if(harmless::is_file(&word.text) || harmless::is_number(&word.text), written),
            Next::Show => self.show(written),
            Next::Hide => self.hide(),
            Next::Shell => self.inner(&word.text, written),
            Next::Setting => self.show_if(harmless::is_ssh_setting(&word.text), written),
        }
    }

    /// A text that is a command itself, in quotes: shown if all of it is.
    fn inner(&mut self, text: &str, written: &str) {
        let inner = shown(text);
        if inner == text.trim() { self.show(written) } else { self.show(&format!("'{inner}'")) }
    }

    /// An assignment, or the name of a program.
    fn name(&mut self, word: &Word, written: &str) {
        if let Some((name, value)) = word.text.split_once('=').filter(|(name, _)| harmless::is_variable(name)) {
            self.show(&format!("{name}="));
            let is_harmless = harmless::is_plain_variable(name) || harmless::is_reference(value);
            return self.show_if(is_harmless && !word.quoted, value);
        }
        let manner = harmless::manner(&word.text).filter(|_| !word.quoted && !word.expands);
        self.manner = manner.or(Some(Manner::Closed));
        match manner {
            Some(Manner::Word) => self.manner = None,
            // Its own words are shown as for a prefix, and an assignment behind it is one.
            Some(Manner::Setter) => self.manner = None,
            _ => {}
        }
        self.show_if(manner.is_some(), written);
    }

    fn argument(&mut self, manner: Manner, word: &Word, written: &str) {
        match manner {
            Manner::Closed | Manner::Word | Manner::Setter => self.hide(),
            Manner::Files => {
                let is_option = harmless::is_letters(&word.text) || harmless::is_number(&word.text);
                self.show_if(harmless::is_file(&word.text) || is_option, written);
            }
            Manner::Prefix => self.prefix(word, written),
            Manner::Password => self.password_prefix(word, written),
            Manner::Rsync => self.rsync(word, written),
            Manner::Ssh => self.ssh(word, written),
        }
    }

    /// `timeout 5 rsync …`: its own words up to the next program.
    fn prefix(&mut self, word: &Word, written: &str) {
        let is_own =
            harmless::is_letters(&word.text) || harmless::is_number(&word.text) || harmless::is_file(&word.text);
        match harmless::manner(&word.text) {
            Some(_) if !word.quoted => self.name(word, written),
            _ if word.text.contains('=') && !word.text.starts_with('-') => self.name(word, written),
            _ => self.show_if(is_own, written),
        }
    }

    /// `sshpass -p … rsync …`.
    fn password_prefix(&mut self, word: &Word, written: &str) {
        match word.text.as_str() {
            "-p" | "-P" | "-f" | "-d" => {
                self.next = Some(if word.text == "-f" { Next::File } else { Next::Hide });
                self.show(written);
            }
            "-e" | "-v" => self.show(written),
            text if text.starts_with('-') => self.hide(),
            _ => self.name(word, written),
        }
    }

    fn rsync(&mut self, word: &Word, written: &str) {
        let text = word.text.as_str();
        let Some(long) = text.strip_prefix("--") else {
            return if text.starts_with('-') && text.len() > 1 {
                self.letters(text, written);
            } else {
                self.place(text, written);
            };
        };
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let next = rsync_value(name);
        match value {
            _ if !harmless::is_option_name(name) => self.hide(),
            Some(value) => match next {
                Next::Show => self.show(written),
                Next::Shell => {
                    self.show(&format!("--{name}="));
                    self.inner(value, &quoted(value));
                }
                _ => self.show(&format!("--{name}={HIDDEN}")),
            },
            None => {
                self.next = takes_next_word(text).then_some(next);
                self.show(written);
            }
        }
    }

    /// `-avz`, `-e ssh`, `-essh`.
    fn letters(&mut self, text: &str, written: &str) {
        let takes = text.find(takes_value);
        match takes {
            None => self.show_if(harmless::is_letters(text), written),
            Some(at) if at + 1 < text.len() => {
                let (letters, value) = text.split_at(at + 1);
                self.show(letters);
                match rsync_letter(letters) {
                    Next::Show => self.show(value),
                    Next::Shell => self.inner(value, &quoted(value)),
                    _ => self.hide(),
                }
            }
            Some(_) => {
                self.next = Some(rsync_letter(text));
                self.show(written);
            }
        }
    }

    /// A file or a folder, here or elsewhere; a password in it is hidden.
    fn place(&mut self, text: &str, written: &str) {
        match password(text) {
            Some(range) => self.show(&format!("{}{HIDDEN}{}", &text[..range.start], &text[range.end..])),
            None => self.show_if(!text.contains(['?', '"', '{']), written),
        }
    }

    fn ssh(&mut self, word: &Word, written: &str) {
        let text = word.text.as_str();
        match text.strip_prefix('-') {
            Some("o") => {
                self.next = Some(Next::Setting);
                self.show(written);
            }
            Some("p" | "P" | "i" | "l" | "F" | "c" | "m" | "b" | "S" | "W" | "J") => {
                self.next = Some(Next::Show);
                self.show(written);
            }
            Some(rest) if rest.starts_with('o') => self.show_if(harmless::is_ssh_setting(&rest[1..]), written),
            Some(rest) => self.show_if(rest.bytes().all(|b| b.is_ascii_alphanumeric()) && rest.len() < 8, written),
            None if harmless::is_host(text) || harmless::is_file(text) => {
                self.show(written);
            }
            None => {
                // What runs on the other side.
                self.manner = Some(Manner::Closed);
                self.hide();
            }
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains(' ') { format!("'{text}'") } else { text.to_owned() }
}

fn rsync_value(name: &str) -> Next {
    match name {
        "rsh" | "rsync-path" => Next::Shell,
        "remote-option" | "out-format" | "log-file-format" | "log-format" => Next::Hide,
        // rsync has none such, and people write them all the same.
        name if is_telling(name) => Next::Hide,
        _ => Next::Show,
    }
}

/// By the last letter of a bundle, which has the value.
fn rsync_letter(letters: &str) -> Next {
    match letters.chars().last() {
        Some('e') => Next::Shell,
        Some('M') => Next::Hide,
        _ => Next::Show,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fetches_logs_is_shown_as_it_is() {
        for text in [
            "rsync -e 'ssh -p 2222 -o StrictHostKeyChecking=no' -avz --delete root@web:/logs/ /analytics/logs/4/",
            "rsync -e \"ssh -p 2222\" -avz --max-delete=1000 root@web:/logs/ /analytics/logs/4/ ; rsync -a h::m/ /x",
            "rsync -avzPe 'ssh -i /secrets/id_rsa' --exclude '*.gz' --include=a --bwlimit=100 web:/l/ /x/ && touch /x/ok",
            "rsync --password-file=/run/secrets/x me@host::logs y >> /log/rsync.log 2>&1 || true",
            "timeout 600 nice -n 10 rsync -a host:/a/b@c y | tee /tmp/log",
            "flock -n /run/lock rsync -a rsync://host:873/a/b y",
            "sshpass -f /run/secrets/x rsync -a b c",
            "sshpass -e rsync -a -essh b:c d",
            "RSYNC_PASSWORD=$PASSWORD rsync -a b c",
            "LANG=C rsync -a b c",
            "if true; then rsync -a b c; fi",
            "mkdir -p /analytics/logs/4",
            "scp -P 2222 root@h:/x /y",
            "rsync -a 'b c' d\nrsync -a e f",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn b_14_what_may_be_a_secret_is_not() {
        for (written, expected) in [
            ("RSYNC_PASSWORD=hush rsync rsync://me@host/x y", "RSYNC_PASSWORD=(hidden) rsync rsync://me@host/x y"),
            ("RSYNC_PASSWORD='hu sh' rsync a b", "RSYNC_PASSWORD=(hidden) rsync a b"),
            ("rsync rsync://me:hush@host/x y", "rsync rsync://me:(hidden)@host/x y"),
            ("rsync 'rsync://me:h@sh@host/x' y", "rsync rsync://me:(hidden)@host/x y"),
            ("rsync me:hu@sh@host:/x y", "rsync me:(hidden)@host:/x y"),
            ("rsync me:hu/sh@host:/x y", "rsync me:(hidden)@host:/x y"),
            ("sshpass -p hush rsync a b", "sshpass -p (hidden) rsync a b"),
            ("sshpass -p'hush it' rsync a b", "sshpass (hidden) rsync a b"),
            ("/usr/bin/sshpass -phush rsync a b", "/usr/bin/sshpass (hidden) rsync a b"),
            ("X=1 sshpass -p \"hush\" ssh h", "X=(hidden) sshpass -p (hidden) ssh h"),
            ("rsync -e 'sshpass -p hush ssh' a:/b c", "rsync -e 'sshpass -p (hidden) ssh' a:/b c"),
            ("rsync --rsh='sshpass -phush ssh' a:/b c", "rsync --rsh='sshpass (hidden) ssh' a:/b c"),
            ("rsync -e 'ssh -o ProxyCommand=\"x hush\"' a:/b c", "rsync -e 'ssh -o (hidden)' a:/b c"),
            ("rsync --password=key a b", "rsync --password=(hidden) a b"),
            ("curl -u me:hush http://x", "curl (hidden)"),
            ("curl -H 'Authorization: Bearer hush' http://x | cat", "curl (hidden) | cat"),
            ("fetch --password hush --token=\"hush\"", "(hidden)"),
            ("a ; API_TOKEN=hush b", "(hidden) ; API_TOKEN=(hidden)"),
            ("mysql -phush -h x", "mysql (hidden)"),
            ("export PW=hush; rsync a b", "export PW=(hidden); rsync a b"),
            ("echo hush | sshpass rsync a b", "echo (hidden) | sshpass rsync a b"),
            ("rsync --password-file=<(echo hush) a b", "rsync --password-file=<(echo (hidden)) (hidden)"),
            ("rsync -a \"$(echo hush)\" b", "rsync -a (hidden) b"),
            ("rsync -a `echo hush x` b", "rsync -a (hidden) b"),
            ("rsync -a b c # hush", "rsync -a b c"),
            ("rsync -a b c # hush\nrsync d e", "rsync -a b c \nrsync d e"),
            ("cat <<E\nhush\nE", "cat (hidden)"),
            ("ssh -p 22 root@h 'mysql -phush'", "ssh -p 22 root@h (hidden)"),
            ("rsync -a 'b ; curl -u me:hush", "rsync -a (hidden)"),
            ("lftp -u me,hush host", "lftp (hidden)"),
            ("env PASS=hush true", "env PASS=(hidden) true"),
            ("PW=${X:-hush} rsync a b", "(hidden) rsync a b"),
        ] {
            assert_eq!(shown(written), expected, "{written}");
        }
    }
}
