//! The `stall` mode: how long a server keeps a bystander waiting while it is filled and saved, and how much
//! memory a save takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::options::Options;
use crate::report::{Cell, Column, Histogram, Row, Table, median};
use crate::resp::{self, Connection, Filler};
use crate::server::{Server, Side};
use crate::workloads::{Source, key};

/// A ping falls due so often.
const PERIOD: Duration = Duration::from_millis(1);
/// Length of the idle phase.
const IDLE: Duration = Duration::from_secs(2);
/// A save or rewrite that takes longer is no longer watched.
const LONGEST_SAVE: Duration = Duration::from_secs(120);
/// Keys overwritten between two looks at whether the save has ended.
const OVERWRITES: usize = 20_000;

const PHASES: [&str; 4] = ["idle", "fill", "BGSAVE + writes", "BGREWRITEAOF + writes"];

/// Work in the background, as a client asks for it and sees its end.
struct Saving {
    command: &'static [&'static str],
    /// The field of INFO that is 0 at the end.
    running: &'static str,
}

const BGSAVE: Saving = Saving { command: &["BGSAVE"], running: "rdb_bgsave_in_progress" };
const APPEND_ONLY: Saving =
    Saving { command: &["CONFIG", "SET", "appendonly", "yes"], running: "aof_rewrite_in_progress" };
const REWRITE: Saving = Saving { command: &["BGREWRITEAOF"], running: "aof_rewrite_in_progress" };

/// Pings from its own thread and connection until stopped.
struct Pinger {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Histogram>>,
}

impl Pinger {
    fn start(port: u16) -> Outcome<Pinger> {
        let mut connection = Connection::open(port)?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || ping(&mut connection, &flag));
        Ok(Pinger { stop, thread })
    }

    /// Latencies in nanoseconds.
    fn stop(self) -> Outcome<Histogram> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the pinger panicked")?
    }
}

/// Pings that fell due while earlier ones waited go together, as many clients would send them; each counts
/// from when it was due, else a long pause would be one bad sample among many. A ping sent late by this
/// machine counts from its sending.
fn ping(connection: &mut Connection, stop: &AtomicBool) -> Outcome<Histogram> {
    come_first();
    let mut request = Vec::new();
    resp::request(&mut request, &[b"PING"]);
    let mut latency = Histogram::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if due > now {
            std::thread::sleep(due - now);
            due = Instant::now();
        }
        let late = due.elapsed().as_nanos() / PERIOD.as_nanos();
        let count = 1 + usize::try_from(late)?;
        connection.send(&request.repeat(count), count)?;
        connection.drain()?;
        for _ in 0..count {
            latency.record(due.elapsed().as_nanos() as u64);
            due += PERIOD;
        }
    }
    Ok(latency)
}

/// Raises this thread's priority as far as it may: the bystander's own wait for a processor that the
/// load keeps busy is not the server's.
fn come_first() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(-20);
}

/// What one server's phases gave in one round.
struct Phases {
    /// One per phase that could be run.
    latency: Vec<Histogram>,
    /// Keys per second.
    fill_rate: f64,
    /// Most memory during BGSAVE over that before it, if it could be run.
    peak: Option<f64>,
    /// Why a phase is missing, else empty.
    note: String,
}

/// Runs the mode.
pub fn run(options: &Options) -> Outcome<Table> {
    let keys = options.keys_or(5_000_000);
    let mut results = [Vec::new(), Vec::new()];
    for round in 0..options.rounds_or(3, 1) {
        for side in Side::turns(round) {
            eprintln!("  round {}, {}", round + 1, side.name());
            results[side as usize].push(measure(side, options, keys)?);
        }
    }
    let medians = |of: &dyn Fn(&Phases) -> Option<f64>| {
        results.each_ref().map(|rounds| {
            let figures: Vec<f64> = rounds.iter().filter_map(of).collect();
            median(&figures).unwrap_or(0.0)
        })
    };
    let rates = medians(&|phases| Some(phases.fill_rate / 1e3));
    let peaks = medians(&|phases| phases.peak);
    Ok(Table {
        title: "stall",
        columns: vec![
            Column { title: "p50 ms", decimals: 3, ratio: false },
            Column { title: "p99.9 ms", decimals: 2, ratio: true },
            Column { title: "longest ms", decimals: 2, ratio: true },
        ],
        rows: (0..PHASES.len()).map(|phase| row(phase, &results)).collect(),
        footer: vec![
            format!(
                "{keys} keys; filled at {:.0} (rhubarb) and {:.0} (redis) thousand keys/s",
                rates[0], rates[1]
            ),
            format!(
                "most memory during BGSAVE over that before: {:.2} (rhubarb) and {:.2} (redis)",
                peaks[0], peaks[1]
            ),
        ],
    })
}

fn row(phase: usize, results: &[Vec<Phases>; 2]) -> Row {
    let cell = |of: &dyn Fn(&Histogram) -> u64| {
        let [rhubarb, redis] = results.each_ref().map(|rounds| -> Vec<f64> {
            let latency = rounds.iter().filter_map(|phases| phases.latency.get(phase));
            latency.map(|latency| of(latency) as f64 / 1e6).collect()
        });
        Cell::from_rounds(&rhubarb, &redis)
    };
    let failed = results.iter().flatten().filter(|phases| phases.latency.len() <= phase);
    Row {
        name: PHASES[phase].to_owned(),
        cells: vec![
            cell(&|latency| latency.quantile(0.5)),
            cell(&|latency| latency.quantile(0.999)),
            cell(&Histogram::max),
        ],
        note: failed.map(|phases| &*phases.note).collect(),
    }
}

fn measure(side: Side, options: &Options, keys: usize) -> Outcome<Phases> {
    let server = Server::start(side, options)?;
    let mut source = Source::new();
    let pinger = Pinger::start(server.port)?;
    std::thread::sleep(IDLE);
    let idle = pinger.stop()?;

    let pinger = Pinger::start(server.port)?;
    let begin = Instant::now();
    let mut filler = Filler::open(server.port)?;
    for number in 0..keys {
        filler.push(&[b"SET", &key(number), &source.value()])?;
    }
    filler.finish()?;
    let fill_rate = keys as f64 / begin.elapsed().as_secs_f64();
    let latency = vec![idle, pinger.stop()?];

    let mut phases = Phases { latency, fill_rate, peak: None, note: String::new() };
    if let Err(error) = save(&server, keys, &mut source, &mut phases) {
        phases.note = format!("{}: {error}; ", side.name());
    }
    Ok(phases)
}

fn save(server: &Server, keys: usize, source: &mut Source, phases: &mut Phases) -> Outcome<()> {
    let before = server.resident()?;
    server.forget_peak()?;
    phases.latency.push(during(&BGSAVE, server, keys, source)?);
    // What a forked child has copied is memory that is taken besides.
    let copied = server.connect()?.info("persistence", "rdb_last_cow_size")?;
    phases.peak = Some((server.peak_resident()? + copied) as f64 / before as f64);
    APPEND_ONLY.run(server, || {
        std::thread::sleep(Duration::from_millis(10));
        Ok(())
    })?;
    phases.latency.push(during(&REWRITE, server, keys, source)?);
    Ok(())
}

impl Saving {
    /// Has the work done; does `meanwhile` again and again until it has ended.
    fn run(&self, server: &Server, mut meanwhile: impl FnMut() -> Outcome<()>) -> Outcome<()> {
        let mut connection = server.connect()?;
        let begin = Instant::now();
        connection.ask(self.command)?;
        while connection.info("persistence", self.running)? != 0 {
            if begin.elapsed() > LONGEST_SAVE {
                return Err(format!("{} takes too long", self.command.join(" ")).into());
            }
            meanwhile()?;
        }
        Ok(())
    }
}

/// Pings while some work is done in the background and random keys are overwritten.
fn during(
    saving: &Saving,
    server: &Server,
    keys: usize,
    source: &mut Source,
) -> Outcome<Histogram> {
    let pinger = Pinger::start(server.port)?;
    // The pinger must be stopped whatever happens.
    let saved = saving.run(server, || {
        let mut filler = Filler::open(server.port)?;
        for _ in 0..OVERWRITES {
            filler.push(&[b"SET", &key(source.below(keys)), &source.value()])?;
        }
        filler.finish()
    });
    let latency = pinger.stop();
    saved?;
    latency
}
