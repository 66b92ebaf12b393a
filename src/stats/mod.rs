//! Counters of what the server did: INFO's numbers, per-command statistics, slow log, latency.
//!
//! Owns the numbers. Never reads a clock: times are passed in.

pub mod counters;
pub mod histogram;

pub use counters::{CommandStats, Counters, RateSampler};
pub use histogram::Histogram;
