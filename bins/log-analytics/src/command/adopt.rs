//! `adopt`: a person says what is known of a site whose ledger was lost or does not fit what Matomo has.

use std::time::SystemTime;

use shared::entry::{Exit, Failure};

use super::retry::{claim, failed};
use crate::config::Settings;
use crate::discover::{self, Head, LogFile, SiteId};
use crate::file::{ReadError, Source};
use crate::ledger::{Finish, Lease, Ledger, LedgerError};
use crate::pipeline::now_ms;

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
        let opened = open(file).map_err(|error| {
            let (exit, help) = crate::trouble::of_file(&error);
            Failure::new(exit, crate::matomo::sentence(&error)).help(help)
        })?;
        let Some((file, head, end)) = opened else { continue };
        let id = lease.see_believed(None, &file, &head).map_err(failed)?;
        lease.finish(id, end).map_err(failed)?;
        noted += 1;
    }
    Ok(noted)
}

/// A file as it is now, what it is known by, and where it ends. Nothing of an empty one.
fn open(file: &LogFile) -> Result<Option<(LogFile, Head, Finish)>, ReadError> {
    let source = Source::open(&file.path)?;
    let head = Head::read(&source)?;
    if head.is_empty() {
        return Ok(None);
    }
    let file = LogFile { stat: source.stat(), ..file.clone() };
    let end = Finish::believed(&file, &source, now_ms())?;
    Ok(Some((file, head, end)))
}

fn forget(lease: &mut Lease) -> Result<(), LedgerError> {
    let known: Vec<_> = lease.book().files().map(|content| content.id).collect();
    known.into_iter().try_for_each(|id| lease.send_again(id, None))
}
