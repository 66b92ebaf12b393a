//! The pipeline: from a client's arguments to the reply in its buffer.
//!
//! Owns the order of the checks, queueing between MULTI and EXEC, the measuring of calls, and what
//! follows a command: late pushes, blocked clients that can be served.

use crate::config::NotifyFlags;
use crate::resp::{ArgBuf, Args, Error, Reply};
use crate::server::Server;
use crate::server::client::{Client, ClientFlags, ClientRef, Queued};
use crate::server::command::{Command, CommandId, NotFound};
use crate::server::ctx::{Caller, Ctx};
use crate::server::redact;
use crate::spec::Flags;
use crate::stats::latency::Sample;
use crate::stats::slowlog::{self, SlowCommand};

/// What a call leaves behind.
#[derive(Debug)]
pub struct Called {
    /// The buffer that was given, with the reply.
    pub out: Reply,
    /// Whether the client now waits, and there is no reply yet.
    pub blocks: bool,
    /// The database selected afterwards.
    pub db: usize,
}

impl Server {
    /// Executes, queues or refuses what a client sent; the reply stands in its buffer afterwards.
    /// Says `false` if the command is held back: it is to be given again when the client may go on.
    pub fn process(&mut self, id: ClientRef, args: Args<'_>) -> bool {
        self.process_found(id, self.commands.find(&args), args)
    }

    /// As [`process`](Self::process), with the command looked up already.
    pub fn process_found(
        &mut self,
        id: ClientRef,
        found: Result<CommandId, NotFound>,
        args: Args<'_>,
    ) -> bool {
        let now_ms = self.now_ms;
        let calm = self.is_calm();
        if !calm {
            self.limit_tracked_keys();
            self.evict_clients();
        }
        let Some(client) = self.clients.get_mut(id) else { return true };
        if client.flags.contains(ClientFlags::CLOSE_ASAP) {
            return true;
        }
        client.active_ms = now_ms;
        let command = match found {
            Ok(command) => command,
            Err(NotFound::Command) if is_http(&args) => {
                self.abort_http(id);
                return true;
            }
            Err(missing) => {
                let error = match missing {
                    NotFound::Command => Error::unknown_command(args.at(0), args.from(1).iter()),
                    NotFound::Subcommand(container) => self.unknown_subcommand(container, &args),
                };
                self.reject(id, None, &error);
                return true;
            }
        };
        client.last_command = Some(command);
        if let Err(error) = self.admit(id, command, &args) {
            self.reject(id, Some(command), &error);
            return true;
        }
        let row = self.commands.get(command).command;
        if !calm && let Err(error) = self.admit_now(id, row) {
            self.reject(id, Some(command), &error);
            return true;
        }
        let Some(client) = self.clients.get_mut(id) else { return true };
        if client.in_multi() && !row.runs_in_multi() {
            let queued = Queued { command, args: ArgBuf::from(args) };
            client.queued_bytes += queued.args.heap_bytes() + size_of::<Queued>();
            client.queued.push(queued);
            client.out.raw(b"+QUEUED\r\n");
            return true;
        }
        let db = client.db;
        if !calm && self.pause.is_some() {
            let flags = self.pause_flags(id, row, &args);
            if self.holds_back(id, flags) {
                return false;
            }
        }
        self.execute(id, command, db, args, Caller::Client);
        self.end_caching(id, Some(command));
        if self.depth == 0 {
            self.serve_ready_keys();
        }
        true
    }

    /// A command's flags, with those of the queued commands if it is EXEC.
    fn effective_flags(&self, id: ClientRef, command: &Command) -> Flags {
        let queued = self.queued_for(id, command).iter();
        let flags = queued.map(|queued| self.commands.get(queued.command).command.flags);
        flags.fold(command.flags, Flags::union)
    }

    /// The same as CLIENT PAUSE sees them.
    fn pause_flags(&self, id: ClientRef, command: &Command, args: &Args<'_>) -> Flags {
        let queued = self.queued_for(id, command).iter();
        let flags = queued.map(|queued| {
            self.declared_flags(self.commands.get(queued.command).command, &queued.args.args())
        });
        flags.fold(self.declared_flags(command, args), Flags::union)
    }

    /// What a command executes besides itself: EXEC what is queued, others nothing.
    fn queued_for(&self, id: ClientRef, command: &Command) -> &[Queued] {
        match self.clients.get(id) {
            Some(client) if command.name == "exec" => &client.queued,
            _ => &[],
        }
    }

    /// Whether nothing is the case that is seldom so and that every command must know of: one test
    /// instead of many.
    #[inline]
    fn is_calm(&self) -> bool {
        // Without branches: each is a load, and none of them is likely to end the search early.
        !((self.config.maxmemory > 0)
            | self.is_loading()
            | self.pause.is_some()
            | !self.rdb.last_ok
            | self.aof.log.fails()
            | self.limits_client_memory()
            | !self.tracking.is_idle())
    }

    /// The checks that depend on the state that the server is in.
    fn admit_now(&mut self, id: ClientRef, row: &Command) -> Result<(), Error> {
        if self.config.maxmemory > 0
            && self.effective_flags(id, row).contains(Flags::DENYOOM)
            && self.is_out_of_memory()
        {
            return Err(Error::Oom);
        }
        if self.is_loading() && !row.flags.contains(Flags::LOADING) {
            return Err(Error::Loading);
        }
        self.disk_error(id, row).map_or(Ok(()), Err)
    }

    /// Why a command that writes (or PING, as who watches over servers should know) is refused, if
    /// it is: the disk takes nothing.
    fn disk_error(&self, id: ClientRef, row: &Command) -> Option<Error> {
        let error = self.rdb_error().or_else(|| self.aof_error())?;
        let writes = self.effective_flags(id, row).contains(Flags::WRITE) || row.name == "ping";
        writes.then_some(error)
    }

    /// The checks before a client's command is executed or queued.
    fn admit(&mut self, id: ClientRef, command: CommandId, args: &Args<'_>) -> Result<(), Error> {
        let row = self.commands.get(command);
        let flags = row.command.flags;
        if !row.command.fits(args.len()) {
            return Err(Error::wrong_arity(&*row.full_name));
        }
        let Some(client) = self.clients.get(id) else { return Ok(()) };
        if flags.contains(Flags::PROTECTED) {
            self.check_protected(client, row.command)?;
        }
        if !flags.contains(Flags::NO_AUTH) && self.needs_login(client) {
            return Err(Error::NoAuth);
        }
        if client.in_multi() && flags.contains(Flags::NO_MULTI) {
            return Err(Error::CommandInMulti);
        }
        if let Err(denial) = self.check_client(client, command, args) {
            return Err(self.no_permission(id, command, args, denial));
        }
        let subscribed = !client.subs.is_empty();
        if subscribed && !client.out.resp3() && !row.command.allowed_when_subscribed() {
            let name = row.command.name;
            return Err(Error::other(format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT \
                 / RESET are allowed in this context"
            )));
        }
        Ok(())
    }

    /// Whether the configuration lets this client call DEBUG, or load modules.
    fn check_protected(&self, client: &Client, row: &Command) -> Result<(), Error> {
        let (name, who) = match row.name {
            "debug" => ("debug", self.config.enable_debug_command),
            _ => ("module", self.config.enable_module_command),
        };
        if who.permits(client.flags.intersects(ClientFlags::LOCAL | ClientFlags::UNIX_SOCKET)) {
            return Ok(());
        }
        Err(Error::other(format!(
            "ERR {} command not allowed. If the enable-{name}-command option is set to \"local\", you \
             can run it from a local connection, otherwise you need to set this option in the \
             configuration file, and then restart the server.",
            name.to_ascii_uppercase()
        )))
    }

    /// Refuses a command with an error; a transaction that it was meant for will fail, and one
    /// that it was to execute ends.
    pub fn reject(&mut self, id: ClientRef, command: Option<CommandId>, error: &Error) {
        let ends = command.is_some_and(|command| self.commands.get(command).command.name == "exec");
        let aborted;
        let error = match ends {
            true => {
                self.discard(id);
                aborted = Error::exec_aborted(error);
                &aborted
            }
            false => error,
        };
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.in_multi() {
            client.flags.insert(ClientFlags::DIRTY_EXEC);
        }
        let skips = client.flags.intersects(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP_NEXT);
        if !skips {
            client.out.error(error);
        }
        self.counters.error(error.code());
        let stats = command.and_then(|id| self.counters.per_command.get_mut(id.index()));
        if let Some(stats) = stats {
            stats.rejected += 1;
        }
        self.end_caching(id, command);
        self.check_output_limit(id);
    }

    /// Closes a client that sends HTTP: a web page may have made its reader's browser do so, and what
    /// follows would be executed as commands.
    fn abort_http(&mut self, id: ClientRef) {
        const WARN_EVERY_MS: i64 = 60_000;
        if self.http_warned_ms.is_none_or(|at| self.now_ms - at > WARN_EVERY_MS) {
            self.http_warned_ms = Some(self.now_ms);
            let addr = self.clients.get(id).map_or("", |client| &client.addr);
            self.log.warning(format!(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: \
                 commands to Redis. This is likely due to an attacker attempting to use Cross \
                 Protocol Scripting to compromise your Redis instance. Connection from {addr} aborted."
            ));
        }
        self.close_client(id);
    }

    /// The error for a subcommand that doesn't exist.
    fn unknown_subcommand(&self, container: CommandId, args: &Args<'_>) -> Error {
        let container = self.commands.get(container).command.name;
        Error::unknown_subcommand(container, args.get(1).unwrap_or_default())
    }

    /// Executes a client's command, whose reply goes to its buffer; says whether it blocks.
    pub(in crate::server) fn execute(
        &mut self,
        id: ClientRef,
        command: CommandId,
        db: usize,
        args: Args<'_>,
        caller: Caller,
    ) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let out = std::mem::take(&mut client.out);
        let before = out.len();
        client.flags.insert(ClientFlags::EXECUTING);
        if client.flags.contains(ClientFlags::REPLY_SKIP_NEXT) {
            client.flags.remove(ClientFlags::REPLY_SKIP_NEXT);
            client.flags.insert(ClientFlags::REPLY_SKIP);
        }
        let told = self.aof_position();
        let outer = self.executing.replace((id, out.proto()));
        let Called { mut out, blocks, .. } = self.call(id, command, db, args, caller, out);
        self.executing = outer;
        let position = self.aof_position();
        let Some(client) = self.clients.get_mut(id) else { return false };
        if position != told {
            client.told_at = position;
        }
        let silent = ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP;
        if client.flags.intersects(silent) {
            out.truncate(before);
        }
        client.flags.remove(ClientFlags::EXECUTING | ClientFlags::REPLY_SKIP);
        if !client.late.is_empty() {
            let late = std::mem::take(&mut client.late);
            out.raw(&late);
        }
        client.out = out;
        self.account_client(id);
        self.check_output_limit(id);
        blocks
    }

    /// Calls a handler: what is measured, counted and shown to monitors.
    pub fn call(
        &mut self,
        id: ClientRef,
        command: CommandId,
        db: usize,
        args: Args<'_>,
        caller: Caller,
        out: Reply,
    ) -> Called {
        let row = self.commands.get(command).command;
        let flags = row.flags;
        let monitored = !self.monitors.is_empty()
            && caller != Caller::Unblocked
            && !flags.contains(Flags::ADMIN);
        // A script stands before the commands that it calls; EXEC behind those of its transaction.
        if monitored && flags.contains(Flags::SKIP_MONITOR) {
            self.feed_monitors(id, command, db, caller, args);
        }
        let ran_in = db;
        // The laps of the commands that a script or EXEC calls are part of its own time.
        let started_ns = self.lap_ns;
        let dirty = self.dirty;
        self.depth += 1;
        let mut ctx = Ctx {
            srv: self,
            out,
            client: id,
            db,
            command,
            caller,
            blocks: false,
            told: false,
            failed: false,
        };
        let result = (row.handler)(&mut ctx, args);
        let Ctx { mut out, blocks, db, told, failed, .. } = ctx;
        self.depth -= 1;
        self.track_reads(id, row, &args);
        if !told && self.dirty != dirty && flags.contains(Flags::WRITE) {
            self.propagation.add_command(ran_in, args.iter());
        }
        if self.depth == 0 {
            // What expired under a SCAN's hands has nothing to do with what else did.
            self.propagation.finish(!flags.contains(Flags::TOUCHES_ARBITRARY_KEYS));
        }
        let elapsed_ns = self.end_lap(started_ns);
        if monitored && !flags.contains(Flags::SKIP_MONITOR) {
            self.feed_monitors(id, command, ran_in, caller, args);
        }
        if let Err(error) = &result {
            out.error(error);
            self.counters.error(error.code());
            // Nobody but the file executes commands in a transaction meanwhile.
            if caller == Caller::Exec && self.is_loading() {
                self.replay_failed(row.name, error);
            }
        }
        if !blocks && !self.is_loading() {
            self.measure(command, args, id, elapsed_ns, failed || result.is_err());
        }
        Called { out, blocks, db }
    }

    fn measure(
        &mut self,
        command: CommandId,
        args: Args<'_>,
        id: ClientRef,
        elapsed_ns: u64,
        failed: bool,
    ) {
        self.counters.commands += 1;
        let tracks = self.config.latency_tracking;
        if let Some(stats) = self.counters.per_command.get_mut(command.index()) {
            stats.calls += 1;
            stats.ns += elapsed_ns;
            stats.failed += u64::from(failed);
            if tracks {
                stats.latency.record(elapsed_ns);
            }
        }
        self.note_if_slow(command, args, id, elapsed_ns);
        let fast = self.commands.get(command).command.flags.contains(Flags::FAST);
        self.sample_latency(if fast { "fast-command" } else { "command" }, elapsed_ns);
        // A command that took long makes the cached time stale for those that follow.
        if elapsed_ns > 1_000_000 && self.depth == 0 {
            self.refresh_clock();
        }
    }

    /// Puts a command into the slow log if it took as long as the configuration says.
    #[inline]
    fn note_if_slow(&mut self, command: CommandId, args: Args<'_>, id: ClientRef, ns: u64) {
        let threshold = u64::try_from(self.config.slowlog_log_slower_than);
        if threshold.is_ok_and(|threshold| ns >= threshold.saturating_mul(1000)) {
            self.log_slow_command(command, args, id, ns / 1000);
        }
    }

    /// Notes how long an event took, if that is long by the configuration.
    #[inline]
    pub(in crate::server) fn sample_latency(&mut self, event: &'static str, ns: u64) {
        let (threshold, ms) = (self.config.latency_monitor_threshold, ns / 1_000_000);
        if threshold > 0 && ms >= threshold {
            let unix_s = self.clock.unix_us() / 1_000_000;
            self.latency.add(event, Sample { unix_s, ms });
        }
    }

    #[cold]
    fn log_slow_command(&mut self, command: CommandId, args: Args<'_>, id: ClientRef, us: u64) {
        let row = self.commands.get(command);
        let Some(client) = self.clients.get(id) else { return };
        if row.command.flags.contains(Flags::SKIP_SLOWLOG) {
            return;
        }
        let shown = redact::shown(&row.full_name, args);
        let entry = SlowCommand {
            id: 0,
            unix_s: self.clock.unix_us() / 1_000_000,
            us,
            args: slowlog::cut(shown.into_iter()),
            addr: client.addr.clone(),
            name: client.name.clone(),
        };
        self.slowlog.add(entry, self.config.slowlog_max_len);
    }

    /// Serves a client while a script keeps the executor busy: only what may run then does.
    pub fn process_while_busy(
        &mut self,
        id: ClientRef,
        found: Result<CommandId, NotFound>,
        args: Args<'_>,
    ) -> bool {
        let flags = found.map_or(Flags::empty(), |id| self.commands.get(id).command.flags);
        let loads = self.is_loading() && !flags.contains(Flags::LOADING);
        match flags.contains(Flags::ALLOW_BUSY) || loads {
            true => self.process_found(id, found, args),
            false => {
                self.reject(id, found.ok(), &self.scripting.busy_error());
                true
            }
        }
    }

    /// Whether any events of this class are published.
    pub fn notifies(&self, class: NotifyFlags) -> bool {
        self.config.notify_keyspace_events.intersects(class)
    }
}

impl Command {
    /// Whether the command is executed between MULTI and EXEC instead of being queued.
    fn runs_in_multi(&self) -> bool {
        matches!(self.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
    }

    /// Whether a RESP2 client may call it while it has subscriptions.
    fn allowed_when_subscribed(&self) -> bool {
        matches!(
            self.name,
            "ping"
                | "subscribe"
                | "ssubscribe"
                | "psubscribe"
                | "unsubscribe"
                | "sunsubscribe"
                | "punsubscribe"
                | "quit"
                | "reset"
        )
    }
}

/// Whether a request that is no command is a line of HTTP.
fn is_http(args: &Args<'_>) -> bool {
    args.is(0, "post") || args.is(0, "host:")
}
