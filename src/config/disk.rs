//! Owns `Disk`, the `Files` of the real file system. Never writes.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use super::load::Files;
use super::values::Text;
use crate::util::glob::glob_match;

/// The real file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &[u8]) -> io::Result<Text> {
        fs::read(OsStr::from_bytes(path))
    }

    fn expand(&self, pattern: &[u8]) -> Vec<Text> {
        let parts = Path::new(OsStr::from_bytes(pattern)).components();
        let found = parts.fold(vec![PathBuf::new()], |bases, part| step(&bases, part));
        found.into_iter().map(|path| path.into_os_string().into_vec()).collect()
    }
}

/// What `part` names below each of `bases`, sorted. Wildcards skip names that begin with a dot.
fn step(bases: &[PathBuf], part: Component<'_>) -> Vec<PathBuf> {
    let pattern = part.as_os_str().as_bytes();
    let wild = pattern.iter().any(|byte| b"*?[".contains(byte));
    let mut found = Vec::new();
    for base in bases {
        if !wild {
            found.extend(Some(base.join(part)).filter(|path| path.exists()));
            continue;
        }
        let dir = if base.as_os_str().is_empty() { Path::new(".") } else { base };
        let names =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let shown = |name: &[u8]| pattern.starts_with(b".") || !name.starts_with(b".");
        let matching = names
            .filter(|name| shown(name.as_bytes()) && glob_match(pattern, name.as_bytes(), false));
        found.extend(matching.map(|name| base.join(name)));
    }
    found.sort();
    found
}
