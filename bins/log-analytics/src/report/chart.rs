//! A bar for each day, as a picture in the page.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use super::verdict::{counted, number};

/// Days that are shown.
pub const DAYS: i64 = 42;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 152.0;
const LEFT: f64 = 42.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;
/// Share of a day's place that its bar takes.
const BAR: f64 = 0.72;
const LINES_MAX: u64 = 5;

/// The last day shown: today, or the newest day with hits where all of them are too old to be seen beside it.
fn last_day(hits: &BTreeMap<Date, u64>, today: Date) -> Date {
    let newest = hits.last_key_value().map_or(today, |(day, _)| *day);
    if newest < today - (DAYS - 1).days() { newest } else { today }
}

/// Draws the hits of the last days.
pub fn chart(hits: &BTreeMap<Date, u64>, today: Date) -> String {
    let last = last_day(hits, today);
    let days: Vec<(Date, u64)> = (0..DAYS)
        .map(|back| last - (DAYS - 1 - back).days())
        .map(|day| (day, hits.get(&day).copied().unwrap_or_default()))
        .collect();
    let scale = Scale::up_to(days.iter().map(|(_, hits)| *hits).max().unwrap_or_default());
    let sum = days.iter().map(|(_, hits)| hits).sum();
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = write!(
        out,
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} from {} to {last}\">",
        counted(sum, "hit"),
        days[0].0
    );
    grid(&mut out, scale);
    for (index, (day, hits)) in days.iter().enumerate() {
        bar(&mut out, index as f64, *day, *hits, scale, *day == today);
    }
    if sum == 0 {
        let (x, y) = ((LEFT + WIDTH) / 2.0, HEIGHT / 2.0);
        let _ = write!(out, "<text class=\"empty\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">no hits yet</text>");
    }
    out.push_str("</svg>");
    out
}

fn grid(out: &mut String, scale: Scale) {
    let labels = if scale.is_empty { 0 } else { scale.steps };
    for line in 0..=labels {
        let value = scale.step.saturating_mul(line);
        let y = scale.height_of(value);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 3.5,
            short(value)
        );
    }
}

fn bar(out: &mut String, index: f64, day: Date, hits: u64, scale: Scale, today: bool) {
    let place = (WIDTH - LEFT) / DAYS as f64;
    let x = LEFT + place * (index + (1.0 - BAR) / 2.0);
    let class = match (hits, today) {
        (0, _) => "none",
        (_, true) => "bar today",
        (_, false) => "bar",
    };
    // A day without hits is a mark on the ground: nothing arrived, and nobody forgot to draw it.
    let height = if hits == 0 { 2.0 } else { (scale.height_of(0) - scale.height_of(hits)).max(1.5) };
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"1.5\">\
         <title>{day}: {}{}</title></rect>",
        scale.height_of(0) - height,
        place * BAR,
        counted(hits, "hit"),
        if today { " so far" } else { "" }
    );
    if day.weekday() == Weekday::Monday {
        let _ = write!(
            out,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x + place * BAR / 2.0,
            HEIGHT - 5.0,
            day.strftime("%-d %b")
        );
    }
}

/// Heights by round numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    step: u64,
    steps: u64,
    is_empty: bool,
}

impl Scale {
    /// The smallest scale in round steps that has room for `value`.
    fn up_to(value: u64) -> Self {
        let tens = std::iter::successors(Some(1u64), |ten| ten.checked_mul(10));
        let mut steps = tens.flat_map(|ten| [1, 2, 5].map(|times: u64| ten.saturating_mul(times)));
        let step = steps.find(|step| value.div_ceil(*step) <= LINES_MAX).unwrap_or(u64::MAX);
        Self { step, steps: value.div_ceil(step).max(1), is_empty: value == 0 }
    }

    fn height_of(self, value: u64) -> f64 {
        let ground = HEIGHT - BOTTOM;
        ground - (ground - TOP) * value as f64 / (self.step as f64 * self.steps as f64)
    }
}

/// `950`, `12k`, `1.5M`.
fn short(value: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(size, _)| value >= *size) {
        None => number(value),
        Some((size, unit)) if value.is_multiple_of(size) => format!("{}{unit}", number(value / size)),
        Some((size, unit)) => format!("{:.1}{unit}", value as f64 / size as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn every_day_has_its_bar_and_says_its_number() {
        let hits = BTreeMap::from([(day("2026-11-22"), 1_234), (day("2026-11-24"), 40)]);
        let drawn = chart(&hits, day("2026-11-24"));
        assert_eq!(drawn.matches("<rect").count() as i64, DAYS);
        for words in [
            "2026-11-22: 1,234 hits<",
            "2026-11-23: 0 hits<",
            "2026-11-24: 40 hits so far<",
            "1,274 hits from 2026-10-14 to 2026-11-24",
        ] {
            assert!(drawn.contains(words), "{words} is not in {drawn}");
        }
    }

    #[test]
    fn old_hits_are_shown_where_there_are_no_others() {
        let hits = BTreeMap::from([(day("2026-01-05"), 7)]);
        assert!(chart(&hits, day("2026-11-24")).contains("2026-01-05: 7 hits<"));
        assert!(chart(&BTreeMap::new(), day("2026-11-24")).contains("0 hits from"));
    }

    #[test]
    fn scales_end_in_round_numbers() {
        let ends = |value| (Scale::up_to(value).step, Scale::up_to(value).steps);
        assert_eq!([0, 4, 6, 81, 2_050, 44_000].map(ends), [(1, 1), (1, 4), (2, 3), (20, 5), (500, 5), (10_000, 5)]);
        assert_eq!(ends(u64::MAX), (5_000_000_000_000_000_000, 4));
        assert_eq!([0, 950, 2_000, 1_500, 3_000_000].map(short), ["0", "950", "2k", "1.5k", "3M"]);
    }
}
