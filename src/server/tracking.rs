//! Client side caching: which client has read which key, and telling it when the key changes.
//!
//! Owns the table of keys that clients may hold, the prefixes that clients follow instead, and the
//! messages of both. Costs one branch for each command and change while nobody tracks. Messages go
//! into the receivers' output buffers; nothing here sends.

use std::collections::{BTreeMap, BTreeSet};

use bitflags::bitflags;
use hashbrown::HashMap;
use smallvec::SmallVec;
use triomphe::Arc;

use crate::ds::dict::{Dict, Keyed, Seed};
use crate::resp::{Args, Proto, Reply};
use crate::server::Server;
use crate::server::client::ClientRef;
use crate::server::command::{Command, CommandId};
use crate::spec::Flags;
use crate::util::seed;

/// The channel on which a RESP2 connection gets what is redirected to it.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// Keys that are dropped at once when the table is over its limit; more if that isn't enough.
const EFFORT: usize = 100;

bitflags! {
    /// How a client tracks.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Mode: u8 {
        /// It is told of all keys with its prefixes, whether it has read them or not.
        const BCAST = 1;
        /// Only what is read after CLIENT CACHING YES is tracked.
        const OPTIN = 1 << 1;
        /// What is read after CLIENT CACHING NO isn't tracked.
        const OPTOUT = 1 << 2;
        /// It isn't told of its own changes.
        const NOLOOP = 1 << 3;
        /// CLIENT CACHING has been called for the command or transaction to come.
        const CACHING = 1 << 4;
        /// The connection that messages go to is gone.
        const BROKEN_REDIRECT = 1 << 5;
    }
}

/// A client's tracking.
#[derive(Debug, Default)]
pub struct ClientTracking {
    /// How it tracks.
    pub mode: Mode,
    /// The connection that messages go to, if not its own.
    pub redirect: Option<u64>,
    /// The prefixes that it follows; in mode BCAST only.
    pub prefixes: BTreeSet<Box<[u8]>>,
}

impl ClientTracking {
    /// Bytes that this holds on the heap, with the places of prefixes in the register.
    pub fn heap_bytes(&self) -> usize {
        const PLACES: usize = size_of::<Followed>() + 3 * size_of::<Box<[u8]>>();
        let prefixes = self.prefixes.iter().map(|prefix| 2 * prefix.len() + PLACES);
        size_of::<Self>() + prefixes.sum::<usize>()
    }
}

/// A key, and the clients that may hold it, in the order of their identifiers.
#[derive(Debug, Clone)]
struct Tracked {
    key: Box<[u8]>,
    clients: SmallVec<[ClientRef; 1]>,
}

impl Keyed for Arc<Tracked> {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// What has changed below a prefix since its followers were told, and by whom.
type Changes = HashMap<Box<[u8]>, Option<ClientRef>>;

#[derive(Debug, Default)]
struct Followed {
    clients: BTreeSet<ClientRef>,
    changes: Changes,
}

/// Who tracks what.
pub struct Tracking {
    /// Clients that track.
    clients: usize,
    keys: Dict<Arc<Tracked>>,
    /// Clients of all keys together.
    items: usize,
    prefixes: BTreeMap<Box<[u8]>, Followed>,
    /// Whether followers of a prefix have to be told of something.
    changed: bool,
    /// How often in a row the table was over its limit for all the effort.
    overruns: usize,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            clients: 0,
            keys: Dict::new(Seed(seed::random_u64(), seed::random_u64())),
            items: 0,
            prefixes: BTreeMap::new(),
            changed: false,
            overruns: 0,
        }
    }
}

impl Tracking {
    /// Number of clients that track.
    #[inline]
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Number of keys that some client may hold.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Number of pairs of a key and a client that may hold it.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Number of prefixes that some client follows.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether nobody would be told of any change.
    #[inline]
    pub(in crate::server) fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }

    /// Notes that a client may hold a key.
    fn remember(&mut self, key: &[u8], client: ClientRef) {
        match self.keys.get_mut(key) {
            Some(tracked) => {
                let clients = &mut Arc::make_mut(tracked).clients;
                if let Err(at) = clients.binary_search(&client) {
                    clients.insert(at, client);
                    self.items += 1;
                }
            }
            None => {
                let clients = SmallVec::from_buf([client]);
                self.keys.insert(Arc::new(Tracked { key: key.into(), clients }));
                self.items += 1;
            }
        }
    }

    /// Forgets a key, and says who may hold it.
    fn forget(&mut self, key: &[u8]) -> Option<Arc<Tracked>> {
        let tracked = self.keys.remove(key)?;
        self.items -= tracked.clients.len();
        Some(tracked)
    }

    /// Notes a change for those who follow a prefix of the key.
    fn note_change(&mut self, key: &[u8], by: Option<ClientRef>) {
        for (prefix, followed) in &mut self.prefixes {
            if key.starts_with(prefix) {
                followed.changes.insert(key.into(), by);
                self.changed = true;
            }
        }
    }
}

/// What a client is told to let go of.
enum Invalid<'a> {
    Keys(&'a [&'a [u8]]),
    All,
}

impl Invalid<'_> {
    fn write(&self, out: &mut Reply) {
        match self {
            Self::Keys(keys) => {
                out.array(keys.len());
                keys.iter().for_each(|key| out.bulk(key));
            }
            Self::All => out.null(),
        }
    }
}

impl Command {
    /// Whether a client that tracks may hold what a call of this command read. What a script reads
    /// is tracked by the commands that it calls.
    #[inline]
    fn is_tracked(&self) -> bool {
        self.flags.contains(Flags::READONLY) && !self.flags.contains(Flags::SKIP_MONITOR)
    }
}

impl Server {
    /// Has a client track, or track otherwise than before. Prefixes are added to those that it has.
    pub fn enable_tracking(
        &mut self,
        id: ClientRef,
        mode: Mode,
        redirect: Option<u64>,
        prefixes: &[&[u8]],
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        self.tracking.clients += usize::from(client.tracking.is_none());
        let tracking = client.tracking.get_or_insert_default();
        tracking.mode = mode | (tracking.mode & Mode::CACHING);
        tracking.redirect = redirect;
        if !mode.contains(Mode::BCAST) {
            return;
        }
        let all: &[&[u8]] = &[b""];
        for &prefix in if prefixes.is_empty() { all } else { prefixes } {
            tracking.prefixes.insert(prefix.into());
            self.tracking.prefixes.entry(prefix.into()).or_default().clients.insert(id);
        }
    }

    /// Ends a client's tracking. Keys that it may hold are forgotten when they change.
    pub fn disable_tracking(&mut self, id: ClientRef) {
        let Some(tracking) = self.clients.get_mut(id).and_then(|client| client.tracking.take())
        else {
            return;
        };
        self.tracking.clients -= 1;
        for prefix in tracking.prefixes {
            let Some(followed) = self.tracking.prefixes.get_mut(&prefix) else { continue };
            followed.clients.remove(&id);
            if followed.clients.is_empty() {
                self.tracking.prefixes.remove(&prefix);
            }
        }
    }

    /// Notes the keys that a command has read for a client that tracks.
    #[inline]
    pub(in crate::server) fn track_reads(
        &mut self,
        id: ClientRef,
        command: &'static Command,
        args: &Args<'_>,
    ) {
        if self.tracking.clients > 0 && command.is_tracked() {
            self.remember_reads(id, command, args);
        }
    }

    fn remember_reads(&mut self, id: ClientRef, command: &'static Command, args: &Args<'_>) {
        let Some(tracking) = self.clients.get(id).and_then(|client| client.tracking.as_deref())
        else {
            return;
        };
        let mode = tracking.mode;
        let caching = mode.contains(Mode::CACHING);
        let skips = mode.contains(Mode::BCAST)
            || mode.contains(Mode::OPTIN) && !caching
            || mode.contains(Mode::OPTOUT) && caching;
        if skips {
            return;
        }
        for (index, _) in command.keys_of(args).0 {
            self.tracking.remember(args.at(index), id);
        }
    }

    /// What CLIENT CACHING said holds for one command or transaction: it ends with the command that
    /// has been called, unless that was one of CLIENT's.
    #[inline]
    pub(in crate::server) fn end_caching(&mut self, id: ClientRef, command: Option<CommandId>) {
        if self.tracking.clients > 0 {
            self.end_caching_of(id, command);
        }
    }

    fn end_caching_of(&mut self, id: ClientRef, command: Option<CommandId>) {
        let row = command.map(|command| self.commands.get(command));
        let container = row.and_then(|row| row.parent).map(|id| self.commands.get(id).command.name);
        let Some(client) = self.clients.get_mut(id) else { return };
        let ends = !client.in_multi() && container != Some("client");
        if let Some(tracking) = client.tracking.as_deref_mut().filter(|_| ends) {
            tracking.mode.remove(Mode::CACHING);
        }
    }

    /// Tells who may hold a key that it has changed. `by` whom is `None` if it expired or was
    /// evicted.
    pub(in crate::server) fn invalidate(&mut self, key: &[u8], by: Option<ClientRef>) {
        self.tracking.note_change(key, by);
        self.invalidate_reads(key);
    }

    fn invalidate_reads(&mut self, key: &[u8]) {
        let Some(tracked) = self.tracking.forget(key) else { return };
        let running = self.executing.map(|(id, _)| id);
        for &id in &tracked.clients {
            let mode = self.tracking_mode(id);
            // In mode BCAST it may have read the key before, and isn't told of that any more.
            let spared = |mode: Mode| {
                mode.contains(Mode::BCAST) || mode.contains(Mode::NOLOOP) && running == Some(id)
            };
            if mode.is_some_and(|mode| !spared(mode)) {
                self.send_invalid(id, &Invalid::Keys(&[key]));
            }
        }
    }

    /// Tells everybody who tracks that all keys are gone.
    pub(in crate::server) fn invalidate_all(&mut self) {
        if self.tracking.clients > 0 {
            let tracks = self.clients.iter().filter(|client| client.tracking.is_some());
            let mut told: Vec<ClientRef> = tracks.map(|client| client.id).collect();
            told.sort_unstable();
            for id in told {
                self.send_invalid(id, &Invalid::All);
            }
        }
        self.tracking.keys.clear();
        self.tracking.items = 0;
    }

    /// Tells those who follow prefixes what has changed since they were told last.
    #[inline]
    pub(in crate::server) fn broadcast_changes(&mut self) {
        if self.tracking.changed {
            self.broadcast_all();
        }
    }

    fn broadcast_all(&mut self) {
        self.tracking.changed = false;
        let mut due: Vec<(Vec<ClientRef>, Changes)> = Vec::new();
        for followed in self.tracking.prefixes.values_mut() {
            if !followed.changes.is_empty() {
                let changes = std::mem::take(&mut followed.changes);
                due.push((followed.clients.iter().copied().collect(), changes));
            }
        }
        for (clients, changes) in due {
            let mut sorted: Vec<(&[u8], Option<ClientRef>)> =
                changes.iter().map(|(key, by)| (&**key, *by)).collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            for id in clients {
                let noloop = self.tracking_mode(id).is_some_and(|m| m.contains(Mode::NOLOOP));
                let told = sorted.iter().filter(|(_, by)| !(noloop && *by == Some(id)));
                let keys: Vec<&[u8]> = told.map(|(key, _)| *key).collect();
                if !keys.is_empty() {
                    self.send_invalid(id, &Invalid::Keys(&keys));
                }
            }
        }
    }

    /// Drops keys, any of them, while the table holds more than it may. Those who may hold them are
    /// told, as if they had changed.
    #[inline]
    pub(in crate::server) fn limit_tracked_keys(&mut self) {
        let max = self.config.tracking_table_max_keys;
        if max > 0 && self.tracking.keys.len() as u64 > max {
            self.drop_tracked_keys(max);
        }
    }

    fn drop_tracked_keys(&mut self, max: u64) {
        for _ in 0..EFFORT * (self.tracking.overruns + 1) {
            let Some(tracked) = self.tracking.keys.random(&mut self.rng).cloned() else { return };
            self.invalidate_reads(&tracked.key);
            if self.tracking.keys.len() as u64 <= max {
                self.tracking.overruns = 0;
                return;
            }
        }
        self.tracking.overruns += 1;
    }

    fn tracking_mode(&self, id: ClientRef) -> Option<Mode> {
        Some(self.clients.get(id)?.tracking.as_deref()?.mode)
    }

    /// Tells a client, or the connection that it redirects to, what to let go of.
    fn send_invalid(&mut self, id: ClientRef, what: &Invalid<'_>) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(tracking) = client.tracking.as_deref_mut() else { return };
        let receiver = match tracking.redirect {
            None => id,
            Some(redirect) => match self.clients.by_id(redirect) {
                Some(receiver) => receiver.id,
                None => return self.send_broken_redirect(id, redirect),
            },
        };
        let Some(proto) = self.proto_of(receiver) else { return };
        let subscribed = self.clients.get(receiver).is_some_and(|client| !client.subs.is_empty());
        let mut message = Reply::new(proto);
        match proto {
            Proto::Resp3 => {
                message.push(2);
                message.bulk(b"invalidate");
            }
            // RESP2 has no pushes, but messages on a channel.
            Proto::Resp2 if receiver != id && subscribed => {
                message.push(3);
                message.bulk(b"message");
                message.bulk(CHANNEL);
            }
            Proto::Resp2 => return,
        }
        what.write(&mut message);
        self.push_output(receiver, message.bytes());
    }

    /// Tells a client that the connection is gone to which its messages should go.
    fn send_broken_redirect(&mut self, id: ClientRef, redirect: u64) {
        let tracking = self.clients.get_mut(id).and_then(|client| client.tracking.as_deref_mut());
        if let Some(tracking) = tracking {
            tracking.mode.insert(Mode::BROKEN_REDIRECT);
        }
        if self.proto_of(id) == Some(Proto::Resp3) {
            let mut message = Reply::new(Proto::Resp3);
            message.push(2);
            message.bulk(b"tracking-redir-broken");
            message.int(i64::try_from(redirect).unwrap_or(i64::MAX));
            self.push_output(id, message.bytes());
        }
    }
}
