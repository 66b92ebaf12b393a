//! The system's logger: datagrams to `/dev/log` in the form of RFC 3164.
//!
//! Owns the form of a message and the socket. Never waits: what the logger can't take is lost.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::log::Level;

/// Where the system's logger listens.
pub const SOCKET: &str = "/dev/log";

/// A way to the system's logger. It connects when there is something to tell, and again if the
/// logger was started anew.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    tag: String,
    facility: u8,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// A logger at `path` that knows this process by `ident`; `facility` as RFC 3164 numbers them.
    pub fn new(path: impl Into<PathBuf>, ident: &str, facility: u8) -> Self {
        let tag = format!("{ident}[{}]", std::process::id());
        Self { path: path.into(), tag, facility, socket: None }
    }

    /// Tells a line. `stamp` is the time as `Nov  4 10:30:00`.
    pub fn send(&mut self, level: Level, stamp: &str, text: &str) {
        let severity = match level {
            Level::Debug => 7,
            Level::Verbose => 6,
            Level::Notice => 5,
            Level::Warning | Level::Nothing => 4,
        };
        let priority = self.facility * 8 + severity;
        let message = format!("<{priority}>{stamp} {}: {}", self.tag, text.trim_end());
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = self.connect().ok();
            }
            let Some(socket) = &self.socket else { return };
            match socket.send(message.as_bytes()) {
                Ok(_) => return,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.socket = None,
            }
        }
    }

    fn connect(&self) -> std::io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_priority_time_and_sender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut syslog = Syslog::new(&path, "rhubarb", 16);
        syslog.send(Level::Notice, "Nov  4 10:30:00", "nobody listens");
        let logger = UnixDatagram::bind(&path).unwrap();
        syslog.send(Level::Warning, "Nov  4 10:30:00", "a line\n");
        let mut buf = [0; 100];
        let len = logger.recv(&mut buf).unwrap();
        let expected = format!("<132>Nov  4 10:30:00 rhubarb[{}]: a line", std::process::id());
        assert_eq!(String::from_utf8_lossy(&buf[..len]), expected);
        // A logger that comes back is found again.
        drop(logger);
        std::fs::remove_file(&path).unwrap();
        let logger = UnixDatagram::bind(&path).unwrap();
        syslog.send(Level::Debug, "Nov  4 10:30:01", "again");
        let len = logger.recv(&mut buf).unwrap();
        assert!(buf[..len].starts_with(b"<135>"), "{:?}", &buf[..len]);
    }
}
