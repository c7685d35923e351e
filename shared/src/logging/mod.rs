//! Events to standard output, one per line, as text or as JSON, and the output of programs between them.

mod escape;
mod event;
mod outlet;
pub(crate) mod pump;
#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
    time::Duration,
};

use jiff::Timestamp;
use tracing::Subscriber;
use tracing_subscriber::{
    filter::{LevelFilter, ParseError, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
};

use crate::config::Value;
use event::OneLine;
use outlet::{Dropped, Outlet};

pub(crate) use escape::escaped;

crate::settings! {
    /// What is said, and how. A group for the settings of any program.
    pub struct LogOptions {
        /// Least severe events that are written.
        pub level: Level = default("LOG_LEVEL", "info").example("debug"),
        /// Whether events are written for people or for machines.
        pub format: Format = default("LOG_FORMAT", "text").example("json"),
        /// Any value switches colours off; they are used on a terminal only.
        pub no_color: Option<String> = optional("NO_COLOR").example("1"),
    }
}

/// What the libraries below say in detail helps nobody but their authors, unless all is asked for.
const DEBUG: &str = "debug,hyper=info,hyper_util=info,reqwest=info,rustls=info";

/// The events that are written: a level, or directives such as `info,hyper=warn`.
#[derive(Clone, Debug, PartialEq)]
pub struct Level(Targets);

impl Value for Level {
    fn rule() -> String {
        "error, warn, info, debug or trace, or directives such as info,hyper=warn".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase().replace("warning", "warn");
        // On its own, a misspelt level would be taken for the name of a module.
        let bare_words = text.split(',').map(str::trim).filter(|part| !part.contains('='));
        for word in bare_words {
            word.parse::<LevelFilter>().map_err(|_| String::new())?;
        }
        let directives = if text == "debug" { DEBUG } else { &text };
        directives.parse().map(Self).map_err(|error: ParseError| error.to_string())
    }
}

/// The shape of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `2026-01-01T00:00:00Z INFO  message field=value`
    Text,
    /// One object per line.
    Json,
}

impl Value for Format {
    fn rule() -> String {
        "text or json".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(String::new()),
        }
    }
}

/// Where events and the output of programs go, once logging was started.
static OUTLET: OnceLock<(Outlet, Format)> = OnceLock::new();
/// What is left to say is waited for this long at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Sends the events of this program to standard output from now on. A second call changes nothing.
///
/// A closed, full or absent standard output, or a reader who stalls, loses events; it never stops the program.
pub fn start(options: &LogOptions) {
    let format = options.format;
    let note = move |dropped| lines_dropped(format, dropped);
    let (outlet, _) = OUTLET.get_or_init(|| (Outlet::start(io::stdout(), note), format));
    let colour = options.no_color.is_none() && io::stdout().is_terminal();
    let outlet = outlet.clone();
    // The error says that logging was started before.
    let _ = tracing::subscriber::set_global_default(subscriber(options, colour, move || outlet.clone()));
}

/// Waits, not for long, until everything said is written.
pub fn finish() {
    if let Some((outlet, _)) = OUTLET.get() {
        outlet.flush(LAST_WORDS);
    }
}

fn outlet() -> Option<(Outlet, Format)> {
    OUTLET.get().cloned()
}

/// Whole seconds: enough for an operator, and the same in every line.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

fn lines_dropped(format: Format, Dropped { lines, bytes }: Dropped) -> String {
    let moment = now();
    match format {
        Format::Text => {
            format!("{moment} WARN  lines were dropped because nobody read them lines={lines} bytes={bytes}\n")
        }
        Format::Json => format!(
            "{{\"timestamp\":\"{moment}\",\"level\":\"warn\",\"message\":\"lines were dropped because nobody read them\",\"lines\":{lines},\"bytes\":{bytes}}}\n"
        ),
    }
}

fn subscriber<W>(options: &LogOptions, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        // It would tell standard error, and panic when that is closed as well.
        .log_internal_errors(false)
        .with_max_level(LevelFilter::TRACE)
        .event_format(OneLine { format: options.format, colour })
        .with_writer(writer)
        .finish()
        .with(options.level.0.clone())
}
