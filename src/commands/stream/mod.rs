//! Streams: the rows of the family, and how IDs and entries are replied.

mod add;
mod claim;
mod group;
mod info;
mod parse;
mod range;
mod read;

use crate::commands::{META_KEY, READ_KEY, container, help_row, reply_element, reply_len};
use crate::resp::{Error, Reply};
use crate::server::command::Command;
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};
use crate::value::stream::{Entry, IdBuf, Stream, StreamId};

const STREAM: Command = Command {
    group: Group::Stream,
    categories: Category::STREAM,
    since: "5.0.0",
    ..Command::DEFAULT
};
const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);
const GROW: Flags = WRITE.union(Flags::DENYOOM);
const GROW_FAST: Flags = GROW.union(Flags::FAST);
const BLOCK: Flags = Flags::BLOCKING.union(Flags::MOVABLEKEYS);
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const CHANGES: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
const ADDS: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
const REMOVES: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);
const CHANGE_KEY: &[KeySpec] = &[KeySpec::one(1, CHANGES)];
const REMOVE_KEY: &[KeySpec] = &[KeySpec::one(1, REMOVES)];
const VARIES: &[&str] = &["nondeterministic_output"];
const RANGE: &str = "O(log N + M), M entries returned";
const PER_ID: &str = "O(log N) for each ID";

/// The keys after the word STREAMS: the first half of what follows.
const fn keys_after_streams(from: i32) -> KeySpec {
    KeySpec {
        search: Search::Keyword("STREAMS", from),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        flags: READS,
        notes: "",
    }
}

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        arity: -5,
        flags: GROW_FAST,
        keys: &[KeySpec::one(1, CHANGES).noted("UPDATE and not INSERT, as entries may be trimmed")],
        complexity: "O(1), and O(N) to trim N entries",
        summary: "Adds an entry at the end of a stream, and may trim the stream.",
        syntax: "key [NOMKSTREAM]@6.2.0 trim=[strategy=<MAXLEN | MINID@6.2.0> operator=[= | ~] \
                 threshold [LIMIT count]@6.2.0] id-selector=<auto-id=* | id> data=<field \
                 value>...",
        history: &[
            ("6.2.0", "NOMKSTREAM, MINID and LIMIT are new."),
            ("7.0.0", "IDs of the form `ms-*` are allowed."),
        ],
        tips: VARIES,
        handler: add::xadd,
        ..STREAM
    },
    Command {
        name: "xtrim",
        arity: -4,
        flags: WRITE,
        keys: REMOVE_KEY,
        complexity: "O(N), N entries removed",
        summary: "Removes entries from the start of a stream.",
        syntax: "key trim=<strategy=<MAXLEN | MINID@6.2.0> operator=[= | ~] threshold [LIMIT \
                 count]@6.2.0>",
        history: &[("6.2.0", "MINID and LIMIT are new.")],
        tips: VARIES,
        handler: add::xtrim,
        ..STREAM
    },
    Command {
        name: "xdel",
        arity: -3,
        flags: WRITE_FAST,
        keys: REMOVE_KEY,
        complexity: PER_ID,
        summary: "Deletes entries of a stream by their IDs.",
        syntax: "key id...",
        handler: add::xdel,
        ..STREAM
    },
    Command {
        name: "xsetid",
        arity: -3,
        flags: GROW_FAST,
        keys: CHANGE_KEY,
        summary: "Sets what a stream remembers of its entries: used by the server itself.",
        syntax: "key last-id [ENTRIESADDED entries-added]@7.0.0 [MAXDELETEDID \
                 max-deleted-id]@7.0.0",
        history: &[("7.0.0", "ENTRIESADDED and MAXDELETEDID are new.")],
        handler: add::xsetid,
        ..STREAM
    },
    Command {
        name: "xlen",
        arity: 2,
        flags: READ.union(Flags::FAST),
        keys: META_KEY,
        summary: "Returns the number of a stream's entries.",
        syntax: "key",
        handler: reply_len::<Stream>,
        ..STREAM
    },
    Command {
        name: "xrange",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        complexity: RANGE,
        summary: "Returns the entries of a stream between two IDs.",
        syntax: "key start{string} end{string} [COUNT count]",
        history: &[("6.2.0", "`(` excludes an end.")],
        handler: range::xrange,
        ..STREAM
    },
    Command {
        name: "xrevrange",
        arity: -4,
        flags: READ,
        keys: READ_KEY,
        complexity: RANGE,
        summary: "Returns the entries of a stream between two IDs, the last first.",
        syntax: "key end{string} start{string} [COUNT count]",
        history: &[("6.2.0", "`(` excludes an end.")],
        handler: range::xrevrange,
        ..STREAM
    },
    Command {
        name: "xread",
        arity: -4,
        flags: READ.union(BLOCK),
        keys: &[keys_after_streams(1)],
        get_keys: Some(read::keys),
        complexity: "O(log N + M) for each key, M entries returned",
        summary: "Returns the entries of streams after given IDs, and may wait for some.",
        syntax: "[COUNT count] [BLOCK milliseconds] <STREAMS key... id...>",
        handler: read::xread,
        ..STREAM
    },
    Command {
        name: "xreadgroup",
        arity: -7,
        flags: WRITE.union(BLOCK),
        keys: &[keys_after_streams(4)],
        get_keys: Some(read::keys),
        complexity: "O(log N + M) for each key, M entries returned",
        summary: "Returns new entries to a consumer of a group, or its history, and may wait.",
        syntax: "<GROUP group consumer> [COUNT count] [BLOCK milliseconds] [NOACK] <STREAMS \
                 key... id...>",
        handler: read::xreadgroup,
        ..STREAM
    },
    Command {
        name: "xgroup",
        arity: -2,
        categories: Category::empty(),
        summary: "Creates, changes and removes consumer groups.",
        subcommands: XGROUP,
        handler: container,
        ..STREAM
    },
    Command {
        name: "xack",
        arity: -4,
        flags: WRITE_FAST,
        keys: CHANGE_KEY,
        complexity: PER_ID,
        summary: "Acknowledges entries that were delivered in a group.",
        syntax: "key group id...",
        handler: group::xack,
        ..STREAM
    },
    Command {
        name: "xpending",
        arity: -3,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(log N + M), M entries returned, or consumers in the short form",
        summary: "Tells which entries of a group are delivered and not acknowledged.",
        syntax: "key group filters=[[IDLE min-idle-time{integer}]@6.2.0 start{string} \
                 end{string} count [consumer]]",
        history: &[("6.2.0", "IDLE is new, and `(` excludes an end.")],
        tips: VARIES,
        handler: group::xpending,
        ..STREAM
    },
    Command {
        name: "xclaim",
        arity: -6,
        flags: WRITE_FAST,
        keys: CHANGE_KEY,
        complexity: PER_ID,
        summary: "Makes entries that were delivered to others a consumer's own.",
        syntax: "key group consumer min-idle-time id... [IDLE ms] [TIME unix-time-milliseconds] \
                 [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        tips: VARIES,
        handler: claim::xclaim,
        ..STREAM
    },
    Command {
        name: "xautoclaim",
        arity: -6,
        flags: WRITE_FAST,
        keys: REMOVE_KEY,
        since: "6.2.0",
        complexity: "O(1) for a constant COUNT",
        summary: "Makes entries that were delivered long ago a consumer's own.",
        syntax: "key group consumer min-idle-time start{string} [COUNT count] [JUSTID]",
        history: &[(
            "7.0.0",
            "It removes deleted entries from what is pending, and returns their IDs.",
        )],
        tips: VARIES,
        handler: claim::xautoclaim,
        ..STREAM
    },
    Command {
        name: "xinfo",
        arity: -2,
        categories: Category::empty(),
        summary: "Tells about streams, groups and consumers.",
        subcommands: XINFO,
        handler: container,
        ..STREAM
    },
];

const XGROUP: &[Command] = &[
    Command {
        name: "create",
        arity: -5,
        flags: GROW,
        keys: &[KeySpec::one(2, ADDS)],
        summary: "Creates a consumer group.",
        syntax: "key group id-selector=<id | new-id=$> [MKSTREAM] [ENTRIESREAD entries-read]",
        history: &[("7.0.0", "ENTRIESREAD is new.")],
        handler: group::create,
        ..STREAM
    },
    Command {
        name: "setid",
        arity: -5,
        flags: WRITE,
        keys: &[KeySpec::one(2, CHANGES)],
        summary: "Sets how far a group has read.",
        syntax: "key group id-selector=<id | new-id=$> [ENTRIESREAD entries-read]",
        history: &[("7.0.0", "ENTRIESREAD is new.")],
        handler: group::set_id,
        ..STREAM
    },
    Command {
        name: "destroy",
        arity: 4,
        flags: WRITE,
        keys: &[KeySpec::one(2, REMOVES)],
        complexity: "O(N), N entries pending",
        summary: "Removes a consumer group.",
        syntax: "key group",
        handler: group::destroy,
        ..STREAM
    },
    Command {
        name: "createconsumer",
        arity: 5,
        flags: GROW,
        keys: &[KeySpec::one(2, ADDS)],
        since: "6.2.0",
        summary: "Creates a consumer in a group.",
        syntax: "key group consumer",
        handler: group::create_consumer,
        ..STREAM
    },
    Command {
        name: "delconsumer",
        arity: 5,
        flags: WRITE,
        keys: &[KeySpec::one(2, REMOVES)],
        complexity: "O(N), N entries pending for it",
        summary: "Removes a consumer from a group.",
        syntax: "key group consumer",
        handler: group::delete_consumer,
        ..STREAM
    },
    help_row(STREAM, STREAM.since, group::help),
];

const XINFO: &[Command] = &[
    Command {
        name: "stream",
        arity: -3,
        flags: READ,
        keys: &[KeySpec::one(2, READS)],
        summary: "Tells about a stream.",
        syntax: "key [FULL [COUNT count]]",
        history: &[
            ("6.0.0", "FULL is new."),
            ("7.0.0", "It tells what is remembered of entries that are gone."),
            ("7.2.0", "`active-time` is new, and `seen-time` counts every attempt."),
        ],
        handler: info::stream,
        ..STREAM
    },
    Command {
        name: "groups",
        arity: 3,
        flags: READ,
        keys: &[KeySpec::one(2, READS)],
        summary: "Tells about the consumer groups of a stream.",
        syntax: "key",
        history: &[("7.0.0", "`entries-read` and `lag` are new.")],
        handler: info::groups,
        ..STREAM
    },
    Command {
        name: "consumers",
        arity: 4,
        flags: READ,
        keys: &[KeySpec::one(2, READS)],
        tips: VARIES,
        summary: "Tells about the consumers of a group.",
        syntax: "key group",
        history: &[("7.2.0", "`inactive` is new.")],
        handler: info::consumers,
        ..STREAM
    },
    help_row(STREAM, STREAM.since, info::help),
];

/// The error where a key or its group doesn't exist; `of` is what else the text says.
fn no_group(key: &[u8], group: &[u8], of: &str) -> Error {
    Error::other(format!(
        "NOGROUP No such key '{}' or consumer group '{}'{of}",
        String::from_utf8_lossy(key),
        String::from_utf8_lossy(group)
    ))
}

/// The error where a key exists, but not its group.
fn no_group_of(key: &[u8], group: &[u8]) -> Error {
    Error::other(format!(
        "NOGROUP No such consumer group '{}' for key name '{}'",
        String::from_utf8_lossy(group),
        String::from_utf8_lossy(key)
    ))
}

/// Writes an ID.
fn reply_id(id: StreamId, out: &mut Reply) {
    out.bulk(id.text(&mut IdBuf::new()));
}

/// Writes an entry: its ID, and its fields.
fn reply_entry(entry: &Entry<'_>, out: &mut Reply) {
    out.array(2);
    reply_id(entry.id(), out);
    out.array(entry.len() * 2);
    for (name, value) in entry.fields() {
        reply_element(name, out);
        reply_element(value, out);
    }
}

/// Writes the first `most` entries (all, if it is 0) as an array.
fn reply_entries<'a>(entries: impl Iterator<Item = Entry<'a>>, most: u64, out: &mut Reply) {
    let most = if most == 0 { usize::MAX } else { usize::try_from(most).unwrap_or(usize::MAX) };
    let (mark, mut len) = (out.begin(), 0);
    for entry in entries.take(most) {
        reply_entry(&entry, out);
        len += 1;
    }
    out.end_array(mark, len);
}
