//! Ending the server: what must be done before, and what keeps it from ending.
//!
//! Owns the order: no save in the background any more, the last snapshot. What is still to be
//! written to the append only file is so when the last replies are sent.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::ShutdownFlags;
use crate::server::Server;

/// The file that a last save is writing, for who ends the process without waiting for it.
pub type FinalTemp = Arc<Mutex<Option<PathBuf>>>;

/// The server can't end; the reason has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CantEnd;

/// A signal that asks the server to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGINT`
    Int,
    /// `SIGTERM`
    Term,
}

impl Server {
    /// Prepares the end, and has the network layer end the server.
    ///
    /// # Errors
    /// If the data can't be saved though they should be; the server goes on then.
    pub fn shut_down(&mut self, flags: ShutdownFlags) -> Result<(), CantEnd> {
        self.log.notice("User requested shutdown...");
        if self.keep_data(flags).is_err() {
            self.log.warning(
                "Errors trying to shut down the server. Check the logs for more information.",
            );
            return Err(CantEnd);
        }
        self.shutdown = Some(0);
        Ok(())
    }

    /// Has all data where they are to be when the server has ended.
    fn keep_data(&mut self, mut flags: ShutdownFlags) -> Result<(), CantEnd> {
        if self.is_loading() {
            // What is there is not all: the file that is being loaded must stay.
            flags.save = false;
            flags.nosave = true;
        }
        if self.rdb.is_saving() {
            self.log.warning("There is a child saving an .rdb. Killing it!");
            self.stop_save(true);
        }
        self.settle_aof(flags.force)?;
        let saves = flags.save || !self.config.save.is_empty() && !flags.nosave;
        if saves {
            self.log.notice("Saving the final RDB snapshot before exiting.");
            match (self.save_now(), flags.force) {
                (Ok(()), _) => {}
                (Err(_), true) => {
                    self.log.warning("Error trying to save the DB. Exit anyway.");
                }
                (Err(_), false) => {
                    self.log.warning("Error trying to save the DB, can't exit.");
                    return Err(CantEnd);
                }
            }
        }
        Ok(())
    }

    /// Ends the server as a signal asks for, if it can.
    pub fn take_signal(&mut self, signal: Signal) {
        let (name, flags) = match signal {
            Signal::Int => ("SIGINT", self.config.shutdown_on_sigint),
            Signal::Term => ("SIGTERM", self.config.shutdown_on_sigterm),
        };
        self.log.warning(format_args!("Received {name} scheduling shutdown..."));
        if self.shut_down(flags).is_err() {
            self.log.warning(format_args!(
                "{name} received but errors trying to shut down the server, check the logs for more \
                 information"
            ));
        }
    }
}
