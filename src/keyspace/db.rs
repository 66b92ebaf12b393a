//! One database: the table of its entries and the index of their deadlines, kept in step.
//!
//! Owns the rule that each volatile key stands in the index once, with the deadline its entry has,
//! and each hash with volatile fields in another, with the earliest deadline of its fields.
//! Never looks at the clock: callers pass the time.

use crate::ds::dict::{Dict, Keyed, Seed, Step};
use crate::keyspace::entry::Entry;
use crate::keyspace::expiry::{ExpiryIndex, HASH_BITS};
use crate::util::seed;

/// The entries of a database at one moment. Taking one is cheap; holding one copies what changes.
pub type Snapshot = Dict<Entry>;

/// The hash of a key that was computed ahead. It is found again by the key's address, so it holds as
/// long as those bytes are borrowed. All databases hash alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownHash {
    /// Where the key stands; 0 is nowhere.
    at: usize,
    len: usize,
    hash: u64,
}

impl KnownHash {
    /// The hash of a key, and where it stands.
    #[inline]
    pub fn of(key: &[u8], hash: u64) -> Self {
        Self { at: key.as_ptr().addr(), len: key.len(), hash }
    }

    /// The hash, if this is the key.
    #[inline]
    fn get(self, key: &[u8]) -> Option<u64> {
        (self.at == key.as_ptr().addr() && self.len == key.len()).then_some(self.hash)
    }
}

/// A database.
#[derive(Clone)]
pub struct Db {
    dict: Dict<Entry>,
    expiry: ExpiryIndex,
    /// Hashes by the earliest deadline of their fields.
    fields: ExpiryIndex,
}

impl Default for Db {
    fn default() -> Self {
        let (a, b) = seed::hash_seed();
        Self {
            dict: Dict::new(Seed(a, b)),
            expiry: ExpiryIndex::default(),
            fields: ExpiryIndex::default(),
        }
    }
}

impl Db {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of keys, those that are due and not yet deleted included.
    pub fn len(&self) -> usize {
        self.dict.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.dict.is_empty()
    }

    /// Number of keys with a deadline.
    pub fn volatile_len(&self) -> usize {
        self.expiry.len()
    }

    /// The mean deadline of the volatile keys, in Unix milliseconds.
    pub fn mean_deadline(&self) -> Option<i64> {
        self.expiry.mean()
    }

    /// The hash that the `_hashed` methods take.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.dict.hash(key)
    }

    /// As [`hash`](Self::hash), for a key that may be the known one.
    #[inline]
    pub fn hash_known(&self, key: &[u8], known: KnownHash) -> u64 {
        known.get(key).unwrap_or_else(|| self.hash(key))
    }

    /// Brings what a lookup will read into the processor's cache; see [`Dict::prefetch`].
    #[inline]
    pub fn prefetch(&self, hash: u64, step: Step) {
        self.dict.prefetch(hash, step);
    }

    /// The entry of a key, be it due or not.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.dict.get(key)
    }

    /// As [`get`](Self::get), with the key's hash known.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.dict.get_hashed(hash, key)
    }

    /// The entry of a key, to change its value; its deadline must stay.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.dict.get_mut(key)
    }

    /// As [`get_mut`](Self::get_mut), with the key's hash known.
    #[inline]
    pub fn get_mut_hashed(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        self.dict.get_mut_hashed(hash, key)
    }

    /// The slot of a key; see [`Dict::locate`].
    #[inline]
    pub fn locate(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.dict.locate(hash, key)
    }

    /// The entry in a slot, to change its value; its deadline must stay. See [`Dict::item_mut`].
    #[inline]
    pub fn entry_mut(&mut self, hash: u64, slot: usize) -> Option<&mut Entry> {
        self.dict.item_mut(hash, slot)
    }

    /// Whether there is such a key, be it due or not.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.dict.contains(key)
    }

    /// Puts an entry in, and returns the one it replaces.
    pub fn put(&mut self, entry: Entry) -> Option<Entry> {
        let hash = self.dict.hash(entry.key());
        self.put_hashed(hash, entry)
    }

    /// As [`put`](Self::put), with the key's hash known.
    pub fn put_hashed(&mut self, hash: u64, entry: Entry) -> Option<Entry> {
        let (deadline, field_deadline) = (entry.deadline(), entry.field_deadline());
        let old = self.dict.insert_hashed(hash, entry);
        reindex(&mut self.expiry, hash, old.as_ref().and_then(Entry::deadline), deadline);
        let old_field = old.as_ref().and_then(Entry::field_deadline);
        reindex(&mut self.fields, hash, old_field, field_deadline);
        old
    }

    /// Takes a key out.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.dict.hash(key);
        let entry = self.dict.remove_hashed(hash, key)?;
        reindex(&mut self.expiry, hash, entry.deadline(), None);
        reindex(&mut self.fields, hash, entry.field_deadline(), None);
        Some(entry)
    }

    /// Sets or clears the deadline of a key; says whether there is such a key.
    pub fn set_deadline(&mut self, key: &[u8], deadline: Option<i64>) -> bool {
        let hash = self.dict.hash(key);
        let Some(entry) = self.dict.get_mut_hashed(hash, key) else { return false };
        let old = entry.deadline();
        entry.set_deadline(deadline);
        reindex(&mut self.expiry, hash, old, deadline);
        true
    }

    /// Brings the index of fields' deadlines in step after a change to the hash at `key`, whose
    /// earliest deadline was `before`.
    pub fn reindex_fields(&mut self, key: &[u8], before: Option<i64>) {
        let hash = self.dict.hash(key);
        let after = self.dict.get_hashed(hash, key).and_then(Entry::field_deadline);
        reindex(&mut self.fields, hash, before, after);
    }

    /// Number of hashes that have fields with deadlines.
    pub fn volatile_hashes(&self) -> usize {
        self.fields.len()
    }

    /// The earliest deadline of a field, in Unix milliseconds.
    #[inline]
    pub fn next_field_deadline(&self) -> Option<i64> {
        if self.fields.is_empty() { None } else { self.fields.first().map(|(at, _)| at) }
    }

    /// The earliest deadline, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<i64> {
        self.expiry.first().map(|(deadline, _)| deadline)
    }

    /// A key whose deadline is before `now_ms`, if one is; the earliest comes first.
    pub fn next_due(&mut self, now_ms: i64) -> Option<Box<[u8]>> {
        first_due(&self.dict, &mut self.expiry, now_ms, Entry::deadline)
    }

    /// The key of a hash with a field whose deadline is before `now_ms`; the earliest comes first.
    pub fn next_due_field(&mut self, now_ms: i64) -> Option<Box<[u8]>> {
        first_due(&self.dict, &mut self.fields, now_ms, Entry::field_deadline)
    }

    /// Iterates as `SCAN` does; see [`Dict::scan`].
    pub fn scan(&self, cursor: u64, count: usize, emit: impl FnMut(&Entry)) -> u64 {
        self.dict.scan(cursor, count, emit)
    }

    /// A fair random entry.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<&Entry> {
        self.dict.random(rng)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.dict.iter()
    }

    /// The entries as they are now.
    pub fn snapshot(&self) -> Snapshot {
        self.dict.clone()
    }

    /// Bytes of the table and of the index, without the entries.
    pub fn overhead_bytes(&self) -> (usize, usize) {
        (self.dict.heap_bytes(), self.expiry.heap_bytes() + self.fields.heap_bytes())
    }

    /// Counters of the table, for `DEBUG HTSTATS`.
    pub fn table_stats(&self) -> crate::ds::dict::DictStats {
        self.dict.stats()
    }
}

/// Moves a key from one deadline to another.
#[inline]
fn reindex(index: &mut ExpiryIndex, hash: u64, old: Option<i64>, new: Option<i64>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        index.remove(old, hash);
    }
    if let Some(new) = new {
        index.insert(new, hash);
    }
}

/// The key of the first item of an index whose deadline is before `now_ms`.
fn first_due(
    dict: &Dict<Entry>,
    index: &mut ExpiryIndex,
    now_ms: i64,
    deadline_of: fn(&Entry) -> Option<i64>,
) -> Option<Box<[u8]>> {
    loop {
        let (deadline, hash) = index.first().filter(|&(deadline, _)| deadline < now_ms)?;
        debug_assert!(hash < 1 << HASH_BITS);
        let due = |entry: &&Entry| deadline_of(entry) == Some(deadline);
        match dict.matching_prefix(hash).find(due) {
            Some(entry) => return Some(entry.key().into()),
            // Index and table are kept in step; a stray item must not stop the others.
            None => index.pop_first(),
        }
    }
}
