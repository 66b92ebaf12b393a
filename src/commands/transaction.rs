//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use crate::resp::{Args, Error};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::{Caller, Ctx};
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};

const TRANSACTION: Command = Command {
    group: Group::Transactions,
    categories: Category::TRANSACTION,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::ALLOW_BUSY),
    ..Command::DEFAULT
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "multi",
        since: "1.2.0",
        summary: "Begins a transaction.",
        handler: multi,
        ..TRANSACTION
    },
    Command {
        name: "exec",
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::SKIP_SLOWLOG),
        since: "1.2.0",
        complexity: "As its commands'",
        summary: "Executes the commands of a transaction.",
        handler: exec,
        ..TRANSACTION
    },
    Command {
        name: "discard",
        since: "2.0.0",
        complexity: "O(N), N queued commands",
        summary: "Gives a transaction up.",
        handler: discard,
        ..TRANSACTION
    },
    Command {
        name: "watch",
        arity: -2,
        since: "2.2.0",
        complexity: "O(1) for each key",
        summary: "Watches keys: the next transaction fails if one of them changes.",
        syntax: "key...",
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        handler: watch,
        ..TRANSACTION
    },
    Command {
        name: "unwatch",
        since: "2.2.0",
        summary: "Ends all watches.",
        handler: unwatch,
        ..TRANSACTION
    },
];

fn multi(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if ctx.client().in_multi() {
        return Err(Error::NestedMulti);
    }
    ctx.client().flags.insert(ClientFlags::MULTI);
    ctx.out.ok();
    Ok(())
}

fn discard(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if !ctx.client().in_multi() {
        return Err(Error::DiscardWithoutMulti);
    }
    ctx.srv.discard(ctx.client);
    ctx.out.ok();
    Ok(())
}

fn exec(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let id = ctx.client;
    if !ctx.client().in_multi() {
        return Err(Error::ExecWithoutMulti);
    }
    if ctx.srv.watched_key_expired(id) {
        ctx.client().flags.insert(ClientFlags::DIRTY_CAS);
    }
    let flags = ctx.client().flags;
    let queued = std::mem::take(&mut ctx.client().queued);
    ctx.client().queued_bytes = 0;
    // Watches end before the commands run: their own changes are nobody's conflict.
    ctx.srv.discard(id);
    if flags.contains(ClientFlags::DIRTY_EXEC) {
        return Err(Error::ExecAbort);
    }
    if flags.contains(ClientFlags::DIRTY_CAS) {
        ctx.out.null_array();
        return Ok(());
    }
    ctx.out.array(queued.len());
    for queued in queued {
        let db = ctx.client().db;
        let out = std::mem::take(&mut ctx.out);
        let args = queued.args.args();
        if let Err(error) = ctx.srv.admit_queued(id, queued.command, &args) {
            ctx.out = out;
            ctx.out.error(&error);
            ctx.srv.counters.error(error.code());
            continue;
        }
        ctx.out = ctx.srv.call(id, queued.command, db, args, Caller::Exec, out).out;
    }
    ctx.db = ctx.client().db;
    Ok(())
}

fn watch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if ctx.client().in_multi() {
        return Err(Error::WatchInMulti);
    }
    // A transaction that is lost already needs no further watches.
    if !ctx.client().flags.contains(ClientFlags::DIRTY_CAS) {
        for key in args.from(1).iter() {
            ctx.srv.watch(ctx.client, ctx.db, key);
        }
    }
    ctx.out.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.unwatch_all(ctx.client);
    ctx.out.ok();
    Ok(())
}
