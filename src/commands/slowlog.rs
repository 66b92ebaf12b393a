//! SLOWLOG: the commands that took long. MONITOR: all commands as they come.

use crate::commands::{container, help_row, reply_help};
use crate::resp::{Args, Error};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Flags, Group};

const SLOWLOG: Command = Command {
    arity: 2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.2.12",
    ..Command::DEFAULT
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "slowlog",
        arity: -2,
        flags: Flags::empty(),
        summary: "Tells which commands took long.",
        subcommands: SUBCOMMANDS,
        handler: container,
        ..SLOWLOG
    },
    Command {
        name: "monitor",
        arity: 1,
        flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
        since: "1.0.0",
        summary: "Streams every command that the server executes.",
        handler: monitor,
        ..SLOWLOG
    },
];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: -2,
        complexity: "O(N), N entries",
        summary: "Returns the latest entries.",
        syntax: "[count]",
        history: &[("4.0.0", "An entry has the client's address and name.")],
        tips: &["request_policy:all_nodes", "nondeterministic_output"],
        handler: get,
        ..SLOWLOG
    },
    Command {
        name: "len",
        summary: "Returns the number of entries.",
        tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        handler: len,
        ..SLOWLOG
    },
    Command {
        name: "reset",
        complexity: "O(N), N entries",
        summary: "Forgets all entries.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: reset,
        ..SLOWLOG
    },
    help_row(SLOWLOG, "6.2.0", help),
];

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let count = match args.len() {
        2 => 10,
        3 => match args.int(2) {
            Ok(-1) => usize::MAX,
            count => usize::try_from(count.unwrap_or(i64::MIN))
                .map_err(|_| Error::other("ERR count should be greater than or equal to -1"))?,
        },
        _ => return Err(Error::subcommand_syntax("SLOWLOG", args.at(1))),
    };
    let entries = ctx.srv.slowlog.iter().take(count);
    ctx.out.array(entries.len());
    for entry in entries {
        ctx.out.array(6);
        ctx.out.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
        ctx.out.int(entry.unix_s);
        ctx.out.int(i64::try_from(entry.us).unwrap_or(i64::MAX));
        ctx.out.array(entry.args.len());
        entry.args.iter().for_each(|arg| ctx.out.bulk(arg));
        ctx.out.bulk(entry.addr.as_bytes());
        ctx.out.bulk(&entry.name);
    }
    Ok(())
}

fn len(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let len = ctx.srv.slowlog.len();
    ctx.out.len_int(len);
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.slowlog.clear();
    ctx.out.ok();
    Ok(())
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "    Entries are made of:",
            "    id, timestamp, time in microseconds, arguments array, client IP and port,",
            "    client name",
            "LEN",
            "    Return the length of the slowlog.",
            "RESET",
            "    Reset the slowlog.",
        ],
    );
    Ok(())
}

fn monitor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if ctx.denies_blocking() {
        return Err(Error::other("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let id = ctx.client;
    if !ctx.client().flags.contains(ClientFlags::MONITOR) {
        ctx.client().flags.insert(ClientFlags::MONITOR);
        ctx.srv.monitors.push(id);
        ctx.out.ok();
    }
    Ok(())
}
