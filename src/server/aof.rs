//! The append only file, as the server drives it: when it is on, when it is rewritten, what the log
//! and INFO say, and which replies have to wait.
//!
//! Owns the states and decisions; the bytes, files and threads are [`crate::persist::aof`]'s. Every
//! function here returns at once, save those that end writing (SHUTDOWN, `appendonly no`).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::Waker;
use std::time::Duration;

use crate::config::{AppendFsync, Config};
use crate::persist::aof::manifest::{Failure, shown};
use crate::persist::aof::{Event, Fsync, Log, Names, Origin, Place, Timed, rewrite};
use crate::persist::rdb::{Progress, save};
use crate::resp::Error;
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef};
use crate::server::group::{Due, Group};
use crate::server::propagate::Targets;
use crate::server::shutdown::CantEnd;
use crate::util::clock::Clock;
use crate::util::file::{Disk, strerror};
use crate::util::worker::Worker;

/// Write errors are logged at most once in this time, in milliseconds.
const LOG_ERRORS_MS: i64 = 30_000;

/// Whether effects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AofState {
    /// No.
    Off,
    /// They are, but nothing could be loaded before the first rewrite ends.
    WaitRewrite,
    /// Yes.
    On,
}

/// A rewrite that is running.
struct Rewrite {
    /// Tells it from others, and its files from theirs.
    id: u64,
    started_ms: i64,
    origin: Option<Origin>,
    temp: PathBuf,
    is_rdb: bool,
    keys: u64,
    progress: Arc<Progress>,
    outcome: Receiver<Result<(), Failure>>,
    /// Whether the border is drawn, the base is written, and it is being put in its place.
    rotated: bool,
    written: bool,
    installing: bool,
    /// Whether it makes good what the files may lack.
    heals: bool,
}

/// The append only file.
pub struct Aof {
    /// The files.
    pub log: Log,
    /// Whether effects are written.
    pub state: AofState,
    /// Whether a rewrite begins as soon as it can.
    pub rewrite_scheduled: bool,
    /// Seconds that the last rewrite took; none before the first.
    pub last_rewrite_s: Option<i64>,
    /// Whether it succeeded.
    pub last_rewrite_ok: bool,
    /// Rewrites begun.
    pub rewrites: u64,
    /// Rewrites that failed since the last success.
    pub failures: u32,
    /// Bytes of all files after the last rewrite, or of the base at the start.
    pub base_size: u64,
    rewrite: Option<Rewrite>,
    /// Rewrites that ever began.
    serial: u64,
    limit: RewriteLimit,
    /// Writes and reads bases.
    pub(in crate::server) writer: Worker,
    pub(in crate::server) wake: Waker,
    /// Clients whose replies wait for the file.
    waiting: Vec<ClientRef>,
    /// When there are enough of them for a sync.
    group: Group,
    /// Clients that are blocked until the file is synced, and what they were last told.
    awaiting_sync: Vec<ClientRef>,
    told_sync: Option<u64>,
    /// When a write error was last logged, in Unix milliseconds.
    logged_ms: Option<i64>,
    /// Whether a sync has failed since the last good rewrite began: the disk may have lost a part of
    /// the files then, and later syncs don't tell.
    lossy: bool,
}

/// Slows rewrites down that fail again and again.
#[derive(Debug, Default)]
struct RewriteLimit {
    delay_minutes: i64,
    next_ms: Option<i64>,
}

/// What the limit says of a rewrite.
#[derive(Debug, PartialEq, Eq)]
enum Limited {
    No,
    Yes,
    /// Yes, for so many minutes from now on.
    Begins(i64),
}

impl RewriteLimit {
    const FAILURES: u32 = 3;
    const MINUTES_MAX: i64 = 60;

    fn check(&mut self, failures: u32, now_ms: i64) -> Limited {
        if failures < Self::FAILURES {
            *self = Self::default();
            return Limited::No;
        }
        if let Some(next_ms) = self.next_ms {
            if now_ms < next_ms {
                return Limited::Yes;
            }
            self.next_ms = None;
            return Limited::No;
        }
        self.delay_minutes = (self.delay_minutes * 2).clamp(1, Self::MINUTES_MAX);
        self.next_ms = Some(now_ms + self.delay_minutes * 60_000);
        Limited::Begins(self.delay_minutes)
    }
}

impl Aof {
    /// Off, with files where the configuration says. Without a `waker`, everything is done where
    /// it is asked for.
    pub fn new(
        config: &Config,
        disk: &Arc<dyn Disk>,
        clock: &Arc<dyn Clock>,
        waker: Option<Waker>,
    ) -> Self {
        let worker = match waker {
            Some(_) => Worker::new,
            None => |_| Worker::inline(),
        };
        let wake = waker.unwrap_or_else(|| Waker::noop().clone());
        let place = Place { disk: Arc::clone(disk), names: names_of(config) };
        Self {
            log: Log::new(place, Arc::clone(clock), wake.clone(), worker),
            state: AofState::Off,
            rewrite_scheduled: false,
            last_rewrite_s: None,
            last_rewrite_ok: true,
            rewrites: 0,
            failures: 0,
            base_size: 0,
            rewrite: None,
            serial: 0,
            limit: RewriteLimit::default(),
            writer: worker("aof-rewrite").giving_way(),
            wake,
            waiting: Vec::new(),
            group: Group::default(),
            awaiting_sync: Vec::new(),
            told_sync: None,
            logged_ms: None,
            lossy: false,
        }
    }

    /// Whether effects are written.
    pub fn is_on(&self) -> bool {
        self.state != AofState::Off
    }

    /// Whether a rewrite is running.
    pub fn is_rewriting(&self) -> bool {
        self.rewrite.is_some()
    }

    /// When the rewrite that is running began, in Unix milliseconds.
    pub fn rewrite_started_ms(&self) -> Option<i64> {
        self.rewrite.as_ref().map(|rewrite| rewrite.started_ms)
    }

    /// What stops the rewrite that is running.
    pub(in crate::server) fn rewrite_reins(&self) -> Option<&Arc<Progress>> {
        self.rewrite.as_ref().map(|rewrite| &rewrite.progress)
    }

    /// Keys that the rewrite under way has written, and how many there are.
    pub fn rewrite_progress(&self) -> Option<(u64, u64)> {
        let rewrite = self.rewrite.as_ref()?;
        Some((rewrite.progress.keys.load(Ordering::Relaxed), rewrite.keys))
    }
}

/// Where the files are by a configuration.
fn names_of(config: &Config) -> Names {
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    Names {
        dir: path(&config.dir).join(path(&config.appenddirname)),
        stem: config.appendfilename.clone(),
    }
}

impl Server {
    // ---- bytes and replies ------------------------------------------------------------------

    /// The position behind all effects so far.
    #[inline]
    pub fn aof_position(&self) -> u64 {
        self.aof.log.taken() + self.propagation.aof.buf.len() as u64
    }

    /// Whether effects wait to be written, so that [`flush_aof`](Self::flush_aof) is due.
    #[inline]
    pub fn aof_waits(&self) -> bool {
        !self.propagation.aof.buf.is_empty()
    }

    /// Whether a client's replies may go out: all that it did is in the file, as `appendfsync` says.
    #[inline]
    pub fn may_reply(&self, id: ClientRef) -> bool {
        self.clients.get(id).is_none_or(|client| client.told_at <= self.aof.log.acked())
    }

    /// Has a client woken when its replies may go out.
    pub fn wait_for_aof(&mut self, id: ClientRef) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.flags.contains(ClientFlags::AWAITS_FILE) {
            client.flags.insert(ClientFlags::AWAITS_FILE);
            self.aof.waiting.push(id);
        }
    }

    /// Whether more clients are expected to go with the next sync.
    pub fn aof_group_may_grow(&self) -> bool {
        self.aof.log.syncs_replies() && !self.aof.group.is_enough(self.aof.waiting.len())
    }

    /// As [`flush_aof`](Self::flush_aof), but a sync that replies wait for is put off while more
    /// clients are worth waiting for: then this is to be called again when there is something new,
    /// or after the time that it returns.
    pub fn commit_aof(&mut self) -> Option<Duration> {
        if self.aof.log.syncs_replies() {
            self.aof.log.push(&mut self.propagation.aof.buf);
            let now_ns = self.clock.mono_ns();
            self.aof.group.count(self.aof.waiting.len(), now_ns);
            self.aof.log.poll(self.now_ms);
            self.take_aof_events();
            let waiting = self.aof.waiting.len();
            if waiting > 0
                && self.aof.log.is_idle()
                && let Due::In(time) = self.aof.group.due(waiting, now_ns)
            {
                return Some(time);
            }
        }
        self.flush_aof();
        None
    }

    /// Writes what is to be written, as far as that needs no waiting, and takes in what workers
    /// have done.
    pub fn flush_aof(&mut self) {
        self.aof.log.push(&mut self.propagation.aof.buf);
        loop {
            self.aof.log.poll(self.now_ms);
            self.aof.log.flush(self.now_ms);
            self.follow_rewrite();
            let done = self.aof.log.poll(self.now_ms);
            self.take_aof_events();
            if !done {
                break;
            }
        }
        self.serve_synced();
    }

    /// Whether the files durably have all that a client wrote.
    pub fn is_durable(&self, id: ClientRef) -> bool {
        let position = self.clients.get(id).map_or(0, |client| client.told_at);
        self.durable_position().is_some_and(|durable| durable >= position)
    }

    /// The position up to which the files durably have all effects, if there are files.
    fn durable_position(&self) -> Option<u64> {
        let heals = self.aof.rewrite.as_ref().is_some_and(|rewrite| rewrite.heals);
        match self.aof.state {
            AofState::Off => None,
            // Without its base, or with a hole where a sync failed, what follows counts for nothing.
            AofState::On if !self.aof.lossy && !heals => Some(self.aof.log.synced()),
            AofState::On | AofState::WaitRewrite => Some(0),
        }
    }

    /// Has the command of a blocked client executed again when more of the file is durable.
    pub(in crate::server) fn wait_for_sync(&mut self, id: ClientRef) {
        if !self.aof.awaiting_sync.contains(&id) {
            self.aof.awaiting_sync.push(id);
        }
    }

    /// Executes the commands again that wait for the file, if it is another than they saw.
    fn serve_synced(&mut self) {
        let now = self.durable_position();
        if self.depth > 0 || self.aof.told_sync == now {
            return;
        }
        self.aof.told_sync = now;
        for id in std::mem::take(&mut self.aof.awaiting_sync) {
            self.retry_blocked(id);
        }
    }

    /// Takes in what happened.
    fn take_aof_events(&mut self) {
        while let Some(event) = self.aof.log.next_event() {
            self.take_aof_event(event);
        }
    }

    fn take_aof_event(&mut self, event: Event) {
        match event {
            Event::Acked => self.wake_acked(),
            Event::WriteFailed { error, moved, uncut } => self.write_failed(&error, moved, uncut),
            Event::WriteRecovered => {
                self.aof.logged_ms = None;
                self.log.warning("AOF write error looks solved. The server can write again.");
            }
            Event::SyncFailed { error, always } => self.sync_failed(&error, always),
            Event::SyncRecovered => {
                self.log.warning(
                    "AOF fsync error looks solved. Rewriting the AOF, since the disk may have lost \
                     a part of it.",
                );
                self.aof.rewrite_scheduled = true;
            }
            Event::SlowSync => self.log.notice(
                "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer \
                 without waiting for fsync to complete, this may slow down Redis.",
            ),
            Event::Rotated(Ok(())) => {
                if let Some(rewrite) = &mut self.aof.rewrite {
                    rewrite.rotated = true;
                }
            }
            Event::Rotated(Err(failure)) => {
                self.log.warning(failure.text);
                self.end_rewrite(false);
            }
            Event::Installed { id, result } => self.installed(id, result),
            Event::Removing(files) => {
                for file in files {
                    let name = shown(&file.name).into_owned();
                    self.log
                        .notice(format_args!("Removing the history file {name} in the background"));
                }
            }
            Event::Unclean(failure) => self.log.warning(failure.text),
            Event::Took(timed, ns) => {
                if timed == Timed::Write || timed == Timed::WriteDuringSync {
                    let alone = match (timed, self.aof.is_rewriting()) {
                        (Timed::WriteDuringSync, _) => "aof-write-pending-fsync",
                        (_, true) => "aof-write-active-child",
                        (_, false) => "aof-write-alone",
                    };
                    self.sample_latency("aof-write", ns);
                    self.sample_latency(alone, ns);
                } else if timed == Timed::SyncAlways {
                    self.aof.group.synced(ns);
                    self.sample_latency("aof-fsync-always", ns);
                } else {
                    self.sample_latency("aof-rename", ns);
                }
            }
        }
    }

    fn wake_acked(&mut self) {
        let acked = self.aof.log.acked();
        let waiting = std::mem::take(&mut self.aof.waiting);
        let mut answered = 0;
        for id in waiting {
            match self.clients.get_mut(id) {
                Some(client) if client.told_at > acked => self.aof.waiting.push(id),
                Some(client) => {
                    client.flags.remove(ClientFlags::AWAITS_FILE);
                    answered += 1;
                    self.wake(id);
                }
                None => {}
            }
        }
        if self.aof.log.syncs_replies() {
            let now_ns = self.clock.mono_ns();
            self.aof.group.answered(answered, self.aof.waiting.len(), now_ns);
        }
    }

    /// Has a client that goes wait no more.
    pub(in crate::server) fn forget_aof_waiter(&mut self, id: ClientRef) {
        let client = self.clients.get(id);
        if client.is_some_and(|client| client.flags.contains(ClientFlags::AWAITS_FILE)) {
            self.aof.waiting.retain(|waiting| *waiting != id);
        }
    }

    fn write_failed(&mut self, error: &io::Error, moved: (usize, usize), uncut: Option<io::Error>) {
        if self.aof.logged_ms.is_none_or(|at| self.now_ms - at >= LOG_ERRORS_MS) {
            self.aof.logged_ms = Some(self.now_ms);
            self.log.warning(format_args!("Error writing to the AOF file: {}", strerror(error)));
            if let Some(uncut) = uncut {
                let (written, expected) = moved;
                self.log.warning(format_args!(
                    "Short write while writing to the AOF file: (nwritten={written}, \
                     expected={expected})"
                ));
                self.log.warning(format_args!(
                    "Could not remove short write from the append-only file.  Redis may refuse to \
                     load the AOF the next time it starts.  ftruncate: {}",
                    strerror(&uncut)
                ));
            }
        }
        if self.config.appendfsync == AppendFsync::Always {
            self.log.warning(
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. \
                 Exiting...",
            );
            self.abort();
        }
    }

    fn sync_failed(&mut self, error: &io::Error, always: bool) {
        let reason = strerror(error);
        self.aof.lossy = true;
        if always {
            self.log.warning(format_args!(
                "Can't persist AOF for fsync error when the AOF fsync policy is 'always': \
                 {reason}. Exiting..."
            ));
            self.abort();
        } else {
            self.log.warning(format_args!("Fail to fsync the AOF file: {reason}"));
        }
    }

    /// Why writes are refused, if they are: effects can't be written.
    pub fn aof_error(&self) -> Option<Error> {
        let reason = self.aof.log.error().filter(|_| self.aof.is_on())?;
        Some(Error::other(format!("MISCONF Errors writing to the AOF file: {reason}")))
    }

    // ---- on and off -------------------------------------------------------------------------

    /// Takes over what the configuration says of the file.
    pub(in crate::server) fn configure_aof(&mut self) {
        let fsync = match self.config.appendfsync {
            AppendFsync::Always => Fsync::Always,
            AppendFsync::Everysec => Fsync::Everysec,
            AppendFsync::No => Fsync::No,
        };
        let holds = self.config.no_appendfsync_on_rewrite && self.has_active_child();
        self.aof.log.configure(fsync, holds, self.config.aof_disable_auto_gc);
        let names = names_of(&self.config);
        if self.aof.log.place().names != names {
            self.aof.log.relocate(Place { disk: Arc::clone(&self.disk), names });
        }
        self.annotate_aof();
    }

    /// Tells the feed the time, if it is to tell it.
    pub(in crate::server) fn annotate_aof(&mut self) {
        let now_s = self.now_ms / 1000;
        self.propagation.annotate(self.config.aof_timestamp_enabled.then_some(now_s));
    }

    /// Opens the file when the server has started and loaded its data.
    ///
    /// # Errors
    /// If that can't be done; the reason has been logged.
    pub fn open_aof(&mut self) -> Result<(), StartFailed> {
        let job = self.rewrite_job(PathBuf::new());
        let opened = self.aof.log.open(job.is_rdb(), self.now_ms, |file| job.write_to(file));
        let opened = opened.map_err(|failure| {
            self.log.warning(failure.text);
            StartFailed
        })?;
        if let Some(base) = opened.base {
            let base = shown(&base).into_owned();
            self.log.notice(format_args!("Creating AOF base file {base} on server start"));
        }
        let what = if opened.is_new { "Creating" } else { "Opening" };
        let increment = shown(&opened.increment).into_owned();
        self.log.notice(format_args!("{what} AOF incr file {increment} on server start"));
        self.aof.state = AofState::On;
        self.propagation.listen(Targets::AOF, true);
        self.configure_aof();
        if self.aof.base_size == 0 {
            self.aof.base_size = self.aof.log.size();
        }
        Ok(())
    }

    /// Begins to write effects while the server runs: a rewrite makes the base.
    ///
    /// # Errors
    /// If that can't be done; the reason has been logged.
    pub fn start_aof(&mut self) -> Result<(), StartFailed> {
        self.configure_aof();
        self.aof.state = AofState::WaitRewrite;
        if self.has_active_child() && !self.aof.is_rewriting() {
            self.aof.rewrite_scheduled = true;
            self.log.notice(
                "AOF was enabled but there is already another background operation. An AOF \
                 background was scheduled to start when possible.",
            );
        } else if self.depth > 1 {
            self.aof.rewrite_scheduled = true;
            self.log.notice(
                "AOF was enabled during a transaction. An AOF background was scheduled to start \
                 when possible.",
            );
        } else {
            if self.aof.is_rewriting() {
                self.log.notice(
                    "AOF was enabled but there is already an AOF rewriting in background. Stopping \
                     background AOF and starting a rewrite now.",
                );
                self.cancel_rewrite();
            }
            if self.rewrite_aof().is_err() {
                self.aof.state = AofState::Off;
                self.log.warning(
                    "Redis needs to enable the AOF but can't trigger a background AOF rewrite \
                     operation. Check the above logs for more info about the error.",
                );
                return Err(StartFailed);
            }
        }
        let (write, sync) = self.aof.log.forget_errors();
        if write {
            self.log.warning("AOF reopen, just ignore the last error.");
        }
        if sync {
            self.log.warning("AOF reopen, just ignore the AOF fsync error in bio job");
        }
        Ok(())
    }

    /// Ends writing effects: all that was executed is in the file and synced then.
    pub fn stop_aof(&mut self) {
        self.aof.log.push(&mut self.propagation.aof.buf);
        self.cancel_rewrite();
        self.close_aof(true);
        self.aof.state = AofState::Off;
        self.aof.rewrite_scheduled = false;
        self.propagation.listen(Targets::AOF, false);
    }

    /// Makes the file ready for the server's end, which may still not come.
    ///
    /// # Errors
    /// If the server must not end, since the first rewrite has yet to make a file that holds all,
    /// or since what was executed can't be made durable.
    pub(in crate::server) fn settle_aof(&mut self, force: bool) -> Result<(), CantEnd> {
        if self.aof.is_rewriting() {
            // It may have ended while a script kept everybody from noticing.
            self.flush_aof();
            self.drain_aof();
        }
        if self.aof.is_rewriting() {
            if self.aof.state == AofState::WaitRewrite {
                if !force {
                    self.log.warning("Writing initial AOF, can't exit.");
                    return Err(CantEnd);
                }
                self.log.warning("Writing initial AOF. Exit anyway.");
            }
            self.log.warning("There is a child rewriting the AOF. Killing it!");
            self.cancel_rewrite();
        }
        if self.aof.is_on() {
            self.log.notice("Calling fsync() on the AOF file.");
            if !self.make_durable() {
                if !force {
                    self.log.warning("Error trying to write the AOF, can't exit.");
                    return Err(CantEnd);
                }
                self.log.warning("Error trying to write the AOF. Exit anyway.");
            }
        }
        Ok(())
    }

    /// Has all that was executed in files and synced, here and now; says whether that is so.
    fn make_durable(&mut self) -> bool {
        self.drain_aof();
        self.aof.log.sync_now();
        self.take_aof_events();
        let log = &self.aof.log;
        if log.synced() < log.taken() {
            return false;
        }
        if self.aof.lossy && self.rewrite_aof().is_ok() {
            self.drain_aof();
            while self.aof.is_rewriting() {
                std::thread::sleep(Duration::from_millis(1));
                self.flush_aof();
            }
        }
        !self.aof.lossy
    }

    /// Writes and syncs all, when the server ends.
    pub fn finish_aof(&mut self) {
        if !self.aof.is_on() {
            return;
        }
        self.aof.log.push(&mut self.propagation.aof.buf);
        self.close_aof(false);
        self.aof.state = AofState::Off;
    }

    /// Does all that is to be done with the files, and waits for it.
    pub fn drain_aof(&mut self) {
        self.aof.log.push(&mut self.propagation.aof.buf);
        self.aof.log.drain(self.now_ms);
        self.take_aof_events();
    }

    fn close_aof(&mut self, gives_up: bool) {
        if let Err(error) = self.aof.log.close(self.now_ms, gives_up) {
            self.log.warning(format_args!("Fail to fsync the AOF file: {}", strerror(&error)));
        }
        self.take_aof_events();
    }

    /// Ends the server at once, as after an error that it must not survive: nothing is saved, and
    /// no reply that waits for the file goes out.
    fn abort(&mut self) {
        self.shutdown = Some(1);
    }

    // ---- rewrites ---------------------------------------------------------------------------

    /// Begins a rewrite; the caller has seen that nothing of the kind is running.
    ///
    /// # Errors
    /// If that can't be done; the reason has been logged.
    pub fn rewrite_aof(&mut self) -> Result<(), StartFailed> {
        let origin = match self.aof.state {
            AofState::Off => None,
            AofState::WaitRewrite => Some(Origin::ComingBase),
            AofState::On => Some(Origin::Manifest),
        };
        // What has been executed up to now belongs before the border, and into the snapshot.
        self.aof.log.push(&mut self.propagation.aof.buf);
        let drawn = match origin {
            None => self.aof.log.make_dir().map(|()| None),
            Some(origin) => self.aof.log.rotate(origin).map(Some),
        };
        match drawn {
            Ok(None) => {}
            Ok(Some(increment)) => self.log.notice(format_args!(
                "Creating AOF incr file {} on background rewrite",
                shown(&increment)
            )),
            Err(failure) => {
                self.log.warning(failure.text);
                self.aof.last_rewrite_ok = false;
                self.aof.failures += 1;
                return Err(StartFailed);
            }
        }
        if origin == Some(Origin::ComingBase) {
            self.propagation.listen(Targets::AOF, true);
        }
        // The new increment must stand for itself.
        self.propagation.aof.selected = None;
        self.start_rewriting(origin);
        self.flush_aof();
        Ok(())
    }

    /// What a rewrite writes: the data as they are now.
    fn rewrite_job(&self, temp: PathBuf) -> rewrite::Rewriter {
        let config = &self.config;
        let form = match config.aof_use_rdb_preamble {
            true => rewrite::Form::Rdb(save::Options {
                incremental_sync: config.aof_rewrite_incremental_fsync,
                access: None,
                ..self.rdb_options(true)
            }),
            false => rewrite::Form::Commands {
                timestamp_s: config.aof_timestamp_enabled.then_some(self.now_ms / 1000),
                syncs: config.aof_rewrite_incremental_fsync,
                functions: self.functions.codes(),
            },
        };
        rewrite::Rewriter {
            disk: Arc::clone(&self.disk),
            temp,
            dbs: save::DbSnapshot::of(&self.dbs),
            form,
            progress: self.save_progress(),
        }
    }

    fn start_rewriting(&mut self, origin: Option<Origin>) {
        self.aof.serial += 1;
        let temp = self.aof.log.place().names.temp_base(self.aof.serial);
        let temp = self.aof.log.place().names.path(&temp);
        let job = self.rewrite_job(temp.clone());
        let (report, outcome) = channel();
        self.aof.rewrite = Some(Rewrite {
            id: self.aof.serial,
            started_ms: self.now_ms,
            origin,
            temp,
            is_rdb: job.is_rdb(),
            keys: job.keys(),
            progress: Arc::clone(&job.progress),
            outcome,
            rotated: origin.is_none(),
            written: false,
            installing: false,
            heals: std::mem::take(&mut self.aof.lossy),
        });
        let wake = self.aof.wake.clone();
        self.aof.writer.run(move || {
            // A cancelled rewrite has nobody to tell.
            let _ = report.send(job.run());
            wake.wake_by_ref();
        });
        self.aof.rewrites += 1;
        self.aof.rewrite_scheduled = false;
        self.configure_aof();
        self.log.notice(format_args!(
            "Background append only file rewriting started by pid {}",
            std::process::id()
        ));
    }

    /// Goes on with a rewrite whose base is written.
    fn follow_rewrite(&mut self) {
        let Some(rewrite) = &mut self.aof.rewrite else { return };
        match rewrite.outcome.try_recv() {
            Ok(Ok(())) => {
                rewrite.written = true;
                let name = rewrite.temp.file_name().unwrap_or_default().to_string_lossy();
                self.log.notice(format_args!(
                    "Successfully created the temporary AOF base file {name}"
                ));
            }
            Ok(Err(failure)) => return self.rewrite_failed(Some(failure)),
            Err(TryRecvError::Disconnected) if !rewrite.written => {
                return self.rewrite_failed(None);
            }
            Err(_) => {}
        }
        if rewrite.written && rewrite.rotated && !rewrite.installing {
            rewrite.installing = true;
            let (id, temp, is_rdb) = (rewrite.id, rewrite.temp.clone(), rewrite.is_rdb);
            let with_increment = rewrite.origin == Some(Origin::ComingBase);
            self.log.notice("Background AOF rewrite terminated with success");
            self.aof.log.install(id, temp, is_rdb, with_increment);
            self.aof.log.flush(self.now_ms);
        }
    }

    fn rewrite_failed(&mut self, failure: Option<Failure>) {
        if let Some(failure) = failure {
            self.log.warning(failure.text);
        }
        self.log.warning("Background AOF rewrite terminated with error");
        self.end_rewrite(false);
    }

    fn installed(&mut self, id: u64, result: Result<(), Failure>) {
        if self.aof.rewrite.as_ref().is_none_or(|rewrite| rewrite.id != id) {
            return;
        }
        match result {
            Ok(()) => {
                self.log_installed();
                self.log.notice("Background AOF rewrite finished successfully");
                if self.aof.is_on() {
                    self.aof.base_size = self.aof.log.size();
                    self.aof.state = AofState::On;
                }
                self.end_rewrite(true);
            }
            Err(failure) => {
                self.log.warning(failure.text);
                self.end_rewrite(false);
            }
        }
    }

    /// Tells which files a rewrite has put in place.
    fn log_installed(&self) {
        let Some(rewrite) = &self.aof.rewrite else { return };
        let (names, manifest) = (&self.aof.log.place().names, self.aof.log.manifest());
        let moved = |what: &str, from: std::borrow::Cow<'_, str>, to: &[u8]| {
            self.log.notice(format_args!(
                "Successfully renamed the temporary AOF {what} file {from} into {}",
                shown(to)
            ));
        };
        if let Some(base) = &manifest.base {
            let temp = rewrite.temp.file_name().unwrap_or_default();
            moved("base", temp.to_string_lossy(), &base.name);
        }
        if let (Some(Origin::ComingBase), Some(last)) = (rewrite.origin, manifest.increments.last())
        {
            moved("incr", shown(&names.temp_increment()), &last.name);
        }
    }

    fn end_rewrite(&mut self, ok: bool) {
        let Some(rewrite) = self.take_rewrite() else { return };
        self.aof.last_rewrite_ok = ok;
        self.aof.failures = if ok { 0 } else { self.aof.failures + 1 };
        self.aof.last_rewrite_s = Some((self.now_ms - rewrite.started_ms) / 1000);
        self.aof.lossy |= rewrite.heals && !ok;
        if !ok && self.aof.state == AofState::WaitRewrite {
            // Nothing could be loaded yet: another must do it.
            self.aof.rewrite_scheduled = true;
            let name = self.aof.log.remove_temp_increment();
            let name = shown(&name);
            self.log
                .notice(format_args!("Removing the temp incr aof file {name} in the background"));
        }
        self.configure_aof();
    }

    /// Ends a rewrite that isn't wanted any more.
    fn cancel_rewrite(&mut self) {
        let Some(rewrite) = self.take_rewrite() else { return };
        self.aof.lossy |= rewrite.heals;
        self.log.notice(format_args!("Killing running AOF rewrite child: {}", std::process::id()));
        self.aof.last_rewrite_s = Some((self.now_ms - rewrite.started_ms) / 1000);
        self.configure_aof();
    }

    /// Takes out the rewrite that has ended or isn't wanted any more. No file is left of it but what
    /// was installed.
    fn take_rewrite(&mut self) -> Option<Rewrite> {
        let rewrite = self.aof.rewrite.take()?;
        self.aof.log.forget_install();
        // A thread that can still be stopped removes its file itself, before or after this.
        if !rewrite.progress.stop() {
            let _ = self.disk.remove(&rewrite.temp);
        }
        Some(rewrite)
    }

    /// What is due by the clock: writes to try again, syncs, rewrites.
    pub(in crate::server) fn tick_aof(&mut self) {
        self.annotate_aof();
        if self.aof.is_on() || self.aof.log.has_work() || self.aof.is_rewriting() {
            self.flush_aof();
        }
        self.serve_synced();
        if self.has_active_child() {
            return;
        }
        if self.aof.rewrite_scheduled {
            if !self.rewrite_is_limited() {
                let _ = self.rewrite_aof();
            }
            return;
        }
        let (percent, size) = (self.config.auto_aof_rewrite_percentage, self.aof.log.size());
        let large = size > self.config.auto_aof_rewrite_min_size;
        if self.aof.state == AofState::On && percent > 0 && large {
            let base = self.aof.base_size.max(1);
            let growth = size.saturating_mul(100) / base;
            let growth = growth.saturating_sub(100);
            if growth >= u64::from(percent) && !self.rewrite_is_limited() {
                self.log.notice(format_args!(
                    "Starting automatic rewriting of AOF on {growth}% growth"
                ));
                let _ = self.rewrite_aof();
            }
        }
    }

    fn rewrite_is_limited(&mut self) -> bool {
        match self.aof.limit.check(self.aof.failures, self.now_ms) {
            Limited::No => false,
            Limited::Yes => true,
            Limited::Begins(minutes) => {
                self.log.warning(format_args!(
                    "Background AOF rewrite has repeatedly failed and triggered the limit, will \
                     retry in {minutes} minutes"
                ));
                true
            }
        }
    }
}

/// It can't begin; the reason has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartFailed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewrites_that_fail_wait_longer_each_time() {
        let mut limit = RewriteLimit::default();
        assert_eq!(limit.check(2, 0), Limited::No);
        assert_eq!(limit.check(3, 0), Limited::Begins(1));
        assert_eq!(limit.check(3, 59_999), Limited::Yes);
        assert_eq!(limit.check(3, 60_000), Limited::No);
        assert_eq!(limit.check(4, 60_000), Limited::Begins(2));
        assert_eq!(limit.check(4, 180_000), Limited::No);
        for expected in [4, 8, 16, 32, 60, 60] {
            let now_ms = limit.next_ms.unwrap_or(180_000);
            assert_eq!(limit.check(9, now_ms), Limited::Begins(expected));
            assert_eq!(limit.check(9, limit.next_ms.expect("a time")), Limited::No);
        }
        assert_eq!(limit.check(0, 0), Limited::No);
        assert_eq!(limit.check(3, 0), Limited::Begins(1));
    }
}
