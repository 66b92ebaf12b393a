//! A whole server in process: no network, a clock that stands until it is turned.

use std::sync::Arc;
use std::task::Waker;

use rhubarb::commands;
use rhubarb::config::Config;
use rhubarb::resp::{Args, Limits, Parsed, RequestParser};
use rhubarb::server::client::{ClientRef, Origin};
use rhubarb::server::network::{Background, NoNetwork, Wakers};
use rhubarb::server::{Parts, Server};
use rhubarb::util::clock::{Clock, ManualClock};
use rhubarb::util::file::sim::SimDisk;
use rhubarb::util::log::{Level, Log};

/// Where the clock stands at first, in Unix milliseconds.
pub const START_MS: i64 = 1_700_000_000_000;

/// A server and its clock.
pub struct Harness {
    pub server: Server,
    pub clock: Arc<ManualClock>,
    /// Where it keeps its data, in the directory `/data`.
    pub disk: SimDisk,
}

impl Harness {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::on_disk(config, &SimDisk::new())
    }

    /// A server whose data are in `/data` of a disk, and that does everything at once.
    pub fn on_disk(config: Config, disk: &SimDisk) -> Self {
        Self::made(config, disk, Background::Inline)
    }

    /// As [`on_disk`](Self::on_disk), but with threads. They wake nobody: who waits for them looks
    /// again and again.
    pub fn with_threads(config: Config, disk: &SimDisk) -> Self {
        let (flush, tick) = (Waker::noop().clone(), Waker::noop().clone());
        Self::made(config, disk, Background::Threads(Wakers { flush, tick }))
    }

    fn made(mut config: Config, disk: &SimDisk, background: Background) -> Self {
        disk.put_dir("/data");
        config.dir = b"/data".to_vec();
        let clock = Arc::new(ManualClock::at(START_MS));
        let shared: Arc<dyn Clock> = clock.clone();
        let parts = Parts {
            config,
            commands: commands::table(),
            log: Log::stdout(Level::Nothing, Arc::clone(&shared)),
            clock: shared,
            disk: Arc::new(disk.clone()),
            config_file: None,
        };
        let server = Server::new(parts, Box::new(NoNetwork), background);
        Self { server, clock, disk: disk.clone() }
    }

    /// A server that was made elsewhere, and the clock and disk that it was made with.
    pub fn around(server: Server, clock: Arc<ManualClock>, disk: SimDisk) -> Self {
        Self { server, clock, disk }
    }

    /// A new connection from this machine.
    pub fn connect(&mut self) -> ClientRef {
        let origin = Origin {
            addr: "127.0.0.1:50000".into(),
            laddr: "127.0.0.1:6379".into(),
            fd: 8,
            unix: false,
            local: true,
        };
        self.server.connect(origin, self.server.now_ms)
    }

    /// Sends bytes as a connection would, and returns what the client gets.
    pub fn send(&mut self, client: ClientRef, bytes: &[u8]) -> Vec<u8> {
        self.server.refresh_clock();
        let mut parser = RequestParser::new();
        let mut rest = bytes;
        loop {
            let known = self.server.clients.get(client);
            let authenticated = known.is_some_and(|client| !self.server.needs_login(client));
            let limits = Limits { bulk_len_max: 512 << 20, authenticated };
            match parser.parse(rest, &limits) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Empty { consumed }) => rest = &rest[consumed..],
                Ok(Parsed::Command { consumed }) => {
                    let args: Args<'_> = parser.args(rest);
                    assert!(self.server.process(client, args), "held back");
                    rest = &rest[consumed..];
                }
                Err(error) => {
                    let client = self.server.clients.get_mut(client).expect("a client");
                    client.out.error_text(format!("ERR {error}").as_bytes());
                    break;
                }
            }
        }
        self.wake_all();
        self.receive(client)
    }

    /// Does what the network layer does at the end of a round.
    fn wake_all(&mut self) {
        while self.server.next_woken().is_some() {}
    }

    /// Calls one command.
    pub fn call(&mut self, client: ClientRef, words: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.send(client, &request)
    }

    /// What the client has got since the last look.
    pub fn receive(&mut self, client: ClientRef) -> Vec<u8> {
        let client = self.server.clients.get_mut(client).expect("a client");
        std::mem::take(client.out.buf_mut())
    }

    /// Turns the clock, and lets the cron do what is due.
    pub fn advance(&mut self, ms: i64) {
        self.clock.advance(ms);
        self.server.tick();
        self.wake_all();
    }
}
