//! One connection: a state machine that reads, executes and writes.
//!
//! Owns the socket, the request parser and the part of a command that has arrived. A whole read is
//! executed before anything is written; one write then takes all replies.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::yield_now;

use crate::keyspace::KnownHash;
use crate::net::Net;
use crate::net::batch::{Batch, End};
use crate::resp::{Args, Limits, ProtocolError, RequestParser};
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};
use crate::server::command::{CommandId, NotFound};

/// A connection that has sent so many bytes in a row lets others have their turn: a bystander waits
/// for this and one more read of each busy connection at most.
const TURN_BYTES: usize = 64 * 1024;
/// An output buffer that was larger than this is given back when it is empty.
const OUT_KEEP: usize = 64 * 1024;
/// Error replies, and requests shown in the log, are cut to this.
const SHOWN_MAX: usize = 128;

/// A socket of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// The socket beneath, for calls that don't wait for tokio's readiness.
    pub(super) fn raw(&self) -> socket2::SockRef<'_> {
        match self {
            Self::Tcp(stream) => socket2::SockRef::from(stream),
            Self::Unix(stream) => socket2::SockRef::from(stream),
        }
    }
}

/// What has arrived and has not been executed.
#[derive(Default)]
pub(super) struct Input {
    pub(super) buf: Vec<u8>,
    parser: RequestParser,
}

/// The parts of a connection that only one function works on at a time.
pub(super) struct Io {
    pub(super) stream: Stream,
    pub(super) input: Input,
}

/// A connection, as the other tasks see it.
pub(super) struct Conn {
    pub(super) id: ClientRef,
    pub(super) io: RefCell<Io>,
    waker: RefCell<Option<Waker>>,
    finishing: Cell<bool>,
}

/// How far a connection has come.
enum Progress {
    /// So many bytes were read and executed: look again.
    Read(usize),
    /// Nothing more now: the socket, somebody else or the next turn will wake the task.
    Wait,
    /// It is over.
    Closed,
}

/// What became of the pending output.
enum Flushed {
    /// It is sent.
    All,
    /// The socket takes no more for now.
    Partly,
    /// It has to wait until what the client did is in the append only file.
    Held,
}

impl Conn {
    pub(super) fn new(id: ClientRef, stream: Stream) -> Rc<Self> {
        Rc::new(Self {
            id,
            io: RefCell::new(Io { stream, input: Input::default() }),
            waker: RefCell::new(None),
            finishing: Cell::new(false),
        })
    }

    /// Has the connection's task look at its client again.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Has the connection end once its output is sent.
    pub(super) fn finish(&self) {
        self.finishing.set(true);
        self.wake();
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(self: Rc<Self>, net: Rc<Net>) {
        poll_fn(|cx| self.poll(cx, &net)).await;
        net.server.borrow_mut().remove_client(self.id);
        net.conns.borrow_mut().remove(&self.id);
        net.wake_others(None);
    }

    fn poll(&self, cx: &mut Context<'_>, net: &Net) -> Poll<()> {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        let mut io = self.io.borrow_mut();
        let mut left = TURN_BYTES;
        loop {
            match self.turn(cx, net, &mut io, left) {
                Progress::Read(bytes) => left = left.saturating_sub(bytes),
                Progress::Wait => return Poll::Pending,
                Progress::Closed => return Poll::Ready(()),
            }
        }
    }

    /// Sends what is pending, then reads and executes, if the connection has something `left` of
    /// its turn.
    fn turn(&self, cx: &mut Context<'_>, net: &Net, io: &mut Io, left: usize) -> Progress {
        // A client that was blocked may go on with what has arrived meanwhile.
        if !io.input.buf.is_empty() && self.resumes(net) {
            let Io { input, .. } = io;
            let Input { buf, parser } = input;
            let used = self.execute(net, &mut net.server.borrow_mut(), parser, buf);
            buf.drain(..used);
            net.wake_others(Some(self.id));
        }
        match self.flush(cx, net, &mut io.stream) {
            Ok(Flushed::All) if self.finishing.get() => return Progress::Closed,
            Ok(Flushed::Held) => return Progress::Wait,
            Ok(Flushed::All | Flushed::Partly) => {}
            Err(()) => return Progress::Closed,
        }
        if left == 0 {
            // It is woken once the sockets have been looked at again. To wake it at once would let
            // busy connections go on among themselves.
            let _ = pin!(yield_now()).poll(cx);
            return Progress::Wait;
        }
        self.read(cx, net, io)
    }

    /// Whether the client was blocked and isn't any more.
    fn resumes(&self, net: &Net) -> bool {
        let mut server = net.server.borrow_mut();
        let Some(client) = server.clients.get_mut(self.id) else { return false };
        let resumes = client.flags.contains(ClientFlags::UNBLOCKED) && !client.must_wait();
        client.flags.remove(ClientFlags::UNBLOCKED);
        resumes
    }

    /// Sends what is pending; fails when the connection is over.
    fn flush(&self, cx: &mut Context<'_>, net: &Net, stream: &mut Stream) -> Result<Flushed, ()> {
        let mut server = net.server.borrow_mut();
        let server = &mut *server;
        let Some(client) = server.clients.get(self.id) else { return Err(()) };
        if client.flags.contains(ClientFlags::CLOSE_ASAP) {
            return Err(());
        }
        if !client.out.is_empty() && !server.may_reply(self.id) {
            // The task that writes the file wakes this one.
            server.wait_for_aof(self.id);
            return Ok(Flushed::Held);
        }
        let Some(client) = server.clients.get_mut(self.id) else { return Err(()) };
        while client.sent < client.out.len() {
            match stream.poll_write(cx, &client.out.bytes()[client.sent..]) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(()),
                Poll::Ready(Ok(n)) => {
                    client.sent += n;
                    server.counters.net_out += n as u64;
                    server.counters.writes += 1;
                }
                Poll::Pending => {
                    // What has been sent is let go of, or a slow reader would hold it all.
                    if client.sent > OUT_KEEP {
                        client.out.buf_mut().drain(..client.sent);
                        client.sent = 0;
                    }
                    return Ok(Flushed::Partly);
                }
            }
        }
        client.sent = 0;
        if client.out.capacity() > OUT_KEEP && !server.keep_output_buffers {
            *client.out.buf_mut() = Vec::new();
        } else {
            client.out.truncate(0);
        }
        match client.flags.contains(ClientFlags::CLOSE_AFTER_REPLY) {
            true => Err(()),
            false => Ok(Flushed::All),
        }
    }

    /// Reads once, and executes what has arrived.
    fn read(&self, cx: &mut Context<'_>, net: &Net, io: &mut Io) -> Progress {
        let mut shared = net.read_buf.borrow_mut();
        let mut read = ReadBuf::new(&mut shared);
        match io.stream.poll_read(cx, &mut read) {
            Poll::Pending => return Progress::Wait,
            Poll::Ready(Err(_)) => return Progress::Closed,
            Poll::Ready(Ok(())) if read.filled().is_empty() => return Progress::Closed,
            Poll::Ready(Ok(())) => {}
        }
        let bytes = read.filled().len();
        let Input { buf, parser } = &mut io.input;
        let mut server = net.server.borrow_mut();
        server.refresh_clock();
        server.counters.net_in += bytes as u64;
        server.counters.reads += 1;
        if buf.is_empty() {
            // The common case: whole commands, executed where they were read.
            let used = self.execute(net, &mut server, parser, read.filled());
            let rest = &read.filled()[used..];
            if !rest.is_empty() {
                make_room(buf, rest.len(), parser);
                buf.extend_from_slice(rest);
            }
        } else {
            make_room(buf, bytes, parser);
            buf.extend_from_slice(read.filled());
            let used = self.execute(net, &mut server, parser, buf);
            if used == buf.len() {
                *buf = Vec::new();
            } else {
                buf.drain(..used);
            }
        }
        if let Some(client) = server.clients.get_mut(self.id) {
            client.query_buf.1 = buf.capacity() - buf.len();
        }
        server.account_client(self.id);
        let over = buf.len() as u64 > server.config.client_query_buffer_limit;
        if over {
            self.log_over_limit(&mut server, buf);
        }
        drop(server);
        net.wake_others(Some(self.id));
        if over { Progress::Closed } else { Progress::Read(bytes) }
    }

    /// Executes the whole commands at the start of `data`; returns the bytes that they took.
    fn execute(
        &self,
        net: &Net,
        server: &mut Server,
        parser: &mut RequestParser,
        data: &[u8],
    ) -> usize {
        let batch = &mut net.batch.borrow_mut();
        execute(server, self.id, parser, batch, data, Server::process_found)
    }

    fn log_over_limit(&self, server: &mut Server, buf: &[u8]) {
        server.counters.query_buffer_closes += 1;
        let start = String::from_utf8_lossy(&buf[..buf.len().min(SHOWN_MAX / 2)]).into_owned();
        server.log.warning(format_args!(
            "Closing client that reached max query buffer length: id={} (qbuf initial bytes: \
             {start:?})",
            self.id.id
        ));
    }
}

/// The most that is reserved for an argument before its bytes arrive, if it needs more than twice
/// what is there.
const MAX_RESERVE: usize = 4 << 20;

/// What takes each command: says whether it did.
type Process = fn(&mut Server, ClientRef, Result<CommandId, NotFound>, Args<'_>) -> bool;

/// Makes room for bytes that have arrived, and for more of a large argument, but never beyond it.
fn make_room(buf: &mut Vec<u8>, arrived: usize, parser: &RequestParser) {
    let needed = buf.len() + arrived;
    if needed > buf.capacity() {
        let wanted = parser.wanted().unwrap_or(0);
        let ahead = wanted.min(MAX_RESERVE.max(2 * buf.capacity()));
        buf.reserve_exact(ahead.max(needed) - buf.len());
    }
}

/// Executes the whole commands at the start of `data`, as long as the client may go on; returns
/// the bytes that they took.
fn execute(
    server: &mut Server,
    id: ClientRef,
    parser: &mut RequestParser,
    batch: &mut Batch,
    data: &[u8],
    process: Process,
) -> usize {
    let mut used = 0;
    loop {
        match may_execute(server, id) {
            Ok(limits) => {
                let (end, parsed) = batch.fill(&server.commands, parser, data, used, &limits);
                batch.prefetch(server, id, data);
                let whole = execute_batch(server, id, batch, data, &mut used, process);
                if !whole {
                    parser.restart();
                    continue;
                }
                used = parsed;
                match end {
                    End::More => continue,
                    End::Incomplete => {}
                    End::Broken(error) => {
                        refuse_broken(server, id, error, &data[used..]);
                        return data.len();
                    }
                }
            }
            Err(Halt::Closed) => return data.len(),
            Err(Halt::Waits) => {}
        }
        if let Some(client) = server.clients.get_mut(id) {
            // What of the next command has been read already counts as its arguments.
            let parsed = parser.parsed();
            client.query_buf.0 = (data.len() - used).saturating_sub(parsed);
            client.argv_bytes = parsed;
        }
        return used;
    }
}

/// Executes the commands of a batch; says whether all were, and else leaves `used` behind the last.
fn execute_batch(
    server: &mut Server,
    id: ClientRef,
    batch: &Batch,
    data: &[u8],
    used: &mut usize,
    process: Process,
) -> bool {
    for index in 0..batch.len() {
        if index > 0 && may_execute(server, id).is_err() {
            return false;
        }
        let (found, args) = batch.get(index, data);
        if let Some(client) = server.clients.get_mut(id) {
            client.query_buf.0 = data.len() - *used;
        }
        // It stands for bytes of `data`, and not longer than they are borrowed.
        server.known = batch.known(index);
        let done = process(server, id, found.command, args);
        server.known = KnownHash::default();
        if !done {
            return false;
        }
        *used = found.end;
    }
    true
}

/// Why no more commands of a client are executed.
enum Halt {
    /// It waits for something.
    Waits,
    /// It is gone, or will be as soon as its output is sent: what it sent is dropped.
    Closed,
}

/// Whether the next command of a client may be executed; then, what it may send.
#[inline]
fn may_execute(server: &Server, id: ClientRef) -> Result<Limits, Halt> {
    let bulk_len_max = server.config.proto_max_bulk_len;
    match server.clients.get(id) {
        None => Err(Halt::Closed),
        Some(client) if client.must_wait() => Err(Halt::Waits),
        Some(client) if client.is_closing() => Err(Halt::Closed),
        Some(client) => Ok(Limits { bulk_len_max, authenticated: !server.needs_login(client) }),
    }
}

/// Tells a client that it broke the protocol, and has it closed.
fn refuse_broken(server: &mut Server, id: ClientRef, error: ProtocolError, rest: &[u8]) {
    if let Some(client) = server.clients.get_mut(id) {
        client.out.error_text(format!("ERR {error}").as_bytes());
        client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
    }
    server.counters.error("ERR");
    let shown = String::from_utf8_lossy(&rest[..rest.len().min(SHOWN_MAX)]).into_owned();
    server.log.verbose(format_args!(
        "{error} from client: id={}. Query buffer during protocol error: {shown:?}",
        id.id
    ));
}

impl Input {
    /// Executes what a busy server may execute of what has arrived.
    pub(super) fn execute_busy(&mut self, server: &mut Server, id: ClientRef) {
        let Self { buf, parser } = self;
        let mut batch = Batch::default();
        let used = execute(server, id, parser, &mut batch, buf, Server::process_while_busy);
        buf.drain(..used);
    }
}
