//! Finds the segment of a hash by its high bits, in two levels, and splits and merges segments one
//! at a time. Every chunk and segment is held by one pointer within a directory (the maps hold
//! indices), for shared means "held by a snapshot". It never counts a `Dict`'s items.

use std::mem::{size_of, size_of_val};

use triomphe::Arc;

use super::segment::{FULL, Put, Segment};
use super::{KeyHash, Keyed, tag_of};
use crate::ds::size_class::size_class;

/// The hash bits that a chunk's map takes.
const CHUNK_BITS: u8 = 8;
const CHUNK_MAP: usize = 1 << CHUNK_BITS;
/// The most bits that the root takes. With a chunk's they leave 8 of the hash's upper 40 for tags.
const ROOT_BITS_MAX: u8 = 24;
/// The root may have this many bits however few the items are, ...
const ROOT_BITS_FREE: u32 = 6;
/// ... and else an entry for so many items. Good hashes need an entry for thousands; bad ones
/// shall not make a huge root.
const ITEMS_PER_ENTRY: usize = 256;
/// A segment under this length looks whether it fits in with its other half ...
const SPARSE: usize = FULL / 4;
/// ... and they merge up to this length.
const MERGED: usize = FULL / 2;
/// Two chunks of together at most this many segments merge.
const MERGED_CHUNK: usize = CHUNK_MAP / 4;

/// The segments of a range of hashes: those that agree in the first `depth` bits.
#[derive(Clone)]
struct Chunk<T> {
    depth: u8,
    /// Where in `segments` to look, by the hash's next bits.
    map: [u8; CHUNK_MAP],
    /// At most `CHUNK_MAP`, in no particular order.
    segments: Vec<Segment<T>>,
}

/// Which half of a split range one falls in: the entries of a map that belong to a segment or
/// chunk, and those of its other half.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    /// The entries of a map of `bits` index bits that an owner of `depth` bits has around `at`.
    fn around(at: usize, bits: u8, depth: u8) -> Self {
        let len = 1 << (bits - depth);
        Span { start: at & !(len - 1), len }
    }

    /// The upper half.
    fn upper(self) -> std::ops::Range<usize> {
        self.start + self.len / 2..self.start + self.len
    }

    /// The range it was split from; the buddy's entries are the rest of that.
    fn parent(self) -> Self {
        let len = self.len * 2;
        Span { start: self.start & !(len - 1), len }
    }

    fn buddy(self) -> usize {
        self.start ^ self.len
    }

    fn entries(self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

impl<T> Chunk<T> {
    #[inline]
    fn entry(&self, hash: u64) -> usize {
        (hash << self.depth >> (64 - u32::from(CHUNK_BITS))) as usize
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        usize::from(self.map[self.entry(hash)])
    }

    fn bytes(&self) -> usize {
        size_class(size_of_val(self) + size_of::<usize>())
            + vec_bytes::<Segment<T>>(self.segments.capacity())
    }

    fn span(&self, hash: u64, depth: u8) -> Span {
        Span::around(self.entry(hash), CHUNK_BITS, depth - self.depth)
    }

    /// Whether every segment can be told apart with one bit less.
    fn can_widen(&self) -> bool {
        self.segments.iter().all(|segment| segment.depth() < self.depth + CHUNK_BITS)
    }
}

impl<T: Keyed + Clone> Chunk<T> {
    fn make_room(&mut self) {
        if self.segments.len() == self.segments.capacity() {
            self.segments.reserve_exact((self.segments.len() / 4).max(2));
        }
    }

    /// Splits the segment of `hash` by its next bit. Its depth must be less than the map's.
    fn split_segment(&mut self, hash: u64, hasher: KeyHash) -> isize {
        self.make_room();
        let (place, new) = (self.place(hash), self.segments.len());
        let span = self.span(hash, self.segments[place].depth());
        let before = self.segments[place].bytes();
        let right = self.segments[place].split(hasher);
        let after = self.segments[place].bytes() + right.bytes();
        self.segments.push(right);
        self.map[span.upper()].fill(new as u8);
        after as isize - before as isize
    }

    /// Merges the segment of `hash` with its other half.
    fn merge_segments(&mut self, hash: u64) -> isize {
        let place = self.place(hash);
        let span = self.span(hash, self.segments[place].depth());
        let buddy = usize::from(self.map[span.buddy()]);
        let before = self.segments[place].bytes() + self.segments[buddy].bytes();
        self.map[span.parent().entries()].fill(place as u8);
        // The last segment moves into the gap.
        let last = self.segments.len() - 1;
        let other = self.segments.swap_remove(buddy);
        for entry in self.map.iter_mut().filter(|entry| usize::from(**entry) == last) {
            *entry = buddy as u8;
        }
        let place = self.place(hash);
        self.segments[place].merge(other);
        if self.segments.capacity() > self.segments.len() * 2 {
            self.segments.shrink_to(self.segments.len() + self.segments.len() / 4);
        }
        self.segments[place].bytes() as isize - before as isize
    }

    /// Two chunks of one bit more, each with half of the segments.
    fn split(self) -> (Self, Self) {
        let mut segments: Vec<_> = self.segments.into_iter().map(Some).collect();
        let mut half = |entries: &[u8]| {
            let mut chunk =
                Chunk { depth: self.depth + 1, map: [0; CHUNK_MAP], segments: Vec::new() };
            let mut last = None;
            for (pair, &old) in chunk.map.chunks_exact_mut(2).zip(entries) {
                if last != Some(old) {
                    chunk.segments.extend(segments[usize::from(old)].take());
                    last = Some(old);
                }
                pair.fill((chunk.segments.len() - 1) as u8);
            }
            chunk.segments.shrink_to(chunk.segments.len() + chunk.segments.len() / 8);
            chunk
        };
        let (low, high) = self.map.split_at(CHUNK_MAP / 2);
        (half(low), half(high))
    }

    /// Undoes a split; `upper` is the half with the greater hashes.
    fn merge(mut self, mut upper: Self) -> Self {
        let offset = self.segments.len();
        let halves = self.map.chunks_exact(2).map(|pair| pair[0]);
        let others = upper.map.chunks_exact(2).map(|pair| pair[0] + offset as u8);
        let mut map = [0; CHUNK_MAP];
        for (entry, place) in map.iter_mut().zip(halves.chain(others)) {
            *entry = place;
        }
        self.segments.append(&mut upper.segments);
        Chunk { depth: self.depth - 1, map, segments: self.segments }
    }
}

/// All segments of a `Dict` that has more than one.
pub(super) struct Directory<T> {
    /// The map takes this many of the hash's highest bits.
    bits: u8,
    map: Vec<u32>,
    /// In no particular order.
    chunks: Vec<Arc<Chunk<T>>>,
    /// How many chunks have each depth: the root halves when none needs its last bit.
    depths: [u32; ROOT_BITS_MAX as usize + 1],
    segment_bytes: usize,
}

/// A chunk that has left its directory.
pub(super) struct Loose<T>(Arc<Chunk<T>>);

impl<T> Loose<T> {
    pub(super) fn segments(&self) -> &[Segment<T>] {
        &self.0.segments
    }
}

impl<T> Clone for Directory<T> {
    fn clone(&self) -> Self {
        Directory { map: self.map.clone(), chunks: self.chunks.clone(), ..*self }
    }
}

impl<T> Directory<T> {
    #[inline]
    fn entry(&self, hash: u64) -> usize {
        // Two shifts, for the root may take no bit at all.
        (hash >> 1 >> (63 - self.bits)) as usize
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        self.map[self.entry(hash)] as usize
    }

    #[inline]
    fn chunk(&self, hash: u64) -> &Chunk<T> {
        &self.chunks[self.place(hash)]
    }

    #[inline]
    pub(super) fn segment(&self, hash: u64) -> &Segment<T> {
        let chunk = self.chunk(hash);
        &chunk.segments[chunk.place(hash)]
    }

    /// The segments by chunk, in no particular order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[Segment<T>]> {
        self.chunks.iter().map(|chunk| chunk.segments.as_slice())
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn chunk_at(&self, place: usize) -> Option<&[Segment<T>]> {
        Some(self.chunks.get(place)?.segments.as_slice())
    }

    /// The chunks' segments, to be let go of one chunk after the other.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = Loose<T>> {
        self.chunks.into_iter().map(Loose)
    }

    pub(super) fn root_entries(&self) -> usize {
        self.map.len()
    }

    /// All allocations of the directory and its segments.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_without_segments() + self.segment_bytes
    }

    pub(super) fn bytes_without_segments(&self) -> usize {
        size_class(size_of_val(self))
            + vec_bytes::<u32>(self.map.capacity())
            + vec_bytes::<Arc<Chunk<T>>>(self.chunks.capacity())
            + self.chunks.iter().map(|chunk| chunk.bytes()).sum::<usize>()
    }

    fn count_bytes(&mut self, change: isize) {
        self.segment_bytes = self.segment_bytes.saturating_add_signed(change);
    }

    /// The only segment, if there is no more than one.
    pub(super) fn only(&self) -> Option<&Segment<T>> {
        match (self.chunks.as_slice(), self.chunks.first()?.segments.as_slice()) {
            ([_], [segment]) => Some(segment),
            _ => None,
        }
    }
}

impl<T: Keyed + Clone> Directory<T> {
    /// A directory of one segment, which must have depth 0.
    pub(super) fn new(segment: Segment<T>) -> Self {
        let segment_bytes = segment.bytes();
        let mut depths = [0; ROOT_BITS_MAX as usize + 1];
        depths[0] = 1;
        let chunk = Chunk { depth: 0, map: [0; CHUNK_MAP], segments: vec![segment] };
        Directory { bits: 0, map: vec![0], chunks: vec![Arc::new(chunk)], depths, segment_bytes }
    }

    /// The segment for writing: a private copy of the path to it if that is shared.
    #[inline]
    pub(super) fn segment_mut(&mut self, hash: u64) -> &mut Segment<T> {
        let place = self.place(hash);
        let chunk = Arc::make_mut(&mut self.chunks[place]);
        let place = chunk.place(hash);
        &mut chunk.segments[place]
    }

    /// Adds the item or replaces the one of the same key, which it returns. `items` is the number
    /// of items that are there already.
    pub(super) fn put(
        &mut self,
        hash: u64,
        mut item: T,
        hasher: KeyHash,
        items: usize,
    ) -> Option<T> {
        loop {
            let segment = self.segment_mut(hash);
            let before = segment.bytes();
            let outcome = segment.put(tag_of(hash), item);
            let change = segment.bytes() as isize - before as isize;
            self.count_bytes(change);
            match outcome {
                Put::Added => return None,
                Put::Replaced(old) => return Some(old),
                Put::Full(back) => item = back,
            }
            if !self.split(hash, hasher, items) {
                self.crowd(hash, item);
                return None;
            }
        }
    }

    /// Adds a new item to a segment that can't be split.
    fn crowd(&mut self, hash: u64, item: T) {
        let segment = self.segment_mut(hash);
        let before = segment.bytes();
        segment.push(tag_of(hash), item);
        let change = segment.bytes() as isize - before as isize;
        self.count_bytes(change);
    }

    /// Removes the item at a slot of the segment of `hash`. The caller tidies afterwards.
    pub(super) fn remove(&mut self, hash: u64, at: usize, hasher: KeyHash) -> Option<T> {
        let segment = self.segment_mut(hash);
        let before = segment.bytes();
        let removed = segment.remove(at, hasher);
        let change = segment.bytes() as isize - before as isize;
        self.count_bytes(change);
        removed
    }

    /// Removes what `keep` refuses in the segment of `hash`; copies nothing if that is nothing.
    pub(super) fn retain(
        &mut self,
        hash: u64,
        hasher: KeyHash,
        keep: &mut impl FnMut(&T) -> bool,
    ) -> usize {
        let refused = self.segment(hash).refused(keep);
        if refused.is_empty() {
            return 0;
        }
        let segment = self.segment_mut(hash);
        let before = segment.bytes();
        let removed = segment.remove_all(&refused, hasher);
        let change = segment.bytes() as isize - before as isize;
        self.count_bytes(change);
        removed
    }

    /// Splits the segment of `hash`, and its chunk or the root if need be. False if the root may
    /// not grow, which good hashes never see.
    fn split(&mut self, hash: u64, hasher: KeyHash, items: usize) -> bool {
        let chunk = self.chunk(hash);
        if self.segment(hash).depth() == chunk.depth + CHUNK_BITS {
            let deepest = (items / ITEMS_PER_ENTRY)
                .checked_ilog2()
                .unwrap_or(0)
                .clamp(ROOT_BITS_FREE, u32::from(ROOT_BITS_MAX));
            if u32::from(chunk.depth) >= deepest {
                return false;
            }
            self.split_chunk(hash);
        }
        let place = self.place(hash);
        let change = Arc::make_mut(&mut self.chunks[place]).split_segment(hash, hasher);
        self.count_bytes(change);
        true
    }

    /// Splits the chunk of `hash`; its map must be used to the last bit somewhere.
    fn split_chunk(&mut self, hash: u64) {
        let depth = self.chunk(hash).depth;
        if depth == self.bits {
            self.map = self.map.iter().flat_map(|&place| [place, place]).collect();
            self.bits += 1;
        }
        let span = Span::around(self.entry(hash), self.bits, depth);
        let (place, new) = (self.place(hash), self.chunks.len() as u32);
        let chunk = self.chunks.swap_remove(place);
        let (low, high) = owned(chunk).split();
        // `high` stands where `low` shall, for one exchange below puts both right.
        self.chunks.push(Arc::new(low));
        self.chunks.swap(place, new as usize - 1);
        self.chunks.push(Arc::new(high));
        self.map[span.upper()].fill(new);
        self.depths[usize::from(depth)] -= 1;
        self.depths[usize::from(depth) + 1] += 2;
    }

    /// Merges the segment of `hash` with its other half while both are sparse, and their chunks.
    pub(super) fn tidy(&mut self, hash: u64) {
        while self.merge_segments(hash) || self.merge_chunks(hash) {}
    }

    fn merge_segments(&mut self, hash: u64) -> bool {
        let chunk = self.chunk(hash);
        let segment = &chunk.segments[chunk.place(hash)];
        let depth = segment.depth();
        if segment.len() >= SPARSE || depth == chunk.depth {
            return false;
        }
        let span = chunk.span(hash, depth);
        let buddy = &chunk.segments[usize::from(chunk.map[span.buddy()])];
        if buddy.depth() != depth || buddy.len() + segment.len() > MERGED {
            return false;
        }
        let place = self.place(hash);
        let change = Arc::make_mut(&mut self.chunks[place]).merge_segments(hash);
        self.count_bytes(change);
        true
    }

    fn merge_chunks(&mut self, hash: u64) -> bool {
        let chunk = self.chunk(hash);
        let depth = chunk.depth;
        if depth == 0 || chunk.segments.len() > MERGED_CHUNK / 2 {
            return false;
        }
        let span = Span::around(self.entry(hash), self.bits, depth);
        let place = self.map[span.start] as usize;
        let other = self.map[span.buddy()] as usize;
        let buddy = &self.chunks[other];
        let total = chunk.segments.len() + buddy.segments.len();
        if buddy.depth != depth || total > MERGED_CHUNK {
            return false;
        }
        if !chunk.can_widen() || !buddy.can_widen() {
            return false;
        }
        let (lower, upper) =
            if span.start < span.buddy() { (place, other) } else { (other, place) };
        self.join_chunks(lower, upper, span.parent());
        self.depths[usize::from(depth)] -= 2;
        self.depths[usize::from(depth) - 1] += 1;
        self.halve_root();
        true
    }

    /// Merges the chunks at two places into the first one, which gets the root's entries `span`.
    fn join_chunks(&mut self, lower: usize, upper: usize, span: Span) {
        let last = self.chunks.len() - 1;
        self.map[span.entries()].fill(lower as u32);
        let high = self.chunks.swap_remove(upper);
        for entry in self.map.iter_mut().filter(|entry| **entry as usize == last) {
            *entry = upper as u32;
        }
        let lower = self.map[span.start] as usize;
        let low = self.chunks.swap_remove(lower);
        let place = self.chunks.len();
        self.chunks.push(Arc::new(owned(low).merge(owned(high))));
        self.chunks.swap(lower, place);
        if self.chunks.capacity() > self.chunks.len() * 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }

    fn halve_root(&mut self) {
        while self.bits > 0 && self.depths[usize::from(self.bits)] == 0 {
            self.map = self.map.iter().step_by(2).copied().collect();
            self.bits -= 1;
        }
    }
}

/// The chunk itself, or a copy if it is shared.
fn owned<T: Clone>(chunk: Arc<Chunk<T>>) -> Chunk<T> {
    Arc::try_unwrap(chunk).unwrap_or_else(|shared| Chunk::clone(&shared))
}

fn vec_bytes<E>(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { size_class(capacity * size_of::<E>()) }
}
