//! One line of Matomo's console: its level and its text, without colours, time and process number.

/// How bad a line is, in Matomo's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Debug, info and notice.
    Calm,
    /// A warning: `core:archive` ends with exit code 1 because of it, whatever else it achieved.
    Warning,
    /// Error and worse.
    Error,
}

/// A line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// None for text that did not come through Matomo's log, such as PHP's own messages.
    pub level: Option<Level>,
    /// The text alone.
    pub text: &'a str,
}

/// Reads `LEVEL [time] process text` (the console) and `LEVEL Tag[time] [process] text` (the web), without colours.
pub fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match level(word) {
        Some(level) => Line { level: Some(level), text: without_stamp(rest.trim_start()) },
        None => Line { level: None, text: line },
    }
}

fn level(word: &str) -> Option<Level> {
    match word.trim_end_matches(',') {
        "DEBUG" | "VERBOSE" | "INFO" | "NOTICE" => Some(Level::Calm),
        "WARNING" | "WARN" => Some(Level::Warning),
        "ERROR" | "CRITICAL" | "ALERT" | "EMERGENCY" => Some(Level::Error),
        _ => None,
    }
}

fn without_stamp(text: &str) -> &str {
    let Some((tag, rest)) = text.split_once('[') else { return text };
    let Some((stamp, rest)) = rest.split_once(']') else { return text };
    if tag.contains(char::is_whitespace) || !stamp.contains(':') {
        return text;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("UTC").map_or(rest, |rest| rest.trim_start_matches(',').trim_start());
    without_process(rest)
}

/// Drops `123 ` or `[123] `.
fn without_process(text: &str) -> &str {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let bare = word.trim_end_matches(',');
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { rest.trim_start() } else { text }
}

/// The text of some bytes without the escape sequences that colour a terminal.
pub fn without_colours(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let sequence = part.strip_prefix('[').and_then(|rest| {
            let end = rest.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c))?;
            rest.get(end + 1..)
        });
        plain.push_str(sequence.unwrap_or(part));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_and_text_are_found_in_every_shape() {
        for (line, level, text) in [
            ("INFO      [14:03:59] 4711  Processed 6 archives.", Level::Calm, "Processed 6 archives."),
            ("INFO [2026-11-24 14:03:59] 4711 START", Level::Calm, "START"),
            ("INFO, [14:03:59] UTC, 4711, START", Level::Calm, "START"),
            ("INFO [14:03:59] UTC 4711 START", Level::Calm, "START"),
            ("INFO CoreAdminHome[2026-11-24 14:03:59 UTC] [4711] Done archiving!", Level::Calm, "Done archiving!"),
            ("WARNING   [14:03:59] 4711  /x.php(3): Warning - odd", Level::Warning, "/x.php(3): Warning - odd"),
            ("ERROR     [14:03:59] 4711  Got invalid response", Level::Error, "Got invalid response"),
            ("INFO an array [1 / 2 done]", Level::Calm, "an array [1 / 2 done]"),
            ("INFO", Level::Calm, ""),
        ] {
            assert_eq!(read(line), Line { level: Some(level), text }, "{line}");
        }
        assert_eq!(read("  PHP Fatal error: x "), Line { level: None, text: "PHP Fatal error: x" });
        assert_eq!(read(""), Line { level: None, text: "" });
    }

    #[test]
    fn colours_are_removed_and_nothing_else() {
        assert_eq!(without_colours(b"\x1b[32mINFO\x1b[39m [1:2] done"), "INFO [1:2] done");
        assert_eq!(without_colours("é \u{1b}".as_bytes()), "é ");
        assert_eq!(without_colours(b"\x1b[unfinished"), "nfinished");
        assert_eq!(without_colours(b"\xff"), "\u{fffd}");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_odd(bytes: Vec<u8>) {
            let text = without_colours(&bytes);
            let line = read(&text);
            assert!(text.contains(line.text));
        }
    }
}
