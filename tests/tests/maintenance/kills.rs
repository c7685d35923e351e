//! Killed at a random moment, again and again: no set is wrongly good, no earlier set is lost, the switches come back.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use shared::files::Lock;
use tests::installation::{DATABASE, Installation};
use tests::random::Random;

use crate::{PROGRAM, is_dumping, until};

const BACKUP_KILLS: usize = 100;
const RESTORE_KILLS: usize = 100;
const LOCK_KILLS: usize = 100;

/// How often a story kills; `MAINTENANCE_KILLS` overrules for a longer look. Runs that end before their kill do not count.
fn kills(usual: usize) -> usize {
    std::env::var("MAINTENANCE_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Numbers of a story, by the seed that it prints; `MAINTENANCE_SEED` gives another one.
fn random(usual: u64) -> Random {
    let seed = std::env::var("MAINTENANCE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(usual);
    println!("seed {seed}");
    Random::seeded(seed)
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// Starts a run and kills it at a moment of its time: anywhere, or near its end, where what was made gets its name. The
/// time of a run that was quicker than its kill is that of the next one.
fn is_killed(matomo: &Installation, words: &[&str], random: &mut Random, takes: &mut Duration) -> bool {
    let earliest = if random.chance(0.5) { *takes * 3 / 5 } else { Duration::ZERO };
    let moment = random.duration(earliest, *takes * 11 / 10);
    let mut signal = None;
    let took = time(|| signal = matomo.start(words).kill_after(moment).signal);
    if signal.is_none() {
        *takes = took;
    }
    signal.is_some()
}

/// What must hold after any kill.
struct Whole<'m> {
    matomo: &'m Installation,
    first: String,
    config: String,
    verified: BTreeSet<String>,
}

impl<'m> Whole<'m> {
    /// The earlier set, proven once, so that no retention takes it away.
    fn of(matomo: &'m Installation) -> Self {
        matomo.set("MAINTENANCE_KEEP", "3").set("MAINTENANCE_KEEP_AGE", "3650d");
        let first = matomo.backup();
        matomo.run(&["rehearse"]).ends_with(0);
        Self { matomo, config: matomo.config(), verified: BTreeSet::from([first.clone()]), first }
    }

    /// Every new set verifies, the earlier one is there, and the next start gives the switches back and clears up.
    #[track_caller]
    fn holds(&mut self, round: usize) {
        // A program that was being started at the kill has our lock until it is itself.
        let held = self.matomo.backups().join(".state/held");
        until("nobody holds the folder", || matches!(Lock::try_take(&held), Ok(Some(_))));
        let sets = self.matomo.sets();
        assert!(sets.contains(&self.first), "round {round}: the earlier set is lost");
        for set in sets.iter().filter(|set| !self.verified.contains(*set)) {
            self.matomo.run(&["verify", set]).ends_with(0);
        }
        self.verified.extend(sets);
        self.matomo.run(&["unlock", "--json"]).ends_with(0);
        assert_eq!(self.matomo.config(), self.config, "round {round}");
        assert_eq!(self.matomo.leftovers(), [""; 0], "round {round}");
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        println!("{} sets were made and verified", self.verified.len());
    }
}

#[test]
fn c_147_random_kills_of_a_backup_leave_no_wrong_set_and_the_switches_as_they_were() {
    let matomo = Installation::new(PROGRAM, 4);
    let mut whole = Whole::of(&matomo);
    let mut takes = time(|| drop(matomo.run(&["backup", "--lock"]).ends_with(0)));
    let (mut random, mut killed, mut round) = (random(7), 0, 0);
    while killed < kills(BACKUP_KILLS) {
        killed += usize::from(is_killed(&matomo, &["backup", "--lock"], &mut random, &mut takes));
        round += 1;
        whole.holds(round);
    }
    matomo.run(&["verify", &whole.first]).ends_with(0);
    println!("{killed} of {round} runs were killed");
}

#[test]
fn c_147_random_kills_of_a_restore_end_before_or_behind_it_and_never_between() {
    let matomo = Installation::new(PROGRAM, 1);
    let mut whole = Whole::of(&matomo);
    let set = whole.first.clone();
    let restored = (matomo.database.checksums(DATABASE), "<?php // ldap".to_owned());
    let damage = |round: usize| {
        matomo.database.ask(&format!("UPDATE {DATABASE}.matomo_site SET name = 'damage {round}' WHERE idsite = 1"));
        matomo.write("plugins/LoginLdap/LoginLdap.php", "damage");
    };
    let state =
        || (matomo.database.checksums(DATABASE), matomo.read("plugins/LoginLdap/LoginLdap.php").unwrap_or_default());
    damage(0);
    let mut takes = time(|| drop(matomo.run(&["restore", &set, "--yes"]).ends_with(0)));
    assert_eq!(state(), restored);
    let (mut random, mut killed, mut round, mut forward) = (random(9), 0, 0, 0);
    while killed < kills(RESTORE_KILLS) {
        round += 1;
        damage(round);
        let damaged = state();
        killed += usize::from(is_killed(&matomo, &["restore", &set, "--yes"], &mut random, &mut takes));
        whole.holds(round);
        let now = state();
        assert!(now == damaged || now == restored, "round {round}: neither before nor behind");
        forward += usize::from(now == restored);
        assert_eq!(matomo.database.databases(), [DATABASE], "round {round}");
        assert!(!matomo.matomo().join(".maintenance-restore").exists(), "round {round}");
    }
    matomo.run(&["verify", &set]).ends_with(0);
    println!("{killed} of {round} runs were killed, {forward} of all ended behind the restore");
}

#[test]
fn c_147_random_kills_of_lock_and_unlock_leave_a_configuration_that_comes_back() {
    let matomo = Installation::new(PROGRAM, 0);
    let before = matomo.config();
    let mut takes = time(|| drop(matomo.run(&["lock"]).ends_with(0)));
    let (mut random, mut killed, mut round) = (random(147), 0, 0);
    while killed < kills(LOCK_KILLS) {
        let word = *random.pick(&["lock", "unlock"]);
        killed += usize::from(is_killed(&matomo, &[word], &mut random, &mut takes));
        round += 1;
        let config = matomo.config();
        assert!(
            config.starts_with("; <?php exit;") && config.contains("LoginLdap\"\n"),
            "round {round}, {word}: torn\n{config}"
        );
        if round % 5 == 0 {
            matomo.run(&["unlock"]).ends_with(0);
            assert_eq!(matomo.config(), before, "round {round}");
        }
    }
    assert_eq!(matomo.leftovers(), [""; 0]);
    let names = fs::read_dir(matomo.matomo().join("config")).unwrap().count();
    assert!(names <= 3, "no more than one file of an interrupted edit is left beside the configuration");
    println!("{killed} of {round} runs were killed");
}

#[test]
fn c7_05_a_locked_backup_that_was_killed_is_told_by_status_and_repaired_by_the_next_run() {
    let matomo = Installation::new(PROGRAM, 30);
    let config = matomo.config();
    matomo.set("MAINTENANCE_LOCK", "yes");
    let run = matomo.start(&["backup"]);
    until("a dump under way", || is_dumping(&matomo.database));
    assert_eq!(run.kill_after(Duration::ZERO).signal, Some(9));
    assert_ne!(matomo.config(), config, "the switches are off");
    matomo.run(&["status"]).says(&["INTERRUPTED", "for a backup since"]).says(&["newest backup", "none"]);
    assert_eq!((matomo.leftovers().len(), matomo.sets().len()), (1, 0), "a look changes nothing");
    let next = matomo.run(&["backup"]).ends_with(0);
    next.says(&["unfinished set"]).says(&["switches off", "previous values again"]);
    assert_eq!((matomo.config(), matomo.leftovers().len(), matomo.sets().len()), (config, 0, 1));
    matomo.run(&["history"]).says(&["repair", "previous values"]);
}
