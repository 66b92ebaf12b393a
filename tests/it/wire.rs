//! Replies as trees, and a connection over a unix socket: how tests talk with servers that run as
//! processes of their own.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Null,
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// A double, as it was written.
    Double(Vec<u8>),
    Bool(bool),
    Verbatim(Vec<u8>),
    BigNumber(Vec<u8>),
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Reads one reply.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        let [kind, rest @ .., b'\r', b'\n'] = line.as_slice() else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no whole reply"));
        };
        let rest = rest.to_vec();
        let count = || {
            let text = std::str::from_utf8(&rest).ok().and_then(|text| text.parse::<i64>().ok());
            text.ok_or_else(|| io::Error::other(format!("not a length: {rest:?}")))
        };
        Ok(match kind {
            b'+' => Self::Simple(rest),
            b'-' => Self::Error(rest),
            b':' => Self::Int(count()?),
            b',' => Self::Double(rest),
            b'#' => Self::Bool(rest == b"t"),
            b'(' => Self::BigNumber(rest),
            b'_' => Self::Null,
            b'$' | b'=' if count()? < 0 => Self::Null,
            b'$' => Self::Bulk(read_bulk(from, count()?)?),
            b'=' => Self::Verbatim(read_bulk(from, count()?)?),
            b'*' if count()? < 0 => Self::Null,
            b'*' => Self::Array(read_all(from, count()?)?),
            b'~' => Self::Set(read_all(from, count()?)?),
            b'>' => Self::Push(read_all(from, count()?)?),
            b'%' => {
                let flat = read_all(from, count()? * 2)?;
                let pairs = flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
                Self::Map(pairs.collect())
            }
            _ => return Err(io::Error::other(format!("an unknown reply: {line:?}"))),
        })
    }

    /// What a map has under a name.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let Self::Map(pairs) = self else { return None };
        let found = pairs.iter().find(|(key, _)| key.bytes() == name.as_bytes());
        found.map(|(_, value)| value)
    }

    /// The elements of an array or a set.
    pub fn elements(&self) -> &[Value] {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => elements,
            _ => &[],
        }
    }

    /// The bytes of a string.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Simple(bytes)
            | Self::Error(bytes)
            | Self::Bulk(bytes)
            | Self::Double(bytes)
            | Self::Verbatim(bytes)
            | Self::BigNumber(bytes) => bytes,
            _ => &[],
        }
    }

    /// A string as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, ends: [&str; 2], elements: &[Value]| {
            f.write_str(ends[0])?;
            for (i, element) in elements.iter().enumerate() {
                write!(f, "{}{element}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(ends[1])
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Self::Simple(text) => write!(f, "+{}", text.escape_ascii()),
            Self::Double(text) | Self::BigNumber(text) => write!(f, ",{}", text.escape_ascii()),
            Self::Bulk(text) | Self::Verbatim(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::Array(elements) => list(f, ["[", "]"], elements),
            Self::Set(elements) => list(f, ["~[", "]"], elements),
            Self::Push(elements) => list(f, [">[", "]"], elements),
            Self::Map(pairs) => {
                let shown = pairs.iter().map(|(key, value)| format!("{key}: {value}"));
                write!(f, "{{{}}}", shown.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn read_all(from: &mut impl BufRead, count: i64) -> io::Result<Vec<Value>> {
    (0..count).map(|_| Value::read(from)).collect()
}

fn read_bulk(from: &mut impl BufRead, len: i64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)? + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(bytes.len() - 2);
    Ok(bytes)
}

/// Appends a command as it goes over the wire.
pub fn write_command<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.as_ref().len()).as_bytes());
        out.extend_from_slice(word.as_ref());
        out.extend_from_slice(b"\r\n");
    }
}

/// A connection to a server.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    pub fn open(socket: &Path) -> io::Result<Self> {
        /// No reply takes so long, save that of a server that hangs.
        const PATIENCE: Duration = Duration::from_secs(60);
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next reply.
    pub fn receive(&mut self) -> io::Result<Value> {
        Value::read(&mut self.stream)
    }

    /// Calls a command.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<Value> {
        let mut request = Vec::new();
        write_command(&mut request, words);
        self.send(&request)?;
        self.receive()
    }
}
