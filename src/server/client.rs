//! The server's side of a connection, and the table of them all.
//!
//! Owns what is known of each client: identity, protocol, selected database, transaction,
//! subscriptions, what it is blocked on, and the output that waits to be sent. Never touches a
//! socket: the network layer reads into the server and writes what stands in `out`.

use hashbrown::{HashMap, HashSet};

use crate::acl::UserId;
use crate::resp::{ArgBuf, Reply};
use crate::server::blocked::Blocked;
use crate::server::command::CommandId;
use crate::server::tracking::ClientTracking;

/// A client: its identifier, which is never used again, and its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientRef {
    /// The identifier that `CLIENT ID` replies.
    pub id: u64,
    slot: u32,
}

bitflags::bitflags! {
    /// What a client is in the middle of.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ClientFlags: u32 {
        /// Between MULTI and EXEC.
        const MULTI = 1 << 0;
        /// A watched key was modified: EXEC will fail.
        const DIRTY_CAS = 1 << 1;
        /// A command could not be queued: EXEC will fail.
        const DIRTY_EXEC = 1 << 2;
        /// To be closed as soon as the network layer sees it.
        const CLOSE_ASAP = 1 << 3;
        /// To be closed when its output has been sent.
        const CLOSE_AFTER_REPLY = 1 << 4;
        /// Receives every command (MONITOR).
        const MONITOR = 1 << 5;
        /// `CLIENT REPLY OFF`.
        const REPLY_OFF = 1 << 6;
        /// `CLIENT REPLY SKIP`: the next command's reply is dropped.
        const REPLY_SKIP_NEXT = 1 << 7;
        /// The running command's reply is dropped.
        const REPLY_SKIP = 1 << 8;
        /// `CLIENT NO-EVICT`.
        const NO_EVICT = 1 << 9;
        /// `CLIENT NO-TOUCH`.
        const NO_TOUCH = 1 << 10;
        /// Connected through the unix socket.
        const UNIX_SOCKET = 1 << 11;
        /// Stands in the list of clients that the network layer must look at.
        const AWAITS_FLUSH = 1 << 12;
        /// A command of it is running: its output buffer is with the command's context.
        const EXECUTING = 1 << 13;
        /// The blocked command is to be executed, or its input gone on with.
        const UNBLOCKED = 1 << 14;
        /// Connected from this machine.
        const LOCAL = 1 << 15;
        /// Its next command is held back by CLIENT PAUSE.
        const PAUSED = 1 << 16;
        /// Waits for keys to be at another server.
        const MIGRATING = 1 << 18;
        /// Waits for what it did to be in the append only file.
        const AWAITS_FILE = 1 << 19;
        /// No connection: on its behalf the server executes commands of its own.
        const INTERNAL = 1 << 17;
    }
}

/// A queued command of a transaction.
#[derive(Debug)]
pub struct Queued {
    /// The command.
    pub command: CommandId,
    /// Its arguments.
    pub args: ArgBuf,
}

/// A watched key.
#[derive(Debug)]
pub struct Watched {
    /// The key's database.
    pub db: usize,
    /// The key.
    pub key: Box<[u8]>,
    /// Whether it had expired when the watch began, so that its deletion is no change.
    pub expired: bool,
}

/// What a client is subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// Channels.
    pub channels: HashSet<Box<[u8]>>,
    /// Patterns.
    pub patterns: HashSet<Box<[u8]>>,
    /// Shard channels.
    pub shard: HashSet<Box<[u8]>>,
    /// Bytes that all of them hold, with their places in the registers.
    pub bytes: usize,
}

impl Subscriptions {
    /// Channels and patterns together: what `subscribe` replies count.
    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether there is none of any kind.
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.shard.is_empty()
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its identity.
    pub id: ClientRef,
    /// The peer's address: `ip:port`, or the unix socket's path and `:0`.
    pub addr: Box<str>,
    /// The address it connected to.
    pub laddr: Box<str>,
    /// The descriptor's number, for `CLIENT LIST`.
    pub fd: i32,
    /// `CLIENT SETNAME`.
    pub name: Box<[u8]>,
    /// `CLIENT SETINFO lib-name`.
    pub lib_name: Box<[u8]>,
    /// `CLIENT SETINFO lib-ver`.
    pub lib_ver: Box<[u8]>,
    /// What it is in the middle of.
    pub flags: ClientFlags,
    /// Whether it has authenticated, or needed not when it connected.
    pub authenticated: bool,
    /// The user that it acts as.
    pub user: UserId,
    /// The selected database.
    pub db: usize,
    /// Output that hasn't been sent.
    pub out: Reply,
    /// Pushes that arrived while one of its own commands ran: they follow its reply.
    pub late: Vec<u8>,
    /// The position in the append only file behind all that it did: replies wait for it.
    pub told_at: u64,
    /// Bytes of `out` that have been sent already.
    pub sent: usize,
    /// The commands between MULTI and EXEC.
    pub queued: Vec<Queued>,
    /// Bytes that they hold.
    pub queued_bytes: usize,
    /// Watched keys.
    pub watching: Vec<Watched>,
    /// Bytes that they hold, with their places in the register.
    pub watch_bytes: usize,
    /// Subscriptions.
    pub subs: Subscriptions,
    /// How it tracks what it reads.
    pub tracking: Option<Box<ClientTracking>>,
    /// What it waits for.
    pub blocked: Option<Box<Blocked>>,
    /// The last command it called.
    pub last_command: Option<CommandId>,
    /// When it connected, in Unix milliseconds.
    pub created_ms: i64,
    /// When it last sent something, in Unix milliseconds.
    pub active_ms: i64,
    /// Since when the output has been above the soft limit, in Unix milliseconds.
    pub soft_limit_since_ms: Option<i64>,
    /// Bytes of input that wait or are being executed, and room for more, in the read buffer.
    pub query_buf: (usize, usize),
    /// Bytes of the arguments of the command being executed or received.
    pub argv_bytes: usize,
    /// What it took when `maxmemory-clients` was last looked after, in bytes.
    pub accounted: usize,
}

impl Client {
    /// Bytes of output that wait to be sent.
    pub fn pending_out(&self) -> usize {
        (self.out.len() + self.late.len()).saturating_sub(self.sent)
    }

    /// Bytes that the client costs, all told.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.out.capacity()
            + self.late.capacity()
            + self.query_buf.0
            + self.query_buf.1
            + self.argv_bytes
            + self.queued_bytes
            + self.watch_bytes
            + self.subs.bytes
            + self.tracking.as_ref().map_or(0, |tracking| tracking.heap_bytes())
    }

    /// Whether it is between MULTI and EXEC.
    pub fn in_multi(&self) -> bool {
        self.flags.contains(ClientFlags::MULTI)
    }

    /// Whether it waits for keys.
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Whether its next command has to wait.
    pub fn must_wait(&self) -> bool {
        self.is_blocked() || self.flags.intersects(ClientFlags::PAUSED | ClientFlags::MIGRATING)
    }

    /// Whether it is on its way out.
    pub fn is_closing(&self) -> bool {
        self.flags.intersects(ClientFlags::CLOSE_ASAP | ClientFlags::CLOSE_AFTER_REPLY)
    }
}

/// How a new client reached the server.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The peer's address.
    pub addr: Box<str>,
    /// The address it connected to.
    pub laddr: Box<str>,
    /// The descriptor's number.
    pub fd: i32,
    /// Whether it came through the unix socket.
    pub unix: bool,
    /// Whether it came from this machine.
    pub local: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    slots: Vec<Option<Box<Client>>>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32>,
    last_id: u64,
}

impl Clients {
    /// Adds a client.
    pub fn add(&mut self, origin: Origin, authenticated: bool, now_ms: i64) -> ClientRef {
        self.last_id += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let id = ClientRef { id: self.last_id, slot };
        let mut flags = ClientFlags::empty();
        flags.set(ClientFlags::UNIX_SOCKET, origin.unix);
        flags.set(ClientFlags::LOCAL, origin.local);
        let client = Client {
            id,
            addr: origin.addr,
            laddr: origin.laddr,
            fd: origin.fd,
            name: Box::default(),
            lib_name: Box::default(),
            lib_ver: Box::default(),
            flags,
            authenticated,
            user: UserId::DEFAULT,
            db: 0,
            out: Reply::default(),
            late: Vec::new(),
            told_at: 0,
            sent: 0,
            queued: Vec::new(),
            queued_bytes: 0,
            watching: Vec::new(),
            watch_bytes: 0,
            subs: Subscriptions::default(),
            tracking: None,
            blocked: None,
            last_command: None,
            created_ms: now_ms,
            active_ms: now_ms,
            soft_limit_since_ms: None,
            query_buf: (0, 0),
            argv_bytes: 0,
            accounted: 0,
        };
        self.slots[slot as usize] = Some(Box::new(client));
        self.by_id.insert(id.id, slot);
        id
    }

    /// Removes a client.
    pub fn remove(&mut self, client: ClientRef) -> Option<Box<Client>> {
        self.get(client)?;
        self.by_id.remove(&client.id);
        self.free.push(client.slot);
        self.slots[client.slot as usize].take()
    }

    /// A client that may be gone.
    #[inline]
    pub fn get(&self, client: ClientRef) -> Option<&Client> {
        self.slots.get(client.slot as usize)?.as_deref().filter(|found| found.id == client)
    }

    /// A client that may be gone, to change it.
    #[inline]
    pub fn get_mut(&mut self, client: ClientRef) -> Option<&mut Client> {
        self.slots.get_mut(client.slot as usize)?.as_deref_mut().filter(|found| found.id == client)
    }

    /// The client of that identifier.
    pub fn by_id(&self, id: u64) -> Option<&Client> {
        self.slots.get(*self.by_id.get(&id)? as usize)?.as_deref()
    }

    /// All clients, the oldest first.
    pub fn sorted(&self) -> Vec<&Client> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by_key(|client| client.id.id);
        all
    }

    /// All clients that have a connection, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        let all = self.slots.iter().filter_map(|slot| slot.as_deref());
        all.filter(|client| !client.flags.contains(ClientFlags::INTERNAL))
    }

    /// All clients, in no order, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.slots.iter_mut().filter_map(|slot| slot.as_deref_mut())
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
