//! WAIT and WAITAOF: until what a client did is where it is to be.

use crate::resp::{Args, Error};
use crate::server::blocked::TimeoutReply;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group};

const WAIT: Command = Command {
    flags: Flags::BLOCKING,
    categories: Category::CONNECTION,
    group: Group::Generic,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    ..Command::DEFAULT
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "wait",
        arity: 3,
        since: "3.0.0",
        summary: "Waits until so many replicas have what the connection has written.",
        syntax: "numreplicas{integer} timeout{integer}",
        handler: wait,
        ..WAIT
    },
    Command {
        name: "waitaof",
        arity: 4,
        since: "7.2.0",
        summary: "Waits until the append-only files of the server and of so many replicas durably \
                  hold what the connection has written.",
        syntax: "numlocal{integer} numreplicas{integer} timeout{integer}",
        handler: waitaof,
        ..WAIT
    },
];

/// Replicas that have it all; there are none yet.
const REPLICAS: i64 = 0;

fn wait(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let wanted = args.int(1)?;
    let timeout_ms = ctx.timeout_ms(args.at(2))?;
    reply_or_block(ctx, args, wanted <= REPLICAS, timeout_ms, TimeoutReply::Replicas)
}

fn waitaof(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let local = match args.int(1)? {
        0 => false,
        1 => true,
        _ => return Err(Error::other("ERR value is out of range, value must between 0 and 1")),
    };
    let wanted = args.int(2).ok().filter(|wanted| *wanted >= 0).ok_or(Error::NotPositive)?;
    let timeout_ms = ctx.timeout_ms(args.at(3))?;
    if local && !ctx.srv.config.appendonly {
        return Err(Error::other(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let done = wanted <= REPLICAS && (!local || ctx.srv.is_durable(ctx.client));
    reply_or_block(ctx, args, done, timeout_ms, TimeoutReply::Durability)
}

/// Replies how far it is if that is far enough, and else waits: the reply at the timeout is the same.
fn reply_or_block(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    done: bool,
    timeout_ms: i64,
    reply: TimeoutReply,
) -> Result<(), Error> {
    if !done {
        return ctx.block_for_acks(args, timeout_ms, reply);
    }
    reply.write(ctx.srv.is_durable(ctx.client), &mut ctx.out);
    Ok(())
}
