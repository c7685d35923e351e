//! The second way through an Apache line, for one of ASCII that is not quite usual: runs of white space, blanks and quotes in
//! a path, a date of any shape.
//!
//! It makes the choices that the exact pattern would try first, and leaves the line to the pattern where these lead nowhere.
//! Words and white space are taken as far as they go, which is the pattern's only choice, since each stands before the other.
//! That it reads what the pattern reads is tested with [`super::fast`].

use memchr::memchr;

use super::fast::{ADDRESS, Fields, HOST};

/// Places where a path may end that are tried. Each may cost a look at the rest of the line, and a line may be long.
const PATH_ENDS_MAX: usize = 16;

/// Reads a line of ASCII, or answers `None` when the pattern has to decide.
pub fn read<const WITH_HOST: bool, const WITH_AGENT: bool>(line: &[u8]) -> Option<Fields<'_>> {
    // No part of the pattern goes across the end of a line.
    if !line.is_ascii() || memchr(b'\n', line).is_some() {
        return None;
    }
    let mut rest = Rest(line);
    let host = if WITH_HOST { Some(rest.host()?) } else { None };
    let ip = rest.while_of(&ADDRESS).filter(|ip| !ip.is_empty())?;
    rest.blanks()?;
    rest.word_and_blanks()?;
    let userid = rest.word_and_blanks()?;
    rest.literal(b'[')?;
    let date = rest.up_to_blank()?;
    rest.blanks()?;
    let zone = rest.up_to_and_a_quote(b']')?;
    let method = rest.word_and_blanks()?;
    let begin = rest.0;
    for _ in 0..PATH_ENDS_MAX {
        rest.up_to_blank()?;
        let path = &begin[..begin.len() - rest.0.len()];
        rest.blanks()?;
        if let Some(End { status, length, referrer, user_agent }) = rest.clone().end(WITH_AGENT) {
            return Some(Fields {
                host,
                ip,
                userid,
                date: (date, zone),
                method,
                path,
                status,
                length,
                referrer,
                user_agent,
                plain: false,
            });
        }
    }
    None
}

/// What follows the path and the blanks behind it.
struct End<'l> {
    status: &'l [u8],
    length: &'l [u8],
    referrer: Option<&'l [u8]>,
    user_agent: Option<&'l [u8]>,
}

/// What is left of the line.
#[derive(Clone)]
struct Rest<'l>(&'l [u8]);

impl<'l> Rest<'l> {
    fn take(&mut self, count: usize) -> &'l [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn while_of(&mut self, class: &[bool; 256]) -> Option<&'l [u8]> {
        let end = self.0.iter().position(|byte| !class[usize::from(*byte)])?;
        Some(self.take(end))
    }

    /// At least one blank, and all that follow it.
    fn blanks(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| !is_blank(*byte)).unwrap_or(self.0.len());
        (!self.take(end).is_empty()).then_some(())
    }

    /// Everything before the next blank, of which there has to be one.
    fn up_to_blank(&mut self) -> Option<&'l [u8]> {
        let end = self.0.iter().position(|byte| is_blank(*byte))?;
        Some(self.take(end))
    }

    /// A word that is not empty, without the blanks that have to follow it.
    fn word_and_blanks(&mut self) -> Option<&'l [u8]> {
        let word = self.up_to_blank().filter(|word| !word.is_empty())?;
        self.blanks()?;
        Some(word)
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// The name of a host, which may be empty, without its port.
    fn host(&mut self) -> Option<&'l [u8]> {
        let name = self.while_of(&HOST)?;
        let mut port = self.clone();
        if port.literal(b':').is_some() {
            let digits = port.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            port.take(digits);
            self.0 = if digits > 0 { port.0 } else { self.0 };
        }
        self.blanks()?;
        Some(name)
    }

    /// Up to the first such byte with blanks and a quote behind it, and past these.
    fn up_to_and_a_quote(&mut self, end: u8) -> Option<&'l [u8]> {
        let text = self.0;
        loop {
            let at = memchr(end, self.0)?;
            self.take(at + 1);
            let mut behind = self.clone();
            if behind.blanks().is_some() && behind.literal(b'"').is_some() {
                let found = &text[..text.len() - self.0.len() - 1];
                self.0 = behind.0;
                return Some(found);
            }
        }
    }

    /// Protocol, status, length and, if they are wanted, referrer and user agent.
    fn end(mut self, with_agent: bool) -> Option<End<'l>> {
        self.word_and_blanks().filter(|word| word.len() > 1 && word.ends_with(b"\""))?;
        let status = self.word_and_blanks().filter(|word| word.iter().all(u8::is_ascii_digit))?;
        let end = self.0.iter().position(|byte| is_blank(*byte)).unwrap_or(self.0.len());
        let length = Some(self.take(end)).filter(|length| !length.is_empty())?;
        if !with_agent {
            return Some(End { status, length, referrer: None, user_agent: None });
        }
        self.blanks()?;
        self.literal(b'"')?;
        let referrer = self.up_to_and_a_quote(b'"')?;
        let user_agent = self.take(memchr(b'"', self.0)?);
        Some(End { status, length, referrer: Some(referrer), user_agent: Some(user_agent) })
    }
}

/// Python's `\s`, as far as it is ASCII.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=0x1f | b' ')
}
