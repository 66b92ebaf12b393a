//! When the clients whose replies wait for a sync are enough of a group for one.
//!
//! A sync takes the same time for one client as for fifty. Who is answered mostly comes back at once;
//! to sync without waiting for them makes two halves of the clients take turns, with a sync each. So
//! a group waits for those who were answered last, as long as that takes less time than the second
//! sync would; and where it takes longer, for a third of the clients, which saves the many small ones.
//!
//! Owns that decision. It counts clients and is told the time; it knows neither files nor clocks.

use std::time::Duration;

/// What a second sync costs beside its time on the disk: passing it on, and hearing of its end.
const PASSING_NS: u64 = 80_000;
/// When nobody has come for so long and a quarter of a sync's time, nobody is waited for.
const LULL_NS: u64 = 100_000;

/// When a group goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Due {
    /// Now.
    Now,
    /// When somebody joins, or after this time: then it is asked again.
    In(Duration),
}

/// The group that is coming together, and what is known of those before.
#[derive(Debug, Default)]
pub(in crate::server) struct Group {
    /// Clients that were answered last, and those who waited already at that time.
    expected: usize,
    early: usize,
    answered_ns: u64,
    /// How many there are since when.
    joined: usize,
    joined_ns: u64,
    /// How long a client takes to be back, as its share of what all take; and a sync: both smoothed.
    each_ns: u64,
    sync_ns: u64,
}

impl Group {
    /// A sync has taken so long.
    pub fn synced(&mut self, ns: u64) {
        self.sync_ns = smoothed(self.sync_ns, ns);
    }

    /// So many clients wait.
    pub fn count(&mut self, waiting: usize, now_ns: u64) {
        if waiting > self.joined {
            (self.joined, self.joined_ns) = (waiting, now_ns);
        }
    }

    /// A sync has answered so many clients; `waiting` others came too late for it.
    pub fn answered(&mut self, answered: usize, waiting: usize, now_ns: u64) {
        let all = answered + waiting;
        if let Some(came @ 1..) = all.checked_sub(self.early) {
            let took_ns = self.joined_ns.saturating_sub(self.answered_ns);
            // Beyond the cost of a sync it makes no difference, and would be remembered for long.
            let each_ns = (took_ns / came as u64).min(self.worth_ns());
            self.each_ns = smoothed(self.each_ns, each_ns);
        }
        (self.expected, self.early, self.joined) = (all, waiting, waiting);
        (self.answered_ns, self.joined_ns) = (now_ns, now_ns);
    }

    /// How long it is worth waiting, if that saves a sync.
    fn worth_ns(&self) -> u64 {
        self.sync_ns + PASSING_NS
    }

    /// How many make a group.
    fn enough(&self) -> usize {
        let all_ns = self.each_ns.saturating_mul(self.expected as u64);
        match all_ns <= self.worth_ns() {
            true => self.expected,
            false => self.expected.div_ceil(3),
        }
    }

    /// Whether so many are enough.
    pub fn is_enough(&self, waiting: usize) -> bool {
        waiting >= self.enough()
    }

    /// When a group of so many goes.
    pub fn due(&self, waiting: usize, now_ns: u64) -> Due {
        let left_ns = self.worth_ns().saturating_sub(now_ns.saturating_sub(self.answered_ns));
        let lull_ns = LULL_NS + self.sync_ns / 4;
        let lull_left_ns = lull_ns.saturating_sub(now_ns.saturating_sub(self.joined_ns));
        match left_ns.min(lull_left_ns) {
            0 => Due::Now,
            _ if self.is_enough(waiting) => Due::Now,
            ns => Due::In(Duration::from_nanos(ns)),
        }
    }
}

/// The mean of many, of which the last counts an eighth.
fn smoothed(mean: u64, last: u64) -> u64 {
    mean - mean / 8 + last / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1000;

    /// Clients that come back one after the other, each `each_ns` after the one before, to a disk
    /// whose sync takes `sync_ns`. Returns the sizes of the last groups.
    fn sizes(clients: usize, each_ns: u64, sync_ns: u64) -> Vec<usize> {
        let (mut group, mut now_ns, mut waiting, mut sizes) = (Group::default(), 0, 0, Vec::new());
        // Those to come, and when the next is there.
        let (mut away, mut next_ns) = (clients, each_ns);
        let mut syncing: Option<(usize, u64)> = None;
        while sizes.len() < 200 {
            if let Some((size, _)) = syncing.take_if(|(_, end_ns)| *end_ns <= now_ns) {
                group.synced(sync_ns);
                group.answered(size, waiting, now_ns);
                next_ns = if away == 0 { now_ns + each_ns } else { next_ns };
                away += size;
            }
            if away > 0 && next_ns <= now_ns {
                (away, waiting, next_ns) = (away - 1, waiting + 1, next_ns + each_ns);
                group.count(waiting, now_ns);
            }
            if waiting > 0 && syncing.is_none() && group.due(waiting, now_ns) == Due::Now {
                sizes.push(waiting);
                syncing = Some((std::mem::take(&mut waiting), now_ns + sync_ns));
            }
            now_ns += US;
        }
        sizes.split_off(180)
    }

    #[test]
    fn all_go_together_where_a_sync_takes_longer_than_they() {
        assert_eq!(sizes(50, 10 * US, 1000 * US), [50; 20]);
        assert_eq!(sizes(8, 10 * US, 100 * US), [8; 20]);
        assert_eq!(sizes(1, 10 * US, 100 * US), [1; 20]);
    }

    #[test]
    fn where_it_is_shorter_groups_are_neither_small_nor_of_all() {
        let sizes = sizes(50, 10 * US, 100 * US);
        assert!(sizes.iter().all(|size| (12..38).contains(size)), "{sizes:?}");
    }

    /// A group whose syncs take a millisecond, with clients who come back within it.
    fn group_of(clients: usize, now_ns: u64) -> Group {
        let mut group = Group::default();
        (0..100).for_each(|_| group.synced(1000 * US));
        group.answered(clients, 0, now_ns);
        group
    }

    #[test]
    fn who_stays_away_is_not_waited_for_long() {
        let mut group = group_of(10, 0);
        let Due::In(time) = group.due(1, 0) else { panic!("goes alone") };
        assert!(time < Duration::from_micros(360), "{time:?}");
        // Each who comes prolongs that, up to what a sync is worth.
        let mut now_ns = 0;
        for waiting in 1..10 {
            now_ns += 300 * US;
            group.count(waiting, now_ns);
            let expected = if now_ns < 1000 * US { 1 } else { 0 };
            let waits = matches!(group.due(waiting, now_ns), Due::In(_));
            assert_eq!(usize::from(waits), expected, "{waiting}");
        }
        assert_eq!(group.due(1, 5000 * US), Due::Now);
        // Those who were there are expected next time, and no others.
        group.answered(1, 0, 6000 * US);
        assert_eq!(group.due(1, 6001 * US), Due::Now);
    }

    #[test]
    fn those_who_came_too_late_are_expected_as_well() {
        let mut group = group_of(10, 0);
        group.answered(4, 5, 2000 * US);
        assert!(!group.is_enough(8));
        assert_eq!(group.due(9, 2001 * US), Due::Now);
    }
}
