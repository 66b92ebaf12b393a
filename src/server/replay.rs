//! Loading the append only file: executing again what it tells, in slices that others can go between.
//!
//! Owns the order of the files, the client that replays them, and what becomes of a file that is
//! cut off or broken, with Redis's log lines.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use crate::persist::aof::FileKind;
use crate::persist::aof::manifest::{Failure, ManifestError, shown};
use crate::persist::aof::read::{Reader, Stop};
use crate::resp::{ArgBuf, Args, Error, Reply};
use crate::server::Server;
use crate::server::client::{ClientFlags, ClientRef, Origin, Queued};
use crate::server::ctx::Caller;
use crate::server::load_rdb::{LoadFailed, RdbLoad};
use crate::server::loading::Loading;
use crate::server::propagate::Targets;
use crate::util::file::{Handle, strerror};

/// Commands between two looks at the clock.
const BATCH: usize = 64;
/// The form of a file whose first bytes are these is RDB.
const RDB_MAGIC: &[u8] = b"REDIS";

/// A load that is under way.
pub struct Replay {
    files: VecDeque<Named>,
    open: Option<Open>,
    client: ClientRef,
    started_us: i64,
    /// Bytes of the files that are done.
    done: u64,
    base_size: u64,
    /// What stood in the configuration when it began; it may change.
    truncates: bool,
}

/// A file to load.
struct Named {
    name: Vec<u8>,
    is_base: bool,
    len: u64,
}

/// The file that is being loaded.
struct Open {
    file: Named,
    reader: Reader,
    /// The RDB file that it begins with, as long as that is being loaded.
    snapshot: Option<RdbLoad>,
    started_us: i64,
    /// Where a transaction began that hasn't ended.
    before_multi: u64,
}

/// How far a slice has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// A thread must come further first.
    Waits,
    /// All is loaded.
    Done,
}

/// The outcome of a file.
enum End {
    Whole,
    Truncated,
}

impl Server {
    /// Reads the manifest and looks for what it names; says nothing if there are no data.
    ///
    /// # Errors
    /// If the files can't be used; the reason has been logged.
    pub fn begin_replay(&mut self) -> Result<Option<Replay>, LoadFailed> {
        self.read_manifest()?;
        self.adopt_old_file()?;
        let place = self.aof.log.place().clone();
        let mut files = VecDeque::new();
        let named: Vec<_> = self
            .aof
            .log
            .manifest()
            .data()
            .map(|(info, kind)| (info.name.clone(), kind == FileKind::Base))
            .collect();
        for (name, is_base) in named {
            let found = place.disk.metadata(&place.names.path(&name)).map_err(|error| {
                self.log.warning(format_args!(
                    "Unable to obtain the AOF file {} length. stat: {}",
                    shown(&name),
                    strerror(&error)
                ));
                LoadFailed
            })?;
            files.push_back(Named { name, is_base, len: found.len });
        }
        let total: u64 = files.iter().map(|file| file.len).sum();
        if total == 0 {
            return Ok(None);
        }
        let base_size = files.iter().find(|file| file.is_base).map_or(0, |file| file.len);
        self.loading = Some(Loading { started_ms: self.now_ms, total, loaded: 0, used_mem: 0 });
        let client = self.add_replayer();
        let truncates = self.config.aof_load_truncated;
        let started_us = self.clock.unix_us();
        Ok(Some(Replay { files, open: None, client, started_us, done: 0, base_size, truncates }))
    }

    fn read_manifest(&mut self) -> Result<(), LoadFailed> {
        match self.aof.log.load_manifest() {
            Ok(()) => return Ok(()),
            Err(ManifestError::Unreadable(failure)) => self.log.warning(failure.text),
            Err(ManifestError::Bad(bad)) => {
                self.log.warning("\n*** FATAL AOF MANIFEST FILE ERROR ***\n");
                if let Some((number, line)) = bad.line {
                    self.log.warning(format_args!("Reading the manifest file, at line {number}\n"));
                    self.log.warning(format_args!(">>> '{}'\n", shown(&line)));
                }
                self.log.warning(format_args!("{}\n", bad.reason));
            }
        }
        Err(LoadFailed)
    }

    /// A single file, as Redis 6 has it, becomes the base.
    fn adopt_old_file(&mut self) -> Result<(), LoadFailed> {
        let place = self.aof.log.place().clone();
        let stem = place.names.stem.clone();
        let Some(dir) = place.names.dir.parent() else { return Ok(()) };
        let old = dir.join(OsStr::from_bytes(&stem));
        if !place.disk.metadata(&old).is_ok_and(|found| !found.is_dir) {
            return Ok(());
        }
        let manifest = self.aof.log.manifest();
        let begun = manifest.increments.is_empty()
            && manifest.base.as_ref().is_some_and(|base| base.name == stem)
            && place.disk.metadata(&place.names.path(&stem)).is_err();
        if !manifest.is_empty() && !begun {
            return Ok(());
        }
        self.aof.log.adopt(&old).map_err(|failure| self.fail(failure))?;
        self.log.notice(format_args!(
            "Successfully migrated an old-style AOF configuration ({}) into the AOF directory ({}).",
            shown(&stem),
            place.names.dir_name()
        ));
        Ok(())
    }

    fn fail(&self, failure: Failure) -> LoadFailed {
        self.log.warning(failure.text);
        LoadFailed
    }

    /// The client on whose behalf commands are executed again.
    fn add_replayer(&mut self) -> ClientRef {
        let origin = Origin { addr: "".into(), laddr: "".into(), fd: -1, unix: false, local: true };
        let id = self.clients.add(origin, true, self.now_ms);
        if let Some(client) = self.clients.get_mut(id) {
            client.flags.insert(ClientFlags::INTERNAL);
        }
        id
    }

    /// Goes on with a load for about `budget_ns` nanoseconds.
    ///
    /// # Errors
    /// If a file can't be loaded; the reason has been logged, and the data are not whole.
    pub fn step_replay(
        &mut self,
        replay: &mut Replay,
        budget_ns: u64,
    ) -> Result<Progress, LoadFailed> {
        let started_ns = self.clock.mono_ns();
        self.refresh_clock();
        loop {
            if replay.open.is_none() {
                let Some(file) = replay.files.pop_front() else {
                    self.end_replay(replay, true);
                    return Ok(Progress::Done);
                };
                if let Err(failed) = self.open_replayed(replay, file) {
                    self.end_replay(replay, false);
                    return Err(failed);
                }
                continue;
            }
            match self.follow_snapshot(replay) {
                Ok(true) => {}
                Ok(false) => return Ok(Progress::Waits),
                Err(failed) => {
                    self.end_replay(replay, false);
                    return Err(failed);
                }
            }
            match self.replay_batch(replay) {
                Ok(None) => {}
                Ok(Some(end)) => {
                    if let Err(failed) = self.end_file(replay, &end) {
                        self.end_replay(replay, false);
                        return Err(failed);
                    }
                }
                Err(failed) => {
                    self.end_replay(replay, false);
                    return Err(failed);
                }
            }
            let read = replay.open.as_ref().map_or(0, |open| open.reader.position());
            if let Some(loading) = &mut self.loading {
                loading.loaded = replay.done + read;
            }
            if self.clock.mono_ns().saturating_sub(started_ns) >= budget_ns {
                return Ok(Progress::More);
            }
        }
    }

    fn open_replayed(&mut self, replay: &mut Replay, file: Named) -> Result<(), LoadFailed> {
        let place = self.aof.log.place();
        let name = shown(&file.name).into_owned();
        let handle = place.disk.open(&place.names.path(&file.name)).map_err(|error| {
            self.log.warning(format_args!(
                "Fatal error: can't open the append log file {name} for reading: {}",
                strerror(&error)
            ));
            LoadFailed
        })?;
        let snapshot = if is_rdb(&handle) {
            let what = match self.is_old_style(&file.name) {
                true => "preamble from AOF file...",
                false => "base file on AOF loading...",
            };
            self.log.notice(format_args!("Reading RDB {what}"));
            Some(self.start_rdb_load(Arc::clone(&handle), true)?)
        } else {
            None
        };
        replay.open = Some(Open {
            file,
            reader: Reader::new(handle, 0),
            snapshot,
            started_us: self.clock.unix_us(),
            before_multi: 0,
        });
        Ok(())
    }

    /// Whether a file is one of Redis 6, which may go on after an RDB file.
    fn is_old_style(&self, name: &[u8]) -> bool {
        name == self.aof.log.place().names.stem
    }

    /// Takes in the RDB file that a file begins with, if it is loaded; says whether that is so.
    fn follow_snapshot(&mut self, replay: &mut Replay) -> Result<bool, LoadFailed> {
        let Some(open) = &mut replay.open else { return Ok(true) };
        let Some(snapshot) = &mut open.snapshot else { return Ok(true) };
        let old_style = self.is_old_style(&open.file.name);
        match self.step_rdb_load(snapshot) {
            Ok(None) => return Ok(false),
            Ok(Some(end)) => {
                open.snapshot = None;
                open.reader.skip_to(end);
                open.before_multi = end;
            }
            Err(LoadFailed) => {
                let what = if old_style { "RDB preamble of the AOF file" } else { "RDB base file" };
                self.log.warning(format_args!(
                    "Error reading the {what} {}, AOF loading aborted",
                    shown(&open.file.name)
                ));
                return Err(LoadFailed);
            }
        }
        if old_style {
            self.log.notice("Reading the remaining AOF tail...");
        }
        Ok(true)
    }

    /// Executes some commands; says how the file ended, if it did.
    fn replay_batch(&mut self, replay: &mut Replay) -> Result<Option<End>, LoadFailed> {
        let Some(open) = &mut replay.open else { return Ok(None) };
        for _ in 0..BATCH {
            let before = open.reader.position();
            let name = || shown(&open.file.name).into_owned();
            match open.reader.next_request() {
                Ok(Some(args)) => {
                    if self.begins_transaction(&args) {
                        open.before_multi = before;
                    }
                    if let Err(unknown) = self.replay_command(replay.client, args) {
                        let name = name();
                        match unknown {
                            Some(command) => self.log.warning(format_args!(
                                "Unknown command '{command}' reading the append only file {name}"
                            )),
                            None => self.log_bad_format(&name),
                        }
                        return Err(LoadFailed);
                    }
                    self.delay_key();
                }
                Ok(None) if self.discard_open_transaction(replay.client) => {
                    self.log.warning(format_args!(
                        "Revert incomplete MULTI/EXEC transaction in AOF file {}",
                        name()
                    ));
                    return self.cut_off(&name(), open.before_multi, replay.truncates).map(Some);
                }
                Ok(None) => return Ok(Some(End::Whole)),
                Err(Stop::Truncated) => {
                    // What a transaction has queued goes with what is cut off.
                    let valid = match self.discard_open_transaction(replay.client) {
                        true => open.before_multi,
                        false => before,
                    };
                    return self.cut_off(&name(), valid, replay.truncates).map(Some);
                }
                Err(Stop::Format) => {
                    self.log_bad_format(&name());
                    return Err(LoadFailed);
                }
                Err(Stop::Io(error)) => {
                    self.log.warning(format_args!(
                        "Unrecoverable error reading the append only file {}: {}",
                        name(),
                        strerror(&error)
                    ));
                    return Err(LoadFailed);
                }
            }
        }
        Ok(None)
    }

    /// Tells that a command of the file failed, which it didn't when it was written there.
    #[cold]
    pub(in crate::server) fn replay_failed(&mut self, name: &str, error: &Error) {
        self.counters.unexpected_errors += 1;
        let text = error.to_string();
        let (mark, text) = match text.strip_prefix("ERR ") {
            Some(text) => ("", text),
            None => ("-", text.as_str()),
        };
        self.log.warning(format_args!(
            "== CRITICAL == This server is sending an error to its AOF-loading-client: \
             '{mark}{text}' after processing the command '{name}'"
        ));
    }

    fn log_bad_format(&self, name: &str) {
        self.log.warning(format_args!(
            "Bad file format reading the append only file {name}: make a backup of your AOF file, \
             then use ./redis-check-aof --fix <filename.manifest>"
        ));
    }

    fn begins_transaction(&self, args: &Args<'_>) -> bool {
        args.is(0, "multi")
    }

    /// Forgets a transaction that hasn't ended; says whether there was one.
    fn discard_open_transaction(&mut self, id: ClientRef) -> bool {
        let open = self.clients.get(id).is_some_and(|client| client.in_multi());
        if open {
            self.discard(id);
        }
        open
    }

    fn delay_key(&self) {
        if let Ok(us @ 1..) = u64::try_from(self.config.key_load_delay) {
            std::thread::sleep(std::time::Duration::from_micros(us));
        }
    }

    /// Executes a command of the file; fails with the name of one that doesn't exist, or with
    /// nothing if it can't be executed as it stands.
    fn replay_command(&mut self, id: ClientRef, args: Args<'_>) -> Result<(), Option<String>> {
        let found = self.commands.find(&args);
        let command = found.map_err(|_| Some(shown(args.at(0)).into_owned()))?;
        let row = self.commands.get(command).command;
        if !row.fits(args.len()) {
            return Err(None);
        }
        let Some(client) = self.clients.get_mut(id) else { return Err(None) };
        if client.in_multi() && row.name != "exec" {
            client.queued.push(Queued { command, args: ArgBuf::from(args) });
            return Ok(());
        }
        let db = client.db;
        let out = std::mem::take(&mut client.out);
        // As within EXEC: nothing that is told waits.
        let mut out: Reply = self.call(id, command, db, args, Caller::Exec, out).out;
        out.truncate(0);
        if let Some(client) = self.clients.get_mut(id) {
            client.out = out;
        }
        Ok(())
    }

    /// A file ends within a command or transaction: that is cut off, if the configuration lets it.
    fn cut_off(&mut self, name: &str, valid: u64, truncates: bool) -> Result<End, LoadFailed> {
        if truncates {
            self.log.warning(format_args!(
                "!!! Warning: short read while loading the AOF file {name}!!!"
            ));
            self.log.warning(format_args!("!!! Truncating the AOF {name} at offset {valid} !!!"));
            let place = self.aof.log.place();
            let path = place.names.path(name.as_bytes());
            let cut = place.disk.append(&path).and_then(|file| {
                file.truncate(valid)?;
                file.sync_all()
            });
            match cut {
                Ok(()) => {
                    self.log.warning(format_args!(
                        "AOF {name} loaded anyway because aof-load-truncated is enabled"
                    ));
                    return Ok(End::Truncated);
                }
                Err(error) => self.log.warning(format_args!(
                    "Error truncating the AOF file {name}: {}",
                    strerror(&error)
                )),
            }
        }
        self.log.warning(format_args!(
            "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup \
             of your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) \
             Alternatively you can set the 'aof-load-truncated' configuration option to yes and \
             restart the server."
        ));
        Err(LoadFailed)
    }

    fn end_file(&mut self, replay: &mut Replay, end: &End) -> Result<(), LoadFailed> {
        let Some(Open { file, reader, started_us, .. }) = replay.open.take() else { return Ok(()) };
        replay.done += reader.position();
        let is_last = replay.files.is_empty();
        if matches!(end, End::Truncated) && !is_last {
            self.log.warning("Fatal error: the truncated file is not the last file");
            return Err(LoadFailed);
        }
        if file.len > 0 {
            let what = if file.is_base { "base" } else { "incr" };
            self.log.notice(format_args!(
                "DB loaded from {what} file {}: {:.3} seconds",
                shown(&file.name),
                self.seconds_since(started_us)
            ));
        }
        Ok(())
    }

    fn seconds_since(&self, started_us: i64) -> f64 {
        (self.clock.unix_us() - started_us).max(0) as f64 / 1e6
    }

    fn end_replay(&mut self, replay: &mut Replay, ok: bool) {
        self.loading = None;
        self.dirty = 0;
        self.remove_client(replay.client);
        if ok {
            self.aof.base_size = replay.base_size;
            self.log.notice(format_args!(
                "DB loaded from append only file: {:.3} seconds",
                self.seconds_since(replay.started_us)
            ));
        }
    }

    /// Puts what the append only file holds in the place of the data.
    ///
    /// # Errors
    /// If it can't be loaded; the reason has been logged.
    pub fn reload_aof(&mut self) -> Result<(), LoadFailed> {
        let was_on = self.propagation.listens(Targets::AOF);
        self.drain_aof();
        // What is loaded is in the file already.
        self.propagation.listen(Targets::AOF, false);
        self.flush(None, true);
        self.functions.flush();
        let loaded = self.load_aof();
        self.propagation.listen(Targets::AOF, was_on);
        loaded
    }

    /// Loads the append only file at once.
    ///
    /// # Errors
    /// If it can't be loaded; the reason has been logged.
    pub fn load_aof(&mut self) -> Result<(), LoadFailed> {
        let Some(mut replay) = self.begin_replay()? else { return Ok(()) };
        loop {
            match self.step_replay(&mut replay, u64::MAX)? {
                Progress::Done => return Ok(()),
                Progress::More => {}
                Progress::Waits => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// Whether a file is, or begins with, an RDB file.
fn is_rdb(file: &Handle) -> bool {
    let mut magic = [0; RDB_MAGIC.len()];
    matches!(file.read_at(&mut magic, 0), Ok(read) if read == magic.len() && magic == RDB_MAGIC)
}
