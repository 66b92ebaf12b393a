//! Lua scripting: compiles, caches and runs scripts in a sandboxed Lua 5.1.
//!
//! Owns the VM, what scripts may see of it, and how values pass between Lua and RESP. Knows nothing
//! of the server: a running script reaches it through [`Host`] only, and time, BUSY and SCRIPT
//! KILL are the host's decisions.
//!
//! - [`engine`]: the VM, the script cache, one run.
//! - [`host`]: what a server offers to scripts.
//! - [`sandbox`]: globals, read-only libraries, the holes of stock Lua.
//! - [`shebang`]: the `#!lua flags=...` line.
//! - [`convert`]: RESP to Lua and back.
//! - [`redis_api`]: the `redis` table.
//! - [`raise`]: errors raised by native functions.
//! - [`libs`]: `cjson`, `cmsgpack`, `struct` and `bit`.

pub mod convert;
pub mod engine;
pub mod host;
pub mod libs;
pub mod raise;
pub mod redis_api;
pub mod sandbox;
pub mod shebang;

pub use engine::{CompileError, Engine, Outcome, Script, ScriptId, Sha, sha1_hex};
pub use host::{AclVerdict, Host, LogLevel, Tick};
pub use shebang::Flags;

#[cfg(test)]
mod tests;
