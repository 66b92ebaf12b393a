//! The `struct` library: packs values into binary strings by a format, and reads them back.
//!
//! Owns the format language and its bounds. Every read is checked against the data's length.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::Params;
use crate::script::raise::here;

/// Largest size of an integer, in bytes.
const MAX_INT: usize = 32;
/// Alignment that `!` without a number asks for.
const MAX_ALIGN: usize = 8;
/// Most values that one call returns.
const MAX_RESULTS: usize = 7_900;

/// Builds the table.
pub(crate) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", lua.create_function(|lua, args| pack(lua, &args))?)?;
    table.set("unpack", lua.create_function(|lua, args| unpack(lua, &args))?)?;
    table.set("size", lua.create_function(|lua, args| size(lua, &args))?)?;
    Ok(table)
}

/// A format on its way through, with its current byte order and alignment.
struct Format<'a> {
    params: &'a Params<'a>,
    lua: &'a Lua,
    rest: &'a [u8],
    big: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, params: &'a Params<'a>, text: &'a [u8]) -> Self {
        // As in C, a zero byte ends the format.
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Self { params, lua, rest: &text[..end], big: false, align: 1 }
    }

    /// The next option and its size in bytes.
    fn next(&mut self) -> mlua::Result<Option<(u8, usize)>> {
        let Some((&option, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.digits(1)?,
            b'i' | b'I' => self.digits(4)?,
            _ => 0,
        };
        if matches!(option, b'i' | b'I') && size > MAX_INT {
            let text = format!("integral size {size} is larger than limit of {MAX_INT}");
            return Err(here(self.lua, text));
        }
        Ok(Some((option, size)))
    }

    /// A number in the format, which must fit in C's `int`.
    fn digits(&mut self, default: usize) -> mlua::Result<usize> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Ok(default);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let value = digits.iter().try_fold(0_i32, |value, &digit| {
            value.checked_mul(10)?.checked_add(i32::from(digit - b'0'))
        });
        let value = value.and_then(|value| usize::try_from(value).ok());
        value.ok_or_else(|| here(self.lua, "integral size overflow"))
    }

    /// Bytes to skip before an option of this size at this offset.
    fn padding(&self, offset: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.align);
        size.wrapping_sub(offset & (size - 1)) & (size - 1)
    }

    /// Applies an option that stands for no value.
    fn control(&mut self, option: u8) -> mlua::Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                self.align = self.digits(MAX_ALIGN)?;
                if !self.align.is_power_of_two() {
                    let text = format!("alignment {} is not a power of 2", self.align);
                    return Err(here(self.lua, text));
                }
            }
            other => {
                let text = format!("invalid format option '{}'", char::from(other));
                return Err(self.params.bad(1, &text));
            }
        }
        Ok(())
    }
}

fn pack(lua: &Lua, args: &MultiValue) -> mlua::Result<LuaString> {
    let params = Params::new(lua, "pack", args);
    let text = params.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(lua, &params, &text);
    let mut out = Vec::new();
    let mut arg = 2;
    while let Some((option, size)) = format.next()? {
        out.resize(out.len() + format.padding(out.len(), option, size), 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                put_int(number(&params, arg)?, size, format.big, &mut out);
            }
            b'f' => put_bytes((number(&params, arg)? as f32).to_le_bytes(), format.big, &mut out),
            b'd' => put_bytes(number(&params, arg)?.to_le_bytes(), format.big, &mut out),
            b's' => {
                out.extend_from_slice(&params.string(arg)?.as_bytes());
                out.push(0);
            }
            b'c' => put_chars(&params, arg, size, &mut out)?,
            b'x' => {
                out.push(0);
                continue;
            }
            other => {
                format.control(other)?;
                continue;
            }
        }
        arg += 1;
    }
    lua.create_string(out)
}

/// A number; one that is absent reads as nil, which stands behind the arguments of this library.
fn number(params: &Params<'_>, index: usize) -> mlua::Result<f64> {
    if params.get(index).is_none() {
        return Err(params.bad(index, "number expected, got nil"));
    }
    params.number(index)
}

fn put_chars(params: &Params<'_>, arg: usize, size: usize, out: &mut Vec<u8>) -> mlua::Result<()> {
    let text = params.string(arg)?;
    let text = text.as_bytes();
    let size = if size == 0 { text.len() } else { size };
    // The library counts the argument as read before it complains of it.
    let chars = text.get(..size).ok_or_else(|| params.bad(arg + 1, "string too short"))?;
    out.extend_from_slice(chars);
    Ok(())
}

/// The low bytes of an integer; past the eighth they are zero.
fn put_int(number: f64, size: usize, big: bool, out: &mut Vec<u8>) {
    let value = if number < 0.0 { (number as i64) as u64 } else { number as u64 };
    let mut bytes = [0; MAX_INT];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    let bytes = &mut bytes[..size];
    if big {
        bytes.reverse();
    }
    out.extend_from_slice(bytes);
}

fn put_bytes<const N: usize>(mut bytes: [u8; N], big: bool, out: &mut Vec<u8>) {
    if big {
        bytes.reverse();
    }
    out.extend_from_slice(&bytes);
}

fn size(lua: &Lua, args: &MultiValue) -> mlua::Result<f64> {
    let params = Params::new(lua, "size", args);
    let text = params.string(1)?;
    let text = text.as_bytes();
    let mut format = Format::new(lua, &params, &text);
    let mut total = 0_usize;
    while let Some((option, size)) = format.next()? {
        total = total.saturating_add(format.padding(total, option, size));
        if option == b's' || (option == b'c' && size == 0) {
            let name = if option == b's' { "s" } else { "c0" };
            return Err(params.bad(1, &format!("option '{name}' has no fixed size")));
        }
        total = total.saturating_add(size);
        if !option.is_ascii_alphanumeric() {
            format.control(option)?;
        }
    }
    Ok(total as f64)
}

/// The data of one `unpack` and where it stands.
struct Data<'a> {
    params: &'a Params<'a>,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Data<'a> {
    /// The next `size` bytes, not consumed.
    fn peek(&self, size: usize) -> mlua::Result<&'a [u8]> {
        let end = self.offset.checked_add(size);
        let bytes = end.and_then(|end| self.bytes.get(self.offset..end));
        bytes.ok_or_else(|| self.params.bad(2, "data string too short"))
    }
}

fn unpack(lua: &Lua, args: &MultiValue) -> mlua::Result<MultiValue> {
    let params = Params::new(lua, "unpack", args);
    let (text, data) = (params.string(1)?, params.string(2)?);
    let (text, bytes) = (text.as_bytes(), data.as_bytes());
    let start = params.int_or(3, 1)?;
    if start == 0 {
        return Err(params.bad(3, "offset must be 1 or greater"));
    }
    let mut format = Format::new(lua, &params, &text);
    let mut data = Data { params: &params, bytes: &bytes, offset: start.wrapping_sub(1) as usize };
    let mut values = Vec::new();
    while let Some((option, size)) = format.next()? {
        let padding = format.padding(data.offset, option, size);
        data.offset = data.offset.saturating_add(padding);
        let chunk = data.peek(size)?;
        if values.len() >= MAX_RESULTS {
            return Err(here(lua, "stack overflow (too many results)"));
        }
        let used = match option {
            b's' | b'c' => read_string(lua, &data, option, size, &mut values)?,
            b'x' => size,
            _ => match read_number(option, chunk, format.big) {
                Some(number) => {
                    values.push(Value::Number(number));
                    size
                }
                None => {
                    format.control(option)?;
                    size
                }
            },
        };
        data.offset = data.offset.saturating_add(used);
    }
    values.push(Value::Number(data.offset as f64 + 1.0));
    Ok(MultiValue::from(values))
}

/// Reads a number, if the option stands for one.
fn read_number(option: u8, chunk: &[u8], big: bool) -> Option<f64> {
    let mut bytes = [0; MAX_INT];
    let bytes = &mut bytes[..chunk.len().min(MAX_INT)];
    bytes.copy_from_slice(&chunk[..bytes.len()]);
    if big {
        bytes.reverse();
    }
    match option {
        b'b' | b'h' | b'l' | b'i' => Some(sign_extend(low_word(bytes), bytes.len()) as f64),
        b'B' | b'H' | b'L' | b'T' | b'I' => Some(low_word(bytes) as f64),
        b'f' => Some(f64::from(f32::from_le_bytes((&*bytes).try_into().ok()?))),
        b'd' => Some(f64::from_le_bytes((&*bytes).try_into().ok()?)),
        _ => None,
    }
}

/// The first eight bytes, lowest first.
fn low_word(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

fn sign_extend(word: u64, size: usize) -> i64 {
    match size {
        1..8 => {
            let unused = 64 - 8 * size as u32;
            ((word << unused) as i64) >> unused
        }
        _ => word as i64,
    }
}

/// Reads a string; returns the bytes used.
fn read_string(
    lua: &Lua,
    data: &Data<'_>,
    option: u8,
    size: usize,
    values: &mut Vec<Value>,
) -> mlua::Result<usize> {
    let (text, used) = if option == b's' {
        let rest = data.bytes.get(data.offset..).unwrap_or_default();
        let end = memchr::memchr(0, rest);
        let end = end.ok_or_else(|| here(lua, "unfinished string in data"))?;
        (&rest[..end], end + 1)
    } else {
        let size = if size == 0 { previous_size(lua, data, values)? } else { size };
        (data.peek(size)?, size)
    };
    values.push(Value::String(lua.create_string(text)?));
    Ok(used)
}

/// The size that `c0` takes: the value before it, which it consumes.
fn previous_size(lua: &Lua, data: &Data<'_>, values: &mut Vec<Value>) -> mlua::Result<usize> {
    let previous = values.pop().map(|value| lua.coerce_number(value)).transpose()?.flatten();
    let number = previous.ok_or_else(|| here(lua, "format 'c0' needs a previous size"))?;
    // A negative size is, in C, one beyond any data.
    if number >= 0.0 && number <= data.bytes.len() as f64 {
        Ok(number as usize)
    } else {
        Err(data.params.bad(2, "data string too short"))
    }
}
