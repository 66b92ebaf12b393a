//! Writing a base: the data at one moment, on any thread.
//!
//! Owns the file until it is whole and synced; it has no name then that anybody loads.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dump;
use super::manifest::Failure;
use crate::persist::rdb::{Progress, save};
use crate::resp::request::{write_request, write_select};
use crate::util::file::{Disk, File};
use crate::util::worker::caught;

/// Bytes that are written at a time.
const CHUNK: usize = 256 * 1024;
/// Bytes after which a sync keeps the system from piling up work for the last one.
const SYNC_BYTES: usize = 4 << 20;

/// The form of a base.
pub enum Form {
    /// An RDB file.
    Rdb(save::Options),
    /// Commands.
    Commands {
        /// The time to note at the start, in Unix seconds.
        timestamp_s: Option<i64>,
        /// Whether to sync now and then.
        syncs: bool,
        /// Sources of the libraries of functions.
        functions: Vec<Arc<[u8]>>,
    },
}

/// What to write, and how.
pub struct Rewriter {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The file's name while it is written.
    pub temp: PathBuf,
    /// The data.
    pub dbs: Vec<save::DbSnapshot>,
    /// The form.
    pub form: Form,
    /// How far it has come; can stop it.
    pub progress: Arc<Progress>,
}

impl Rewriter {
    /// Whether it writes an RDB file.
    pub fn is_rdb(&self) -> bool {
        matches!(self.form, Form::Rdb(_))
    }

    /// Number of keys.
    pub fn keys(&self) -> u64 {
        self.dbs.iter().map(|db| db.entries.len() as u64).sum()
    }

    /// Writes the file and syncs it. From its end on, whoever asked for it owns it.
    ///
    /// # Errors
    /// If it can't be written, or is stopped; there is no file then, or soon.
    pub fn run(self) -> Result<(), Failure> {
        let (disk, temp) = (Arc::clone(&self.disk), self.temp.clone());
        let written = caught(|| {
            let file = disk.create(&temp)?;
            let progress = Arc::clone(&self.progress);
            self.write_to(&*file)?;
            file.sync_all()?;
            if progress.commit() { Ok(()) } else { Err(stopped()) }
        });
        written.map_err(|error| {
            let _ = disk.remove(&temp);
            Failure::new("Write error writing append only file on disk", &error)
        })
    }

    /// Writes the data to a file, and lets go of them on the way.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn write_to(self, file: &dyn File) -> io::Result<()> {
        match self.form {
            Form::Rdb(options) => match save::write(file, self.dbs, &options, &self.progress) {
                Ok(_) => Ok(()),
                Err(save::Failure::Disk { error, .. }) => Err(error),
                Err(save::Failure::Stopped) => Err(stopped()),
            },
            Form::Commands { timestamp_s, syncs, functions } => {
                let mut out = Out { file, buf: Vec::new(), unsynced: 0, syncs };
                if let Some(unix_s) = timestamp_s {
                    out.buf.extend_from_slice(format!("#TS:{unix_s}\r\n").as_bytes());
                }
                for code in &functions {
                    let words = [b"FUNCTION".as_slice(), b"LOAD", code];
                    write_request(&mut out.buf, words.into_iter());
                }
                write_commands(self.dbs, &self.progress, &mut out)?;
                out.write()
            }
        }
    }
}

fn write_commands(
    dbs: Vec<save::DbSnapshot>,
    progress: &Progress,
    out: &mut Out<'_>,
) -> io::Result<()> {
    for db in dbs {
        write_select(&mut out.buf, db.number);
        for part in db.entries.into_parts() {
            for entry in part.iter() {
                if progress.is_stopped() {
                    return Err(stopped());
                }
                if !dump::write_entry(&mut out.buf, entry) {
                    return Err(io::Error::other("a type that can't be written as commands"));
                }
                progress.keys.fetch_add(1, Ordering::Relaxed);
                progress.delay();
                if out.buf.len() >= CHUNK {
                    out.write()?;
                }
            }
        }
    }
    Ok(())
}

fn stopped() -> io::Error {
    io::Error::other("stopped")
}

/// Where the bytes go.
struct Out<'a> {
    file: &'a dyn File,
    buf: Vec<u8>,
    unsynced: usize,
    syncs: bool,
}

impl Out<'_> {
    fn write(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buf)?;
        self.unsynced += self.buf.len();
        self.buf.clear();
        if self.syncs && self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::file::sim::SimDisk;

    #[test]
    fn a_stopped_one_leaves_no_file() {
        let disk = SimDisk::new();
        for stops in [false, true] {
            let rewriter = Rewriter {
                disk: Arc::new(disk.clone()),
                temp: "/temp".into(),
                dbs: Vec::new(),
                form: Form::Commands { timestamp_s: None, syncs: false, functions: Vec::new() },
                progress: Arc::default(),
            };
            let progress = Arc::clone(&rewriter.progress);
            assert_eq!(stops && progress.stop(), stops);
            assert_eq!(rewriter.run().is_ok(), !stops);
            // Who comes too late to stop it must remove the file.
            assert_eq!(progress.stop(), stops);
            assert_eq!(disk.contents("/temp").is_some(), !stops);
        }
    }
}
