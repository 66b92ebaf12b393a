//! Files that hold data: the one way by which persistence touches a disk.
//!
//! Owns the [`Disk`] and [`File`] traits, the operating system's disk, and the texts of its errors.
//! Never decides when to sync or what to do about a failure. [`sim`] is the same in memory, with
//! faults, so that tests can fill the disk or cut its power at any operation.

pub mod sim;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// An open file. Handles may be shared between threads, so that one can sync what another writes.
pub type Handle = Arc<dyn File>;

/// What is known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes; zero for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens a new, empty file for writing and reading; one that exists is emptied.
    fn create(&self, path: &Path) -> io::Result<Handle>;
    /// Opens a file for writing at its end; a missing one is created.
    fn append(&self, path: &Path) -> io::Result<Handle>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Handle>;
    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory; one that exists is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable: files created, renamed and removed there.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// What is known of a path.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "a length that can fail to be had")]
pub trait File: Send + Sync {
    /// Reads on from where the last read ended; zero bytes at the end of the file.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Reads at an offset, whatever was read before; zero bytes at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the bytes, after what was written before; says how many.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts the file, or fills it with zeros, to a length.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the contents durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes the contents and what is known of the file durable.
    fn sync_all(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
}

impl dyn File + '_ {
    /// Writes all of the bytes.
    ///
    /// # Errors
    /// Those of [`File::write`]; some bytes may have been written then.
    pub fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Reads a whole file.
///
/// # Errors
/// Those of opening and reading it.
pub fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = usize::try_from(file.len()?).unwrap_or(0);
    let mut bytes = vec![0; len];
    let mut read = 0;
    loop {
        if read == bytes.len() {
            bytes.resize(read + 4096, 0);
        }
        match file.read(&mut bytes[read..]) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// The text of an error as the C library has it: without the number that Rust adds.
pub fn strerror(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Handle> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn append(&self, path: &Path) -> io::Result<Handle> {
        Ok(Arc::new(fs::OpenOptions::new().read(true).append(true).create(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        Ok(Arc::new(fs::File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            done => done,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let found = fs::metadata(path)?;
        let len = if found.is_dir() { 0 } else { found.len() };
        Ok(Metadata { len, is_dir: found.is_dir() })
    }
}

impl File for fs::File {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, buf)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        fs::File::sync_all(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(fs::File::metadata(self)?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What any disk does with files, in the directory `dir`.
    pub(super) fn behaves(disk: &dyn Disk, dir: &Path) {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let missing = disk.open(&a).err().expect("no such file");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(strerror(&missing), "No such file or directory");
        let file = disk.create(&a).expect("a new file");
        file.write_all(b"hello ").expect("written");
        file.write_all(b"world").expect("written");
        file.sync_all().expect("synced");
        assert_eq!(read_all(disk, &a).expect("readable"), b"hello world");
        let more = disk.append(&a).expect("opened");
        more.write_all(b"!").expect("written");
        assert_eq!(more.len().expect("a length"), 12);
        more.truncate(5).expect("cut");
        more.write_all(b"?").expect("written");
        more.sync_data().expect("synced");
        disk.rename(&a, &b).expect("renamed");
        assert_eq!(read_all(disk, &b).expect("readable"), b"hello?");
        let mut some = [0; 3];
        let file = disk.open(&b).expect("opened");
        assert_eq!(file.read_at(&mut some, 4).expect("read"), 2);
        assert_eq!(file.read(&mut some).expect("read"), 3);
        assert_eq!(&some, b"hel");
        assert_eq!(file.read(&mut some).expect("read"), 3);
        assert_eq!(file.read(&mut some).expect("read"), 0);
        assert!(file.write(b"no").is_err(), "opened for reading");
        assert_eq!(disk.list(dir).expect("listed"), ["b"]);
        assert!(disk.metadata(&a).is_err());
        assert_eq!(disk.metadata(&b).expect("there"), Metadata { len: 6, is_dir: false });
        let sub = dir.join("sub");
        assert!(disk.create(&sub.join("x")).is_err(), "no directory yet");
        disk.create_dir(&sub).expect("made");
        disk.create_dir(&sub).expect("there already");
        assert!(disk.metadata(&sub).expect("there").is_dir);
        disk.create(&sub.join("x")).expect("a new file");
        assert_eq!(disk.list(&sub).expect("listed"), ["x"]);
        disk.sync_dir(&sub).expect("synced");
        disk.remove(&b).expect("removed");
        assert!(disk.remove(&b).is_err(), "gone");
        assert_eq!(disk.list(dir).expect("listed"), ["sub"]);
    }

    #[test]
    fn the_system_s_disk_behaves() {
        let dir = tempfile::tempdir().expect("a folder");
        behaves(&OsDisk, dir.path());
    }
}
