//! The ways in which a tracking request goes wrong, and the plan that says which request goes wrong how.
//!
//! What each one stores and answers was measured on Matomo 5.0.2 and 5.2.0-b5 behind nginx and PHP FPM.

use std::time::Duration;

use crate::random::Random;

/// One way for a bulk tracking request to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status and an error in JSON; nothing is stored (the transaction was rolled back).
    Status(u16),
    /// The request is read, nothing is stored, no answer ever comes.
    Hang,
    /// The connection is closed before the body is read; nothing is stored.
    Close,
    /// The request is read, nothing is stored, the connection is reset.
    Reset,
    /// Everything is stored, then the connection is closed without an answer.
    CommitThenDrop,
    /// Everything is stored, then no answer ever comes.
    CommitThenHang,
    /// Everything is stored, then only half of the promised answer comes.
    Truncate,
    /// 301 to the same path; nothing is stored.
    Redirect,
    /// 200 with a web page; nothing is stored.
    Html,
    /// 200, success, tracked 0, invalid 0: recording was off at that moment; nothing is stored.
    Disabled,
    /// All hits but the last are stored and counted, as after a lock wait timeout on one hit.
    Short,
    /// A gateway answers 504 at once, Matomo stores everything after this delay.
    Late(Duration),
    /// 200 with the text of a lost database connection; nothing is stored.
    ErrorText,
    /// A deadlock that Matomo swallows: the hits before it are gone, the others are stored one by one, and the answer is
    /// 500 with an error in JSON that counts all of them.
    Deadlock(Lost),
    /// So many hits from the middle on wait too long for a lock; they are neither stored nor counted.
    LockWait(usize),
    /// Everything is stored, and so many hits are not counted: the lock that did not come was not needed for their rows.
    Uncounted(usize),
    /// The answer breaks off or is not Matomo's, and Matomo stores everything after this delay.
    LateAfter(Broken, Duration),
}

/// How many hits were in a transaction that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// None: the deadlock came with the first hit, and the whole batch is stored.
    Nothing,
    /// The first half of the batch.
    FirstHalf,
    /// So many hits, or all but the last one if there are fewer.
    Hits(usize),
}

impl Lost {
    /// How many of so many hits are lost.
    pub fn of(self, hits: usize) -> usize {
        match self {
            Lost::Nothing => 0,
            Lost::FirstHalf => hits / 2,
            Lost::Hits(lost) => lost.min(hits.saturating_sub(1)),
        }
    }
}

/// An answer while Matomo is still at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The connection is closed without one.
    Close,
    /// The connection is reset.
    Reset,
    /// 200 with a web page.
    Html,
    /// This status with a page of the gateway.
    Status(u16),
}

impl Fault {
    /// One of every kind that stores a batch or does not, and is done with it when the answer breaks off (a gateway's 504
    /// apart), for journeys that try them one by one.
    pub const KINDS: [Fault; 15] = [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(429),
        Fault::Hang,
        Fault::Close,
        Fault::Reset,
        Fault::CommitThenDrop,
        Fault::CommitThenHang,
        Fault::Truncate,
        Fault::Redirect,
        Fault::Html,
        Fault::Disabled,
        Fault::Short,
        Fault::Late(Duration::from_millis(120)),
        Fault::ErrorText,
    ];

    /// One of every kind that stores some hits and not the others, or counts other hits than it stores, as Matomo 5 does
    /// when locks do not come.
    pub const PARTIAL: [Fault; 5] = [
        Fault::Deadlock(Lost::Nothing),
        Fault::Deadlock(Lost::FirstHalf),
        Fault::Deadlock(Lost::Hits(1)),
        Fault::LockWait(1),
        Fault::Uncounted(1),
    ];

    /// One of every kind that stores the batch some time after an answer that looks like an end.
    pub const LATE: [Fault; 4] = [
        Fault::LateAfter(Broken::Close, Duration::from_millis(120)),
        Fault::LateAfter(Broken::Reset, Duration::from_millis(120)),
        Fault::LateAfter(Broken::Html, Duration::from_millis(120)),
        Fault::LateAfter(Broken::Status(502), Duration::from_millis(120)),
    ];

    /// Does Matomo store the batch or some of it, now or later, although the answer does not say so?
    pub fn stores(self) -> bool {
        self.stored_of(2) > 0
    }

    /// How many of so many hits Matomo stores, now or later, although the answer does not say so.
    pub fn stored_of(self, hits: usize) -> usize {
        match self {
            Fault::CommitThenDrop | Fault::CommitThenHang | Fault::Truncate | Fault::Uncounted(_) => hits,
            Fault::Late(_) | Fault::LateAfter(..) => hits,
            Fault::Short => hits.saturating_sub(1),
            Fault::Deadlock(lost) => hits - lost.of(hits),
            Fault::LockWait(lost) => hits.saturating_sub(lost),
            _ => 0,
        }
    }
}

/// Which tracking requests go wrong, and how. Requests are counted from 1.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rule: Rule,
    after: u64,
    until: Option<u64>,
}

#[derive(Debug, Clone, Default)]
enum Rule {
    #[default]
    Never,
    Every(u64, Fault),
    Mix(FaultMix),
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every `nth` request goes wrong in the same way; 1 is all of them.
    pub fn every(nth: u64, fault: Fault) -> Self {
        Self { rule: Rule::Every(nth.max(1), fault), ..Self::default() }
    }

    /// Nothing goes wrong after this request.
    #[must_use]
    pub fn until(mut self, request: u64) -> Self {
        self.until = Some(request);
        self
    }

    /// Nothing goes wrong up to and including this request.
    #[must_use]
    pub fn after(mut self, request: u64) -> Self {
        self.after = request;
        self
    }

    /// How request number `request` goes wrong, if it does. Always the same answer for the same number.
    pub fn strike(&self, request: u64) -> Option<Fault> {
        if request <= self.after || self.until.is_some_and(|last| request > last) {
            return None;
        }
        match &self.rule {
            Rule::Never => None,
            Rule::Every(nth, fault) => request.is_multiple_of(*nth).then_some(*fault),
            Rule::Mix(mix) => mix.strike(request),
        }
    }
}

impl From<FaultMix> for Faults {
    fn from(mix: FaultMix) -> Self {
        Self { rule: Rule::Mix(mix), ..Self::default() }
    }
}

/// Faults of all kinds, drawn by a seed.
#[derive(Debug, Clone)]
pub struct FaultMix {
    seed: u64,
    share: f64,
    kinds: Vec<Fault>,
}

impl FaultMix {
    /// `share` (0.0 to 1.0) of all requests go wrong, each in any of the ways.
    pub fn seeded(seed: u64, share: f64) -> Self {
        Self { seed, share, kinds: Fault::KINDS.to_vec() }
    }

    /// Only these kinds.
    #[must_use]
    pub fn of(mut self, kinds: &[Fault]) -> Self {
        self.kinds = kinds.to_vec();
        self
    }

    fn strike(&self, request: u64) -> Option<Fault> {
        let mut random = Random::seeded(self.seed ^ request.wrapping_mul(0xa076_1d64_78bd_642f));
        random.chance(self.share).then(|| *random.pick(&self.kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_request_until_the_sixth() {
        let faults = Faults::every(3, Fault::Hang).until(6);
        let struck: Vec<u64> = (1..=12).filter(|n| faults.strike(*n).is_some()).collect();
        assert_eq!(struck, [3, 6]);
        let late = Faults::every(1, Fault::Hang).after(10);
        assert_eq!((late.strike(10), late.strike(11)), (None, Some(Fault::Hang)));
    }

    #[test]
    fn a_seeded_mix_repeats_itself_and_uses_every_kind() {
        let draw = |seed| {
            let faults = Faults::from(FaultMix::seeded(seed, 0.5));
            (1..=600).map(|n| faults.strike(n)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        for kind in Fault::KINDS {
            assert!(draw(3).contains(&Some(kind)), "{kind:?} never drawn");
        }
        let struck = draw(3).iter().flatten().count();
        assert!((240..360).contains(&struck), "{struck} of 600");
    }
}
