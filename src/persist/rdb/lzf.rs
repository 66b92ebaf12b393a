//! LZF, the compression of long strings in RDB files.
//!
//! Owns the format: control bytes below 32 announce that many literals and one; others are a
//! reference of 3 to 264 bytes, up to 8192 back. Written here since the one crate that has it is
//! not maintained.

const HASH_BITS: u32 = 14;
/// The greatest distance of a reference.
const FAR: usize = 1 << 13;
/// The greatest length of a reference.
const LONG: usize = 264;
/// The most literals in a run.
const RUN: usize = 32;
/// No byte of a compressed text stands for more: a reference of three bytes for 264.
const GROWTH: usize = LONG / 3;

/// Compresses; keeps its table from one text to the next.
#[derive(Debug)]
pub struct Compressor {
    /// Where three bytes of this hash stood last, as positions that go on from text to text: what
    /// is below `base` was in another text.
    table: Vec<u32>,
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { table: vec![0; 1 << HASH_BITS], base: 1 }
    }
}

/// The output of one text.
struct Out<'a> {
    bytes: &'a mut Vec<u8>,
    /// Where the control byte of the literals under way stands.
    control: usize,
    literals: usize,
}

impl Out<'_> {
    fn literal(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.literals += 1;
        if self.literals == RUN {
            self.end_run();
            self.start_run();
        }
    }

    fn start_run(&mut self) {
        self.control = self.bytes.len();
        self.literals = 0;
        self.bytes.push(0);
    }

    fn end_run(&mut self) {
        match self.literals {
            0 => {
                self.bytes.pop();
            }
            count => self.bytes[self.control] = count as u8 - 1,
        }
    }

    fn reference(&mut self, distance: usize, len: usize) {
        self.end_run();
        let (back, len) = (distance - 1, len - 2);
        let high = (back >> 8) as u8;
        if len < 7 {
            self.bytes.push((len as u8) << 5 | high);
        } else {
            self.bytes.push(7 << 5 | high);
            self.bytes.push((len - 7) as u8);
        }
        self.bytes.push(back as u8);
        self.start_run();
    }
}

impl Compressor {
    /// Appends the compressed `text` to `out` if that takes at most `limit` bytes; says whether.
    pub fn compress(&mut self, text: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
        let start = out.len();
        let Some(next) = u32::try_from(text.len()).ok().and_then(|len| self.base.checked_add(len))
        else {
            return self.restart(text, out, limit);
        };
        let mut out = Out { bytes: out, control: 0, literals: 0 };
        out.start_run();
        let mut at = 0;
        while let Some(&[a, b, c]) = text.get(at..).and_then(<[u8]>::first_chunk) {
            if out.bytes.len() - start > limit.saturating_add(1) {
                out.bytes.truncate(start);
                self.base = next;
                return false;
            }
            match self.find(text, at, [a, b, c]) {
                Some((distance, len)) => {
                    out.reference(distance, len);
                    at += len;
                }
                None => {
                    out.literal(a);
                    at += 1;
                }
            }
        }
        text[at..].iter().for_each(|&byte| out.literal(byte));
        out.end_run();
        self.base = next;
        let fits = out.bytes.len() - start <= limit;
        if !fits {
            out.bytes.truncate(start);
        }
        fits
    }

    /// Starts over when the positions have run out; texts of 4 GiB are not compressed.
    #[cold]
    fn restart(&mut self, text: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
        if self.base == 1 {
            return false;
        }
        self.table.fill(0);
        self.base = 1;
        self.compress(text, out, limit)
    }

    /// The last occurrence of what stands at `at`: its distance, and how long it is the same.
    fn find(&mut self, text: &[u8], at: usize, three: [u8; 3]) -> Option<(usize, usize)> {
        let [a, b, c] = three.map(u32::from);
        let hash = (a << 16 | b << 8 | c).wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS);
        let place = self.table.get_mut(hash as usize)?;
        let last = std::mem::replace(place, self.base + at as u32);
        let candidate = last.checked_sub(self.base)? as usize;
        let distance = at - candidate;
        if distance > FAR || text.get(candidate..candidate + 3)? != three {
            return None;
        }
        let most = LONG.min(text.len() - at);
        let same = text[candidate..].iter().zip(&text[at..at + most]).skip(3);
        Some((distance, 3 + same.take_while(|(a, b)| a == b).count()))
    }
}

/// Decompresses to exactly `len` bytes; none if that isn't what `input` holds. Allocates no more
/// than `input` could stand for.
pub fn decompress(input: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > input.len().checked_mul(GROWTH)? {
        return None;
    }
    let mut out: Vec<u8> = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        if control < RUN {
            let (literals, after) = after.split_at_checked(control + 1)?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let (more, after) = match control >> 5 {
                7 => after.split_first().map(|(&more, after)| (usize::from(more), after))?,
                _ => (0, after),
            };
            let (&low, after) = after.split_first()?;
            let distance = (control & 0x1f) << 8 | usize::from(low);
            copy_back(&mut out, distance + 1, (control >> 5) + more + 2)?;
            rest = after;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Repeats `len` bytes from `distance` back on; they may overlap what is being written.
fn copy_back(out: &mut Vec<u8>, distance: usize, len: usize) -> Option<()> {
    let from = out.len().checked_sub(distance)?;
    let mut left = len;
    while left > 0 {
        let part = left.min(out.len() - from);
        out.extend_from_within(from..from + part);
        left -= part;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(text: &[u8], limit: usize) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let fits = Compressor::default().compress(text, &mut out, limit);
        assert!(out.starts_with(b"before") && (fits || out.len() == 6));
        fits.then(|| out.split_off(6))
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..600),
            proptest::collection::vec(0u8..3, 0..10_000),
            (proptest::collection::vec(any::<u8>(), 1..40), 1usize..600)
                .prop_map(|(part, times)| part.repeat(times)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn comes_back_as_it_was(texts in proptest::collection::vec(text(), 1..4)) {
            let mut compressor = Compressor::default();
            for text in texts {
                let mut out = Vec::new();
                prop_assert!(compressor.compress(&text, &mut out, usize::MAX));
                let back = decompress(&out, text.len());
                prop_assert_eq!(back.as_ref(), Some(&text));
                prop_assert!(decompress(&out, text.len() + 1).is_none());
                for limit in [out.len() / 2, out.len().saturating_sub(1), out.len()] {
                    let tight = packed(&text, limit);
                    prop_assert_eq!(tight.is_some(), limit == out.len());
                    prop_assert!(tight.is_none_or(|tight| tight == out));
                }
            }
        }

        #[test]
        fn junk_is_refused_or_read(input in proptest::collection::vec(any::<u8>(), 0..200), len in 0usize..2000) {
            let read = decompress(&input, len);
            prop_assert!(read.is_none_or(|read| read.len() == len));
        }
    }

    #[test]
    fn compresses_what_repeats() {
        let text = b"rhubarb, ".repeat(1000);
        assert!(packed(&text, 200).is_some_and(|out| out.len() < 150));
        assert_eq!(packed(b"abcdefgh", 4), None);
        assert_eq!(decompress(&[0xff, 0xff, 0xff], usize::MAX), None);
        assert_eq!(decompress(b"", 1 << 40), None);
        let mut late = Compressor { base: u32::MAX - 5, ..Compressor::default() };
        let mut out = Vec::new();
        assert!(late.compress(&text, &mut out, 200));
        assert_eq!(decompress(&out, text.len()).as_deref(), Some(&text[..]));
    }
}
