//! Sets: members in an intset while all are integers, in a listpack while small, else in a table.
//!
//! Owns the three encodings and when one becomes another, as Redis 7.2 has it. Never goes back to
//! a smaller encoding.

use fastrand::Rng;
use triomphe::ThinArc;

use super::prefetch::Prefetch;
use super::sample;
use super::{Limits, Unfit};
use crate::ds::dict::{self, Dict, Keyed, Seed, Step};
use crate::ds::intset::Intset;
use crate::ds::listpack::{self, Element, Listpack};
use crate::util::num::{IntBuf, sdigits10};
use crate::util::prefetch::prefetch;
use crate::util::seed;

/// Redis's bound on the size of an intset, whatever the configuration says.
const INTSET_MAX: usize = 1 << 30;
/// Most bytes that an integer takes in a listpack.
const PACKED_INT_MAX: usize = 11;

/// A member in a table. Cloning shares.
#[derive(Clone)]
pub struct Member(ThinArc<(), u8>);

impl Member {
    fn new(text: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice((), text))
    }

    /// Bytes of the allocation: reference count, length, text.
    fn heap_bytes(&self) -> usize {
        2 * size_of::<usize>() + self.0.slice.len()
    }
}

impl Keyed for Member {
    #[inline]
    fn key(&self) -> &[u8] {
        &self.0.slice
    }

    fn prefetch(&self) {
        prefetch(&self.0.header);
    }
}

#[derive(Clone)]
enum Repr {
    Ints(Intset),
    Pack(Listpack),
    Table(Box<Dict<Member>>),
}

/// A set of texts.
#[derive(Clone)]
pub struct Set(Repr);

impl Prefetch for Set {
    fn prefetch_body(&self) {
        match &self.0 {
            Repr::Ints(ints) => ints.prefetch(),
            Repr::Pack(pack) => pack.prefetch(),
            Repr::Table(dict) => prefetch::<Dict<Member>>(dict),
        }
    }

    fn member_hash(&self, member: &[u8]) -> Option<u64> {
        match &self.0 {
            Repr::Table(dict) => Some(dict.hash(member)),
            _ => None,
        }
    }

    fn prefetch_member(&self, hash: u64, step: Step) {
        if let Repr::Table(dict) = &self.0 {
            dict.prefetch(hash, step);
        }
    }
}

impl Default for Set {
    fn default() -> Self {
        Self(Repr::Ints(Intset::new()))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl From<Intset> for Set {
    fn from(ints: Intset) -> Self {
        Self(Repr::Ints(ints))
    }
}

impl Set {
    /// An empty set that is a table from the start: for results that are only read.
    pub fn new_table() -> Self {
        let (a, b) = seed::hash_seed();
        Self(Repr::Table(Box::new(Dict::new(Seed(a, b)))))
    }

    /// Takes a listpack, such as one from an RDB file.
    ///
    /// # Errors
    /// If a member is there twice, which is looked for only if `deep`, or if the set is too large to
    /// stay a listpack.
    pub fn from_listpack(pack: Listpack, deep: bool, limits: &Limits) -> Result<Self, Unfit> {
        if deep && !listpack::all_differ(pack.iter()) {
            return Err(Unfit::Duplicate);
        }
        let mut set = Self(Repr::Pack(pack));
        let count = set.len();
        if count > limits.set_max_listpack_entries {
            set.become_table();
        }
        if set.len() == count { Ok(set) } else { Err(Unfit::Duplicate) }
    }

    /// Takes an intset, such as one from an RDB file.
    pub fn from_intset(ints: Intset, limits: &Limits) -> Self {
        let mut set = Self(Repr::Ints(ints));
        if set.len() > limits.set_max_intset_entries.min(INTSET_MAX) {
            set.become_table();
        }
        set
    }

    /// The intset, if the set is in that encoding.
    pub fn as_intset(&self) -> Option<&Intset> {
        if let Repr::Ints(ints) = &self.0 { Some(ints) } else { None }
    }

    /// The listpack, if the set is in that encoding.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        if let Repr::Pack(pack) = &self.0 { Some(pack) } else { None }
    }

    /// The name of the encoding.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Ints(_) => "intset",
            Repr::Pack(_) => "listpack",
            Repr::Table(_) => "hashtable",
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.len(),
            Repr::Pack(pack) => pack.len(),
            Repr::Table(table) => table.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap; of a table, by the mean of a few members.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.capacity(),
            Repr::Pack(pack) => pack.capacity(),
            Repr::Table(table) => {
                table.heap_bytes() + sample::estimate(table.len(), table.iter(), Member::heap_bytes)
            }
        }
    }

    /// Whether `member` is in the set.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Repr::Ints(ints) => {
                Element::classify(member).as_int().is_some_and(|value| ints.contains(value))
            }
            Repr::Pack(pack) => find_in_pack(pack, member).is_some(),
            Repr::Table(table) => table.contains(member),
        }
    }

    /// As [`contains`](Self::contains), for a member of another set.
    pub fn contains_element(&self, member: Element<'_>) -> bool {
        match &self.0 {
            Repr::Ints(ints) => member.as_int().is_some_and(|value| ints.contains(value)),
            _ => self.contains(member.as_bytes(&mut IntBuf::new())),
        }
    }

    /// Prepares for adding `count` members, of which `first` is one: becomes a table at once if
    /// they won't fit, and chooses the encoding of an empty set, as Redis does even where members
    /// repeat.
    pub fn expect(&mut self, first: &[u8], count: usize, limits: &Limits) {
        let (ints_fit, pack_fits) = (
            count <= limits.set_max_intset_entries.min(INTSET_MAX),
            count <= limits.set_max_listpack_entries,
        );
        match &self.0 {
            Repr::Ints(ints) if ints.is_empty() => {
                let stays = ints_fit && Element::classify(first).as_int().is_some();
                match (stays, pack_fits) {
                    (true, _) => {}
                    (false, true) => self.0 = Repr::Pack(Listpack::new()),
                    (false, false) => *self = Self::new_table(),
                }
            }
            Repr::Ints(_) if !ints_fit => {
                self.become_table();
            }
            Repr::Pack(_) if !pack_fits => {
                self.become_table();
            }
            _ => {}
        }
    }

    /// Adds a member; says whether it is new.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        match &mut self.0 {
            Repr::Table(table) => add_to_table(table, member),
            Repr::Ints(ints) => match Element::classify(member) {
                Element::Int(value) => {
                    let new = ints.insert(value);
                    if ints.len() > limits.set_max_intset_entries.min(INTSET_MAX) {
                        self.become_table();
                    }
                    new
                }
                Element::Str(_) => {
                    if !ints_fit_pack(ints, limits) || !self.add_to_pack(member, limits) {
                        add_to_table(self.become_table(), member);
                    }
                    true
                }
            },
            Repr::Pack(pack) => {
                if find_in_pack(pack, member).is_some() {
                    return false;
                }
                if !self.add_to_pack(member, limits) {
                    add_to_table(self.become_table(), member);
                }
                true
            }
        }
    }

    /// As [`add`](Self::add), for a member of another set.
    pub fn add_element(&mut self, member: Element<'_>, limits: &Limits) -> bool {
        self.add(member.as_bytes(&mut IntBuf::new()), limits)
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Ints(ints) => {
                Element::classify(member).as_int().is_some_and(|value| ints.remove(value))
            }
            Repr::Pack(pack) => {
                let found = find_in_pack(pack, member);
                if let Some(at) = found {
                    pack.remove(at);
                }
                found.is_some()
            }
            Repr::Table(table) => table.remove(member).is_some(),
        }
    }

    /// All members.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Repr::Ints(ints) => Iter::Ints(ints, 0),
            Repr::Pack(pack) => Iter::Pack(pack.iter(), pack.len()),
            Repr::Table(table) => Iter::Table(table.iter()),
        }
    }

    /// Passes about `count` members from `cursor` on, and returns the cursor to go on with; small
    /// encodings are passed whole. See [`Dict::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut emit: impl FnMut(Element<'_>)) -> u64 {
        match &self.0 {
            Repr::Table(table) => {
                table.scan(cursor, count, |member| emit(Element::Str(member.key())))
            }
            _ => {
                self.iter().for_each(emit);
                0
            }
        }
    }

    /// A member, each as likely as any other.
    pub fn random(&self, rng: &mut Rng) -> Option<Element<'_>> {
        match &self.0 {
            Repr::Ints(ints) => ints.random(rng).map(Element::Int),
            Repr::Pack(pack) => {
                let index = rng.usize(..pack.len().max(1));
                pack.get_at(i64::try_from(index).ok()?)
            }
            Repr::Table(table) => table.random(rng).map(|member| Element::Str(member.key())),
        }
    }

    /// Passes `n` different members, or all if there are no more; any choice is as likely.
    pub fn random_distinct(&self, n: usize, rng: &mut Rng, mut emit: impl FnMut(Element<'_>)) {
        match &self.0 {
            Repr::Table(table) => sample::choose_from_table(table, n, rng, |member| {
                emit(Element::Str(member.key()));
            }),
            _ if n == 1 => self.random(rng).into_iter().for_each(emit),
            _ => sample::choose(self.iter(), n, rng, emit),
        }
    }

    /// Adds a member that is not there, as an entry of a listpack, if the limits let it; says
    /// whether they do.
    fn add_to_pack(&mut self, member: &[u8], limits: &Limits) -> bool {
        let room = self.len() < limits.set_max_listpack_entries;
        if !room || member.len() > limits.set_max_listpack_value {
            return false;
        }
        if let Repr::Ints(ints) = &self.0 {
            self.0 = Repr::Pack(ints.iter().collect());
        }
        let Repr::Pack(pack) = &mut self.0 else { return false };
        let safe = pack.fits(member.len() + PACKED_INT_MAX, listpack::MAX_BYTES);
        if safe {
            pack.push_back(member);
        }
        safe
    }

    fn become_table(&mut self) -> &mut Dict<Member> {
        if !matches!(self.0, Repr::Table(_)) {
            let mut table = Self::new_table();
            if let Repr::Table(table) = &mut table.0 {
                let mut digits = IntBuf::new();
                for member in self.iter() {
                    table.insert(Member::new(member.as_bytes(&mut digits)));
                }
            }
            *self = table;
        }
        match &mut self.0 {
            Repr::Table(table) => table,
            _ => unreachable!("the set has just become a table"),
        }
    }
}

fn add_to_table(table: &mut Dict<Member>, member: &[u8]) -> bool {
    let hash = table.hash(member);
    let new = table.get_hashed(hash, member).is_none();
    if new {
        table.insert_hashed(hash, Member::new(member));
    }
    new
}

fn find_in_pack(pack: &Listpack, member: &[u8]) -> Option<listpack::Pos> {
    pack.find(pack.first()?, member, 0)
}

/// Whether the integers of an intset are short and few enough for a listpack.
fn ints_fit_pack(ints: &Intset, limits: &Limits) -> bool {
    let ends = [ints.min(), ints.max()];
    let longest = ends.into_iter().flatten().map(sdigits10).max().unwrap_or(0);
    longest <= limits.set_max_listpack_value
        && ints.len().saturating_mul(PACKED_INT_MAX) < listpack::MAX_BYTES
}

/// The members of a [`Set`].
pub enum Iter<'a> {
    /// Of an intset, with the next one's index.
    #[doc(hidden)]
    Ints(&'a Intset, usize),
    /// Of a listpack, with the number of those to come.
    #[doc(hidden)]
    Pack(listpack::Iter<'a>, usize),
    /// Of a table.
    #[doc(hidden)]
    Table(dict::Iter<'a, Member>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Ints(ints, index) => {
                let value = ints.get(*index)?;
                *index += 1;
                Some(Element::Int(value))
            }
            Self::Pack(iter, left) => {
                let member = iter.next()?;
                *left -= 1;
                Some(member)
            }
            Self::Table(iter) => iter.next().map(|member| Element::Str(member.key())),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self {
            Self::Ints(ints, index) => ints.len() - index,
            Self::Pack(_, left) => *left,
            Self::Table(iter) => iter.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeSet<Vec<u8>>;

    fn limits(listpack_entries: usize) -> Limits {
        Limits {
            set_max_intset_entries: 8,
            set_max_listpack_entries: listpack_entries,
            set_max_listpack_value: 6,
            ..Limits::default()
        }
    }

    fn scanned(set: &Set) -> Model {
        let (mut seen, mut cursor) = (Model::new(), 0);
        loop {
            cursor = set.scan(cursor, 3, |member| {
                seen.insert(member.to_vec());
            });
            if cursor == 0 {
                return seen;
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Add(Vec<u8>),
        Remove(Vec<u8>),
        Snapshot,
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            10 => (-9..20i64).prop_map(|n| n.to_string().into_bytes()),
            3 => "[a-c]{0,3}".prop_map(String::into_bytes),
            1 => "[a-c]{7}".prop_map(String::into_bytes),
            1 => Just(b"007".to_vec()),
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => text().prop_map(Op::Add),
            3 => text().prop_map(Op::Remove),
            1 => Just(Op::Snapshot),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_set_does(
            ops in proptest::collection::vec(op(), 0..120),
            listpack_entries in 0..12usize,
        ) {
            let limits = limits(listpack_entries);
            let (mut set, mut model) = (Set::default(), Model::new());
            let mut held: Vec<(Set, Model)> = Vec::new();
            for op in ops {
                match op {
                    Op::Add(member) => {
                        prop_assert_eq!(set.add(&member, &limits), model.insert(member));
                    }
                    Op::Remove(member) => {
                        prop_assert_eq!(set.remove(&member), model.remove(&member));
                    }
                    Op::Snapshot => held.push((set.clone(), model.clone())),
                }
                prop_assert_eq!(set.len(), model.len());
            }
            held.push((set, model));
            for (set, model) in held {
                let members: Model = set.iter().map(|member| member.to_vec()).collect();
                prop_assert_eq!(&members, &model);
                prop_assert_eq!(&scanned(&set), &model);
                prop_assert!(model.iter().all(|member| set.contains(member)));
                prop_assert!(set.iter().all(|member| set.contains_element(member)));
                let (mut drawn, mut rng) = (Model::new(), fastrand::Rng::with_seed(3));
                set.random_distinct(5, &mut rng, |member| {
                    drawn.insert(member.to_vec());
                });
                prop_assert_eq!(drawn.len(), model.len().min(5));
                prop_assert!(drawn.is_subset(&model));
                prop_assert_eq!(set.random(&mut rng).is_none(), model.is_empty());
            }
        }
    }

    fn encoding_of(members: &[&str], limits: &Limits) -> &'static str {
        let mut set = Set::default();
        members.iter().for_each(|member| {
            set.add(member.as_bytes(), limits);
        });
        set.encoding()
    }

    #[test]
    fn converts_as_redis_does() {
        let (new, old) = (limits(8), limits(0));
        let numbers = ["1", "2", "3", "4", "5", "6", "7", "8"];
        assert_eq!(encoding_of(&numbers, &new), "intset");
        assert_eq!(encoding_of(&["1", "a"], &new), "listpack");
        assert_eq!(encoding_of(&["1", "a"], &old), "hashtable");
        assert_eq!(encoding_of(&["1", "longest"], &new), "hashtable");
        assert_eq!(encoding_of(&["1234567", "a"], &new), "hashtable");
        assert_eq!(encoding_of(&[&numbers[..], &["9"]].concat(), &new), "hashtable");
        assert_eq!(encoding_of(&[&numbers[..], &["a"]].concat(), &new), "hashtable");
        assert_eq!(encoding_of(&[&["a"], &numbers[..7]].concat(), &new), "listpack");
        assert_eq!(encoding_of(&[&["a"], &numbers[..]].concat(), &new), "hashtable");
    }

    #[test]
    fn chooses_its_encoding_by_what_is_to_come() {
        let expecting = |first: &[u8], count, limits| {
            let mut set = Set::default();
            set.expect(first, count, &limits);
            set.encoding()
        };
        assert_eq!(expecting(b"1", 8, limits(4)), "intset");
        assert_eq!(expecting(b"1", 9, limits(4)), "hashtable");
        assert_eq!(expecting(b"1", 9, limits(20)), "listpack");
        assert_eq!(expecting(b"a", 4, limits(4)), "listpack");
        assert_eq!(expecting(b"a", 5, limits(4)), "hashtable");
        assert_eq!(expecting(b"a", 1, limits(0)), "hashtable");
    }

    #[test]
    fn draws_members_of_a_table_evenly() {
        let (mut set, mut rng) = (Set::new_table(), fastrand::Rng::with_seed(5));
        (0..100).for_each(|i| {
            set.add(format!("m{i}").as_bytes(), &limits(0));
        });
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..2_000 {
            set.random_distinct(10, &mut rng, |member| {
                *counts.entry(member.to_vec()).or_insert(0u32) += 1;
            });
        }
        assert_eq!(counts.len(), 100);
        assert!(counts.values().all(|count| (130..280).contains(count)), "{counts:?}");
    }
}
