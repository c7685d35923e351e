//! Which sets may go. The newest good one never does, whatever the clock and the numbers say. Safety backups are counted
//! apart: whoever tries to restore again and again does not push out what he could restore.

use std::time::Duration;

use jiff::Timestamp;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// This many good sets, and as many safety backups.
    pub keep: usize,
    /// Not longer than this.
    pub age: Duration,
}

/// A set as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its place in the order in which sets were made; independent of the clock.
    pub sequence: u64,
    /// When it was made.
    pub ended: Timestamp,
    /// Whether a rehearsal of it was good.
    pub rehearsed: bool,
    /// Whether a restore made it, of what it replaced.
    pub safety: bool,
}

/// The sets to remove, oldest first, among the good ones; damaged sets are for a person to look at.
pub fn to_remove(good: &[Stored], rule: Rule, now: Timestamp) -> Vec<String> {
    let mut newest_first: Vec<&Stored> = good.iter().collect();
    newest_first.sort_by_key(|set| std::cmp::Reverse(set.sequence));
    let proven = newest_first.iter().find(|set| set.rehearsed).map(|set| set.sequence);
    let newest = newest_first.iter().find(|set| !set.safety).or(newest_first.first()).map(|set| set.sequence);
    let (safeties, others): (Vec<&Stored>, Vec<&Stored>) = newest_first.into_iter().partition(|set| set.safety);
    let counted = others.into_iter().enumerate().chain(safeties.into_iter().enumerate());
    let excess = counted.filter(|(place, set)| {
        let must_stay = [newest, proven].contains(&Some(set.sequence));
        !must_stay && (*place >= rule.keep.max(1) || is_older(set, rule.age, now))
    });
    let mut excess: Vec<&Stored> = excess.map(|(_, set)| set).collect();
    excess.sort_by_key(|set| set.sequence);
    excess.into_iter().map(|set| set.name.clone()).collect()
}

/// A set from the future has no age.
fn is_older(set: &Stored, age: Duration, now: Timestamp) -> bool {
    Duration::try_from(set.ended.duration_until(now)).is_ok_and(|passed| passed > age)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn stored(sequence: u64, day: i64) -> Stored {
        let ended = Timestamp::from_second(1_800_000_000 + day * DAY).unwrap();
        Stored { name: format!("set-{sequence}"), sequence, ended, rehearsed: false, safety: false }
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).unwrap() + SignedDuration::from_secs(1)
    }

    fn rule(keep: usize, days: u64) -> Rule {
        Rule { keep, age: Duration::from_secs(days * 86_400) }
    }

    #[test]
    fn c7_11_the_oldest_go_by_number_and_by_age() {
        let sets: Vec<Stored> = (0..5).map(|n| stored(n, n as i64)).collect();
        assert_eq!(to_remove(&sets, rule(3, 100), at(5)), ["set-0", "set-1"]);
        assert_eq!(to_remove(&sets, rule(100, 4), at(5)), ["set-0", "set-1"]);
        assert_eq!(to_remove(&sets, rule(100, 100), at(5)), [""; 0]);
    }

    #[test]
    fn c7_11_the_last_good_set_stays_however_old_it_is() {
        let sets = [stored(0, 0), stored(1, 1)];
        assert_eq!(to_remove(&sets, rule(7, 30), at(1_000)), ["set-0"]);
        assert_eq!(to_remove(&sets[..1], rule(1, 1), at(1_000)), [""; 0]);
        assert_eq!(to_remove(&[], rule(1, 1), at(0)), [""; 0]);
    }

    #[test]
    fn c7_11_a_clock_set_back_removes_nothing_new() {
        // The last set was made after the clock went back by ten days: it looks oldest and is newest.
        let sets = [stored(0, 8), stored(1, 9), stored(2, 0)];
        assert_eq!(to_remove(&sets, rule(2, 30), at(0)), ["set-0"]);
        assert_eq!(to_remove(&sets, rule(7, 30), at(-20)), [""; 0]);
    }

    #[test]
    fn the_newest_rehearsed_set_stays_too() {
        let mut sets: Vec<Stored> = (0..5).map(|n| stored(n, n as i64)).collect();
        sets[0].rehearsed = true;
        sets[1].rehearsed = true;
        assert_eq!(to_remove(&sets, rule(2, 100), at(5)), ["set-0", "set-2"]);
    }

    #[test]
    fn safety_backups_push_out_nothing_but_each_other() {
        let mut sets: Vec<Stored> = (0..8).map(|n| stored(n, n as i64)).collect();
        sets[2..7].iter_mut().for_each(|set| set.safety = true);
        assert_eq!(to_remove(&sets, rule(3, 100), at(8)), ["set-2", "set-3"]);
        assert_eq!(to_remove(&sets, rule(3, 4), at(8)), ["set-0", "set-1", "set-2", "set-3", "set-4"]);
        assert_eq!(
            to_remove(&sets[2..4], rule(1, 100), at(8)),
            ["set-2"],
            "where there are no others, the newest stays"
        );
    }

    proptest! {
        #[test]
        fn c7_11_never_all_never_the_newest(days in prop::collection::vec(-50_i64..50, 1..12), keep in 0_usize..5, age in 0_u64..40, now in -100_i64..100) {
            let sets: Vec<Stored> = days.iter().enumerate().map(|(n, day)| stored(n as u64, *day)).collect();
            let removed = to_remove(&sets, rule(keep, age), at(now));
            prop_assert!(removed.len() < sets.len());
            prop_assert!(!removed.contains(&sets.last().unwrap().name));
        }
    }
}
