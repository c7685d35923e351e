//! Options, compiled once per file.

use std::collections::HashSet;

use super::address::Addresses;
use super::agent::Label;
use super::dimension::Dimension;
use super::extension::Extensions;
use super::group::Group;
use super::json::{self, Stray};
use super::options::HitOptions;
use super::pattern::Pattern;

/// Options in the shape the work on each line needs.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) options: HitOptions,
    pub(super) host_mode: bool,
    pub(super) extensions: Extensions,
    pub(super) exclude_paths: Vec<Pattern>,
    pub(super) include_paths: Vec<Pattern>,
    pub(super) exclude_urls: Vec<Pattern>,
    pub(super) include_urls: Vec<Pattern>,
    pub(super) addresses: Addresses,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) hostnames: Vec<Pattern>,
    pub(super) include_hosts: HashSet<Vec<u8>>,
    pub(super) exclude_hosts: HashSet<Vec<u8>>,
    pub(super) page_variables: Vec<Variable>,
    pub(super) visit_variables: Vec<Variable>,
    ignored: HashSet<Group>,
    /// A hit up to the value of `idsite`.
    pub(super) opening: Vec<u8>,
    /// `--title-category-delimiter` as the inside of a JSON text.
    pub(super) title_delimiter: Vec<u8>,
    /// The status is the only page variable.
    pub(super) status_alone: bool,
    /// `--log-hostname` is an address with a scheme of its own.
    pub(super) host_is_address: bool,
}

/// A custom variable made of a field.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) group: Group,
    /// Its name as the inside of a nested JSON text.
    pub(super) name: Vec<u8>,
}

impl Rules {
    pub(super) fn new(options: &HitOptions, host_mode: bool) -> Self {
        let mut title_delimiter = Vec::new();
        json::push(&mut title_delimiter, options.title_category_delimiter.as_bytes(), Stray::Replace);
        Self {
            host_mode,
            extensions: Extensions::new(options),
            exclude_paths: patterns(&options.exclude_paths),
            include_paths: patterns(&options.include_paths),
            exclude_urls: patterns(&options.exclude_urls),
            include_urls: patterns(&options.include_urls),
            addresses: Addresses::new(&options.include_ips, &options.exclude_ips, options.masked_ip_bytes),
            dimensions: options.dimensions.iter().map(|(number, field)| Dimension::new(*number, field)).collect(),
            hostnames: patterns(&options.hostnames),
            include_hosts: hosts(&options.include_hosts),
            exclude_hosts: hosts(&options.exclude_hosts),
            page_variables: variables(&options.page_variables),
            visit_variables: variables(&options.visit_variables),
            ignored: options.ignore_groups.iter().map(|name| Group::from_name(name)).collect(),
            opening: opening(options),
            title_delimiter,
            status_alone: options.page_variables.is_empty() && !options.track_http_method,
            host_is_address: options.log_hostname.as_ref().is_some_and(|host| host.contains("://")),
            options: options.clone(),
        }
    }

    /// How hits tell bots.
    pub(super) fn label(&self) -> Label {
        match (self.options.enable_bots, self.visit_variables.is_empty()) {
            (false, _) => Label::None,
            (true, true) => Label::Alone,
            (true, false) => Label::AmongOthers,
        }
    }

    /// What stands behind every user agent: the beginning of the page variables, where the status is all of them.
    pub(super) fn after_agent(&self) -> &'static [u8] {
        if self.status_alone { br#","cvar":"{\"1\":[\"HTTP-code\",\""# } else { b"" }
    }

    /// A field, unless `--ignore-groups` names it.
    #[inline]
    pub(super) fn unless_ignored<T>(&self, group: &Group, field: Option<T>) -> Option<T> {
        if !self.ignored.is_empty() && self.ignored.contains(group) { None } else { field }
    }
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn hosts(texts: &[String]) -> HashSet<Vec<u8>> {
    texts.iter().map(|text| text.to_lowercase().into_bytes()).collect()
}

fn variables(pairs: &[(String, String)]) -> Vec<Variable> {
    let variable = |(group, name): &(String, String)| {
        let mut nested = Vec::new();
        json::push_nested(&mut nested, name.as_bytes());
        Variable { group: Group::from_name(group), name: nested }
    };
    pairs.iter().map(variable).collect()
}

/// What every hit begins with. The server must not queue: a queued hit is one nobody has counted.
fn opening(options: &HitOptions) -> Vec<u8> {
    let names = if options.reverse_dns { "0" } else { "1" };
    let bots = if options.enable_bots { r#""bots":"1","# } else { "" };
    format!(r#"{{"rec":"1","apiv":"1","queuedtracking":"0","dp":"{names}",{bots}"idsite":""#).into_bytes()
}
