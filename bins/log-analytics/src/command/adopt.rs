//! `adopt`: a person says what is known of a site whose ledger was lost or does not fit what Matomo has.

use std::time::SystemTime;

use shared::entry::{Exit, Failure};

use super::retry::{claim, failed};
use crate::config::Settings;
use crate::discover::{self, Head, LogFile, SiteId};
use crate::file::Source;
use crate::ledger::{Finish, Lease, Ledger, LedgerError, Totals, path_text};
use crate::pipeline::now_ms;

/// Behind any line of an archive.
const END_OF_ARCHIVE: u64 = i64::MAX as u64;

/// What is known of a site.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["imported", "anew", "dry_run"])))]
pub struct Adopt {
    /// The site
    #[arg(long)]
    site: SiteId,
    /// Everything that lies in the site's folder now is in Matomo: nothing of it is sent
    #[arg(long, conflicts_with = "anew")]
    imported: bool,
    /// Nothing is in Matomo: everything that lies in the site's folder is sent, and counted twice if it is there after all
    #[arg(long)]
    anew: bool,
    /// Say what each of them would do, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Writes down what a person knows.
pub fn adopt(wish: &Adopt) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let files = files(&settings, wish.site)?;
    let ledger = Ledger::open(&settings.ledger_folder()).map_err(failed)?;
    let mut lease = claim(&ledger, wish.site)?;
    if wish.dry_run {
        super::say(&told(wish.site, &lease, &files));
        return Ok(Exit::Done);
    }
    let text = if wish.imported {
        let noted = note_imported(&mut lease, &files)?;
        format!("{noted} files of site {} are noted as imported; only what is added to them is sent\n", wish.site)
    } else {
        forget(&mut lease).map_err(failed)?;
        format!("{} files of site {} are sent by the next pass\n", files.len(), wish.site)
    };
    lease.adopted(now_ms()).map_err(failed)?;
    super::say(&text);
    Ok(Exit::Done)
}

fn files(settings: &Settings, site: SiteId) -> Result<Vec<LogFile>, Failure> {
    let folder = settings.logs_folder();
    let found = discover::discover(&folder, &settings.files, SystemTime::now(), settings.settle_time.get(), &|| false);
    let mut found = found.map_err(|error| {
        let what = format!("cannot list the folder of the logs {}: {error}", folder.display());
        Failure::new(Exit::Config, what).help("mount the volume with the logs, or set ANALYTICS_DIR")
    })?;
    let mut files = found.files.remove(&site).unwrap_or_default();
    files.extend(found.being_written.remove(&site).unwrap_or_default());
    Ok(files)
}

fn told(site: SiteId, lease: &Lease, files: &[LogFile]) -> String {
    let known = lease.book().files().filter(|content| content.is_booked()).count();
    let bytes: u64 = files.iter().map(|file| file.stat.size).sum();
    format!(
        "The ledger of site {site} knows {known} contents; {} files of {bytes} bytes lie in the site's folder.\n\
         --imported notes all of them as imported: nothing of them is sent, and what Matomo does not have of them is lost.\n\
         --anew forgets what is known: all of them are sent, and what Matomo has of them is counted twice, unless the site's \
         data is deleted there first.\n\
         If the folder of the ledger is in a backup, restore it instead: an older one is brought up to date by Matomo's marks.\n",
        files.len()
    )
}

fn note_imported(lease: &mut Lease, files: &[LogFile]) -> Result<u64, Failure> {
    let mut noted = 0;
    for file in files {
        let opened = Source::open(&file.path).and_then(|source| Ok((Head::read(&source)?, source)));
        let (head, source) = opened.map_err(|error| {
            let (exit, help) = crate::trouble::of_file(&error);
            Failure::new(exit, crate::matomo::sentence(&error)).help(help)
        })?;
        if head.is_empty() {
            continue;
        }
        let file = LogFile { stat: source.stat(), ..file.clone() };
        note(lease, &file, &head, source.is_packed()).map_err(failed)?;
        noted += 1;
    }
    Ok(noted)
}

fn note(lease: &mut Lease, file: &LogFile, head: &Head, is_packed: bool) -> Result<(), LedgerError> {
    let id = lease.see_believed(None, file, head)?;
    lease.finish(
        id,
        Finish {
            path: path_text(file).into_owned(),
            offset: if is_packed { END_OF_ARCHIVE } else { file.stat.size },
            cut: false,
            rest: false,
            totals: Totals::default(),
            at_ms: now_ms(),
            begins: None,
            newest: None,
            proof: None,
        },
    )
}

fn forget(lease: &mut Lease) -> Result<(), LedgerError> {
    let known: Vec<_> = lease.book().files().map(|content| content.id).collect();
    known.into_iter().try_for_each(|id| lease.send_again(id, None))
}
