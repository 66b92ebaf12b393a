//! Persistence: the data in files, and back.
//!
//! Owns the formats and the order of writes, syncs and renames that lets a crash at any moment
//! leave the old file or the new one, whole. Works on snapshots ([`crate::keyspace::Snapshot`]) and
//! builds [`crate::keyspace::Db`]s, on any thread; files are reached through
//! [`crate::util::file::Disk`] alone. Never decides when to save, knows no client, reads no clock.
//!
//! How a snapshot is written: one thread walks the snapshots and encodes keys into chunks of a
//! quarter of a mebibyte; a second one sums up and writes the chunks. So encoding never waits for
//! the disk, and the checksum costs the encoder nothing. An encoder's buffer takes whatever comes
//! (no allocation for a key); a value larger than a chunk goes out in pieces.
//!
//! How a file is read: one thread reads and sums up chunks, a second one decodes them into entries
//! (from the chunk itself, without copies between), a third one hashes the entries, in batches so
//! that cache misses overlap, and puts them into the tables. What a corrupt file claims is never
//! believed before its bytes are there: nothing is allocated by a length alone.

pub mod aof;
pub mod rdb;
