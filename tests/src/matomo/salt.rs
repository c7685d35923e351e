//! The salts of visitors, one for each site and day, and the locks of their table: who waits for whom, and who loses.
//!
//! Matomo 5 keeps a salt as a row of its option table. It reads the row; where there is none it makes a salt, tries an
//! `UPDATE`, and then an `INSERT IGNORE`. On InnoDB (repeatable read) a request reads what was committed before it began,
//! its writes lock their rows until its end, and an `UPDATE` that finds no row locks the gap where the row would be:
//! others may lock the same gap, but insert nothing into it. So several new days at once end in deadlocks, in whatever
//! order the days come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use tokio::sync::Notify;

/// What tells the visitors of one site and day from those of another.
pub type Salt = u64;
/// A request's transaction.
pub type Id = u64;

/// The name of a salt's row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The row of this site and day.
    pub fn of(site: u64, day: Date) -> Self {
        Self(format!("fingerprint_salt_{site}_{day}"))
    }
}

/// How a salt is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// Into the row that is there.
    Update,
    /// As a row of its own, unless there is one.
    Insert,
}

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done; true when it wrote the row.
    Done(bool),
    /// Another request holds a lock. The bell rings when locks are let go.
    Wait,
    /// It was the victim of a deadlock: everything of its transaction is rolled back.
    Deadlock,
}

/// The table and its locks.
#[derive(Debug, Default)]
pub struct Salts {
    /// Each value of a row with the commit it came with, the oldest first.
    rows: BTreeMap<Key, Vec<(u64, Salt)>>,
    commits: u64,
    made: Salt,
    begun: Id,
    open: BTreeMap<Id, Open>,
    bell: Arc<Notify>,
}

/// A transaction that has not ended.
#[derive(Debug, Default)]
struct Open {
    written: BTreeMap<Key, Salt>,
    gaps: Vec<Gap>,
    wants: Option<(Statement, Key)>,
    /// InnoDB ends the transaction that has done least.
    done: usize,
    is_victim: bool,
}

/// A place between two rows that were there; it stays locked as a whole when its owner inserts into it.
#[derive(Debug)]
struct Gap(Option<Key>, Option<Key>);

impl Gap {
    fn covers(&self, key: &Key) -> bool {
        self.0.as_ref().is_none_or(|below| below < key) && self.1.as_ref().is_none_or(|above| key < above)
    }
}

impl Salts {
    /// Rings when locks are let go.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// A salt that nobody has.
    pub fn make(&mut self) -> Salt {
        self.made += 1;
        self.made
    }

    /// A transaction begins, and reads from now on what is committed now.
    pub fn begin(&mut self) -> Id {
        self.begun += 1;
        self.open.insert(self.begun, Open::default());
        self.begun
    }

    /// How many commits there were; a transaction that begins now sees those.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// The salt as committed by then.
    pub fn read(&self, key: &Key, by_commit: u64) -> Option<Salt> {
        let values = self.rows.get(key)?;
        values.iter().rev().find(|(commit, _)| *commit <= by_commit).map(|(_, salt)| *salt)
    }

    /// The salt of a recent day: Matomo makes those together with its cache of the site, before any request needs them.
    pub fn cached(&mut self, key: &Key) -> Salt {
        if let Some(salt) = self.read(key, self.commits) {
            return salt;
        }
        let salt = self.make();
        self.rows.insert(key.clone(), vec![(0, salt)]);
        salt
    }

    /// A transaction that has done so much executes a statement, or asks again after it has waited.
    pub fn execute(&mut self, by: Id, statement: Statement, key: &Key, salt: Salt, done: usize) -> Answer {
        let open = self.open.entry(by).or_default();
        open.done = done;
        if std::mem::take(&mut open.is_victim) {
            return Answer::Deadlock;
        }
        open.wants = Some((statement, key.clone()));
        while !self.holders(by).is_empty() {
            match self.victim(by) {
                None => return Answer::Wait,
                Some(victim) => self.roll_back(victim),
            }
            if self.give_up_if_victim(by) {
                return Answer::Deadlock;
            }
        }
        self.perform(by, statement, key, salt)
    }

    /// A transaction has waited too long, and stays open. True when it has become a victim meanwhile.
    pub fn give_up(&mut self, by: Id) -> bool {
        let open = self.open.entry(by).or_default();
        open.wants = None;
        std::mem::take(&mut open.is_victim)
    }

    /// A transaction ends, and its salts are there for those who begin from now on.
    pub fn commit(&mut self, by: Id) {
        self.commits += 1;
        for (key, salt) in self.open.remove(&by).unwrap_or_default().written {
            self.rows.entry(key).or_default().push((self.commits, salt));
        }
        self.bell.notify_waiters();
    }

    /// A transaction ends, and leaves nothing behind.
    pub fn forget(&mut self, by: Id) {
        self.open.remove(&by);
        self.bell.notify_waiters();
    }

    fn give_up_if_victim(&mut self, by: Id) -> bool {
        self.open.get(&by).is_some_and(|open| open.is_victim) && self.give_up(by)
    }

    fn perform(&mut self, by: Id, statement: Statement, key: &Key, salt: Salt) -> Answer {
        let is_there = self.rows.contains_key(key);
        let gap = Gap(self.beside(key, true), self.beside(key, false));
        let open = self.open.entry(by).or_default();
        open.wants = None;
        let writes = match statement {
            Statement::Update => is_there || open.written.contains_key(key),
            Statement::Insert => !is_there,
        };
        if writes {
            open.written.insert(key.clone(), salt);
        } else if statement == Statement::Update {
            open.gaps.push(gap);
        }
        Answer::Done(writes)
    }

    /// The row next to a place, whoever wrote it.
    fn beside(&self, key: &Key, below: bool) -> Option<Key> {
        let written = self.open.values().flat_map(|open| open.written.keys());
        let keys = self.rows.keys().chain(written);
        if below { keys.filter(|row| *row < key).max().cloned() } else { keys.filter(|row| *row > key).min().cloned() }
    }

    /// Who holds a lock that a transaction wants.
    fn holders(&self, by: Id) -> Vec<Id> {
        let Some((statement, key)) = self.open.get(&by).and_then(|open| open.wants.as_ref()) else {
            return Vec::new();
        };
        let holds = |open: &Open| {
            let in_gap = || *statement == Statement::Insert && open.gaps.iter().any(|gap| gap.covers(key));
            open.written.contains_key(key) || in_gap()
        };
        self.open.iter().filter(|(id, open)| **id != by && holds(open)).map(|(id, _)| *id).collect()
    }

    /// The one to end when a transaction waits for itself in the end: whoever of the circle has done least.
    fn victim(&self, by: Id) -> Option<Id> {
        let mut circle = vec![by];
        self.leads_back(by, &mut circle, &mut BTreeSet::new()).then_some(())?;
        circle.into_iter().min_by_key(|id| self.open.get(id).map_or(0, |open| open.done))
    }

    fn leads_back(&self, to: Id, circle: &mut Vec<Id>, seen: &mut BTreeSet<Id>) -> bool {
        let last = circle.last().copied().unwrap_or(to);
        for holder in self.holders(last) {
            if holder == to {
                return true;
            }
            if seen.insert(holder) {
                circle.push(holder);
                if self.leads_back(to, circle, seen) {
                    return true;
                }
                circle.pop();
            }
        }
        false
    }

    fn roll_back(&mut self, victim: Id) {
        self.open.insert(victim, Open { is_victim: true, ..Open::default() });
        self.bell.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(day: i8) -> Key {
        Key::of(4, Date::constant(2026, 1, day))
    }

    /// As Matomo does it for a salt it has not found: the one statement, and if there is no row, the other.
    fn set(salts: &mut Salts, by: Id, day: i8, done: usize) -> Answer {
        match salts.execute(by, Statement::Update, &key(day), by, done) {
            Answer::Done(false) => salts.execute(by, Statement::Insert, &key(day), by, done),
            other => other,
        }
    }

    #[test]
    fn a_salt_is_seen_by_those_who_begin_after_its_commit() {
        let mut salts = Salts::default();
        let (before, first) = (salts.commits(), salts.begin());
        assert_eq!(set(&mut salts, first, 1, 0), Answer::Done(true));
        assert_eq!(salts.read(&key(1), salts.commits()), None);
        salts.commit(first);
        assert_eq!(salts.read(&key(1), salts.commits()), Some(first));
        assert_eq!(salts.read(&key(1), before), None);
    }

    #[test]
    fn requests_of_one_new_day_wait_for_each_other_and_the_last_salt_wins() {
        let mut salts = Salts::default();
        let (first, second) = (salts.begin(), salts.begin());
        assert_eq!(set(&mut salts, first, 1, 0), Answer::Done(true));
        assert_eq!(set(&mut salts, second, 1, 0), Answer::Wait);
        salts.commit(first);
        assert_eq!(set(&mut salts, second, 1, 0), Answer::Done(true));
        salts.commit(second);
        assert_eq!(salts.read(&key(1), salts.commits()), Some(second));
    }

    #[test]
    fn several_new_days_in_time_order_are_a_deadlock_that_the_smaller_one_loses() {
        let mut salts = Salts::default();
        let (first, second) = (salts.begin(), salts.begin());
        assert_eq!(set(&mut salts, first, 1, 0), Answer::Done(true));
        assert_eq!(set(&mut salts, second, 2, 0), Answer::Wait);
        assert_eq!(set(&mut salts, first, 2, 40), Answer::Done(true));
        assert_eq!(salts.execute(second, Statement::Insert, &key(2), second, 0), Answer::Deadlock);
        assert_eq!(set(&mut salts, second, 2, 0), Answer::Wait);
        salts.commit(first);
        assert_eq!(set(&mut salts, second, 2, 0), Answer::Done(true));
    }

    #[test]
    fn whoever_asks_loses_when_it_has_done_least() {
        let mut salts = Salts::default();
        let (first, second) = (salts.begin(), salts.begin());
        assert_eq!(set(&mut salts, first, 1, 0), Answer::Done(true));
        assert_eq!(set(&mut salts, second, 2, 90), Answer::Wait);
        assert_eq!(set(&mut salts, first, 2, 40), Answer::Deadlock);
        assert_eq!(set(&mut salts, second, 2, 90), Answer::Done(true));
    }

    #[test]
    fn days_that_are_there_are_nobodys_lock_and_days_apart_have_gaps_of_their_own() {
        let mut salts = Salts::default();
        for day in [1, 10, 20] {
            let by = salts.begin();
            assert_eq!(set(&mut salts, by, day, 0), Answer::Done(true));
            salts.commit(by);
        }
        let (first, second) = (salts.begin(), salts.begin());
        assert_eq!(set(&mut salts, first, 5, 0), Answer::Done(true));
        assert_eq!(set(&mut salts, second, 15, 0), Answer::Done(true));
        assert_eq!(set(&mut salts, second, 6, 0), Answer::Wait);
        assert!(!salts.give_up(second));
        salts.forget(second);
        assert_eq!(set(&mut salts, first, 16, 0), Answer::Done(true));
    }
}
