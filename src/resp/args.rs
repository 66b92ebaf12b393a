//! The arguments of one command, as slices of a buffer that somebody else owns.
//!
//! Owns argument access and the common ways to read one (integer, double, timeout). Never copies
//! an argument, save in [`ArgBuf`], the owned form that queued and blocked commands keep.

use std::ops::Index;

use super::error::Error;
use crate::util::num;

/// Where an argument stands in its buffer: start and length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Length in bytes.
    pub len: usize,
}

/// A borrowed command: its name stands first.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// A command whose arguments are the `spans` of `buf`; each must lie inside it.
    pub fn new(buf: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buf, spans }
    }

    /// Number of arguments, the name included.
    #[allow(clippy::len_without_is_empty, reason = "a command has a name at least")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The argument at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(index)?;
        self.buf.get(span.start..span.start + span.len)
    }

    /// The argument at `index`, which the command's arity promises.
    ///
    /// # Panics
    /// If there is none: a handler that reads past its checked arity is a defect.
    pub fn at(&self, index: usize) -> &'a [u8] {
        let span = self.spans[index];
        &self.buf[span.start..span.start + span.len]
    }

    /// The arguments from `index` on; empty past the end.
    pub fn from(&self, index: usize) -> Self {
        self.range(index, self.spans.len())
    }

    /// The arguments `start..end`, cut to what exists.
    pub fn range(&self, start: usize, end: usize) -> Self {
        let end = end.min(self.spans.len());
        Self { buf: self.buf, spans: &self.spans[start.min(end)..end] }
    }

    /// All arguments in order.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let buf = self.buf;
        self.spans.iter().map(move |span| &buf[span.start..span.start + span.len])
    }

    /// Whether the argument at `index` is `word`, in any case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The argument at `index` as a 64-bit integer.
    pub fn int(&self, index: usize) -> Result<i64, Error> {
        self.get(index).and_then(num::parse_i64).ok_or(Error::NotInteger)
    }

    /// The argument at `index` as a double.
    pub fn float(&self, index: usize) -> Result<f64, Error> {
        self.get(index).and_then(num::parse_f64).ok_or(Error::NotFloat)
    }

    /// Bytes of all arguments together.
    pub fn byte_len(&self) -> usize {
        self.spans.iter().map(|span| span.len).sum()
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

/// A command that owns its arguments: one buffer and the spans in it.
#[derive(Debug, Clone, Default)]
pub struct ArgBuf {
    buf: Vec<u8>,
    spans: Vec<Span>,
}

impl ArgBuf {
    /// An empty command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one argument.
    pub fn push(&mut self, arg: &[u8]) {
        self.spans.push(Span { start: self.buf.len(), len: arg.len() });
        self.buf.extend_from_slice(arg);
    }

    /// Forgets the arguments and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
    }

    /// The command, borrowed.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buf, &self.spans)
    }

    /// Bytes that this command holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.buf.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

impl From<Args<'_>> for ArgBuf {
    fn from(args: Args<'_>) -> Self {
        let mut owned = Self {
            buf: Vec::with_capacity(args.byte_len()),
            spans: Vec::with_capacity(args.len()),
        };
        args.iter().for_each(|arg| owned.push(arg));
        owned
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ArgBuf {
    fn from_iter<I: IntoIterator<Item = T>>(args: I) -> Self {
        let mut buf = Self::new();
        args.into_iter().for_each(|arg| buf.push(arg.as_ref()));
        buf
    }
}
