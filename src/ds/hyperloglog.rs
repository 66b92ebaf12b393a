//! HyperLogLog: how many different elements a stream has, within 0.81 %, in at most 12 KiB.
//!
//! Owns Redis's two forms of it, byte for byte, both plain strings that clients may read and write:
//! hence nothing is believed of what a string holds. Knows neither keys nor commands.
//!
//! ```text
//! header: "HYLL" | encoding u8 | 0 0 0 | cached cardinality, u64 little-endian, top bit: stale
//! dense:  16384 registers of 6 bits, from the low bits up
//! sparse: 00llllll             l + 1 registers of 0
//!         01llllll llllllll    l + 1 registers of 0
//!         1vvvvvll             l + 1 registers of v + 1
//! ```

const HEADER: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const CARDINALITY_AT: usize = 8;
const STALE: u64 = 1 << 63;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash in which a run of zeroes is counted.
const RUN_BITS: u32 = 64 - INDEX_BITS;
const REGISTER_MAX: u8 = 63;
const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;

const ZERO_MAX_LEN: usize = 64;
const VALUE_MAX: u8 = 32;
const VALUE_MAX_LEN: usize = 4;
/// How many opcodes may become mergeable when one is split.
const MERGE_SCAN: usize = 5;

/// The string begins like a HyperLogLog, but its registers aren't whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// The form of a HyperLogLog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// All registers.
    Dense,
    /// Runs of equal registers.
    Sparse,
}

/// A run of equal registers in the sparse form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// At most 64 registers of 0.
    Zeroes(usize),
    /// At most 16384 registers of 0, in two bytes.
    LongZeroes(usize),
    /// At most 4 registers of this value.
    Values(u8, usize),
}

impl Run {
    fn zeroes(len: usize) -> Self {
        if len > ZERO_MAX_LEN { Self::LongZeroes(len) } else { Self::Zeroes(len) }
    }

    /// The run at the head of `bytes`.
    fn read(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        Some(match first >> 6 {
            0 => Self::Zeroes(usize::from(first & 0x3f) + 1),
            1 => {
                let low = usize::from(*bytes.get(1)?);
                Self::LongZeroes((usize::from(first & 0x3f) << 8 | low) + 1)
            }
            _ => Self::Values((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1),
        })
    }

    fn write(self, out: &mut Sequence) {
        match self {
            Self::Zeroes(len) => out.push(len as u8 - 1),
            Self::LongZeroes(len) => {
                out.push(0x40 | ((len - 1) >> 8) as u8);
                out.push((len - 1) as u8);
            }
            Self::Values(value, len) => out.push(Self::value_byte(value, len)),
        }
    }

    fn value_byte(value: u8, len: usize) -> u8 {
        0x80 | (value - 1) << 2 | (len as u8 - 1)
    }

    /// Number of registers.
    fn len(self) -> usize {
        match self {
            Self::Zeroes(len) | Self::LongZeroes(len) | Self::Values(_, len) => len,
        }
    }

    fn value(self) -> u8 {
        if let Self::Values(value, _) = self { value } else { 0 }
    }

    /// Number of bytes that hold it.
    fn width(self) -> usize {
        if matches!(self, Self::LongZeroes(_)) { 2 } else { 1 }
    }
}

/// The bytes that take the place of one split run.
type Sequence = smallvec::SmallVec<[u8; 8]>;

/// The runs of a sparse form.
#[derive(Debug, Clone)]
pub struct Runs<'a>(&'a [u8]);

impl Iterator for Runs<'_> {
    type Item = Result<Run, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some(run) = Run::read(self.0) else {
            self.0 = &[];
            return Some(Err(Corrupt));
        };
        self.0 = &self.0[run.width()..];
        Some(Ok(run))
    }
}

impl Runs<'_> {
    /// Calls `f` with every run and the register that it begins at; they must cover all registers.
    fn for_each(self, mut f: impl FnMut(usize, Run)) -> Result<(), Corrupt> {
        let mut at = 0;
        for run in self {
            let run = run?;
            if at + run.len() > REGISTERS {
                return Err(Corrupt);
            }
            f(at, run);
            at += run.len();
        }
        if at == REGISTERS { Ok(()) } else { Err(Corrupt) }
    }
}

/// All registers, each in a byte: the union of HyperLogLogs.
#[derive(Debug, Clone)]
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    /// Takes in another HyperLogLog.
    pub fn merge(&mut self, other: Hll<'_>) -> Result<(), Corrupt> {
        match other.runs() {
            None => {
                let mut mine = self.0.iter_mut();
                other.for_each_dense(|value| {
                    if let Some(register) = mine.next() {
                        *register = value.max(*register);
                    }
                });
                Ok(())
            }
            Some(runs) => runs.for_each(|at, run| {
                if let Run::Values(value, len) = run {
                    self.0[at..at + len].iter_mut().for_each(|it| *it = value.max(*it));
                }
            }),
        }
    }

    /// The values of the registers.
    pub fn values(&self) -> &[u8] {
        &*self.0
    }

    /// The estimated number of different elements.
    pub fn count(&self) -> u64 {
        let mut histogram = [0; HISTOGRAM];
        self.0.iter().for_each(|value| histogram[usize::from(*value & REGISTER_MAX)] += 1);
        estimate(&histogram)
    }
}

/// How many registers have each value.
const HISTOGRAM: usize = REGISTER_MAX as usize + 1;

/// A string that is a HyperLogLog by its header.
#[derive(Debug, Clone, Copy)]
pub struct Hll<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
}

impl<'a> Hll<'a> {
    /// The HyperLogLog that `bytes` are, by their header and length.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let encoding = match header[ENCODING_AT] {
            0 if bytes.len() == DENSE_LEN => Encoding::Dense,
            1 => Encoding::Sparse,
            _ => return None,
        };
        header.starts_with(MAGIC).then_some(Self { bytes, encoding })
    }

    /// The form.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// The runs, if the form is sparse.
    pub fn runs(&self) -> Option<Runs<'a>> {
        (self.encoding == Encoding::Sparse).then(|| Runs(self.body()))
    }

    /// The cardinality that was estimated last, if nothing has changed since.
    pub fn cached_count(&self) -> Option<u64> {
        let field = self.bytes[CARDINALITY_AT..HEADER].try_into().map(u64::from_le_bytes);
        field.ok().filter(|count| count & STALE == 0)
    }

    /// The estimated number of different elements.
    pub fn count(&self) -> Result<u64, Corrupt> {
        let mut histogram = [0; HISTOGRAM];
        match self.runs() {
            None => self.for_each_dense(|value| histogram[usize::from(value)] += 1),
            Some(runs) => {
                runs.for_each(|_, run| histogram[usize::from(run.value())] += run.len() as u32)?;
            }
        }
        Ok(estimate(&histogram))
    }

    /// Calls `f` with each register of the dense form.
    fn for_each_dense(&self, mut f: impl FnMut(u8)) {
        for &[a, b, c] in self.body().as_chunks::<3>().0 {
            let four = u32::from_le_bytes([a, b, c, 0]);
            for shift in [0, 6, 12, 18] {
                f((four >> shift) as u8 & REGISTER_MAX);
            }
        }
    }
}

/// The same to change.
#[derive(Debug)]
pub struct HllMut<'a> {
    bytes: &'a mut Vec<u8>,
    encoding: Encoding,
}

impl<'a> HllMut<'a> {
    /// The HyperLogLog that `bytes` are, by their header and length.
    pub fn parse(bytes: &'a mut Vec<u8>) -> Option<Self> {
        let encoding = Hll::parse(bytes)?.encoding;
        Some(Self { bytes, encoding })
    }

    /// To read.
    pub fn view(&self) -> Hll<'_> {
        Hll { bytes: self.bytes, encoding: self.encoding }
    }

    /// Makes the cached cardinality invalid: after any change.
    pub fn invalidate(&mut self) {
        self.bytes[HEADER - 1] |= (STALE >> 56) as u8;
    }

    /// Keeps an estimate for later.
    pub fn cache_count(&mut self, count: u64) {
        self.bytes[CARDINALITY_AT..HEADER].copy_from_slice(&count.to_le_bytes());
    }

    /// Adds an element; says whether that changed anything. The sparse form becomes dense where it
    /// would be longer than `sparse_max` bytes.
    pub fn add(&mut self, element: &[u8], sparse_max: usize) -> Result<bool, Corrupt> {
        let (index, value) = place(element);
        self.raise(index, value, sparse_max)
    }

    /// Raises a register to a value; says whether it was lower.
    pub fn raise(&mut self, index: usize, value: u8, sparse_max: usize) -> Result<bool, Corrupt> {
        match self.encoding {
            Encoding::Dense => Ok(self.raise_dense(index, value)),
            Encoding::Sparse => self.raise_sparse(index, value, sparse_max),
        }
    }

    /// Makes the form dense; says whether it was sparse.
    pub fn make_dense(&mut self) -> Result<bool, Corrupt> {
        let Some(runs) = self.view().runs() else { return Ok(false) };
        let mut bytes = vec![0; DENSE_LEN];
        bytes[..HEADER].copy_from_slice(&self.bytes[..HEADER]);
        bytes[ENCODING_AT] = 0;
        let mut dense = HllMut { bytes: &mut bytes, encoding: Encoding::Dense };
        runs.for_each(|at, run| {
            if let Run::Values(value, len) = run {
                (at..at + len).for_each(|index| {
                    dense.raise_dense(index, value);
                });
            }
        })?;
        *self.bytes = bytes;
        self.encoding = Encoding::Dense;
        Ok(true)
    }

    fn raise_dense(&mut self, index: usize, value: u8) -> bool {
        let (byte, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
        let low = self.bytes[byte];
        // The last register ends with the last byte.
        let high = self.bytes.get(byte + 1).copied().unwrap_or(0);
        let pair = u16::from_le_bytes([low, high]);
        if (pair >> shift) as u8 & REGISTER_MAX >= value {
            return false;
        }
        let cleared = pair & !(u16::from(REGISTER_MAX) << shift);
        let [low, high] = (cleared | u16::from(value) << shift).to_le_bytes();
        self.bytes[byte] = low;
        if let Some(next) = self.bytes.get_mut(byte + 1) {
            *next = high;
        }
        true
    }

    fn raise_sparse(&mut self, index: usize, value: u8, max: usize) -> Result<bool, Corrupt> {
        if value > VALUE_MAX {
            return self.promote(index, value);
        }
        let found = self.locate(index)?;
        if found.run.value() >= value {
            return Ok(false);
        }
        let (first, last) = (found.first, found.first + found.run.len() - 1);
        let part = |len: usize| match found.run {
            Run::Values(old, _) => Run::Values(old, len),
            _ => Run::zeroes(len),
        };
        let mut sequence = Sequence::new();
        if index > first {
            part(index - first).write(&mut sequence);
        }
        Run::Values(value, 1).write(&mut sequence);
        if index < last {
            part(last - index).write(&mut sequence);
        }
        let width = found.run.width();
        let grows = sequence.len() > width;
        if grows && self.bytes.len() + sequence.len() - width > max {
            return self.promote(index, value);
        }
        self.bytes.splice(found.at..found.at + width, sequence);
        self.merge_values(found.previous);
        self.invalidate();
        Ok(true)
    }

    fn promote(&mut self, index: usize, value: u8) -> Result<bool, Corrupt> {
        self.make_dense()?;
        Ok(self.raise_dense(index, value))
    }

    /// Finds the run that covers a register. Adding to the sparse form spends its time here, so the
    /// runs that are passed are only measured.
    fn locate(&self, index: usize) -> Result<Found, Corrupt> {
        let bytes = self.bytes.as_slice();
        let (mut at, mut previous, mut first) = (HEADER, HEADER, 0);
        while at < bytes.len() {
            let byte = usize::from(bytes[at]);
            let (mut len, mut width) = (byte + 1, 1);
            if byte >= 0x80 {
                len = (byte & 3) + 1;
            } else if byte >= 0x40 {
                let low = *bytes.get(at + 1).ok_or(Corrupt)?;
                len = ((byte & 0x3f) << 8 | usize::from(low)) + 1;
                width = 2;
            }
            if index < first + len {
                let run = Run::read(&bytes[at..]).ok_or(Corrupt)?;
                return Ok(Found { at, previous, first, run });
            }
            previous = at;
            at += width;
            first += len;
        }
        Err(Corrupt)
    }

    /// Merges neighbouring runs of one value, a few from `at` on, as Redis does.
    fn merge_values(&mut self, mut at: usize) {
        for _ in 0..MERGE_SCAN {
            let Some(run) = self.bytes.get(at..).and_then(Run::read) else { return };
            let next = self.bytes.get(at + 1..).and_then(Run::read);
            match (run, next) {
                (Run::Values(a, len), Some(Run::Values(b, more)))
                    if a == b && len + more <= VALUE_MAX_LEN =>
                {
                    self.bytes[at] = Run::value_byte(a, len + more);
                    self.bytes.remove(at + 1);
                }
                _ => at += run.width(),
            }
        }
    }
}

/// Where a register stands in the sparse form.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Where its run begins in the string.
    at: usize,
    /// Where the run before begins; that of the first run is itself.
    previous: usize,
    /// The first register of the run.
    first: usize,
    run: Run,
}

/// An empty HyperLogLog.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = 1;
    let mut run = Sequence::new();
    Run::LongZeroes(REGISTERS).write(&mut run);
    bytes.extend_from_slice(&run);
    bytes
}

/// The register that an element belongs to, and the length of its run.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element);
    let index = (hash & (REGISTERS as u64 - 1)) as usize;
    let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() + 1;
    (index, run as u8)
}

/// MurmurHash64A with Redis's seed.
fn murmur64a(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

/// Estimates the cardinality from how many registers have each value, by Otmar Ertl's improved raw
/// estimator (arXiv:1702.01284, algorithm 6).
fn estimate(histogram: &[u32; HISTOGRAM]) -> u64 {
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let runs = RUN_BITS as usize;
    let mut z = m * tau((m - f64::from(histogram[runs + 1])) / m);
    for &count in histogram[1..=runs].iter().rev() {
        z = (z + f64::from(count)) * 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    // Registers that no hash can lead to may make this infinite: the cast saturates.
    ((ALPHA * m * m / z).round() as u64).min(i64::MAX as u64)
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

/// Tests registers against plain numbers, and estimates against true counts; says what is wrong.
pub fn self_test(rng: &mut fastrand::Rng) -> Result<(), String> {
    const ROUNDS: usize = 10;
    const ELEMENTS: u64 = 200_000;
    let mut bytes = empty();
    let mut hll = HllMut { encoding: Encoding::Sparse, bytes: &mut bytes };
    let mut wanted = vec![0; REGISTERS];
    for _ in 0..ROUNDS {
        for (index, wanted) in wanted.iter_mut().enumerate() {
            let value = rng.u8(1..=REGISTER_MAX);
            *wanted = value.max(*wanted);
            hll.raise(index, value, 0).map_err(|Corrupt| "Corrupted registers".to_string())?;
        }
        let mut got = Registers::default();
        got.merge(hll.view()).map_err(|Corrupt| "Corrupted registers".to_string())?;
        let pairs = wanted.iter().zip(got.values()).enumerate();
        if let Some((index, (wanted, got))) = pairs.into_iter().find(|(_, (a, b))| a != b) {
            return Err(format!("Register {index} should be {wanted} but is {got}"));
        }
    }
    bytes = empty();
    let seed = rng.u64(..);
    for count in 1..=ELEMENTS {
        let mut hll = HllMut::parse(&mut bytes).ok_or("Corrupted header")?;
        let element = (count ^ seed).to_le_bytes();
        hll.add(&element, 3000).map_err(|Corrupt| "Corrupted registers".to_string())?;
        if count.is_power_of_two() || count == ELEMENTS {
            let estimate = hll.view().count().map_err(|Corrupt| "Corrupted registers")?;
            // Six standard deviations of 1.04 / sqrt(registers), and one for rounding.
            let allowed = (count as f64 * 0.0488).ceil() as u64 + 1;
            if estimate.abs_diff(count) > allowed {
                return Err(format!("Too big error. card:{count} abserr:{estimate}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn registers(bytes: &[u8]) -> Vec<u8> {
        let mut all = Registers::default();
        all.merge(Hll::parse(bytes).unwrap()).unwrap();
        all.values().to_vec()
    }

    proptest! {
        #[test]
        fn both_forms_hold_the_greatest_values(
            raises in proptest::collection::vec((0..REGISTERS, 1u8..=40), 0..200),
            close in proptest::collection::vec((0..40usize, 1u8..=4), 0..200),
            sparse_max in prop_oneof![Just(0usize), Just(60), Just(3000)],
        ) {
            let mut bytes = empty();
            let mut model = vec![0u8; REGISTERS];
            for (index, value) in raises.into_iter().chain(close) {
                let mut hll = HllMut::parse(&mut bytes).unwrap();
                let raised = hll.raise(index, value, sparse_max);
                prop_assert_eq!(raised, Ok(model[index] < value));
                model[index] = model[index].max(value);
                prop_assert!(bytes.len() == DENSE_LEN || bytes.len() <= sparse_max.max(18));
            }
            prop_assert_eq!(&registers(&bytes), &model);
            let count = Hll::parse(&bytes).unwrap().count();
            HllMut::parse(&mut bytes).unwrap().make_dense().unwrap();
            prop_assert_eq!(&registers(&bytes), &model);
            prop_assert_eq!(Hll::parse(&bytes).unwrap().count(), count);
        }

        #[test]
        fn corrupt_runs_are_refused(
            body in proptest::collection::vec(any::<u8>(), 0..80), element: [u8; 4], value in 1u8..=51,
        ) {
            let mut bytes = empty();
            bytes.truncate(HEADER);
            bytes.extend_from_slice(&body);
            let hll = Hll::parse(&bytes).unwrap();
            let whole = Runs(&body).for_each(|_, _| ()).is_ok();
            prop_assert_eq!(hll.count().is_ok(), whole);
            prop_assert_eq!(Registers::default().merge(hll).is_ok(), whole);
            let mut copy = bytes.clone();
            prop_assert_eq!(HllMut::parse(&mut copy).unwrap().make_dense().is_ok(), whole);
            let mut hll = HllMut::parse(&mut bytes).unwrap();
            let _ = hll.add(&element, 3000);
            let _ = hll.raise(REGISTERS - 1, value, 3000);
            prop_assert!(Hll::parse(&bytes).is_some());
        }
    }

    #[test]
    fn hashes_as_redis_does() {
        // What redis-server 7.0.15 shows by PFDEBUG DECODE after PFADD of one element.
        for (element, register, value) in [
            (&b""[..], 5938, 2),
            (b"a", 12711, 2),
            (b"abcdefg", 5634, 2),
            (b"abcdefgh", 1383, 1),
            (b"hello world, this is 7", 11448, 2),
            (b"\xff\xfe", 654, 2),
        ] {
            assert_eq!(place(element), (register, value));
        }
    }

    #[test]
    fn tests_itself() {
        assert_eq!(self_test(&mut fastrand::Rng::with_seed(5)), Ok(()));
    }

    #[test]
    fn counts_within_the_error() {
        let mut bytes = empty();
        for i in 0..100_000u32 {
            HllMut::parse(&mut bytes).unwrap().add(&i.to_le_bytes(), 3000).unwrap();
            if [1, 10, 100, 1000, 10_000, 100_000].contains(&(i + 1)) {
                let count = Hll::parse(&bytes).unwrap().count().unwrap() as f64;
                let error = (count - f64::from(i + 1)).abs() / f64::from(i + 1);
                // Five standard deviations.
                assert!(error < 0.041, "{} for {}", count, i + 1);
            }
        }
        assert_eq!(Hll::parse(&bytes).unwrap().encoding(), Encoding::Dense);
    }

    #[test]
    fn only_whole_headers_pass() {
        let bytes = empty();
        assert!(Hll::parse(&bytes).is_some());
        assert!(Hll::parse(&bytes[..15]).is_none());
        for (at, byte) in [(0, b'X'), (ENCODING_AT, 0), (ENCODING_AT, 2)] {
            let mut bad = bytes.clone();
            bad[at] = byte;
            assert!(Hll::parse(&bad).is_none());
        }
        // Runs beyond the last register: CVE-2025-32023.
        let mut long = bytes;
        long.extend_from_slice(&[0x7f, 0xff].repeat(40));
        assert_eq!(Hll::parse(&long).unwrap().count(), Err(Corrupt));
        assert_eq!(HllMut::parse(&mut long).unwrap().raise(3, 40, 3000), Err(Corrupt));
    }

    #[test]
    fn impossible_registers_dont_break_the_estimate() {
        let mut bytes = empty();
        let mut hll = HllMut::parse(&mut bytes).unwrap();
        (0..REGISTERS).for_each(|i| {
            hll.raise(i, REGISTER_MAX, 0).unwrap();
        });
        assert_eq!(hll.view().count(), Ok(i64::MAX as u64));
    }

    #[test]
    fn the_cached_count_is_kept_until_a_change() {
        let mut bytes = empty();
        let mut hll = HllMut::parse(&mut bytes).unwrap();
        assert_eq!(hll.view().cached_count(), Some(0));
        hll.cache_count(77);
        assert_eq!(hll.view().cached_count(), Some(77));
        hll.add(b"a", 3000).unwrap();
        assert_eq!(hll.view().cached_count(), None);
    }
}
