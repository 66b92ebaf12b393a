//! The server as a whole: TIME, ROLE, SAVE, BGSAVE, LASTSAVE, SHUTDOWN, LOLWUT.

use crate::config::ShutdownFlags;
use crate::resp::{Args, Error};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::{Caller, Ctx};
use crate::server::{REDIS_VERSION, RHUBARB_VERSION};
use crate::spec::{Category, Flags, Group};

const SERVER: Command = Command { group: Group::Server, ..Command::DEFAULT };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "time",
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        since: "2.6.0",
        summary: "Returns the server's time.",
        tips: &["nondeterministic_output"],
        handler: time,
        ..SERVER
    },
    Command {
        name: "role",
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
        categories: Category::ADMIN.union(Category::DANGEROUS),
        since: "2.8.12",
        summary: "Returns the server's role in replication.",
        handler: role,
        ..SERVER
    },
    Command {
        name: "save",
        flags: Flags::ADMIN
            .union(Flags::NOSCRIPT)
            .union(Flags::NO_ASYNC_LOADING)
            .union(Flags::NO_MULTI),
        complexity: "O(N), N keys",
        summary: "Saves the data to disk; nothing else is done meanwhile.",
        handler: save,
        ..SERVER
    },
    Command {
        name: "bgsave",
        arity: -1,
        flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
        summary: "Saves the data to disk in the background.",
        syntax: "[SCHEDULE]@3.2.2",
        history: &[("3.2.2", "`SCHEDULE` is new.")],
        handler: bgsave,
        ..SERVER
    },
    Command {
        name: "lastsave",
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        categories: Category::ADMIN.union(Category::DANGEROUS),
        summary: "Returns the time of the last successful save to disk.",
        tips: &["nondeterministic_output"],
        handler: lastsave,
        ..SERVER
    },
    Command {
        name: "shutdown",
        arity: -1,
        flags: Flags::ADMIN
            .union(Flags::NOSCRIPT)
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::NO_MULTI)
            .union(Flags::ALLOW_BUSY),
        summary: "Ends the server.",
        syntax: "save-selector=[NOSAVE | SAVE] [NOW]@7.0.0 [FORCE]@7.0.0 [ABORT]@7.0.0",
        history: &[("7.0.0", "`NOW`, `FORCE` and `ABORT` are new.")],
        handler: shutdown,
        ..SERVER
    },
    Command {
        name: "lolwut",
        arity: -1,
        flags: Flags::READONLY.union(Flags::FAST),
        since: "5.0.0",
        summary: "Draws rhubarb.",
        syntax: "[VERSION version]",
        handler: lolwut,
        ..SERVER
    },
];

fn time(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    // Time stands still in a script, as all that it does happens at once.
    let us = match ctx.denies_blocking() {
        true => ctx.now_ms() * 1000,
        false => ctx.srv.clock.unix_us(),
    };
    ctx.out.array(2);
    ctx.out.bulk_int(us / 1_000_000);
    ctx.out.bulk_int(us % 1_000_000);
    Ok(())
}

fn role(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.out.array(3);
    ctx.out.bulk(b"master");
    ctx.out.int(0);
    ctx.out.array(0);
    Ok(())
}

fn save(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if ctx.srv.rdb.is_saving() {
        return Err(Error::SaveInProgress);
    }
    ctx.srv.rdb.saves += 1;
    ctx.srv.save_now().map_err(|_| Error::SaveFailed)?;
    ctx.out.ok();
    Ok(())
}

fn bgsave(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let schedules = args.len() == 2 && args.is(1, "schedule");
    if args.len() > 1 && !schedules {
        return Err(Error::Syntax);
    }
    let in_exec = ctx.caller == Caller::Exec;
    match () {
        () if ctx.srv.rdb.is_saving() => return Err(Error::SaveInProgress),
        () if in_exec || ctx.srv.has_active_child() && schedules => {
            ctx.srv.rdb.scheduled = true;
            ctx.out.simple(b"Background saving scheduled");
        }
        () if ctx.srv.has_active_child() => return Err(Error::ChildActive),
        () => {
            ctx.srv.save_in_background().map_err(|_| Error::SaveFailed)?;
            ctx.out.simple(b"Background saving started");
        }
    }
    Ok(())
}

/// As long as nothing was saved, the start of the server counts.
fn lastsave(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.out.int(ctx.srv.rdb.last_save_ms / 1000);
    Ok(())
}

/// The options of SHUTDOWN.
#[derive(Debug, Default)]
struct ShutdownOptions {
    flags: ShutdownFlags,
    abort: bool,
}

impl ShutdownOptions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        let flags = &mut found.flags;
        for i in 1..args.len() {
            match () {
                () if args.is(i, "nosave") => flags.nosave = true,
                () if args.is(i, "save") => flags.save = true,
                () if args.is(i, "abort") => found.abort = true,
                () if args.is(i, "now") => flags.now = true,
                () if args.is(i, "force") => flags.force = true,
                () => return Err(Error::Syntax),
            }
        }
        let ends = flags.save || flags.nosave || flags.now || flags.force;
        let contradicts = flags.save && flags.nosave || found.abort && ends;
        if contradicts { Err(Error::Syntax) } else { Ok(found) }
    }
}

fn shutdown(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = ShutdownOptions::parse(args)?;
    if options.abort {
        // Shutting down is never delayed: there are no replicas to wait for.
        return Err(Error::NoShutdown);
    }
    if ctx.srv.scripting.is_busy() && !options.flags.nosave {
        return Err(ctx.srv.scripting.busy_error());
    }
    ctx.srv.shut_down(options.flags).map_err(|_| Error::ShutdownFailed)?;
    ctx.client().flags.insert(ClientFlags::CLOSE_ASAP);
    Ok(())
}

fn lolwut(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 2 && args.is(1, "version") {
        // There is one picture for all versions.
        args.int(2)?;
    }
    const LEAVES: [&str; 4] = ["(~~)", "{~~}", "(~^~)", "(^~)"];
    let stalks = 5 + ctx.srv.rng.usize(..6);
    let (mut leaves, mut stems) = (String::new(), String::new());
    for _ in 0..stalks {
        leaves.push_str(&format!("{:^6}", LEAVES[ctx.srv.rng.usize(..LEAVES.len())]));
        stems.push_str(&format!("{:^6}", "||"));
    }
    let height = 2 + ctx.srv.rng.usize(..3);
    let text = format!(
        "{leaves}\n{}\nRhubarb ver. {RHUBARB_VERSION}, Redis ver. {REDIS_VERSION}\n",
        vec![stems.as_str(); height].join("\n")
    );
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}
