//! Moving keys to another server: what is to be sent, and what follows from what came back.
//!
//! Owns what happens to the keys that arrived there. The network layer talks to the other server
//! while the client waits and everybody else is served.

use std::time::Duration;

use crate::config::NotifyFlags;
use crate::keyspace::Entry;
use crate::resp::{Error, Reply};
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};

/// Who to be at the other server.
#[derive(Debug, Clone)]
pub struct Login {
    /// A user's name, if not the default one's.
    pub user: Option<Vec<u8>>,
    /// The password.
    pub password: Vec<u8>,
}

/// Keys to send.
#[derive(Debug)]
pub struct Request {
    /// The other server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its database.
    pub to_db: i64,
    /// How long each wait for it may take.
    pub timeout: Duration,
    /// Who to be there.
    pub login: Option<Login>,
    /// Whether keys that are there already are replaced.
    pub replace: bool,
    /// Whether the keys stay here.
    pub copy: bool,
    /// Whether long strings are compressed.
    pub compress: bool,
    /// The database of the keys.
    pub db: usize,
    /// The keys with their values, as they were when the request was made.
    pub entries: Vec<Entry>,
    /// When that was, in Unix milliseconds.
    pub now_ms: i64,
}

/// What came back.
#[derive(Debug)]
pub struct Outcome {
    /// What was asked for.
    pub request: Request,
    /// For each key, whether it is at the other server now.
    pub moved: Vec<bool>,
    /// The error, if there is one.
    pub error: Option<Error>,
}

impl Server {
    /// Deletes keys that have moved, and replies.
    pub fn take_migrated(&mut self, outcome: &Outcome, out: &mut Reply) {
        let Outcome { request, moved, error } = outcome;
        let mut error = error.clone();
        if !request.copy {
            let arrived = request.entries.iter().zip(moved).filter(|(_, moved)| **moved);
            let stay = self.delete_migrated(request.db, arrived.map(|(entry, _)| entry));
            if stay && error.is_none() {
                error = Some(Error::MigrateChanged);
            }
        }
        match error {
            None => out.ok(),
            Some(error) => {
                out.error(&error);
                self.counters.error(error.code());
            }
        }
    }

    /// Deletes those that are still what was sent; says whether there were others.
    fn delete_migrated<'e>(&mut self, db: usize, entries: impl Iterator<Item = &'e Entry>) -> bool {
        use crate::ds::dict::Keyed;
        let (mut gone, mut stay): (Vec<&[u8]>, bool) = (vec![b"DEL"], false);
        for entry in entries {
            let key = entry.key();
            // The request holds a handle, so a write since then has made a copy.
            match self.dbs[db].get(key).map(Entry::address) {
                Some(address) if address == entry.address() => {
                    self.delete(db, key);
                    self.touch_watched(db, key);
                    self.notify(NotifyFlags::GENERIC, "del", db, key);
                    self.dirty += 1;
                    gone.push(key);
                }
                Some(_) => stay = true,
                None => {}
            }
        }
        if gone.len() > 1 {
            self.propagate_alone(db, &gone);
        }
        stay
    }

    /// Ends a client's wait for keys to move.
    pub fn end_migrate(&mut self, id: ClientRef, outcome: &Outcome) {
        self.refresh_clock();
        let mut out = match self.clients.get_mut(id) {
            Some(client) => std::mem::take(&mut client.out),
            None => Reply::default(),
        };
        self.take_migrated(outcome, &mut out);
        let Some(client) = self.clients.get_mut(id) else { return };
        client.out = out;
        client.flags.remove(ClientFlags::MIGRATING);
        client.flags.insert(ClientFlags::UNBLOCKED);
        self.wake(id);
    }
}
