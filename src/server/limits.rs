//! Output buffer limits, by the class of a client.

use crate::config::{ClientClass, OutputLimit};
use crate::server::Server;
use crate::server::client::{Client, ClientFlags, ClientRef};

/// Output that no limit applies to, in bytes: Redis doesn't count a client's first buffer either.
const ALWAYS_FREE: u64 = 16 * 1024;
/// The most output that may wait for a client that hasn't authenticated, in bytes.
const UNAUTHENTICATED_MAX: u64 = 64 * 1024;

impl Client {
    /// The class whose output limits apply.
    pub fn class(&self) -> ClientClass {
        match self.subs.is_empty() {
            true => ClientClass::Normal,
            false => ClientClass::PubSub,
        }
    }
}

impl Server {
    /// Closes a client whose pending output is over its hard limit, or has been over the soft one
    /// for too long.
    #[inline]
    pub fn check_output_limit(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let pending = client.pending_out() as u64;
        if pending <= ALWAYS_FREE && client.soft_limit_since_ms.is_none() {
            return;
        }
        let mut limit = self.config.output_limit(client.class());
        if !client.authenticated && !self.users.admit_anybody() {
            // Who hasn't authenticated gets short errors only, and can't have them pile up.
            limit.hard_bytes = UNAUTHENTICATED_MAX;
        }
        if !is_over(client, pending, limit, self.now_ms) {
            return;
        }
        if client.flags.contains(ClientFlags::CLOSE_ASAP) {
            return;
        }
        let text = format!(
            "Client id={} addr={} name={} scheduled to be closed ASAP for overcoming of output \
             buffer limits.",
            client.id.id,
            client.addr,
            String::from_utf8_lossy(&client.name)
        );
        self.log.warning(text);
        self.counters.output_buffer_closes += 1;
        self.close_client(id);
    }
}

fn is_over(client: &mut Client, pending: u64, limit: OutputLimit, now_ms: i64) -> bool {
    if limit.hard_bytes > 0 && pending > limit.hard_bytes {
        return true;
    }
    if limit.soft_bytes == 0 || pending <= limit.soft_bytes {
        client.soft_limit_since_ms = None;
        return false;
    }
    let since = *client.soft_limit_since_ms.get_or_insert(now_ms);
    u64::try_from(now_ms - since).unwrap_or(0) > limit.soft_seconds.saturating_mul(1000)
}
