//! The words people use: for errors, lengths of time, names of signals.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;

/// An error and its causes in one sentence. Many libraries repeat the cause in their own words; each is said once.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = error.source();
    }
    text
}

/// `3 minutes 5 seconds`, `1.25 seconds`: the two largest units that matter.
pub fn length_in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds < 10 {
        return format!("{:.2} seconds", length.as_secs_f64());
    }
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{count} {unit}{plural}"));
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// A moment without its fraction of a second.
pub fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// `TERM` for 15, `34` for a signal without a name.
pub fn signal_name(number: i32) -> String {
    signal_hook::low_level::signal_name(number)
        .map_or_else(|| number.to_string(), |name| name.trim_start_matches("SIG").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_show_their_two_largest_units() {
        for (millis, words) in [
            (1_250, "1.25 seconds"),
            (12_900, "12 seconds"),
            (185_000, "3 minutes 5 seconds"),
            (3_600_000, "1 hour"),
            (90_061_000, "1 day 1 hour"),
        ] {
            assert_eq!(length_in_words(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn signals_have_names() {
        assert_eq!((signal_name(15).as_str(), signal_name(40).as_str()), ("TERM", "40"));
    }
}
