//! Values between RESP and Lua.
//!
//! Owns the reading of a command's reply into Lua values, the writing of a script's result as a
//! reply, and the text of numbers passed to commands. Never runs Lua code: all access is raw.

use mlua::{Either, IntoLua, Lua, Table, Value};

use super::vm::Outcome;
use crate::resp::{Proto, Reply};
use crate::util::num;

/// Most strings among the arguments of one `redis.call`: each takes one of the VM's 8,000 slots for references.
pub(super) const MAX_ARGS: usize = 7_900;
/// Tables nested deeper than this in a script's result are replied as an error.
const MAX_REPLY_DEPTH: usize = 1_000;
/// Longest reply of a script, in bytes: a table may hold another many times over, and so on downward.
const MAX_REPLY: usize = 2 << 30;
/// Most values that a table is given room for ahead of them being read.
const MAX_ROOM: usize = 4_096;

/// Bytes that become a Lua string; text takes a shorter way than other bytes.
pub(super) fn string(bytes: &[u8]) -> Either<&str, Bytes<'_>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Either::Left(text),
        Err(_) => Either::Right(Bytes(bytes)),
    }
}

/// Bytes that become a Lua string.
pub(super) struct Bytes<'a>(&'a [u8]);

impl IntoLua for Bytes<'_> {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        Ok(Value::String(lua.create_string(self.0)?))
    }
}

// RESP to Lua ------------------------------------------------------------------------------------

/// One value of a reply: scalars that need no table stay borrowed.
enum Item<'a> {
    Text(Either<&'a str, Bytes<'a>>),
    Value(Value),
}

impl IntoLua for Item<'_> {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Self::Text(text) => text.into_lua(lua),
            Self::Value(value) => Ok(value),
        }
    }
}

/// Reads one whole reply.
pub(super) fn from_resp(lua: &Lua, reply: &[u8]) -> mlua::Result<Value> {
    Reader { lua, rest: reply }.value()?.into_lua(lua)
}

struct Reader<'l, 'a> {
    lua: &'l Lua,
    rest: &'a [u8],
}

impl<'a> Reader<'_, 'a> {
    /// The rest of the current line, without its end.
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn int(&mut self) -> i64 {
        num::parse_i64(self.line()).unwrap_or(0)
    }

    /// The header's length, or `None` for a null.
    fn len(&mut self) -> Option<usize> {
        usize::try_from(self.int()).ok()
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.rest.len());
        let bytes = &self.rest[..len];
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        bytes
    }

    fn value(&mut self) -> mlua::Result<Item<'a>> {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return Ok(Item::Value(Value::Nil));
        };
        self.rest = rest;
        Ok(Item::Value(match kind {
            b'$' => match self.len() {
                Some(len) => return Ok(Item::Text(string(self.bytes(len)))),
                None => Value::Boolean(false),
            },
            b':' => Value::Number(self.int() as f64),
            b'*' | b'>' => match self.len() {
                Some(len) => Value::Table(self.array(len)?),
                None => Value::Boolean(false),
            },
            b'+' => self.text_field("ok")?,
            b'-' => self.error()?,
            b'(' => self.text_field("big_number")?,
            b'_' => {
                self.line();
                Value::Nil
            }
            b'#' => Value::Boolean(self.line() == b"t"),
            b',' => {
                let value = parse_double(self.line());
                self.wrap("double", Value::Number(value))?
            }
            b'%' => self.map()?,
            b'~' => self.set()?,
            b'=' => self.verbatim()?,
            b'|' => {
                // Scripts don't see attributes, but the value that follows.
                for _ in 0..self.len().unwrap_or(0).saturating_mul(2) {
                    self.value()?;
                }
                return self.value();
            }
            _ => Value::Nil,
        }))
    }

    fn wrap(&self, field: &str, value: impl IntoLua) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(field, value)?;
        Ok(Value::Table(table))
    }

    fn text_field(&mut self, field: &str) -> mlua::Result<Value> {
        let text = self.line();
        self.wrap(field, string(text))
    }

    fn error(&mut self) -> mlua::Result<Value> {
        let text = self.line();
        super::redis_api::error_table(self.lua, text, true).map(Value::Table)
    }

    /// The values of an array are pushed as they are read: no reference is kept to any.
    fn array(&mut self, len: usize) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(len.min(MAX_ROOM), 0)?;
        for index in 1..=len {
            match self.value()? {
                Item::Text(Either::Left(text)) => table.raw_set(index, text)?,
                Item::Text(Either::Right(bytes)) => table.raw_set(index, bytes)?,
                Item::Value(value) => table.raw_set(index, value)?,
            }
        }
        Ok(table)
    }

    fn map(&mut self) -> mlua::Result<Value> {
        let len = self.len().unwrap_or(0);
        let map = self.lua.create_table_with_capacity(0, len.min(MAX_ROOM))?;
        for _ in 0..len {
            let key = self.value()?.into_lua(self.lua)?;
            let value = self.value()?;
            if !key.is_nil() {
                map.raw_set(key, value)?;
            }
        }
        self.wrap("map", map)
    }

    fn set(&mut self) -> mlua::Result<Value> {
        let len = self.len().unwrap_or(0);
        let set = self.lua.create_table_with_capacity(0, len.min(MAX_ROOM))?;
        for _ in 0..len {
            let member = self.value()?.into_lua(self.lua)?;
            if !member.is_nil() {
                set.raw_set(member, true)?;
            }
        }
        self.wrap("set", set)
    }

    fn verbatim(&mut self) -> mlua::Result<Value> {
        let len = self.len().unwrap_or(0);
        let bytes = self.bytes(len);
        let (format, text) = bytes.split_at(bytes.len().min(3));
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("string", string(text.get(1..).unwrap_or_default()))?;
        table.raw_set("format", string(format))?;
        self.wrap("verbatim_string", table)
    }
}

/// A RESP3 double.
fn parse_double(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

// Lua to RESP ------------------------------------------------------------------------------------

/// Writes a script's result as its reply. `script` is the protocol that the script chose, which
/// decides what its booleans mean.
pub(super) fn reply(value: &Value, script: Proto, out: &mut Reply) -> Outcome {
    let start = out.len();
    let limit = start.saturating_add(MAX_REPLY);
    let mut writer = Writer { script, limit, outcome: Outcome::default() };
    writer.value(value, 0, out);
    if out.len() > limit {
        out.truncate(start);
        const TOO_LONG: &[u8] = b"ERR the reply of the script is too long";
        out.error_text(TOO_LONG);
        writer.outcome.fail(TOO_LONG, false);
    }
    writer.outcome
}

struct Writer {
    script: Proto,
    /// Length of the output past which nothing more is written.
    limit: usize,
    outcome: Outcome,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize, out: &mut Reply) {
        if out.len() > self.limit {
            return;
        }
        match value {
            Value::String(text) => out.bulk(&text.as_bytes()),
            Value::Integer(int) => out.int(*int),
            Value::Number(number) => out.int(truncate(*number)),
            Value::Boolean(value) => match (self.script, value) {
                (Proto::Resp3, value) => out.bool(*value),
                (Proto::Resp2, true) => out.int(1),
                (Proto::Resp2, false) => out.null(),
            },
            Value::Table(_) if depth >= MAX_REPLY_DEPTH => {
                const TOO_DEEP: &[u8] = b"ERR reached lua stack limit";
                out.error_text(TOO_DEEP);
                self.outcome.fail(TOO_DEEP, false);
            }
            Value::Table(table) => {
                if !self.tagged(table, depth, out) {
                    self.array(table, depth, out);
                }
            }
            _ => out.null(),
        }
    }

    /// Writes a table that stands for a reply of some kind; false if it is a plain array.
    fn tagged(&mut self, table: &Table, depth: usize, out: &mut Reply) -> bool {
        let field = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
        if is_text(&field("err")) {
            let text = err_text(table);
            out.error_text(&text);
            self.outcome.fail(&text, is_counted(table));
        } else if let Some(text) = as_text(&field("ok")) {
            out.simple(&text);
        } else if let Some(value) = as_number(&field("double")) {
            out.double(value);
        } else if let Value::Table(map) = field("map") {
            self.map(&map, depth, out);
        } else if let Value::Table(set) = field("set") {
            self.set(&set, depth, out);
        } else if let Some(digits) = as_text(&field("big_number")) {
            let digits: Vec<u8> = digits.iter().map(|&b| unbroken(b)).collect();
            out.big_number(&digits);
        } else if let Value::Table(verbatim) = field("verbatim_string") {
            return verbatim_string(&verbatim, out);
        } else {
            return false;
        }
        true
    }

    /// The array ends at its first nil. The border that Lua finds is past it only if the table has
    /// holes; then the header is written last.
    fn array(&mut self, table: &Table, depth: usize, out: &mut Reply) {
        let len = table.raw_len();
        let mark = out.begin();
        let start = out.len();
        out.array(len);
        let header = out.len() - start;
        for index in 1..=len {
            let value = table.raw_get::<Value>(index).unwrap_or(Value::Nil);
            if value.is_nil() {
                out.buf_mut().drain(start..start + header);
                out.end_array(mark, index - 1);
                return;
            }
            self.value(&value, depth + 1, out);
            if out.len() > self.limit {
                return;
            }
        }
    }

    fn map(&mut self, map: &Table, depth: usize, out: &mut Reply) {
        let mark = out.begin();
        let mut len = 0;
        let _ = map.for_each(|key: Value, value: Value| {
            self.value(&key, depth + 1, out);
            self.value(&value, depth + 1, out);
            len += 1;
            Ok(())
        });
        out.end_map(mark, len);
    }

    fn set(&mut self, set: &Table, depth: usize, out: &mut Reply) {
        let mark = out.begin();
        let mut len = 0;
        let _ = set.for_each(|member: Value, _: Value| {
            self.value(&member, depth + 1, out);
            len += 1;
            Ok(())
        });
        out.end_set(mark, len);
    }
}

fn verbatim_string(table: &Table, out: &mut Reply) -> bool {
    let field = |name: &str| table.raw_get::<Value>(name).ok().as_ref().and_then(as_text);
    let (Some(format), Some(text)) = (field("format"), field("string")) else {
        return false;
    };
    let mut tag = [b' '; 3];
    for (to, &from) in tag.iter_mut().zip(&format) {
        *to = unbroken(from);
    }
    out.verbatim(&tag, &text);
    true
}

/// The text of an error table, code first.
pub(super) fn err_text(table: &Table) -> Vec<u8> {
    let err = table.raw_get::<Value>("err").ok();
    let text = err.as_ref().and_then(as_text).unwrap_or_default();
    if text.is_empty() { b"ERR unknown error".to_vec() } else { text }
}

/// Whether the error has been counted by the command that raised it.
pub(super) fn is_counted(table: &Table) -> bool {
    matches!(table.raw_get("ignore_error_stats_update"), Ok(Value::Boolean(true)))
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_))
}

fn as_text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(int) => Some(*int as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn unbroken(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

/// A number as C converts it to a 64-bit integer on x86-64: what doesn't fit is the least one.
pub(super) fn truncate(number: f64) -> i64 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&number) { number as i64 } else { i64::MIN }
}
