//! The `bit` library: operations on 32-bit integers.

use mlua::{Lua, MultiValue, Table};

use super::Params;

/// Builds the table.
pub(crate) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    unary(lua, &table, "tobit", |a| a)?;
    unary(lua, &table, "bnot", |a| !a)?;
    unary(lua, &table, "bswap", u32::swap_bytes)?;
    fold(lua, &table, "band", |a, b| a & b)?;
    fold(lua, &table, "bor", |a, b| a | b)?;
    fold(lua, &table, "bxor", |a, b| a ^ b)?;
    // Wrapping shifts take the low five bits of the count.
    shift(lua, &table, "lshift", u32::wrapping_shl)?;
    shift(lua, &table, "rshift", u32::wrapping_shr)?;
    shift(lua, &table, "arshift", |a, n| (a as i32).wrapping_shr(n) as u32)?;
    shift(lua, &table, "rol", |a, n| a.rotate_left(n & 31))?;
    shift(lua, &table, "ror", |a, n| a.rotate_right(n & 31))?;
    table.set("tohex", lua.create_function(|lua, args| tohex(lua, &args))?)?;
    Ok(table)
}

/// The low 32 bits of a number, rounded to an integer as the library's addition of 2^52 + 2^51 does
/// it, odd results beyond 2^51 included.
fn bits(number: f64) -> u32 {
    (number + 6_755_399_441_055_744.0).to_bits() as u32
}

fn signed(bits: u32) -> i32 {
    bits as i32
}

fn unary(lua: &Lua, table: &Table, name: &'static str, op: fn(u32) -> u32) -> mlua::Result<()> {
    let function = lua.create_function(move |lua, args: MultiValue| {
        Ok(signed(op(bits(Params::new(lua, name, &args).number(1)?))))
    })?;
    table.set(name, function)
}

fn fold(lua: &Lua, table: &Table, name: &'static str, op: fn(u32, u32) -> u32) -> mlua::Result<()> {
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, name, &args);
        let mut result = bits(params.number(1)?);
        for index in 2..=args.len() {
            result = op(result, bits(params.number(index)?));
        }
        Ok(signed(result))
    })?;
    table.set(name, function)
}

fn shift(
    lua: &Lua,
    table: &Table,
    name: &'static str,
    op: fn(u32, u32) -> u32,
) -> mlua::Result<()> {
    let function = lua.create_function(move |lua, args: MultiValue| {
        let params = Params::new(lua, name, &args);
        Ok(signed(op(bits(params.number(1)?), bits(params.number(2)?))))
    })?;
    table.set(name, function)
}

/// The low digits of a number; a negative count asks for capitals.
fn tohex(lua: &Lua, args: &MultiValue) -> mlua::Result<String> {
    let params = Params::new(lua, "tohex", args);
    let value = bits(params.number(1)?);
    let count = if args.len() < 2 { 8 } else { signed(bits(params.number(2)?)) };
    let digits = (count.unsigned_abs() as usize).min(8);
    let text = if count < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(text[8 - digits..].to_owned())
}
