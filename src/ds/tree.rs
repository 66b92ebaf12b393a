//! `Tree`: a persistent, counted, weighted B+tree. It owns ordered items and finds them by a probe, by rank or by
//! weight, each in O(log n). A clone is a snapshot in O(1); later changes copy only the nodes they touch.
//! It never compares items by itself (the probe does) and never touches what a clone holds.
//!
//! Leaves hold about 1 KiB of items in arrays that grow by allocator size classes. Nodes on the tree's left and
//! right edge may be nearly empty, so that queues and appends cause no rebalancing; all others are at least a
//! third full. Every key, count and weight in inner nodes is exact.

mod iter;
mod node;
mod run;
#[cfg(test)]
mod tests;

pub use iter::Iter;

use crate::util::prefetch::prefetch;
use node::{Changed, Edge, INNER_MAX, Node};
use run::{Run, Span};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::iter::Rev;
use std::ops::Range;
use triomphe::Arc;

/// What a tree holds. Cloning must be cheap: a change to a node that a snapshot shares clones its items.
pub trait Item: Clone {
    /// What inner nodes keep to find the item; `()` where only positions matter.
    type Key: Clone;

    /// The item's key. It must order as the item does.
    fn key(&self) -> Self::Key;

    /// The item's share in positions by weight. The sum over a tree must fit 64 bits.
    fn weight(&self) -> u64 {
        1
    }
}

/// The target of a search. Each method returns how the item (or the key of an item) compares with the target. An
/// answer that is never `Equal` searches for a boundary between items.
pub trait Probe<T: Item> {
    /// The item's order relative to the target.
    fn item(&self, item: &T) -> Ordering;

    /// The order of an item with this key relative to the target.
    fn key(&self, key: &T::Key) -> Ordering;
}

impl Item for u64 {
    type Key = u64;

    fn key(&self) -> u64 {
        *self
    }
}

impl Probe<u64> for u64 {
    fn item(&self, item: &u64) -> Ordering {
        item.cmp(self)
    }

    fn key(&self, key: &u64) -> Ordering {
        key.cmp(self)
    }
}

/// Chooses the way at each level of a descent.
trait Route<T: Item> {
    /// The child to enter; `edges` is not empty.
    fn edge(&mut self, edges: &[Edge<T>]) -> usize;
    /// The place in the leaf, at most its length.
    fn slot(&mut self, items: &[T]) -> usize;
}

/// To the item of this rank (counted down on the way).
struct AtRank(usize);

/// To the place where an item of this rank is inserted: a boundary belongs to the left leaf.
struct BeforeRank(usize);

/// To the first item for which the probe's answer is not among those that `passes` accepts.
struct Bound<'p, P, F> {
    probe: &'p P,
    passes: F,
    rank: usize,
}

/// To one item equal to the target: the slot is the leaf's length when there is none.
struct Exact<'p, P>(&'p P);

/// To the item at this position by weight.
struct AtWeight {
    pos: u64,
    rank: usize,
}

/// To an end of the tree, whatever its length.
enum AtEnd {
    First,
    Last,
    /// Behind the last item.
    Behind,
}

/// Walks along `edges` while `left` covers whole children, and stays within the last one.
fn skip<T: Item, N: PartialOrd + std::ops::SubAssign>(
    edges: &[Edge<T>],
    left: &mut N,
    size: impl Fn(&Edge<T>) -> N,
    passes: impl Fn(&N, &N) -> bool,
) -> usize {
    let mut i = 0;
    while i + 1 < edges.len() {
        let size = size(&edges[i]);
        if !passes(left, &size) {
            break;
        }
        *left -= size;
        i += 1;
    }
    i
}

impl<T: Item> Route<T> for AtRank {
    fn edge(&mut self, edges: &[Edge<T>]) -> usize {
        skip(edges, &mut self.0, |e| e.count, |left, n| left >= n)
    }

    fn slot(&mut self, items: &[T]) -> usize {
        self.0.min(items.len())
    }
}

impl<T: Item> Route<T> for BeforeRank {
    fn edge(&mut self, edges: &[Edge<T>]) -> usize {
        skip(edges, &mut self.0, |e| e.count, |left, n| left > n)
    }

    fn slot(&mut self, items: &[T]) -> usize {
        self.0.min(items.len())
    }
}

impl<T: Item, P: Probe<T>, F: Fn(Ordering) -> bool> Route<T> for Bound<'_, P, F> {
    fn edge(&mut self, edges: &[Edge<T>]) -> usize {
        let i = edges.partition_point(|e| (self.passes)(self.probe.key(&e.key))).saturating_sub(1);
        self.rank += edges[..i].iter().map(|e| e.count).sum::<usize>();
        i
    }

    fn slot(&mut self, items: &[T]) -> usize {
        let slot = items.partition_point(|item| (self.passes)(self.probe.item(item)));
        self.rank += slot;
        slot
    }
}

impl<T: Item, P: Probe<T>> Route<T> for Exact<'_, P> {
    fn edge(&mut self, edges: &[Edge<T>]) -> usize {
        edges.partition_point(|e| self.0.key(&e.key).is_le()).saturating_sub(1)
    }

    fn slot(&mut self, items: &[T]) -> usize {
        items.binary_search_by(|item| self.0.item(item)).unwrap_or(items.len())
    }
}

impl<T: Item> Route<T> for AtWeight {
    fn edge(&mut self, edges: &[Edge<T>]) -> usize {
        let i = skip(edges, &mut self.pos, |e| e.weight, |left, w| left >= w);
        self.rank += edges[..i].iter().map(|e| e.count).sum::<usize>();
        i
    }

    fn slot(&mut self, items: &[T]) -> usize {
        let mut slot = 0;
        while let Some(item) = items.get(slot)
            && self.pos >= item.weight()
        {
            self.pos -= item.weight();
            slot += 1;
        }
        self.rank += slot;
        slot
    }
}

impl<T: Item> Route<T> for AtEnd {
    fn edge(&mut self, edges: &[Edge<T>]) -> usize {
        match self {
            AtEnd::First => 0,
            AtEnd::Last | AtEnd::Behind => edges.len() - 1,
        }
    }

    fn slot(&mut self, items: &[T]) -> usize {
        match self {
            AtEnd::First => 0,
            AtEnd::Last => items.len() - 1, // a leaf is never empty
            AtEnd::Behind => items.len(),
        }
    }
}

/// A found place: the child taken at each level, and the slot in the leaf.
struct Path {
    edges: SmallVec<[u16; 8]>,
    slot: usize,
}

/// A persistent, counted B+tree. See the module's notes.
pub struct Tree<T: Item> {
    root: Option<Arc<Node<T>>>,
    len: usize,
    weight: u64,
    bytes: usize,
}

impl<T: Item> Clone for Tree<T> {
    /// A snapshot, in O(1).
    fn clone(&self) -> Self {
        Tree { root: self.root.clone(), ..*self }
    }
}

impl<T: Item> Default for Tree<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Item> Tree<T> {
    /// An empty tree; no heap.
    pub const fn new() -> Self {
        Tree { root: None, len: 0, weight: 0, bytes: 0 }
    }

    /// A tree of items that come in order, in dense leaves.
    pub fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut tree = Self::new();
        let mut items = items.into_iter().peekable();
        let mut level = Vec::new();
        while items.peek().is_some() {
            let leaf = Run::filled(&mut items, Node::<T>::LEAF_MAX, &mut tree.bytes);
            level.extend(Edge::of(Node::leaf(leaf, &mut tree.bytes)));
        }
        while level.len() > 1 {
            let mut below = level.drain(..).peekable();
            let mut above = Vec::with_capacity(below.len().div_ceil(INNER_MAX));
            while below.peek().is_some() {
                let edges = Run::filled(&mut below, INNER_MAX, &mut tree.bytes);
                above.extend(Edge::of(Node::inner(edges, &mut tree.bytes)));
            }
            drop(below);
            level = above;
        }
        if let Some(top) = level.pop() {
            (tree.len, tree.weight, tree.root) = (top.count, top.weight, Some(top.child));
        }
        tree
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sum of all items' weights.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Heap bytes of the nodes in O(1), as if nothing were shared; what items own themselves is not counted.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    /// Drops all items.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    // ---- by order ----

    /// The rank of the first item that is not before the target; `len` if there is none.
    pub fn lower_bound(&self, probe: &impl Probe<T>) -> usize {
        let mut route = Bound { probe, passes: Ordering::is_lt, rank: 0 };
        self.descend(&mut route, |_| ());
        route.rank
    }

    /// The rank of the first item that is after the target; `len` if there is none.
    pub fn upper_bound(&self, probe: &impl Probe<T>) -> usize {
        let mut route = Bound { probe, passes: Ordering::is_le, rank: 0 };
        self.descend(&mut route, |_| ());
        route.rank
    }

    /// The rank of an item equal to the target (the first of several).
    pub fn rank_of(&self, probe: &impl Probe<T>) -> Option<usize> {
        let rank = self.lower_bound(probe);
        self.get(rank).filter(|item| probe.item(item).is_eq()).map(|_| rank)
    }

    /// An item equal to the target (any of several).
    pub fn get_by(&self, probe: &impl Probe<T>) -> Option<&T> {
        let (items, slot) = self.descend(&mut Exact(probe), |_| ())?;
        items.get(slot)
    }

    /// Inserts `item`, for which `probe` must stand, after those equal to it. Returns its rank.
    pub fn insert(&mut self, item: T, probe: &impl Probe<T>) -> usize {
        let mut route = Bound { probe, passes: Ordering::is_le, rank: 0 };
        let path = self.trace(&mut route).unwrap_or_default();
        self.insert_path(&path, item);
        route.rank
    }

    /// Removes one item equal to the target (any of several).
    pub fn remove(&mut self, probe: &impl Probe<T>) -> Option<T> {
        let path = self.trace_item(&mut Exact(probe))?;
        self.remove_path(&path)
    }

    /// Changes an item equal to the target (any of several) and accounts for its new weight. Its place is kept, so
    /// it must still order between its neighbours.
    pub fn update_by<R>(
        &mut self,
        probe: &impl Probe<T>,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let path = self.trace_item(&mut Exact(probe))?;
        self.update_path(&path, change)
    }

    // ---- by rank ----

    /// The item of this rank.
    pub fn get(&self, rank: usize) -> Option<&T> {
        if rank >= self.len {
            return None;
        }
        let (items, slot) = self.descend(&mut AtRank(rank), |_| ())?;
        items.get(slot)
    }

    /// Asks for the root node.
    pub fn prefetch_root(&self) {
        if let Some(root) = &self.root {
            prefetch::<Node<T>>(root);
        }
    }

    /// The items, if one leaf holds them all.
    pub fn only_leaf(&self) -> &[T] {
        match self.root.as_deref() {
            Some(Node::Leaf(items)) => items.as_slice(),
            _ => &[],
        }
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        let (items, slot) = self.descend(&mut AtEnd::First, |_| ())?;
        items.get(slot)
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        let (items, slot) = self.descend(&mut AtEnd::Last, |_| ())?;
        items.get(slot)
    }

    /// Inserts `item` before the item of this rank; at the end if there is none.
    pub fn insert_at(&mut self, rank: usize, item: T) {
        let path = match rank {
            0 => self.trace(&mut AtEnd::First),
            _ if rank >= self.len => self.trace(&mut AtEnd::Behind),
            _ => self.trace(&mut BeforeRank(rank)),
        };
        self.insert_path(&path.unwrap_or_default(), item);
    }

    /// Inserts before all others.
    pub fn push_front(&mut self, item: T) {
        self.insert_at(0, item);
    }

    /// Inserts after all others.
    pub fn push_back(&mut self, item: T) {
        self.insert_at(self.len, item);
    }

    /// Removes the item of this rank.
    pub fn remove_at(&mut self, rank: usize) -> Option<T> {
        let path = self.trace_rank(rank)?;
        self.remove_path(&path)
    }

    /// Removes the first item.
    pub fn pop_first(&mut self) -> Option<T> {
        let path = self.trace(&mut AtEnd::First)?;
        self.remove_path(&path)
    }

    /// Removes the last item.
    pub fn pop_last(&mut self) -> Option<T> {
        let path = self.trace(&mut AtEnd::Last)?;
        self.remove_path(&path)
    }

    /// Removes the items of these ranks (cut to what exists) and returns how many they were. O(log n) apart from
    /// freeing the nodes.
    pub fn remove_range(&mut self, range: Range<usize>) -> usize {
        let range = range.start..range.end.min(self.len);
        if range.is_empty() {
            return 0;
        }
        if range.len() == self.len {
            let n = self.len;
            self.clear();
            return n;
        }
        if let Some(root) = &mut self.root {
            self.weight -= Node::cut(root, range.clone(), &mut self.bytes);
            self.len -= range.len();
            Node::repair(root, range.start, Span::ROOT, &mut self.bytes);
        }
        self.lower_root();
        range.len()
    }

    /// Changes the item of this rank and accounts for its new weight and key. Its place is kept, so it must still
    /// order between its neighbours.
    pub fn update_at<R>(&mut self, rank: usize, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let path = self.trace_rank(rank)?;
        self.update_path(&path, change)
    }

    // ---- by weight ----

    /// The rank of the item that holds position `pos` of the total weight, and the offset inside it.
    pub fn seek_weight(&self, pos: u64) -> Option<(usize, u64)> {
        if pos >= self.weight {
            return None;
        }
        let mut route = AtWeight { pos, rank: 0 };
        self.descend(&mut route, |_| ())?;
        Some((route.rank, route.pos))
    }

    /// The total weight of the items before `rank`.
    pub fn weight_before(&self, rank: usize) -> u64 {
        if rank >= self.len {
            return self.weight;
        }
        let (mut node, mut rank, mut weight) = (self.root.as_deref(), rank, 0);
        while let Some(Node::Inner(edges)) = node {
            let edges = edges.as_slice();
            let mut at = AtRank(rank);
            let i = at.edge(edges);
            rank = at.0;
            weight += edges[..i].iter().map(|e| e.weight).sum::<u64>();
            node = edges.get(i).map(|e| &*e.child);
        }
        match node {
            Some(Node::Leaf(items)) => {
                weight + items.as_slice().iter().take(rank).map(Item::weight).sum::<u64>()
            }
            _ => weight,
        }
    }

    // ---- in order ----

    /// All items in order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_range(0..self.len)
    }

    /// The items of these ranks, cut to what exists.
    pub fn iter_range(&self, range: Range<usize>) -> Iter<'_, T> {
        Iter::new(self, range.start, range.end)
    }

    /// The items from this rank on; none if it is past the end.
    pub fn iter_from(&self, rank: usize) -> Iter<'_, T> {
        self.iter_range(rank..self.len)
    }

    /// All items from the last to the first.
    pub fn iter_rev(&self) -> Rev<Iter<'_, T>> {
        self.iter().rev()
    }

    /// The items from this rank (or from the last, if it is past the end) down to the first.
    pub fn iter_rev_from(&self, rank: usize) -> Rev<Iter<'_, T>> {
        self.iter_range(0..rank.saturating_add(1)).rev()
    }

    // ---- inner works ----

    /// Goes down to a leaf and tells `step` of each child taken. `None` only for an empty tree.
    #[inline]
    fn descend(
        &self,
        route: &mut impl Route<T>,
        mut step: impl FnMut(usize),
    ) -> Option<(&[T], usize)> {
        let mut node: &Node<T> = self.root.as_ref()?;
        loop {
            match node {
                Node::Leaf(items) => {
                    let items = items.as_slice();
                    return Some((items, route.slot(items)));
                }
                Node::Inner(edges) => {
                    let i = route.edge(edges.as_slice());
                    step(i);
                    node = &edges.as_slice()[i].child;
                }
            }
        }
    }

    /// The path to a place, so that a change need not search again.
    fn trace(&self, route: &mut impl Route<T>) -> Option<Path> {
        let mut edges = SmallVec::new();
        let (_, slot) = self.descend(route, |i| edges.push(i as u16))?; // i < INNER_MAX
        Some(Path { edges, slot })
    }

    /// The path to an item; `None` if the route ends behind the last one of a leaf.
    fn trace_item(&self, route: &mut impl Route<T>) -> Option<Path> {
        let mut edges = SmallVec::new();
        let (items, slot) = self.descend(route, |i| edges.push(i as u16))?; // i < INNER_MAX
        (slot < items.len()).then_some(Path { edges, slot })
    }

    /// The path to the item of this rank. The ends, where queues and streams work, need no counting.
    fn trace_rank(&self, rank: usize) -> Option<Path> {
        match rank {
            _ if rank >= self.len => None,
            0 => self.trace(&mut AtEnd::First),
            _ if rank + 1 == self.len => self.trace(&mut AtEnd::Last),
            _ => self.trace(&mut AtRank(rank)),
        }
    }

    fn insert_path(&mut self, path: &Path, item: T) {
        let mem = &mut self.bytes;
        self.len += 1;
        self.weight += item.weight();
        let Some(root) = &mut self.root else {
            let mut items = Run::with_room(1, mem);
            items.insert(0, item, mem);
            self.root = Some(Node::leaf(items, mem));
            return;
        };
        let grown = Node::insert(root, &path.edges, path.slot, item, Span::ROOT, mem);
        if let Some(right) = grown.sibling
            && let Some(left) = Edge::of(root.clone())
        {
            let mut edges = Run::with_room(2, mem);
            edges.insert(0, left, mem);
            edges.insert(1, right, mem);
            *root = Node::inner(edges, mem);
        }
    }

    fn remove_path(&mut self, path: &Path) -> Option<T> {
        let root = self.root.as_mut()?;
        let out = Node::remove(root, &path.edges, path.slot, Span::ROOT, &mut self.bytes)?;
        self.len -= 1;
        self.weight = self.weight.wrapping_add(out.weight);
        if self.len == 0 {
            self.clear();
        } else {
            self.lower_root();
        }
        Some(out.result)
    }

    fn update_path<R>(&mut self, path: &Path, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let Changed { result, weight, .. } =
            Node::update(self.root.as_mut()?, &path.edges, path.slot, change)?;
        self.weight = self.weight.wrapping_add(weight);
        Some(result)
    }

    /// Takes away roots of one child.
    fn lower_root(&mut self) {
        while let Some(root) = &mut self.root
            && let Node::Inner(edges) = &**root
            && let [only] = edges.as_slice()
        {
            self.bytes = self.bytes.saturating_sub(root.own_bytes());
            *root = only.child.clone();
        }
    }
}

impl Default for Path {
    /// The only place of an empty tree.
    fn default() -> Self {
        Path { edges: SmallVec::new(), slot: 0 }
    }
}

impl<T: Item> std::fmt::Debug for Tree<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("len", &self.len)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Item> IntoIterator for &'a Tree<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Item> FromIterator<T> for Tree<T> {
    /// As [`Tree::from_sorted`].
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::from_sorted(items)
    }
}
