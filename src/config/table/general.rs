//! Rows of the directives for the process, security and clients. Never parses and never reads files.

use super::super::directive::{
    Directive, Kind, Mutability, ROW, Section, Support, Unit, flag, int, store, text, word,
};
use super::super::special;
use super::super::words::{AclPubsubDefault, LogLevel, OomScoreAdj, Supervised, SyslogFacility};

/// Variables that `proc-title-template` knows.
const TITLE_VARIABLES: [&[u8]; 7] =
    [b"title", b"listen-addr", b"server-mode", b"port", b"tls-port", b"unixsocket", b"config-file"];

/// Refuses unbalanced braces and unknown variables.
fn check_title(mut template: &[u8]) -> Result<(), &'static str> {
    while let Some(open) = template.iter().position(|byte| *byte == b'{') {
        let rest = template.get(open + 1..).unwrap_or_default();
        let known = rest.iter().position(|byte| *byte == b'}').and_then(|close| {
            let (name, after) = rest.split_at(close);
            TITLE_VARIABLES.contains(&name).then_some(after)
        });
        template = known.ok_or("template format is invalid or contains unknown variables")?;
    }
    Ok(())
}

const GENERAL: Directive = Directive { section: Section::General, ..ROW };
const SECURITY: Directive = Directive { section: Section::Security, ..ROW };
const CLIENTS: Directive = Directive { section: Section::Clients, ..ROW };

/// The rows.
pub static ROWS: &[Directive] = &[
    Directive {
        name: "daemonize",
        kind: flag!(daemonize),
        mutability: Mutability::Startup,
        doc: "Run in the background, detached from the terminal.",
        ..GENERAL
    },
    Directive {
        name: "supervised",
        kind: word!(supervised, Supervised),
        mutability: Mutability::Startup,
        doc: "Service manager to tell about readiness: \"upstart\", \"systemd\", \"auto\" \
              (whichever is there) or \"no\".",
        ..GENERAL
    },
    Directive {
        name: "pidfile",
        kind: text!(pidfile),
        mutability: Mutability::Startup,
        doc: "File for the process id. A daemon without this setting uses \
              /var/run/redis.pid.",
        example: "/run/rhubarb.pid",
        ..GENERAL
    },
    Directive {
        name: "loglevel",
        kind: word!(loglevel, LogLevel),
        doc: "Least severity that is logged: \"debug\", \"verbose\", \"notice\", \
              \"warning\" or \"nothing\".",
        ..GENERAL
    },
    Directive {
        name: "logfile",
        kind: text!(logfile),
        mutability: Mutability::Startup,
        doc: "File to log to; empty is standard output.",
        example: "/var/log/rhubarb.log",
        ..GENERAL
    },
    Directive {
        name: "syslog-enabled",
        kind: flag!(syslog_enabled),
        mutability: Mutability::Startup,
        doc: "Log to the system logger too.",
        ..GENERAL
    },
    Directive {
        name: "syslog-ident",
        kind: text!(syslog_ident),
        mutability: Mutability::Startup,
        doc: "Name in the system log.",
        ..GENERAL
    },
    Directive {
        name: "syslog-facility",
        kind: word!(syslog_facility, SyslogFacility),
        mutability: Mutability::Startup,
        doc: "Facility in the system log: \"user\", or \"local0\" to \"local7\".",
        ..GENERAL
    },
    Directive {
        name: "databases",
        kind: int!(databases, 1, i32::MAX),
        mutability: Mutability::Startup,
        doc: "Number of databases that SELECT can choose from.",
        ..GENERAL
    },
    Directive {
        name: "always-show-logo",
        kind: flag!(always_show_logo),
        mutability: Mutability::Startup,
        doc: "Print the logo even if the log does not go to a terminal.",
        ..GENERAL
    },
    Directive {
        name: "set-proc-title",
        support: Support::Idle("process titles"),
        kind: flag!(set_proc_title),
        mutability: Mutability::Startup,
        doc: "Change the process title as shown by ps and top.",
        ..GENERAL
    },
    Directive {
        name: "proc-title-template",
        support: Support::Idle("process titles"),
        kind: text!(proc_title_template, check_title),
        doc: "The process title. Known are {title}, {listen-addr}, {server-mode}, {port}, \
              {tls-port}, {unixsocket} and {config-file}.",
        ..GENERAL
    },
    Directive {
        name: "locale-collate",
        support: Support::Idle("collation"),
        kind: text!(locale_collate),
        doc: "Locale by which SORT ALPHA compares; empty takes it from the environment.",
        example: "C",
        ..GENERAL
    },
    Directive {
        name: "shutdown-timeout",
        kind: int!(shutdown_timeout, 0, i32::MAX),
        support: Support::Idle("replication"),
        doc: "Seconds that a shutdown waits for lagging replicas.",
        ..GENERAL
    },
    Directive {
        name: "shutdown-on-sigint",
        kind: special::ON_SIGINT,
        doc: "What SIGINT does: \"default\", or any of \"save\" or \"nosave\", \"now\", \
              \"force\".",
        ..GENERAL
    },
    Directive {
        name: "shutdown-on-sigterm",
        kind: special::ON_SIGTERM,
        doc: "What SIGTERM does, as shutdown-on-sigint.",
        ..GENERAL
    },
    Directive {
        name: "crash-log-enabled",
        kind: flag!(crash_log_enabled),
        support: Support::Idle("crash reports"),
        doc: "Write a report on a crash.",
        ..GENERAL
    },
    Directive {
        name: "crash-memcheck-enabled",
        kind: flag!(crash_memcheck_enabled),
        support: Support::Idle("crash reports"),
        doc: "Test memory as part of a crash report.",
        ..GENERAL
    },
    Directive {
        name: "disable-thp",
        kind: flag!(disable_thp),
        mutability: Mutability::Startup,
        support: Support::Idle("switching transparent huge pages"),
        doc: "Ask the kernel for no transparent huge pages.",
        ..GENERAL
    },
    Directive {
        name: "ignore-warnings",
        kind: text!(ignore_warnings),
        doc: "Startup warnings to pass over.",
        example: "ARM64-COW-BUG",
        ..GENERAL
    },
    Directive {
        name: "oom-score-adj",
        kind: word!(oom_score_adj, OomScoreAdj),
        doc: "Set the kernel's out-of-memory score of this process: \"no\", \"yes\" or \
              \"relative\" (added to what it was), or \"absolute\".",
        ..GENERAL
    },
    Directive {
        name: "oom-score-adj-values",
        kind: special::OOM_SCORES,
        doc: "Scores of a master, a replica and background work, each from -2000 to 2000.",
        ..GENERAL
    },
    Directive {
        name: "server-cpulist",
        alias: Some("server_cpulist"),
        kind: text!(server_cpulist),
        mutability: Mutability::Startup,
        support: Support::Idle("CPU pinning"),
        doc: "CPUs of the main thread and the I/O threads.",
        example: "0-7:2",
        ..GENERAL
    },
    Directive {
        name: "bio-cpulist",
        alias: Some("bio_cpulist"),
        kind: text!(bio_cpulist),
        mutability: Mutability::Startup,
        support: Support::Idle("CPU pinning"),
        doc: "CPUs of background threads.",
        example: "1,3",
        ..GENERAL
    },
    Directive {
        name: "aof-rewrite-cpulist",
        alias: Some("aof_rewrite_cpulist"),
        kind: text!(aof_rewrite_cpulist),
        mutability: Mutability::Startup,
        support: Support::Idle("CPU pinning"),
        doc: "CPUs of an append-only file's rewrite.",
        example: "8-11",
        ..GENERAL
    },
    Directive {
        name: "bgsave-cpulist",
        alias: Some("bgsave_cpulist"),
        kind: text!(bgsave_cpulist),
        mutability: Mutability::Startup,
        support: Support::Idle("CPU pinning"),
        doc: "CPUs of a background save.",
        example: "1,10-11",
        ..GENERAL
    },
    Directive {
        name: "use-exit-on-panic",
        kind: flag!(use_exit_on_panic),
        hidden: true,
        doc: "Exit instead of abort on a panic.",
        ..GENERAL
    },
    Directive {
        name: "debug-context",
        kind: text!(debug_context),
        hidden: true,
        support: Support::Idle("crash reports"),
        doc: "Text to put into a crash report.",
        ..GENERAL
    },
    Directive {
        name: "watchdog-period",
        kind: int!(watchdog_period, 0, i32::MAX),
        hidden: true,
        support: Support::Idle("the software watchdog"),
        doc: "Milliseconds of the software watchdog; 0 is off.",
        ..GENERAL
    },
    Directive {
        name: "requirepass",
        kind: text!(requirepass),
        sensitive: true,
        doc: "Password of the default user. Choose a long one: passwords can be tried very \
              fast.",
        example: "\"a long random password\"",
        ..SECURITY
    },
    Directive {
        name: "aclfile",
        kind: text!(aclfile),
        mutability: Mutability::Startup,
        doc: "File with the users' access rights.",
        example: "/etc/rhubarb/users.acl",
        ..SECURITY
    },
    Directive {
        name: "acllog-max-len",
        kind: int!(acllog_max_len, 0, i64::MAX),
        doc: "Refusals that ACL LOG remembers.",
        ..SECURITY
    },
    Directive {
        name: "acl-pubsub-default",
        kind: word!(acl_pubsub_default, AclPubsubDefault),
        doc: "Channels that a new user may use: \"allchannels\" or \"resetchannels\" \
              (none).",
        ..SECURITY
    },
    Directive {
        name: "maxclients",
        kind: int!(maxclients, 1, u32::MAX),
        doc: "Most clients at once, as far as the limit of open files allows.",
        ..CLIENTS
    },
    Directive {
        name: "client-query-buffer-limit",
        kind: int!(client_query_buffer_limit, 1 << 20, i64::MAX, Memory),
        doc: "Most memory for what one client sent and the server has not yet executed.",
        ..CLIENTS
    },
    Directive {
        name: "proto-max-bulk-len",
        kind: int!(proto_max_bulk_len, 1 << 20, i64::MAX, Memory),
        doc: "Longest single argument of a command.",
        ..CLIENTS
    },
    Directive {
        name: "client-output-buffer-limit",
        kind: special::OUTPUT_LIMITS,
        doc: "Class of clients (\"normal\", \"replica\" or \"pubsub\"), then a limit of \
              unread output above which a client is closed at once, a second limit, and \
              the seconds for which that one may be exceeded. 0 is no limit. May appear \
              once per class.",
        ..CLIENTS
    },
    Directive {
        name: "maxmemory-clients",
        kind: special::MAXMEMORY_CLIENTS,
        doc: "Most memory for all clients together, in bytes or in percent of maxmemory; \
              beyond it the largest clients are closed. 0 is no limit.",
        ..CLIENTS
    },
    Directive {
        name: "tracking-table-max-keys",
        kind: int!(tracking_table_max_keys, 0, i64::MAX),
        doc: "Keys that are remembered for client-side caching; 0 is no limit.",
        ..CLIENTS
    },
];
