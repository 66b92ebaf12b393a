//! Loading data while clients are answered: what is known of it, and what must not happen meanwhile.
//!
//! Owns the state that INFO shows and that keeps keys from expiring and commands from running.

use crate::server::Server;

/// A load that is under way.
#[derive(Debug, Clone)]
pub struct Loading {
    /// When it began, in Unix milliseconds.
    pub started_ms: i64,
    /// Bytes of all files.
    pub total: u64,
    /// Bytes read so far.
    pub loaded: u64,
    /// Bytes of memory that the data took when they were saved, if the file says so.
    pub used_mem: i64,
}

impl Loading {
    /// How much is loaded, in percent.
    pub fn percent(&self) -> f64 {
        self.loaded as f64 * 100.0 / self.total.max(1) as f64
    }

    /// Seconds that the rest will take; none as long as nothing is known.
    pub fn eta_s(&self, now_ms: i64) -> Option<i64> {
        let elapsed_s = (now_ms - self.started_ms) / 1000;
        let loaded =
            i64::try_from(self.loaded).ok().filter(|&loaded| elapsed_s > 0 && loaded > 0)?;
        let left = i64::try_from(self.total.saturating_sub(self.loaded)).ok()?;
        Some(
            i64::try_from(i128::from(elapsed_s) * i128::from(left) / i128::from(loaded))
                .unwrap_or(1),
        )
    }
}

impl Server {
    /// Whether data are being loaded: nothing expires then, and few commands run.
    #[inline]
    pub fn is_loading(&self) -> bool {
        self.loading.is_some()
    }
}
