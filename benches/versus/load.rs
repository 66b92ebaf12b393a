//! The load generator: one thread, many connections in a closed loop, requests encoded beforehand.
//! It only counts replies; what it does per batch is one write, the reads, and two clock readings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, LocalSet};

use crate::Outcome;
use crate::report::Histogram;
use crate::resp::Counter;

/// Room for replies, per connection.
const READ_BUFFER: usize = 32 << 10;
/// A turn whose server stops answering is given up after its limit and this long.
const HUNG: Duration = Duration::from_secs(30);

/// Encoded requests, one after another.
#[derive(Default)]
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Requests {
    pub fn push(&mut self, args: &[&[u8]]) {
        crate::resp::request(&mut self.bytes, args);
        self.ends.push(self.bytes.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Each request by itself.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.slice(index, 1))
    }

    fn slice(&self, first: usize, count: usize) -> &[u8] {
        let begin = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[first + count - 1]]
    }
}

/// What one turn did.
pub struct Turn {
    pub requests: u64,
    pub elapsed: Duration,
    /// Batch latency in nanoseconds.
    pub latency: Histogram,
    /// All reply elements: an array of n counts n + 1.
    pub elements: u64,
    pub nils: u64,
}

/// One turn's state, shared by its connections: they draw batches from one sequence, so that a
/// server gets the same requests in the same order, however it spreads its attention.
struct Shared {
    requests: Rc<Requests>,
    pipeline: usize,
    next: Cell<usize>,
    left: Cell<u64>,
    end: Instant,
    sent: Cell<u64>,
    elements: Cell<u64>,
    nils: Cell<u64>,
    latency: RefCell<Histogram>,
}

impl Shared {
    /// The next batch, until the number of requests or the time is used up.
    fn batch(&self, now: Instant) -> Option<&[u8]> {
        let left = self.left.get().checked_sub(self.pipeline as u64)?;
        if now >= self.end {
            return None;
        }
        self.left.set(left);
        self.sent.set(self.sent.get() + self.pipeline as u64);
        let mut first = self.next.get();
        if first + self.pipeline > self.requests.len() {
            first = 0;
        }
        self.next.set(first + self.pipeline);
        Some(self.requests.slice(first, self.pipeline))
    }
}

/// Open connections to one server.
pub struct Load {
    runtime: Runtime,
    connections: Vec<TcpStream>,
}

impl Load {
    pub fn connect(port: u16, connections: usize) -> Outcome<Load> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connections = runtime.block_on(async {
            let mut streams = Vec::with_capacity(connections);
            for _ in 0..connections {
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.set_nodelay(true)?;
                streams.push(stream);
            }
            Outcome::Ok(streams)
        })?;
        Ok(Load { runtime, connections })
    }

    /// Sends up to `count` requests from the beginning of `requests` (over and over, if need be)
    /// in batches of `pipeline`, for no longer than `limit`; returns when all is answered.
    ///
    /// # Errors
    /// An error reply, a broken connection, or a server that no longer answers. The connections
    /// are then of no more use.
    pub fn run(
        &mut self,
        requests: &Rc<Requests>,
        pipeline: usize,
        count: u64,
        limit: Duration,
    ) -> Outcome<Turn> {
        if requests.len() < pipeline {
            return Err("the pipeline is longer than the list of requests".into());
        }
        let begin = Instant::now();
        let shared = Rc::new(Shared {
            requests: Rc::clone(requests),
            pipeline,
            next: Cell::new(0),
            left: Cell::new(count),
            end: begin + limit,
            sent: Cell::new(0),
            elements: Cell::new(0),
            nils: Cell::new(0),
            latency: RefCell::new(Histogram::new()),
        });
        let streams = std::mem::take(&mut self.connections);
        let all = async {
            let tasks: Vec<JoinHandle<Outcome<TcpStream>>> = streams
                .into_iter()
                .map(|stream| tokio::task::spawn_local(drive(stream, Rc::clone(&shared))))
                .collect();
            let mut streams = Vec::with_capacity(tasks.len());
            for task in tasks {
                streams.push(task.await??);
            }
            Outcome::Ok(streams)
        };
        let local = LocalSet::new();
        self.connections = self.runtime.block_on(async {
            match tokio::time::timeout(limit + HUNG, local.run_until(all)).await {
                Ok(result) => result,
                Err(_) => Err("the server no longer answers".into()),
            }
        })?;
        Ok(Turn {
            requests: shared.sent.get(),
            elapsed: begin.elapsed(),
            latency: shared.latency.borrow().clone(),
            elements: shared.elements.get(),
            nils: shared.nils.get(),
        })
    }
}

/// One connection's part of a turn.
async fn drive(mut stream: TcpStream, shared: Rc<Shared>) -> Outcome<TcpStream> {
    let mut buffer = vec![0; READ_BUFFER];
    let mut counter = Counter::new();
    let mut now = Instant::now();
    while let Some(batch) = shared.batch(now) {
        let sent = now;
        counter.expect(shared.pipeline);
        stream.write_all(batch).await?;
        while !counter.done() {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Err("the server closed a connection".into());
            }
            counter.feed(&buffer[..count])?;
        }
        now = Instant::now();
        shared.latency.borrow_mut().record((now - sent).as_nanos() as u64);
        if let Some(error) = counter.error {
            return Err(error.into());
        }
    }
    shared.elements.set(shared.elements.get() + counter.elements);
    shared.nils.set(shared.nils.get() + counter.nils);
    Ok(stream)
}
