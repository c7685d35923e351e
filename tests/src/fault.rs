//! The ways in which a tracking request goes wrong, and the plan that says which request goes wrong how.
//!
//! What each one stores and answers was measured on Matomo 5.0.2 behind nginx and PHP FPM.

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
}

impl Fault {
    /// One of every kind, for journeys that try them one by one.
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

    /// Does Matomo store the batch, now or later, although the answer does not say so?
    pub fn stores(self) -> bool {
        matches!(self, Fault::CommitThenDrop | Fault::CommitThenHang | Fault::Truncate | Fault::Short | Fault::Late(_))
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
