//! Rows of the directives for snapshots and the append-only file. Never parses and never reads files.

use super::super::directive::{
    Directive, Kind, Mutability, ROW, Section, Support, Unit, flag, int, store, text, word,
};
use super::super::special;
use super::super::words::{AppendFsync, SanitizePayload};

/// Defines a check that a text is a file name, not empty (if `$empty` says so) and not a path.
macro_rules! name_check {
    ($check:ident, $empty:expr, $path:literal) => {
        fn $check(name: &[u8]) -> Result<(), &'static str> {
            let empty: Option<&'static str> = $empty;
            match empty {
                Some(reason) if name.is_empty() => Err(reason),
                _ if name.contains(&b'/') => Err($path),
                _ => Ok(()),
            }
        }
    };
}
name_check!(check_dbfilename, None, "dbfilename can't be a path, just a filename");
name_check!(
    check_appendfilename,
    Some("appendfilename can't be empty"),
    "appendfilename can't be a path, just a filename"
);
name_check!(
    check_appenddirname,
    Some("appenddirname can't be empty"),
    "appenddirname can't be a path, just a dirname"
);

const SNAPSHOT: Directive = Directive { section: Section::Snapshotting, ..ROW };
const AOF: Directive = Directive { section: Section::AppendOnly, ..ROW };

/// The rows.
pub static ROWS: &[Directive] = &[
    Directive {
        name: "save",
        kind: special::SAVE,
        doc: "Take a snapshot after so many seconds if at least so many keys changed. \
              Takes several pairs or several lines; \"\" is never.",
        ..SNAPSHOT
    },
    Directive {
        name: "dbfilename",
        kind: text!(dbfilename, check_dbfilename),
        mutability: Mutability::Protected,
        doc: "Name of the snapshot file, in the directory \"dir\".",
        ..SNAPSHOT
    },
    Directive {
        name: "dir",
        kind: special::DIR,
        mutability: Mutability::Protected,
        deny_loading: true,
        doc: "Working directory, where snapshots and append-only files are.",
        ..SNAPSHOT
    },
    Directive {
        name: "stop-writes-on-bgsave-error",
        kind: flag!(stop_writes_on_bgsave_error),
        doc: "Refuse writes after a failed snapshot until one succeeds.",
        ..SNAPSHOT
    },
    Directive {
        name: "rdbcompression",
        kind: flag!(rdbcompression),
        doc: "Compress long strings in snapshots.",
        ..SNAPSHOT
    },
    Directive {
        name: "rdbchecksum",
        kind: flag!(rdbchecksum),
        mutability: Mutability::Startup,
        doc: "End snapshots with a checksum.",
        ..SNAPSHOT
    },
    Directive {
        name: "sanitize-dump-payload",
        kind: word!(sanitize_dump_payload, SanitizePayload),
        doc: "Whether payloads of RESTORE and snapshots are checked in full: \"no\", \
              \"yes\" or \"clients\".",
        ..SNAPSHOT
    },
    Directive {
        name: "rdb-del-sync-files",
        kind: flag!(rdb_del_sync_files),
        support: Support::Idle("replication"),
        doc: "Delete snapshots that replication made if nothing else needs them.",
        ..SNAPSHOT
    },
    Directive {
        name: "rdb-save-incremental-fsync",
        kind: flag!(rdb_save_incremental_fsync),
        doc: "Sync a snapshot to disk bit by bit while it is written.",
        ..SNAPSHOT
    },
    Directive {
        name: "rdb-key-save-delay",
        kind: int!(rdb_key_save_delay, i32::MIN, i32::MAX),
        hidden: true,
        doc: "Microseconds to wait after each key that is saved, for tests.",
        ..SNAPSHOT
    },
    Directive {
        name: "key-load-delay",
        kind: int!(key_load_delay, i32::MIN, i32::MAX),
        hidden: true,
        doc: "Microseconds to wait after each key that is loaded, for tests.",
        ..SNAPSHOT
    },
    Directive {
        name: "loading-process-events-interval-bytes",
        kind: int!(loading_process_events_interval_bytes, 1024, i32::MAX),
        hidden: true,
        doc: "Bytes loaded between two rounds of serving clients.",
        ..SNAPSHOT
    },
    Directive {
        name: "appendonly",
        kind: flag!(appendonly),
        deny_loading: true,
        doc: "Log every write to the append-only file, from which a restart recovers.",
        ..AOF
    },
    Directive {
        name: "appendfilename",
        kind: text!(appendfilename, check_appendfilename),
        mutability: Mutability::Startup,
        doc: "Base name of the append-only files.",
        ..AOF
    },
    Directive {
        name: "appenddirname",
        kind: text!(appenddirname, check_appenddirname),
        mutability: Mutability::Startup,
        doc: "Directory of the append-only files, within \"dir\".",
        ..AOF
    },
    Directive {
        name: "appendfsync",
        kind: word!(appendfsync, AppendFsync),
        doc: "When written commands are synced to disk: \"always\" (before the reply), \
              \"everysec\" or \"no\" (left to the system).",
        ..AOF
    },
    Directive {
        name: "no-appendfsync-on-rewrite",
        kind: flag!(no_appendfsync_on_rewrite),
        doc: "Do not sync while a rewrite or a snapshot runs.",
        ..AOF
    },
    Directive {
        name: "auto-aof-rewrite-percentage",
        kind: int!(auto_aof_rewrite_percentage, 0, i32::MAX),
        doc: "Growth in percent since the last rewrite that starts another; 0 is never.",
        ..AOF
    },
    Directive {
        name: "auto-aof-rewrite-min-size",
        kind: int!(auto_aof_rewrite_min_size, 0, i64::MAX, Memory),
        doc: "Size below which no rewrite starts by itself.",
        ..AOF
    },
    Directive {
        name: "aof-load-truncated",
        kind: flag!(aof_load_truncated),
        doc: "Start even if the last command of the file is cut off.",
        ..AOF
    },
    Directive {
        name: "aof-use-rdb-preamble",
        kind: flag!(aof_use_rdb_preamble),
        doc: "Let rewritten files begin with a snapshot.",
        ..AOF
    },
    Directive {
        name: "aof-timestamp-enabled",
        kind: flag!(aof_timestamp_enabled),
        doc: "Record times in the file.",
        ..AOF
    },
    Directive {
        name: "aof-rewrite-incremental-fsync",
        kind: flag!(aof_rewrite_incremental_fsync),
        doc: "Sync a rewrite to disk bit by bit while it is written.",
        ..AOF
    },
    Directive {
        name: "aof-disable-auto-gc",
        kind: flag!(aof_disable_auto_gc),
        hidden: true,
        doc: "Keep files that a rewrite made superfluous.",
        ..AOF
    },
];
