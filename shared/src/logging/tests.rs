//! A line is one event, whatever is in it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::{debug, error, info, warn};

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options(level: &str, format: Format) -> LogOptions {
    LogOptions { level: Level::parse(level).unwrap(), format, no_color: None }
}

fn lines(format: Format, colour: bool, body: impl FnOnce()) -> Vec<String> {
    let page = Page::default();
    let copy = page.clone();
    let subscriber = subscriber(&options("info", format), colour, move || copy.clone());
    tracing::subscriber::with_default(subscriber, body);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The line without its moment, whose shape is checked.
fn said(line: &str) -> &str {
    let (moment, rest) = line.split_once(' ').unwrap();
    assert!(moment.len() == 20 && moment.ends_with('Z'), "{moment}");
    moment.parse::<Timestamp>().unwrap();
    rest
}

#[test]
fn a_text_line_reads_moment_level_sentence_fields() {
    let lines = lines(Format::Text, false, || {
        info!(site = 4, file = %"access.log", who = "a b", empty = "", good = true, "imported a file");
        warn!("odd");
        debug!("not asked for");
    });
    assert_eq!(lines.len(), 2);
    assert_eq!(said(&lines[0]), "INFO  imported a file site=4 file=access.log who=\"a b\" empty=\"\" good=true");
    assert_eq!(said(&lines[1]), "WARN  odd");
}

#[test]
fn nothing_in_an_event_breaks_the_line_or_commands_the_terminal() {
    let evil = "a\nb\r\x1b[31m\x07\0\u{85}\u{202e}é\"=";
    for format in [Format::Text, Format::Json] {
        let lines = lines(format, false, || error!(evil, debug = ?evil, "evil: {evil}"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        let commands = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!lines[0].contains(commands), "{lines:?}");
        assert!(lines[0].contains('é'));
        if format == Format::Json {
            let object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!(object["evil"], evil, "what is escaped is read back as it was");
        }
    }
    let lines = lines(Format::Text, false, || info!("{evil}"));
    assert_eq!(said(&lines[0]), r#"INFO  a\nb\r\u{1b}[31m\u{7}\u{0}\u{85}\u{202e}é"="#);
}

#[test]
fn a_json_line_is_an_object_with_the_same_facts() {
    let lines = lines(Format::Json, true, || {
        warn!(site = 4, ratio = 0.5, level = "odd name", what = "a\n\"b\"", "imported {}", "a file");
    });
    let object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(object["level"], "warn");
    assert_eq!(object["message"], "imported a file");
    assert_eq!((&object["site"], &object["ratio"]), (&4.into(), &0.5.into()));
    assert_eq!((&object["field_level"], &object["what"]), (&"odd name".into(), &"a\n\"b\"".into()));
    said(&format!("{} ", object["timestamp"].as_str().unwrap()));
}

#[test]
fn an_error_is_said_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read")]
    struct Top(#[source] io::Error);
    let top = Top(io::Error::other("no light"));
    let lines = lines(Format::Text, false, || {
        info!(error = &top as &(dyn std::error::Error + 'static), "skipped");
    });
    assert_eq!(said(&lines[0]), "INFO  skipped error=\"cannot read: no light\"");
}

#[test]
fn colours_are_for_terminals() {
    let plain = lines(Format::Text, false, || warn!("odd"));
    let coloured = lines(Format::Text, true, || warn!("odd"));
    assert!(!plain[0].contains('\x1b') && coloured[0].contains("\x1b[33mWARN \x1b[0m odd"));
}

#[test]
fn a_writer_that_always_fails_stops_nobody() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let subscriber = subscriber(&options("trace", Format::Text), false, || Full);
    tracing::subscriber::with_default(subscriber, || info!("nobody reads this"));
}

#[test]
fn levels_are_words_or_directives() {
    for text in
        ["error", "WARN", "warning", "info", "debug", "trace", "off", "info,hyper=warn", "shared::http=debug,warn"]
    {
        assert!(Level::parse(text).is_ok(), "{text}");
    }
    for text in ["verbose", "info,loud", "hyper=loud", "info debug"] {
        assert!(Level::parse(text).is_err(), "{text}");
    }
    assert_eq!(crate::config::faults_in_declaration::<LogOptions>(), [""; 0]);
}
