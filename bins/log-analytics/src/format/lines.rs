//! The formats of one line each that are rare enough to be read by their pattern alone.

use std::borrow::Cow;

use super::exact::Exact;
use super::field::Draft;
use super::ncsa::{common, extended, host};
use super::readable::{Readable, is_blank};
use super::record::Record;
use super::{Chosen, Fit, FormatOptions, LineParser, LogFormat, Malformed, Parsed};

/// A line format: a pattern and what the pattern cannot say.
pub struct Lines {
    name: &'static str,
    pattern: &'static str,
    /// Weight of a match when formats are detected: the reference's number of capturing groups.
    groups: usize,
    with_host: bool,
    /// Necessary for a match and much cheaper than one.
    plausible: fn(&Readable<'_>) -> bool,
    finish: for<'l> fn(Draft<'l>) -> Record<'l>,
}

/// Combined and the seconds of a session; a combined log with any number at its end looks the same.
pub const ICECAST2: Lines = Lines {
    name: "icecast2",
    pattern: concat!(common!(), extended!(), r"\s+(?P<session_time>[\d-]+)"),
    groups: 11,
    with_host: false,
    plausible: |line| line.opens_date(3) && number_after_agent(line),
    finish: |draft| draft.finish_clf(),
};

/// Access log of an Amazon S3 bucket.
pub const S3: Lines = Lines {
    name: "s3",
    pattern: r#"\S+\s+(?P<host>\S+)\s+\[(?P<date>.*?)\s+(?P<timezone>.*?)\]\s+(?P<ip>[\w*.:-]+)\s+(?P<userid>\S+)\s+\S+\s+\S+\s+\S+\s+"(?P<method>\S+)\s+(?P<path>.*?)\s+\S+"\s+(?P<status>\d+)\s+\S+\s+(?P<length>\S+)\s+\S+\s+\S+\s+\S+\s+"(?P<referrer>.*?)"\s+"(?P<user_agent>.*?)""#,
    groups: 11,
    with_host: true,
    plausible: |line| line.opens_date(2),
    finish: |draft| draft.finish_clf(),
};

/// Amazon's load balancers: classic, and application (with its type in front).
pub const ELB: Lines = Lines {
    name: "elb",
    pattern: r#"(?:\S+\s+)?(?P<date>[\d-]+T[\d:]+)\.\S+\s+\S+\s+(?P<ip>[\w*.:-]+):\d+\s+\S+:\d+\s+\S+\s+(?P<generation_time_secs>\S+)\s+\S+\s+(?P<status>\d+)\s+\S+\s+\S+\s+(?P<length>\S+)\s+"\S+\s+\w+://(?P<host>[\w\-.]*):\d+(?P<path>/\S*)\s+[^"]*"\s+"(?P<user_agent>[^"]*)"\s+\S+\s+\S+"#,
    groups: 8,
    with_host: true,
    plausible: |line| line.text().contains("://") && (0..2).any(|n| line.word(n).is_some_and(opens_moment)),
    finish: |draft| draft.finish(Cow::Borrowed("%Y-%m-%dT%H:%M:%S")),
};

/// HAProxy's HTTP log as syslog writes it. It names no zone: UTC.
pub const HAPROXY: Lines = Lines {
    name: "haproxy",
    pattern: r#".*:\s+(?P<ip>(?:[\w*.]|::)[\w*.:]*).*\[(?P<date>.*)\].*\s(?P<status>\b\d{3}\b)\s(?P<length>\d+)\s-.*"(?P<method>\S+)\s(?P<path>\S+).*"#,
    groups: 6,
    with_host: false,
    plausible: |line| {
        let text = line.text();
        text.contains('[')
            && text.contains('"')
            && neighbours(text, |c| c == ':', is_blank)
            && neighbours(text, is_blank, |c| c == '-')
    },
    finish: finish_haproxy,
};

/// Gandi's simple hosting. Its time ("0 s") is no number, so it is never used.
pub const GANDI: Lines = Lines {
    name: "gandi",
    pattern: r#"(?P<host>[-a-zA-Z0-9_.]+)\s+(?P<ip>[a-zA-Z0-9.]+)\s+\S+\s+(?P<userid>\S+)\s+\[(?P<date>.*?)\s+(?P<timezone>.*?)\]\s+\((?P<generation_time_secs>[\w\s]*)\)\s+"(?P<method>[A-Z]+)\s+(?P<path>\S+)\s+\S+"\s+(?P<status>\d+)\s+(?P<length>\S+)\s+"(?P<referrer>\S+)"\s+"(?P<user_agent>[^"]+)""#,
    groups: 13,
    with_host: true,
    plausible: |line| line.opens_date(4),
    finish: |draft| draft.finish_clf(),
};

/// OVH's web hosting: the host stands where others have the ident, so it has to be asked for by name.
pub const OVH: Lines = Lines {
    name: "ovh",
    pattern: concat!(
        r"(?P<ip>\S+)\s+",
        host!(),
        r#"(?P<userid>\S+)\s+\[(?P<date>.*?)\s+(?P<timezone>.*?)\]\s+"\S+\s+(?P<path>.*?)\s+\S+"\s+(?P<status>\S+)\s+(?P<length>\S+)"#,
        extended!()
    ),
    groups: 10,
    with_host: true,
    plausible: |line| line.opens_date(3),
    finish: |draft| draft.finish_clf(),
};

impl LogFormat for Lines {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parser(&self, _: &FormatOptions, _: Chosen) -> Box<dyn LineParser + Send> {
        Box::new(Parser {
            exact: Exact::new(self.pattern),
            groups: self.groups,
            with_host: self.with_host,
            plausible: self.plausible,
            finish: self.finish,
        })
    }
}

struct Parser {
    exact: Exact,
    groups: usize,
    with_host: bool,
    plausible: fn(&Readable<'_>) -> bool,
    finish: for<'l> fn(Draft<'l>) -> Record<'l>,
}

impl LineParser for Parser {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        match self.exact.read(line) {
            Some(draft) => Parsed::Record((self.finish)(draft)),
            None => Parsed::Malformed(Malformed::of(line)),
        }
    }

    fn carries_host(&self) -> bool {
        self.with_host
    }

    fn fit(&mut self, line: &[u8], rival: usize) -> Option<Fit> {
        let fits = self.groups > rival && (self.plausible)(&Readable::new(line)) && self.exact.read(line).is_some();
        fits.then_some(Fit::Groups(self.groups))
    }
}

/// Whether one of the quotes that can close the user agent is followed by a number.
fn number_after_agent(line: &Readable<'_>) -> bool {
    line.text().split('"').skip(6).any(|after| {
        let number = after.trim_start_matches(is_blank);
        number.len() < after.len() && number.starts_with(|first: char| first == '-' || first.is_numeric())
    })
}

/// Whether a word can be a date and a time with a `T` between them.
fn opens_moment(word: &str) -> bool {
    word.starts_with(|first: char| first == '-' || first.is_numeric()) && word.contains('T')
}

/// Whether a character of the first kind stands right before one of the second.
fn neighbours(text: &str, first: impl Fn(char) -> bool, second: impl Fn(char) -> bool) -> bool {
    text.chars().zip(text.chars().skip(1)).any(|(one, next)| first(one) && second(next))
}

/// Takes the port off the client's address. (The reference stops at the first colon, which cuts IPv6 short.)
fn finish_haproxy(mut draft: Draft<'_>) -> Record<'_> {
    if let Cow::Borrowed(ip) = draft.record.ip {
        draft.record.ip = Cow::Borrowed(without_port(ip));
    }
    draft.finish(Cow::Borrowed("%d/%b/%Y:%H:%M:%S.%f"))
}

fn without_port(address: &[u8]) -> &[u8] {
    let Some(last) = memchr::memrchr(b':', address) else {
        return address;
    };
    let head = &address[..last];
    match memchr::memchr(b':', head) {
        Some(_) if address[last + 1..].iter().all(u8::is_ascii_digit) => head,
        Some(first) => &head[..first],
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::*;

    #[test]
    fn every_pattern_compiles_and_has_the_groups_it_is_weighed_with() {
        for format in [&ICECAST2, &S3, &ELB, &HAPROXY, &OVH] {
            assert_eq!(Pattern::new(format.pattern).unwrap().groups(), format.groups, "{}", format.name);
        }
        // The reference captures one thing more of a Gandi line than there are fields.
        assert_eq!(Pattern::new(GANDI.pattern).unwrap().groups() + 1, GANDI.groups);
    }

    /// Lines of all formats, by their name.
    fn samples() -> impl Iterator<Item = (&'static str, String)> {
        super::super::FORMATS.iter().flat_map(|format| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/format/golden");
            let sample = std::fs::read(format!("{folder}/{}/lines.log", format.name())).unwrap();
            let lines: Vec<String> = String::from_utf8_lossy(&sample).lines().map(str::to_owned).collect();
            lines.into_iter().map(|line| (format.name(), line))
        })
    }

    #[test]
    fn no_pattern_is_compiled_for_the_usual_line_of_another_format() {
        for format in [&ELB, &HAPROXY] {
            for (name, line) in samples().filter(|(name, _)| *name != format.name) {
                assert!(!(format.plausible)(&Readable::new(line.as_bytes())), "{} of {name}: {line}", format.name);
            }
        }
    }

    #[test]
    fn whatever_matches_is_plausible() {
        for format in [&ICECAST2, &S3, &ELB, &HAPROXY, &GANDI, &OVH] {
            let mut pattern = Pattern::new(format.pattern).unwrap();
            for (_, line) in samples() {
                let fits = pattern.read(line.as_bytes()).is_some();
                assert!(!fits || (format.plausible)(&Readable::new(line.as_bytes())), "{}: {line}", format.name);
            }
        }
    }

    #[test]
    fn the_port_goes_and_the_address_stays_whole() {
        assert_eq!(without_port(b"192.0.2.1:55008"), b"192.0.2.1");
        assert_eq!(without_port(b"2001:db8::1:55012"), b"2001:db8::1");
        assert_eq!(without_port(b"::1:80"), b"::1");
        assert_eq!(without_port(b"unix"), b"unix");
    }
}
