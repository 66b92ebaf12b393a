//! A persistent hash table: cloning is a snapshot, cheap at any size, and either copy may change
//! without the other seeing it. It owns handles to items that carry their key, the directory that
//! finds them, and its memory figures. It never looks at an item beyond its key, and never stops
//! to rehash: segments split and merge one at a time.

mod directory;
mod scan;
mod segment;
#[cfg(test)]
mod tests;

use std::mem::take;

use directory::Directory;
pub use scan::{Iter, Part};
use segment::{Put, Segment};
use siphasher::sip::SipHasher13;

/// What a `Dict` can store: a pointer-sized, cheaply cloned handle with a niche (so that
/// `Option<T>` takes 8 bytes) to something that knows its key.
pub trait Keyed {
    /// The key. It must not change while the item is in a `Dict`.
    fn key(&self) -> &[u8];
    /// Asks the processor for the memory where the key is.
    fn prefetch(&self) {}
}

/// What a lookup reads, one thing after the other; see [`Dict::prefetch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The tags of the segment.
    Tags,
    /// The handle behind the tag that fits.
    Slot,
    /// The item itself.
    Item,
}

impl Step {
    /// The steps in their order.
    pub const ALL: [Self; 3] = [Self::Tags, Self::Slot, Self::Item];
}

/// Tests may weaken the hash: only these bits of it are used.
#[cfg(test)]
impl<T> Dict<T> {
    fn weak(mask: u64) -> Self {
        let mut dict = Dict::default();
        dict.hash.mask = mask;
        dict
    }
}

/// The secret key of a `Dict`'s hash: random, so that nobody can choose keys that collide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub u64, pub u64);

/// What a `Dict` looks like inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DictStats {
    /// Items stored.
    pub items: usize,
    /// Leaves, of up to 54 items (more only if hashes collide beyond reason).
    pub segments: usize,
    /// Slots in all leaves, the free ones included.
    pub slots: usize,
    /// Items of the fullest leaf.
    pub longest: usize,
    /// The second level's nodes, of up to 256 segments each; 0 if one segment holds all.
    pub chunks: usize,
    /// Entries of the first level; 0 if one segment holds all.
    pub root: usize,
}

/// The hash function with its key, to be handed down to where keys are hashed again.
#[derive(Clone, Copy)]
struct KeyHash {
    seed: Seed,
    /// Tests weaken the hash with it.
    #[cfg(test)]
    mask: u64,
}

impl KeyHash {
    fn new(seed: Seed) -> Self {
        KeyHash {
            seed,
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    #[inline]
    fn of(self, key: &[u8]) -> u64 {
        let hash = SipHasher13::new_with_keys(self.seed.0, self.seed.1).hash(key);
        #[cfg(test)]
        let hash = hash & self.mask;
        hash
    }
}

/// The byte of a hash that stands beside an item: the lowest of the upper 40 bits, which the
/// directory never gets to and `matching_prefix` can use.
#[inline]
fn tag_of(hash: u64) -> u8 {
    (hash >> 24) as u8
}

#[derive(Clone, Default)]
enum Root<T> {
    #[default]
    Empty,
    One(Segment<T>),
    Many(Box<Directory<T>>),
}

/// A hash table whose clone is a snapshot. See the module's notes.
#[derive(Clone)]
pub struct Dict<T> {
    root: Root<T>,
    len: usize,
    hash: KeyHash,
}

impl<T> Default for Dict<T> {
    /// An empty table with the seed 0: for places that only hold trusted keys.
    fn default() -> Self {
        Dict { root: Root::Empty, len: 0, hash: KeyHash::new(Seed::default()) }
    }
}

impl<T: Keyed + Clone> Dict<T> {
    /// An empty table. Allocates nothing.
    pub fn new(seed: Seed) -> Self {
        Dict { root: Root::Empty, len: 0, hash: KeyHash::new(seed) }
    }

    /// The hash's key, for a table that shall share precomputed hashes with this one.
    pub fn seed(&self) -> Seed {
        self.hash.seed
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key's hash, for the functions that take one.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hash.of(key)
    }

    /// The item of this key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&T> {
        self.get_hashed(self.hash(key), key)
    }

    /// As `get`, with the key's hash at hand.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&T> {
        let mut found = self.segment(hash)?.candidates(tag_of(hash));
        found.find(|(_, item)| item.key() == key).map(|(_, item)| item)
    }

    /// The item of this key, for writing: nodes on the way that a snapshot shares are copied. The
    /// caller must leave the key as it is.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        self.get_mut_hashed(self.hash(key), key)
    }

    /// As `get_mut`, with the key's hash at hand.
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut T> {
        let slot = self.locate(hash, key)?;
        self.item_mut(hash, slot)
    }

    /// The slot of this key, for [`item_mut`](Self::item_mut). It holds until the table changes.
    #[inline]
    pub fn locate(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.segment(hash)?.find(tag_of(hash), key)
    }

    /// The item in a slot that [`locate`](Self::locate) found for the same hash.
    #[inline]
    pub fn item(&self, hash: u64, slot: usize) -> Option<&T> {
        self.segment(hash)?.item(slot)
    }

    /// The same for writing.
    #[inline]
    pub fn item_mut(&mut self, hash: u64, slot: usize) -> Option<&mut T> {
        match &mut self.root {
            Root::Empty => None,
            Root::One(segment) => segment.item_mut(slot),
            Root::Many(directory) => directory.segment_mut(hash).item_mut(slot),
        }
    }

    /// Whether there is an item of this key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Stores an item; returns the one of the same key that it replaces.
    pub fn insert(&mut self, item: T) -> Option<T> {
        self.insert_hashed(self.hash(item.key()), item)
    }

    /// As `insert`, with the item's hash at hand.
    pub fn insert_hashed(&mut self, hash: u64, item: T) -> Option<T> {
        let old = self.put(hash, item);
        self.len += usize::from(old.is_none());
        old
    }

    fn put(&mut self, hash: u64, item: T) -> Option<T> {
        let item = match &mut self.root {
            Root::Empty => {
                let segment = Segment::build(0, 1, std::iter::once((tag_of(hash), item)));
                self.root = Root::One(segment);
                return None;
            }
            Root::Many(directory) => return directory.put(hash, item, self.hash, self.len),
            Root::One(segment) => match segment.put(tag_of(hash), item) {
                Put::Added => return None,
                Put::Replaced(old) => return Some(old),
                Put::Full(item) => item,
            },
        };
        if let Root::One(segment) = take(&mut self.root) {
            self.root = Root::Many(Box::new(Directory::new(segment)));
        }
        self.put(hash, item)
    }

    /// Takes out the item of this key.
    pub fn remove(&mut self, key: &[u8]) -> Option<T> {
        self.remove_hashed(self.hash(key), key)
    }

    /// As `remove`, with the key's hash at hand.
    pub fn remove_hashed(&mut self, hash: u64, key: &[u8]) -> Option<T> {
        let at = self.segment(hash)?.find(tag_of(hash), key)?;
        let removed = match &mut self.root {
            Root::Empty => None,
            Root::One(segment) => segment.remove(at, self.hash),
            Root::Many(directory) => directory.remove(hash, at, self.hash),
        };
        self.len -= usize::from(removed.is_some());
        self.tidy(hash);
        removed
    }

    /// Forgets all items. What no snapshot holds is freed now, here.
    pub fn clear(&mut self) {
        self.root = Root::Empty;
        self.len = 0;
    }

    /// Removes the items that `keep` refuses; asks once for each.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let before = self.len;
        let mut from = Some(0);
        while let Some(hash) = from {
            let removed = match &mut self.root {
                Root::Empty => return,
                Root::One(segment) => {
                    let refused = segment.refused(&mut keep);
                    segment.remove_all(&refused, self.hash)
                }
                Root::Many(directory) => directory.retain(hash, self.hash, &mut keep),
            };
            self.len -= removed;
            from = self.segment(hash).and_then(|segment| scan::end_of(segment, hash));
        }
        // Only now, for a merger of segments asked and not asked yet would have asked twice.
        from = (self.len < before).then_some(0);
        while let Some(hash) = from {
            self.tidy(hash);
            from = self.segment(hash).and_then(|segment| scan::end_of(segment, hash));
        }
    }

    /// Merges what got sparse around `hash`, and leaves out the levels that aren't needed.
    fn tidy(&mut self, hash: u64) {
        if let Root::Many(directory) = &mut self.root {
            directory.tidy(hash);
            if let Some(segment) = directory.only() {
                self.root = Root::One(segment.clone());
            }
        }
        if self.len == 0 {
            self.root = Root::Empty;
        }
    }

    /// Brings what a lookup of this hash will read into the processor's cache, one step of the
    /// way. Taking each step for many hashes lets their cache misses overlap.
    #[inline]
    pub fn prefetch(&self, hash: u64, step: Step) {
        let Some(segment) = self.segment(hash) else { return };
        match step {
            Step::Tags => segment.prefetch_tags(),
            Step::Slot => segment.prefetch_slot(tag_of(hash)),
            Step::Item => {
                if let Some((_, item)) = segment.candidates(tag_of(hash)).next() {
                    item.prefetch();
                }
            }
        }
    }

    /// The items whose hash's upper 40 bits (`hash >> 24`) are these.
    pub fn matching_prefix(&self, hash40: u64) -> impl Iterator<Item = &T> {
        let hash = hash40 << 24;
        let segment = self.segment(hash).filter(|_| hash40 >> 40 == 0);
        let items = segment.into_iter().flat_map(move |found| found.candidates(tag_of(hash)));
        items.map(|(_, item)| item).filter(move |item| self.hash(item.key()) >> 24 == hash40)
    }

    /// The bytes allocated for the table, snapshots' copies and the items themselves left out.
    /// Looks at every chunk: one in some thousands of items.
    pub fn heap_bytes(&self) -> usize {
        match &self.root {
            Root::Empty => 0,
            Root::One(segment) => segment.bytes(),
            Root::Many(directory) => directory.bytes(),
        }
    }

    /// A look inside. Visits every segment.
    pub fn stats(&self) -> DictStats {
        let (chunks, root) = match &self.root {
            Root::Many(directory) => (directory.chunk_count(), directory.root_entries()),
            _ => (0, 0),
        };
        let mut stats = DictStats { items: self.len, chunks, root, ..DictStats::default() };
        for segment in self.chunks().flatten() {
            stats.segments += 1;
            stats.slots += segment.slots().len();
            stats.longest = stats.longest.max(segment.len());
        }
        stats
    }

    /// The segment where items of this hash are.
    #[inline]
    fn segment(&self, hash: u64) -> Option<&Segment<T>> {
        match &self.root {
            Root::Empty => None,
            Root::One(segment) => Some(segment),
            Root::Many(directory) => Some(directory.segment(hash)),
        }
    }

    /// All segments, in groups.
    fn chunks(&self) -> impl Iterator<Item = &[Segment<T>]> {
        let (one, many) = match &self.root {
            Root::Empty => (None, None),
            Root::One(segment) => (Some(std::slice::from_ref(segment)), None),
            Root::Many(directory) => (None, Some(directory.chunks())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The group of segments at a place, from 0 on.
    fn chunk_at(&self, place: usize) -> Option<&[Segment<T>]> {
        match &self.root {
            Root::One(segment) if place == 0 => Some(std::slice::from_ref(segment)),
            Root::Many(directory) => directory.chunk_at(place),
            _ => None,
        }
    }
}
