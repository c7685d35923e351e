//! `reimport`: a person wants lines sent again on purpose, a file's or a day's.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::entry::{Exit, Failure};
use shared::shutdown::Shutdown;

use super::retry::{claim, failed};
use crate::config::Settings;
use crate::discover::SiteId;
use crate::file::{PrefixHasher, Source, lines};
use crate::format::{Found, Parsed};
use crate::hit::Dates;
use crate::ledger::{FileId, Lease, Ledger, Spans};
use crate::matomo::sentence;
use crate::pipeline::Days;

/// What to send again.
#[derive(Debug, Clone, clap::Args)]
pub struct Reimport {
    /// The site
    #[arg(long)]
    site: SiteId,
    /// Only these files, as `status` names them
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only lines of this day (in the site's time zone), such as 2026-11-30
    #[arg(long)]
    day: Option<Date>,
    /// Do it; without this it is only said what would be done
    #[arg(long)]
    yes: bool,
}

/// Has lines sent again.
pub fn reimport(wish: &Reimport) -> Result<Exit, Failure> {
    if wish.files.is_empty() && wish.day.is_none() {
        let help = "name a --file or a --day; `log-analytics adopt --site ID --anew` is for a whole site";
        return Err(Failure::new(Exit::Usage, "nothing is named to be sent again").help(help));
    }
    let settings = super::settings()?;
    let zone = zone(&settings, wish)?;
    let mut lease = claim(&Ledger::look(&settings.ledger_folder()), wish.site)?;
    let known: Vec<(FileId, PathBuf)> =
        lease.book().files().map(|content| (content.id, PathBuf::from(&*content.path))).collect();
    if let Some(path) = wish.files.iter().find(|path| !known.iter().any(|(_, known)| known == *path)) {
        let help = "name it as `log-analytics status` shows it";
        return Err(Failure::new(
            Exit::Failed,
            format!("the ledger of site {} knows no file {}", wish.site, path.display()),
        )
        .help(help));
    }
    let meant = |path: &Path| wish.files.is_empty() || wish.files.iter().any(|file| file == path);
    let mut text = String::new();
    for (id, path) in known.into_iter().filter(|(_, path)| meant(path) && path.is_file()) {
        let spans = wish.day.map(|day| lines_of(&settings, &path, day, &zone)).transpose()?;
        if spans.as_ref().is_some_and(Spans::is_empty) {
            continue;
        }
        let what = wish.day.map_or_else(|| "all lines".to_owned(), |day| format!("the lines of {day}"));
        text.push_str(&format!("{what} of {}\n", path.display()));
        if wish.yes {
            send_again(&mut lease, id, spans)?;
        }
    }
    super::say(&told(wish, &text));
    Ok(if text.is_empty() { Exit::Failed } else { Exit::Done })
}

fn send_again(lease: &mut Lease, id: FileId, spans: Option<Spans>) -> Result<(), Failure> {
    lease.send_again(id, spans).map_err(failed)
}

fn told(wish: &Reimport, text: &str) -> String {
    if text.is_empty() {
        return "No file that is there has such lines\n".to_owned();
    }
    let (verb, then) = if wish.yes {
        ("are sent again by the next pass", "")
    } else {
        ("would be sent again by the next pass", "Nothing was changed; say --yes to do it.\n")
    };
    format!(
        "{text}{verb}. Matomo counts them a second time unless what it has of them is deleted first \
         (console core:delete-logs-data --dates=FROM,TO --idsite={}, which deletes all visits of these days).\n{then}",
        wish.site
    )
}

/// The zone in which the site's days begin; asked of Matomo if a day is meant.
fn zone(settings: &Settings, wish: &Reimport) -> Result<TimeZone, Failure> {
    if wish.day.is_none() {
        return Ok(TimeZone::UTC);
    }
    let matomo = settings.matomo().map_err(|error| Failure::new(Exit::Config, error))?;
    let facts = super::block_on(matomo.site(wish.site))?;
    facts.map(|facts| facts.zone).map_err(|error| {
        let refusal = matomo.refusal_of(&error);
        Failure::new(refusal.exit(), refusal.to_string()).help(refusal.help())
    })
}

/// Where the lines of a day stand in a file.
fn lines_of(settings: &Settings, path: &Path, day: Date, zone: &TimeZone) -> Result<Spans, Failure> {
    fn unreadable(error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::new(Exit::Failed, sentence(error))
    }
    let reading = settings.import_options.reading(&Shutdown::never());
    let source = Source::open(path).map_err(|error| unreadable(&error))?;
    let mut spans = Spans::none();
    let Some(Found { mut parser, .. }) = reading.parser(&source).map_err(|error| unreadable(&error))? else {
        return Ok(spans);
    };
    let mut days = Days::new(zone.clone(), jiff::Timestamp::now());
    let mut dates = Dates::new(reading.zone, None);
    let mut lines = lines(&source, PrefixHasher::default()).map_err(|error| unreadable(&error))?;
    while let Some(line) = lines.next_line().map_err(|error| unreadable(&error))? {
        if let Parsed::Record(record) = parser.parse(line.bytes)
            && let Some(moment) = dates.read(&record.date)
            && days.of(moment.seconds).is_some_and(|(of, _)| of == day)
        {
            spans.add(line.offset, line.end);
        }
    }
    Ok(spans)
}
