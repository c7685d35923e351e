//! A fair queue of sites: first comes the site that had the least of this pass so far, and of equals the one with the least to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::discover::SiteId;

/// Sites that wait for a turn, and the time they had.
#[derive(Debug, Default)]
pub struct FairQueue {
    had: BTreeMap<SiteId, Duration>,
    waiting: BTreeSet<(Duration, u64, SiteId)>,
}

impl FairQueue {
    /// A site has so many bytes to import.
    pub fn wait(&mut self, site: SiteId, bytes: u64) {
        self.waiting.retain(|(_, _, waiting)| *waiting != site);
        self.waiting.insert((self.had.get(&site).copied().unwrap_or_default(), bytes, site));
    }

    /// The site whose turn it is; it waits no longer.
    pub fn next(&mut self) -> Option<SiteId> {
        self.waiting.pop_first().map(|(_, _, site)| site)
    }

    /// Whether no site waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A site had a turn of this length.
    pub fn had(&mut self, site: SiteId, turn: Duration) {
        *self.had.entry(site).or_default() += turn;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_secs(600);

    /// Serves the queue, each site for at most a turn, at a byte a second; `arrivals` come once so many seconds have passed.
    fn served(sites: &[(u32, u64)], arrivals: &[(u64, u32, u64)]) -> Vec<u32> {
        let mut queue = FairQueue::default();
        let mut left: BTreeMap<SiteId, u64> = BTreeMap::new();
        let (mut order, mut now) = (Vec::new(), 0);
        let mut arrivals = arrivals.to_vec();
        let come = |queue: &mut FairQueue, left: &mut BTreeMap<SiteId, u64>, site: u32, bytes: u64| {
            *left.entry(SiteId(site)).or_default() += bytes;
            queue.wait(SiteId(site), left[&SiteId(site)]);
        };
        sites.iter().for_each(|&(site, bytes)| come(&mut queue, &mut left, site, bytes));
        while let Some(site) = queue.next() {
            order.push(site.0);
            let seconds = left[&site].min(TURN.as_secs());
            now += seconds;
            queue.had(site, Duration::from_secs(seconds));
            *left.entry(site).or_default() -= seconds;
            if left[&site] > 0 {
                queue.wait(site, left[&site]);
            }
            let (due, later): (Vec<_>, Vec<_>) = arrivals.iter().partition(|(at, ..)| *at <= now);
            arrivals = later;
            due.iter().for_each(|&(_, site, bytes)| come(&mut queue, &mut left, site, bytes));
        }
        order
    }

    #[test]
    fn little_work_goes_first_and_backlogs_take_turns() {
        assert_eq!(served(&[(1, 2000), (2, 10), (3, 1900), (4, 20)], &[]), [2, 4, 3, 1, 3, 1, 3, 1, 3, 1]);
    }

    #[test]
    fn what_arrives_in_the_meantime_does_not_wait_for_a_backlog() {
        assert_eq!(served(&[(1, 2000)], &[(5, 2, 30), (1300, 2, 30)]), [1, 2, 1, 1, 2, 1]);
    }

    #[test]
    fn a_backlog_is_served_however_much_arrives_for_others() {
        let arrivals: Vec<(u64, u32, u64)> = (0..50).map(|hour| (hour * 600, 2, 600)).collect();
        let order = served(&[(1, 2400)], &arrivals);
        let half = order.iter().position(|site| *site == 1).and_then(|_| order.iter().rposition(|site| *site == 1));
        assert!(half.is_some_and(|last| last < 12), "{order:?}");
    }
}
