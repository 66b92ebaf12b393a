//! Hashes: fields with values, in a listpack while small, else in a table.
//!
//! Owns the two encodings and when one becomes the other, and beside either the deadlines of those
//! fields that have one. A table's pair is one allocation that holds field and value. Never goes
//! back from a table to a listpack. Never looks at the clock: fields that are due are there until
//! they are removed.

use fastrand::Rng;
use smallvec::SmallVec;
use triomphe::ThinArc;

use super::prefetch::Prefetch;
use super::zset::ZSet;
use super::{Limits, Unfit, sample};
use crate::ds::dict::{self, Dict, Keyed, Seed, Step};
use crate::ds::listpack::{self, Element, Listpack};
use crate::util::prefetch::prefetch;
use crate::util::seed;

/// A field's name and value. Cloning shares.
#[derive(Clone)]
pub struct Pair(ThinArc<u32, u8>);

impl Pair {
    fn new(field: &[u8], value: &[u8]) -> Self {
        /// Pairs up to this size are put together on the stack.
        const ON_STACK: usize = 256;
        let mut bytes = SmallVec::<[u8; ON_STACK]>::with_capacity(field.len() + value.len());
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(value);
        // Arguments are shorter than 4 GiB: `proto-max-bulk-len` has that bound.
        Self(ThinArc::from_header_and_slice(field.len() as u32, &bytes))
    }

    /// The field's name.
    pub fn field(&self) -> &[u8] {
        self.split().0
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        self.split().1
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let len = self.0.header.header as usize;
        self.0.slice.split_at(len)
    }

    fn elements(&self) -> (Element<'_>, Element<'_>) {
        let (field, value) = self.split();
        (Element::Str(field), Element::Str(value))
    }

    /// Bytes of the allocation: reference count, the two lengths, the texts.
    fn heap_bytes(&self) -> usize {
        3 * size_of::<usize>() + self.0.slice.len()
    }
}

impl Keyed for Pair {
    #[inline]
    fn key(&self) -> &[u8] {
        self.field()
    }

    fn prefetch(&self) {
        prefetch(&self.0.header);
    }
}

/// The latest deadline that a field can have, in Unix milliseconds: about the year 4200.
pub const MAX_DEADLINE: i64 = (1 << 46) - 1;

/// Fields and values, without deadlines.
#[derive(Clone)]
enum Plain {
    Pack(Listpack),
    Table(Box<Dict<Pair>>),
}

#[derive(Clone)]
enum Repr {
    Plain(Plain),
    Timed(Box<Timed>),
}

/// A hash, some of whose fields have deadlines.
#[derive(Clone)]
struct Timed {
    plain: Plain,
    /// The fields that have deadlines, by them. Never empty.
    deadlines: ZSet,
}

/// A hash. An update of a listpack keeps a field's place; a table has no order.
#[derive(Clone)]
pub struct Hash(Repr);

// Hashes without deadlines pay nothing for those with.
const _: () = assert!(size_of::<Hash>() == size_of::<Plain>());

impl Prefetch for Hash {
    fn prefetch_body(&self) {
        match &self.0 {
            Repr::Plain(Plain::Pack(pack)) => pack.prefetch(),
            Repr::Plain(Plain::Table(dict)) => prefetch::<Dict<Pair>>(dict),
            Repr::Timed(timed) => prefetch::<Timed>(timed),
        }
    }

    fn member_hash(&self, member: &[u8]) -> Option<u64> {
        match self.plain() {
            Plain::Table(dict) => Some(dict.hash(member)),
            Plain::Pack(_) => None,
        }
    }

    fn prefetch_member(&self, hash: u64, step: Step) {
        if let Plain::Table(dict) = self.plain() {
            dict.prefetch(hash, step);
        }
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self(Repr::Plain(Plain::Pack(Listpack::new())))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Hash {
    #[inline]
    fn plain(&self) -> &Plain {
        match &self.0 {
            Repr::Plain(plain) => plain,
            Repr::Timed(timed) => &timed.plain,
        }
    }

    #[inline]
    fn plain_mut(&mut self) -> &mut Plain {
        match &mut self.0 {
            Repr::Plain(plain) => plain,
            Repr::Timed(timed) => &mut timed.plain,
        }
    }

    /// Takes a listpack of pairs, such as one from an RDB file.
    ///
    /// # Errors
    /// If the pairs are not whole, or a field is there twice; the latter is looked for only if
    /// `deep`, or if the hash is too large to stay a listpack.
    pub fn from_listpack(pack: Listpack, deep: bool, limits: &Limits) -> Result<Self, Unfit> {
        if !pack.len().is_multiple_of(2) {
            return Err(Unfit::Form);
        }
        if deep && !listpack::all_differ(pack.pairs().map(|(field, _)| field)) {
            return Err(Unfit::Duplicate);
        }
        let mut hash = Self(Repr::Plain(Plain::Pack(pack)));
        let count = hash.len();
        if count > limits.hash_max_listpack_entries {
            hash.become_table();
        }
        if hash.len() == count { Ok(hash) } else { Err(Unfit::Duplicate) }
    }

    /// The listpack, if the hash is in that encoding; it doesn't hold the fields' deadlines.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match self.plain() {
            Plain::Pack(pack) => Some(pack),
            Plain::Table(_) => None,
        }
    }

    /// The name of the encoding.
    pub fn encoding(&self) -> &'static str {
        match (self.plain(), &self.0) {
            (Plain::Pack(_), Repr::Plain(_)) => "listpack",
            (Plain::Pack(_), Repr::Timed(_)) => "listpackex",
            (Plain::Table(_), _) => "hashtable",
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match self.plain() {
            Plain::Pack(pack) => pack.len() / 2,
            Plain::Table(table) => table.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap; of a table, by the mean of a few pairs.
    pub fn heap_bytes(&self) -> usize {
        let plain = match self.plain() {
            Plain::Pack(pack) => pack.capacity(),
            Plain::Table(table) => {
                table.heap_bytes() + sample::estimate(table.len(), table.iter(), Pair::heap_bytes)
            }
        };
        plain
            + match &self.0 {
                Repr::Plain(_) => 0,
                Repr::Timed(timed) => size_of::<Timed>() + timed.deadlines.heap_bytes(),
            }
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<Element<'_>> {
        match self.plain() {
            Plain::Pack(pack) => pack.find_pair(field).map(|(_, value)| pack.get(value)),
            Plain::Table(table) => table.get(field).map(|pair| Element::Str(pair.value())),
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets a field, which has no deadline then; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        self.clear_deadline(field);
        self.set_value(field, value, limits)
    }

    /// Sets a field, which keeps its deadline; says whether it is new.
    pub fn set_value(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Plain::Pack(pack) = self.plain_mut() {
            if fits(pack, field, value, limits) {
                let new = set_in_pack(pack, field, value);
                if pack.len() / 2 > limits.hash_max_listpack_entries {
                    self.become_table();
                }
                return new;
            }
            self.become_table();
        }
        match self.plain_mut() {
            Plain::Table(table) => table.insert(Pair::new(field, value)).is_none(),
            Plain::Pack(pack) => set_in_pack(pack, field, value),
        }
    }

    /// Prepares for setting the fields and values `texts`: becomes a table at once if they won't
    /// fit a listpack, as Redis does even where fields repeat.
    pub fn expect<'a>(
        &mut self,
        mut texts: impl ExactSizeIterator<Item = &'a [u8]>,
        limits: &Limits,
    ) {
        if matches!(self.plain(), Plain::Pack(_))
            && (texts.len() / 2 > limits.hash_max_listpack_entries
                || texts.any(|text| text.len() > limits.hash_max_listpack_value))
        {
            self.become_table();
        }
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        self.clear_deadline(field);
        match self.plain_mut() {
            Plain::Pack(pack) => {
                let found = pack.find_pair(field);
                if let Some((at, _)) = found {
                    pack.remove_pair(at);
                }
                found.is_some()
            }
            Plain::Table(table) => table.remove(field).is_some(),
        }
    }

    /// All fields with their values.
    pub fn iter(&self) -> Iter<'_> {
        match self.plain() {
            Plain::Pack(pack) => Iter::Pack(pack.iter(), self.len()),
            Plain::Table(table) => Iter::Table(table.iter()),
        }
    }

    /// Passes about `count` pairs from `cursor` on, and returns the cursor to go on with; a
    /// listpack is passed whole. See [`Dict::scan`].
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        mut emit: impl FnMut(Element<'_>, Element<'_>),
    ) -> u64 {
        match self.plain() {
            Plain::Pack(pack) => {
                pack.pairs().for_each(|(field, value)| emit(field, value));
                0
            }
            Plain::Table(table) => table.scan(cursor, count, |pair| {
                emit(Element::Str(pair.field()), Element::Str(pair.value()));
            }),
        }
    }

    /// A pair, each as likely as any other.
    pub fn random(&self, rng: &mut Rng) -> Option<(Element<'_>, Element<'_>)> {
        match self.plain() {
            Plain::Pack(pack) => {
                let index = rng.usize(..self.len().max(1)) * 2;
                let field = pack.seek(i64::try_from(index).ok()?)?;
                Some((pack.get(field), pack.get(pack.next(field)?)))
            }
            Plain::Table(table) => table.random(rng).map(Pair::elements),
        }
    }

    /// Passes `n` different pairs, or all if there are no more; any choice is as likely.
    pub fn random_distinct(
        &self,
        n: usize,
        rng: &mut Rng,
        mut emit: impl FnMut(Element<'_>, Element<'_>),
    ) {
        match self.plain() {
            Plain::Pack(_) => {
                sample::choose(self.iter(), n, rng, |(field, value)| emit(field, value));
            }
            Plain::Table(table) => sample::choose_from_table(table, n, rng, |pair| {
                emit(Element::Str(pair.field()), Element::Str(pair.value()));
            }),
        }
    }

    // ---- deadlines --------------------------------------------------------------------------

    /// Number of fields that have a deadline.
    pub fn volatile_len(&self) -> usize {
        self.deadlines().map_or(0, ZSet::len)
    }

    /// When a field is due, in Unix milliseconds, if it is there and has a deadline.
    pub fn deadline(&self, field: &[u8]) -> Option<i64> {
        self.deadlines()?.score(field).map(|at| at as i64)
    }

    /// The earliest deadline.
    #[inline]
    pub fn next_deadline(&self) -> Option<i64> {
        let deadlines = self.deadlines()?;
        let mut first = None;
        deadlines.walk(0..1, false, |_, at| {
            first = Some(at as i64);
            false
        });
        first
    }

    /// Gives a field that is there a deadline in Unix milliseconds, from 0 to [`MAX_DEADLINE`].
    pub fn set_deadline(&mut self, field: &[u8], at: i64, limits: &Limits) {
        if let Repr::Plain(plain) = &mut self.0 {
            let plain = std::mem::replace(plain, Plain::Pack(Listpack::new()));
            self.0 = Repr::Timed(Box::new(Timed { plain, deadlines: ZSet::default() }));
        }
        if let Repr::Timed(timed) = &mut self.0 {
            timed.deadlines.set(field, at as f64, limits);
        }
    }

    /// Takes a field's deadline away; says whether it had one.
    #[inline]
    pub fn clear_deadline(&mut self, field: &[u8]) -> bool {
        let Repr::Timed(timed) = &mut self.0 else { return false };
        let had = timed.deadlines.remove(field).is_some();
        if timed.deadlines.is_empty() {
            let plain = std::mem::replace(&mut timed.plain, Plain::Pack(Listpack::new()));
            self.0 = Repr::Plain(plain);
        }
        had
    }

    /// The fields whose deadline is before `now_ms`, the earliest first; at most `most`.
    pub fn due(&self, now_ms: i64, most: usize) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        if let Some(deadlines) = self.deadlines() {
            deadlines.walk(0..most, false, |field, at| {
                let is_due = (at as i64) < now_ms;
                if is_due {
                    due.push(field.to_vec());
                }
                is_due
            });
        }
        due
    }

    /// All fields that have deadlines, the earliest first.
    pub fn for_each_deadline(&self, mut f: impl FnMut(&[u8], i64)) {
        if let Some(deadlines) = self.deadlines() {
            deadlines.for_each(|field, at| f(field, at as i64));
        }
    }

    fn deadlines(&self) -> Option<&ZSet> {
        match &self.0 {
            Repr::Plain(_) => None,
            Repr::Timed(timed) => Some(&timed.deadlines),
        }
    }

    fn become_table(&mut self) {
        let Plain::Pack(pack) = self.plain() else { return };
        let (a, b) = seed::hash_seed();
        let mut table = Dict::new(Seed(a, b));
        let mut digits = Default::default();
        for (field, value) in pack.pairs() {
            let field = field.to_vec();
            table.insert(Pair::new(&field, value.as_bytes(&mut digits)));
        }
        *self.plain_mut() = Plain::Table(Box::new(table));
    }
}

/// Whether a listpack may take a pair of these sizes.
fn fits(pack: &Listpack, field: &[u8], value: &[u8], limits: &Limits) -> bool {
    field.len().max(value.len()) <= limits.hash_max_listpack_value
        && pack.fits(field.len() + value.len() + 32, listpack::MAX_BYTES)
}

fn set_in_pack(pack: &mut Listpack, field: &[u8], value: &[u8]) -> bool {
    match pack.find_pair(field) {
        Some((_, at)) => {
            pack.replace(at, value);
            false
        }
        None => {
            pack.push_pair(field, value);
            true
        }
    }
}

/// The fields of a [`Hash`] with their values.
pub enum Iter<'a> {
    /// Of a listpack, with the number of those to come.
    #[doc(hidden)]
    Pack(listpack::Iter<'a>, usize),
    /// Of a table.
    #[doc(hidden)]
    Table(dict::Iter<'a, Pair>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Pack(iter, left) => {
                let pair = (iter.next()?, iter.next()?);
                *left -= 1;
                Some(pair)
            }
            Self::Table(iter) => iter.next().map(Pair::elements),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self {
            Self::Pack(_, left) => *left,
            Self::Table(iter) => iter.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    const LIMITS: Limits = Limits {
        hash_max_listpack_entries: 8,
        hash_max_listpack_value: 6,
        list_max_listpack_size: -2,
        set_max_intset_entries: 8,
        set_max_listpack_entries: 8,
        set_max_listpack_value: 6,
        zset_max_listpack_entries: 8,
        zset_max_listpack_value: 6,
        ..Limits::DEFAULT
    };

    fn contents(hash: &Hash) -> Model {
        hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect()
    }

    fn scanned(hash: &Hash) -> Model {
        let (mut seen, mut cursor) = (Model::new(), 0);
        loop {
            cursor = hash.scan(cursor, 3, |field, value| {
                seen.insert(field.to_vec(), value.to_vec());
            });
            if cursor == 0 {
                return seen;
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Set(Vec<u8>, Vec<u8>),
        SetValue(Vec<u8>, Vec<u8>),
        SetDeadline(Vec<u8>, i64),
        ClearDeadline(Vec<u8>),
        Remove(Vec<u8>),
        Snapshot,
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => (0..30i64).prop_map(|n| n.to_string().into_bytes()),
            3 => "[a-c]{0,3}".prop_map(String::into_bytes),
            1 => "[a-c]{7}".prop_map(String::into_bytes),
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (text(), text()).prop_map(|(field, value)| Op::Set(field, value)),
            2 => (text(), text()).prop_map(|(field, value)| Op::SetValue(field, value)),
            4 => (text(), 0..=MAX_DEADLINE).prop_map(|(field, at)| Op::SetDeadline(field, at)),
            1 => text().prop_map(Op::ClearDeadline),
            3 => text().prop_map(Op::Remove),
            1 => Just(Op::Snapshot),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_map_does(ops in proptest::collection::vec(op(), 0..120)) {
            let (mut hash, mut model) = (Hash::default(), Model::new());
            let mut deadlines = BTreeMap::<Vec<u8>, i64>::new();
            let mut held: Vec<(Hash, Model)> = Vec::new();
            for op in ops {
                match op {
                    Op::Set(field, value) => {
                        let new = hash.set(&field, &value, &LIMITS);
                        deadlines.remove(&field);
                        prop_assert_eq!(new, model.insert(field, value).is_none());
                    }
                    Op::SetDeadline(field, at) if model.contains_key(&field) => {
                        hash.set_deadline(&field, at, &LIMITS);
                        deadlines.insert(field, at);
                    }
                    Op::SetDeadline(..) => {}
                    Op::ClearDeadline(field) => {
                        let had = deadlines.remove(&field).is_some();
                        prop_assert_eq!(hash.clear_deadline(&field), had);
                    }
                    Op::SetValue(field, value) => {
                        let new = hash.set_value(&field, &value, &LIMITS);
                        prop_assert_eq!(new, model.insert(field, value).is_none());
                    }
                    Op::Remove(field) => {
                        deadlines.remove(&field);
                        prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some());
                    }
                    Op::Snapshot => held.push((hash.clone(), model.clone())),
                }
                prop_assert_eq!(hash.len(), model.len());
                prop_assert_eq!(hash.volatile_len(), deadlines.len());
                prop_assert_eq!(hash.next_deadline(), deadlines.values().min().copied());
                for field in model.keys() {
                    prop_assert_eq!(hash.deadline(field), deadlines.get(field).copied());
                }
                let middle = MAX_DEADLINE / 2;
                let mut due: Vec<_> = deadlines.iter().filter(|(_, at)| **at < middle).collect();
                due.sort_by_key(|(field, at)| (**at, *field));
                let due: Vec<_> = due.into_iter().take(3).map(|(field, _)| field.clone()).collect();
                prop_assert_eq!(hash.due(middle, 3), due);
            }
            held.push((hash, model));
            for (hash, model) in held {
                prop_assert_eq!(&contents(&hash), &model);
                prop_assert_eq!(&scanned(&hash), &model);
                for (field, value) in &model {
                    prop_assert!(hash.get(field).is_some_and(|found| found.eq_bytes(value)));
                }
                let (mut drawn, mut rng) = (Model::new(), fastrand::Rng::with_seed(3));
                hash.random_distinct(5, &mut rng, |field, value| {
                    drawn.insert(field.to_vec(), value.to_vec());
                });
                prop_assert_eq!(drawn.len(), model.len().min(5));
                prop_assert!(drawn.iter().all(|(field, value)| model.get(field) == Some(value)));
                prop_assert_eq!(hash.random(&mut rng).is_none(), model.is_empty());
            }
        }
    }

    #[test]
    fn becomes_a_table_by_count_and_by_length() {
        let mut hash = Hash::default();
        for i in 0..8 {
            hash.set(i.to_string().as_bytes(), b"v", &LIMITS);
        }
        assert_eq!(hash.encoding(), "listpack");
        hash.set(b"0", b"123456", &LIMITS);
        assert_eq!(hash.encoding(), "listpack");
        hash.set(b"8", b"v", &LIMITS);
        assert_eq!(hash.encoding(), "hashtable");
        let mut long = Hash::default();
        long.set(b"f", b"1234567", &LIMITS);
        assert_eq!(long.encoding(), "hashtable");
        let mut many = Hash::default();
        many.expect([&b"a"[..]; 18].into_iter(), &LIMITS);
        assert_eq!(many.encoding(), "hashtable");
    }

    #[test]
    fn refuses_listpacks_that_are_no_hash() {
        let load = |texts: &[&[u8]], deep| {
            Hash::from_listpack(texts.iter().copied().collect::<Listpack>(), deep, &LIMITS)
        };
        assert!(load(&[b"a", b"1", b"b", b"1"], true).is_ok());
        assert_eq!(load(&[b"a", b"1", b"b"], false).err(), Some(Unfit::Form));
        assert_eq!(load(&[b"a", b"1", b"a", b"2"], true).err(), Some(Unfit::Duplicate));
        assert!(load(&[b"a", b"1", b"a", b"2"], false).is_ok());
        assert_eq!(load(&[&b"a"[..]; 18], false).err(), Some(Unfit::Duplicate));
    }
}
