//! Reading the file back: one request after the other, and where the last whole one ended.
//!
//! Owns the form of requests in the file and what counts as cut off and what as broken. Never
//! executes anything.

use std::io;

use crate::resp::{Args, Span};
use crate::util::file::Handle;

/// Bytes that one read of the file takes at least.
const CHUNK: usize = 256 * 1024;
/// The longest header line, with its end, in bytes.
const LINE_MAX: usize = 128;

/// Why there is no further request.
#[derive(Debug)]
pub enum Stop {
    /// The file ends within a request.
    Truncated,
    /// This is no request.
    Format,
    /// The file can't be read.
    Io(io::Error),
}

/// Reads requests from a file.
pub struct Reader {
    file: Handle,
    buf: Vec<u8>,
    /// Where the next request begins in `buf`.
    pos: usize,
    /// Where `buf` begins in the file.
    offset: u64,
    ended: bool,
    spans: Vec<Span>,
}

impl Reader {
    /// Reads from `offset` on.
    pub fn new(file: Handle, offset: u64) -> Self {
        Self { file, buf: Vec::new(), pos: 0, offset, ended: false, spans: Vec::new() }
    }

    /// Goes on at another place, before anything was read.
    pub fn skip_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Where the last request ended, in bytes from the file's start.
    pub fn position(&self) -> u64 {
        self.offset + self.pos as u64
    }

    /// The next request; none at the end of the file.
    ///
    /// # Errors
    /// If the file breaks off or isn't in the form; [`position`](Self::position) stays where the
    /// last whole request ended.
    pub fn next_request(&mut self) -> Result<Option<Args<'_>>, Stop> {
        loop {
            match self.parse() {
                Ok(Step::Request(end)) => {
                    self.pos = end;
                    return Ok(Some(Args::new(&self.buf, &self.spans)));
                }
                Ok(Step::Annotation(end)) => self.pos = end,
                Ok(Step::End) => return Ok(None),
                Err(Short::More) if !self.ended => self.fill().map_err(Stop::Io)?,
                Err(Short::More) => return Err(Stop::Truncated),
                Err(Short::Format(at)) => return Err(self.broken(at)),
            }
        }
    }

    /// Reads more of the file; what lies before the position is let go of.
    fn fill(&mut self) -> io::Result<()> {
        self.buf.drain(..self.pos);
        self.offset += self.pos as u64;
        self.pos = 0;
        let held = self.buf.len();
        // Twice as much each time, so that a long argument isn't looked at too often.
        self.buf.resize(held + CHUNK.max(held), 0);
        let read = loop {
            match self.file.read_at(&mut self.buf[held..], self.offset + held as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buf.truncate(held + read.as_ref().copied().unwrap_or(0));
        self.ended = read? == 0;
        Ok(())
    }

    /// What it means that there is no request at `at` of the buffer. Where nothing but zeros is
    /// left, the file had grown when the power failed, and its blocks were not written yet.
    fn broken(&mut self, at: usize) -> Stop {
        if self.buf[at..].iter().any(|&byte| byte != 0) {
            return Stop::Format;
        }
        let mut from = self.offset + self.buf.len() as u64;
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.file.read_at(&mut chunk, from) {
                Ok(0) => return Stop::Truncated,
                Ok(read) if chunk[..read].iter().any(|&byte| byte != 0) => return Stop::Format,
                Ok(read) => from += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Stop::Io(error),
            }
        }
    }

    fn parse(&mut self) -> Result<Step, Short> {
        let mut at = self.pos;
        if at == self.buf.len() {
            return if self.ended { Ok(Step::End) } else { Err(Short::More) };
        }
        let start = at;
        let line = self.line(&mut at)?;
        match line.first() {
            Some(b'#') => return Ok(Step::Annotation(at)),
            Some(b'*') => {}
            _ => return Err(Short::Format(start)),
        }
        let count = number(&line[1..]).filter(|&count| count >= 1);
        let count = count.ok_or(Short::Format(start))?;
        self.spans.clear();
        for _ in 0..count {
            let start = at;
            let line = self.line(&mut at)?;
            let broken = Short::Format(start);
            let Some((b'$', len)) = line.split_first() else { return Err(broken) };
            let len = number(len).and_then(|len| usize::try_from(len).ok());
            let end = len.and_then(|len| at.checked_add(len)).and_then(|end| end.checked_add(2));
            let (Some(len), Some(end)) = (len, end) else { return Err(broken) };
            if self.buf.len() < end {
                return Err(Short::More);
            }
            if &self.buf[end - 2..end] != b"\r\n" {
                // Where zeros begin within an argument, they may as well be a part of it.
                let zeros = self.buf[at..end].iter().rev().take_while(|&&byte| byte == 0).count();
                return Err(Short::Format(end - zeros));
            }
            self.spans.push(Span { start: at, len });
            at = end;
        }
        Ok(Step::Request(at))
    }

    /// The line at `at`, which moves behind it.
    fn line(&self, at: &mut usize) -> Result<&[u8], Short> {
        let rest = &self.buf[*at..];
        let window = &rest[..rest.len().min(LINE_MAX)];
        match memchr::memchr(b'\n', window) {
            Some(end) => {
                *at += end + 1;
                Ok(window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]))
            }
            // A line without an end is one as far as it tells what it is.
            None if window.len() < LINE_MAX && !window.contains(&0) => match window.first() {
                Some(b'*' | b'$' | b'#') | None => Err(Short::More),
                Some(_) => Err(Short::Format(*at)),
            },
            None => {
                let text = window.iter().take_while(|&&byte| byte != 0).count();
                Err(Short::Format(*at + text))
            }
        }
    }
}

enum Step {
    Request(usize),
    Annotation(usize),
    End,
}

enum Short {
    /// The buffer ends first.
    More,
    /// What stands here is no part of a request.
    Format(usize),
}

/// Digits as `atoi` reads them: what follows them doesn't count.
fn number(text: &[u8]) -> Option<i64> {
    let digits = text.iter().skip(usize::from(text.first() == Some(&b'-')));
    let len = digits.take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    std::str::from_utf8(&text[..sign + len]).ok()?.parse().ok()
}
