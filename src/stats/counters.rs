//! Plain counters, and the sampled rates that INFO derives from them.

use std::collections::BTreeMap;

use super::histogram::Histogram;

/// What one command did.
#[derive(Debug, Clone, Default)]
pub struct CommandStats {
    /// Completed calls.
    pub calls: u64,
    /// Time in the handler, in nanoseconds.
    pub ns: u64,
    /// Calls refused before the handler.
    pub rejected: u64,
    /// Calls that ended in an error.
    pub failed: u64,
    /// Durations of the calls.
    pub latency: Histogram,
}

/// The most error codes that INFO errorstats tells apart; more come from misuse of scripts.
const ERROR_CODES_MAX: usize = 128;

/// Everything that CONFIG RESETSTAT sets to zero.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused for `maxclients`.
    pub rejected_connections: u64,
    /// Commands executed.
    pub commands: u64,
    /// Bytes read from clients.
    pub net_in: u64,
    /// Bytes written to clients.
    pub net_out: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Lookups for reading that found the key.
    pub hits: u64,
    /// Lookups for reading that found none.
    pub misses: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Fields of hashes that expired.
    pub expired_fields: u64,
    /// Times that the active expiry used up its time.
    pub expired_time_cap: u64,
    /// Time spent in active expiry, in nanoseconds.
    pub expire_ns: u64,
    /// Error replies.
    pub errors: u64,
    /// Errors of commands that must not fail: those of the append only file.
    pub unexpected_errors: u64,
    /// Error replies by code.
    pub error_codes: BTreeMap<Box<str>, u64>,
    /// Clients closed for a query buffer over the limit.
    pub query_buffer_closes: u64,
    /// Clients closed for an output buffer over the limit.
    pub output_buffer_closes: u64,
    /// Clients closed for `maxmemory-clients`.
    pub evicted_clients: u64,
    /// Logins refused.
    pub access_denied_auth: u64,
    /// Calls refused for the command.
    pub access_denied_command: u64,
    /// Calls refused for a key.
    pub access_denied_key: u64,
    /// Calls refused for a channel.
    pub access_denied_channel: u64,
    /// The highest memory use seen, in bytes.
    pub peak_memory: u64,
    /// Payloads and stored values checked in full.
    pub sanitizations: u64,
    /// Values freed on the background thread.
    pub lazyfreed: u64,
    /// Statistics of each row of the command table.
    pub per_command: Vec<CommandStats>,
}

impl Counters {
    /// Zeroes for a table of `rows` commands.
    pub fn new(rows: usize) -> Self {
        Self { per_command: vec![CommandStats::default(); rows], ..Self::default() }
    }

    /// Counts an error reply of this code.
    pub fn error(&mut self, code: &str) {
        self.errors += 1;
        if let Some(count) = self.error_codes.get_mut(code) {
            *count += 1;
        } else if self.error_codes.len() < ERROR_CODES_MAX {
            self.error_codes.insert(code.into(), 1);
        }
    }
}

const SAMPLES: usize = 16;

/// The rate of a growing counter over the last samples (`instantaneous_ops_per_sec` and its kin).
#[derive(Debug, Clone, Default)]
pub struct RateSampler {
    last: Option<(i64, u64)>,
    rates: [u64; SAMPLES],
    next: usize,
}

impl RateSampler {
    /// Takes a sample of the counter at a time in milliseconds.
    pub fn sample(&mut self, now_ms: i64, value: u64) {
        if let Some((then, before)) = self.last {
            let elapsed = u64::try_from(now_ms - then).unwrap_or(0).max(1);
            self.rates[self.next] = value.saturating_sub(before).saturating_mul(1000) / elapsed;
            self.next = (self.next + 1) % SAMPLES;
        }
        self.last = Some((now_ms, value));
    }

    /// The mean rate per second.
    pub fn per_second(&self) -> u64 {
        self.rates.iter().sum::<u64>() / SAMPLES as u64
    }
}
