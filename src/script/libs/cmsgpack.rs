//! The `cmsgpack` library: MessagePack.
//!
//! Owns the encoding of Lua values, which tables are arrays, and the bounds of decoding. Recursion
//! is bounded both ways.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::{MAX_OUTPUT, Params};
use crate::script::convert;
use crate::script::raise::{Raise, here};
use crate::script::vm::{unlimited, unlimited_if_small};

/// Tables nested deeper than this are packed as nil.
const MAX_PACK_DEPTH: usize = 16;
/// Values nested deeper than this aren't unpacked.
const MAX_UNPACK_DEPTH: usize = 1_000;
/// Most values that one call returns.
const MAX_RESULTS: usize = 7_900;

/// Builds the table.
pub(crate) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("_NAME", "cmsgpack")?;
    table.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    table.set("pack", lua.create_function(|lua, args| pack(lua, &args))?)?;
    let all = |lua: &Lua, args: MultiValue| unpack(&Params::new(lua, "unpack", &args), lua, 0, 0);
    table.set("unpack", lua.create_function(all)?)?;
    let one = |lua: &Lua, args: MultiValue| {
        let params = Params::new(lua, "unpack_one", &args);
        let offset = params.int_or(2, 0)?;
        unpack(&params, lua, 1, offset)
    };
    table.set("unpack_one", lua.create_function(one)?)?;
    let limited = |lua: &Lua, args: MultiValue| {
        let params = Params::new(lua, "unpack_limit", &args);
        let (limit, offset) = (params.int(2)?, params.int_or(3, 0)?);
        unpack(&params, lua, limit, offset)
    };
    table.set("unpack_limit", lua.create_function(limited)?)?;
    Ok(table)
}

// Packing ----------------------------------------------------------------------------------------

fn pack(lua: &Lua, args: &MultiValue) -> mlua::Result<LuaString> {
    if args.is_empty() {
        let params = Params::new(lua, "pack", args);
        return Err(params.bad(0, "MessagePack pack needs input."));
    }
    unlimited(lua, || {
        let mut out = Vec::new();
        for value in args {
            pack_value(value, 0, &mut out)?;
        }
        lua.create_string(out)
    })
}

fn pack_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> mlua::Result<()> {
    if out.len() > MAX_OUTPUT {
        return Err(Raise::Text(b"The result is too long.".to_vec()).into());
    }
    match value {
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(int) => pack_int(*int, out),
        Value::Number(number) => pack_number(*number, out),
        Value::String(text) => pack_string(&text.as_bytes(), out),
        Value::Table(table) if depth < MAX_PACK_DEPTH => pack_table(table, depth, out)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn pack_int(value: i64, out: &mut Vec<u8>) {
    match value {
        -32..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => tagged(0xcd, (value as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => tagged(0xce, (value as u32).to_be_bytes(), out),
        0x1_0000_0000.. => tagged(0xcf, value.to_be_bytes(), out),
        -0x80..=-33 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..=-0x81 => tagged(0xd1, (value as i16).to_be_bytes(), out),
        -0x8000_0000..=-0x8001 => tagged(0xd2, (value as i32).to_be_bytes(), out),
        _ => tagged(0xd3, value.to_be_bytes(), out),
    }
}

fn pack_number(number: f64, out: &mut Vec<u8>) {
    let int = convert::truncate(number);
    if int as f64 == number && int != i64::MAX {
        pack_int(int, out);
    } else if f64::from(number as f32) == number {
        tagged(0xca, (number as f32).to_be_bytes(), out);
    } else {
        tagged(0xcb, number.to_be_bytes(), out);
    }
}

fn tagged<const N: usize>(tag: u8, bytes: [u8; N], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&bytes);
}

fn pack_string(text: &[u8], out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => tagged(0xda, (len as u16).to_be_bytes(), out),
        len => tagged(0xdb, (len as u32).to_be_bytes(), out),
    }
    out.extend_from_slice(text);
}

/// The header of an array or map: a short form of up to 15, then 16 and 32 bits.
fn pack_len(short: u8, long: u8, len: usize, out: &mut Vec<u8>) {
    match len {
        0..=15 => out.push(short | len as u8),
        16..=0xffff => tagged(long, (len as u16).to_be_bytes(), out),
        _ => tagged(long + 1, (len as u32).to_be_bytes(), out),
    }
}

fn pack_table(table: &Table, depth: usize, out: &mut Vec<u8>) -> mlua::Result<()> {
    let (pairs, is_array) = measure(table)?;
    if is_array {
        pack_len(0x90, 0xdc, pairs, out);
        for index in 1..=pairs {
            pack_value(&table.raw_get(index)?, depth + 1, out)?;
        }
        return Ok(());
    }
    pack_len(0x80, 0xde, pairs, out);
    table.for_each(|key: Value, value: Value| {
        pack_value(&key, depth + 1, out)?;
        pack_value(&value, depth + 1, out)
    })
}

/// The number of pairs, and whether the keys are exactly 1 to that number.
fn measure(table: &Table) -> mlua::Result<(usize, bool)> {
    let (mut pairs, mut max, mut indexes) = (0_usize, 0_i64, true);
    table.for_each(|key: Value, _: Value| {
        pairs += 1;
        match key {
            Value::Integer(index) if index > 0 => max = max.max(index),
            _ => indexes = false,
        }
        Ok(())
    })?;
    Ok((pairs, indexes && usize::try_from(max) == Ok(pairs)))
}

// Unpacking --------------------------------------------------------------------------------------

/// Unpacks up to `limit` values from `offset` on; with neither, all values and no next offset.
fn unpack(params: &Params<'_>, lua: &Lua, limit: i64, offset: i64) -> mlua::Result<MultiValue> {
    let data = params.string(1)?;
    let data = data.as_bytes();
    let len = data.len();
    if offset < 0 || limit < 0 {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(here(lua, text));
    }
    let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..));
    let rest = rest.ok_or_else(|| {
        here(lua, format!("Start offset {} greater than input length {len}.", offset as i32))
    })?;
    let all = limit == 0 && offset == 0;
    let limit = if all { MAX_RESULTS } else { usize::try_from(limit).unwrap_or(MAX_RESULTS) };
    let mut cursor = Cursor { lua, rest };
    let mut values = unlimited_if_small(lua, rest.len(), || cursor.values(limit))?;
    if all && !cursor.rest.is_empty() {
        return Err(here(lua, "stack overflow (in function mp_unpack_full)"));
    }
    if !all {
        let next = if cursor.rest.is_empty() { -1.0 } else { (len - cursor.rest.len()) as f64 };
        values.insert(0, Value::Number(next));
    }
    Ok(MultiValue::from(values))
}

/// What remains of the input.
struct Cursor<'l, 'a> {
    lua: &'l Lua,
    rest: &'a [u8],
}

impl<'a> Cursor<'_, 'a> {
    fn values(&mut self, limit: usize) -> mlua::Result<Vec<Value>> {
        let mut values = Vec::new();
        while !self.rest.is_empty() && values.len() < limit {
            if values.len() >= MAX_RESULTS {
                return Err(here(self.lua, "stack overflow (in function mp_unpack_full)"));
            }
            values.push(self.value(0)?);
        }
        Ok(values)
    }

    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        if len > self.rest.len() {
            return Err(here(self.lua, "Missing bytes in input."));
        }
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(bytes)
    }

    fn bytes<const N: usize>(&mut self) -> mlua::Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u8(&mut self) -> mlua::Result<usize> {
        Ok(usize::from(self.bytes::<1>()?[0]))
    }

    fn u16(&mut self) -> mlua::Result<usize> {
        self.bytes().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn u32(&mut self) -> mlua::Result<usize> {
        self.bytes().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    fn string(&mut self, len: usize) -> mlua::Result<Value> {
        let text = self.take(len)?;
        self.lua.create_string(text).map(Value::String)
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let tag = self.u8()? as u8;
        Ok(match tag {
            0x00..=0x7f | 0xe0.. => Value::Number(f64::from(tag as i8)),
            0x80..=0x8f => self.map(usize::from(tag & 0xf), depth)?,
            0x90..=0x9f => self.array(usize::from(tag & 0xf), depth)?,
            0xa0..=0xbf => self.string(usize::from(tag & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f64::from(f32::from_be_bytes(self.bytes()?))),
            0xcb => Value::Number(f64::from_be_bytes(self.bytes()?)),
            0xd9 => self.u8().and_then(|len| self.string(len))?,
            0xda => self.u16().and_then(|len| self.string(len))?,
            0xdb => self.u32().and_then(|len| self.string(len))?,
            0xcc => Value::Number(self.u8()? as f64),
            0xcd => Value::Number(self.u16()? as f64),
            0xce => Value::Number(self.u32()? as f64),
            0xd0 => Value::Number(f64::from(i8::from_be_bytes(self.bytes()?))),
            0xd1 => Value::Number(f64::from(i16::from_be_bytes(self.bytes()?))),
            0xd2 => Value::Number(f64::from(i32::from_be_bytes(self.bytes()?))),
            // Redis's version reads unsigned ones as signed, too.
            0xcf | 0xd3 => Value::Number(i64::from_be_bytes(self.bytes()?) as f64),
            0xdc => self.u16().and_then(|len| self.array(len, depth))?,
            0xdd => self.u32().and_then(|len| self.array(len, depth))?,
            0xde => self.u16().and_then(|len| self.map(len, depth))?,
            0xdf => self.u32().and_then(|len| self.map(len, depth))?,
            _ => return Err(here(self.lua, "Bad data format in input.")),
        })
    }

    fn descend(&self, depth: usize, function: &str) -> mlua::Result<usize> {
        if depth >= MAX_UNPACK_DEPTH {
            return Err(here(self.lua, format!("stack overflow (in function {function})")));
        }
        Ok(depth + 1)
    }

    fn array(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        let depth = self.descend(depth, "mp_decode_to_lua_array")?;
        // Each value takes a byte at least: a false length reserves no more than the input.
        let table = self.lua.create_table_with_capacity(len.min(self.rest.len()), 0)?;
        for index in 1..=len {
            let value = self.value(depth)?;
            table.raw_set(index, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        let depth = self.descend(depth, "mp_decode_to_lua_hash")?;
        let table = self.lua.create_table_with_capacity(0, len.min(self.rest.len() / 2))?;
        for _ in 0..len {
            let key = self.value(depth)?;
            let value = self.value(depth)?;
            match key {
                Value::Nil => return Err(Raise::Text(b"table index is nil".to_vec()).into()),
                Value::Number(nan) if nan.is_nan() => {
                    return Err(Raise::Text(b"table index is NaN".to_vec()).into());
                }
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}
