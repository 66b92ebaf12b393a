//! The command line of the benchmark. Parses it into `Options`; never starts anything.

use std::path::PathBuf;
use std::time::Duration;

use crate::Outcome;
use crate::workloads::Workload;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: cargo bench --bench versus -- [MODE...] [OPTION...]

modes: commands (default), memory, stall, expire, start, all

  --rhubarb PATH     the server under test (default: the release binary)
  --redis PATH       the server to compare with (default: redis-server)
  --server-args STR  further arguments for both servers, split at blanks
  --port N           first port to try (default: 7400)
  --quick            fewer and shorter rounds, fewer keys
  --rounds N         turns per server (default: 5; stall: 3; start: 20)
  --json FILE        also write all figures as JSON

commands:
  --only A,B         of: get set incr lpush rpop sadd hset zadd lrange_100 mset eval
  --pipeline N,M     requests per batch (default: 1,16)
  --seconds S        length of one turn (default: 0.7)
  --connections N    (default: 50)

memory, stall, expire:
  --keys N           (default: 1000000; stall: 5000000)

expire:
  --spread S         seconds over which the keys fall due (default: 10)
  --patience S       how long to wait for late keys after that (default: 20)
";

/// One kind of measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Commands,
    Memory,
    Stall,
    Expire,
    Start,
}

impl Mode {
    const ALL: [(&'static str, Mode); 5] = [
        ("commands", Mode::Commands),
        ("memory", Mode::Memory),
        ("stall", Mode::Stall),
        ("expire", Mode::Expire),
        ("start", Mode::Start),
    ];
}

/// The parsed command line. `None` stands for a default that depends on the mode.
pub struct Options {
    pub modes: Vec<Mode>,
    pub rhubarb: PathBuf,
    pub redis: PathBuf,
    pub server_args: Vec<String>,
    pub port: u16,
    pub quick: bool,
    pub rounds: Option<usize>,
    pub seconds: Option<Duration>,
    pub keys: Option<usize>,
    pub workloads: Vec<Workload>,
    pub pipelines: Vec<usize>,
    pub connections: usize,
    pub spread: Option<Duration>,
    pub patience: Option<Duration>,
    pub json: Option<PathBuf>,
}

impl Options {
    fn new() -> Options {
        Options {
            modes: Vec::new(),
            rhubarb: default_rhubarb(),
            redis: PathBuf::from("redis-server"),
            server_args: Vec::new(),
            port: 7400,
            quick: false,
            rounds: None,
            seconds: None,
            keys: None,
            workloads: Workload::ALL.to_vec(),
            pipelines: vec![1, 16],
            connections: 50,
            spread: None,
            patience: None,
            json: None,
        }
    }

    /// The chosen number of rounds, or `usual`, or `quick` with `--quick`.
    pub fn rounds_or(&self, usual: usize, quick: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { quick } else { usual })
    }

    /// The chosen number of keys, or `usual`, or a tenth of it with `--quick`.
    pub fn keys_or(&self, usual: usize) -> usize {
        self.keys.unwrap_or(if self.quick { usual / 10 } else { usual })
    }
}

/// The binary that cargo built for this benchmark, else the release build of the working directory.
fn default_rhubarb() -> PathBuf {
    PathBuf::from(
        option_env!("CARGO_BIN_EXE_rhubarb-server").unwrap_or("target/release/rhubarb-server"),
    )
}

/// Parses the arguments after the program's name.
///
/// `cargo bench` adds `--bench`; `cargo test --all-targets` also runs this program, but without
/// it, and must not measure: then, unless a mode is named first, and for
/// `--help`, the result is `None`: print `USAGE`.
///
/// # Errors
/// A sentence that names the argument that is unknown, lacks its value or has a bad one.
pub fn parse(args: impl Iterator<Item = String>) -> Outcome<Option<Options>> {
    let mut args: Vec<String> = args.collect();
    let by_cargo = args.iter().any(|arg| arg == "--bench");
    args.retain(|arg| arg != "--bench");
    let named = args.first().is_some_and(|arg| modes_named(arg).is_some());
    if !(by_cargo || named) || args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return Ok(None);
    }
    let mut options = Options::new();
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        if let Some(modes) = modes_named(&arg) {
            options.modes.extend(modes);
        } else if arg == "--quick" {
            options.quick = true;
        } else if arg.starts_with("--") {
            let value =
                rest.next().ok_or_else(|| format!("'{arg}' is unknown or lacks a value"))?;
            set(&mut options, &arg, &value)?;
        } else {
            return Err(format!("unknown mode '{arg}'; try --help").into());
        }
    }
    if options.modes.is_empty() {
        options.modes.push(Mode::Commands);
    }
    Ok(Some(options))
}

fn modes_named(name: &str) -> Option<Vec<Mode>> {
    if name == "all" {
        return Some(Mode::ALL.iter().map(|(_, mode)| *mode).collect());
    }
    Mode::ALL.iter().find(|(known, _)| *known == name).map(|(_, mode)| vec![*mode])
}

fn set(options: &mut Options, name: &str, value: &str) -> Outcome<()> {
    match name {
        "--rhubarb" => options.rhubarb = PathBuf::from(value),
        "--redis" => options.redis = PathBuf::from(value),
        "--server-args" => {
            options.server_args = value.split_whitespace().map(str::to_owned).collect();
        }
        "--port" => options.port = positive(name, value)?,
        "--rounds" => options.rounds = Some(positive(name, value)?),
        "--seconds" => options.seconds = Some(seconds(name, value)?),
        "--keys" => options.keys = Some(positive(name, value)?),
        "--only" => options.workloads = list(value, Workload::named)?,
        "--pipeline" => options.pipelines = list(value, |item| positive(name, item))?,
        "--connections" => options.connections = positive(name, value)?,
        "--spread" => options.spread = Some(seconds(name, value)?),
        "--patience" => options.patience = Some(seconds(name, value)?),
        "--json" => options.json = Some(PathBuf::from(value)),
        _ => return Err(format!("unknown option '{name}'; try --help").into()),
    }
    Ok(())
}

fn list<T>(value: &str, parse: impl Fn(&str) -> Outcome<T>) -> Outcome<Vec<T>> {
    value.split(',').map(parse).collect()
}

fn positive<T: std::str::FromStr + Default + PartialEq>(name: &str, value: &str) -> Outcome<T> {
    match value.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(format!("'{name} {value}': a positive number is wanted").into()),
    }
}

fn seconds(name: &str, value: &str) -> Outcome<Duration> {
    match value.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 3600.0 => Ok(Duration::from_secs_f64(number)),
        _ => Err(format!("'{name} {value}': seconds are wanted, at most 3600").into()),
    }
}
