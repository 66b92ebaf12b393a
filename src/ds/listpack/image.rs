//! The memory of a listpack's image, with room at both ends of it.
//!
//! Owns where the image stands in its memory, and so what an edit moves: the part before it or the
//! part behind it, whichever is nearer an end and has room there. Knows of the format that a header
//! begins the image and an end mark ends it; the header's content is the caller's. Offsets count from
//! the image's start, so an edit never changes those before it.

use std::ops::Range;

use super::{END, HEADER};
use crate::ds::size_class::size_class;

/// The most bytes before the image.
pub(super) const MAX_GAP: usize = u16::MAX as usize;
/// A smaller image gets no room at its front: moving all of it costs less than a second thought.
const SMALL: usize = 64;

/// An image in its memory.
pub(super) struct Image {
    memory: Box<[u8]>,
    len: u32,
    /// Where the image starts.
    gap: u16,
    _niche: Niche,
}

/// The values that this byte can't have tell the variants of enums that hold a listpack, which take
/// no more memory than it then.
#[repr(u8)]
enum Niche {
    Zero,
}

const _: () = assert!(size_of::<Image>() == 3 * size_of::<usize>());
const _: () = assert!(size_of::<Option<Option<Image>>>() == size_of::<Image>());

/// The end of the memory that gets room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Front,
    Back,
}

impl Image {
    /// The image of an empty listpack, with room behind it.
    pub(super) fn with_room(bytes: usize) -> Self {
        let empty = [HEADER as u8 + 1, 0, 0, 0, 0, 0, END];
        Self::placed(&empty, size_class(empty.len() + bytes), 0)
    }

    /// A copy of an image in new memory.
    fn placed(image: &[u8], capacity: usize, gap: usize) -> Self {
        let mut memory = Vec::with_capacity(capacity);
        memory.resize(gap, 0);
        memory.extend_from_slice(image);
        memory.resize(capacity, 0);
        let (len, gap) = (image.len() as u32, gap as u16);
        Self { memory: memory.into_boxed_slice(), len, gap, _niche: Niche::Zero }
    }

    /// Size of the image.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of memory.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.memory.len()
    }

    #[inline]
    fn gap(&self) -> usize {
        usize::from(self.gap)
    }

    /// The image.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.gap()..][..self.len()]
    }

    /// The image from an offset on, and what is behind it.
    #[inline]
    pub(super) fn from(&self, at: usize) -> Option<&[u8]> {
        self.memory.get(self.gap() + at..)
    }

    /// The image up to an offset, and what is before it.
    #[inline]
    pub(super) fn up_to(&self, at: usize) -> Option<&[u8]> {
        self.memory.get(..self.gap() + at)
    }

    /// So many bytes from an offset on.
    #[inline]
    pub(super) fn slot(&mut self, at: usize, len: usize) -> &mut [u8] {
        let at = self.gap() + at;
        &mut self.memory[at..at + len]
    }

    /// Makes `n` bytes of space between the header and the first entry.
    #[inline]
    pub(super) fn open_front(&mut self, n: usize) -> &mut [u8] {
        if n > self.gap() {
            if self.len() < SMALL || n > MAX_GAP {
                return self.open(HEADER, n);
            }
            self.make_room(n, Side::Front);
        }
        self.move_header(self.gap() - n);
        self.len += n as u32;
        self.slot(HEADER, n)
    }

    /// Makes `n` bytes of space between the last entry and the end mark.
    #[inline]
    pub(super) fn open_back(&mut self, n: usize) -> &mut [u8] {
        let end = self.back_end(n);
        self.len += n as u32;
        self.memory[end + n - 1] = END;
        &mut self.memory[end - 1..end + n - 1]
    }

    /// Makes `n` bytes of space at an offset.
    pub(super) fn open(&mut self, at: usize, n: usize) -> &mut [u8] {
        if at < self.len() / 2 && n <= self.gap() {
            let start = self.gap();
            self.memory.copy_within(start..start + at, start - n);
            self.gap -= n as u16;
        } else {
            let end = self.back_end(n);
            let at = self.gap() + at;
            self.memory.copy_within(at..end, at + n);
        }
        self.len += n as u32;
        self.slot(at, n)
    }

    /// Takes a range of the image out.
    pub(super) fn close(&mut self, range: Range<usize>) {
        let Range { start, end } = range;
        let (n, behind) = (end - start, self.len() - end);
        let front = start < behind;
        if front && self.gap() + n > MAX_GAP {
            self.place(0);
        }
        let gap = self.gap();
        if front && n <= MAX_GAP {
            if start == HEADER {
                self.move_header(gap + n);
            } else {
                self.memory.copy_within(gap..gap + start, gap + n);
                self.gap = (gap + n) as u16;
            }
        } else if behind == 1 {
            self.memory[gap + start] = END;
        } else {
            self.memory.copy_within(gap + end..gap + end + behind, gap + start);
        }
        self.len -= n as u32;
    }

    /// Gives all room back.
    pub(super) fn shrink_to_fit(&mut self) {
        if self.capacity() > self.len() {
            *self = self.clone();
        }
    }

    /// Moves the image's start, of which the header alone matters.
    #[inline]
    fn move_header(&mut self, to: usize) {
        let from = self.gap();
        self.memory.copy_within(from..from + HEADER, to);
        self.gap = to as u16;
    }

    /// Where the image ends; there is room for `n` bytes behind.
    #[inline]
    fn back_end(&mut self, n: usize) -> usize {
        let end = self.gap() + self.len();
        if n > self.capacity() - end {
            self.make_room(n, Side::Back);
        }
        self.gap() + self.len()
    }

    /// Makes room for `n` bytes at an end: by a move if there is enough at both together, and then
    /// leaves half of the rest at the other end, lest pushes at both by turns move the image each
    /// time; else by an eighth of growth, little since small collections are many.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, n: usize, side: Side) {
        let len = self.len();
        let spare = self.capacity() - len;
        if spare >= n + len / 16 {
            let rest = (spare - n) / 2;
            let gap = if side == Side::Front { rest + n } else { rest };
            return self.place(gap.min(MAX_GAP));
        }
        let capacity = size_class(len + n + len / 8);
        match side {
            Side::Front => {
                *self = Self::placed(self.bytes(), capacity, (capacity - len).min(MAX_GAP))
            }
            Side::Back => self.grow(capacity),
        }
    }

    /// Moves the image within its memory.
    fn place(&mut self, gap: usize) {
        let (start, len) = (self.gap(), self.len());
        self.memory.copy_within(start..start + len, gap);
        self.gap = gap as u16;
    }

    /// Gives the image larger memory, with all room behind it.
    fn grow(&mut self, capacity: usize) {
        if self.gap > 0 {
            *self = Self::placed(self.bytes(), capacity, 0);
            return;
        }
        let mut memory = std::mem::take(&mut self.memory).into_vec();
        memory.reserve_exact(capacity.saturating_sub(memory.len()));
        memory.resize(capacity, 0);
        self.memory = memory.into_boxed_slice();
    }

    /// Gives memory back once more than half is unused.
    #[inline]
    pub(super) fn release(&mut self) {
        let len = self.len();
        if self.capacity() > SMALL && self.capacity() > 2 * len {
            *self = Self::placed(self.bytes(), size_class(len + len / 8), 0);
        }
    }
}

/// The copy has no room to spare.
impl Clone for Image {
    fn clone(&self) -> Self {
        Self::placed(self.bytes(), self.len(), 0)
    }
}

/// Takes the image; that it is one is for the caller to know.
impl From<Vec<u8>> for Image {
    fn from(image: Vec<u8>) -> Self {
        let len = image.len() as u32;
        Self { memory: image.into_boxed_slice(), len, gap: 0, _niche: Niche::Zero }
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Image {}
