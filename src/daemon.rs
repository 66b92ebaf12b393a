//! `daemonize`: the program starts itself again, detached from the terminal, and ends.
//!
//! Owns how the new process is told that it is the daemon. There is no fork without an exec: only
//! one thread would survive it.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Tells a process that it is the daemon.
const MARK: &str = "RHUBARB_DAEMON";

/// Whether this process is the daemon; if so, it leaves its session for one of its own.
pub fn is_daemon() -> bool {
    let marked = env::var_os(MARK).is_some();
    if marked {
        // It fails for the leader of a group: that is a process that somebody detached already.
        let _ = rustix::process::setsid();
    }
    marked
}

/// Starts the program again as a daemon, with the same arguments and, as they were read already,
/// the same bytes at its standard input.
pub fn start(stdin: &[u8]) -> io::Result<()> {
    let mut words = env::args_os();
    let name = words.next().unwrap_or_else(|| OsString::from("rhubarb-server"));
    let mut child = Command::new(env::current_exe()?)
        .arg0(name)
        .args(words)
        .env(MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    match child.stdin.take() {
        Some(mut pipe) => pipe.write_all(stdin),
        None => Ok(()),
    }
}
