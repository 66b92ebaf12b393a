//! Databases: keys, values, deadlines. A database is a value: its clone is a snapshot.
//!
//! Owns what stands where and when it is due. Never decides to expire, notifies nobody, counts no
//! statistics: the server does.

pub mod db;
pub mod digest;
pub mod entry;
pub mod expiry;

pub use db::{Db, KnownHash, Snapshot};
pub use digest::Digest;
pub use entry::{Entry, StrView};
