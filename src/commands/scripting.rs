//! Scripts: EVAL, EVALSHA and their read-only forms, SCRIPT.

use crate::commands::{container, help_row};
use crate::resp::{Args, Error};
use crate::script::{Engine, Flags as ScriptFlags, ScriptId};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::scripting::{Code, ScriptCall};
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};

pub(super) const EVAL: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::MAY_REPLICATE)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLEKEYS);
pub(super) const EVAL_RO: Flags = EVAL.difference(Flags::MAY_REPLICATE).union(Flags::READONLY);
pub(super) const SCRIPT_KEYS: &[KeySpec] = &[KeySpec {
    search: Search::Index(2),
    find: Find::Numkeys { index: 0, first: 1, step: 1 },
    flags: KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE),
    notes: "",
}];
pub(super) const SCRIPT_KEYS_RO: &[KeySpec] = &[KeySpec {
    search: Search::Index(2),
    find: Find::Numkeys { index: 0, first: 1, step: 1 },
    flags: KeyFlags::RO.union(KeyFlags::ACCESS),
    notes: "",
}];
const NOT_KNOWN: &str = "What becomes of the keys is not known: the worst is assumed";
/// The same with the notes that EVAL and FCALL have.
pub(super) const RUN_KEYS: &[KeySpec] = &[SCRIPT_KEYS[0].noted(NOT_KNOWN)];
pub(super) const RUN_KEYS_RO: &[KeySpec] = &[SCRIPT_KEYS_RO[0].noted(NOT_KNOWN)];
pub(super) const SCRIPTING: Command = Command {
    group: Group::Scripting,
    categories: Category::SCRIPTING,
    complexity: "As the script's",
    ..Command::DEFAULT
};
const SUBCOMMAND: Command =
    Command { flags: Flags::NOSCRIPT, since: "2.6.0", complexity: "O(1)", ..SCRIPTING };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "eval",
        arity: -3,
        flags: EVAL,
        keys: RUN_KEYS,
        since: "2.6.0",
        summary: "Runs a Lua script.",
        syntax: "script numkeys [key...] [arg...]",
        handler: eval,
        ..SCRIPTING
    },
    Command {
        name: "evalsha",
        arity: -3,
        flags: EVAL,
        keys: SCRIPT_KEYS,
        since: "2.6.0",
        summary: "Runs a cached Lua script by its SHA1.",
        syntax: "sha1 numkeys [key...] [arg...]",
        handler: evalsha,
        ..SCRIPTING
    },
    Command {
        name: "eval_ro",
        arity: -3,
        flags: EVAL_RO,
        keys: RUN_KEYS_RO,
        since: "7.0.0",
        summary: "Runs a Lua script that doesn't write.",
        syntax: "script numkeys [key...] [arg...]",
        handler: eval_ro,
        ..SCRIPTING
    },
    Command {
        name: "evalsha_ro",
        arity: -3,
        flags: EVAL_RO,
        keys: SCRIPT_KEYS_RO,
        since: "7.0.0",
        summary: "Runs a cached Lua script that doesn't write, by its SHA1.",
        syntax: "sha1 numkeys [key...] [arg...]",
        handler: evalsha_ro,
        ..SCRIPTING
    },
    Command {
        name: "script",
        arity: -2,
        categories: Category::empty(),
        since: "2.6.0",
        summary: "Manages the cache of scripts.",
        subcommands: SUBCOMMANDS,
        handler: container,
        ..SCRIPTING
    },
];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "load",
        arity: 3,
        flags: Flags::NOSCRIPT.union(Flags::STALE),
        complexity: "O(N), N bytes of the script",
        summary: "Puts a script into the cache and returns its SHA1.",
        syntax: "script",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: load,
        ..SUBCOMMAND
    },
    Command {
        name: "exists",
        arity: -3,
        complexity: "O(N), N scripts",
        summary: "Tells which scripts are in the cache.",
        syntax: "sha1...",
        tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
        handler: exists,
        ..SUBCOMMAND
    },
    Command {
        name: "flush",
        arity: -2,
        complexity: "O(N), N scripts",
        summary: "Empties the cache of scripts.",
        syntax: "flush-type=[ASYNC | SYNC]@6.2.0",
        history: &[("6.2.0", "`ASYNC` and `SYNC` are new.")],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: flush,
        ..SUBCOMMAND
    },
    Command {
        name: "kill",
        arity: 2,
        flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
        summary: "Ends the running script, if it hasn't written.",
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        handler: kill,
        ..SUBCOMMAND
    },
    Command {
        name: "debug",
        arity: 3,
        since: "3.2.0",
        summary: "Sets the debug mode of scripts, of which only NO exists.",
        syntax: "mode=<YES | SYNC | NO>",
        handler: debug,
        ..SUBCOMMAND
    },
    help_row(SUBCOMMAND, "5.0.0", help),
];

fn engine<'a>(ctx: &'a mut Ctx<'_>) -> Result<&'a mut Engine, Error> {
    ctx.srv.scripting.engine().ok_or(Error::NotFromScript)
}

fn eval(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, |ctx| load_script(ctx, args.at(1)), false)
}

fn eval_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, |ctx| load_script(ctx, args.at(1)), true)
}

fn evalsha(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, |ctx| find_script(ctx, args.at(1)), false)
}

fn evalsha_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, |ctx| find_script(ctx, args.at(1)), true)
}

fn find_script(ctx: &mut Ctx<'_>, sha: &[u8]) -> Result<ScriptId, Error> {
    engine(ctx)?.find(sha).ok_or(Error::NoScript)
}

fn load_script(ctx: &mut Ctx<'_>, body: &[u8]) -> Result<ScriptId, Error> {
    engine(ctx)?.load(body).map_err(|error| Error::other(error.to_string()))
}

/// Runs the script that `find` gives, which is asked when the number of keys is right.
fn run<'a>(
    ctx: &mut Ctx<'a>,
    args: Args<'_>,
    find: impl FnOnce(&mut Ctx<'a>) -> Result<ScriptId, Error>,
    read_only: bool,
) -> Result<(), Error> {
    let keys = key_count(args, args.int(2)?)?;
    let script = find(ctx)?;
    let flags = engine(ctx)?.script(script).flags;
    run_code(ctx, args, Code::Script(script), flags, keys, read_only)
}

/// The number of keys among the arguments of EVAL or FCALL.
pub(super) fn key_count(args: Args<'_>, count: i64) -> Result<usize, Error> {
    if count > i64::try_from(args.len() - 3).unwrap_or(i64::MAX) {
        return Err(Error::NumKeysTooMany);
    }
    usize::try_from(count).map_err(|_| Error::NumKeysNegative)
}

/// Runs a script or function that declares these flags, if it may run now.
pub(super) fn run_code(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    code: Code<'_>,
    flags: ScriptFlags,
    keys: usize,
    read_only: bool,
) -> Result<(), Error> {
    let declared = !flags.contains(ScriptFlags::EVAL_COMPAT);
    if read_only && declared && !flags.contains(ScriptFlags::NO_WRITES) {
        return Err(Error::ScriptFlags);
    }
    if declared && !flags.contains(ScriptFlags::NO_WRITES) && ctx.srv.rdb_error().is_some() {
        return Err(Error::ScriptMisconf);
    }
    let oom_allowed = flags.contains(ScriptFlags::ALLOW_OOM);
    let spares_memory = flags.intersects(ScriptFlags::ALLOW_OOM | ScriptFlags::NO_WRITES);
    if declared && !spares_memory && ctx.srv.is_out_of_memory() {
        return Err(Error::ScriptOom);
    }
    let call = ScriptCall {
        oom_allowed,
        code,
        command: args,
        keys: args.range(3, 3 + keys),
        argv: args.from(3 + keys),
        read_only: read_only || flags.contains(ScriptFlags::NO_WRITES),
        client: ctx.client,
        db: ctx.db,
    };
    if ctx.srv.run_script(call, &mut ctx.out) {
        ctx.failed();
    }
    Ok(())
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let id = load_script(ctx, args.at(2))?;
    let sha = engine(ctx)?.script(id).sha;
    ctx.out.bulk(&sha);
    Ok(())
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.out.array(args.len() - 2);
    for sha in args.from(2).iter() {
        let found = engine(ctx)?.find(sha).is_some();
        ctx.out.int(i64::from(found));
    }
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    // A VM can't be freed on another thread, so both ways are the same.
    if args.len() > 3 || args.len() == 3 && !args.is(2, "sync") && !args.is(2, "async") {
        return Err(Error::other("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    ctx.srv.scripting.flush();
    ctx.out.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.scripting.kill(false)?;
    ctx.out.ok();
    Ok(())
}

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.is(2, "no") {
        ctx.out.ok();
        return Ok(());
    }
    if args.is(2, "yes") || args.is(2, "sync") {
        return Err(Error::other("ERR The Lua debugger is not available in this server"));
    }
    Err(Error::other("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    super::reply_help(
        ctx,
        "SCRIPT",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode of scripts.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell which scripts are in the cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Empty the cache of scripts.",
            "KILL",
            "    End the running script.",
            "LOAD <script>",
            "    Put a script into the cache and return its SHA1.",
        ],
    );
    Ok(())
}
