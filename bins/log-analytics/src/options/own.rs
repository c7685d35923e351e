//! Options that Matomo's importer does not have.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::ImportOptionsError;
use super::value::{self, Pairs};
use crate::hit::HitOptions;

/// Beyond Matomo's own importer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Beyond Matomo's own importer")]
pub(super) struct OwnWords {
    /// Send a field as custom dimension N; the field `agent_class` says human, bot or ai. May be repeated.
    #[arg(long = "dimension", value_name = "N=FIELD", value_parser = value::dimension)]
    dimensions: Vec<(u32, String)>,
    /// Bytes of client addresses to leave out (1 to 4; for IPv6 all but the first 64, 48, 24 or 0 bits).
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u8).range(0..=4))]
    mask_ip: Option<u8>,
    /// Keep only clients of this network, as in 192.0.2.0/24; may be repeated.
    #[arg(long = "include-ip", value_name = "NETWORK", value_parser = value::network)]
    include_ips: Vec<IpNet>,
    /// Keep only clients of the networks in this file, one a line.
    #[arg(long, value_name = "FILE")]
    include_ip_from: Option<PathBuf>,
    /// Drop clients of this network; may be repeated.
    #[arg(long = "exclude-ip", value_name = "NETWORK", value_parser = value::network)]
    exclude_ips: Vec<IpNet>,
    /// Drop clients of the networks in this file, one a line.
    #[arg(long, value_name = "FILE")]
    exclude_ip_from: Option<PathBuf>,
    /// Drop addresses (path and query) that match this shell pattern; may be repeated.
    #[arg(long = "exclude-url", value_name = "PATTERN")]
    exclude_urls: Vec<String>,
    /// Drop addresses that match a pattern of this file, one a line.
    #[arg(long, value_name = "FILE")]
    exclude_url_from: Option<PathBuf>,
    /// Keep only addresses (path and query) that match this shell pattern; may be repeated.
    #[arg(long = "include-url", value_name = "PATTERN")]
    include_urls: Vec<String>,
    /// Keep only addresses that match a pattern of this file, one a line.
    #[arg(long, value_name = "FILE")]
    include_url_from: Option<PathBuf>,
    /// Keep only the hosts in this file, one a line.
    #[arg(long, value_name = "FILE")]
    include_host_from: Option<PathBuf>,
    /// Drop the hosts in this file, one a line.
    #[arg(long, value_name = "FILE")]
    exclude_host_from: Option<PathBuf>,
    /// Parts of user agents that mean a bot, one a line of this file.
    #[arg(long, value_name = "FILE")]
    useragent_exclude_from: Option<PathBuf>,
    /// Drop crawlers of AI services.
    #[arg(long)]
    exclude_ai_crawlers: bool,
    /// Format of the lines as nginx (log_format) or Apache (LogFormat) has it.
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    pub(super) log_format: Option<String>,
    /// Fields of JSON lines: ip=client.addr,date=ts,path=request.uri,status=code and others.
    #[arg(long, value_name = "PAIRS", value_parser = value::pairs)]
    pub(super) json_fields: Option<Pairs>,
    /// Zone of dates in formats that write none, as in Europe/Copenhagen; UTC if not given.
    #[arg(long, value_name = "ZONE", value_parser = value::zone)]
    log_timezone: Option<TimeZone>,
}

impl OwnWords {
    /// Adds them to the options; reads the files they name.
    pub(super) fn add_to(self, hits: &mut HitOptions) -> Result<(), ImportOptionsError> {
        let lists = [
            ("--exclude-url-from", self.exclude_url_from, &mut hits.exclude_urls),
            ("--include-url-from", self.include_url_from, &mut hits.include_urls),
            ("--include-host-from", self.include_host_from, &mut hits.include_hosts),
            ("--exclude-host-from", self.exclude_host_from, &mut hits.exclude_hosts),
            ("--useragent-exclude-from", self.useragent_exclude_from, &mut hits.useragent_excludes),
        ];
        for (option, file, list) in lists {
            if let Some(file) = file {
                list.extend(value::patterns(option, &file)?);
            }
        }
        let networks = [
            ("--include-ip-from", self.include_ip_from, &mut hits.include_ips),
            ("--exclude-ip-from", self.exclude_ip_from, &mut hits.exclude_ips),
        ];
        for (option, file, list) in networks {
            if let Some(file) = file {
                list.extend(value::networks(option, &file)?);
            }
        }
        hits.include_ips.extend(self.include_ips);
        hits.exclude_ips.extend(self.exclude_ips);
        hits.exclude_urls.extend(self.exclude_urls);
        hits.include_urls.extend(self.include_urls);
        hits.dimensions = self.dimensions;
        hits.masked_ip_bytes = self.mask_ip.unwrap_or_default();
        hits.exclude_ai_crawlers = self.exclude_ai_crawlers;
        hits.zone = self.log_timezone;
        Ok(())
    }
}
