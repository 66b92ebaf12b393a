//! Ways through a `Dict` that need no key: SCAN cursors, all items, random ones. It only reads.

use fastrand::Rng;

use super::directory::Loose;
use super::segment::Segment;
use super::{Dict, Keyed, Root};

/// Bits of a hash that a cursor holds: clients' cursors stay exact in a double.
const CURSOR_BITS: u32 = 48;
const CURSOR_SHIFT: u32 = u64::BITS - CURSOR_BITS;
/// A scan visits at most this many segments for each item that was asked for: it shall end soon
/// in a table that is mostly empty.
const VISITS_PER_ITEM: usize = 10;
/// Tries for a fair random item; half of them succeed.
const RANDOM_TRIES: usize = 100;

/// The first hash after those of the segment which holds `hash`; `None` after the last segment.
pub(super) fn end_of<T>(segment: &Segment<T>, hash: u64) -> Option<u64> {
    let rest = u64::MAX.checked_shr(u32::from(segment.depth())).unwrap_or(0);
    (hash | rest).checked_add(1)
}

/// Whether `hash` is the first hash of the segment which holds it.
fn is_start<T>(segment: &Segment<T>, hash: u64) -> bool {
    hash & u64::MAX.checked_shr(u32::from(segment.depth())).unwrap_or(0) == 0
}

impl<T: Keyed + Clone> Dict<T> {
    /// Passes about `count` items to `emit`, from `cursor` on (0: from the start), and returns the
    /// cursor to go on with (0: that was all). An item that is there from the first call to the
    /// last is passed, whatever else comes and goes; it is passed once while nothing changes.
    ///
    /// A cursor is a position in the order of hashes: the upper 48 bits of the first hash not
    /// passed yet. Items that agree in these are passed together.
    pub fn scan(&self, cursor: u64, count: usize, mut emit: impl FnMut(&T)) -> u64 {
        if cursor >> CURSOR_BITS != 0 {
            return 0;
        }
        let mut left = count.max(1);
        let mut visits = left.saturating_mul(VISITS_PER_ITEM);
        let mut from = cursor << CURSOR_SHIFT;
        while let Some(segment) = self.segment(from) {
            let starts_here = is_start(segment, from);
            if starts_here && segment.len() <= left {
                segment.slots().iter().flatten().for_each(&mut emit);
                left -= segment.len();
            } else {
                match self.scan_part(segment, from >> CURSOR_SHIFT, left, &mut emit) {
                    Ok(passed) => left = left.saturating_sub(passed),
                    Err(next) => return next,
                }
            }
            visits -= 1;
            match end_of(segment, from) {
                Some(end) if left == 0 || visits == 0 => return end >> CURSOR_SHIFT,
                Some(end) => from = end,
                None => return 0,
            }
        }
        0
    }

    /// Passes a segment's items from a cursor on. Says how many they were if that was the rest of
    /// the segment, else the cursor of the first that wasn't passed because `limit` were.
    fn scan_part(
        &self,
        segment: &Segment<T>,
        cursor: u64,
        limit: usize,
        emit: &mut impl FnMut(&T),
    ) -> Result<usize, u64> {
        let items = segment.slots().iter().flatten();
        let mut due: Vec<(u64, &T)> = items
            .map(|item| (self.hash(item.key()) >> CURSOR_SHIFT, item))
            .filter(|(at, _)| *at >= cursor)
            .collect();
        due.sort_unstable_by_key(|(at, _)| *at);
        let mut last = None;
        for (passed, &(at, item)) in due.iter().enumerate() {
            if passed >= limit && last != Some(at) {
                return Err(at);
            }
            last = Some(at);
            emit(item);
        }
        Ok(due.len())
    }

    /// An item, each as likely as any other; `None` if there is none.
    ///
    /// A random hash finds a segment in proportion to its share of the hash space; taking it in
    /// proportion to its density makes that its share of the items.
    pub fn random(&self, rng: &mut Rng) -> Option<&T> {
        let densest = self.len as u128 * 2;
        for _ in 0..RANDOM_TRIES {
            let segment = self.segment(rng.u64(..))?;
            let density = (segment.len() as u128) << segment.depth();
            if density >= densest || rng.u128(..densest) < density || self.len == segment.len() {
                return segment.item(rng.usize(..segment.len().max(1)));
            }
        }
        self.sample(1, rng).pop()
    }

    /// Up to `n` different items from around a random position: cheap, and random enough to choose
    /// among. Fewer only if the table has fewer.
    pub fn sample(&self, n: usize, rng: &mut Rng) -> Vec<&T> {
        let wanted = n.min(self.len);
        let mut sample = Vec::with_capacity(wanted);
        let mut from = rng.u64(..);
        while sample.len() < wanted {
            let Some(segment) = self.segment(from) else { break };
            let items = segment.slots().get(..segment.len()).unwrap_or_default();
            // The hash is random within the segment, too: it says where to start.
            let (tail, head) = items.split_at((from as u32 as usize) % items.len().max(1));
            let missing = wanted - sample.len();
            sample.extend(head.iter().chain(tail).flatten().take(missing));
            from = end_of(segment, from).unwrap_or(0);
        }
        sample
    }

    /// All items, in no particular order.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { dict: self, chunk: 0, segments: [].iter(), slots: [].iter(), left: self.len }
    }
}

impl<T> Dict<T> {
    /// The items in parts of some thousands, in no particular order. Who lets go of each part when it has
    /// been read leaves the rest of a snapshot held only: what changes in the table meanwhile is copied
    /// less, and the copies go sooner.
    pub fn into_parts(self) -> impl Iterator<Item = Part<T>> {
        let (one, many) = match self.root {
            Root::Empty => (None, None),
            Root::One(segment) => (Some(PartOf::All(segment)), None),
            Root::Many(directory) => (None, Some(directory.into_chunks().map(PartOf::Chunk))),
        };
        one.into_iter().chain(many.into_iter().flatten()).map(Part)
    }
}

/// Some of the items of a `Dict` that was taken apart.
pub struct Part<T>(PartOf<T>);

enum PartOf<T> {
    All(Segment<T>),
    Chunk(Loose<T>),
}

impl<T> Part<T> {
    /// Its items.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let segments = match &self.0 {
            PartOf::All(segment) => std::slice::from_ref(segment),
            PartOf::Chunk(chunk) => chunk.segments(),
        };
        segments.iter().flat_map(|segment| segment.slots().iter().flatten())
    }
}

/// The items of a `Dict`, in no particular order.
pub struct Iter<'a, T> {
    dict: &'a Dict<T>,
    /// The next chunk's place.
    chunk: usize,
    segments: std::slice::Iter<'a, Segment<T>>,
    slots: std::slice::Iter<'a, Option<T>>,
    left: usize,
}

impl<'a, T: Keyed + Clone> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.slots.find_map(Option::as_ref) {
                self.left -= 1;
                return Some(item);
            }
            if let Some(segment) = self.segments.next() {
                self.slots = segment.slots().iter();
            } else {
                self.segments = self.dict.chunk_at(self.chunk)?.iter();
                self.chunk += 1;
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: Keyed + Clone> ExactSizeIterator for Iter<'_, T> {}

impl<'a, T: Keyed + Clone> IntoIterator for &'a Dict<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
