//! Commands for keys of any type: existence, deletion, names, copies, iteration, flushing.

use crate::commands::connection::parse_db;
use crate::commands::scan::{ScanOptions, reply_scan};
use crate::commands::{META_KEY, UPDATE_KEY, container, help_row, reply_help};
use crate::config::NotifyFlags;
use crate::ds::dict::Keyed;
use crate::keyspace::Entry;
use crate::resp::{Args, Error, Proto, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::glob::GlobPattern;
use crate::value::Value;

const KEYSPACE: Command =
    Command { group: Group::Generic, categories: Category::KEYSPACE, ..Command::DEFAULT };
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const REMOVED_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))];
const META_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::RO)];
const MOVED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "del",
        arity: -2,
        flags: WRITE,
        keys: REMOVED_KEYS,
        complexity: "O(N), N keys",
        summary: "Deletes keys.",
        syntax: "key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: del,
        ..KEYSPACE
    },
    Command {
        name: "unlink",
        arity: -2,
        flags: WRITE_FAST,
        keys: REMOVED_KEYS,
        since: "4.0.0",
        complexity: "O(1) for each key",
        summary: "Deletes keys and frees their values in the background.",
        syntax: "key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: del,
        ..KEYSPACE
    },
    Command {
        name: "exists",
        arity: -2,
        flags: READ_FAST,
        keys: META_KEYS,
        complexity: "O(N), N keys",
        summary: "Counts the keys that exist.",
        syntax: "key...",
        history: &[("3.0.3", "Several keys may be given.")],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: exists,
        ..KEYSPACE
    },
    Command {
        name: "touch",
        arity: -2,
        flags: READ_FAST,
        keys: META_KEYS,
        since: "3.2.1",
        complexity: "O(N), N keys",
        summary: "Counts the keys that exist, and notes an access to each.",
        syntax: "key...",
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        handler: touch,
        ..KEYSPACE
    },
    Command {
        name: "type",
        arity: 2,
        flags: READ_FAST,
        keys: META_KEY,
        summary: "Returns the type of a key's value.",
        syntax: "key",
        handler: type_,
        ..KEYSPACE
    },
    Command {
        name: "rename",
        arity: 3,
        flags: WRITE,
        keys: &[KeySpec::one(1, MOVED), KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE))],
        summary: "Gives a key another name, in the place of what had it.",
        syntax: "key newkey",
        handler: rename,
        ..KEYSPACE
    },
    Command {
        name: "renamenx",
        arity: 3,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, MOVED), KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT))],
        summary: "Gives a key another name, if no key has it.",
        syntax: "key newkey",
        history: &[("3.2.0", "The two names may be the same.")],
        handler: rename,
        ..KEYSPACE
    },
    Command {
        name: "copy",
        arity: -3,
        flags: WRITE.union(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        ],
        since: "6.2.0",
        complexity: "O(1): a copy shares until one of both is written",
        summary: "Copies a key's value to another key.",
        syntax: "source destination [DB destination-db] [REPLACE]",
        handler: copy,
        ..KEYSPACE
    },
    Command {
        name: "move",
        arity: 3,
        flags: WRITE_FAST,
        keys: UPDATE_KEY,
        summary: "Moves a key to another database.",
        syntax: "key db",
        handler: move_,
        ..KEYSPACE
    },
    Command {
        name: "randomkey",
        arity: 1,
        flags: READ.union(Flags::TOUCHES_ARBITRARY_KEYS),
        summary: "Returns a random key.",
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        handler: randomkey,
        ..KEYSPACE
    },
    Command {
        name: "keys",
        arity: 2,
        flags: READ,
        categories: Category::KEYSPACE.union(Category::DANGEROUS),
        complexity: "O(N), N keys in the database",
        summary: "Returns the keys that match a pattern.",
        syntax: "pattern",
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        handler: keys,
        ..KEYSPACE
    },
    Command {
        name: "scan",
        arity: -2,
        flags: READ.union(Flags::TOUCHES_ARBITRARY_KEYS),
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for all N keys",
        summary: "Iterates over the keys of the database.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]@6.0.0",
        history: &[("6.0.0", "`TYPE` is new.")],
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        handler: scan,
        ..KEYSPACE
    },
    Command {
        name: "dbsize",
        arity: 1,
        flags: READ_FAST,
        summary: "Returns the number of keys in the database.",
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        group: Group::Server,
        handler: dbsize,
        ..KEYSPACE
    },
    Command {
        name: "flushdb",
        arity: -1,
        flags: WRITE,
        categories: Category::KEYSPACE.union(Category::DANGEROUS),
        complexity: "O(1); the keys are freed in the background",
        summary: "Deletes all keys of the database.",
        syntax: "flush-type=[ASYNC@4.0.0 | SYNC@6.2.0]",
        history: &[("4.0.0", "`ASYNC` is new."), ("6.2.0", "`SYNC` is new.")],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        group: Group::Server,
        handler: flushdb,
        ..KEYSPACE
    },
    Command {
        name: "flushall",
        arity: -1,
        flags: WRITE,
        categories: Category::KEYSPACE.union(Category::DANGEROUS),
        complexity: "O(1); the keys are freed in the background",
        summary: "Deletes all keys of all databases.",
        syntax: "flush-type=[ASYNC@4.0.0 | SYNC@6.2.0]",
        history: &[("4.0.0", "`ASYNC` is new."), ("6.2.0", "`SYNC` is new.")],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        group: Group::Server,
        handler: flushall,
        ..KEYSPACE
    },
    Command {
        name: "swapdb",
        arity: 3,
        flags: WRITE_FAST,
        categories: Category::KEYSPACE.union(Category::DANGEROUS),
        since: "4.0.0",
        complexity: "O(N), N clients that watch or wait for keys of both",
        summary: "Swaps two databases.",
        syntax: "index1 index2",
        group: Group::Server,
        handler: swapdb,
        ..KEYSPACE
    },
    Command {
        name: "object",
        arity: -2,
        since: "2.2.3",
        summary: "Tells how a key's value is stored.",
        categories: Category::empty(),
        subcommands: OBJECT,
        handler: container,
        ..KEYSPACE
    },
];

const OBJECT_SUB: Command =
    Command { arity: 3, flags: READ, keys: &[KeySpec::one(2, KeyFlags::RO)], ..KEYSPACE };
const OBJECT: &[Command] = &[
    Command {
        name: "encoding",
        since: "2.2.3",
        summary: "Returns the encoding of a key's value.",
        syntax: "key",
        tips: &["nondeterministic_output"],
        handler: object_encoding,
        ..OBJECT_SUB
    },
    Command {
        name: "refcount",
        since: "2.2.3",
        summary: "Returns the reference count of a key's value.",
        syntax: "key",
        tips: &["nondeterministic_output"],
        handler: object_refcount,
        ..OBJECT_SUB
    },
    Command {
        name: "idletime",
        since: "2.2.3",
        summary: "Returns the seconds since the last access to a key.",
        syntax: "key",
        tips: &["nondeterministic_output"],
        handler: object_idletime,
        ..OBJECT_SUB
    },
    Command {
        name: "freq",
        since: "4.0.0",
        summary: "Returns the logarithmic access counter of a key.",
        syntax: "key",
        tips: &["nondeterministic_output"],
        handler: object_freq,
        ..OBJECT_SUB
    },
    help_row(OBJECT_SUB, "6.2.0", object_help),
];

fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut deleted = 0;
    for key in args.from(1).iter() {
        if ctx.delete(key) {
            ctx.modified(NotifyFlags::GENERIC, "del", key);
            deleted += 1;
        }
    }
    ctx.out.int(deleted);
    Ok(())
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let found = |key: &&[u8]| ctx.lookup_untouched(key).is_some();
    let count = args.from(1).iter().filter(found).count();
    ctx.out.len_int(count);
    Ok(())
}

fn touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let count = args.from(1).iter().filter(|key| ctx.lookup_touched(key).is_some()).count();
    ctx.out.len_int(count);
    Ok(())
}

fn type_(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let kind = ctx.lookup_untouched(args.at(1)).map(Entry::kind);
    ctx.out.simple(kind.map_or("none", |kind| kind.name()).as_bytes());
    Ok(())
}

fn rename(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (from, to) = (args.at(1), args.at(2));
    let only_new = ctx.command_name() == "renamenx";
    let Some(entry) = ctx.peek(from).cloned() else { return Err(Error::NoSuchKey) };
    if from == to {
        return reply_renamed(ctx, only_new, false);
    }
    if ctx.exists(to) {
        if only_new {
            return reply_renamed(ctx, true, false);
        }
        ctx.delete(to);
    }
    ctx.db_mut().take(from);
    ctx.signal_gone(from);
    let renamed = entry.renamed(to, entry.deadline());
    drop(entry);
    ctx.put(renamed);
    ctx.touched(from);
    ctx.touched(to);
    ctx.notify(NotifyFlags::GENERIC, "rename_from", from);
    ctx.notify(NotifyFlags::GENERIC, "rename_to", to);
    ctx.srv.dirty += 1;
    reply_renamed(ctx, only_new, true)
}

fn reply_renamed(ctx: &mut Ctx<'_>, only_new: bool, renamed: bool) -> Result<(), Error> {
    match only_new {
        true => ctx.out.int(i64::from(renamed)),
        false => ctx.out.ok(),
    }
    Ok(())
}

fn copy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (from, to) = (args.at(1), args.at(2));
    let (mut db, mut replace) = (ctx.db, false);
    let mut i = 3;
    while i < args.len() {
        if args.is(i, "replace") {
            replace = true;
        } else if args.is(i, "db") && i + 1 < args.len() {
            db = parse_db(ctx.srv, args.at(i + 1), None)?;
            i += 1;
        } else {
            return Err(Error::Syntax);
        }
        i += 1;
    }
    if db == ctx.db && from == to {
        return Err(Error::SameObject);
    }
    let Some(entry) = ctx.lookup(from).cloned() else {
        ctx.out.int(0);
        return Ok(());
    };
    let source_db = std::mem::replace(&mut ctx.db, db);
    let copied = replace || !ctx.exists(to);
    if copied {
        ctx.delete(to);
        let copy = entry.renamed(to, entry.deadline());
        ctx.put(copy);
        ctx.modified(NotifyFlags::GENERIC, "copy_to", to);
    }
    ctx.db = source_db;
    ctx.out.int(i64::from(copied));
    Ok(())
}

fn move_(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let db = parse_db(ctx.srv, args.at(2), None)?;
    if db == ctx.db {
        return Err(Error::SameObject);
    }
    let source_db = ctx.db;
    let found = ctx.exists(key);
    ctx.db = db;
    let taken = ctx.exists(key);
    ctx.db = source_db;
    let entry = match found && !taken {
        true => ctx.db_mut().take(key),
        false => None,
    };
    let moved = entry.is_some();
    if let Some(entry) = entry {
        ctx.srv.put(db, entry);
        ctx.signal_gone(key);
        ctx.touched(key);
        ctx.srv.key_changed(db, key, Some(ctx.client));
        ctx.notify(NotifyFlags::GENERIC, "move_from", key);
        ctx.srv.notify(NotifyFlags::GENERIC, "move_to", db, key);
        ctx.srv.dirty += 1;
    }
    ctx.out.int(i64::from(moved));
    Ok(())
}

/// How often RANDOMKEY tries to find a key that isn't due while due ones can't be deleted.
const RANDOMKEY_TRIES: usize = 100;

fn randomkey(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let srv = &mut *ctx.srv;
        let found = srv.dbs[ctx.db].random(&mut srv.rng).map(|entry| entry.key().to_vec());
        match found {
            Some(key) if ctx.srv.is_due(ctx.db, &key) && tries < RANDOMKEY_TRIES => {
                match ctx.srv.is_paused() {
                    true => tries += 1,
                    // Each round deletes a due key, so this ends.
                    false => ctx.expire_if_due(&key),
                }
            }
            found => {
                ctx.out.bulk_or_null(found.as_deref());
                return Ok(());
            }
        }
    }
}

fn is_live(entry: &Entry, now_ms: i64) -> bool {
    entry.deadline().is_none_or(|deadline| deadline >= now_ms)
}

fn keys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let glob = GlobPattern::new(args.at(1));
    let now_ms = ctx.now_ms();
    let mark = ctx.out.begin();
    let mut listed = 0;
    for entry in ctx.srv.dbs[ctx.db].iter() {
        if glob.matches(entry.key()) && is_live(entry, now_ms) {
            ctx.out.bulk(entry.key());
            listed += 1;
        }
    }
    ctx.out.end_array(mark, listed);
    Ok(())
}

fn scan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = ScanOptions::parse(args, 1, true)?;
    let now_ms = ctx.now_ms();
    let (mut elements, mut count) = (Reply::new(Proto::Resp2), 0);
    let mut due = Vec::new();
    let next = ctx.db().scan(options.cursor, options.count, |entry| {
        if !options.matches(entry.key()) {
            return;
        }
        // Whatever its type, a key that is looked at and due goes.
        if !is_live(entry, now_ms) {
            due.push(entry.key().to_vec());
        } else if options.kind.is_none_or(|kind| kind.0 == Some(entry.kind())) {
            elements.bulk(entry.key());
            count += 1;
        }
    });
    if !ctx.srv.is_paused() {
        due.iter().for_each(|key| ctx.expire_if_due(key));
    }
    reply_scan(&mut ctx.out, next, elements.bytes(), count);
    Ok(())
}

fn dbsize(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let len = ctx.db().len();
    ctx.out.len_int(len);
    Ok(())
}

/// Whether FLUSHALL or FLUSHDB is to free the keys before it replies.
fn flush_waits(ctx: &Ctx<'_>, args: Args<'_>) -> Result<bool, Error> {
    match args.len() {
        1 => Ok(!ctx.srv.config.lazyfree_lazy_user_flush),
        2 if args.is(1, "sync") => Ok(true),
        2 if args.is(1, "async") => Ok(false),
        _ => Err(Error::Syntax),
    }
}

fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let wait = flush_waits(ctx, args)?;
    let keys = ctx.srv.flush(Some(ctx.db), wait);
    ctx.srv.dirty += keys;
    // Told also if there was no key: what replays this may have some.
    ctx.propagate_words(args.iter());
    ctx.out.ok();
    Ok(())
}

fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let wait = flush_waits(ctx, args)?;
    let keys = ctx.srv.flush(None, wait);
    ctx.srv.dirty += keys;
    // As with FLUSHDB; and the save makes nothing of what it has saved.
    ctx.propagate_words(args.iter());
    ctx.srv.save_flushed();
    ctx.out.ok();
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let invalid = |which| Error::other(format!("ERR invalid {which} DB index"));
    let a = parse_db(ctx.srv, args.at(1), Some(invalid("first")))?;
    let b = parse_db(ctx.srv, args.at(2), Some(invalid("second")))?;
    if a != b {
        ctx.srv.swap_dbs(a, b);
    }
    ctx.srv.dirty += 1;
    ctx.out.ok();
    Ok(())
}

fn object_encoding(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let encoding = ctx.peek(args.at(2)).map(Entry::encoding);
    ctx.out.bulk_or_null(encoding.map(str::as_bytes));
    Ok(())
}

/// Integers that Redis keeps one shared object for, whose count it shows as the largest.
const SHARED_INTEGERS: std::ops::Range<i64> = 0..10_000;

fn object_refcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let count = ctx.peek(args.at(2)).map(|entry| match entry.value() {
        Some(Value::Int(value)) if SHARED_INTEGERS.contains(value) => i64::from(i32::MAX),
        _ => 1,
    });
    match count {
        Some(count) => ctx.out.int(count),
        None => ctx.out.null(),
    }
    Ok(())
}

fn object_idletime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (eviction, clock) = (ctx.srv.eviction, ctx.srv.access_clock());
    let idle = match ctx.peek(args.at(2)) {
        None => None,
        Some(_) if eviction.is_lfu() => return Err(Error::IsLfu),
        Some(entry) => Some(eviction.idle_seconds(entry, clock)),
    };
    match idle {
        Some(idle) => ctx.out.int(i64::from(idle)),
        None => ctx.out.null(),
    }
    Ok(())
}

fn object_freq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (eviction, clock) = (ctx.srv.eviction, ctx.srv.access_clock());
    let freq = match ctx.peek(args.at(2)) {
        None => None,
        Some(_) if !eviction.is_lfu() => return Err(Error::NotLfu),
        Some(entry) => Some(eviction.frequency(entry, clock)),
    };
    match freq {
        Some(freq) => ctx.out.int(i64::from(freq)),
        None => ctx.out.null(),
    }
    Ok(())
}

fn object_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "OBJECT",
        &[
            "ENCODING <key>",
            "    Return how the key's value is stored.",
            "FREQ <key>",
            "    Return the logarithmic access counter of the key.",
            "IDLETIME <key>",
            "    Return the seconds since the last access to the key.",
            "REFCOUNT <key>",
            "    Return the number of references to the key's value.",
        ],
    );
    Ok(())
}
