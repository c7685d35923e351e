//! Access logs that never were: visitors, bots and scanners of a made-up site, the same for the same seed.
//!
//! Every line carries a number of its own in its query, so that a hit that is lost or doubled can be named.

mod folder;
mod format;
mod visitor;
mod web_server;

pub use folder::{balanced, compress, compressed, hourly, write};
pub use format::Format;
pub use visitor::{Kind, Visitor};
pub use web_server::{Rotation, WebServer, web_servers};

use crate::random::Random;

/// The host of every line that names one.
pub const HOST: &str = "www.example.org";

/// The first second of 2026, long enough ago that no file of it is still being written.
pub const YEAR_2026: i64 = 1_767_225_600;

/// One request, in no format yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, unique among all lines of one [`Traffic`].
    pub number: u64,
    /// Seconds since 1970, UTC.
    pub second: i64,
    /// The visitor's address.
    pub address: String,
    /// The visitor's user agent.
    pub agent: String,
    /// Path and query.
    pub path: String,
    /// Where the visitor came from; empty when unknown.
    pub referrer: String,
    /// HTTP status.
    pub status: u16,
    /// Bytes sent.
    pub bytes: u64,
    /// What kind of request it is.
    pub kind: Kind,
}

impl Line {
    /// Counted by Matomo's importer without any option: pages and downloads of people.
    pub fn counted_by_default(&self) -> bool {
        matches!(self.kind, Kind::Page | Kind::Download)
    }
}

/// A source of lines. Calls continue where the last one ended, in time and in numbers.
#[derive(Debug, Clone)]
pub struct Traffic {
    random: Random,
    second: i64,
    pace_seconds: u64,
    number: u64,
    visitors: Vec<Visitor>,
}

impl Traffic {
    /// Visits at the beginning of 2026, about one line every two seconds.
    pub fn seeded(seed: u64) -> Self {
        Self { random: Random::seeded(seed), second: YEAR_2026, pace_seconds: 4, number: 0, visitors: Vec::new() }
    }

    /// Start at another time, in seconds since 1970.
    #[must_use]
    pub fn starting_at(mut self, second: i64) -> Self {
        self.second = second;
        self
    }

    /// At most this many seconds from one line to the next; longer gaps spread the lines over more hours.
    #[must_use]
    pub fn with_gaps_of(mut self, seconds: u64) -> Self {
        self.pace_seconds = seconds;
        self
    }

    /// Number the lines from here on, so that several sources together have no number twice.
    #[must_use]
    pub fn numbered_from(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// The next lines, in time order.
    pub fn lines(&mut self, count: usize) -> Vec<Line> {
        (0..count).map(|_| self.line()).collect()
    }

    fn line(&mut self) -> Line {
        const VISITORS_MAX: usize = 60;
        self.second += self.random.below(self.pace_seconds + 1) as i64;
        self.number += 1;
        if self.visitors.is_empty() || (self.visitors.len() < VISITORS_MAX && self.random.chance(0.1)) {
            let visitor = Visitor::arriving(&mut self.random);
            self.visitors.push(visitor);
        }
        let at = self.random.below(self.visitors.len() as u64) as usize;
        let line = self.visitors[at].request(self.number, self.second, &mut self.random);
        if self.random.chance(0.04) {
            self.visitors.swap_remove(at);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_log() {
        assert_eq!(Traffic::seeded(5).lines(300), Traffic::seeded(5).lines(300));
        assert_ne!(Traffic::seeded(5).lines(300), Traffic::seeded(6).lines(300));
    }

    #[test]
    fn lines_are_in_time_order_unique_and_of_every_kind() {
        let mut traffic = Traffic::seeded(1);
        let mut lines = traffic.lines(1_000);
        lines.extend(traffic.lines(1_000));
        assert!(lines.is_sorted_by_key(|line| line.second));
        let written: HashSet<String> = lines.iter().map(|line| Format::Combined.write(line)).collect();
        assert_eq!(written.len(), lines.len());
        for kind in [Kind::Page, Kind::Download, Kind::Static, Kind::Failure, Kind::Redirect, Kind::Bot] {
            assert!(lines.iter().filter(|line| line.kind == kind).count() > 20, "{kind:?}");
        }
    }

    #[test]
    fn a_visitor_comes_back_for_more() {
        let lines = Traffic::seeded(2).lines(1_000);
        let visitors: HashSet<&str> = lines.iter().map(|line| line.address.as_str()).collect();
        assert!((50..500).contains(&visitors.len()), "{} visitors", visitors.len());
    }
}
