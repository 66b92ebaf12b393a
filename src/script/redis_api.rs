//! The `redis` table of scripts.
//!
//! Owns its functions and their error texts. Commands, log and access checks go to the
//! [`Host`](super::host::Host).

use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::convert::{self, MAX_ARGS};
use super::engine::sha1_hex;
use super::host::{AclVerdict, LogLevel, with_host};
use super::raise::Raise;
use super::register;
use super::vm::{Kind, Shared, unlimited};
use crate::resp::{ArgBuf, Proto};
use crate::util::num;

/// The version that scripts are told, as text and as 0x00MMmmpp.
const VERSION: &str = "7.2.4";
const VERSION_NUM: u32 = 0x0007_0204;
const REPL_ALL: u8 = 3;

/// Builds the table.
pub(super) fn table(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    constants(&table)?;
    commands(lua, &table, shared)?;
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

fn commands(lua: &Lua, table: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let state = Rc::clone(shared);
    let call =
        lua.create_function(move |lua, args: MultiValue| match command(lua, &state, &args) {
            Ok(reply) => reply,
            Err(raise) => Err(raise.into()),
        })?;
    table.set("call", call)?;
    let state = Rc::clone(shared);
    let pcall =
        lua.create_function(move |lua, args: MultiValue| match command(lua, &state, &args) {
            Ok(reply) => reply,
            Err(Raise::Reply { text, counted }) => {
                error_table(lua, &text, counted).map(Value::Table)
            }
            Err(other) => Err(other.into()),
        })?;
    table.set("pcall", pcall)?;
    let state = Rc::clone(shared);
    let check = lua.create_function(move |_, args: MultiValue| Ok(acl_check(&state, &args)?))?;
    table.set("acl_check_cmd", check)
}

/// Runs a command. An error reply is the outer error, so that each caller raises or returns it.
fn command(lua: &Lua, shared: &Shared, args: &MultiValue) -> Result<mlua::Result<Value>, Raise> {
    let (Ok(mut buf), Ok(mut reply)) =
        (shared.args.try_borrow_mut(), shared.reply.try_borrow_mut())
    else {
        return Err(error("Recursive call to a redis lib function"));
    };
    pack(args, &mut buf)?;
    reply.truncate(0);
    reply.set_proto(shared.proto.get());
    with_host(|host| host.call(buf.args(), &mut reply))
        .ok_or_else(|| error("redis.call/pcall can only be called inside a script invocation"))?;
    if let [b'-', text @ ..] = reply.bytes() {
        let text = text.strip_suffix(b"\r\n").unwrap_or(text).to_vec();
        return Err(Raise::Reply { text, counted: true });
    }
    Ok(unlimited(lua, || convert::from_resp(lua, reply.bytes())))
}

/// Packs the arguments of a command: strings and numbers.
fn pack(args: &MultiValue, buf: &mut ArgBuf) -> Result<(), Raise> {
    if args.is_empty() {
        return Err(error("Please specify at least one argument for this redis lib call"));
    }
    if args.iter().filter(|arg| matches!(arg, Value::String(_))).count() > MAX_ARGS {
        return Err(error("Too many arguments for this redis lib call"));
    }
    buf.clear();
    for arg in args {
        match arg {
            Value::String(text) => buf.push(&text.as_bytes()),
            Value::Integer(int) => buf.push(itoa::Buffer::new().format(*int).as_bytes()),
            Value::Number(number) => buf.push(num::fmt_f64(*number, &mut num::F64Buf::new())),
            _ => return Err(error("Lua redis lib command arguments must be strings or integers")),
        }
    }
    Ok(())
}

fn acl_check(shared: &Shared, args: &MultiValue) -> Result<bool, Raise> {
    let mut buf = shared
        .args
        .try_borrow_mut()
        .map_err(|_| error("Recursive call to a redis lib function"))?;
    pack(args, &mut buf)?;
    match with_host(|host| host.acl_check(buf.args())) {
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
