//! The server as a whole: TIME, ROLE, LASTSAVE, SHUTDOWN, LOLWUT.

use crate::resp::{Args, Error};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
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

/// As long as nothing was saved, the start of the server counts.
fn lastsave(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.out.int(ctx.srv.started_ms / 1000);
    Ok(())
}

/// The options of SHUTDOWN.
#[derive(Debug, Default)]
struct ShutdownOptions {
    save: bool,
    nosave: bool,
    abort: bool,
    others: bool,
}

impl ShutdownOptions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        for i in 1..args.len() {
            match () {
                () if args.is(i, "nosave") => found.nosave = true,
                () if args.is(i, "save") => found.save = true,
                () if args.is(i, "abort") => found.abort = true,
                () if args.is(i, "now") || args.is(i, "force") => found.others = true,
                () => return Err(Error::Syntax),
            }
        }
        let contradicts = found.save && found.nosave
            || found.abort && (found.save || found.nosave || found.others);
        if contradicts { Err(Error::Syntax) } else { Ok(found) }
    }
}

fn shutdown(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = ShutdownOptions::parse(args)?;
    if options.abort {
        // Shutting down is never delayed: there are no replicas to wait for.
        return Err(Error::NoShutdown);
    }
    if options.save {
        return Err(Error::other("ERR SHUTDOWN SAVE: this server can't save to disk yet"));
    }
    if ctx.srv.scripting.is_busy() && !options.nosave {
        return Err(Error::BusyScript);
    }
    ctx.srv.shutdown = Some(0);
    ctx.client().flags.insert(ClientFlags::CLOSE_ASAP);
    Ok(())
}

fn lolwut(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
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
