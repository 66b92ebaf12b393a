//! Lua scripting: compiles, caches and runs scripts in a sandboxed Lua 5.1.
//!
//! Owns the VM, what scripts may see of it, and how values pass between Lua and RESP. Knows nothing
//! of the server: a running script reaches it through [`Host`] only, and time, BUSY and SCRIPT
//! KILL are the host's decisions.
//!
//! - [`vm`]: the VM, and one run in it.
//! - [`engine`]: the cache of scripts.
//! - [`functions`]: libraries of functions.
//! - [`register`]: what a library's code does while it is loaded.
//! - [`host`]: what a server offers to scripts.
//! - [`sandbox`]: globals, read-only libraries, the holes of stock Lua.
//! - [`shebang`]: the `#!lua flags=...` line.
//! - [`convert`]: RESP to Lua and back.
//! - [`stack`]: native functions that work on Lua's own stack.
//! - [`redis_api`]: the `redis` table.
//! - [`raise`]: errors raised by native functions.
//! - [`libs`]: `cjson`, `cmsgpack`, `struct` and `bit`.

pub mod convert;
pub mod engine;
pub mod functions;
pub mod host;
pub mod libs;
pub mod raise;
pub mod redis_api;
mod register;
pub mod sandbox;
pub mod shebang;
mod stack;
mod vm;

pub use engine::{CompileError, Engine, Script, ScriptId, Sha, sha1_hex};
pub use functions::{Function, Functions, RestorePolicy};
pub use host::{AclVerdict, Host, LogLevel, Tick};
pub use shebang::Flags;
pub use vm::Outcome;

#[cfg(test)]
mod tests;
