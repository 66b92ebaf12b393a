//! Small tools that every layer may use, and that use nothing of the crate.

pub mod clock;
pub mod file;
pub mod glob;
pub mod log;
pub mod long_double;
pub mod num;
pub mod prefetch;
pub mod process;
pub mod seed;
pub mod split;
pub mod syslog;
pub mod worker;
