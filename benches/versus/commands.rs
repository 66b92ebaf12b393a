//! The `commands` mode: processor time, throughput and latency per workload and pipeline length.

use std::rc::Rc;
use std::time::Duration;

use crate::Outcome;
use crate::load::{Load, Requests, Turn};
use crate::options::Options;
use crate::report::{Cell, Column, Row, Table};
use crate::server::{Server, Side};
use crate::workloads::{self, Workload};

/// A turn may take so many times its planned length, on a machine that has other work to do.
const SLACK: f64 = 1.5;
/// Unmeasured requests before each turn, as a part of the turn's.
const WARM_UP: f64 = 0.05;

/// A server with its load connections.
struct Contestant {
    server: Server,
    load: Load,
    connections: usize,
}

impl Contestant {
    fn new(side: Side, options: &Options) -> Outcome<Contestant> {
        let server = Server::start(side, options)?;
        let load = Load::connect(server.port, options.connections)?;
        Ok(Contestant { server, load, connections: options.connections })
    }

    /// Back to the state from which a turn, its warm-up included, starts.
    fn reset(&self, plan: &Plan) -> Outcome<()> {
        self.server.connect()?.ask(&["FLUSHALL"])?;
        plan.workload.seed(self.server.port, &plan.requests, plan.count + plan.warm_up())
    }

    /// Sends requests; after a failure the connections are replaced.
    fn send(&mut self, plan: &Plan, count: u64, limit: Duration) -> Outcome<Turn> {
        let turn = self.load.run(&plan.requests, plan.pipeline, count, limit);
        if turn.is_err() {
            self.load = Load::connect(self.server.port, self.connections)?;
        }
        let turn = turn?;
        let wanted = turn.requests * plan.workload.elements_per_reply();
        if turn.nils > 0 || turn.elements != wanted {
            return Err(format!(
                "wrong replies: {} nils, {} elements instead of {wanted}",
                turn.nils, turn.elements
            )
            .into());
        }
        Ok(turn)
    }
}

/// What one row of the table does, turn after turn.
struct Plan {
    workload: Workload,
    pipeline: usize,
    requests: Rc<Requests>,
    /// Requests per turn.
    count: u64,
    /// Planned length of a turn.
    seconds: Duration,
}

impl Plan {
    /// Unmeasured requests before each turn.
    fn warm_up(&self) -> u64 {
        (self.count as f64 * WARM_UP) as u64
    }
}

/// The figures of one server, one per round.
#[derive(Default)]
struct Figures {
    cpu: Vec<f64>,
    throughput: Vec<f64>,
    median: Vec<f64>,
    p99: Vec<f64>,
}

/// Runs the mode.
pub fn run(options: &Options) -> Outcome<Table> {
    let mut contestants =
        [Contestant::new(Side::Rhubarb, options)?, Contestant::new(Side::Redis, options)?];
    let mut table = Table {
        title: "commands",
        columns: vec![
            Column { title: "CPU us/op", decimals: 2, ratio: true },
            Column { title: "thousand op/s", decimals: 1, ratio: false },
            Column { title: "p50 us", decimals: 0, ratio: false },
            Column { title: "p99 us", decimals: 0, ratio: false },
        ],
        rows: Vec::new(),
        footer: Vec::new(),
    };
    for &workload in &options.workloads {
        let requests = workload_requests(workload, &contestants);
        for &pipeline in &options.pipelines {
            let name = format!("{} P={pipeline}", workload.name());
            eprintln!("  {name}");
            let row = requests.as_ref().map_err(ToString::to_string).and_then(|requests| {
                let requests = Rc::clone(requests);
                row(options, &mut contestants, workload, pipeline, requests)
                    .map_err(|error| error.to_string())
            });
            let (cells, note) = match row {
                Ok(cells) => (cells, String::new()),
                Err(error) => ((0..4).map(|_| Cell::default()).collect(), error),
            };
            table.rows.push(Row { name, cells, note });
        }
    }
    table.footer = options.pipelines.iter().filter_map(|&p| summary(&table, p)).collect();
    Ok(table)
}

fn workload_requests(workload: Workload, contestants: &[Contestant; 2]) -> Outcome<Rc<Requests>> {
    let mut digest = String::new();
    if workload == Workload::Eval {
        for contestant in contestants {
            digest = workloads::load_script(contestant.server.port)?;
        }
    }
    Ok(workload.requests(&digest))
}

/// Measures one workload at one pipeline length: calibration, then the rounds.
fn row(
    options: &Options,
    contestants: &mut [Contestant; 2],
    workload: Workload,
    pipeline: usize,
    requests: Rc<Requests>,
) -> Outcome<Vec<Cell>> {
    let usual = Duration::from_millis(if options.quick { 150 } else { 700 });
    let seconds = options.seconds.unwrap_or(usual);
    let mut plan = Plan { workload, pipeline, requests, count: 0, seconds };
    calibrate(&mut plan, contestants, options)?;
    let mut figures = [Figures::default(), Figures::default()];
    for round in 0..options.rounds_or(5, 3) {
        for side in Side::turns(round) {
            let index = side as usize;
            turn(&plan, &mut contestants[index], &mut figures[index])
                .map_err(|error| format!("{}: {error}", side.name()))?;
        }
    }
    let [rhubarb, redis] = &figures;
    Ok(vec![
        Cell::from_rounds(&rhubarb.cpu, &redis.cpu),
        Cell::from_rounds(&rhubarb.throughput, &redis.throughput),
        Cell::from_rounds(&rhubarb.median, &redis.median),
        Cell::from_rounds(&rhubarb.p99, &redis.p99),
    ])
}

/// Seeds both servers and finds how many requests the slower can answer in a turn's time. A fixed
/// number, not a fixed time: so both do the same work on the same data.
fn calibrate(plan: &mut Plan, contestants: &mut [Contestant; 2], options: &Options) -> Outcome<()> {
    let time = Duration::from_millis(if options.quick { 40 } else { 100 });
    let batch = plan.pipeline as u64;
    plan.count = 50_000_u64.next_multiple_of(batch);
    let mut slower = f64::INFINITY;
    for (side, contestant) in Side::BOTH.into_iter().zip(contestants) {
        let mut try_out = || -> Outcome<Turn> {
            contestant.reset(plan)?;
            contestant.send(plan, plan.count, time)
        };
        let turn = try_out().map_err(|error| format!("{}: {error}", side.name()))?;
        slower = slower.min(turn.requests as f64 / turn.elapsed.as_secs_f64());
    }
    let count = (slower * plan.seconds.as_secs_f64()) as u64;
    plan.count = count.max(batch * options.connections as u64).next_multiple_of(batch);
    Ok(())
}

/// One measured turn of one server.
fn turn(plan: &Plan, contestant: &mut Contestant, figures: &mut Figures) -> Outcome<()> {
    let limit = plan.seconds.mul_f64(SLACK);
    if plan.workload.drifts() {
        contestant.reset(plan)?;
    }
    contestant.send(plan, plan.warm_up(), limit)?;
    let before = contestant.server.cpu()?;
    let turn = contestant.send(plan, plan.count, limit)?;
    let used = contestant.server.cpu()?.since(&before);
    let requests = turn.requests as f64;
    figures.cpu.push(used.as_secs_f64() * 1e6 / requests);
    figures.throughput.push(requests / turn.elapsed.as_secs_f64() / 1e3);
    figures.median.push(turn.latency.quantile(0.5) as f64 / 1e3);
    figures.p99.push(turn.latency.quantile(0.99) as f64 / 1e3);
    Ok(())
}

/// The geometric mean of the CPU ratios at one pipeline length.
fn summary(table: &Table, pipeline: usize) -> Option<String> {
    let suffix = format!(" P={pipeline}");
    let rows = table.rows.iter().filter(|row| row.name.ends_with(&suffix));
    let ratios: Vec<f64> = rows.filter_map(|row| row.cells.first()?.ratio()).collect();
    let logs: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    let mean = (logs / ratios.len() as f64).exp();
    let count = ratios.len();
    (count > 0).then(|| format!("P={pipeline}: geometric mean of {count} CPU ratios: {mean:.3}"))
}
