//! The server: all state, and the pipeline that every command goes through.
//!
//! Composes the layers below. It runs on one thread and does no I/O: the network layer hands it
//! commands, sends what stands in the clients' buffers, and carries out what it asks of the
//! [`Network`]. It knows the `Command` type, never a particular command.

pub mod acl;
pub mod aof;
pub mod blocked;
pub mod call;
pub mod client;
mod client_info;
pub mod client_memory;
pub mod command;
pub mod cron;
pub mod ctx;
pub mod eviction;
mod group;
mod keyargs;
pub mod keys;
pub mod lazyfree;
pub mod limits;
pub mod load_rdb;
pub mod loading;
pub mod memory;
pub mod migrate;
pub mod monitor;
pub mod network;
pub mod pause;
pub mod propagate;
pub mod pubsub;
pub mod rdb;
pub mod redact;
pub mod replay;
pub mod scripting;
pub mod shutdown;
pub mod tracking;
pub mod watch;

use std::sync::Arc;

use crate::acl::{AclLog, Users};
use crate::config::Config;
use crate::keyspace::{Db, Entry, KnownHash};
use crate::resp::Proto;
use crate::script::Functions;
use crate::stats::{Counters, Latency, RateSampler, SlowLog};
use crate::util::clock::Clock;
use crate::util::file::Disk;
use crate::util::log::Log;
use crate::util::process;
use crate::util::seed;
use crate::value;

use blocked::BlockedClients;
use client::{ClientFlags, ClientRef, Clients, Origin};
use client_memory::ClientMemory;
use command::Table;
use eviction::{AccessClock, Eviction};
use lazyfree::LazyFree;
use network::{Background, Network, Wakers};
use pause::Pause;
use propagate::Propagation;
use pubsub::PubSub;
use scripting::Scripting;
use tracking::Tracking;
use watch::WatchedKeys;

/// The version of Redis that this server is compatible with.
pub const REDIS_VERSION: &str = "7.2.4";
/// The version of this server.
pub const RHUBARB_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that outlives a command.
pub struct Server {
    /// The configuration in force.
    pub config: Config,
    /// Where values change their encoding: the configuration's, at hand for every command.
    pub limits: value::Limits,
    /// The databases.
    pub dbs: Vec<Db>,
    /// All clients.
    pub clients: Clients,
    /// All users.
    pub users: Users,
    /// What was refused to them.
    pub acl_log: AclLog,
    /// The command table.
    pub commands: Arc<Table>,
    /// Counters for INFO.
    pub counters: Counters,
    /// Sampled rates: commands, input bytes, output bytes, each per second.
    pub rates: [RateSampler; 3],
    /// Events that took long.
    pub latency: Latency,
    /// Commands that took long.
    pub slowlog: SlowLog,
    /// Subscribers.
    pub pubsub: PubSub,
    /// Blocked clients.
    pub blocked: BlockedClients,
    /// Watched keys.
    pub watched: WatchedKeys,
    /// Clients that see every command.
    pub monitors: Vec<ClientRef>,
    /// Access clocks.
    pub eviction: Eviction,
    /// Where large values are freed.
    pub lazyfree: LazyFree,
    /// Random numbers that need no secrecy.
    pub rng: fastrand::Rng,
    /// The log.
    pub log: Log,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where data is kept.
    pub disk: Arc<dyn Disk>,
    /// The time that commands see, in Unix milliseconds.
    pub now_ms: i64,
    /// When the server started, in Unix milliseconds.
    pub started_ms: i64,
    /// 40 hexadecimal digits that tell this run from any other.
    pub run_id: String,
    /// Memory in use when the server started, in bytes.
    pub startup_memory: u64,
    /// When the log last told of a client that sends HTTP.
    http_warned_ms: Option<i64>,
    /// Modifications since the last save.
    pub dirty: u64,
    /// The load that is under way, if there is one.
    pub loading: Option<loading::Loading>,
    /// Snapshots in files.
    pub rdb: rdb::Rdb,
    /// The file that a save here and now is writing.
    pub saving_to: shutdown::FinalTemp,
    /// Whether RESTORE believes checksums (`DEBUG SET-SKIP-CHECKSUM-VALIDATION`).
    pub skip_checksums: bool,
    /// The append only file.
    pub aof: aof::Aof,
    /// Effects on their way to the append only file and to replicas.
    pub propagation: Propagation,
    /// Memory in use, as last read, and when, in Unix milliseconds.
    used_memory: (u64, i64),
    /// Whether due keys are deleted by the cron (`DEBUG SET-ACTIVE-EXPIRE`).
    pub active_expire: bool,
    /// The pause under way, if there is one.
    pub pause: Option<Pause>,
    /// The last hash that was read in a pause while fields of it were due: the same without them.
    shadow: Option<Entry>,
    /// Clients that it holds back.
    paused: Vec<ClientRef>,
    /// Scripts.
    pub scripting: Scripting,
    /// Libraries of functions.
    pub functions: Functions,
    /// What all clients take together.
    client_memory: ClientMemory,
    /// Whether the work by the clock rests, save for deadlines (`DEBUG PAUSE-CRON`).
    pub cron_paused: bool,
    /// Whether large output buffers are kept when they are empty (`DEBUG REPLYBUFFER RESIZING`).
    pub keep_output_buffers: bool,
    /// Keys that clients hold in caches of their own.
    pub tracking: Tracking,
    /// Whether scripts may call what is denied to them (`DEBUG SET-DISABLE-DENY-SCRIPTS`).
    pub allow_deny_scripts: bool,
    /// What the network layer offers.
    pub network: Box<dyn Network>,
    /// The path of the configuration file, if there is one.
    pub config_file: Option<std::path::PathBuf>,
    /// Set when the server is to end, with the exit code.
    pub shutdown: Option<i32>,
    /// The hash of the key of the command that runs, if the look ahead knows it.
    pub(crate) known: KnownHash,
    /// The client whose command runs, and the protocol of its reply.
    executing: Option<(ClientRef, Proto)>,
    /// Depth of nested calls: commands of EXEC and scripts.
    depth: u32,
    /// When the last lap ended, on the monotonic clock.
    lap_ns: u64,
    /// Clients that the network layer must look at.
    woken: Vec<ClientRef>,
    cron: cron::CronState,
}

/// What a server is made of.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The command table.
    pub commands: Table,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where data is kept.
    pub disk: Arc<dyn Disk>,
    /// The log.
    pub log: Log,
    /// The path of the configuration file.
    pub config_file: Option<std::path::PathBuf>,
}

impl Server {
    /// A server with empty databases. `background` says who does what takes long.
    pub fn new(parts: Parts, network: Box<dyn Network>, background: Background) -> Self {
        let Parts { config, mut commands, clock, disk, log, config_file } = parts;
        for renamed in &config.renamed_commands {
            // Whoever read the configuration has checked that it can be.
            let _ = commands.rename(&renamed.from, &renamed.to);
        }
        let now_ms = clock.unix_us() / 1000;
        let (flush, tick) = background.wakers().map(|Wakers { flush, tick }| (flush, tick)).unzip();
        let aof = aof::Aof::new(&config, &disk, &clock, flush);
        Self {
            limits: config.limits,
            dbs: (0..config.databases).map(|_| Db::new()).collect(),
            clients: Clients::default(),
            users: acl::first_users(&commands, &config),
            acl_log: AclLog::default(),
            counters: Counters::new(commands.rows()),
            rates: Default::default(),
            commands: Arc::new(commands),
            latency: Latency::default(),
            slowlog: SlowLog::default(),
            pubsub: PubSub::default(),
            blocked: BlockedClients::default(),
            watched: WatchedKeys::default(),
            monitors: Vec::new(),
            eviction: Eviction::new(&config),
            lazyfree: LazyFree::start(),
            rng: fastrand::Rng::with_seed(seed::random_u64()),
            log,
            now_ms,
            started_ms: now_ms,
            clock,
            disk,
            run_id: seed::random_hex(40),
            startup_memory: process::allocator().allocated,
            http_warned_ms: None,
            dirty: 0,
            loading: None,
            rdb: rdb::Rdb::new(now_ms, tick),
            saving_to: shutdown::FinalTemp::default(),
            skip_checksums: false,
            aof,
            propagation: Propagation::default(),
            used_memory: (0, 0),
            active_expire: true,
            pause: None,
            shadow: None,
            paused: Vec::new(),
            scripting: Scripting::new(config.lua_enable_deprecated_api),
            client_memory: ClientMemory::new(&config),
            cron_paused: false,
            keep_output_buffers: false,
            tracking: Tracking::default(),
            functions: Functions::new(config.lua_enable_deprecated_api),
            allow_deny_scripts: false,
            network,
            config_file,
            shutdown: None,
            executing: None,
            depth: 0,
            lap_ns: 0,
            known: KnownHash::default(),
            woken: Vec::new(),
            cron: cron::CronState::default(),
            config,
        }
    }

    /// Reads the clock: what commands see as the time from here on.
    pub fn refresh_clock(&mut self) {
        self.now_ms = self.clock.unix_us() / 1000;
        if self.config.aof_timestamp_enabled {
            self.annotate_aof();
        }
        self.lap_ns = self.clock.mono_ns();
    }

    /// Ends a lap; says how many nanoseconds passed since `started_ns`, an earlier `lap_ns`.
    /// One reading of the clock serves as the end of one command and the start of the next.
    #[inline]
    fn end_lap(&mut self, started_ns: u64) -> u64 {
        self.lap_ns = self.clock.mono_ns();
        self.lap_ns.saturating_sub(started_ns)
    }

    /// The time in the units of access clocks.
    #[inline]
    pub fn access_clock(&self) -> AccessClock {
        AccessClock::at(self.now_ms)
    }

    /// Takes over what follows from a changed configuration.
    pub fn apply_config(&mut self, config: Config) {
        let removes_history = self.config.aof_disable_auto_gc && !config.aof_disable_auto_gc;
        self.limits = config.limits;
        self.eviction = Eviction::new(&config);
        self.config = config;
        self.limit_client_memory();
        self.configure_aof();
        if removes_history {
            self.drain_aof();
        }
    }

    /// Adds a client that has just connected.
    pub fn connect(&mut self, origin: Origin, now_ms: i64) -> ClientRef {
        let authenticated = self.users.admit_anybody();
        self.clients.add(origin, authenticated, now_ms)
    }

    /// Memory in use, in bytes, as it was a moment ago: reading it exactly takes long.
    pub fn used_memory(&mut self) -> u64 {
        const FRESH_MS: i64 = 10;
        if (self.now_ms - self.used_memory.1).abs() >= FRESH_MS {
            self.used_memory = (process::allocator().allocated, self.now_ms);
            self.counters.peak_memory = self.counters.peak_memory.max(self.used_memory.0);
        }
        self.used_memory.0
    }

    /// Whether more memory is in use than `maxmemory` allows.
    #[inline]
    pub fn is_out_of_memory(&mut self) -> bool {
        self.config.maxmemory > 0 && self.used_memory() > self.config.maxmemory
    }

    /// Tells the network layer to look at a client: it has output, can go on, or is to be closed.
    #[inline]
    pub fn wake(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.flags.contains(ClientFlags::AWAITS_FLUSH) {
            client.flags.insert(ClientFlags::AWAITS_FLUSH);
            self.woken.push(id);
        }
    }

    /// A client that the network layer must look at, if there is one.
    pub fn next_woken(&mut self) -> Option<ClientRef> {
        self.broadcast_changes();
        self.evict_clients();
        let id = self.woken.pop()?;
        if let Some(client) = self.clients.get_mut(id) {
            client.flags.remove(ClientFlags::AWAITS_FLUSH);
        }
        Some(id)
    }

    /// Has a client closed as soon as the network layer sees it.
    pub fn close_client(&mut self, id: ClientRef) {
        if let Some(client) = self.clients.get_mut(id) {
            client.flags.insert(ClientFlags::CLOSE_ASAP);
        }
        self.account_client(id);
        self.wake(id);
    }

    /// Forgets a client that is gone: the network layer calls this once its socket is closed.
    pub fn remove_client(&mut self, id: ClientRef) {
        self.unblock_client(id);
        self.unsubscribe_all(id);
        self.unwatch_all(id);
        self.disable_tracking(id);
        self.paused.retain(|paused| *paused != id);
        self.monitors.retain(|monitor| *monitor != id);
        self.forget_aof_waiter(id);
        if let Some(client) = self.clients.remove(id) {
            self.discount_client(client.accounted);
        }
    }

    /// Whether a command is being executed for this client or for anybody.
    pub fn is_executing(&self) -> bool {
        self.executing.is_some()
    }
}
