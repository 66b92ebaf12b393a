//! Clients that wait for keys: who waits for what, in which order, until when.
//!
//! Owns the registers of waiting clients and of keys that became ready. The rule is Redis 7.2's: a
//! blocked command is executed again when one of its keys is ready, for the clients of a key in
//! the order in which they blocked; it may block again, and keeps its place then.

use std::collections::{BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::acl::Denial;
use crate::keyspace::Entry;
use crate::resp::{ArgBuf, Error, Reply};
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};
use crate::server::command::CommandId;
use crate::server::ctx::Caller;
use crate::value::Type;

/// The reply of a blocked command when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutReply {
    /// A null array.
    NullArray,
    /// A null.
    Null,
    /// How many replicas have what the client wrote.
    Replicas,
    /// Whether the append only file durably has what the client wrote, and how many replicas have
    /// it so.
    Durability,
}

impl TimeoutReply {
    /// Writes the reply. `durable` says whether the append only file durably has what the client
    /// wrote.
    pub fn write(self, durable: bool, out: &mut Reply) {
        match self {
            Self::NullArray => out.null_array(),
            Self::Null => out.null(),
            Self::Replicas => out.int(0),
            Self::Durability => {
                out.array(2);
                out.int(i64::from(durable));
                out.int(0);
            }
        }
    }
}

/// What a client is blocked on.
#[derive(Debug)]
pub struct Blocked {
    /// The command to execute again.
    pub command: CommandId,
    /// Its arguments.
    pub args: ArgBuf,
    /// The database of the keys.
    pub db: usize,
    /// The keys.
    pub keys: Vec<Box<[u8]>>,
    /// The type that the keys must have.
    pub kind: Type,
    /// Whether it is also executed again when a key is gone, or has another type.
    pub needs_keys: bool,
    /// When the time is over, in Unix milliseconds.
    pub deadline_ms: Option<i64>,
    /// What is replied then.
    pub on_timeout: TimeoutReply,
    /// Time that the command has taken so far, in nanoseconds.
    pub spent_ns: u64,
}

/// A key of a database.
type DbKey = (usize, Box<[u8]>);

/// The registers of blocked clients.
#[derive(Debug, Default)]
pub struct BlockedClients {
    by_key: HashMap<DbKey, VecDeque<ClientRef>>,
    ready: Vec<DbKey>,
    deadlines: BTreeSet<(i64, ClientRef)>,
    count: usize,
    /// How many of them need their keys.
    needing_keys: usize,
}

impl BlockedClients {
    /// Number of blocked clients.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no client is blocked.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of blocked clients whose time will be over.
    pub fn timeouts(&self) -> usize {
        self.deadlines.len()
    }

    /// Number of keys that somebody waits for.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// The first moment at which a blocked client's time is over, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Notes that a key may now serve those who wait for it.
    #[inline]
    pub fn signal(&mut self, db: usize, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        let key: DbKey = (db, key.into());
        if self.by_key.contains_key(&key) && !self.ready.contains(&key) {
            self.ready.push(key);
        }
    }

    /// Notes that a key is gone, or holds something else: those who need it must learn of that.
    #[inline]
    pub fn signal_gone(&mut self, db: usize, key: &[u8]) {
        if self.needing_keys > 0 {
            self.signal(db, key);
        }
    }

    /// The keys of a database that somebody waits for.
    pub fn keys_of(&self, db: usize) -> Vec<Box<[u8]>> {
        self.by_key.keys().filter(|(of, _)| *of == db).map(|(_, key)| key.clone()).collect()
    }

    fn add(&mut self, client: ClientRef, blocked: &Blocked) {
        self.count += 1;
        self.needing_keys += usize::from(blocked.needs_keys);
        for key in &blocked.keys {
            let waiting = self.by_key.entry((blocked.db, key.clone())).or_default();
            if waiting.back() != Some(&client) {
                waiting.push_back(client);
            }
        }
        if let Some(at) = blocked.deadline_ms {
            self.deadlines.insert((at, client));
        }
    }

    fn remove(&mut self, client: ClientRef, blocked: &Blocked) {
        self.count -= 1;
        self.needing_keys -= usize::from(blocked.needs_keys);
        for key in &blocked.keys {
            let key: DbKey = (blocked.db, key.clone());
            let Some(waiting) = self.by_key.get_mut(&key) else { continue };
            waiting.retain(|waits| *waits != client);
            if waiting.is_empty() {
                self.by_key.remove(&key);
            }
        }
        if let Some(at) = blocked.deadline_ms {
            self.deadlines.remove(&(at, client));
        }
    }
}

impl Server {
    /// Blocks a client.
    pub(in crate::server) fn block_client(&mut self, id: ClientRef, blocked: Blocked) {
        let Some(client) = self.clients.get_mut(id) else { return };
        self.blocked.add(id, &blocked);
        client.blocked = Some(Box::new(blocked));
    }

    /// Ends a client's wait without a reply.
    pub fn unblock_client(&mut self, id: ClientRef) -> Option<Box<Blocked>> {
        let client = self.clients.get_mut(id)?;
        let blocked = client.blocked.take()?;
        client.flags.insert(ClientFlags::UNBLOCKED);
        self.blocked.remove(id, &blocked);
        self.wake(id);
        Some(blocked)
    }

    /// Ends a client's wait with the reply of its timeout.
    pub fn time_out_client(&mut self, id: ClientRef) {
        let Some(blocked) = self.unblock_client(id) else { return };
        let durable = self.is_durable(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        blocked.on_timeout.write(durable, &mut client.out);
        self.count_unblocked(&blocked, false);
    }

    /// Ends a client's wait with an error.
    pub fn fail_blocked_client(&mut self, id: ClientRef, error: &Error) {
        let Some(blocked) = self.unblock_client(id) else { return };
        let Some(client) = self.clients.get_mut(id) else { return };
        client.out.error(error);
        self.counters.error(error.code());
        self.count_unblocked(&blocked, true);
    }

    /// Counts the call of a command that didn't end by being executed again.
    fn count_unblocked(&mut self, blocked: &Blocked, failed: bool) {
        if let Some(stats) = self.counters.per_command.get_mut(blocked.command.index()) {
            stats.calls += 1;
            stats.ns += blocked.spent_ns;
            stats.failed += u64::from(failed);
        }
    }

    /// Times out every client whose time is over.
    pub fn time_out_blocked(&mut self) {
        while let Some(&(at, client)) = self.blocked.deadlines.first() {
            if at > self.now_ms {
                break;
            }
            self.time_out_client(client);
        }
    }

    /// Executes the commands of clients whose keys have become ready, until none is.
    #[inline]
    pub(in crate::server) fn serve_ready_keys(&mut self) {
        if !self.blocked.ready.is_empty() {
            self.serve_all_ready_keys();
        }
    }

    fn serve_all_ready_keys(&mut self) {
        while !self.blocked.ready.is_empty() {
            for key in std::mem::take(&mut self.blocked.ready) {
                self.serve_ready_key(&key);
            }
        }
    }

    fn serve_ready_key(&mut self, key: &DbKey) {
        let Some(waiting) = self.blocked.by_key.get(key) else { return };
        // A client that blocks again stays in the register; each gets one chance for this signal.
        for client in waiting.iter().copied().collect::<Vec<_>>() {
            let kind = self.dbs[key.0].get(&key.1).map(Entry::kind);
            let waits = self.clients.get(client).and_then(|client| client.blocked.as_deref());
            if waits.is_some_and(|blocked| kind == Some(blocked.kind) || blocked.needs_keys) {
                self.retry_blocked(client);
            }
        }
    }

    /// Whether its user may still execute the command.
    fn recheck_blocked(&self, id: ClientRef, blocked: &Blocked) -> Result<(), Denial> {
        match self.clients.get(id) {
            Some(client) => self.check_client(client, blocked.command, &blocked.args.args()),
            None => Ok(()),
        }
    }

    /// Executes a blocked command again; it ends, or stays blocked in its place.
    pub(in crate::server) fn retry_blocked(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(blocked) = client.blocked.take() else { return };
        let (command, db) = (blocked.command, blocked.db);
        if let Err(denial) = self.recheck_blocked(id, &blocked) {
            self.blocked.remove(id, &blocked);
            let error = self.no_permission(id, command, &blocked.args.args(), denial);
            self.reject(id, Some(command), &error);
            if let Some(client) = self.clients.get_mut(id) {
                client.flags.insert(ClientFlags::UNBLOCKED);
            }
            self.wake(id);
            return;
        }
        let again = self.execute(id, command, db, blocked.args.args(), Caller::Unblocked);
        let Some(client) = self.clients.get_mut(id) else {
            self.blocked.remove(id, &blocked);
            return;
        };
        if again {
            client.blocked = Some(blocked);
            return;
        }
        client.flags.insert(ClientFlags::UNBLOCKED);
        self.blocked.remove(id, &blocked);
        self.wake(id);
    }
}
