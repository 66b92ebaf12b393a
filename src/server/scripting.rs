//! Running scripts: the engine's host, what a script may call, and serving others meanwhile.
//!
//! Owns the state of the run under way and the rules for commands called by scripts. Never
//! compiles or interprets: the engine does.

use crate::config::Config;
use crate::resp::{Args, Error, Reply};
use crate::script::{AclVerdict, Engine, Host, LogLevel, ScriptId, Tick};
use crate::server::Server;
use crate::server::client::ClientRef;
use crate::server::command::NotFound;
use crate::server::ctx::Caller;
use crate::server::propagate::Targets;
use crate::spec::Flags;
use crate::util::log::Level;

/// The engine, and the run under way.
#[derive(Default)]
pub struct Scripting {
    /// The engine; it is with the run while a script runs.
    engine: Option<Box<Engine>>,
    run: Option<Run>,
    /// `lua-enable-deprecated-api`.
    deprecated_api: bool,
    /// Bytes of the VM and of the cache, as they were when the engine was last at rest.
    memory: (usize, usize),
    cached: usize,
}

/// The script that is running.
#[derive(Debug)]
struct Run {
    started_ns: u64,
    /// Whether it has run longer than `busy-reply-threshold`.
    busy: bool,
    wrote: bool,
    killed: bool,
}

/// Why SCRIPT KILL can't end a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillError {
    /// No script is running.
    NotBusy,
    /// It has written already.
    Unkillable,
}

impl Scripting {
    /// No engine yet; the one to come lets scripts see the deprecated API, or not.
    pub fn new(deprecated_api: bool) -> Self {
        Self { deprecated_api, ..Self::default() }
    }

    /// The engine; none while a script runs.
    pub fn engine(&mut self) -> Option<&mut Engine> {
        match self.run {
            Some(_) => None,
            None => {
                let deprecated_api = self.deprecated_api;
                Some(self.engine.get_or_insert_with(|| Box::new(Engine::new(deprecated_api))))
            }
        }
    }

    /// Puts a fresh engine in the place of the old one.
    pub fn flush(&mut self) {
        if self.run.is_none() {
            self.engine = None;
            self.memory = (0, 0);
            self.cached = 0;
        }
    }

    /// Bytes of the VM, and of the cache of scripts.
    pub fn memory(&self) -> (usize, usize) {
        match &self.engine {
            Some(engine) => (engine.vm_bytes(), engine.cache_bytes()),
            None => self.memory,
        }
    }

    /// Number of cached scripts.
    pub fn cached(&self) -> usize {
        self.engine.as_ref().map_or(self.cached, |engine| engine.len())
    }

    /// Whether a script has been running for longer than it should.
    pub fn is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.busy)
    }

    /// Has the running script end.
    pub fn kill(&mut self) -> Result<(), KillError> {
        match &mut self.run {
            Some(run) if run.busy && run.wrote => Err(KillError::Unkillable),
            Some(run) if run.busy => {
                run.killed = true;
                Ok(())
            }
            _ => Err(KillError::NotBusy),
        }
    }
}

/// What a script is run for.
#[derive(Debug, Clone, Copy)]
pub struct ScriptCall<'a> {
    /// The script.
    pub script: ScriptId,
    /// KEYS.
    pub keys: Args<'a>,
    /// ARGV.
    pub argv: Args<'a>,
    /// Whether it may not write.
    pub read_only: bool,
    /// Whether it may take memory though there is none left (`allow-oom`).
    pub oom_allowed: bool,
    /// The client that runs it.
    pub client: ClientRef,
    /// The client's database.
    pub db: usize,
}

impl Server {
    /// Runs a script and appends its reply to `out`; says whether that is an error that has yet
    /// to be counted.
    pub fn run_script(&mut self, call: ScriptCall<'_>, out: &mut Reply) -> bool {
        let Some(mut engine) = self.scripting.engine.take() else { return false };
        self.scripting.memory = (engine.vm_bytes(), engine.cache_bytes());
        self.scripting.cached = engine.len();
        let started_ns = self.clock.mono_ns();
        let run = Run { started_ns, busy: false, wrote: false, killed: false };
        self.scripting.run = Some(run);
        let oom_allowed = call.oom_allowed || !self.is_out_of_memory();
        let mut host = ScriptHost {
            oom_allowed,
            read_only: call.read_only,
            client: call.client,
            db: call.db,
            server: self,
        };
        let outcome = engine.run(call.script, call.keys, call.argv, &mut host, out);
        self.propagation.narrow(Targets::all());
        self.scripting.run = None;
        self.scripting.engine = Some(engine);
        outcome.failed && !outcome.counted
    }
}

/// The server, as a running script sees it.
struct ScriptHost<'a> {
    server: &'a mut Server,
    client: ClientRef,
    /// What the script has selected; its client's selection stays.
    db: usize,
    read_only: bool,
    /// Whether commands that take memory may run, as it was when the script began.
    oom_allowed: bool,
}

impl ScriptHost<'_> {
    fn refuse(&mut self, error: &Error, out: &mut Reply) {
        out.error(error);
        self.server.counters.error(error.code());
    }

    /// The checks before a script's command is executed.
    fn check(&self, flags: Flags) -> Result<(), Error> {
        if flags.contains(Flags::NOSCRIPT) && !self.server.allow_deny_scripts {
            return Err(Error::NotFromScript);
        }
        if flags.contains(Flags::WRITE) && self.read_only {
            return Err(Error::ReadOnlyScript);
        }
        // What a script has begun to write it may finish: half of it would be worse.
        let wrote = self.server.scripting.run.as_ref().is_some_and(|run| run.wrote);
        if flags.contains(Flags::DENYOOM) && !self.oom_allowed && !wrote {
            return Err(Error::Oom);
        }
        Ok(())
    }
}

impl Host for ScriptHost<'_> {
    fn call(&mut self, args: Args<'_>, out: &mut Reply) {
        let found = self.server.commands.find(&args);
        let id = match found {
            Ok(id) => id,
            Err(NotFound::Command) => return self.refuse(&Error::ScriptUnknownCommand, out),
            Err(NotFound::Subcommand(container)) => {
                let error = self.server.unknown_subcommand(container, &args);
                return self.refuse(&error, out);
            }
        };
        let command = self.server.commands.get(id).command;
        let checked = match command.fits(args.len()) {
            true => self.check(command.flags),
            false => Err(Error::ScriptArity),
        };
        if let Err(error) = checked {
            if let Some(stats) = self.server.counters.per_command.get_mut(id.index()) {
                stats.rejected += 1;
            }
            return self.refuse(&error, out);
        }
        if command.flags.contains(Flags::WRITE)
            && let Some(run) = &mut self.server.scripting.run
        {
            run.wrote = true;
        }
        let reply = std::mem::take(out);
        let called = self.server.call(self.client, id, self.db, args, Caller::Script, reply);
        self.db = called.db;
        *out = called.out;
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        let level = match level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Verbose => Level::Verbose,
            LogLevel::Notice => Level::Notice,
            LogLevel::Warning => Level::Warning,
        };
        let message = String::from_utf8_lossy(message);
        self.server.log.write(level, format_args!("{message}"));
    }

    fn tick(&mut self) -> Tick {
        let server = &mut *self.server;
        let now_ns = server.clock.mono_ns();
        let Some(run) = &mut server.scripting.run else { return Tick::Continue };
        let elapsed_ms = now_ns.saturating_sub(run.started_ns) / 1_000_000;
        if !run.busy && threshold_ms(&server.config).is_some_and(|limit| elapsed_ms >= limit) {
            run.busy = true;
            server.log.warning(format_args!(
                "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can \
                 try killing the script using the SCRIPT KILL command."
            ));
        }
        if !run.busy {
            return Tick::Continue;
        }
        server.poll_while_busy();
        let killed = server.scripting.run.as_ref().is_some_and(|run| run.killed);
        match killed || server.shutdown.is_some() {
            true => Tick::Kill,
            false => Tick::Continue,
        }
    }

    fn set_repl(&mut self, flags: u8) {
        self.server.propagation.narrow(Targets::from_bits_truncate(flags));
    }

    fn acl_check(&mut self, args: Args<'_>) -> AclVerdict {
        // The default user may run everything.
        match self.server.commands.find(&args) {
            Ok(_) => AclVerdict::Allowed,
            Err(_) => AclVerdict::UnknownCommand,
        }
    }
}

impl Server {
    /// Lets the network layer serve other clients while a script runs.
    pub fn poll_while_busy(&mut self) {
        // The link to the network layer is out of the server meanwhile, so that both can be used.
        let mut network = std::mem::replace(&mut self.network, Box::new(super::network::NoNetwork));
        network.poll_busy(self);
        self.network = network;
    }
}

/// Milliseconds after which a script counts as busy; none for never.
fn threshold_ms(config: &Config) -> Option<u64> {
    (config.busy_reply_threshold > 0).then_some(config.busy_reply_threshold)
}
