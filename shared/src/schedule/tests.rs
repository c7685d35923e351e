//! The acceptance cases of schedules: which strings, which runs, on which odd days.

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    zone_from(Some(name)).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next runs as wall clock times with their offsets.
fn runs(text: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, &zone(zone_name)).unwrap();
    let shown = |run: Timestamp| run.to_zoned(schedule.zone().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    schedule.next_runs(at(after), count).into_iter().map(shown).collect()
}

fn utc(text: &str, count: usize) -> Vec<String> {
    let runs = runs(text, "UTC", "2026-01-01T00:00:00Z", count);
    runs.into_iter().map(|run| run.trim_start_matches("2026-").trim_end_matches("+00:00").to_owned()).collect()
}

fn refusal(text: &str) -> String {
    Schedule::parse(text, &TimeZone::UTC).unwrap_err().reason
}

#[test]
fn the_strings_of_today_run_as_today() {
    assert_eq!(utc("0 5 * * * *", 3), ["01-01T00:05:00", "01-01T01:05:00", "01-01T02:05:00"]);
    assert_eq!(utc("0 10 1 * * *", 2), ["01-01T01:10:00", "01-02T01:10:00"]);
    assert_eq!(utc("0 30 0 * * *", 2), ["01-01T00:30:00", "01-02T00:30:00"]);
    assert_eq!(utc("0 0 23 * * *", 2), ["01-01T23:00:00", "01-02T23:00:00"]);
    assert_eq!(utc("0 0 4 5 * *", 2), ["01-05T04:00:00", "02-05T04:00:00"]);
    assert_eq!(utc("0 0 0 * * ?", 2), ["01-02T00:00:00", "01-03T00:00:00"]);
    assert_eq!(utc("00 01 * * Sun", 2), ["01-04T01:00:00", "01-11T01:00:00"]);
    assert_eq!(utc("0 */3 * * * *", 2), ["01-01T00:03:00", "01-01T00:06:00"]);
}

#[test]
fn five_fields_names_ranges_steps_lists_and_nicknames() {
    assert_eq!(utc("5 * * * *", 2), ["01-01T00:05:00", "01-01T01:05:00"]);
    assert_eq!(utc("0 9-17/4 * * MON-FRI", 3), ["01-01T09:00:00", "01-01T13:00:00", "01-01T17:00:00"]);
    assert_eq!(utc("5/20 0 * * *", 3), ["01-01T00:05:00", "01-01T00:25:00", "01-01T00:45:00"]);
    assert_eq!(utc("0 0 1 feb,MAR *", 2), ["02-01T00:00:00", "03-01T00:00:00"]);
    assert_eq!(utc("0 0 * * 7", 1), utc("0 0 * * 0", 1));
    assert_eq!(utc("@hourly", 1), ["01-01T01:00:00"]);
    for name in ["@daily", "@midnight", "@MIDNIGHT"] {
        assert_eq!(utc(name, 1), ["01-02T00:00:00"]);
    }
    assert_eq!(utc("@weekly", 1), ["01-04T00:00:00"]);
    assert_eq!(utc("@monthly", 1), ["02-01T00:00:00"]);
    assert_eq!(utc("@yearly", 1), utc("@annually", 1));
    assert_eq!(utc("@every 90s", 2), ["01-01T00:01:30", "01-01T00:03:00"]);
    assert_eq!(utc("@every 1h 30m", 2), ["01-01T01:30:00", "01-01T03:00:00"]);
}

#[test]
fn a_zone_in_the_text_wins() {
    for prefix in ["TZ", "CRON_TZ"] {
        let text = format!("{prefix}=Europe/Copenhagen 0 2 * * *");
        let expected = ["2026-01-01T02:00:00+01:00", "2026-01-02T02:00:00+01:00"];
        assert_eq!(runs(&text, "UTC", "2026-01-01T00:00:00Z", 2), expected);
        let moved = Schedule::parse(&text, &TimeZone::UTC).unwrap().in_zone(&zone("Asia/Tokyo"));
        assert_eq!(moved.zone().iana_name(), Some("Europe/Copenhagen"));
    }
    let moved = Schedule::parse("0 2 * * *", &TimeZone::UTC).unwrap().in_zone(&zone("Asia/Tokyo"));
    assert_eq!(moved.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-01-01T17:00:00Z")));
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    for (text, part) in [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("* * * *", "4 fields"),
        ("0 0 0 1 1 * 2026", "7 fields"),
        ("60 * * * *", "position 1 (minute): \"60\""),
        ("0 0 24 * * *", "position 3 (hour): \"24\""),
        ("0 0 * * MOO", "position 5 (day of the week): \"MOO\""),
        ("\"0 5 * * *\"", "position 1: a quote"),
        ("* * 31 2 *", "no date ever matches"),
        ("@reboot", "position 1: an unknown name"),
        ("@every", "position 2"),
        ("@every 0s", "1s to 366d"),
        ("@every soon", "position 2"),
        ("TZ=Europe/Nowhere 0 0 * * *", "there is no time zone \"Europe/Nowhere\""),
        ("TZ=UTC", "it is empty"),
    ] {
        let reason = refusal(text);
        assert!(reason.contains(part), "{text:?}: {reason}");
    }
}

#[test]
fn a_schedule_explains_itself() {
    let words = |text| Schedule::parse(text, &zone("Europe/Copenhagen")).unwrap().in_words();
    assert_eq!(words("5 * * * *"), words("0 5 * * * *"));
    assert_eq!(words("@every 90s"), "every 90 seconds (Europe/Copenhagen)");
    assert_eq!(words("@every 1h"), "every hour (Europe/Copenhagen)");
    for (text, expected) in [
        ("0 5 * * * *", "at minute 5 past every hour (Europe/Copenhagen)"),
        ("0 10 1 * * *", "at 01:10 (Europe/Copenhagen)"),
        ("0 */3 * * * *", "every 3 minutes (Europe/Copenhagen)"),
        ("00 01 * * Sun", "at 01:00, on Sunday (Europe/Copenhagen)"),
        ("@daily", "at 00:00 (Europe/Copenhagen)"),
        ("0 0 4 5 * *", "at 04:00, on day 5 (Europe/Copenhagen)"),
    ] {
        assert_eq!(words(text), expected);
    }
}

#[test]
fn spring_in_copenhagen() {
    let expected = ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"];
    assert_eq!(runs("0 * * * *", "Europe/Copenhagen", "2026-03-28T23:30:00Z", 3), expected);
    let expected = ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"];
    assert_eq!(runs("30 2 * * *", "Europe/Copenhagen", "2026-03-27T22:00:00Z", 3), expected);
    assert_eq!(
        runs("0 1 * * *", "Europe/Copenhagen", "2026-03-28T22:00:00Z", 2),
        ["2026-03-29T01:00:00+01:00", "2026-03-30T01:00:00+02:00"]
    );
}

#[test]
fn autumn_in_copenhagen() {
    let expected = [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ];
    assert_eq!(runs("0 * * * *", "Europe/Copenhagen", "2026-10-24T22:30:00Z", 4), expected);
    let days = runs("30 2 * * *", "Europe/Copenhagen", "2026-10-24T12:00:00Z", 2);
    assert_eq!(days, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
}

/// Every run follows the one before, and no gap is longer than `gap_hours`.
fn check_order(text: &str, zone_name: &str, after: &str, count: usize, gap_hours: i64) {
    let schedule = Schedule::parse(text, &zone(zone_name)).unwrap();
    let mut before = at(after);
    let runs = schedule.next_runs(before, count);
    assert_eq!(runs.len(), count);
    for run in runs {
        let gap = before.duration_until(run);
        assert!(gap.is_positive() && gap.as_hours() <= gap_hours, "{text} in {zone_name}: {before} then {run}");
        before = run;
    }
}

#[test]
fn los_angeles_never_loops() {
    for (after, text) in [("2021-03-14T00:00:00Z", "*/30 * * * *"), ("2021-11-07T00:00:00Z", "*/30 * * * *")] {
        check_order(text, "America/Los_Angeles", after, 100, 1);
    }
    for after in ["2021-03-13T00:00:00Z", "2021-11-06T00:00:00Z"] {
        check_order("30 2 * * *", "America/Los_Angeles", after, 4, 25);
        check_order("30 1 * * *", "America/Los_Angeles", after, 4, 26);
    }
}

#[test]
fn odd_zones_and_odd_days() {
    // Half an hour of summer time.
    assert_eq!(
        runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T15:00:00Z", 2),
        ["2026-10-03T02:15:00+10:30", "2026-10-04T02:30:00+11:00"]
    );
    check_order("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", 100, 1);
    // Summer time that pauses for Ramadan.
    check_order("0 * * * *", "Africa/Casablanca", "2026-02-14T00:00:00Z", 1_000, 1);
    // The 30th of December 2011 did not happen.
    assert_eq!(
        runs("0 12 * * *", "Pacific/Apia", "2011-12-28T12:00:00Z", 3),
        ["2011-12-28T12:00:00-10:00", "2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00"]
    );
    let leap = runs("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2);
    assert_eq!(leap, ["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]);
    let year_end = runs("59 59 23 31 12 *", "UTC", "2026-12-31T23:59:59Z", 1);
    assert_eq!(year_end, ["2027-12-31T23:59:59+00:00"]);
    assert_eq!(runs("14 8 3 * * *", "UTC", "2038-01-19T03:14:07Z", 1), ["2038-01-20T03:08:14+00:00"]);
}

#[test]
fn four_hundred_days_have_every_slot_once() {
    let runs = Schedule::parse("5 * * * *", &zone("Europe/Copenhagen"))
        .unwrap()
        .next_runs(at("2026-01-01T00:00:00Z"), 400 * 24);
    for pair in runs.windows(2) {
        assert_eq!(pair[0].duration_until(pair[1]).as_secs(), 3_600, "after {}", pair[0]);
    }
}

#[test]
fn zones_have_names() {
    for utc in [None, Some(""), Some("  "), Some("UTC"), Some("utc"), Some(":UTC")] {
        assert_eq!(zone_from(utc).unwrap(), TimeZone::UTC);
    }
    assert_eq!(zone(":Europe/Athens").iana_name(), Some("Europe/Athens"));
    assert!(zone_from(Some("CET-1CEST,M3.5.0,M10.5.0/3")).is_ok());
    let failure = crate::entry::Failure::from(zone_from(Some("Europe/Copenhage")).unwrap_err());
    assert_eq!(failure.exit.code(), 78);
    assert!(failure.to_string().contains("Europe/Copenhage") && failure.help.unwrap().contains("Europe/Copenhagen"));
}

#[test]
fn what_went_by_during_a_run_is_counted_and_not_made_up_for() {
    let schedule = Schedule::parse("*/10 * * * *", &TimeZone::UTC).unwrap();
    let mut slots = Slots::after(schedule, at("2026-01-01T00:00:00Z"));
    assert_eq!(slots.next(), Some(at("2026-01-01T00:10:00Z")));
    assert_eq!(slots.after_run(at("2026-01-01T00:12:00Z")), 0);
    assert_eq!(slots.next(), Some(at("2026-01-01T00:20:00Z")));
    assert_eq!(slots.after_run(at("2026-01-01T00:50:00Z")), 3);
    assert_eq!(slots.next(), Some(at("2026-01-01T01:00:00Z")));
}

#[test]
fn a_clock_set_back_repeats_no_slot_unless_it_was_far_off() {
    let schedule = Schedule::parse("0 * * * *", &TimeZone::UTC).unwrap();
    let mut slots = Slots::after(schedule, at("2026-01-02T09:30:00Z"));
    assert_eq!(slots.after_run(at("2026-01-02T09:00:30Z")), 0);
    assert_eq!(slots.next(), Some(at("2026-01-02T11:00:00Z")));
    assert_eq!(slots.after_run(at("2025-12-30T00:30:00Z")), 0);
    assert_eq!(slots.next(), Some(at("2025-12-30T01:00:00Z")));
}

#[test]
fn a_clock_set_far_ahead_ends_the_count() {
    let schedule = Schedule::parse("@every 1s", &TimeZone::UTC).unwrap();
    let mut slots = Slots::after(schedule, at("2026-01-01T00:00:00Z"));
    assert_eq!(slots.after_run(at("2027-01-01T00:00:00Z")), MISSED_MAX);
    assert_eq!(slots.next(), Some(at("2027-01-01T00:00:01Z")));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = Schedule::parse(&text, &TimeZone::UTC);
    }

    #[test]
    fn anything_like_an_expression_is_read_or_refused(
        fields in prop::collection::vec("[0-9*/,LW#?a-zA-Z+-]{1,6}", 5..=6),
    ) {
        if let Ok(schedule) = Schedule::parse(&fields.join(" "), &TimeZone::UTC) {
            let moment = at("2026-01-01T00:00:00Z");
            prop_assert!(schedule.next_after(moment).is_none_or(|run| run > moment));
            schedule.in_words();
        }
    }
}

#[test]
fn c_068_runs_and_skips_of_a_day_are_all_its_slots() {
    let schedule = Schedule::parse("*/5 * * * *", &TimeZone::UTC).unwrap();
    let begin = at("2026-01-01T00:00:00Z");
    let end = at("2026-01-02T00:00:00Z");
    let mut slots = Slots::after(schedule, begin);
    let (mut runs, mut skipped) = (0, 0);
    while let Some(slot) = slots.next().filter(|slot| *slot <= end) {
        runs += 1 + slots.take_due(slot).unwrap().missed;
        // The job takes seventeen minutes, and what comes meanwhile is left out.
        let done = (slot + std::time::Duration::from_secs(17 * 60)).min(end);
        skipped += slots.take_due(done).map_or(0, |due| due.missed + 1);
    }
    assert_eq!((runs, runs + skipped), (72, 288));
}

#[test]
fn c_065_a_clock_that_moves_fires_no_slot_twice() {
    let schedule = Schedule::parse("0 * * * *", &TimeZone::UTC).unwrap();
    let mut slots = Slots::after(schedule, at("2026-01-01T11:30:00Z"));
    assert_eq!(slots.take_due(at("2026-01-01T12:00:00Z")).unwrap().missed, 0);
    // Back an hour: the same slot does not come again.
    slots.look_again(at("2026-01-01T11:10:00Z"));
    assert_eq!(slots.take_due(at("2026-01-01T12:05:00Z")), None);
    // On by a day: one run makes up for all.
    let due = slots.take_due(at("2026-01-02T12:30:00Z")).unwrap();
    assert_eq!((due.slot, due.missed), (at("2026-01-02T12:00:00Z"), 23));
    // Back by three days: the clock was wrong before, and runs do not wait for it.
    slots.look_again(at("2025-12-30T08:30:00Z"));
    assert_eq!(slots.next(), Some(at("2025-12-30T09:00:00Z")));
}
