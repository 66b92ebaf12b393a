//! The `cjson` library: its functions and settings. Encoding and decoding stand in [`super::json`].

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::Params;
use super::json::{Config, InvalidNumbers, decode, encode};
use crate::script::vm::{unlimited, unlimited_if_small};

/// Deepest nesting that a script may ask for: the encoder and the decoder recurse.
const MAX_DEPTH: u32 = 2_000;

/// Builds the table.
pub(crate) fn table(lua: &Lua) -> mlua::Result<Table> {
    let config = Rc::new(Cell::new(Config::default()));
    let table = lua.create_table()?;
    table.set("_NAME", "cjson")?;
    table.set("_VERSION", "2.1.0")?;
    table.set("null", Value::NULL)?;
    table.set("new", lua.create_function(|lua, _: MultiValue| self::table(lua))?)?;
    let settings = Rc::clone(&config);
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, "encode", &args);
        match args.front() {
            Some(value) if args.len() == 1 => unlimited(lua, || encode(lua, settings.get(), value)),
            _ => Err(params.bad(1, "expected 1 argument")),
        }
    })?;
    table.set("encode", function)?;
    let settings = Rc::clone(&config);
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, "decode", &args);
        if args.len() != 1 {
            return Err(params.bad(1, "expected 1 argument"));
        }
        let text = params.string(1)?;
        let text = text.as_bytes();
        unlimited_if_small(lua, text.len(), || decode(lua, settings.get(), &text))
    })?;
    table.set("decode", function)?;
    numbers(lua, &table, &config)?;
    switches(lua, &table, &config)?;
    Ok(table)
}

/// Checks an optional integer argument.
fn ranged(params: &Params<'_>, index: usize, min: i64, max: i64) -> mlua::Result<Option<u32>> {
    if matches!(params.get(index), None | Some(Value::Nil)) {
        return Ok(None);
    }
    let value = params.int(index)?;
    if value < min || value > max {
        return Err(params.bad(index, &format!("expected integer between {min} and {max}")));
    }
    Ok(u32::try_from(value).ok())
}

fn limit_args(params: &Params<'_>, args: &MultiValue, most: usize) -> mlua::Result<()> {
    if args.len() > most {
        return Err(params.bad(most + 1, "found too many arguments"));
    }
    Ok(())
}

type Field = fn(&mut Config) -> &mut u32;

/// The settings that are one integer.
fn numbers(lua: &Lua, table: &Table, config: &Rc<Cell<Config>>) -> mlua::Result<()> {
    let fields: [(&'static str, i64, Field); 3] = [
        ("encode_max_depth", i64::from(i32::MAX), |config| &mut config.encode_max_depth),
        ("decode_max_depth", i64::from(i32::MAX), |config| &mut config.decode_max_depth),
        ("encode_number_precision", 14, |config| &mut config.precision),
    ];
    for (name, max, field) in fields {
        let settings = Rc::clone(config);
        let function = lua.create_function(move |lua, args: MultiValue| {
            let params = Params::new(lua, name, &args);
            limit_args(&params, &args, 1)?;
            let mut config = settings.get();
            if let Some(value) = ranged(&params, 1, 1, max)? {
                *field(&mut config) = value.min(MAX_DEPTH);
                settings.set(config);
            }
            Ok(*field(&mut config))
        })?;
        table.set(name, function)?;
    }
    Ok(())
}

/// The settings that are switches.
fn switches(lua: &Lua, table: &Table, config: &Rc<Cell<Config>>) -> mlua::Result<()> {
    let settings = Rc::clone(config);
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, "encode_sparse_array", &args);
        limit_args(&params, &args, 3)?;
        let mut config = settings.get();
        if let Some(on) = switch(&params)? {
            config.sparse_convert = on;
        }
        config.sparse_ratio =
            ranged(&params, 2, 0, i64::from(i32::MAX))?.unwrap_or(config.sparse_ratio);
        config.sparse_safe =
            ranged(&params, 3, 0, i64::from(i32::MAX))?.unwrap_or(config.sparse_safe);
        settings.set(config);
        Ok((config.sparse_convert, config.sparse_ratio, config.sparse_safe))
    })?;
    table.set("encode_sparse_array", function)?;
    let settings = Rc::clone(config);
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, "encode_keep_buffer", &args);
        limit_args(&params, &args, 1)?;
        let mut config = settings.get();
        // Kept for its answer: buffers are the allocator's here.
        config.keep_buffer = switch(&params)?.unwrap_or(config.keep_buffer);
        settings.set(config);
        Ok(config.keep_buffer)
    })?;
    table.set("encode_keep_buffer", function)?;
    let settings = Rc::clone(config);
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, "encode_invalid_numbers", &args);
        limit_args(&params, &args, 1)?;
        let mut config = settings.get();
        config.encode_invalid = match params.get(1) {
            Some(Value::String(text)) if text.as_bytes() == b"null" => InvalidNumbers::Null,
            _ => match switch(&params)? {
                Some(true) => InvalidNumbers::Allow,
                Some(false) => InvalidNumbers::Refuse,
                None => config.encode_invalid,
            },
        };
        settings.set(config);
        Ok(match config.encode_invalid {
            InvalidNumbers::Refuse => Value::Boolean(false),
            InvalidNumbers::Allow => Value::Boolean(true),
            InvalidNumbers::Null => Value::String(lua.create_string("null")?),
        })
    })?;
    table.set("encode_invalid_numbers", function)?;
    let settings = Rc::clone(config);
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, "decode_invalid_numbers", &args);
        limit_args(&params, &args, 1)?;
        let mut config = settings.get();
        config.decode_invalid = switch(&params)?.unwrap_or(config.decode_invalid);
        settings.set(config);
        Ok(config.decode_invalid)
    })?;
    table.set("decode_invalid_numbers", function)
}

/// An optional switch: a boolean, or `"on"` and `"off"`.
fn switch(params: &Params<'_>) -> mlua::Result<Option<bool>> {
    match params.get(1) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(on)) => Ok(Some(*on)),
        Some(_) => {
            let text = params.string(1)?;
            match &*text.as_bytes() {
                b"on" => Ok(Some(true)),
                b"off" => Ok(Some(false)),
                other => {
                    let other = String::from_utf8_lossy(other);
                    Err(params.bad(1, &format!("invalid option '{other}'")))
                }
            }
        }
    }
}
