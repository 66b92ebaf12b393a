//! Listpack: the serialized list that holds small lists, hashes, sets and sorted sets, byte for
//! byte in Redis's format, so that an RDB file saves and loads it as a copy.
//!
//! Owns the format: encoding, validation, cursors, edits. Knows nothing of what entries mean,
//! beyond helpers for (field, value) pairs. Never holds an invalid image: one comes either from
//! edits here or through [`Listpack::from_bytes`], which validates every entry.
//!
//! Layout: total bytes (u32), entry count (u16; 65535 is "count them"), entries, `0xFF`; all
//! little-endian. An entry is an encoding byte with payload, then the length of both written so
//! that it can be read backwards. Text that is a canonical integer is stored as one.

mod image;
mod search;

use std::fmt;

use self::image::Image;
use crate::util::num::{IntBuf, fmt_i64, parse_i64};
use crate::util::prefetch::prefetch_all;

const HEADER: usize = 6;
const END: u8 = 0xFF;
/// Size of a line of the processor's cache.
const LINE: usize = 64;
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Greatest size of one listpack in bytes; Redis's safety limit.
pub const MAX_BYTES: usize = 1 << 30;

/// Longest text that may be an integer.
const MAX_INT_TEXT: usize = 20;

/// A listpack. See the module for the format.
#[derive(Clone, PartialEq, Eq)]
pub struct Listpack(Image);

/// The bytes given to [`Listpack::from_bytes`] are no listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorruptListpack;

impl fmt::Display for CorruptListpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("corrupt listpack")
    }
}

impl std::error::Error for CorruptListpack {}

/// Where an entry starts: a byte offset. Valid for the listpack it came from until the next edit
/// that does not return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(u32);

impl Pos {
    #[inline]
    fn new(at: usize) -> Self {
        // Offsets are below MAX_BYTES.
        Self(at as u32)
    }

    #[inline]
    fn at(self) -> usize {
        self.0 as usize
    }
}

/// An entry's value. An integer stands for its decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// Stored as an integer.
    Int(i64),
    /// Stored as bytes.
    Str(&'a [u8]),
}

impl<'a> Element<'a> {
    /// The value as it would be stored: canonical integer text becomes an integer.
    #[inline]
    #[must_use]
    pub fn classify(text: &'a [u8]) -> Self {
        int_of(text).map_or(Self::Str(text), Self::Int)
    }

    /// The text; an integer is printed into `buf`.
    #[inline]
    pub fn as_bytes<'b>(&self, buf: &'b mut IntBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Int(value) => fmt_i64(value, buf),
            Self::Str(bytes) => bytes,
        }
    }

    /// Whether the text equals `other`.
    #[must_use]
    pub fn eq_bytes(&self, other: &[u8]) -> bool {
        match *self {
            Self::Int(value) => int_of(other) == Some(value),
            Self::Str(bytes) => bytes == other,
        }
    }

    /// Length of the text in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a length of text, not a collection")]
    #[must_use]
    pub fn len(&self) -> usize {
        match *self {
            Self::Int(value) => crate::util::num::sdigits10(value),
            Self::Str(bytes) => bytes.len(),
        }
    }

    /// The integer, whichever way it is stored.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Self::Int(value) => Some(value),
            Self::Str(bytes) => int_of(bytes),
        }
    }

    /// A copy of the text.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut IntBuf::new()).to_vec()
    }
}

impl<'a> From<&'a [u8]> for Element<'a> {
    fn from(text: &'a [u8]) -> Self {
        Self::classify(text)
    }
}

impl From<i64> for Element<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

#[inline]
fn int_of(text: &[u8]) -> Option<i64> {
    if text.len() > MAX_INT_TEXT { None } else { parse_i64(text) }
}

/// An entry ready to be written: up to nine bytes of encoding, a body, up to five of back length.
struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    body: &'a [u8],
    back: [u8; 5],
    back_len: usize,
}

impl<'a> Encoded<'a> {
    fn new(element: Element<'a>) -> Self {
        let (head, head_len, body) = match element {
            Element::Int(value) => {
                let (head, len) = int_head(value);
                (head, len, &[][..])
            }
            Element::Str(bytes) => {
                let (head, len) = str_head(bytes.len());
                (head, len, bytes)
            }
        };
        let (back, back_len) = back_length(head_len + body.len());
        Self { head, head_len, body, back, back_len }
    }

    fn len(&self) -> usize {
        self.head_len + self.body.len() + self.back_len
    }

    fn write(&self, out: &mut [u8]) {
        // Encoding and back length mostly are one byte: too little for a copy.
        let put = |out: &mut [u8], bytes: &[u8]| match (out, bytes) {
            ([place], [byte]) => *place = *byte,
            (out, bytes) => out.copy_from_slice(bytes),
        };
        let (head, rest) = out.split_at_mut(self.head_len);
        let (body, back) = rest.split_at_mut(self.body.len());
        put(head, &self.head[..self.head_len]);
        put(body, self.body);
        put(back, &self.back[..self.back_len]);
    }
}

fn int_head(value: i64) -> ([u8; 9], usize) {
    let mut head = [0; 9];
    let bytes = value.to_le_bytes();
    let (code, width) = match value {
        0..=127 => {
            head[0] = bytes[0];
            return (head, 1);
        }
        -4096..=4095 => {
            head[0] = 0b1100_0000 | (bytes[1] & 0b0001_1111);
            head[1] = bytes[0];
            return (head, 2);
        }
        -0x8000..=0x7FFF => (0xF1, 2),
        -0x80_0000..=0x7F_FFFF => (0xF2, 3),
        -0x8000_0000..=0x7FFF_FFFF => (0xF3, 4),
        _ => (0xF4, 8),
    };
    head[0] = code;
    head[1..=width].copy_from_slice(&bytes[..width]);
    (head, 1 + width)
}

fn str_head(len: usize) -> ([u8; 9], usize) {
    let mut head = [0; 9];
    let bytes = (len as u32).to_le_bytes();
    if len < 64 {
        head[0] = 0b1000_0000 | bytes[0];
        (head, 1)
    } else if len < 4096 {
        head[0] = 0b1110_0000 | bytes[1];
        head[1] = bytes[0];
        (head, 2)
    } else {
        head[0] = 0xF0;
        head[1..5].copy_from_slice(&bytes);
        (head, 5)
    }
}

/// Bytes that the back length of an entry takes. The thresholds are the format's, off by one.
#[inline]
fn back_size(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Seven bits a byte, most significant first; all but the first byte are flagged, so that it
/// can be read from its end.
fn back_length(len: usize) -> ([u8; 5], usize) {
    let size = back_size(len);
    let mut back = [0; 5];
    for (at, byte) in back[..size].iter_mut().enumerate() {
        let bits = (len >> (7 * (size - 1 - at))) as u8 & 0x7F;
        *byte = if at == 0 { bits } else { bits | 0x80 };
    }
    (back, size)
}

/// Reads the back length that ends `bytes`.
fn read_back_length(bytes: &[u8]) -> Option<usize> {
    let mut len = 0usize;
    for (step, &byte) in bytes.iter().rev().take(5).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * step);
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

/// Decodes the entry that starts `bytes`: its value and its length without the back length. None
/// if the bytes are too few or no entry (the end mark is none).
#[inline]
fn decode(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&code, rest) = bytes.split_first()?;
    let str = |skip: usize, len: usize| {
        let body = rest.get(skip..)?.get(..len)?;
        Some((Element::Str(body), 1 + skip + len))
    };
    let int = |width: usize| {
        let mut wide = [0; 8];
        // The payload goes to the top, to be shifted down with its sign.
        wide[8 - width..].copy_from_slice(rest.get(..width)?);
        Some((Element::Int(i64::from_le_bytes(wide) >> (64 - 8 * width)), 1 + width))
    };
    match code {
        0x00..=0x7F => Some((Element::Int(i64::from(code)), 1)),
        0x80..=0xBF => str(0, usize::from(code & 0x3F)),
        0xC0..=0xDF => {
            let value = i16::from_be_bytes([code << 3, 0]) | i16::from(*rest.first()?) << 3;
            Some((Element::Int(i64::from(value >> 3)), 2))
        }
        0xE0..=0xEF => str(1, usize::from(code & 0x0F) << 8 | usize::from(*rest.first()?)),
        0xF0 => {
            let len = u32::from_le_bytes(*rest.first_chunk()?);
            str(4, usize::try_from(len).ok()?)
        }
        0xF1 => int(2),
        0xF2 => int(3),
        0xF3 => int(4),
        0xF4 => int(8),
        _ => None,
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Listpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Listpack {
    /// Asks for the first KiB to be brought into the processor's cache.
    pub fn prefetch(&self) {
        let bytes = self.as_bytes();
        prefetch_all(&bytes[..bytes.len().min(1024)]);
    }

    /// Asks for what an edit at the front reads and writes.
    pub fn prefetch_front(&self) {
        let bytes = self.as_bytes();
        prefetch_all(&bytes[..bytes.len().min(LINE + 1)]);
    }

    /// Asks for what an edit at the end reads and writes: the header too.
    pub fn prefetch_back(&self) {
        let bytes = self.as_bytes();
        prefetch_all(&bytes[..1]);
        prefetch_all(&bytes[bytes.len().saturating_sub(LINE + 1)..]);
    }

    /// An empty listpack.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty listpack with space for `bytes` of entries as they are encoded.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Image::with_room(bytes))
    }

    /// Takes an image, such as one from an RDB file, after validating all of it.
    ///
    /// # Errors
    /// If the header, an entry, or the end mark is not as the format has it.
    pub fn from_bytes(image: Vec<u8>) -> Result<Self, CorruptListpack> {
        validate(&image).ok_or(CorruptListpack)?;
        Ok(Self(image.into()))
    }

    /// The image in Redis's format.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Size of the image in bytes.
    #[inline]
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// Heap bytes held, used or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Number of entries. From 65535 on the header has no count: then it takes a walk.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.header_count() {
            UNKNOWN_COUNT => self.positions(self.first()).count(),
            count => usize::from(count),
        }
    }

    /// Whether there is no entry.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == HEADER + 1
    }

    /// Whether `extra` more bytes of text or encoding keep the listpack within `limit` bytes and
    /// within [`MAX_BYTES`].
    #[must_use]
    pub fn fits(&self, extra: usize, limit: usize) -> bool {
        self.0.len().checked_add(extra).is_some_and(|total| total <= limit.min(MAX_BYTES))
    }

    /// Bytes that an entry for `text` takes.
    #[must_use]
    pub fn encoded_len(text: &[u8]) -> usize {
        Encoded::new(Element::classify(text)).len()
    }

    /// Gives spare memory back.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Removes all entries and frees their memory.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    // ---- Cursors ----

    /// The first entry.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<Pos> {
        (!self.is_empty()).then_some(Pos(HEADER as u32))
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<Pos> {
        self.before(self.end())
    }

    /// The entry after `pos`.
    #[inline]
    #[must_use]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.entry(pos.at()).map(|(_, next)| next).and_then(|at| self.pos(at))
    }

    /// The entry before `pos`.
    #[must_use]
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        self.before(pos.at())
    }

    /// The entry at `index`, which counts from the last entry (-1) if negative. Walks from the
    /// nearer end.
    #[must_use]
    pub fn seek(&self, index: i64) -> Option<Pos> {
        let count = self.len();
        let distance = usize::try_from(index.unsigned_abs()).ok()?;
        let index = if index < 0 { count.checked_sub(distance)? } else { distance };
        if index >= count {
            return None;
        }
        if index <= count / 2 {
            (0..index).try_fold(self.first()?, |pos, _| self.next(pos))
        } else {
            (index + 1..count).try_fold(self.last()?, |pos, _| self.prev(pos))
        }
    }

    /// The value at `pos`. A position of another listpack may give any value, or the empty text.
    #[inline]
    #[must_use]
    pub fn get(&self, pos: Pos) -> Element<'_> {
        self.entry(pos.at()).map_or(Element::Str(&[]), |(element, _)| element)
    }

    /// The value at an index, as [`Listpack::seek`] counts.
    #[must_use]
    pub fn get_at(&self, index: i64) -> Option<Element<'_>> {
        Some(self.get(self.seek(index)?))
    }

    /// The value at an offset and the offset after its entry.
    #[inline]
    fn entry(&self, at: usize) -> Option<(Element<'_>, usize)> {
        let (element, len) = decode(self.0.from(at)?)?;
        Some((element, at + len + back_size(len)))
    }

    /// Offset of the end mark.
    #[inline]
    fn end(&self) -> usize {
        self.0.len() - 1
    }

    #[inline]
    fn pos(&self, at: usize) -> Option<Pos> {
        (at < self.end()).then(|| Pos::new(at))
    }

    /// The entry that ends at an offset.
    fn before(&self, at: usize) -> Option<Pos> {
        if at <= HEADER {
            return None;
        }
        let len = read_back_length(self.0.up_to(at)?)?;
        at.checked_sub(len + back_size(len)).map(Pos::new)
    }

    fn positions(&self, from: Option<Pos>) -> impl Iterator<Item = Pos> {
        std::iter::successors(from, |&pos| self.next(pos))
    }

    /// The values from first to last.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(self.first())
    }

    /// The values from `pos` to the last.
    #[must_use]
    pub fn iter_from(&self, pos: Option<Pos>) -> Iter<'_> {
        Iter { image: self.as_bytes(), at: pos.map_or(self.end(), Pos::at) }
    }

    /// The values from last to first.
    #[must_use]
    pub fn iter_rev(&self) -> IterRev<'_> {
        IterRev { list: self, at: self.end() }
    }

    /// The values two at a time: (field, value), (member, score). A last odd one is left out.
    pub fn pairs(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
        let mut iter = self.iter();
        std::iter::from_fn(move || Some((iter.next()?, iter.next()?)))
    }

    /// Finds the first entry at or after `from` whose text is `needle`, looking at one entry and
    /// passing over the next `skip`; so `skip` 1 looks at the fields of pairs.
    #[must_use]
    pub fn find(&self, from: Pos, needle: &[u8], skip: usize) -> Option<Pos> {
        search::find(self.as_bytes(), from.at(), needle, skip).map(Pos::new)
    }

    /// Finds a pair by its first half and returns the positions of both.
    #[must_use]
    pub fn find_pair(&self, field: &[u8]) -> Option<(Pos, Pos)> {
        let pos = self.find(self.first()?, field, 1)?;
        Some((pos, self.next(pos)?))
    }

    // ---- Edits ----

    /// Adds a value at the end.
    pub fn push_back<'a>(&mut self, value: impl Into<Element<'a>>) {
        let entry = Encoded::new(value.into());
        entry.write(self.0.open_back(entry.len()));
        self.count_more(1);
    }

    /// Adds a value at the front.
    pub fn push_front<'a>(&mut self, value: impl Into<Element<'a>>) {
        let entry = Encoded::new(value.into());
        entry.write(self.0.open_front(entry.len()));
        self.count_more(1);
    }

    /// Adds several values at the end: the header is written once.
    pub fn push_all<'a>(&mut self, values: impl IntoIterator<Item = Element<'a>>) {
        let mut added = 0u16;
        for value in values {
            let entry = Encoded::new(value);
            entry.write(self.0.open_back(entry.len()));
            added = added.saturating_add(1);
        }
        self.count_more(added);
    }

    /// Adds an integer at the end.
    pub fn push_back_int(&mut self, value: i64) {
        self.push_back(value);
    }

    /// Adds a pair at the end.
    pub fn push_pair<'a>(&mut self, field: impl Into<Element<'a>>, value: impl Into<Element<'a>>) {
        self.push_back(field);
        self.push_back(value);
    }

    /// Puts a value before `pos` and returns its position; the old entry is after it.
    pub fn insert_before<'a>(&mut self, pos: Pos, value: impl Into<Element<'a>>) -> Pos {
        self.insert(pos.at(), value.into());
        pos
    }

    /// Puts a value after `pos` and returns its position.
    pub fn insert_after<'a>(&mut self, pos: Pos, value: impl Into<Element<'a>>) -> Pos {
        let at = self.entry_end(pos.at());
        self.insert(at, value.into());
        Pos::new(at)
    }

    /// Puts a pair before `pos` and returns the position of its first half.
    pub fn insert_pair_before<'a>(
        &mut self,
        pos: Pos,
        field: impl Into<Element<'a>>,
        value: impl Into<Element<'a>>,
    ) -> Pos {
        let pos = self.insert_before(pos, value);
        self.insert_before(pos, field)
    }

    /// Replaces the value at `pos`, which stays its position.
    pub fn replace<'a>(&mut self, pos: Pos, value: impl Into<Element<'a>>) -> Pos {
        let at = pos.at();
        let (entry, old) = (Encoded::new(value.into()), self.entry_end(at) - at);
        let len = entry.len();
        if len > old {
            self.0.open(at, len - old);
        } else if len < old {
            self.0.close(at..at + old - len);
        }
        entry.write(self.0.slot(at, len));
        if len != old {
            self.count_more(0);
        }
        pos
    }

    /// Removes the entry at `pos` and returns the position of the one after it.
    pub fn remove(&mut self, pos: Pos) -> Option<Pos> {
        self.remove_range(pos, 1)
    }

    /// Removes the pair that starts at `pos` and returns the position of what comes after it.
    pub fn remove_pair(&mut self, pos: Pos) -> Option<Pos> {
        self.remove_range(pos, 2)
    }

    /// Removes `count` entries from `pos` on, or as many as there are; returns the position of
    /// the entry after them.
    pub fn remove_range(&mut self, pos: Pos, count: usize) -> Option<Pos> {
        let (mut at, mut removed) = (pos.at(), 0);
        while removed < count && at < self.end() {
            at = self.entry_end(at);
            removed += 1;
        }
        self.cut(pos.at()..at, removed);
        self.pos(pos.at())
    }

    /// Removes `count` entries from `index` on, as [`Listpack::seek`] counts.
    pub fn remove_range_at(&mut self, index: i64, count: usize) {
        if let Some(pos) = self.seek(index) {
            self.remove_range(pos, count);
        }
    }

    /// Adds all entries of `other` at the end.
    pub fn append(&mut self, other: &Self) {
        let entries = &other.as_bytes()[HEADER..other.end()];
        self.0.open_back(entries.len()).copy_from_slice(entries);
        self.count_more(other.header_count());
    }

    /// Takes the entries from `index` on out into a listpack of their own.
    #[must_use]
    pub fn split_off(&mut self, index: usize) -> Self {
        let total = self.len();
        let Some(pos) = i64::try_from(index).ok().and_then(|index| self.seek(index)) else {
            return Self::new();
        };
        let cut = pos.at()..self.end();
        let mut tail = Self::with_capacity(cut.len());
        tail.0.open_back(cut.len()).copy_from_slice(&self.as_bytes()[cut.clone()]);
        tail.write_header(clamp_count(total - index));
        self.cut(cut, total - index);
        tail
    }

    /// Offset after the entry at `at`; the end mark for an offset that is no entry.
    fn entry_end(&self, at: usize) -> usize {
        self.entry(at).map_or(self.end(), |(_, next)| next)
    }

    /// Puts an entry at an offset, before the one there.
    fn insert(&mut self, at: usize, value: Element<'_>) {
        let entry = Encoded::new(value);
        let len = entry.len();
        entry.write(match at {
            HEADER => self.0.open_front(len),
            _ => self.0.open(at, len),
        });
        self.count_more(1);
    }

    /// Removes bytes that hold `count` entries.
    fn cut(&mut self, range: std::ops::Range<usize>, count: usize) {
        if count == 0 {
            return;
        }
        self.0.close(range);
        self.0.release();
        let left = match self.header_count() {
            UNKNOWN_COUNT => UNKNOWN_COUNT,
            known => known.saturating_sub(u16::try_from(count).unwrap_or(known)),
        };
        self.write_header(left);
    }

    #[inline]
    fn header_count(&self) -> u16 {
        let header = self.0.from(0).and_then(<[u8]>::first_chunk::<HEADER>);
        header.map_or(0, |header| u16::from_le_bytes([header[4], header[5]]))
    }

    /// Has the header tell the size, and `added` more entries; once their number is unknown, it
    /// stays so.
    #[inline]
    fn count_more(&mut self, added: u16) {
        self.write_header(self.header_count().saturating_add(added));
    }

    #[inline]
    fn write_header(&mut self, count: u16) {
        let total = self.0.len() as u32;
        let header = self.0.slot(0, HEADER);
        header[..4].copy_from_slice(&total.to_le_bytes());
        header[4..].copy_from_slice(&count.to_le_bytes());
    }
}

/// Whether no two of the elements have the same text.
pub fn all_differ<'a>(elements: impl Iterator<Item = Element<'a>>) -> bool {
    let mut seen = hashbrown::HashSet::with_capacity(elements.size_hint().0);
    let mut elements = elements;
    elements.all(|element| seen.insert(element.to_vec()))
}

fn clamp_count(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(UNKNOWN_COUNT)
}

/// Checks a whole image: header, each entry with its back length, count, end mark.
fn validate(image: &[u8]) -> Option<()> {
    let total = u32::from_le_bytes(*image.first_chunk()?);
    let whole = usize::try_from(total).ok()? == image.len() && image.len() <= MAX_BYTES;
    let (&last, body) = image.split_last()?;
    if !whole || last != END || body.len() < HEADER {
        return None;
    }
    let (mut at, mut count) = (HEADER, 0usize);
    while at < body.len() {
        let (_, len) = decode(&body[at..])?;
        let end = at + len + back_size(len);
        let (back, size) = back_length(len);
        if body.get(at + len..end)? != &back[..size] {
            return None;
        }
        at = end;
        count += 1;
    }
    let declared = u16::from_le_bytes([image[4], image[5]]);
    (declared == UNKNOWN_COUNT || usize::from(declared) == count).then_some(())
}

/// Values from first to last; see [`Listpack::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    image: &'a [u8],
    at: usize,
}

impl Iter<'_> {
    /// The entry that `next` will return.
    #[must_use]
    pub fn pos(&self) -> Option<Pos> {
        (self.at + 1 < self.image.len()).then(|| Pos::new(self.at))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let (element, len) = decode(self.image.get(self.at..)?)?;
        self.at += len + back_size(len);
        Some(element)
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a, E: Into<Element<'a>>> FromIterator<E> for Listpack {
    fn from_iter<I: IntoIterator<Item = E>>(values: I) -> Self {
        let mut list = Self::new();
        values.into_iter().for_each(|value| list.push_back(value));
        list
    }
}

/// Values from last to first; see [`Listpack::iter_rev`].
#[derive(Clone, Debug)]
pub struct IterRev<'a> {
    list: &'a Listpack,
    at: usize,
}

impl<'a> Iterator for IterRev<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let pos = self.list.before(self.at)?;
        self.at = pos.at();
        Some(self.list.get(pos))
    }
}

#[cfg(test)]
mod tests;
