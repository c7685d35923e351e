//! Dates of hits as Matomo reads them. Requests come many to the second, so the last text is kept.

use crate::format::Moment;

const SECONDS_PER_DAY: i64 = 86_400;

/// Width of `YYYY-MM-DD`.
const DAY_WIDTH: usize = 10;
/// What stands before the date of a hit, and behind the second.
const OPENING: &[u8; 9] = br#"","cdt":""#;
const CLOSING: &[u8; 2] = br#"","#;
/// Width of ` HH:MM:SS`.
const TIME_WIDTH: usize = 9;

/// Writes the dates of hits.
#[derive(Debug, Default)]
pub(super) struct DateWriter {
    written: Option<Written>,
}

/// The date of a hit between the fields around it.
type WrittenText = [u8; OPENING.len() + DAY_WIDTH + TIME_WIDTH];

/// The second written last.
#[derive(Debug)]
struct Written {
    second: i64,
    text: WrittenText,
}

impl DateWriter {
    /// Appends `cdt` between the fields around it: `YYYY-MM-DD HH:MM:SS`, and `.ffffff` if there is a fraction, in UTC.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, moment: Moment) {
        let written = match &mut self.written {
            Some(written) if written.second == moment.seconds => written,
            written => {
                let text = written_text(moment.seconds, written.as_ref());
                written.insert(Written { second: moment.seconds, text })
            }
        };
        out.extend_from_slice(&written.text);
        if moment.micros != 0 {
            let mut fraction = *b".000000";
            put(&mut fraction[1..], i64::from(moment.micros));
            out.extend_from_slice(&fraction);
        }
        out.extend_from_slice(CLOSING);
    }
}

/// Only the time is new, where the day is that of the second `before`.
fn written_text(second: i64, before: Option<&Written>) -> WrittenText {
    let day = second.div_euclid(SECONDS_PER_DAY);
    let mut text = match before {
        Some(before) if before.second.div_euclid(SECONDS_PER_DAY) == day => before.text,
        _ => {
            let mut text = [0; _];
            text[..OPENING.len()].copy_from_slice(OPENING);
            text[OPENING.len()..][..DAY_WIDTH].copy_from_slice(&day_text(day));
            text
        }
    };
    text[OPENING.len() + DAY_WIDTH..].copy_from_slice(&time_text(second.rem_euclid(SECONDS_PER_DAY)));
    text
}

fn day_text(days: i64) -> [u8; DAY_WIDTH] {
    let mut text = *b"0000-00-00";
    let (year, month, day) = civil(days);
    put(&mut text[..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..], day);
    text
}

/// ` HH:MM:SS` of a second of a day.
fn time_text(second: i64) -> [u8; TIME_WIDTH] {
    let [h, m, s] = [second / 3600, second / 60 % 60, second % 60].map(|number| number as u8);
    let (tens, units) = (|number| b'0' + number / 10, |number| b'0' + number % 10);
    [b' ', tens(h), units(h), b':', tens(m), units(m), b':', tens(s), units(s)]
}

/// Fills `digits` from the right.
fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + number.rem_euclid(10) as u8;
        number = number.div_euclid(10);
    }
}

/// Year, month and day of a number of days since 1970-01-01, by counting in cycles of 400 years that begin in March,
/// so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: i64, micros: u32) -> String {
        let mut out = Vec::new();
        DateWriter::default().push(&mut out, Moment { seconds, micros });
        let text = out.strip_prefix(OPENING).unwrap().strip_suffix(CLOSING).unwrap();
        str::from_utf8(text).unwrap().to_owned()
    }

    #[test]
    fn moments_are_written_as_jiff_writes_them() {
        for seconds in (-2_000_000_000..4_000_000_000).step_by(12_345_677).chain([0, -1, 951_782_400, 1_709_164_800]) {
            let expected = jiff::Timestamp::from_second(seconds).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
            assert_eq!(text(seconds, 0), expected);
        }
        assert_eq!(text(0, 584_000), "1970-01-01 00:00:00.584000");
        assert_eq!(text(0, 1), "1970-01-01 00:00:00.000001");
    }
}
