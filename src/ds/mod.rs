//! Data structures whose clone is a snapshot. They know no commands, no clients and no time.

pub mod bits;
pub mod dict;
pub mod geohash;
pub mod hyperloglog;
pub mod intset;
pub mod listpack;
mod size_class;
pub mod tree;
