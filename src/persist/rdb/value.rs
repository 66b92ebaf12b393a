//! Reading values: every form of every version.
//!
//! Owns which form becomes what, and which contents no value may have.

use super::decode::{Decoder, Problem, Result, Source, Text};
use super::{kind, old};
use crate::ds::intset::Intset;
use crate::ds::listpack::Listpack;
use crate::keyspace::Entry;
use crate::util::num::IntBuf;
use crate::value::hash::{Hash, MAX_DEADLINE};
use crate::value::list::{End, List};
use crate::value::set::Set;
use crate::value::zset::ZSet;
use crate::value::{Collection, Limits, Unfit};

/// How values are read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether what costs more than a glance is checked too: members that are there twice.
    pub deep: bool,
    /// Thresholds of the encodings.
    pub limits: Limits,
}

/// Memory that is reserved for elements before they are there, at most.
const RESERVE_MAX: usize = 1 << 12;

impl<S: Source> Decoder<S> {
    /// A value of the form `kind`, as the entry of a key.
    ///
    /// # Errors
    /// If it is none, or empty.
    pub fn entry(
        &mut self,
        kind: u8,
        key: &[u8],
        deadline: Option<i64>,
        options: &Options,
    ) -> Result<Entry> {
        if kind == kind::STRING {
            return Ok(match self.text()? {
                Text::Int(value) => Entry::new(key, crate::value::Value::Int(value), deadline),
                Text::Borrowed(bytes) => Entry::string(key, bytes, deadline),
                Text::Owned(bytes) => Entry::string(key, &bytes, deadline),
            });
        }
        let value = match kind {
            kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
                filled(self.list(kind, options)?)?
            }
            kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => filled(self.set(kind, options)?)?,
            kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
                filled(self.zset(kind, options)?)?
            }
            kind::HASH | kind::HASH_ZIPMAP | kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
                filled(self.hash(kind, options)?)?
            }
            kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => {
                self.stream(kind, options.deep)?.into_value()
            }
            kind::MODULE_PRE_GA | kind::MODULE_2 => return Err(self.module(kind)),
            kind::HASH_METADATA_PRE_GA..=kind::HASH_LISTPACK_EX => {
                filled(self.timed_hash(kind, options)?)?
            }
            _ => return Err(Problem::Kind(kind)),
        };
        Ok(Entry::new(key, value, deadline))
    }

    fn module(&mut self, kind: u8) -> Problem {
        match self.length() {
            Ok(id) if kind == kind::MODULE_2 => Problem::Unsupported(format!(
                "The RDB file contains module data I can't load: no matching module type '{}'",
                module_name(id)
            )),
            Ok(_) => Problem::Unsupported("Module data of a pre-release version".into()),
            Err(problem) => problem,
        }
    }

    fn listpack(&mut self, reason: &'static str) -> Result<Listpack> {
        Listpack::from_bytes(self.vec()?).map_err(|_| Problem::Corrupt(reason))
    }

    fn list(&mut self, kind: u8, options: &Options) -> Result<List> {
        let limits = &options.limits;
        let mut list = List::default();
        if kind == kind::LIST_ZIPLIST {
            list.append_packed(packed(&self.vec()?, "List ziplist integrity check failed.")?);
            list.settle(limits);
            return Ok(list);
        }
        for _ in 0..self.length()? {
            match kind {
                kind::LIST => {
                    let text = self.text()?;
                    list.push(End::Right, text.bytes(&mut IntBuf::new()), limits);
                }
                kind::LIST_QUICKLIST => {
                    let reason = "Quicklist ziplist integrity check failed.";
                    list.append_packed(packed(&self.vec()?, reason)?);
                }
                _ => match self.length()? {
                    1 => match self.vec()? {
                        // Only what is too long for a listpack stands for itself.
                        plain if plain.is_empty() => {
                            return Err(Problem::Corrupt("Quicklist integrity check failed."));
                        }
                        plain => list.append_plain(&plain),
                    },
                    2 => {
                        let reason = "Quicklist listpack integrity check failed.";
                        list.append_packed(self.listpack(reason)?);
                    }
                    _ => return Err(Problem::Corrupt("Quicklist integrity check failed")),
                },
            }
        }
        if kind != kind::LIST {
            list.settle(limits);
        }
        Ok(list)
    }

    fn set(&mut self, kind: u8, options: &Options) -> Result<Set> {
        let (deep, limits) = (options.deep, &options.limits);
        match kind {
            kind::SET_INTSET => {
                let ints = Intset::from_bytes(self.vec()?);
                let ints = ints.map_err(|_| Problem::Corrupt("Intset integrity check failed."))?;
                return Ok(Set::from_intset(ints, limits));
            }
            kind::SET_LISTPACK => {
                let set = Set::from_listpack(
                    self.listpack("Set listpack integrity check failed.")?,
                    deep,
                    limits,
                );
                return set.map_err(|unfit| match unfit {
                    Unfit::Form => Problem::Corrupt("Set listpack integrity check failed."),
                    Unfit::Duplicate => Problem::Corrupt("Set listpack with dup elements"),
                });
            }
            _ => {}
        }
        let (count, mut set, mut buf) = (self.length()?, Set::default(), IntBuf::new());
        for i in 0..count {
            let member = self.text()?;
            let member = member.bytes(&mut buf);
            if i == 0 {
                set.expect(member, usize::try_from(count).unwrap_or(usize::MAX), limits);
            }
            if !set.add(member, limits) {
                return Err(Problem::Corrupt("Duplicate set members detected"));
            }
        }
        Ok(set)
    }

    fn zset(&mut self, kind: u8, options: &Options) -> Result<ZSet> {
        let (deep, limits) = (options.deep, &options.limits);
        let pack = match kind {
            kind::ZSET_LISTPACK => Some(self.listpack("Zset listpack integrity check failed.")?),
            kind::ZSET_ZIPLIST => {
                Some(packed(&self.vec()?, "Zset ziplist integrity check failed.")?)
            }
            _ => None,
        };
        if let Some(pack) = pack {
            let zset = ZSet::from_listpack(pack, deep, limits);
            return zset.map_err(|unfit| match unfit {
                Unfit::Form => Problem::Corrupt("Zset integrity check failed."),
                Unfit::Duplicate => {
                    Problem::Corrupt("Zset integrity check failed: listpack with dup elements")
                }
            });
        }
        let count = self.length()?;
        let mut members = Vec::with_capacity(bounded(count));
        for _ in 0..count {
            let member = self.vec()?;
            let score = match kind {
                kind::ZSET_2 => self.double()?,
                _ => self.text_double()?,
            };
            if score.is_nan() {
                return Err(Problem::Corrupt("Zset with NAN score detected"));
            }
            members.push((member, score));
        }
        ZSet::from_members(members, limits)
            .ok_or(Problem::Corrupt("Duplicate zset fields detected"))
    }

    fn hash(&mut self, kind: u8, options: &Options) -> Result<Hash> {
        let (deep, limits) = (options.deep, &options.limits);
        match kind {
            kind::HASH_LISTPACK => {
                let pack = self.listpack("Hash listpack integrity check failed.")?;
                Hash::from_listpack(pack, deep, limits).map_err(|unfit| match unfit {
                    Unfit::Form => Problem::Corrupt("Hash listpack integrity check failed."),
                    Unfit::Duplicate => {
                        Problem::Corrupt("Hash integrity check failed: listpack with dup elements")
                    }
                })
            }
            kind::HASH_ZIPMAP => {
                let image = self.vec()?;
                let pairs = old::zipmap(&image)
                    .ok_or(Problem::Corrupt("Zipmap integrity check failed."))?;
                hash_of(pairs.len(), pairs.into_iter(), limits)
            }
            kind::HASH_ZIPLIST => {
                let pack = packed(&self.vec()?, "Hash ziplist integrity check failed.")?;
                if !pack.len().is_multiple_of(2) {
                    return Err(Problem::Corrupt("Hash ziplist integrity check failed."));
                }
                let (mut a, mut b) = (IntBuf::new(), IntBuf::new());
                let mut hash = Hash::default();
                for (field, value) in pack.pairs() {
                    let new = hash.set(field.as_bytes(&mut a), value.as_bytes(&mut b), limits);
                    if !new {
                        return Err(Problem::Corrupt(
                            "Hash ziplist integrity check failed: dup elements",
                        ));
                    }
                }
                Ok(hash)
            }
            _ => self.hash_table(limits),
        }
    }

    /// A hash some of whose fields have deadlines.
    fn timed_hash(&mut self, kind: u8, options: &Options) -> Result<Hash> {
        let limits = &options.limits;
        let earliest = match kind {
            kind::HASH_METADATA | kind::HASH_LISTPACK_EX => i64::from_le_bytes(self.array()?),
            _ => 0,
        };
        let mut hash = Hash::default();
        if matches!(kind, kind::HASH_LISTPACK_EX | kind::HASH_LISTPACK_EX_PRE_GA) {
            const BROKEN: &str = "Hash listpack integrity check failed.";
            let pack = self.listpack(BROKEN)?;
            let mut texts = pack.iter();
            let broken = || Problem::Corrupt(BROKEN);
            let (mut a, mut b) = (IntBuf::new(), IntBuf::new());
            while let Some(field) = texts.next() {
                let (value, at) = texts.next().zip(texts.next()).ok_or_else(broken)?;
                let at = at.as_int().ok_or_else(broken)?;
                let (field, value) = (field.as_bytes(&mut a), value.as_bytes(&mut b));
                add_timed(&mut hash, field, value, Some(at).filter(|at| *at != 0), limits)?;
            }
            return Ok(hash);
        }
        let mut field = Vec::new();
        let (mut a, mut b) = (IntBuf::new(), IntBuf::new());
        for _ in 0..self.length()? {
            let left = self.length()?;
            field.clear();
            field.extend_from_slice(self.text()?.bytes(&mut a));
            // The final form counts from one before the earliest.
            let from = if kind == kind::HASH_METADATA { earliest.saturating_sub(1) } else { 0 };
            let at = (left > 0).then(|| from.checked_add_unsigned(left).unwrap_or(i64::MAX));
            add_timed(&mut hash, &field, self.text()?.bytes(&mut b), at, limits)?;
        }
        Ok(hash)
    }

    fn hash_table(&mut self, limits: &Limits) -> Result<Hash> {
        let count = self.length()?;
        let mut hash = Hash::default();
        if count > limits.hash_max_listpack_entries as u64 {
            hash.expect(
                [&b""[..]; 2].into_iter(),
                &Limits { hash_max_listpack_entries: 0, ..*limits },
            );
        }
        let (mut a, mut b) = (IntBuf::new(), IntBuf::new());
        let mut field = Vec::new();
        for _ in 0..count {
            field.clear();
            field.extend_from_slice(self.text()?.bytes(&mut a));
            let value = self.text()?;
            if !hash.set(&field, value.bytes(&mut b), limits) {
                return Err(Problem::Corrupt("Duplicate hash fields detected"));
            }
        }
        Ok(hash)
    }
}

/// Adds a field with its deadline to a hash that is being read.
fn add_timed(
    hash: &mut Hash,
    field: &[u8],
    value: &[u8],
    at: Option<i64>,
    limits: &Limits,
) -> Result<()> {
    if !hash.set(field, value, limits) {
        return Err(Problem::Corrupt("Duplicate hash fields detected"));
    }
    match at {
        None => {}
        Some(at) if (0..=MAX_DEADLINE).contains(&at) => hash.set_deadline(field, at, limits),
        Some(_) => return Err(Problem::Corrupt("Hash field with an invalid deadline")),
    }
    Ok(())
}

/// The value that a collection with elements makes.
fn filled<T: Collection>(collection: T) -> Result<crate::value::Value> {
    match collection.is_empty() {
        true => Err(Problem::EmptyKey),
        false => Ok(collection.into_value()),
    }
}

fn bounded(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).min(RESERVE_MAX)
}

/// A ziplist as a listpack.
fn packed(image: &[u8], reason: &'static str) -> Result<Listpack> {
    let elements = old::ziplist(image).ok_or(Problem::Corrupt(reason))?;
    let mut pack = Listpack::with_capacity(image.len());
    elements.into_iter().for_each(|element| pack.push_back(element));
    pack.shrink_to_fit();
    Ok(pack)
}

fn hash_of<'a>(
    count: usize,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    limits: &Limits,
) -> Result<Hash> {
    let mut hash = Hash::default();
    if count > limits.hash_max_listpack_entries {
        hash.expect([&b""[..]; 2].into_iter(), &Limits { hash_max_listpack_entries: 0, ..*limits });
    }
    for (field, value) in pairs {
        if !hash.set(field, value, limits) {
            return Err(Problem::Corrupt("Hash zipmap with dup elements, or corrupted length"));
        }
    }
    Ok(hash)
}

/// The name of a module's type: nine characters of six bits, above ten bits of a version.
pub(super) fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|i| char::from(LETTERS[(id >> (58 - 6 * i) & 63) as usize])).collect()
}
