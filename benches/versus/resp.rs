//! The little of the protocol that a client needs: writes requests, counts replies, and offers a
//! blocking connection and a filler. Never keeps replies longer than it must; speaks RESP2 only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Outcome;

/// Longest wait for a reply before a server counts as hung.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Appends one request, an array of bulk strings.
pub fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Where in the reply stream a `Counter` stands.
enum Place {
    /// At a type byte.
    Kind,
    /// In the number that follows `$` or `*`, so far `value`.
    Length { array: bool, value: usize, negative: bool },
    /// In a line whose text does not matter.
    Line,
    /// In an error's text.
    Error,
    /// In a bulk string or its end of line, with so many bytes to come.
    Bulk(usize),
}

/// Counts replies in a stream that may be cut anywhere.
///
/// It needs no stack for nested arrays: each element that begins is one fewer to come, and an
/// array's header adds its length.
pub struct Counter {
    place: Place,
    to_come: usize,
    /// All elements seen: an array of n counts n + 1.
    pub elements: u64,
    /// Nil replies seen.
    pub nils: u64,
    /// The first error reply seen.
    pub error: Option<String>,
    error_text: Vec<u8>,
}

impl Counter {
    pub fn new() -> Counter {
        Counter {
            place: Place::Kind,
            to_come: 0,
            elements: 0,
            nils: 0,
            error: None,
            error_text: Vec::new(),
        }
    }

    /// Announces `replies` more replies.
    pub fn expect(&mut self, replies: usize) {
        self.to_come += replies;
    }

    /// True when all expected replies have been seen to their end.
    pub fn done(&self) -> bool {
        self.to_come == 0 && matches!(self.place, Place::Kind)
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Place::Bulk(left) = self.place {
                let step = left.min(bytes.len());
                bytes = &bytes[step..];
                self.place = if step == left { Place::Kind } else { Place::Bulk(left - step) };
                continue;
            }
            self.byte(byte)?;
            bytes = rest;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Outcome<()> {
        match &mut self.place {
            Place::Kind => self.begin(byte)?,
            Place::Length { value, negative, .. } => match byte {
                b'0'..=b'9' => *value = *value * 10 + usize::from(byte - b'0'),
                b'-' => *negative = true,
                b'\n' => self.end_of_length(),
                _ => {}
            },
            Place::Line if byte == b'\n' => self.place = Place::Kind,
            Place::Error if byte == b'\n' => {
                let text = String::from_utf8_lossy(&self.error_text).trim_end().to_owned();
                self.error.get_or_insert(text);
                self.place = Place::Kind;
            }
            Place::Error => self.error_text.push(byte),
            Place::Line | Place::Bulk(_) => {}
        }
        Ok(())
    }

    fn begin(&mut self, kind: u8) -> Outcome<()> {
        self.to_come = self.to_come.checked_sub(1).ok_or("a reply that nobody asked for")?;
        self.elements += 1;
        self.place = match kind {
            b'+' | b':' => Place::Line,
            b'-' => {
                self.error_text.clear();
                Place::Error
            }
            b'$' | b'*' => Place::Length { array: kind == b'*', value: 0, negative: false },
            _ => return Err(format!("a reply of unknown type {:?}", char::from(kind)).into()),
        };
        Ok(())
    }

    fn end_of_length(&mut self) {
        let Place::Length { array, value, negative } = self.place else { return };
        self.place = Place::Kind;
        if negative {
            self.nils += 1;
        } else if array {
            self.to_come += value;
        } else {
            self.place = Place::Bulk(value + 2);
        }
    }
}

/// A blocking connection, for everything that is not measured.
pub struct Connection {
    stream: TcpStream,
    counter: Counter,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a port of this machine.
    pub fn open(port: u16) -> Outcome<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Connection { stream, counter: Counter::new(), buffer: vec![0; 64 << 10] })
    }

    /// Sends one request and returns its raw reply. An error reply is an `Err`.
    pub fn ask(&mut self, args: &[&str]) -> Outcome<String> {
        let mut bytes = Vec::new();
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        request(&mut bytes, &args);
        self.send(&bytes, 1)?;
        let mut reply = Vec::new();
        while !self.counter.done() {
            let count = self.read_some()?;
            reply.extend_from_slice(&self.buffer[..count]);
        }
        self.take_error()?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    /// Sends whole requests, `count` of them, without waiting.
    pub fn send(&mut self, requests: &[u8], count: usize) -> Outcome<()> {
        self.stream.write_all(requests)?;
        self.counter.expect(count);
        Ok(())
    }

    /// Waits for the replies to everything sent. An error reply among them is an `Err`.
    pub fn drain(&mut self) -> Outcome<()> {
        while !self.counter.done() {
            self.read_some()?;
        }
        self.take_error()
    }

    fn read_some(&mut self) -> Outcome<usize> {
        let count = self.stream.read(&mut self.buffer)?;
        if count == 0 {
            return Err("the server closed the connection".into());
        }
        self.counter.feed(&self.buffer[..count])?;
        Ok(count)
    }

    fn take_error(&mut self) -> Outcome<()> {
        self.counter.error.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// The field `name` of an INFO section, as a number.
    pub fn info(&mut self, section: &str, name: &str) -> Outcome<u64> {
        let text = self.ask(&["INFO", section])?;
        let field = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let field = field.ok_or_else(|| format!("INFO {section} has no {name}"))?;
        Ok(field.trim().parse()?)
    }
}

/// Requests that a `Filler` sends before it waits for the replies to its earlier ones.
const CHUNK: usize = 200;

/// Sends many requests through pipelines on two connections, so that the server always has work.
/// Requests may overtake each other.
pub struct Filler {
    connections: [Connection; 2],
    turn: usize,
    bytes: Vec<u8>,
    count: usize,
}

impl Filler {
    pub fn open(port: u16) -> Outcome<Filler> {
        let connections = [Connection::open(port)?, Connection::open(port)?];
        Ok(Filler { connections, turn: 0, bytes: Vec::new(), count: 0 })
    }

    /// Queues one request, and sends when enough have come together.
    pub fn push(&mut self, args: &[&[u8]]) -> Outcome<()> {
        request(&mut self.bytes, args);
        self.count += 1;
        if self.count >= CHUNK || self.bytes.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(())
    }

    /// Queues requests that are already encoded.
    pub fn push_encoded(&mut self, request: &[u8]) -> Outcome<()> {
        self.bytes.extend_from_slice(request);
        self.count += 1;
        if self.count >= CHUNK || self.bytes.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        let connection = &mut self.connections[self.turn];
        connection.drain()?;
        connection.send(&self.bytes, self.count)?;
        self.bytes.clear();
        self.count = 0;
        self.turn = 1 - self.turn;
        Ok(())
    }

    /// Sends what is left and waits for all replies.
    pub fn finish(mut self) -> Outcome<()> {
        self.flush()?;
        self.connections.iter_mut().try_for_each(Connection::drain)
    }
}
