//! Streams: a log of entries in listpack nodes, and the consumer groups that read it.
//!
//! Owns the order of IDs, trimming and deletion, and what Redis remembers of entries that are gone
//! (`last_id`, `max_deleted_id`, `entries_added`). A clone is a snapshot. Knows neither keys nor
//! clients nor time. Unlike other collections, a stream may be empty.

mod group;
mod id;
mod iter;
mod load;
mod node;
#[cfg(test)]
mod tests;

pub use group::{Consumer, Group, Name, Pending};
pub use id::{IdBuf, StreamId};
pub use iter::Range;
pub use load::GroupLoader;
pub use node::Entry;

use std::fmt;

use group::Groups;
use node::Node;

use super::Limits;
use crate::ds::listpack::{self, Listpack};
use crate::ds::tree::Tree;

/// The most bytes that the names and values of one entry may have.
pub const ENTRY_BYTES_MAX: usize = listpack::MAX_BYTES;
/// The most bytes that a new node gets in advance.
const ROOM_MAX: usize = 4096;

/// Why an entry can't be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// Its ID isn't later than the last one.
    NotLater,
    /// Its names and values are too long.
    TooLarge,
}

/// What a stream is cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimTo {
    /// So many entries.
    MaxLen(u64),
    /// Entries that are not before this one.
    MinId(StreamId),
}

/// How a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// What it is cut to.
    pub to: TrimTo,
    /// Only whole nodes are removed.
    pub approximate: bool,
    /// The most entries that are removed; 0 is no limit.
    pub limit: u64,
}

/// What a stream remembers beside its entries, as RDB files hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// The ID of the last entry ever added.
    pub last_id: StreamId,
    /// The first entry; `0-0` if there is none.
    pub first_id: StreamId,
    /// The greatest ID that was ever deleted; `0-0` if none was.
    pub max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
}

/// What came from outside is no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptStream;

impl fmt::Display for CorruptStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("corrupt stream")
    }
}

impl std::error::Error for CorruptStream {}

/// The entries of a stream.
#[derive(Debug, Clone, Default)]
pub struct Log {
    nodes: Tree<Node>,
    len: u64,
    meta: Meta,
}

/// A stream.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    log: Log,
    groups: Groups,
}

impl Log {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is remembered beside the entries.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Entries ever added.
    pub fn entries_added(&self) -> u64 {
        self.meta.entries_added
    }

    /// The ID of the last entry ever added, or what XSETID made of it.
    pub fn last_id(&self) -> StreamId {
        self.meta.last_id
    }

    // ---- reading ----------------------------------------------------------------------------

    /// The entries from `start` to `end`, both included, in order.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.nodes, start, end, false)
    }

    /// The same from the last to the first.
    pub fn range_rev(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.nodes, start, end, true)
    }

    /// All entries.
    pub fn iter(&self) -> Range<'_> {
        self.range(StreamId::MIN, StreamId::MAX)
    }

    /// The first entry that is there.
    pub fn first(&self) -> Option<Entry<'_>> {
        self.iter().next()
    }

    /// The last entry that is there.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_rev(StreamId::MIN, StreamId::MAX).next()
    }

    /// The entry of that ID.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let rank = self.nodes.upper_bound(&id).checked_sub(1)?;
        self.nodes.get(rank)?.get(id)
    }

    /// Whether an entry at or after `id` may have been deleted by XDEL.
    fn has_gap_from(&self, id: StreamId) -> bool {
        let Meta { first_id, max_deleted_id: deleted, .. } = self.meta;
        !self.is_empty() && deleted != StreamId::MIN && first_id <= deleted && id <= deleted
    }

    /// How many entries were added up to this ID, if that can be told.
    pub fn position(&self, id: StreamId) -> Option<u64> {
        let Meta { last_id, first_id, max_deleted_id, entries_added } = self.meta;
        if entries_added == 0 || self.is_empty() && id <= last_id {
            return Some(entries_added);
        }
        if id > last_id {
            return None;
        }
        if id == last_id {
            return Some(entries_added);
        }
        let before_first = entries_added.wrapping_sub(self.len);
        if max_deleted_id != StreamId::MIN && max_deleted_id >= first_id {
            return None;
        }
        match id.cmp(&first_id) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first.wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    // ---- nodes ------------------------------------------------------------------------------

    /// The nodes in order: the ID that each begins with, and its listpack in Redis's format.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (StreamId, &[u8])> {
        self.nodes.iter().map(|node| (node.id, node.pack.as_bytes()))
    }

    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn heap_bytes(&self) -> usize {
        const SAMPLE: usize = 16;
        let sampled = self.nodes.len().clamp(1, SAMPLE);
        let bytes = |node: &Node| 8 + size_of::<Listpack>() + node.pack.capacity();
        let total: usize = self.nodes.iter().take(SAMPLE).map(bytes).sum();
        self.nodes.heap_bytes() + total * self.nodes.len() / sampled
    }

    // ---- changing ---------------------------------------------------------------------------

    /// Adds an entry at the end. `fields` are names and values in turn.
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
        limits: &Limits,
    ) -> Result<(), AppendError> {
        if id <= self.meta.last_id {
            return Err(AppendError::NotLater);
        }
        let text_bytes = fields.clone().map(<[u8]>::len).sum();
        if text_bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let last = self.nodes.len().wrapping_sub(1);
        let added = self.nodes.update_at(last, |node| {
            let added = node.append(id, fields.clone(), text_bytes, limits);
            if !added {
                node.close();
            }
            (added, node.pack.byte_len())
        });
        match added {
            Some((true, _)) => {}
            // The next node will probably become as large as this one.
            Some((false, room)) => self.nodes.push_back(Node::new(id, fields, room.min(ROOM_MAX))),
            None => self.nodes.push_back(Node::new(id, fields, 0)),
        }
        self.len += 1;
        self.meta.entries_added = self.meta.entries_added.wrapping_add(1);
        self.meta.last_id = id;
        if self.len == 1 {
            self.meta.first_id = id;
        }
        Ok(())
    }

    /// Deletes an entry and remembers that; says whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(rank) = self.nodes.upper_bound(&id).checked_sub(1) else { return false };
        let Some(node) = self.nodes.get(rank) else { return false };
        let Some(place) = node.find(id) else { return false };
        if node.live() <= 1 {
            self.nodes.remove_at(rank);
        } else {
            self.nodes.update_at(rank, |node| node.delete(place));
        }
        self.len = self.len.saturating_sub(1);
        self.meta.max_deleted_id = self.meta.max_deleted_id.max(id);
        if self.meta.first_id == id || self.is_empty() {
            self.find_first();
        }
        true
    }

    /// Removes entries from the start on; returns how many.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let mut removed = 0;
        let mut whole = 0;
        let mut cut = false;
        for node in &self.nodes {
            let (left, live) = (self.len - removed, node.live());
            let done = matches!(trim.to, TrimTo::MaxLen(len) if left <= len);
            if done || trim.limit > 0 && removed.saturating_add(live) > trim.limit {
                break;
            }
            let goes = match trim.to {
                TrimTo::MaxLen(len) => left.saturating_sub(live) >= len,
                TrimTo::MinId(id) => node.last_id() < id,
            };
            if !goes {
                cut = !trim.approximate;
                break;
            }
            removed += live.min(left);
            whole += 1;
        }
        self.nodes.remove_range(0..whole);
        if cut {
            let left = self.len - removed;
            removed += self.trim_node(trim.to, left);
        }
        if removed > 0 {
            self.len -= removed;
            self.find_first();
        }
        removed
    }

    /// Removes entries from the first node, of a stream with `len` entries.
    fn trim_node(&mut self, to: TrimTo, len: u64) -> u64 {
        let removed = self.nodes.update_at(0, |node| {
            let removed = node.delete_until(|id, deleted| match to {
                TrimTo::MaxLen(max) => len.saturating_sub(deleted) <= max,
                TrimTo::MinId(min) => id >= min,
            });
            (removed, node.live())
        });
        let Some((removed, live)) = removed else { return 0 };
        // The entries behind may have been deleted before.
        if live == 0 {
            self.nodes.remove_at(0);
        }
        removed.min(len)
    }

    fn find_first(&mut self) {
        let first = if self.is_empty() { None } else { self.first().map(|entry| entry.id()) };
        self.meta.first_id = first.unwrap_or_default();
    }
}

impl Stream {
    /// The name that `OBJECT ENCODING` replies.
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        usize::try_from(self.log.len).unwrap_or(usize::MAX)
    }

    /// Whether there is no entry. Such a stream stays all the same.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Number of entries, and of those that are pending in groups: what takes time to free.
    pub fn effort(&self) -> usize {
        self.groups.iter().map(Group::pending_len).fold(self.len(), usize::saturating_add)
    }

    /// Bytes on the heap, estimated by the first nodes.
    pub fn heap_bytes(&self) -> usize {
        self.log.heap_bytes() + self.groups.heap_bytes()
    }

    /// Its entries.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The same to change.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Sets what is remembered beside the entries (XSETID). `last_id` must not be before the last
    /// entry.
    pub fn set_meta(&mut self, meta: Meta) {
        self.log.meta = meta;
    }

    // ---- groups -----------------------------------------------------------------------------

    /// Its groups, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.groups.iter()
    }

    /// Number of groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The group of that name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Adds a group; says whether there was none of that name.
    pub fn add_group(&mut self, group: Group) -> bool {
        self.groups.insert(group)
    }

    /// Removes a group; says whether there was one of that name.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        self.groups.remove(name).is_some()
    }

    /// Changes a group, beside the entries that it reads.
    pub fn with_group<R>(
        &mut self,
        name: &[u8],
        change: impl FnOnce(&Log, &mut Group) -> R,
    ) -> Option<R> {
        let Self { log, groups } = self;
        groups.update(name, |group| change(log, group))
    }

    // ---- from outside -----------------------------------------------------------------------

    /// Adds a node from outside, such as an RDB file, behind the others. Its listpack must be
    /// well-formed, and its entries, too, if `deep`; without, reading ends a node where it is
    /// malformed.
    ///
    /// # Errors
    /// If it is not, or if the node doesn't begin behind the last one.
    pub fn push_node(
        &mut self,
        id: StreamId,
        image: Vec<u8>,
        deep: bool,
    ) -> Result<(), CorruptStream> {
        let pack = Listpack::from_bytes(image).map_err(|_| CorruptStream)?;
        let node = Node::validated(id, pack, deep).ok_or(CorruptStream)?;
        let before = self.log.nodes.last();
        if before.is_some_and(|last| last.id >= id || deep && last.last_id() >= id) {
            return Err(CorruptStream);
        }
        self.log.len = self.log.len.checked_add(node.live()).ok_or(CorruptStream)?;
        // Redis may leave a node whose entries are all deleted.
        if node.live() > 0 {
            self.log.nodes.push_back(node);
        }
        Ok(())
    }

    /// Ends a load. If `deep`, `len` entries must have come with the nodes, and none may be behind
    /// `meta.last_id`; without, both are set right.
    ///
    /// # Errors
    /// If that is not so.
    pub fn finish_load(&mut self, len: u64, meta: Meta, deep: bool) -> Result<(), CorruptStream> {
        let last = self.log.nodes.last().map_or(StreamId::MIN, Node::last_id);
        if deep && (len != self.log.len || last > meta.last_id) {
            return Err(CorruptStream);
        }
        self.log.meta = Meta { last_id: meta.last_id.max(last), ..meta };
        Ok(())
    }

    /// As [`finish_load`](Self::finish_load), for files from before Redis 7, which hold no more
    /// than the last ID: the rest is what can be told of the entries.
    ///
    /// # Errors
    /// As [`finish_load`](Self::finish_load).
    pub fn finish_old_load(
        &mut self,
        len: u64,
        last_id: StreamId,
        deep: bool,
    ) -> Result<(), CorruptStream> {
        let entries_added = self.log.len;
        self.finish_load(len, Meta { last_id, entries_added, ..Meta::default() }, deep)?;
        self.log.find_first();
        Ok(())
    }
}
