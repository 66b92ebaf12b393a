//! A `Dict`'s leaf: up to 54 items and their one-byte tags in one shared allocation. It knows its
//! own depth, never its place in the directory; it copies itself before a write when it is shared.

use std::mem::{replace, size_of};

use triomphe::{Arc, HeaderSlice};

use super::{KeyHash, Keyed, tag_of};
use crate::ds::size_class::size_class;
use crate::util::prefetch::prefetch;

/// Items that have a tag; one more splits the segment. With the reference count, the tags, the
/// length and the depth fill one cache line.
pub(super) const FULL: usize = 54;
/// The header's bytes that are not tags.
const LEN: usize = FULL;
const DEPTH: usize = FULL + 1;
const LINE: usize = FULL + 2;
/// The length byte of a segment that could not be split: every slot is taken, and those from
/// `FULL` on have no tag. Only hashes that agree in all the bits the directory may use get there.
const CROWDED: u8 = u8::MAX;
/// Keep this many removals between two reallocations of a segment.
const SLACK: usize = 4;

#[derive(Clone, Copy)]
struct Header {
    line: [u8; LINE],
}

impl Header {
    fn new(len: usize, depth: u8) -> Self {
        let mut line = [0; LINE];
        line[DEPTH] = depth;
        let mut header = Header { line };
        header.set_len(len);
        header
    }

    fn set_len(&mut self, len: usize) {
        self.line[LEN] = if len > FULL { CROWDED } else { len as u8 };
    }

    fn set_tag(&mut self, at: usize, tag: u8) {
        if at < FULL {
            self.line[at] = tag;
        }
    }
}

/// What became of an item that was to be put in a segment.
pub(super) enum Put<T> {
    /// It has a slot of its own now.
    Added,
    /// It took the place of this item, which had the same key.
    Replaced(T),
    /// It is new, and the segment is full.
    Full(T),
}

/// Slots that are given away: moved when nobody else holds the segment, else cloned.
enum Source<'a, T> {
    Own(&'a mut [Option<T>]),
    Shared(&'a [Option<T>]),
}

impl<T: Clone> Source<'_, T> {
    fn take(&mut self, at: usize) -> Option<T> {
        match self {
            Source::Own(slots) => slots.get_mut(at).and_then(Option::take),
            Source::Shared(slots) => slots.get(at).cloned().flatten(),
        }
    }
}

/// A reference-counted leaf. Clones share the allocation until one of them writes.
pub(super) struct Segment<T>(Arc<HeaderSlice<Header, [Option<T>]>>);

impl<T> Clone for Segment<T> {
    fn clone(&self) -> Self {
        Segment(self.0.clone())
    }
}

impl<T> Segment<T> {
    pub(super) fn len(&self) -> usize {
        match self.0.header.line[LEN] {
            CROWDED => self.0.slice.len(),
            len => usize::from(len),
        }
    }

    /// How many of the hash's high bits all keys here have in common.
    pub(super) fn depth(&self) -> u8 {
        self.0.header.line[DEPTH]
    }

    /// The allocation's size, as the allocator rounds it.
    pub(super) fn bytes(&self) -> usize {
        allocation::<T>(self.0.slice.len())
    }

    /// The slots; the first `len` are taken.
    pub(super) fn slots(&self) -> &[Option<T>] {
        &self.0.slice
    }

    pub(super) fn item(&self, at: usize) -> Option<&T> {
        self.0.slice.get(at)?.as_ref()
    }

    /// The places of the items that `keep` refuses. It asks once for each item.
    pub(super) fn refused(&self, keep: &mut impl FnMut(&T) -> bool) -> Vec<usize> {
        let items = self.slots().iter().flatten().enumerate();
        items.filter(|(_, item)| !keep(item)).map(|(at, _)| at).collect()
    }

    /// The slots whose tag equals `tag`, those without a tag included; a few others may slip in.
    #[inline]
    pub(super) fn candidates(&self, tag: u8) -> impl Iterator<Item = (usize, &T)> {
        let slots = self.slots();
        let untagged = FULL..slots.len().max(FULL);
        let tagged = Matches::new(&self.0.header.line, tag);
        tagged.chain(untagged).filter_map(|at| Some((at, slots.get(at)?.as_ref()?)))
    }

    /// Asks for the line of the tags.
    #[inline]
    pub(super) fn prefetch_tags(&self) {
        prefetch(&self.0.header.line[LEN]);
    }

    /// Asks for the slot whose tag equals `tag`; the tags are read.
    #[inline]
    pub(super) fn prefetch_slot(&self, tag: u8) {
        if let Some(slot) =
            Matches::new(&self.0.header.line, tag).next().and_then(|at| self.slots().get(at))
        {
            prefetch(slot);
        }
    }
}

impl<T: Keyed + Clone> Segment<T> {
    /// A segment of the `len` items that the iterator yields with their tags.
    pub(super) fn build(depth: u8, len: usize, mut items: impl Iterator<Item = (u8, T)>) -> Self {
        let mut header = Header::new(len, depth);
        let slots = (0..capacity::<T>(len)).map(|at| {
            let (tag, item) = items.next()?;
            header.set_tag(at, tag);
            Some(item)
        });
        let mut segment = Segment(Arc::from_header_and_iter(Header::new(len, depth), slots));
        segment.own().header = header;
        segment
    }

    #[inline]
    pub(super) fn find(&self, tag: u8, key: &[u8]) -> Option<usize> {
        self.candidates(tag).find(|(_, item)| item.key() == key).map(|(at, _)| at)
    }

    pub(super) fn item_mut(&mut self, at: usize) -> Option<&mut T> {
        self.own().slice.get_mut(at)?.as_mut()
    }

    /// Replaces the item of the same key, or adds this one unless the segment is full.
    pub(super) fn put(&mut self, tag: u8, item: T) -> Put<T> {
        if let Some(at) = self.find(tag, item.key())
            && let Some(place) = self.item_mut(at)
        {
            return Put::Replaced(replace(place, item));
        }
        if self.len() >= FULL {
            return Put::Full(item);
        }
        self.push(tag, item);
        Put::Added
    }

    /// Adds an item whose key isn't here, however full the segment is.
    pub(super) fn push(&mut self, tag: u8, item: T) {
        let len = self.len();
        if len == self.slots().len() {
            self.resize(capacity::<T>(len + 1));
        }
        let inner = self.own();
        inner.header.set_tag(len, tag);
        inner.header.set_len(len + 1);
        if let Some(slot) = inner.slice.get_mut(len) {
            *slot = Some(item);
        }
    }

    /// Takes out the item at `at`; the last one takes its slot.
    pub(super) fn remove(&mut self, at: usize, hash: KeyHash) -> Option<T> {
        let last = self.len().checked_sub(1)?;
        let inner = self.own();
        let moved = inner.slice.get_mut(last)?.take()?;
        let tag = match inner.header.line.get(last) {
            Some(&tag) if last < FULL => tag,
            _ => tag_of(hash.of(moved.key())),
        };
        inner.header.set_len(last);
        let removed = if at == last {
            moved
        } else {
            inner.header.set_tag(at, tag);
            inner.slice.get_mut(at)?.replace(moved)?
        };
        self.fit(last);
        Some(removed)
    }

    /// Takes out the items at these ascending places; says how many they were.
    pub(super) fn remove_all(&mut self, places: &[usize], hash: KeyHash) -> usize {
        // From the end, so that no item that fills a gap is one of those to go.
        places.iter().rev().map(|&at| usize::from(self.remove(at, hash).is_some())).sum()
    }

    /// Keeps the keys whose next hash bit is 0, and returns the segment of the others.
    pub(super) fn split(&mut self, hash: KeyHash) -> Self {
        let (len, depth) = (self.len(), self.depth());
        let mut halves = [Vec::with_capacity(len), Vec::with_capacity(len)];
        for (at, item) in self.slots().iter().flatten().enumerate() {
            let hashed = hash.of(item.key());
            halves[(hashed << depth >> 63) as usize].push((at, tag_of(hashed)));
        }
        let mut source = self.source();
        let [left, right] = halves.map(|half| {
            let items = half.iter().filter_map(|&(at, tag)| Some((tag, source.take(at)?)));
            Segment::build(depth + 1, half.len(), items)
        });
        *self = left;
        right
    }

    /// Undoes a split: takes in the items of the other half. Neither may be more than `FULL`.
    pub(super) fn merge(&mut self, mut other: Self) {
        let (left, right) = (self.len(), other.len());
        let (tags, others) = (self.0.header.line, other.0.header.line);
        let depth = self.depth().saturating_sub(1);
        let mut source = self.source();
        let mut extra = other.source();
        let first = (0..left).filter_map(|at| Some((tags[at], source.take(at)?)));
        let second = (0..right).filter_map(|at| Some((others[at], extra.take(at)?)));
        let merged = Segment::build(depth, left + right, first.chain(second));
        *self = merged;
    }

    /// Gives back slots when many of them are free now that there are `len` items.
    fn fit(&mut self, len: usize) {
        let slots = self.slots().len();
        if slots > FULL || capacity::<T>(len + SLACK) < slots {
            self.resize(capacity::<T>(len));
        }
    }

    /// Moves to a new allocation of `slots` slots.
    fn resize(&mut self, slots: usize) {
        let header = self.0.header;
        let mut source = self.source();
        let moved = Arc::from_header_and_iter(header, (0..slots).map(|at| source.take(at)));
        self.0 = moved;
    }

    fn source(&mut self) -> Source<'_, T> {
        if self.0.is_unique() {
            Source::Own(&mut self.own().slice)
        } else {
            Source::Shared(&self.0.slice)
        }
    }

    /// The contents for writing: a private copy if anyone else holds them.
    #[inline]
    fn own(&mut self) -> &mut HeaderSlice<Header, [Option<T>]> {
        if !self.0.is_unique() {
            let slots = self.slots().iter().cloned();
            self.0 = Arc::from_header_and_iter(self.0.header, slots);
        }
        match Arc::get_mut(&mut self.0) {
            Some(inner) => inner,
            None => unreachable!("the copy has one owner"),
        }
    }
}

/// The places of a byte in a header's tags, found eight at a time. A place just after a true one
/// may be reported too; a true one is never missed.
struct Matches {
    words: [u64; LINE / 8],
    word: usize,
}

impl Matches {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    /// Leaves out the length and the depth.
    const LAST: u64 = Self::HIGH >> 16;

    #[inline]
    fn new(line: &[u8; LINE], tag: u8) -> Self {
        let pattern = Self::LOW * u64::from(tag);
        let mut words = [0; LINE / 8];
        for (hits, bytes) in words.iter_mut().zip(line.as_chunks::<8>().0) {
            let zero = u64::from_le_bytes(*bytes) ^ pattern;
            *hits = zero.wrapping_sub(Self::LOW) & !zero & Self::HIGH;
        }
        words[LINE / 8 - 1] &= Self::LAST;
        Matches { words, word: 0 }
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        loop {
            let hits = self.words.get_mut(self.word)?;
            if *hits != 0 {
                let at = self.word * 8 + (hits.trailing_zeros() / 8) as usize;
                *hits &= *hits - 1;
                return Some(at);
            }
            self.word += 1;
        }
    }
}

fn allocation<T>(slots: usize) -> usize {
    size_class(size_of::<usize>() + LINE + slots * size_of::<Option<T>>())
}

/// The slots that fill the allocation which `len` items need. A crowded segment has none to spare.
fn capacity<T>(len: usize) -> usize {
    if len > FULL {
        return len;
    }
    let room = allocation::<T>(len) - size_of::<usize>() - LINE;
    (room / size_of::<Option<T>>()).min(FULL)
}
