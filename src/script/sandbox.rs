//! Builds the globals that scripts see, and closes the holes of stock Lua 5.1.
//!
//! Owns the native helpers of `sandbox.lua`, which does the building, and Redis's `math.random`.
//! Lists of names, wrappers and their reasons stand in `sandbox.lua`.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::libs::{self, Params};
use super::raise::{self, Raise, SANDBOX_CHUNK, bad_arg, here};
use super::redis_api;
use super::vm::{self, Kind, Shared};

const SOURCE: &str = include_str!("sandbox.lua");
/// `math.random` yields multiples of one part in this many.
const RANDOM_RANGE: i64 = 0x7fff_ffff;

/// Fills the VM's globals; returns the engine's entry points.
pub(super) fn install(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let libs = lua.create_table()?;
    libs.set("redis", redis_api::table(lua, shared)?)?;
    libs.set("cjson", libs::cjson::table(lua)?)?;
    libs.set("cmsgpack", libs::cmsgpack::table(lua)?)?;
    libs.set("struct", libs::cstruct::table(lua)?)?;
    libs.set("bit", libs::bit::table(lua)?)?;
    let name = format!("={SANDBOX_CHUNK}");
    lua.load(SOURCE).set_name(name).call((natives(lua, shared)?, libs))
}

fn natives(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("deprecated", shared.deprecated_api)?;
    if shared.kind == Kind::Functions {
        table.set("library", redis_api::library_table(lua, shared)?)?;
    }
    let state = Rc::clone(shared);
    table.set("recover", lua.create_function(move |lua, error| recover(lua, &state, error))?)?;
    let state = Rc::clone(shared);
    let describe = lua.create_function(move |lua, error: Value| {
        state.note_failure(lua, &error);
        Ok(())
    })?;
    table.set("describe", describe)?;
    let state = Rc::clone(shared);
    let tick = lua.create_function(move |_, ()| vm::tick(&state).map(|_| ()))?;
    table.set("tick", tick)?;
    let state = Rc::clone(shared);
    table.set("random", lua.create_function(move |lua, args| random(lua, &state, args))?)?;
    let state = Rc::clone(shared);
    let seed = lua.create_function(move |lua, args: MultiValue| {
        let seed = Params::new(lua, "randomseed", &args).int(1)?;
        state.random.set(seeded(seed));
        Ok(())
    })?;
    table.set("randomseed", seed)?;
    Ok(table)
}

/// Turns a caught error into what a script may see. Raises again if the script has been killed.
fn recover(lua: &Lua, shared: &Shared, error: Value) -> mlua::Result<Value> {
    if shared.killed.get() {
        return Err(Raise::Killed.into());
    }
    match &error {
        Value::Error(inner) => match Raise::of(inner) {
            Raise::Killed => Err(Raise::Killed.into()),
            Raise::Text(text) => Ok(Value::String(lua.create_string(text)?)),
            Raise::Reply { text, counted } => {
                Ok(Value::Table(redis_api::error_table(lua, &text, counted)?))
            }
        },
        Value::String(text) => {
            let moved = raise::relocate(lua, &text.as_bytes());
            Ok(match moved {
                Some(text) => Value::String(lua.create_string(text)?),
                None => error,
            })
        }
        _ => Ok(error),
    }
}

/// The generator's state in a new VM. It goes on from run to run.
pub(super) const RANDOM_START: u64 = 0x1234_abcd_330e;

/// The generator's state after `srand48(seed)`.
pub(super) fn seeded(seed: i64) -> u64 {
    (u64::from(seed as u32) << 16) | 0x330e
}

/// The next value of `lrand48`: 31 bits.
fn lrand48(shared: &Shared) -> i64 {
    let state = shared.random.get().wrapping_mul(0x5_deec_e66d).wrapping_add(0xb);
    let state = state & ((1 << 48) - 1);
    shared.random.set(state);
    (state >> 17) as i64
}

/// `math.random`: by the seed, the values are those of Redis.
fn random(lua: &Lua, shared: &Shared, args: MultiValue) -> mlua::Result<f64> {
    let unit = (lrand48(shared) % RANDOM_RANGE) as f64 / RANDOM_RANGE as f64;
    let params = Params::new(lua, "random", &args);
    let (low, high, last) = match args.len() {
        0 => return Ok(unit),
        1 => (1, params.int(1)?, 1),
        2 => (params.int(1)?, params.int(2)?, 2),
        _ => return Err(here(lua, "wrong number of arguments")),
    };
    if low > high {
        return Err(bad_arg(lua, last, "random", "interval is empty"));
    }
    let (low, high) = (low as f64, high as f64);
    Ok((unit * (high - low + 1.0)).floor() + low)
}
