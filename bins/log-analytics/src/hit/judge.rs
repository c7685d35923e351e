//! The judge: every record, in the order of its file, past every filter.

use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_64;

use super::agent::{Agent, Agents};
use super::date_writer::DateWriter;
use super::dates::Dates;
use super::extension::Kind;
use super::filter;
use super::group::{self, Group};
use super::number;
use super::options::{HitOptions, OptionError};
use super::replay::Parameters;
use super::request::{Host, Request, Target};
use super::rules::{Rules, Variable};
use super::skip::{Skip, Skipped};
use super::write::Opening;
use crate::format::{Moment, Record};

/// The reference's name for the host of a line that should say one and does not.
const NO_HOST: &[u8] = b"no-hostname-found-in-log";

/// Decides what becomes a hit and writes it. One per stream of lines: it remembers the last date and the user agents.
#[derive(Debug)]
pub struct Judge {
    pub(super) rules: Rules,
    pub(super) agents: Agents,
    pub(super) dates: DateWriter,
    pub(super) opening: Opening,
    pub(super) room: Vec<u8>,
}

/// The answer about a record.
#[derive(Debug)]
pub enum Verdict<'r> {
    /// Matomo should count it.
    Keep(Judged<'r>),
    /// Matomo should not.
    Skip(Skipped),
}

/// A parameter of an event and what the line says of it.
type EventPart<'r> = (&'static str, Option<&'r [u8]>);

/// A record that passed every filter, ready for [`Judge::write`].
#[derive(Debug)]
pub struct Judged<'r> {
    /// When it happened, `--add-to-date` included.
    pub moment: Moment,
    /// Hash of the client address: hits of one visitor stay in order.
    pub visitor: u64,
    /// Hash of the user agent: hits of one user agent are cheaper for Matomo together.
    pub agent: u64,
    /// Counts as a download (by its extension; kept static files are sent as downloads but do not count as such).
    pub download: bool,
    pub(super) record: &'r Record<'r>,
    /// The client's address as it is sent, where that is not as it stands in the log.
    pub(super) masked_ip: Option<Box<str>>,
    pub(super) target: Target<'r>,
    pub(super) host: Host<'r>,
    pub(super) referrer: &'r [u8],
    /// What is known about its user agent.
    pub(super) known_agent: Rc<Agent>,
    pub(super) sent_as_download: bool,
    /// An error or a redirect, whose title says so.
    pub(super) titled: bool,
    /// What the line's own tracker request says.
    pub(super) replay: Option<Box<Parameters>>,
}

/// What the filters that look at words found out about a record they let pass.
struct Worded {
    titled: bool,
    is_static: bool,
    known_agent: Rc<Agent>,
}

/// What the filters that need the date found out about a record they let pass.
struct Passed {
    moment: Moment,
    replay: Option<Box<Parameters>>,
}

impl Judge {
    /// A judge by these options. In `host_mode` hits go to the site of their host, and every hit has one. In a replay
    /// the request says the site, so there is no host mode.
    ///
    /// # Errors
    /// Options that cannot be used, see [`HitOptions::check`].
    pub fn new(options: &HitOptions, host_mode: bool) -> Result<Self, OptionError> {
        options.check()?;
        let rules = Rules::new(options, host_mode && options.replay.is_none());
        Ok(Self {
            agents: Agents::new(&options.useragent_excludes, rules.label(), rules.after_agent()),
            rules,
            dates: DateWriter::default(),
            opening: Opening::default(),
            room: Vec::new(),
        })
    }

    /// Whether the record becomes a hit, as seen at `now`; `dates` are those of its file.
    #[inline]
    pub fn judge<'r>(&mut self, record: &'r Record<'r>, dates: &mut Dates, now: Moment) -> Verdict<'r> {
        let request = Request::new(record, &self.rules);
        let kind = self.rules.extensions.kind(request.target.path());
        let agent = xxh3_64(request.user_agent);
        let passed = filter::download(kind)
            .and_then(|()| self.by_words(&request, kind, agent))
            .and_then(|words| Ok((words, self.by_time(&request, dates, now)?)));
        let masked_ip = self.rules.addresses.masked(&record.ip);
        match passed {
            Err(reason) => Verdict::Skip(Skipped { reason, download: kind.download }),
            Ok((Worded { titled, is_static, known_agent }, Passed { moment, replay })) => Verdict::Keep(Judged {
                moment,
                visitor: visitor(record, masked_ip.as_deref(), replay.as_deref()),
                masked_ip,
                agent,
                download: kind.download,
                record,
                target: request.target,
                host: request.host,
                referrer: request.referrer,
                known_agent,
                sent_as_download: kind.download || is_static,
                titled,
                replay,
            }),
        }
    }

    /// The host whose site the hit belongs to, in host mode; otherwise the line's host, if it says one. In a replay it
    /// is only what the summary calls a hit without a site.
    #[must_use]
    pub fn host<'a>(&'a self, hit: &'a Judged<'_>) -> Option<&'a [u8]> {
        match hit.host_text(&self.rules) {
            None | Some(b"") if hit.replay.is_some() => Some(NO_HOST),
            host => host,
        }
    }

    /// The filters that look at words, in the reference's order.
    #[inline]
    fn by_words(&mut self, request: &Request<'_>, kind: Kind, agent: u64) -> Result<Worded, Skip> {
        let (rules, path) = (&self.rules, request.target.path());
        filter::hostname(rules, &request.host)?;
        let titled = filter::status(rules, &request.record.status)?;
        filter::path(rules, path)?;
        filter::url(rules, &request.target, &mut self.room)?;
        rules.addresses.judge(&request.record.ip)?;
        let is_static = filter::static_file(rules, kind, path)?;
        let known_agent = self.agents.get(agent, request.user_agent);
        filter::bot(rules, known_agent)?;
        Ok(Worded { titled, is_static, known_agent: Rc::clone(known_agent) })
    }

    /// The filters that need the date, and those the reference puts behind it.
    #[inline]
    fn by_time(&self, request: &Request<'_>, dates: &mut Dates, now: Moment) -> Result<Passed, Skip> {
        let mut moment = dates.read(&request.record.date).ok_or(Skip::InvalidDate)?;
        moment.seconds = moment.seconds.saturating_add(self.rules.options.add_to_date_seconds);
        let replay = Parameters::read(&self.rules, &request.target)?;
        filter::host(&self.rules, request)?;
        filter::window(&self.rules, moment)?;
        filter::matomo_limits(moment, now)?;
        Ok(Passed { moment, replay })
    }
}

/// Hash of who asked, as Matomo will see them.
fn visitor(record: &Record<'_>, masked_ip: Option<&str>, replay: Option<&Parameters>) -> u64 {
    let ip = || masked_ip.map_or(&*record.ip, str::as_bytes);
    replay.and_then(Parameters::visitor).unwrap_or_else(|| xxh3_64(ip()))
}

impl<'r> Judged<'r> {
    /// In a replay, Matomo's number of the site the request was for; 0, which no site has, for anything else it says.
    /// The site given to [`Judge::write`] goes first.
    #[must_use]
    pub fn replayed_site(&self) -> Option<u32> {
        Some(self.replay.as_ref()?.site())
    }

    /// See [`Judge::host`].
    pub(super) fn host_text<'a>(&'a self, rules: &'a Rules) -> Option<&'a [u8]> {
        match self.host.text(rules) {
            None | Some(b"") if rules.host_mode => Some(NO_HOST),
            host => host,
        }
    }

    /// The client's address as it is sent.
    pub(super) fn ip(&self) -> &[u8] {
        self.masked_ip.as_deref().map_or(&*self.record.ip, str::as_bytes)
    }

    /// The user who logged in.
    pub(super) fn userid(&self, rules: &Rules) -> Option<&'r [u8]> {
        rules.unless_ignored(&Group::Userid, self.record.userid.as_deref()).filter(|user| *user != b"-")
    }

    /// Bytes sent.
    pub(super) fn length(&self, rules: &Rules) -> Option<&'r [u8]> {
        rules.unless_ignored(&Group::Length, self.record.length.as_deref())
    }

    /// HTTP method, if it is to be sent.
    pub(super) fn method(&self, rules: &Rules) -> Option<&'r [u8]> {
        let method = self.record.method.as_deref().filter(|method| rules.options.track_http_method && *method != b"-");
        rules.unless_ignored(&Group::Method, method)
    }

    /// Whole milliseconds the server took.
    pub(super) fn milliseconds(&self, rules: &Rules) -> Option<u64> {
        let time = self.record.generation_time.as_ref()?;
        rules.unless_ignored(&group::of_generation_time(time), number::milliseconds(time))
    }

    /// The parts of a streaming server's event, by their parameters. Matomo knows none without category and action.
    pub(super) fn event(&self, rules: &Rules) -> Option<[EventPart<'r>; 3]> {
        let event = self.record.event.as_deref()?;
        let part = |group: Group, text: &'r [u8]| {
            rules.unless_ignored(&group, Some(text)).filter(|text| !matches!(*text, b"" | b"-"))
        };
        Some([
            ("e_c", Some(part(Group::EventCategory, &event.category)?)),
            ("e_a", Some(part(Group::EventAction, &event.action)?)),
            ("e_n", part(Group::EventName, &event.name)),
        ])
    }

    /// A field for a custom variable; `-` means there is none.
    pub(super) fn variable(&self, variable: &Variable) -> Option<&'r [u8]> {
        variable.group.text(self.record).filter(|text| *text != b"-")
    }
}
