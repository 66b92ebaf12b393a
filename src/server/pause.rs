//! CLIENT PAUSE: commands are held back for a time, and go on afterwards in order.
//!
//! The data stand still meanwhile: nothing expires, though what is due is hidden from who reads.

use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};
use crate::spec::Flags;

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Its end, in Unix milliseconds.
    pub until_ms: i64,
    /// Whether only commands that may write are held back.
    pub writes_only: bool,
}

impl Server {
    /// Holds commands back; a pause that is under way is made longer and stricter, never less so.
    pub fn pause_clients(&mut self, pause: Pause) {
        let until_ms = self.pause.map_or(0, |old| old.until_ms).max(pause.until_ms);
        let writes_only = pause.writes_only && self.pause.is_none_or(|old| old.writes_only);
        self.pause = Some(Pause { until_ms, writes_only });
    }

    /// Ends a pause; those who were held back go on.
    pub fn unpause_clients(&mut self) {
        self.pause = None;
        self.shadow = None;
        for id in std::mem::take(&mut self.paused) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            client.flags.remove(ClientFlags::PAUSED);
            client.flags.insert(ClientFlags::UNBLOCKED);
            self.wake(id);
        }
    }

    /// Whether clients are paused, all or those who write.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.pause.is_some_and(|pause| pause.until_ms > self.now_ms)
    }

    /// Number of clients that are held back.
    pub fn paused_clients(&self) -> usize {
        self.paused.len()
    }

    /// Whether a command of these flags is held back now, and its client with it.
    #[inline]
    pub(in crate::server) fn holds_back(&mut self, id: ClientRef, flags: Flags) -> bool {
        let Some(pause) = self.pause else { return false };
        let may_write = flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
        let holds = pause.until_ms > self.now_ms && (!pause.writes_only || may_write);
        if holds && let Some(client) = self.clients.get_mut(id) {
            client.flags.insert(ClientFlags::PAUSED);
            self.paused.push(id);
        }
        holds
    }

    /// Ends the pause when its time is over.
    pub(in crate::server) fn end_pause_if_over(&mut self) {
        if self.pause.is_some_and(|pause| pause.until_ms <= self.now_ms) {
            self.unpause_clients();
        }
    }
}
