//! IDs of stream entries: two 64-bit numbers, milliseconds and a sequence number, in this order.
//!
//! Owns their text and byte forms. Never looks at the clock.

use std::cmp::Ordering;

use crate::ds::tree::{Item, Probe};
use crate::util::num;

/// Longest text of an ID, in bytes.
const MAX_TEXT: usize = 2 * num::MAX_INT_LEN + 1;

/// The ID of a stream's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Usually Unix milliseconds.
    pub ms: u64,
    /// Tells the entries of one millisecond apart.
    pub seq: u64,
}

/// Stack space in which an ID is printed; [`StreamId::text`] fills it.
#[derive(Clone, Copy)]
pub struct IdBuf([u8; MAX_TEXT]);

impl IdBuf {
    /// Empty space.
    pub const fn new() -> Self {
        Self([0; MAX_TEXT])
    }
}

impl Default for IdBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamId {
    /// `0-0`, which no entry has.
    pub const MIN: Self = Self::new(0, 0);
    /// The last possible ID.
    pub const MAX: Self = Self::new(u64::MAX, u64::MAX);

    /// The ID `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The ID after this one; none after [`MAX`](Self::MAX).
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The ID before this one; none before [`MIN`](Self::MIN).
    #[must_use]
    pub fn prev(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, whose sequence number is then `missing_seq`. Leading zeros are
    /// allowed, unlike in integers.
    #[must_use]
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        match memchr::memchr(b'-', text) {
            Some(dash) => Some(Self::new(number(&text[..dash])?, number(&text[dash + 1..])?)),
            None => Some(Self::new(number(text)?, missing_seq)),
        }
    }

    /// Reads the form `ms-*`, in which the sequence number is to be chosen; returns `ms`.
    #[must_use]
    pub fn parse_open(text: &[u8]) -> Option<u64> {
        number(text.strip_suffix(b"-*")?)
    }

    /// The text, printed into `buf`.
    pub fn text(self, buf: &mut IdBuf) -> &[u8] {
        let mut digits = num::IntBuf::new();
        let ms = num::fmt_u64(self.ms, &mut digits);
        let mut len = ms.len();
        buf.0[..len].copy_from_slice(ms);
        buf.0[len] = b'-';
        len += 1;
        let seq = num::fmt_u64(self.seq, &mut digits);
        buf.0[len..len + seq.len()].copy_from_slice(seq);
        len += seq.len();
        &buf.0[..len]
    }

    /// The 16 bytes that RDB files hold: both numbers, most significant byte first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// Reads the 16 bytes that RDB files hold.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self::new((both >> 64) as u64, both as u64)
    }

    /// The differences to `self` as nodes hold them. They may wrap: the sequence number may be
    /// smaller in a later millisecond.
    pub(super) fn delta_to(self, later: Self) -> (i64, i64) {
        let ms = later.ms.wrapping_sub(self.ms).cast_signed();
        (ms, later.seq.wrapping_sub(self.seq).cast_signed())
    }

    /// Undoes [`delta_to`](Self::delta_to).
    pub(super) fn plus(self, ms: i64, seq: i64) -> Self {
        Self::new(self.ms.wrapping_add_signed(ms), self.seq.wrapping_add_signed(seq))
    }
}

fn number(text: &[u8]) -> Option<u64> {
    match text {
        [b'0', rest @ ..] if !rest.is_empty() => {
            let zeros = rest.iter().take_while(|byte| **byte == b'0').count();
            let digits = &rest[zeros..];
            if digits.is_empty() { Some(0) } else { num::parse_u64(digits) }
        }
        _ => num::parse_u64(text),
    }
}

impl Item for StreamId {
    type Key = Self;

    fn key(&self) -> Self {
        *self
    }
}

impl Probe<StreamId> for StreamId {
    fn item(&self, item: &StreamId) -> Ordering {
        item.cmp(self)
    }

    fn key(&self, key: &StreamId) -> Ordering {
        key.cmp(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        for id in [StreamId::MIN, StreamId::new(1, 20), StreamId::MAX] {
            let mut buf = IdBuf::new();
            assert_eq!(StreamId::parse(id.text(&mut buf), 7), Some(id));
            assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        }
        assert_eq!(StreamId::parse(b"5", 7), Some(StreamId::new(5, 7)));
        assert_eq!(StreamId::parse(b"005-00", 7), Some(StreamId::new(5, 0)));
        assert_eq!(StreamId::parse_open(b"12-*"), Some(12));
        assert_eq!(StreamId::parse_open(b"12-1*"), None);
        for bad in ["", "-", "-1", "1-", "1-2-3", "1--2", "+", "x", "1-*", "18446744073709551616"] {
            assert_eq!(StreamId::parse(bad.as_bytes(), 0), None, "{bad}");
        }
    }

    #[test]
    fn neighbours_carry_and_end() {
        let edge = StreamId::new(1, u64::MAX);
        assert_eq!(edge.next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).prev(), Some(edge));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.prev()), (None, None));
    }

    #[test]
    fn deltas_wrap() {
        let ids = [StreamId::MIN, StreamId::new(1, u64::MAX), StreamId::new(7, 3), StreamId::MAX];
        for from in ids {
            for to in ids {
                let (ms, seq) = from.delta_to(to);
                assert_eq!(from.plus(ms, seq), to);
            }
        }
    }
}
