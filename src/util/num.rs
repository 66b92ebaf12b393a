//! Number formats of the Redis protocol: strict integers, doubles as `strtod` reads them and as
//! Redis 7.2 prints them, and memory sizes.
//!
//! Owns parsing from and printing to bytes; never allocates on success paths of common input,
//! never consults a locale. Extended precision (`INCRBYFLOAT`) lives in [`super::long_double`].

use super::long_double::{Float, scan};

/// Longest text that [`fmt_i64`] or [`fmt_u64`] prints, in bytes.
pub const MAX_INT_LEN: usize = 20;

/// Longest text that [`fmt_f64`] prints, in bytes.
pub const MAX_F64_LEN: usize = 32;

/// Stack space in which an integer is printed.
pub type IntBuf = itoa::Buffer;

/// Parses a signed integer as Redis does (`string2ll`): optional `-`, no `+`, no spaces, no
/// leading zeros, no `-0`, the whole input, the full range of 64 bits.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text.split_first() {
        Some((b'-', rest)) => {
            let magnitude = parse_u64(rest)?;
            if magnitude == 0 { None } else { 0i64.checked_sub_unsigned(magnitude) }
        }
        _ => i64::try_from(parse_u64(text)?).ok(),
    }
}

/// Parses an unsigned integer under the same strict rules as [`parse_i64`], without a sign.
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [] => None,
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if text.len() <= MAX_INT_LEN => {
            let (safe, last) = text.split_at(text.len().min(MAX_INT_LEN - 1));
            // Nineteen digits always fit; only a twentieth can overflow.
            let head = safe.iter().try_fold(0u64, |sum, &byte| Some(sum * 10 + digit(byte)?))?;
            match last {
                [byte] => head.checked_mul(10)?.checked_add(digit(*byte)?),
                _ => Some(head),
            }
        }
        _ => None,
    }
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(u64::from(value))
}

/// Prints a signed integer into `buf` and returns the text.
#[inline]
pub fn fmt_i64(value: i64, buf: &mut IntBuf) -> &[u8] {
    buf.format(value).as_bytes()
}

/// Prints an unsigned integer into `buf` and returns the text.
#[inline]
pub fn fmt_u64(value: u64, buf: &mut IntBuf) -> &[u8] {
    buf.format(value).as_bytes()
}

/// Number of decimal digits of `value`; one for zero.
#[inline]
#[must_use]
pub fn digits10(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Number of bytes that [`fmt_i64`] prints for `value`, the sign included.
#[inline]
#[must_use]
pub fn sdigits10(value: i64) -> usize {
    digits10(value.unsigned_abs()) + usize::from(value < 0)
}

/// Parses a double as Redis does (`string2d`): what C's `strtod` reads, but the whole input, with
/// no leading space, no NaN, and neither overflow nor underflow to zero. `inf`, `infinity` (any
/// case, signed) and hexadecimal floats are accepted.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    if let Some(value) = parse_short_int(text) {
        return Some(value);
    }
    let float = scan(text)?;
    match float {
        Float::Infinite { negative } => Some(signed(f64::INFINITY, negative)),
        Float::Hex { negative, .. } => Some(signed(float.hex_to_f64()?, negative)),
        Float::Decimal { nonzero, .. } => {
            // The grammar has been checked: what remains is text that `str::parse` reads, too.
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            let lost = value.is_infinite() || (value == 0.0 && nonzero);
            (!lost).then_some(value)
        }
    }
}

/// Parses a whole text as C's `strtod` does where nobody asks about overflow: leading blanks are
/// skipped, no text is 0, what is too large is infinite and what is too small 0. No NaN.
#[must_use]
pub fn parse_f64_lax(text: &[u8]) -> Option<f64> {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).unwrap_or(0);
    let text = &text[start..];
    if text.is_empty() {
        return Some(0.0);
    }
    parse_f64(text).or_else(|| match scan(text)? {
        Float::Decimal { .. } => std::str::from_utf8(text).ok()?.parse().ok(),
        Float::Infinite { .. } | Float::Hex { .. } => None,
    })
}

/// The common score: a few plain digits, which a double holds exactly.
fn parse_short_int(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |sum, &byte| Some(sum * 10 + digit(byte)?))?;
    Some(signed(value as f64, negative))
}

fn signed(value: f64, negative: bool) -> f64 {
    if negative { -value } else { value }
}

/// The integer that `value` is, when it is one and is at most 2^62 in magnitude: the bound within
/// which Redis prints and stores doubles as integers (`double2ll`).
#[inline]
#[must_use]
pub fn f64_as_i64(value: f64) -> Option<i64> {
    const BOUND: f64 = (1i64 << 62) as f64;
    if !(-BOUND..=BOUND).contains(&value) {
        return None;
    }
    let int = value as i64;
    (int as f64 == value).then_some(int)
}

/// Stack space in which a double is printed; [`fmt_f64`] fills it.
#[derive(Clone, Copy)]
pub struct F64Buf([u8; MAX_F64_LEN]);

impl F64Buf {
    /// Empty space.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; MAX_F64_LEN])
    }
}

impl Default for F64Buf {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints a double as Redis 7.2 does (`d2string`): integers up to 2^62 plainly, `inf`, `-inf`,
/// `nan`, `-0`; all else in the shortest digits that read back as the same double, in fixed or
/// exponent notation (`1e+20`, `1.5e-9`) by the rules of Redis's printer.
///
/// Redis's own digits come from Grisu2, which in about one of a thousand doubles prints a longer
/// text than needed (`9.999999999999999e+22` for `1e+23`); both read back as the same double.
pub fn fmt_f64(value: f64, buf: &mut F64Buf) -> &[u8] {
    let mut out = Out { buf: &mut buf.0, len: 0 };
    if value.is_nan() {
        out.put(b"nan");
    } else if value.is_infinite() {
        out.put(if value < 0.0 { b"-inf" } else { b"inf" });
    } else if value == 0.0 {
        out.put(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if let Some(int) = f64_as_i64(value) {
        out.put(itoa::Buffer::new().format(int).as_bytes());
    } else {
        emit(&Shortest::of(value), value < 0.0, &mut out);
    }
    let len = out.len;
    &buf.0[..len]
}

/// Prints a double as C's `%.17g` does: 17 significant digits, without trailing zeros. Redis does so
/// where it prints a double as a long double (`ld2string`).
#[must_use]
pub fn fmt_f64_17(value: f64) -> String {
    const DIGITS: i32 = 17;
    if !value.is_finite() {
        return value.to_string();
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        let fixed = format!("{value:.decimals$}");
        return if decimals > 0 { trim(&fixed) } else { fixed };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

/// A cursor over the print buffer.
struct Out<'a> {
    buf: &'a mut [u8; MAX_F64_LEN],
    len: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, count: usize) {
        self.buf[self.len..self.len + count].fill(b'0');
        self.len += count;
    }
}

/// Shortest round-trip decimal of a finite, non-zero double: `digits * 10^exponent`.
struct Shortest {
    digits: [u8; 20],
    len: usize,
    exponent: i32,
}

impl Shortest {
    /// Takes the digits from the library's text, whatever notation that chose.
    fn of(value: f64) -> Self {
        let mut library = zmij::Buffer::new();
        let text = library.format_finite(value.abs()).as_bytes();
        let (mantissa, exponent) = match memchr::memchr(b'e', text) {
            Some(at) => (&text[..at], small_int(&text[at + 1..])),
            None => (text, 0),
        };
        let mut short = Self { digits: [0; 20], len: 0, exponent };
        let mut point_seen = false;
        for &byte in mantissa {
            if byte == b'.' {
                point_seen = true;
                continue;
            }
            short.exponent -= i32::from(point_seen);
            // Leading zeros carry nothing.
            if short.len > 0 || byte != b'0' {
                short.digits[short.len] = byte;
                short.len += 1;
            }
        }
        while short.len > 1 && short.digits[short.len - 1] == b'0' {
            short.len -= 1;
            short.exponent += 1;
        }
        short
    }
}

/// Reads the library's exponent: an optional sign and at most three digits.
fn small_int(text: &[u8]) -> i32 {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let value = digits.fold(0, |sum, byte| sum * 10 + i32::from(byte - b'0'));
    if text.first() == Some(&b'-') { -value } else { value }
}

/// Chooses the notation as Redis's printer does: plain when up to seven zeros would follow the
/// digits, a decimal point when there are under seven decimals or the exponent is under four,
/// else one digit, a point, the rest, and a signed exponent without padding.
fn emit(short: &Shortest, negative: bool, out: &mut Out<'_>) {
    let digits = &short.digits[..short.len];
    let count = short.len as i32;
    let leading = short.exponent + count - 1;
    if negative {
        out.put(b"-");
    }
    if short.exponent >= 0 && leading.abs() < count + 7 {
        out.put(digits);
        out.zeros(short.exponent as usize);
    } else if short.exponent < 0 && (short.exponent > -7 || leading.abs() < 4) {
        emit_point(digits, count + short.exponent, out);
    } else {
        emit_exponent(digits, leading, out);
    }
}

/// Fixed notation; `point` is the number of digits before the point, negative for zeros after it.
fn emit_point(digits: &[u8], point: i32, out: &mut Out<'_>) {
    if point > 0 {
        let (whole, fraction) = digits.split_at(point as usize);
        out.put(whole);
        out.put(b".");
        out.put(fraction);
    } else {
        out.put(b"0.");
        out.zeros(point.unsigned_abs() as usize);
        out.put(digits);
    }
}

fn emit_exponent(digits: &[u8], exponent: i32, out: &mut Out<'_>) {
    out.put(&digits[..1]);
    if digits.len() > 1 {
        out.put(b".");
        out.put(&digits[1..]);
    }
    out.put(if exponent < 0 { b"e-" } else { b"e+" });
    out.put(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
}

/// Parses a memory size as the configuration and commands have it (`memtoull`): digits and an
/// optional unit of any case: `b`; `k`, `m`, `g` in powers of 1000; `kb`, `mb`, `gb` in powers of
/// 1024. The result is in bytes; none if it does not fit 64 bits.
#[must_use]
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    const UNITS: [(&[u8], u64); 8] = [
        (b"", 1),
        (b"b", 1),
        (b"k", 1000),
        (b"kb", 1 << 10),
        (b"m", 1_000_000),
        (b"mb", 1 << 20),
        (b"g", 1_000_000_000),
        (b"gb", 1 << 30),
    ];
    let split = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    if digits.is_empty() {
        return None;
    }
    let scale = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    let add = |sum: u64, &byte: &u8| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    digits.iter().try_fold(0u64, add)?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: f64) -> String {
        String::from_utf8(fmt_f64(value, &mut F64Buf::new()).to_vec()).unwrap()
    }

    #[test]
    fn lax_doubles_are_those_of_strtod() {
        for (text, value) in [
            ("", 0.0),
            (" \t5", 5.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_f64_lax(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in [" ", "5 ", "x", "nan", "1e", "--1"] {
            assert_eq!(parse_f64_lax(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn seventeen_digits_are_printed_as_c_does() {
        // What redis-server 7.0 replies to ZSCAN for these scores.
        let cases = [
            (0.1, "0.10000000000000001"),
            (3.0, "3"),
            (1e25, "1.0000000000000001e+25"),
            (1e300, "1.0000000000000001e+300"),
            (123_456_789_012_345_680_000.0, "1.2345678901234568e+20"),
            (1e-7, "9.9999999999999995e-08"),
            (1.5e-320, "1.4999833007740245e-320"),
            (12345.678, "12345.678"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.5, "-0.5"),
        ];
        for (value, text) in cases {
            assert_eq!(fmt_f64_17(value), text);
        }
    }

    #[test]
    fn integers_are_strict() {
        let refused: [&[u8]; 14] = [
            b"",
            b"-",
            b"+1",
            b" 1",
            b"1 ",
            b"01",
            b"-0",
            b"-01",
            b"00",
            b"1a",
            b"1.0",
            b"--1",
            b"9223372036854775808",
            b"-9223372036854775809",
        ];
        for text in refused {
            assert_eq!(parse_i64(text), None, "{text:?}");
        }
        assert_eq!(parse_i64(b"0"), Some(0));
        assert_eq!(parse_i64(b"-1"), Some(-1));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"99999999999999999999"), None);
        assert_eq!(parse_u64(b"100000000000000000000"), None);
    }

    #[test]
    fn digit_counts() {
        for (value, count) in [(0, 1), (9, 1), (10, 2), (99, 2), (100, 3), (u64::MAX, 20)] {
            assert_eq!(digits10(value), count);
        }
        assert_eq!(sdigits10(i64::MIN), 20);
        assert_eq!(sdigits10(-1), 2);
    }

    #[test]
    fn doubles_read_as_strtod_does() {
        let refused: [&[u8]; 20] = [
            b"",
            b" 1",
            b"1 ",
            b"nan",
            b"-nan",
            b"1e400",
            b"-1e400",
            b"1e-400",
            b"0x",
            b"0x1p",
            b"0xp1",
            b"1e",
            b"1e+",
            b".",
            b"-",
            b"+-1",
            b"1_0",
            b"1\0",
            b"infinit",
            b"0x1p5000",
        ];
        for text in refused {
            assert_eq!(parse_f64(text), None, "{text:?}");
        }
        let read: [(&[u8], f64); 17] = [
            (b"1", 1.0),
            (b"007", 7.0),
            (b"+1.5", 1.5),
            (b"-.5", -0.5),
            (b"5.", 5.0),
            (b"1e3", 1000.0),
            (b"1E-3", 0.001),
            (b"inf", f64::INFINITY),
            (b"-INF", f64::NEG_INFINITY),
            (b"+Infinity", f64::INFINITY),
            (b"0x1p3", 8.0),
            (b"0X1.8P-1", 0.75),
            (b"-0xff", -255.0),
            (b"0x.8", 0.5),
            (b"0e-999", 0.0),
            (b"5e-324", 5e-324),
            (b"0x1.00000000000018p0", 1.000_000_000_000_000_4),
        ];
        for (text, value) in read {
            assert_eq!(parse_f64(text), Some(value), "{text:?}");
        }
        assert!(parse_f64(b"-0").is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()));
    }

    #[test]
    fn doubles_print_as_in_redis_7_2() {
        let cases = [
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e17, "100000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (1e19, "1e+19"),
            (1.2345e25, "1.2345e+25"),
            (12_345_678_901_234_567_000.0, "12345678901234567000"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (0.001_234_567_8, "0.0012345678"),
            (0.000_012_345_678, "1.2345678e-5"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.0, "-0"),
            (123_456.789, "123456.789"),
        ];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
        assert_eq!(shown(f64::NAN), "nan");
    }

    #[test]
    fn memory_units() {
        let cases: [(&[u8], Option<u64>); 12] = [
            (b"0", Some(0)),
            (b"100b", Some(100)),
            (b"1k", Some(1000)),
            (b"1Kb", Some(1024)),
            (b"2MB", Some(2 << 20)),
            (b"2m", Some(2_000_000)),
            (b"3g", Some(3_000_000_000)),
            (b"3gB", Some(3 << 30)),
            (b"-1", None),
            (b"", None),
            (b"1tb", None),
            (b"99999999999999999999", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_memory(text), bytes, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            prop_assert_eq!(parse_i64(fmt_i64(value, &mut IntBuf::new())), Some(value));
            prop_assert_eq!(fmt_i64(value, &mut IntBuf::new()).len(), sdigits10(value));
        }

        #[test]
        fn any_text_parses_as_the_canonical_integer_or_not(text in "[-+0-9 ]{0,21}") {
            let expected = text.parse::<i64>().ok().filter(|int| int.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), expected);
        }

        #[test]
        fn doubles_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let mut buf = F64Buf::new();
            let text = fmt_f64(value, &mut buf);
            prop_assert_eq!(parse_f64(text).map(f64::to_bits), Some(bits));
        }
    }
}
