//! The talk with another server that MIGRATE sends keys to.
//!
//! Owns the connections to other servers, which are kept for a while. Each talk runs on a thread of
//! its own, so that whoever is slow keeps nobody waiting but the client who asked.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::ds::dict::Keyed;
use crate::persist::rdb::dump;
use crate::resp::Error;
use crate::resp::request::write_request;
use crate::server::client::ClientRef;
use crate::server::migrate::{Outcome, Request};
use crate::util::clock::Clock;

/// A connection that nobody used for so long is closed, in nanoseconds.
const KEEP_NS: u64 = 10_000_000_000;
/// Connections that are kept at most.
const KEPT_MAX: usize = 64;
/// The longest line that is read as a reply.
const LINE_MAX: u64 = 64 * 1024;

/// A connection that can be used again.
struct Kept {
    stream: BufReader<TcpStream>,
    /// The database selected there.
    db: Option<i64>,
    used_ns: u64,
}

/// The connections that are kept, by host and port.
#[derive(Clone)]
pub(super) struct Migrations {
    kept: Arc<Mutex<HashMap<(String, u16), Kept>>>,
    clock: Arc<dyn Clock>,
}

/// How a talk failed.
enum Failed {
    Connecting,
    Writing(io::Error),
    Reading(io::Error),
}

impl Failed {
    fn error(&self) -> Error {
        match self {
            Self::Connecting => Error::MigrateConnect,
            Self::Writing(_) => Error::MigrateWrite,
            Self::Reading(_) => Error::MigrateRead,
        }
    }

    /// Whether the connection was only stale.
    fn is_closed(&self) -> bool {
        match self {
            Self::Connecting => false,
            Self::Writing(error) | Self::Reading(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
        }
    }
}

impl Migrations {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { kept: Arc::default(), clock }
    }

    /// Number of connections that are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.lock().len()
    }

    /// Closes connections that nobody has used for long.
    pub(super) fn tidy(&self) {
        let now_ns = self.clock.mono_ns();
        self.kept.lock().retain(|_, kept| now_ns.saturating_sub(kept.used_ns) < KEEP_NS);
    }

    /// Talks on a thread; the outcome goes to `done`.
    pub(super) fn start(
        &self,
        id: ClientRef,
        request: Request,
        done: UnboundedSender<(ClientRef, Outcome)>,
    ) {
        let this = self.clone();
        let request = Arc::new(Mutex::new(Some(request)));
        let given = Arc::clone(&request);
        let sender = done.clone();
        let spawned = thread::Builder::new().name("migrate".into()).spawn(move || {
            if let Some(request) = given.lock().take() {
                let _ = sender.send((id, this.run(request)));
            }
        });
        if spawned.is_err()
            && let Some(request) = request.lock().take()
        {
            let outcome = Outcome { moved: vec![], error: Some(Error::MigrateConnect), request };
            let _ = done.send((id, outcome));
        }
    }

    /// Talks, and waits for the end of it.
    pub(super) fn run(&self, request: Request) -> Outcome {
        let place = (request.host.clone(), request.port);
        let kept = self.kept.lock().remove(&place);
        let mut moved = vec![false; request.entries.len()];
        let result = match kept {
            Some(kept) => match self.talk(kept, &request, &mut moved) {
                Err(failed) if failed.is_closed() && !moved.contains(&true) => {
                    self.connect_and_talk(&request, &mut moved)
                }
                result => result,
            },
            None => self.connect_and_talk(&request, &mut moved),
        };
        let error = match result {
            Ok(error) => error,
            Err(failed) => Some(failed.error()),
        };
        Outcome { request, moved, error }
    }

    fn connect_and_talk(
        &self,
        request: &Request,
        moved: &mut [bool],
    ) -> Result<Option<Error>, Failed> {
        let mut stream = Err(Failed::Connecting);
        for address in (request.host.as_str(), request.port).to_socket_addrs().into_iter().flatten()
        {
            stream = match TcpStream::connect_timeout(&address, request.timeout) {
                // Redis finds this out when it writes.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Err(Failed::Writing(error))
                }
                tried => tried.map_err(|_| Failed::Connecting),
            };
            if stream.is_ok() {
                break;
            }
        }
        let stream = stream?;
        let _ = stream.set_nodelay(true);
        let kept = Kept { stream: BufReader::new(stream), db: None, used_ns: 0 };
        self.talk(kept, request, moved)
    }

    /// Sends all and reads the replies; the first error that the other server replied is passed on.
    fn talk(
        &self,
        mut kept: Kept,
        request: &Request,
        moved: &mut [bool],
    ) -> Result<Option<Error>, Failed> {
        let timeout = Some(request.timeout);
        let stream = kept.stream.get_mut();
        stream.set_read_timeout(timeout).map_err(Failed::Writing)?;
        stream.set_write_timeout(timeout).map_err(Failed::Writing)?;
        let selects = kept.db != Some(request.to_db);
        stream.write_all(&requests(request, selects)).map_err(Failed::Writing)?;
        let mut refused: Option<Vec<u8>> = None;
        let before = usize::from(request.login.is_some()) + usize::from(selects);
        for _ in 0..before {
            let line = read_line(&mut kept.stream).map_err(Failed::Reading)?;
            refused = refused.or(line.strip_prefix(b"-").map(<[u8]>::to_vec));
        }
        let admitted = refused.is_none();
        for moved in moved.iter_mut() {
            let line = read_line(&mut kept.stream).map_err(Failed::Reading)?;
            let error = line.strip_prefix(b"-").map(<[u8]>::to_vec);
            *moved = admitted && error.is_none();
            refused = refused.or(error);
        }
        kept.db = refused.is_none().then_some(request.to_db);
        kept.used_ns = self.clock.mono_ns();
        let mut all = self.kept.lock();
        if all.len() < KEPT_MAX {
            all.insert((request.host.clone(), request.port), kept);
        }
        Ok(refused.map(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            Error::other(format!("ERR Target instance replied with error: {text}"))
        }))
    }
}

/// Everything that is sent.
fn requests(request: &Request, selects: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(login) = &request.login {
        let words = [Some(&b"AUTH"[..]), login.user.as_deref(), Some(&login.password)];
        let words: Vec<&[u8]> = words.into_iter().flatten().collect();
        write_request(&mut out, words.into_iter());
    }
    let mut digits = itoa::Buffer::new();
    if selects {
        let words = [b"SELECT".as_slice(), digits.format(request.to_db).as_bytes()];
        write_request(&mut out, words.into_iter());
    }
    for entry in &request.entries {
        let payload = dump::dump(entry, request.compress);
        let ttl = entry.deadline().map_or(0, |at| at.saturating_sub(request.now_ms).max(1));
        let words = [b"RESTORE", entry.key(), digits.format(ttl).as_bytes(), &payload, b"REPLACE"];
        let count = if request.replace { 5 } else { 4 };
        write_request(&mut out, words[..count].iter().copied());
    }
    out
}

/// A reply of one line, without its end.
fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    io::Read::take(&mut *stream, LINE_MAX).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(text.to_vec()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
