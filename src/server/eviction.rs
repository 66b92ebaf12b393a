//! Access clocks: what the eviction policy remembers of each key's last accesses.
//!
//! Owns the meaning of an entry's 24 clock bits: seconds of the last access (LRU), or minutes of
//! the last decay and a logarithmic counter (LFU), as Redis has them.

use crate::config::{Config, MaxmemoryPolicy};
use crate::keyspace::Entry;
use crate::persist::rdb::Access;
use crate::server::client::{Client, ClientFlags, ClientRef, Clients};

const LRU_MASK: u32 = 0x00ff_ffff;
/// The counter that a new key starts with, so that it isn't evicted at once.
pub const LFU_INIT: u32 = 5;

/// The part of the configuration that access clocks depend on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Eviction {
    lfu: bool,
    log_factor: u32,
    decay_minutes: u32,
}

/// The time in the units of access clocks.
#[derive(Debug, Clone, Copy)]
pub struct AccessClock {
    now_s: u32,
    now_min: u32,
}

impl AccessClock {
    /// The clock's reading at a time in Unix milliseconds.
    #[inline]
    pub fn at(now_ms: i64) -> Self {
        let seconds = (now_ms / 1000).unsigned_abs();
        Self {
            now_s: (seconds & u64::from(LRU_MASK)) as u32,
            now_min: ((seconds / 60) & 0xffff) as u32,
        }
    }
}

impl Eviction {
    /// As the configuration says.
    pub fn new(config: &Config) -> Self {
        use MaxmemoryPolicy::{AllkeysLfu, VolatileLfu};
        Self {
            lfu: matches!(config.maxmemory_policy, AllkeysLfu | VolatileLfu),
            log_factor: config.lfu_log_factor,
            decay_minutes: config.lfu_decay_time,
        }
    }

    /// Whether frequencies are tracked instead of idle times.
    pub fn is_lfu(&self) -> bool {
        self.lfu
    }

    /// Notes an access.
    #[inline]
    pub fn touch(&self, entry: &Entry, clock: AccessClock) {
        if !self.lfu {
            if self.would_change(entry, clock) {
                entry.set_clock(clock.now_s);
            }
            return;
        }
        let counter = self.increment(self.frequency(entry, clock));
        entry.set_clock(clock.now_min << 8 | counter);
    }

    /// Whether an access would be noted: idle times change by the second, so that shared cache lines
    /// mostly stay clean.
    #[inline]
    fn would_change(&self, entry: &Entry, clock: AccessClock) -> bool {
        self.lfu || entry.clock() != clock.now_s
    }

    /// Notes an access by a client, unless it leaves access clocks alone (`CLIENT NO-TOUCH`).
    #[inline]
    pub fn touch_for(
        &self,
        clients: &Clients,
        client: ClientRef,
        entry: &Entry,
        clock: AccessClock,
    ) {
        let no_touch = |client: &Client| client.flags.contains(ClientFlags::NO_TOUCH);
        if self.would_change(entry, clock) && !clients.get(client).is_some_and(no_touch) {
            self.touch(entry, clock);
        }
    }

    /// Notes the creation of a key.
    #[inline]
    pub fn init(&self, entry: &Entry, clock: AccessClock) {
        entry.set_clock(if self.lfu { clock.now_min << 8 | LFU_INIT } else { clock.now_s });
    }

    /// Sets what a saved key was known for; `Unknown` is as if it was created now. What is of the
    /// other kind of policy doesn't count.
    pub fn set(&self, entry: &Entry, access: Access, clock: AccessClock) {
        match access {
            Access::Freq(counter) if self.lfu => {
                entry.set_clock(clock.now_min << 8 | u32::from(counter));
            }
            Access::Idle(seconds) if !self.lfu => {
                // The clock's 24 bits can't tell of more than half a year.
                let idle = u32::try_from(seconds).unwrap_or(LRU_MASK).min(LRU_MASK >> 1);
                entry.set_clock(clock.now_s.wrapping_sub(idle) & LRU_MASK);
            }
            _ => self.init(entry, clock),
        }
    }

    /// Seconds since the last access.
    pub fn idle_seconds(&self, entry: &Entry, clock: AccessClock) -> u32 {
        clock.now_s.wrapping_sub(entry.clock()) & LRU_MASK
    }

    /// The logarithmic access counter, decayed by the time since the last access.
    pub fn frequency(&self, entry: &Entry, clock: AccessClock) -> u32 {
        let (then, counter) = (entry.clock() >> 8, entry.clock() & 0xff);
        let elapsed = clock.now_min.wrapping_sub(then) & 0xffff;
        match self.decay_minutes {
            0 => counter,
            minutes => counter.saturating_sub(elapsed / minutes),
        }
    }

    /// Counts up with a probability that falls as the counter grows.
    fn increment(&self, counter: u32) -> u32 {
        if counter >= 255 {
            return 255;
        }
        let base = f64::from(counter.saturating_sub(LFU_INIT));
        let chance = 1.0 / (base * f64::from(self.log_factor) + 1.0);
        counter + u32::from(fastrand::f64() < chance)
    }
}
