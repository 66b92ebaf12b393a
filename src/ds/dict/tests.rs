//! `Dict` against a standard map, its snapshots, SCAN's guarantee, fairness and memory. Hashes
//! are weakened where collisions are the point.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;
use proptest::prelude::*;
use triomphe::Arc;

use super::{Dict, Keyed, Seed};

#[derive(Debug, PartialEq)]
struct Entry {
    key: [u8; 4],
    value: u32,
}

type Item = Arc<Entry>;

impl Keyed for Item {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

fn item(key: u32, value: u32) -> Item {
    Arc::new(Entry { key: key.to_le_bytes(), value })
}

fn number(item: &Item) -> u32 {
    u32::from_le_bytes(item.key)
}

fn filled(n: u32) -> Dict<Item> {
    let mut dict = Dict::new(Seed(1, 2));
    for key in 0..n {
        assert!(dict.insert(item(key, key)).is_none());
    }
    dict
}

fn contents(dict: &Dict<Item>) -> HashMap<u32, u32> {
    let all: HashMap<u32, u32> = dict.iter().map(|item| (number(item), item.value)).collect();
    assert_eq!(all.len(), dict.iter().len());
    assert_eq!(all.len(), dict.len());
    all
}

/// Every item is found by its key, by SCAN and by iteration, and the figures agree.
fn check(dict: &Dict<Item>, model: &HashMap<u32, u32>) {
    assert_eq!(&contents(dict), model);
    for (key, value) in model {
        let found = dict.get(&key.to_le_bytes()).map(|item| item.value);
        assert_eq!(found, Some(*value), "key {key}");
    }
    let scanned = scan_all(dict, 7);
    assert_eq!(scanned.len(), model.len());
    assert_eq!(scanned.into_iter().collect::<HashSet<_>>(), model.keys().copied().collect());
    assert_eq!(dict.heap_bytes(), bytes_counted_afresh(dict));
    assert_eq!(dict.is_empty(), matches!(dict.root, super::Root::Empty));
}

/// `heap_bytes` with the segments' part summed up rather than counted along.
fn bytes_counted_afresh(dict: &Dict<Item>) -> usize {
    let segments: usize = dict.chunks().flatten().map(|segment| segment.bytes()).sum();
    match &dict.root {
        super::Root::Many(directory) => directory.bytes_without_segments() + segments,
        _ => segments,
    }
}

fn scan_all(dict: &Dict<Item>, count: usize) -> Vec<u32> {
    let mut seen = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = dict.scan(cursor, count, |item| seen.push(number(item)));
        if cursor == 0 {
            return seen;
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    InsertMany(u32, u32),
    Remove(u32),
    RemoveMany(u32, u32),
    Write(u32),
    Retain(u32),
    Snapshot,
    Forget,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..3000u32;
    prop_oneof![
        8 => key().prop_map(Op::Insert),
        6 => (key(), 1..1500u32).prop_map(|(from, n)| Op::InsertMany(from, n)),
        8 => key().prop_map(Op::Remove),
        5 => (key(), 1..1500u32).prop_map(|(from, n)| Op::RemoveMany(from, n)),
        8 => key().prop_map(Op::Write),
        1 => (2..9u32).prop_map(Op::Retain),
        4 => Just(Op::Snapshot),
        2 => Just(Op::Forget),
        1 => Just(Op::Clear),
    ]
}

/// A table and the map that it must equal.
struct Pair {
    dict: Dict<Item>,
    model: HashMap<u32, u32>,
}

impl Pair {
    fn insert(&mut self, key: u32, value: u32) {
        let old = self.dict.insert(item(key, value)).map(|item| item.value);
        assert_eq!(old, self.model.insert(key, value));
    }

    fn remove(&mut self, key: u32) {
        let old = self.dict.remove(&key.to_le_bytes()).map(|item| item.value);
        assert_eq!(old, self.model.remove(&key));
    }

    fn apply(&mut self, op: &Op, value: u32) {
        match *op {
            Op::Insert(key) => self.insert(key, value),
            Op::InsertMany(from, n) => (from..from + n).for_each(|key| self.insert(key, value)),
            Op::Remove(key) => self.remove(key),
            Op::RemoveMany(from, n) => (from..from + n).for_each(|key| self.remove(key)),
            Op::Write(key) => {
                let slot = self.dict.get_mut(&key.to_le_bytes());
                assert_eq!(slot.is_some(), self.model.contains_key(&key));
                if let Some(slot) = slot {
                    *slot = item(key, value);
                    self.model.insert(key, value);
                }
            }
            Op::Retain(modulus) => {
                let mut asked = HashSet::new();
                self.dict.retain(|item| {
                    assert!(asked.insert(number(item)), "asked twice");
                    !number(item).is_multiple_of(modulus)
                });
                assert_eq!(asked.len(), self.model.len());
                self.model.retain(|key, _| !key.is_multiple_of(modulus));
            }
            Op::Clear => {
                self.dict.clear();
                self.model.clear();
            }
            Op::Snapshot | Op::Forget => {}
        }
    }
}

fn against_model(empty: Dict<Item>, ops: &[Op]) {
    let mut now = Pair { dict: empty, model: HashMap::new() };
    let mut snapshots: Vec<Pair> = Vec::new();
    for (value, op) in (0..).zip(ops) {
        match op {
            Op::Snapshot => {
                snapshots.push(Pair { dict: now.dict.clone(), model: now.model.clone() });
            }
            Op::Forget => drop(snapshots.pop()),
            other => now.apply(other, value),
        }
    }
    check(&now.dict, &now.model);
    for Pair { dict, model } in snapshots {
        check(&dict, &model);
        let mut left = model;
        for part in dict.into_parts() {
            for item in part.iter() {
                assert_eq!(left.remove(&number(item)), Some(item.value));
            }
        }
        assert!(left.is_empty(), "not in any part: {left:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn equals_a_map_and_snapshots_stay(ops in prop::collection::vec(op(), 1..40)) {
        against_model(Dict::new(Seed(3, 4)), &ops);
    }

    /// Few different hashes, in bits of the root, of the chunks and of the tags.
    #[test]
    fn weak_hashes_only_make_it_slower(
        ops in prop::collection::vec(op(), 1..12),
        mask in prop::sample::select(vec![
            0u64, 0x1f, 0xf000_0000_0000_0000, 0x0000_0000_0f00_0000, 0x8000_0000_0100_0007, 0x0000_0700_0000_0000,
            0x00ff_0000_0000_0000,
        ]),
    ) {
        against_model(Dict::weak(mask), &ops);
    }

    /// Keys of a fixed set stay all the time while others come and go between two calls.
    #[test]
    fn scan_passes_all_that_stay(
        stay in 1..400u32,
        count in 1..40usize,
        weak in any::<bool>(),
        turns in prop::collection::vec((any::<bool>(), 0..6000u32, 1..3000u32), 1..20),
    ) {
        let mut dict: Dict<Item> = if weak { Dict::weak(0xff00_0000_0010_0000) } else { Dict::new(Seed(5, 6)) };
        for key in 0..stay {
            dict.insert(item(key, 0));
        }
        let mut seen = HashSet::new();
        let mut cursor = 0;
        let mut turns = turns.into_iter();
        loop {
            cursor = dict.scan(cursor, count, |item| { seen.insert(number(item)); });
            if cursor == 0 {
                break;
            }
            if let Some((grow, from, n)) = turns.next() {
                for key in (from..from + n).map(|key| key + 1_000_000) {
                    if grow {
                        dict.insert(item(key, 0));
                    } else {
                        dict.remove(&key.to_le_bytes());
                    }
                }
            }
        }
        for key in 0..stay {
            prop_assert!(seen.contains(&key), "key {} was not passed", key);
        }
    }
}

#[test]
fn scan_gives_the_count_it_was_asked_for() {
    let dict = filled(5000);
    let mut cursor = 0;
    let mut seen = HashSet::new();
    for _ in 0..500 {
        let before = seen.len();
        cursor = dict.scan(cursor, 10, |item| assert!(seen.insert(number(item))));
        assert_eq!(seen.len(), before + 10);
        assert!(cursor < 1 << 48);
    }
    while cursor != 0 {
        cursor = dict.scan(cursor, 10, |_| panic!("all were passed"));
    }
    assert_eq!(dict.scan(1 << 48, 10, |_| panic!("not a cursor")), 0);
    assert_eq!(dict.scan(0, usize::MAX, |_| ()), 0);
}

#[test]
fn removing_shrinks_to_nothing_and_the_order_of_removal_does_not_matter() {
    let mut dict = filled(60_000);
    let peak = dict.heap_bytes();
    assert!(dict.stats().chunks > 4);
    let mut model = contents(&dict);
    let mut keys: Vec<u32> = (0..60_000).collect();
    Rng::with_seed(1).shuffle(&mut keys);
    for (done, key) in keys.iter().enumerate() {
        assert_eq!(dict.remove(&key.to_le_bytes()).map(|item| item.value), Some(*key));
        model.remove(key);
        if done == 54_000 {
            assert!(dict.heap_bytes() < peak / 5, "{} of {peak}", dict.heap_bytes());
            check(&dict, &model);
        }
    }
    assert_eq!(dict.stats(), super::DictStats::default());
    assert_eq!(dict.heap_bytes(), 0);
}

#[test]
fn inserting_and_removing_at_a_border_does_not_flap() {
    let mut dict = filled(20_000);
    let before = dict.stats().segments;
    for key in (20_000..20_200).cycle().take(4000) {
        dict.insert(item(key, 0));
        dict.remove(&key.to_le_bytes());
    }
    assert!(dict.stats().segments - before < 50);
}

#[test]
fn a_snapshot_costs_only_what_differs_and_all_is_freed() {
    let mut dict = filled(20_000);
    let probe = dict.get(&7u32.to_le_bytes()).cloned().expect("inserted");
    assert_eq!(Arc::count(&probe), 2);
    let snapshot = dict.clone();
    assert_eq!(Arc::count(&probe), 2, "a snapshot copies no segment");
    for key in 0..20_000 {
        *dict.get_mut(&u32::to_le_bytes(key)).expect("present") = item(key, key + 1);
    }
    assert_eq!(Arc::count(&probe), 2, "the snapshot still has the old item, the table has not");
    assert_eq!(snapshot.get(&7u32.to_le_bytes()).map(|item| item.value), Some(7));
    assert_eq!(dict.get(&7u32.to_le_bytes()).map(|item| item.value), Some(8));
    drop(snapshot);
    assert_eq!(Arc::count(&probe), 1);
    let fresh = dict.get(&7u32.to_le_bytes()).cloned().expect("present");
    let mut other = dict.clone();
    other.retain(|item| number(item).is_multiple_of(2));
    assert_eq!((other.len(), dict.len()), (10_000, 20_000));
    drop((dict, other));
    assert_eq!(Arc::count(&fresh), 1);
}

#[test]
fn a_clone_that_is_hammered_leaves_the_original() {
    let original = filled(3000);
    let model = contents(&original);
    let mut clone = original.clone();
    for key in 0..30_000 {
        clone.insert(item(key % 7000, key));
        clone.remove(&u32::to_le_bytes(key * 31 % 7000));
    }
    check(&original, &model);
}

#[test]
fn random_items_are_fair() {
    for n in [1, 40, 300, 2000] {
        let dict = filled(n);
        let mut rng = Rng::with_seed(42);
        let mut hits = vec![0f64; n as usize];
        let draws = n * 400;
        for _ in 0..draws {
            hits[number(dict.random(&mut rng).expect("not empty")) as usize] += 1.0;
        }
        let chi: f64 = hits.iter().map(|hit| (hit - 400.0).powi(2) / 400.0).sum();
        let freedom = f64::from(n - 1);
        // Five standard deviations of a chi-square distribution.
        assert!(chi <= freedom + 5.0 * (2.0 * freedom).sqrt(), "n {n}: chi-square {chi}");
    }
    assert!(Dict::<Item>::default().random(&mut Rng::with_seed(1)).is_none());
}

#[test]
fn random_finds_something_in_a_lopsided_table() {
    let mut dict = Dict::weak(0x1f);
    dict.insert(item(1, 1));
    (0..500).for_each(|key| drop(dict.insert(item(key, 0))));
    let mut rng = Rng::with_seed(3);
    let seen: HashSet<u32> = (0..200).filter_map(|_| dict.random(&mut rng)).map(number).collect();
    assert!(!seen.is_empty());
}

#[test]
fn samples_are_distinct_and_complete() {
    let mut rng = Rng::with_seed(9);
    for n in [0, 1, 30, 700] {
        let dict = filled(n);
        for wanted in [0, 1, 5, 64, 1000] {
            let sample = dict.sample(wanted, &mut rng);
            assert_eq!(sample.len(), wanted.min(n as usize));
            let distinct: HashSet<u32> = sample.into_iter().map(number).collect();
            assert_eq!(distinct.len(), wanted.min(n as usize));
        }
    }
    let dict = filled(2000);
    let seen: HashSet<u32> = (0..4000).flat_map(|_| dict.sample(5, &mut rng)).map(number).collect();
    assert!(seen.len() > 1990, "only {} of 2000 are ever sampled", seen.len());
}

#[test]
fn a_prefix_finds_its_items_only() {
    let dict = filled(10_000);
    for key in (0..10_000u32).step_by(17) {
        let prefix = dict.hash(&key.to_le_bytes()) >> 24;
        let found: Vec<u32> = dict.matching_prefix(prefix).map(number).collect();
        assert_eq!(found, [key]);
    }
    assert_eq!(dict.matching_prefix(u64::MAX).count(), 0);
    let mut weak: Dict<Item> = Dict::weak(0xff_ffff);
    (0..200).for_each(|key| drop(weak.insert(item(key, 0))));
    assert_eq!(weak.matching_prefix(0).count(), 200);
    assert_eq!(weak.matching_prefix(1).count(), 0);
}

#[test]
fn small_tables_are_small() {
    assert_eq!(filled(0).heap_bytes(), 0);
    assert_eq!(filled(1).heap_bytes(), 80);
    assert!(filled(54).heap_bytes() <= 512);
    assert!(size_of::<Dict<Item>>() <= 64);
}

#[test]
fn an_item_costs_little_over_eight_bytes() {
    let mut dict = Dict::new(Seed(8, 9));
    let (mut total, mut samples, mut worst) = (0.0, 0.0, 0.0f64);
    for key in 0..200_000 {
        dict.insert(item(key, 0));
        if key >= 10_000 && key % 1000 == 0 {
            let each = dict.heap_bytes() as f64 / dict.len() as f64;
            total += each;
            samples += 1.0;
            worst = worst.max(each);
        }
    }
    let mean = total / samples;
    println!("mean {mean} worst {worst}");
    assert!(mean <= 11.5, "mean {mean}");
    assert!(worst <= 13.0, "worst {worst}");
}

#[test]
fn it_may_cross_threads() {
    fn crosses<T: Send + Sync>(_: &T) {}
    crosses(&Dict::<Item>::default());
}

#[test]
fn a_snapshot_taken_apart_holds_only_the_parts_not_yet_dropped() {
    const N: u32 = 300_000;
    let mut dict = filled(N);
    let probes: Vec<Item> = (0..N).map(|key| item(key, 1)).collect();
    probes.iter().for_each(|probe| drop(dict.insert(Arc::clone(probe))));
    let snapshot = dict.clone();
    dict.clear();
    let held = || probes.iter().filter(|probe| Arc::count(probe) > 1).count();
    assert_eq!(held(), N as usize);
    let (mut seen, mut parts) = (0, 0);
    for part in snapshot.into_parts() {
        let here = part.iter().count();
        assert!(here < N as usize / 4, "a part of {here} items");
        seen += here;
        parts += 1;
        drop(part);
        if parts % 8 == 0 {
            assert_eq!(held(), N as usize - seen);
        }
    }
    assert_eq!((seen, held()), (N as usize, 0));
}
