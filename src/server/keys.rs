//! Key operations with their side effects: expiry, deletion, creation, flushing.
//!
//! Owns what must happen whenever a key comes or goes, on whoever's behalf: those who watch it,
//! those who are blocked on it, events, statistics.

use crate::config::NotifyFlags;
use crate::ds::dict::Keyed;
use crate::keyspace::{Db, Entry};
use crate::server::Server;
use crate::server::client::ClientRef;
use crate::value::hash::Hash;

/// How much of a key a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// All that is there.
    All,
    /// Nothing: it is due, and nothing may be deleted now.
    Nothing,
    /// [`Server::shadow`]: some of its fields are due, and nothing may be deleted now.
    Shadow,
}

impl Sight {
    #[inline]
    fn entry<'a>(
        self,
        db: &'a Db,
        shadow: &'a Option<Entry>,
        hash: u64,
        key: &[u8],
    ) -> Option<&'a Entry> {
        match self {
            Self::All => db.get_hashed(hash, key),
            Self::Nothing => None,
            Self::Shadow => shadow.as_ref(),
        }
    }
}

impl Server {
    /// A key's hash, as the databases take it.
    #[inline]
    pub fn hash(&self, db: usize, key: &[u8]) -> u64 {
        self.dbs[db].hash_known(key, self.known)
    }

    /// Whether a key is there, and due.
    pub fn is_due(&self, db: usize, key: &[u8]) -> bool {
        if self.is_loading() {
            return false;
        }
        let found = self.dbs[db].get_hashed(self.hash(db, key), key);
        found.and_then(Entry::deadline).is_some_and(|deadline| deadline < self.now_ms)
    }

    /// Deletes a key if it is due. For who writes: only a transaction that pauses the clients itself
    /// can do so while they are paused.
    #[inline]
    pub fn expire_if_due(&mut self, db: usize, key: &[u8]) {
        if self.dbs[db].volatile_len() > 0 && self.is_due(db, key) {
            self.expire(db, key);
        }
        if self.fields_are_due(db) {
            self.expire_fields(db, key, usize::MAX);
        }
    }

    /// Deletes what is due of a key, as far as that may be now, before it is read.
    #[inline]
    fn settle(&mut self, db: usize, hash: u64, key: &[u8]) -> Sight {
        if self.dbs[db].volatile_len() > 0 {
            let deadline = self.dbs[db].get_hashed(hash, key).and_then(Entry::deadline);
            if deadline.is_some_and(|deadline| deadline < self.now_ms) && !self.is_loading() {
                if self.is_paused() {
                    return Sight::Nothing;
                }
                self.expire(db, key);
            }
        }
        match self.fields_are_due(db) {
            true if self.is_paused() => self.hide_due_fields(db, key),
            true => {
                self.expire_fields(db, key, usize::MAX);
                Sight::All
            }
            false => Sight::All,
        }
    }

    /// A key's entry for who looks at it without a trace; what is due isn't there.
    pub fn peek(&mut self, db: usize, key: &[u8]) -> Option<&Entry> {
        let hash = self.hash(db, key);
        let sight = self.settle(db, hash, key);
        sight.entry(&self.dbs[db], &self.shadow, hash, key)
    }

    /// Makes the shadow of a hash of which some fields are due: the same without them.
    fn hide_due_fields(&mut self, db: usize, key: &[u8]) -> Sight {
        let Some(entry) = self.dbs[db].get(key) else { return Sight::All };
        let due = entry.collection::<Hash>().map(|hash| hash.due(self.now_ms, usize::MAX));
        let Some(due) = due.filter(|due| !due.is_empty()) else { return Sight::All };
        let mut shadow = entry.clone();
        let Some(hash) = shadow.collection_mut::<Hash>() else { return Sight::All };
        due.iter().for_each(|field| {
            hash.remove(field);
        });
        if hash.is_empty() {
            return Sight::Nothing;
        }
        self.shadow = Some(shadow);
        Sight::Shadow
    }

    /// Whether some hash of a database has fields that are due. None is while loading: what follows
    /// may persist them.
    #[inline]
    fn fields_are_due(&self, db: usize) -> bool {
        let next = self.dbs[db].next_field_deadline();
        next.is_some_and(|at| at < self.now_ms) && !self.is_loading()
    }

    /// Removes fields of a hash that are due, at most `most` of them, and the hash if none is left.
    pub fn expire_fields(&mut self, db: usize, key: &[u8], most: usize) {
        let Some(hash) = self.dbs[db].get(key).and_then(Entry::collection::<Hash>) else { return };
        let (due, before) = (hash.due(self.now_ms, most), hash.next_deadline());
        if due.is_empty() {
            return;
        }
        let mut empty = false;
        if let Some(hash) = self.dbs[db].get_mut(key).and_then(Entry::collection_mut::<Hash>) {
            due.iter().for_each(|field| {
                hash.remove(field);
            });
            empty = hash.is_empty();
        }
        self.dbs[db].reindex_fields(key, before);
        self.counters.expired_fields += due.len() as u64;
        self.touch_watched(db, key);
        self.notify(NotifyFlags::HASH, "hexpired", db, key);
        if empty && self.delete(db, key) {
            self.notify(NotifyFlags::GENERIC, "del", db, key);
        }
        let words: Vec<&[u8]> =
            [b"HDEL", key].into_iter().chain(due.iter().map(Vec::as_slice)).collect();
        self.propagate_alone(db, &words);
    }

    /// Deletes a key that is due.
    pub fn expire(&mut self, db: usize, key: &[u8]) {
        if self.delete(db, key) {
            self.counters.expired += 1;
            self.key_changed(db, key, None);
            self.notify(NotifyFlags::EXPIRED, "expired", db, key);
            let word: &[u8] = if self.config.lazyfree_lazy_expire { b"UNLINK" } else { b"DEL" };
            self.propagate_alone(db, &[word, key]);
        }
    }

    /// Announces a change of a key to those who watch it, and to those who may hold its value. `by`
    /// is who changed it; `None` if it expired or was evicted.
    #[inline]
    pub fn key_changed(&mut self, db: usize, key: &[u8], by: Option<ClientRef>) {
        self.touch_watched(db, key);
        if !self.tracking.is_idle() {
            self.invalidate(key, by);
        }
    }

    /// A lookup for reading: expires, counts, touches the access clock.
    #[inline]
    pub fn lookup_read(
        &mut self,
        db: usize,
        key: &[u8],
        client: ClientRef,
        touch: bool,
    ) -> Option<&Entry> {
        let clock = self.access_clock();
        let hash = self.hash(db, key);
        let sight = self.settle(db, hash, key);
        if self.notifies(NotifyFlags::KEY_MISS)
            && sight.entry(&self.dbs[db], &self.shadow, hash, key).is_none()
        {
            self.notify(NotifyFlags::KEY_MISS, "keymiss", db, key);
        }
        let Some(entry) = sight.entry(&self.dbs[db], &self.shadow, hash, key) else {
            self.counters.misses += 1;
            return None;
        };
        self.counters.hits += 1;
        if touch {
            self.eviction.touch_for(&self.clients, client, entry, clock);
        }
        Some(entry)
    }

    /// Deletes a key, due or not; says whether there was one. Tells those who watch it; events
    /// are the caller's.
    pub fn delete(&mut self, db: usize, key: &[u8]) -> bool {
        match self.dbs[db].take(key) {
            Some(entry) => {
                self.blocked.signal_gone(db, key);
                self.lazyfree.entry(entry);
                true
            }
            None => false,
        }
    }

    /// Puts an entry in the place of whatever its key held.
    pub fn put(&mut self, db: usize, entry: Entry) {
        let hash = self.dbs[db].hash(entry.key());
        self.put_hashed(db, hash, entry);
    }

    /// As [`put`](Self::put), with the key's hash known.
    pub fn put_hashed(&mut self, db: usize, hash: u64, entry: Entry) {
        self.added(db, &entry);
        if let Some(old) = self.dbs[db].put_hashed(hash, entry) {
            self.lazyfree.entry(old);
        }
    }

    /// What an entry that is being put in needs: its access clock, and those who wait for its key.
    #[inline]
    pub(in crate::server) fn added(&mut self, db: usize, entry: &Entry) {
        self.eviction.init(entry, self.access_clock());
        self.blocked.signal(db, entry.key());
        if self.config.notify_keyspace_events.contains(NotifyFlags::NEW)
            && !self.dbs[db].contains(entry.key())
        {
            self.notify(NotifyFlags::NEW, "new", db, entry.key());
        }
    }

    /// Empties one database, or all; returns how many keys there were. The old ones are freed on
    /// the background thread unless `wait`.
    pub fn flush(&mut self, only: Option<usize>, wait: bool) -> u64 {
        let chosen = match only {
            Some(db) => db..db + 1,
            None => 0..self.dbs.len(),
        };
        let mut old = Vec::new();
        for db in chosen {
            self.touch_watched_db(db, None);
            self.signal_gone_keys(db);
            old.push(std::mem::take(&mut self.dbs[db]));
        }
        self.invalidate_all();
        let keys = old.iter().map(|db: &Db| db.len() as u64).sum();
        match wait {
            true => drop(old),
            false => self.lazyfree.dbs(old),
        }
        keys
    }

    fn signal_gone_keys(&mut self, db: usize) {
        for key in self.blocked.keys_of(db) {
            self.blocked.signal_gone(db, &key);
        }
    }

    /// Swaps two databases, as all clients see them.
    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        self.touch_watched_db(a, Some(b));
        self.touch_watched_db(b, Some(a));
        self.dbs.swap(a, b);
        for db in [a, b] {
            self.signal_gone_keys(db);
            for key in self.blocked.keys_of(db) {
                if self.dbs[db].contains(&key) {
                    self.blocked.signal(db, &key);
                }
            }
        }
    }
}
