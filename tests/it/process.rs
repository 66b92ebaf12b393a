//! Servers as processes of their own, each in a directory of its own and on a unix socket: Rhubarb,
//! and a redis-server to compare it with, where one is installed.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wire::Connection;

/// A running server; it ends with this value.
pub struct Process {
    child: Child,
    dir: tempfile::TempDir,
}

impl Process {
    /// Starts a program that understands redis-server's command line, and waits until it answers.
    pub fn start(program: &str, options: &[&str]) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let fixed = ["--port", "0", "--unixsocket", "./socket", "--save", "", "--dir", "."];
        let child = Command::new(program)
            .args(fixed)
            .args(options)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, dir };
        for _ in 0..500 {
            if let Ok(mut connection) = server.connect()
                && connection.call(&["PING"]).is_ok()
            {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other(format!("{program} doesn't answer")))
    }

    /// This crate's server.
    pub fn rhubarb(options: &[&str]) -> io::Result<Self> {
        Self::start(env!("CARGO_BIN_EXE_rhubarb-server"), options)
    }

    /// The redis-server that is installed, if it is one of the version that tests know; else it
    /// prints why there is none.
    pub fn redis(options: &[&str]) -> Option<Self> {
        const KNOWN: &str = "v=7.0.15";
        let version = Command::new("redis-server").arg("--version").output();
        let version = match version {
            Err(error) => {
                eprintln!("skipped: can't run redis-server: {error}");
                return None;
            }
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        };
        if !version.contains(KNOWN) {
            eprintln!("skipped: compares with redis-server {KNOWN}, this is {}", version.trim());
            return None;
        }
        Some(Self::start("redis-server", options).expect("the installed redis-server starts"))
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<Connection> {
        Connection::open(&self.socket())
    }

    /// Waits for its end, for a moment; says how it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        for _ in 0..500 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Its directory.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
