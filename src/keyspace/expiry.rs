//! The ordered index of deadlines: which keys are due, exactly.
//!
//! Owns one 8-byte item per volatile key: the low 24 bits of its deadline above the top 40 bits of
//! its hash, in a tree per window of 2^24 ms. The hash finds the key in the database's `Dict`.
//! Equal items are kept as often as they were added. Never holds a key, and never decides to
//! delete one: two keys of one hash are told apart by their own deadlines.

use std::collections::BTreeMap;

use crate::ds::tree::Tree;

/// Bits of the hash that an item keeps.
pub const HASH_BITS: u32 = 40;
const WINDOW_BITS: u32 = 24;
const WINDOW_MASK: i64 = (1 << WINDOW_BITS) - 1;

/// Deadlines in order, and the hashes of the keys that have them.
#[derive(Debug, Clone, Default)]
pub struct ExpiryIndex {
    windows: BTreeMap<i64, Tree<u64>>,
    len: usize,
    /// The sum of all deadlines, for their mean.
    deadlines: i128,
}

impl ExpiryIndex {
    /// Number of volatile keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The mean of all deadlines in Unix milliseconds, for `avg_ttl`.
    pub fn mean(&self) -> Option<i64> {
        let len = i128::try_from(self.len).ok().filter(|&len| len > 0)?;
        i64::try_from(self.deadlines / len).ok()
    }

    /// Adds a key by its deadline and its 64-bit hash.
    pub fn insert(&mut self, deadline: i64, hash: u64) {
        let (window, item) = split(deadline, hash);
        self.windows.entry(window).or_default().insert(item, &item);
        self.len += 1;
        self.deadlines += i128::from(deadline);
    }

    /// Removes what [`insert`](Self::insert) added with the same arguments.
    pub fn remove(&mut self, deadline: i64, hash: u64) {
        let (window, item) = split(deadline, hash);
        let Some(tree) = self.windows.get_mut(&window) else { return };
        if tree.remove(&item).is_some() {
            self.len -= 1;
            self.deadlines -= i128::from(deadline);
        }
        if tree.is_empty() {
            self.windows.remove(&window);
        }
    }

    /// The earliest deadline and the top [`HASH_BITS`] of its key's hash.
    pub fn first(&self) -> Option<(i64, u64)> {
        let (window, tree) = self.windows.first_key_value()?;
        let item = tree.first()?;
        let low = i64::try_from(item >> HASH_BITS).ok()?;
        Some((window.wrapping_shl(WINDOW_BITS) | low, item & ((1 << HASH_BITS) - 1)))
    }

    /// Removes the earliest item.
    pub fn pop_first(&mut self) {
        let Some((deadline, _)) = self.first() else { return };
        let Some(mut window) = self.windows.first_entry() else { return };
        window.get_mut().pop_first();
        if window.get().is_empty() {
            window.remove();
        }
        self.len -= 1;
        self.deadlines -= i128::from(deadline);
    }

    /// Bytes on the heap, estimated.
    pub fn heap_bytes(&self) -> usize {
        self.windows.values().map(|tree| tree.heap_bytes() + size_of::<Tree<u64>>() + 16).sum()
    }
}

fn split(deadline: i64, hash: u64) -> (i64, u64) {
    let low = (deadline & WINDOW_MASK).unsigned_abs();
    (deadline >> WINDOW_BITS, low << HASH_BITS | hash >> (64 - HASH_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order() {
        let mut index = ExpiryIndex::default();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut model: Vec<(i64, u64)> = (0..5000)
            .map(|_| (rng.i64(-50_000_000..50_000_000), rng.u64(..)))
            .chain([(i64::MAX, 1), (i64::MIN, u64::MAX), (5, 5), (5, 5)])
            .collect();
        model.iter().for_each(|&(deadline, hash)| index.insert(deadline, hash));
        for (deadline, hash) in model.drain(..1000) {
            index.remove(deadline, hash);
        }
        index.remove(123, 456);
        model.sort_by_key(|&(deadline, hash)| (deadline, hash >> 24));
        assert_eq!(index.len(), model.len());
        for (deadline, hash) in model {
            assert_eq!(index.first(), Some((deadline, hash >> 24)));
            index.pop_first();
        }
        assert_eq!((index.len(), index.first(), index.mean()), (0, None, None));
    }
}
