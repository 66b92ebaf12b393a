//! A key and its value in one allocation, shared by reference count.
//!
//! Owns the layout, the count and the access clock. One of the two files with `unsafe`: a thin
//! pointer to a block of variable size is what lets a key with a small value cost one allocation
//! of 16 bytes beside its own, and no crate offers it with a 4-byte count. Never looks at what a
//! value means.
//!
//! ```text
//! block: | refs u32 | meta u32 | key_len u32 | tail_len u32 | [deadline i64] | [Value] | key | tail |
//! meta:  | flags, 8 bits | access clock, 24 bits |
//! ```
//! `Value` is there if the value doesn't stand in the tail; the deadline if the key has one.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use triomphe::Arc;

use crate::ds::dict::Keyed;
use crate::util::num;
use crate::value::{Collection, Type, Value};

/// The longest string that stands inside its entry, in bytes.
const INLINE_MAX: usize = 1024;
/// The longest string that `OBJECT ENCODING` calls `embstr`.
const EMBSTR_MAX: usize = 44;

const CLOCK_MASK: u32 = 0x00ff_ffff;
const HAS_VALUE: u32 = 1 << 24;
const HAS_DEADLINE: u32 = 1 << 25;

#[repr(C, align(8))]
struct Header {
    refs: AtomicU32,
    meta: AtomicU32,
    key_len: u32,
    tail_len: u32,
}

const HEADER: usize = size_of::<Header>();
const DEADLINE: usize = size_of::<i64>();
const VALUE: usize = size_of::<Value>();
const ALIGN: usize = align_of::<Header>();
const _: () =
    assert!(align_of::<Value>() <= ALIGN && HEADER == 16 && DEADLINE.is_multiple_of(ALIGN));

/// A string value, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrView<'a> {
    /// An integer, stored as one.
    Int(i64),
    /// The bytes.
    Bytes(&'a [u8]),
}

impl<'a> StrView<'a> {
    /// The string's bytes; an integer is printed into `buf`.
    pub fn bytes<'b>(self, buf: &'b mut num::IntBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(value) => num::fmt_i64(value, buf),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The string's bytes, copied.
    pub fn to_vec(self) -> Vec<u8> {
        self.bytes(&mut num::IntBuf::new()).to_vec()
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        match self {
            Self::Int(value) => num::sdigits10(value),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The integer that the string reads as.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Bytes(bytes) => num::parse_i64(bytes),
        }
    }
}

/// What goes into a new entry, beside its key.
enum Content<'a> {
    Tail(&'a [u8]),
    Value(Value),
}

/// A shared handle to a key, its value, deadline and access clock. Cloning shares.
pub struct Entry(NonNull<Header>);

// SAFETY: the block is reached through shared handles only to read it (count and clock are
// atomic), and written only through `&mut Entry` while the count is one; `Value` is itself
// `Send + Sync`, as the next line proves.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Value>();
};

impl Entry {
    /// A string key: an integer, inside the entry, or apart, whichever is smallest.
    pub fn string(key: &[u8], value: &[u8], deadline: Option<i64>) -> Self {
        if value.len() <= num::MAX_INT_LEN
            && let Some(int) = num::parse_i64(value)
        {
            return Self::new(key, Value::Int(int), deadline);
        }
        if value.len() <= INLINE_MAX {
            return Self::build(key, Content::Tail(value), deadline, 0);
        }
        Self::new(key, Value::Str(Arc::new(value.to_vec())), deadline)
    }

    /// A key with a value that stands apart.
    pub fn new(key: &[u8], value: Value, deadline: Option<i64>) -> Self {
        Self::build(key, Content::Value(value), deadline, 0)
    }

    fn build(key: &[u8], content: Content<'_>, deadline: Option<i64>, clock: u32) -> Self {
        let tail: &[u8] = if let Content::Tail(tail) = &content { tail } else { &[] };
        let (Ok(key_len), Ok(tail_len)) = (u32::try_from(key.len()), u32::try_from(tail.len()))
        else {
            // The protocol bounds keys by proto-max-bulk-len, and tails by INLINE_MAX.
            panic!("a key over 4 GiB");
        };
        let mut meta = clock & CLOCK_MASK;
        meta |= if matches!(content, Content::Value(_)) { HAS_VALUE } else { 0 };
        meta |= if deadline.is_some() { HAS_DEADLINE } else { 0 };
        let header =
            Header { refs: AtomicU32::new(1), meta: AtomicU32::new(meta), key_len, tail_len };
        let layout = header.layout();
        let key_at = header.key_at();
        let value_at = header.value_at();
        // SAFETY: the layout is never empty; every write below stays inside the block, since
        // `layout` is the sum of what is written: header, deadline, value, key and tail, in this
        // order, the first three aligned because each is a multiple of ALIGN long.
        unsafe {
            let block = alloc(layout);
            let Some(start) = NonNull::new(block.cast::<Header>()) else {
                handle_alloc_error(layout);
            };
            start.write(header);
            if let Some(deadline) = deadline {
                block.add(HEADER).cast::<i64>().write(deadline);
            }
            if let Content::Value(value) = content {
                block.add(value_at).cast::<Value>().write(value);
            } else {
                ptr::copy_nonoverlapping(tail.as_ptr(), block.add(key_at + key.len()), tail.len());
            }
            ptr::copy_nonoverlapping(key.as_ptr(), block.add(key_at), key.len());
            Self(start)
        }
    }

    fn header(&self) -> &Header {
        // SAFETY: the block lives as long as any handle, and its header was written by `build`.
        unsafe { self.0.as_ref() }
    }

    fn slice(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: callers pass the key's or the tail's place, as `build` laid them out; nobody
        // writes to them while `&self` is borrowed, since writing takes `&mut self` and count 1.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(at), len) }
    }

    fn tail(&self) -> &[u8] {
        let header = self.header();
        self.slice(header.key_at() + header.key_len as usize, header.tail_len as usize)
    }

    /// When the key expires, in milliseconds since the Unix epoch.
    pub fn deadline(&self) -> Option<i64> {
        let has = self.header().has(HAS_DEADLINE);
        // SAFETY: the flag says that `build` wrote a deadline there.
        has.then(|| unsafe { self.0.as_ptr().cast::<u8>().add(HEADER).cast::<i64>().read() })
    }

    /// The earliest deadline of the fields of a hash, in Unix milliseconds.
    #[inline]
    pub fn field_deadline(&self) -> Option<i64> {
        match self.value() {
            Some(Value::Hash(hash)) => hash.next_deadline(),
            _ => None,
        }
    }

    /// The value, if it stands apart: every value but a short string.
    pub fn value(&self) -> Option<&Value> {
        let header = self.header();
        // SAFETY: the flag says that `build` wrote a value there; it lives as long as the block.
        header.has(HAS_VALUE).then(|| unsafe {
            &*self.0.as_ptr().cast::<u8>().add(header.value_at()).cast::<Value>()
        })
    }

    /// The same to write to; the entry is copied first if it is shared.
    pub fn value_mut(&mut self) -> Option<&mut Value> {
        if !self.header().has(HAS_VALUE) {
            return None;
        }
        self.make_unique();
        let at = self.header().value_at();
        // SAFETY: as in `value`; and the count is one, so this handle is the only way here.
        Some(unsafe { &mut *self.0.as_ptr().cast::<u8>().add(at).cast::<Value>() })
    }

    /// The bytes of a short string, to overwrite in place; the entry is copied first if shared.
    pub fn inline_mut(&mut self) -> Option<&mut [u8]> {
        if self.header().has(HAS_VALUE) {
            return None;
        }
        self.make_unique();
        let header = self.header();
        let (at, len) = (header.key_at() + header.key_len as usize, header.tail_len as usize);
        // SAFETY: the tail lies there (see `build`), and the count is one.
        Some(unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>().add(at), len) })
    }

    fn is_unique(&self) -> bool {
        // Acquire: sees all that other handles did before they let go.
        self.header().refs.load(Ordering::Acquire) == 1
    }

    fn make_unique(&mut self) {
        if !self.is_unique() {
            *self = self.copy(self.deadline());
        }
    }

    fn copy(&self, deadline: Option<i64>) -> Self {
        let content = match self.value() {
            Some(value) => Content::Value(value.clone()),
            None => Content::Tail(self.tail()),
        };
        Self::build(self.key(), content, deadline, self.clock())
    }

    /// Sets or clears the deadline: in place if there is one and nobody shares the entry.
    pub fn set_deadline(&mut self, deadline: Option<i64>) {
        match deadline {
            Some(at) if self.header().has(HAS_DEADLINE) => {
                self.make_unique();
                // SAFETY: the flag says that there is a deadline, and the count is one.
                unsafe { self.0.as_ptr().cast::<u8>().add(HEADER).cast::<i64>().write(at) }
            }
            None if !self.header().has(HAS_DEADLINE) => {}
            _ => *self = self.copy(deadline),
        }
    }

    /// The same value under another key and deadline.
    pub fn renamed(&self, key: &[u8], deadline: Option<i64>) -> Self {
        let content = match self.value() {
            Some(value) => Content::Value(value.clone()),
            None => Content::Tail(self.tail()),
        };
        Self::build(key, content, deadline, self.clock())
    }

    /// Overwrites a string of the same length and deadline in place, if nobody shares the entry
    /// and `value` is to stand inside it. Says whether it did.
    pub fn overwrite(&mut self, value: &[u8], deadline: Option<i64>) -> bool {
        let header = self.header();
        let fits = !header.has(HAS_VALUE)
            && header.tail_len as usize == value.len()
            && self.deadline() == deadline
            && self.is_unique()
            && (value.len() > num::MAX_INT_LEN || num::parse_i64(value).is_none());
        if fits && let Some(bytes) = self.inline_mut() {
            bytes.copy_from_slice(value);
        }
        fits
    }

    /// The string, if the value is one.
    pub fn str(&self) -> Option<StrView<'_>> {
        match self.value() {
            None => Some(StrView::Bytes(self.tail())),
            Some(Value::Int(value)) => Some(StrView::Int(*value)),
            Some(Value::Str(bytes)) => Some(StrView::Bytes(bytes)),
            Some(_) => None,
        }
    }

    /// The string as bytes that can grow, if the value is one: a short or integer value moves out of
    /// the entry first.
    pub fn str_mut(&mut self) -> Option<&mut Vec<u8>> {
        if !matches!(self.value(), Some(Value::Str(_))) {
            let content = Content::Value(Value::Str(Arc::new(self.str()?.to_vec())));
            *self = Self::build(self.key(), content, self.deadline(), self.clock());
        }
        match self.value_mut()? {
            Value::Str(bytes) => Some(Arc::make_mut(bytes)),
            _ => None,
        }
    }

    /// The collection, if the value is of that type.
    pub fn collection<T: Collection>(&self) -> Option<&T> {
        T::of(self.value()?)
    }

    /// The same to write to.
    pub fn collection_mut<T: Collection>(&mut self) -> Option<&mut T> {
        T::of_mut(self.value_mut()?)
    }

    /// The value's type.
    pub fn kind(&self) -> Type {
        self.value().map_or(Type::String, Value::kind)
    }

    /// The name that `OBJECT ENCODING` replies.
    pub fn encoding(&self) -> &'static str {
        match self.value() {
            Some(value) => value.encoding(),
            None if self.tail().len() <= EMBSTR_MAX => "embstr",
            None => "raw",
        }
    }

    /// The access clock: what the eviction policy made of the last accesses, 24 bits.
    pub fn clock(&self) -> u32 {
        self.header().meta.load(Ordering::Relaxed) & CLOCK_MASK
    }

    /// Sets the access clock. A read may do so while a snapshot shares the entry.
    pub fn set_clock(&self, clock: u32) {
        let meta = &self.header().meta;
        let flags = meta.load(Ordering::Relaxed) & !CLOCK_MASK;
        meta.store(flags | (clock & CLOCK_MASK), Ordering::Relaxed);
    }

    /// Bytes of this block and of the value, estimated as `MEMORY USAGE` does.
    pub fn heap_bytes(&self) -> usize {
        self.header().layout().size() + self.value().map_or(0, Value::heap_bytes)
    }

    /// An address that stays the same while the entry isn't replaced, for `DEBUG OBJECT`.
    pub fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

impl Header {
    fn has(&self, flag: u32) -> bool {
        self.meta.load(Ordering::Relaxed) & flag != 0
    }

    fn value_at(&self) -> usize {
        HEADER + if self.has(HAS_DEADLINE) { DEADLINE } else { 0 }
    }

    fn key_at(&self) -> usize {
        self.value_at() + if self.has(HAS_VALUE) { VALUE } else { 0 }
    }

    fn layout(&self) -> Layout {
        let size = self.key_at() + self.key_len as usize + self.tail_len as usize;
        // SAFETY: ALIGN is a power of two, and two u32 lengths and 40 bytes are far below the
        // address space's end.
        unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
    }
}

/// Asks for the cache line of `place`. Any address will do: where the block ends isn't known
/// before its header has been read.
#[inline]
fn prefetch_line(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint. It doesn't fault and changes nothing that the program
        // sees, whatever the address; and every x86_64 processor has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

impl Keyed for Entry {
    #[inline]
    fn key(&self) -> &[u8] {
        let header = self.header();
        self.slice(header.key_at(), header.key_len as usize)
    }

    #[inline]
    fn prefetch(&self) {
        const LINE: usize = 64;
        let block = self.0.as_ptr().cast::<u8>();
        prefetch_line(block);
        // A small value ends in the next line.
        prefetch_line(block.wrapping_add(LINE));
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        // Relaxed: who can clone has a handle, which keeps the block alive.
        let before = self.header().refs.fetch_add(1, Ordering::Relaxed);
        // A count that wraps would free a block in use. Snapshots are few: this is never met.
        assert!(before < u32::MAX / 2, "too many handles to one entry");
        Self(self.0)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Release: what this handle did is seen by the one that frees the block.
        if self.header().refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        let header = self.header();
        let (layout, at, has_value) = (header.layout(), header.value_at(), header.has(HAS_VALUE));
        let block = self.0.as_ptr().cast::<u8>();
        // SAFETY: the count was one, so nobody else reaches the block; the value, if the flag
        // says there is one, is dropped once; the block came from `alloc` with the same layout.
        unsafe {
            if has_value {
                ptr::drop_in_place(block.add(at).cast::<Value>());
            }
            dealloc(block, layout);
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("kind", &self.kind())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entry: &Entry) -> Vec<u8> {
        entry.str().map(StrView::to_vec).unwrap_or_default()
    }

    #[test]
    fn every_form_of_string_reads_back() {
        for len in [0, 1, 20, 44, 45, 1024, 1025, 70_000] {
            for deadline in [None, Some(i64::MAX), Some(-5)] {
                let value = vec![b'v'; len];
                let entry = Entry::string(b"some key", &value, deadline);
                assert_eq!(entry.key(), b"some key");
                assert_eq!(entry.deadline(), deadline);
                assert_eq!(bytes(&entry), value);
            }
        }
        assert_eq!(Entry::string(b"", b"-12", None).str(), Some(StrView::Int(-12)));
        assert_eq!(Entry::string(b"k", b"012", None).encoding(), "embstr");
        assert_eq!(Entry::string(b"k", &[b'x'; 45], None).encoding(), "raw");
    }

    #[test]
    fn a_clone_never_changes() {
        let mut entry = Entry::string(b"k", b"abc", Some(7));
        entry.set_clock(0x00ab_cdef);
        let held = entry.clone();
        entry.inline_mut().expect("a short string").copy_from_slice(b"xyz");
        entry.set_deadline(Some(8));
        assert_eq!((bytes(&held), held.deadline()), (b"abc".to_vec(), Some(7)));
        assert_eq!((bytes(&entry), entry.deadline()), (b"xyz".to_vec(), Some(8)));
        assert_eq!(entry.clock(), 0x00ab_cdef);
        entry.set_deadline(None);
        assert_eq!((bytes(&entry), entry.deadline()), (b"xyz".to_vec(), None));
        assert!(!held.clone().overwrite(b"new", Some(7)), "shared");
        drop(held);
        assert!(entry.overwrite(b"new", None));
        assert!(!entry.overwrite(b"longer", None));
        assert!(!entry.overwrite(b"123", None), "an integer stands apart");
        assert_eq!(bytes(&entry), b"new");
    }

    #[test]
    fn the_last_handle_frees_the_value() {
        let text = Arc::new(vec![b'x'; 2000]);
        let mut entry = Entry::new(b"k", Value::Str(text.clone()), None);
        let held = entry.clone();
        assert!(entry.value_mut().is_some());
        drop(held);
        entry.set_deadline(Some(1));
        let renamed = entry.renamed(b"other", None);
        drop(entry);
        assert_eq!(Arc::strong_count(&text), 2);
        drop(renamed);
        assert_eq!(Arc::strong_count(&text), 1);
    }

    #[test]
    fn a_small_pair_costs_sixteen_bytes() {
        assert_eq!(Entry::string(&[b'k'; 16], &[b'v'; 64], None).heap_bytes(), 96);
        assert_eq!(Entry::string(&[b'k'; 16], &[b'v'; 64], Some(1)).heap_bytes(), 104);
    }
}
