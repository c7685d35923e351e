//! What operators do to settings, and what comes of it.

use std::{fs, path::PathBuf};

use super::*;
use crate::secret::Secret;

crate::settings! {
    /// Settings of a made-up sidecar.
    pub struct Settings {
        /// Address of the server.
        pub server: Address = required("SERVER_URL").example("http://server"),
        /// Token of a user.
        pub token: Secret = required("SERVER_TOKEN").formerly(&["SERVER_TOKEN_AUTH"]),
        /// How many requests
        /// may be on their way at once.
        pub recorders: Count<1, 64> = default("SERVER_RECORDERS", "4"),
        /// Whether to tell more.
        pub verbose: bool = default("SERVER_VERBOSE", "no"),
        /// Longest wait.
        pub wait: Option<Span> = optional("SERVER_WAIT").example("90s"),
        /// Hosts | names to skip.
        pub hosts: Vec<String> = optional("SERVER_HOSTS").example("a,b"),
        /// More certificates.
        pub ca_file: Option<PathBuf> = optional("CA_FILE").example("/ca.pem"),
        /// Options that may hold a token.
        pub options: Option<String> = optional("SERVER_OPTIONS").secret(),
        pub log: crate::logging::LogOptions,
    }
}

const NEIGHBOURS: Neighbours = Neighbours { ours: &["SERVER_"], theirs: &["SERVER_DATABASE_*", "SERVER_URLS"] };

fn reading(more: &[(&str, &str)]) -> Result<Reading<Settings>, ConfigError> {
    let given = |name: &str| more.iter().any(|(other, _)| other.starts_with(name));
    let base = [("SERVER_URL", "http://server"), ("SERVER_TOKEN", "0123")];
    let base = base.into_iter().filter(|(name, _)| !given(name));
    read(base.chain(more.iter().copied()), &NEIGHBOURS)
}

fn settings(more: &[(&str, &str)]) -> Settings {
    reading(more).unwrap().settings
}

fn letter(more: &[(&str, &str)]) -> String {
    reading(more).unwrap_err().to_string()
}

fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn it_reads_what_it_documents() {
    assert_eq!(faults_in_declaration::<Settings>(), [""; 0]);
    let examples: Vec<_> = Settings::declared().iter().filter_map(|s| Some((s.name, s.example?))).collect();
    let settings = settings(&examples);
    assert_eq!(settings.hosts, ["a", "b"]);
    assert_eq!(settings.wait.unwrap().get().as_secs(), 90);
    assert_eq!(settings.ca_file.unwrap(), PathBuf::from("/ca.pem"));
}

#[test]
fn what_is_not_set_has_its_default() {
    let settings = settings(&[]);
    assert_eq!(settings.server.as_str(), "http://server");
    assert_eq!(settings.log.format, crate::logging::Format::Text);
    assert_eq!(settings.recorders.get(), 4);
    assert!(!settings.verbose);
    assert!(settings.wait.is_none() && settings.hosts.is_empty() && settings.options.is_none());
}

#[test]
fn empty_and_blank_are_not_set() {
    for nothing in ["", "   ", "\"\""] {
        assert_eq!(settings(&[("SERVER_RECORDERS", nothing)]).recorders.get(), 4);
        assert!(letter(&[("SERVER_TOKEN", nothing)]).contains("SERVER_TOKEN is not set: Token of a user."));
    }
}

#[test]
fn blanks_and_quotes_around_a_value_are_removed_with_a_notice() {
    for text in [" 8 ", "\"8\"", "'8'", " '8'\n"] {
        let reading = reading(&[("SERVER_RECORDERS", text)]).unwrap();
        assert_eq!(reading.settings.recorders.get(), 8);
        assert!(reading.notices[0].contains("SERVER_RECORDERS has blanks or quotes"), "{:?}", reading.notices);
    }
    assert_eq!(settings(&[("SERVER_HOSTS", "'a' 'b'")]).hosts, ["'a' 'b'"]);
}

#[test]
fn all_faults_come_at_once_without_any_secret() {
    let letter = letter(&[
        ("SERVER_URL", "ftp://user:pa55@server/?token_auth=0123"),
        ("SERVER_TOKEN", ""),
        ("SERVER_RECORDERS", "65"),
        ("SERVER_VERBOSE", "perhaps"),
        ("SERVER_WAIT", "soon"),
        ("SERVER_OPTIONS", "hunter2\u{0}"),
        ("LOG_LEVEL", "verbos"),
        ("SERVER_TOKE", "0123"),
    ]);
    for part in [
        "6 settings cannot be used",
        "SERVER_URL is \"ftp://(hidden)@server/?(hidden)\" but must be an http:// or https:// address",
        "for example http://server",
        "SERVER_TOKEN is not set",
        "SERVER_RECORDERS is \"65\" but must be a whole number from 1 to 64, for example 4",
        "SERVER_VERBOSE is \"perhaps\" but must be yes or no",
        "SERVER_WAIT is \"soon\"",
        "LOG_LEVEL is \"verbos\"",
        "note: SERVER_TOKE is not a setting of this program; did you mean SERVER_TOKEN?",
    ] {
        assert!(letter.contains(part), "{part:?} is missing in:\n{letter}");
    }
    for secret in ["pa55", "0123", "hunter2"] {
        assert!(!letter.contains(secret), "{secret} shows in:\n{letter}");
    }
}

#[test]
fn a_file_gives_the_value_without_one_line_end() {
    for (content, token) in
        [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), ("abc\n\n", "abc\n"), (" a\r", " a\r")]
    {
        let (_folder, path) = file(content);
        let reading = reading(&[("SERVER_TOKEN_FILE", &path)]).unwrap();
        assert_eq!(reading.settings.token.reveal(), token, "{content:?}");
        assert!(reading.effective.iter().any(|e| e.to_string() == format!("SERVER_TOKEN_FILE={path}")));
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_not_shown() {
    let (folder, path) = file("s3cret\0");
    let nul = letter(&[("SERVER_TOKEN_FILE", &path)]);
    assert!(nul.contains(&format!("SERVER_TOKEN_FILE names {path}, which contains a NUL byte")), "{nul}");
    assert!(!nul.contains("s3cret"));

    fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(letter(&[("SERVER_TOKEN_FILE", &path)]).contains("larger than 1 MiB"));
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(settings(&[("SERVER_TOKEN_FILE", &path)]).token.reveal().len(), 1 << 20);
    fs::write(&path, b"\xff").unwrap();
    assert!(letter(&[("SERVER_TOKEN_FILE", &path)]).contains("not UTF-8"));
    let directory = folder.path().to_str().unwrap();
    assert!(letter(&[("SERVER_TOKEN_FILE", directory)]).contains("which is a directory"));
    assert!(letter(&[("SERVER_TOKEN_FILE", "/nowhere")]).contains("/nowhere, which cannot be read"));
}

#[test]
fn an_empty_file_is_not_set() {
    let (_folder, path) = file("\n");
    let letter = letter(&[("SERVER_TOKEN_FILE", &path)]);
    assert!(letter.contains("SERVER_TOKEN is not set") && letter.contains("which is empty"), "{letter}");
}

#[test]
fn a_variable_and_its_file_exclude_each_other() {
    let both = letter(&[("SERVER_TOKEN", "a"), ("SERVER_TOKEN_FILE", "/b")]);
    assert!(both.contains("SERVER_TOKEN and SERVER_TOKEN_FILE are both set"), "{both}");
    assert_eq!(settings(&[("SERVER_TOKEN", "a"), ("SERVER_TOKEN_FILE", "")]).token.reveal(), "a");
}

#[test]
fn an_old_name_still_works_and_says_so() {
    let old = [("SERVER_URL", "server"), ("SERVER_TOKEN_AUTH", "old")];
    let reading: Reading<Settings> = read(old, &NEIGHBOURS).unwrap();
    assert_eq!(reading.settings.token.reveal(), "old");
    assert_eq!(reading.notices, ["SERVER_TOKEN_AUTH is an old name and still works; its name is now SERVER_TOKEN"]);
    let both: Reading<Settings> = read(old.into_iter().chain([("SERVER_TOKEN", "new")]), &NEIGHBOURS).unwrap();
    assert_eq!(both.settings.token.reveal(), "new");
    assert!(both.notices[0].contains("SERVER_TOKEN_AUTH is ignored"));
}

#[test]
fn a_strange_name_is_a_notice_when_it_seems_meant_for_us() {
    let notices = |name| reading(&[("SERVER_URL", "server"), ("SERVER_TOKEN", "0123"), (name, "1")]).unwrap().notices;
    assert!(notices("SERVER_RECORDER")[0].contains("did you mean SERVER_RECORDERS?"));
    assert!(notices("server_recorders")[0].contains("did you mean SERVER_RECORDERS?"));
    assert!(notices("LOG_LEVL")[0].contains("did you mean LOG_LEVEL?"));
    assert!(notices("SERVER_COLOUR")[0].contains("is not a setting of this program and is ignored"));
    for foreign in
        ["SERVER_DATABASE_HOST", "SERVER_URLS", "SERVER_PORT_80_TCP", "SERVER_SERVICE_HOST", "HOME", "LOGNAME"]
    {
        assert_eq!(notices(foreign), [""; 0], "{foreign}");
    }
}

crate::settings! {
    /// A login.
    struct Login {
        /// Name of the user.
        user: Option<String> = optional("LOGIN_USER"),
        /// Password of the user.
        password: Option<Secret> = optional("LOGIN_PASSWORD").verbatim().formerly(&["LOGIN_PASS"]),
    }
}

/// A login is whole.
#[derive(Debug)]
struct Whole(Option<(String, Secret)>);

impl Declared for Whole {
    fn declared() -> Vec<Setting> {
        Login::declared()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let login = Login::read(reader)?;
        match (login.user, login.password) {
            (Some(user), Some(password)) => Some(Self(Some((user, password)))),
            (None, None) => Some(Self(None)),
            _ => {
                reader.clash("LOGIN_USER and LOGIN_PASSWORD belong together: one of them is not set");
                None
            }
        }
    }
}

#[test]
fn a_password_may_keep_its_blanks_and_quotes() {
    let passwords = |name, value| {
        let reading: Reading<Whole> = read([("LOGIN_USER", " a "), (name, value)], &NEIGHBOURS).unwrap();
        let (user, password) = reading.settings.0.unwrap();
        assert_eq!(user, "a");
        password.reveal().to_owned()
    };
    for password in [" 'a' ", "\"a\"", "a\n", " "] {
        assert_eq!(passwords("LOGIN_PASSWORD", password), password);
        assert_eq!(passwords("LOGIN_PASS", password), password);
    }
    let (_folder, path) = file(" a \n");
    assert_eq!(passwords("LOGIN_PASSWORD_FILE", &format!(" {path} ")), " a ");
}

#[test]
fn a_group_may_say_that_its_values_do_not_fit() {
    let letter = read::<Whole>([("LOGIN_USER", "a")], &NEIGHBOURS).unwrap_err().to_string();
    assert!(
        letter.ends_with("\n  - LOGIN_USER and LOGIN_PASSWORD belong together: one of them is not set"),
        "{letter}"
    );
}

#[test]
fn what_is_in_force_can_be_fed_back_and_hides_secrets() {
    let reading = reading(&[("SERVER_RECORDERS", "8"), ("SERVER_OPTIONS", "hunter2")]).unwrap();
    let lines: Vec<String> = reading.effective.iter().map(ToString::to_string).collect();
    assert!(lines.contains(&"SERVER_RECORDERS=8".to_owned()), "{lines:?}");
    assert!(lines.contains(&"# SERVER_VERBOSE=no (default)".to_owned()));
    assert!(lines.contains(&"# SERVER_TOKEN=(hidden)".to_owned()));
    assert!(lines.contains(&"# SERVER_WAIT is not set".to_owned()));
    assert!(!format!("{lines:?}{:?}", reading.settings.token).contains("0123"));
    assert!(!format!("{lines:?}").contains("hunter2"));
}

#[test]
fn the_reference_is_a_table_of_the_declaration() {
    let page = reference::<Settings>();
    assert!(page.contains("| `SERVER_RECORDERS` | How many requests may be on their way at once. | a whole number from 1 to 64 | `4` |  |\n"), "{page}");
    assert!(page.contains("| `SERVER_TOKEN` | Token of a user. Formerly `SERVER_TOKEN_AUTH`. |"));
    assert!(page.contains("Hosts \\| names to skip."));
    assert_eq!(page.lines().count(), 2 + Settings::declared().len());
}

#[test]
fn a_wrong_declaration_is_found() {
    crate::settings! {
        struct Wrong {
            /// Documents what it does not read.
            count: Count<1, 2> = default("WRONG_COUNT", "3"),
            /// Cannot stay away.
            text: String = optional("WRONG_TEXT"),
            /// Shadows the file of the above.
            file: Option<String> = optional("WRONG_TEXT_FILE"),
        }
    }
    let faults = faults_in_declaration::<Wrong>().join("\n");
    for part in ["WRONG_COUNT documents `3`", "WRONG_TEXT is optional", "WRONG_TEXT_FILE is both"] {
        assert!(faults.contains(part), "{faults}");
    }
    let read: Reading<Wrong> = read([("WRONG_COUNT", "2"), ("WRONG_TEXT", "t")], &NEIGHBOURS).unwrap();
    assert_eq!((read.settings.count.get(), read.settings.text.as_str(), read.settings.file), (2, "t", None));
}
