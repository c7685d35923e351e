//! The transaction of one request: its hits one after the other, each under the salt of its day, and what becomes of them
//! when a lock does not come.
//!
//! Hits are stored at the commit, all at once. A deadlock in the statement whose errors Matomo swallows takes all hits so
//! far; Matomo goes on without a transaction, stores each hit by itself, and notices at the end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::hit::Hit;
use super::salt::{Answer, Id, Key, Salt, Statement};
use super::store::{Store, Stored};

/// Days so recent have their salt in Matomo's cache of the site.
const RECENT_DAYS: i64 = 2;
/// The clock of a sleep is no finer.
const TICK: Duration = Duration::from_millis(1);

/// How a transaction ended, and how many hits Matomo counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything that was counted is stored.
    Committed(usize),
    /// There was none any more: hits before the deadlock are gone, the others are stored, all of them are counted.
    Lost(usize),
    /// Nothing is stored; so many hits had been counted.
    RolledBack(usize),
}

/// A lock did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// The statement is given up, the transaction goes on.
    LockWait,
    /// The transaction is gone.
    Deadlock,
}

/// A salt that this request knows, and the seconds of its day.
struct Known {
    site: u64,
    from: i64,
    until: i64,
    salt: Salt,
}

/// A transaction under way.
pub struct Transaction {
    store: Arc<Store>,
    id: Id,
    /// What it reads was committed by then.
    sees: u64,
    known: Vec<Known>,
    uncommitted: Vec<Stored>,
    done: usize,
    is_lost: bool,
    pace: Pace,
}

impl Transaction {
    /// Begin.
    pub fn begin(store: &Arc<Store>) -> Self {
        let (id, sees) = store.change(|kept| (kept.salts.begin(), kept.salts.commits()));
        let pace = Pace::of(store.setup().hit_pace);
        let store = Arc::clone(store);
        Self { store, id, sees, known: Vec::new(), uncommitted: Vec::new(), done: 0, is_lost: false, pace }
    }

    /// Store these hits; a planned deadlock happens before the hit of this index.
    pub async fn run(mut self, hits: Vec<Option<Hit>>, deadlock_at: Option<usize>) -> End {
        let mut counted = 0;
        for (index, hit) in hits.into_iter().enumerate() {
            self.pace.wait().await;
            if deadlock_at == Some(index) {
                self.lose();
            }
            match self.track(hit).await {
                Ok(()) => counted += 1,
                Err(Refused::LockWait) => {}
                Err(Refused::Deadlock) => {
                    self.store.change(|kept| kept.salts.forget(self.id));
                    return End::RolledBack(counted);
                }
            }
        }
        self.end();
        if self.is_lost { End::Lost(counted) } else { End::Committed(counted) }
    }

    /// Probes and empty entries are counted by Matomo and kept nowhere.
    async fn track(&mut self, hit: Option<Hit>) -> Result<(), Refused> {
        self.done += 1;
        let Some(hit) = hit.filter(|hit| !hit.is_probe() && !hit.0.is_empty()) else {
            return Ok(());
        };
        let second = self.store.second_of(&hit);
        let salt = self.salt(hit.site(), second).await?;
        let stored = Stored::new(hit, second, salt);
        if self.is_lost {
            self.store.change(|kept| kept.keep([stored]));
        } else {
            self.uncommitted.push(stored);
        }
        Ok(())
    }

    async fn salt(&mut self, site: u64, second: i64) -> Result<Salt, Refused> {
        let is_known = |known: &&Known| known.site == site && (known.from..known.until).contains(&second);
        if let Some(known) = self.known.iter().find(is_known) {
            return Ok(known.salt);
        }
        let day = Day::of(&self.store, site, second);
        let salt = match self.read(&day) {
            Some(salt) => salt,
            None => self.make(&day.key).await?,
        };
        self.known.push(Known { site, from: day.from, until: day.until, salt });
        Ok(salt)
    }

    /// Without a transaction, each reading sees the latest.
    fn read(&self, day: &Day) -> Option<Salt> {
        self.store.change(|kept| {
            if day.is_recent {
                return Some(kept.salts.cached(&day.key));
            }
            let sees = if self.is_lost { kept.salts.commits() } else { self.sees };
            kept.salts.read(&day.key, sees)
        })
    }

    async fn make(&mut self, key: &Key) -> Result<Salt, Refused> {
        let salt = self.store.change(|kept| kept.salts.make());
        if self.execute(Statement::Update, key, salt).await? {
            return Ok(salt);
        }
        // Matomo's `Option::set` swallows whatever goes wrong with this one.
        if self.execute(Statement::Insert, key, salt).await == Err(Refused::Deadlock) {
            self.lose();
        }
        Ok(salt)
    }

    /// Execute a statement, in a transaction of its own if this one is lost.
    async fn execute(&mut self, statement: Statement, key: &Key, salt: Salt) -> Result<bool, Refused> {
        if !self.is_lost {
            return self.wait_for(self.id, statement, key, salt).await;
        }
        let alone = self.store.change(|kept| kept.salts.begin());
        let answer = self.wait_for(alone, statement, key, salt).await;
        self.store.change(|kept| kept.salts.commit(alone));
        answer
    }

    async fn wait_for(&self, by: Id, statement: Statement, key: &Key, salt: Salt) -> Result<bool, Refused> {
        let bell = self.store.look(|kept| kept.salts.bell());
        let give_up = Instant::now() + self.store.setup().lock_wait_max;
        loop {
            let rings = bell.notified();
            match self.store.change(|kept| kept.salts.execute(by, statement, key, salt, self.done)) {
                Answer::Done(wrote) => return Ok(wrote),
                Answer::Deadlock => return Err(Refused::Deadlock),
                Answer::Wait if timeout_at(give_up, rings).await.is_ok() => {}
                Answer::Wait => {
                    let is_victim = self.store.change(|kept| kept.salts.give_up(by));
                    return Err(if is_victim { Refused::Deadlock } else { Refused::LockWait });
                }
            }
        }
    }

    /// The database has rolled everything back, and nobody noticed.
    fn lose(&mut self) {
        self.is_lost = true;
        self.uncommitted.clear();
        self.store.change(|kept| kept.salts.forget(self.id));
    }

    fn end(&mut self) {
        let stored = std::mem::take(&mut self.uncommitted);
        let (id, is_lost) = (self.id, self.is_lost);
        self.store.change(|kept| {
            kept.stored += 1;
            kept.keep(stored);
            if !is_lost {
                kept.salts.commit(id);
            }
        });
    }
}

/// A day of a site.
struct Day {
    key: Key,
    from: i64,
    until: i64,
    is_recent: bool,
}

impl Day {
    fn of(store: &Store, site: u64, second: i64) -> Self {
        let zone = store.look(|kept| kept.sites.zone(site));
        let at = |second| Timestamp::from_second(second).unwrap_or_default().to_zoned(zone.clone());
        let day = at(second).date();
        let midnight =
            |day: jiff::civil::Date| day.to_zoned(zone.clone()).map_or(second, |day| day.timestamp().as_second());
        let recent = at(store.now()).date().saturating_sub(jiff::Span::new().days(RECENT_DAYS));
        Self {
            key: Key::of(site, day),
            from: midnight(day),
            until: midnight(day.tomorrow().unwrap_or(day)),
            is_recent: day >= recent,
        }
    }
}

/// Lets each hit take its time, on the average: no sleep is as short as a hit.
struct Pace {
    each: Duration,
    due: Option<Instant>,
}

impl Pace {
    fn of(each: Duration) -> Self {
        Self { each, due: None }
    }

    async fn wait(&mut self) {
        if self.each.is_zero() {
            return;
        }
        let now = Instant::now();
        // A sleep that ended late is made up for.
        let due = self.due.map_or(now, |due| due.max(now - 5 * TICK)) + self.each;
        self.due = Some(due);
        if due > now + TICK {
            sleep_until(due).await;
        }
    }
}
