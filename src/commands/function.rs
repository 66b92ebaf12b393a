//! Functions: FCALL and its read-only form, FUNCTION.

use super::scripting::{EVAL, EVAL_RO, RUN_KEYS, RUN_KEYS_RO, SCRIPTING, key_count, run_code};
use crate::commands::{container, help_row};
use crate::persist::rdb::decode::Problem;
use crate::persist::rdb::dump::{self, Refused};
use crate::resp::{Args, Error, Reply};
use crate::script::functions::{LANGUAGE, Library};
use crate::script::{CompileError, RestorePolicy};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::scripting::Code;
use crate::spec::{Category, Flags};
use crate::util::glob::GlobPattern;
use crate::util::num;

/// For how long the code of a library may run while it is loaded, in milliseconds.
const LOAD_LIMIT_MS: u64 = 500;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "fcall",
        arity: -3,
        flags: EVAL,
        keys: RUN_KEYS,
        complexity: "As the function's",
        summary: "Calls a function.",
        syntax: "function numkeys [key...] [arg...]",
        handler: fcall,
        ..FUNCTION
    },
    Command {
        name: "fcall_ro",
        arity: -3,
        flags: EVAL_RO,
        keys: RUN_KEYS_RO,
        complexity: "As the function's",
        summary: "Calls a function that doesn't write.",
        syntax: "function numkeys [key...] [arg...]",
        handler: fcall_ro,
        ..FUNCTION
    },
    Command {
        name: "function",
        arity: -2,
        flags: Flags::empty(),
        categories: Category::empty(),
        summary: "Manages libraries of functions.",
        subcommands: SUBCOMMANDS,
        handler: container,
        ..FUNCTION
    },
];

const FUNCTION: Command =
    Command { flags: Flags::NOSCRIPT, since: "7.0.0", complexity: "O(1)", ..SCRIPTING };
const CHANGE: Command = Command {
    flags: Flags::NOSCRIPT.union(Flags::WRITE),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..FUNCTION
};

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "load",
        arity: -3,
        flags: CHANGE.flags.union(Flags::DENYOOM),
        summary: "Loads a library of functions.",
        syntax: "[REPLACE] function-code",
        handler: load,
        ..CHANGE
    },
    Command {
        name: "delete",
        arity: 3,
        summary: "Deletes a library and its functions.",
        syntax: "library-name",
        handler: delete,
        ..CHANGE
    },
    Command {
        name: "flush",
        arity: -2,
        complexity: "O(N), N functions",
        summary: "Deletes all libraries.",
        syntax: "flush-type=[ASYNC | SYNC]",
        handler: flush,
        ..CHANGE
    },
    Command {
        name: "list",
        arity: -2,
        complexity: "O(N), N functions",
        summary: "Describes the libraries and their functions.",
        syntax: "[LIBRARYNAME library-name-pattern{string}] [WITHCODE]",
        tips: &["nondeterministic_output_order"],
        handler: list,
        ..FUNCTION
    },
    Command {
        name: "dump",
        arity: 2,
        complexity: "O(N), N functions",
        summary: "Returns all libraries as one payload.",
        handler: dump,
        ..FUNCTION
    },
    Command {
        name: "restore",
        arity: -3,
        flags: CHANGE.flags.union(Flags::DENYOOM),
        complexity: "O(N), N functions of the payload",
        summary: "Loads the libraries of a payload.",
        syntax: "serialized-value policy=[FLUSH | APPEND | REPLACE]",
        handler: restore,
        ..CHANGE
    },
    Command {
        name: "stats",
        arity: 2,
        flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
        summary: "Describes the function that is running, and counts libraries.",
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        handler: stats,
        ..FUNCTION
    },
    Command {
        name: "kill",
        arity: 2,
        flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
        summary: "Ends the running function, if it hasn't written.",
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        handler: kill,
        ..FUNCTION
    },
    help_row(FUNCTION, FUNCTION.since, help),
];

fn fcall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    call(ctx, args, false)
}

fn fcall_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    call(ctx, args, true)
}

fn call(ctx: &mut Ctx<'_>, args: Args<'_>, read_only: bool) -> Result<(), Error> {
    if ctx.srv.scripting.is_running() {
        return Err(Error::NotFromScript);
    }
    let function = ctx.srv.functions.find(args.at(1)).ok_or(Error::NoFunction)?.clone();
    let count = num::parse_i64(args.at(2)).ok_or(Error::BadNumKeys)?;
    let keys = key_count(args, count)?;
    run_code(ctx, args, Code::Function(&function), function.flags(), keys, read_only)
}

/// An unknown argument, quoted.
fn bad_argument(text: &str, arg: &[u8]) -> Error {
    Error::other(format!("ERR {text}: {}", String::from_utf8_lossy(arg)))
}

fn error_of(error: CompileError) -> Error {
    Error::other(error.to_string())
}

/// Libraries can't change while one of their functions runs.
fn deny_while_running(ctx: &Ctx<'_>) -> Result<(), Error> {
    match ctx.srv.functions.is_running() {
        true => Err(Error::NotFromScript),
        false => Ok(()),
    }
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    deny_while_running(ctx)?;
    let options = args.range(2, args.len() - 1);
    if let Some(unknown) = options.iter().find(|word| !word.eq_ignore_ascii_case(b"replace")) {
        return Err(bad_argument("Unknown option given", unknown));
    }
    let (code, replace) = (args.at(args.len() - 1), options.len() > 0);
    let loaded = ctx.srv.change_functions(Some(LOAD_LIMIT_MS), |functions, host| {
        functions.load(code, replace, host)
    });
    let name = loaded.map_err(error_of)?;
    ctx.srv.dirty += 1;
    ctx.out.bulk(&name);
    Ok(())
}

fn delete(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    deny_while_running(ctx)?;
    if !ctx.srv.functions.delete(args.at(2)) {
        return Err(Error::NoLibrary);
    }
    ctx.srv.dirty += 1;
    ctx.out.ok();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::subcommand_syntax("FUNCTION", args.at(1)));
    }
    // A VM can't be freed on another thread, so both ways are the same.
    if args.len() == 3 && !args.is(2, "sync") && !args.is(2, "async") {
        return Err(Error::other("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    deny_while_running(ctx)?;
    ctx.srv.functions.flush();
    ctx.srv.dirty += 1;
    ctx.out.ok();
    Ok(())
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (mut pattern, mut with_code) = (None, false);
    let mut i = 2;
    while let Some(word) = args.get(i) {
        if !with_code && args.is(i, "withcode") {
            with_code = true;
        } else if pattern.is_none() && args.is(i, "libraryname") {
            i += 1;
            let Some(name) = args.get(i) else {
                return Err(Error::other("ERR library name argument was not given"));
            };
            pattern = Some(GlobPattern::new(name));
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(Error::other(format!("ERR Unknown argument {word}")));
        }
        i += 1;
    }
    let Ctx { srv, out, .. } = ctx;
    let mark = out.begin();
    let mut count = 0;
    for library in srv.functions.libraries() {
        if pattern.as_ref().is_none_or(|pattern| pattern.matches(&library.name)) {
            reply_library(out, library, with_code);
            count += 1;
        }
    }
    out.end_array(mark, count);
    Ok(())
}

fn reply_library(out: &mut Reply, library: &Library, with_code: bool) {
    out.map(if with_code { 4 } else { 3 });
    out.bulk(b"library_name");
    out.bulk(&library.name);
    out.bulk(b"engine");
    out.bulk(LANGUAGE.as_bytes());
    out.bulk(b"functions");
    out.array(library.functions().len());
    for function in library.functions() {
        out.map(3);
        out.bulk(b"name");
        out.bulk(function.name);
        out.bulk(b"description");
        out.bulk_or_null(function.description);
        out.bulk(b"flags");
        out.set(function.flags.names().count());
        function.flags.names().for_each(|name| out.simple(name.as_bytes()));
    }
    if with_code {
        out.bulk(b"library_code");
        out.bulk(&library.code);
    }
}

fn dump(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let sources = ctx.srv.functions.libraries().map(|library| &*library.code);
    let payload = dump::dump_functions(sources, ctx.srv.config.rdbcompression);
    ctx.out.bulk(&payload);
    Ok(())
}

fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 4 {
        return Err(Error::subcommand_syntax("FUNCTION", args.at(1)));
    }
    let policy = match () {
        () if args.len() == 3 || args.is(3, "append") => RestorePolicy::Append,
        () if args.is(3, "flush") => RestorePolicy::Flush,
        () if args.is(3, "replace") => RestorePolicy::Replace,
        () => {
            return Err(Error::other(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let sources = dump::restore_functions(args.at(2), false).map_err(|refused| match refused {
        Refused::Footer => Error::other("ERR DUMP payload version or checksum are wrong"),
        Refused::Corrupt(Problem::Unsupported(what)) => Error::other(format!("ERR {what}")),
        Refused::Corrupt(_) => Error::other("ERR Failed loading library data"),
    })?;
    deny_while_running(ctx)?;
    let restored = ctx.srv.change_functions(Some(LOAD_LIMIT_MS), |functions, host| {
        functions.restore(sources.iter().map(Vec::as_slice), policy, host)
    });
    restored.map_err(error_of)?;
    ctx.srv.dirty += 1;
    ctx.out.ok();
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let Ctx { srv, out, .. } = ctx;
    let running = srv.busy_function();
    if running.is_none() && srv.scripting.is_busy() {
        return Err(srv.scripting.busy_error());
    }
    out.map(2);
    out.bulk(b"running_script");
    match running {
        Some(running) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(running.name);
            out.bulk(b"command");
            out.array(running.command.len());
            running.command.iter().for_each(|word| out.bulk(word));
            out.bulk(b"duration_ms");
            out.int(i64::try_from(running.duration_ms).unwrap_or(i64::MAX));
        }
        None => out.null(),
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(LANGUAGE.as_bytes());
    out.map(2);
    out.bulk(b"libraries_count");
    out.len_int(srv.functions.library_count());
    out.bulk(b"functions_count");
    out.len_int(srv.functions.function_count());
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.scripting.kill(true)?;
    ctx.out.ok();
    Ok(())
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    super::reply_help(
        ctx,
        "FUNCTION",
        &[
            "DELETE <library>",
            "    Delete a library and its functions.",
            "DUMP",
            "    Return all libraries as one payload for FUNCTION RESTORE.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries.",
            "KILL",
            "    End the running function.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Describe the libraries and their functions.",
            "LOAD [REPLACE] <code>",
            "    Load a library; with REPLACE, in the place of one of the same name.",
            "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
            "    Load the libraries of a payload. Those that are there stay, unless",
            "    * FLUSH: all of them are deleted;",
            "    * REPLACE: those of the same names are.",
            "STATS",
            "    Describe the function that is running, and count libraries and functions.",
        ],
    );
    Ok(())
}
