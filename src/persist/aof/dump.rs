//! A base as commands: what a rewrite writes when `aof-use-rdb-preamble` is off.
//!
//! Owns the form in which a snapshot becomes requests. Never touches a file: the bytes go to a
//! function.

use super::stream::write_stream;
use crate::ds::dict::Keyed;
use crate::ds::listpack::Element;
use crate::keyspace::Entry;
use crate::resp::request::{write_array, write_bulk, write_request};
use crate::util::num::{self, F64Buf, IntBuf};
use crate::value::Value;
use crate::value::hash::Hash;

/// The most elements that one command adds.
const BATCH: usize = 64;

/// Appends the requests that make an entry; says whether its type can be written this way.
pub fn write_entry(buf: &mut Vec<u8>, entry: &Entry) -> bool {
    let key = entry.key();
    match entry.value() {
        _ if entry.str().is_some() => {
            let mut digits = IntBuf::new();
            let Some(text) = entry.str() else { return false };
            let words = [b"SET".as_slice(), key, text.bytes(&mut digits)];
            write_request(buf, words.into_iter());
        }
        Some(Value::List(list)) => {
            let mut batch = Batch::new(buf, b"RPUSH", key, list.len(), 1);
            list.for_each(|element| batch.element(element));
        }
        Some(Value::Set(set)) => {
            let mut batch = Batch::new(buf, b"SADD", key, set.len(), 1);
            set.iter().for_each(|element| batch.element(element));
        }
        Some(Value::ZSet(zset)) => {
            let mut batch = Batch::new(buf, b"ZADD", key, zset.len(), 2);
            zset.for_each(|member, score| {
                batch.bytes(num::fmt_f64(score, &mut F64Buf::new()));
                batch.bytes(member);
            });
        }
        Some(Value::Hash(hash)) => {
            let mut batch = Batch::new(buf, b"HMSET", key, hash.len(), 2);
            hash.iter().for_each(|(field, value)| {
                batch.element(field);
                batch.element(value);
            });
            write_field_deadlines(buf, key, hash);
        }
        Some(Value::Stream(stream)) => write_stream(buf, key, stream),
        _ => return false,
    }
    if let Some(deadline) = entry.deadline() {
        let mut digits = IntBuf::new();
        let words = [b"PEXPIREAT".as_slice(), key, num::fmt_i64(deadline, &mut digits)];
        write_request(buf, words.into_iter());
    }
    true
}

/// Appends the requests that give fields of a hash their deadlines.
fn write_field_deadlines(buf: &mut Vec<u8>, key: &[u8], hash: &Hash) {
    hash.for_each_deadline(|field, at| {
        let mut digits = IntBuf::new();
        let at = num::fmt_i64(at, &mut digits);
        let words = [b"HPEXPIREAT".as_slice(), key, at, b"FIELDS", b"1", field];
        write_request(buf, words.into_iter());
    });
}

/// Elements of a collection on their way into commands of at most [`BATCH`] of them.
struct Batch<'a> {
    buf: &'a mut Vec<u8>,
    name: &'static [u8],
    key: &'a [u8],
    /// Words of all elements that are to come.
    left: usize,
    /// Words that the command under way still takes.
    room: usize,
    /// Words of one element.
    each: usize,
}

impl<'a> Batch<'a> {
    fn new(
        buf: &'a mut Vec<u8>,
        name: &'static [u8],
        key: &'a [u8],
        elements: usize,
        each: usize,
    ) -> Self {
        Self { buf, name, key, left: elements * each, room: 0, each }
    }

    fn element(&mut self, element: Element<'_>) {
        self.bytes(element.as_bytes(&mut IntBuf::new()));
    }

    fn bytes(&mut self, word: &[u8]) {
        if self.room == 0 {
            self.room = self.left.min(BATCH * self.each);
            write_array(self.buf, 2 + self.room);
            write_bulk(self.buf, self.name);
            write_bulk(self.buf, self.key);
        }
        write_bulk(self.buf, word);
        self.room -= 1;
        self.left -= 1;
    }
}
