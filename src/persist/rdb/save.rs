//! Saving snapshots to a file, so that its name always stands for a whole one.
//!
//! Owns the order: a temporary file, its bytes, a sync, the rename, a sync of the directory. What
//! fails before the rename leaves nothing under the file's name but what was there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use smallvec::SmallVec;

use super::encode::{Encoder, Sink, Stopped};
use super::{Access, Progress};
use crate::keyspace::{Db, Entry, Snapshot};
use crate::util::file::{Disk, File, strerror};
use crate::util::worker::{Panicked, caught};

/// Bytes of a chunk.
const CHUNK: usize = 256 << 10;
/// Chunks on their way to the disk at one time.
const CHUNKS: usize = 4;
/// With incremental syncs, there is one after so many bytes.
const SYNC_EVERY: u64 = 32 << 20;
/// Entries whose cache misses overlap.
const LOOK_AHEAD: usize = 16;

/// One database as it was at some moment.
#[derive(Clone)]
pub struct DbSnapshot {
    /// Its number.
    pub number: usize,
    /// Its entries.
    pub entries: Snapshot,
    /// How many of them have a deadline.
    pub volatile: usize,
    /// How many of them are hashes that have fields with deadlines.
    pub volatile_hashes: usize,
}

impl DbSnapshot {
    /// All databases that are not empty, as they are now.
    pub fn of(dbs: &[Db]) -> Vec<Self> {
        let filled = dbs.iter().enumerate().filter(|(_, db)| !db.is_empty());
        filled
            .map(|(number, db)| {
                let volatile = db.volatile_len();
                let volatile_hashes = db.volatile_hashes();
                Self { number, entries: db.snapshot(), volatile, volatile_hashes }
            })
            .collect()
    }
}

/// What is known of a key's last accesses.
pub type AccessOf = Box<dyn Fn(&Entry) -> Access + Send + Sync>;

/// How and what to write beside the data.
#[derive(Default)]
pub struct Options {
    /// `rdbcompression`
    pub compress: bool,
    /// `rdbchecksum`
    pub checksum: bool,
    /// `rdb-save-incremental-fsync`
    pub incremental_sync: bool,
    /// Information about the file: names and values.
    pub aux: Vec<(&'static str, String)>,
    /// Sources of the libraries of functions.
    pub functions: Vec<Arc<[u8]>>,
    /// What is written about a key's last accesses; nothing without it.
    pub access: Option<AccessOf>,
}

/// Why there is no file.
#[derive(Debug)]
pub enum Failure {
    /// The disk failed.
    Disk {
        /// What was being done.
        doing: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// The save was told to end.
    Stopped,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk { doing, error } => write!(f, "({doing}): {}", strerror(error)),
            Self::Stopped => f.write_str(": stopped"),
        }
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Disk { doing, error }
}

impl From<Panicked> for Failure {
    fn from(panicked: Panicked) -> Self {
        Self::Disk { doing: "thread", error: panicked.into() }
    }
}

/// Saves to `path` by way of `temp`, in the same directory. The data are let go of as they are written, so
/// that what changes meanwhile takes the less memory.
///
/// # Errors
/// If anything fails; `temp` is gone then, and `path` is what it was, or (if the sync of the
/// directory failed) either that or the new file, whole.
pub fn save(
    disk: &dyn Disk,
    path: &Path,
    temp: &Path,
    data: Vec<DbSnapshot>,
    options: &Options,
    progress: &Progress,
) -> Result<u64, Failure> {
    let file = disk.create(temp).map_err(failed("open"))?;
    let written = caught(|| {
        let bytes = write(&*file, data, options, progress)?;
        file.sync_all().map_err(failed("fsync"))?;
        if !progress.commit() {
            return Err(Failure::Stopped);
        }
        disk.rename(temp, path).map_err(failed("rename"))?;
        Ok(bytes)
    });
    match written {
        Ok(bytes) => {
            let dir = path.parent().unwrap_or(Path::new("."));
            disk.sync_dir(dir).map_err(failed("fsync directory"))?;
            Ok(bytes)
        }
        Err(failure) => {
            let _ = disk.remove(temp);
            Err(failure)
        }
    }
}

/// Writes all of an RDB file to where `file` stands, without a sync at the end; returns how many
/// bytes that were.
///
/// # Errors
/// If the disk fails or the save is stopped; the file is not whole then.
pub fn write(
    file: &dyn File,
    data: Vec<DbSnapshot>,
    options: &Options,
    progress: &Progress,
) -> Result<u64, Failure> {
    let (full, chunks) = sync_channel(CHUNKS);
    let (empty, recycled) = channel();
    thread::scope(|scope| {
        let writer = Writer { file, options, progress, empty };
        let name = thread::Builder::new().name("rdb-write".into());
        let writer =
            name.spawn_scoped(scope, move || writer.run(chunks)).map_err(failed("thread"))?;
        let mut sink = Pipe { full, recycled };
        let mut encoder = Encoder::chunked(CHUNK, &mut sink, options.compress);
        encode(&mut encoder, data, options, progress);
        let ended = encoder.finish();
        drop(sink);
        let written = writer.join().unwrap_or_else(|cause| Err(Panicked::of(&*cause).into()));
        let (crc, bytes) = written.map_err(failed("rdbSaveRio"))?;
        if ended.is_err() || progress.is_stopped() {
            return Err(Failure::Stopped);
        }
        file.write_all(&crc.to_le_bytes()).map_err(failed("rdbSaveRio"))?;
        Ok(bytes + 8)
    })
}

fn encode(
    encoder: &mut Encoder<'_>,
    data: Vec<DbSnapshot>,
    options: &Options,
    progress: &Progress,
) {
    let timed = data.iter().any(|db| db.volatile_hashes > 0);
    encoder.header(if timed { super::VERSION_FIELDS } else { super::VERSION });
    for (name, value) in &options.aux {
        encoder.aux(name.as_bytes(), value.as_bytes());
    }
    for source in &options.functions {
        encoder.function(source);
    }
    let access = |entry: &Entry| options.access.as_ref().map_or(Access::Unknown, |of| of(entry));
    for db in data.into_iter().filter(|db| !db.entries.is_empty()) {
        encoder.select(db.number, db.entries.len(), db.volatile);
        for part in db.entries.into_parts() {
            for entry in loaded_ahead(part.iter()) {
                if encoder.is_stopped() || progress.is_stopped() {
                    return;
                }
                encoder.entry(entry, access(entry));
                progress.keys.fetch_add(1, Ordering::Relaxed);
                progress.delay();
            }
        }
    }
    encoder.eof();
}

/// The same entries, read a few at a time: these loads don't wait for each other, as those of the
/// encoding would.
fn loaded_ahead<'a>(
    mut entries: impl Iterator<Item = &'a Entry>,
) -> impl Iterator<Item = &'a Entry> {
    let some = std::iter::from_fn(move || {
        let some: SmallVec<[&Entry; LOOK_AHEAD]> = entries.by_ref().take(LOOK_AHEAD).collect();
        std::hint::black_box(some.iter().fold(0, |sum, entry| sum ^ entry.clock()));
        (!some.is_empty()).then_some(some)
    });
    some.flatten()
}

/// The way of chunks to the writing thread, and back.
struct Pipe {
    full: SyncSender<Vec<u8>>,
    recycled: Receiver<Vec<u8>>,
}

impl Sink for Pipe {
    fn take(&mut self, chunk: Vec<u8>) -> Result<Vec<u8>, Stopped> {
        self.full.send(chunk).map_err(|_| Stopped)?;
        Ok(self.recycled.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK)))
    }
}

/// The thread that sums up and writes.
struct Writer<'a> {
    file: &'a dyn File,
    options: &'a Options,
    progress: &'a Progress,
    empty: Sender<Vec<u8>>,
}

impl Writer<'_> {
    fn run(self, chunks: Receiver<Vec<u8>>) -> io::Result<(u64, u64)> {
        let (mut crc, mut bytes, mut unsynced) = (0, 0, 0);
        for mut chunk in chunks {
            if self.options.checksum {
                crc = crc64::crc64(crc, &chunk);
            }
            self.file.write_all(&chunk)?;
            bytes += chunk.len() as u64;
            unsynced += chunk.len() as u64;
            self.progress.bytes.store(bytes, Ordering::Relaxed);
            if self.options.incremental_sync && unsynced >= SYNC_EVERY {
                self.file.sync_data()?;
                unsynced = 0;
            }
            chunk.clear();
            let _ = self.empty.send(chunk);
        }
        Ok((crc, bytes))
    }
}
