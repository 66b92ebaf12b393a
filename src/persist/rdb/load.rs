//! Loading a file into databases.
//!
//! Owns the reading, decoding and inserting threads and what a file's parts mean. Never logs and
//! never decides what follows from an error.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::decode::{Chunk, Context, Decoder, Error, Problem, Result, Source};
use super::{Access, Progress, VERSION_MAX, kind, opcode, value};
use crate::ds::dict::{Keyed, Step};
use crate::keyspace::{Db, Entry};
use crate::util::file::Handle;

/// Bytes of a chunk.
const CHUNK: usize = 256 << 10;
/// Chunks read ahead.
const CHUNKS: usize = 4;
/// Entries that are inserted together.
const BATCH: usize = 256;
/// Batches on their way to the tables.
const BATCHES: usize = 16;

/// Keys without elements of which the names are kept.
const EMPTY_SHOWN: usize = 10;

/// Sets the access clock of a new entry.
pub type SetAccess<'a> = &'a (dyn Fn(&Entry, Access) + Sync);

/// How a file is loaded.
pub struct Options<'a> {
    /// Number of databases.
    pub databases: usize,
    /// Whether a wrong checksum is an error.
    pub checksum: bool,
    /// Keys whose deadline is before this, in Unix milliseconds, are left out.
    pub drop_before_ms: Option<i64>,
    /// Whether a key may be there twice: the last one counts.
    pub duplicates: bool,
    /// How values are read.
    pub values: value::Options,
    /// Sets the access clocks.
    pub access: SetAccess<'a>,
}

/// What a file held.
#[derive(Default)]
pub struct Loaded {
    /// The databases.
    pub dbs: Vec<Db>,
    /// Sources of the libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// Keys loaded.
    pub keys: u64,
    /// Keys left out since they were due.
    pub expired: u64,
    /// Keys left out since their collections had no elements.
    pub empty: u64,
    /// The first of them.
    pub empty_keys: Vec<Box<[u8]>>,
    /// Modules whose data was skipped.
    pub modules: Vec<String>,
    /// Whether the file says that it has no checksum.
    pub unchecked: bool,
    /// Where the RDB part of the file ends, in bytes from the file's start.
    pub end: u64,
}

/// Loads the RDB file that begins at `offset` of `file`.
///
/// # Errors
/// If it isn't whole and right, with the offset from the file's start.
pub fn load(
    file: &Handle,
    offset: u64,
    options: &Options<'_>,
    progress: &Progress,
) -> std::result::Result<Loaded, Error> {
    let (full, chunks) = sync_channel(CHUNKS);
    let (used, recycled) = channel();
    let (batches, inserted) = sync_channel(BATCHES);
    thread::scope(|scope| {
        let started = |error| Error { problem: Problem::Io(error), offset, context: None };
        let name = |name: &str| thread::Builder::new().name(name.into());
        let reader = move || read_chunks(file, offset, &full, &recycled);
        name("rdb-read").spawn_scoped(scope, reader).map_err(started)?;
        let insert = move || insert_all(inserted, options);
        let inserter = name("rdb-insert").spawn_scoped(scope, insert).map_err(started)?;
        let decoder = Decoder::new(Pipe { chunks, used, progress }, offset);
        let mut parser = Parser {
            decoder,
            options,
            progress,
            batches,
            batch: Vec::with_capacity(BATCH),
            db: 0,
            context: Context { doing: "start", ..Context::default() },
            loaded: Loaded::default(),
        };
        let parsed = parser.run();
        let offset = parser.decoder.offset();
        let mut loaded = std::mem::take(&mut parser.loaded);
        let context = parser.into_context();
        let inserted = inserter.join().unwrap_or(Err(Problem::Stopped));
        // What the inserter says comes first: the parser only noticed that it is gone.
        let dbs = inserted.map_err(|problem| Error { problem, offset, context: None })?;
        parsed.map_err(|problem| Error { problem, offset, context: Some(context) })?;
        loaded.dbs = dbs;
        loaded.end = offset;
        Ok(loaded)
    })
}

// ---- reading --------------------------------------------------------------------------------

fn read_chunks(
    file: &Handle,
    mut offset: u64,
    full: &SyncSender<io::Result<Chunk>>,
    recycled: &Receiver<Vec<u8>>,
) {
    let mut crc = 0;
    loop {
        let mut bytes = recycled.try_recv().unwrap_or_default();
        bytes.resize(CHUNK, 0);
        let read = match file.read_at(&mut bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let chunk = read.map(|count| {
            bytes.truncate(count);
            crc = crc64::crc64(crc, &bytes);
            offset += count as u64;
            Chunk { bytes, crc }
        });
        let over = chunk.as_ref().map_or(true, |chunk| chunk.bytes.is_empty());
        if full.send(chunk).is_err() || over {
            return;
        }
    }
}

/// The way of chunks from the reading thread, and back.
struct Pipe<'a> {
    chunks: Receiver<io::Result<Chunk>>,
    used: Sender<Vec<u8>>,
    progress: &'a Progress,
}

impl Source for Pipe<'_> {
    fn next(&mut self, used: Vec<u8>) -> io::Result<Chunk> {
        self.progress.bytes.fetch_add(used.len() as u64, Ordering::Relaxed);
        if used.capacity() > 0 {
            let _ = self.used.send(used);
        }
        // After the end, the thread is gone: there is no more.
        self.chunks.recv().unwrap_or_else(|_| Ok(Chunk::default()))
    }
}

// ---- decoding -------------------------------------------------------------------------------

/// Entries for a database.
type Batch = (usize, Vec<Entry>);

struct Parser<'a> {
    decoder: Decoder<Pipe<'a>>,
    options: &'a Options<'a>,
    progress: &'a Progress,
    batches: SyncSender<Batch>,
    batch: Vec<Entry>,
    db: usize,
    context: Context,
    loaded: Loaded,
}

/// What was said about the next key.
#[derive(Debug, Default)]
struct Next {
    deadline: Option<i64>,
    access: Access,
}

impl Parser<'_> {
    /// What it was reading when it ended; the batches end with it.
    fn into_context(self) -> Box<Context> {
        Box::new(self.context)
    }

    fn run(&mut self) -> Result<()> {
        let version = self.header()?;
        let mut next = Next::default();
        let mut key = Vec::new();
        loop {
            self.context.doing = "read-type";
            match self.decoder.byte()? {
                opcode::EOF => break,
                opcode::EXPIRETIME => {
                    self.context.doing = "read-expire";
                    let seconds = i32::from_le_bytes(self.decoder.array()?);
                    next.deadline = Some(i64::from(seconds) * 1000);
                }
                opcode::EXPIRETIME_MS => {
                    self.context.doing = "read-expire";
                    next.deadline = Some(i64::from_le_bytes(self.decoder.array()?));
                }
                opcode::FREQ => next.access = Access::Freq(self.decoder.byte()?),
                opcode::IDLE => next.access = Access::Idle(self.decoder.length()?),
                kind if kind::name(kind).is_some() => {
                    self.key(kind, std::mem::take(&mut next), &mut key)?;
                }
                opcode => self.about_file(opcode)?,
            }
        }
        self.pass_on()?;
        self.context.doing = "check-sum";
        if version >= 5 { self.verify() } else { Ok(()) }
    }

    /// Reads what doesn't concern a single key.
    fn about_file(&mut self, opcode: u8) -> Result<()> {
        self.context.doing = match opcode {
            opcode::AUX => "read-aux",
            opcode::MODULE_AUX => "read-module-aux",
            opcode::FUNCTION2 | opcode::FUNCTION_PRE_GA => "read-functions",
            _ => "read-len",
        };
        match opcode {
            opcode::SELECTDB => self.select()?,
            opcode::RESIZEDB => {
                self.decoder.length()?;
                self.decoder.length()?;
            }
            opcode::SLOT_INFO => {
                for _ in 0..3 {
                    self.decoder.length()?;
                }
            }
            opcode::AUX => {
                let aux = (self.decoder.vec()?, self.decoder.vec()?);
                self.progress.aux.lock().push(aux);
            }
            opcode::MODULE_AUX => self.skip_module()?,
            opcode::FUNCTION2 => {
                let source = self.decoder.vec()?;
                self.loaded.functions.push(source);
            }
            opcode::FUNCTION_PRE_GA => {
                return Err(Problem::Unsupported(
                    "Pre-release function format not supported.".into(),
                ));
            }
            kind => {
                self.context.doing = "read-type";
                return Err(Problem::Kind(kind));
            }
        }
        Ok(())
    }

    fn header(&mut self) -> Result<u16> {
        let header: [u8; 9] = self.decoder.array()?;
        let Some(version) = header.strip_prefix(b"REDIS") else { return Err(Problem::Signature) };
        let digits = version.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        match u16::try_from(number) {
            Ok(version) if (1..=VERSION_MAX).contains(&version) => Ok(version),
            _ => Err(Problem::Version(number)),
        }
    }

    fn select(&mut self) -> Result<()> {
        let number = usize::try_from(self.decoder.length()?).unwrap_or(usize::MAX);
        if number >= self.options.databases {
            return Err(Problem::Unsupported(format!(
                "FATAL: Data file was created with a Redis server configured to handle more than {} \
                 databases. Exiting",
                self.options.databases
            )));
        }
        self.pass_on()?;
        self.db = number;
        Ok(())
    }

    /// Skips what a module has saved beside keys.
    fn skip_module(&mut self) -> Result<()> {
        let id = self.decoder.length()?;
        // When it was saved, as an integer.
        self.decoder.length()?;
        self.decoder.length()?;
        loop {
            match self.decoder.length()? {
                0 => break,
                1 | 2 => drop(self.decoder.length()?),
                3 => drop(self.decoder.take(4)?),
                4 => drop(self.decoder.take(8)?),
                5 => drop(self.decoder.text()?),
                _ => return Err(Problem::Corrupt("Unknown opcode in module data")),
            }
        }
        self.loaded.modules.push(value::module_name(id));
        Ok(())
    }

    fn key(&mut self, kind: u8, next: Next, key: &mut Vec<u8>) -> Result<()> {
        if self.progress.is_stopped() {
            return Err(Problem::Stopped);
        }
        self.context.kind = Some(kind);
        self.context.doing = "read-key";
        key.clear();
        key.extend_from_slice(self.decoder.text()?.bytes(&mut Default::default()));
        self.context.keys += 1;
        self.context.doing = "read-object-value";
        let entry = self.decoder.entry(kind, key, next.deadline, &self.options.values);
        let expired =
            next.deadline.zip(self.options.drop_before_ms).is_some_and(|(at, now)| at < now);
        match entry {
            Err(Problem::EmptyKey) => {
                self.loaded.empty += 1;
                if self.loaded.empty_keys.len() < EMPTY_SHOWN {
                    self.loaded.empty_keys.push(key.as_slice().into());
                }
            }
            Err(problem) => {
                self.context.key = Some(std::mem::take(key));
                return Err(problem);
            }
            Ok(_) if expired => self.loaded.expired += 1,
            Ok(entry) => {
                (self.options.access)(&entry, next.access);
                self.batch.push(entry);
                self.loaded.keys += 1;
                self.progress.keys.fetch_add(1, Ordering::Relaxed);
                if self.batch.len() == BATCH {
                    self.pass_on()?;
                }
            }
        }
        self.context.kind = None;
        self.context.expires += u64::from(next.deadline.is_some());
        self.context.expired += u64::from(expired);
        self.progress.delay();
        Ok(())
    }

    fn pass_on(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.batches.send((self.db, batch)).map_err(|_| Problem::Stopped)
    }

    fn verify(&mut self) -> Result<()> {
        let expected = self.decoder.checksum();
        let found = u64::from_le_bytes(self.decoder.array()?);
        self.loaded.unchecked = found == 0;
        match !self.options.checksum || found == 0 || expected == found {
            true => Ok(()),
            false => Err(Problem::Checksum { expected, found }),
        }
    }
}

// ---- inserting ------------------------------------------------------------------------------

fn insert_all(batches: Receiver<Batch>, options: &Options<'_>) -> Result<Vec<Db>> {
    let mut dbs: Vec<Db> = (0..options.databases).map(|_| Db::new()).collect();
    let mut hashes = Vec::with_capacity(BATCH);
    for (number, batch) in batches {
        let Some(db) = dbs.get_mut(number) else { continue };
        hashes.clear();
        hashes.extend(batch.iter().map(|entry| db.hash(entry.key())));
        hashes.iter().for_each(|hash| db.prefetch(*hash, Step::Tags));
        for (entry, hash) in batch.into_iter().zip(&hashes) {
            if let Some(old) = db.put_hashed(*hash, entry)
                && !options.duplicates
            {
                return Err(Problem::Duplicate { db: number, key: old.key().into() });
            }
        }
    }
    Ok(dbs)
}
