//! The nodes of the tree and the changes on them: insertion, removal, range removal, rebalancing. All work on
//! shared nodes by copying first (`make_mut`). It never searches: the caller brings the path.

use super::Item;
use super::run::{Run, Span};
use crate::ds::size_class::size_class;
use std::mem::size_of;
use std::ops::Range;
use triomphe::Arc;

/// Most children of an inner node.
pub(super) const INNER_MAX: usize = 48;

/// A leaf's items, or an inner node's edges. The box keeps leaf headers at three words.
pub(super) enum Node<T: Item> {
    Leaf(Run<T>),
    Inner(Box<Run<Edge<T>>>),
}

/// A child together with what searches need of it. All of it is exact, so that no deleted key is kept alive.
pub(super) struct Edge<T: Item> {
    /// The key of the child's first item.
    pub key: T::Key,
    /// Items below.
    pub count: usize,
    /// Total weight below.
    pub weight: u64,
    pub child: Arc<Node<T>>,
}

impl<T: Item> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(items) => Node::Leaf(items.clone()),
            Node::Inner(edges) => Node::Inner(edges.clone()),
        }
    }
}

impl<T: Item> Clone for Edge<T> {
    fn clone(&self) -> Self {
        Edge {
            key: self.key.clone(),
            count: self.count,
            weight: self.weight,
            child: self.child.clone(),
        }
    }
}

impl<T: Item> Edge<T> {
    /// Describes a node; `None` for an empty one.
    pub fn of(child: Arc<Node<T>>) -> Option<Self> {
        let key = child.first_key()?;
        let (count, weight) = child.sums();
        Some(Edge { key, count, weight, child })
    }

    /// Takes the key from the child again, after its first item changed.
    fn refresh_key(&mut self) {
        if let Some(key) = self.child.first_key() {
            self.key = key;
        }
    }
}

/// What an insertion leaves behind for the level above.
pub(super) struct Grown<T: Item> {
    /// A new right neighbour of the node.
    pub sibling: Option<Edge<T>>,
    /// The node's first key changed.
    first: bool,
}

/// What a removal or an update leaves behind for the level above.
pub(super) struct Changed<R> {
    pub result: R,
    /// What must be added (wrapping) to the weights above.
    pub weight: u64,
    /// The node's first key may have changed.
    first: bool,
}

impl<T: Item> Node<T> {
    /// Most items in a leaf: about 1 KiB.
    pub const LEAF_MAX: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let n = 1024 / size;
        if n < 16 {
            16
        } else if n > 128 {
            128
        } else {
            n
        }
    };

    /// Wraps a leaf's items and counts the header.
    pub fn leaf(items: Run<T>, mem: &mut usize) -> Arc<Self> {
        let node = Node::Leaf(items);
        *mem += node.header_bytes();
        Arc::new(node)
    }

    /// Wraps an inner node's edges and counts the header.
    pub fn inner(edges: Run<Edge<T>>, mem: &mut usize) -> Arc<Self> {
        let node = Node::Inner(Box::new(edges));
        *mem += node.header_bytes();
        Arc::new(node)
    }

    /// Heap bytes of the node without its array.
    fn header_bytes(&self) -> usize {
        let arc = size_class(size_of::<usize>() + size_of::<Self>());
        match self {
            Node::Leaf(_) => arc,
            Node::Inner(_) => arc + size_class(size_of::<Run<Edge<T>>>()),
        }
    }

    /// Heap bytes of the node alone.
    pub fn own_bytes(&self) -> usize {
        self.header_bytes()
            + match self {
                Node::Leaf(items) => items.bytes(),
                Node::Inner(edges) => edges.bytes(),
            }
    }

    /// Heap bytes of the node and all below.
    pub fn deep_bytes(&self) -> usize {
        let below = match self {
            Node::Leaf(_) => 0,
            Node::Inner(edges) => edges.as_slice().iter().map(|e| e.child.deep_bytes()).sum(),
        };
        self.own_bytes() + below
    }

    /// Items of a leaf, children of an inner node.
    pub fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(edges) => edges.len(),
        }
    }

    /// The least (away from the tree's edges) and the largest width.
    pub fn limits(&self) -> (usize, usize) {
        match self {
            Node::Leaf(_) => (Self::LEAF_MAX / 3, Self::LEAF_MAX),
            Node::Inner(_) => (INNER_MAX / 3, INNER_MAX),
        }
    }

    fn first_key(&self) -> Option<T::Key> {
        match self {
            Node::Leaf(items) => items.as_slice().first().map(Item::key),
            Node::Inner(edges) => edges.as_slice().first().map(|e| e.key.clone()),
        }
    }

    /// Items and weight below, added up from this node's array.
    fn sums(&self) -> (usize, u64) {
        match self {
            Node::Leaf(items) => (items.len(), items.as_slice().iter().map(Item::weight).sum()),
            Node::Inner(edges) => {
                edges.as_slice().iter().fold((0, 0), |(n, w), e| (n + e.count, w + e.weight))
            }
        }
    }

    /// Inserts `item` at the leaf slot that `path` and `slot` name.
    pub fn insert(
        this: &mut Arc<Self>,
        path: &[u16],
        slot: usize,
        item: T,
        span: Span,
        mem: &mut usize,
    ) -> Grown<T> {
        match (Arc::make_mut(this), path) {
            (Node::Inner(edges), [i, rest @ ..]) => {
                let (i, n) = (usize::from(*i), edges.len());
                let edge = &mut edges.as_mut_slice()[i];
                edge.count += 1;
                edge.weight += item.weight();
                let grown = Node::insert(&mut edge.child, rest, slot, item, span.child(i, n), mem);
                if grown.first {
                    edge.refresh_key();
                }
                if let Some(sibling) = &grown.sibling {
                    edge.count -= sibling.count;
                    edge.weight -= sibling.weight;
                }
                let sibling = grown.sibling.and_then(|sibling| {
                    let right = edges.insert_split(i + 1, sibling, INNER_MAX, span, mem)?;
                    Edge::of(Node::inner(right, mem))
                });
                Grown { sibling, first: i == 0 && grown.first }
            }
            (Node::Leaf(items), _) => {
                let right = items.insert_split(slot, item, Self::LEAF_MAX, span, mem);
                let sibling = right.and_then(|right| Edge::of(Node::leaf(right, mem)));
                Grown { sibling, first: slot == 0 }
            }
            (Node::Inner(_), []) => Grown { sibling: None, first: false }, // a path reaches to a leaf
        }
    }

    /// Removes the item that `path` and `slot` name; `None` if there is none such.
    pub fn remove(
        this: &mut Arc<Self>,
        path: &[u16],
        slot: usize,
        span: Span,
        mem: &mut usize,
    ) -> Option<Changed<T>> {
        match (Arc::make_mut(this), path) {
            (Node::Inner(edges), [i, rest @ ..]) => {
                let (i, n) = (usize::from(*i), edges.len());
                let edge = edges.as_mut_slice().get_mut(i)?;
                let mut out = Node::remove(&mut edge.child, rest, slot, span.child(i, n), mem)?;
                edge.count -= 1;
                edge.weight = edge.weight.wrapping_add(out.weight);
                if edge.count == 0 {
                    let gone = edges.remove(i, mem);
                    *mem = mem.saturating_sub(gone.child.own_bytes());
                    out.first = true;
                } else {
                    if out.first {
                        edge.refresh_key();
                    }
                    Self::mend_child(edges, i, span, mem);
                }
                out.first &= i == 0;
                Some(out)
            }
            (Node::Leaf(items), _) if slot < items.len() => {
                let item = items.remove(slot, mem);
                Some(Changed {
                    weight: item.weight().wrapping_neg(),
                    result: item,
                    first: slot == 0,
                })
            }
            _ => None,
        }
    }

    /// Changes the item that `path` and `slot` name, and mends weights and keys above it.
    pub fn update<R>(
        this: &mut Arc<Self>,
        path: &[u16],
        slot: usize,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<Changed<R>> {
        match (Arc::make_mut(this), path) {
            (Node::Inner(edges), [i, rest @ ..]) => {
                let edge = edges.as_mut_slice().get_mut(usize::from(*i))?;
                let mut out = Node::update(&mut edge.child, rest, slot, change)?;
                edge.weight = edge.weight.wrapping_add(out.weight);
                if out.first {
                    edge.refresh_key();
                }
                out.first &= *i == 0;
                Some(out)
            }
            (Node::Leaf(items), _) => {
                let item = items.as_mut_slice().get_mut(slot)?;
                let before = item.weight();
                let result = change(item);
                let weight = item.weight().wrapping_sub(before);
                Some(Changed { result, weight, first: slot == 0 })
            }
            (Node::Inner(_), []) => None,
        }
    }

    /// Takes out the items of `range` (ranks within this node) and returns their weight. The nodes at the seam may
    /// be left too small, see [`Node::repair`]; none is left empty unless `range` is all of this node.
    pub fn cut(this: &mut Arc<Self>, range: Range<usize>, mem: &mut usize) -> u64 {
        match Arc::make_mut(this) {
            Node::Leaf(items) => {
                let weight = items.as_slice()[range.clone()].iter().map(Item::weight).sum();
                items.remove_range(range, mem);
                weight
            }
            Node::Inner(edges) => {
                let mut weight = 0;
                let mut whole: Option<Range<usize>> = None;
                let mut before = 0;
                for (i, edge) in edges.as_mut_slice().iter_mut().enumerate() {
                    let end = before + edge.count;
                    let part = range.start.max(before)..range.end.min(end);
                    if part.len() == edge.count {
                        weight += edge.weight;
                        *mem = mem.saturating_sub(edge.child.deep_bytes());
                        whole.get_or_insert(i..i).end = i + 1;
                    } else if !part.is_empty() {
                        let gone =
                            Self::cut(&mut edge.child, part.start - before..part.end - before, mem);
                        edge.count -= part.len();
                        edge.weight -= gone;
                        weight += gone;
                        edge.refresh_key();
                    }
                    before = end;
                    if before >= range.end {
                        break;
                    }
                }
                if let Some(whole) = whole {
                    edges.remove_range(whole, mem);
                }
                weight
            }
        }
    }

    /// Brings the nodes on both sides of the seam before item `seam` back to their least size: from the top down, so
    /// that each finds a neighbour below the same parent, then once more where that took a child away.
    pub fn repair(this: &mut Arc<Self>, seam: usize, span: Span, mem: &mut usize) {
        let Node::Inner(edges) = Arc::make_mut(this) else { return };
        Self::mend_seam(edges, seam, span, mem);
        let n = edges.len();
        let mut before = 0;
        for (i, edge) in edges.as_mut_slice().iter_mut().enumerate() {
            if before > seam {
                break;
            }
            if seam <= before + edge.count {
                Self::repair(&mut edge.child, seam - before, span.child(i, n), mem);
            }
            before += edge.count;
        }
        Self::mend_seam(edges, seam, span, mem);
    }

    /// Mends the (at most two) children that touch the seam.
    fn mend_seam(edges: &mut Run<Edge<T>>, seam: usize, span: Span, mem: &mut usize) {
        let (mut i, mut before) = (0, 0);
        while let Some(edge) = edges.as_slice().get(i)
            && before <= seam
        {
            let end = before + edge.count;
            if seam <= end && Self::mend_child(edges, i, span, mem) {
                (i, before) = (0, 0);
            } else {
                before = end;
                i += 1;
            }
        }
    }

    /// Merges child `i` with a neighbour, or evens the two out, if it is too small. Returns true if it did.
    fn mend_child(edges: &mut Run<Edge<T>>, i: usize, span: Span, mem: &mut usize) -> bool {
        let all = edges.as_slice();
        let (min, _) = all[i].child.limits();
        let small = all[i].child.width() < min;
        if !small || all.len() < 2 || span.child(i, all.len()).on_edge() {
            return false;
        }
        let lighter_left = i > 0 && (i + 1 == all.len() || all[i - 1].count < all[i + 1].count);
        Self::join(edges, if lighter_left { i - 1 } else { i }, mem);
        true
    }

    /// Merges children `i` and `i + 1`, or evens them out.
    fn join(edges: &mut Run<Edge<T>>, i: usize, mem: &mut usize) {
        let [left, right, ..] = &mut edges.as_mut_slice()[i..] else { return };
        let merged = match (Arc::make_mut(&mut left.child), Arc::make_mut(&mut right.child)) {
            (Node::Leaf(a), Node::Leaf(b)) => a.merge_or_even(b, Self::LEAF_MAX, mem),
            (Node::Inner(a), Node::Inner(b)) => a.merge_or_even(b, INNER_MAX, mem),
            _ => false, // all leaves have one depth
        };
        let (count, weight) = (left.count + right.count, left.weight + right.weight);
        (left.count, left.weight) = left.child.sums();
        (right.count, right.weight) = (count - left.count, weight - left.weight);
        if merged {
            *mem = mem.saturating_sub(right.child.own_bytes());
            edges.remove(i + 1, mem);
        } else {
            right.refresh_key();
        }
    }
}
