//! What a server offers to a running script.
//!
//! Owns the [`Host`] trait and the way native functions reach the host of the run under way.
//! Never keeps a host beyond a run.

use scoped_tls_hkt::scoped_thread_local;

use crate::resp::{Args, Reply};

/// What a script may do next, asked about every 100,000 Lua instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// Go on.
    Continue,
    /// End with the error of SCRIPT KILL, which the script can't catch.
    Kill,
}

/// The levels of `redis.log`, in ascending order of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`
    Debug,
    /// `redis.LOG_VERBOSE`
    Verbose,
    /// `redis.LOG_NOTICE`
    Notice,
    /// `redis.LOG_WARNING`
    Warning,
}

/// What `redis.acl_check_cmd` learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclVerdict {
    /// The user may run the command.
    Allowed,
    /// The user may not.
    Denied,
    /// There is no such command.
    UnknownCommand,
}

/// The server, as a script sees it.
pub trait Host {
    /// Runs one command for the script and appends its whole reply to `out`, in the protocol that
    /// `out` is set to (what `redis.setresp` chose). An error reply begins with `-` and counts as
    /// an error raised by the command.
    fn call(&mut self, args: Args<'_>, out: &mut Reply);

    /// Writes to the server's log.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Called about every 100,000 Lua instructions. The host knows when the run began, and decides
    /// about BUSY replies and about ending the script.
    fn tick(&mut self) -> Tick;

    /// `redis.set_repl`: bit 0 stands for the AOF, bit 1 for the replicas.
    fn set_repl(&mut self, flags: u8);

    /// Whether the script's user may run this command.
    fn acl_check(&mut self, args: Args<'_>) -> AclVerdict;
}

scoped_thread_local!(
    /// The host of the run under way.
    static mut HOST: for<'a> &'a mut (dyn Host + 'a)
);

/// Runs `f` with `host` in reach of the native functions.
pub(super) fn with_host_set<R>(host: &mut dyn Host, f: impl FnOnce() -> R) -> R {
    HOST.set(host, f)
}

/// Gives the host of the run under way, or `None` outside of a run.
pub(super) fn with_host<R>(f: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
    HOST.is_set().then(|| HOST.with(|host| f(host)))
}
