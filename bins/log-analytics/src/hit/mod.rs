//! Stage 4: a record becomes a hit, or the reason why not. Touches no file, no network and no clock, and cannot fail.
//!
//! [`Judge::judge`] answers with a [`Verdict`]; what it keeps, [`Judge::write`] turns into the JSON object that
//! Matomo's bulk API takes. The rules are those of Matomo's own log importer, so that a site that changes importers
//! sees the same reports; the two reasons of our own are [`Skip::InFuture`] and [`Skip::BeforeMatomoLimit`].

mod address;
mod agent;
mod date_writer;
mod dates;
mod dimension;
mod extension;
mod filter;
mod group;
mod json;
mod judge;
mod number;
mod options;
pub mod pattern;
mod replay;
mod request;
mod rules;
mod site;
mod skip;
mod text;
mod write;

#[cfg(test)]
mod tests;

pub use dates::Dates;
pub use judge::{Judge, Judged, Verdict};
pub use options::{HitOptions, OptionError, Replay};
pub use site::Site;
pub use skip::{Skip, Skipped};
pub use write::add_parameter;
