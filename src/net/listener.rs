//! Listening sockets: opening, accepting, refusing.
//!
//! Owns what a new connection goes through before it becomes a client: `maxclients`, protected
//! mode, socket options.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;

use crate::acl::UserId;
use crate::config::Config;
use crate::net::Net;
use crate::net::conn::{Conn, Stream};
use crate::server::Server;
use crate::server::client::Origin;
use crate::util::log::Log;

const MAX_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";
const DENIED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";
/// How long accepting pauses when descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket of either kind.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_accept(cx).map_ok(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(unix, _) => unix.poll_accept(cx).map_ok(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// A listener that can be closed at once, though a task waits on it.
type Shared = Rc<RefCell<Option<Listener>>>;

/// The listening sockets in use, and the tasks that accept on them.
#[derive(Default)]
pub(super) struct Listeners {
    open: Vec<(Shared, AbortHandle)>,
}

impl Listeners {
    /// `tcp` and `unix`, as far as they are in use: what the log says at the start.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let any = |which: fn(&Listener) -> bool| {
            self.open.iter().any(|(listener, _)| listener.borrow().as_ref().is_some_and(which))
        };
        let tcp = any(|listener| matches!(listener, Listener::Tcp(_)));
        let unix = any(|listener| matches!(listener, Listener::Unix(..)));
        [(tcp, "tcp"), (unix, "unix")]
            .into_iter()
            .filter_map(|(is, kind)| is.then_some(kind))
            .collect()
    }

    /// Stops listening.
    pub(super) fn close(&mut self) {
        self.close_if(|_| true);
    }

    fn close_if(&mut self, which: impl Fn(&Listener) -> bool) {
        self.open.retain(|(listener, task)| {
            let closes = listener.borrow().as_ref().is_none_or(&which);
            if closes {
                // The address is free from here on, not only when the task has gone.
                *listener.borrow_mut() = None;
                task.abort();
            }
            !closes
        });
    }
}

/// Opens every socket that the configuration names.
///
/// # Errors
/// If one can't be opened; the reason has been logged.
pub(super) fn open_all(config: &Config, log: &Log) -> io::Result<Vec<Listener>> {
    let mut listeners = open_tcp(config, log)?;
    if !config.unixsocket.is_empty() {
        let path = PathBuf::from(String::from_utf8_lossy(&config.unixsocket).into_owned());
        let listener = open_unix(&path, config).inspect_err(|error| {
            log.warning(format_args!("Failed opening Unix socket: bind: {error}"));
        })?;
        listeners.push(Listener::Unix(listener, path));
    }
    if listeners.is_empty() {
        log.warning("Configured to not listen anywhere, exiting.");
        return Err(io::Error::other("not listening anywhere"));
    }
    Ok(listeners)
}

/// The addresses of `bind`: each with whether it may be missing on this machine.
fn addresses(config: &Config) -> Vec<(bool, String)> {
    let each = config.bind.iter().filter(|address| !address.is_empty());
    each.map(|address| match address.strip_prefix('-') {
        Some(optional) => (true, optional.to_string()),
        None => (false, address.clone()),
    })
    .collect()
}

fn open_tcp(config: &Config, log: &Log) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    if config.port == 0 {
        return Ok(listeners);
    }
    for (optional, address) in addresses(config) {
        let ip = match address.as_str() {
            "*" => IpAddr::from([0u8; 4]),
            "::*" => IpAddr::from([0u8; 16]),
            text => resolve(text)?,
        };
        match open_one(SocketAddr::new(ip, config.port), config) {
            Ok(listener) => listeners.push(Listener::Tcp(listener)),
            Err(error) if optional && is_unavailable(&error) => {}
            Err(error) => {
                log.warning(format_args!(
                    "Warning: Could not create server TCP listening socket {address}:{}: bind: {}",
                    config.port,
                    reason(&error)
                ));
                log.warning(format_args!(
                    "Failed listening on port {} (tcp), aborting.",
                    config.port
                ));
                return Err(error);
            }
        }
    }
    Ok(listeners)
}

fn resolve(name: &str) -> io::Result<IpAddr> {
    use std::net::ToSocketAddrs;
    if let Ok(ip) = name.parse() {
        return Ok(ip);
    }
    let mut found = (name, 0).to_socket_addrs()?;
    found.next().map(|address| address.ip()).ok_or_else(|| io::Error::other("no address"))
}

/// Whether an address of `bind` with a leading `-` may be passed over for this error.
fn is_unavailable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        // Address family not supported: no IPv6 on this machine.
        || error.raw_os_error() == Some(97)
}

/// The system's text for an error, without Rust's addition.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

fn open_one(address: SocketAddr, config: &Config) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Opens a unix socket with its permissions in force from the first moment: it is bound under
/// another name, and renamed once they are set.
fn open_unix(path: &Path, config: &Config) -> io::Result<UnixListener> {
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = PathBuf::from(hidden);
    let _ = std::fs::remove_file(&hidden);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&hidden)?)?;
    if config.unixsocketperm != 0 {
        let mode = std::fs::Permissions::from_mode(config.unixsocketperm);
        std::fs::set_permissions(&hidden, mode)?;
    }
    socket.listen(i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    std::fs::rename(&hidden, path)?;
    UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
}

/// Starts accepting.
pub(super) fn start(net: &Rc<Net>, listeners: Vec<Listener>) {
    for listener in listeners {
        let listener = Rc::new(RefCell::new(Some(listener)));
        let task = tokio::task::spawn_local(accept_all(Rc::clone(net), Rc::clone(&listener)));
        net.listeners.borrow_mut().open.push((listener, task.abort_handle()));
    }
}

/// Listens where `new` says; see [`crate::server::network::Network::relisten`].
pub(super) fn relisten(net: &Rc<Net>, old: &Config, new: &Config) -> Result<(), String> {
    if old.port == new.port && old.bind == new.bind {
        return Ok(());
    }
    let log = Log::stdout(crate::util::log::Level::Nothing, std::sync::Arc::new(Silent));
    let is_tcp = |listener: &Listener| matches!(listener, Listener::Tcp(_));
    // Addresses that stay can't be bound twice: the old ones are closed first.
    net.listeners.borrow_mut().close_if(is_tcp);
    match open_tcp(new, &log) {
        Ok(listeners) => {
            start(net, listeners);
            Ok(())
        }
        Err(_) => {
            if let Ok(listeners) = open_tcp(old, &log) {
                start(net, listeners);
            }
            Err(match old.port == new.port {
                true => "Failed to bind to specified addresses.".to_string(),
                false => "Unable to listen on this port. Check server logs.".to_string(),
            })
        }
    }
}

/// A clock for a log that writes nothing.
struct Silent;

impl crate::util::clock::Clock for Silent {
    fn unix_us(&self) -> i64 {
        0
    }

    fn mono_ns(&self) -> u64 {
        0
    }
}

/// Removes the files by which others find this process: with its id, and the unix socket.
pub(super) fn remove_files(net: &Net) {
    let server = net.server.borrow();
    let files = [("pid", &server.config.pidfile), ("unix socket", &server.config.unixsocket)];
    for (what, path) in files.into_iter().filter(|(_, path)| !path.is_empty()) {
        server.log.notice(format_args!("Removing the {what} file."));
        let _ = std::fs::remove_file(OsStr::from_bytes(path));
    }
}

async fn accept_all(net: Rc<Net>, listener: Shared) {
    loop {
        let accepted = poll_fn(|cx| match &*listener.borrow() {
            Some(listener) => listener.poll_accept(cx).map(Some),
            None => Poll::Ready(None),
        });
        let Some(accepted) = accepted.await else { return };
        match accepted {
            Ok(stream) => {
                if let Some(listener) = &*listener.borrow() {
                    admit(&net, &mut net.server.borrow_mut(), stream, listener);
                }
            }
            Err(error) => {
                // Without descriptors, accepting at once again would only burn the processor.
                let log = net.server.borrow().log.clone();
                log.warning(format_args!("Accepting client connection: {}", reason(&error)));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Accepts what waits, without waiting: while the runtime can't turn.
pub(super) fn accept_now(net: &Rc<Net>, server: &mut Server) {
    let listeners: Vec<_> =
        net.listeners.borrow().open.iter().map(|(listener, _)| Rc::clone(listener)).collect();
    for listener in listeners {
        let listener = listener.borrow();
        let Some(listener) = &*listener else { continue };
        let raw = match listener {
            Listener::Tcp(tcp) => socket2::SockRef::from(tcp),
            Listener::Unix(unix, _) => socket2::SockRef::from(unix),
        };
        while let Ok((socket, _)) = raw.accept() {
            let stream = socket.set_nonblocking(true).and_then(|()| match listener {
                Listener::Tcp(_) => TcpStream::from_std(socket.into()).map(Stream::Tcp),
                Listener::Unix(..) => {
                    UnixStream::from_std(std::os::fd::OwnedFd::from(socket).into())
                        .map(Stream::Unix)
                }
            });
            if let Ok(stream) = stream {
                admit(net, server, stream, listener);
            }
        }
    }
}

/// Makes a new connection a client, or refuses it.
fn admit(net: &Rc<Net>, server: &mut Server, stream: Stream, listener: &Listener) {
    let Ok(origin) = origin(&stream, listener) else { return };
    let refusal = if server.clients.len() as u64 >= u64::from(server.config.maxclients) {
        server.counters.rejected_connections += 1;
        Some(MAX_CLIENTS)
    } else {
        let default = server.users.get(UserId::DEFAULT);
        let protected = server.config.protected_mode && default.needs_no_password();
        (protected && !origin.local).then_some(DENIED)
    };
    if let Some(text) = refusal {
        // One try: a peer that doesn't read doesn't get to hold anything.
        let _ = (&*stream.raw()).write(text);
        return;
    }
    if let Stream::Tcp(tcp) = &stream {
        let _ = tcp.set_nodelay(true);
        if server.config.tcp_keepalive > 0 {
            let _ = stream.raw().set_tcp_keepalive(&keepalive(server.config.tcp_keepalive));
        }
    }
    server.counters.connections += 1;
    server.log.verbose(format_args!("Accepted {}", origin.addr));
    let now_ms = server.clock.unix_us() / 1000;
    let id = server.connect(origin, now_ms);
    let conn = Conn::new(id, stream);
    net.conns.borrow_mut().insert(id, Rc::clone(&conn));
    tokio::task::spawn_local(conn.run(Rc::clone(net)));
}

/// Probes as Redis spaces them: the first after `seconds`, then three at a third of it.
fn keepalive(seconds: u32) -> TcpKeepalive {
    let seconds = u64::from(seconds);
    TcpKeepalive::new()
        .with_time(Duration::from_secs(seconds))
        .with_interval(Duration::from_secs((seconds / 3).max(1)))
        .with_retries(3)
}

fn origin(stream: &Stream, listener: &Listener) -> io::Result<Origin> {
    match (stream, listener) {
        (Stream::Tcp(tcp), _) => {
            let (peer, local) = (tcp.peer_addr()?, tcp.local_addr()?);
            Ok(Origin {
                addr: peer.to_string().into(),
                laddr: local.to_string().into(),
                fd: tcp.as_raw_fd(),
                unix: false,
                local: peer.ip().to_canonical().is_loopback(),
            })
        }
        (Stream::Unix(unix), Listener::Unix(_, path)) => {
            let addr: Box<str> = format!("{}:0", path.display()).into();
            Ok(Origin {
                addr: addr.clone(),
                laddr: addr,
                fd: unix.as_raw_fd(),
                unix: true,
                local: true,
            })
        }
        (Stream::Unix(_), Listener::Tcp(_)) => Err(io::Error::other("not a unix listener")),
    }
}
