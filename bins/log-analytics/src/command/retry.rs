//! `retry`: a person's decision about what was given up or set aside.

use shared::entry::{Exit, Failure};

use super::Retry;
use crate::discover::SiteId;
use crate::ledger::{Content, FileState, Lease, Ledger, LedgerError, Standing};

/// Releases quarantined files and lines that could not be read, and decides about lines set aside.
pub fn retry(wish: &Retry) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let ledger = Ledger::look(&settings.ledger_folder());
    let mut sites = ledger.sites();
    sites.retain(|site| wish.site.is_none_or(|wanted| wanted == *site));
    if let Some(site) = wish.site.filter(|_| sites.is_empty()) {
        let help =
            format!("`log-analytics status` lists the sites; the ledger is in {}", settings.ledger_folder().display());
        return Err(Failure::new(Exit::Failed, format!("the ledger knows no site {site}")).help(help));
    }
    let mut done = Done::default();
    for site in sites {
        let mut lease = claim(&ledger, site)?;
        release(&mut lease, wish, &mut done).map_err(failed)?;
    }
    let unknown = wish.paths.iter().find(|path| !done.known.iter().any(|known| path.as_os_str() == known.as_str()));
    super::say(&done.text(wish));
    match unknown {
        Some(path) => {
            let help = "name it as `log-analytics status` shows it";
            Err(Failure::new(Exit::Failed, format!("the ledger knows no file {}", path.display())).help(help))
        }
        None => Ok(Exit::Done),
    }
}

/// Takes the lease of a site, or says who has it.
pub fn claim(ledger: &Ledger, site: SiteId) -> Result<Lease, Failure> {
    ledger.claim(site).map_err(failed)?.ok_or_else(|| {
        let help = "wait until its pass is over, then try again";
        Failure::new(Exit::TryAgain, format!("an importer is at work on site {site}")).help(help)
    })
}

/// The ledger cannot be used.
pub fn failed(error: LedgerError) -> Failure {
    let help = error.help();
    Failure::new(Exit::CannotCreate, error).help(help)
}

#[derive(Default)]
struct Done {
    files: u64,
    unreadable: u64,
    lines: usize,
    undecided: usize,
    /// Paths that the ledger knows, of those named.
    known: Vec<String>,
}

impl Done {
    fn text(&self, wish: &Retry) -> String {
        let mut text = format!("{} quarantined files are released; the next pass tries them again\n", self.files);
        if self.unreadable > 0 {
            text.push_str(&format!(
                "{} lines that could not be read will be read again in the next pass\n",
                self.unreadable
            ));
        }
        if self.lines > 0 {
            let what = if wish.resend { "will be sent again in the next pass" } else { "are left as they are" };
            text.push_str(&format!("{} lines that were set aside {what}\n", self.lines));
        }
        if self.undecided > 0 {
            text.push_str(&format!(
                "{} lines are set aside: look in Matomo whether they arrived, then decide with --resend or --skip\n",
                self.undecided
            ));
        }
        text
    }
}

fn release(lease: &mut Lease, wish: &Retry, done: &mut Done) -> Result<(), LedgerError> {
    let meant = |file: &Content| wish.paths.is_empty() || wish.paths.iter().any(|path| path.as_os_str() == &*file.path);
    done.known.extend(lease.book().files().filter(|file| meant(file)).map(|file| file.path.to_string()));
    let waits = |file: &&Content| {
        meant(file) && (matches!(file.state, FileState::Quarantined(_)) || !file.unreadable.is_empty())
    };
    let released: Vec<_> =
        lease.book().files().filter(waits).map(|file| (file.id, file.state.clone(), file.unreadable_lines)).collect();
    for (file, state, unreadable) in released {
        lease.release(file)?;
        done.files += u64::from(matches!(state, FileState::Quarantined(_)));
        done.unreadable += unreadable;
    }
    let withheld = lease.book().pending().filter(|pending| {
        let mut files = pending.intent.parts.iter().filter_map(|part| lease.book().file(part.file));
        matches!(pending.standing, Standing::Withheld(_)) && files.any(meant)
    });
    for (intent, lines) in withheld.map(|pending| (pending.intent.intent, pending.intent.hits())).collect::<Vec<_>>() {
        if wish.resend || wish.skip {
            lease.decide(intent, wish.resend)?;
            done.lines += lines;
        } else {
            done.undecided += lines;
        }
    }
    Ok(())
}
