//! The `expire` mode: the time between a key's deadline and the news that it has expired.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::options::Options;
use crate::report::{Cell, Column, Histogram, Row, Table};
use crate::resp::{self, Filler};
use crate::server::{Server, Side};

/// Keys begin so; then the deadline in milliseconds since 1970, a colon and a number.
const PREFIX: &[u8] = b"exp:";
/// Keys written to learn how fast the others can be.
const SAMPLE: usize = 20_000;
/// Head start of the first deadline over the end of the filling.
const MARGIN: Duration = Duration::from_secs(1);
/// How long after the spread `sparse` leaves its other keys.
const LATER: Duration = Duration::from_secs(3600);

/// Which keys fall due within the spread: one in so many.
const SCENARIOS: [(&str, usize); 2] = [("dense", 1), ("sparse", 100)];

/// Runs the mode.
pub fn run(options: &Options) -> Outcome<Table> {
    let keys = options.keys_or(1_000_000);
    let mut rows = Vec::new();
    for (name, one_in) in SCENARIOS {
        let mut figures: [[Vec<f64>; 2]; 4] = Default::default();
        let mut note = String::new();
        for side in Side::BOTH {
            eprintln!("  {name}, {}", side.name());
            match measure(side, options, keys, one_in) {
                Ok(result) => {
                    for (figure, value) in figures.iter_mut().zip(result) {
                        figure[side as usize].push(value);
                    }
                }
                Err(error) => note += &format!("{}: {error}; ", side.name()),
            }
        }
        let cells = figures.iter().map(|[rhubarb, redis]| Cell::from_rounds(rhubarb, redis));
        rows.push(Row { name: name.to_owned(), cells: cells.collect(), note });
    }
    let spread = spread(options).as_secs_f64();
    Ok(Table {
        title: "expire",
        columns: vec![
            Column { title: "p50 ms", decimals: 1, ratio: false },
            Column { title: "p99 ms", decimals: 1, ratio: true },
            Column { title: "longest ms", decimals: 1, ratio: false },
            Column { title: "missing", decimals: 0, ratio: false },
        ],
        rows,
        footer: vec![format!("{keys} volatile keys; all, or 1 in 100, fall due within {spread} s")],
    })
}

/// The time over which keys fall due.
fn spread(options: &Options) -> Duration {
    options.spread.unwrap_or(Duration::from_secs(if options.quick { 3 } else { 10 }))
}

/// Median, 99th percentile and longest lag in milliseconds, and the number of missing keys.
fn measure(side: Side, options: &Options, keys: usize, one_in: usize) -> Outcome<[f64; 4]> {
    let server = Server::start(side, options)?;
    let mut connection = server.connect()?;
    connection.ask(&["CONFIG", "SET", "notify-keyspace-events", "Ex"])?;
    // Otherwise a burst of events can cut the subscriber off.
    connection.ask(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0"])?;
    let mut subscriber = Subscriber::open(server.port)?;

    let deadlines = fill(&server, options, keys, one_in)?;
    let quick = Duration::from_secs(if options.quick { 3 } else { 20 });
    let patience = options.patience.unwrap_or(quick);
    let end = deadlines.end + patience.as_millis() as u64;
    let mut lags = Histogram::new();
    subscriber.collect(&deadlines.due, end, &mut lags)?;

    let missing = deadlines.due.len() as u64 - lags.total();
    let now = now_in_millis();
    for deadline in subscriber.missing(&deadlines.due) {
        lags.record(now.saturating_sub(deadline) * 1000);
    }
    let millis = |micros: u64| micros as f64 / 1e3;
    let quantiles = [lags.quantile(0.5), lags.quantile(0.99), lags.max()].map(millis);
    let [median, p99, longest] = quantiles;
    Ok([median, p99, longest, missing as f64])
}

/// The deadlines of the keys that fall due, and the last of them, in milliseconds since 1970.
struct Deadlines {
    due: Vec<u64>,
    end: u64,
}

/// Writes the keys, with deadlines that begin only when all are written.
fn fill(server: &Server, options: &Options, keys: usize, one_in: usize) -> Outcome<Deadlines> {
    let begin = Instant::now();
    let mut filler = Filler::open(server.port)?;
    for number in 0..SAMPLE {
        filler.push(&[b"SET", format!("sample:{number}").as_bytes(), b"value", b"EX", b"1000"])?;
    }
    filler.finish()?;
    let rate = SAMPLE as f64 / begin.elapsed().as_secs_f64();
    server.connect()?.ask(&["FLUSHALL"])?;

    let filling = Duration::from_secs_f64(keys as f64 / rate * 1.5) + MARGIN;
    let first = now_in_millis() + filling.as_millis() as u64;
    let spread = spread(options).as_millis() as u64;
    let mut random = fastrand::Rng::with_seed(1);
    let mut due = Vec::with_capacity(keys / one_in + 1);
    let mut filler = Filler::open(server.port)?;
    for number in 0..keys {
        let mut deadline = first + random.u64(..spread.max(1));
        if number % one_in == 0 {
            due.push(deadline);
        } else {
            deadline += spread + LATER.as_millis() as u64;
        }
        let deadline = deadline.to_string();
        // Keys that fall due are numbered from 0, so that the subscriber can tick them off.
        let key =
            [PREFIX, deadline.as_bytes(), format!(":{}", number / one_in).as_bytes()].concat();
        filler.push(&[b"SET", &key, b"value", b"PXAT", deadline.as_bytes()])?;
    }
    filler.finish()?;
    if now_in_millis() >= first {
        return Err("filling took too long: the first keys fell due meanwhile".into());
    }
    Ok(Deadlines { due, end: first + spread })
}

/// A connection that listens for expired keys.
struct Subscriber {
    stream: TcpStream,
    /// The incomplete last line of what was read.
    rest: Vec<u8>,
    seen: Vec<bool>,
}

impl Subscriber {
    fn open(port: u16) -> Outcome<Subscriber> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        let mut bytes = Vec::new();
        resp::request(&mut bytes, &[b"SUBSCRIBE", b"__keyevent@0__:expired"]);
        std::io::Write::write_all(&mut stream, &bytes)?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Subscriber { stream, rest: Vec::new(), seen: Vec::new() })
    }

    /// Records lags in microseconds until all due keys are announced or `end` has come.
    fn collect(&mut self, due: &[u64], end: u64, lags: &mut Histogram) -> Outcome<()> {
        self.seen = vec![false; due.len()];
        let mut buffer = vec![0; 256 << 10];
        while (lags.total() as usize) < due.len() && now_in_millis() < end {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the server closed the subscriber's connection".into()),
                Ok(count) => count,
                Err(error) if would_block(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
            self.rest.extend_from_slice(&buffer[..count]);
            let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in self.rest[..whole].split(|byte| *byte == b'\n') {
                let Some((deadline, number)) = parse_key(line) else { continue };
                if due.get(number) == Some(&deadline) && !self.seen[number] {
                    self.seen[number] = true;
                    lags.record(now.saturating_sub(deadline * 1000));
                }
            }
            self.rest.drain(..whole);
        }
        Ok(())
    }

    /// The deadlines of the keys that were not announced.
    fn missing(&self, due: &[u64]) -> impl Iterator<Item = u64> {
        due.iter().zip(&self.seen).filter(|(_, seen)| !**seen).map(|(deadline, _)| *deadline)
    }
}

/// The deadline and number in a key's name; `None` for every other line of the stream.
fn parse_key(line: &[u8]) -> Option<(u64, usize)> {
    let text = std::str::from_utf8(line.strip_prefix(PREFIX)?).ok()?;
    let (deadline, number) = text.trim_end().split_once(':')?;
    Some((deadline.parse().ok()?, number.parse().ok()?))
}

fn would_block(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn now_in_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
