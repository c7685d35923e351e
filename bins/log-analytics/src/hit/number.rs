//! Numbers as the reference importer, a Python program, reads them from text.

use crate::format::GenerationTime;

/// Longer numbers of bytes are noise; the reference would send them.
const LENGTH_DIGITS_MAX: usize = 64;

/// Appends the whole number `text` stands for, by Python's rules: an optional sign, digits, single underscores
/// between digits. Appends nothing and answers `false` for zero and for anything else.
pub(super) fn push_integer(out: &mut Vec<u8>, text: &[u8]) -> bool {
    if matches!(text, [b'1'..=b'9', ..]) && text.len() <= LENGTH_DIGITS_MAX && text.iter().all(u8::is_ascii_digit) {
        out.extend_from_slice(text);
        return true;
    }
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (Some(b'-'), rest),
        [b'+', rest @ ..] => (None, rest),
        _ => (None, text),
    };
    let well_formed = !digits.is_empty()
        && digits.len() <= LENGTH_DIGITS_MAX
        && digits.split(|&byte| byte == b'_').all(|run| !run.is_empty() && run.iter().all(u8::is_ascii_digit));
    let Some(first) = digits.iter().position(|byte| matches!(byte, b'1'..=b'9')).filter(|_| well_formed) else {
        return false;
    };
    out.extend(sign);
    out.extend(digits[first..].iter().filter(|&&byte| byte != b'_'));
    true
}

/// Whole milliseconds the server took, if the text is a number above zero. 0.4 ms is above zero and gives 0.
pub(super) fn milliseconds(time: &GenerationTime<'_>) -> Option<u64> {
    let milliseconds = match time {
        GenerationTime::Milli(text) => float(text)?,
        GenerationTime::Micro(text) => float(text)? / 1000.0,
        GenerationTime::Seconds(text) => float(text)? * 1000.0,
    };
    // Matomo ignores anything above 16,777,215 ms, so the saturating conversion loses nothing.
    (milliseconds > 0.0).then_some(milliseconds as u64)
}

fn float(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn integer(text: &str) -> Option<String> {
        let mut out = Vec::new();
        push_integer(&mut out, text.as_bytes()).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn lengths_follow_python() {
        for (text, number) in [
            ("5120", Some("5120")),
            ("+7", Some("7")),
            ("-12", Some("-12")),
            ("007", Some("7")),
            ("1_000", Some("1000")),
            ("99999999999999999999", Some("99999999999999999999")),
        ] {
            assert_eq!(integer(text).as_deref(), number, "{text}");
        }
        for text in ["", "0", "000", "-0", "-", "+", "12.5", "0x10", "1__0", "_1", "1_", "1e3", "+-1", "abc"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn generation_times_come_out_in_whole_milliseconds() {
        let text = |text: &'static str| Cow::Borrowed(text.as_bytes());
        assert_eq!(milliseconds(&GenerationTime::Milli(text("12"))), Some(12));
        assert_eq!(milliseconds(&GenerationTime::Micro(text("15999"))), Some(15));
        assert_eq!(milliseconds(&GenerationTime::Micro(text("400"))), Some(0));
        assert_eq!(milliseconds(&GenerationTime::Seconds(text("0.25"))), Some(250));
        for nothing in ["0", "0.0", "-1", "-", "", "nan", "inf", "0 s"] {
            assert_eq!(milliseconds(&GenerationTime::Seconds(text(nothing))), None, "{nothing}");
        }
    }
}
