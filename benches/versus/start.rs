//! The `start` mode: time from exec to the first PONG.

use crate::Outcome;
use crate::options::Options;
use crate::report::{Cell, Column, Row, Table};
use crate::server::{Server, Side};

/// Runs the mode.
pub fn run(options: &Options) -> Outcome<Table> {
    let mut times = [Vec::new(), Vec::new()];
    let mut resident = [Vec::new(), Vec::new()];
    for round in 0..options.rounds_or(20, 7) {
        for side in Side::turns(round) {
            let server = Server::start(side, options)?;
            times[side as usize].push(server.start_time.as_secs_f64() * 1e3);
            resident[side as usize].push(server.resident()? as f64 / f64::from(1 << 20));
        }
    }
    let cell = |[rhubarb, redis]: &[Vec<f64>; 2]| Cell::from_rounds(rhubarb, redis);
    let row = Row {
        name: "exec to first PONG".to_owned(),
        cells: vec![cell(&times), cell(&resident)],
        note: String::new(),
    };
    Ok(Table {
        title: "start",
        columns: vec![
            Column { title: "ms", decimals: 2, ratio: true },
            Column { title: "resident MiB", decimals: 1, ratio: true },
        ],
        rows: vec![row],
        footer: Vec::new(),
    })
}
