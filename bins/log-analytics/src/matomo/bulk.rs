//! What an answer to a bulk request means. Facts: Matomo 5.0.2 measured behind nginx and PHP-FPM (status says almost nothing).

use std::time::Duration;

use serde_json::Value;

use crate::ledger::Receipt;

/// What became of a batch that was sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// In Matomo's database.
    Delivered(Receipt),
    /// Certainly not in it; sending it again later may help.
    Transient(String),
    /// Certainly not in it; sending it again unchanged will not help.
    Rejected(Rejection),
    /// It may be in it.
    InDoubt(Doubt),
}

/// Why a batch will not be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Matomo records nothing at present.
    RecordingOff,
    /// The token may not write to the site, or the site does not exist.
    NotAllowed,
    /// The web server takes no request of this size.
    TooLarge,
    /// Twice in a row a gateway lost patience with it, and it did not arrive.
    TooSlow,
}

/// A batch of which nobody knows whether it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What was seen.
    pub seen: Seen,
    /// In words.
    pub why: String,
    /// How long the request had taken.
    pub elapsed: Duration,
}

/// How a batch fell into doubt; it decides how long Matomo may still be working on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A complete answer that is not Matomo's: whoever worked on it has ended.
    Answer,
    /// Matomo's own error. It may have swallowed a deadlock before, and stored all or a part of the batch.
    MatomoError,
    /// Matomo counts fewer hits than were sent.
    Shortfall {
        /// How many are missing.
        hits: u64,
    },
    /// The connection ended without a complete answer.
    Closed,
    /// Somebody lost patience, we or a gateway; Matomo goes on working.
    Timeout,
    /// This program ended before the answer came.
    Crash,
}

/// An HTTP answer.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: &'a [u8],
    /// Where a redirect leads.
    pub location: Option<&'a str>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Judges the answer to a request of `sent` entries, `hits` of them hits and the rest marks.
pub fn judge(answer: Answered<'_>, hits: u64, sent: u64) -> Outcome {
    let document = serde_json::from_slice(answer.body).ok().filter(Value::is_object);
    match (answer.status, document) {
        (200, Some(document)) if document["status"] == "success" => count(&document, answer, hits, sent),
        // Whatever number it gives: after a deadlock that Matomo swallowed, all or half of the batch is stored.
        (500 | 503, Some(document)) if document["status"] == "error" => {
            doubt(Seen::MatomoError, answer, format!("Matomo answered with an error (status {})", answer.status))
        }
        (300..400, _) => Outcome::Transient(format!(
            "the address redirects (status {}) to {}; set MATOMO_URL to where it leads",
            answer.status,
            answer.location.unwrap_or("an unknown place")
        )),
        (413, _) => Outcome::Rejected(Rejection::TooLarge),
        (408 | 429, _) => Outcome::Transient(format!("the server asks to come back later (status {})", answer.status)),
        (400..500, _) => Outcome::Transient(format!(
            "the server refuses bulk tracking (status {}): {}",
            answer.status,
            excerpt(answer.body)
        )),
        (504, _) => doubt(Seen::Timeout, answer, "a gateway gave up waiting (status 504)".to_owned()),
        (502, _) => doubt(Seen::Closed, answer, "a gateway lost Matomo (status 502)".to_owned()),
        (status, _) => doubt(
            Seen::Answer,
            answer,
            format!("the answer (status {status}) is not Matomo's JSON: {}", excerpt(answer.body)),
        ),
    }
}

fn count(document: &Value, answer: Answered<'_>, hits: u64, sent: u64) -> Outcome {
    let number = |name: &str| document[name].as_u64();
    let (Some(tracked), Some(invalid)) = (number("tracked"), number("invalid")) else {
        return doubt(Seen::Answer, answer, "Matomo's answer has no counts".to_owned());
    };
    let counted = tracked.saturating_add(invalid);
    if counted == 0 {
        return Outcome::Rejected(Rejection::RecordingOff);
    }
    // The mark may be accepted where the hits are not.
    if invalid >= hits {
        return Outcome::Rejected(Rejection::NotAllowed);
    }
    let marks = sent - hits;
    let short = sent.saturating_sub(counted);
    if short > 0 {
        let why = format!(
            "Matomo counts {counted} of {sent} hits (a lock wait in its database, or a server that is not Matomo)"
        );
        return doubt(Seen::Shortfall { hits: short }, answer, why);
    }
    Outcome::Delivered(Receipt {
        tracked: tracked.saturating_sub(marks).min(hits),
        invalid,
        short: 0,
        took_ms: u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX).max(1),
    })
}

fn doubt(seen: Seen, answer: Answered<'_>, why: String) -> Outcome {
    Outcome::InDoubt(Doubt { seen, why, elapsed: answer.elapsed })
}

/// The beginning of an answer, for a person: printable, on one line.
pub fn excerpt(body: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 120;
    let text = String::from_utf8_lossy(body);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = words.chars().filter(|c| !c.is_control()).take(CHARACTERS_MAX).collect();
    if plain.is_empty() { "(empty)".to_owned() } else { format!("\"{plain}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Outcome {
        let answer = Answered { status, body: body.as_bytes(), location: None, elapsed: Duration::from_millis(40) };
        judge(answer, 3, 4)
    }

    fn success(tracked: u64, invalid: u64) -> Outcome {
        judged(200, &format!(r#"{{"status":"success","tracked":{tracked},"invalid":{invalid}}}"#))
    }

    #[test]
    fn only_a_full_count_is_a_success() {
        assert_eq!(success(4, 0), Outcome::Delivered(Receipt { tracked: 3, invalid: 0, short: 0, took_ms: 40 }));
        assert_eq!(success(3, 1), Outcome::Delivered(Receipt { tracked: 2, invalid: 1, short: 0, took_ms: 40 }));
        let short = |outcome| matches!(outcome, Outcome::InDoubt(Doubt { seen: Seen::Shortfall { hits: 1 }, .. }));
        assert!(short(success(3, 0)));
        assert_eq!(success(0, 0), Outcome::Rejected(Rejection::RecordingOff));
        assert_eq!(success(0, 4), Outcome::Rejected(Rejection::NotAllowed));
        assert_eq!(success(1, 3), Outcome::Rejected(Rejection::NotAllowed));
    }

    #[test]
    fn counts_beyond_all_measure_are_counts() {
        let receipt = Receipt { tracked: 3, invalid: 1, short: 0, took_ms: 40 };
        assert_eq!(success(u64::MAX, 1), Outcome::Delivered(receipt));
        assert_eq!(success(1, u64::MAX), Outcome::Rejected(Rejection::NotAllowed));
    }

    #[test]
    fn everything_unclear_is_in_doubt() {
        let seen = |status, body| match judged(status, body) {
            Outcome::InDoubt(doubt) => Some(doubt.seen),
            _ => None,
        };
        assert_eq!(seen(500, r#"{"status":"error","tracked":4,"invalid":0}"#), Some(Seen::MatomoError));
        assert_eq!(seen(500, ""), Some(Seen::Answer));
        assert_eq!(seen(200, "<html>maintenance</html>"), Some(Seen::Answer));
        assert_eq!(seen(200, "Error:SQLSTATE[HY000]: gone away"), Some(Seen::Answer));
        assert_eq!(seen(200, r#"{"status":"success"}"#), Some(Seen::Answer));
        assert_eq!(seen(502, r#"{"status":"error"}"#), Some(Seen::Closed));
        assert_eq!(seen(504, "<html>"), Some(Seen::Timeout));
        assert_eq!(judged(413, ""), Outcome::Rejected(Rejection::TooLarge));
        assert!(matches!(judged(301, ""), Outcome::Transient(_)));
        assert!(matches!(judged(400, ""), Outcome::Transient(_)));
    }

    #[test]
    fn an_excerpt_is_one_printable_line() {
        assert_eq!(excerpt(b" a\x1b[31m\n\tb "), "\"a[31m b\"");
        assert_eq!(excerpt(b"\n"), "(empty)");
    }
}
