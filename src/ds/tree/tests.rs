//! The tree against a plain vector, with snapshots held; and its structure after every change.

use super::*;
use proptest::prelude::*;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What the checks found out about a subtree.
struct Found {
    depth: usize,
    count: usize,
    weight: u64,
}

impl<T: Item<Key: PartialEq + Debug>> Tree<T> {
    /// Panics if any invariant is broken.
    pub(super) fn check(&self) {
        let Some(root) = &self.root else {
            assert_eq!((self.len, self.weight, self.bytes), (0, 0, 0));
            return;
        };
        assert!(root.width() > 1 || matches!(**root, Node::Leaf(_)), "root not lowered");
        let found = check_node(root, Span::ROOT);
        assert_eq!((self.len, self.weight), (found.count, found.weight));
        assert_eq!(self.bytes, root.deep_bytes(), "byte count");
    }
}

fn check_node<T: Item<Key: PartialEq + Debug>>(node: &Node<T>, span: Span) -> Found {
    let (min, max) = node.limits();
    let min = if span.on_edge() { 1 } else { min };
    assert!((min..=max).contains(&node.width()), "width {} not in {min}..={max}", node.width());
    match node {
        Node::Leaf(items) => {
            let items = items.as_slice();
            Found { depth: 0, count: items.len(), weight: items.iter().map(Item::weight).sum() }
        }
        Node::Inner(edges) => {
            let edges = edges.as_slice();
            let mut all = Found { depth: 0, count: 0, weight: 0 };
            for (i, edge) in edges.iter().enumerate() {
                let found = check_node(&edge.child, span.child(i, edges.len()));
                assert_eq!((edge.count, edge.weight), (found.count, found.weight));
                assert_eq!(edge.key, first_item(&edge.child).key(), "separator");
                assert!(i == 0 || all.depth == found.depth + 1, "depth");
                all.depth = found.depth + 1;
                all.count += found.count;
                all.weight += found.weight;
            }
            all
        }
    }
}

fn first_item<T: Item>(mut node: &Node<T>) -> &T {
    loop {
        match node {
            Node::Leaf(items) => return &items.as_slice()[0],
            Node::Inner(edges) => node = &edges.as_slice()[0].child,
        }
    }
}

/// An item of 128 bytes, so that leaves hold the least and trees of few items are deep. It orders by `key` and is
/// told apart by `tag`.
#[derive(Clone, Debug, PartialEq)]
struct Fat {
    key: u32,
    tag: u32,
    weight: u64,
    _pad: [u64; 14],
}

impl Fat {
    fn new(key: u32, tag: u32) -> Self {
        Fat { key, tag, weight: u64::from(tag % 5), _pad: [0; 14] }
    }
}

impl Item for Fat {
    type Key = u32;

    fn key(&self) -> u32 {
        self.key
    }

    fn weight(&self) -> u64 {
        self.weight
    }
}

struct Key(u32);

impl Probe<Fat> for Key {
    fn item(&self, item: &Fat) -> Ordering {
        item.key.cmp(&self.0)
    }

    fn key(&self, key: &u32) -> Ordering {
        key.cmp(&self.0)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    InsertMany(u32, u16),
    Remove(u32),
    RemoveAt(usize),
    RemoveRange(usize, usize),
    RemoveShort(usize, usize),
    PopFirst(u8),
    PopLast(u8),
    PushBack(u16),
    PushFront(u16),
    UpdateAt(usize, u64),
    UpdateBy(u32, u64),
    Snapshot,
    Restore(usize),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..400u32;
    prop_oneof![
        6 => key.clone().prop_map(Op::Insert),
        6 => (key.clone(), 0..300u16).prop_map(|(k, n)| Op::InsertMany(k, n)),
        4 => key.clone().prop_map(Op::Remove),
        4 => any::<usize>().prop_map(Op::RemoveAt),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Op::RemoveRange(a, b)),
        6 => (any::<usize>(), 0..60usize).prop_map(|(a, n)| Op::RemoveShort(a, n)),
        2 => any::<u8>().prop_map(Op::PopFirst),
        2 => any::<u8>().prop_map(Op::PopLast),
        3 => (0..500u16).prop_map(Op::PushBack),
        3 => (0..500u16).prop_map(Op::PushFront),
        3 => (any::<usize>(), 0..9u64).prop_map(|(r, w)| Op::UpdateAt(r, w)),
        2 => (key, 0..9u64).prop_map(|(k, w)| Op::UpdateBy(k, w)),
        3 => Just(Op::Snapshot),
        1 => any::<usize>().prop_map(Op::Restore),
        1 => Just(Op::Clear),
    ]
}

/// The tree, the plain model beside it, and snapshots of both.
#[derive(Default)]
struct Pair {
    tree: Tree<Fat>,
    model: Vec<Fat>,
    held: Vec<(Tree<Fat>, Vec<Fat>)>,
    tags: u32,
}

impl Pair {
    fn fresh(&mut self, key: u32) -> Fat {
        self.tags += 1;
        Fat::new(key, self.tags)
    }

    fn insert(&mut self, key: u32) {
        let item = self.fresh(key);
        let at = self.model.partition_point(|x| x.key <= key);
        self.model.insert(at, item.clone());
        assert_eq!(self.tree.insert(item, &Key(key)), at);
    }

    fn pick(&self, n: usize) -> usize {
        n % (self.model.len() + 1)
    }

    fn remove_range(&mut self, range: Range<usize>) {
        assert_eq!(self.tree.remove_range(range.clone()), range.len());
        self.model.drain(range);
    }

    /// Removes by key; with duplicates the tree may choose which.
    fn remove(&mut self, key: u32) {
        match self.tree.remove(&Key(key)) {
            Some(gone) => {
                assert_eq!(gone.key, key);
                let at = self.model.iter().position(|x| x.tag == gone.tag).unwrap();
                self.model.remove(at);
            }
            None => assert!(self.model.iter().all(|x| x.key != key)),
        }
    }

    fn update_by(&mut self, key: u32, weight: u64) {
        let tag = self.tree.update_by(&Key(key), |x| {
            x.weight = weight;
            x.tag
        });
        match tag {
            Some(tag) => self.model.iter_mut().find(|x| x.tag == tag).unwrap().weight = weight,
            None => assert!(self.model.iter().all(|x| x.key != key)),
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(key) => self.insert(key),
            Op::InsertMany(key, n) => (0..u32::from(n)).for_each(|i| self.insert(key + i % 7)),
            Op::Remove(key) => self.remove(key),
            Op::RemoveAt(n) => {
                let at = self.pick(n);
                let want = (at < self.model.len()).then(|| self.model.remove(at));
                assert_eq!(self.tree.remove_at(at), want);
            }
            Op::RemoveRange(a, b) => {
                let (a, b) = (self.pick(a), self.pick(b));
                self.remove_range(a.min(b)..a.max(b));
            }
            Op::RemoveShort(a, n) => {
                let a = self.pick(a);
                self.remove_range(a..(a + n).min(self.model.len()));
            }
            Op::PopFirst(n) => (0..n).for_each(|_| {
                let want = (!self.model.is_empty()).then(|| self.model.remove(0));
                assert_eq!(self.tree.pop_first(), want);
            }),
            Op::PopLast(n) => {
                (0..n).for_each(|_| assert_eq!(self.tree.pop_last(), self.model.pop()))
            }
            Op::PushBack(n) => (0..n).for_each(|_| {
                let item = self.fresh(self.model.last().map_or(9, |x| x.key));
                self.model.push(item.clone());
                self.tree.push_back(item);
            }),
            Op::PushFront(n) => (0..n).for_each(|_| {
                let item = self.fresh(self.model.first().map_or(9, |x| x.key));
                self.model.insert(0, item.clone());
                self.tree.push_front(item);
            }),
            Op::UpdateAt(n, weight) => {
                let at = self.pick(n);
                let done = self.tree.update_at(at, |x| x.weight = weight);
                assert_eq!(done, self.model.get_mut(at).map(|x| x.weight = weight));
            }
            Op::UpdateBy(key, weight) => self.update_by(key, weight),
            Op::Snapshot => self.held.push((self.tree.clone(), self.model.clone())),
            Op::Restore(n) => {
                if !self.held.is_empty() {
                    (self.tree, self.model) = self.held.remove(n % self.held.len());
                }
            }
            Op::Clear => {
                self.tree.clear();
                self.model.clear();
            }
        }
    }

    /// Compares every way of reading with the model.
    fn compare(&self) {
        let (tree, model) = (&self.tree, &self.model);
        assert!(tree.iter().eq(model) && tree.iter_rev().eq(model.iter().rev()));
        assert_eq!((tree.first(), tree.last()), (model.first(), model.last()));
        for key in (0..410).step_by(7) {
            let (lower, upper) =
                (model.partition_point(|x| x.key < key), model.partition_point(|x| x.key <= key));
            assert_eq!((tree.lower_bound(&Key(key)), tree.upper_bound(&Key(key))), (lower, upper));
            assert_eq!(tree.get_by(&Key(key)).map(|x| x.key), (lower < upper).then_some(key));
            assert_eq!(tree.rank_of(&Key(key)), (lower < upper).then_some(lower));
        }
        let mut weight = 0;
        for (rank, item) in model.iter().enumerate() {
            assert_eq!(tree.weight_before(rank), weight);
            for offset in 0..item.weight {
                assert_eq!(tree.seek_weight(weight + offset), Some((rank, offset)));
            }
            weight += item.weight;
            assert_eq!(tree.get(rank), Some(item));
        }
        assert_eq!((tree.weight(), tree.weight_before(usize::MAX)), (weight, weight));
        assert_eq!((tree.seek_weight(weight), tree.get(model.len())), (None, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_a_vector(ops in prop::collection::vec(op(), 1..80)) {
        let mut pair = Pair::default();
        for op in ops {
            pair.apply(op);
            pair.tree.check();
            prop_assert!(pair.tree.iter().eq(&pair.model));
        }
        pair.compare();
        for (tree, model) in &pair.held {
            tree.check();
            prop_assert!(tree.iter().eq(model), "a snapshot changed");
        }
    }

    #[test]
    fn range_removal_at_any_place(n in 1..9000u32, a in any::<usize>(), b in any::<usize>(), shared: bool) {
        let mut pair = Pair { model: (0..n).map(|i| Fat::new(i, i)).collect(), ..Pair::default() };
        pair.tree = pair.model.iter().cloned().collect();
        let before = (pair.tree.clone(), pair.model.clone());
        if shared {
            pair.held.push(before);
        }
        let (a, b) = (pair.pick(a), pair.pick(b));
        pair.remove_range(a.min(b)..a.max(b));
        pair.tree.check();
        prop_assert!(pair.tree.iter().eq(&pair.model));
        prop_assert!(pair.held.iter().all(|(tree, model)| tree.iter().eq(model)));
    }
}

#[test]
fn a_middle_emptied_piece_by_piece_leaves_no_thin_nodes() {
    let mut tree: Tree<u64> = (0..300_000).collect();
    let keep = tree.clone();
    while tree.len() > 60 {
        tree.remove_range(tree.len() / 3..tree.len() / 3 + 41);
        tree.check();
    }
    assert!(tree.iter().is_sorted() && keep.iter().copied().eq(0..300_000));
}

#[test]
fn iterators_start_at_every_rank_both_ways() {
    let items: Vec<Fat> = (0..1500).map(|i| Fat::new(i, i)).collect();
    let tree = Tree::from_sorted(items.iter().cloned());
    for rank in 0..1502 {
        assert!(tree.iter_from(rank).take(40).eq(items.iter().skip(rank).take(40)));
        let back = items[..items.len().min(rank + 1)].iter().rev();
        assert!(tree.iter_rev_from(rank).take(40).eq(back.take(40)));
        assert_eq!(tree.iter_from(rank).len(), items.len().saturating_sub(rank));
        assert_eq!(tree.iter().nth(rank), items.get(rank));
        assert_eq!(tree.iter_rev().nth(rank), items.iter().rev().nth(rank));
    }
    assert_eq!(tree.iter_from(usize::MAX).next(), None);
    assert_eq!(tree.iter_rev_from(usize::MAX).count(), items.len());
    let mut ends = tree.iter_range(700..760);
    for i in 0..30 {
        assert_eq!((ends.next(), ends.next_back()), (items.get(700 + i), items.get(759 - i)));
    }
    assert_eq!((ends.next(), ends.next_back()), (None, None));
}

#[test]
fn bulk_load_is_as_pushing() {
    for n in [0, 1, 15, 16, 17, 16 * 48, 16 * 48 + 1, 16 * 48 * 48 + 5] {
        let bulk = Tree::from_sorted((0..n).map(|i| Fat::new(i, i)));
        bulk.check();
        let mut pushed = Tree::new();
        (0..n).for_each(|i| pushed.push_back(Fat::new(i, i)));
        pushed.check();
        assert!(bulk.iter().eq(&pushed) && bulk.weight() == pushed.weight());
        assert!(bulk.heap_bytes() <= pushed.heap_bytes());
    }
}

#[test]
fn inserts_by_position_keep_order() {
    let (mut tree, mut model) = (Tree::new(), Vec::new());
    let mut rng = fastrand::Rng::with_seed(7);
    for tag in 0..6000 {
        let at = rng.usize(0..=model.len());
        tree.insert_at(at, Fat::new(0, tag));
        model.insert(at, Fat::new(0, tag));
    }
    tree.insert_at(usize::MAX, Fat::new(0, 6000));
    model.push(Fat::new(0, 6000));
    tree.check();
    assert!(tree.iter().eq(&model));
}

#[test]
fn ranks_out_of_range_are_none() {
    let mut tree = Tree::<u64>::new();
    for _ in 0..2 {
        let n = tree.len();
        assert_eq!((tree.remove_at(n), tree.update_at(n, |_| ())), (None, None));
        assert_eq!((tree.remove_range(n..n + 9), tree.get(n)), (0, None));
        #[expect(clippy::reversed_empty_ranges)]
        let backwards = tree.remove_range(3..1);
        assert_eq!((backwards, tree.remove(&77), tree.get_by(&77)), (0, None, None));
        assert_eq!((tree.seek_weight(n as u64), tree.iter_from(n).next()), (None, None));
        tree.insert(5, &5);
    }
    let mut empty = Tree::<u64>::new();
    assert_eq!(
        (empty.pop_first(), empty.pop_last(), empty.first(), empty.last()),
        (None, None, None, None)
    );
}

#[test]
fn updates_may_move_the_key_between_the_neighbours() {
    let mut tree: Tree<u64> = (0..20_000).map(|i| i * 10).collect();
    for rank in 0..tree.len() {
        tree.update_at(rank, |x| *x += 5);
    }
    tree.check();
    assert_eq!((tree.get_by(&25), tree.get_by(&20)), (Some(&25), None));
}

/// Counts the items alive.
struct Live<'a>(&'a AtomicUsize);

impl<'a> Live<'a> {
    fn new(live: &'a AtomicUsize) -> Self {
        live.fetch_add(1, Relaxed);
        Live(live)
    }
}

impl Clone for Live<'_> {
    fn clone(&self) -> Self {
        Live::new(self.0)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Its key is a clone too: separators must not keep the deleted alive.
impl<'a> Item for Live<'a> {
    type Key = Live<'a>;

    fn key(&self) -> Live<'a> {
        self.clone()
    }
}

#[test]
fn everything_removed_is_dropped() {
    let live = AtomicUsize::new(0);
    let mut tree: Tree<Live<'_>> = (0..20_000).map(|_| Live::new(&live)).collect();
    let snapshot = tree.clone();
    tree.remove_range(100..15_000);
    while tree.len() > 1000 {
        tree.remove_at(tree.len() / 2);
    }
    drop(snapshot);
    assert!((1000..1100).contains(&live.load(Relaxed)), "{} alive", live.load(Relaxed));
    (0..999).for_each(|_| drop(tree.pop_first()));
    assert_eq!((tree.len(), live.load(Relaxed)), (1, 1));
    tree.push_front(Live::new(&live));
    tree.clear();
    assert_eq!((live.load(Relaxed), tree.heap_bytes()), (0, 0));
}

#[test]
fn memory_per_item_is_near_the_items_size() {
    let per_item = |tree: &Tree<u64>| tree.heap_bytes() as f64 / tree.len() as f64;
    let (mut ascending, mut descending, mut random) = (Tree::new(), Tree::new(), Tree::new());
    let mut rng = fastrand::Rng::with_seed(1);
    for i in 0..200_000u64 {
        ascending.insert(i, &i);
        descending.insert(u64::MAX - i, &(u64::MAX - i));
        let x = rng.u64(..);
        random.insert(x, &x);
    }
    let sizes = [&ascending, &descending, &random].map(per_item);
    assert!(sizes[0] <= 8.6 && sizes[1] <= 8.6 && sizes[2] <= 10.0, "{sizes:?}");
    while random.len() > 20_000 {
        random.remove_at(rng.usize(..random.len()));
    }
    random.check();
    assert!(per_item(&random) <= 11.0, "{}", per_item(&random));
    let tiny: Tree<u64> = (0..3).collect();
    assert!(tiny.heap_bytes() <= 64 && Tree::<u64>::new().heap_bytes() == 0);
}

#[test]
fn a_snapshot_copies_only_the_path() {
    let live = AtomicUsize::new(0);
    let mut tree: Tree<Live<'_>> = (0..20_000).map(|_| Live::new(&live)).collect();
    let snapshot = tree.clone();
    let before = live.load(Relaxed);
    tree.remove_at(9_000);
    let copied = live.load(Relaxed) - before;
    assert!((1..500).contains(&copied), "{copied} copied");
    drop((tree, snapshot));
    assert_eq!(live.load(Relaxed), 0);
}

#[test]
fn crosses_threads() {
    fn shared<X: Send + Sync>(x: X) -> X {
        x
    }
    let mut tree = shared((0..50_000).collect::<Tree<u64>>());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let snapshot = tree.clone();
            let len = tree.len();
            scope.spawn(move || assert_eq!(snapshot.iter().count(), len));
            (0..1000).for_each(|i| assert!(tree.remove_at(i * 7).is_some()));
        }
    });
    tree.check();
    assert_eq!(size_of::<Node<u64>>(), 3 * size_of::<usize>());
}
