//! The `memory` mode: what a key of each shape costs, all told.

use std::time::Duration;

use crate::Outcome;
use crate::options::Options;
use crate::report::{Cell, Column, Row, Table};
use crate::resp::{Connection, Filler};
use crate::server::{Server, Side};
use crate::workloads::{Source, key, member};

/// Time for tables to finish growing and for the allocator to give pages back: so many polls.
const SETTLE_POLLS: usize = 25;
const POLL: Duration = Duration::from_millis(200);

/// What every key of a run looks like.
#[derive(Clone, Copy)]
enum Shape {
    Plain,
    RandomTtl,
    ConstantTtl,
    Hash,
    Set,
    Zset,
    List,
}

impl Shape {
    const ALL: [(Shape, &'static str); 7] = [
        (Shape::Plain, "16 B key, 64 B value"),
        (Shape::RandomTtl, "  + random TTL"),
        (Shape::ConstantTtl, "  + constant TTL"),
        (Shape::Hash, "hash of 5 fields"),
        (Shape::Set, "set of 20 members"),
        (Shape::Zset, "zset of 10 members"),
        (Shape::List, "list of 20 elements"),
    ];

    /// Queues the one command that makes a key. Elements are 16 bytes, like the keys.
    fn push(self, filler: &mut Filler, key: &[u8], source: &mut Source) -> Outcome<()> {
        let value = source.value();
        let mut several = |command: &'static str, count: usize, with_number: bool| {
            let mut args = vec![command.as_bytes().to_vec(), key.to_vec()];
            for index in 0..count {
                // Members differ within a key and between keys.
                let name = member(index * 10_000_000 + source.below(10_000_000));
                let number = source.below(100_000).to_string().into_bytes();
                match command {
                    "ZADD" => args.extend([number, name]),
                    _ if with_number => args.extend([name, number]),
                    _ => args.push(name),
                }
            }
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            filler.push(&args)
        };
        match self {
            Shape::Hash => several("HSET", 5, true),
            Shape::Set => several("SADD", 20, false),
            Shape::Zset => several("ZADD", 10, true),
            Shape::List => several("RPUSH", 20, false),
            Shape::Plain => filler.push(&[b"SET", key, &value]),
            Shape::ConstantTtl => filler.push(&[b"SET", key, &value, b"EX", b"86400"]),
            Shape::RandomTtl => {
                let ttl = (3_600_000 + source.below(86_400_000)).to_string();
                filler.push(&[b"SET", key, &value, b"PX", ttl.as_bytes()])
            }
        }
    }
}

/// Runs the mode.
pub fn run(options: &Options) -> Outcome<Table> {
    let keys = options.keys_or(1_000_000);
    let mut rows = Vec::new();
    for (shape, name) in Shape::ALL {
        eprintln!("  {}", name.trim());
        let mut used = [Vec::new(), Vec::new()];
        let mut resident = [Vec::new(), Vec::new()];
        let mut note = String::new();
        for side in Side::BOTH {
            match measure(side, options, shape, keys) {
                Ok([first, second]) => {
                    used[side as usize].push(first);
                    resident[side as usize].push(second);
                }
                Err(error) => note += &format!("{}: {error}; ", side.name()),
            }
        }
        let cell = |[rhubarb, redis]: &[Vec<f64>; 2]| Cell::from_rounds(rhubarb, redis);
        rows.push(Row { name: name.to_owned(), cells: vec![cell(&used), cell(&resident)], note });
    }
    Ok(Table {
        title: "memory",
        columns: vec![
            Column { title: "used_memory, B/key", decimals: 1, ratio: true },
            Column { title: "resident, B/key", decimals: 1, ratio: true },
        ],
        rows,
        footer: vec![format!("{keys} keys of each shape")],
    })
}

/// Growth of `used_memory` and of the resident set of a fresh server, in bytes per key.
fn measure(side: Side, options: &Options, shape: Shape, keys: usize) -> Outcome<[f64; 2]> {
    let server = Server::start(side, options)?;
    let mut connection = server.connect()?;
    let used_before = connection.info("memory", "used_memory")?;
    let resident_before = server.resident()?;
    let mut filler = Filler::open(server.port)?;
    let mut source = Source::new();
    for number in 0..keys {
        shape.push(&mut filler, &key(number), &mut source)?;
    }
    filler.finish()?;
    let used = settled(&mut connection)?;
    let size = connection.ask(&["DBSIZE"])?;
    if size.trim() != format!(":{keys}") {
        return Err(format!("{keys} keys written, but DBSIZE says {}", size.trim()).into());
    }
    let per_key = |after: u64, before: u64| after.saturating_sub(before) as f64 / keys as f64;
    Ok([per_key(used, used_before), per_key(server.resident()?, resident_before)])
}

/// `used_memory` once it has stopped changing for a second, or after five at most.
fn settled(connection: &mut Connection) -> Outcome<u64> {
    let mut last = connection.info("memory", "used_memory")?;
    let mut steady = 0;
    for _ in 0..SETTLE_POLLS {
        std::thread::sleep(POLL);
        let now = connection.info("memory", "used_memory")?;
        // The reply being written is itself part of the figure: small changes are no change.
        steady = if now.abs_diff(last) < 64 << 10 { steady + 1 } else { 0 };
        last = now;
        if steady == 5 {
            break;
        }
    }
    Ok(last)
}
