//! Intset: the sorted array that holds a small set of integers, byte for byte in Redis's format,
//! so that an RDB file saves and loads it as a copy.
//!
//! Owns the format, its order, and the width of its integers, which grows on demand and never
//! shrinks (as in Redis). Never holds an unsorted or doubled value: an image comes either from
//! edits here or through [`Intset::from_bytes`], which validates it.
//!
//! Layout, all little-endian: bytes per integer (u32: 2, 4 or 8), count (u32), the integers in
//! ascending order.

use std::cmp::Ordering;
use std::fmt;

use crate::util::prefetch::prefetch;

const HEADER: usize = 8;

/// A set of integers. See the module for the format.
#[derive(Clone, PartialEq, Eq)]
pub struct Intset(Vec<u8>);

/// The bytes given to [`Intset::from_bytes`] are no intset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorruptIntset;

impl fmt::Display for CorruptIntset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("corrupt intset")
    }
}

impl std::error::Error for CorruptIntset {}

/// Bytes per integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl Width {
    fn of(value: i64) -> Self {
        if i16::try_from(value).is_ok() {
            Self::Two
        } else if i32::try_from(value).is_ok() {
            Self::Four
        } else {
            Self::Eight
        }
    }

    #[inline]
    fn bytes(self) -> usize {
        self as usize
    }

    #[inline]
    fn read(self, bytes: &[u8]) -> i64 {
        let mut wide = [0; 8];
        // To the top, to be shifted down with its sign.
        wide[8 - self.bytes()..].copy_from_slice(bytes);
        i64::from_le_bytes(wide) >> (64 - 8 * self.bytes())
    }

    /// Writes a value that fits.
    #[inline]
    fn write(self, value: i64, out: &mut [u8]) {
        out.copy_from_slice(&value.to_le_bytes()[..self.bytes()]);
    }
}

impl Default for Intset {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Intset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Intset {
    /// Asks for the first bytes to be brought into the processor's cache.
    pub fn prefetch(&self) {
        self.0.first().into_iter().for_each(prefetch);
    }

    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        let mut set = Self(vec![0; HEADER]);
        set.write_header(Width::Two);
        set
    }

    /// Takes an image, such as one from an RDB file, after validating all of it.
    ///
    /// # Errors
    /// If the header does not agree with the length, or the values do not ascend.
    pub fn from_bytes(image: Vec<u8>) -> Result<Self, CorruptIntset> {
        let words: &[u8; HEADER] = image.first_chunk().ok_or(CorruptIntset)?;
        let [w0, w1, w2, w3, c0, c1, c2, c3] = *words;
        let width = match u32::from_le_bytes([w0, w1, w2, w3]) {
            2 => Width::Two,
            4 => Width::Four,
            8 => Width::Eight,
            _ => return Err(CorruptIntset),
        };
        let count = usize::try_from(u32::from_le_bytes([c0, c1, c2, c3])).ok();
        let size = count.and_then(|count| count.checked_mul(width.bytes()));
        if size != Some(image.len() - HEADER) {
            return Err(CorruptIntset);
        }
        let set = Self(image);
        if set.iter().is_sorted_by(|a, b| a < b) { Ok(set) } else { Err(CorruptIntset) }
    }

    /// The image in Redis's format.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The image, taken out.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// Heap bytes held, used or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Number of values.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        (self.0.len() - HEADER) / self.width().bytes()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == HEADER
    }

    /// The value at `index` in ascending order.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.at(index))
    }

    /// The least value.
    #[must_use]
    pub fn min(&self) -> Option<i64> {
        self.get(0)
    }

    /// The greatest value.
    #[must_use]
    pub fn max(&self) -> Option<i64> {
        self.get(self.len().wrapping_sub(1))
    }

    /// Whether `value` is in the set.
    #[must_use]
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// A value drawn evenly; none if there is no value.
    #[must_use]
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<i64> {
        (!self.is_empty()).then(|| self.at(rng.usize(..self.len())))
    }

    /// The values in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone {
        let width = self.width();
        self.0[HEADER..].chunks_exact(width.bytes()).map(move |bytes| width.read(bytes))
    }

    /// Adds a value; whether it was new.
    pub fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.search(value) else { return false };
        let width = Width::of(value);
        if width > self.width() {
            self.widen(width);
        }
        let width = self.width();
        self.reserve(width.bytes());
        let (at, len) = (self.offset(index), self.0.len());
        self.0.resize(len + width.bytes(), 0);
        self.0.copy_within(at..len, at + width.bytes());
        width.write(value, &mut self.0[at..at + width.bytes()]);
        self.write_header(width);
        true
    }

    /// Removes a value; whether it was there.
    pub fn remove(&mut self, value: i64) -> bool {
        let found = self.search(value);
        if let Ok(index) = found {
            let (at, width) = (self.offset(index), self.width());
            self.0.drain(at..at + width.bytes());
            self.write_header(width);
            if self.0.capacity() > 64 && self.0.capacity() > 2 * self.0.len() {
                self.0.shrink_to(self.0.len() + self.0.len() / 8);
            }
        }
        found.is_ok()
    }

    #[inline]
    fn width(&self) -> Width {
        match self.0[0] {
            2 => Width::Two,
            4 => Width::Four,
            _ => Width::Eight,
        }
    }

    #[inline]
    fn offset(&self, index: usize) -> usize {
        HEADER + index * self.width().bytes()
    }

    /// The value at an index that is in range.
    #[inline]
    fn at(&self, index: usize) -> i64 {
        let (at, width) = (self.offset(index), self.width());
        width.read(&self.0[at..at + width.bytes()])
    }

    /// The index of `value`, or the index at which it would stand.
    fn search(&self, value: i64) -> Result<usize, usize> {
        // Values often come in ascending order.
        if self.max().is_none_or(|max| max < value) {
            return Err(self.len());
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.at(middle).cmp(&value) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Rewrites all values at a greater width, with room for one more.
    fn widen(&mut self, width: Width) {
        let mut wide = Vec::with_capacity(HEADER + (self.len() + 1) * width.bytes());
        wide.resize(HEADER, 0);
        for value in self.iter() {
            wide.extend_from_slice(&value.to_le_bytes()[..width.bytes()]);
        }
        self.0 = wide;
        self.write_header(width);
    }

    fn write_header(&mut self, width: Width) {
        let count = ((self.0.len() - HEADER) / width.bytes()) as u32;
        self.0[..4].copy_from_slice(&(width as u32).to_le_bytes());
        self.0[4..HEADER].copy_from_slice(&count.to_le_bytes());
    }

    /// Makes room with at most an eighth to spare: small sets are many.
    fn reserve(&mut self, extra: usize) {
        if self.0.capacity() - self.0.len() < extra {
            self.0.reserve_exact(extra + self.0.len() / 8);
        }
    }
}

impl FromIterator<i64> for Intset {
    fn from_iter<I: IntoIterator<Item = i64>>(values: I) -> Self {
        let mut set = Self::new();
        for value in values {
            set.insert(value);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn image_is_as_redis_has_it() {
        let mut set = Intset::new();
        assert_eq!(set.as_bytes(), [2, 0, 0, 0, 0, 0, 0, 0]);
        set.insert(5);
        set.insert(-1);
        assert_eq!(set.as_bytes(), [2, 0, 0, 0, 2, 0, 0, 0, 255, 255, 5, 0]);
        set.insert(40_000);
        let wide = [4, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 255, 5, 0, 0, 0, 64, 156, 0, 0];
        assert_eq!(set.as_bytes(), wide);
        // Removal keeps the width.
        set.remove(40_000);
        assert_eq!(set.as_bytes()[..8], [4, 0, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn corrupt_images_are_refused() {
        let set: Intset = [1, 2, 70_000].into_iter().collect();
        let good = set.as_bytes().to_vec();
        assert_eq!(Intset::from_bytes(good.clone()), Ok(set));
        for len in 0..good.len() {
            assert_eq!(Intset::from_bytes(good[..len].to_vec()), Err(CorruptIntset));
        }
        // Width, count, order, and a doubled value.
        for (at, byte) in [(0, 3), (4, 2), (8, 9), (8, 2)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Intset::from_bytes(bad), Err(CorruptIntset), "byte {at}");
        }
    }

    #[test]
    fn random_draws_every_value() {
        let set: Intset = (0..5).collect();
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: BTreeSet<_> = (0..200).filter_map(|_| set.random(&mut rng)).collect();
        assert_eq!(drawn.len(), 5);
        assert_eq!(Intset::new().random(&mut rng), None);
    }

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![-20i64..20, -40_000i64..40_000, any::<i32>().prop_map(i64::from), any::<i64>()]
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_btree_set(edits in proptest::collection::vec((any::<bool>(), value()), 0..80)) {
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            for (insert, value) in edits {
                if insert {
                    prop_assert_eq!(set.insert(value), model.insert(value));
                } else {
                    prop_assert_eq!(set.remove(value), model.remove(&value));
                }
                prop_assert_eq!(set.contains(value), model.contains(&value));
                prop_assert!(set.iter().eq(model.iter().copied()));
                prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!((set.min(), set.max()), (model.first().copied(), model.last().copied()));
                prop_assert_eq!(set.get(model.len()), None);
                prop_assert!(Intset::from_bytes(set.as_bytes().to_vec()).is_ok());
            }
        }
    }
}
