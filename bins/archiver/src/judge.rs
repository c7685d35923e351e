//! From what a command said and how it ended to the outcome of the run.
//!
//! `core:archive` ends with 0 in maintenance mode, when another archiver holds the places, and when no site was
//! archived; it ends with 1 for a mere warning. Hence text first, code second.

use shared::entry::Exit;

use crate::outcome::{Class, Outcome};
use crate::transcript::{Mark, Transcript};

/// How the process, or the request, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What the system says.
    pub status: Status,
    /// Whether we had a hand in it.
    pub cause: Cause,
}

/// What the system says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It ended with this code.
    Code(u8),
    /// This signal ended it.
    Signal(i32),
}

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It ended by itself.
    Itself,
    /// It took longer than allowed.
    Limit,
    /// We were asked to stop, and its grace was over.
    Stop,
}

impl Ending {
    /// It ended by itself with this code.
    pub fn code(code: u8) -> Self {
        Self { status: Status::Code(code), cause: Cause::Itself }
    }
}

/// Which kind of command it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `core:archive`, by console or over HTTP.
    Archive,
    /// The scheduled tasks, by console or over HTTP.
    ScheduledTasks,
    /// Any other: its exit code has to do.
    Other,
}

impl Kind {
    /// The kind of a command of the console, by whatever job it is run.
    pub fn of(command: &[String]) -> Self {
        match command.first().map(String::as_str) {
            Some("core:archive") => Kind::Archive,
            Some("scheduled-tasks:run" | "core:run-scheduled-tasks") => Kind::ScheduledTasks,
            _ => Kind::Other,
        }
    }
}

const HELP_MEMORY: &str = "raise PHP_MEMORY_LIMIT (and the memory limit of the container above it)";
const HELP_DATABASE: &str = "see whether the database is up and takes the account in Matomo's config/config.ini.php";
const HELP_INSTALL: &str = "mount or create Matomo's config/config.ini.php, then look with `archiver check`";
const HELP_URL: &str = "install procps in the image, so that Matomo finds `ps`, or set MATOMO_URL";
const HELP_ELSEWHERE: &str =
    "nothing, if the other archiver is meant to run; else end it, or raise CONCURRENT_ARCHIVERS";
const HELP_KILLED: &str = "look at the memory of the container: the kernel ends the largest process when it is used up";
const HELP_CRASHED: &str = "a fault of PHP or of an extension: try without the latter; sites that were under way stay unarchived for a day unless they are freed: `archiver once free`";
const HELP_UNCLEAN: &str =
    "sites that were under way stay unarchived for a day unless they are freed: `archiver once free`";
const HELP_UNCLEAR: &str = "nobody can tell what was done: read the last lines of its output above, see `archiver status`, and leave options such as -q out of ARCHIVE_OPTIONS";
const HELP_BROKEN: &str = "read the last lines of its output above; a database that is down or a configuration that is missing end so, see `archiver check`";
const HELP_TAIL: &str = "read the last lines of its output above; `archiver history` keeps the outcome";

/// How the console ends when its database or its configuration is missing.
const CODE_OF_A_BROKEN_MATOMO: u8 = 255;

/// Judges a run.
pub fn judge(kind: Kind, said: &Transcript, ending: Ending) -> Outcome {
    cut_off(said, ending).or_else(|| spoken(kind, said)).unwrap_or_else(|| match ending.status {
        Status::Code(0) => done(kind, said),
        Status::Code(1) if kind == Kind::Archive && only_warned(said) => {
            let count = said.warnings;
            Outcome::new(Class::Warnings, format!("{}, with {}", work(said), counted(count, "warning")))
        }
        Status::Code(code) => failed(said, code),
        // Met above; here for the compiler.
        Status::Signal(signal) => killed(signal),
    })
}

/// Ended from outside, whoever did it.
fn cut_off(said: &Transcript, ending: Ending) -> Option<Outcome> {
    match (ending.cause, ending.status) {
        (Cause::Limit, _) => Some(
            Outcome::new(Class::TimedOut, format!("took too long and was ended: {}", work(said))).help(HELP_UNCLEAN),
        ),
        // It used its grace well.
        (Cause::Stop, Status::Code(0)) if !said.has(Mark::Interrupted) => None,
        (Cause::Stop, _) => {
            Some(Outcome::new(Class::Stopped, format!("was stopped as asked: {}", work(said))).help(HELP_UNCLEAN))
        }
        (Cause::Itself, Status::Signal(signal)) => Some(killed(signal)),
        (Cause::Itself, _) if said.has(Mark::Interrupted) => Some(
            Outcome::new(Class::Stopped, format!("was stopped by a signal from elsewhere: {}", work(said)))
                .help(HELP_UNCLEAN),
        ),
        (Cause::Itself, _) => None,
    }
}

fn killed(signal: i32) -> Outcome {
    let code = u8::try_from(128_i32.saturating_add(signal)).unwrap_or(u8::MAX);
    let (sentence, help) = match signal {
        4 | 6 | 7 | 8 | 11 => (format!("PHP crashed (signal {signal})"), HELP_CRASHED),
        9 => ("was killed from elsewhere (signal 9)".to_owned(), HELP_KILLED),
        _ => (format!("was ended by signal {signal} from elsewhere"), HELP_UNCLEAN),
    };
    Outcome::new(Class::Killed, sentence).exit(Exit::Code(code)).help(help)
}

/// What the text says, whatever the exit code.
fn spoken(kind: Kind, said: &Transcript) -> Option<Outcome> {
    if said.has(Mark::Memory) {
        return Some(Outcome::new(Class::Failed, format!("PHP ran out of memory: {}", work(said))).help(HELP_MEMORY));
    }
    if kind == Kind::Archive && said.has(Mark::Maintenance) {
        return Some(Outcome::new(Class::Maintenance, "Matomo is in maintenance mode, nothing was archived"));
    }
    if kind == Kind::Archive && said.has(Mark::TooManyArchivers) {
        let sentence =
            "another archiver is at work (started by hand, or by another container in the same process space)";
        return Some(Outcome::new(Class::Skipped, sentence).help(HELP_ELSEWHERE));
    }
    None
}

fn done(kind: Kind, said: &Transcript) -> Outcome {
    if said.errors_total.is_some() || said.api_error.is_some() {
        return failed(said, 0);
    }
    let odd = said.warnings + said.errors;
    match (kind, said.archives) {
        (Kind::Archive, None) => unclear("ended without an error, but did not say how many archives it processed"),
        (Kind::Archive, Some(0)) if odd == 0 => Outcome::new(Class::NothingToDo, "no archive had to be computed"),
        (Kind::Archive, Some(_)) => tolerated(work(said), odd),
        (Kind::ScheduledTasks, _) if said.has(Mark::TaskFailed) || said.errors > 0 => {
            Outcome::new(Class::Failed, "a scheduled task failed; the others were run").help(HELP_TAIL)
        }
        (Kind::ScheduledTasks, _) if !said.has(Mark::TasksRun) => {
            unclear("ended without an error, but did not say that the scheduled tasks were run")
        }
        (Kind::ScheduledTasks, _) => tolerated("the scheduled tasks were run".to_owned(), odd),
        (Kind::Other, _) => tolerated("ended with exit code 0".to_owned(), odd),
    }
}

fn tolerated(work: String, odd: u64) -> Outcome {
    match odd {
        0 => Outcome::new(Class::Ok, work),
        odd => Outcome::new(Class::Warnings, format!("{work}, with {}", counted(odd, "warning"))),
    }
}

fn unclear(sentence: &str) -> Outcome {
    Outcome::new(Class::Unclear, sentence).help(HELP_UNCLEAR)
}

/// Exit code 1 although everything was done.
fn only_warned(said: &Transcript) -> bool {
    said.archives.is_some() && said.warnings > 0 && said.errors == 0 && said.errors_total.is_none()
}

fn failed(said: &Transcript, code: u8) -> Outcome {
    let work = work(said);
    if said.has(Mark::Database) {
        return Outcome::new(Class::Failed, format!("Matomo reaches no database: {work}"))
            .exit(Exit::Unavailable)
            .help(HELP_DATABASE);
    }
    if said.has(Mark::NoUrl) {
        return Outcome::new(Class::Failed, format!("Matomo finds no `ps` and does not know its own address: {work}"))
            .help(HELP_URL);
    }
    if said.has(Mark::NotInstalled) {
        return Outcome::new(Class::Failed, "Matomo is not configured").exit(Exit::Unavailable).help(HELP_INSTALL);
    }
    match (said.errors_total.unwrap_or(said.errors), &said.api_error) {
        (0, Some(message)) => {
            Outcome::new(Class::Failed, format!("Matomo answered with an error: {message}")).help(HELP_TAIL)
        }
        (0, None) => {
            let help = if code == CODE_OF_A_BROKEN_MATOMO { HELP_BROKEN } else { HELP_TAIL };
            Outcome::new(Class::Failed, format!("ended with exit code {code}: {work}")).help(help)
        }
        (errors, _) => {
            let whose: Vec<String> =
                said.sites.iter().filter(|(_, run)| run.errors > 0).map(|(site, _)| site.to_string()).collect();
            let whose = if whose.is_empty() { String::new() } else { format!(" (site {})", whose.join(", ")) };
            let sentence = format!("{} while archiving{whose}: {work}", counted(errors, "error"));
            Outcome::new(Class::Failed, sentence).help(HELP_TAIL)
        }
    }
}

/// What was achieved, in a few words.
fn work(said: &Transcript) -> String {
    let finished = said.sites.values().filter(|site| site.finished).count() as u64;
    match (said.archives, finished) {
        (None, 0) => "no site was finished".to_owned(),
        (None, sites) => format!("{} finished", counted(sites, "site")),
        (Some(archives), 0) => format!("{} computed", counted(archives, "archive")),
        (Some(archives), sites) => format!("{} of {} computed", counted(archives, "archive"), counted(sites, "site")),
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(text: &str, ending: Ending) -> (Class, u8) {
        let outcome = judge(Kind::Archive, &Transcript::of(text), ending);
        (outcome.class, outcome.exit.code())
    }

    const GOOD: &str = include_str!("transcript/samples/ok.txt");

    #[test]
    fn exit_code_0_is_judged_by_its_text() {
        let zero = Ending::code(0);
        assert_eq!(archive(GOOD, zero), (Class::Ok, 0));
        for (text, expected) in [
            ("INFO [1:2] 3 Archiving won't run because maintenance mode is enabled", (Class::Maintenance, 75)),
            ("INFO [1:2] 3 Reached maximum concurrent archivers allowed (1), aborting run.", (Class::Skipped, 75)),
            ("INFO, [1:2:3] UTC, 4, Processed 0 archives.", (Class::NothingToDo, 0)),
            (
                "INFO [1:2] 3 Finished archiving for site 1, 0 API requests, Time elapsed: 0.001s\nINFO [1:2] 3 Processed 0 archives.",
                (Class::NothingToDo, 0),
            ),
            ("INFO [1:2] 3 Processed 3 archives.\nWARNING [1:2] 3 odd", (Class::Warnings, 0)),
            (
                "INFO [1:2] 3 Processed 3 archives.\nERROR [1:2] 3 2 total errors during this script execution",
                (Class::Failed, 1),
            ),
            ("{\"result\":\"error\",\"message\":\"no\"}", (Class::Failed, 1)),
            // What no run of ours has shown is never called good.
            ("", (Class::Unclear, 1)),
            ("INFO [1:2] 3 Done archiving!", (Class::Unclear, 1)),
            ("INFO [1:2] 3 Finished archiving for site 1, 8 API requests, Time elapsed: 3.344s", (Class::Unclear, 1)),
            ("INFO [1:2] 3 16 archives processed", (Class::Unclear, 1)),
        ] {
            assert_eq!(archive(text, zero), expected, "{text}");
        }
    }

    #[test]
    fn c_142_exit_code_1_may_be_a_mere_warning() {
        let one = Ending::code(1);
        let warned = format!("{GOOD}\nWARNING [1:2] 3 /x.php(3): Deprecated");
        assert_eq!(archive(&warned, one), (Class::Warnings, 0));
        assert_eq!(archive(&format!("{warned}\nERROR [1:2] 3 Got invalid response"), one), (Class::Failed, 1));
        assert_eq!(archive(GOOD, one), (Class::Failed, 1), "exit code 1 without a reason");
        assert_eq!(archive("WARNING [1:2] 3 odd", one), (Class::Failed, 1), "it did not get to its end");
        let outcome = judge(Kind::Other, &Transcript::of("WARNING [1:2] 3 odd\nDone archiving"), one);
        assert_eq!(outcome.class, Class::Failed, "only core:archive does that");
    }

    #[test]
    fn failures_say_what_to_do() {
        for (text, code, exit, advice) in [
            (
                "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)",
                255,
                1,
                "PHP_MEMORY_LIMIT",
            ),
            ("SQLSTATE[HY000] [2002] Connection refused", 255, 69, "database"),
            (
                "ERROR [1:2] 3 Missing scheme in given url\nERROR [1:2] 3 1 total errors during this script execution",
                1,
                1,
                "procps",
            ),
            ("Matomo is not installed", 255, 69, "config.ini.php"),
            ("", 3, 1, "last lines"),
        ] {
            let outcome = judge(Kind::Archive, &Transcript::of(text), Ending::code(code));
            assert_eq!((outcome.class, outcome.exit.code()), (Class::Failed, exit), "{text}");
            assert!(outcome.help.is_some_and(|help| help.contains(advice)), "{text}: {:?}", outcome.help);
        }
    }

    #[test]
    fn who_ended_it_is_told_apart() {
        let ending = |status, cause| Ending { status, cause };
        assert_eq!(archive(GOOD, ending(Status::Code(0), Cause::Stop)), (Class::Ok, 0), "the grace was enough");
        assert_eq!(archive("", ending(Status::Signal(15), Cause::Stop)), (Class::Stopped, 143));
        assert_eq!(
            archive(
                "INFO [1:2] 3 Received system signal to stop archiving: SIGTERM",
                ending(Status::Code(0), Cause::Stop)
            ),
            (Class::Stopped, 143)
        );
        assert_eq!(archive("", ending(Status::Signal(9), Cause::Limit)), (Class::TimedOut, 124));
        assert_eq!(archive("", ending(Status::Signal(9), Cause::Itself)), (Class::Killed, 137));
        assert_eq!(archive("", ending(Status::Signal(11), Cause::Itself)), (Class::Killed, 139));
        assert!([Class::Failed, Class::TimedOut, Class::Killed, Class::Stopped].into_iter().all(Class::is_unclean));
    }

    #[test]
    fn other_commands_are_judged_by_their_code_and_an_error_of_the_api() {
        let class = |kind, text, code| judge(kind, &Transcript::of(text), Ending::code(code)).class;
        assert_eq!(class(Kind::Other, "", 0), Class::Ok);
        assert_eq!(class(Kind::Other, "WARNING [1:2] 3 odd", 0), Class::Warnings);
        assert_eq!(class(Kind::Other, "{\"result\":\"error\",\"message\":\"x\"}", 0), Class::Failed);
        assert_eq!(class(Kind::Other, "x", 1), Class::Failed);
        assert_eq!(class(Kind::ScheduledTasks, "Scheduled Tasks executed", 0), Class::Ok);
        assert_eq!(class(Kind::ScheduledTasks, "ERROR [1:2] 3 no\nScheduled Tasks executed", 0), Class::Failed);
        assert_eq!(class(Kind::ScheduledTasks, "", 0), Class::Unclear);
        let refused = judge(
            Kind::Other,
            &Transcript::of("x {\"result\":\"error\",\"message\":\"You may not\"}"),
            Ending::code(0),
        );
        assert_eq!(refused.sentence, "Matomo answered with an error: You may not");
    }

    #[test]
    fn a_command_is_judged_as_what_it_is_whatever_job_runs_it() {
        let kind = |command: &str| Kind::of(&[command.to_owned(), "--force".to_owned()]);
        assert_eq!(kind("core:archive"), Kind::Archive);
        assert_eq!(kind("core:run-scheduled-tasks"), Kind::ScheduledTasks);
        assert_eq!(kind("loginldap:synchronize-users"), Kind::Other);
    }

    #[test]
    fn what_is_stuck_is_not_done() {
        let outcome = Outcome::new(Class::Ok, "6 archives").with_stuck(vec![1, 7]);
        assert_eq!(
            (outcome.class, outcome.sentence.as_str()),
            (Class::Warnings, "6 archives; stuck and left out: site 1, 7")
        );
        assert_eq!(Outcome::new(Class::Failed, "x").with_stuck(vec![1]).sentence, "x");
    }
}
