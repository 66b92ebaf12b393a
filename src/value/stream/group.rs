//! Consumer groups: how far each has read, what its consumers have not acknowledged.
//!
//! Owns the rule that an entry pending in a group is pending for one consumer, and stands in both
//! lists. Never looks at entries, save what [`Log`] tells of their positions, nor at the clock.

use std::cmp::Ordering;

use smallvec::SmallVec;
use triomphe::ThinArc;

use super::Log;
use super::id::StreamId;
use crate::ds::tree::{Item, Probe, Tree};

/// The name of a group or consumer: one word, shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(ThinArc<(), u8>);

impl Name {
    pub(super) fn new(name: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), name))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.slice
    }

    /// Whether it is the same word in memory.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.as_bytes(), other.as_bytes())
    }

    fn heap_bytes(&self) -> usize {
        16 + self.as_bytes().len()
    }
}

/// A probe for what has a name.
struct Named<'n>(&'n [u8]);

/// An entry that has been delivered and not been acknowledged.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The entry.
    pub id: StreamId,
    /// When it was delivered last, in Unix milliseconds.
    pub delivered_ms: i64,
    /// How often it has been delivered.
    pub count: u64,
    /// The consumer to whom it was delivered last.
    pub consumer: Name,
}

impl Item for Pending {
    type Key = StreamId;

    fn key(&self) -> StreamId {
        self.id
    }
}

impl Probe<Pending> for StreamId {
    fn item(&self, item: &Pending) -> Ordering {
        item.id.cmp(self)
    }

    fn key(&self, key: &StreamId) -> Ordering {
        key.cmp(self)
    }
}

impl Pending {
    /// Counts a delivery.
    pub fn count_delivery(&mut self) {
        self.count = self.count.saturating_add(1).min(i64::MAX as u64);
    }

    /// Milliseconds since it was delivered; negative if the clock was turned back.
    pub fn idle_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.delivered_ms)
    }
}

/// A consumer of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    name: Name,
    /// When it last tried to do something, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got entries, in Unix milliseconds.
    pub active_ms: Option<i64>,
    pending: Tree<StreamId>,
}

impl Item for Consumer {
    type Key = Name;

    fn key(&self) -> Name {
        self.name.clone()
    }
}

impl Probe<Consumer> for Named<'_> {
    fn item(&self, item: &Consumer) -> Ordering {
        item.name.as_bytes().cmp(self.0)
    }

    fn key(&self, key: &Name) -> Ordering {
        key.as_bytes().cmp(self.0)
    }
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Number of entries pending for it.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The entries pending for it, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.iter_from(rank_of(&self.pending, start)).copied()
    }

    fn heap_bytes(&self) -> usize {
        self.name.heap_bytes() + self.pending.heap_bytes()
    }
}

/// The rank of the first item that isn't before `start`; free if it is the smallest ID.
fn rank_of<T: Item>(tree: &Tree<T>, start: StreamId) -> usize
where
    StreamId: Probe<T>,
{
    if start == StreamId::MIN { 0 } else { tree.lower_bound(&start) }
}

/// Inserts into a list that mostly grows at its end; says whether the item is new.
fn insert<T: Item<Key = StreamId>>(tree: &mut Tree<T>, item: T) -> bool
where
    StreamId: Probe<T>,
{
    let id = item.key();
    if tree.last().is_none_or(|last| last.key() < id) {
        tree.push_back(item);
        return true;
    }
    let new = tree.get_by(&id).is_none();
    if new {
        tree.insert(item, &id);
    }
    new
}

/// A consumer group.
#[derive(Debug, Clone)]
pub struct Group {
    name: Name,
    /// The last entry delivered.
    pub last_id: StreamId,
    /// How many of the entries ever added it has read, if that is known. Never over `i64::MAX`.
    pub entries_read: Option<u64>,
    pending: Tree<Pending>,
    consumers: Tree<Consumer>,
}

impl Item for Group {
    type Key = Name;

    fn key(&self) -> Name {
        self.name.clone()
    }
}

impl Probe<Group> for Named<'_> {
    fn item(&self, item: &Group) -> Ordering {
        item.name.as_bytes().cmp(self.0)
    }

    fn key(&self, key: &Name) -> Ordering {
        key.as_bytes().cmp(self.0)
    }
}

impl Group {
    /// A group that has read up to `last_id`.
    pub fn new(name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self {
            name: Name::new(name),
            last_id,
            entries_read,
            pending: Tree::new(),
            consumers: Tree::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.name.heap_bytes()
            + self.pending.heap_bytes()
            + self.consumers.heap_bytes()
            + self.consumers.iter().map(Consumer::heap_bytes).sum::<usize>()
    }

    // ---- consumers --------------------------------------------------------------------------

    /// Its consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.consumers.iter()
    }

    /// The consumer of that name.
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get_by(&Named(name))
    }

    /// Creates a consumer; says whether there was none of that name.
    pub fn create_consumer(&mut self, name: &[u8], now_ms: i64) -> bool {
        self.add_consumer(name, now_ms, None)
    }

    /// As [`create_consumer`](Self::create_consumer), with its times as they were saved.
    pub fn add_consumer(&mut self, name: &[u8], seen_ms: i64, active_ms: Option<i64>) -> bool {
        let new = self.consumer(name).is_none();
        if new {
            let consumer =
                Consumer { name: Name::new(name), seen_ms, active_ms, pending: Tree::new() };
            self.consumers.insert(consumer, &Named(name));
        }
        new
    }

    /// Notes that a consumer tries to do something, and creates it if there is none of that name;
    /// says whether it did.
    pub fn see(&mut self, name: &[u8], now_ms: i64) -> bool {
        let seen = self.consumers.update_by(&Named(name), |consumer| consumer.seen_ms = now_ms);
        seen.is_none() && self.create_consumer(name, now_ms)
    }

    /// Removes a consumer and what is pending for it; returns how many entries that were.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(&Named(name))?;
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    fn update_consumer(&mut self, name: &Name, change: impl FnOnce(&mut Consumer)) {
        self.consumers.update_by(&Named(name.as_bytes()), change);
    }

    // ---- pending entries --------------------------------------------------------------------

    /// Number of pending entries.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The first and the last pending entry.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((self.pending.first()?.id, self.pending.last()?.id))
    }

    /// The pending entries from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl ExactSizeIterator<Item = &Pending> {
        self.pending.iter_from(rank_of(&self.pending, start))
    }

    /// The pending entry of that ID.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get_by(&id)
    }

    pub(super) fn add_pending(&mut self, pending: Pending) -> bool {
        insert(&mut self.pending, pending)
    }

    /// Changes when and how often a pending entry was delivered.
    pub fn update_pending(&mut self, id: StreamId, change: impl FnOnce(&mut Pending)) {
        self.pending.update_by(&id, change);
    }

    /// Ends that an entry is pending; says whether it was.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.update_consumer(&pending.consumer, |consumer| {
            consumer.pending.remove(&id);
        });
        true
    }

    /// Notes that new entries are delivered to a consumer, which must exist. One that is pending
    /// already becomes this consumer's.
    pub fn deliver(&mut self, name: &[u8], ids: &[StreamId], now_ms: i64) {
        let Some(name) = self.consumer(name).map(|consumer| consumer.name.clone()) else { return };
        let mut moved = SmallVec::<[StreamId; 8]>::new();
        for &id in ids {
            let fresh = Pending { id, delivered_ms: now_ms, count: 1, consumer: name.clone() };
            if !insert(&mut self.pending, fresh) {
                moved.push(id);
            }
        }
        for id in moved {
            self.claim(id, name.as_bytes(), |pending| {
                (pending.delivered_ms, pending.count) = (now_ms, 1);
            });
        }
        self.update_consumer(&name, |consumer| {
            consumer.active_ms = Some(now_ms);
            for &id in ids {
                insert(&mut consumer.pending, id);
            }
        });
    }

    /// As [`claim`](Self::claim), but an entry that isn't pending is made so before: as if it had
    /// been delivered once.
    pub fn claim_or_create(
        &mut self,
        id: StreamId,
        name: &[u8],
        now_ms: i64,
        change: impl FnOnce(&mut Pending),
    ) {
        let Some(name) = self.consumer(name).map(|consumer| consumer.name.clone()) else { return };
        let fresh = Pending { id, delivered_ms: now_ms, count: 1, consumer: name.clone() };
        if insert(&mut self.pending, fresh) {
            self.update_consumer(&name, |consumer| {
                insert(&mut consumer.pending, id);
            });
        }
        self.claim(id, name.as_bytes(), change);
    }

    /// Makes a pending entry a consumer's, which must exist, and changes it.
    pub fn claim(&mut self, id: StreamId, name: &[u8], change: impl FnOnce(&mut Pending)) {
        let Some(name) = self.consumer(name).map(|consumer| consumer.name.clone()) else { return };
        let owner = self.pending.update_by(&id, |pending| {
            change(pending);
            (!pending.consumer.is_same(&name))
                .then(|| std::mem::replace(&mut pending.consumer, name.clone()))
        });
        if let Some(Some(owner)) = owner {
            self.update_consumer(&owner, |consumer| {
                consumer.pending.remove(&id);
            });
            self.update_consumer(&name, |consumer| {
                insert(&mut consumer.pending, id);
            });
        }
    }

    /// Notes that a consumer has got entries.
    pub fn activate(&mut self, name: &[u8], now_ms: i64) {
        self.consumers.update_by(&Named(name), |consumer| consumer.active_ms = Some(now_ms));
    }

    // ---- progress ---------------------------------------------------------------------------

    /// Notes that the entry `id` is delivered, if it is later than the last.
    pub fn advance(&mut self, log: &Log, id: StreamId) {
        if id <= self.last_id {
            return;
        }
        match self.entries_read {
            // Nothing that follows has been deleted, so the count stays exact.
            Some(read) if !log.has_gap_from(id) => {
                self.entries_read = Some(read.saturating_add(1).min(i64::MAX as u64));
            }
            _ if log.entries_added() > 0 => self.entries_read = log.position(id),
            _ => {}
        }
        self.last_id = id;
    }

    /// How many entries it has still to read, if that is known.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        let added = log.entries_added().cast_signed();
        let read = match self.entries_read {
            _ if log.entries_added() == 0 => return Some(0),
            Some(read) if !log.has_gap_from(self.last_id) => read,
            _ => log.position(self.last_id)?,
        };
        Some(added.wrapping_sub(read.cast_signed()))
    }
}

/// The groups of a stream, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups(Tree<Group>);

impl Groups {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.0.iter()
    }

    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.0.get_by(&Named(name))
    }

    pub fn insert(&mut self, group: Group) -> bool {
        let name = group.name.clone();
        let new = self.get(name.as_bytes()).is_none();
        if new {
            self.0.insert(group, &Named(name.as_bytes()));
        }
        new
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Group> {
        self.0.remove(&Named(name))
    }

    pub fn update<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        self.0.update_by(&Named(name), change)
    }

    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes() + self.iter().map(Group::heap_bytes).sum::<usize>()
    }
}
