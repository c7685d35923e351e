//! One event as one line, in either shape.

use std::{error::Error, fmt};

use jiff::Timestamp;
use serde_json::Value as Json;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{
    Format,
    escape::{InJson, write_escaped, write_value},
};

/// Writes events; spans are not shown, because a line must be understood alone.
pub(super) struct OneLine {
    pub(super) format: Format,
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let level = *event.metadata().level();
        let moment = super::now();
        match self.format {
            Format::Text => self.write_text(&mut out, moment, level, &said),
            Format::Json => write_json(&mut out, moment, level, &said),
        }
    }
}

impl OneLine {
    fn write_text(&self, out: &mut impl fmt::Write, moment: Timestamp, level: Level, said: &Said) -> fmt::Result {
        match colour_of(level).filter(|_| self.colour) {
            Some(colour) => write!(out, "{moment} \x1b[{colour}m{level:<5}\x1b[0m ")?,
            None => write!(out, "{moment} {level:<5} ")?,
        }
        write_escaped(out, &said.message)?;
        for (name, value) in &said.fields {
            write!(out, " {name}=")?;
            match value {
                Json::String(text) => write_value(out, text)?,
                other => write!(out, "{other}")?,
            }
        }
        out.write_char('\n')
    }
}

fn write_json(out: &mut impl fmt::Write, moment: Timestamp, level: Level, said: &Said) -> fmt::Result {
    let level = level.as_str().to_ascii_lowercase();
    let message = Json::from(said.message.as_str());
    write!(out, r#"{{"timestamp":"{moment}","level":"{level}","message":{}"#, InJson(&message))?;
    for (name, value) in &said.fields {
        let taken = matches!(*name, "timestamp" | "level");
        let name = if taken { format!("field_{name}") } else { (*name).to_owned() };
        write!(out, ",{}:{}", Json::from(name), InJson(value))?;
    }
    out.write_str("}\n")
}

fn colour_of(level: Level) -> Option<&'static str> {
    match level {
        Level::ERROR => Some("31"),
        Level::WARN => Some("33"),
        Level::INFO => None,
        _ => Some("2"),
    }
}

/// What an event says: its sentence, and its fields in their order.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Json)>,
}

impl Said {
    fn keep(&mut self, field: &Field, value: impl Into<Json>) {
        match (field.name(), value.into()) {
            ("message", Json::String(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let causes = std::iter::successors(Some(value), |&error| error.source());
        self.keep(field, causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, format!("{value:?}"));
    }
}
