//! A node of a stream: a run of entries in one listpack, byte for byte as Redis lays them out.
//!
//! Owns that layout: reading it in both directions, adding an entry, marking entries as deleted,
//! validating what came from outside. Never knows of other nodes. Reading never trusts the
//! content: a malformed rest of a node reads as its end.
//!
//! ```text
//! head:  live entries | deleted entries | number of names | names ... | 0
//! entry: flags | ms | seq | values ... | length          if its fields have the head's names
//!        flags | ms | seq | number of fields | (name | value) ... | length
//! ```
//! `ms` and `seq` are relative to the node's ID, that of its first entry; `length` counts the
//! elements before it, so that entries can be read backwards.

use std::cmp::Ordering;

use triomphe::Arc;

use super::id::StreamId;
use crate::ds::listpack::{self, Element, Listpack, Pos};
use crate::ds::tree::{Item, Probe};
use crate::value::Limits;

/// Flag of an entry: it is deleted, its space not yet reclaimed.
const DELETED: i64 = 1;
/// Flag of an entry: its fields have the names of the node's head.
const SAME_NAMES: i64 = 2;
/// The elements before an entry's fields, if they have the head's names.
const FIXED: i64 = 3;

/// A run of entries, and the ID that it begins with.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub id: StreamId,
    pub pack: Arc<Listpack>,
}

impl Item for Node {
    type Key = StreamId;

    fn key(&self) -> StreamId {
        self.id
    }
}

impl Probe<Node> for StreamId {
    fn item(&self, item: &Node) -> Ordering {
        item.id.cmp(self)
    }

    fn key(&self, key: &StreamId) -> Ordering {
        key.cmp(self)
    }
}

/// What a node's first elements say.
#[derive(Debug, Clone)]
pub(super) struct Head<'a> {
    /// Entries that are not deleted.
    pub live: u64,
    /// Entries marked as deleted.
    pub dead: u64,
    names: usize,
    first_name: listpack::Iter<'a>,
    /// Before the first entry.
    entries: listpack::Iter<'a>,
}

impl<'a> Head<'a> {
    fn of(pack: &'a Listpack) -> Option<Self> {
        let mut rest = pack.iter();
        let live = count(rest.next()?)?;
        let dead = count(rest.next()?)?;
        let names = usize::try_from(count(rest.next()?)?).ok()?;
        let first_name = rest.clone();
        skip(&mut rest, names)?;
        (rest.next()?.as_int()? == 0).then_some(())?;
        Some(Self { live, dead, names, first_name, entries: rest })
    }
}

fn count(element: Element<'_>) -> Option<u64> {
    u64::try_from(element.as_int()?).ok()
}

/// Passes over so many elements, which must be there.
fn skip(elements: &mut listpack::Iter<'_>, count: usize) -> Option<()> {
    (0..count).try_for_each(|_| elements.next().map(drop))
}

/// An entry where it stands.
#[derive(Debug, Clone)]
pub(super) struct Raw<'a> {
    /// Where its flags stand.
    at: Pos,
    flags: i64,
    /// The elements that its length should say.
    elements: u64,
    /// The length that stands behind it.
    length: Option<u64>,
    pub entry: Entry<'a>,
}

/// Where an entry stands. Valid until the node changes.
pub(super) struct Place {
    at: Pos,
    flags: i64,
}

impl Raw<'_> {
    pub fn is_live(&self) -> bool {
        self.flags & DELETED == 0
    }
}

/// An entry of a stream, borrowed.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    id: StreamId,
    fields: usize,
    /// The names, where they stand in the node's head.
    names: Option<listpack::Iter<'a>>,
    body: listpack::Iter<'a>,
}

impl<'a> Entry<'a> {
    /// Its ID.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Number of its fields.
    #[allow(clippy::len_without_is_empty, reason = "an entry has fields")]
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Its fields in order: name and value.
    pub fn fields(&self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> {
        let (mut names, mut body) = (self.names.clone(), self.body.clone());
        (0..self.fields).map_while(move |_| {
            let name = match &mut names {
                Some(names) => names.next()?,
                None => body.next()?,
            };
            Some((name, body.next()?))
        })
    }
}

/// Reads a node's entries, deleted ones included, in one direction.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    id: StreamId,
    pack: &'a Listpack,
    head: Head<'a>,
    /// Before the entry that [`next`](Self::next) reads.
    rest: listpack::Iter<'a>,
    /// Where the entries that [`next_back`](Self::next_back) has read begin; none at first.
    end: Option<Pos>,
}

impl<'a> Reader<'a> {
    pub fn new(node: &'a Node) -> Option<Self> {
        let head = Head::of(&node.pack)?;
        let rest = head.entries.clone();
        Some(Self { id: node.id, pack: &node.pack, head, rest, end: None })
    }

    /// Goes back to the entry at a place.
    fn seek(&mut self, at: Pos) {
        self.rest = self.pack.iter_from(Some(at));
    }

    pub fn next(&mut self) -> Option<Raw<'a>> {
        read_entry(self.id, &self.head, &mut self.rest)
    }

    pub fn next_back(&mut self) -> Option<Raw<'a>> {
        let first = self.head.entries.pos()?;
        let length_at = match self.end {
            Some(end) => self.pack.prev(end)?,
            None => self.pack.last()?,
        };
        let length = usize::try_from(count(self.pack.get(length_at))?).ok()?;
        let mut at = length_at;
        for _ in 0..length {
            at = self.pack.prev(at)?;
            if at < first {
                return None;
            }
        }
        // Each step must lead on, or a malformed node could be read for ever.
        (at >= first && at < length_at).then_some(())?;
        self.end = Some(at);
        read_entry(self.id, &self.head, &mut self.pack.iter_from(Some(at)))
    }

    /// The next entry whose ID isn't before `id`.
    fn find(&mut self, id: StreamId) -> Option<Raw<'a>> {
        loop {
            let raw = self.next()?;
            if raw.entry.id >= id {
                return Some(raw);
            }
        }
    }
}

fn read_entry<'a>(
    node: StreamId,
    head: &Head<'a>,
    rest: &mut listpack::Iter<'a>,
) -> Option<Raw<'a>> {
    let at = rest.pos()?;
    let flags = rest.next()?.as_int()?;
    let (ms, seq) = (rest.next()?.as_int()?, rest.next()?.as_int()?);
    let id = node.plus(ms, seq);
    let same = flags & SAME_NAMES != 0;
    let fields = match same {
        true => head.names,
        false => usize::try_from(count(rest.next()?)?).ok()?,
    };
    let body = rest.clone();
    let stored = if same { fields } else { fields.checked_mul(2)? };
    skip(rest, stored)?;
    let length = rest.next().and_then(count);
    let names = same.then(|| head.first_name.clone());
    let elements = stored as u64 + FIXED as u64 + u64::from(!same);
    Some(Raw { at, flags, elements, length, entry: Entry { id, fields, names, body } })
}

impl Node {
    /// A node with one entry. `room` is the size in bytes that it will probably grow to.
    pub fn new<'f>(
        id: StreamId,
        fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
        room: usize,
    ) -> Self {
        let count = (fields.len() / 2) as i64;
        let mut pack = Listpack::with_capacity(room);
        let names = fields.clone().step_by(2).map(Element::classify);
        let values = fields.skip(1).step_by(2).map(Element::classify);
        pack.push_all(
            ints([1, 0, count])
                .chain(names)
                .chain(ints([0, SAME_NAMES, 0, 0]))
                .chain(values)
                .chain(ints([count + FIXED])),
        );
        Self { id, pack: Arc::new(pack) }
    }

    /// Takes a node from outside. It must hold a well-formed head and an entry at least, be it
    /// deleted; if `deep`, all entries must be well-formed and in order, and as many as the head
    /// says.
    pub fn validated(id: StreamId, pack: Listpack, deep: bool) -> Option<Self> {
        let node = Self { id, pack: Arc::new(pack) };
        let mut reader = node.reader()?;
        let (live, dead) = (reader.head.live, reader.head.dead);
        reader.head.entries.pos()?;
        if deep {
            let (mut last, mut seen) = (None, [0u64; 2]);
            while reader.rest.pos().is_some() {
                let raw = reader.next()?;
                let fits = raw.length == Some(raw.elements)
                    && last < Some(raw.entry.id)
                    && raw.entry.id >= id
                    && raw.flags & !(DELETED | SAME_NAMES) == 0;
                fits.then_some(())?;
                last = Some(raw.entry.id);
                seen[usize::from(raw.is_live())] += 1;
            }
            (seen == [dead, live]).then_some(())?;
        }
        Some(node)
    }

    pub fn reader(&self) -> Option<Reader<'_>> {
        Reader::new(self)
    }

    /// Number of entries that are not deleted.
    pub fn live(&self) -> u64 {
        self.pack.first().and_then(|first| count(self.pack.get(first))).unwrap_or(0)
    }

    /// The last entry's ID, be it deleted or not.
    pub fn last_id(&self) -> StreamId {
        let last = self.reader().and_then(|mut reader| reader.next_back());
        last.map_or(self.id, |raw| raw.entry.id)
    }

    /// The entry of that ID, if it is there and not deleted.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let raw = self.reader()?.find(id)?;
        (raw.entry.id == id && raw.is_live()).then_some(raw.entry)
    }

    /// Adds an entry at the end, if there is room for it by the limits. Says whether it did.
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        fields: impl ExactSizeIterator<Item = &'f [u8]> + Clone,
        text_bytes: usize,
        limits: &Limits,
    ) -> bool {
        let Some(head) = Head::of(&self.pack) else { return false };
        if !self.takes(&head, text_bytes, limits) {
            return false;
        }
        let count = fields.len() / 2;
        let mut names = head.first_name.clone();
        let same = count == head.names
            && fields.clone().step_by(2).all(|name| names.next().is_some_and(|n| n.eq_bytes(name)));
        let live = i64::try_from(head.live).unwrap_or(i64::MAX).saturating_add(1);
        let (ms, seq) = self.id.delta_to(id);
        let count = count as i64;
        let pack = Arc::make_mut(&mut self.pack);
        if let Some(first) = pack.first() {
            pack.replace(first, live);
        }
        if same {
            let values = fields.skip(1).step_by(2).map(Element::classify);
            let head = ints([SAME_NAMES, ms, seq]);
            pack.push_all(head.chain(values).chain(ints([count + FIXED])));
        } else {
            let head = ints([0, ms, seq, count]);
            let length = ints([2 * count + FIXED + 1]);
            pack.push_all(head.chain(fields.map(Element::classify)).chain(length));
        }
        true
    }

    fn takes(&self, head: &Head<'_>, text_bytes: usize, limits: &Limits) -> bool {
        let bytes_max = match limits.stream_node_max_bytes {
            0 => listpack::MAX_BYTES,
            bytes => bytes.min(listpack::MAX_BYTES),
        };
        let entries_max = limits.stream_node_max_entries;
        self.pack.byte_len().saturating_add(text_bytes) < bytes_max
            && (entries_max == 0 || head.live.saturating_add(head.dead) < entries_max)
    }

    /// Gives spare memory back: nothing will be added any more.
    pub fn close(&mut self) {
        if self.pack.capacity() > self.pack.byte_len() {
            Arc::make_mut(&mut self.pack).shrink_to_fit();
        }
    }

    /// Where the entry of that ID stands, if it is there and not deleted.
    pub fn find(&self, id: StreamId) -> Option<Place> {
        let raw = self.reader()?.find(id)?;
        let found = raw.entry.id == id && raw.is_live();
        found.then_some(Place { at: raw.at, flags: raw.flags })
    }

    /// Marks a live entry as deleted.
    pub fn delete(&mut self, place: Place) {
        self.mark(&place);
        self.recount(1);
    }

    fn mark(&mut self, place: &Place) {
        Arc::make_mut(&mut self.pack).replace(place.at, place.flags | DELETED);
    }

    /// Marks entries from the first on as deleted, until `stop` says so of a live one or the node
    /// ends; returns how many.
    pub fn delete_until(&mut self, mut stop: impl FnMut(StreamId, u64) -> bool) -> u64 {
        let mut deleted = 0;
        let mut from = None;
        // A mark may change an element's size, so the node is looked at anew after each.
        while let Some(place) = self.first_live(from, |id| stop(id, deleted)) {
            self.mark(&place);
            deleted += 1;
            from = Some(place.at);
        }
        self.recount(deleted);
        deleted
    }

    /// Where the first live entry at or after a place stands, unless `stop` says so before.
    fn first_live(
        &self,
        from: Option<Pos>,
        mut stop: impl FnMut(StreamId) -> bool,
    ) -> Option<Place> {
        let mut reader = self.reader()?;
        if let Some(at) = from {
            reader.seek(at);
        }
        loop {
            let raw = reader.next()?;
            if stop(raw.entry.id) {
                return None;
            }
            if raw.is_live() {
                return Some(Place { at: raw.at, flags: raw.flags });
            }
        }
    }

    /// Takes account of entries that have been marked.
    fn recount(&mut self, deleted: u64) {
        let counts = Head::of(&self.pack).map(|head| (head.live, head.dead));
        let Some((live, dead)) = counts.filter(|_| deleted > 0) else { return };
        let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let pack = Arc::make_mut(&mut self.pack);
        let Some(first) = pack.first() else { return };
        pack.replace(first, int(live.saturating_sub(deleted)));
        if let Some(second) = pack.next(first) {
            pack.replace(second, int(dead.saturating_add(deleted)));
        }
    }
}

fn ints<'a, const N: usize>(values: [i64; N]) -> impl Iterator<Item = Element<'a>> {
    values.into_iter().map(Element::Int)
}
