//! Service managers: tells systemd how the server is doing, and upstart that it is ready.
//!
//! Owns systemd's notification protocol. What the manager is follows from `supervised` and the
//! environment.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::{Config, Supervised};
use crate::util::log::Log;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const UPSTART_JOB: &str = "UPSTART_JOB";

/// The service manager that started this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// It waits until the process stops itself.
    Upstart,
    /// It listens on a socket.
    Systemd,
}

impl Manager {
    /// The manager that the configuration names, if it is there.
    pub fn of(config: &Config) -> Option<Self> {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let upstart = || is_set(UPSTART_JOB).then_some(Self::Upstart);
        let systemd = || is_set(NOTIFY_SOCKET).then_some(Self::Systemd);
        match config.supervised {
            Supervised::No => None,
            Supervised::Upstart => upstart(),
            Supervised::Systemd => systemd(),
            Supervised::Auto => upstart().or_else(systemd),
        }
    }

    /// Tells a manager that listens.
    fn notify(self, state: &str, log: &Log) {
        let Some(address) = env::var_os(NOTIFY_SOCKET).filter(|_| self == Self::Systemd) else {
            return;
        };
        if let Err(error) = send(&address, state) {
            log.warning(format_args!("Can't notify systemd: {error}"));
        }
    }
}

/// Before the server starts: greets the manager, or says that the one asked for isn't there.
pub fn starting(config: &Config, log: &Log) {
    match (Manager::of(config), config.supervised) {
        (Some(manager @ Manager::Systemd), _) => {
            log.warning(
                "Supervised by systemd: the unit's TimeoutStartSec and TimeoutStopSec must leave \
                 time to load and to save the data.",
            );
            manager.notify("STATUS=Loading...\n", log);
        }
        (Some(Manager::Upstart), _) => {
            log.notice("Supervised by upstart, stopping until it goes on");
            // Upstart takes this as the sign that the service is up, and continues it.
            let stopped = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::STOP,
            );
            if let Err(error) = stopped {
                log.warning(format_args!("Can't stop for upstart: {error}"));
            }
        }
        (None, Supervised::Upstart) => {
            log.warning(format_args!("Upstart supervision requested, but {UPSTART_JOB} isn't set"));
        }
        (None, Supervised::Systemd) => {
            log.warning(format_args!(
                "Systemd supervision requested, but {NOTIFY_SOCKET} isn't set"
            ));
        }
        (None, Supervised::Auto | Supervised::No) => {}
    }
}

/// Once connections are accepted.
pub fn ready(config: &Config, log: &Log) {
    if let Some(manager) = Manager::of(config) {
        manager.notify("STATUS=Ready to accept connections\nREADY=1\n", log);
    }
}

/// When the server begins to end.
pub fn stopping(config: &Config, log: &Log) {
    if let Some(manager) = Manager::of(config) {
        manager.notify("STOPPING=1\n", log);
    }
}

/// Sends to a socket by its path, or by its name in the abstract namespace (`@name`).
fn send(address: &OsStr, state: &str) -> io::Result<()> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_reach_sockets_by_path_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1\n").unwrap();
        let mut buf = [0; 32];
        let len = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"READY=1\n");
        let name = path.to_str().unwrap().trim_start_matches('/');
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1\n").unwrap();
        let len = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"STOPPING=1\n");
        assert!(send(OsStr::new("/nowhere/at/all"), "").is_err());
    }
}
