//! Fair random choice from collections: `n` different items, every choice of them equally likely.
//!
//! Owns the algorithms, for whatever can be walked once or drawn from. Never changes a collection.

use fastrand::Rng;
use hashbrown::HashSet;

use crate::ds::dict::{Dict, Keyed};

/// From a table, up to one in so many items is drawn one by one; beyond that, one walk is cheaper.
const DRAW_ONE_IN: usize = 3;

/// Passes `n` different items to `emit`, all of them if there are no more, in the walk's order.
pub fn choose<I: ExactSizeIterator>(
    items: I,
    n: usize,
    rng: &mut Rng,
    mut emit: impl FnMut(I::Item),
) {
    let (mut left, mut wanted) = (items.len(), n);
    for item in items {
        if wanted == 0 {
            return;
        }
        // Of those left, each is as likely to be one of those wanted.
        if wanted >= left || rng.usize(..left) < wanted {
            wanted -= 1;
            emit(item);
        }
        left = left.saturating_sub(1);
    }
}

/// As [`choose`], from a table: a small share is drawn, so that the cost follows `n`.
pub fn choose_from_table<'a, T: Keyed + Clone>(
    table: &'a Dict<T>,
    n: usize,
    rng: &mut Rng,
    mut emit: impl FnMut(&'a T),
) {
    if n == 1 {
        return table.random(rng).into_iter().for_each(emit);
    }
    if n > table.len() / DRAW_ONE_IN {
        return choose(table.iter(), n, rng, emit);
    }
    let mut drawn = HashSet::with_capacity(n);
    while drawn.len() < n {
        let Some(item) = table.random(rng) else { return };
        if drawn.insert(item.key()) {
            emit(item);
        }
    }
}

/// Bytes of `len` items, by the mean size of the first few.
pub fn estimate<'a, T: 'a>(
    len: usize,
    items: impl Iterator<Item = &'a T>,
    bytes: impl Fn(&T) -> usize,
) -> usize {
    const LOOKED_AT: usize = 5;
    let (count, sum) =
        items.take(LOOKED_AT).fold((0, 0), |(count, sum), item| (count + 1, sum + bytes(item)));
    len * sum / usize::max(count, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_each_item_equally_often() {
        let mut rng = Rng::with_seed(7);
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            let mut chosen = Vec::new();
            choose(0..10usize, 3, &mut rng, |i| chosen.push(i));
            assert_eq!(chosen.len(), 3);
            assert!(chosen.is_sorted_by(|a, b| a < b));
            chosen.iter().for_each(|&i| counts[i] += 1);
        }
        assert!(counts.iter().all(|count| (2800..3200).contains(count)), "{counts:?}");
    }

    #[test]
    fn never_passes_more_than_there_are() {
        let mut passed = 0;
        choose(0..4usize, 9, &mut Rng::with_seed(1), |_| passed += 1);
        assert_eq!(passed, 4);
        choose(0..4usize, 0, &mut Rng::with_seed(1), |_| passed += 1);
        assert_eq!(passed, 4);
    }
}
