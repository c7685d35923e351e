//! A judged record as the JSON object Matomo's bulk API takes.
//!
//! Nothing is scanned or escaped twice: the address is copied from where it was first written, and the user agent
//! comes ready-made.

use super::agent::Agent;
use super::json::{self, Stray};
use super::judge::{Judge, Judged};
use super::number;
use super::request::Host;
use super::rules::{Rules, Variable};
use super::site::Site;
use super::text;

/// Matomo's columns hold more, but this is where the reference cuts, and reports should not change.
const ADDRESS_CHARACTERS_MAX: usize = 1024;

impl Judge {
    /// Appends the hit for `site`: one JSON object and nothing else. Its last byte is the closing brace, so
    /// [`add_parameter`] can take one more parameter in.
    pub fn write(&mut self, hit: &Judged<'_>, site: &Site, out: &mut Vec<u8>) {
        let mut room = std::mem::take(&mut self.room);
        let target = text::cut(hit.target.text(&self.rules, &mut room), ADDRESS_CHARACTERS_MAX);
        let address = Address { prefix: prefix(hit, &self.rules, site, target), target };
        let start = out.len();
        out.extend_from_slice(self.opening.of(&self.rules, site, matches!(address.prefix, Prefix::Site)));
        push_addresses(out, hit, &address, site);
        out.extend_from_slice(br#"","cip":""#);
        json::push_known(out, hit.ip(), hit.record.plain, Stray::Replace);
        self.dates.push(out, hit.moment);
        let agent = &hit.known_agent;
        out.extend_from_slice(&agent.json);
        push_page_variables(out, hit, &self.rules);
        if !self.rules.visit_variables.is_empty() {
            push_visit_variables(out, hit, &self.rules, agent);
        }
        if hit.titled {
            push_title(out, hit, &self.rules, &address, site);
        }
        push_rest(out, hit, &self.rules);
        for dimension in &self.rules.dimensions {
            dimension.push(out, hit, agent);
        }
        out.push(b'}');
        if let Some(parameters) = &hit.replay {
            // What a replayed request says is laid over the whole hit.
            parameters.overlay(out, start);
        }
        self.room = room;
    }
}

/// What stands before the path: scheme and host, or the site's main address. A path that is an address of its own, or
/// none at all, stands alone.
fn prefix<'a>(hit: &'a Judged<'_>, rules: &'a Rules, site: &'a Site, target: &[u8]) -> Prefix<'a> {
    if target.first() != Some(&b'/') {
        return Prefix::None;
    }
    match hit.host_text(rules) {
        None => Prefix::Site,
        Some(address) if rules.host_is_address => Prefix::Whole(address),
        Some(host) => {
            let scheme = if rules.host_mode { b"http" } else { site.scheme() };
            let from_line = matches!(hit.host, Host::Said(_));
            Prefix::Host { scheme, host, plain: from_line && hit.record.plain && site.is_plain() }
        }
    }
}

/// Adds a parameter to the hit that ends `hit`. `name` and `value` are plain: no quotes, backslashes or control
/// characters.
pub fn add_parameter(hit: &mut Vec<u8>, name: &str, value: &str) {
    debug_assert_eq!(hit.last(), Some(&b'}'), "a hit ends with its closing brace");
    hit.pop();
    for part in [",\"", name, "\":\"", value, "\"}"] {
        hit.extend_from_slice(part.as_bytes());
    }
}

/// The address of a hit, in parts.
struct Address<'a> {
    prefix: Prefix<'a>,
    target: &'a [u8],
}

/// What stands before the path.
#[derive(Clone, Copy)]
enum Prefix<'a> {
    None,
    /// The site's main address.
    Site,
    /// What is said to be an address.
    Whole(&'a [u8]),
    /// `plain`: JSON takes both as they are.
    Host {
        scheme: &'a [u8],
        host: &'a [u8],
        plain: bool,
    },
}

impl Address<'_> {
    fn push(&self, out: &mut Vec<u8>, site: &Site, plain: bool) {
        match self.prefix {
            Prefix::None => {}
            Prefix::Site => push_main_url(out, site),
            Prefix::Whole(address) => json::push(out, address, Stray::Percent),
            Prefix::Host { scheme, host, plain } => {
                for part in [scheme, b"://", host] {
                    json::push_known(out, part, plain, Stray::Percent);
                }
            }
        }
        json::push_known(out, self.target, plain, Stray::Percent);
    }

    fn push_percent_encoded(&self, out: &mut Vec<u8>, site: &Site) {
        let prefix = match self.prefix {
            Prefix::None => [&b""[..]; 3],
            Prefix::Site => [site.main_url().as_bytes(), b"", b""],
            Prefix::Whole(address) => [address, b"", b""],
            Prefix::Host { scheme, host, .. } => [scheme, b"://", host],
        };
        prefix.iter().chain([&self.target]).for_each(|part| json::push_percent_encoded(out, part));
    }
}

fn push_main_url(out: &mut Vec<u8>, site: &Site) {
    json::push_known(out, site.main_url().as_bytes(), site.is_plain(), Stray::Percent);
}

/// What every hit of a site begins with, as far as its address, or into its address where that begins with the site's;
/// kept from hit to hit.
#[derive(Debug, Default)]
pub(super) struct Opening(Option<(u32, [Box<[u8]>; 2])>);

impl Opening {
    #[inline]
    fn of(&mut self, rules: &Rules, site: &Site, with_main_url: bool) -> &[u8] {
        if self.0.as_ref().is_none_or(|(known, _)| *known != site.id()) {
            self.0 = None;
        }
        let (_, texts) = self.0.get_or_insert_with(|| (site.id(), Self::texts(rules, site)));
        &texts[usize::from(with_main_url)]
    }

    #[cold]
    fn texts(rules: &Rules, site: &Site) -> [Box<[u8]>; 2] {
        let bare = [&*rules.opening, site.id_text(), br#"","url":""#].concat();
        let mut with_main_url = bare.clone();
        push_main_url(&mut with_main_url, site);
        [bare, with_main_url].map(Vec::into_boxed_slice)
    }
}

/// The rest of the value of `url`, and those of `download` and `urlref`.
fn push_addresses(out: &mut Vec<u8>, hit: &Judged<'_>, address: &Address<'_>, site: &Site) {
    let plain = hit.record.plain;
    match address.prefix {
        Prefix::Site => json::push_known(out, address.target, plain, Stray::Percent),
        _ => address.push(out, site, plain),
    }
    if hit.sent_as_download {
        out.extend_from_slice(br#"","download":""#);
        address.push(out, site, plain);
    }
    out.extend_from_slice(br#"","urlref":""#);
    let referrer = text::cut(hit.referrer, ADDRESS_CHARACTERS_MAX);
    json::push_known(out, referrer, plain, Stray::Percent);
}

/// `cvar`, a JSON text inside a JSON text.
fn push_page_variables(out: &mut Vec<u8>, hit: &Judged<'_>, rules: &Rules) {
    if rules.status_alone {
        // Its beginning came with the user agent.
        match *hit.record.status {
            [a, b, c] if hit.record.plain => out.extend_from_slice(&[a, b, c, b'\\', b'"', b']', b'}', b'"']),
            ref status => {
                json::push_nested(out, status);
                out.extend_from_slice(br#"\"]}""#);
            }
        }
        return;
    }
    let mut page = Variables::begin(out, br#","cvar":"{"#);
    page.push_fields(hit, &rules.page_variables);
    if let Some(method) = hit.method(rules) {
        page.push(b"HTTP-method", method);
    }
    page.push(b"HTTP-code", &hit.record.status);
    page.end();
}

/// `_cvar`, if the user agent's label is not all there is to say.
fn push_visit_variables(out: &mut Vec<u8>, hit: &Judged<'_>, rules: &Rules, agent: &Agent) {
    let mut visit = Variables::begin(out, br#","_cvar":"{"#);
    visit.push_fields(hit, &rules.visit_variables);
    if rules.options.enable_bots {
        visit.push_key();
        visit.out.extend_from_slice(&agent.label);
    }
    visit.end();
}

/// Custom variables under their numbers, as the inside of a JSON text.
struct Variables<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: usize,
}

impl<'o> Variables<'o> {
    fn begin(out: &'o mut Vec<u8>, opening: &[u8]) -> Self {
        let start = out.len();
        out.extend_from_slice(opening);
        Self { out, start, count: 0 }
    }

    fn push_fields(&mut self, hit: &Judged<'_>, variables: &[Variable]) {
        for variable in variables {
            if let Some(value) = hit.variable(variable) {
                self.push(&variable.name, value);
            }
        }
    }

    fn push(&mut self, nested_name: &[u8], value: &[u8]) {
        self.push_key();
        self.out.extend_from_slice(br#"[\""#);
        self.out.extend_from_slice(nested_name);
        self.out.extend_from_slice(br#"\",\""#);
        json::push_nested(self.out, value);
        self.out.extend_from_slice(br#"\"]"#);
    }

    fn push_key(&mut self) {
        self.count += 1;
        if self.count > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(br#"\""#);
        push_number(self.out, self.count as u64);
        self.out.extend_from_slice(br#"\":"#);
    }

    /// Closes the text; without a variable it was never there.
    fn end(self) {
        if self.count == 0 {
            self.out.truncate(self.start);
        } else {
            self.out.extend_from_slice(br#"}""#);
        }
    }
}

/// `action_name` of errors and redirects: `404/URL = …/From = …`.
fn push_title(out: &mut Vec<u8>, hit: &Judged<'_>, rules: &Rules, address: &Address<'_>, site: &Site) {
    out.extend_from_slice(br#","action_name":""#);
    json::push(out, &hit.record.status, Stray::Replace);
    out.extend_from_slice(&rules.title_delimiter);
    out.extend_from_slice(b"URL = ");
    address.push_percent_encoded(out, site);
    if !hit.referrer.is_empty() {
        out.extend_from_slice(&rules.title_delimiter);
        out.extend_from_slice(b"From = ");
        json::push_percent_encoded(out, text::cut(hit.referrer, ADDRESS_CHARACTERS_MAX));
    }
    out.push(b'"');
}

/// `uid`, `bw_bytes`, `pf_srv` and the event.
fn push_rest(out: &mut Vec<u8>, hit: &Judged<'_>, rules: &Rules) {
    if let Some(user) = hit.userid(rules) {
        push_text(out, "uid", user);
    }
    if let Some(length) = hit.length(rules) {
        let start = out.len();
        out.extend_from_slice(br#","bw_bytes":"#);
        if !number::push_integer(out, length) {
            out.truncate(start);
        }
    }
    if let Some(milliseconds) = hit.milliseconds(rules) {
        out.extend_from_slice(br#","pf_srv":"#);
        push_number(out, milliseconds);
    }
    for (name, value) in hit.event(rules).into_iter().flatten() {
        if let Some(value) = value {
            push_text(out, name, value);
        }
    }
}

fn push_text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [",\"", name, "\":\""] {
        out.extend_from_slice(part.as_bytes());
    }
    json::push(out, value, Stray::Replace);
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}
