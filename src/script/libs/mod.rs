//! The libraries of scripts that Redis writes in C: `cjson`, `cmsgpack`, `struct` and `bit`.
//!
//! Owns the reading of their arguments, with the error texts of Lua's auxiliary library.

pub mod bit;
pub mod cjson;
pub mod cmsgpack;
pub mod cstruct;
mod json;
#[cfg(test)]
mod tests;

use mlua::{Lua, LuaString, MultiValue, Value};

use super::convert::truncate;
use super::raise::bad_arg;

/// Longest result of an encoder, in bytes: a table that holds another many times over, and so on
/// downward, is small itself and endless when written out.
const MAX_OUTPUT: usize = 512 << 20;

/// The arguments of one call of a native function.
pub(super) struct Params<'a> {
    lua: &'a Lua,
    name: &'static str,
    args: &'a MultiValue,
}

impl<'a> Params<'a> {
    /// The arguments of the function called `name`.
    pub(super) fn new(lua: &'a Lua, name: &'static str, args: &'a MultiValue) -> Self {
        Self { lua, name, args }
    }

    /// The argument at `index`, from 1 on.
    pub(super) fn get(&self, index: usize) -> Option<&'a Value> {
        self.args.get(index.checked_sub(1)?)
    }

    /// The error of an argument.
    pub(super) fn bad(&self, index: usize, text: &str) -> mlua::Error {
        bad_arg(self.lua, index, self.name, text)
    }

    fn mismatch(&self, index: usize, expected: &str) -> mlua::Error {
        let got = self.get(index).map_or("no value", type_name);
        self.bad(index, &format!("{expected} expected, got {got}"))
    }

    /// A number, or a string that reads as one.
    pub(super) fn number(&self, index: usize) -> mlua::Result<f64> {
        let number = match self.get(index) {
            Some(Value::Integer(int)) => return Ok(*int as f64),
            Some(Value::Number(number)) => return Ok(*number),
            Some(text @ Value::String(_)) => self.lua.coerce_number(text.clone())?,
            _ => None,
        };
        number.ok_or_else(|| self.mismatch(index, "number"))
    }

    /// A number, cut to an integer.
    pub(super) fn int(&self, index: usize) -> mlua::Result<i64> {
        Ok(truncate(self.number(index)?))
    }

    /// A number, cut to an integer; `default` if nil or absent.
    pub(super) fn int_or(&self, index: usize, default: i64) -> mlua::Result<i64> {
        match self.get(index) {
            None | Some(Value::Nil) => Ok(default),
            Some(_) => self.int(index),
        }
    }

    /// A string, or a number's text.
    pub(super) fn string(&self, index: usize) -> mlua::Result<LuaString> {
        let text = match self.get(index) {
            Some(Value::String(text)) => return Ok(text.clone()),
            Some(number @ (Value::Integer(_) | Value::Number(_))) => {
                self.lua.coerce_string(number.clone())?
            }
            _ => None,
        };
        text.ok_or_else(|| self.mismatch(index, "string"))
    }
}

/// A value's type, as Lua names it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}
