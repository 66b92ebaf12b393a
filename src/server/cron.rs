//! Work by the clock: active expiry, timeouts, samples.
//!
//! Owns when each is due and how long it may take. The network layer calls [`Server::tick`] when
//! the time it was told has come.

use crate::keyspace::Db;
use crate::server::Server;
use crate::server::client::ClientRef;

/// The longest that active expiry runs at a time, in nanoseconds, for effort 1.
const EXPIRE_BUDGET_NS: u64 = 1_000_000;
/// Active expiry looks at the clock after so many keys.
const EXPIRE_BATCH: usize = 32;
/// Fields of one hash that are removed at a time.
const EXPIRE_FIELDS: usize = 32;
/// Due keys are deleted together at this distance, in milliseconds.
const EXPIRE_GRAIN_MS: i64 = 5;

/// What the cron remembers.
#[derive(Debug, Default)]
pub struct CronState {
    next_ms: i64,
    sampled_ms: i64,
    next_expire_ms: i64,
}

impl Server {
    /// Does what is due; returns when to call again, in Unix milliseconds.
    pub fn tick(&mut self) -> i64 {
        self.refresh_clock();
        self.time_out_blocked();
        self.end_pause_if_over();
        self.follow_save();
        self.expire_due_keys();
        if self.depth == 0 {
            self.serve_ready_keys();
        }
        if self.cron_paused {
            self.cron.next_ms = self.now_ms + 100;
        } else if self.now_ms >= self.cron.next_ms || self.cron.next_ms > self.now_ms + 10_000 {
            self.cron.next_ms = self.now_ms + i64::from(1000 / self.config.hz.clamp(1, 500));
            self.housekeeping();
        }
        self.next_tick_ms()
    }

    /// When [`tick`](Self::tick) should be called next, in Unix milliseconds.
    pub fn next_tick_ms(&self) -> i64 {
        let blocked = self.blocked.next_deadline().unwrap_or(i64::MAX);
        let due = match self.active_expire && !self.is_loading() && !self.is_paused() {
            true => {
                let next = |db: &Db| db.next_deadline().into_iter().chain(db.next_field_deadline());
                self.dbs.iter().flat_map(next).min()
            }
            false => None,
        };
        let due = due.map_or(i64::MAX, |due| due.saturating_add(1).max(self.cron.next_expire_ms));
        let pause = self.pause.map_or(i64::MAX, |pause| pause.until_ms);
        self.cron.next_ms.min(blocked).min(due).min(pause)
    }

    fn housekeeping(&mut self) {
        self.tick_rdb();
        self.limit_tracked_keys();
        self.tick_aof();
        if self.now_ms - self.cron.sampled_ms >= 100 {
            self.cron.sampled_ms = self.now_ms;
            self.used_memory();
            let values = [self.counters.commands, self.counters.net_in, self.counters.net_out];
            for (rate, value) in self.rates.iter_mut().zip(values) {
                rate.sample(self.now_ms, value);
            }
        }
        let clients: Vec<ClientRef> = self.clients.iter().map(|client| client.id).collect();
        for id in clients {
            self.check_output_limit(id);
            self.close_if_idle(id);
        }
    }

    fn close_if_idle(&mut self, id: ClientRef) {
        if self.config.timeout == 0 {
            return;
        }
        let Some(client) = self.clients.get(id) else { return };
        let idle_ms = self.now_ms - client.active_ms;
        let exempt = client.is_blocked() || !client.subs.is_empty();
        if !exempt && idle_ms > i64::from(self.config.timeout) * 1000 {
            self.log.verbose("Closing idle client");
            self.close_client(id);
        }
    }

    /// Deletes the keys that are due, the earliest first, and then fields of hashes, within the time
    /// budget.
    fn expire_due_keys(&mut self) {
        let rests = !self.active_expire || self.is_loading() || self.is_paused();
        if rests || self.now_ms < self.cron.next_expire_ms {
            return;
        }
        let start_ns = self.clock.mono_ns();
        let budget_ns = EXPIRE_BUDGET_NS * u64::from(self.config.active_expire_effort.max(1));
        let mut complete = true;
        'dbs: for db in 0..self.dbs.len() {
            let mut count = 0;
            loop {
                if let Some(key) = self.dbs[db].next_due(self.now_ms) {
                    self.expire(db, &key);
                } else if let Some(key) = self.dbs[db].next_due_field(self.now_ms) {
                    self.expire_fields(db, &key, EXPIRE_FIELDS);
                } else {
                    break;
                }
                count += 1;
                let looks = count % EXPIRE_BATCH == 0;
                if looks && self.clock.mono_ns().saturating_sub(start_ns) > budget_ns {
                    self.counters.expired_time_cap += 1;
                    complete = false;
                    break 'dbs;
                }
            }
        }
        let elapsed_ns = self.clock.mono_ns().saturating_sub(start_ns);
        self.counters.expire_ns += elapsed_ns;
        self.sample_latency("expire-cycle", elapsed_ns);
        // What is left over goes on after other work has had its turn.
        self.cron.next_expire_ms = self.now_ms + if complete { EXPIRE_GRAIN_MS } else { 1 };
    }
}
