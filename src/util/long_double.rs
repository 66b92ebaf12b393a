//! The x87 80-bit extended float, as far as `INCRBYFLOAT` and `HINCRBYFLOAT` need it: parse, add,
//! print with 17 decimals. Redis computes these commands in C's `long double`, whose 64-bit
//! mantissa decides the last digits of every reply; so the format is emulated exactly: parsing
//! and adding round once, to nearest even, and printing is exact to the seventeenth decimal.
//!
//! Owns that arithmetic and the grammar of `strtod` ([`scan`]); never uses a hardware float.
//! Ordinary values take 128-bit integer paths; only long or far-off ones use big integers.

use std::cmp::Ordering;

/// Longest text that is read, in bytes, exclusive (Redis's conversion buffer).
const MAX_TEXT: usize = 5 * 1024;

/// Mantissa bits and the least and greatest exponent of the unit bit of a binary format.
#[derive(Clone, Copy)]
struct Format {
    bits: u32,
    min_exp: i32,
    max_exp: i32,
}

const EXTENDED: Format = Format { bits: 64, min_exp: -16_445, max_exp: 16_320 };
const DOUBLE: Format = Format { bits: 53, min_exp: -1074, max_exp: 971 };

/// A float's text, taken apart by [`scan`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Float<'a> {
    /// `inf` or `infinity`.
    Infinite { negative: bool },
    /// `whole.fraction * 10^exp`.
    Decimal { negative: bool, nonzero: bool, whole: &'a [u8], fraction: &'a [u8], exp: i32 },
    /// `mantissa * 2^exp`; `sticky` if non-zero digits beyond the mantissa were dropped.
    Hex { negative: bool, mantissa: u128, sticky: bool, exp: i32 },
}

/// Takes apart what C's `strtod` accepts, if it is the whole of `text`, without leading space and
/// without NaN.
pub(super) fn scan(text: &[u8]) -> Option<Float<'_>> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some(Float::Infinite { negative });
    }
    if let [b'0', b'x' | b'X', hex @ ..] = rest {
        return scan_hex(negative, hex);
    }
    let (whole, fraction, exponent) = split(rest, |byte| byte.is_ascii_digit(), b'e')?;
    let nonzero = whole.iter().chain(fraction).any(|&byte| byte != b'0');
    Some(Float::Decimal { negative, nonzero, whole, fraction, exp: exponent })
}

/// Splits `digits[.digits][marker[sign]decimal]`; at least one digit is needed.
fn split(text: &[u8], is_digit: fn(&u8) -> bool, marker: u8) -> Option<(&[u8], &[u8], i32)> {
    let run = |text: &[u8]| text.iter().position(|b| !is_digit(b)).unwrap_or(text.len());
    let (whole, rest) = text.split_at(run(text));
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(run(rest)),
        _ => (&[][..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exp = match rest {
        [] => 0,
        [mark, exp @ ..] if mark.to_ascii_lowercase() == marker => exponent(exp)?,
        _ => return None,
    };
    Some((whole, fraction, exp))
}

/// Reads an exponent. Beyond a million it is held there: any such value overflows or vanishes,
/// whatever its mantissa.
fn exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i32, byte: &u8| (sum * 10 + i32::from(byte - b'0')).min(1_000_000);
    let value = digits.iter().fold(0, add);
    Some(if negative { -value } else { value })
}

fn scan_hex(negative: bool, text: &[u8]) -> Option<Float<'_>> {
    let (whole, fraction, mut exp) = split(text, u8::is_ascii_hexdigit, b'p')?;
    let (mut mantissa, mut sticky) = (0u128, false);
    for (at, &byte) in whole.iter().chain(fraction).enumerate() {
        let digit = u128::from((byte as char).to_digit(16)?);
        let fits = mantissa >> 124 == 0;
        if fits {
            mantissa = mantissa << 4 | digit;
        } else {
            sticky |= digit != 0;
        }
        // Each fraction digit taken lowers the unit; each whole digit dropped raises it.
        exp = match (at >= whole.len(), fits) {
            (true, true) => exp.saturating_sub(4),
            (false, false) => exp.saturating_add(4),
            _ => exp,
        };
    }
    Some(Float::Hex { negative, mantissa, sticky, exp })
}

impl Float<'_> {
    /// The magnitude of a hexadecimal float as a double; none on overflow, on underflow to zero,
    /// or for the other kinds.
    pub(super) fn hex_to_f64(&self) -> Option<f64> {
        let &Self::Hex { mantissa, sticky, exp, .. } = self else { return None };
        if mantissa == 0 {
            return Some(0.0);
        }
        let (mantissa, exp) = round(mantissa, sticky, exp, DOUBLE)?;
        // A normal mantissa has its top bit at 52, which the biased exponent stands for.
        let normal = mantissa >> 52 == 1;
        let biased = if normal { u64::try_from(exp + 1075).ok()? } else { 0 };
        Some(f64::from_bits(biased << 52 | (mantissa & ((1 << 52) - 1))))
    }
}

/// Rounds a non-zero `mantissa * 2^exp` (plus a bit, if `sticky`) to nearest even. None on
/// overflow and when nothing is left.
fn round(mantissa: u128, sticky: bool, exp: i32, format: Format) -> Option<(u64, i32)> {
    let length = 128 - mantissa.leading_zeros();
    let excess = length as i32 - format.bits as i32;
    let drop = excess.max(format.min_exp.saturating_sub(exp));
    let (mut kept, mut unit) = if drop <= 0 {
        // Shifting left is exact; stop at the least exponent, where denormals begin.
        let shift = (-excess).min(exp.saturating_sub(format.min_exp));
        ((mantissa << shift) as u64, exp - shift)
    } else if drop > 128 {
        return None;
    } else {
        let whole = mantissa.checked_shr(drop as u32).unwrap_or(0);
        let half = 1u128 << (drop - 1);
        let below = mantissa & (half - 1) != 0 || sticky;
        let up = mantissa & half != 0 && (below || whole & 1 == 1);
        let sum = whole + u128::from(up);
        if sum >> format.bits == 0 {
            (sum as u64, exp.saturating_add(drop))
        } else {
            ((sum >> 1) as u64, exp.saturating_add(drop + 1))
        }
    };
    if kept == 0 || unit > format.max_exp {
        return None;
    }
    // A denormal that rounding or shifting left short of its top bit stays as it is.
    while unit > format.min_exp && kept >> (format.bits - 1) == 0 {
        kept <<= 1;
        unit -= 1;
    }
    Some((kept, unit))
}

/// An 80-bit extended float: finite or infinite, never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Zero,
    /// `mantissa * 2^exp`, the mantissa's top bit set unless denormal.
    Finite {
        mantissa: u64,
        exp: i32,
    },
    Infinite,
}

impl LongDouble {
    /// Zero, the value of a missing key.
    pub const ZERO: Self = Self { negative: false, magnitude: Magnitude::Zero };

    /// Parses as Redis does (`string2ld`): what C's `strtold` reads, the whole of it, under
    /// 5 KiB, with no leading space, no NaN, and neither overflow nor underflow to zero.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        match scan(text)? {
            Float::Infinite { negative } => Some(Self { negative, magnitude: Magnitude::Infinite }),
            Float::Hex { negative, mantissa, sticky, exp } => {
                Self::rounded(negative, mantissa, sticky, exp)
            }
            Float::Decimal { negative, whole, fraction, exp, .. } => {
                let (mantissa, sticky, exp) = decimal_to_binary(whole, fraction, exp)?;
                Self::rounded(negative, mantissa, sticky, exp)
            }
        }
    }

    fn rounded(negative: bool, mantissa: u128, sticky: bool, exp: i32) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self { negative, magnitude: Magnitude::Zero });
        }
        let (mantissa, exp) = round(mantissa, sticky, exp, EXTENDED)?;
        Some(Self { negative, magnitude: Magnitude::Finite { mantissa, exp } })
    }

    /// The sum, rounded to nearest even; none if it is not finite (Redis refuses such a result
    /// with "increment would produce NaN or Infinity").
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        use Magnitude::{Finite, Infinite, Zero};
        match (self.magnitude, other.magnitude) {
            (Infinite, _) | (_, Infinite) => None,
            (Zero, Zero) => {
                Some(Self { negative: self.negative && other.negative, magnitude: Zero })
            }
            (Zero, Finite { .. }) => Some(other),
            (Finite { .. }, Zero) => Some(self),
            (Finite { mantissa: a, exp: ae }, Finite { mantissa: b, exp: be }) => {
                if (ae, a) >= (be, b) {
                    add_finite(self.negative, a, ae, other.negative, b, be)
                } else {
                    add_finite(other.negative, b, be, self.negative, a, ae)
                }
            }
        }
    }

    /// Appends the human form (`%.17Lf` without trailing zeros): plain digits, at most 17
    /// decimals, no exponent. `inf` or `-inf` if infinite.
    pub fn format(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.magnitude {
            Magnitude::Zero => out.push(b'0'),
            Magnitude::Infinite => out.extend_from_slice(b"inf"),
            Magnitude::Finite { mantissa, exp } if exp >= 0 => big_integer(mantissa, exp, out),
            Magnitude::Finite { mantissa, exp } => fixed_point(mantissa, exp, out),
        }
        if out[start..] == *b"-0" {
            out.remove(start);
        }
    }
}

/// Adds where the first has the greater exponent, or, those being equal, the greater mantissa.
fn add_finite(an: bool, a: u64, ae: i32, bn: bool, b: u64, be: i32) -> Option<LongDouble> {
    // 62 spare bits below the greater operand, less one for the carry: what is shifted out of the
    // smaller beyond them is far below half a unit, so one sticky bit stands for it.
    const SPARE: i32 = 62;
    let big = u128::from(a) << SPARE;
    let distance = ae - be;
    let (small, sticky) = if distance <= SPARE {
        (u128::from(b) << (SPARE - distance), false)
    } else {
        let shift = distance - SPARE;
        let kept = if shift < 64 { b >> shift } else { 0 };
        (u128::from(kept), shift >= 64 || kept << shift != b)
    };
    let exp = ae - SPARE;
    if an == bn {
        return LongDouble::rounded(an, big + small, sticky, exp);
    }
    // With a sticky rest the true difference lies just below: borrow one unit, keep the rest.
    let difference = big - small - u128::from(sticky);
    // Equal operands cancel to positive zero.
    LongDouble::rounded(an && difference != 0, difference, sticky, exp)
}

/// Converts `whole.fraction * 10^exp` to `(mantissa, sticky, exp2)` with at least 66 significant
/// bits or exactly; none if it is out of all range.
fn decimal_to_binary(whole: &[u8], fraction: &[u8], exp: i32) -> Option<(u128, bool, i32)> {
    let digits = || whole.iter().chain(fraction).skip_while(|&&byte| byte == b'0');
    let count = digits().count();
    if count == 0 {
        return Some((0, false, 0));
    }
    let exp = exp.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let leading = exp.checked_add(i32::try_from(count).ok()?)?;
    // Beyond the greatest and the least denormal value with room to spare.
    if !(-5000..=5000).contains(&leading) {
        return None;
    }
    if count <= 19 && (-18..=18).contains(&exp) {
        let value = digits().fold(0u64, |sum, byte| sum * 10 + u64::from(byte - b'0'));
        return Some(short_decimal(value, exp));
    }
    let mut value = Big::default();
    for byte in digits() {
        value.mul_add(10, u32::from(byte - b'0'));
    }
    Some(if exp >= 0 {
        value.mul_pow10(exp.unsigned_abs());
        value.top()
    } else {
        let mut divisor = Big::from(1);
        divisor.mul_pow10(exp.unsigned_abs());
        value.divide(divisor)
    })
}

/// A value of at most 19 digits and a small power of ten, in 128 bits.
fn short_decimal(value: u64, exp: i32) -> (u128, bool, i32) {
    let power = 10u128.pow(exp.unsigned_abs());
    let value = u128::from(value);
    if exp >= 0 {
        return (value * power, false, 0);
    }
    // The quotient of a full 128 bits by at most 60 keeps more than 66 bits.
    let shift = value.leading_zeros();
    let scaled = value << shift;
    (scaled / power, scaled % power != 0, -(shift as i32))
}

/// Prints `mantissa * 2^exp` for a negative `exp`, rounded to 17 decimals, half to even.
fn fixed_point(mantissa: u64, exp: i32, out: &mut Vec<u8>) {
    const SCALE: u128 = 100_000_000_000_000_000;
    let shift = exp.unsigned_abs();
    let (mut whole, fraction) = match shift {
        1..=63 => (mantissa >> shift, mantissa & ((1 << shift) - 1)),
        _ => (0, mantissa),
    };
    // The product has at most 121 bits: shifted by more than that, it rounds to zero.
    let product = u128::from(fraction) * SCALE;
    let mut decimals = match shift {
        1..=127 => {
            let kept = product >> shift;
            let rest = product & ((1 << shift) - 1);
            let up = match rest.cmp(&(1 << (shift - 1))) {
                Ordering::Less => false,
                Ordering::Equal => kept & 1 == 1,
                Ordering::Greater => true,
            };
            kept + u128::from(up)
        }
        _ => 0,
    };
    if decimals == SCALE {
        // The whole part has under 64 bits, because `shift` is at least one.
        whole += 1;
        decimals = 0;
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if decimals != 0 {
        let mut buf = itoa::Buffer::new();
        // A leading one keeps the zeros after the point; it is overwritten by the point.
        let text = buf.format(SCALE as u64 + decimals as u64).as_bytes();
        let end = text.iter().rposition(|&byte| byte != b'0').map_or(0, |at| at + 1);
        out.push(b'.');
        out.extend_from_slice(&text[1..end]);
    }
}

/// Prints the integer `mantissa * 2^exp`.
fn big_integer(mantissa: u64, exp: i32, out: &mut Vec<u8>) {
    let shift = exp.unsigned_abs();
    if shift <= 64 {
        let value = u128::from(mantissa) << shift;
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        return;
    }
    let mut value = Big::from(mantissa);
    value.shl(shift);
    let mut groups = Vec::new();
    while !value.is_zero() {
        groups.push(value.div_small(1_000_000_000));
    }
    let mut first = true;
    for group in groups.into_iter().rev() {
        let mut buf = itoa::Buffer::new();
        let text = buf.format(group).as_bytes();
        if !first {
            out.resize(out.len() + 9 - text.len(), b'0');
        }
        out.extend_from_slice(text);
        first = false;
    }
}

/// A natural number of any size: 32-bit limbs, least first, without leading zero limbs. Values
/// here stay under 40,000 bits, since text is under 5 KiB and exponents are bounded.
#[derive(Clone, Default)]
struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let mut big = Self(vec![value as u32, (value >> 32) as u32]);
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Length in bits.
    fn bits(&self) -> u32 {
        self.0.last().map_or(0, |top| self.0.len() as u32 * 32 - top.leading_zeros())
    }

    fn mul_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            let value = u64::from(*limb) * u64::from(factor) + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn mul_pow10(&mut self, mut power: u32) {
        while power > 0 {
            let step = power.min(9);
            self.mul_add(10u32.pow(step), 0);
            power -= step;
        }
    }

    /// Divides in place and returns the remainder.
    fn div_small(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for limb in self.0.iter_mut().rev() {
            let value = rest << 32 | u64::from(*limb);
            *limb = (value / u64::from(divisor)) as u32;
            rest = value % u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    fn shl(&mut self, count: u32) {
        let bits = count % 32;
        if bits > 0 {
            self.mul_add(1 << bits, 0);
        }
        let limbs = std::iter::repeat_n(0, count as usize / 32);
        self.0.splice(0..0, limbs);
        self.trim();
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().cmp(&other.0.len());
        length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not greater.
    fn sub(&mut self, other: &Self) {
        let mut borrow = false;
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        for (limb, subtrahend) in self.0.iter_mut().zip(others) {
            let (value, first) = limb.overflowing_sub(subtrahend);
            let (value, second) = value.overflowing_sub(u32::from(borrow));
            (*limb, borrow) = (value, first || second);
        }
        self.trim();
    }

    /// The leading 96 to 128 bits, whether any bit below them is set, and their unit's exponent.
    fn top(&self) -> (u128, bool, i32) {
        let cut = self.0.len().saturating_sub(4);
        let (low, high) = self.0.split_at(cut);
        let value = high.iter().rev().fold(0u128, |sum, &limb| sum << 32 | u128::from(limb));
        (value, low.iter().any(|&limb| limb != 0), cut as i32 * 32)
    }

    /// The quotient to at least 66 bits, whether there is a remainder, and its unit's exponent.
    fn divide(mut self, mut divisor: Self) -> (u128, bool, i32) {
        // Align the divisor's top to the dividend's, then take one quotient bit a step.
        let gap = self.bits() as i32 - divisor.bits() as i32;
        if gap >= 0 {
            divisor.shl(gap.unsigned_abs());
        } else {
            self.shl(gap.unsigned_abs());
        }
        let mut quotient = 0u128;
        let steps = 70;
        for _ in 0..steps {
            quotient <<= 1;
            if self.cmp(&divisor) != Ordering::Less {
                self.sub(&divisor);
                quotient |= 1;
            }
            self.shl(1);
        }
        (quotient, !self.is_zero(), gap - (steps - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let total =
            LongDouble::parse(a.as_bytes())?.checked_add(LongDouble::parse(b.as_bytes())?)?;
        let mut out = Vec::new();
        total.format(&mut out);
        String::from_utf8(out).ok()
    }

    #[test]
    fn sums_print_as_redis_prints_them() {
        let cases = [
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "0", "5000"),
            ("1", "-1", "0"),
            ("0", "-0.0", "0"),
            ("-0", "-0", "0"),
            ("-1e-20", "0", "0"),
            ("1e20", "1", "100000000000000000000"),
            ("17179869184", "17179869184", "34359738368"),
            ("1.23", "-0.03", "1.2"),
            ("0x1p3", "0.5", "8.5"),
            ("3e-17", "0", "0.00000000000000003"),
        ];
        for (a, b, expected) in cases {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn refuses_what_redis_refuses() {
        let texts = ["", " 1", "1 ", "nan", "1e5000", "-1e5000", "1e-5000", "abc", "1e", "0x"];
        for text in texts {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LongDouble::parse("1".repeat(5120).as_bytes()), None);
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1e4932", "1e4932"), None);
        assert!(LongDouble::parse(b"1e4932").is_some());
        assert!(LongDouble::parse(b"1e-4950").is_some());
    }

    #[test]
    fn large_values_keep_every_digit() {
        assert_eq!(sum("1e30", "0").as_deref(), Some("1000000000000000000024696061952"));
        assert_eq!(sum("0x1p130", "0").unwrap(), "1361129467683753853853498429727072845824");
    }

    proptest! {
        #[test]
        fn integers_add_exactly(a in -(1i64 << 61)..(1i64 << 61), b in -(1i64 << 61)..(1i64 << 61)) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        /// The 128-bit path and the big-integer path must read the same decimal alike.
        #[test]
        fn both_parsing_paths_agree(value: u64, exp in -18i32..=18) {
            let value = value / 20;
            let short = format!("{value}e{exp}");
            let long = format!("{value}{}e{}", "0".repeat(30), exp - 30);
            prop_assert_eq!(LongDouble::parse(short.as_bytes()), LongDouble::parse(long.as_bytes()));
        }

        #[test]
        fn arbitrary_text_never_panics(a in "[-+]?[0-9]{0,30}\\.?[0-9]{0,30}(e[-+]?[0-9]{1,5})?",
                                       b in "[-+]?(0x)?[0-9a-f]{0,40}\\.?[0-9a-f]{0,40}(p[-+]?[0-9]{1,5})?") {
            let _ = sum(&a, &b);
            let _ = super::super::num::parse_f64(b.as_bytes());
        }
    }
}
