//! The Apache family: `common`, `common_vhost`, `ncsa_extended` and `common_complete`.

use super::exact::Exact;
use super::fast;
use super::readable::Readable;
use super::record::Record;
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
    /// The exact pattern.
    pub(super) pattern: &'static str,
    fast: for<'l> fn(&'l [u8]) -> Option<Record<'l>>,
}

/// Apache's `common`.
pub const COMMON: Ncsa =
    Ncsa { name: "common", groups: 8, with_host: false, pattern: common!(), fast: fast::read::<false, false> };
/// `common` behind the name of the virtual host.
pub const COMMON_VHOST: Ncsa = Ncsa {
    name: "common_vhost",
    groups: 9,
    with_host: true,
    pattern: concat!(host!(), common!()),
    fast: fast::read::<true, false>,
};
/// Apache's and nginx's `combined`.
pub const NCSA_EXTENDED: Ncsa = Ncsa {
    name: "ncsa_extended",
    groups: 10,
    with_host: false,
    pattern: concat!(common!(), extended!()),
    fast: fast::read::<false, true>,
};
/// Debian's `vhost_combined`.
pub const COMMON_COMPLETE: Ncsa = Ncsa {
    name: "common_complete",
    groups: 11,
    with_host: true,
    pattern: concat!(host!(), common!(), extended!()),
    fast: fast::read::<true, true>,
};

impl LogFormat for Ncsa {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parser(&self, _: &FormatOptions, _: Chosen) -> Box<dyn LineParser + Send> {
        let (fast, groups, with_host) = (self.fast, self.groups, self.with_host);
        Box::new(NcsaLines { fast, groups, with_host, exact: Exact::new(self.pattern) })
    }
}

struct NcsaLines {
    fast: for<'l> fn(&'l [u8]) -> Option<Record<'l>>,
    exact: Exact,
    groups: usize,
    with_host: bool,
}

impl LineParser for NcsaLines {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        if let Some(record) = (self.fast)(line) {
            return Parsed::Record(record);
        }
        match self.exact.read(line) {
            Some(draft) => Parsed::Record(draft.finish_clf()),
            None => Parsed::Malformed(Malformed::of(line)),
        }
    }

    fn carries_host(&self) -> bool {
        self.with_host
    }

    fn fit(&mut self, line: &[u8], rival: usize) -> Option<Fit> {
        let fits = self.groups > rival
            && ((self.fast)(line).is_some() || self.date_in_place(line) && self.exact.read(line).is_some());
        fits.then_some(Fit::Groups(self.groups))
    }
}

impl NcsaLines {
    /// Necessary for a match and much cheaper than one: the word that has to open the date does.
    fn date_in_place(&self, line: &[u8]) -> bool {
        let line = Readable::new(line);
        // An empty host leaves nothing but the blank after it.
        let words_before = if self.with_host && !line.starts_blank() { 4 } else { 3 };
        line.opens_date(words_before)
    }
}
