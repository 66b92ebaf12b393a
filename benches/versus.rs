//! Rhubarb and redis-server, side by side over the same work: what does each cost?
//!
//! How to run (Redis must be installed; the release binary of Rhubarb is built by cargo):
//!
//! ```text
//! cargo bench --bench versus                       every command workload, about 4 minutes
//! cargo bench --bench versus -- --quick            the same, at most 40 s, less exact
//! cargo bench --bench versus -- --only get,set --pipeline 16 --rounds 9
//! cargo bench --bench versus -- memory             bytes per key
//! cargo bench --bench versus -- stall              longest pause while filling and saving
//! cargo bench --bench versus -- expire             how late expired keys go
//! cargo bench --bench versus -- start              time from exec to the first PONG
//! cargo bench --bench versus -- all --json out.json
//! ```
//!
//! `-- --help` lists the options. The two servers get equal settings, private directories and free
//! ports on the loopback interface, and are killed at the end.
//!
//! What is measured, mode by mode:
//!
//! - **commands**: each server in turn (A B, B A, A B ...) receives exactly the same requests in the
//!   same order, from 50 connections in a closed loop: each sends P requests and waits for P
//!   replies. *CPU us/op* is the processor time of all the server's threads, user and kernel, over
//!   the number of requests. It is the figure to trust: unlike throughput, it hardly depends on
//!   what else the machine does or on the speed of this generator, which is one thread. Latency is
//!   that of a batch of P, and in a closed loop mostly queueing: compare, do not quote.
//! - **memory**: a fresh server is filled with N keys of one shape; growth of `used_memory` and of
//!   the resident set, over N. So it is "all told": keys, values, tables, indexes, allocator slack.
//! - **stall**: one thread fills the server through pipelines while another pings it each
//!   millisecond; then again while it overwrites keys during a BGSAVE and a BGREWRITEAOF. Pings that
//!   were due while another waited go together and count from the time they were due. The `idle` row is the machine's own noise;
//!   a virtual machine that touches memory for the first time can add much to the first round.
//! - **expire**: keys carry their deadline in their name, a subscriber to `expired` events
//!   subtracts it from the time of arrival. `dense`: all keys fall due within the spread;
//!   `sparse`: one in a hundred does, the others much later. Keys still unannounced when patience
//!   ends (`missing`) count with the lag that they have by then, a lower bound.
//! - **start**: from just before exec to the first `+PONG`.
//!
//! How to read it: a ratio is Rhubarb's figure over Redis's, the median of the rounds' own ratios,
//! with the least and greatest in brackets. Below 1, Rhubarb is cheaper. A wide bracket means a
//! noisy machine: use more `--rounds`. Running Redis against itself (`--rhubarb redis-server`)
//! shows what differences mean nothing.
//!
//! This program never links the server's library: it sees only sockets and `/proc`.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, from outside the server"
)]

#[path = "versus/commands.rs"]
mod commands;
#[path = "versus/expire.rs"]
mod expire;
#[path = "versus/load.rs"]
mod load;
#[path = "versus/memory.rs"]
mod memory;
#[path = "versus/options.rs"]
mod options;
#[path = "versus/report.rs"]
mod report;
#[path = "versus/resp.rs"]
mod resp;
#[path = "versus/server.rs"]
mod server;
#[path = "versus/stall.rs"]
mod stall;
#[path = "versus/start.rs"]
mod start;
#[path = "versus/workloads.rs"]
mod workloads;

use std::process::ExitCode;

use options::{Mode, Options};
use report::Table;

/// What every step returns; an error is a sentence for the user.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let result = match options::parse(std::env::args().skip(1)) {
        Ok(None) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Some(options)) => run(&options),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the chosen modes, prints each table as soon as it is whole, then writes the JSON file.
fn run(options: &Options) -> Outcome<()> {
    let pair = server::Pair::describe(options)?;
    println!("rhubarb: {}\nredis:   {}", pair.rhubarb, pair.redis);
    let mut tables: Vec<Table> = Vec::new();
    for mode in &options.modes {
        let table = match mode {
            Mode::Commands => commands::run(options)?,
            Mode::Memory => memory::run(options)?,
            Mode::Stall => stall::run(options)?,
            Mode::Expire => expire::run(options)?,
            Mode::Start => start::run(options)?,
        };
        println!("\n{table}");
        tables.push(table);
    }
    if let Some(path) = &options.json {
        std::fs::write(path, report::json(&pair.rhubarb, &pair.redis, &tables))?;
    }
    Ok(())
}
