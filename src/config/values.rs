//! Owns `Config`: every setting of the server as a typed field, with Redis 7.2's defaults.
//! Never parses text, never touches a file or a socket, never decides what a setting does.

use super::words::*;
use crate::value::Limits;

/// Text of a setting: bytes, since paths and passwords need not be UTF-8.
pub type Text = Vec<u8>;

/// Most addresses that `bind` takes.
pub const MAX_BIND_ADDRESSES: usize = 16;

/// Bounds that `hz` is clamped to, as Redis does, instead of refusing the value.
pub const HZ_BOUNDS: (u32, u32) = (1, 500);

/// `seconds changes`: take a snapshot after `seconds` if at least `changes` keys changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save; at least 1.
    pub seconds: u64,
    /// Changes since the last save.
    pub changes: u64,
}

/// One class of `client-output-buffer-limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes beyond which a client is closed at once; 0 is no limit.
    pub hard_bytes: u64,
    /// Bytes which a client may exceed for `soft_seconds` only; 0 is no limit.
    pub soft_bytes: u64,
    /// Seconds for which the soft limit may be exceeded.
    pub soft_seconds: u64,
}

/// Index into `Config::client_output_buffer_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    /// Ordinary clients, MONITOR included.
    Normal = 0,
    /// Replicas.
    Replica = 1,
    /// Clients with at least one subscription.
    PubSub = 2,
}

/// A limit in bytes, or in percent of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// Percent of `maxmemory`, 0 to 100.
    Percent(u8),
}

impl MemoryLimit {
    /// The limit in bytes for a `maxmemory` in bytes; `None` is no limit.
    pub fn bytes(self, maxmemory: u64) -> Option<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let share = u128::from(maxmemory) * u128::from(percent) / 100;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        };
        (bytes != 0).then_some(bytes)
    }
}

/// A flag set of `shutdown-on-sigint` and `shutdown-on-sigterm`; empty is `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags {
    /// Save even without save points.
    pub save: bool,
    /// Do not save even with save points.
    pub nosave: bool,
    /// Do not wait for lagging replicas.
    pub now: bool,
    /// Ignore errors that would prevent the exit.
    pub force: bool,
}

/// One `rename-command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedCommand {
    /// The command's name, in any case.
    pub from: Text,
    /// Its new name; empty for none.
    pub to: Text,
    /// Number and text of the line that says so.
    pub line: (usize, Text),
}

/// `bind`'s default: every IPv4 address, and every IPv6 address if there is IPv6.
pub const DEFAULT_BIND: [&str; 2] = ["*", "-::*"];

/// `save`'s default.
pub const DEFAULT_SAVE: [SavePoint; 3] = [
    SavePoint { seconds: 3600, changes: 1 },
    SavePoint { seconds: 300, changes: 100 },
    SavePoint { seconds: 60, changes: 10_000 },
];

const REPLICA_OUTPUT: OutputLimit =
    OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 };
const PUBSUB_OUTPUT: OutputLimit =
    OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 };
const NO_OUTPUT_LIMIT: OutputLimit = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };

/// Writes the struct and its `Default` from one list, so that a field and its default never part.
/// A `user` line: a name and its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserLine {
    /// The name, and the rules after it.
    pub words: Vec<Text>,
    /// The number of the line in the file, from 1, and its text.
    pub place: (usize, Text),
}

impl UserLine {
    /// A line that stands in no file yet.
    pub fn new(words: Vec<Text>) -> Self {
        Self { words, place: (0, Text::new()) }
    }
}

macro_rules! config_fields {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $default:expr;)+) => {
        /// Every setting of the server. Units are in each field's documentation.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config { $($(#[$doc])* pub $field: $type,)+ }

        impl Default for Config {
            fn default() -> Self { Self { $($field: $default,)+ } }
        }
    };
}

config_fields! {
    // Network
    /// Addresses to listen on; a leading `-` lets an unavailable one pass. Empty: no TCP listener.
    bind: Vec<String> = DEFAULT_BIND.map(String::from).to_vec();
    /// Address that outgoing connections come from; empty: the system's choice.
    bind_source_addr: Text = Text::new();
    /// Refuse clients from other machines while the default user has no password.
    protected_mode: bool = true;
    /// TCP port; 0: no TCP listener.
    port: u16 = 6379;
    /// Length of the listen queue.
    tcp_backlog: u32 = 511;
    /// Path of the Unix socket; empty: none.
    unixsocket: Text = Text::new();
    /// Mode of the Unix socket; 0: left as the umask made it.
    unixsocketperm: u32 = 0;
    /// Seconds after which an idle client is closed; 0: never.
    timeout: u32 = 0;
    /// Seconds between keepalive probes; 0: off.
    tcp_keepalive: u32 = 300;
    /// Mark put on listening sockets; 0: none.
    socket_mark_id: u32 = 0;
    /// Who may set protected directives.
    enable_protected_configs: Allow = Allow::No;
    /// Who may use DEBUG.
    enable_debug_command: Allow = Allow::No;
    /// Who may use MODULE.
    enable_module_command: Allow = Allow::No;
    // Tls
    /// TLS port; 0: no TLS listener.
    tls_port: u16 = 0;
    /// Sessions kept in the cache; 0: no limit.
    tls_session_cache_size: u32 = 20480;
    /// Seconds for which a session stays in the cache.
    tls_session_cache_timeout: u32 = 300;
    /// TLS on the cluster bus.
    tls_cluster: bool = false;
    /// TLS to the master.
    tls_replication: bool = false;
    /// Whether clients must show a certificate.
    tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes;
    /// The server's cipher order wins.
    tls_prefer_server_ciphers: bool = false;
    /// TLS session caching.
    tls_session_caching: bool = true;
    /// Certificate.
    tls_cert_file: Text = Text::new();
    /// Private key.
    tls_key_file: Text = Text::new();
    /// Passphrase of the private key.
    tls_key_file_pass: Text = Text::new();
    /// Certificate for outgoing connections.
    tls_client_cert_file: Text = Text::new();
    /// Private key for outgoing connections.
    tls_client_key_file: Text = Text::new();
    /// Passphrase of the outgoing private key.
    tls_client_key_file_pass: Text = Text::new();
    /// Diffie-Hellman parameters.
    tls_dh_params_file: Text = Text::new();
    /// Bundle of trusted certificates.
    tls_ca_cert_file: Text = Text::new();
    /// Directory of trusted certificates.
    tls_ca_cert_dir: Text = Text::new();
    /// Protocol versions.
    tls_protocols: Text = Text::new();
    /// Ciphers up to TLS 1.2.
    tls_ciphers: Text = Text::new();
    /// Cipher suites of TLS 1.3.
    tls_ciphersuites: Text = Text::new();
    // General
    /// Detach from the terminal.
    daemonize: bool = false;
    /// Which service manager to notify.
    supervised: Supervised = Supervised::No;
    /// Path of the process-id file; empty: none unless daemonized.
    pidfile: Text = Text::new();
    /// Least severity that is logged.
    loglevel: LogLevel = LogLevel::Notice;
    /// Path of the log; empty: standard output.
    logfile: Text = Text::new();
    /// Log to the system logger too.
    syslog_enabled: bool = false;
    /// Identity in the system log.
    syslog_ident: Text = b"redis".to_vec();
    /// Facility in the system log.
    syslog_facility: SyslogFacility = SyslogFacility::Local0;
    /// Number of databases; at least 1.
    databases: u32 = 16;
    /// Print the logo even if the log is not a terminal.
    always_show_logo: bool = false;
    /// Set the process title.
    set_proc_title: bool = true;
    /// Template of the process title.
    proc_title_template: Text = b"{title} {listen-addr} {server-mode}".to_vec();
    /// Locale for string comparison; empty: from the environment.
    locale_collate: Text = Text::new();
    /// Write a report on a crash.
    crash_log_enabled: bool = true;
    /// Test memory on a crash.
    crash_memcheck_enabled: bool = true;
    /// Exit, not abort, on a panic.
    use_exit_on_panic: bool = false;
    /// Ask for no transparent huge pages.
    disable_thp: bool = true;
    /// Startup warnings to pass over.
    ignore_warnings: Text = Text::new();
    /// Free text for a crash report.
    debug_context: Text = Text::new();
    /// Milliseconds of the software watchdog; 0: off.
    watchdog_period: u32 = 0;
    /// How `oom_score_adj_values` are applied.
    oom_score_adj: OomScoreAdj = OomScoreAdj::No;
    /// Kernel OOM scores of masters, replicas, background children; -2000 to 2000.
    oom_score_adj_values: [i32; 3] = [0, 200, 800];
    /// CPUs of the main thread and I/O threads.
    server_cpulist: Text = Text::new();
    /// CPUs of background threads.
    bio_cpulist: Text = Text::new();
    /// CPUs of the AOF rewrite.
    aof_rewrite_cpulist: Text = Text::new();
    /// CPUs of a background save.
    bgsave_cpulist: Text = Text::new();
    /// Seconds to wait for lagging replicas on shutdown.
    shutdown_timeout: u32 = 10;
    /// How SIGINT shuts down.
    shutdown_on_sigint: ShutdownFlags = ShutdownFlags::default();
    /// How SIGTERM shuts down.
    shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::default();
    /// `rename-command` pairs in order (old, new); an empty new name removes the command. No directive of CONFIG GET.
    renamed_commands: Vec<RenamedCommand> = Vec::new();
    /// `user` lines. No directive of CONFIG GET.
    users: Vec<UserLine> = Vec::new();
    /// Directives of old versions that were read and have no meaning any more.
    obsolete_directives: Vec<Text> = Vec::new();
    // Snapshotting
    /// When to take a snapshot; empty: never.
    save: Vec<SavePoint> = DEFAULT_SAVE.to_vec();
    /// Refuse writes after a failed background save.
    stop_writes_on_bgsave_error: bool = true;
    /// Compress strings in the RDB file.
    rdbcompression: bool = true;
    /// Checksum at the end of the RDB file.
    rdbchecksum: bool = true;
    /// Full check of RDB and RESTORE payloads.
    sanitize_dump_payload: SanitizePayload = SanitizePayload::No;
    /// Name of the RDB file, without a directory.
    dbfilename: Text = b"dump.rdb".to_vec();
    /// Delete RDB files of replication when nothing else persists.
    rdb_del_sync_files: bool = false;
    /// Sync the RDB file every few megabytes.
    rdb_save_incremental_fsync: bool = true;
    /// Microseconds to wait after each saved key (for tests); negative: keys per microsecond.
    rdb_key_save_delay: i32 = 0;
    /// Microseconds to wait after each loaded key (for tests).
    key_load_delay: i32 = 0;
    /// Bytes loaded between two rounds of serving clients.
    loading_process_events_interval_bytes: u32 = 2 << 20;
    /// Working directory. Whoever changes directory puts the absolute path here.
    dir: Text = b".".to_vec();
    // Replication
    /// Host and port of the master; `None`: this is a master.
    replicaof: Option<(String, u16)> = None;
    /// User to authenticate as at the master.
    masteruser: Text = Text::new();
    /// Password at the master.
    masterauth: Text = Text::new();
    /// Answer while the link to the master is down.
    replica_serve_stale_data: bool = true;
    /// Refuse writes on a replica.
    replica_read_only: bool = true;
    /// Free the old data in the background on a full sync.
    replica_lazy_flush: bool = false;
    /// A replica does not evict.
    replica_ignore_maxmemory: bool = true;
    /// A replica goes on after a failed write to disk.
    replica_ignore_disk_write_errors: bool = false;
    /// Show this replica to Sentinel.
    replica_announced: bool = true;
    /// Address that a replica reports; empty: as seen.
    replica_announce_ip: Text = Text::new();
    /// Port that a replica reports; 0: as seen.
    replica_announce_port: u16 = 0;
    /// Rank in a promotion; 0: never promoted.
    replica_priority: u32 = 100;
    /// Full sync straight into the socket.
    repl_diskless_sync: bool = true;
    /// Seconds to wait for more replicas before a diskless sync.
    repl_diskless_sync_delay: u32 = 5;
    /// Replicas that end the wait; 0: no such count.
    repl_diskless_sync_max_replicas: u32 = 0;
    /// How a replica loads a full sync.
    repl_diskless_load: ReplDisklessLoad = ReplDisklessLoad::Disabled;
    /// Seconds between pings to replicas.
    repl_ping_replica_period: u32 = 10;
    /// Seconds after which a silent replication link is broken.
    repl_timeout: u32 = 60;
    /// Let the kernel delay small packets to replicas.
    repl_disable_tcp_nodelay: bool = false;
    /// Bytes of the replication backlog.
    repl_backlog_size: u64 = 1 << 20;
    /// Seconds without replicas after which the backlog is freed; 0: never.
    repl_backlog_ttl: u64 = 3600;
    /// Good replicas that a write needs; 0: off.
    min_replicas_to_write: u32 = 0;
    /// Seconds of lag at which a replica is still good.
    min_replicas_max_lag: u32 = 10;
    /// What to do when the stream from the master fails.
    propagation_error_behavior: PropagationError = PropagationError::Ignore;
    /// Close a replica that sends a write.
    close_on_replica_write_error: bool = true;
    // Security
    /// Password of the default user; empty: none.
    requirepass: Text = Text::new();
    /// Path of the users' file; empty: none.
    aclfile: Text = Text::new();
    /// Entries of ACL LOG.
    acllog_max_len: u64 = 128;
    /// Channels of a new user.
    acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::Resetchannels;
    /// Keys remembered for client-side caching; 0: no limit.
    tracking_table_max_keys: u64 = 1_000_000;
    // Clients
    /// Most clients at once.
    maxclients: u32 = 10_000;
    /// Most bytes of a client's query buffer.
    client_query_buffer_limit: u64 = 1 << 30;
    /// Longest bulk string of a request, in bytes.
    proto_max_bulk_len: u64 = 512 << 20;
    /// Output limits by `ClientClass`.
    client_output_buffer_limit: [OutputLimit; 3] = [NO_OUTPUT_LIMIT, REPLICA_OUTPUT, PUBSUB_OUTPUT];
    /// Most memory of all clients together.
    maxmemory_clients: MemoryLimit = MemoryLimit::Bytes(0);
    // Memory
    /// Most bytes of data; 0: no limit.
    maxmemory: u64 = 0;
    /// What to remove at the limit.
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::Noeviction;
    /// Keys looked at per eviction.
    maxmemory_samples: u32 = 5;
    /// Effort of an eviction round, 0 to 100.
    maxmemory_eviction_tenacity: u32 = 10;
    /// How slowly the LFU counter saturates.
    lfu_log_factor: u32 = 10;
    /// Minutes per decay of the LFU counter.
    lfu_decay_time: u32 = 1;
    /// Evict in the background.
    lazyfree_lazy_eviction: bool = false;
    /// Free expired keys in the background.
    lazyfree_lazy_expire: bool = false;
    /// Free overwritten values in the background.
    lazyfree_lazy_server_del: bool = false;
    /// DEL works as UNLINK.
    lazyfree_lazy_user_del: bool = false;
    /// FLUSHALL and FLUSHDB work as with ASYNC.
    lazyfree_lazy_user_flush: bool = false;
    /// Active defragmentation.
    activedefrag: bool = false;
    /// Wasted bytes below which nothing is done.
    active_defrag_ignore_bytes: u64 = 100 << 20;
    /// Percent of fragmentation at which it starts.
    active_defrag_threshold_lower: u32 = 10;
    /// Percent of fragmentation at which effort is greatest.
    active_defrag_threshold_upper: u32 = 100;
    /// Least effort in percent of a CPU.
    active_defrag_cycle_min: u32 = 1;
    /// Greatest effort in percent of a CPU.
    active_defrag_cycle_max: u32 = 25;
    /// Elements of a collection handled at once.
    active_defrag_max_scan_fields: u64 = 1000;
    /// The allocator's background thread.
    jemalloc_bg_thread: bool = true;
    // Aof
    /// Append-only file.
    appendonly: bool = false;
    /// Base name of the append-only files.
    appendfilename: Text = b"appendonly.aof".to_vec();
    /// Directory of the append-only files.
    appenddirname: Text = b"appendonlydir".to_vec();
    /// When the append-only file is synced.
    appendfsync: AppendFsync = AppendFsync::Everysec;
    /// No sync while a rewrite or save runs.
    no_appendfsync_on_rewrite: bool = false;
    /// Growth in percent that starts a rewrite; 0: never.
    auto_aof_rewrite_percentage: u32 = 100;
    /// Bytes below which no rewrite starts.
    auto_aof_rewrite_min_size: u64 = 64 << 20;
    /// Load a file whose last command is cut off.
    aof_load_truncated: bool = true;
    /// Rewritten files begin in RDB format.
    aof_use_rdb_preamble: bool = true;
    /// Record times in the file.
    aof_timestamp_enabled: bool = false;
    /// Sync the rewrite every few megabytes.
    aof_rewrite_incremental_fsync: bool = true;
    /// Keep superseded files.
    aof_disable_auto_gc: bool = false;
    // Scripting
    /// Scripts see the deprecated API.
    lua_enable_deprecated_api: bool = false;
    /// Milliseconds of a script after which others get BUSY; 0: never.
    busy_reply_threshold: u64 = 5000;
    // Cluster
    /// Cluster mode.
    cluster_enabled: bool = false;
    /// The cluster's state file.
    cluster_config_file: Text = b"nodes.conf".to_vec();
    /// Cluster bus port; 0: `port` + 10000.
    cluster_port: u16 = 0;
    /// Milliseconds of silence after which a node is failing.
    cluster_node_timeout: u64 = 15_000;
    /// Milliseconds between pings on the bus.
    cluster_ping_interval: u64 = 1000;
    /// Replicas that a master keeps when one migrates.
    cluster_migration_barrier: u32 = 1;
    /// Multiple of the node timeout after which a replica is too old.
    cluster_replica_validity_factor: u32 = 10;
    /// Stop if a slot is not served.
    cluster_require_full_coverage: bool = true;
    /// This replica never fails over on its own.
    cluster_replica_no_failover: bool = false;
    /// Serve reads while the cluster is down.
    cluster_allow_reads_when_down: bool = false;
    /// Serve sharded pub/sub while the cluster is down.
    cluster_allow_pubsubshard_when_down: bool = true;
    /// Replicas may move to orphaned masters.
    cluster_allow_replica_migration: bool = true;
    /// Bytes of a bus link's send buffer; 0: no limit.
    cluster_link_sendbuf_limit: u64 = 0;
    /// Announced address.
    cluster_announce_ip: Text = Text::new();
    /// Announced port; 0: the real one.
    cluster_announce_port: u16 = 0;
    /// Announced TLS port; 0: the real one.
    cluster_announce_tls_port: u16 = 0;
    /// Announced bus port; 0: the real one.
    cluster_announce_bus_port: u16 = 0;
    /// Announced host name.
    cluster_announce_hostname: Text = Text::new();
    /// Announced name for people.
    cluster_announce_human_nodename: Text = Text::new();
    /// What MOVED names.
    cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip;
    // Slow log, latency, events
    /// Microseconds from which a command is logged; 0: all, negative: none.
    slowlog_log_slower_than: i64 = 10_000;
    /// Entries of the slow log.
    slowlog_max_len: u64 = 128;
    /// Milliseconds from which an event is recorded; 0: off.
    latency_monitor_threshold: u64 = 0;
    /// Latency histogram per command.
    latency_tracking: bool = true;
    /// Percentiles that INFO shows, each 0 to 100.
    latency_tracking_info_percentiles: Vec<f64> = vec![50.0, 99.0, 99.9];
    /// Keyspace notifications that are published.
    notify_keyspace_events: NotifyFlags = NotifyFlags::NONE;
    // Encodings
    /// Where values change their encoding.
    limits: Limits = Limits::default();
    /// Nodes at each end of a list that stay uncompressed; 0 turns compression off.
    list_compress_depth: u32 = 0;
    /// Longest sparse HyperLogLog, in bytes.
    hll_sparse_max_bytes: usize = 3000;
    // Advanced
    /// Grow tables in idle time too.
    activerehashing: bool = true;
    /// Effort of removing expired keys, 1 to 10.
    active_expire_effort: u32 = 1;
    /// Rounds of background work per second, 1 to 500.
    hz: u32 = 10;
    /// Raise `hz` with the number of clients.
    dynamic_hz: bool = true;
    /// Threads for sockets, the main one included.
    io_threads: u32 = 1;
    /// I/O threads read and parse too.
    io_threads_do_reads: bool = false;
}

impl Config {
    /// The output limit of a class of clients.
    pub fn output_limit(&self, class: ClientClass) -> OutputLimit {
        self.client_output_buffer_limit[class as usize]
    }
}
