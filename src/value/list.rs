//! Lists: one listpack while small, a tree of listpack nodes beyond.
//!
//! Owns both encodings and when one becomes the other (Redis 7.2's rules, by
//! `list-max-listpack-size`). `list-compress-depth` changes nothing: nodes are never compressed.
//! Knows neither keys nor clients.

use triomphe::Arc;

use super::Limits;
use super::prefetch::Prefetch;
use crate::ds::listpack::{Element, Listpack, Pos};
use crate::ds::tree::{Item, Tree};
use crate::util::prefetch::prefetch;

/// The size limits of `list-max-listpack-size` -1 to -5, in bytes.
const NODE_BYTES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
/// The most bytes of a node whose limit is a number of elements.
const SAFE_BYTES: usize = 8192;
/// What an element's header and back length take in a listpack, estimated, in bytes.
const ELEMENT_OVERHEAD: usize = 8;
/// From so many removed elements on, a node is written anew instead of closing each gap.
const REWRITE_FROM: usize = 4;

/// A node of a large list.
#[derive(Debug, Clone)]
enum Node {
    /// Several elements.
    Packed(Arc<Listpack>),
    /// One element that is too large to be packed.
    Plain(Arc<[u8]>),
}

impl Item for Node {
    type Key = ();

    fn key(&self) {}

    fn weight(&self) -> u64 {
        match self {
            Self::Packed(pack) => pack.len() as u64,
            Self::Plain(_) => 1,
        }
    }
}

impl Node {
    fn new(value: &[u8], limits: &Limits) -> Self {
        if value.len() > node_bytes(limits) {
            return Self::Plain(Arc::from(value));
        }
        let mut pack = Listpack::new();
        pack.push_back(value);
        Self::Packed(Arc::new(pack))
    }

    /// Whether `value` may be added to this node.
    fn takes(&self, value: &[u8], limits: &Limits) -> bool {
        match self {
            Self::Packed(pack) => {
                let bytes = value.len() + ELEMENT_OVERHEAD;
                value.len() <= node_bytes(limits) && fits(pack, bytes, 1, limits)
            }
            Self::Plain(_) => false,
        }
    }

    fn heap_bytes(&self) -> usize {
        16 + match self {
            Self::Packed(pack) => size_of::<Listpack>() + pack.capacity(),
            Self::Plain(bytes) => bytes.len(),
        }
    }
}

/// The most bytes of a node.
fn node_bytes(limits: &Limits) -> usize {
    match usize::try_from(limits.list_max_listpack_size) {
        Ok(_) => SAFE_BYTES,
        Err(_) => {
            let class = limits.list_max_listpack_size.unsigned_abs().clamp(1, 5) as usize;
            NODE_BYTES[class - 1]
        }
    }
}

/// The most elements of a node; no limit if the bytes are limited.
fn node_elements(limits: &Limits) -> usize {
    usize::try_from(limits.list_max_listpack_size).unwrap_or(usize::MAX).max(1)
}

/// Whether a listpack with so many more bytes and elements is still within one node's limits.
fn fits(pack: &Listpack, bytes: usize, elements: usize, limits: &Limits) -> bool {
    pack.fits(bytes, node_bytes(limits)) && pack.len() + elements <= node_elements(limits)
}

#[derive(Debug, Clone)]
enum Repr {
    Packed(Listpack),
    Nodes(Tree<Node>),
}

/// A list.
#[derive(Debug, Clone)]
pub struct List(Repr);

impl Prefetch for List {
    fn prefetch_body(&self) {
        if let Repr::Packed(pack) = &self.0 {
            pack.prefetch();
        }
    }
}

/// What an edit at an end of a tree of nodes reads, one thing after the other, when the root is
/// there; see [`List::prefetch_node`].
#[derive(Debug, Clone, Copy)]
pub enum NodeStep {
    /// The outer node's place in its leaf.
    Slot,
    /// Its listpack.
    Pack,
    /// The bytes at that one's end.
    Bytes,
}

impl NodeStep {
    /// The steps in their order.
    pub const ALL: [Self; 3] = [Self::Slot, Self::Pack, Self::Bytes];
}

impl List {
    /// Whether the list is a tree, whose outer nodes are for [`prefetch_node`](Self::prefetch_node).
    pub fn has_nodes(&self) -> bool {
        matches!(self.0, Repr::Nodes(_))
    }

    /// Asks for the bytes at an end, or for the root of a tree; the list's block is read.
    pub(super) fn prefetch_end(&self, end: End) {
        match &self.0 {
            Repr::Packed(pack) => prefetch_pack(pack, end),
            Repr::Nodes(tree) => tree.prefetch_root(),
        }
    }

    /// One step of the way from the root to the bytes at an end. A tree of more than one leaf is
    /// left alone: there are few such lists, and their outer nodes are in the cache.
    pub fn prefetch_node(&self, end: End, step: NodeStep) {
        let Repr::Nodes(tree) = &self.0 else { return };
        let leaf = tree.only_leaf();
        let Some(node) = (if end == End::Left { leaf.first() } else { leaf.last() }) else {
            return;
        };
        match (step, node) {
            (NodeStep::Slot, node) => prefetch(node),
            (NodeStep::Pack, Node::Packed(pack)) => prefetch::<Listpack>(pack),
            (NodeStep::Bytes, Node::Packed(pack)) => prefetch_pack(pack, end),
            (_, Node::Plain(_)) => {}
        }
    }
}

fn prefetch_pack(pack: &Listpack, end: End) {
    match end {
        End::Left => pack.prefetch_front(),
        End::Right => pack.prefetch_back(),
    }
}

impl Default for List {
    fn default() -> Self {
        Self(Repr::Packed(Listpack::new()))
    }
}

/// One end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Index 0.
    Left,
    /// Index -1.
    Right,
}

impl List {
    /// The name that `OBJECT ENCODING` replies.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Packed(_) => "listpack",
            Repr::Nodes(_) => "quicklist",
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Packed(pack) => pack.len(),
            Repr::Nodes(tree) => usize::try_from(tree.weight()).unwrap_or(usize::MAX),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap, estimated by the first nodes.
    pub fn heap_bytes(&self) -> usize {
        const SAMPLE: usize = 16;
        match &self.0 {
            Repr::Packed(pack) => pack.capacity(),
            Repr::Nodes(tree) => {
                let sampled = tree.len().clamp(1, SAMPLE);
                let bytes: usize = tree.iter().take(SAMPLE).map(Node::heap_bytes).sum();
                tree.heap_bytes() + bytes * tree.len() / sampled
            }
        }
    }

    /// The index counted from the left, if it is inside the list; negative counts from the right.
    pub fn position(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let from_left = match usize::try_from(index) {
            Ok(index) => index,
            Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
        };
        (from_left < len).then_some(from_left)
    }

    // ---- reading ----------------------------------------------------------------------------

    /// Calls `f` with the element at `position`, if there is one.
    pub fn get<R>(&self, position: usize, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        match &self.0 {
            Repr::Packed(pack) => pack.get_at(index(position)).map(f),
            Repr::Nodes(tree) => {
                let (rank, offset) = tree.seek_weight(position as u64)?;
                match tree.get(rank)? {
                    Node::Packed(pack) => pack.get_at(i64::try_from(offset).ok()?).map(f),
                    Node::Plain(bytes) => Some(f(Element::Str(bytes))),
                }
            }
        }
    }

    /// Calls `f` with the elements from `position` on, to the right or to the left, until it says
    /// `false`.
    pub fn walk(&self, position: usize, to: End, mut f: impl FnMut(Element<'_>) -> bool) {
        match &self.0 {
            Repr::Packed(pack) => {
                walk_pack(pack, position, to, &mut f);
            }
            Repr::Nodes(tree) => {
                let Some((rank, offset)) = tree.seek_weight(position as u64) else { return };
                let mut first = Some(usize::try_from(offset).unwrap_or(0));
                let mut visit = |node: &Node| match node {
                    Node::Packed(pack) => {
                        let last = pack.len().saturating_sub(1);
                        let start = first.take().unwrap_or(if to == End::Right { 0 } else { last });
                        walk_pack(pack, start, to, &mut f)
                    }
                    Node::Plain(bytes) => {
                        first = None;
                        f(Element::Str(bytes))
                    }
                };
                match to {
                    End::Right => {
                        tree.iter_from(rank).all(&mut visit);
                    }
                    End::Left => {
                        tree.iter_rev_from(rank).all(&mut visit);
                    }
                }
            }
        }
    }

    /// All elements from the left.
    pub fn for_each(&self, mut f: impl FnMut(Element<'_>)) {
        self.walk(0, End::Right, |element| {
            f(element);
            true
        });
    }

    /// The position of the first element equal to `value`, looking from the left.
    pub fn find(&self, value: &[u8]) -> Option<usize> {
        let (mut at, mut found) = (0, None);
        self.walk(0, End::Right, |element| {
            if element.eq_bytes(value) {
                found = Some(at);
            }
            at += 1;
            found.is_none()
        });
        found
    }

    // ---- changing ---------------------------------------------------------------------------

    /// Adds an element at an end.
    pub fn push(&mut self, end: End, value: &[u8], limits: &Limits) {
        self.make_room(value.len(), 1, limits);
        match &mut self.0 {
            Repr::Packed(pack) => push_pack(pack, end, value),
            Repr::Nodes(tree) => {
                let (outer, rank) = match end {
                    End::Left => (tree.first(), 0),
                    End::Right => (tree.last(), tree.len().saturating_sub(1)),
                };
                if outer.is_some_and(|node| node.takes(value, limits)) {
                    tree.update_at(rank, |node| {
                        if let Node::Packed(pack) = node {
                            push_pack(Arc::make_mut(pack), end, value);
                        }
                    });
                } else {
                    let node = Node::new(value, limits);
                    match end {
                        End::Left => tree.push_front(node),
                        End::Right => tree.push_back(node),
                    }
                }
            }
        }
    }

    /// Makes the list a tree of nodes if one listpack can't take so much more.
    fn make_room(&mut self, bytes: usize, elements: usize, limits: &Limits) {
        let Repr::Packed(pack) = &mut self.0 else { return };
        if fits(pack, bytes, elements, limits) {
            return;
        }
        let pack = std::mem::take(pack);
        let mut tree = Tree::new();
        if !pack.is_empty() {
            tree.push_back(Node::Packed(Arc::new(pack)));
        }
        self.0 = Repr::Nodes(tree);
    }

    /// As [`push`](Self::push) for all of `values` in order, converting at most once.
    pub fn push_all<'a>(
        &mut self,
        end: End,
        values: impl Iterator<Item = &'a [u8]> + Clone,
        limits: &Limits,
    ) {
        let (bytes, count) = values.clone().fold((0, 0), |(b, n), v| (b + v.len(), n + 1));
        self.make_room(bytes, count, limits);
        values.for_each(|value| self.push(end, value, limits));
    }

    /// Removes the element at an end, after a call of `f` with it.
    pub fn pop<R>(
        &mut self,
        end: End,
        limits: &Limits,
        f: impl FnOnce(Element<'_>) -> R,
    ) -> Option<R> {
        let result = match &mut self.0 {
            Repr::Packed(pack) => pop_pack(pack, end, f),
            Repr::Nodes(tree) => pop_node(tree, end, f),
        }?;
        self.shrink(limits);
        Some(result)
    }

    /// Removes `count` elements from `position` on, or as many as there are.
    pub fn remove_range(&mut self, position: usize, count: usize, limits: &Limits) {
        match &mut self.0 {
            Repr::Packed(pack) => pack.remove_range_at(index(position), count),
            Repr::Nodes(tree) => cut_nodes(tree, position, count),
        }
        self.shrink(limits);
    }

    /// Makes the list one listpack again when a single node is half full at most.
    fn shrink(&mut self, limits: &Limits) {
        let Repr::Nodes(tree) = &mut self.0 else { return };
        if tree.len() > 1 {
            return;
        }
        let half_entries = node_elements(limits) / 2;
        let half_bytes = match limits.list_max_listpack_size {
            0.. => usize::MAX,
            _ => node_bytes(limits) / 2,
        };
        match tree.first() {
            None => self.0 = Repr::Packed(Listpack::new()),
            Some(Node::Packed(pack))
                if pack.byte_len() <= half_bytes && pack.len() <= half_entries =>
            {
                let mut pack = (**pack).clone();
                pack.shrink_to_fit();
                self.0 = Repr::Packed(pack);
            }
            Some(_) => {}
        }
    }

    /// Replaces the element at `position`, which must be inside the list.
    pub fn set(&mut self, position: usize, value: &[u8], limits: &Limits) {
        self.make_room(value.len(), 1, limits);
        match &mut self.0 {
            Repr::Packed(pack) => {
                if let Some(pos) = pack.seek(index(position)) {
                    pack.replace(pos, value);
                }
            }
            Repr::Nodes(tree) => set_in_nodes(tree, position, value, limits),
        }
        self.shrink(limits);
    }

    /// Puts an element before `position`; a position past the end appends.
    pub fn insert(&mut self, position: usize, value: &[u8], limits: &Limits) {
        self.make_room(value.len(), 1, limits);
        if position >= self.len() {
            return self.push(End::Right, value, limits);
        }
        match &mut self.0 {
            Repr::Packed(pack) => {
                if let Some(pos) = pack.seek(index(position)) {
                    pack.insert_before(pos, value);
                }
            }
            Repr::Nodes(tree) => insert_in_nodes(tree, position, value, limits),
        }
    }

    /// Removes up to `count` elements equal to `value`, looking from an end; returns how many.
    pub fn remove(&mut self, value: &[u8], from: End, count: usize, limits: &Limits) -> usize {
        let len = self.len();
        let mut positions = Vec::new();
        let mut at = if from == End::Left { 0 } else { len.saturating_sub(1) };
        let to = if from == End::Left { End::Right } else { End::Left };
        self.walk(at, to, |element| {
            if element.eq_bytes(value) {
                positions.push(at);
            }
            at = if from == End::Left { at + 1 } else { at.wrapping_sub(1) };
            positions.len() < count
        });
        positions.sort_unstable();
        match &mut self.0 {
            Repr::Packed(pack) => remove_from_pack(pack, 0, &positions),
            Repr::Nodes(tree) => remove_from_nodes(tree, &positions),
        }
        if !positions.is_empty() {
            self.shrink(limits);
        }
        positions.len()
    }

    // ---- saving and loading -----------------------------------------------------------------

    /// Adds a node of several elements on the right, such as one from an RDB file;
    /// [`settle`](Self::settle) must follow.
    pub fn append_packed(&mut self, pack: Listpack) {
        if !pack.is_empty() {
            self.append_node(Node::Packed(Arc::new(pack)));
        }
    }

    /// As [`append_packed`](Self::append_packed), of one element that is kept for itself.
    pub fn append_plain(&mut self, bytes: &[u8]) {
        self.append_node(Node::Plain(Arc::from(bytes)));
    }

    fn append_node(&mut self, node: Node) {
        if let Repr::Packed(_) = self.0 {
            self.0 = Repr::Nodes(Tree::new());
        }
        if let Repr::Nodes(tree) = &mut self.0 {
            tree.push_back(node);
        }
    }

    /// Makes the list one listpack if its nodes are one that may be.
    pub fn settle(&mut self, limits: &Limits) {
        let Repr::Nodes(tree) = &mut self.0 else { return };
        if tree.len() == 1
            && let Some(Node::Packed(pack)) = tree.first()
            && fits(pack, 0, 0, limits)
        {
            self.0 = Repr::Packed((**pack).clone());
        }
    }

    /// The nodes in order, as a saved list keeps them: packed, or plain.
    pub fn nodes(&self) -> Vec<Result<&Listpack, &[u8]>> {
        match &self.0 {
            Repr::Packed(pack) => vec![Ok(pack)],
            Repr::Nodes(tree) => (tree.iter())
                .map(|node| match node {
                    Node::Packed(pack) => Ok(&**pack),
                    Node::Plain(bytes) => Err(&**bytes),
                })
                .collect(),
        }
    }
}

fn index(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn push_pack(pack: &mut Listpack, end: End, value: &[u8]) {
    match end {
        End::Left => pack.push_front(value),
        End::Right => pack.push_back(value),
    }
}

/// Walks a listpack from an index on; says whether to go on.
fn walk_pack(
    pack: &Listpack,
    start: usize,
    to: End,
    f: &mut impl FnMut(Element<'_>) -> bool,
) -> bool {
    let mut pos: Option<Pos> = pack.seek(index(start));
    if to == End::Right {
        return pack.iter_from(pos).all(f);
    }
    while let Some(at) = pos {
        if !f(pack.get(at)) {
            return false;
        }
        pos = pack.prev(at);
    }
    true
}

/// Changes the listpack of the node at `rank`.
fn edit_pack(tree: &mut Tree<Node>, rank: usize, change: impl FnOnce(&mut Listpack)) {
    tree.update_at(rank, |node| {
        if let Node::Packed(pack) = node {
            change(Arc::make_mut(pack));
        }
    });
}

/// Removes the element at an end of a listpack, after a call of `f` with it.
fn pop_pack<R>(pack: &mut Listpack, end: End, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
    let pos = match end {
        End::Left => pack.first()?,
        End::Right => pack.last()?,
    };
    let result = f(pack.get(pos));
    pack.remove(pos);
    Some(result)
}

/// The same with the node at an end, which goes with its last element.
fn pop_node<R>(tree: &mut Tree<Node>, end: End, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
    let (outer, rank) = match end {
        End::Left => (tree.first()?, 0),
        End::Right => (tree.last()?, tree.len().saturating_sub(1)),
    };
    if outer.weight() > 1 {
        let popped = tree.update_at(rank, |node| match node {
            Node::Packed(pack) => pop_pack(Arc::make_mut(pack), end, f),
            Node::Plain(_) => None,
        });
        return popped.flatten();
    }
    match tree.remove_at(rank)? {
        Node::Packed(pack) => pack.first().map(|pos| f(pack.get(pos))),
        Node::Plain(bytes) => Some(f(Element::Str(&bytes))),
    }
}

/// Replaces the element at `position`, in its node if that takes the new one.
fn set_in_nodes(tree: &mut Tree<Node>, position: usize, value: &[u8], limits: &Limits) {
    let Some((rank, offset)) = tree.seek_weight(position as u64) else { return };
    let replaced = tree.update_at(rank, |node| {
        let Node::Packed(pack) = node else { return false };
        let Some(pos) = pack.seek(i64::try_from(offset).unwrap_or(0)) else { return false };
        let more = value.len().saturating_sub(pack.get(pos).len());
        let inside = value.len() <= node_bytes(limits) && fits(pack, more, 0, limits);
        if inside {
            Arc::make_mut(pack).replace(pos, value);
        }
        inside
    });
    if replaced == Some(false) {
        cut_nodes(tree, position, 1);
        insert_in_nodes(tree, position, value, limits);
    }
}

/// Puts an element before the one at `position`: into its node, onto the end of the node before,
/// into a half of a node that is divided, or into a node of its own, whichever can be.
fn insert_in_nodes(tree: &mut Tree<Node>, position: usize, value: &[u8], limits: &Limits) {
    let takes =
        |tree: &Tree<Node>, rank| tree.get(rank).is_some_and(|node| node.takes(value, limits));
    let Some((rank, offset)) = tree.seek_weight(position as u64) else {
        match tree.len().checked_sub(1).filter(|&last| takes(tree, last)) {
            Some(last) => edit_pack(tree, last, |pack| pack.push_back(value)),
            None => tree.push_back(Node::new(value, limits)),
        }
        return;
    };
    if takes(tree, rank) {
        return edit_pack(tree, rank, |pack| {
            if let Some(pos) = pack.seek(i64::try_from(offset).unwrap_or(0)) {
                pack.insert_before(pos, value);
            }
        });
    }
    if offset > 0 {
        divide_node(tree, rank, usize::try_from(offset).unwrap_or(usize::MAX));
        if takes(tree, rank + 1) {
            return edit_pack(tree, rank + 1, |pack| pack.push_front(value));
        }
    }
    let rank = if offset > 0 { rank + 1 } else { rank };
    match rank.checked_sub(1).filter(|&before| takes(tree, before)) {
        Some(before) => edit_pack(tree, before, |pack| pack.push_back(value)),
        None => tree.insert_at(rank, Node::new(value, limits)),
    }
}

/// Makes two nodes of one: the second begins at `offset`, which must be inside.
fn divide_node(tree: &mut Tree<Node>, rank: usize, offset: usize) {
    let mut tail = None;
    edit_pack(tree, rank, |pack| tail = Some(pack.split_off(offset)));
    if let Some(tail) = tail {
        tree.insert_at(rank + 1, Node::Packed(Arc::new(tail)));
    }
}

/// Removes the elements at ascending `positions` from a listpack whose first is at `first`.
fn remove_from_pack(pack: &mut Listpack, first: usize, positions: &[usize]) {
    if positions.len() < REWRITE_FROM {
        // From the right, so that positions to come stay what they are.
        for &position in positions.iter().rev() {
            pack.remove_range_at(index(position - first), 1);
        }
        return;
    }
    let mut left = Listpack::with_capacity(pack.byte_len());
    let mut gone = positions.iter().copied().peekable();
    for (position, element) in (first..).zip(pack.iter()) {
        if gone.next_if_eq(&position).is_none() {
            left.push_back(element);
        }
    }
    left.shrink_to_fit();
    *pack = left;
}

/// Removes the elements at ascending `positions`, node by node from the right.
fn remove_from_nodes(tree: &mut Tree<Node>, mut positions: &[usize]) {
    while let Some(&last) = positions.last() {
        let Some((rank, offset)) = tree.seek_weight(last as u64) else { return };
        let first = last - usize::try_from(offset).unwrap_or(0);
        let (before, inside) = positions.split_at(positions.partition_point(|&at| at < first));
        if tree.get(rank).is_some_and(|node| node.weight() == inside.len() as u64) {
            tree.remove_at(rank);
        } else {
            edit_pack(tree, rank, |pack| remove_from_pack(pack, first, inside));
        }
        positions = before;
    }
}

/// Removes `count` elements from `position` on: parts of the outer nodes, and whole inner ones.
fn cut_nodes(tree: &mut Tree<Node>, position: usize, count: usize) {
    let total = usize::try_from(tree.weight()).unwrap_or(usize::MAX);
    let mut left = count.min(total.saturating_sub(position));
    if left == 0 {
        return;
    }
    let Some((mut rank, offset)) = tree.seek_weight(position as u64) else { return };
    if offset > 0 {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        left -= cut_in_node(tree, rank, offset, left);
        rank += 1;
    }
    let whole_to = tree.seek_weight(tree.weight_before(rank) + left as u64);
    let end_rank = whole_to.map_or(tree.len(), |(end_rank, _)| end_rank);
    let rest = whole_to.map_or(0, |(_, offset)| usize::try_from(offset).unwrap_or(usize::MAX));
    if left > 0 {
        tree.remove_range(rank..end_rank);
        if rest > 0 {
            cut_in_node(tree, rank, 0, rest);
        }
    }
}

/// Removes up to `count` elements from `offset` on inside one node, and not all of them; returns
/// how many there were.
fn cut_in_node(tree: &mut Tree<Node>, rank: usize, offset: usize, count: usize) -> usize {
    let mut removed = 0;
    edit_pack(tree, rank, |pack| {
        let before = pack.len();
        pack.remove_range_at(index(offset), count);
        removed = before - pack.len();
    });
    removed
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn contents(list: &List) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        list.for_each(|element| all.push(element.to_vec()));
        all
    }

    #[derive(Debug, Clone)]
    enum Op {
        Push(bool, Vec<u8>),
        Pop(bool),
        Set(usize, Vec<u8>),
        Insert(usize, Vec<u8>),
        Cut(usize, usize),
        Remove(Vec<u8>, bool, usize),
        Hold,
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => (0..20i64).prop_map(|n| n.to_string().into_bytes()),
            2 => proptest::collection::vec(any::<u8>(), 0..40),
            1 => (3000..9000usize).prop_map(|n| vec![b'x'; n]),
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (any::<bool>(), value()).prop_map(|(l, v)| Op::Push(l, v)),
            2 => any::<bool>().prop_map(Op::Pop),
            1 => (0..300usize, value()).prop_map(|(i, v)| Op::Set(i, v)),
            2 => (0..300usize, value()).prop_map(|(i, v)| Op::Insert(i, v)),
            1 => (0..300usize, 0..60usize).prop_map(|(i, n)| Op::Cut(i, n)),
            1 => (value(), any::<bool>(), 1..40usize).prop_map(|(v, l, n)| Op::Remove(v, l, n)),
            1 => Just(Op::Hold),
        ]
    }

    fn end(left: bool) -> End {
        if left { End::Left } else { End::Right }
    }

    fn apply(list: &mut List, model: &mut VecDeque<Vec<u8>>, op: Op, limits: &Limits) {
        match op {
            Op::Push(left, v) => {
                list.push(end(left), &v, limits);
                if left { model.push_front(v) } else { model.push_back(v) }
            }
            Op::Pop(left) => {
                let got = list.pop(end(left), limits, |element| element.to_vec());
                assert_eq!(got, if left { model.pop_front() } else { model.pop_back() });
            }
            Op::Set(i, v) if i < model.len() => {
                list.set(i, &v, limits);
                model[i] = v;
            }
            Op::Insert(i, v) => {
                list.insert(i, &v, limits);
                model.insert(i.min(model.len()), v);
            }
            Op::Cut(i, n) => {
                list.remove_range(i, n, limits);
                let start = i.min(model.len());
                model.drain(start..(start + n).min(model.len()));
            }
            Op::Remove(v, left, n) => {
                let removed = list.remove(&v, end(left), n, limits);
                let mut expected = 0;
                while expected < n {
                    let at = match left {
                        true => model.iter().position(|x| *x == v),
                        false => model.iter().rposition(|x| *x == v),
                    };
                    let Some(at) = at else { break };
                    model.remove(at);
                    expected += 1;
                }
                assert_eq!(removed, expected);
            }
            Op::Set(..) | Op::Hold => {}
        }
    }

    fn filled(limits: &Limits, count: usize) -> List {
        let mut list = List::default();
        (0..count).for_each(|i| list.push(End::Right, i.to_string().as_bytes(), limits));
        list
    }

    #[test]
    fn converts_at_the_limit_and_back_at_its_half() {
        let limits = Limits { list_max_listpack_size: 8, ..Limits::default() };
        let mut list = filled(&limits, 8);
        assert_eq!(list.encoding(), "listpack");
        list.push(End::Left, b"x", &limits);
        assert_eq!(list.encoding(), "quicklist");
        // Two nodes: the one that is left decides.
        list.pop(End::Left, &limits, |_| ());
        assert_eq!((list.encoding(), list.len()), ("quicklist", 8));
        list.remove_range(0, 3, &limits);
        assert_eq!((list.encoding(), list.len()), ("quicklist", 5));
        list.remove(b"7", End::Right, 1, &limits);
        assert_eq!((list.encoding(), list.len()), ("listpack", 4));
        // A replacement counts as an element more.
        let mut list = filled(&limits, 8);
        list.set(0, b"y", &limits);
        assert_eq!((list.encoding(), list.len()), ("quicklist", 8));
    }

    #[test]
    fn a_limit_in_bytes_converts_too() {
        let limits = Limits { list_max_listpack_size: -1, ..Limits::default() };
        let mut list = List::default();
        while list.encoding() == "listpack" {
            list.push(End::Right, &[b'v'; 100], &limits);
        }
        // 7 bytes of the listpack itself, and 104 for each of these.
        assert_eq!(list.len(), (4096 - 7 - 100) / 104 + 2);
        while list.encoding() == "quicklist" {
            list.pop(End::Right, &limits, |_| ());
        }
        assert_eq!(list.len(), (2048 - 7) / 104);
    }

    #[test]
    fn inserting_in_the_middle_keeps_nodes_filled() {
        let limits = Limits { list_max_listpack_size: 8, ..Limits::default() };
        for after in [0, 1] {
            let mut list = filled(&limits, 64);
            let pivot = 32;
            (0..800).for_each(|_| list.insert(pivot + after, b"x", &limits));
            let nodes = list.nodes().len();
            assert!(nodes <= 864 / 4, "{nodes} nodes");
        }
        let mut list = filled(&limits, 64);
        (0..800).for_each(|i| list.set(i % 64, b"longer than what was there", &limits));
        assert!(list.nodes().len() <= 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
        #[test]
        fn behaves_as_a_deque(
            ops in proptest::collection::vec(op(), 1..250),
            size in prop_oneof![Just(-2), Just(-1), Just(1), Just(4), Just(128)],
        ) {
            let limits = Limits { list_max_listpack_size: size, ..Limits::default() };
            let (mut list, mut model) = (List::default(), VecDeque::new());
            let mut held = Vec::new();
            for op in ops {
                if matches!(op, Op::Hold) {
                    held.push((list.clone(), model.clone()));
                }
                apply(&mut list, &mut model, op, &limits);
                prop_assert_eq!(list.len(), model.len());
            }
            held.push((list, model));
            for (list, model) in held {
                prop_assert_eq!(contents(&list), Vec::from(model.clone()));
                for i in [0, model.len() / 2, model.len().saturating_sub(1)] {
                    prop_assert_eq!(list.get(i, |e| e.to_vec()), model.get(i).cloned());
                    let mut back = Vec::new();
                    list.walk(i, End::Left, |e| { back.push(e.to_vec()); true });
                    let expected: Vec<_> = model.iter().take(i + 1).rev().cloned().collect();
                    prop_assert_eq!(back, expected);
                }
            }
        }
    }
}
