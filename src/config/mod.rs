//! Configuration: typed values with Redis's defaults.

pub mod values;
pub mod words;

pub use values::*;
pub use words::*;
