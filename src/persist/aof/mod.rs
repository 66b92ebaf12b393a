//! The append only file: the files of Redis 7, and how effects get into them and back.
//!
//! # Who owns the bytes, and which way they flow
//!
//! ```text
//! commands -> server::propagate::Feed -> Log (steps in order) -> file of the last increment
//!                                         |  written / synced / acked: positions in the feed
//! replies  <------------- held back until their position is acked (net) <-
//! ```
//!
//! - The executor alone takes bytes from the feed and gives them to the [`Log`]. A position counts
//!   the bytes of the feed since the start; a client whose command was told remembers the position
//!   behind it, and its replies go out when that is *acked*: written, and with `always` synced.
//! - What a tick executed is one step: one write, and with `always` one sync. While a step is with a
//!   worker the next one gathers: that is group commit. With `everysec` and `no` a step is written
//!   by the executor itself, which takes microseconds, unless a sync runs, behind which a write may
//!   wait: then by a worker. Syncs, renames and manifests are always done by workers.
//! - A failed write is cut back to the last whole step and kept, and is tried again each second;
//!   replies of what isn't in the file stay held, and the server refuses further writes.
//! - A rewrite needs no fork: [`Log::rotate`] puts a border into the stream of steps (what follows
//!   goes to a new increment), the caller takes a snapshot at that very moment and has a thread
//!   write it ([`dump`], or as an RDB file), and [`Log::install`] makes it the base: the manifest is
//!   replaced whole, so that at any moment it names files that together hold all that was acked.
//!
//! Nothing here knows the server: what happened comes back as [`Event`]s.

pub mod dump;
mod files;
pub mod log;
pub mod manifest;
pub mod read;
pub mod rewrite;
mod stream;

pub use log::{Event, Fsync, Log, Origin, Place, Timed};
pub use manifest::{FileKind, Manifest, Names};
