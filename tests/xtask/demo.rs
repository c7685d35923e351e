//! `cargo xtask demo`: what the importer does, told to somebody who has never seen it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tests::arrival::Arrival;
use tests::log::{self, Format, Line};
use tests::matomo::Setup;
use tests::stack::{Outcome, Stack};

const SITES: [(u64, &str); 2] = [(4, "https://www.example.org"), (7, "https://data.example.org")];
const LEDGER_SITE: u64 = 99;
/// Longer log lines are cut in the story.
const LINE_CHARACTERS_SHOWN: usize = 180;

/// Everything that was written for one site.
struct Site {
    number: u64,
    main_url: &'static str,
    lines: Vec<Line>,
}

/// Tell the story.
pub fn show(binary: &Path) -> anyhow::Result<()> {
    let stack = stack(binary);
    let mut sites: Vec<Site> =
        SITES.iter().map(|(number, main_url)| Site { number: *number, main_url, lines: Vec::new() }).collect();

    chapter(1, "Two sites have logs: one server writes those of site 4, two behind a balancer those of site 7.");
    write_logs(&stack, &mut sites, "monday")?;
    list(&stack.folder().join("logs"))?;
    println!("\n  A stand-in for Matomo listens at {}; nothing leaves this machine.", stack.matomo().url());

    chapter(2, "One pass: log-analytics once");
    retell(&stack.once().succeeds());
    table(&stack, &sites);
    println!("  Pictures, errors, redirects and robots are hits as well, unless MATOMO_IMPORT_OPTIONS says otherwise.");

    chapter(3, "A second pass over the same files imports nothing, also when a file was renamed.");
    let before = stack.matomo().hits().len();
    rename_one(&stack.logs_of(4))?;
    retell(&stack.once().succeeds());
    println!("\n  New hits at Matomo: {}", stack.matomo().hits().len() - before);

    chapter(4, "New logs arrive, and in the middle of their import the power fails (kill -9).");
    write_logs(&stack, &mut sites, "tuesday")?;
    let running = stack.start(&["once"]);
    stack.matomo().wait_for("some of the new hits", |seen| seen.hits > before + 60);
    retell(&running.kill());
    table(&stack, &sites);
    println!("  Some hits are missing, and nobody told the importer about the last batches: did they arrive?");

    chapter(5, "The next pass asks Matomo which batches arrived, and sends only the others.");
    retell(&stack.until_all_is_in(5));
    let exact = table(&stack, &sites);
    println!("  {}", if exact { "Every line is counted once." } else { "Something is wrong: please report this." });

    anyhow::ensure!(exact, "the demo ended with missing or doubled hits");
    invite();
    Ok(())
}

fn stack(binary: &Path) -> Stack {
    let sites = SITES.iter().map(|(number, url)| (*number, (*url).to_owned())).collect();
    let setup = Setup { sites, ledger_site: Some(LEDGER_SITE), pace: Duration::from_millis(10), ..Setup::default() };
    let stack = Stack::new(&binary.to_string_lossy(), setup);
    stack.gaps_of(40);
    // What follows is for tests; the story is told with what an operator would have set.
    for name in ["LOG_LEVEL", "MATOMO_IMPORT_OPTIONS", "MATOMO_IMPORT_LOGS_CRON", "IMPORT_ATTEMPTS", "TZ", "NO_COLOR"] {
        stack.unset(name);
    }
    stack
}

fn write_logs(stack: &Stack, sites: &mut [Site], day: &str) -> anyhow::Result<()> {
    for site in sites {
        let lines = stack.lines(500);
        let folder = stack.logs_of(site.number).join(day);
        let written = match site.number {
            4 => log::hourly(&folder, &lines, Format::Combined),
            _ => log::balanced(&folder, &lines, Format::Combined, 1),
        };
        written.with_context(|| format!("cannot write logs below {}", folder.display()))?;
        site.lines.extend(lines);
    }
    Ok(())
}

fn chapter(number: usize, sentence: &str) {
    println!("\n{number}. {sentence}\n");
}

/// Folders with the number of files in them and an example.
fn list(folder: &Path) -> anyhow::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let files: Vec<_> = entries.iter().filter(|entry| entry.path().is_file()).collect();
    if let (Some(first), Some(last)) = (files.first(), files.last()) {
        let place = folder.components().rev().take_while(|part| part.as_os_str() != "logs").collect::<Vec<_>>();
        let place: Vec<_> = place.iter().rev().map(|part| part.as_os_str().to_string_lossy()).collect();
        let (first, last) = (first.file_name(), last.file_name());
        println!("  logs/{:<16} {:>3} files, {} to {}", place.join("/"), files.len(), first.display(), last.display());
    }
    entries.iter().filter(|entry| entry.path().is_dir()).try_for_each(|entry| list(&entry.path()))
}

fn rename_one(folder: &Path) -> anyhow::Result<()> {
    let folder = folder.join("monday");
    let first = fs::read_dir(&folder)?.next().context("no log to rename")??.path();
    Ok(fs::rename(first, folder.join("access_log.renamed"))?)
}

/// What the importer said, beside a line.
fn retell(outcome: &Outcome) {
    for line in outcome.output().lines() {
        let rest = if line.chars().count() > LINE_CHARACTERS_SHOWN { " ..." } else { "" };
        println!("  | {}{rest}", line.chars().take(LINE_CHARACTERS_SHOWN).collect::<String>());
    }
    match (outcome.code(), outcome.signal()) {
        (Some(code), _) => println!("  = exit code {code}"),
        (None, Some(signal)) => println!("  = killed by signal {signal}"),
        (None, None) => {}
    }
}

/// What arrived, per site; true when it is everything, once.
fn table(stack: &Stack, sites: &[Site]) -> bool {
    println!("\n  {:<6}{:<26}{:>8}{:>12}{:>10}{:>10}", "site", "", "lines", "at Matomo", "missing", "doubled");
    let mut exact = true;
    for Site { number, main_url, lines } in sites {
        let Arrival { missing, surplus, .. } = stack.arrival(*number, lines);
        let (lines, arrived) = (lines.len(), stack.matomo().hits_of(*number).len());
        println!("  {number:<6}{main_url:<26}{lines:>8}{arrived:>12}{:>10}{:>10}", missing.len(), surplus.len());
        exact &= missing.is_empty() && surplus.is_empty();
    }
    println!();
    exact
}

fn invite() {
    println!(
        "
6. Your own Matomo

   MATOMO_URL=https://matomo.example.org      where it is
   MATOMO_TOKEN_FILE=/run/secrets/token       a token of a user with write access to the sites
   ANALYTICS_DIR=/analytics                   logs are read from /analytics/logs/<site number>/
   MATOMO_LEDGER_SITE=99                      a site made for this purpose only; with it a crash doubles nothing

   log-analytics check     looks at the settings and at Matomo, and imports nothing
   log-analytics once      one pass
   log-analytics run       one pass after the other, by MATOMO_IMPORT_LOGS_CRON
"
    );
}
