//! A server process: starts it with a private directory and port, reads its cost from `/proc`,
//! and kills it when dropped. Never looks inside it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::options::Options;
use crate::resp::Connection;

/// Longest wait for a server's first PONG.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Kernel clock ticks per second, as user space sees them on every current architecture.
const TICKS_PER_SECOND: u64 = 100;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Rhubarb,
    Redis,
}

impl Side {
    /// In the order of a table's columns.
    pub const BOTH: [Side; 2] = [Side::Rhubarb, Side::Redis];

    /// Both, in the order for a round: who goes first alternates.
    pub fn turns(round: usize) -> [Side; 2] {
        if round.is_multiple_of(2) { Side::BOTH } else { [Side::Redis, Side::Rhubarb] }
    }

    pub fn name(self) -> &'static str {
        match self {
            Side::Rhubarb => "rhubarb",
            Side::Redis => "redis",
        }
    }

    fn path(self, options: &Options) -> &Path {
        match self {
            Side::Rhubarb => &options.rhubarb,
            Side::Redis => &options.redis,
        }
    }
}

/// The first line that each program prints about its version.
pub struct Pair {
    pub rhubarb: String,
    pub redis: String,
}

impl Pair {
    /// Asks both programs for their version, which also proves that they are there.
    pub fn describe(options: &Options) -> Outcome<Pair> {
        let version = |side: Side| -> Outcome<String> {
            let path = side.path(options);
            let output = Command::new(path).arg("--version").output().map_err(|error| {
                format!("cannot run {} ({error}); see --{}", path.display(), side.name())
            })?;
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(text.lines().next().unwrap_or("unknown version").trim().to_owned())
        };
        Ok(Pair { rhubarb: version(Side::Rhubarb)?, redis: version(Side::Redis)? })
    }
}

/// A running server. Dropping it kills the process and removes its directory.
pub struct Server {
    child: Child,
    directory: PathBuf,
    pub port: u16,
    /// From just before exec to the first PONG.
    pub start_time: Duration,
}

impl Server {
    /// Starts a server without persistence and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be run, exits, or does not answer in time; with the end of its log.
    pub fn start(side: Side, options: &Options) -> Outcome<Server> {
        let directory = new_directory()?;
        let port = free_port(options.port)?;
        let log = File::create(directory.join("log"))?;
        let mut command = Command::new(side.path(options));
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .arg("--dir")
            .arg(&directory)
            .args(&options.server_args)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        let begin = Instant::now();
        let child = command.spawn()?;
        let mut server = Server { child, directory, port, start_time: Duration::ZERO };
        server.wait_for_pong(begin).map_err(|error| {
            let log = fs::read_to_string(server.directory.join("log")).unwrap_or_default();
            format!("{} did not start: {error}\n{log}", side.name())
        })?;
        server.start_time = begin.elapsed();
        Ok(server)
    }

    fn wait_for_pong(&mut self, begin: Instant) -> Outcome<()> {
        while begin.elapsed() < START_TIMEOUT {
            if let Ok(mut connection) = self.connect() {
                if connection.ask(&["PING"]).is_ok_and(|reply| reply == "+PONG\r\n") {
                    return Ok(());
                }
            } else if let Some(status) = self.child.try_wait()? {
                return Err(status.to_string().into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Err("no PONG".into())
    }

    pub fn connect(&self) -> Outcome<Connection> {
        Connection::open(self.port)
    }

    /// The processor time of all threads so far, user and kernel.
    ///
    /// Two sources: the scheduler's exact figure for each live thread, and the process's total,
    /// which includes threads that have ended but is cut to ticks. Compare with `Cpu::since`.
    pub fn cpu(&self) -> Outcome<Cpu> {
        let root = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = fs::read_to_string(root.join("stat"))?;
        // The program's name, in parentheses, may contain blanks: count fields after it.
        let fields = stat.rsplit_once(')').ok_or("odd /proc/PID/stat")?.1;
        let ticks: Vec<u64> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map_while(|text| text.parse().ok())
            .collect();
        let [user, system] = ticks[..] else { return Err("odd /proc/PID/stat".into()) };
        let tick = Duration::from_secs(1) / TICKS_PER_SECOND as u32;
        let total = tick * u32::try_from(user + system)?;
        let mut threads = Duration::ZERO;
        for task in fs::read_dir(root.join("task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let ran = text.split_whitespace().next().and_then(|field| field.parse().ok());
            threads += Duration::from_nanos(ran.unwrap_or(0));
        }
        Ok(Cpu { threads, total })
    }

    /// Lets the largest resident set be counted anew.
    pub fn forget_peak(&self) -> Outcome<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    /// The largest resident set since it was forgotten, in bytes.
    pub fn peak_resident(&self) -> Outcome<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        kib(&text, "VmHWM:")
    }

    /// The resident set, in bytes.
    pub fn resident(&self) -> Outcome<u64> {
        let root = PathBuf::from(format!("/proc/{}", self.child.id()));
        // `status` keeps a cheap estimate; the roll-up counts pages, where the kernel has it.
        let (text, name) = match fs::read_to_string(root.join("smaps_rollup")) {
            Ok(text) => (text, "Rss:"),
            Err(_) => (fs::read_to_string(root.join("status"))?, "VmRSS:"),
        };
        kib(&text, name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Failures leave at worst a stray directory; there is nothing better to do about them.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Processor time at one moment.
pub struct Cpu {
    threads: Duration,
    total: Duration,
}

impl Cpu {
    /// The time used since `earlier`: the threads' exact figure, unless threads ended meanwhile
    /// and took more with them than the total's rounding (two ticks) explains.
    pub fn since(&self, earlier: &Cpu) -> Duration {
        let exact = self.threads.saturating_sub(earlier.threads);
        let rounding = Duration::from_secs(2) / TICKS_PER_SECOND as u32;
        exact.max(self.total.saturating_sub(earlier.total).saturating_sub(rounding))
    }
}

/// The bytes that a line of /proc gives in KiB.
fn kib(text: &str, name: &str) -> Outcome<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no resident set")?;
    Ok(kib.parse::<u64>()? * 1024)
}

fn new_directory() -> Outcome<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("versus-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory)?;
    Ok(directory)
}

/// The first port from `first` on that nobody listens on.
fn free_port(first: u16) -> Outcome<u16> {
    (first..=first.saturating_add(99))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| format!("no free port among the hundred from {first}").into())
}
