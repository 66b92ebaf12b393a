//! What the log does with its files, each as one step on any thread.
//!
//! Owns the order of the operations, so that a failure in between leaves what was there before. A
//! panic counts as a failure.

use std::io;
use std::path::PathBuf;

use super::log::Place;
use super::manifest::{Failure, Manifest, Names, shown, sync_dir};
use crate::util::clock::Clock;
use crate::util::file::{Disk, File, Handle};
use crate::util::worker::caught;

/// A base to install.
pub(super) struct Install {
    /// Tells it from others.
    pub id: u64,
    /// Its name so far.
    pub temp: PathBuf,
    /// Whether it is an RDB file.
    pub is_rdb: bool,
    /// Whether an increment of [`Origin::ComingBase`](super::Origin::ComingBase) belongs to it.
    pub with_increment: bool,
}

/// How an append went.
pub(super) struct Appended {
    /// What was to be appended.
    pub bytes: Vec<u8>,
    /// Bytes that are in the file.
    pub moved: usize,
    /// Why that aren't all.
    pub error: Option<io::Error>,
    /// Why they couldn't be cut off again, if they couldn't.
    pub uncut: Option<io::Error>,
    /// The outcome of the sync, if there was one.
    pub synced: Option<io::Result<()>>,
    /// How long that took, in nanoseconds.
    pub write_ns: u64,
    /// How long the sync took, in nanoseconds.
    pub sync_ns: u64,
    /// Whether a sync ran at the same time.
    pub during_sync: bool,
}

/// Appends to a file of `len` bytes, to which it is cut back if that fails in between; and syncs it.
pub(super) fn append(
    file: &dyn File,
    len: u64,
    bytes: Vec<u8>,
    sync: bool,
    clock: &dyn Clock,
) -> Appended {
    let started_ns = clock.mono_ns();
    let (mut moved, mut uncut) = (0, None);
    let error = caught(|| write_some(file, &bytes, &mut moved)).err();
    if error.is_some() && moved > 0 {
        match file.truncate(len) {
            Ok(()) => moved = 0,
            Err(failed) => uncut = Some(failed),
        }
    }
    let written_ns = clock.mono_ns();
    let synced = (sync && error.is_none()).then(|| caught(|| file.sync_data()));
    Appended {
        bytes,
        moved,
        error,
        uncut,
        synced,
        write_ns: written_ns.saturating_sub(started_ns),
        sync_ns: clock.mono_ns().saturating_sub(written_ns),
        during_sync: false,
    }
}

/// Writes all of `bytes`; `moved` says how many are written, also if that fails.
fn write_some(file: &dyn File, bytes: &[u8], moved: &mut usize) -> io::Result<()> {
    while *moved < bytes.len() {
        match file.write(&bytes[*moved..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *moved += count,
            Err(failed) if failed.kind() == io::ErrorKind::Interrupted => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(())
}

/// The last part of a path.
fn file_name(path: &std::path::Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.file_name().unwrap_or_default().as_bytes()
}

/// Makes the directory if it is missing.
pub(super) fn create_dir(disk: &dyn Disk, names: &Names) -> Result<(), Failure> {
    disk.create_dir(&names.dir).map_err(|error| {
        Failure::new(
            format_args!("Can't open or create append-only dir {}", names.dir_name()),
            &error,
        )
    })?;
    // Best made durable with what is in it; a directory above that can't be synced is no reason
    // to go without.
    if let Some(parent) = names.dir.parent() {
        let _ = disk.sync_dir(parent);
    }
    Ok(())
}

pub(super) fn open_increment(
    disk: &dyn Disk,
    names: &Names,
    name: &[u8],
) -> Result<Handle, Failure> {
    disk.append(&names.path(name)).map_err(|error| {
        Failure::new(format_args!("Can't open the append-only file {}", shown(name)), &error)
    })
}

/// Writes a file that is whole under its name, or not there.
pub(super) fn write_whole(
    disk: &dyn Disk,
    names: &Names,
    name: &[u8],
    write: impl FnOnce(&dyn File) -> io::Result<()>,
) -> Result<(), Failure> {
    let temp = names.path(&names.temp_base(0));
    let written = disk.create(&temp).and_then(|file| {
        write(&*file)?;
        file.sync_all()
    });
    written.and_then(|()| disk.rename(&temp, &names.path(name))).map_err(|error| {
        let _ = disk.remove(&temp);
        Failure::new(format_args!("Error writing the AOF base file {}", shown(name)), &error)
    })
}

/// Replaces a manifest; if that fails half-way, the old one is put back.
pub(super) fn replace(place: &Place, old: &Manifest, new: &Manifest) -> Result<(), Failure> {
    let Place { disk, names } = place;
    caught(|| new.save(&**disk, names)).inspect_err(|_| {
        // Where even this fails, the next manifest that is written sets it right.
        let _ = caught(|| old.save(&**disk, names));
    })
}

pub(super) fn put_in_place(
    place: &Place,
    was: &Manifest,
    install: &Install,
    is_open: bool,
) -> Result<(Manifest, u64), Failure> {
    let Place { disk, names } = place;
    let mut new = was.clone();
    let base = new.add_base(names, install.is_rdb);
    let base_path = names.path(&base);
    let moved = |what: &str, from: &[u8], to: &[u8], error: &io::Error| {
        Failure::new(
            format_args!(
                "Error trying to rename the temporary AOF {what} file {} into {}",
                shown(from),
                shown(to)
            ),
            error,
        )
    };
    disk.rename(&install.temp, &base_path)
        .map_err(|error| moved("base", file_name(&install.temp), &base, &error))?;
    let mut increment = None;
    if install.with_increment {
        let (temp, name) = (names.temp_increment(), new.add_increment(names));
        if let Err(error) = disk.rename(&names.path(&temp), &names.path(&name)) {
            let _ = disk.remove(&base_path);
            return Err(moved("incr", &temp, &name, &error));
        }
        increment = Some((names.path(&temp), names.path(&name)));
    }
    new.retire_increments(usize::from(is_open));
    // The files must be there before anything names them.
    let named = sync_dir(&**disk, names).and_then(|()| replace(place, was, &new));
    if let Err(failure) = named {
        let _ = disk.remove(&base_path);
        if let Some((temp, name)) = increment {
            let _ = disk.rename(&name, &temp);
        }
        return Err(failure);
    }
    let len = disk.metadata(&base_path).map_or(0, |found| found.len);
    Ok((new, len))
}

/// Bytes of all files that the manifest names as data.
pub(super) fn size_of_files(disk: &dyn Disk, names: &Names, manifest: &Manifest) -> u64 {
    let sizes = manifest.data().map(|(info, _)| disk.metadata(&names.path(&info.name)));
    sizes.flatten().map(|found| found.len).sum()
}
