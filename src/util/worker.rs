//! A thread that does one thing after the other, for what the executor must not wait for.
//!
//! Owns the queue to it. What is done and how the outcome comes back is the caller's.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// Something to do.
type Job = Box<dyn FnOnce() + Send>;

/// A thread that starts when there is something to do; or none, and the caller does everything
/// itself, at once (in tests).
pub struct Worker {
    name: &'static str,
    has_thread: bool,
    queue: OnceLock<Sender<Job>>,
}

impl Worker {
    /// A thread of that name; it ends when this is dropped and all is done.
    pub fn new(name: &'static str) -> Self {
        Self { name, has_thread: true, queue: OnceLock::new() }
    }

    /// No thread.
    pub fn inline() -> Self {
        Self { name: "", has_thread: false, queue: OnceLock::new() }
    }

    /// Has something done.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        if !self.has_thread {
            return job();
        }
        let queue = self.queue.get_or_init(|| {
            let (queue, jobs) = channel::<Job>();
            let thread = thread::Builder::new().name(self.name.into());
            // Without the thread, the queue is closed and jobs are done by the caller.
            let _ = thread.spawn(move || jobs.into_iter().for_each(|job| job()));
            queue
        });
        if let Err(unsent) = queue.send(Box::new(job)) {
            (unsent.0)();
        }
    }
}
