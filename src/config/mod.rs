//! Configuration: typed settings, the table of directives, redis.conf and the command line, and
//! CONFIG GET, SET and REWRITE as pure functions.
//!
//! `Config` is a value: `load` makes one, `set` makes a changed copy. Nothing here applies a setting
//! (binds a port, changes directory, opens a log): whoever holds the `Config` does, and refuses by
//! `SetError::failed` what could not be applied. Files are read through the `Files` trait only.

mod directive;
mod disk;
mod load;
mod rewrite;
mod runtime;
mod special;
mod table;
#[cfg(test)]
mod tests;
mod values;
mod words;

pub use directive::{
    Directive, Kind, Line, Mutability, Origin, Reason, Section, SetWords, Support, Unit,
};
pub use disk::Disk;
pub use load::{CommandLine, Files, LoadError};
pub use rewrite::{Extent, example};
pub use runtime::{SetContext, SetError};
pub use table::{directives, lookup};
pub use values::*;
pub use words::*;
