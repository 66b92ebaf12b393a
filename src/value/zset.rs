//! Sorted sets: a listpack of members and scores while small, a table and a tree beyond.
//!
//! Owns both encodings, their order (score, then member bytes) and when one becomes the other. All
//! ranges come down to ranks: a bound is a count of the members before it. Knows neither keys nor
//! clients. Scores are never NaN.

use std::cmp::Ordering;
use std::ops::Range;

use fastrand::Rng;
use triomphe::{Arc, ThinArc};

use super::prefetch::Prefetch;
use super::{Limits, Unfit, sample};
use crate::ds::dict::{Dict, Keyed, Seed, Step};
use crate::ds::listpack::{self, Element, Listpack, MAX_BYTES, Pos};
use crate::ds::tree::{Item, Probe, Tree};
use crate::util::num::{self, IntBuf};
use crate::util::prefetch::prefetch;
use crate::util::seed;

/// A member and its score, in one allocation that never changes while it is shared.
#[derive(Debug, Clone)]
struct Member(ThinArc<f64, u8>);

impl Member {
    fn new(member: &[u8], score: f64) -> Self {
        Self(ThinArc::from_header_and_slice(score, member))
    }

    fn score(&self) -> f64 {
        self.0.header.header
    }

    /// Gives it another score: in its place if nobody else holds it.
    fn set_score(&mut self, score: f64) {
        let changed = self.0.with_arc_mut(|arc| {
            Arc::get_mut(arc).map(|inner| *inner.header_mut() = score).is_some()
        });
        if !changed {
            *self = Self::new(self.key(), score);
        }
    }
}

impl Keyed for Member {
    fn key(&self) -> &[u8] {
        &self.0.slice
    }

    fn prefetch(&self) {
        prefetch(&self.0.header);
    }
}

/// A member in order: the score stands beside the handle, so that most comparisons end there.
#[derive(Debug, Clone)]
struct Scored {
    score: f64,
    member: Member,
}

impl Item for Scored {
    type Key = Self;

    fn key(&self) -> Self {
        self.clone()
    }
}

/// The order of a member relative to another one. Most are told apart by their scores: `member` is
/// asked for only if these are equal, for it may have to be fetched from memory.
#[inline]
fn order<'a>(
    score: f64,
    member: impl FnOnce() -> &'a [u8],
    to_score: f64,
    to_member: &[u8],
) -> Ordering {
    // Without a branch: in a search the answer is as likely one as the other.
    let scores = u8::from(score > to_score).cmp(&u8::from(score < to_score));
    scores.then_with(|| member().cmp(to_member))
}

/// Finds one member with its score.
struct Exactly<'a>(f64, &'a [u8]);

impl Probe<Scored> for Exactly<'_> {
    fn item(&self, item: &Scored) -> Ordering {
        order(item.score, || item.member.key(), self.0, self.1)
    }

    fn key(&self, key: &Scored) -> Ordering {
        self.item(key)
    }
}

/// Finds the boundary after the members that a predicate holds for.
struct Boundary<F>(F);

impl<F: Fn(f64, &[u8]) -> bool> Probe<Scored> for Boundary<F> {
    fn item(&self, item: &Scored) -> Ordering {
        match (self.0)(item.score, item.member.key()) {
            true => Ordering::Less,
            false => Ordering::Greater,
        }
    }

    fn key(&self, key: &Scored) -> Ordering {
        self.item(key)
    }
}

#[derive(Clone)]
struct Large {
    dict: Dict<Member>,
    tree: Tree<Scored>,
    /// Bytes of all members.
    member_bytes: usize,
}

impl std::fmt::Debug for Large {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Large").field("len", &self.tree.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Repr {
    Packed(Listpack),
    Large(Box<Large>),
}

/// A sorted set.
#[derive(Debug, Clone)]
pub struct ZSet(Repr);

impl Prefetch for ZSet {
    fn prefetch_body(&self) {
        match &self.0 {
            Repr::Packed(pack) => pack.prefetch(),
            Repr::Large(large) => prefetch::<Large>(large),
        }
    }

    fn member_hash(&self, member: &[u8]) -> Option<u64> {
        match &self.0 {
            Repr::Large(large) => Some(large.dict.hash(member)),
            _ => None,
        }
    }

    fn prefetch_member(&self, hash: u64, step: Step) {
        if let Repr::Large(large) = &self.0 {
            large.dict.prefetch(hash, step);
        }
    }
}

impl Default for ZSet {
    fn default() -> Self {
        Self(Repr::Packed(Listpack::new()))
    }
}

impl ZSet {
    /// The name that `OBJECT ENCODING` replies.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Packed(_) => "listpack",
            Repr::Large(_) => "skiplist",
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Packed(pack) => pack.len() / 2,
            Repr::Large(large) => large.tree.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap, estimated.
    pub fn heap_bytes(&self) -> usize {
        /// Count, length and score beside a member's bytes.
        const MEMBER_OVERHEAD: usize = 24;
        match &self.0 {
            Repr::Packed(pack) => pack.capacity(),
            Repr::Large(large) => {
                let members = large.member_bytes + large.tree.len() * MEMBER_OVERHEAD;
                size_of::<Large>() + large.dict.heap_bytes() + large.tree.heap_bytes() + members
            }
        }
    }

    /// Takes a listpack of members and scores, such as one from an RDB file.
    ///
    /// # Errors
    /// If the pairs are not whole, a score is no number, or a member is there twice; the latter is
    /// looked for only if `deep`, or if the set can't stay the listpack that it is.
    pub fn from_listpack(pack: Listpack, deep: bool, limits: &Limits) -> Result<Self, Unfit> {
        if !pack.len().is_multiple_of(2) {
            return Err(Unfit::Form);
        }
        if deep && !listpack::all_differ(pack.pairs().map(|(member, _)| member)) {
            return Err(Unfit::Duplicate);
        }
        let count = pack.len() / 2;
        let (mut buf, mut last, mut sorted) =
            (IntBuf::new(), (f64::NEG_INFINITY, Vec::new()), true);
        for (member, score) in pack.pairs() {
            let score = checked_score(score).ok_or(Unfit::Form)?;
            let member = member.as_bytes(&mut buf);
            sorted &= order(last.0, || &last.1, score, member).is_le();
            last.0 = score;
            last.1.clear();
            last.1.extend_from_slice(member);
        }
        let mut set = Self(Repr::Packed(Listpack::new()));
        if sorted {
            set.0 = Repr::Packed(pack);
        } else {
            for (member, score) in pack.pairs() {
                set.set(member.as_bytes(&mut buf), read_score(score), limits);
            }
        }
        if set.len() > limits.zset_max_listpack_entries {
            set.enlarge();
        }
        if set.len() == count { Ok(set) } else { Err(Unfit::Duplicate) }
    }

    /// Collects members that come in any order, each with its score, as an RDB file tells them;
    /// none if one is there twice.
    pub fn from_members(members: Vec<(Vec<u8>, f64)>, limits: &Limits) -> Option<Self> {
        let small = members.len() <= limits.zset_max_listpack_entries
            && members.iter().all(|(name, _)| name.len() <= limits.zset_max_listpack_value);
        let mut items: Vec<Scored> = (members.into_iter())
            .map(|(name, score)| Scored { score, member: Member::new(&name, score) })
            .collect();
        if items.first().zip(items.last()).is_some_and(|(first, last)| first.score > last.score) {
            items.reverse();
        }
        // Files have them in order or in reverse: the sort finds that out in one pass.
        items.sort_by(|a, b| order(a.score, || a.member.key(), b.score, b.member.key()));
        if small {
            let mut pack = Listpack::new();
            items.iter().for_each(|item| push_packed(&mut pack, item.member.key(), item.score));
            pack.shrink_to_fit();
            let unique = listpack::all_differ(pack.pairs().map(|(member, _)| member));
            return unique.then_some(Self(Repr::Packed(pack)));
        }
        let count = items.len();
        let set = Self(Repr::Large(Box::new(Large::from_sorted(items))));
        (set.len() == count).then_some(set)
    }

    /// The listpack, if the set is small.
    pub fn packed(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Packed(pack) => Some(pack),
            Repr::Large(_) => None,
        }
    }

    // ---- reading ----------------------------------------------------------------------------

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Repr::Packed(pack) => {
                let (_, score) = pack.find_pair(member)?;
                Some(read_score(pack.get(score)))
            }
            Repr::Large(large) => large.dict.get(member).map(Member::score),
        }
    }

    /// How many members come before this one.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.0 {
            Repr::Packed(pack) => pack.pairs().position(|(name, _)| name.eq_bytes(member)),
            Repr::Large(large) => {
                let score = large.dict.get(member)?.score();
                large.tree.rank_of(&Exactly(score, member))
            }
        }
    }

    /// How many members `is_before` holds for; it must hold for a first part of them, in order.
    pub fn count_before(&self, is_before: impl Fn(f64, &[u8]) -> bool) -> usize {
        match &self.0 {
            Repr::Packed(pack) => {
                let mut buf = IntBuf::new();
                let before = |(member, score): &(Element<'_>, Element<'_>)| {
                    is_before(read_score(*score), member.as_bytes(&mut buf))
                };
                pack.pairs().take_while(before).count()
            }
            Repr::Large(large) => large.tree.lower_bound(&Boundary(is_before)),
        }
    }

    /// Calls `f` with the members of these ranks, from the first or from the last, until it says
    /// `false`.
    pub fn walk(&self, ranks: Range<usize>, reverse: bool, mut f: impl FnMut(&[u8], f64) -> bool) {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks.is_empty() {
            return;
        }
        match &self.0 {
            Repr::Packed(pack) => walk_pack(pack, ranks, reverse, &mut f),
            Repr::Large(large) => {
                let mut visit = |item: &Scored| f(item.member.key(), item.score);
                let mut items = large.tree.iter_range(ranks);
                match reverse {
                    false => items.all(&mut visit),
                    true => items.rev().all(&mut visit),
                };
            }
        }
    }

    /// All members in order.
    pub fn for_each(&self, mut f: impl FnMut(&[u8], f64)) {
        self.walk(0..usize::MAX, false, |member, score| {
            f(member, score);
            true
        });
    }

    /// Iterates as ZSCAN does: `f` gets members from `cursor` on; returns the next cursor.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(&[u8], f64)) -> u64 {
        match &self.0 {
            Repr::Packed(_) => {
                self.for_each(f);
                0
            }
            Repr::Large(large) => {
                large.dict.scan(cursor, count, |member| f(member.key(), member.score()))
            }
        }
    }

    /// Calls `f` with a member, each as likely as any other, unless there is none.
    pub fn random(&self, rng: &mut Rng, mut f: impl FnMut(&[u8], f64)) {
        let rank = rng.usize(..self.len().max(1));
        self.walk(rank..rank + 1, false, |member, score| {
            f(member, score);
            false
        });
    }

    /// Calls `f` with `n` different members, or all if there are no more; any choice is as likely.
    pub fn random_distinct(&self, n: usize, rng: &mut Rng, mut f: impl FnMut(&[u8], f64)) {
        match &self.0 {
            Repr::Packed(pack) => {
                let (mut pairs, mut passed) = (pack.pairs(), 0);
                let mut buf = IntBuf::new();
                sample::choose(0..self.len(), n, rng, |rank| {
                    if let Some((member, score)) = pairs.nth(rank - passed) {
                        f(member.as_bytes(&mut buf), read_score(score));
                    }
                    passed = rank + 1;
                });
            }
            Repr::Large(large) => sample::choose_from_table(&large.dict, n, rng, |member| {
                f(member.key(), member.score());
            }),
        }
    }

    // ---- changing ---------------------------------------------------------------------------

    /// Prepares for `count` members to come, of which `first` is one: the set becomes large at once
    /// if a listpack won't take them, as Redis does even where members repeat.
    pub fn expect(&mut self, first: &[u8], count: usize, limits: &Limits) {
        let Repr::Packed(pack) = &self.0 else { return };
        let too_long = pack.is_empty() && first.len() > limits.zset_max_listpack_value;
        if count > limits.zset_max_listpack_entries || too_long {
            self.enlarge();
        }
    }

    /// Adds a member or changes its score; returns the old score.
    pub fn set(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        self.change(member, limits, |_| Some(score))
    }

    /// Gives a member the score that `decide` makes of its old one (`None` if it isn't there);
    /// changes nothing if that is `None`. Returns the old score.
    pub fn change(
        &mut self,
        member: &[u8],
        limits: &Limits,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<f64> {
        match &mut self.0 {
            Repr::Packed(pack) => {
                let found = pack.find_pair(member);
                let old = found.map(|(_, at)| read_score(pack.get(at)));
                let Some(score) = decide(old) else { return old };
                match found {
                    Some(_) if old == Some(score) => {}
                    Some(at) => rescore_packed(pack, at, member, score),
                    None if takes(pack, member, limits) => insert_packed(pack, member, score),
                    None => {
                        let large = self.enlarge();
                        large.add(large.dict.hash(member), member, score);
                    }
                }
                old
            }
            Repr::Large(large) => {
                let hash = large.dict.hash(member);
                let slot = large.dict.locate(hash, member);
                let old = slot.and_then(|slot| large.dict.item(hash, slot)).map(Member::score);
                match (decide(old), slot.zip(old)) {
                    (Some(score), None) => large.add(hash, member, score),
                    (Some(score), Some((slot, old))) if score != old => {
                        large.rescore((hash, slot), member, old, score);
                    }
                    _ => {}
                }
                old
            }
        }
    }

    /// Removes a member; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Repr::Packed(pack) => {
                let (pos, score_pos) = pack.find_pair(member)?;
                let score = read_score(pack.get(score_pos));
                pack.remove_pair(pos);
                Some(score)
            }
            Repr::Large(large) => large.remove(member),
        }
    }

    /// Removes the members of these ranks; returns how many there were.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) -> usize {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks.is_empty() {
            return 0;
        }
        match &mut self.0 {
            Repr::Packed(pack) => {
                let start = i64::try_from(ranks.start * 2).unwrap_or(i64::MAX);
                pack.remove_range_at(start, ranks.len() * 2);
            }
            Repr::Large(large) => {
                for item in large.tree.iter_range(ranks.clone()) {
                    large.member_bytes -= item.member.key().len();
                    large.dict.remove(item.member.key());
                }
                large.tree.remove_range(ranks.clone());
            }
        }
        ranks.len()
    }

    /// Makes the set large.
    fn enlarge(&mut self) -> &mut Large {
        let mut items = Vec::with_capacity(self.len());
        self.for_each(|member, score| {
            items.push(Scored { score, member: Member::new(member, score) });
        });
        self.0 = Repr::Large(Box::new(Large::from_sorted(items)));
        match &mut self.0 {
            Repr::Large(large) => large,
            Repr::Packed(_) => unreachable!("the set has just become large"),
        }
    }
}

impl Large {
    /// Of members in order; of those that are there twice, which only an unchecked listpack may
    /// hold, the first stays.
    fn from_sorted(mut items: Vec<Scored>) -> Self {
        let (a, b) = seed::hash_seed();
        let mut dict = Dict::new(Seed(a, b));
        let mut member_bytes = 0;
        items.retain(|item| {
            let hash = dict.hash(item.member.key());
            let new = dict.get_hashed(hash, item.member.key()).is_none();
            if new {
                member_bytes += item.member.key().len();
                dict.insert_hashed(hash, item.member.clone());
            }
            new
        });
        Self { dict, tree: Tree::from_sorted(items), member_bytes }
    }

    /// Adds a member that isn't there.
    fn add(&mut self, hash: u64, member: &[u8], score: f64) {
        let handle = Member::new(member, score);
        self.dict.insert_hashed(hash, handle.clone());
        self.tree.insert(Scored { score, member: handle }, &Exactly(score, member));
        self.member_bytes += member.len();
    }

    /// Gives a member another score than its `old` one; `at` is its hash and its slot in the table.
    fn rescore(&mut self, at: (u64, usize), member: &[u8], old: f64, score: f64) {
        self.tree.remove(&Exactly(old, member));
        if let Some(handle) = self.dict.item_mut(at.0, at.1) {
            handle.set_score(score);
            let item = Scored { score, member: handle.clone() };
            self.tree.insert(item, &Exactly(score, member));
        }
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.dict.remove(member)?.score();
        self.tree.remove(&Exactly(score, member));
        self.member_bytes -= member.len();
        Some(score)
    }
}

fn read_score(element: Element<'_>) -> f64 {
    match element {
        Element::Int(value) => value as f64,
        Element::Str(text) => num::parse_f64(text).unwrap_or(0.0),
    }
}

/// As [`read_score`]; none if it is no number.
fn checked_score(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Int(value) => Some(value as f64),
        Element::Str(text) => num::parse_f64(text).filter(|score| !score.is_nan()),
    }
}

fn push_packed(pack: &mut Listpack, member: &[u8], score: f64) {
    with_score(score, |score| pack.push_pair(member, score));
}

/// Whether a listpack can take one more member.
fn takes(pack: &Listpack, member: &[u8], limits: &Limits) -> bool {
    pack.len() / 2 < limits.zset_max_listpack_entries
        && member.len() <= limits.zset_max_listpack_value
        && pack.fits(member.len(), MAX_BYTES - 64)
}

/// Calls `f` with a score as it stands in a listpack.
fn with_score<R>(score: f64, f: impl FnOnce(Element<'_>) -> R) -> R {
    match num::f64_as_i64(score) {
        Some(score) => f(Element::Int(score)),
        None => f(Element::Str(num::fmt_f64(score, &mut num::F64Buf::new()))),
    }
}

/// Gives the pair at `at` another score: in its place if its neighbours let it.
fn rescore_packed(pack: &mut Listpack, at: (Pos, Pos), member: &[u8], score: f64) {
    let mut buf = IntBuf::new();
    let mut compared = |at: (Pos, Pos)| {
        let (name, there) = (pack.get(at.0), read_score(pack.get(at.1)));
        order(there, || name.as_bytes(&mut buf), score, member)
    };
    let before = pack.prev(at.0).and_then(|score| Some((pack.prev(score)?, score)));
    let after = pack.next(at.1).and_then(|name| Some((name, pack.next(name)?)));
    let stays = before.is_none_or(|pair| compared(pair).is_lt())
        && after.is_none_or(|pair| compared(pair).is_gt());
    if stays {
        with_score(score, |score| pack.replace(at.1, score));
    } else {
        pack.remove_pair(at.0);
        insert_packed(pack, member, score);
    }
}

/// Puts a member that isn't there in its place.
fn insert_packed(pack: &mut Listpack, member: &[u8], score: f64) {
    let mut buf = IntBuf::new();
    let last = pack.last().map(|score| read_score(pack.get(score)));
    let mut next = pack.first().filter(|_| last.is_none_or(|last| last >= score));
    while let Some(pos) = next {
        let Some(score_pos) = pack.next(pos) else { break };
        let there = read_score(pack.get(score_pos));
        if order(there, || pack.get(pos).as_bytes(&mut buf), score, member).is_gt() {
            with_score(score, |score| pack.insert_pair_before(pos, member, score));
            return;
        }
        next = pack.next(score_pos);
    }
    push_packed(pack, member, score);
}

fn walk_pack(
    pack: &Listpack,
    ranks: Range<usize>,
    reverse: bool,
    f: &mut impl FnMut(&[u8], f64) -> bool,
) {
    let mut buf = IntBuf::new();
    let first = if reverse { ranks.end - 1 } else { ranks.start };
    let mut pos: Option<Pos> = pack.seek(i64::try_from(first * 2).unwrap_or(i64::MAX));
    for _ in ranks {
        let Some(member) = pos else { return };
        let Some(score) = pack.next(member) else { return };
        if !f(pack.get(member).as_bytes(&mut buf), read_score(pack.get(score))) {
            return;
        }
        pos = match reverse {
            false => pack.next(score),
            true => pack.prev(member).and_then(|score| pack.prev(score)),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn contents(zset: &ZSet) -> Vec<(Vec<u8>, f64)> {
        let mut all = Vec::new();
        zset.for_each(|member, score| all.push((member.to_vec(), score)));
        all
    }

    fn sorted(model: &HashMap<Vec<u8>, f64>) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = model.iter().map(|(m, s)| (m.clone(), *s)).collect();
        all.sort_by(|a, b| order(a.1, || &a.0, b.1, &b.0));
        all
    }

    #[derive(Debug, Clone)]
    enum Op {
        Set(Vec<u8>, f64),
        Remove(Vec<u8>),
        RemoveRanks(usize, usize),
        Hold,
    }

    fn member() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0..60i64).prop_map(|n| n.to_string().into_bytes()),
            proptest::collection::vec(0..4u8, 0..3),
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        let score = prop_oneof![(-5..5i32).prop_map(f64::from), -1e3..1e3f64, Just(f64::INFINITY)];
        prop_oneof![
            8 => (member(), score).prop_map(|(m, s)| Op::Set(m, s)),
            3 => member().prop_map(Op::Remove),
            1 => (0..80usize, 0..10usize).prop_map(|(i, n)| Op::RemoveRanks(i, n)),
            1 => Just(Op::Hold),
        ]
    }

    fn check(zset: &ZSet, model: &HashMap<Vec<u8>, f64>) {
        let expected = sorted(model);
        assert_eq!(contents(zset), expected);
        for (rank, (member, score)) in expected.iter().enumerate() {
            assert_eq!((zset.rank(member), zset.score(member)), (Some(rank), Some(*score)));
        }
        let half = expected.len() / 2;
        let mut back = Vec::new();
        zset.walk(half..expected.len(), true, |member, score| {
            back.push((member.to_vec(), score));
            true
        });
        back.reverse();
        assert_eq!(back, expected[half..]);
        let (mut rng, mut drawn) = (fastrand::Rng::with_seed(4), HashMap::new());
        zset.random_distinct(5, &mut rng, |member, score| {
            drawn.insert(member.to_vec(), score);
        });
        assert_eq!(drawn.len(), model.len().min(5));
        zset.random(&mut rng, |member, score| {
            drawn.insert(member.to_vec(), score);
        });
        assert!(drawn.iter().all(|(member, score)| model.get(member) == Some(score)));
        let below = expected.iter().filter(|(_, score)| *score < 2.0).count();
        assert_eq!(zset.count_before(|score, _| score < 2.0), below);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
        #[test]
        fn behaves_as_a_sorted_map(
            ops in proptest::collection::vec(op(), 1..200),
            entries in prop_oneof![Just(0usize), Just(8), Just(128)],
        ) {
            let limits = Limits { zset_max_listpack_entries: entries, ..Limits::default() };
            let (mut zset, mut model) = (ZSet::default(), HashMap::new());
            let mut held = Vec::new();
            for op in ops {
                match op {
                    Op::Set(m, s) => {
                        prop_assert_eq!(zset.set(&m, s, &limits), model.insert(m, s));
                    }
                    Op::Remove(m) => prop_assert_eq!(zset.remove(&m), model.remove(&m)),
                    Op::RemoveRanks(i, n) => {
                        let all = sorted(&model);
                        let gone = all.iter().skip(i).take(n).map(|(m, _)| model.remove(m)).count();
                        prop_assert_eq!(zset.remove_ranks(i..i + n), gone);
                    }
                    Op::Hold => held.push((zset.clone(), model.clone())),
                }
            }
            held.push((zset, model));
            for (zset, model) in &held {
                check(zset, model);
            }
        }
    }

    #[test]
    fn becomes_large_by_count_and_by_length() {
        let limits = Limits {
            zset_max_listpack_entries: 2,
            zset_max_listpack_value: 3,
            ..Limits::default()
        };
        let expecting = |first: &[u8], count| {
            let mut zset = ZSet::default();
            zset.expect(first, count, &limits);
            zset.encoding()
        };
        assert_eq!(expecting(b"abc", 2), "listpack");
        assert_eq!(expecting(b"abc", 3), "skiplist");
        assert_eq!(expecting(b"abcd", 1), "skiplist");
        let mut zset = ZSet::default();
        for (member, encoding) in [(&b"a"[..], "listpack"), (b"b", "listpack"), (b"c", "skiplist")]
        {
            zset.set(member, 1.0, &limits);
            assert_eq!(zset.encoding(), encoding);
        }
    }

    #[test]
    fn listpacks_are_in_redis_form() {
        let mut zset = ZSet::default();
        let limits = Limits::default();
        for (member, score) in [("b", 2.0), ("7", 1.5), ("a", 2.0), ("c", f64::NEG_INFINITY)] {
            zset.set(member.as_bytes(), score, &limits);
        }
        zset.set(b"b", 3.0, &limits);
        let elements: Vec<_> = zset.packed().into_iter().flat_map(Listpack::iter).collect();
        let text = |text: &'static str| Element::Str(text.as_bytes());
        let expected = [
            (text("c"), text("-inf")),
            (Element::Int(7), text("1.5")),
            (text("a"), Element::Int(2)),
            (text("b"), Element::Int(3)),
        ];
        assert_eq!(elements, expected.map(|(member, score)| [member, score]).concat());
    }
}
