//! The manifest: which files together are the data, and what they are called.
//!
//! Owns the manifest's text form with Redis's errors, and the names and sequence numbers of files.
//! A manifest is replaced whole: written aside, synced, renamed.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::util::file::{Disk, read_all, strerror};
use crate::util::num;
use crate::util::split::{quote, split_args};
use crate::util::worker::Panicked;

/// The longest line of a manifest, with its end, in bytes.
const LINE_MAX: usize = 1024;

/// What a file of the manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The data at one moment.
    Base,
    /// Effects after the base or after the increment before.
    Increment,
    /// Not needed any more, and to be removed.
    History,
}

impl FileKind {
    fn letter(self) -> char {
        match self {
            Self::Base => 'b',
            Self::Increment => 'i',
            Self::History => 'h',
        }
    }
}

/// A file of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name in the directory of the append only files.
    pub name: Vec<u8>,
    /// Its sequence number, counted apart for bases and increments.
    pub seq: i64,
}

/// The files that together hold the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, if there is one.
    pub base: Option<FileInfo>,
    /// Files to remove, those of the last rewrite first.
    pub history: Vec<FileInfo>,
    /// Increments, the oldest first.
    pub increments: Vec<FileInfo>,
    base_seq: i64,
    increment_seq: i64,
}

/// Why a manifest can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadManifest {
    /// Redis's text.
    pub reason: &'static str,
    /// The number of the line that is bad, counted from 1, and the line.
    pub line: Option<(usize, Vec<u8>)>,
}

/// An operation on files that failed, as the log tells it.
#[derive(Debug)]
pub struct Failure {
    /// What couldn't be done, with the system's reason.
    pub text: String,
}

impl Failure {
    /// A failure told as `what: reason`.
    pub fn new(what: impl std::fmt::Display, error: &io::Error) -> Self {
        Self { text: format!("{what}: {}", strerror(error)) }
    }
}

impl From<Panicked> for Failure {
    fn from(panicked: Panicked) -> Self {
        Self { text: format!("Error handling the append only files: {panicked}") }
    }
}

/// What the files are called, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The directory of the append only files.
    pub dir: PathBuf,
    /// `appendfilename`, with which the names of all files begin.
    pub stem: Vec<u8>,
}

/// A name, for texts.
pub fn shown(name: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(name)
}

impl Names {
    /// The path of a file in the directory.
    pub fn path(&self, name: &[u8]) -> PathBuf {
        self.dir.join(OsStr::from_bytes(name))
    }

    /// The directory's name without what is before it.
    pub fn dir_name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn with(&self, before: &str, after: &str) -> Vec<u8> {
        [before.as_bytes(), &self.stem, after.as_bytes()].concat()
    }

    /// The manifest's name.
    pub fn manifest(&self) -> Vec<u8> {
        self.with("", ".manifest")
    }

    /// The name under which a manifest is written.
    pub fn temp_manifest(&self) -> Vec<u8> {
        self.with("temp-", ".manifest")
    }

    /// The name of the increment that begins before there is a base.
    pub fn temp_increment(&self) -> Vec<u8> {
        self.with("temp-", ".incr")
    }

    /// The name under which the rewrite of that number writes a base.
    pub fn temp_base(&self, serial: u64) -> Vec<u8> {
        format!("temp-rewriteaof-bg-{}-{serial}.aof", std::process::id()).into_bytes()
    }
}

impl Manifest {
    /// Reads a manifest from its text.
    ///
    /// # Errors
    /// Those of Redis, with the line.
    pub fn parse(text: &[u8]) -> Result<Self, BadManifest> {
        let mut found = Self::default();
        if text.is_empty() {
            return Err(BadManifest { reason: "Found an empty AOF manifest", line: None });
        }
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            found.add_line(line).map_err(|reason| BadManifest {
                reason,
                line: Some((index + 1, line.trim_ascii().to_vec())),
            })?;
        }
        Ok(found)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        const FORMAT: &str = "Invalid AOF manifest file format";
        if line.len() > LINE_MAX || !line.ends_with(b"\n") {
            return Err("The AOF manifest file contains too long line");
        }
        let words = split_args(line.trim_ascii()).ok_or(FORMAT)?;
        if words.len() < 6 || !words.len().is_multiple_of(2) {
            return Err(FORMAT);
        }
        let (mut name, mut seq, mut kind) = (None, 0, 0);
        // Keys that later versions add are passed over.
        for pair in words.chunks_exact(2) {
            let [key, value] = pair else { continue };
            if key.eq_ignore_ascii_case(b"file") {
                if value.contains(&b'/') || value.contains(&b'\\') {
                    return Err("File can't be a path, just a filename");
                }
                name = Some(value.clone());
            } else if key.eq_ignore_ascii_case(b"seq") {
                seq = num::parse_i64(value).unwrap_or(0);
            } else if key.eq_ignore_ascii_case(b"type") {
                kind = value.first().copied().unwrap_or(0);
            }
        }
        let name = name.filter(|name| !name.is_empty() && seq != 0 && kind != 0).ok_or(FORMAT)?;
        let info = FileInfo { name, seq };
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.base_seq = seq;
                self.base = Some(info);
            }
            b'h' => self.history.push(info),
            b'i' if seq <= self.increment_seq => {
                return Err("Found a non-monotonic sequence number");
            }
            b'i' => {
                self.increment_seq = seq;
                self.increments.push(info);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// The manifest's text.
    pub fn print(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let base = self.base.iter().map(|info| (info, FileKind::Base));
        let history = self.history.iter().map(|info| (info, FileKind::History));
        let increments = self.increments.iter().map(|info| (info, FileKind::Increment));
        for (info, kind) in base.chain(history).chain(increments) {
            text.extend_from_slice(b"file ");
            push_quoted(&mut text, &info.name);
            text.extend_from_slice(
                format!(" seq {} type {}\n", info.seq, kind.letter()).as_bytes(),
            );
        }
        text
    }

    /// Whether there are no data.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The base and the increments, in the order in which they are loaded.
    pub fn data(&self) -> impl Iterator<Item = (&FileInfo, FileKind)> {
        let increments = self.increments.iter().map(|info| (info, FileKind::Increment));
        self.base.iter().map(|info| (info, FileKind::Base)).chain(increments)
    }

    /// Names a file of Redis 6 as the base.
    pub fn adopt(&mut self, name: &[u8]) {
        self.base = Some(FileInfo { name: name.to_vec(), seq: 1 });
        self.base_seq = 1;
    }

    /// Adds a base; the one before becomes history. Returns its name.
    pub fn add_base(&mut self, names: &Names, is_rdb: bool) -> Vec<u8> {
        self.base_seq += 1;
        let form = if is_rdb { "rdb" } else { "aof" };
        let name = names.with("", &format!(".{}.base.{form}", self.base_seq));
        let info = FileInfo { name: name.clone(), seq: self.base_seq };
        self.history.splice(..0, self.base.replace(info));
        name
    }

    /// Adds an increment and returns its name.
    pub fn add_increment(&mut self, names: &Names) -> Vec<u8> {
        self.increment_seq += 1;
        let name = names.with("", &format!(".{}.incr.aof", self.increment_seq));
        self.increments.push(FileInfo { name: name.clone(), seq: self.increment_seq });
        name
    }

    /// Makes history of the increments but the last `kept`.
    pub fn retire_increments(&mut self, kept: usize) {
        let retired = self.increments.len().saturating_sub(kept);
        self.history.splice(..0, self.increments.drain(..retired));
    }

    /// Reads the manifest of a directory; an empty one if there is none.
    ///
    /// # Errors
    /// If there is one that can't be read, or that is bad.
    pub fn load(disk: &dyn Disk, names: &Names) -> Result<Self, ManifestError> {
        let path = names.path(&names.manifest());
        match read_all(disk, &path) {
            Ok(text) => Self::parse(&text).map_err(ManifestError::Bad),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ManifestError::Unreadable(Failure::new(
                format_args!(
                    "Fatal error: can't open the AOF manifest file {} for reading",
                    shown(&names.manifest())
                ),
                &error,
            ))),
        }
    }

    /// Puts this manifest in the place of the one in the directory.
    ///
    /// # Errors
    /// At each of its steps; the old manifest is in force then, or (if the directory couldn't be
    /// synced) it may be after a loss of power.
    pub fn save(&self, disk: &dyn Disk, names: &Names) -> Result<(), Failure> {
        let (name, temp) = (names.manifest(), names.temp_manifest());
        let path = names.path(&temp);
        let (name, temp) = (shown(&name), shown(&temp));
        let file = disk.create(&path).map_err(|error| {
            Failure::new(format_args!("Can't open the AOF manifest file {temp}"), &error)
        })?;
        file.write_all(&self.print()).map_err(|error| {
            Failure::new(
                format_args!("Error trying to write the temporary AOF manifest file {temp}"),
                &error,
            )
        })?;
        file.sync_all().map_err(|error| {
            Failure::new(format_args!("Fail to fsync the temp AOF file {temp}"), &error)
        })?;
        rename(disk, &path, &names.path(&names.manifest())).map_err(|error| {
            Failure::new(
                format_args!(
                    "Error trying to rename the temporary AOF manifest file {temp} into {name}"
                ),
                &error,
            )
        })?;
        sync_dir(disk, names)
    }
}

/// Gives a file another name.
pub fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.rename(from, to)
}

/// Makes the names in the directory durable.
pub fn sync_dir(disk: &dyn Disk, names: &Names) -> Result<(), Failure> {
    disk.sync_dir(&names.dir).map_err(|error| {
        Failure::new(format_args!("Fail to fsync AOF directory {}", names.dir.display()), &error)
    })
}

/// Why there is no manifest to go by.
#[derive(Debug)]
pub enum ManifestError {
    /// It breaks the form.
    Bad(BadManifest),
    /// It is there and can't be read.
    Unreadable(Failure),
}

/// Appends a name, in quotes if it needs them.
fn push_quoted(text: &mut Vec<u8>, name: &[u8]) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
    if !name.is_empty() && name.iter().all(plain) {
        text.extend_from_slice(name);
        return;
    }
    quote(name, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { dir: "/data/appendonlydir".into(), stem: b"appendonly.aof".to_vec() }
    }

    fn reason(text: &str) -> &'static str {
        Manifest::parse(text.as_bytes()).expect_err("bad").reason
    }

    #[test]
    fn reads_what_redis_writes_and_back() {
        let text = b"file appendonly.aof.2.base.rdb seq 2 type b\n\
                     file appendonly.aof.1.base.rdb seq 1 type h\n\
                     file appendonly.aof.4.incr.aof seq 4 type i\n\
                     file \"a b\\x01.9.incr.aof\" seq 9 type i\n";
        let found = Manifest::parse(text).expect("good");
        assert_eq!(found.print(), text);
        assert_eq!(found.increments[1].name, b"a b\x01.9.incr.aof");
        assert_eq!(found.data().count(), 3);
    }

    #[test]
    fn passes_over_comments_and_unknown_keys() {
        let text = b"# a comment\nnewkey 1 FILE x seq 3 type i\n";
        let mut found = Manifest::parse(text).expect("good");
        assert_eq!(found.add_increment(&names()), b"appendonly.aof.4.incr.aof");
    }

    #[test]
    fn refuses_as_redis_does() {
        let base = "file x seq 1 type b\n";
        assert_eq!(reason(""), "Found an empty AOF manifest");
        assert_eq!(reason(&format!("{base}\n{base}")), "Invalid AOF manifest file format");
        assert_eq!(reason("file x seq 1\n"), "Invalid AOF manifest file format");
        assert_eq!(reason("file x seq 1 type\n"), "Invalid AOF manifest file format");
        assert_eq!(reason("file x seq 0 type b\n"), "Invalid AOF manifest file format");
        assert_eq!(reason("filx x seq 1 type b\n"), "Invalid AOF manifest file format");
        assert_eq!(reason("file \"x seq 1 type b\n"), "Invalid AOF manifest file format");
        assert_eq!(reason("file x seq 1 type z\n"), "Unknown AOF file type");
        assert_eq!(reason(&base.repeat(2)), "Found duplicate base file information");
        assert_eq!(
            reason("file x seq 2 type i\nfile y seq 2 type i\n"),
            "Found a non-monotonic sequence number"
        );
        assert_eq!(reason("file ../x seq 2 type i\n"), "File can't be a path, just a filename");
        let long = format!("file {} seq 1 type b\n", "x".repeat(1100));
        assert_eq!(reason(&long), "The AOF manifest file contains too long line");
        assert_eq!(reason(base.trim_end()), "The AOF manifest file contains too long line");
        let bad = Manifest::parse(format!("{base}oops\n").as_bytes()).expect_err("bad");
        assert_eq!(bad.line, Some((2, b"oops".to_vec())));
    }

    #[test]
    fn files_move_through_their_lives() {
        let (names, mut found) = (names(), Manifest::default());
        assert_eq!(found.add_base(&names, true), b"appendonly.aof.1.base.rdb");
        found.add_increment(&names);
        found.add_increment(&names);
        assert_eq!(found.add_base(&names, false), b"appendonly.aof.2.base.aof");
        found.retire_increments(1);
        let text = String::from_utf8(found.print()).expect("text");
        assert_eq!(
            text,
            "file appendonly.aof.2.base.aof seq 2 type b\n\
             file appendonly.aof.1.incr.aof seq 1 type h\n\
             file appendonly.aof.1.base.rdb seq 1 type h\n\
             file appendonly.aof.2.incr.aof seq 2 type i\n"
        );
    }
}
