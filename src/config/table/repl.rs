//! Rows of the directives for replication and the cluster. Never parses and never reads files.

use super::super::directive::{
    Directive, Kind, Mutability, ROW, Section, Support, Unit, flag, int, store, text, word,
};
use super::super::special;
use super::super::words::{EndpointType, PropagationError, ReplDisklessLoad};

const REPL: Directive =
    Directive { section: Section::Replication, support: Support::Idle("replication"), ..ROW };
const CLUSTER: Directive =
    Directive { section: Section::Cluster, support: Support::Idle("cluster mode"), ..ROW };

/// The rows.
pub static ROWS: &[Directive] = &[
    Directive {
        name: "replicaof",
        alias: Some("slaveof"),
        kind: special::REPLICAOF,
        mutability: Mutability::Startup,
        support: Support::Off("replication"),
        doc: "Be a replica of the master at this host and port.",
        example: "10.0.0.1 6379",
        ..REPL
    },
    Directive {
        name: "masteruser",
        kind: text!(masteruser),
        sensitive: true,
        doc: "User to authenticate as at the master.",
        example: "replica",
        ..REPL
    },
    Directive {
        name: "masterauth",
        kind: text!(masterauth),
        sensitive: true,
        doc: "Password at the master.",
        example: "secret",
        ..REPL
    },
    Directive {
        name: "replica-serve-stale-data",
        alias: Some("slave-serve-stale-data"),
        kind: flag!(replica_serve_stale_data),
        doc: "Let a replica without its master answer from old data.",
        ..REPL
    },
    Directive {
        name: "replica-read-only",
        alias: Some("slave-read-only"),
        kind: flag!(replica_read_only),
        doc: "Refuse writes on a replica.",
        ..REPL
    },
    Directive {
        name: "replica-lazy-flush",
        alias: Some("slave-lazy-flush"),
        kind: flag!(replica_lazy_flush),
        doc: "Free old data in the background on a full synchronization.",
        ..REPL
    },
    Directive {
        name: "replica-ignore-maxmemory",
        alias: Some("slave-ignore-maxmemory"),
        kind: flag!(replica_ignore_maxmemory),
        doc: "A replica leaves eviction to its master.",
        ..REPL
    },
    Directive {
        name: "replica-ignore-disk-write-errors",
        kind: flag!(replica_ignore_disk_write_errors),
        doc: "A replica goes on if it cannot write to disk.",
        ..REPL
    },
    Directive {
        name: "replica-announced",
        kind: flag!(replica_announced),
        doc: "Show this replica to Sentinel.",
        ..REPL
    },
    Directive {
        name: "replica-announce-ip",
        alias: Some("slave-announce-ip"),
        kind: text!(replica_announce_ip),
        doc: "Address that a replica reports to its master.",
        example: "5.5.5.5",
        ..REPL
    },
    Directive {
        name: "replica-announce-port",
        alias: Some("slave-announce-port"),
        kind: int!(replica_announce_port, 0, u16::MAX),
        doc: "Port that a replica reports to its master; 0 is the real one.",
        ..REPL
    },
    Directive {
        name: "replica-priority",
        alias: Some("slave-priority"),
        kind: int!(replica_priority, 0, i32::MAX),
        doc: "Rank in a promotion by Sentinel: the lowest is first, 0 is never promoted.",
        ..REPL
    },
    Directive {
        name: "repl-diskless-sync",
        kind: flag!(repl_diskless_sync),
        doc: "Send a full synchronization straight to the socket.",
        ..REPL
    },
    Directive {
        name: "repl-diskless-sync-delay",
        kind: int!(repl_diskless_sync_delay, 0, i32::MAX),
        doc: "Seconds to wait for more replicas before it.",
        ..REPL
    },
    Directive {
        name: "repl-diskless-sync-max-replicas",
        kind: int!(repl_diskless_sync_max_replicas, 0, i32::MAX),
        doc: "Replicas that end the wait early; 0 is none.",
        ..REPL
    },
    Directive {
        name: "repl-diskless-load",
        kind: word!(repl_diskless_load, ReplDisklessLoad),
        doc: "How a replica loads it: \"disabled\" (through a file), \"on-empty-db\" or \
              \"swapdb\" (keeps the old data until the new is whole).",
        ..REPL
    },
    Directive {
        name: "repl-ping-replica-period",
        alias: Some("repl-ping-slave-period"),
        kind: int!(repl_ping_replica_period, 1, i32::MAX),
        doc: "Seconds between pings from master to replicas.",
        ..REPL
    },
    Directive {
        name: "repl-timeout",
        kind: int!(repl_timeout, 1, i32::MAX),
        doc: "Seconds of silence after which a link is broken.",
        ..REPL
    },
    Directive {
        name: "repl-disable-tcp-nodelay",
        kind: flag!(repl_disable_tcp_nodelay),
        doc: "Use fewer, larger packets to replicas, at the price of delay.",
        ..REPL
    },
    Directive {
        name: "repl-backlog-size",
        kind: int!(repl_backlog_size, 1, i64::MAX, Memory),
        doc: "Memory for what replicas missed while away.",
        ..REPL
    },
    Directive {
        name: "repl-backlog-ttl",
        kind: int!(repl_backlog_ttl, 0, i64::MAX),
        doc: "Seconds without replicas after which that memory is freed; 0 is never.",
        ..REPL
    },
    Directive {
        name: "min-replicas-to-write",
        alias: Some("min-slaves-to-write"),
        kind: int!(min_replicas_to_write, 0, i32::MAX),
        support: Support::Off("replication"),
        doc: "Replicas in good order that a write needs; 0 is none.",
        ..REPL
    },
    Directive {
        name: "min-replicas-max-lag",
        alias: Some("min-slaves-max-lag"),
        kind: int!(min_replicas_max_lag, 0, i32::MAX),
        doc: "Seconds of lag up to which a replica is in good order.",
        ..REPL
    },
    Directive {
        name: "propagation-error-behavior",
        kind: word!(propagation_error_behavior, PropagationError),
        doc: "What follows when a command from the master or the append-only file fails: \
              \"ignore\", \"panic\" or \"panic-on-replicas\".",
        ..REPL
    },
    Directive {
        name: "close-on-replica-write-error",
        kind: flag!(close_on_replica_write_error),
        hidden: true,
        doc: "Close the link to a replica that sends writes.",
        ..REPL
    },
    Directive {
        name: "cluster-enabled",
        kind: flag!(cluster_enabled),
        mutability: Mutability::Startup,
        support: Support::Off("cluster mode"),
        doc: "Be a node of a cluster.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-config-file",
        kind: text!(cluster_config_file),
        mutability: Mutability::Startup,
        doc: "File in which the node keeps the cluster's state. Not to be edited.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-port",
        kind: int!(cluster_port, 0, u16::MAX),
        mutability: Mutability::Startup,
        doc: "Port of the cluster bus; 0 is the TCP port plus 10000.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-node-timeout",
        kind: int!(cluster_node_timeout, 0, i64::MAX),
        doc: "Milliseconds of silence after which a node is taken to be failing.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-ping-interval",
        kind: int!(cluster_ping_interval, 0, i64::MAX),
        hidden: true,
        doc: "Milliseconds between pings on the bus.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-migration-barrier",
        kind: int!(cluster_migration_barrier, 0, i32::MAX),
        doc: "Replicas that a master keeps when another one moves away.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-replica-validity-factor",
        alias: Some("cluster-slave-validity-factor"),
        kind: int!(cluster_replica_validity_factor, 0, i32::MAX),
        doc: "Multiple of the node timeout after which a replica's data is too old for a \
              failover; 0 is never.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-require-full-coverage",
        kind: flag!(cluster_require_full_coverage),
        doc: "Stop serving if any slot is not covered.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-replica-no-failover",
        alias: Some("cluster-slave-no-failover"),
        kind: flag!(cluster_replica_no_failover),
        doc: "This replica does not fail over by itself.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-allow-reads-when-down",
        kind: flag!(cluster_allow_reads_when_down),
        doc: "Serve reads even while the cluster is down.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-allow-pubsubshard-when-down",
        kind: flag!(cluster_allow_pubsubshard_when_down),
        doc: "Serve sharded pub/sub even while the cluster is down.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-allow-replica-migration",
        kind: flag!(cluster_allow_replica_migration),
        doc: "Let replicas move to masters that have none.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-link-sendbuf-limit",
        kind: int!(cluster_link_sendbuf_limit, 0, u64::MAX, Memory),
        doc: "Memory for what a bus link has not yet sent; 0 is no limit.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-announce-ip",
        kind: text!(cluster_announce_ip),
        doc: "Address that other nodes are told.",
        example: "10.1.1.5",
        ..CLUSTER
    },
    Directive {
        name: "cluster-announce-port",
        kind: int!(cluster_announce_port, 0, u16::MAX),
        doc: "Port that other nodes are told; 0 is the real one.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-announce-tls-port",
        kind: int!(cluster_announce_tls_port, 0, u16::MAX),
        doc: "TLS port that other nodes are told; 0 is the real one.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-announce-bus-port",
        kind: int!(cluster_announce_bus_port, 0, u16::MAX),
        doc: "Bus port that other nodes are told; 0 is the real one.",
        ..CLUSTER
    },
    Directive {
        name: "cluster-announce-hostname",
        kind: text!(cluster_announce_hostname),
        doc: "Host name that other nodes are told.",
        example: "node1.example.com",
        ..CLUSTER
    },
    Directive {
        name: "cluster-announce-human-nodename",
        kind: text!(cluster_announce_human_nodename),
        doc: "Name of the node for logs.",
        example: "node1",
        ..CLUSTER
    },
    Directive {
        name: "cluster-preferred-endpoint-type",
        kind: word!(cluster_preferred_endpoint_type, EndpointType),
        doc: "What redirections name: \"ip\", \"hostname\" or \"unknown-endpoint\" (the \
              address that the client used).",
        ..CLUSTER
    },
];
