//! BGREWRITEAOF.

use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::{Caller, Ctx};
use crate::spec::{Flags, Group};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "bgrewriteaof",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    group: Group::Server,
    summary: "Rewrites the append-only file, so that it holds the data and not their history.",
    handler: bgrewriteaof,
    ..Command::DEFAULT
}];

fn bgrewriteaof(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if ctx.srv.aof.is_rewriting() {
        return Err(Error::other("ERR Background append only file rewriting already in progress"));
    }
    if ctx.srv.has_active_child() || ctx.caller == Caller::Exec {
        ctx.srv.aof.rewrite_scheduled = true;
        // Who asks for it need not wait for the end of a limit.
        ctx.srv.aof.failures = 0;
        ctx.out.simple(b"Background append only file rewriting scheduled");
        return Ok(());
    }
    match ctx.srv.rewrite_aof() {
        Ok(()) => {
            ctx.out.simple(b"Background append only file rewriting started");
            Ok(())
        }
        Err(_) => Err(Error::other(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more \
             information.",
        )),
    }
}
