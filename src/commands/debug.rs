//! DEBUG: what tests and operators need to look inside, allowed by `enable-debug-command`.

use std::fmt::Write;
use std::time::Duration;

use crate::commands::config::rewrite_file;
use crate::commands::reply_help;
use crate::config::Extent;
use crate::ds::listpack::Listpack;
use crate::keyspace::{Digest, Entry};
use crate::persist::rdb::dump;
use crate::resp::{Args, Error};
use crate::server::client::Client;
use crate::server::command::{Command, Handler};
use crate::server::ctx::Ctx;
use crate::server::load_rdb::Into;
use crate::spec::{Flags, Group};
use crate::util::num;
use crate::value::Value;
use crate::value::list::List;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::SYSTEM)
        .union(Flags::PROTECTED),
    group: Group::Server,
    complexity: "Depends on the subcommand",
    summary: "Looks and reaches inside the server.",
    handler: debug,
    ..Command::DEFAULT
}];

/// Each subcommand: its name, its least and greatest number of arguments, and its handler.
const SUBCOMMANDS: &[(&str, usize, usize, Handler)] = &[
    ("aof-flush-sleep", 1, 1, aof_flush_sleep),
    ("assert", 0, 0, panic),
    ("change-repl-id", 0, 0, change_repl_id),
    ("config-rewrite-force-all", 0, 0, config_rewrite_force_all),
    ("digest", 0, 0, digest),
    ("digest-value", 0, usize::MAX, digest_value),
    ("error", 1, 1, error),
    ("fail-child", 0, 0, fail_child),
    ("help", 0, 0, help),
    ("htstats", 1, 1, htstats),
    ("htstats-key", 1, 1, htstats_key),
    ("listpack", 1, 1, listpack),
    ("loadaof", 0, 0, loadaof),
    ("log", 1, 1, log),
    ("object", 1, 1, object),
    ("panic", 0, 0, panic),
    ("pause-cron", 1, 1, pause_cron),
    ("populate", 1, 3, populate),
    ("protocol", 1, 1, protocol),
    ("quicklist", 1, 2, quicklist),
    ("quicklist-packed-threshold", 1, 1, packed_threshold),
    ("reload", 0, usize::MAX, reload),
    ("replybuffer", 2, 2, replybuffer),
    ("segfault", 0, 0, segfault),
    ("set-active-expire", 1, 1, set_active_expire),
    ("set-disable-deny-scripts", 1, 1, set_disable_deny_scripts),
    ("set-skip-checksum-validation", 1, 1, set_skip_checksums),
    ("sleep", 1, 1, sleep),
    ("stringmatch-len", 2, 2, stringmatch_len),
    ("structsize", 0, 0, structsize),
];

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let given = args.len() - 2;
    let found = SUBCOMMANDS.iter().find(|(name, ..)| args.is(1, name));
    match found {
        Some((_, least, most, handler)) if (*least..=*most).contains(&given) => handler(ctx, args),
        _ => Err(Error::subcommand_syntax("DEBUG", args.at(1))),
    }
}

/// Numbers as `atoi` reads them: what isn't one is 0.
fn flag(args: Args<'_>) -> bool {
    num::parse_i64(&args[2]).is_some_and(|value| value != 0)
}

/// The entry of a key, also if it is due: DEBUG shows what is there.
fn found<'a>(ctx: &'a Ctx<'_>, key: &[u8]) -> Result<&'a Entry, Error> {
    ctx.db().get(key).ok_or(Error::NoSuchKey)
}

fn pause_cron(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.srv.cron_paused = flag(args);
    ctx.out.ok();
    Ok(())
}

/// Output buffers have no peak to forget after a time: a large one is given back when it is empty.
fn replybuffer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !args.is(2, "resizing") {
        return Err(Error::Syntax);
    }
    ctx.srv.keep_output_buffers = num::parse_i64(&args[3]) == Some(0);
    ctx.out.ok();
    Ok(())
}

/// Where Redis's tests kill the process that saves or rewrites.
fn fail_child(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if !ctx.srv.fail_child() {
        return Err(Error::other("ERR No save or rewrite is running in the background"));
    }
    ctx.out.ok();
    Ok(())
}

fn aof_flush_sleep(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let us = num::parse_u64(&args[2]).unwrap_or(0);
    ctx.srv.aof.log.delay_writes(Duration::from_micros(us));
    ctx.out.ok();
    Ok(())
}

fn change_repl_id(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.run_id = crate::util::seed::random_hex(40);
    ctx.out.ok();
    Ok(())
}

fn config_rewrite_force_all(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    rewrite_file(ctx, Extent::All)?;
    ctx.out.ok();
    Ok(())
}

/// Panics, as by a fault: that is what it is for.
fn panic(_: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    panic!("called by DEBUG {}", String::from_utf8_lossy(&args[1]).to_ascii_uppercase())
}

/// Ends the process at once, as by a fault: that is what it is for.
fn segfault(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.log.warning("Crashing: DEBUG SEGFAULT was called");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::SEGV);
    std::process::abort()
}

fn listpack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    describe(ctx, args, "listpack", "ERR Not a listpack encoded object.", "Listpack")
}

fn quicklist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    describe(ctx, args, "quicklist", "ERR Not a quicklist encoded object.", "Quicklist")
}

/// Logs what a value of an encoding consists of.
fn describe(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    encoding: &str,
    other: &'static str,
    name: &str,
) -> Result<(), Error> {
    let entry = found(ctx, &args[2])?;
    let value =
        entry.value().filter(|_| entry.encoding() == encoding).ok_or(Error::other(other))?;
    let text = format!(
        "{encoding} at {:#x}: {} elements, {} bytes",
        entry.address(),
        value.len(),
        value.heap_bytes()
    );
    ctx.srv.log.warning(text);
    ctx.out.simple(format!("{name} structure printed on stdout").as_bytes());
    Ok(())
}

/// The sizes of what takes most of the memory, in bytes.
fn structsize(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let text = format!(
        "bits:{} client:{} entry:{} value:{}",
        usize::BITS,
        size_of::<Client>(),
        size_of::<Entry>(),
        size_of::<Value>()
    );
    ctx.out.bulk(text.as_bytes());
    Ok(())
}

fn digest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let digest = Digest::of_dbs(&ctx.srv.dbs);
    ctx.out.simple(digest.hex().as_bytes());
    Ok(())
}

fn digest_value(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.out.array(args.len() - 2);
    for key in args.from(2).iter() {
        let digest = Digest::of_value(ctx.peek(key));
        ctx.out.simple(digest.hex().as_bytes());
    }
    Ok(())
}

fn error(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.out.error_text(&args[2]);
    Ok(())
}

fn htstats(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let number = args.int(2)?;
    let db = usize::try_from(number).ok().and_then(|number| ctx.srv.dbs.get(number));
    let Some(db) = db else { return Err(Error::other("ERR Out of range database")) };
    let stats = db.table_stats();
    let mut text = String::new();
    let _ = write!(
        text,
        "[Dictionary HT]\n table size: {}\n number of elements: {}\n segments: {}\n max segment \
         length: {}\n[Expires HT]\n number of elements: {}\n",
        stats.slots,
        stats.items,
        stats.segments,
        stats.longest,
        db.volatile_len()
    );
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn htstats_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let entry = found(ctx, &args[2])?;
    let hashed = matches!(entry.encoding(), "hashtable" | "skiplist");
    let len = entry.value().map_or(0, |value| value.len());
    if !hashed {
        return Err(Error::other(
            "ERR The value stored at the specified key is not represented using an hash table",
        ));
    }
    ctx.out.verbatim(b"txt", format!(" number of elements: {len}\n").as_bytes());
    Ok(())
}

fn loadaof(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv
        .reload_aof()
        .map_err(|_| Error::other("ERR Error trying to load the AOF files, check server logs."))?;
    ctx.srv.log.warning("Append Only File loaded by DEBUG LOADAOF");
    ctx.out.ok();
    Ok(())
}

fn log(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.srv.log.warning(format_args!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2])));
    ctx.out.ok();
    Ok(())
}

fn object(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (eviction, clock, now_ms) = (ctx.srv.eviction, ctx.srv.access_clock(), ctx.now_ms());
    let compress = ctx.srv.config.rdbcompression;
    let entry = found(ctx, &args[2])?;
    let idle = i64::from(if eviction.is_lfu() { 0 } else { eviction.idle_seconds(entry, clock) });
    let mut text = format!(
        "Value at:{:#x} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{idle}",
        entry.address(),
        entry.encoding(),
        dump::saved_len(entry, compress),
        (now_ms / 1000 - idle) & 0xff_ffff,
    );
    if entry.encoding() == "quicklist"
        && let Some(Value::List(list)) = entry.value()
    {
        append_nodes(&mut text, list, ctx.srv.config.limits.list_max_listpack_size);
    }
    ctx.out.simple(text.as_bytes());
    Ok(())
}

/// What a list of several nodes consists of. None of them is compressed.
fn append_nodes(text: &mut String, list: &List, max: i32) {
    let nodes = list.nodes();
    let bytes = |node: &Result<&Listpack, &[u8]>| match node {
        Ok(pack) => pack.as_bytes().len(),
        Err(plain) => plain.len(),
    };
    let _ = write!(
        text,
        " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{max} ql_compressed:0 \
         ql_uncompressed_size:{}",
        nodes.len(),
        list.len() as f64 / nodes.len().max(1) as f64,
        nodes.iter().map(bytes).sum::<usize>()
    );
}

fn populate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let positive = |index| {
        let value = args.int(index)?;
        u32::try_from(value).map(|value| value as usize).map_err(|_| Error::NotPositive)
    };
    let count = positive(2)?;
    let prefix = args.get(3).unwrap_or(b"key");
    let size = if args.len() > 4 { Some(positive(4)?) } else { None };
    if size.is_some_and(|size| size as u64 > ctx.srv.config.proto_max_bulk_len) {
        return Err(Error::StringTooLong);
    }
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for i in 0..count {
        key.clear();
        key.extend_from_slice(prefix);
        key.extend_from_slice(format!(":{i}").as_bytes());
        if ctx.exists(&key) {
            continue;
        }
        value.clear();
        value.extend_from_slice(format!("value:{i}").as_bytes());
        if let Some(size) = size {
            value.resize(size, 0);
        }
        ctx.put(Entry::string(&key, &value, None));
        ctx.touched(&key);
    }
    ctx.out.ok();
    Ok(())
}

#[allow(clippy::approx_constant, reason = "the value that Redis replies")]
fn protocol(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let out = &mut ctx.out;
    match args[2].to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double(3.141),
        b"bignum" => out.big_number(b"1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|i| out.int(i));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|i| out.int(i));
        }
        b"map" => {
            out.map(3);
            for i in 0..3 {
                out.int(i);
                out.bool(i == 1);
            }
        }
        b"attrib" => {
            if out.resp3() {
                out.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" if !out.resp3() => {
            return Err(Error::other("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"verbatim" => out.verbatim(b"txt", b"This is a verbatim\nstring"),
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        _ => {
            return Err(Error::other(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// Lists choose their nodes by size alone, so there is no threshold to move; what tests see of it
/// is the same.
fn packed_threshold(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let size = num::parse_memory(&args[2]).filter(|&size| size < 1 << 32);
    size.ok_or(Error::other(
        "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
    ))?;
    ctx.out.ok();
    Ok(())
}

/// Saves and loads the data: what comes back is what a restart would find.
fn reload(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (mut save, mut flush, mut merge) = (true, true, false);
    for i in 2..args.len() {
        match () {
            () if args.is(i, "nosave") => save = false,
            () if args.is(i, "noflush") => flush = false,
            () if args.is(i, "merge") => merge = true,
            () => {
                return Err(Error::other(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    if save {
        ctx.srv.save_now().map_err(|_| Error::SaveFailed)?;
    }
    if flush {
        ctx.srv.flush(None, true);
        ctx.srv.functions.flush();
    }
    let into = match (flush, merge) {
        (_, true) => Into::Merge,
        (true, false) => Into::Empty,
        (false, false) => Into::New,
    };
    let failed = "ERR Error trying to load the RDB dump, check server logs.";
    ctx.srv.load_now(into).map_err(|_| Error::other(failed))?;
    ctx.srv.log.warning("DB reloaded by DEBUG RELOAD");
    ctx.out.ok();
    Ok(())
}

fn set_skip_checksums(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.srv.skip_checksums = flag(args);
    ctx.out.ok();
    Ok(())
}

fn set_active_expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.srv.active_expire = flag(args);
    ctx.out.ok();
    Ok(())
}

fn set_disable_deny_scripts(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.srv.allow_deny_scripts = flag(args);
    ctx.out.ok();
    Ok(())
}

/// Holds up the whole server: that is what it is for.
fn sleep(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let seconds = num::parse_f64(&args[2]).unwrap_or(0.0);
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    std::thread::sleep(time.min(Duration::from_secs(3600)));
    ctx.out.ok();
    Ok(())
}

/// Matches a text of that many `a` with a pattern, for tests of patterns that take long.
fn stringmatch_len(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    const LONGEST: usize = 1 << 24;
    let len = usize::try_from(args.int(2)?).map_err(|_| Error::NotPositive)?.min(LONGEST);
    let text = vec![b'a'; len];
    ctx.out.int(i64::from(crate::util::glob::glob_match(&args[3], &text, false)));
    Ok(())
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "DEBUG",
        &[
            "AOF-FLUSH-SLEEP <microsec>",
            "    Server will sleep before flushing the AOF, this is used for testing.",
            "ASSERT",
            "    End the server at once, as if a check had failed.",
            "CHANGE-REPL-ID",
            "    Give the server a new replication identifier.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    Like CONFIG REWRITE but writes all settings, also those at their defaults.",
            "DIGEST",
            "    Output a hex signature representing the current DB content.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Output a hex signature of the values of all the specified keys.",
            "ERROR <string>",
            "    Return a Redis protocol error with <string> as message.",
            "FAIL-CHILD",
            "    Have the save or rewrite in the background fail.",
            "HTSTATS <dbid>",
            "    Return hash table statistics of the specified database.",
            "HTSTATS-KEY <key>",
            "    Like HTSTATS but for the hash table stored at <key>'s value.",
            "LISTPACK <key>",
            "    Describe the listpack at <key> in the server log.",
            "LOADAOF",
            "    Flush the AOF buffers on disk and reload the AOF in memory.",
            "LOG <message>",
            "    Write <message> to the server log.",
            "OBJECT <key>",
            "    Show low level info about `key` and associated value.",
            "PANIC",
            "    End the server at once, as if something impossible had happened.",
            "PAUSE-CRON <0|1>",
            "    1 stops the work by the clock, save for deadlines.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create <count> string keys named key:<num>, or <prefix>:<num>.",
            "PROTOCOL <type>",
            "    Reply with a test value of the specified type.",
            "QUICKLIST <key> [<0|1>]",
            "    Describe the list at <key> in the server log.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Checks <size> only: lists have no such threshold.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "    Save the RDB on disk and reload it back to memory. Valid <option> values:",
            "    * MERGE: keys that are there already are overwritten, not an error.",
            "    * NOFLUSH: the current data stay; without MERGE, a key that is loaded must be new.",
            "    * NOSAVE: the file is loaded as it is.",
            "REPLYBUFFER RESIZING <0|1>",
            "    0 keeps large output buffers when they are empty.",
            "SEGFAULT",
            "    End the server by the signal of a wrong access to memory.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    0 leaves keys that are due until they are accessed.",
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    1 lets scripts call what is denied to them.",
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    1 lets RESTORE believe checksums.",
            "SLEEP <seconds>",
            "    Stop the server for <seconds>. Decimals allowed.",
            "STRINGMATCH-LEN <len> <pattern>",
            "    Match a string of <len> characters with <pattern>.",
            "STRUCTSIZE",
            "    Return the sizes of the most frequent structures.",
        ],
    );
    Ok(())
}
