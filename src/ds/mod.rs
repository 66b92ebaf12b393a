//! Data structures whose clone is a snapshot. They know no commands, no clients and no time.

pub mod dict;
pub mod intset;
pub mod listpack;
pub mod tree;
