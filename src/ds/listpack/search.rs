//! The search for a text in a listpack's image.
//!
//! Owns the walk from entry to entry that reads no more of each than it takes to see that it is not
//! the one. What it finds is what comparing every entry's text would find, however the image
//! encodes them.

use super::{Element, back_size, decode, int_of};

/// The offset of the first entry from `at` on whose text is `text`, where one entry is looked at and
/// the next `skip` are passed.
pub(super) fn find(image: &[u8], mut at: usize, text: &[u8], skip: usize) -> Option<usize> {
    let needle = Needle::new(text);
    loop {
        if skip == 0 {
            at = needle.pass_unlike(image, at);
        }
        let (found, end) = needle.meet(image, at)?;
        if found {
            return Some(at);
        }
        at = (0..skip).try_fold(end, |at, _| pass(image, at))?;
    }
}

/// Offset after the entry at `at`; of one in a common encoding, only the head is read.
#[inline]
fn pass(image: &[u8], at: usize) -> Option<usize> {
    let &code = image.get(at)?;
    let len = match code {
        0x00..=0x7F => 1,
        0x80..=0xBF => 1 + usize::from(code & 0x3F),
        0xE0..=0xEF => 2 + (usize::from(code & 0x0F) << 8 | usize::from(*image.get(at + 1)?)),
        _ => decode(&image[at..])?.1,
    };
    Some(at + len + back_size(len))
}

/// A text that entries are compared with, one after the other.
struct Needle<'a> {
    text: &'a [u8],
    int: Option<i64>,
    /// The encoding byte of a text of this length, if that is short.
    code: Option<u8>,
    /// Its last bytes, at most eight, at the top of a number: names differ in their ends, mostly.
    tail: u64,
    /// The bits that those bytes take.
    mask: u64,
}

impl<'a> Needle<'a> {
    #[inline]
    fn new(text: &'a [u8]) -> Self {
        let code = if text.len() < 64 { Some(0x80 | text.len() as u8) } else { None };
        let (tail, mask) = match text.last_chunk() {
            Some(last) => (u64::from_le_bytes(*last), u64::MAX),
            None => text.iter().fold((0, 0), |(tail, mask), &byte| {
                (tail >> 8 | u64::from(byte) << 56, mask >> 8 | 0xFF << 56)
            }),
        };
        Self { text, int: int_of(text), code, tail, mask }
    }

    /// Whether a text that ends at `end` may be this one, if it is as long.
    #[inline]
    fn may_end(&self, image: &[u8], end: usize) -> bool {
        // The header and the encoding are before it: only the empty text may have too few bytes.
        let last = image.get(..end).and_then(<[u8]>::last_chunk);
        last.is_none_or(|last| (u64::from_le_bytes(*last) ^ self.tail) & self.mask == 0)
    }

    /// Passes entries from `at` on while each is a text as long as this one, with another end.
    #[inline]
    fn pass_unlike(&self, image: &[u8], mut at: usize) -> usize {
        let len = self.text.len();
        while image.get(at).copied() == self.code && !self.may_end(image, at + 1 + len) {
            at += len + 2;
        }
        at
    }

    /// Whether the entry at `at` is this text, and the offset after it. None at the end mark.
    #[inline]
    fn meet(&self, image: &[u8], at: usize) -> Option<(bool, usize)> {
        let &code = image.get(at)?;
        if let 0x80..=0xBF = code {
            let end = at + 1 + usize::from(code & 0x3F);
            let found = Some(code) == self.code
                && self.may_end(image, end)
                && image.get(at + 1..end) == Some(self.text);
            return Some((found, end + 1));
        }
        let (element, len) = decode(&image[at..])?;
        let found = match element {
            Element::Int(value) => self.int == Some(value),
            Element::Str(text) => text == self.text,
        };
        Some((found, at + len + back_size(len)))
    }
}
