//! The short way through an Apache line: accepts a strict subset of what the exact pattern accepts,
//! with the same fields, and leaves every line that is unusual in any way to [`super::loose`] and to the pattern.
//!
//! The subset: one blank (0x20) between items and no other white space anywhere, a date of the usual 20 characters,
//! a zone of sign and four digits, no blank inside the path, no quote inside the referrer.
//! On a real log it takes all but about one line in a thousand.

use std::borrow::Cow;

use memchr::memchr;

use super::readable::{Sweep, sweep};
use super::record::{Date, Record};
use super::search;

/// `dd/Mon/yyyy:hh:mm:ss`
const DATE_BYTES: usize = 20;
/// `+hhmm`
const ZONE_BYTES: usize = 5;
/// Where the zone stands in `[date zone] "`, and how long that is.
const ZONE_AT: usize = 1 + DATE_BYTES + 1;
const DATE_ZONE_BYTES: usize = ZONE_AT + ZONE_BYTES + 3;

/// Bytes that may stand in the address of a client.
pub(super) const ADDRESS: [bool; 256] = {
    let mut class = HOST;
    class[b'*' as usize] = true;
    class[b':' as usize] = true;
    class
};
/// Bytes that may stand in the name of a host.
pub(super) const HOST: [bool; 256] = {
    let mut class = [false; 256];
    let mut byte = 0;
    while byte < class.len() {
        class[byte] = in_name(byte as u8);
        byte += 1;
    }
    class
};

/// What [`HOST`] says, without a table: of many bytes at once.
#[inline(always)]
const fn in_name(byte: u8) -> bool {
    let (letter, digit) = ((byte | 0x20).wrapping_sub(b'a') < 26, byte.wrapping_sub(b'0') < 10);
    letter | digit | (byte == b'.') | (byte == b'-') | (byte == b'_')
}

/// The fields of a line of the four Apache formats.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'l> {
    pub(super) host: Option<&'l [u8]>,
    pub(super) ip: &'l [u8],
    pub(super) userid: &'l [u8],
    pub(super) date: (&'l [u8], &'l [u8]),
    pub(super) method: &'l [u8],
    pub(super) path: &'l [u8],
    pub(super) status: &'l [u8],
    pub(super) length: &'l [u8],
    pub(super) referrer: Option<&'l [u8]>,
    pub(super) user_agent: Option<&'l [u8]>,
    pub(super) plain: bool,
}

/// Reads a line, or answers `None` when it is not a usual one.
#[inline(always)]
pub fn read<const WITH_HOST: bool, const WITH_AGENT: bool>(line: &[u8]) -> Option<Fields<'_>> {
    let Sweep { only_blanks, plain } = sweep(line, |byte| byte == b' ');
    if !only_blanks {
        return None;
    }
    let mut rest = Rest(line);
    let host = if WITH_HOST { Some(rest.host()?) } else { None };
    let ip = rest.address()?;
    let userid = rest.nobody().or_else(|| rest.word().and_then(|_| rest.word()))?;
    let date = rest.date()?;
    let method = rest.word()?;
    let (path, quoted) = rest.path()?;
    rest.closing_word()?;
    let status = rest.word().filter(|word| word.iter().all(u8::is_ascii_digit))?;
    let (length, referrer, user_agent) = if WITH_AGENT {
        let length = rest.word()?;
        rest.literal(b"\"")?;
        let referrer = rest.quoted()?;
        rest.literal(b" \"")?;
        (length, Some(referrer), Some(rest.quoted()?))
    } else {
        (rest.last_word()?, None, None)
    };
    Some(Fields { host, ip, userid, date, method, path, status, length, referrer, user_agent, plain: plain && !quoted })
}

impl<'l> Fields<'l> {
    /// The same as a record. Made apart from the reading, so that it is written once, where it is wanted.
    #[inline(always)]
    pub fn record(self) -> Record<'l> {
        let (date, zone) = self.date;
        Record {
            ip: Cow::Borrowed(self.ip),
            date: Date::Clf { date: Cow::Borrowed(date), zone: Cow::Borrowed(zone) },
            path: Cow::Borrowed(self.path),
            query: None,
            status: Cow::Borrowed(self.status),
            length: Some(Cow::Borrowed(self.length)),
            referrer: self.referrer.map(Cow::Borrowed),
            user_agent: self.user_agent.map(Cow::Borrowed),
            host: self.host.map(Cow::Borrowed),
            userid: Some(Cow::Borrowed(self.userid)),
            method: Some(Cow::Borrowed(self.method)),
            generation_time: None,
            event: None,
            extra: Vec::new(),
            plain: self.plain,
        }
    }
}

/// Bytes of an address that are looked at in one step: an IPv4 address has no more.
const ADDRESS_BYTES: usize = 16;

/// Whether the first bytes of a text, so many, may all stand in an address.
#[inline(always)]
fn begins_with_address(text: &[u8], length: usize) -> bool {
    match text.first_chunk::<ADDRESS_BYTES>() {
        // No early exit, and no table: all are compared at once.
        Some(chunk) if length <= ADDRESS_BYTES => {
            let numbered = chunk.iter().zip(0u8..);
            numbered.fold(true, |fits, (byte, index)| {
                fits & (in_name(*byte) | (*byte == b':') | (*byte == b'*') | (index >= length as u8))
            })
        }
        _ => all(&ADDRESS, &text[..length]),
    }
}

fn all(class: &[bool; 256], word: &[u8]) -> bool {
    word.iter().all(|byte| class[usize::from(*byte)])
}

/// What is left of the line.
struct Rest<'l>(&'l [u8]);

impl<'l> Rest<'l> {
    /// A word and the one blank after it.
    #[inline(always)]
    fn word(&mut self) -> Option<&'l [u8]> {
        self.up_to(search::near(b' ', self.0)?)
    }

    /// Neither an identity nor a user, as nearly always; answers the second dash.
    #[inline(always)]
    fn nobody(&mut self) -> Option<&'l [u8]> {
        let (dashes, rest) = self.0.split_first_chunk()?;
        (dashes == b"- - ").then(|| {
            self.0 = rest;
            &dashes[2..3]
        })
    }

    /// A path, and whether there is a quote in it.
    #[inline(always)]
    fn path(&mut self) -> Option<(&'l [u8], bool)> {
        let end = search::either(b' ', b'"', self.0)?;
        let quoted = self.0[end] == b'"';
        let end = if quoted { memchr(b' ', self.0)? } else { end };
        Some((self.up_to(end)?, quoted))
    }

    #[inline(always)]
    fn up_to(&mut self, blank: usize) -> Option<&'l [u8]> {
        let (word, rest) = self.0.split_at_checked(blank)?;
        self.0 = &rest[1..];
        // Behind two blanks stands an empty word: white space of which only the pattern knows where it ends.
        (!word.is_empty()).then_some(word)
    }

    /// A word of bytes that an address may have.
    #[inline(always)]
    fn address(&mut self) -> Option<&'l [u8]> {
        let end = search::near(b' ', self.0)?;
        if begins_with_address(self.0, end) { self.up_to(end) } else { None }
    }

    /// A word that may end the line.
    #[inline(always)]
    fn last_word(&mut self) -> Option<&'l [u8]> {
        let end = memchr(b' ', self.0).unwrap_or(self.0.len());
        Some(&self.0[..end]).filter(|word| !word.is_empty())
    }

    /// The name in front of an Apache vhost line; its port is dropped.
    #[inline(always)]
    fn host(&mut self) -> Option<&'l [u8]> {
        let word = self.word()?;
        let (name, port) = match memchr(b':', word) {
            Some(colon) => (&word[..colon], &word[colon + 1..]),
            None => (word, &b"0"[..]),
        };
        let fits = all(&HOST, name) && !port.is_empty() && port.iter().all(u8::is_ascii_digit);
        fits.then_some(name)
    }

    /// `[date zone] "`, the date and zone of fixed width.
    #[inline(always)]
    fn date(&mut self) -> Option<(&'l [u8], &'l [u8])> {
        let (whole, rest) = self.0.split_first_chunk::<DATE_ZONE_BYTES>()?;
        self.0 = rest;
        let (date, zone) = (whole[1..].first_chunk::<DATE_BYTES>()?, &whole[ZONE_AT..][..ZONE_BYTES]);
        let framed = whole[0] == b'[' && whole[ZONE_AT - 1] == b' ' && whole[ZONE_AT + ZONE_BYTES..] == *b"] \"";
        let blank = search::contains(b' ', date);
        let zoned = matches!(zone[0], b'+' | b'-') && zone[1..].iter().all(u8::is_ascii_digit);
        (framed && !blank && zoned).then_some((&date[..], zone))
    }

    /// A word of at least two bytes that ends in a quote: the protocol.
    #[inline(always)]
    fn closing_word(&mut self) -> Option<&'l [u8]> {
        self.word().filter(|word| word.len() > 1 && word.ends_with(b"\""))
    }

    /// Text up to the next quote.
    #[inline(always)]
    fn quoted(&mut self) -> Option<&'l [u8]> {
        let (text, rest) = self.0.split_at_checked(search::one(b'"', self.0)?)?;
        self.0 = &rest[1..];
        Some(text)
    }

    #[inline(always)]
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::super::field::Draft;
    use super::super::loose;
    use super::super::ncsa::{COMMON, COMMON_COMPLETE, COMMON_VHOST, NCSA_EXTENDED};
    use super::super::pattern::Pattern;
    use super::super::record::tests::json_takes_it;
    use super::*;

    const COMBINED: &str = r#"192.0.2.1 - bob [05/Jun/2024:08:00:05 +0200] "GET /about?x=1 HTTP/1.1" 200 1 "https://r.example/" "Mozilla/5.0 (X11)""#;

    thread_local! {
        static PATTERNS: RefCell<[Pattern; 4]> = RefCell::new(
            [COMMON, COMMON_VHOST, NCSA_EXTENDED, COMMON_COMPLETE].map(|format| Pattern::new(format.pattern).unwrap()),
        );
    }

    /// How many of the four formats accept the line on the short way; with the fields of the pattern, or it panics.
    fn all_agree(line: &[u8]) -> usize {
        let fast = [
            read::<false, false>(line),
            read::<true, false>(line),
            read::<false, true>(line),
            read::<true, true>(line),
        ];
        let loose = [
            loose::read::<false, false>(line),
            loose::read::<true, false>(line),
            loose::read::<false, true>(line),
            loose::read::<true, true>(line),
        ];
        PATTERNS.with_borrow_mut(|patterns| {
            for (pattern, fields) in patterns.iter_mut().zip(loose).filter(|(_, fields)| fields.is_some()) {
                let exact = pattern.read(line).map(Draft::finish_clf);
                assert_eq!(fields.map(Fields::record), exact, "{}", line.escape_ascii());
            }
        });
        PATTERNS.with_borrow_mut(|patterns| {
            let accepted = fast.into_iter().zip(patterns).filter(|(fast, _)| fast.is_some());
            let same = accepted.map(|(fast, pattern)| {
                let fast = fast.map(Fields::record);
                let plain = fast.as_ref().is_some_and(|record| record.plain);
                let exact = pattern.read(line).map(|draft| Record { plain, ..draft.finish_clf() });
                assert_eq!(fast, exact, "{}", line.escape_ascii());
                assert!(!plain || exact.is_some_and(|record| json_takes_it(&record)), "{}", line.escape_ascii());
            });
            same.count()
        })
    }

    #[test]
    fn an_address_is_known_without_the_table() {
        for byte in 0..=u8::MAX {
            let is_word = byte.is_ascii_alphanumeric() || byte == b'_';
            let in_address = is_word || b"*.:-".contains(&byte);
            assert_eq!(ADDRESS[usize::from(byte)], in_address, "{byte}");
            assert_eq!(HOST[usize::from(byte)], is_word || b".-".contains(&byte), "{byte}");
            for length in 0..20 {
                let mut text = *b"................[...";
                text[7] = byte;
                let fits = length <= 7 || length <= 16 && in_address;
                assert_eq!(begins_with_address(&text, length), fits, "{byte} in {length}");
            }
        }
    }

    #[test]
    fn the_usual_line_takes_the_short_way() {
        assert_eq!(all_agree(COMBINED.as_bytes()), 2);
        assert_eq!(all_agree(format!("www.example.org:443 {COMBINED}").as_bytes()), 2);
        assert_eq!(all_agree(COMBINED.replace("about", "søg/日本").as_bytes()), 2);
    }

    #[test]
    fn an_unusual_line_is_left_to_the_pattern() {
        for (usual, unusual) in [
            ("GET /", "GET  /"),
            ("about", "a bout"),
            ("bob", "bob\t"),
            ("+0200", "+02:00"),
            ("05/Jun", "5/Jun"),
            ("r.example/", "r.example/\\\""),
            ("about", "a\u{A0}b"),
            (" HTTP/1.1", ""),
        ] {
            let line = COMBINED.replace(usual, unusual);
            assert!(read::<false, true>(line.as_bytes()).is_none(), "{line}");
            all_agree(line.as_bytes());
            let is_loose = line.is_ascii() && !unusual.is_empty();
            assert_eq!(loose::read::<false, true>(line.as_bytes()).is_some(), is_loose, "{line}");
        }
    }

    /// Mostly the usual text, now and then an odd one.
    fn mostly(usual: &'static str, odd: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        prop_oneof![12 => Just(usual), 1 => prop::sample::select(odd)]
    }

    /// The pieces of a line, each of which may be odd: where the two ways could disagree.
    fn pieces() -> impl Strategy<Value = String> {
        let host = prop::sample::select(vec!["", "www.example.org ", "a_b:443 ", " ", ":80 ", "a:8x ", "ü.example "]);
        let request = (
            mostly("GET", &["", "-", "\"", "G T", "\\x16"]),
            mostly("/a?x=1", &["", "/a b", "/\"", "/ü", "/a\" 200 1", "*", "/\u{a0}"]),
            mostly("HTTP/1.1\"", &["\"", "HTTP/1.1", "H\"x\"", "HTTP/1.1\" 7"]),
            mostly("200", &["", "2x0", "-", "٣"]),
            mostly("512", &["", "-", "\"", "5\"1"]),
        );
        let extended = (
            mostly("\"-\"", &["\"a\\\"b\"", "\"a\" \"b\"", "\"\"", "-", "\"a\" b \"", "\"a\"\t"]),
            mostly("\"UA\"", &["\"\"", "\"U", "x \"UA\"", "\"U\\\"A\"", "UA\""]),
            mostly("", &["17", "\"more\" \"and more\""]),
        );
        let client = (
            mostly("192.0.2.1", &["", "2001:db8::1", "a/b", "ü", "-"]),
            mostly("-", &["", "ident", "["]),
            mostly("bob", &["", "\"\"", "[", "é"]),
            mostly(
                "[05/Jun/2024:08:00:05",
                &["[5/Jun/2024:08:00:05", "[", "05/Jun/2024:08:00:05", "[05/Jun 2024:08:00:05"],
            ),
            mostly("+0200]", &["]", "CET]", "+02:00]", "+020]]", "+0200] ]", "+0200"]),
        );
        let blanks = prop::collection::vec(mostly(" ", &["  ", "\t", "", "\u{a0}", "\x1c"]), 12);
        (host, client, request, extended, blanks).prop_map(|(host, client, request, extended, blank)| {
            let (ip, ident, user, date, zone) = client;
            let (method, path, protocol, status, length) = request;
            let (referrer, agent, more) = extended;
            let method = format!("\"{method}");
            let words = [ip, ident, user, date, zone, &*method, path, protocol, status, length, referrer, agent, more];
            let blanks = blank.into_iter().chain([""]);
            let line: String = words.into_iter().zip(blanks).flat_map(|(word, blank)| [word, blank]).collect();
            format!("{host}{line}")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_the_short_way_accepts_the_pattern_reads_alike(line in pieces()) {
            all_agree(line.as_bytes());
        }

        #[test]
        fn a_byte_that_changes_makes_no_difference(
            line in pieces(), at: prop::sample::Index, byte in prop_oneof![prop::sample::select(b" \"[]\t".to_vec()), any::<u8>()]
        ) {
            let mut line = line.into_bytes();
            let at = at.index(line.len());
            line[at] = byte;
            all_agree(&line);
        }

        #[test]
        fn no_bytes_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            all_agree(&line);
        }
    }
}
