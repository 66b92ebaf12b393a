//! Snapshots in files, as the server drives them: SAVE and BGSAVE, save points, what the log and
//! INFO say of them.
//!
//! Owns when a save may run and what follows from its outcome. The format, the files and the order
//! of syncs are [`crate::persist::rdb`]'s. A save in the background works on a clone of the
//! databases, on a thread of its own: the executor hears of its end and never waits for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::Waker;
use std::thread;

use crate::config::Config;
use crate::keyspace::Entry;
use crate::persist::rdb::save::{self, AccessOf, DbSnapshot, Failure, Options};
use crate::persist::rdb::{Access, Progress};
use crate::resp::Error;
use crate::server::eviction::{AccessClock, Eviction};
use crate::server::{REDIS_VERSION, Server};
use crate::util::file::{Disk, strerror};
use crate::util::process;

/// After a failed save, save points and scheduled saves wait so long, in milliseconds.
const RETRY_MS: i64 = 5000;

/// A save in the background.
struct Running {
    started_ms: i64,
    /// Changes that it will have saved.
    dirty: u64,
    keys: u64,
    /// Memory in use when it began, in bytes.
    memory: u64,
    progress: Arc<Progress>,
    outcome: Receiver<Result<u64, Failure>>,
    place: Place,
}

/// What is known of snapshots in files.
pub struct Rdb {
    running: Option<Running>,
    /// Whether a save begins as soon as it can.
    pub scheduled: bool,
    /// When the last save succeeded, or the server started, in Unix milliseconds.
    pub last_save_ms: i64,
    /// When the last one in the background was begun, in Unix milliseconds.
    last_try_ms: i64,
    /// Whether the last one in the background succeeded.
    pub last_ok: bool,
    /// Seconds that it took; none before the first.
    pub last_duration_s: Option<i64>,
    /// Saves that were begun, save for those at other occasions (FLUSHALL, SHUTDOWN).
    pub saves: u64,
    /// Saves in the background among them.
    pub begun: u64,
    /// Bytes by which memory grew during the last one.
    pub last_cow: u64,
    /// Keys loaded at the last load, and keys left out since they were due.
    pub last_load: (u64, u64),
    /// Saves in the background that ever began: tells their files apart.
    serial: u64,
    /// Wakes the executor; without it, saves are done where they are asked for.
    wake: Option<Waker>,
}

/// Where a file goes.
#[derive(Debug, Clone)]
struct Place {
    dir: PathBuf,
    path: PathBuf,
    temp: PathBuf,
}

impl Place {
    /// `suffix` tells the temporary files of several saves apart.
    fn of(config: &Config, suffix: &str) -> Self {
        let dir = PathBuf::from(OsStr::from_bytes(&config.dir));
        let path = dir.join(OsStr::from_bytes(&config.dbfilename));
        let temp = dir.join(format!("temp-{}{suffix}.rdb", std::process::id()));
        Self { dir, path, temp }
    }
}

impl Rdb {
    /// Nothing saved yet.
    pub fn new(now_ms: i64, wake: Option<Waker>) -> Self {
        Self {
            running: None,
            scheduled: false,
            last_save_ms: now_ms,
            last_try_ms: 0,
            last_ok: true,
            last_duration_s: None,
            saves: 0,
            begun: 0,
            last_cow: 0,
            last_load: (0, 0),
            serial: 0,
            wake,
        }
    }

    /// Whether a save runs in the background.
    pub fn is_saving(&self) -> bool {
        self.running.is_some()
    }

    /// When it began, in Unix milliseconds.
    pub fn started_ms(&self) -> Option<i64> {
        self.running.as_ref().map(|running| running.started_ms)
    }

    /// Keys that it has written, and all that it will.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let running = self.running.as_ref()?;
        Some((running.progress.keys.load(Ordering::Relaxed), running.keys))
    }

    /// Bytes by which memory has grown since it began: what changes is copied meanwhile.
    pub fn growth(&self, memory: u64) -> u64 {
        self.running.as_ref().map_or(0, |running| memory.saturating_sub(running.memory))
    }

    fn may_retry(&self, now_ms: i64) -> bool {
        self.last_ok || now_ms - self.last_try_ms > RETRY_MS
    }
}

/// A save that failed; the reason has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveFailed;

/// What a key's access clock says, as the policy has it.
pub fn access_of(eviction: Eviction, config: &Config, clock: AccessClock) -> Option<AccessOf> {
    let of: AccessOf = match () {
        () if eviction.is_lfu() => Box::new(move |entry: &Entry| {
            Access::Freq(u8::try_from(eviction.frequency(entry, clock)).unwrap_or(u8::MAX))
        }),
        () if config.maxmemory_policy.is_lru() => Box::new(move |entry: &Entry| {
            Access::Idle(u64::from(eviction.idle_seconds(entry, clock)))
        }),
        () => return None,
    };
    Some(of)
}

impl Server {
    /// What a save writes beside the data; `aof_base` says that it is a part of an append only
    /// file.
    pub fn rdb_options(&self, aof_base: bool) -> Options {
        Options {
            compress: self.config.rdbcompression,
            checksum: self.config.rdbchecksum,
            incremental_sync: self.config.rdb_save_incremental_fsync,
            aux: vec![
                ("redis-ver", REDIS_VERSION.into()),
                ("redis-bits", usize::BITS.to_string()),
                ("ctime", (self.now_ms / 1000).to_string()),
                ("used-mem", process::allocator().allocated.to_string()),
                ("aof-base", u8::from(aof_base).to_string()),
            ],
            functions: self.functions.codes(),
            access: access_of(self.eviction, &self.config, self.access_clock()),
        }
    }

    /// The reins of a save.
    pub fn save_progress(&self) -> Arc<Progress> {
        let progress = Progress::default();
        progress.key_delay_us.store(self.config.rdb_key_save_delay.into(), Ordering::Relaxed);
        Arc::new(progress)
    }

    /// Saves all data, here and now: nothing else is done meanwhile.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn save_now(&mut self) -> Result<(), SaveFailed> {
        let place = Place::of(&self.config, "");
        let (data, options) = (DbSnapshot::of(&self.dbs), self.rdb_options(false));
        let progress = self.save_progress();
        let disk = Arc::clone(&self.disk);
        *self.saving_to.lock() = Some(place.temp.clone());
        let saved = save::save(&*disk, &place.path, &place.temp, data, &options, &progress);
        *self.saving_to.lock() = None;
        match saved {
            Ok(_) => {
                self.log.notice("DB saved on disk");
                self.dirty = 0;
                self.rdb.last_save_ms = self.now_ms;
                self.rdb.last_ok = true;
                Ok(())
            }
            Err(failure) => {
                self.log_save_failure(&place, &failure);
                Err(SaveFailed)
            }
        }
    }

    /// Begins a save in the background. None must be running.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn save_in_background(&mut self) -> Result<(), SaveFailed> {
        self.rdb.serial += 1;
        self.rdb.saves += 1;
        self.rdb.begun += 1;
        let place = Place::of(&self.config, &format!("-{}", self.rdb.serial));
        let (data, options) = (DbSnapshot::of(&self.dbs), self.rdb_options(false));
        let progress = self.save_progress();
        self.rdb.last_try_ms = self.now_ms;
        self.rdb.scheduled = false;
        let (sender, outcome) = channel();
        let running = Running {
            started_ms: self.now_ms,
            dirty: self.dirty,
            keys: data.iter().map(|db| db.entries.len() as u64).sum(),
            memory: process::allocator().allocated,
            progress: Arc::clone(&progress),
            outcome,
            place: place.clone(),
        };
        let job = Job { disk: Arc::clone(&self.disk), place, data, options, progress, sender };
        match self.rdb.wake.clone() {
            None => job.run(),
            Some(wake) => {
                let thread = thread::Builder::new().name("rdb-save".into());
                let spawned = thread.spawn(move || {
                    process::give_way();
                    job.run();
                    wake.wake();
                });
                if let Err(error) = spawned {
                    let reason = strerror(&error);
                    self.log.warning(format_args!("Can't save in background: thread: {reason}"));
                    self.rdb.last_ok = false;
                    return Err(SaveFailed);
                }
            }
        }
        self.rdb.running = Some(running);
        self.log.notice(format_args!("Background saving started by pid {}", std::process::id()));
        Ok(())
    }

    /// Takes note of the end of a save in the background, if it has ended.
    pub fn follow_save(&mut self) {
        let Some(running) = &self.rdb.running else { return };
        let result = match running.outcome.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err(Failure::Stopped),
        };
        // Nobody waits for this end, so it wasn't asked for.
        let failed = matches!(result, Err(Failure::Stopped));
        self.end_save(result);
        self.rdb.last_ok &= !failed;
    }

    /// Has what a thread writes fail, a snapshot or a base, as if the thread had died; says whether
    /// there was anything.
    pub fn fail_child(&mut self) -> bool {
        let saves = self.rdb.running.as_ref().map(|running| &running.progress);
        let found = saves.into_iter().chain(self.aof.rewrite_reins());
        found.filter(|progress| progress.stop()).count() > 0
    }

    fn end_save(&mut self, result: Result<u64, Failure>) {
        let Some(running) = self.rdb.running.take() else { return };
        self.rdb.last_duration_s = Some((self.now_ms - running.started_ms) / 1000);
        self.rdb.last_cow = process::allocator().allocated.saturating_sub(running.memory);
        match result {
            Ok(_) => {
                self.log.notice("DB saved on disk");
                self.log.notice("Background saving terminated with success");
                self.dirty = self.dirty.saturating_sub(running.dirty);
                self.rdb.last_save_ms = self.now_ms;
                self.rdb.last_ok = true;
            }
            Err(Failure::Stopped) => self.log.warning("Background saving was stopped"),
            Err(failure) => {
                self.log_save_failure(&running.place, &failure);
                self.log.warning("Background saving error");
                self.rdb.last_ok = false;
            }
        }
    }

    /// Ends a save in the background, if one runs: without success if it can still be stopped.
    /// Whatever it wrote is gone soon after; `wait` has it be gone at once.
    pub fn stop_save(&mut self, wait: bool) {
        let Some(running) = &self.rdb.running else { return };
        let stopped = running.progress.stop();
        let result = match stopped && !wait {
            true => Err(Failure::Stopped),
            // It is about to end either way.
            false => running.outcome.recv().unwrap_or(Err(Failure::Stopped)),
        };
        self.end_save(result);
    }

    fn log_save_failure(&self, place: &Place, failure: &Failure) {
        let (dir, temp) = (place.dir.display(), name(&place.temp));
        match failure {
            Failure::Disk { doing: "open", error } => self.log.warning(format_args!(
                "Failed opening the temp RDB file {temp} (in server root dir {dir}) for saving: {}",
                strerror(error)
            )),
            Failure::Disk { doing: "rename", error } => self.log.warning(format_args!(
                "Error moving temp DB file {temp} on the final destination {} (in server root dir \
                 {dir}): {}",
                name(&place.path),
                strerror(error)
            )),
            Failure::Disk { doing: "fsync directory", error } => self.log.warning(format_args!(
                "Failed to fsync directory while saving DB: {}",
                strerror(error)
            )),
            Failure::Disk { doing, error } => self.log.warning(format_args!(
                "Write error saving DB on disk({doing}): {}",
                strerror(error)
            )),
            Failure::Stopped => self.log.warning("Saving was stopped"),
        }
    }

    /// Saves what FLUSHALL left, if there are save points: nobody shall find the old data again.
    pub fn save_flushed(&mut self) {
        self.stop_save(false);
        if !self.config.save.is_empty() {
            let _ = self.save_now();
        }
    }

    /// Whether a thread writes all data.
    pub fn has_active_child(&self) -> bool {
        self.rdb.is_saving() || self.aof.is_rewriting()
    }

    /// What the cron does for snapshots.
    pub(in crate::server) fn tick_rdb(&mut self) {
        self.follow_save();
        if self.has_active_child() || self.is_loading() {
            return;
        }
        let elapsed_s = u64::try_from((self.now_ms - self.rdb.last_save_ms) / 1000).unwrap_or(0);
        let due = (self.config.save.iter())
            .find(|point| self.dirty >= point.changes && elapsed_s > point.seconds)
            .copied();
        if !self.rdb.may_retry(self.now_ms) {
            return;
        }
        if let Some(point) = due {
            self.log.notice(format_args!(
                "{} changes in {} seconds. Saving...",
                point.changes, point.seconds
            ));
            let _ = self.save_in_background();
        } else if self.rdb.scheduled {
            let _ = self.save_in_background();
        }
    }

    /// Why nothing may be written, if that is so: the last snapshot failed.
    pub fn rdb_error(&self) -> Option<Error> {
        let refuses = self.config.stop_writes_on_bgsave_error
            && !self.config.save.is_empty()
            && !self.rdb.last_ok;
        refuses.then_some(Error::Misconf)
    }
}

fn name(path: &Path) -> std::path::Display<'_> {
    path.file_name().map_or(path, Path::new).display()
}

/// A save, with all that it needs.
struct Job {
    disk: Arc<dyn Disk>,
    place: Place,
    data: Vec<DbSnapshot>,
    options: Options,
    progress: Arc<Progress>,
    sender: Sender<Result<u64, Failure>>,
}

impl Job {
    fn run(self) {
        let Self { disk, place, data, options, progress, sender } = self;
        let result = save::save(&*disk, &place.path, &place.temp, data, &options, &progress);
        let _ = sender.send(result);
    }
}
