//! What the server asks of the network layer.

use std::task::Waker;

use crate::config::Config;
use crate::resp::Error;
use crate::server::Server;
use crate::server::client::ClientRef;
use crate::server::migrate::{Outcome, Request};

/// The network layer, as the server sees it.
pub trait Network {
    /// Listens where the new configuration says instead of where the old one did.
    ///
    /// # Errors
    /// The reason, as CONFIG SET tells it; the old listeners then go on.
    fn relisten(&mut self, old: &Config, new: &Config) -> Result<(), String>;

    /// Serves clients while a script keeps the executor busy: reads what they sent, without
    /// waiting, and passes it to [`Server::process_while_busy`].
    fn poll_busy(&mut self, server: &mut Server);

    /// Sends keys to another server while the client waits; [`Server::end_migrate`] ends that.
    fn migrate(&mut self, client: ClientRef, request: Request);

    /// As [`migrate`](Self::migrate), but everybody waits.
    fn migrate_now(&mut self, request: Request) -> Outcome;

    /// Connections to other servers that are kept for keys to come.
    fn migrate_sockets(&self) -> usize {
        0
    }
}

/// Who does what takes long: saves, rewrites, writes that wait for the disk.
#[derive(Debug, Clone)]
pub enum Background {
    /// Threads.
    Threads(Wakers),
    /// Whoever asks for it, at once, while everything else waits: for tests, which see the same
    /// steps in the same order each time.
    Inline,
}

/// How threads tell the network layer, each from any thread.
#[derive(Debug, Clone)]
pub struct Wakers {
    /// Has it call [`Server::commit_aof`].
    pub flush: Waker,
    /// Has it call [`Server::tick`].
    pub tick: Waker,
}

impl Background {
    /// The wakers, if there are threads.
    pub fn wakers(self) -> Option<Wakers> {
        match self {
            Self::Threads(wakers) => Some(wakers),
            Self::Inline => None,
        }
    }
}

/// No network: for tests that run in process.
#[derive(Debug, Default)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn relisten(&mut self, _: &Config, _: &Config) -> Result<(), String> {
        Ok(())
    }

    fn poll_busy(&mut self, _: &mut Server) {}

    fn migrate(&mut self, _: ClientRef, _: Request) {}

    fn migrate_now(&mut self, request: Request) -> Outcome {
        Outcome { request, moved: Vec::new(), error: Some(Error::MigrateConnect) }
    }
}
