//! Time, read in one place.
//!
//! Owns the only calls to the operating system's clocks. Everything above takes time from a
//! [`Clock`], so that tests can turn it. Never sleeps and never schedules.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A source of wall-clock and monotonic time.
pub trait Clock: Send + Sync {
    /// Wall-clock time in microseconds since the Unix epoch. It may jump.
    fn unix_us(&self) -> i64;
    /// Monotonic time in nanoseconds since an arbitrary start. It never goes back.
    fn mono_ns(&self) -> u64;
}

/// The clocks of the operating system, read without the standard library's arithmetic of durations:
/// every command ends with a look at the clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_us(&self) -> i64 {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
        tv_sec.saturating_mul(1_000_000).saturating_add(tv_nsec / 1000)
    }

    fn mono_ns(&self) -> u64 {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        (tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(tv_nsec as u64)
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
