//! A disk in memory that fails when told to: for tests.
//!
//! Owns a model of what a disk keeps: bytes that were written but not synced, and names that were
//! created, changed or removed without a sync of their directory, may be gone after a power cut, or
//! be there in part. A failed sync loses what it was to make durable, as Linux does: the next one
//! succeeds and proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Disk, File, Handle, Metadata};

/// The system's number for "No space left on device".
pub const ENOSPC: i32 = 28;
/// The system's number for "Input/output error".
pub const EIO: i32 = 5;
/// The system's number for "Permission denied".
pub const EACCES: i32 = 13;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Opens a file to write.
    Create,
    /// Opens a file to read.
    Open,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Cuts a file.
    Truncate,
    /// Syncs a file.
    Sync,
    /// Syncs a directory.
    SyncDir,
    /// Renames.
    Rename,
    /// Removes.
    Remove,
    /// Makes a directory.
    CreateDir,
    /// Lists a directory or looks at a file.
    Look,
}

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number. A write may have written a part of its bytes.
    Error(i32),
    /// A read or write moves no more than half of its bytes; others succeed.
    Short,
    /// The program panics before it.
    Panic,
    /// The power fails: it is done in part or not at all, and everything after it fails until
    /// [`SimDisk::reboot`].
    PowerCut,
}

/// What a power cut leaves of that which wasn't synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    All,
    /// Everything.
    Nothing,
    /// Some, chosen by this seed: a prefix of the changes to each file, torn within one or filled
    /// up with zeros; a prefix of the changes to the directories.
    Some(u64),
}

/// A disk in memory. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    ops: u64,
    faults: BTreeMap<u64, Fault>,
    broken: BTreeMap<Op, Fault>,
    capacity: Option<usize>,
    dead: bool,
    /// Counts reboots: handles from before are void.
    boots: u64,
    files: Vec<Inode>,
    now: Names,
    durable: Names,
    pending: Vec<DirChange>,
}

#[derive(Default, Clone)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone)]
enum DirChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
    Mkdir(PathBuf),
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*at..end].copy_from_slice(bytes);
            }
            Self::Truncate(len) => data.resize(*len, 0),
        }
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.data);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn lose(&mut self, loss: Loss, rng: &mut fastrand::Rng) {
        match loss {
            Loss::All => self.unsynced.clear(),
            Loss::Nothing => self.sync(),
            Loss::Some(_) => {
                let kept = rng.usize(..=self.unsynced.len());
                let torn = self.unsynced.get(kept).cloned();
                self.unsynced.truncate(kept);
                self.sync();
                if let Some(Change::Write { at, mut bytes }) = torn {
                    bytes.truncate(rng.usize(..=bytes.len()));
                    // File systems may grow a file before its blocks are written.
                    if rng.u8(..4) == 0 {
                        bytes.fill(0);
                    }
                    Change::Write { at, bytes }.apply(&mut self.durable);
                }
            }
        }
        self.data = self.durable.clone();
    }
}

impl Names {
    fn apply(&mut self, change: &DirChange) {
        match change {
            DirChange::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            DirChange::Unlink(path) => {
                self.files.remove(path);
            }
            DirChange::Rename(from, to) => {
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                }
            }
            DirChange::Mkdir(path) => {
                self.dirs.insert(path.clone());
            }
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        path == Path::new("") || path == Path::new("/") || self.dirs.contains(path)
    }
}

impl DirChange {
    fn is_in(&self, dir: &Path) -> bool {
        let of = |path: &Path| path.parent().unwrap_or(Path::new("")) == dir;
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Mkdir(path) => of(path),
            Self::Rename(from, to) => of(from) || of(to),
        }
    }
}

impl State {
    /// Counts an operation and says what goes wrong at it.
    fn begin(&mut self, op: Op) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(errno(EIO));
        }
        let fault = self.faults.remove(&self.ops).or(self.broken.get(&op).copied());
        self.ops += 1;
        match fault {
            Some(Fault::PowerCut) => self.dead = true,
            Some(Fault::Panic) => panic!("simulated at operation {}", self.ops - 1),
            _ => {}
        }
        Ok(fault)
    }

    /// As [`begin`](Self::begin), for operations that are done as a whole or not at all.
    fn whole(&mut self, op: Op) -> io::Result<()> {
        match self.begin(op)? {
            None | Some(Fault::Short) => Ok(()),
            Some(Fault::Error(number)) => Err(errno(number)),
            Some(Fault::PowerCut | Fault::Panic) => Err(errno(EIO)),
        }
    }

    fn link(&mut self, path: &Path) -> io::Result<usize> {
        if !self.now.is_dir(&parent(path)) {
            return Err(io::Error::from_raw_os_error(2));
        }
        self.files.push(Inode::default());
        let inode = self.files.len() - 1;
        self.change(DirChange::Link(path.to_owned(), inode));
        Ok(inode)
    }

    fn change(&mut self, change: DirChange) {
        self.now.apply(&change);
        self.pending.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.now.files.get(path).copied().ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn room(&self) -> usize {
        let used: usize = self.now.files.values().map(|inode| self.files[*inode].data.len()).sum();
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    fn write(&mut self, inode: usize, at: usize, bytes: &[u8]) -> io::Result<usize> {
        let (written, result) = match self.begin(Op::Write)? {
            None if self.room() == 0 && !bytes.is_empty() => (0, Err(errno(ENOSPC))),
            None => (bytes.len().min(self.room()), Ok(())),
            Some(Fault::Short) => (bytes.len().div_ceil(2), Ok(())),
            Some(Fault::Error(number)) => (0, Err(errno(number))),
            Some(Fault::PowerCut | Fault::Panic) => (bytes.len() / 2, Err(errno(EIO))),
        };
        if written > 0 {
            let bytes = bytes[..written].to_vec();
            self.files[inode].change(Change::Write { at, bytes });
        }
        result.map(|()| written)
    }
}

impl SimDisk {
    /// An empty disk with a root directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of operations so far; the next has this number.
    pub fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    /// Has the operation of this number go wrong.
    pub fn fail_at(&self, op: u64, fault: Fault) {
        self.state.lock().faults.insert(op, fault);
    }

    /// Has every operation of this kind fail with this error number, until [`heal`](Self::heal).
    pub fn break_op(&self, op: Op, number: i32) {
        self.break_with(op, Fault::Error(number));
    }

    /// Has every operation of this kind go wrong in this way, until [`heal`](Self::heal).
    pub fn break_with(&self, op: Op, fault: Fault) {
        self.state.lock().broken.insert(op, fault);
    }

    /// Takes back what [`fail_at`](Self::fail_at), [`break_op`](Self::break_op) and
    /// [`set_capacity`](Self::set_capacity) ordered.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.broken.clear();
        state.capacity = None;
    }

    /// Bytes that files may have together; beyond, writes fail with `ENOSPC`.
    pub fn set_capacity(&self, bytes: usize) {
        self.state.lock().capacity = Some(bytes);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.state.lock().dead
    }

    /// Cuts the power if it is on, and turns it on again: files are as the cut left them, handles
    /// from before are void, and no fault is planned any more.
    pub fn reboot(&self, loss: Loss) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut rng = fastrand::Rng::with_seed(match loss {
            Loss::Some(seed) => seed,
            _ => 0,
        });
        for file in &mut state.files {
            file.lose(loss, &mut rng);
        }
        let kept = match loss {
            Loss::All => 0,
            Loss::Nothing => state.pending.len(),
            Loss::Some(_) => rng.usize(..=state.pending.len()),
        };
        for change in state.pending.drain(..).take(kept) {
            state.durable.apply(&change);
        }
        let dirs = state.durable.dirs.clone();
        state.durable.files.retain(|path, _| {
            let dir = parent(path);
            dir == Path::new("") || dir == Path::new("/") || dirs.contains(&dir)
        });
        state.now = state.durable.clone();
        state.dead = false;
        state.boots += 1;
        state.faults.clear();
        state.broken.clear();
        state.capacity = None;
    }

    /// A file's contents, without an operation.
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.now.files.get(path.as_ref()).map(|inode| state.files[*inode].data.clone())
    }

    /// All files, sorted, without an operation.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.lock().now.files.keys().cloned().collect()
    }

    /// Puts a durable file there, without an operation; its directory is made.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (data, durable) = (bytes.to_vec(), bytes.to_vec());
        state.files.push(Inode { data, durable, unsynced: Vec::new() });
        let inode = state.files.len() - 1;
        for names in [&mut state.now, &mut state.durable] {
            names.dirs.insert(parent(path.as_ref()));
            names.files.insert(path.as_ref().to_owned(), inode);
        }
    }

    /// Makes a durable directory, without an operation.
    pub fn put_dir(&self, path: impl AsRef<Path>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        for names in [&mut state.now, &mut state.durable] {
            names.dirs.insert(path.as_ref().to_owned());
        }
    }

    fn handle(&self, inode: usize, boots: u64, mode: Mode) -> Handle {
        let (state, cursor) = (Arc::clone(&self.state), AtomicU64::new(0));
        Arc::new(SimFile { state, inode, boots, mode, cursor })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Handle> {
        let mut state = self.state.lock();
        state.whole(Op::Create)?;
        let inode = match state.find(path) {
            Ok(inode) => {
                state.files[inode].change(Change::Truncate(0));
                inode
            }
            Err(_) => state.link(path)?,
        };
        Ok(self.handle(inode, state.boots, Mode::Write))
    }

    fn append(&self, path: &Path) -> io::Result<Handle> {
        let mut state = self.state.lock();
        state.whole(Op::Create)?;
        let inode = state.find(path).or_else(|_| state.link(path))?;
        Ok(self.handle(inode, state.boots, Mode::Append))
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        let mut state = self.state.lock();
        state.whole(Op::Open)?;
        let inode = state.find(path)?;
        Ok(self.handle(inode, state.boots, Mode::Read))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole(Op::Rename)?;
        state.find(from)?;
        state.change(DirChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole(Op::Remove)?;
        state.find(path)?;
        state.change(DirChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.whole(Op::CreateDir)?;
        if !state.now.is_dir(&parent(path)) {
            return Err(errno(2));
        }
        if !state.now.is_dir(path) {
            state.change(DirChange::Mkdir(path.to_owned()));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut guard = self.state.lock();
        guard.whole(Op::SyncDir)?;
        let state = &mut *guard;
        if !state.now.is_dir(path) {
            return Err(errno(2));
        }
        let (synced, rest) = state.pending.drain(..).partition(|change| change.is_in(path));
        state.pending = rest;
        let synced: Vec<DirChange> = synced;
        for change in &synced {
            state.durable.apply(change);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state.lock();
        state.whole(Op::Look)?;
        if !state.now.is_dir(path) {
            return Err(errno(2));
        }
        let all = state.now.files.keys().chain(&state.now.dirs);
        let here = all.filter(|found| found.parent() == Some(path));
        Ok(here.filter_map(|found| found.file_name()).map(ToOwned::to_owned).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let mut state = self.state.lock();
        state.whole(Op::Look)?;
        if state.now.is_dir(path) {
            return Ok(Metadata { len: 0, is_dir: true });
        }
        let inode = state.find(path)?;
        Ok(Metadata { len: state.files[inode].data.len() as u64, is_dir: false })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
    Append,
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: usize,
    boots: u64,
    mode: Mode,
    cursor: AtomicU64,
}

impl SimFile {
    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.state.lock();
        match state.boots == self.boots {
            true => Ok(state),
            false => Err(errno(EIO)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let result = state.whole(Op::Sync);
        match result {
            Ok(()) => state.files[self.inode].sync(),
            Err(_) if state.dead => {}
            // The pages count as clean all the same, and are never written.
            Err(_) => state.files[self.inode].unsynced.clear(),
        }
        result
    }
}

impl File for SimFile {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(buf, self.cursor.load(Ordering::Relaxed))?;
        self.cursor.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        let short = match state.begin(Op::Read)? {
            None => false,
            Some(Fault::Short) => true,
            Some(Fault::Error(number)) => return Err(errno(number)),
            Some(Fault::PowerCut | Fault::Panic) => return Err(errno(EIO)),
        };
        let data = &state.files[self.inode].data;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let wanted = if short { buf.len().div_ceil(2) } else { buf.len() };
        let count = wanted.min(data.len() - start);
        buf[..count].copy_from_slice(&data[start..start + count]);
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        let at = match self.mode {
            Mode::Read => return Err(errno(9)),
            Mode::Write => usize::try_from(self.cursor.load(Ordering::Relaxed)).unwrap_or(0),
            Mode::Append => state.files[self.inode].data.len(),
        };
        let written = state.write(self.inode, at, bytes)?;
        self.cursor.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.whole(Op::Truncate)?;
        let len = usize::try_from(len).map_err(|_| errno(ENOSPC))?;
        state.files[self.inode].change(Change::Truncate(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.whole(Op::Look)?;
        Ok(state.files[self.inode].data.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_any_disk() {
        let disk = SimDisk::new();
        disk.put_dir("/data");
        super::super::tests::behaves(&disk, Path::new("/data"));
    }

    /// A file saved as it should be: written aside, synced, renamed, directory synced.
    fn save(disk: &SimDisk, bytes: &[u8]) -> io::Result<()> {
        let file = disk.create(Path::new("/d/temp"))?;
        for part in bytes.chunks(3) {
            file.write_all(part)?;
        }
        file.sync_all()?;
        disk.rename(Path::new("/d/temp"), Path::new("/d/file"))?;
        disk.sync_dir(Path::new("/d"))
    }

    #[test]
    fn a_careful_save_survives_a_cut_at_every_operation() {
        for loss in [Loss::All, Loss::Nothing].into_iter().chain((0..20).map(Loss::Some)) {
            for cut in 0.. {
                let disk = SimDisk::new();
                disk.put("/d/file", b"before");
                disk.fail_at(cut, Fault::PowerCut);
                let saved = save(&disk, b"afterwards");
                assert_eq!(saved.is_err(), disk.is_off());
                disk.reboot(loss);
                let found = disk.contents("/d/file").expect("never gone");
                match &saved {
                    Ok(()) => assert_eq!(found, b"afterwards"),
                    Err(_) => assert!(found == b"before" || found == b"afterwards"),
                }
                if saved.is_ok() {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_is_not_synced_is_lost() {
        let disk = SimDisk::new();
        disk.put("/d/file", b"before");
        let file = disk.append(Path::new("/d/file")).expect("opened");
        file.write_all(b" synced").expect("written");
        file.sync_data().expect("synced");
        file.write_all(b" not").expect("written");
        disk.create(Path::new("/d/new")).expect("a new file").sync_all().expect("synced");
        disk.reboot(Loss::All);
        assert_eq!(disk.contents("/d/file").expect("there"), b"before synced");
        assert_eq!(disk.contents("/d/new"), None, "its directory was not synced");
        assert!(file.write(b"stale").is_err());
        let mut seen = BTreeSet::new();
        for seed in 0..50 {
            let disk = SimDisk::new();
            disk.put("/d/file", b"");
            disk.append(Path::new("/d/file")).expect("opened").write_all(b"xyz").expect("written");
            disk.reboot(Loss::Some(seed));
            seen.insert(disk.contents("/d/file").expect("there"));
        }
        assert!(seen.len() > 4, "torn in too few ways: {seen:?}");
    }

    #[test]
    fn a_failed_sync_loses_what_it_was_to_keep() {
        let disk = SimDisk::new();
        disk.put("/d/file", b"");
        let file = disk.append(Path::new("/d/file")).expect("opened");
        file.write_all(b"lost").expect("written");
        disk.break_op(Op::Sync, EIO);
        assert_eq!(
            super::super::strerror(&file.sync_data().expect_err("broken")),
            "Input/output error"
        );
        disk.heal();
        file.write_all(b"kept").expect("written");
        file.sync_data().expect("synced");
        assert_eq!(disk.contents("/d/file").expect("there"), b"lostkept");
        disk.reboot(Loss::All);
        assert_eq!(disk.contents("/d/file").expect("there"), b"\0\0\0\0kept");
    }

    #[test]
    fn full_disks_and_short_writes() {
        let disk = SimDisk::new();
        disk.put("/d/file", b"12345");
        disk.set_capacity(8);
        let file = disk.append(Path::new("/d/file")).expect("opened");
        assert_eq!(file.write(b"6789").expect("some room"), 3);
        assert_eq!(file.write(b"9").expect_err("no room").raw_os_error(), Some(ENOSPC));
        disk.heal();
        disk.fail_at(disk.ops(), Fault::Short);
        assert_eq!(file.write(b"9abc").expect("a part"), 2);
        disk.fail_at(disk.ops(), Fault::Error(EIO));
        assert!(file.write(b"bc").is_err());
        file.write_all(b"bc").expect("written");
        assert_eq!(disk.contents("/d/file").expect("there"), b"123456789abc");
    }
}
