//! The editor against hand-made files of every kind, and against PHP's own reader on generated ones.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::{ConfigFile, Document, IniError, Value};

const GUARD: &str = "; <?php exit; ?> DO NOT REMOVE THIS LINE\n";
const DATABASE: &str = "[database]\nhost = \"db\"\n";

/// What PHP reads: `parse_ini_string` as Matomo calls it, as JSON; nothing where PHP reports an error.
fn php(text: &[u8]) -> Option<Json> {
    let code = "echo json_encode(@parse_ini_string(stream_get_contents(STDIN), true), JSON_INVALID_UTF8_SUBSTITUTE);";
    let mut child = Command::new("php")
        .args(["-d", "display_errors=0", "-r", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("php, from the package php-cli");
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let value: Json = serde_json::from_slice(&output.stdout).unwrap();
    (value != Json::Bool(false)).then_some(value)
}

fn set(text: &str, section: &str, key: &str, value: &str) -> Result<String, IniError> {
    let mut document = Document::parse(text.as_bytes().to_vec())?;
    document.set(section, key, &Value::new(value).unwrap());
    Ok(String::from_utf8(document.bytes().to_vec()).unwrap())
}

/// `before` and `after` without the guard and the database, with the edit `[General] maintenance_mode = 1`.
#[track_caller]
fn edits(before: &str, after: &str) {
    let whole = |text: &str| format!("{GUARD}{DATABASE}{text}");
    let edited = set(&whole(before), "General", "maintenance_mode", "1").unwrap();
    assert_eq!(edited, whole(after), "from {before:?}");
    let (old, new) = (php(whole(before).as_bytes()).unwrap(), php(edited.as_bytes()).unwrap());
    assert_eq!(new["General"]["maintenance_mode"], "1", "PHP reads {edited:?}");
    let mut expected = old;
    let general =
        expected.as_object_mut().unwrap().entry("General").or_insert_with(|| Json::Object(Default::default()));
    if general.as_array().is_some() {
        *general = Json::Object(Default::default());
    }
    general["maintenance_mode"] = "1".into();
    assert_eq!(new, expected, "PHP reads one changed value and no other");
}

#[test]
fn c7_01_each_kind_of_text_is_edited_in_one_place() {
    // The value alone changes.
    edits("[General]\nmaintenance_mode = 0\n", "[General]\nmaintenance_mode = 1\n");
    edits("[General]\nmaintenance_mode=0\n", "[General]\nmaintenance_mode=1\n");
    edits("[General]\n  maintenance_mode  =   0  \n", "[General]\n  maintenance_mode  =   1  \n");
    edits("[General]\n\tmaintenance_mode = 0\n", "[General]\n\tmaintenance_mode = 1\n");
    edits("[General]\nmaintenance_mode = \"0\" ; by hand\n", "[General]\nmaintenance_mode = 1 ; by hand\n");
    edits("[General]\nmaintenance_mode = 0;x\n", "[General]\nmaintenance_mode = 1;x\n");
    edits("[General]\nmaintenance_mode = '0'\n", "[General]\nmaintenance_mode = 1\n");
    edits("[General]\nmaintenance_mode =\n", "[General]\nmaintenance_mode =1\n");
    edits("[General]\nmaintenance_mode = 0", "[General]\nmaintenance_mode = 1");
    edits("[General]\nmaintenance_mode = no\n", "[General]\nmaintenance_mode = 1\n");
    edits("[General]\nmaintenance_mode = 1\n", "[General]\nmaintenance_mode = 1\n");
    // A bare word becomes an entry with a value.
    edits("[General]\nmaintenance_mode\nb = 1\n", "[General]\nmaintenance_mode = 1\nb = 1\n");
    // The last of two counts.
    edits(
        "[General]\nmaintenance_mode = 0\nmaintenance_mode = 0\n",
        "[General]\nmaintenance_mode = 0\nmaintenance_mode = 1\n",
    );
    // Missing keys come right behind the header, missing sections at the end.
    edits("[General]\nsalt = \"x\"\n", "[General]\nmaintenance_mode = 1\nsalt = \"x\"\n");
    edits("[General] ; main\nsalt = \"x\"\n", "[General] ; main\nmaintenance_mode = 1\nsalt = \"x\"\n");
    edits("[General]\n", "[General]\nmaintenance_mode = 1\n");
    edits("[General]", "[General]\nmaintenance_mode = 1");
    edits("[Tracker]\na = 1\n", "[Tracker]\na = 1\n[General]\nmaintenance_mode = 1\n");
    edits("[Tracker]\na = 1", "[Tracker]\na = 1\n[General]\nmaintenance_mode = 1");
    // A header may share its line with an entry.
    edits("[General] a = 1\nb = 2\n", "[General] a = 1\nmaintenance_mode = 1\nb = 2\n");
    edits("[General] a = \"x\ny\"\nb = 2\n", "[General] a = \"x\ny\"\nmaintenance_mode = 1\nb = 2\n");
    // Keys and sections that only look like ours stay.
    edits(
        "[General]\nmaintenance_mode_note = \"x\"\n",
        "[General]\nmaintenance_mode = 1\nmaintenance_mode_note = \"x\"\n",
    );
    edits("[General]\n;maintenance_mode = 0\n", "[General]\nmaintenance_mode = 1\n;maintenance_mode = 0\n");
    edits("[General]\n# maintenance_mode = 0\n", "[General]\nmaintenance_mode = 1\n# maintenance_mode = 0\n");
    edits("[General]\nMaintenance_Mode = 0\n", "[General]\nmaintenance_mode = 1\nMaintenance_Mode = 0\n");
    edits("[general]\nmaintenance_mode = 0\n", "[general]\nmaintenance_mode = 0\n[General]\nmaintenance_mode = 1\n");
    edits("[ General ]\na = 0\n", "[ General ]\na = 0\n[General]\nmaintenance_mode = 1\n");
    edits(
        "[Tracker]\nmaintenance_mode = 0\n[General]\n",
        "[Tracker]\nmaintenance_mode = 0\n[General]\nmaintenance_mode = 1\n",
    );
    edits(
        "[General]\nlist[] = \"a\"\nlist[] = \"b\"\n",
        "[General]\nmaintenance_mode = 1\nlist[] = \"a\"\nlist[] = \"b\"\n",
    );
    // A value may hold line ends, and among them lines that look like ours.
    edits(
        "[General]\na = \"x\n[T]\nmaintenance_mode = 9\n\"\n",
        "[General]\nmaintenance_mode = 1\na = \"x\n[T]\nmaintenance_mode = 9\n\"\n",
    );
    edits(
        "[General]\na = 'x\n[T]\nmaintenance_mode = 9\n'\nmaintenance_mode = 0\n",
        "[General]\na = 'x\n[T]\nmaintenance_mode = 9\n'\nmaintenance_mode = 1\n",
    );
    edits("[General]\na = \"p;q\"\nb = p;q\n", "[General]\nmaintenance_mode = 1\na = \"p;q\"\nb = p;q\n");
    edits("[General]\na = \"p\\\"q\" ;c\n", "[General]\nmaintenance_mode = 1\na = \"p\\\"q\" ;c\n");
    edits("[General]\na = \"c:\\\"\nb = \"d\"\n", "[General]\nmaintenance_mode = 1\na = \"c:\\\"\nb = \"d\"\n");
    edits("[General]\na = it's\nb = that's\n", "[General]\nmaintenance_mode = 1\na = it's\nb = that's\n");
    edits("[General]\na = \"p${HOME}q\"\n", "[General]\nmaintenance_mode = 1\na = \"p${HOME}q\"\n");
    edits("[General]\na = 1\n\n\n[Plugins]\nb = 2\n", "[General]\nmaintenance_mode = 1\na = 1\n\n\n[Plugins]\nb = 2\n");
}

#[test]
fn c7_01_line_ends_and_a_byte_order_mark_are_kept() {
    let windows = "; <?php exit; ?> x\r\n[database]\r\nhost = db\r\n[General]\r\na = 1\r\n";
    let edited = set(windows, "General", "maintenance_mode", "1").unwrap();
    assert_eq!(edited, windows.replace("[General]\r\n", "[General]\r\nmaintenance_mode = 1\r\n"));
    let edited = set(windows, "Tracker", "record_statistics", "0").unwrap();
    assert_eq!(edited, format!("{windows}[Tracker]\r\nrecord_statistics = 0\r\n"));
    let marked = format!("\u{feff}{GUARD}{DATABASE}[General]\nmaintenance_mode = 0\n");
    assert_eq!(set(&marked, "General", "maintenance_mode", "1").unwrap(), marked.replace("mode = 0", "mode = 1"));
}

#[test]
fn c7_01_what_an_edit_could_damage_is_refused_with_the_place() {
    let refusal = |text: &str| Document::parse(text.as_bytes().to_vec()).unwrap_err();
    assert_eq!(refusal(""), IniError::Empty);
    assert_eq!(refusal(" \n"), IniError::Empty);
    assert_eq!(refusal("[database]\nhost = x\n"), IniError::NoGuard);
    assert_eq!(refusal(&format!("\n{GUARD}{DATABASE}")), IniError::NoGuard);
    assert_eq!(refusal(&format!("{GUARD}[General]\n")), IniError::NoDatabase);
    assert_eq!(refusal(&format!("{GUARD}{DATABASE}[General]\na = \"x\nb = 1\n")), IniError::OpenQuote { line: 5 });
    assert_eq!(refusal(&format!("{GUARD}{DATABASE}[General\na = 1\n")), IniError::OpenBracket { line: 4 });
    let twice = refusal(&format!("{GUARD}[General]\na = 1\n{DATABASE}[General]\nb = 1\n"));
    assert_eq!(twice, IniError::SectionTwice { name: "General".to_owned(), lines: "2, 6".to_owned() });
}

#[test]
fn a_removed_key_and_an_emptied_section_leave_the_file_as_it_was() {
    for text in [
        format!("{GUARD}{DATABASE}[General]\nsalt = 1\n"),
        format!("{GUARD}{DATABASE}"),
        format!("{GUARD}{DATABASE}[General] a = 1\n"),
    ] {
        let mut document = Document::parse(text.clone().into_bytes()).unwrap();
        for (section, key) in [("General", "maintenance_mode"), ("Tracker", "record_statistics")] {
            document.set(section, key, &Value::switch(true));
        }
        for (section, key) in [("General", "maintenance_mode"), ("Tracker", "record_statistics")] {
            document.remove(section, key);
            document.remove_empty_section(section);
        }
        assert_eq!(String::from_utf8_lossy(document.bytes()), text);
    }
}

#[test]
fn the_connection_of_another_configuration_is_taken_over_whole() {
    let ours = format!("{GUARD}[database]\nhost = \"new\"\npassword = \"p\"\n; kept\n[General]\na = 1\n");
    let theirs = format!("{GUARD}[General]\na = 2\n[database]\nhost = \"old\"\nx = 1");
    let mut restored = Document::parse(theirs.into_bytes()).unwrap();
    restored.adopt_section(&Document::parse(ours.into_bytes()).unwrap(), "database");
    assert_eq!(
        String::from_utf8_lossy(restored.bytes()),
        format!("{GUARD}[General]\na = 2\n[database]\nhost = \"new\"\npassword = \"p\"\n; kept\n")
    );
}

/// Lines as people and Matomo write them.
fn line() -> impl Strategy<Value = String> {
    let key = "[A-Za-z_][A-Za-z0-9_]{0,8}";
    let blank = "[ \t]{0,2}";
    let word = "[A-Za-z0-9_./:@-]{1,8}";
    let quoted = "[A-Za-z0-9 ;=\\[\\]#'_\\\\\n]{0,12}".prop_map(|text| format!("\"{text}\""));
    let raw = "[A-Za-z0-9 ;=\\[\\]#\"\n]{0,12}".prop_map(|text| format!("'{text}'"));
    let value = prop_oneof![4 => word.prop_map(String::from), 4 => quoted, 1 => raw, 1 => Just(String::new())];
    let comment = prop_oneof![6 => Just(String::new()), 1 => "[ ]{0,2};[A-Za-z0-9 \"'=]{0,8}"];
    prop_oneof![
        8 => (key, blank, blank, value, comment)
            .prop_map(|(key, one, two, value, comment)| format!("{one}{key}{two}= {value}{comment}")),
        1 => "[ ]{0,2};[A-Za-z0-9 \"'=\\[\\]]{0,20}",
        1 => Just(String::new()),
        1 => (key, blank).prop_map(|(key, blank)| format!("{key}[]{blank}= \"x\"")),
    ]
}

fn config() -> impl Strategy<Value = String> {
    let section = (
        prop::sample::select(vec!["General", "Tracker", "Plugins", "mail", "general"]),
        prop::collection::vec(line(), 0..5),
    );
    let sections = prop::collection::vec(section, 0..4).prop_map(|mut all| {
        let mut seen = Vec::new();
        all.retain(|(name, _)| {
            !seen.contains(name) && {
                seen.push(*name);
                true
            }
        });
        all
    });
    let ends = prop::sample::select(vec!["\n", "\r\n"]);
    (sections, ends, any::<bool>()).prop_map(|(sections, end, finished)| {
        let mut text = format!("{GUARD}[database]\nhost = \"db\"\n");
        for (name, lines) in sections {
            text += &format!("[{name}]\n{}", lines.into_iter().map(|line| line + "\n").collect::<String>());
        }
        let text = text.replace('\n', end);
        if finished { text } else { text.trim_end().to_owned() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn c7_02_php_reads_exactly_one_changed_value(text in config(), lock in any::<bool>()) {
        // PHP refuses some texts (a quote behind a backslash at the wrong place): Matomo would be down with them.
        let before = php(text.as_bytes());
        prop_assume!(before.is_some());
        let before = before.unwrap();
        let Ok(mut document) = Document::parse(text.clone().into_bytes()) else {
            return Err(TestCaseError::fail(format!("PHP reads what we refuse: {text:?}")));
        };
        let (section, key) = if lock { ("General", "maintenance_mode") } else { ("Tracker", "record_statistics") };
        document.set(section, key, &Value::switch(lock));
        let once = document.bytes().to_vec();
        prop_assert_eq!(document.get(section, key), Some(Value::switch(lock).as_str().to_owned()));
        document.set(section, key, &Value::switch(lock));
        prop_assert_eq!(document.bytes(), &once[..], "set twice is set once");

        let mut expected = before;
        let sections = expected.as_object_mut().unwrap();
        let entries = sections.entry(section).or_insert_with(|| Json::Object(Default::default()));
        if entries.as_array().is_some_and(Vec::is_empty) {
            *entries = Json::Object(Default::default());
        }
        entries[key] = Value::switch(lock).as_str().into();
        let mut read = php(&once).expect("PHP reads what we wrote");
        for (_, entries) in read.as_object_mut().unwrap() {
            if entries.as_array().is_some_and(Vec::is_empty) {
                *entries = Json::Array(Vec::new());
            }
        }
        prop_assert_eq!(read, expected, "{:?} became {:?}", text, String::from_utf8_lossy(&once));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(prop::sample::select(b"\"'\\[]=;\r\n ax".to_vec()), 0..60)) {
        let text = [GUARD.as_bytes(), DATABASE.as_bytes(), &bytes].concat();
        if let Ok(mut document) = Document::parse(text) {
            document.set("General", "maintenance_mode", &Value::switch(true));
            prop_assert_eq!(document.get("General", "maintenance_mode"), Some("1".to_owned()));
            document.remove("General", "maintenance_mode");
            prop_assert_eq!(document.get("General", "maintenance_mode"), None);
        }
    }
}

fn switch_on(file: &ConfigFile) {
    file.edit(|document| document.set("General", "maintenance_mode", &Value::switch(true))).unwrap();
}

#[test]
fn c_132_owner_mode_and_access_list_stay_and_the_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.ini.php");
    fs::write(&path, format!("{GUARD}{DATABASE}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&path, Some(33), Some(101)).unwrap();
    }
    let access_list = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff \0\0\0\xff\xff\xff\xff";
    let name = "system.posix_acl_access";
    let has_list = rustix::fs::setxattr(&path, name, access_list, rustix::fs::XattrFlags::empty()).is_ok();
    let before = fs::metadata(&path).unwrap();
    switch_on(&ConfigFile::at(&path));
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
    assert_ne!(after.ino(), before.ino(), "replaced, not written over");
    if has_list {
        let mut value = [0; 256];
        let length = rustix::fs::getxattr(&path, name, &mut value[..]).unwrap();
        assert_eq!(&value[..length], access_list);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn c_132_links_and_read_only_folders_fall_back_to_writing_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real.ini.php");
    fs::write(&real, format!("{GUARD}{DATABASE}")).unwrap();
    let link = folder.path().join("config.ini.php");
    symlink("real.ini.php", &link).unwrap();
    switch_on(&ConfigFile::at(&link));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "the link stays a link");
    assert!(fs::read_to_string(&real).unwrap().ends_with("[General]\nmaintenance_mode = 1\n"));

    let twin = folder.path().join("twin.ini.php");
    fs::hard_link(&real, &twin).unwrap();
    let edited =
        ConfigFile::at(&real).edit(|document| document.set("General", "maintenance_mode", &Value::switch(false)));
    edited.unwrap();
    assert_eq!(fs::read(&real).unwrap(), fs::read(&twin).unwrap());
    assert_eq!(fs::metadata(&real).unwrap().ino(), fs::metadata(&twin).unwrap().ino(), "both names stay one file");
}
