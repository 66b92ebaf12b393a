//! Loading a snapshot: on threads, while clients are told to wait, or here and now (DEBUG RELOAD).
//!
//! Owns what the log says of it and what becomes of the databases. The threads and the format are
//! [`crate::persist::rdb`]'s.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use crate::config::{Config, SanitizePayload};
use crate::keyspace::{Db, Entry};
use crate::persist::rdb::decode::{Error, Problem};
use crate::persist::rdb::load::{self, Loaded};
use crate::persist::rdb::{Access, Progress, value};
use crate::script::RestorePolicy;
use crate::server::Server;
use crate::server::eviction::{AccessClock, Eviction};
use crate::server::loading::Loading;
use crate::util::file::{Handle, strerror};
use crate::value::Limits;

/// Data that can't be loaded; the reason has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadFailed;

/// What a loading thread needs to know of the configuration.
#[derive(Clone, Copy)]
struct Plan {
    databases: usize,
    checksum: bool,
    drop_before_ms: Option<i64>,
    duplicates: bool,
    deep: bool,
    limits: Limits,
    eviction: Eviction,
    clock: AccessClock,
}

impl Plan {
    fn run(&self, file: &Handle, progress: &Progress) -> Result<Loaded, Error> {
        let access = |entry: &Entry, access: Access| self.eviction.set(entry, access, self.clock);
        let options = load::Options {
            databases: self.databases,
            checksum: self.checksum,
            drop_before_ms: self.drop_before_ms,
            duplicates: self.duplicates,
            values: value::Options { deep: self.deep, limits: self.limits },
            access: &access,
        };
        load::load(file, 0, &options, progress)
    }
}

/// A load on threads.
pub struct RdbLoad {
    progress: Arc<Progress>,
    outcome: Receiver<Result<Loaded, Error>>,
    started_us: i64,
    /// Tenths of the file that the log tells of.
    tenths: u64,
    /// Bytes of what has been loaded from other files before.
    before: u64,
    len: u64,
    /// Whether it is the base of an append only file.
    preamble: bool,
}

/// How a snapshot is put beside what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// In its place.
    Empty,
    /// Among it; a key that is there already is an error.
    New,
    /// Among it, and over keys that are there already.
    Merge,
}

fn path_of(config: &Config) -> PathBuf {
    let dir = PathBuf::from(OsStr::from_bytes(&config.dir));
    dir.join(OsStr::from_bytes(&config.dbfilename))
}

/// An error that no place in the file stands for.
fn placeless(problem: Problem) -> Error {
    Error { problem, offset: 0, context: None }
}

impl Server {
    fn load_plan(&self, preamble: bool, duplicates: bool) -> Plan {
        Plan {
            databases: self.dbs.len(),
            checksum: self.config.rdbchecksum,
            // What an append only file goes on with counts on the keys that are there.
            drop_before_ms: (!preamble).then_some(self.now_ms),
            duplicates,
            deep: self.config.sanitize_dump_payload == SanitizePayload::Yes,
            limits: self.limits,
            eviction: self.eviction,
            clock: self.access_clock(),
        }
    }

    /// Begins to load the snapshot, if there is one.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn begin_rdb_load(&mut self) -> Result<Option<RdbLoad>, LoadFailed> {
        let file = match self.disk.open(&path_of(&self.config)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unopenable(&error)),
        };
        let len = file.len().unwrap_or(0);
        self.loading =
            Some(Loading { started_ms: self.now_ms, total: len, loaded: 0, used_mem: 0 });
        self.start_rdb_load(file, false).map(Some).inspect_err(|_| self.loading = None)
    }

    fn unopenable(&self, error: &io::Error) -> LoadFailed {
        self.log.warning(format_args!(
            "Fatal error: can't open the RDB file {} for reading: {}",
            String::from_utf8_lossy(&self.config.dbfilename),
            strerror(error)
        ));
        self.log.warning("Fatal error loading the DB, check server logs. Exiting.");
        LoadFailed
    }

    /// Begins to load what stands at the start of a file: a snapshot, or the base of an append
    /// only file (`preamble`). [`step_rdb_load`](Self::step_rdb_load) follows it.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start_rdb_load(&mut self, file: Handle, preamble: bool) -> Result<RdbLoad, LoadFailed> {
        let plan = self.load_plan(preamble, false);
        let progress = Progress::default();
        progress.key_delay_us.store(self.config.key_load_delay.into(), Ordering::Relaxed);
        let progress = Arc::new(progress);
        let (sender, outcome) = channel();
        let load = RdbLoad {
            progress: Arc::clone(&progress),
            outcome,
            started_us: self.clock.unix_us(),
            tenths: 0,
            before: self.loading.as_ref().map_or(0, |loading| loading.loaded),
            len: file.len().unwrap_or(0),
            preamble,
        };
        let thread = thread::Builder::new().name("rdb-load".into());
        let spawned = thread.spawn(move || {
            let _ = sender.send(plan.run(&file, &progress));
        });
        spawned.map(|_| load).map_err(|error| {
            self.log.warning(format_args!("Can't load: thread: {}", strerror(&error)));
            LoadFailed
        })
    }

    /// Takes note of how far a load is; says where the snapshot ends in its file once it is loaded.
    ///
    /// # Errors
    /// If it can't be loaded.
    pub fn step_rdb_load(&mut self, load: &mut RdbLoad) -> Result<Option<u64>, LoadFailed> {
        let delay = i64::from(self.config.key_load_delay);
        load.progress.key_delay_us.store(delay, Ordering::Relaxed);
        let bytes = load.progress.bytes.load(Ordering::Relaxed);
        if let Some(loading) = &mut self.loading {
            loading.loaded = load.before + bytes;
        }
        let tenths = bytes * 10 / load.len.max(1);
        if tenths > load.tenths && tenths < 10 {
            load.tenths = tenths;
            let keys = load.progress.keys.load(Ordering::Relaxed);
            self.log.notice(format_args!("Loading DB: {}% done, {keys} keys", tenths * 10));
        }
        let outcome = load.outcome.try_recv();
        self.tell_aux(&load.progress);
        let result = match outcome {
            Err(TryRecvError::Empty) => return Ok(None),
            Ok(result) => result,
            Err(TryRecvError::Disconnected) => Err(placeless(Problem::Stopped)),
        };
        let end = self.take_loaded(result, Into::Empty)?;
        if !load.preamble {
            let seconds = (self.clock.unix_us() - load.started_us) as f64 / 1e6;
            self.log.notice(format_args!("DB loaded from disk: {seconds:.3} seconds"));
        }
        Ok(Some(end))
    }

    /// Loads the snapshot, here and now.
    ///
    /// # Errors
    /// If there is none, or it can't be loaded.
    pub fn load_now(&mut self, into: Into) -> Result<(), LoadFailed> {
        let file = match self.disk.open(&path_of(&self.config)) {
            Ok(file) => file,
            Err(error) => return Err(self.unopenable(&error)),
        };
        let plan = self.load_plan(false, into == Into::Merge);
        let progress = Progress::default();
        let result = plan.run(&file, &progress);
        self.tell_aux(&progress);
        self.take_loaded(result, into).map(|_| ())
    }

    /// Logs what a load ended with, and takes the data over.
    fn take_loaded(
        &mut self,
        result: Result<Loaded, Error>,
        into: Into,
    ) -> Result<u64, LoadFailed> {
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                self.log_load_error(&error);
                return Err(LoadFailed);
            }
        };
        self.log_loaded(&loaded);
        self.take_functions(&loaded.functions, into)?;
        self.rdb.last_load = (loaded.keys, loaded.expired);
        match into {
            Into::Empty => self.dbs = loaded.dbs,
            Into::New | Into::Merge => self.add_loaded(loaded.dbs, into)?,
        }
        Ok(loaded.end)
    }

    fn take_functions(&mut self, codes: &[Vec<u8>], into: Into) -> Result<(), LoadFailed> {
        let policy = match into {
            Into::Empty | Into::New => RestorePolicy::Append,
            Into::Merge => RestorePolicy::Replace,
        };
        let codes = codes.iter().map(Vec::as_slice);
        let restored =
            self.change_functions(None, |functions, host| functions.restore(codes, policy, host));
        restored.map_err(|error| {
            let text = error.to_string();
            let reason = text.strip_prefix("ERR ").unwrap_or(&text);
            self.log.warning(format_args!("Failed loading library, {reason}"));
            LoadFailed
        })
    }

    fn add_loaded(&mut self, dbs: Vec<Db>, into: Into) -> Result<(), LoadFailed> {
        for (number, db) in dbs.iter().enumerate() {
            for entry in db.iter() {
                let old = self.dbs[number].put(entry.clone());
                if old.is_some() && into == Into::New {
                    use crate::ds::dict::Keyed;
                    let key = entry.key().into();
                    let problem = Problem::Duplicate { db: number, key };
                    self.log_load_error(&placeless(problem));
                    return Err(LoadFailed);
                }
            }
        }
        Ok(())
    }

    /// Takes note of what a file says of itself, as far as it is read.
    fn tell_aux(&mut self, progress: &Progress) {
        let log = &self.log;
        for (name, value) in progress.aux.lock().drain(..) {
            let value = String::from_utf8_lossy(&value);
            let number = || value.parse::<i64>().unwrap_or(0);
            match name.as_slice() {
                b"redis-ver" => {
                    log.notice(format_args!("Loading RDB produced by version {value}"));
                }
                b"ctime" => {
                    let age = (self.now_ms / 1000 - number()).max(0);
                    log.notice(format_args!("RDB age {age} seconds"));
                }
                b"used-mem" => {
                    let mb = number() as f64 / f64::from(1 << 20);
                    if let Some(loading) = &mut self.loading {
                        loading.used_mem = number();
                    }
                    log.notice(format_args!("RDB memory usage when created {mb:.2} Mb"));
                }
                b"aof-base" if number() != 0 => log.notice("RDB is base AOF"),
                [b'%', ..] => {
                    log.notice(format_args!("RDB '{}': {value}", String::from_utf8_lossy(&name)));
                }
                _ => {}
            }
        }
    }

    fn log_loaded(&self, loaded: &Loaded) {
        let log = &self.log;
        for module in &loaded.modules {
            log.warning(format_args!(
                "The RDB file contains AUX module data I can't load: no matching module \
                 '{module}'. It is skipped."
            ));
        }
        if loaded.unchecked {
            log.notice("RDB file was saved with checksum disabled: no check performed.");
        }
        for key in &loaded.empty_keys {
            let key = String::from_utf8_lossy(key);
            log.notice(format_args!("rdbLoadObject skipping empty key: {key}"));
        }
        let Loaded { keys, expired, empty, .. } = loaded;
        match empty {
            0 => log.notice(format_args!(
                "Done loading RDB, keys loaded: {keys}, keys expired: {expired}."
            )),
            _ => log.notice(format_args!(
                "Done loading RDB, keys loaded: {keys}, keys expired: {expired}, empty keys \
                 skipped: {empty}."
            )),
        }
    }

    fn log_load_error(&self, error: &Error) {
        let (log, problem) = (&self.log, &error.problem);
        match problem {
            Problem::Signature | Problem::Version(_) => {
                log.warning(problem);
                log.warning("Fatal error loading the DB, check server logs. Exiting.");
                return;
            }
            Problem::Eof | Problem::Io(_) => {
                log.warning("Short read or OOM loading DB. Unrecoverable error, aborting now.");
            }
            Problem::Checksum { expected, found } => log.warning(format_args!(
                "Wrong RDB checksum expected: ({expected:x}) but got ({found:x}). Aborting now."
            )),
            _ => {}
        }
        log.warning(format_args!(
            "Internal error in RDB reading offset {}: {problem}",
            error.offset
        ));
        log.warning("--- RDB ERROR DETECTED ---");
        log.warning(format_args!("[offset {}] {problem}", error.offset));
        if let Some(context) = &error.context {
            context.to_string().lines().for_each(|line| log.warning(line));
        }
        log.warning("Terminating server after rdb file reading failure.");
    }
}
