//! The `redis` table of scripts.
//!
//! Owns its functions and their error texts. Commands, log and access checks go to the
//! [`Host`](super::host::Host).

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::convert;
use super::engine::sha1_hex;
use super::host::{AclVerdict, LogLevel, with_host};
use super::raise::Raise;
use super::register;
use super::stack::{self, Native, Raised, Slot, Stack};
use super::vm::{self, Failed, Kind, Shared};
use crate::resp::{ArgBuf, Proto, Reply};
use crate::util::num;

/// The version that scripts are told, as text and as 0x00MMmmpp.
const VERSION: &str = "7.2.4";
const VERSION_NUM: u32 = 0x0007_0204;
const REPL_ALL: u8 = 3;
/// The error of a call within a call.
const RECURSIVE: &str = "Recursive call to a redis lib function";
/// The error of a call while no script runs.
const OUTSIDE: &str = "redis.call/pcall can only be called inside a script invocation";

/// Builds the table.
pub(super) fn table(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    constants(&table)?;
    commands(lua, &table)?;
    replies(lua, &table)?;
    settings(lua, &table, shared)?;
    Ok(table)
}

/// The part of it that the code of a library sees while it is loaded: nothing that could touch
/// data.
pub(super) fn library_table(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    version(&table)?;
    logging(lua, &table)?;
    register::install(lua, &table, shared)?;
    Ok(table)
}

fn constants(table: &Table) -> mlua::Result<()> {
    table.set("REPL_NONE", 0)?;
    table.set("REPL_AOF", 1)?;
    table.set("REPL_SLAVE", 2)?;
    table.set("REPL_REPLICA", 2)?;
    table.set("REPL_ALL", REPL_ALL)?;
    version(table)
}

fn version(table: &Table) -> mlua::Result<()> {
    table.set("REDIS_VERSION", VERSION)?;
    table.set("REDIS_VERSION_NUM", VERSION_NUM)
}

fn logging(lua: &Lua, table: &Table) -> mlua::Result<()> {
    for (level, name) in
        ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].iter().enumerate()
    {
        table.set(*name, level)?;
    }
    table.set("log", lua.create_function(|lua, args: MultiValue| Ok(log(lua, &args)?))?)
}

fn commands(lua: &Lua, table: &Table) -> mlua::Result<()> {
    table.set("call", stack::function::<Call>(lua)?)?;
    table.set("pcall", stack::function::<Pcall>(lua)?)?;
    table.set("acl_check_cmd", stack::function::<AclCheck>(lua)?)
}

/// `redis.call`: an error reply is raised.
struct Call;

impl Native for Call {
    fn run(stack: &mut Stack<'_>) -> Result<(), Raised> {
        match execute(stack) {
            Ok(reply) => push_reply(reply, stack),
            Err(failed) => return Err(vm::leave(failed)),
        }
        Ok(())
    }
}

/// `redis.pcall`: an error reply is the result.
struct Pcall;

impl Native for Pcall {
    fn run(stack: &mut Stack<'_>) -> Result<(), Raised> {
        match execute(stack) {
            Ok(reply) => push_reply(reply, stack),
            Err(Failed::Raise(Raise::Reply { text, counted })) => {
                let text = ManuallyDrop::new(text);
                convert::push_error(&text, counted, stack);
                drop(ManuallyDrop::into_inner(text));
            }
            Err(failed) => return Err(vm::leave(failed)),
        }
        Ok(())
    }
}

/// Runs a command; takes its arguments from the stack.
fn execute(stack: &mut Stack<'_>) -> Result<Reply, Failed> {
    let reply: Option<Result<Reply, Failed>> = vm::with_run(|run| {
        let mut args = run.shared.args.try_borrow_mut().map_err(|_| error(RECURSIVE))?;
        pack(stack, &mut args)?;
        let mut reply = run.shared.reply.take();
        reply.set_proto(run.shared.proto.get());
        // No panic may pass through Lua's own frames: it goes on behind them.
        catch_unwind(AssertUnwindSafe(|| with_host(|host| host.call(args.args(), &mut reply))))
            .map_err(Failed::Panic)?
            .ok_or_else(|| error(OUTSIDE))?;
        Ok(reply)
    });
    let reply = reply.unwrap_or_else(|| Err(error(OUTSIDE).into()))?;
    stack.truncate(0);
    match reply.bytes() {
        [b'-', text @ ..] => {
            let text = text.strip_suffix(b"\r\n").unwrap_or(text).to_vec();
            keep(reply);
            Err(Raise::Reply { text, counted: true }.into())
        }
        _ => Ok(reply),
    }
}

fn push_reply(reply: Reply, stack: &mut Stack<'_>) {
    let reply = ManuallyDrop::new(reply);
    convert::from_resp(reply.bytes(), stack);
    keep(ManuallyDrop::into_inner(reply));
}

/// Keeps a reply's storage for the next one.
fn keep(mut reply: Reply) {
    reply.truncate(0);
    vm::with_run(|run| run.shared.reply.replace(reply));
}

/// Packs the arguments of a command: strings and numbers.
fn pack(stack: &Stack<'_>, buf: &mut ArgBuf) -> Result<(), Raise> {
    if stack.len() == 0 {
        return Err(error("Please specify at least one argument for this redis lib call"));
    }
    buf.clear();
    for place in 1..=stack.len() {
        match stack.get(place) {
            Slot::Text(text) => buf.push(text),
            Slot::Number(number) => match whole(number) {
                Some(int) => buf.push(itoa::Buffer::new().format(int).as_bytes()),
                None => buf.push(num::fmt_f64(number, &mut num::F64Buf::new())),
            },
            _ => {
                return Err(error("Lua redis lib command arguments must be strings or integers"));
            }
        }
    }
    Ok(())
}

/// The integer that a number is, if it is one of less than 2^62.
fn whole(number: f64) -> Option<i64> {
    const BOUND: f64 = 4_611_686_018_427_387_904.0;
    let int = (number.abs() < BOUND).then_some(number as i64)?;
    (int as f64 == number).then_some(int)
}

/// `redis.acl_check_cmd`
struct AclCheck;

impl Native for AclCheck {
    fn run(stack: &mut Stack<'_>) -> Result<(), Raised> {
        let verdict = acl_check(stack).map_err(|raise| vm::leave(raise.into()))?;
        stack.truncate(0);
        stack.push_bool(verdict);
        Ok(())
    }
}

fn acl_check(stack: &Stack<'_>) -> Result<bool, Raise> {
    let verdict: Option<Result<_, Raise>> = vm::with_run(|run| {
        let mut args = run.shared.args.try_borrow_mut().map_err(|_| error(RECURSIVE))?;
        pack(stack, &mut args)?;
        Ok(with_host(|host| host.acl_check(args.args())))
    });
    match verdict.transpose()?.flatten() {
        Some(AclVerdict::Allowed) => Ok(true),
        Some(AclVerdict::Denied) => Ok(false),
        Some(AclVerdict::UnknownCommand) => {
            Err(error("Invalid command passed to redis.acl_check_cmd()"))
        }
        None => Err(error("redis.acl_check_cmd can only be called inside a script invocation")),
    }
}

fn replies(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let error_reply = |lua: &Lua, args: MultiValue| {
        let Some(Value::String(text)) = single(&args) else {
            return error_table(lua, b"ERR wrong number or type of arguments", false);
        };
        let text = text.as_bytes();
        let text = text.strip_prefix(b"-").unwrap_or(&text);
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = text.iter().rposition(|byte| !is_break(byte)).map_or(0, |last| last + 1);
        let text = &text[..end];
        let reply = lua.create_table_with_capacity(0, 1)?;
        // One word alone is a message, not a code.
        match memchr::memchr(b' ', text) {
            Some(_) => reply.raw_set("err", convert::string(text))?,
            None => reply.raw_set("err", convert::string(&[b"ERR ", text].concat()))?,
        }
        Ok(reply)
    };
    table.set("error_reply", lua.create_function(error_reply)?)?;
    let status_reply = |lua: &Lua, args: MultiValue| {
        let Some(Value::String(text)) = single(&args) else {
            return error_table(lua, b"ERR wrong number or type of arguments", false);
        };
        let reply = lua.create_table_with_capacity(0, 1)?;
        reply.raw_set("ok", text)?;
        Ok(reply)
    };
    table.set("status_reply", lua.create_function(status_reply)?)?;
    let sha1hex = |lua: &Lua, args: MultiValue| {
        let value = single(&args).ok_or_else(|| error("wrong number of arguments"))?;
        let text = lua.coerce_string(value.clone())?;
        let hash = match text {
            Some(text) => sha1_hex(&text.as_bytes()),
            None => sha1_hex(b""),
        };
        lua.create_string(hash)
    };
    table.set("sha1hex", lua.create_function(sha1hex)?)
}

fn settings(lua: &Lua, table: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    logging(lua, table)?;
    let state = Rc::clone(shared);
    let setresp = lua.create_function(move |lua, args: MultiValue| {
        let value = single(&args).ok_or_else(|| error("redis.setresp() requires one argument."))?;
        match integer(lua, value) {
            Some(2) => state.proto.set(Proto::Resp2),
            Some(3) => state.proto.set(Proto::Resp3),
            _ => return Err(error("RESP version must be 2 or 3.").into()),
        }
        Ok(())
    })?;
    table.set("setresp", setresp)?;
    let set_repl = lua.create_function(|lua, args: MultiValue| Ok(set_repl(lua, &args)?))?;
    table.set("set_repl", set_repl)?;
    if shared.kind == Kind::Functions {
        return Ok(());
    }
    table.set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    // No debugger session is ever attached to a script.
    table.set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    table.set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)
}

fn log(lua: &Lua, args: &MultiValue) -> Result<(), Raise> {
    if args.len() < 2 {
        return Err(error("redis.log() requires two arguments or more."));
    }
    let level = args.front().filter(|level| is_number(lua, level));
    let level = level.ok_or_else(|| error("First argument must be a number (log level)."))?;
    let level = match integer(lua, level) {
        Some(0) => LogLevel::Debug,
        Some(1) => LogLevel::Verbose,
        Some(2) => LogLevel::Notice,
        Some(3) => LogLevel::Warning,
        _ => return Err(error("Invalid debug level.")),
    };
    let mut message = Vec::new();
    for (index, part) in args.iter().skip(1).enumerate() {
        if let Ok(Some(text)) = lua.coerce_string(part.clone()) {
            if index > 0 {
                message.push(b' ');
            }
            message.extend_from_slice(&text.as_bytes());
        }
    }
    with_host(|host| host.log(level, &message));
    Ok(())
}

fn set_repl(lua: &Lua, args: &MultiValue) -> Result<(), Raise> {
    let value = single(args).ok_or_else(|| error("redis.set_repl() requires two arguments."))?;
    let flags = integer(lua, value).and_then(|flags| u8::try_from(flags).ok());
    match flags.unwrap_or(0) {
        flags if flags <= REPL_ALL && integer(lua, value).is_none_or(|n| n == i64::from(flags)) => {
            with_host(|host| host.set_repl(flags));
            Ok(())
        }
        _ => Err(error(
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        )),
    }
}

/// The only argument, if there is just one.
fn single(args: &MultiValue) -> Option<&Value> {
    if args.len() == 1 { args.front() } else { None }
}

fn is_number(lua: &Lua, value: &Value) -> bool {
    matches!(lua.coerce_number(value.clone()), Ok(Some(_)))
}

/// A number, cut to an integer, as `lua_tonumber` reads it.
fn integer(lua: &Lua, value: &Value) -> Option<i64> {
    lua.coerce_number(value.clone()).ok().flatten().map(convert::truncate)
}

/// An error of this API: raised as a table.
pub(super) fn error(text: &str) -> Raise {
    Raise::Reply { text: format!("ERR {text}").into_bytes(), counted: false }
}

/// An error as scripts see it.
pub(super) fn error_table(lua: &Lua, text: &[u8], counted: bool) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("err", convert::string(text))?;
    if counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}
