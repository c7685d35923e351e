//! `retry`: a person's decision about what was given up or set aside.

use shared::entry::{Exit, Failure};

use super::Retry;
use crate::ledger::{FileEntry, FileState, Lease, Ledger, LedgerError, Standing};

/// Releases quarantined files, and decides about lines set aside.
pub fn retry(wish: &Retry) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let failed = |error: LedgerError| {
        let help = error.help();
        Failure::new(Exit::CannotCreate, error).help(help)
    };
    let ledger = Ledger::look(&settings.ledger_folder());
    let mut sites = ledger.sites();
    sites.retain(|site| wish.site.is_none_or(|wanted| wanted == *site));
    let mut done = Done::default();
    for site in sites {
        let Some(mut lease) = ledger.claim(site).map_err(failed)? else {
            let help = "wait until its pass is over, then try again";
            return Err(Failure::new(Exit::TryAgain, format!("an importer is at work on site {site}")).help(help));
        };
        release(&mut lease, wish, &mut done).map_err(failed)?;
    }
    super::say(&done.text(wish));
    let nothing_found = !wish.paths.is_empty() && done.files == 0 && done.lines == 0;
    Ok(if nothing_found { Exit::Failed } else { Exit::Done })
}

#[derive(Default)]
struct Done {
    files: u64,
    lines: usize,
    undecided: usize,
}

impl Done {
    fn text(&self, wish: &Retry) -> String {
        let mut text = format!("{} quarantined files are released; the next pass tries them again\n", self.files);
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
    let meant =
        |file: &FileEntry| wish.paths.is_empty() || wish.paths.iter().any(|path| path.as_os_str() == &*file.path);
    let quarantined =
        lease.book().files().filter(|file| matches!(file.state, FileState::Quarantined(_)) && meant(file));
    for file in quarantined.map(|file| file.id).collect::<Vec<_>>() {
        lease.release(file)?;
        done.files += 1;
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
