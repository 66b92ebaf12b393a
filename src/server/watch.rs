//! WATCH: which clients watch which keys.

use hashbrown::HashMap;

use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef, Watched};

/// What watching a key takes besides two copies of the key: its place with the client and in the
/// register.
const WATCH_BYTES: usize = size_of::<Watched>()
    + size_of::<((usize, Box<[u8]>), Vec<ClientRef>)>()
    + size_of::<ClientRef>();

/// The register of watched keys.
#[derive(Debug, Default)]
pub struct WatchedKeys {
    by_key: HashMap<(usize, Box<[u8]>), Vec<ClientRef>>,
}

impl WatchedKeys {
    /// Number of watched keys.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl Server {
    /// Has a client watch a key.
    pub fn watch(&mut self, id: ClientRef, db: usize, key: &[u8]) {
        let expired = self.is_due(db, key);
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.watching.iter().any(|watched| watched.db == db && *watched.key == *key) {
            return;
        }
        client.watching.push(Watched { db, key: key.into(), expired });
        client.watch_bytes += 2 * key.len() + WATCH_BYTES;
        self.watched.by_key.entry((db, key.into())).or_default().push(id);
    }

    /// Ends all watches of a client.
    pub fn unwatch_all(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.flags.remove(ClientFlags::DIRTY_CAS);
        client.watch_bytes = 0;
        for watched in std::mem::take(&mut client.watching) {
            let key = (watched.db, watched.key);
            let Some(clients) = self.watched.by_key.get_mut(&key) else { continue };
            clients.retain(|watches| *watches != id);
            if clients.is_empty() {
                self.watched.by_key.remove(&key);
            }
        }
    }

    /// Drops a client's transaction, if it is in one, and its watches.
    pub fn discard(&mut self, id: ClientRef) {
        if let Some(client) = self.clients.get_mut(id) {
            client.queued = Vec::new();
            client.queued_bytes = 0;
            client.flags.remove(ClientFlags::MULTI | ClientFlags::DIRTY_EXEC);
        }
        self.unwatch_all(id);
    }

    /// Whether a key that a client watches has expired since.
    pub fn watched_key_expired(&self, id: ClientRef) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let expired = |watched: &Watched| !watched.expired && self.is_due(watched.db, &watched.key);
        client.watching.iter().any(expired)
    }

    /// Fails the transactions of those who watch a key: it changes.
    #[inline]
    pub(in crate::server) fn touch_watched(&mut self, db: usize, key: &[u8]) {
        if !self.watched.is_empty() {
            self.touch_watchers(db, key);
        }
    }

    fn touch_watchers(&mut self, db: usize, key: &[u8]) {
        let Some(clients) = self.watched.by_key.get(&(db, key.into())) else { return };
        for &id in clients {
            let Some(client) = self.clients.get_mut(id) else { continue };
            // The deletion of a key that had expired before the watch began is no change.
            let stale = client.watching.iter_mut().find(|w| w.db == db && *w.key == *key);
            if let Some(watched) = stale.filter(|watched| watched.expired)
                && !self.dbs[db].contains(key)
            {
                watched.expired = false;
                continue;
            }
            client.flags.insert(ClientFlags::DIRTY_CAS);
        }
    }

    /// Announces that a database is about to be emptied, or `other` to take its place: to those
    /// who watch a key that exists now, or will.
    pub fn touch_watched_db(&mut self, db: usize, other: Option<usize>) {
        let keys: Vec<_> =
            self.watched.by_key.keys().filter(|(of, _)| *of == db).cloned().collect();
        for (db, key) in keys {
            let will_exist = other.is_some_and(|other| self.dbs[other].contains(&key));
            let will_be_due = other.is_some_and(|other| self.is_due(other, &key));
            let exists = self.dbs[db].contains(&key);
            if !exists && !will_exist {
                continue;
            }
            let Some(clients) = self.watched.by_key.get(&(db, key.clone())) else { continue };
            for &id in clients {
                let Some(client) = self.clients.get_mut(id) else { continue };
                let watched = client.watching.iter_mut().find(|w| w.db == db && w.key == key);
                let Some(watched) = watched else { continue };
                // A key that has expired and one that isn't there are the same.
                match watched.expired {
                    true if !will_exist => watched.expired = false,
                    true if will_be_due => {}
                    false if !exists && will_be_due => watched.expired = true,
                    _ => client.flags.insert(ClientFlags::DIRTY_CAS),
                }
            }
        }
    }
}
