//! `redis.register_function`: what the code of a library does while it is loaded.
//!
//! Owns the reading of its arguments and the list of what has been registered so far. Never keeps
//! a function beyond that: the callbacks stand in the VM, by number.

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use super::functions::is_valid_name;
use super::raise::Raise;
use super::redis_api::error;
use super::shebang::Flags;
use super::vm::Shared;

/// The text for a name of a library or function that has other characters than these.
pub(super) const BAD_NAME: &str = "Library names can only contain letters, numbers, or \
                                   underscores(_) and must be at least one character long";

/// A function that has been registered.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) name: Box<[u8]>,
    pub(super) description: Option<Box<[u8]>>,
    pub(super) flags: Flags,
    /// Its number in the VM.
    pub(super) number: u32,
}

/// The library that is being loaded.
#[derive(Debug)]
pub(super) struct Registering {
    /// Where callbacks go.
    pub(super) loaded: Table,
    /// The number that the next callback gets.
    pub(super) next: u32,
    pub(super) functions: Vec<Registered>,
}

/// Adds `register_function` to the table that libraries see.
pub(super) fn install(lua: &Lua, table: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let state = Rc::clone(shared);
    let register = move |lua: &Lua, args: MultiValue| {
        let Some(registering) = &mut *state.registering.borrow_mut() else {
            let text = "redis.register_function can only be called on FUNCTION LOAD command";
            return Err(error(text).into());
        };
        let asked = match args.len() {
            1 => Asked::named(lua, &args)?,
            2 => Asked::positional(lua, &args)?,
            _ => {
                return Err(error("wrong number of arguments to redis.register_function").into());
            }
        };
        registering.add(asked)
    };
    table.set("register_function", lua.create_function(register)?)
}

/// What one call asks for.
struct Asked {
    name: Box<[u8]>,
    callback: Function,
    description: Option<Box<[u8]>>,
    flags: Flags,
}

impl Asked {
    fn positional(lua: &Lua, args: &MultiValue) -> Result<Self, Raise> {
        let name = args.front().and_then(|name| text(lua, name));
        let name = name
            .ok_or_else(|| error("first argument to redis.register_function must be a string"))?;
        let Some(Value::Function(callback)) = args.get(1) else {
            return Err(error("second argument to redis.register_function must be a function"));
        };
        let callback = callback.clone();
        Ok(Self { name, callback, description: None, flags: Flags::empty() })
    }

    fn named(lua: &Lua, args: &MultiValue) -> Result<Self, Raise> {
        let Some(Value::Table(table)) = args.front() else {
            return Err(error(
                "calling redis.register_function with a single argument is only applicable to Lua \
                 table (representing named arguments).",
            ));
        };
        let (mut name, mut callback, mut description) = (None, None, None);
        let mut flags = Flags::empty();
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|failed| error(&failed.to_string()))?;
            let key = text(lua, &key).ok_or_else(|| {
                error("named argument key given to redis.register_function is not a string")
            })?;
            let string = |which: &str| {
                text(lua, &value).ok_or_else(|| {
                    error(&format!(
                        "{which} argument given to redis.register_function must be a string"
                    ))
                })
            };
            match key.to_ascii_lowercase().as_slice() {
                b"function_name" => name = Some(string("function_name")?),
                b"description" => description = Some(string("description")?),
                b"callback" => callback = Some(function(&value)?),
                b"flags" => flags = parse_flags(lua, &value)?,
                _ => return Err(error("unknown argument given to redis.register_function")),
            }
        }
        Ok(Self {
            name: name.ok_or_else(|| {
                error("redis.register_function must get a function name argument")
            })?,
            callback: callback
                .ok_or_else(|| error("redis.register_function must get a callback argument"))?,
            description,
            flags,
        })
    }
}

fn function(value: &Value) -> Result<Function, Raise> {
    match value {
        Value::Function(function) => Ok(function.clone()),
        _ => Err(error("callback argument given to redis.register_function must be a function")),
    }
}

fn parse_flags(lua: &Lua, value: &Value) -> Result<Flags, Raise> {
    let Value::Table(names) = value else {
        return Err(error(
            "flags argument to redis.register_function must be a table representing function flags",
        ));
    };
    let mut flags = Flags::empty();
    for name in names.sequence_values::<Value>() {
        let name = name.ok().and_then(|name| text(lua, &name));
        flags |= name
            .and_then(|name| Flags::of_name(&name))
            .ok_or_else(|| error("unknown flag given"))?;
    }
    Ok(flags)
}

/// A string, or a number's text.
fn text(lua: &Lua, value: &Value) -> Option<Box<[u8]>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value.clone()).ok()??;
            Some((*text.as_bytes()).into())
        }
        _ => None,
    }
}

impl Registering {
    fn add(&mut self, asked: Asked) -> mlua::Result<()> {
        if !is_valid_name(&asked.name) {
            return Err(error(BAD_NAME).into());
        }
        if self.functions.iter().any(|known| known.name == asked.name) {
            return Err(error("Function already exists in the library").into());
        }
        let number = self.next;
        let following = number.checked_add(1);
        self.next = following.ok_or_else(|| error("too many functions"))?;
        self.loaded.raw_set(number, asked.callback)?;
        let Asked { name, description, flags, .. } = asked;
        self.functions.push(Registered { name, description, flags, number });
        Ok(())
    }
}
