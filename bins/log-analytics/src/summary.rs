//! Counters of an import: for the event of each file, for the printed summary and as JSON.

mod print;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

pub use sample::{Place, Sample};

use crate::hit::{Skip, Skipped};

/// Word of the counter of lines that are no request.
const MALFORMED: &str = "invalid";

/// What became of the lines of a file, a site or a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines read.
    pub lines: u64,
    /// Hits among them.
    pub hits: u64,
    /// Hits Matomo acknowledged; in a dry run, hits it would have been sent.
    pub recorded: u64,
    /// Lines with a download extension, whether kept or not.
    pub downloads: u64,
    /// Lines that are no request in the format of their file.
    pub malformed: u64,
    /// Hits whose host belongs to no known site.
    pub no_site: u64,
    /// Sites that hits went to.
    pub sites: BTreeSet<u32>,
    /// Sites made for a host, with their numbers.
    pub sites_created: BTreeMap<String, u32>,
    /// Hosts that belong to no known site.
    pub hostnames_ignored: BTreeSet<String>,
    skipped: [u64; Skip::COUNT],
    samples: BTreeMap<&'static str, Sample>,
}

impl Counts {
    /// Counts a hit that the judge kept.
    pub fn kept(&mut self, download: bool) {
        self.hits += 1;
        self.downloads += u64::from(download);
    }

    /// Counts a record that the judge skipped; the first of each reason is kept as a sample.
    pub fn skip(&mut self, skipped: Skipped, place: Place, line: &[u8]) {
        self.downloads += u64::from(skipped.download);
        let counter = &mut self.skipped[skipped.reason.index()];
        *counter += 1;
        if *counter == 1 {
            self.samples.entry(skipped.reason.word()).or_insert_with(|| Sample::new(place, line));
        }
    }

    /// Counts a line that is no request; the first is kept as a sample.
    pub fn malformed(&mut self, place: Place, line: &[u8]) {
        self.malformed += 1;
        if self.malformed == 1 {
            self.samples.entry(MALFORMED).or_insert_with(|| Sample::new(place, line));
        }
    }

    /// Counts a hit whose host belongs to no known site. A download counts as one all the same.
    pub fn without_site(&mut self, host: &[u8], download: bool) {
        self.no_site += 1;
        self.downloads += u64::from(download);
        self.hostnames_ignored.insert(String::from_utf8_lossy(host).into_owned());
    }

    /// How many records a reason kept out.
    #[must_use]
    pub fn skipped(&self, reason: Skip) -> u64 {
        self.skipped[reason.index()]
    }

    /// The first line of each reason, by the reason's word.
    pub fn samples(&self) -> impl Iterator<Item = (&'static str, &Sample)> {
        self.samples.iter().map(|(word, sample)| (*word, sample))
    }

    /// Counters that are not zero, as in `static 12, bots 3`; empty if no line was left out.
    #[must_use]
    pub fn left_out(&self) -> String {
        let reasons = Skip::ALL.into_iter().map(|reason| (reason.word(), self.skipped(reason)));
        let others = [(MALFORMED, self.malformed), ("no_site", self.no_site)];
        let counted = others.into_iter().chain(reasons).filter(|(_, count)| *count > 0);
        counted.map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
    }

    /// Why lines were left out, each reason with its count and its first line: for whoever wonders where the hits are.
    #[must_use]
    pub fn reasons(&self) -> String {
        let counts = self.left_out();
        let samples = self.samples().map(|(word, sample)| format!("{word}: {sample}"));
        [counts].into_iter().chain(samples).collect::<Vec<_>>().join("; ")
    }

    /// Lines that are no request or have no date; in a replay, also those that are no tracker requests.
    #[must_use]
    pub fn invalid(&self) -> u64 {
        self.malformed + self.skipped(Skip::InvalidDate) + self.skipped(Skip::NoTrackerRequest)
    }

    /// Lines that cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.malformed
    }

    /// The first of them, as it may be shown.
    #[must_use]
    pub fn unreadable_sample(&self) -> String {
        self.samples.get(MALFORMED).map(ToString::to_string).unwrap_or_default()
    }

    /// Lines that lists of hosts, networks and addresses or the window of dates keep out.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        const FILTERS: [Skip; 8] = [
            Skip::HostExcluded,
            Skip::HostNotIncluded,
            Skip::TooOld,
            Skip::TooNew,
            Skip::Url,
            Skip::IpExcluded,
            Skip::IpNotIncluded,
            Skip::AiCrawler,
        ];
        FILTERS.map(|skip| self.skipped(skip)).iter().sum()
    }

    /// Lines that Matomo would store under the date of the import.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        self.skipped(Skip::InFuture { seconds_ahead: 0 }) + self.skipped(Skip::BeforeMatomoLimit)
    }

    /// The sum the reference calls ignored: without lines dropped for their path, and without those held back.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        let reasons = [Skip::HttpError, Skip::HttpRedirect, Skip::Hostname, Skip::Bot, Skip::Static, Skip::Download];
        let skipped: u64 = reasons.map(|reason| self.skipped(reason)).iter().sum();
        skipped + self.invalid() + self.filtered() + self.no_site
    }

    /// The counters as JSON, under the names the reference's summary is recorded with, and a few of our own.
    /// `recorded` includes hits without a site, because the reference counts them so; `acknowledged` does not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "recorded": self.recorded + self.no_site,
            "downloads": self.downloads,
            "ignored_total": self.ignored(),
            "http_errors": self.skipped(Skip::HttpError),
            "http_redirects": self.skipped(Skip::HttpRedirect),
            "invalid": self.invalid(),
            "filtered": self.filtered(),
            "no_site": self.no_site,
            "hostname_skipped": self.skipped(Skip::Hostname),
            "bots": self.skipped(Skip::Bot),
            "static": self.skipped(Skip::Static),
            "skipped_downloads": self.skipped(Skip::Download),
            "sites": self.sites.len(),
            "sites_existing": self.sites_existing(),
            "sites_created": self.sites_created.len(),
            "hostnames_ignored": self.hostnames_ignored.len(),
            "lines": self.lines,
            "acknowledged": self.recorded,
            "path": self.skipped(Skip::Path),
            "in_future": self.skipped(Skip::InFuture { seconds_ahead: 0 }),
            "before_matomo_limit": self.skipped(Skip::BeforeMatomoLimit),
        })
    }

    /// Sites that hits went to and that were there before.
    fn sites_existing(&self) -> usize {
        let created: BTreeSet<u32> = self.sites_created.values().copied().collect();
        self.sites.difference(&created).count()
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        self.lines += other.lines;
        self.hits += other.hits;
        self.recorded += other.recorded;
        self.downloads += other.downloads;
        self.malformed += other.malformed;
        self.no_site += other.no_site;
        self.sites.extend(&other.sites);
        self.sites_created.extend(other.sites_created.iter().map(|(host, id)| (host.clone(), *id)));
        self.hostnames_ignored.extend(other.hostnames_ignored.iter().cloned());
        self.skipped.iter_mut().zip(other.skipped).for_each(|(mine, more)| *mine += more);
        for (word, sample) in &other.samples {
            self.samples.entry(word).or_insert_with(|| sample.clone());
        }
    }
}

#[cfg(test)]
mod tests;
