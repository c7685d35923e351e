//! Is all well? Every remark says why not, and what to do.

use jiff::{SignedDuration, Timestamp};

use super::{Report, SiteStanding};
use shared::health::Verdict;

/// Logs come hourly or daily; after so long without any somebody should ask why.
const SILENCE_MAX: SignedDuration = SignedDuration::from_hours(48);
/// Settled files are imported in the next pass; after so long they are a backlog.
const BACKLOG_FROM: SignedDuration = SignedDuration::from_hours(24);

/// One of so many lines may be unreadable before somebody should look.
const UNREADABLE_SHARE: u64 = 10;

/// How things are. The worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    /// Nothing to do.
    Well,
    /// Worth a look; it may pass by itself.
    Look,
    /// A person has to act.
    Act,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How bad.
    pub mood: Mood,
    /// What.
    pub what: String,
    /// What to do now.
    pub help: String,
}

fn remark(mood: Mood, what: String, help: impl Into<String>) -> Remark {
    Remark { mood, what, help: help.into() }
}

/// The worst of some remarks.
pub fn mood<'r>(remarks: impl IntoIterator<Item = &'r Remark>) -> Mood {
    remarks.into_iter().map(|remark| remark.mood).max().unwrap_or(Mood::Well)
}

impl Report {
    /// What is to be said about the program itself.
    pub fn remarks(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        match &self.health {
            None | Some(Verdict::Ok(_) | Verdict::Starting(_)) => {}
            Some(verdict) => remarks.push(remark(
                Mood::Act,
                verdict.sentence(),
                "look at the log of the container for lines with IMPORT_LOG_ERROR",
            )),
        }
        if self.sites.is_empty() {
            remarks.push(remark(
                Mood::Look,
                "No site has logs yet".to_owned(),
                "put access logs into logs/<SITE_ID>/ below ANALYTICS_DIR",
            ));
        }
        remarks
    }
}

impl SiteStanding {
    /// What is to be said about the site.
    pub fn remarks(&self, now: Timestamp) -> Vec<Remark> {
        let site = self.site;
        let mut remarks = Vec::new();
        if !self.quarantined.is_empty() {
            let what = format!("{} given up", counted(self.quarantined.len() as u64, "file"));
            let help = format!("repair them, then run log-analytics retry --site {site}");
            remarks.push(remark(Mood::Act, what, help));
        }
        if self.set_aside_lines > 0 {
            let what = format!(
                "{} set aside: nobody can tell whether they arrived",
                counted(self.set_aside_lines as u64, "line")
            );
            let help = format!("look in Matomo, then run log-analytics retry --site {site} --resend, or --skip");
            remarks.push(remark(Mood::Act, what, help));
        }
        if self.unreadable_lines * UNREADABLE_SHARE > self.lines {
            let what = format!("{} cannot be read", counted(self.unreadable_lines, "line"));
            let help = format!(
                "correct --log-format or --log-format-name in MATOMO_IMPORT_OPTIONS, then run log-analytics retry --site {site}"
            );
            remarks.push(remark(Mood::Look, what, help));
        }
        if self.vanished > 0 {
            let what = format!("{} went away half imported", counted(self.vanished, "file"));
            remarks.push(remark(
                Mood::Look,
                what,
                "put them back if they are still somewhere: the rest is imported then",
            ));
        }
        if !self.failing.is_empty() {
            let what = format!("{} failed and will be tried again", counted(self.failing.len() as u64, "file"));
            remarks.push(remark(Mood::Look, what, "if it fails again, copy the file anew"));
        }
        let age = |moment: Timestamp| now.duration_since(moment);
        if let Some(since) = self.waiting_since.filter(|since| age(*since) > BACKLOG_FROM) {
            let what = format!(
                "A backlog: the oldest of {} has been there for {}",
                counted(self.waiting, "waiting file"),
                ago(age(since))
            );
            remarks.push(remark(
                Mood::Look,
                what,
                "nothing if it shrinks; if not, look whether passes run and at the log",
            ));
        }
        match self.last_log.max(self.last_changed) {
            None => remarks.push(remark(
                Mood::Look,
                "No log has arrived yet".to_owned(),
                "look at the transfer of the logs",
            )),
            Some(last) if age(last) > SILENCE_MAX => {
                let what = format!("No log has arrived for {}", ago(age(last)));
                let help = match self.last_fetched {
                    Some(fetched) if age(fetched) <= SILENCE_MAX => {
                        format!(
                            "rsync-client fetched {} ago and found nothing new: look at the web server",
                            ago(age(fetched))
                        )
                    }
                    _ => "look at the web server and at the transfer of its logs".to_owned(),
                };
                remarks.push(remark(Mood::Look, what, help));
            }
            Some(_) => {}
        }
        remarks
    }
}

/// `1 file`, `2 files`, `12,345 files`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

/// Digits in groups of three.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its largest unit, as people say it.
pub fn ago(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0).unsigned_abs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    // From two of a unit on: "26 hours" says more than "1 day".
    let unit = units.into_iter().find(|(size, _)| seconds >= 2 * size);
    unit.map_or_else(|| counted(seconds, "second"), |(size, unit)| counted(seconds / size, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_read_as_people_write_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "file"), counted(2, "file")), ("1 file".to_owned(), "2 files".to_owned()));
        let ago = |seconds| ago(SignedDuration::from_secs(seconds));
        assert_eq!(
            [-5, 1, 119, 120, 7_199, 93_600, 172_800].map(ago),
            ["0 seconds", "1 second", "119 seconds", "2 minutes", "119 minutes", "26 hours", "2 days"]
        );
    }
}
