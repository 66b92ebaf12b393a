//! A thread that frees what would take long to free.
//!
//! Owns the queue to it. Values are handed over whole; the executor never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::keyspace::{Db, Entry};

/// Collections of more elements than this are freed by the thread.
const ELEMENTS_MAX: usize = 64;

enum Garbage {
    Entry(Entry),
    Dbs(Vec<Db>, u64),
}

/// The queue to the freeing thread.
#[derive(Debug)]
pub struct LazyFree {
    queue: Sender<Garbage>,
    pending: Arc<AtomicU64>,
    freed: Arc<AtomicU64>,
}

impl std::fmt::Debug for Garbage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Garbage")
    }
}

impl LazyFree {
    /// Starts the thread; it ends when this is dropped.
    pub fn start() -> Self {
        let (queue, garbage) = channel::<Garbage>();
        let (pending, freed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counters = (Arc::clone(&pending), Arc::clone(&freed));
        // Without the thread, the queue is closed and values are freed where they are dropped.
        let _ = thread::Builder::new().name("lazyfree".into()).spawn(move || {
            for item in garbage {
                let count = match item {
                    Garbage::Entry(entry) => {
                        drop(entry);
                        1
                    }
                    Garbage::Dbs(dbs, count) => {
                        drop(dbs);
                        count
                    }
                };
                counters.0.fetch_sub(count, Ordering::Relaxed);
                counters.1.fetch_add(count, Ordering::Relaxed);
            }
        });
        Self { queue, pending, freed }
    }

    /// Frees an entry: here if that is quick, else on the thread.
    #[inline]
    pub fn entry(&self, entry: Entry) {
        if entry.value().is_none_or(|value| value.effort() <= ELEMENTS_MAX) {
            drop(entry);
            return;
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        // A send fails only without the thread; the value is freed here then.
        if self.queue.send(Garbage::Entry(entry)).is_err() {
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Frees whole databases on the thread.
    pub fn dbs(&self, dbs: Vec<Db>) {
        let count = dbs.iter().map(|db| db.len() as u64).sum();
        self.pending.fetch_add(count, Ordering::Relaxed);
        if self.queue.send(Garbage::Dbs(dbs, count)).is_err() {
            self.pending.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Keys that wait to be freed.
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Keys freed by the thread.
    pub fn freed(&self) -> u64 {
        self.freed.load(Ordering::Relaxed)
    }

    /// Starts the count of freed keys anew.
    pub fn reset_freed(&self) {
        self.freed.store(0, Ordering::Relaxed);
    }
}
