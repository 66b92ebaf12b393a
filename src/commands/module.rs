//! MODULE: there are no modules, and none can be loaded.

use crate::commands::{container, help_row, reply_help};
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Flags, Group};

const MODULE: Command = Command {
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT),
    group: Group::Server,
    since: "4.0.0",
    ..Command::DEFAULT
};
const LOADING: Command = Command {
    flags: MODULE.flags.union(Flags::NO_ASYNC_LOADING).union(Flags::PROTECTED),
    handler: refuse,
    ..MODULE
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "module",
    arity: -2,
    flags: Flags::empty(),
    summary: "Tells of modules, of which there are none.",
    subcommands: SUBCOMMANDS,
    handler: container,
    ..MODULE
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "list",
        complexity: "O(1)",
        summary: "Lists the modules, of which there are none.",
        tips: &["nondeterministic_output_order"],
        handler: list,
        ..MODULE
    },
    Command {
        name: "load",
        arity: -3,
        summary: "Is refused: modules can't be loaded.",
        syntax: "path [arg...]",
        ..LOADING
    },
    Command {
        name: "loadex",
        arity: -3,
        since: "7.0.0",
        summary: "Is refused: modules can't be loaded.",
        syntax: "path configs=[CONFIG name value]... [ARGS args=arg...]",
        ..LOADING
    },
    Command {
        name: "unload",
        arity: 3,
        summary: "Is refused: there is no module to unload.",
        syntax: "name",
        ..LOADING
    },
    help_row(MODULE, "5.0.0", help),
];

fn list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.out.array(0);
    Ok(())
}

fn refuse(_: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let text = "ERR This server can't load modules: they are made for another server's insides";
    Err(Error::other(text))
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(ctx, "MODULE", &["LIST", "    List the modules, of which there are none."]);
    Ok(())
}
