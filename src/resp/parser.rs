//! The request parser: bytes of a connection in, commands out.
//!
//! Owns the multibulk and inline request forms, their limits and the texts of their errors. It is
//! incremental: a part of a command costs one look at each byte, however it trickles in. It holds
//! no bytes: arguments are spans of the caller's buffer, whose front must stay until the command
//! is complete. Never does I/O, never allocates by what a header claims.

use std::fmt;

use super::args::{ArgBuf, Args, Span};
use crate::util::{num, split};

/// The longest inline request, and the longest header line, in bytes.
const LINE_MAX: usize = 64 * 1024;
/// The most arguments and the longest argument before authentication.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16_384;

/// The most spans whose memory is kept between commands.
const SPANS_KEPT: usize = 1024;

/// What a connection may send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest argument, in bytes (`proto-max-bulk-len`).
    pub bulk_len_max: u64,
    /// Whether the client has authenticated; the limits are small until then.
    pub authenticated: bool,
}

/// A request that breaks the protocol: the client gets the text and is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// A header line that never ends, or an inline request that is too long.
    TooBigInline,
    /// A `*` header that never ends.
    TooBigMultibulkCount,
    /// A `$` header that never ends.
    TooBigBulkCount,
    /// A `*` header with no valid number.
    InvalidMultibulkLength,
    /// A `$` header with no valid number, or over the limit.
    InvalidBulkLength,
    /// More arguments than an unauthenticated client may send.
    UnauthenticatedMultibulk,
    /// A longer argument than an unauthenticated client may send.
    UnauthenticatedBulk,
    /// An argument that doesn't begin with `$`.
    ExpectedDollar(u8),
    /// Quotes that don't close in an inline request.
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            Self::TooBigInline => "too big inline request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedMultibulk => "unauthenticated multibulk length",
            Self::UnauthenticatedBulk => "unauthenticated bulk length",
            Self::ExpectedDollar(got) => {
                return write!(f, "expected '$', got '{}'", char::from(*got));
            }
            Self::UnbalancedQuotes => "unbalanced quotes in request",
        })
    }
}

/// What one call of [`RequestParser::parse`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole command: read it with [`RequestParser::args`], then drop `consumed` bytes.
    Command {
        /// Bytes of the buffer that the command took.
        consumed: usize,
    },
    /// Nothing to execute (an empty line or `*0`): drop `consumed` bytes and call again.
    Empty {
        /// Bytes of the buffer to drop.
        consumed: usize,
    },
    /// More bytes are needed.
    Incomplete,
}

/// The state of one connection's parser, between the reads.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Where the unread rest of the command begins.
    pos: usize,
    /// Arguments still to come; 0 between commands.
    missing: i64,
    /// Length of the argument whose header has been read.
    bulk_len: Option<usize>,
    spans: Vec<Span>,
    /// The arguments of an inline command, whose quotes are resolved.
    inline: Option<ArgBuf>,
}

impl RequestParser {
    /// A parser that stands between commands.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for the next command at the start of `buf`, which must begin with the same bytes as
    /// in the last call if that one said [`Parsed::Incomplete`].
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        if self.missing == 0 {
            self.spans.clear();
            self.inline = None;
            self.pos = 0;
            match buf.first() {
                None => return Ok(Parsed::Incomplete),
                Some(b'*') => match self.multibulk_header(buf, limits)? {
                    Parsed::Command { .. } => {}
                    other => return Ok(other),
                },
                Some(_) => return self.inline(buf),
            }
        }
        self.multibulk(buf, limits)
    }

    /// The command that [`parse`](Self::parse) found in `buf`.
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        match &self.inline {
            Some(args) => args.args(),
            None => Args::new(buf, &self.spans),
        }
    }

    /// The arguments of the command that [`parse`](Self::parse) found, unless it was inline.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Takes the arguments of the inline command that [`parse`](Self::parse) found, if it was one.
    pub fn take_inline(&mut self) -> Option<ArgBuf> {
        self.inline.take()
    }

    /// Lets go of the memory of a command with very many arguments, when it has been read.
    pub fn release(&mut self) {
        if self.spans.capacity() > SPANS_KEPT {
            self.spans = Vec::new();
        }
    }

    /// Forgets a part of a command: it will be given again, from its first byte on.
    pub fn restart(&mut self) {
        self.missing = 0;
        self.bulk_len = None;
        self.spans.clear();
    }

    /// If the argument being received is large: the length that the buffer needs to hold it whole.
    pub fn wanted(&self) -> Option<usize> {
        self.bulk_len.filter(|_| self.missing > 0).map(|len| self.pos + len + 2)
    }

    /// Bytes of the command that is being received that have been read already.
    pub fn parsed(&self) -> usize {
        if self.missing > 0 { self.pos } else { 0 }
    }

    /// Arguments of the command that is being received, so far.
    pub fn pending_args(&self) -> usize {
        if self.missing > 0 { self.spans.len() } else { 0 }
    }

    /// Whether it stands between commands.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.missing == 0
    }

    fn multibulk_header(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        let Some((line, next)) = header_line(buf, 1, ProtocolError::TooBigMultibulkCount)? else {
            return Ok(Parsed::Incomplete);
        };
        let count = header_number(line)
            .filter(|&n| n <= i64::from(i32::MAX))
            .ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulk);
        }
        if count <= 0 {
            return Ok(Parsed::Empty { consumed: next });
        }
        self.missing = count;
        self.pos = next;
        Ok(Parsed::Command { consumed: 0 })
    }

    fn multibulk(&mut self, buf: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        while self.missing > 0 {
            let len = match self.bulk_len {
                Some(len) => len,
                None => match self.bulk_header(buf, limits)? {
                    Some(len) => len,
                    None => return Ok(Parsed::Incomplete),
                },
            };
            // A bulk ends with two bytes that Redis doesn't look at either.
            if buf.len() - self.pos < len + 2 {
                self.bulk_len = Some(len);
                return Ok(Parsed::Incomplete);
            }
            self.bulk_len = None;
            self.spans.push(Span { start: self.pos, len });
            self.pos += len + 2;
            self.missing -= 1;
        }
        Ok(Parsed::Command { consumed: self.pos })
    }

    #[inline]
    fn bulk_header(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let Some(&kind) = buf.get(self.pos) else { return Ok(None) };
        let header = header_line(buf, self.pos + 1, ProtocolError::TooBigBulkCount)?;
        let Some((line, next)) = header else { return Ok(None) };
        if kind != b'$' {
            return Err(ProtocolError::ExpectedDollar(kind));
        }
        let len = header_number(line)
            .filter(|&n| n >= 0 && n.unsigned_abs() <= limits.bulk_len_max)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        if len > UNAUTHENTICATED_BULK_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.pos = next;
        usize::try_from(len).map(Some).map_err(|_| ProtocolError::InvalidBulkLength)
    }

    fn inline(&mut self, buf: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some(end) = memchr::memchr(b'\n', buf) else {
            return match buf.len() > LINE_MAX {
                true => Err(ProtocolError::TooBigInline),
                false => Ok(Parsed::Incomplete),
            };
        };
        let line = buf[..end].strip_suffix(b"\r").unwrap_or(&buf[..end]);
        let args = split::split_args(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        let consumed = end + 1;
        if args.is_empty() {
            return Ok(Parsed::Empty { consumed });
        }
        self.inline = Some(args.into_iter().collect());
        Ok(Parsed::Command { consumed })
    }
}

/// Reads a request at the start of `buf` that is there as a whole and in the form that all clients
/// send, and appends its arguments to `spans`; returns the bytes that it took. `None` says nothing
/// of the request: [`RequestParser::parse`] is to look at it.
#[inline]
pub fn parse_whole(buf: &[u8], limits: &Limits, spans: &mut Vec<Span>) -> Option<usize> {
    let (count, mut pos) = short_header(buf, 0, b'*').filter(|&(count, _)| count > 0)?;
    let before = spans.len();
    for _ in 0..count {
        let is_there = |&(len, start): &(usize, usize)| buf.len() - start >= len + 2;
        let bulk = short_header(buf, pos, b'$').filter(is_there);
        let Some((len, start)) = bulk.filter(|&(len, _)| len as u64 <= limits.bulk_len_max) else {
            spans.truncate(before);
            return None;
        };
        spans.push(Span { start, len });
        pos = start + len + 2;
    }
    Some(pos)
}

/// The number of a header at `at` of up to six digits, and where what follows it begins.
#[inline]
fn short_header(buf: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    const DIGITS_MAX: usize = 6;
    let rest = buf.get(at..)?;
    let digit = |index: usize| rest.get(index).map(|byte| usize::from(byte.wrapping_sub(b'0')));
    let mut value = digit(1).filter(|&first| rest[0] == kind && first <= 9)?;
    let mut len = 2;
    while let Some(next) = digit(len).filter(|&next| next <= 9) {
        // Redis takes no leading zero.
        if value == 0 || len > DIGITS_MAX {
            return None;
        }
        value = value * 10 + next;
        len += 1;
    }
    let ends = rest.get(len..len + 2)? == b"\r\n";
    ends.then_some((value, at + len + 2))
}

/// The line that starts at `start`, without its end, and where the next one starts.
fn header_line(
    buf: &[u8],
    start: usize,
    too_long: ProtocolError,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let rest = buf.get(start..).unwrap_or_default();
    // Headers are short: a plain loop beats a vector search.
    let end = rest.iter().take(LINE_MAX + 1).position(|&byte| byte == b'\r');
    match end {
        Some(end) if rest.len() > end + 1 => Ok(Some((&rest[..end], start + end + 2))),
        None if rest.len() > LINE_MAX => Err(too_long),
        _ => Ok(None),
    }
}

#[inline]
fn header_number(line: &[u8]) -> Option<i64> {
    if line.len() <= 9 && !line.is_empty() && line[0] != b'0' {
        let mut value = 0i64;
        for &byte in line {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return num::parse_i64(line);
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(value);
    }
    num::parse_i64(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Limits = Limits { bulk_len_max: 512 << 20, authenticated: true };

    /// Feeds `input` in pieces of `step` bytes and collects every command.
    fn feed(input: &[u8], step: usize) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let mut parser = RequestParser::new();
        let (mut buf, mut found) = (Vec::new(), Vec::new());
        for piece in input.chunks(step) {
            buf.extend_from_slice(piece);
            loop {
                let consumed = match parser.parse(&buf, &OPEN)? {
                    Parsed::Incomplete => break,
                    Parsed::Empty { consumed } => consumed,
                    Parsed::Command { consumed } => {
                        found.push(parser.args(&buf).iter().map(<[u8]>::to_vec).collect());
                        consumed
                    }
                };
                buf.drain(..consumed);
            }
        }
        Ok(found)
    }

    #[test]
    fn commands_are_the_same_however_they_arrive() {
        let input = b"*2\r\n$3\r\nGET\r\n$12\r\nhello\r\nworld\r\nPING\r\n\r\n*0\r\n*-1\r\n\
            *1\r\n$0\r\n\r\nset a \"b\\x41 c\"\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n";
        let whole = feed(input, input.len());
        assert_eq!(whole.as_ref().map(Vec::len), Ok(5));
        let whole = whole.unwrap_or_default();
        assert_eq!(whole[0], [&b"GET"[..], b"hello\r\nworld"]);
        assert_eq!(whole[3], [&b"set"[..], b"a", b"bA c"]);
        for step in 1..input.len() {
            assert_eq!(feed(input, step).as_ref(), Ok(&whole), "in steps of {step}");
        }
    }

    #[test]
    fn whole_requests_are_read_as_the_parser_reads_them() {
        let inputs: [&[u8]; 16] = [
            b"*1\r\n$4\r\nPING\r\n",
            b"*2\r\n$3\r\nGET\r\n$12\r\nhello\r\nworld\r\n*1\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"*1\r\n$1\r\naxx*1\r\n",
            b"*0\r\n",
            b"*-1\r\n",
            b"*01\r\n$1\r\na\r\n",
            b"*1\r\n$01\r\na\r\n",
            b"*1\r\n$1\rxa\r\n",
            b"*1\r\n$1000000\r\na\r\n",
            b"*2\r\n$1\r\na\r\n",
            b"*2\r\n$1\r\na\r\nb\r\n",
            b"*1\r\n$4\r\nPIN",
            b"*\r\n",
            b"*1\r\n$\r\n",
            b"PING\r\n",
        ];
        let mut found = 0;
        for input in inputs {
            let (mut parser, mut spans) = (RequestParser::new(), vec![Span { start: 7, len: 7 }]);
            let by_parser = parser.parse(input, &OPEN);
            match parse_whole(input, &OPEN, &mut spans) {
                Some(consumed) => {
                    found += 1;
                    assert_eq!(by_parser, Ok(Parsed::Command { consumed }), "{input:?}");
                    assert_eq!(parser.spans(), &spans[1..], "{input:?}");
                }
                None => assert_eq!(spans.len(), 1, "{input:?}"),
            }
        }
        assert_eq!(found, 4);
        let tight = Limits { bulk_len_max: 3, ..OPEN };
        assert_eq!(parse_whole(inputs[0], &tight, &mut Vec::new()), None);
    }

    #[test]
    fn broken_requests_get_the_texts_of_redis() {
        let check = |input: &[u8], text: &str| {
            let error = feed(input, input.len()).expect_err(text);
            assert_eq!(error.to_string(), format!("Protocol error: {text}"));
        };
        check(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'");
        check(b"*3000000000\r\n", "invalid multibulk length");
        check(b"*blabla\r\n", "invalid multibulk length");
        check(b"*1\r\n$-10\r\n", "invalid bulk length");
        check(b"*1\r\n$2000000000\r\n", "invalid bulk length");
        check(b"set \"a\r\n", "unbalanced quotes in request");
        check(&[b'x'; LINE_MAX + 1], "too big inline request");
        check(&[b"*".as_slice(), &[b'1'; LINE_MAX + 1]].concat(), "too big mbulk count string");
        check(
            &[b"*1\r\n$".as_slice(), &[b'1'; LINE_MAX + 1]].concat(),
            "too big bulk count string",
        );
    }

    #[test]
    fn the_unauthenticated_may_send_little() {
        let closed = Limits { authenticated: false, ..OPEN };
        let mut parser = RequestParser::new();
        let many = parser.parse(b"*11\r\n", &closed);
        assert_eq!(many, Err(ProtocolError::UnauthenticatedMultibulk));
        let mut parser = RequestParser::new();
        let long = parser.parse(b"*1\r\n$16385\r\n", &closed);
        assert_eq!(long, Err(ProtocolError::UnauthenticatedBulk));
    }
}
