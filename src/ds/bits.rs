//! Strings of bytes as arrays of bits: the first bit is the highest of the first byte.
//!
//! Owns counting, searching and combining bits, and integers of 1 to 64 bits at any offset. Works on
//! words where it can. Never grows a string: callers make room first.

const WORD: usize = size_of::<u64>();

/// Number of set bits.
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let words: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The offset of the first bit that is set, or clear.
pub fn find(bytes: &[u8], bit: bool) -> Option<u64> {
    let skip = if bit { 0 } else { u8::MAX };
    let (words, _) = bytes.as_chunks::<WORD>();
    let full = words.iter().take_while(|word| **word == [skip; WORD]).count() * WORD;
    let at = full + bytes[full..].iter().position(|byte| *byte != skip)?;
    Some(at as u64 * 8 + u64::from((bytes[at] ^ skip).leading_zeros()))
}

/// The bit at an offset; what lies past the end is clear.
pub fn get(bytes: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|i| bytes.get(i)).copied().unwrap_or(0);
    byte & mask(at) != 0
}

/// Sets or clears a bit inside the string, and returns what it was; does nothing past the end.
pub fn set(bytes: &mut [u8], at: u64, bit: bool) -> bool {
    let Some(byte) = usize::try_from(at / 8).ok().and_then(|i| bytes.get_mut(i)) else {
        return false;
    };
    let old = *byte & mask(at) != 0;
    if bit {
        *byte |= mask(at);
    } else {
        *byte &= !mask(at);
    }
    old
}

fn mask(at: u64) -> u8 {
    0x80 >> (at % 8)
}

/// How two strings are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Bits set in both.
    And,
    /// Bits set in any.
    Or,
    /// Bits set in one of them.
    Xor,
}

/// Combines `other` into `into`; where `other` is shorter, its bits are clear.
pub fn combine(into: &mut [u8], other: &[u8], how: Combine) {
    let (head, tail) = into.split_at_mut(other.len().min(into.len()));
    let pairs = head.iter_mut().zip(other);
    match how {
        Combine::And => {
            pairs.for_each(|(mine, its)| *mine &= its);
            tail.fill(0);
        }
        Combine::Or => pairs.for_each(|(mine, its)| *mine |= its),
        Combine::Xor => pairs.for_each(|(mine, its)| *mine ^= its),
    }
}

/// The type of an integer field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldType {
    signed: bool,
    width: u32,
}

/// What becomes of a result that a field can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The lowest bits are kept.
    #[default]
    Wrap,
    /// The nearest value that fits.
    Saturate,
    /// There is no result.
    Fail,
}

impl FieldType {
    /// A type of `width` bits: 1 to 64 if signed, 1 to 63 if not.
    pub fn new(signed: bool, width: u32) -> Option<Self> {
        let widest = if signed { 64 } else { 63 };
        (1..=widest).contains(&width).then_some(Self { signed, width })
    }

    /// Width in bits.
    pub fn width(self) -> u32 {
        self.width
    }

    /// The field at a bit offset; bits past the string's end are clear.
    pub fn get(self, bytes: &[u8], at: u64) -> i64 {
        // At most nine bytes hold the field.
        let first = usize::try_from(at / 8).unwrap_or(usize::MAX);
        let held = bytes.get(first..).unwrap_or_default();
        let mut window = [0u8; 16];
        let len = held.len().min(9);
        window[..len].copy_from_slice(&held[..len]);
        let shifted = u128::from_be_bytes(window) << (at % 8);
        self.interpret((shifted >> (128 - self.width)) as u64)
    }

    /// Writes the lowest bits of `value` at a bit offset; the string must be long enough.
    pub fn set(self, bytes: &mut [u8], at: u64, value: i64) {
        let first = usize::try_from(at / 8).unwrap_or(usize::MAX);
        let Some(held) = bytes.get_mut(first..) else { return };
        let len = held.len().min(9);
        let mut window = [0u8; 16];
        window[..len].copy_from_slice(&held[..len]);
        let place = 128 - self.width - (at % 8) as u32;
        let ones = u128::from(u64::MAX >> (64 - self.width));
        let old = u128::from_be_bytes(window) & !(ones << place);
        let new = old | (u128::from(value as u64) & ones) << place;
        held[..len].copy_from_slice(&new.to_be_bytes()[..len]);
    }

    /// The number that a field's bits mean.
    fn interpret(self, bits: u64) -> i64 {
        let unused = 64 - self.width;
        match self.signed {
            true => ((bits << unused) as i64) >> unused,
            false => (bits << unused >> unused) as i64,
        }
    }

    /// What a field holds when it is set to `value`: of an unsigned one, `value` is taken as
    /// unsigned, as Redis does.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        let max = self.range().1;
        // Redis's distance to the greatest value overflows for those far below the range: it takes
        // them for values above it.
        if overflow == Overflow::Saturate && max - value > i128::from(i64::MAX) && self.width < 64 {
            return i64::try_from(max).ok();
        }
        self.bound(value, overflow)
    }

    /// What a field holds when `by` is added to it.
    pub fn add(self, value: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.bound(i128::from(value) + i128::from(by), overflow)
    }

    fn range(self) -> (i128, i128) {
        match self.signed {
            true => (-(1i128 << (self.width - 1)), (1i128 << (self.width - 1)) - 1),
            false => (0, (1i128 << self.width) - 1),
        }
    }

    fn bound(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = self.range();
        match overflow {
            // All types fit 64 bits.
            _ if (min..=max).contains(&value) => Some(value as i64),
            Overflow::Wrap => Some(self.interpret(value as u64)),
            Overflow::Saturate => Some(value.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() as u64 * 8).map(|at| get(bytes, at)).collect()
    }

    proptest! {
        #[test]
        fn counts_and_finds(bytes in proptest::collection::vec(
            prop_oneof![Just(0u8), Just(255u8), any::<u8>()], 0..70))
        {
            let all = bits(&bytes);
            prop_assert_eq!(count(&bytes), all.iter().filter(|bit| **bit).count() as u64);
            for bit in [true, false] {
                let first = all.iter().position(|it| *it == bit).map(|at| at as u64);
                prop_assert_eq!(find(&bytes, bit), first);
            }
        }

        #[test]
        fn sets_one_bit(mut bytes in proptest::collection::vec(any::<u8>(), 1..20), at: u64, bit: bool) {
            let at = at % (bytes.len() as u64 * 8 + 9);
            let mut wanted = bits(&bytes);
            let old = wanted.get(at as usize).copied().unwrap_or(false);
            if let Some(place) = wanted.get_mut(at as usize) {
                *place = bit;
            }
            prop_assert_eq!(set(&mut bytes, at, bit), old);
            prop_assert_eq!(bits(&bytes), wanted);
        }

        #[test]
        fn combines_bit_by_bit(
            mut into in proptest::collection::vec(any::<u8>(), 0..30),
            other in proptest::collection::vec(any::<u8>(), 0..30),
        ) {
            let before = into.clone();
            for (how, op) in [
                (Combine::And, (|a, b| a & b) as fn(bool, bool) -> bool),
                (Combine::Or, |a, b| a | b),
                (Combine::Xor, |a, b| a ^ b),
            ] {
                into.clone_from(&before);
                combine(&mut into, &other, how);
                for at in 0..into.len() as u64 * 8 {
                    prop_assert_eq!(get(&into, at), op(get(&before, at), get(&other, at)));
                }
            }
        }

        #[test]
        fn fields_are_bits_from_high_to_low(
            mut bytes in proptest::collection::vec(any::<u8>(), 9..30),
            at in 0u64..240, width in 1u32..=64, signed: bool, value: i64,
        ) {
            let width = if signed { width } else { width.min(63) };
            let kind = FieldType::new(signed, width).unwrap();
            let mut wanted = bits(&bytes);
            wanted.resize(wanted.len() + 512, false);
            let place = at as usize..at as usize + width as usize;
            let read = |all: &[bool]| {
                let raw = all[place.clone()].iter().fold(0u64, |sum, bit| sum << 1 | u64::from(*bit));
                let negative = signed && all[place.start];
                i128::from(raw) - if negative { 1i128 << width } else { 0 }
            };
            prop_assert_eq!(i128::from(kind.get(&bytes, at)), read(&wanted));
            if place.end <= bytes.len() * 8 {
                kind.set(&mut bytes, at, value);
                for (i, bit) in wanted[place.clone()].iter_mut().enumerate() {
                    *bit = value >> (width as usize - 1 - i) & 1 == 1;
                }
                prop_assert_eq!(i128::from(kind.get(&bytes, at)), read(&wanted));
                wanted.truncate(bytes.len() * 8);
                prop_assert_eq!(bits(&bytes), wanted);
            }
        }
    }

    #[test]
    fn overflow_wraps_saturates_or_fails() {
        let (i8, u2) = (FieldType::new(true, 8).unwrap(), FieldType::new(false, 2).unwrap());
        let all = [Overflow::Wrap, Overflow::Saturate, Overflow::Fail];
        assert_eq!(all.map(|how| i8.add(127, 1, how)), [Some(-128), Some(127), None]);
        assert_eq!(all.map(|how| i8.add(-128, -1, how)), [Some(127), Some(-128), None]);
        assert_eq!(all.map(|how| i8.fit(300, how)), [Some(44), Some(127), None]);
        assert_eq!(all.map(|how| u2.add(3, 1, how)), [Some(0), Some(3), None]);
        assert_eq!(all.map(|how| u2.add(0, -1, how)), [Some(3), Some(0), None]);
        assert_eq!(all.map(|how| u2.fit(-1, how)), [Some(3), Some(3), None]);
        assert_eq!(all.map(|how| i8.fit(-300, how)), [Some(-44), Some(-128), None]);
        assert_eq!(all.map(|how| i8.fit(i64::MIN, how)), [Some(0), Some(127), None]);
        let i64_type = FieldType::new(true, 64).unwrap();
        let wrapped = [Some(i64::MIN), Some(i64::MAX), None];
        assert_eq!(all.map(|how| i64_type.add(i64::MAX, 1, how)), wrapped);
        assert_eq!(all.map(|how| i64_type.add(-1, i64::MIN, how))[1], Some(i64::MIN));
        for (signed, width) in [(true, 0), (true, 65), (false, 0), (false, 64)] {
            assert_eq!(FieldType::new(signed, width), None);
        }
    }

    #[test]
    fn past_the_end_is_clear() {
        assert!(!get(b"\xff", u64::MAX));
        assert!(!set(&mut [255], u64::MAX, true));
        assert_eq!(FieldType::new(false, 8).unwrap().get(b"\xff", u64::MAX - 7), 0);
        assert_eq!(FieldType::new(false, 8).unwrap().get(b"\xff", 4), 0xf0);
    }
}
