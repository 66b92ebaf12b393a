//! Reading the format: lengths and strings, from chunks of bytes.
//!
//! Owns the primitives and the errors, with the offset at which they were met. Believes no length
//! before its bytes are there.

use std::{fmt, io};

use super::{form, kind, lzf};
use crate::util::file;
use crate::util::num::{self, IntBuf};

/// Bytes that are allocated ahead of what has arrived, at most.
const AHEAD_MAX: usize = 1 << 20;

/// What is wrong with a file or payload.
#[derive(Debug)]
pub enum Problem {
    /// It ends too early.
    Eof,
    /// It can't be read.
    Io(io::Error),
    /// It is no RDB file.
    Signature,
    /// It is of a version that isn't known.
    Version(u32),
    /// Its bytes are not those that were written.
    Checksum {
        /// As its bytes sum up.
        expected: u64,
        /// As the file says.
        found: u64,
    },
    /// Its parts contradict each other.
    Corrupt(&'static str),
    /// A collection without elements.
    EmptyKey,
    /// A key is there twice.
    Duplicate {
        /// The database.
        db: usize,
        /// The key.
        key: Box<[u8]>,
    },
    /// A value of a type that isn't known.
    Kind(u8),
    /// A string of a form that isn't known.
    Form(u8),
    /// What it holds isn't supported.
    Unsupported(String),
    /// Reading was given up.
    Stopped,
}

/// An error and where it was met.
#[derive(Debug)]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// Offset in bytes from the start.
    pub offset: u64,
    /// What was being read, if it was being read.
    pub context: Option<Box<Context>>,
}

/// What was being read when an error was met, as redis-check-rdb tells it.
#[derive(Debug, Default)]
pub struct Context {
    /// The step, in its words.
    pub doing: &'static str,
    /// The key, as far as it was known.
    pub key: Option<Vec<u8>>,
    /// The type of its value.
    pub kind: Option<u8>,
    /// Keys whose names were read.
    pub keys: u64,
    /// Those among them with a deadline, if they were whole.
    pub expires: u64,
    /// And those that were due.
    pub expired: u64,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[additional info] While doing: {}", self.doing)?;
        if let Some(key) = &self.key {
            write!(f, "\n[additional info] Reading key '{}'", String::from_utf8_lossy(key))?;
        }
        if let Some(kind) = self.kind {
            let name = kind::name(kind).unwrap_or("unknown");
            write!(f, "\n[additional info] Reading type {kind} ({name})")?;
        }
        let Self { keys, expires, expired, .. } = self;
        write!(f, "\n[info] {keys} keys read\n[info] {expires} expires")?;
        write!(f, "\n[info] {expired} already expired")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("Unexpected EOF reading RDB file"),
            Self::Io(error) => write!(f, "Error reading from RDB file: {}", file::strerror(error)),
            Self::Signature => f.write_str("Wrong signature trying to load DB from file"),
            Self::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            Self::Checksum { .. } => f.write_str("RDB CRC error"),
            Self::Corrupt(reason) => f.write_str(reason),
            Self::EmptyKey => f.write_str("Empty collection"),
            Self::Duplicate { db, key } => {
                write!(f, "RDB has duplicated key '{}' in DB {db}", String::from_utf8_lossy(key))
            }
            Self::Kind(kind) => write!(f, "Invalid object type: {kind}"),
            Self::Form(form) => write!(f, "Unknown RDB string encoding type {form}"),
            Self::Unsupported(what) => f.write_str(what),
            Self::Stopped => f.write_str("Loading was given up"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (offset {})", self.problem, self.offset)
    }
}

impl std::error::Error for Error {}

/// A problem, which gets its offset where the whole is read.
pub type Result<T> = std::result::Result<T, Problem>;

/// Some bytes of the input.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The checksum of everything up to the chunk's end, if anybody sums up.
    pub crc: u64,
}

/// Where chunks come from.
pub trait Source {
    /// The next chunk, without bytes at the end of the input. Takes the one before back.
    ///
    /// # Errors
    /// If reading fails.
    fn next(&mut self, used: Vec<u8>) -> io::Result<Chunk>;
}

/// No more input than the first chunk.
#[derive(Debug, Clone, Copy)]
pub struct NoMore;

impl Source for NoMore {
    fn next(&mut self, _: Vec<u8>) -> io::Result<Chunk> {
        Ok(Chunk::default())
    }
}

/// A length, or the form of a string that stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Len {
    Plain(u64),
    Form(u8),
}

/// A string that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// Stored as an integer.
    Int(i64),
    /// In the input.
    Borrowed(&'a [u8]),
    /// Decompressed, or too long for the input's chunks.
    Owned(Vec<u8>),
}

impl Text<'_> {
    /// The string's bytes; an integer is printed into `buf`.
    pub fn bytes<'b>(&'b self, buf: &'b mut IntBuf) -> &'b [u8] {
        match self {
            Self::Int(value) => num::fmt_i64(*value, buf),
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// The string's bytes.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Int(value) => num::fmt_i64(value, &mut IntBuf::new()).to_vec(),
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Reads from chunks.
pub struct Decoder<S> {
    source: S,
    chunk: Chunk,
    at: usize,
    /// Offset of the chunk's first byte in the input.
    start: u64,
    /// The checksum of everything before the chunk.
    crc_before: u64,
    /// What spans chunks is put together here.
    scratch: Vec<u8>,
    /// Bytes at the end of the input that are a part of what isn't whole.
    torn: u64,
}

impl Decoder<NoMore> {
    /// A decoder of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let chunk = Chunk { bytes: bytes.to_vec(), crc: 0 };
        Self { source: NoMore, chunk, at: 0, start: 0, crc_before: 0, scratch: Vec::new(), torn: 0 }
    }
}

impl<S: Source> Decoder<S> {
    /// A decoder of what a source gives, which begins at `offset` of the whole.
    pub fn new(source: S, offset: u64) -> Self {
        let chunk = Chunk::default();
        Self { source, chunk, at: 0, start: offset, crc_before: 0, scratch: Vec::new(), torn: 0 }
    }

    /// How far it has read: behind the last thing that was whole.
    pub fn offset(&self) -> u64 {
        self.start + self.at as u64 - self.torn
    }

    /// Bytes that are there and have not been read.
    pub fn buffered(&self) -> usize {
        self.chunk.bytes.len() - self.at
    }

    /// The checksum of all that has been read.
    pub fn checksum(&self) -> u64 {
        crc64::crc64(self.crc_before, &self.chunk.bytes[..self.at])
    }

    /// Goes on to the next chunk; says whether there is one.
    fn refill(&mut self) -> Result<bool> {
        debug_assert_eq!(self.at, self.chunk.bytes.len());
        let used = std::mem::take(&mut self.chunk);
        self.start += used.bytes.len() as u64;
        self.at = 0;
        if !used.bytes.is_empty() {
            self.crc_before = used.crc;
        }
        self.chunk = self.source.next(used.bytes).map_err(Problem::Io)?;
        Ok(!self.chunk.bytes.is_empty())
    }

    /// A byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        if self.at == self.chunk.bytes.len() && !self.refill()? {
            return Err(Problem::Eof);
        }
        let byte = self.chunk.bytes[self.at];
        self.at += 1;
        Ok(byte)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        if let Some(found) = self.chunk.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let found = *found;
            self.at += N;
            return Ok(found);
        }
        let mut found = [0; N];
        for (i, byte) in found.iter_mut().enumerate() {
            *byte = self.byte().inspect_err(|_| self.torn = i as u64)?;
        }
        Ok(found)
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: u64) -> Result<&[u8]> {
        let len = usize::try_from(len).map_err(|_| Problem::Eof)?;
        if len <= self.buffered() {
            let from = self.at;
            self.at += len;
            return Ok(&self.chunk.bytes[from..from + len]);
        }
        self.gather(len)?;
        Ok(&self.scratch)
    }

    /// Puts bytes of several chunks together.
    fn gather(&mut self, len: usize) -> Result<()> {
        let mut whole = std::mem::take(&mut self.scratch);
        whole.clear();
        if whole.capacity() > AHEAD_MAX {
            whole = Vec::new();
        }
        whole.reserve_exact(len.min(AHEAD_MAX));
        while whole.len() < len {
            if self.buffered() == 0 && !self.refill()? {
                self.torn = whole.len() as u64;
                return Err(Problem::Eof);
            }
            let part = self.buffered().min(len - whole.len());
            whole.extend_from_slice(&self.chunk.bytes[self.at..self.at + part]);
            self.at += part;
        }
        self.scratch = whole;
        Ok(())
    }

    fn any_len(&mut self) -> Result<Len> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Len::Plain(u64::from(first)),
            1 => Len::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            3 => Len::Form(first & 0x3f),
            _ => match first {
                0x80 => Len::Plain(u64::from(u32::from_be_bytes(self.array()?))),
                0x81 => Len::Plain(u64::from_be_bytes(self.array()?)),
                _ => return Err(Problem::Corrupt("Unknown length encoding")),
            },
        })
    }

    /// A length or another unsigned integer.
    pub fn length(&mut self) -> Result<u64> {
        match self.any_len()? {
            Len::Plain(len) => Ok(len),
            Len::Form(_) => Err(Problem::Corrupt("A string where a length should be")),
        }
    }

    /// A string.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'_>> {
        let len = match self.any_len()? {
            Len::Plain(len) => len,
            Len::Form(form::INT8) => return Ok(Text::Int(i64::from(self.byte()? as i8))),
            Len::Form(form::INT16) => {
                return Ok(Text::Int(i64::from(i16::from_le_bytes(self.array()?))));
            }
            Len::Form(form::INT32) => {
                return Ok(Text::Int(i64::from(i32::from_le_bytes(self.array()?))));
            }
            Len::Form(form::LZF) => return self.compressed().map(Text::Owned),
            Len::Form(form) => return Err(Problem::Form(form)),
        };
        if len <= self.buffered() as u64 {
            return self.take(len).map(Text::Borrowed);
        }
        // What had to be put together needn't be copied once more.
        self.gather(usize::try_from(len).map_err(|_| Problem::Eof)?)?;
        Ok(Text::Owned(std::mem::take(&mut self.scratch)))
    }

    fn compressed(&mut self) -> Result<Vec<u8>> {
        let (packed, len) = (self.length()?, self.length()?);
        let len = usize::try_from(len).map_err(|_| Problem::Eof)?;
        let packed = self.take(packed)?;
        lzf::decompress(packed, len).ok_or(Problem::Corrupt("Invalid LZF compressed string"))
    }

    /// A string, copied.
    pub fn vec(&mut self) -> Result<Vec<u8>> {
        self.text().map(Text::into_vec)
    }

    /// A double in eight bytes.
    pub fn double(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A double in text, as the first versions have it.
    pub fn text_double(&mut self) -> Result<f64> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Ok(f64::NAN),
            len => num::parse_f64(self.take(u64::from(len))?)
                .ok_or(Problem::Corrupt("Invalid double value")),
        }
    }
}
