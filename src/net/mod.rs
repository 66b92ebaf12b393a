//! The network: listeners, connections, timers and signals, on one tokio thread.
//!
//! Owns the sockets. Each connection is a task that reads, has the server execute what arrived,
//! and writes what stands in the client's buffer; between two awaits it has the server to itself.
//! Never knows a command.

mod batch;
mod busy;
mod conn;
mod listener;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::config::Config;
use crate::server::client::ClientRef;
use crate::server::network::Network;
use crate::server::{Parts, Server};

use batch::Batch;
use conn::Conn;
use listener::Listeners;

/// Bytes that one read takes at most.
const READ_MAX: usize = 64 * 1024;

/// State that the tasks of the network thread share.
pub(in crate::net) struct Net {
    server: RefCell<Server>,
    conns: RefCell<HashMap<ClientRef, Rc<Conn>>>,
    listeners: RefCell<Listeners>,
    /// What a connection reads into; it is parsed before anybody else reads.
    read_buf: RefCell<Box<[u8]>>,
    /// The commands of that, while they are executed.
    batch: RefCell<Batch>,
    timer: Notify,
    stop: Notify,
    /// When the timer will next fire, in Unix milliseconds.
    armed_ms: Cell<i64>,
}

/// The server's way to the network layer.
struct Link(std::rc::Weak<Net>);

impl Network for Link {
    fn relisten(&mut self, old: &Config, new: &Config) -> Result<(), String> {
        match self.0.upgrade() {
            Some(net) => listener::relisten(&net, old, new),
            None => Ok(()),
        }
    }

    fn poll_busy(&mut self, server: &mut Server) {
        if let Some(net) = self.0.upgrade() {
            busy::poll(&net, server);
        }
    }
}

/// Runs a server until it is told to end; returns its exit code.
///
/// # Errors
/// If the runtime can't be built or no listener can be opened; the reason has been logged.
pub fn run(parts: Parts) -> io::Result<i32> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(31).build()?;
    LocalSet::new().block_on(&runtime, serve(parts))
}

async fn serve(mut parts: Parts) -> io::Result<i32> {
    let config = parts.config.clone();
    let log = parts.log.clone();
    let clock = Arc::clone(&parts.clock);
    let listeners = listener::open_all(&config, &log)?;
    let net = Rc::new_cyclic(|weak| {
        parts.network = Box::new(Link(weak.clone()));
        Net {
            server: RefCell::new(Server::new(parts)),
            conns: RefCell::default(),
            listeners: RefCell::default(),
            read_buf: RefCell::new(vec![0; READ_MAX].into_boxed_slice()),
            batch: RefCell::default(),
            timer: Notify::new(),
            stop: Notify::new(),
            armed_ms: Cell::new(0),
        }
    });
    listener::start(&net, listeners);
    for kind in net.listeners.borrow().kinds() {
        log.notice(format_args!("Ready to accept connections {kind}"));
    }
    tokio::task::spawn_local(run_timer(Rc::clone(&net)));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = net.stop.notified() => {}
        _ = terminate.recv() => log.warning("Received SIGTERM scheduling shutdown..."),
        _ = interrupt.recv() => log.warning("Received SIGINT scheduling shutdown..."),
    }
    drop(clock);
    log.notice("User requested shutdown...");
    close_all(&net).await;
    listener::remove_files(&net);
    log.warning("Rhubarb is now ready to exit, bye bye...");
    Ok(net.server.borrow().shutdown.unwrap_or(0))
}

/// Gives each connection a last chance to send what is pending, for a moment.
async fn close_all(net: &Rc<Net>) {
    net.listeners.borrow_mut().close();
    let conns: Vec<_> = net.conns.borrow().values().cloned().collect();
    for conn in &conns {
        conn.finish();
    }
    let gone = async {
        while !net.conns.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(100), gone).await;
}

async fn run_timer(net: Rc<Net>) {
    loop {
        let (next_ms, now_ms) = {
            let mut server = net.server.borrow_mut();
            let next_ms = server.tick();
            (next_ms, server.now_ms)
        };
        net.armed_ms.set(next_ms);
        net.wake_others(None);
        let wait = Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or(0).min(1000));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = net.timer.notified() => {}
        }
    }
}

impl Net {
    /// Wakes the connections that the server has something for, but not `this` one, which looks
    /// for itself; and the timer, if something is due before it fires.
    fn wake_others(&self, this: Option<ClientRef>) {
        let mut server = self.server.borrow_mut();
        while let Some(id) = server.next_woken() {
            if Some(id) != this
                && let Some(conn) = self.conns.borrow().get(&id)
            {
                conn.wake();
            }
        }
        let pause = server.pause.map(|pause| pause.until_ms);
        let deadline = server.blocked.next_deadline().into_iter().chain(pause).min();
        if deadline.is_some_and(|deadline| deadline < self.armed_ms.get()) {
            self.armed_ms.set(deadline.unwrap_or(0));
            self.timer.notify_one();
        }
        if server.shutdown.is_some() {
            // Before any client sees its connection end: who connects again then is refused.
            self.listeners.borrow_mut().close();
            self.stop.notify_one();
        }
    }
}
