//! The network: listeners, connections, timers and signals, on one tokio thread.
//!
//! Owns the sockets. Each connection is a task that reads, has the server execute what arrived,
//! and writes what stands in the client's buffer; between two awaits it has the server to itself.
//! Never knows a command.

mod alarm;
mod batch;
mod busy;
mod conn;
mod greeting;
mod listener;
mod migrate;
mod signals;
pub mod supervise;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

use crate::config::Config;
use crate::server::aof::StartFailed;
use crate::server::client::ClientRef;
use crate::server::load_rdb::{LoadFailed, RdbLoad};
use crate::server::migrate::{Outcome, Request};
use crate::server::network::{Background, Network, Wakers};
use crate::server::replay::{Progress, Replay};
use crate::server::{Parts, Server};

use alarm::Alarm;
use batch::Batch;
use conn::Conn;
use listener::Listeners;
use migrate::Migrations;

/// Bytes that one read takes at most.
const READ_MAX: usize = 64 * 1024;

/// How long loading goes on before clients are served, in nanoseconds.
const LOAD_SLICE_NS: u64 = 2_000_000;

/// State that the tasks of the network thread share.
pub(in crate::net) struct Net {
    server: RefCell<Server>,
    conns: RefCell<HashMap<ClientRef, Rc<Conn>>>,
    listeners: RefCell<Listeners>,
    /// What a connection reads into; it is parsed before anybody else reads.
    read_buf: RefCell<Box<[u8]>>,
    /// The commands of that, while they are executed.
    batch: RefCell<Batch>,
    timer: Arc<Notify>,
    stop: Notify,
    migrations: Migrations,
    /// Has the task run that writes the append only file.
    flush: Arc<Notify>,
    /// When the timer will next fire, in Unix milliseconds.
    armed_ms: Cell<i64>,
}

/// The server's way to the network layer.
struct Link {
    net: std::rc::Weak<Net>,
    migrations: Migrations,
    migrated: UnboundedSender<(ClientRef, Outcome)>,
}

/// Has a task run at once, from any thread.
struct TaskWaker(Arc<Notify>);

impl TaskWaker {
    fn of(task: &Arc<Notify>) -> Waker {
        Arc::new(Self(Arc::clone(task))).into()
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Network for Link {
    fn relisten(&mut self, old: &Config, new: &Config) -> Result<(), String> {
        match self.net.upgrade() {
            Some(net) => listener::relisten(&net, old, new),
            None => Ok(()),
        }
    }

    fn poll_busy(&mut self, server: &mut Server) {
        if let Some(net) = self.net.upgrade() {
            busy::poll(&net, server);
        }
    }

    fn migrate(&mut self, client: ClientRef, request: Request) {
        self.migrations.start(client, request, self.migrated.clone());
    }

    fn migrate_now(&mut self, request: Request) -> Outcome {
        self.migrations.run(request)
    }

    fn migrate_sockets(&self) -> usize {
        self.migrations.len()
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

async fn serve(parts: Parts) -> io::Result<i32> {
    let config = parts.config.clone();
    let log = parts.log.clone();
    let (timer, flush) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let migrations = Migrations::new(Arc::clone(&parts.clock));
    let (migrated, outcomes) = unbounded_channel();
    let wakers = Wakers { flush: TaskWaker::of(&flush), tick: TaskWaker::of(&timer) };
    let net = Rc::new_cyclic(|weak| {
        let link = Link { net: weak.clone(), migrations: migrations.clone(), migrated };
        Net {
            server: RefCell::new(Server::new(parts, Box::new(link), Background::Threads(wakers))),
            conns: RefCell::default(),
            listeners: RefCell::default(),
            read_buf: RefCell::new(vec![0; READ_MAX].into_boxed_slice()),
            batch: RefCell::default(),
            timer,
            migrations: migrations.clone(),
            stop: Notify::new(),
            flush,
            armed_ms: Cell::new(0),
        }
    });
    if let Err(reason) = net.server.borrow_mut().load_first_users() {
        log.warning(reason);
        return Ok(1);
    }
    let listeners = listener::open_all(&config, &log)?;
    greeting::listening(&config, &log);
    net.server.borrow_mut().note_startup_memory();
    // Whoever connects first must be told that data are being loaded.
    let Ok(begun) = begin_load(&net) else { return Ok(1) };
    listener::start(&net, listeners);
    let saving_to = Arc::clone(&net.server.borrow().saving_to);
    let (mut signals, ending) = signals::watch(saving_to, log.clone())?;
    tokio::task::spawn_local(load(Rc::clone(&net), begun));
    tokio::task::spawn_local(run_timer(Rc::clone(&net)));
    tokio::task::spawn_local(run_flushes(Rc::clone(&net)));
    tokio::task::spawn_local(end_migrations(Rc::clone(&net), outcomes));
    while net.server.borrow().shutdown.is_none() {
        tokio::select! {
            () = net.stop.notified() => {}
            Some(signal) = signals.recv() => {
                net.server.borrow_mut().take_signal(signal);
                ending.store(false, Ordering::Relaxed);
                net.wake_others(None);
            }
        }
    }
    supervise::stopping(&config, &log);
    if let Some(code @ 1..) = net.server.borrow().shutdown {
        // What went wrong has been logged, and nothing can be done any more.
        return Ok(code);
    }
    net.close_aof();
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

/// A load that has begun.
enum Load {
    Nothing,
    Aof(Box<Replay>),
    Rdb(RdbLoad),
}

/// Begins to load the append only file if that is to be used, else the snapshot.
fn begin_load(net: &Net) -> Result<Load, LoadFailed> {
    let mut server = net.server.borrow_mut();
    let begun = match server.config.appendonly {
        true => server.begin_replay()?.map(Box::new).map(Load::Aof),
        false => server.begin_rdb_load()?.map(Load::Rdb),
    };
    Ok(begun.unwrap_or(Load::Nothing))
}

/// Loads the data, while clients are told that this is so; ends the server if that fails.
async fn load(net: Rc<Net>, begun: Load) {
    let loaded = load_data(&net, begun).await;
    let mut server = net.server.borrow_mut();
    server.loading = None;
    match loaded {
        Ok(()) => {
            greeting::ready(&net.listeners.borrow().kinds(), &server.log);
            supervise::ready(&server.config, &server.log);
        }
        Err(LoadFailed) => server.shutdown = Some(1),
    }
    drop(server);
    net.wake_others(None);
}

async fn load_data(net: &Net, begun: Load) -> Result<(), LoadFailed> {
    /// Between two looks at how far the threads are.
    const LOOK: Duration = Duration::from_millis(5);
    let step = |replay: &mut Replay| net.server.borrow_mut().step_replay(replay, LOAD_SLICE_NS);
    match begun {
        Load::Nothing => {}
        Load::Rdb(mut load) => {
            while net.server.borrow_mut().step_rdb_load(&mut load)?.is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Load::Aof(mut replay) => loop {
            match step(&mut replay)? {
                Progress::Done => break,
                Progress::More => tokio::task::yield_now().await,
                Progress::Waits => tokio::time::sleep(LOOK).await,
            }
            net.wake_others(None);
        },
    }
    let mut server = net.server.borrow_mut();
    match server.config.appendonly {
        true => server.open_aof().map_err(|StartFailed| LoadFailed),
        false => Ok(()),
    }
}

/// Tells clients what became of the keys that they sent to other servers.
async fn end_migrations(net: Rc<Net>, mut outcomes: UnboundedReceiver<(ClientRef, Outcome)>) {
    while let Some((client, outcome)) = outcomes.recv().await {
        net.server.borrow_mut().end_migrate(client, &outcome);
        net.wake_others(None);
    }
}

async fn run_timer(net: Rc<Net>) {
    loop {
        let (next_ms, now_ms) = {
            let mut server = net.server.borrow_mut();
            let next_ms = server.tick();
            (next_ms, server.now_ms)
        };
        net.armed_ms.set(next_ms);
        net.migrations.tidy();
        net.wake_others(None);
        let wait = Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or(0).min(1000));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = net.timer.notified() => {}
        }
    }
}

/// Writes what was executed to the append only file. It is woken by the first connection that has
/// something, and runs after those that are ready at the same time: one write serves them all.
async fn run_flushes(net: Rc<Net>) {
    // Only where replies wait for syncs is one needed.
    let mut alarm = None;
    let mut gathers = None;
    loop {
        match gathers {
            None => net.flush.notified().await,
            Some(time) => tokio::select! {
                biased;
                () = net.flush.notified() => {}
                () = alarm.get_or_insert_with(Alarm::new).wait(time) => {}
            },
        }
        if net.server.borrow().aof_group_may_grow() {
            // A sync takes long: what has arrived by now is to go with it.
            tokio::task::yield_now().await;
        }
        gathers = net.server.borrow_mut().commit_aof();
        net.wake_others(None);
    }
}

impl Net {
    /// Writes and syncs the append only file, so that the last replies may go out.
    fn close_aof(&self) {
        self.server.borrow_mut().finish_aof();
        self.wake_others(None);
    }

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
        if server.aof_waits() {
            self.flush.notify_one();
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
