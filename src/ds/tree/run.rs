//! `Run`: the storage of one tree node, a vector that grows and shrinks by the allocator's size classes instead of
//! doubling, and that reports every change of its heap size to the caller's counter. It knows nothing of trees.

use std::mem::size_of;

use crate::ds::size_class::size_class;

/// Whether a node lies on the tree's left or right edge. Edge nodes may be nearly empty; all others may not.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub left: bool,
    pub right: bool,
}

impl Span {
    /// The root lies on both edges.
    pub const ROOT: Span = Span { left: true, right: true };

    /// The span of child `i` among `n` children.
    pub fn child(self, i: usize, n: usize) -> Span {
        Span { left: self.left && i == 0, right: self.right && i + 1 == n }
    }

    /// True when the node touches either edge of the tree.
    pub fn on_edge(self) -> bool {
        self.left || self.right
    }
}

/// A growable array of a node's items or edges.
pub(super) struct Run<X> {
    slots: Vec<X>,
}

impl<X: Clone> Clone for Run<X> {
    /// Keeps the capacity: the copy is made because a change is about to come, and the byte count stays true.
    fn clone(&self) -> Self {
        let mut slots = Vec::with_capacity(self.slots.capacity());
        slots.extend_from_slice(&self.slots);
        Run { slots }
    }
}

impl<X> Run<X> {
    /// An empty run that can take `n` elements.
    pub fn with_room(n: usize, mem: &mut usize) -> Self {
        let run = Run { slots: Vec::with_capacity(Self::fit(n)) };
        *mem += run.bytes();
        run
    }

    /// A run of the next (at most `max`) elements.
    pub fn filled(from: &mut impl Iterator<Item = X>, max: usize, mem: &mut usize) -> Self {
        let mut run = Run::with_room(max, mem);
        run.slots.extend(from.take(max));
        if run.len() < max {
            run.counted(mem, |slots| slots.shrink_to(Self::fit(slots.len())));
        }
        run
    }

    pub fn as_slice(&self) -> &[X] {
        &self.slots
    }

    pub fn as_mut_slice(&mut self) -> &mut [X] {
        &mut self.slots
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Heap bytes of the array.
    pub fn bytes(&self) -> usize {
        size_class(self.slots.capacity().saturating_mul(size_of::<X>()))
    }

    /// The capacity that fills the size class which `n` elements need.
    fn fit(n: usize) -> usize {
        size_class(n * size_of::<X>()) / size_of::<X>().max(1)
    }

    /// Runs a change that may reallocate, and counts the difference.
    fn counted<R>(&mut self, mem: &mut usize, change: impl FnOnce(&mut Vec<X>) -> R) -> R {
        let before = self.bytes();
        let result = change(&mut self.slots);
        *mem = (*mem + self.bytes()).saturating_sub(before);
        result
    }

    /// Makes room for `extra` more elements, in one size class step.
    fn reserve(&mut self, extra: usize, mem: &mut usize) {
        let need = self.slots.len() + extra;
        if need > self.slots.capacity() {
            self.counted(mem, |slots| slots.reserve_exact(Self::fit(need) - slots.len()));
        }
    }

    /// Gives memory back once a quarter lies idle; the slack keeps alternate inserts and removals from reallocating.
    fn shrink(&mut self, mem: &mut usize) {
        let (len, cap) = (self.slots.len(), self.slots.capacity());
        if cap - len > (cap / 4).max(4) {
            self.counted(mem, |slots| slots.shrink_to(Self::fit(len + 1)));
        }
    }

    /// Inserts `x` before position `i`.
    pub fn insert(&mut self, i: usize, x: X, mem: &mut usize) {
        self.reserve(1, mem);
        self.slots.insert(i, x);
    }

    /// Removes position `i`.
    pub fn remove(&mut self, i: usize, mem: &mut usize) -> X {
        let x = self.slots.remove(i);
        self.shrink(mem);
        x
    }

    /// Removes a range of positions.
    pub fn remove_range(&mut self, range: std::ops::Range<usize>, mem: &mut usize) {
        self.slots.drain(range);
        self.shrink(mem);
    }

    /// Inserts `x` before position `i`; a run of `max` elements splits, and the right part is returned.
    ///
    /// At the edges of the tree the full side stays full, so that appending and prepending fill nodes wholly.
    pub fn insert_split(
        &mut self,
        i: usize,
        x: X,
        max: usize,
        span: Span,
        mem: &mut usize,
    ) -> Option<Run<X>> {
        let len = self.slots.len();
        if len < max {
            self.insert(i, x, mem);
            return None;
        }
        let at = match span {
            Span { right: true, .. } if i == len => len,
            Span { left: true, .. } if i <= 1 => i,
            _ => len / 2,
        };
        let mut right = self.split(at, max, mem);
        if i < at || i == 0 {
            self.insert(i, x, mem);
        } else {
            right.insert(i - at, x, mem);
        }
        Some(right)
    }

    /// Cuts off the elements from `at` on. An end that starts anew gets room for a quarter of `max`: more will follow.
    fn split(&mut self, at: usize, max: usize, mem: &mut usize) -> Run<X> {
        if at == 0 {
            let fresh = Run::with_room(max / 4, mem);
            return std::mem::replace(self, fresh);
        }
        let moved = self.slots.len() - at;
        let mut right = Run::with_room((moved + 1).max(max / 4), mem);
        right.slots.extend(self.slots.drain(at..));
        if moved > 0 {
            self.counted(mem, |slots| slots.shrink_to(Self::fit(at + 1)));
        }
        right
    }

    /// Moves everything of `right` to the end of `self` if that is at most `max`, else evens the two out.
    /// Returns true if `right` was emptied.
    pub fn merge_or_even(&mut self, right: &mut Run<X>, max: usize, mem: &mut usize) -> bool {
        let total = self.len() + right.len();
        if total <= max {
            self.reserve(right.len(), mem);
            self.slots.append(&mut right.slots);
            return true;
        }
        let half = total / 2;
        if self.len() < half {
            let n = half - self.len();
            self.reserve(n, mem);
            self.slots.extend(right.slots.drain(..n));
            right.shrink(mem);
        } else {
            right.reserve(self.len() - half, mem);
            right.slots.splice(0..0, self.slots.drain(half..));
            self.shrink(mem);
        }
        false
    }
}
