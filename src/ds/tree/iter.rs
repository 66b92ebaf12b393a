//! Walking a tree in order, from both ends, one leaf at a time. It never changes the tree and never allocates
//! unless the tree is deeper than five levels of nodes.

use super::node::{Edge, Node};
use super::{AtRank, Item, Route, Tree};
use smallvec::SmallVec;
use std::iter::FusedIterator;

/// Items in order, by rank; double-ended and exact in size. Each step is O(1) amortised, the first O(log n).
pub struct Iter<'a, T: Item> {
    tree: &'a Tree<T>,
    start: usize,
    end: usize,
    front: Option<Cursor<'a, T>>,
    back: Option<Cursor<'a, T>>,
}

/// An inner node's edges, and which of them was taken.
type Level<'a, T> = (&'a [Edge<T>], usize);

/// A place in a leaf, and the way back up.
#[derive(Clone)]
struct Cursor<'a, T: Item> {
    above: SmallVec<[Level<'a, T>; 4]>,
    leaf: &'a [T],
    slot: usize,
}

impl<'a, T: Item> Cursor<'a, T> {
    /// Stands before the item of this rank.
    fn at(tree: &'a Tree<T>, rank: usize) -> Self {
        let mut cursor = Cursor { above: SmallVec::new(), leaf: &[], slot: 0 };
        let Some(root) = &tree.root else { return cursor };
        let mut route = AtRank(rank);
        let mut node: &'a Node<T> = root;
        loop {
            match node {
                Node::Leaf(items) => {
                    cursor.leaf = items.as_slice();
                    cursor.slot = route.slot(cursor.leaf);
                    return cursor;
                }
                Node::Inner(edges) => {
                    let edges = edges.as_slice();
                    let i = route.edge(edges);
                    cursor.above.push((edges, i));
                    node = &edges[i].child;
                }
            }
        }
    }

    #[inline]
    fn forward(&mut self) -> Option<&'a T> {
        if self.slot >= self.leaf.len() {
            self.next_leaf(|i, n| Some(i + 1).filter(|i| *i < n), |_| 0)?;
            self.slot = 0;
        }
        let item = self.leaf.get(self.slot);
        self.slot += 1;
        item
    }

    #[inline]
    fn backward(&mut self) -> Option<&'a T> {
        if self.slot == 0 {
            self.next_leaf(|i, _| i.checked_sub(1), |n| n - 1)?;
            self.slot = self.leaf.len();
        }
        self.slot -= 1;
        self.leaf.get(self.slot)
    }

    /// Climbs until `step` gives a neighbour, then goes down where `enter` says.
    #[cold]
    fn next_leaf(
        &mut self,
        step: impl Fn(usize, usize) -> Option<usize>,
        enter: impl Fn(usize) -> usize,
    ) -> Option<()> {
        let (edges, i) = loop {
            let (edges, i) = self.above.pop()?;
            if let Some(i) = step(i, edges.len()) {
                break (edges, i);
            }
        };
        self.above.push((edges, i));
        let mut node: &'a Node<T> = &edges[i].child;
        while let Node::Inner(edges) = node {
            let edges = edges.as_slice();
            let i = enter(edges.len());
            self.above.push((edges, i));
            node = &edges[i].child;
        }
        if let Node::Leaf(items) = node {
            self.leaf = items.as_slice();
        }
        Some(())
    }
}

impl<'a, T: Item> Iter<'a, T> {
    /// The items of ranks `start..end`, cut to what exists.
    pub(super) fn new(tree: &'a Tree<T>, start: usize, end: usize) -> Self {
        let end = end.min(tree.len());
        Iter { tree, start: start.min(end), end, front: None, back: None }
    }
}

impl<T: Item> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Iter { front: self.front.clone(), back: self.back.clone(), ..*self }
    }
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        if self.start >= self.end {
            return None;
        }
        let cursor = self.front.get_or_insert_with(|| Cursor::at(self.tree, self.start));
        self.start += 1;
        cursor.forward()
    }

    /// Skips in O(log n).
    fn nth(&mut self, n: usize) -> Option<&'a T> {
        if n > 0 {
            self.start = self.start.saturating_add(n).min(self.end);
            self.front = None;
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.end - self.start;
        (n, Some(n))
    }
}

impl<'a, T: Item> DoubleEndedIterator for Iter<'a, T> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a T> {
        if self.start >= self.end {
            return None;
        }
        self.end -= 1;
        let cursor = self.back.get_or_insert_with(|| {
            let mut cursor = Cursor::at(self.tree, self.end);
            cursor.slot += 1;
            cursor
        });
        cursor.backward()
    }

    /// Skips in O(log n).
    fn nth_back(&mut self, n: usize) -> Option<&'a T> {
        if n > 0 {
            self.end = self.end.saturating_sub(n).max(self.start);
            self.back = None;
        }
        self.next_back()
    }
}

impl<T: Item> ExactSizeIterator for Iter<'_, T> {}
impl<T: Item> FusedIterator for Iter<'_, T> {}
