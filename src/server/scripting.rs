//! Running scripts and functions: their host, what they may call, and serving others meanwhile.
//!
//! Owns the state of the run under way and the rules for commands called by scripts. Never
//! compiles or interprets: the engine does.

use crate::acl::Context;
use crate::config::Config;
use crate::resp::{ArgBuf, Args, Error, Reply};
use crate::script::{
    self, AclVerdict, CompileError, Engine, Function, Functions, Host, LogLevel, Outcome, ScriptId,
    Tick, sha1_hex,
};
use crate::server::Server;
use crate::server::client::ClientRef;
use crate::server::command::{Command, CommandId};
use crate::server::ctx::Caller;
use crate::server::propagate::Targets;
use crate::spec::Flags;
use crate::util::clock::Clock;
use crate::util::log::{Level, Log};

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

/// What is run.
#[derive(Debug, Clone, Copy)]
pub enum Code<'a> {
    /// A script of EVAL.
    Script(ScriptId),
    /// A function of a library.
    Function(&'a Function),
}

/// The script or function that is running.
#[derive(Debug)]
struct Run {
    started_ns: u64,
    /// The function, if it is one.
    function: Option<Function>,
    /// The command that runs it, once it has run longer than `busy-reply-threshold`.
    busy: Option<ArgBuf>,
    wrote: bool,
    killed: bool,
}

/// A function that others can be told of: it keeps them waiting.
#[derive(Debug)]
pub struct RunningFunction<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The command that called it.
    pub command: Args<'a>,
    /// For how long it has been running, in milliseconds.
    pub duration_ms: u64,
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

    /// Bytes of the VM, and of the cache of scripts. It takes a moment: not for each command.
    pub fn memory(&self) -> (usize, usize) {
        match &self.engine {
            Some(engine) => (engine.vm_bytes_in_use(), engine.cache_bytes()),
            None => self.memory,
        }
    }

    /// Number of cached scripts.
    pub fn cached(&self) -> usize {
        self.engine.as_ref().map_or(self.cached, |engine| engine.len())
    }

    /// Whether a script has been running for longer than it should.
    pub fn is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.busy.is_some())
    }

    /// Whether a script or function runs.
    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// What clients are told while a script or function keeps them waiting.
    pub fn busy_error(&self) -> Error {
        match self.run.as_ref().is_some_and(|run| run.function.is_some()) {
            true => Error::BusyFunction,
            false => Error::BusyScript,
        }
    }

    /// Has the running script end, or the running function if `function`.
    pub fn kill(&mut self, function: bool) -> Result<(), Error> {
        let busy_error = self.busy_error();
        match &mut self.run {
            Some(run) if run.busy.is_some() && run.wrote => Err(Error::Unkillable),
            Some(run) if run.busy.is_some() && run.function.is_some() != function => {
                Err(busy_error)
            }
            Some(run) if run.busy.is_some() => {
                run.killed = true;
                Ok(())
            }
            _ => Err(Error::NotBusy),
        }
    }
}

/// What a script or function is run for.
#[derive(Debug, Clone, Copy)]
pub struct ScriptCall<'a> {
    /// What is run.
    pub code: Code<'a>,
    /// The command that runs it.
    pub command: Args<'a>,
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
    /// Runs a script or function and appends its reply to `out`; says whether that is an error, or
    /// holds one. Does nothing if one is running.
    pub fn run_script(&mut self, call: ScriptCall<'_>, out: &mut Reply) -> bool {
        let ScriptCall { keys, argv, .. } = call;
        let outcome = match call.code {
            Code::Script(script) => {
                let Some(mut engine) = self.scripting.engine.take() else { return false };
                self.scripting.memory = (engine.vm_bytes(), engine.cache_bytes());
                self.scripting.cached = engine.len();
                let outcome =
                    self.run_hosted(call, |host| engine.run(script, keys, argv, host, out));
                self.scripting.engine = Some(engine);
                outcome
            }
            Code::Function(function) => {
                let Some(mut vm) = self.functions.begin_run() else { return false };
                let outcome = self.run_hosted(call, |host| vm.run(function, keys, argv, host, out));
                self.functions.end_run(vm);
                outcome
            }
        };
        outcome.uncounted.iter().for_each(|code| self.counters.error(code));
        outcome.failed
    }

    fn run_hosted(
        &mut self,
        call: ScriptCall<'_>,
        run: impl FnOnce(&mut dyn Host) -> Outcome,
    ) -> Outcome {
        let function = match call.code {
            Code::Script(_) => None,
            Code::Function(function) => Some(function.clone()),
        };
        // As for any command: the last lap's end is the begin.
        let started_ns = self.lap_ns;
        self.scripting.run =
            Some(Run { started_ns, function, busy: None, wrote: false, killed: false });
        let oom_allowed = call.oom_allowed || !self.is_out_of_memory();
        let mut host = ScriptHost {
            oom_allowed,
            read_only: call.read_only,
            client: call.client,
            command: call.command,
            db: call.db,
            server: self,
        };
        let outcome = run(&mut host);
        self.propagation.narrow(Targets::all());
        self.scripting.run = None;
        outcome
    }

    /// The flags of a command, where what a script or function declares of writing says more than the
    /// command that runs it.
    pub(in crate::server) fn declared_flags(&self, command: &Command, args: &Args<'_>) -> Flags {
        let code = args.get(1).unwrap_or_default();
        let declared = match command.name {
            "eval" | "eval_ro" => script::Flags::of_script(code),
            "evalsha" | "evalsha_ro" => {
                let engine = self.scripting.engine.as_deref();
                engine.and_then(|engine| Some(engine.script(engine.find(code)?).flags))
            }
            "fcall" | "fcall_ro" => self.functions.find(code).map(Function::flags),
            _ => None,
        };
        match declared {
            Some(flags) if flags.contains(script::Flags::NO_WRITES) => {
                command.flags.difference(Flags::MAY_REPLICATE)
            }
            _ => command.flags,
        }
    }

    /// The function that keeps clients waiting, if one does.
    pub fn busy_function(&self) -> Option<RunningFunction<'_>> {
        let run = self.scripting.run.as_ref()?;
        let (name, command) = (run.function.as_ref()?.name(), run.busy.as_ref()?.args());
        let duration_ms = self.clock.mono_ns().saturating_sub(run.started_ns) / 1_000_000;
        Some(RunningFunction { name, command, duration_ms })
    }

    /// Changes the libraries of functions. The code of those that are loaded may run as long as
    /// `limit_ms` says, or for ever.
    pub fn change_functions<T>(
        &mut self,
        limit_ms: Option<u64>,
        change: impl FnOnce(&mut Functions, &mut dyn Host) -> Result<T, CompileError>,
    ) -> Result<T, CompileError> {
        let (clock, started_ns) = (&*self.clock, self.clock.mono_ns());
        let mut host = LoadHost { log: &self.log, clock, started_ns, limit_ms };
        change(&mut self.functions, &mut host)
    }
}

/// The server, as the code of a library sees it while it is loaded: it can do no more than log.
struct LoadHost<'a> {
    log: &'a Log,
    clock: &'a dyn Clock,
    started_ns: u64,
    limit_ms: Option<u64>,
}

impl Host for LoadHost<'_> {
    fn call(&mut self, _: Args<'_>, out: &mut Reply) {
        out.error(&Error::NotFromScript);
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        log(self.log, level, message);
    }

    fn tick(&mut self) -> Tick {
        let elapsed_ms = self.clock.mono_ns().saturating_sub(self.started_ns) / 1_000_000;
        match self.limit_ms.is_some_and(|limit| elapsed_ms > limit) {
            true => Tick::Kill,
            false => Tick::Continue,
        }
    }

    fn set_repl(&mut self, _: u8) {}

    fn acl_check(&mut self, _: Args<'_>) -> AclVerdict {
        AclVerdict::Denied
    }
}

fn log(log: &Log, level: LogLevel, message: &[u8]) {
    let level = match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Verbose => Level::Verbose,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warning => Level::Warning,
    };
    log.write(level, format_args!("{}", String::from_utf8_lossy(message)));
}

/// The server, as a running script sees it.
struct ScriptHost<'a> {
    server: &'a mut Server,
    client: ClientRef,
    command: Args<'a>,
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

    /// Whether the caller's user may execute the command.
    fn check_user(&mut self, id: CommandId, args: &Args<'_>) -> Result<(), Error> {
        let Some(client) = self.server.clients.get(self.client) else { return Ok(()) };
        self.server.check_client(client, id, args).map_err(|denial| {
            let text = self.server.deny(self.client, id, args, denial, Context::Lua);
            Error::other(format!("ERR ACL failure in script: {text}"))
        })
    }

    /// The checks before a script's command is executed.
    fn check(&self, flags: Flags) -> Result<(), Error> {
        if flags.contains(Flags::NOSCRIPT) && !self.server.allow_deny_scripts {
            return Err(Error::NotFromScript);
        }
        if flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE) && self.read_only {
            return Err(Error::ReadOnlyScript);
        }
        // What a script has begun to write it may finish: half of it would be worse.
        let wrote = self.server.scripting.run.as_ref().is_some_and(|run| run.wrote);
        if flags.contains(Flags::DENYOOM) && !self.oom_allowed && !wrote {
            return Err(Error::Oom);
        }
        if flags.contains(Flags::WRITE)
            && !wrote
            && let Some(error) = self.server.rdb_error()
        {
            return Err(error);
        }
        Ok(())
    }
}

impl Host for ScriptHost<'_> {
    fn call(&mut self, args: Args<'_>, out: &mut Reply) {
        let Ok(id) = self.server.commands.find(&args) else {
            return self.refuse(&Error::ScriptUnknownCommand, out);
        };
        let command = self.server.commands.get(id).command;
        let checked = match command.fits(args.len()) {
            true => self.check(command.flags).and_then(|()| self.check_user(id, &args)),
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
        log(&self.server.log, level, message);
    }

    fn tick(&mut self) -> Tick {
        let server = &mut *self.server;
        let now_ns = server.clock.mono_ns();
        let Some(run) = &mut server.scripting.run else { return Tick::Continue };
        let elapsed_ms = now_ns.saturating_sub(run.started_ns) / 1_000_000;
        if run.busy.is_none() {
            if threshold_ms(&server.config).is_none_or(|limit| elapsed_ms < limit) {
                return Tick::Continue;
            }
            run.busy = Some(ArgBuf::from(self.command));
            let (kill, name) = match &run.function {
                Some(function) => ("FUNCTION KILL", function.name().into()),
                None => ("SCRIPT KILL", sha_of(self.command)),
            };
            server.log.warning(format_args!(
                "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can \
                 try killing the script using the {kill} command. Script name is: {}.",
                String::from_utf8_lossy(&name)
            ));
        }
        server.poll_while_busy();
        let killed = server.scripting.run.as_ref().is_some_and(|run| run.killed);
        if killed {
            let function = server.scripting.run.as_ref().is_some_and(|run| run.function.is_some());
            let command = if function { "FUNCTION" } else { "SCRIPT" };
            server.log.notice(format_args!("Script killed by user with {command} KILL."));
        }
        match killed || server.shutdown.is_some() {
            true => Tick::Kill,
            false => Tick::Continue,
        }
    }

    fn set_repl(&mut self, flags: u8) {
        self.server.propagation.narrow(Targets::from_bits_truncate(flags));
    }

    fn acl_check(&mut self, args: Args<'_>) -> AclVerdict {
        let Ok(id) = self.server.commands.find(&args) else { return AclVerdict::UnknownCommand };
        let client = self.server.clients.get(self.client);
        match client.map(|client| self.server.check_client(client, id, &args)) {
            Some(Err(_)) => AclVerdict::Denied,
            _ => AclVerdict::Allowed,
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

/// The SHA1 that names the script of an EVAL or EVALSHA.
fn sha_of(command: Args<'_>) -> Box<[u8]> {
    let body = command.get(1).unwrap_or_default();
    match command.get(0).is_some_and(|name| name.to_ascii_lowercase().starts_with(b"evalsha")) {
        true => body.to_ascii_lowercase().into(),
        false => sha1_hex(body).into(),
    }
}

/// Milliseconds after which a script counts as busy; none for never.
fn threshold_ms(config: &Config) -> Option<u64> {
    (config.busy_reply_threshold > 0).then_some(config.busy_reply_threshold)
}
