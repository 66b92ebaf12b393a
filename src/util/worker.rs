//! A thread that does one thing after the other, for what the executor must not wait for.
//!
//! Owns the queue to it, and what becomes of a job that panics: the thread goes on, and with
//! [`caught`] the job has failed. What is done and how the outcome comes back is the caller's.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::{fmt, io, thread};

use crate::util::process;

/// Something to do.
type Job = Box<dyn FnOnce() + Send>;

/// A thread that starts when there is something to do; or none, and the caller does everything
/// itself, at once (in tests).
pub struct Worker {
    name: &'static str,
    has_thread: bool,
    gives_way: bool,
    queue: OnceLock<Sender<Job>>,
}

impl Worker {
    /// A thread of that name; it ends when this is dropped and all is done.
    pub fn new(name: &'static str) -> Self {
        Self { name, has_thread: true, gives_way: false, queue: OnceLock::new() }
    }

    /// No thread.
    pub fn inline() -> Self {
        Self { name: "", has_thread: false, gives_way: false, queue: OnceLock::new() }
    }

    /// The same, whose thread gives way to the others; see [`process::give_way`].
    pub fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// Has something done. Should it panic, nobody hears of it but the panic hook: a job whose
    /// outcome is waited for does its work within [`caught`].
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        if !self.has_thread {
            return job();
        }
        let queue = self.queue.get_or_init(|| {
            let (queue, jobs) = channel::<Job>();
            let thread = thread::Builder::new().name(self.name.into());
            let gives_way = self.gives_way;
            // Without the thread, the queue is closed and jobs are done by the caller.
            let _ = thread.spawn(move || {
                if gives_way {
                    process::give_way();
                }
                for job in jobs {
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            });
            queue
        });
        if let Err(unsent) = queue.send(Box::new(job)) {
            (unsent.0)();
        }
    }
}

/// Something panicked, which is a fault of this program. The panic hook has told where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    cause: String,
}

impl Panicked {
    /// What a thread or [`catch_unwind`] tells of a panic.
    pub fn of(cause: &(dyn Any + Send)) -> Self {
        let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
        Self { cause: text.unwrap_or_else(|| "unknown cause".into()) }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panic: {}", self.cause)
    }
}

impl std::error::Error for Panicked {}

impl From<Panicked> for io::Error {
    fn from(panicked: Panicked) -> Self {
        Self::other(panicked)
    }
}

/// Does a job; a panic counts as its failure. What the job shares with others must bear a panic.
///
/// # Errors
/// Those of the job.
pub fn caught<T, E: From<Panicked>>(job: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|cause| Err(Panicked::of(&*cause).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_has_failed_and_the_next_is_done() {
        let worker = Worker::new("test");
        let (report, outcome) = channel::<io::Result<u32>>();
        worker.run(|| panic!("outside"));
        for job in [|| panic!("inside {}", 1), || Ok(2)] {
            let report = report.clone();
            worker.run(move || report.send(caught(job)).expect("a listener"));
        }
        drop(report);
        let texts: Vec<String> = outcome
            .iter()
            .map(|result| result.map_or_else(|e| e.to_string(), |n| n.to_string()))
            .collect();
        assert_eq!(texts, ["panic: inside 1", "2"]);
    }
}
