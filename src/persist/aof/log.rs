//! The file that is being written: steps in their order, group commit, borders, syncs.
//!
//! Owns the open increment, the manifest in force, the bytes on their way and how far they have
//! come. See the design in [`super`]. Tells what happened by [`Event`]s; decides nothing about the
//! server.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Waker;
use std::time::Duration;

use super::files::{
    Appended, Install, append, create_dir, open_increment, put_in_place, replace, size_of_files,
    write_whole,
};
use super::manifest::{Failure, FileInfo, Manifest, ManifestError, Names, shown, sync_dir};
use crate::util::clock::Clock;
use crate::util::file::{Disk, File, Handle, strerror};
use crate::util::worker::{Worker, caught};

/// Failed writes and due syncs are tried again after this time, in milliseconds.
const PERIOD_MS: i64 = 1000;
/// A write that has waited so long for a sync is reported, in milliseconds.
const POSTPONED_MS: i64 = 2000;
/// A buffer of at most this capacity is kept for the next step, in bytes.
const SPARE_MAX: usize = 1 << 20;

/// When the file is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before any reply.
    Always,
    /// Each second.
    Everysec,
    /// When the system likes.
    No,
}

/// Where the files are.
#[derive(Clone)]
pub struct Place {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Their names.
    pub names: Names,
}

/// What an increment follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The files that the manifest names.
    Manifest,
    /// A base that is yet to be written: the increment counts for nothing until then.
    ComingBase,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The acked position moved.
    Acked,
    /// A write failed; it will be tried again.
    WriteFailed {
        /// Why.
        error: io::Error,
        /// Bytes that got into the file, and that were to.
        moved: (usize, usize),
        /// Why they couldn't be cut off again, if they couldn't.
        uncut: Option<io::Error>,
    },
    /// Writing works again.
    WriteRecovered,
    /// A sync failed: what it was to make durable may be lost if the power fails.
    SyncFailed {
        /// Why.
        error: io::Error,
        /// Whether replies wait for this very sync.
        always: bool,
    },
    /// Syncing works again.
    SyncRecovered,
    /// A write has waited long for a sync.
    SlowSync,
    /// The border is drawn, or couldn't be.
    Rotated(Result<(), Failure>),
    /// There is a new base, or not.
    Installed {
        /// What the base was called in [`Log::install`].
        id: u64,
        /// Whether it is in place.
        result: Result<(), Failure>,
    },
    /// These files are being removed.
    Removing(Vec<FileInfo>),
    /// The manifest couldn't be written without the removed files.
    Unclean(Failure),
    /// How long something took, in nanoseconds.
    Took(Timed, u64),
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timed {
    /// A write by itself.
    Write,
    /// A write while a sync runs.
    WriteDuringSync,
    /// A sync that replies wait for.
    SyncAlways,
    /// Renaming a new base.
    Rename,
}

/// What to do next, in order.
enum Step {
    Bytes(Vec<u8>),
    Rotate(Border),
}

/// The border between two increments.
struct Border {
    next: Handle,
    /// The manifest with the next increment; none if that has no place in it yet.
    manifest: Option<Manifest>,
}

/// What a worker has done.
enum Done {
    Appended(Appended),
    Synced { upto: u64, result: io::Result<()> },
    Rotated { next: Handle, result: Result<Option<Manifest>, Failure> },
    Installed { id: u64, result: Result<(Manifest, u64), Failure>, ns: u64 },
    Cleaned(Result<Manifest, Failure>),
}

/// What [`Log::open`] has opened.
#[derive(Debug)]
pub struct Opened {
    /// The name of the base, if one was made.
    pub base: Option<Vec<u8>>,
    /// The name of the increment.
    pub increment: Vec<u8>,
    /// Whether that is new.
    pub is_new: bool,
}

/// The append only file.
pub struct Log {
    place: Place,
    clock: Arc<dyn Clock>,
    policy: Fsync,
    /// Whether syncs are left out, as long as a rewrite or a save runs.
    holds_syncs: bool,
    /// Whether files that aren't needed any more stay.
    keeps_history: bool,
    manifest: Manifest,
    file: Option<Handle>,
    /// Bytes in the open increment, and in the files before it.
    len: u64,
    older: u64,
    queue: VecDeque<Step>,
    spare: Vec<u8>,
    /// Positions in the feed: taken from it, in the file, durable, acked.
    taken: u64,
    written: u64,
    synced: u64,
    acked: u64,
    /// Whether a step, a sync, or work on the manifest is with a worker.
    busy: bool,
    syncing: bool,
    files_busy: bool,
    install: Option<Install>,
    /// A base that is in place, which is told when its history is gone.
    installed: Option<u64>,
    /// Why the last write failed, and when to try again.
    write_error: Option<(String, i64)>,
    sync_error: Option<String>,
    synced_ms: i64,
    postponed_ms: Option<i64>,
    delayed_syncs: u64,
    /// How long to sleep before each write, for tests.
    write_delay: Duration,
    writer: Worker,
    syncer: Worker,
    files: Worker,
    remover: Worker,
    done: (Sender<Done>, Receiver<Done>),
    wake: Waker,
    events: VecDeque<Event>,
}

impl Log {
    /// No files yet. `wake` is called when a worker is done; `worker` makes workers.
    pub fn new(
        place: Place,
        clock: Arc<dyn Clock>,
        wake: Waker,
        worker: impl Fn(&'static str) -> Worker,
    ) -> Self {
        Self {
            place,
            clock,
            policy: Fsync::Everysec,
            holds_syncs: false,
            keeps_history: false,
            manifest: Manifest::default(),
            file: None,
            len: 0,
            older: 0,
            queue: VecDeque::new(),
            spare: Vec::new(),
            taken: 0,
            written: 0,
            synced: 0,
            acked: 0,
            busy: false,
            syncing: false,
            files_busy: false,
            install: None,
            installed: None,
            write_error: None,
            sync_error: None,
            synced_ms: 0,
            postponed_ms: None,
            delayed_syncs: 0,
            write_delay: Duration::ZERO,
            writer: worker("aof-write"),
            syncer: worker("aof-sync"),
            files: worker("aof-files"),
            remover: worker("aof-remove"),
            done: channel(),
            wake,
            events: VecDeque::new(),
        }
    }

    /// When to sync, whether to leave that out for now, and whether superfluous files stay.
    pub fn configure(&mut self, policy: Fsync, holds_syncs: bool, keeps_history: bool) {
        (self.policy, self.holds_syncs) = (policy, holds_syncs);
        self.keeps_history = keeps_history;
    }

    /// Whether replies wait for syncs.
    pub fn syncs_replies(&self) -> bool {
        self.file.is_some() && self.policy == Fsync::Always && !self.holds_syncs
    }

    /// Whether the next step can begin.
    pub fn is_idle(&self) -> bool {
        !self.busy && !self.fails()
    }

    /// Has each write begin so much later, for tests.
    pub fn delay_writes(&mut self, delay: Duration) {
        self.write_delay = delay;
    }

    /// Where the files are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Looks for the files in another place, from the next time on that they are opened.
    pub fn relocate(&mut self, place: Place) {
        self.place = place;
    }

    /// The manifest in force.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// If there is one and it is no good.
    pub fn load_manifest(&mut self) -> Result<(), ManifestError> {
        self.manifest = Manifest::load(&*self.place.disk, &self.place.names)?;
        Ok(())
    }

    /// Makes a file of Redis 6 the base: it moves into the directory.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn adopt(&mut self, old: &std::path::Path) -> Result<(), Failure> {
        let Place { disk, names } = &self.place;
        create_dir(&**disk, names)?;
        let mut manifest = self.manifest.clone();
        manifest.adopt(&names.stem);
        manifest.save(&**disk, names)?;
        disk.rename(old, &names.path(&names.stem)).map_err(|error| {
            Failure::new(
                format_args!(
                    "Error trying to move the old AOF file {} into dir {}",
                    shown(&names.stem),
                    names.dir_name()
                ),
                &error,
            )
        })?;
        sync_dir(&**disk, names)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Whether effects are being written.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Opens the last increment, or a new one. Without any file, `write_base` writes a base first.
    ///
    /// # Errors
    /// If any of that can't be done.
    pub fn open(
        &mut self,
        is_rdb: bool,
        now_ms: i64,
        write_base: impl FnOnce(&dyn File) -> io::Result<()>,
    ) -> Result<Opened, Failure> {
        let Place { disk, names } = self.place.clone();
        create_dir(&*disk, &names)?;
        let mut manifest = self.manifest.clone();
        let mut made = None;
        if manifest.is_empty() {
            let name = manifest.add_base(&names, is_rdb);
            write_whole(&*disk, &names, &name, write_base)?;
            made = Some(name);
        }
        let is_new = manifest.increments.is_empty();
        let name = match manifest.increments.last() {
            Some(last) => last.name.clone(),
            None => manifest.add_increment(&names),
        };
        let file = open_increment(&*disk, &names, &name)?;
        // Where nothing has changed, nothing needs room: a full disk doesn't keep the server from
        // starting.
        match manifest == self.manifest {
            true => sync_dir(&*disk, &names)?,
            false => manifest.save(&*disk, &names)?,
        }
        self.len = file.len().unwrap_or(0);
        self.older = size_of_files(&*disk, &names, &manifest).saturating_sub(self.len);
        self.manifest = manifest;
        self.file = Some(file);
        self.synced_ms = now_ms;
        Ok(Opened { base: made, increment: name, is_new })
    }

    // ---- bytes in ---------------------------------------------------------------------------

    /// Takes what stands in the feed.
    pub fn push(&mut self, feed: &mut Vec<u8>) {
        if feed.is_empty() {
            return;
        }
        self.taken += feed.len() as u64;
        if self.file.is_none() && !self.has_border() {
            // Nobody writes: nothing to wait for.
            feed.clear();
            self.skip_all();
            return;
        }
        if let Some(Step::Bytes(bytes)) = self.queue.back_mut() {
            bytes.append(feed);
        } else {
            let spare = std::mem::take(&mut self.spare);
            self.queue.push_back(Step::Bytes(std::mem::replace(feed, spare)));
        }
    }

    fn has_border(&self) -> bool {
        self.busy || self.queue.iter().any(|step| matches!(step, Step::Rotate(_)))
    }

    fn skip_all(&mut self) {
        (self.written, self.synced) = (self.taken, self.taken);
        self.acked = self.taken;
        self.events.push_back(Event::Acked);
    }

    /// How much of the feed has been taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The position up to which replies may go out.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// The position up to which effects are durable.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Makes the directory if it is missing.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn make_dir(&self) -> Result<(), Failure> {
        create_dir(&*self.place.disk, &self.place.names)
    }

    /// Draws a border: what is pushed from now on goes to a new increment, whose name is returned.
    ///
    /// # Errors
    /// If the new file can't be made.
    pub fn rotate(&mut self, origin: Origin) -> Result<Vec<u8>, Failure> {
        let Place { disk, names } = &self.place;
        create_dir(&**disk, names)?;
        let (name, border) = match origin {
            Origin::Manifest => {
                let mut manifest = self.manifest.clone();
                let name = manifest.add_increment(names);
                let next = open_increment(&**disk, names, &name)?;
                (name, Border { next, manifest: Some(manifest) })
            }
            Origin::ComingBase => {
                // What an earlier try has left counts for nothing, though it may still be open.
                let name = self.remove_temp_increment();
                let next = disk.create(&names.path(&name)).map_err(|error| {
                    Failure::new(
                        format_args!("Can't open the append-only file {}", shown(&name)),
                        &error,
                    )
                })?;
                (name, Border { next, manifest: None })
            }
        };
        self.queue.push_back(Step::Rotate(border));
        Ok(name)
    }

    /// Removes the increment of an [`Origin::ComingBase`] that doesn't come; returns its name. It
    /// stays open until there is another.
    pub fn remove_temp_increment(&self) -> Vec<u8> {
        let Place { disk, names } = &self.place;
        let name = names.temp_increment();
        let _ = disk.remove(&names.path(&name));
        name
    }

    /// Makes the file at `temp` the base, and what comes before the last border history. `id` tells
    /// it from others; `with_increment` says that an increment of [`Origin::ComingBase`] belongs to
    /// it.
    pub fn install(&mut self, id: u64, temp: PathBuf, is_rdb: bool, with_increment: bool) {
        self.install = Some(Install { id, temp, is_rdb, with_increment });
    }

    /// Doesn't install the base that waits for it, if one does.
    pub fn forget_install(&mut self) {
        self.install = None;
    }

    // ---- doing ------------------------------------------------------------------------------

    /// Starts what can be started.
    pub fn flush(&mut self, now_ms: i64) {
        while !self.busy {
            match self.queue.pop_front() {
                None => break,
                Some(Step::Bytes(bytes)) => {
                    let waits = self.write_error.as_ref().is_some_and(|(_, at)| now_ms < *at);
                    if waits || self.file.is_none() {
                        self.queue.push_front(Step::Bytes(bytes));
                        break;
                    }
                    self.append(bytes, now_ms);
                }
                Some(step @ Step::Rotate(_)) if self.files_busy => {
                    self.queue.push_front(step);
                    break;
                }
                Some(Step::Rotate(border)) => self.draw(border),
            }
        }
        let behind = self.synced < self.written && self.file.is_some() && !self.holds_syncs;
        let may_sync = self.sync_error.is_none() || now_ms - self.synced_ms >= PERIOD_MS;
        let idle = !self.busy && self.write_error.is_none();
        if behind && self.policy == Fsync::Always && may_sync && idle {
            self.append(Vec::new(), now_ms);
        }
        if behind
            && self.policy == Fsync::Everysec
            && !self.syncing
            && now_ms - self.synced_ms >= PERIOD_MS
        {
            self.sync(now_ms);
        }
        if !self.files_busy && !self.has_border() {
            if let Some(install) = self.install.take() {
                self.put_in_place(install);
            } else if self.has_superfluous() {
                self.clean();
            }
        }
        // The policy may have changed.
        self.ack();
    }

    /// Whether there is history to remove.
    pub fn has_superfluous(&self) -> bool {
        !self.manifest.history.is_empty() && !self.keeps_history
    }

    /// Takes in what workers have done; says whether there was anything.
    pub fn poll(&mut self, now_ms: i64) -> bool {
        let mut any = false;
        while let Ok(done) = self.done.1.try_recv() {
            self.take_in(done, now_ms);
            any = true;
        }
        any
    }

    /// Does all that can be done, and waits for it. What failed is tried again at once.
    pub fn drain(&mut self, now_ms: i64) {
        if let Some((_, again_ms)) = &mut self.write_error {
            *again_ms = now_ms;
        }
        loop {
            self.poll(now_ms);
            self.flush(now_ms);
            if !(self.busy || self.syncing || self.files_busy) {
                return;
            }
            if let Ok(done) = self.done.1.recv() {
                self.take_in(done, now_ms);
            }
        }
    }

    /// Syncs what is written, here and now.
    pub fn sync_now(&mut self) {
        if let Some(file) = &self.file
            && self.synced < self.written
        {
            let result = caught(|| file.sync_data());
            self.note_sync(result, self.written, false);
            self.ack();
        }
    }

    /// Ends writing: all is written and synced, as far as that can be done. What can't be written
    /// counts as acked only if `gives_up`.
    ///
    /// # Errors
    /// If the last sync fails.
    pub fn close(&mut self, now_ms: i64, gives_up: bool) -> io::Result<()> {
        self.drain(now_ms);
        let result = match &self.file {
            Some(file) if self.synced < self.written => caught(|| file.sync_data()),
            _ => Ok(()),
        };
        self.file = None;
        if gives_up || self.queue.is_empty() && result.is_ok() {
            self.skip_all();
        }
        self.queue.clear();
        (self.install, self.installed) = (None, None);
        (self.write_error, self.sync_error, self.postponed_ms) = (None, None, None);
        (self.len, self.older) = (0, 0);
        result
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn append(&mut self, bytes: Vec<u8>, now_ms: i64) {
        let Some(file) = self.file.clone() else { return };
        let sync = self.syncs_replies();
        let (len, clock, during_sync) = (self.len, Arc::clone(&self.clock), self.syncing);
        if during_sync {
            self.note_postponed(now_ms);
        }
        if !sync && !during_sync {
            if !self.write_delay.is_zero() {
                std::thread::sleep(self.write_delay);
            }
            let appended = append(&*file, len, bytes, false, &*clock);
            self.appended(appended, now_ms);
            return;
        }
        self.busy = true;
        let (delay, (done, wake)) = (self.write_delay, self.reporting());
        self.writer.run(move || {
            std::thread::sleep(delay);
            let mut appended = append(&*file, len, bytes, sync, &*clock);
            appended.during_sync = during_sync;
            report(&done, &wake, Done::Appended(appended));
        });
    }

    /// Counts writes that have waited long for a sync.
    fn note_postponed(&mut self, now_ms: i64) {
        let since = *self.postponed_ms.get_or_insert(now_ms);
        if now_ms - since >= POSTPONED_MS {
            self.postponed_ms = Some(now_ms);
            self.delayed_syncs += 1;
            self.events.push_back(Event::SlowSync);
        }
    }

    fn reporting(&self) -> (Sender<Done>, Waker) {
        (self.done.0.clone(), self.wake.clone())
    }

    fn sync(&mut self, now_ms: i64) {
        let Some(file) = self.file.clone() else { return };
        (self.syncing, self.synced_ms) = (true, now_ms);
        let (upto, (done, wake)) = (self.written, self.reporting());
        self.syncer.run(move || {
            let result = caught(|| file.sync_data());
            report(&done, &wake, Done::Synced { upto, result });
        });
    }

    fn draw(&mut self, border: Border) {
        (self.busy, self.files_busy) = (true, true);
        let Border { next, manifest } = border;
        let (place, old, was) = (self.place.clone(), self.file.clone(), self.manifest.clone());
        let (done, wake) = self.reporting();
        self.files.run(move || {
            let synced = old.map_or(Ok(()), |old| caught(|| old.sync_data()));
            let synced = synced.map_err(|error| Failure::new("Fail to fsync the AOF file", &error));
            let result = synced.and_then(|()| match manifest {
                Some(new) => replace(&place, &was, &new).map(|()| Some(new)),
                None => Ok(None),
            });
            report(&done, &wake, Done::Rotated { next, result });
        });
    }

    fn put_in_place(&mut self, install: Install) {
        self.files_busy = true;
        let (place, was) = (self.place.clone(), self.manifest.clone());
        let (is_open, clock) = (self.file.is_some(), Arc::clone(&self.clock));
        let (done, wake) = self.reporting();
        self.files.run(move || {
            let started_ns = clock.mono_ns();
            let result = caught(|| put_in_place(&place, &was, &install, is_open));
            let ns = clock.mono_ns().saturating_sub(started_ns);
            report(&done, &wake, Done::Installed { id: install.id, result, ns });
        });
    }

    /// Removes history: first from the manifest, then the files.
    fn clean(&mut self) {
        self.files_busy = true;
        let mut new = self.manifest.clone();
        let removed = std::mem::take(&mut new.history);
        self.events.push_back(Event::Removing(removed.clone()));
        let (place, was, (done, wake)) =
            (self.place.clone(), self.manifest.clone(), self.reporting());
        let remover = self.place.clone();
        self.remover.run(move || {
            for info in removed {
                // One that is gone already, or can't be removed, does no harm.
                let _ = remover.disk.remove(&remover.names.path(&info.name));
            }
        });
        self.files.run(move || {
            let result = replace(&place, &was, &new).map(|()| new);
            report(&done, &wake, Done::Cleaned(result));
        });
    }

    // ---- done -------------------------------------------------------------------------------

    fn take_in(&mut self, done: Done, now_ms: i64) {
        match done {
            Done::Appended(appended) => {
                self.busy = false;
                self.appended(appended, now_ms);
            }
            Done::Synced { upto, result } => {
                self.syncing = false;
                self.postponed_ms = None;
                self.note_sync(result, upto, false);
            }
            Done::Rotated { next, result } => {
                (self.busy, self.files_busy) = (false, false);
                self.rotated(next, result);
            }
            Done::Installed { id, result, ns } => {
                self.files_busy = false;
                self.events.push_back(Event::Took(Timed::Rename, ns));
                let result = result.map(|(manifest, base)| {
                    self.manifest = manifest;
                    self.older = base;
                });
                if result.is_ok() && self.has_superfluous() {
                    // Who is told of the new base finds a manifest without history.
                    self.installed = Some(id);
                    self.clean();
                } else {
                    self.events.push_back(Event::Installed { id, result });
                }
            }
            Done::Cleaned(result) => {
                self.files_busy = false;
                match result {
                    Ok(manifest) => self.manifest = manifest,
                    Err(failure) => {
                        // The files are gone all the same, and no start misses them.
                        self.manifest.history.clear();
                        self.events.push_back(Event::Unclean(failure));
                    }
                }
                if let Some(id) = self.installed.take() {
                    self.events.push_back(Event::Installed { id, result: Ok(()) });
                }
            }
        }
    }

    fn appended(&mut self, appended: Appended, now_ms: i64) {
        let Appended { mut bytes, moved, error, uncut, synced, .. } = appended;
        let timed = match appended.during_sync {
            true => Timed::WriteDuringSync,
            false => Timed::Write,
        };
        self.events.push_back(Event::Took(timed, appended.write_ns));
        self.len += moved as u64;
        self.written += moved as u64;
        if let Some(error) = error {
            let expected = bytes.len();
            bytes.drain(..moved);
            self.queue.push_front(Step::Bytes(bytes));
            self.write_error = Some((strerror(&error), now_ms + PERIOD_MS));
            self.events.push_back(Event::WriteFailed { error, moved: (moved, expected), uncut });
        } else {
            if bytes.capacity() <= SPARE_MAX {
                bytes.clear();
                self.spare = bytes;
            }
            if self.write_error.take().is_some() {
                self.events.push_back(Event::WriteRecovered);
            }
        }
        if let Some(result) = synced {
            self.events.push_back(Event::Took(Timed::SyncAlways, appended.sync_ns));
            self.note_sync(result, self.written, true);
            self.synced_ms = now_ms;
        }
        self.ack();
    }

    fn note_sync(&mut self, result: io::Result<()>, upto: u64, always: bool) {
        match result {
            Ok(()) => {
                self.synced = self.synced.max(upto);
                if self.sync_error.take().is_some() {
                    self.events.push_back(Event::SyncRecovered);
                }
            }
            Err(error) => {
                self.sync_error = Some(strerror(&error));
                self.events.push_back(Event::SyncFailed { error, always });
            }
        }
    }

    fn ack(&mut self) {
        let waits = self.policy == Fsync::Always && !self.holds_syncs;
        let acked = if waits { self.synced } else { self.written };
        if acked > self.acked {
            self.acked = acked;
            self.events.push_back(Event::Acked);
        }
    }

    fn rotated(&mut self, next: Handle, result: Result<Option<Manifest>, Failure>) {
        self.events.push_back(Event::Rotated(result.map(|manifest| {
            if let Some(manifest) = manifest {
                self.manifest = manifest;
            }
            self.file = Some(next);
            self.older += self.len;
            self.len = 0;
            self.synced = self.written;
        })));
        self.ack();
        if self.file.is_none() {
            // What was to go to the new increment goes nowhere.
            self.queue.retain(|step| matches!(step, Step::Rotate(_)));
            self.skip_all();
        }
    }

    // ---- what INFO shows --------------------------------------------------------------------

    /// Bytes in all files.
    pub fn size(&self) -> u64 {
        self.older + self.len
    }

    /// Bytes taken that aren't in the file.
    pub fn unwritten(&self) -> u64 {
        self.taken - self.written
    }

    /// Whether a sync is running.
    pub fn is_syncing(&self) -> bool {
        self.syncing
    }

    /// Whether anything is with a worker, or waits for the time to try again.
    pub fn has_work(&self) -> bool {
        self.busy || self.files_busy || self.install.is_some() || !self.queue.is_empty()
    }

    /// How often a write waited long for a sync.
    pub fn delayed_syncs(&self) -> u64 {
        self.delayed_syncs
    }

    /// Starts that count anew.
    pub fn reset_delayed_syncs(&mut self) {
        self.delayed_syncs = 0;
    }

    /// Whether effects aren't being written or synced.
    #[inline]
    pub fn fails(&self) -> bool {
        self.write_error.is_some() | self.sync_error.is_some()
    }

    /// Why effects aren't being written or synced, if they aren't.
    pub fn error(&self) -> Option<&str> {
        self.write_error.as_ref().map(|(text, _)| text.as_str()).or(self.sync_error.as_deref())
    }

    /// Forgets errors, as Redis does when the file is opened anew; says which there were.
    pub fn forget_errors(&mut self) -> (bool, bool) {
        (self.write_error.take().is_some(), self.sync_error.take().is_some())
    }
}

fn report(done: &Sender<Done>, wake: &Waker, what: Done) {
    // Without a receiver there is nobody to tell.
    let _ = done.send(what);
    wake.wake_by_ref();
}
