//! The Apache family: `common`, `common_vhost`, `ncsa_extended` and `common_complete`.

use super::exact::Exact;
use super::fast;
use super::loose;
use super::readable::Readable;
use super::{Chosen, Fit, FormatOptions, LineParser, LogFormat, Malformed, Parsed};

/// The bare pattern of a request, from the client's address to the number of bytes.
macro_rules! common {
    () => {
        r#"(?P<ip>[\w*.:-]+)\s+\S+\s+(?P<userid>\S+)\s+\[(?P<date>.*?)\s+(?P<timezone>.*?)\]\s+"(?P<method>\S+)\s+(?P<path>.*?)\s+\S+"\s+(?P<status>\d+)\s+(?P<length>\S+)"#
    };
}
/// Referrer and user agent. The agent ends at its first quote.
macro_rules! extended {
    () => {
        r#"\s+"(?P<referrer>.*?)"\s+"(?P<user_agent>.*?)""#
    };
}
/// The name of the virtual host in front; it may be empty, its port is dropped.
macro_rules! host {
    () => {
        r"(?P<host>[\w\-.]*)(?::\d+)?\s+"
    };
}
pub(super) use {common, extended, host};

/// A format of the family.
pub struct Ncsa {
    name: &'static str,
    groups: usize,
    with_host: bool,
    with_agent: bool,
    /// The exact pattern.
    pub(super) pattern: &'static str,
}

/// Apache's `common`.
pub const COMMON: Ncsa = Ncsa { name: "common", groups: 8, with_host: false, with_agent: false, pattern: common!() };
/// `common` behind the name of the virtual host.
pub const COMMON_VHOST: Ncsa =
    Ncsa { name: "common_vhost", groups: 9, with_host: true, with_agent: false, pattern: concat!(host!(), common!()) };
/// Apache's and nginx's `combined`.
pub const NCSA_EXTENDED: Ncsa = Ncsa {
    name: "ncsa_extended",
    groups: 10,
    with_host: false,
    with_agent: true,
    pattern: concat!(common!(), extended!()),
};
/// Debian's `vhost_combined`.
pub const COMMON_COMPLETE: Ncsa = Ncsa {
    name: "common_complete",
    groups: 11,
    with_host: true,
    with_agent: true,
    pattern: concat!(host!(), common!(), extended!()),
};

impl LogFormat for Ncsa {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parser(&self, _: &FormatOptions, _: Chosen) -> Box<dyn LineParser + Send> {
        // Which fields a line has is decided here, once a file.
        match (self.with_host, self.with_agent) {
            (false, false) => self.lines::<false, false>(),
            (true, false) => self.lines::<true, false>(),
            (false, true) => self.lines::<false, true>(),
            (true, true) => self.lines::<true, true>(),
        }
    }
}

impl Ncsa {
    fn lines<const WITH_HOST: bool, const WITH_AGENT: bool>(&self) -> Box<dyn LineParser + Send> {
        Box::new(NcsaLines::<WITH_HOST, WITH_AGENT> { groups: self.groups, exact: Exact::new(self.pattern) })
    }
}

struct NcsaLines<const WITH_HOST: bool, const WITH_AGENT: bool> {
    exact: Exact,
    groups: usize,
}

impl<const WITH_HOST: bool, const WITH_AGENT: bool> LineParser for NcsaLines<WITH_HOST, WITH_AGENT> {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        if let Some(fields) = fast::read::<WITH_HOST, WITH_AGENT>(line) {
            return Parsed::Record(fields.record());
        }
        self.read_unusual(line)
    }

    fn carries_host(&self) -> bool {
        WITH_HOST
    }

    fn fit(&mut self, line: &[u8], rival: usize) -> Option<Fit> {
        let fits = self.groups > rival
            && (fast::read::<WITH_HOST, WITH_AGENT>(line).is_some()
                || self.date_in_place(line) && self.exact.read(line).is_some());
        fits.then_some(Fit::Groups(self.groups))
    }
}

impl<const WITH_HOST: bool, const WITH_AGENT: bool> NcsaLines<WITH_HOST, WITH_AGENT> {
    #[inline(never)]
    fn read_unusual<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        if let Some(fields) = loose::read::<WITH_HOST, WITH_AGENT>(line) {
            return Parsed::Record(fields.record());
        }
        match self.exact.read(line) {
            Some(draft) => Parsed::Record(draft.finish_clf()),
            None => Parsed::Malformed(Malformed::of(line)),
        }
    }

    /// Necessary for a match and much cheaper than one: the word that has to open the date does.
    fn date_in_place(&self, line: &[u8]) -> bool {
        let line = Readable::new(line);
        // An empty host leaves nothing but the blank after it.
        let words_before = if WITH_HOST && !line.starts_blank() { 4 } else { 3 };
        line.opens_date(words_before)
    }
}
