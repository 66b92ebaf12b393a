//! MEMORY: where the memory went.

use std::fmt::Write;

use crate::commands::{container, help_row, reply_help};
use crate::keyspace::Entry;
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::memory::MemoryUse;
use crate::spec::{Flags, Group, KeyFlags, KeySpec};
use crate::util::process;

const MEMORY: Command =
    Command { arity: 2, group: Group::Server, since: "4.0.0", ..Command::DEFAULT };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    arity: -2,
    summary: "Tells where the memory went.",
    subcommands: SUBCOMMANDS,
    handler: container,
    ..MEMORY
}];

const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "usage",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(2, KeyFlags::RO)],
        complexity: "O(N), N nodes of the value",
        summary: "Estimates the bytes that a key and its value take.",
        syntax: "key [SAMPLES count]",
        handler: usage,
        ..MEMORY
    },
    Command {
        name: "stats",
        summary: "Returns what takes how much.",
        tips: TIPS,
        handler: stats,
        ..MEMORY
    },
    Command {
        name: "doctor",
        summary: "Looks for problems with memory.",
        tips: TIPS,
        handler: doctor,
        ..MEMORY
    },
    Command {
        name: "malloc-stats",
        summary: "Returns the allocator's own report.",
        tips: TIPS,
        handler: malloc_stats,
        ..MEMORY
    },
    Command {
        name: "purge",
        summary: "Gives free pages back to the system.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        handler: purge,
        ..MEMORY
    },
    help_row(MEMORY, MEMORY.since, help),
];

fn usage(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    // Each collection knows its size, so SAMPLES has nothing to choose; it is checked all the same.
    match args.len() {
        3 => {}
        5 if args.is(3, "samples") => {
            if args.int(4)? < 0 {
                return Err(Error::Syntax);
            }
        }
        _ => return Err(Error::Syntax),
    }
    match ctx.peek(&args[2]).map(Entry::heap_bytes) {
        Some(bytes) => ctx.out.len_int(bytes),
        None => ctx.out.null(),
    }
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let m = ctx.srv.memory_use();
    let keys = ctx.srv.dbs.iter().map(|db| db.len() as u64).sum::<u64>();
    let startup = ctx.srv.startup_memory;
    let net = m.used().saturating_sub(startup).max(1);
    let out = &mut ctx.out;
    let mark = out.begin();
    let mut pairs = reply_sizes(
        out,
        &[
            ("peak.allocated", m.peak),
            ("total.allocated", m.used()),
            ("startup.allocated", startup),
            ("replication.backlog", 0),
            ("clients.slaves", 0),
            ("clients.normal", m.clients),
            ("cluster.links", 0),
            ("aof.buffer", 0),
            ("lua.caches", m.scripts),
            ("functions.caches", m.functions),
        ],
    );
    for (number, db) in ctx.srv.dbs.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
        let (table, index) = db.overhead_bytes();
        out.bulk(format!("db.{number}").as_bytes());
        out.map(3);
        reply_sizes(
            out,
            &[
                ("overhead.hashtable.main", table as u64),
                ("overhead.hashtable.expires", index as u64),
                ("overhead.hashtable.slot-to-keys", 0),
            ],
        );
        pairs += 1;
    }
    pairs += reply_sizes(
        out,
        &[
            ("overhead.total", m.overhead),
            ("keys.count", keys),
            ("keys.bytes-per-key", net.checked_div(keys).unwrap_or(0)),
            ("dataset.bytes", m.dataset()),
        ],
    );
    pairs += reply_ratios(out, &m, net);
    out.end_map(mark, pairs);
    Ok(())
}

/// Writes names with their sizes; returns the number of pairs.
fn reply_sizes(out: &mut Reply, sizes: &[(&str, u64)]) -> usize {
    for (name, size) in sizes {
        out.bulk(name.as_bytes());
        out.int(i64::try_from(*size).unwrap_or(i64::MAX));
    }
    sizes.len()
}

/// Writes what is a ratio, or goes with one; returns the number of pairs.
fn reply_ratios(out: &mut Reply, m: &MemoryUse, net: u64) -> usize {
    let ratio = |a: u64, b: u64| a as f64 / b.max(1) as f64;
    let (used, alloc) = (m.used(), m.alloc);
    let percentage = [
        ("dataset.percentage", (ratio(m.dataset(), net) * 100.0).min(100.0)),
        ("peak.percentage", ratio(used, m.peak) * 100.0),
    ];
    let sizes = [
        ("allocator.allocated", alloc.allocated),
        ("allocator.active", alloc.active),
        ("allocator.resident", alloc.resident),
    ];
    let differences = [
        ("allocator-fragmentation", alloc.active, alloc.allocated),
        ("allocator-rss", alloc.resident, alloc.active),
        ("rss-overhead", m.rss, alloc.resident),
        ("fragmentation", m.rss, used),
    ];
    for (name, value) in percentage {
        out.bulk(name.as_bytes());
        out.double(value);
    }
    reply_sizes(out, &sizes);
    for (name, more, less) in differences {
        let suffix = if name == "fragmentation" { "" } else { ".ratio" };
        out.bulk(format!("{name}{suffix}").as_bytes());
        out.double(ratio(more, less));
        out.bulk(format!("{name}.bytes").as_bytes());
        out.int((i128::from(more) - i128::from(less)).try_into().unwrap_or(i64::MAX));
    }
    percentage.len() + sizes.len() + 2 * differences.len()
}

fn doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    const SMALL: u64 = 5 << 20;
    const WASTE: u64 = 10 << 20;
    const LARGE_CLIENT: u64 = 200 << 10;
    const MANY_SCRIPTS: usize = 1000;
    let m = ctx.srv.memory_use();
    let clients = ctx.srv.clients.len().max(1) as u64;
    let mut text = String::new();
    if m.used() < SMALL {
        text.push_str("This instance holds so little that there is nothing to examine.\n");
    } else {
        let mut advise = |problem: bool, advice: &str| {
            if problem {
                let _ = writeln!(text, " * {advice}");
            }
        };
        advise(
            m.peak > m.used() + m.used() / 2,
            "Peak memory was much higher than what is used now: the process may keep more than it \
             needs. MEMORY PURGE gives free pages back.",
        );
        advise(
            m.rss > m.used() + m.used() / 5 * 2 && m.rss - m.used() > WASTE,
            "Memory is fragmented: much more is resident than in use.",
        );
        advise(
            m.clients / clients > LARGE_CLIENT,
            "Clients have large buffers: some may read too slowly. See omem in CLIENT LIST.",
        );
        advise(
            ctx.srv.scripting.cached() > MANY_SCRIPTS,
            "Very many scripts are cached: they may be made up for each call, where one with \
             arguments would do. SCRIPT FLUSH forgets them.",
        );
        if text.is_empty() {
            text.push_str("No memory problem was found in this instance.\n");
        }
    }
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn malloc_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let report = process::allocator_report();
    ctx.out.verbatim(b"txt", &report);
    Ok(())
}

fn purge(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if !process::purge_allocator() {
        return Err(Error::other("ERR Error purging dirty pages"));
    }
    ctx.out.ok();
    Ok(())
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "MEMORY",
        &[
            "DOCTOR",
            "    Return memory problems reports.",
            "MALLOC-STATS",
            "    Return internal statistics report from the memory allocator.",
            "PURGE",
            "    Attempt to purge dirty pages for reclamation by the allocator.",
            "STATS",
            "    Return information about the memory usage of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value. Nested values are",
            "    sampled up to <count> times (default: 5, 0 means sample all).",
        ],
    );
    Ok(())
}
