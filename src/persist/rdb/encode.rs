//! Writing the format: lengths, strings, values, keys with what belongs to them.
//!
//! Owns the bytes. Where they go is the [`Sink`]'s matter; nothing here fails but by it.

use super::lzf::Compressor;
use super::{Access, form, kind, opcode};
use crate::ds::dict::Keyed;
use crate::ds::listpack::{Element, Listpack};
use crate::keyspace::{Entry, StrView};
use crate::util::num::{self, IntBuf};
use crate::value::Value;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::ZSet;

/// Strings up to this long are not compressed.
const COMPRESS_FROM: usize = 20;
/// What compression must save at least.
const COMPRESS_GAIN: usize = 4;
/// Texts up to this long may be 32-bit integers.
const INT_TEXT_MAX: usize = 11;

/// Nobody takes any more bytes: whatever was to be written has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Where full chunks go.
pub trait Sink {
    /// Takes a chunk, and gives an empty one back.
    ///
    /// # Errors
    /// If it takes no more.
    fn take(&mut self, chunk: Vec<u8>) -> Result<Vec<u8>, Stopped>;
}

/// Writes values.
pub struct Encoder<'s> {
    buf: Vec<u8>,
    /// The most bytes of a chunk.
    limit: usize,
    sink: Option<&'s mut dyn Sink>,
    stopped: bool,
    compressor: Option<Compressor>,
    packed: Vec<u8>,
}

impl Encoder<'static> {
    /// An encoder that keeps all bytes.
    pub fn whole(compress: bool) -> Self {
        Self::build(usize::MAX, None, compress)
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.buf
    }
}

impl<'s> Encoder<'s> {
    /// An encoder that passes chunks of up to `limit` bytes on. What is left at the end goes out
    /// by [`finish`](Self::finish).
    pub fn chunked(limit: usize, sink: &'s mut dyn Sink, compress: bool) -> Self {
        Self::build(limit, Some(sink), compress)
    }

    fn build(limit: usize, sink: Option<&'s mut dyn Sink>, compress: bool) -> Self {
        let buf = Vec::with_capacity(if sink.is_some() { limit } else { 0 });
        let compressor = compress.then(Compressor::default);
        Self { buf, limit, sink, stopped: false, compressor, packed: Vec::new() }
    }

    /// Passes on what is left.
    ///
    /// # Errors
    /// If the sink has stopped at any time.
    pub fn finish(mut self) -> Result<(), Stopped> {
        self.pass_on();
        if self.stopped { Err(Stopped) } else { Ok(()) }
    }

    /// Whether the sink takes no more: what is written is lost.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn pass_on(&mut self) {
        let chunk = std::mem::take(&mut self.buf);
        let Some(sink) = self.sink.as_mut().filter(|_| !self.stopped) else { return };
        match sink.take(chunk) {
            Ok(empty) => self.buf = empty,
            Err(Stopped) => self.stopped = true,
        }
    }

    // ---- primitives -------------------------------------------------------------------------

    /// Writes bytes as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if self.buf.len() + bytes.len() <= self.limit {
            self.buf.extend_from_slice(bytes);
        } else {
            self.put_over(bytes);
        }
    }

    #[cold]
    fn put_over(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.stopped {
            if self.buf.len() >= self.limit {
                self.pass_on();
            }
            let room = self.limit - self.buf.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buf.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Writes a byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Writes a length or another unsigned integer: in 1, 2, 5 or 9 bytes.
    #[inline]
    pub fn len(&mut self, len: u64) {
        match len {
            0..64 => self.byte(len as u8),
            64..16384 => self.put(&((1 << 14 | len) as u16).to_be_bytes()),
            _ => match u32::try_from(len) {
                Ok(len) => {
                    self.byte(0x80);
                    self.put(&len.to_be_bytes());
                }
                Err(_) => {
                    self.byte(0x81);
                    self.put(&len.to_be_bytes());
                }
            },
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        self.len(count as u64);
    }

    /// Writes an integer as a string.
    pub fn int(&mut self, value: i64) {
        match value {
            -0x80..0x80 => self.put(&[0xc0 | form::INT8, value as u8]),
            -0x8000..0x8000 => {
                self.byte(0xc0 | form::INT16);
                self.put(&(value as i16).to_le_bytes());
            }
            -0x8000_0000..0x8000_0000 => {
                self.byte(0xc0 | form::INT32);
                self.put(&(value as i32).to_le_bytes());
            }
            _ => self.raw(num::fmt_i64(value, &mut IntBuf::new())),
        }
    }

    /// Writes a string in its shortest form.
    #[inline]
    pub fn string(&mut self, text: &[u8]) {
        if text.len() <= INT_TEXT_MAX
            && let Some(value) = num::parse_i64(text)
            && i32::try_from(value).is_ok()
        {
            return self.int(value);
        }
        self.bytes(text);
    }

    /// Writes a string that is no integer, or one that need not be found out to be: compressed if
    /// that pays.
    pub(super) fn bytes(&mut self, text: &[u8]) {
        if text.len() > COMPRESS_FROM
            && let Some(compressor) = &mut self.compressor
        {
            self.packed.clear();
            if compressor.compress(text, &mut self.packed, text.len() - COMPRESS_GAIN) {
                let packed = std::mem::take(&mut self.packed);
                self.byte(0xc0 | form::LZF);
                self.count(packed.len());
                self.count(text.len());
                self.put(&packed);
                self.packed = packed;
                return;
            }
        }
        self.raw(text);
    }

    fn raw(&mut self, text: &[u8]) {
        self.count(text.len());
        self.put(text);
    }

    fn element(&mut self, element: Element<'_>) {
        match element {
            Element::Int(value) => self.int(value),
            Element::Str(text) => self.string(text),
        }
    }

    // ---- the file's frame -------------------------------------------------------------------

    /// Writes what a file of that version begins with.
    pub fn header(&mut self, version: u16) {
        self.put(format!("REDIS{version:04}").as_bytes());
    }

    /// Writes a piece of information about the file.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) {
        self.byte(opcode::AUX);
        self.string(name);
        self.string(value);
    }

    /// Writes the source of a library of functions.
    pub fn function(&mut self, source: &[u8]) {
        self.byte(opcode::FUNCTION2);
        self.string(source);
    }

    /// Writes that a database follows, and how many keys and deadlines it has.
    pub fn select(&mut self, number: usize, keys: usize, volatile: usize) {
        self.byte(opcode::SELECTDB);
        self.count(number);
        self.byte(opcode::RESIZEDB);
        self.count(keys);
        self.count(volatile);
    }

    /// Writes that nothing but the checksum follows.
    pub fn eof(&mut self) {
        self.byte(opcode::EOF);
    }

    /// Writes a key with its deadline, its last accesses and its value.
    pub fn entry(&mut self, entry: &Entry, access: Access) {
        if let Some(deadline) = entry.deadline() {
            self.byte(opcode::EXPIRETIME_MS);
            self.put(&deadline.to_le_bytes());
        }
        match access {
            Access::Unknown => {}
            Access::Idle(seconds) => {
                self.byte(opcode::IDLE);
                self.len(seconds);
            }
            Access::Freq(counter) => self.put(&[opcode::FREQ, counter]),
        }
        self.byte(kind_of(entry));
        self.string(entry.key());
        self.value(entry);
    }

    // ---- values -----------------------------------------------------------------------------

    /// Writes a value with the mark of its form, as DUMP has it.
    pub fn kind_and_value(&mut self, entry: &Entry) {
        self.byte(kind_of(entry));
        self.value(entry);
    }

    fn value(&mut self, entry: &Entry) {
        match (entry.str(), entry.value()) {
            (Some(StrView::Int(value)), _) => self.int(value),
            // What reads as a short integer is stored as one.
            (Some(StrView::Bytes(text)), _) => self.bytes(text),
            (None, Some(value)) => self.collection(value),
            (None, None) => {}
        }
    }

    fn collection(&mut self, value: &Value) {
        match value {
            Value::Int(_) | Value::Str(_) => {}
            Value::List(list) => self.list(list),
            Value::Set(set) => self.set(set),
            Value::ZSet(zset) => self.zset(zset),
            Value::Hash(hash) => self.hash(hash),
            Value::Stream(stream) => self.stream(stream),
        }
    }

    fn pack(&mut self, pack: &Listpack) {
        self.bytes(pack.as_bytes());
    }

    fn list(&mut self, list: &List) {
        /// One element for itself, several in a listpack.
        const PLAIN: u64 = 1;
        const PACKED: u64 = 2;
        let nodes = list.nodes();
        self.count(nodes.len());
        for node in nodes {
            match node {
                Ok(pack) => {
                    self.len(PACKED);
                    self.pack(pack);
                }
                Err(plain) => {
                    self.len(PLAIN);
                    self.bytes(plain);
                }
            }
        }
    }

    fn set(&mut self, set: &Set) {
        if let Some(ints) = set.as_intset() {
            return self.bytes(ints.as_bytes());
        }
        self.count(set.len());
        set.iter().for_each(|member| self.element(member));
    }

    fn zset(&mut self, zset: &ZSet) {
        if let Some(pack) = zset.packed() {
            return self.pack(pack);
        }
        self.count(zset.len());
        // From the last to the first: who inserts at the front of a skip list is quickest so.
        zset.walk(0..usize::MAX, true, |member, score| {
            self.string(member);
            self.put(&score.to_le_bytes());
            !self.stopped
        });
    }

    /// Writes a hash some of whose fields have deadlines: the earliest, then fields, values and
    /// deadlines.
    fn timed_hash(&mut self, hash: &Hash) {
        let earliest = hash.next_deadline().unwrap_or_default();
        self.put(&earliest.to_le_bytes());
        let mut digits = IntBuf::new();
        if hash.as_listpack().is_some() {
            // Fields stand in the order of their deadlines, those without at the end.
            let mut triples = Listpack::new();
            let mut push = |field: &[u8], value: Element<'_>, deadline: i64| {
                triples.push_back(field);
                triples.push_back(value.as_bytes(&mut IntBuf::new()));
                triples.push_back(deadline);
            };
            hash.for_each_deadline(|field, at| {
                if let Some(value) = hash.get(field) {
                    push(field, value, at);
                }
            });
            for (field, value) in hash.iter() {
                let field = field.as_bytes(&mut digits);
                if hash.deadline(field).is_none() {
                    push(field, value, 0);
                }
            }
            return self.pack(&triples);
        }
        self.count(hash.len());
        for (field, value) in hash.iter() {
            let deadline = hash.deadline(field.as_bytes(&mut digits));
            self.len(deadline.map_or(0, |at| at.abs_diff(earliest) + 1));
            self.element(field);
            self.element(value);
        }
    }

    fn hash(&mut self, hash: &Hash) {
        if hash.volatile_len() > 0 {
            return self.timed_hash(hash);
        }
        if let Some(pack) = hash.as_listpack() {
            return self.pack(pack);
        }
        self.count(hash.len());
        for (field, value) in hash.iter() {
            self.element(field);
            self.element(value);
        }
    }
}

/// The form in which a value is written.
fn kind_of(entry: &Entry) -> u8 {
    match entry.value() {
        None | Some(Value::Int(_) | Value::Str(_)) => kind::STRING,
        Some(Value::List(_)) => kind::LIST_QUICKLIST_2,
        // Version 10 knows no sets in listpacks.
        Some(Value::Set(set)) if set.as_intset().is_some() => kind::SET_INTSET,
        Some(Value::Set(_)) => kind::SET,
        Some(Value::ZSet(zset)) if zset.packed().is_some() => kind::ZSET_LISTPACK,
        Some(Value::ZSet(_)) => kind::ZSET_2,
        Some(Value::Hash(hash)) if hash.volatile_len() > 0 => match hash.as_listpack() {
            Some(_) => kind::HASH_LISTPACK_EX,
            None => kind::HASH_METADATA,
        },
        Some(Value::Hash(hash)) if hash.as_listpack().is_some() => kind::HASH_LISTPACK,
        Some(Value::Hash(_)) => kind::HASH,
        Some(Value::Stream(_)) => kind::STREAM_LISTPACKS_2,
    }
}
