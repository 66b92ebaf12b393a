//! Counters of what the server did: INFO's numbers, per-command statistics, slow log, latency.
//!
//! Owns the numbers. Never reads a clock: times are passed in.

pub mod counters;
pub mod histogram;
pub mod latency;
pub mod slowlog;

pub use counters::{CommandStats, Counters, RateSampler};
pub use histogram::Histogram;
pub use latency::Latency;
pub use slowlog::{SlowCommand, SlowLog};
