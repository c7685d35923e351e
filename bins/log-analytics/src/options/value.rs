//! Values of options: dates, lists of pairs, files of patterns.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::ImportOptionsError;
use crate::format::Moment;

/// `YYYY-MM-DD hh:mm:ss +hhmm`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let timestamp = jiff::Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text)
        .map_err(|_| "write a date as in `2024-03-12 08:00:00 +0100`, with its offset".to_owned())?;
    Ok(Moment { seconds: timestamp.as_second(), micros: 0 })
}

/// A list of pairs such as `group=Name,group=Name`.
pub(super) fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |item: &str| match item.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.contains('=') => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{item}` is not of the form field=name")),
    };
    text.split(',').map(pair).collect::<Result<_, _>>().map(Pairs)
}

/// A list of pairs; a type of its own so that it counts as one value.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

/// A pair such as `field=regex`, where the regex may contain anything.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it is not of the form field=regex".to_owned()),
    }
}

/// The items of a comma list, without blanks around them.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// As MATOMO_RECORDERS takes it; as in the reference, what is below 1 is 1.
pub(super) fn recorders(text: &str) -> Result<usize, String> {
    bounded::<64>(text)
}

/// As MATOMO_BATCH_SIZE takes it.
pub(super) fn payload(text: &str) -> Result<usize, String> {
    bounded::<10_000>(text)
}

fn bounded<const MOST: u64>(text: &str) -> Result<usize, String> {
    let number: i64 = text.parse().map_err(|_| "it is no whole number".to_owned())?;
    let number = u64::try_from(number).unwrap_or(1).max(1);
    if number > MOST {
        return Err(format!("it must be a whole number from 1 to {MOST}"));
    }
    usize::try_from(number).map_err(|_| "it is too large".to_owned())
}

/// Longest file of patterns; all of them are held in memory, and each hit is compared with them.
const PATTERNS_BYTES_MAX: u64 = 4 << 20;

/// The patterns in a file: one a line, trimmed, blank lines skipped.
pub(super) fn patterns(option: &'static str, path: &Path) -> Result<Vec<String>, ImportOptionsError> {
    let failed = |source| ImportOptionsError::ReadPatterns { option, path: path.to_owned(), source };
    let mut text = String::new();
    // Not asked for its length: a device has none, and no end.
    fs::File::open(path)
        .and_then(|file| file.take(PATTERNS_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if text.len() as u64 > PATTERNS_BYTES_MAX {
        return Err(failed(io::Error::other(format!("it is larger than {} MiB", PATTERNS_BYTES_MAX >> 20))));
    }
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A network such as `192.0.2.0/24`, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(single).ok_or_else(|| format!("`{text}` is no network such as 192.0.2.0/24"))
}

/// The networks in a file: one a line, trimmed; blank lines and those that begin with `#` are skipped.
pub(super) fn networks(option: &'static str, path: &Path) -> Result<Vec<IpNet>, ImportOptionsError> {
    let lines = patterns(option, path)?;
    let read = |line: &String| {
        let explain = |why| ImportOptionsError::Word { why: format!("{option} {}: {why}", path.display()) };
        network(line).map_err(explain)
    };
    lines.iter().filter(|line| !line.starts_with('#')).map(read).collect()
}

/// A dimension and the field that fills it, as in `3=status`.
pub(super) fn dimension(text: &str) -> Result<(u32, String), String> {
    let (number, field) = text.split_once('=').ok_or("it is not of the form N=field")?;
    match number.parse() {
        Ok(number) if number > 0 && !field.is_empty() => Ok((number, field.to_owned())),
        _ => Err(format!("`{text}` is not of the form N=field, with the number of a dimension in Matomo")),
    }
}

/// A time zone by its name.
pub(super) fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| format!("`{text}` is no time zone such as Europe/Copenhagen"))
}

/// An address with a scheme; `http://` if it has none.
pub(super) fn address(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}
