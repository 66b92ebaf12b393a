//! The reply writer: RESP2 or RESP3, straight into the client's output buffer.
//!
//! Owns how each kind of value is put on the wire. Never builds a tree of replies and never does I/O.

use super::error::Error;
use crate::util::num;

/// The protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    /// RESP2: what a connection speaks until `HELLO 3`.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// A place in the output where an aggregate of yet unknown length begins.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Mark(usize);

/// An output buffer and the protocol to write it in.
#[derive(Debug, Default)]
pub struct Reply {
    buf: Vec<u8>,
    proto: Proto,
}

impl Reply {
    /// An empty buffer for the given protocol.
    pub fn new(proto: Proto) -> Self {
        Self { buf: Vec::new(), proto }
    }

    /// The protocol written.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Switches the protocol of what follows.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Whether RESP3 is written.
    pub fn resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// What has been written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// The buffer itself, for those who write or take whole replies.
    pub fn buf_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes that the buffer holds on the heap.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Forgets what was written after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
    }

    /// Bytes that are already RESP.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A simple string; line breaks in it become spaces, as they would end the reply.
    pub fn simple(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    /// An error reply.
    pub fn error(&mut self, error: &Error) {
        match error {
            Error::Quoting(text) => self.error_text(text),
            _ => self.error_text(error.to_string().as_bytes()),
        }
    }

    /// An error reply of the given text, code first, without the leading `-`.
    pub fn error_text(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A length or count as an integer.
    pub fn len_int(&mut self, value: usize) {
        self.int(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.buf.reserve(bytes.len() + 32);
        self.len_header(b'$', bytes.len());
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes());
    }

    /// Null: `$-1` or `_`.
    pub fn null(&mut self) {
        self.raw(if self.resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// A null array: `*-1` or `_`.
    pub fn null_array(&mut self) {
        self.raw(if self.resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A double: `,1.5`, or its text as a bulk string.
    pub fn double(&mut self, value: f64) {
        self.double_text(num::fmt_f64(value, &mut num::F64Buf::new()));
    }

    /// A double whose text is given.
    pub fn double_text(&mut self, text: &[u8]) {
        if self.resp3() {
            self.buf.push(b',');
            self.buf.extend_from_slice(text);
            self.buf.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// A boolean: `#t`, or 1 and 0.
    pub fn bool(&mut self, value: bool) {
        match self.proto {
            Proto::Resp3 => self.raw(if value { b"#t\r\n" } else { b"#f\r\n" }),
            Proto::Resp2 => self.int(i64::from(value)),
        }
    }

    /// A big number's digits: `(123`, or a bulk string.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.proto {
            Proto::Resp3 => self.line(b'(', digits),
            Proto::Resp2 => self.bulk(digits),
        }
    }

    /// A text with its three-letter format (`txt`, `mkd`), or a bulk string.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        match self.proto {
            Proto::Resp3 => {
                self.len_header(b'=', text.len() + 4);
                self.buf.extend_from_slice(format);
                self.buf.push(b':');
                self.buf.extend_from_slice(text);
                self.buf.extend_from_slice(b"\r\n");
            }
            Proto::Resp2 => self.bulk(text),
        }
    }

    /// The header of an array of `len` values.
    pub fn array(&mut self, len: usize) {
        self.len_header(b'*', len);
    }

    /// The header of a map of `pairs` pairs: `%n`, or an array of twice as many.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp3 => self.len_header(b'%', pairs),
            Proto::Resp2 => self.len_header(b'*', pairs * 2),
        }
    }

    /// The header of a set of `len` values: `~n`, or an array.
    pub fn set(&mut self, len: usize) {
        self.len_header(if self.resp3() { b'~' } else { b'*' }, len);
    }

    /// The header of an out-of-band push of `len` values: `>n`, or an array.
    pub fn push(&mut self, len: usize) {
        self.len_header(if self.resp3() { b'>' } else { b'*' }, len);
    }

    /// Marks where an aggregate of yet unknown length begins.
    pub fn begin(&mut self) -> Mark {
        Mark(self.buf.len())
    }

    /// Writes, at the mark, the header of an array of `len` values that have been written since.
    pub fn end_array(&mut self, mark: Mark, len: usize) {
        self.insert_header(mark, Self::array, len);
    }

    /// As [`end_array`](Self::end_array), for a map of `pairs` pairs.
    pub fn end_map(&mut self, mark: Mark, pairs: usize) {
        self.insert_header(mark, Self::map, pairs);
    }

    /// As [`end_array`](Self::end_array), for a set of `len` values.
    pub fn end_set(&mut self, mark: Mark, len: usize) {
        self.insert_header(mark, Self::set, len);
    }

    /// Puts a header before what was written since the mark: it is written last and turned round.
    fn insert_header(&mut self, mark: Mark, header: fn(&mut Self, usize), len: usize) {
        let end = self.buf.len();
        header(self, len);
        let header_len = self.buf.len() - end;
        self.buf[mark.0..].rotate_right(header_len);
    }

    fn len_header(&mut self, kind: u8, len: usize) {
        self.header(kind, i64::try_from(len).unwrap_or(i64::MAX));
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let mut line = [0u8; 24];
        line[0] = kind;
        line[1..=digits.len()].copy_from_slice(digits);
        line[digits.len() + 1] = b'\r';
        line[digits.len() + 2] = b'\n';
        self.buf.extend_from_slice(&line[..digits.len() + 3]);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buf.push(kind);
        self.buf.extend(text.iter().map(|&b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        self.buf.extend_from_slice(b"\r\n");
    }
}
