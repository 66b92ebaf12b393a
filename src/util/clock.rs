//! Time, read in one place.
//!
//! Owns the only calls to the operating system's clocks. Everything above takes time from a
//! [`Clock`], so that tests can turn it. Never sleeps and never schedules.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of wall-clock and monotonic time.
pub trait Clock: Send + Sync {
    /// Wall-clock time in microseconds since the Unix epoch. It may jump.
    fn unix_us(&self) -> i64;
    /// Monotonic time in nanoseconds since an arbitrary start. It never goes back.
    fn mono_ns(&self) -> u64;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    fn unix_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    fn mono_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told to: for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    us: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `unix_ms` milliseconds since the Unix epoch.
    pub fn at(unix_ms: i64) -> Self {
        Self { us: AtomicI64::new(unix_ms * 1000) }
    }

    /// Moves the clock forward by `ms` milliseconds.
    pub fn advance(&self, ms: i64) {
        self.us.fetch_add(ms * 1000, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn unix_us(&self) -> i64 {
        self.us.load(Ordering::Relaxed)
    }

    fn mono_ns(&self) -> u64 {
        u64::try_from(self.us.load(Ordering::Relaxed)).unwrap_or(0).saturating_mul(1000)
    }
}
