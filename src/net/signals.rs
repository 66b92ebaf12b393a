//! Signals that ask the server to end.
//!
//! Owns the thread that receives them: the executor may be busy for long with a last save, and who
//! insists is heard all the same.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::server::shutdown::{FinalTemp, Signal};
use crate::util::log::Log;

/// Starts to receive signals; returns them, and a flag that is set by each until who takes it has
/// found that the server can't end.
pub(super) fn watch(
    saving_to: FinalTemp,
    log: Log,
) -> io::Result<(UnboundedReceiver<Signal>, Arc<AtomicBool>)> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (sender, receiver) = unbounded_channel();
    let ending = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&ending);
    thread::Builder::new().name("signals".into()).spawn(move || {
        for number in signals.forever() {
            let again = set.swap(true, Ordering::Relaxed);
            if again && number == SIGINT {
                insist(&saving_to, &log);
            }
            let signal = if number == SIGINT { Signal::Int } else { Signal::Term };
            if sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok((receiver, ending))
}

/// Ends the process without waiting for anything.
fn insist(saving_to: &FinalTemp, log: &Log) {
    log.warning("You insist... exiting now.");
    if let Some(temp) = &*saving_to.lock() {
        let _ = std::fs::remove_file(temp);
    }
    std::process::exit(1);
}
