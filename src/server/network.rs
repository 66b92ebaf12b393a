//! What the server asks of the network layer.

use crate::config::Config;
use crate::server::Server;

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
}

/// No network: for tests that run in process.
#[derive(Debug, Default)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn relisten(&mut self, _: &Config, _: &Config) -> Result<(), String> {
        Ok(())
    }

    fn poll_busy(&mut self, _: &mut Server) {}
}
