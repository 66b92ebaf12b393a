//! Values between RESP and Lua.
//!
//! Owns the reading of a command's reply into Lua values, the writing of a script's result as a
//! reply, and the text of numbers passed to commands. Never runs Lua code: all access is raw.

use mlua::{Either, IntoLua, Lua, Table, Value};

use super::stack::{Slot, Stack, TableAt};
use super::vm::Outcome;
use crate::resp::{Args, Proto, Reply};
use crate::util::num;

/// Tables nested deeper than this in a script's result are replied as an error.
const MAX_REPLY_DEPTH: usize = 1_000;
/// Longest reply of a script, in bytes: a table may hold another many times over, and so on downward.
const MAX_REPLY: usize = 2 << 30;
/// Most values that a table is given room for ahead of them being read.
const MAX_ROOM: usize = 4_096;
/// The field of an error table that tells that the command that failed has counted the error.
const COUNTED: &[u8] = b"ignore_error_stats_update";
/// The text of an error without one.
const UNKNOWN_ERROR: &[u8] = b"ERR unknown error";

/// Bytes that become a Lua string; text takes a shorter way than other bytes.
pub(super) fn string(bytes: &[u8]) -> Either<&str, Bytes<'_>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Either::Left(text),
        Err(_) => Either::Right(Bytes(bytes)),
    }
}

/// Bytes that become a Lua string.
pub(super) struct Bytes<'a>(&'a [u8]);

impl IntoLua for Bytes<'_> {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        Ok(Value::String(lua.create_string(self.0)?))
    }
}

// RESP to Lua ------------------------------------------------------------------------------------

/// Pushes one whole reply as Lua sees it.
pub(super) fn from_resp(reply: &[u8], stack: &mut Stack<'_>) {
    Reader { rest: reply }.value(stack);
}

/// Pushes an error as scripts see it.
pub(super) fn push_error(text: &[u8], counted: bool, stack: &mut Stack<'_>) {
    let table = stack.push_table(0, 2);
    stack.push_text(text);
    stack.set_field(table, b"err");
    if counted {
        stack.push_bool(true);
        stack.set_field(table, COUNTED);
    }
}

/// Pushes arguments as a sequence of strings.
pub(super) fn push_args(args: Args<'_>, stack: &mut Stack<'_>) {
    let table = stack.push_table(args.len(), 0);
    for (index, arg) in (1..).zip(args.iter()) {
        stack.push_text(arg);
        stack.set_item(table, index);
    }
}

/// What has yet to be read of a reply. It owns nothing, as [`Native`](super::stack::Native) demands.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The rest of the current line, without its end.
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    fn int(&mut self) -> i64 {
        num::parse_i64(self.line()).unwrap_or(0)
    }

    /// The header's length, or `None` for a null.
    fn len(&mut self) -> Option<usize> {
        usize::try_from(self.int()).ok()
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.rest.len());
        let bytes = &self.rest[..len];
        self.rest = self.rest.get(len + 2..).unwrap_or_default();
        bytes
    }

    /// Pushes one value.
    fn value(&mut self, stack: &mut Stack<'_>) {
        let Some((&kind, rest)) = self.rest.split_first() else { return stack.push_nil() };
        self.rest = rest;
        match kind {
            b'$' => match self.len() {
                Some(len) => stack.push_text(self.bytes(len)),
                None => stack.push_bool(false),
            },
            b':' => stack.push_number(self.int() as f64),
            b'*' | b'>' => match self.len() {
                Some(len) => self.array(len, stack),
                None => stack.push_bool(false),
            },
            b'+' => wrap(b"ok", stack, |stack| stack.push_text(self.line())),
            b'-' => push_error(self.line(), true, stack),
            b'(' => wrap(b"big_number", stack, |stack| stack.push_text(self.line())),
            b'_' => {
                self.line();
                stack.push_nil();
            }
            b'#' => stack.push_bool(self.line() == b"t"),
            b',' => {
                wrap(b"double", stack, |stack| stack.push_number(parse_double(self.line())));
            }
            b'%' => wrap(b"map", stack, |stack| self.map(stack)),
            b'~' => wrap(b"set", stack, |stack| self.set(stack)),
            b'=' => wrap(b"verbatim_string", stack, |stack| self.verbatim(stack)),
            b'|' => self.after_attributes(stack),
            _ => stack.push_nil(),
        }
    }

    fn array(&mut self, len: usize, stack: &mut Stack<'_>) {
        let table = stack.push_table(len.min(MAX_ROOM), 0);
        for index in 1..=len {
            self.value(stack);
            stack.set_item(table, index);
        }
    }

    fn map(&mut self, stack: &mut Stack<'_>) {
        let len = self.len().unwrap_or(0);
        let map = stack.push_table(0, len.min(MAX_ROOM));
        for _ in 0..len {
            self.value(stack);
            self.value(stack);
            stack.set_pair(map);
        }
    }

    fn set(&mut self, stack: &mut Stack<'_>) {
        let len = self.len().unwrap_or(0);
        let set = stack.push_table(0, len.min(MAX_ROOM));
        for _ in 0..len {
            self.value(stack);
            stack.push_bool(true);
            stack.set_pair(set);
        }
    }

    fn verbatim(&mut self, stack: &mut Stack<'_>) {
        let len = self.len().unwrap_or(0);
        let (format, text) = self.bytes(len).split_at(len.min(3));
        let table = stack.push_table(0, 2);
        stack.push_text(text.get(1..).unwrap_or_default());
        stack.set_field(table, b"string");
        stack.push_text(format);
        stack.set_field(table, b"format");
    }

    /// Scripts don't see attributes, but the value that follows.
    fn after_attributes(&mut self, stack: &mut Stack<'_>) {
        let below = stack.len();
        for _ in 0..self.len().unwrap_or(0).saturating_mul(2) {
            self.value(stack);
            stack.truncate(below);
        }
        self.value(stack);
    }
}

/// Pushes a table whose only field is what `push` pushes.
fn wrap(field: &[u8], stack: &mut Stack<'_>, push: impl FnOnce(&mut Stack<'_>)) {
    let table = stack.push_table(0, 1);
    push(stack);
    stack.set_field(table, field);
}

/// A RESP3 double.
fn parse_double(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

// Lua to RESP ------------------------------------------------------------------------------------

/// Writes a script's result, which is on top of the stack, as its reply; notes errors in it. `script` is the
/// protocol that the script chose, which decides what its booleans mean.
pub(super) fn reply(stack: &mut Stack<'_>, script: Proto, out: &mut Reply, outcome: &mut Outcome) {
    let start = out.len();
    let limit = start.saturating_add(MAX_REPLY);
    Writer { script, limit, outcome }.value(stack, 0, out);
    if out.len() > limit {
        out.truncate(start);
        const TOO_LONG: &[u8] = b"ERR the reply of the script is too long";
        out.error_text(TOO_LONG);
        outcome.fail(TOO_LONG, false);
    }
}

/// It owns nothing, as [`Native`](super::stack::Native) demands.
struct Writer<'a> {
    script: Proto,
    /// Length of the output past which nothing more is written.
    limit: usize,
    outcome: &'a mut Outcome,
}

impl Writer<'_> {
    /// Writes the value on top of the stack, which stays as it was.
    fn value(&mut self, stack: &mut Stack<'_>, depth: usize, out: &mut Reply) {
        if out.len() > self.limit {
            return;
        }
        match stack.top() {
            Slot::Text(text) => out.bulk(text),
            Slot::Number(number) => out.int(truncate(number)),
            Slot::Bool(value) => match (self.script, value) {
                (Proto::Resp3, value) => out.bool(value),
                (Proto::Resp2, true) => out.int(1),
                (Proto::Resp2, false) => out.null(),
            },
            Slot::Table if depth >= MAX_REPLY_DEPTH => {
                const TOO_DEEP: &[u8] = b"ERR reached lua stack limit";
                out.error_text(TOO_DEEP);
                self.outcome.fail(TOO_DEEP, false);
            }
            Slot::Table => self.table(stack, depth, out),
            Slot::Nil | Slot::Other => out.null(),
        }
    }

    fn table(&mut self, stack: &mut Stack<'_>, depth: usize, out: &mut Reply) {
        let height = stack.len();
        if let Some(table) = stack.table(height) {
            let tagged = self.tagged(table, stack, depth, out);
            stack.truncate(height);
            if !tagged {
                self.array(table, stack, depth, out);
                stack.truncate(height);
            }
        }
    }

    /// Writes a table that stands for a reply of some kind; false if it is a plain array. It leaves
    /// something on the stack.
    fn tagged(
        &mut self,
        table: TableAt,
        stack: &mut Stack<'_>,
        depth: usize,
        out: &mut Reply,
    ) -> bool {
        let height = stack.len();
        let field = |stack: &mut Stack<'_>, name: &[u8]| {
            stack.truncate(height);
            stack.push_field(table, name);
        };
        field(stack, COUNTED);
        let counted = stack.top() == Slot::Bool(true);
        field(stack, b"err");
        if let Slot::Text(text) = stack.top() {
            let text = if text.is_empty() { UNKNOWN_ERROR } else { text };
            out.error_text(text);
            self.outcome.fail(text, counted);
            return true;
        }
        field(stack, b"ok");
        if let Slot::Text(text) = stack.top() {
            out.simple(text);
            return true;
        }
        field(stack, b"double");
        if let Slot::Number(number) = stack.top() {
            out.double(number);
            return true;
        }
        field(stack, b"map");
        if let Some(map) = stack.table(stack.len()) {
            self.map(map, stack, depth, out);
            return true;
        }
        field(stack, b"set");
        if let Some(set) = stack.table(stack.len()) {
            self.set(set, stack, depth, out);
            return true;
        }
        field(stack, b"big_number");
        if let Slot::Text(digits) = stack.top() {
            let digits: Vec<u8> = digits.iter().map(|&b| unbroken(b)).collect();
            out.big_number(&digits);
            return true;
        }
        field(stack, b"verbatim_string");
        let verbatim = stack.table(stack.len());
        verbatim.is_some_and(|verbatim| verbatim_string(verbatim, stack, out))
    }

    /// The array ends at its first nil. The border that Lua finds is past it only if the table has
    /// holes; then the header is written last.
    fn array(&mut self, table: TableAt, stack: &mut Stack<'_>, depth: usize, out: &mut Reply) {
        let (height, len) = (stack.len(), stack.raw_len(table));
        let mark = out.begin();
        let start = out.len();
        out.array(len);
        let header = out.len() - start;
        for index in 1..=len {
            stack.push_item(table, index);
            if stack.top() == Slot::Nil {
                out.buf_mut().drain(start..start + header);
                out.end_array(mark, index - 1);
                return;
            }
            self.value(stack, depth + 1, out);
            stack.truncate(height);
            if out.len() > self.limit {
                return;
            }
        }
    }

    fn map(&mut self, map: TableAt, stack: &mut Stack<'_>, depth: usize, out: &mut Reply) {
        let mark = out.begin();
        let len = self.keys(map, true, stack, depth, out);
        out.end_map(mark, len);
    }

    fn set(&mut self, set: TableAt, stack: &mut Stack<'_>, depth: usize, out: &mut Reply) {
        let mark = out.begin();
        let len = self.keys(set, false, stack, depth, out);
        out.end_set(mark, len);
    }

    /// Writes a table's keys, and behind each its value if so wanted; returns how many there are. The
    /// table is on top of the stack.
    fn keys(
        &mut self,
        table: TableAt,
        with_values: bool,
        stack: &mut Stack<'_>,
        depth: usize,
        out: &mut Reply,
    ) -> usize {
        let mut len = 0;
        stack.push_nil();
        let key = stack.len();
        while stack.next(table) {
            stack.push_copy(key);
            self.value(stack, depth + 1, out);
            stack.truncate(key + 1);
            if with_values {
                self.value(stack, depth + 1, out);
            }
            stack.truncate(key);
            len += 1;
        }
        len
    }
}

fn verbatim_string(verbatim: TableAt, stack: &mut Stack<'_>, out: &mut Reply) -> bool {
    stack.push_field(verbatim, b"format");
    let format = stack.len();
    stack.push_field(verbatim, b"string");
    let (Slot::Text(format), Slot::Text(text)) = (stack.get(format), stack.top()) else {
        return false;
    };
    let mut tag = [b' '; 3];
    for (to, &from) in tag.iter_mut().zip(format) {
        *to = unbroken(from);
    }
    out.verbatim(&tag, text);
    true
}

// Errors -----------------------------------------------------------------------------------------

/// The text of an error table, code first.
pub(super) fn err_text(table: &Table) -> Vec<u8> {
    match table.raw_get::<Value>("err") {
        Ok(Value::String(text)) if !text.as_bytes().is_empty() => text.as_bytes().to_vec(),
        _ => UNKNOWN_ERROR.to_vec(),
    }
}

/// Whether the error has been counted by the command that raised it.
pub(super) fn is_counted(table: &Table) -> bool {
    matches!(table.raw_get(Bytes(COUNTED)), Ok(Value::Boolean(true)))
}

fn unbroken(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' { b' ' } else { byte }
}

/// A number as C converts it to a 64-bit integer on x86-64: what doesn't fit is the least one.
pub(super) fn truncate(number: f64) -> i64 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&number) { number as i64 } else { i64::MIN }
}
