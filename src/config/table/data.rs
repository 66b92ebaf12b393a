//! Rows of the directives for memory, scripts, monitoring, encodings and background work. Never parses and never reads files.

use super::super::directive::{
    Directive, Kind, Mutability, ROW, Section, Support, Unit, flag, int, store, word,
};
use super::super::special;
use super::super::values::HZ_BOUNDS;
use super::super::words::MaxmemoryPolicy;

/// `hz`: any value is accepted and clamped.
const HZ: Kind = Kind::Int {
    min: 0,
    max: i32::MAX as i128,
    unit: Unit::Plain,
    get: |c| c.hz.into(),
    set: |c, hz| store(&mut c.hz, hz.clamp(HZ_BOUNDS.0.into(), HZ_BOUNDS.1.into())),
};

const MEMORY: Directive = Directive { section: Section::Memory, ..ROW };
const SCRIPTING: Directive = Directive { section: Section::Scripting, ..ROW };
const MONITORING: Directive = Directive { section: Section::Monitoring, ..ROW };
const EVENTS: Directive = Directive { section: Section::Events, ..ROW };
const ENCODINGS: Directive = Directive { section: Section::Encodings, ..ROW };
const ADVANCED: Directive = Directive { section: Section::Advanced, ..ROW };

/// The rows.
pub static ROWS: &[Directive] = &[
    Directive {
        name: "maxmemory",
        kind: int!(maxmemory, 0, u64::MAX, Memory),
        doc: "Most memory for data; 0 is no limit. Beyond it, commands that take memory are refused.",
        ..MEMORY
    },
    Directive {
        name: "maxmemory-policy",
        kind: word!(maxmemory_policy, MaxmemoryPolicy),
        support: Support::Idle("eviction"),
        doc: "What happens at maxmemory. \"noeviction\" refuses writes; the others are to remove \
              keys: \"allkeys-lru\", \"allkeys-lfu\", \"allkeys-random\", and only keys \
              with a time to live \"volatile-lru\", \"volatile-lfu\", \"volatile-random\", \
              \"volatile-ttl\" (nearest first).",
        ..MEMORY
    },
    Directive {
        name: "maxmemory-samples",
        kind: int!(maxmemory_samples, 1, i32::MAX),
        support: Support::Idle("eviction"),
        doc: "Keys that are compared to find the one to remove.",
        ..MEMORY
    },
    Directive {
        name: "maxmemory-eviction-tenacity",
        kind: int!(maxmemory_eviction_tenacity, 0, 100),
        support: Support::Idle("eviction"),
        doc: "Effort of removing keys at a time, 0 to 100.",
        ..MEMORY
    },
    Directive {
        name: "lfu-log-factor",
        kind: int!(lfu_log_factor, 0, i32::MAX),
        support: Support::Full,
        doc: "How many hits saturate the frequency counter: the higher, the more.",
        ..MEMORY
    },
    Directive {
        name: "lfu-decay-time",
        kind: int!(lfu_decay_time, 0, i32::MAX),
        support: Support::Full,
        doc: "Minutes after which the frequency counter is lowered; 0 is never.",
        ..MEMORY
    },
    Directive {
        name: "lazyfree-lazy-eviction",
        kind: flag!(lazyfree_lazy_eviction),
        doc: "Tell replicas and the append-only file UNLINK instead of DEL for keys that are \
              evicted. Large values are freed in the background either way.",
        ..MEMORY
    },
    Directive {
        name: "lazyfree-lazy-expire",
        kind: flag!(lazyfree_lazy_expire),
        doc: "Tell replicas and the append-only file UNLINK instead of DEL for keys that expire. \
              Large values are freed in the background either way.",
        ..MEMORY
    },
    Directive {
        name: "lazyfree-lazy-server-del",
        kind: flag!(lazyfree_lazy_server_del),
        doc: "Tell replicas and the append-only file UNLINK instead of DEL for keys that a \
              command empties. Large values are freed in the background either way.",
        ..MEMORY
    },
    Directive {
        name: "lazyfree-lazy-user-del",
        kind: flag!(lazyfree_lazy_user_del),
        doc: "Let DEL work as UNLINK. Large values are freed in the background either way.",
        ..MEMORY
    },
    Directive {
        name: "lazyfree-lazy-user-flush",
        kind: flag!(lazyfree_lazy_user_flush),
        doc: "Let FLUSHALL and FLUSHDB without SYNC or ASYNC work in the background.",
        ..MEMORY
    },
    Directive {
        name: "activedefrag",
        kind: flag!(activedefrag),
        support: Support::Off("active defragmentation"),
        doc: "Defragment memory while running.",
        ..MEMORY
    },
    Directive {
        name: "active-defrag-ignore-bytes",
        kind: int!(active_defrag_ignore_bytes, 1, i64::MAX, Memory),
        support: Support::Idle("active defragmentation"),
        doc: "Wasted memory below which nothing is done.",
        ..MEMORY
    },
    Directive {
        name: "active-defrag-threshold-lower",
        kind: int!(active_defrag_threshold_lower, 0, 1000),
        support: Support::Idle("active defragmentation"),
        doc: "Percent of fragmentation at which it starts.",
        ..MEMORY
    },
    Directive {
        name: "active-defrag-threshold-upper",
        kind: int!(active_defrag_threshold_upper, 0, 1000),
        support: Support::Idle("active defragmentation"),
        doc: "Percent of fragmentation at which effort is greatest.",
        ..MEMORY
    },
    Directive {
        name: "active-defrag-cycle-min",
        kind: int!(active_defrag_cycle_min, 1, 99),
        support: Support::Idle("active defragmentation"),
        doc: "Least effort in percent of a CPU.",
        ..MEMORY
    },
    Directive {
        name: "active-defrag-cycle-max",
        kind: int!(active_defrag_cycle_max, 1, 99),
        support: Support::Idle("active defragmentation"),
        doc: "Greatest effort in percent of a CPU.",
        ..MEMORY
    },
    Directive {
        name: "active-defrag-max-scan-fields",
        kind: int!(active_defrag_max_scan_fields, 1, i64::MAX),
        support: Support::Idle("active defragmentation"),
        doc: "Elements of a collection that are handled at once.",
        ..MEMORY
    },
    Directive {
        name: "jemalloc-bg-thread",
        kind: flag!(jemalloc_bg_thread),
        support: Support::Idle("switching the allocator's background thread"),
        doc: "Let the allocator return memory in a thread of its own.",
        ..MEMORY
    },
    Directive {
        name: "busy-reply-threshold",
        alias: Some("lua-time-limit"),
        kind: int!(busy_reply_threshold, 0, i64::MAX),
        doc: "Milliseconds after which a running script makes the server answer other \
              clients with BUSY; 0 is never.",
        ..SCRIPTING
    },
    Directive {
        name: "lua-enable-deprecated-api",
        kind: flag!(lua_enable_deprecated_api),
        hidden: true,
        mutability: Mutability::Startup,
        doc: "Let scripts see deprecated functions.",
        ..SCRIPTING
    },
    Directive {
        name: "slowlog-log-slower-than",
        kind: int!(slowlog_log_slower_than, -1, i64::MAX),
        doc: "Microseconds of execution from which a command goes to the slow log; 0 logs \
              every command, -1 none.",
        ..MONITORING
    },
    Directive {
        name: "slowlog-max-len",
        kind: int!(slowlog_max_len, 0, i64::MAX),
        doc: "Entries of the slow log.",
        ..MONITORING
    },
    Directive {
        name: "latency-monitor-threshold",
        kind: int!(latency_monitor_threshold, 0, i64::MAX),
        doc: "Milliseconds from which an event is recorded for LATENCY; 0 is off.",
        ..MONITORING
    },
    Directive {
        name: "latency-tracking",
        kind: flag!(latency_tracking),
        doc: "Keep a histogram of execution times per command.",
        ..MONITORING
    },
    Directive {
        name: "latency-tracking-info-percentiles",
        kind: special::PERCENTILES,
        doc: "Percentiles of execution times that INFO shows.",
        ..MONITORING
    },
    Directive {
        name: "notify-keyspace-events",
        kind: special::NOTIFY,
        doc: "Events to publish: K (to __keyspace@<db>__) and/or E (to __keyevent@<db>__), \
              then classes: g generic, $ strings, l lists, s sets, h hashes, z sorted \
              sets, t streams, x expired, e evicted, d modules, A for all of these, m \
              missed keys, n new keys. Empty is off.",
        example: "Ex",
        ..EVENTS
    },
    Directive {
        name: "hash-max-listpack-entries",
        alias: Some("hash-max-ziplist-entries"),
        kind: int!(limits.hash_max_listpack_entries, 0, i64::MAX),
        doc: "Hashes with up to this many fields are stored compactly ...",
        ..ENCODINGS
    },
    Directive {
        name: "hash-max-listpack-value",
        alias: Some("hash-max-ziplist-value"),
        kind: int!(limits.hash_max_listpack_value, 0, i64::MAX, Memory),
        doc: "... if no field or value is longer than this.",
        ..ENCODINGS
    },
    Directive {
        name: "list-max-listpack-size",
        alias: Some("list-max-ziplist-size"),
        kind: int!(limits.list_max_listpack_size, i32::MIN, i32::MAX),
        doc: "Elements per node of a list; or -1 to -5 for 4, 8, 16, 32 or 64 kilobytes.",
        ..ENCODINGS
    },
    Directive {
        name: "list-compress-depth",
        kind: int!(list_compress_depth, 0, i32::MAX),
        support: Support::Idle("compression of lists in memory"),
        doc: "Nodes at each end of a list that stay uncompressed; 0 compresses none.",
        ..ENCODINGS
    },
    Directive {
        name: "set-max-intset-entries",
        kind: int!(limits.set_max_intset_entries, 0, i64::MAX),
        doc: "Sets of integers with up to this many members are stored as sorted integers.",
        ..ENCODINGS
    },
    Directive {
        name: "set-max-listpack-entries",
        kind: int!(limits.set_max_listpack_entries, 0, i64::MAX),
        doc: "Other sets with up to this many members are stored compactly ...",
        ..ENCODINGS
    },
    Directive {
        name: "set-max-listpack-value",
        kind: int!(limits.set_max_listpack_value, 0, i64::MAX, Memory),
        doc: "... if no member is longer than this.",
        ..ENCODINGS
    },
    Directive {
        name: "zset-max-listpack-entries",
        alias: Some("zset-max-ziplist-entries"),
        kind: int!(limits.zset_max_listpack_entries, 0, i64::MAX),
        doc: "Sorted sets with up to this many members are stored compactly ...",
        ..ENCODINGS
    },
    Directive {
        name: "zset-max-listpack-value",
        alias: Some("zset-max-ziplist-value"),
        kind: int!(limits.zset_max_listpack_value, 0, i64::MAX, Memory),
        doc: "... if no member is longer than this.",
        ..ENCODINGS
    },
    Directive {
        name: "hll-sparse-max-bytes",
        kind: int!(hll_sparse_max_bytes, 0, i64::MAX, Memory),
        doc: "Longest sparse form of a HyperLogLog.",
        ..ENCODINGS
    },
    Directive {
        name: "stream-node-max-bytes",
        kind: int!(limits.stream_node_max_bytes, 0, i64::MAX, Memory),
        doc: "Size of a stream's node; 0 is no limit.",
        ..ENCODINGS
    },
    Directive {
        name: "stream-node-max-entries",
        kind: int!(limits.stream_node_max_entries, 0, i64::MAX),
        doc: "Entries of a stream's node; 0 is no limit.",
        ..ENCODINGS
    },
    Directive {
        name: "activerehashing",
        support: Support::Idle("incremental rehashing (tables never rehash)"),
        kind: flag!(activerehashing),
        doc: "Spend idle time on growing tables.",
        ..ADVANCED
    },
    Directive {
        name: "active-expire-effort",
        kind: int!(active_expire_effort, 1, 10),
        doc: "Effort of removing expired keys, 1 to 10.",
        ..ADVANCED
    },
    Directive {
        name: "hz",
        kind: HZ,
        doc: "Rounds of background work per second, 1 to 500.",
        ..ADVANCED
    },
    Directive {
        name: "dynamic-hz",
        support: Support::Idle("dynamic hz"),
        kind: flag!(dynamic_hz),
        doc: "Raise hz while many clients are connected.",
        ..ADVANCED
    },
    Directive {
        name: "io-threads",
        kind: int!(io_threads, 1, 128),
        mutability: Mutability::Startup,
        support: Support::Off("I/O threads"),
        doc: "Threads for sockets, the main one included.",
        ..ADVANCED
    },
    Directive {
        name: "io-threads-do-reads",
        kind: flag!(io_threads_do_reads),
        mutability: Mutability::Startup,
        support: Support::Idle("I/O threads"),
        doc: "Let I/O threads read and parse too.",
        ..ADVANCED
    },
];
