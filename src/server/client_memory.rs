//! `maxmemory-clients`: what all clients take together, and closing the largest when it is too much.
//!
//! Owns the sum and the choice. Costs one branch for each command while there is no limit. The sum
//! is kept by what clients took when they were looked at last, so it may be too high, since output
//! that has been sent isn't subtracted at once: it is counted afresh before anybody is closed.

use crate::config::Config;
use crate::server::Server;
use crate::server::client::{Client, ClientFlags, ClientRef};

/// What all clients take together.
#[derive(Debug, Default)]
pub struct ClientMemory {
    /// The most that they may take, in bytes, if there is a limit.
    limit: Option<usize>,
    /// What they took when last looked at, in bytes.
    sum: usize,
}

impl ClientMemory {
    /// No clients, and the limit of the configuration.
    pub fn new(config: &Config) -> Self {
        let limit = config.maxmemory_clients.bytes(config.maxmemory);
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { limit, sum: 0 }
    }
}

impl Server {
    /// Takes over the limit from the configuration; it is held when the command is over.
    pub(in crate::server) fn limit_client_memory(&mut self) {
        self.client_memory = ClientMemory::new(&self.config);
        if self.client_memory.limit.is_some() {
            self.client_memory.sum = usize::MAX;
        }
    }

    /// Whether what clients take is limited.
    #[inline]
    pub(in crate::server) fn limits_client_memory(&self) -> bool {
        self.client_memory.limit.is_some()
    }

    /// Looks at what a client takes now.
    #[inline]
    pub fn account_client(&mut self, id: ClientRef) {
        if self.limits_client_memory() {
            self.account(id);
        }
    }

    fn account(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let now = counted(client);
        let before = std::mem::replace(&mut client.accounted, now);
        self.client_memory.sum = self.client_memory.sum.saturating_sub(before).saturating_add(now);
    }

    /// Closes the largest clients while all take more than they may.
    #[inline]
    pub fn evict_clients(&mut self) {
        if self.client_memory.limit.is_some_and(|limit| self.client_memory.sum > limit) {
            self.evict_largest();
        }
    }

    fn evict_largest(&mut self) {
        let Some(limit) = self.client_memory.limit else { return };
        self.client_memory.sum = 0;
        let mut by_size: Vec<(usize, ClientRef)> = Vec::new();
        for client in self.clients.iter_mut() {
            client.accounted = counted(client);
            self.client_memory.sum += client.accounted;
            let spared = ClientFlags::NO_EVICT | ClientFlags::CLOSE_ASAP;
            if !client.flags.intersects(spared) {
                by_size.push((client.accounted, client.id));
            }
        }
        if self.client_memory.sum <= limit {
            return;
        }
        by_size.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, id) in by_size {
            if self.client_memory.sum <= limit {
                break;
            }
            self.log_eviction(id, bytes);
            self.counters.evicted_clients += 1;
            self.close_client(id);
        }
    }

    fn log_eviction(&self, id: ClientRef, bytes: usize) {
        let Some(client) = self.clients.get(id) else { return };
        self.log.notice(format_args!(
            "Evicting client: id={} addr={} name={} tot-mem={bytes}",
            id.id,
            client.addr,
            String::from_utf8_lossy(&client.name)
        ));
    }

    /// Stops counting a client that is being closed, or is gone.
    pub(in crate::server) fn discount_client(&mut self, bytes: usize) {
        self.client_memory.sum = self.client_memory.sum.saturating_sub(bytes);
    }
}

/// What counts of a client: nothing, once it is on its way out.
fn counted(client: &Client) -> usize {
    match client.flags.contains(ClientFlags::CLOSE_ASAP) {
        true => 0,
        false => client.memory(),
    }
}
