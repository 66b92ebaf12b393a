//! JSON as `cjson` writes and reads it.
//!
//! Owns the encoder, the tokenizer and the decoder, and their error texts. Recursion is bounded by
//! the configured depths.

use mlua::{Lua, LuaString, Table, Value};

use super::{MAX_OUTPUT, type_name};
use crate::script::convert;
use crate::script::raise::{Raise, here};

/// What the encoder does with NaN and infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidNumbers {
    Refuse,
    Allow,
    Null,
}

/// The settings of one instance of the library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Config {
    pub(super) encode_max_depth: u32,
    pub(super) decode_max_depth: u32,
    /// Significant digits of numbers.
    pub(super) precision: u32,
    /// Whether an array with too many holes becomes an object rather than an error.
    pub(super) sparse_convert: bool,
    /// An array has too many holes if its last index exceeds its items times this; 0: never.
    pub(super) sparse_ratio: u32,
    /// Last indexes up to this are always fine.
    pub(super) sparse_safe: u32,
    pub(super) keep_buffer: bool,
    pub(super) encode_invalid: InvalidNumbers,
    pub(super) decode_invalid: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            encode_max_depth: 1_000,
            decode_max_depth: 1_000,
            precision: 14,
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            keep_buffer: true,
            encode_invalid: InvalidNumbers::Refuse,
            decode_invalid: true,
        }
    }
}

// Encoding ---------------------------------------------------------------------------------------

/// A value as JSON.
pub(super) fn encode(lua: &Lua, config: Config, value: &Value) -> mlua::Result<LuaString> {
    let mut encoder = Encoder { config, out: Vec::new() };
    // Within a walk over a table the caller isn't next on the stack: the place is added here.
    encoder.value(value, 0).map_err(|error| match Raise::of(&error) {
        Raise::Text(text) => here(lua, text),
        _ => error,
    })?;
    lua.create_string(encoder.out)
}

struct Encoder {
    config: Config,
    out: Vec<u8>,
}

fn unplaced(text: String) -> mlua::Error {
    Raise::Text(text.into_bytes()).into()
}

impl Encoder {
    fn fail(&self, value: &Value, reason: &str) -> mlua::Error {
        unplaced(format!("Cannot serialise {}: {reason}", type_name(value)))
    }

    fn value(&mut self, value: &Value, depth: u32) -> mlua::Result<()> {
        if self.out.len() > MAX_OUTPUT {
            return Err(unplaced("Cannot serialise, the result is too long".to_owned()));
        }
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(data) if data.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(int) if int.unsigned_abs() < 10_u64.pow(self.config.precision) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(*int).as_bytes());
            }
            Value::Integer(int) => self.number(*int as f64, value)?,
            Value::Number(number) => self.number(*number, value)?,
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(self.fail(other, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, number: f64, value: &Value) -> mlua::Result<()> {
        if number.is_finite() {
            format_g(number, self.config.precision as usize, &mut self.out);
            return Ok(());
        }
        match self.config.encode_invalid {
            InvalidNumbers::Refuse => return Err(self.fail(value, "must not be NaN or Inf")),
            InvalidNumbers::Null => self.out.extend_from_slice(b"null"),
            InvalidNumbers::Allow => {
                let text: &[u8] = match number {
                    n if n.is_nan() => b"nan",
                    n if n > 0.0 => b"inf",
                    _ => b"-inf",
                };
                self.out.extend_from_slice(text);
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        let mut plain = 0;
        for (index, &byte) in text.iter().enumerate() {
            if (0x20..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\' | b'/') || byte > 0x7f {
                continue;
            }
            self.out.extend_from_slice(&text[plain..index]);
            self.escape(byte);
            plain = index + 1;
        }
        self.out.extend_from_slice(&text[plain..]);
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            b'"' | b'\\' | b'/' => byte,
            other => {
                self.out.extend_from_slice(format!("\\u{other:04x}").as_bytes());
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }

    fn table(&mut self, table: &Table, depth: u32) -> mlua::Result<()> {
        if depth > self.config.encode_max_depth {
            return Err(unplaced(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_len(table)? {
            0 => self.object(table, depth),
            len => self.array(table, len, depth),
        }
    }

    /// The length of a table that is an array; 0 if it is an object, or empty.
    fn array_len(&self, table: &Table) -> mlua::Result<usize> {
        let (mut items, mut max, mut indexes) = (0_u64, 0_u64, true);
        let stop = || mlua::Error::runtime("stop");
        let walk = table.for_each(|key: Value, _: Value| match key {
            Value::Integer(index) if index > 0 => {
                items += 1;
                max = max.max(index.unsigned_abs());
                Ok(())
            }
            _ => {
                indexes = false;
                Err(stop())
            }
        });
        if !indexes {
            return Ok(0);
        }
        walk?;
        let Config { sparse_ratio, sparse_safe, .. } = self.config;
        let ratio = u64::from(sparse_ratio);
        if ratio > 0 && max > items.saturating_mul(ratio) && max > u64::from(sparse_safe) {
            if !self.config.sparse_convert {
                let table = Value::Table(table.clone());
                return Err(self.fail(&table, "excessively sparse array"));
            }
            return Ok(0);
        }
        Ok(usize::try_from(max).unwrap_or(0))
    }

    fn array(&mut self, table: &Table, len: usize, depth: u32) -> mlua::Result<()> {
        self.out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.out.push(b',');
            }
            let value: Value = table.raw_get(index)?;
            self.value(&value, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: u32) -> mlua::Result<()> {
        self.out.push(b'{');
        let mut first = true;
        table.for_each(|key: Value, value: Value| {
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.key(&key)?;
            self.out.push(b':');
            self.value(&value, depth)
        })?;
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &Value) -> mlua::Result<()> {
        match key {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.value(key, 0)?;
                self.out.push(b'"');
            }
            other => return Err(self.fail(other, "table key must be a number or string")),
        }
        Ok(())
    }
}

/// Prints a finite number as C's `%.<precision>g`.
pub(super) fn format_g(number: f64, precision: usize, out: &mut Vec<u8>) {
    if number == 0.0 {
        out.extend_from_slice(if number.is_sign_negative() { b"-0" } else { b"0" });
        return;
    }
    let text = format!("{number:.*e}", precision.max(1) - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if let Some(digits) = mantissa.strip_prefix('-') {
        out.push(b'-');
        return print_g(digits, exponent, precision, out);
    }
    print_g(mantissa, exponent, precision, out);
}

fn print_g(mantissa: &str, exponent: i32, precision: usize, out: &mut Vec<u8>) {
    let digits: Vec<u8> = mantissa.bytes().filter(|&byte| byte != b'.').collect();
    let kept = digits.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..kept];
    match usize::try_from(exponent) {
        Ok(before) if before < precision => {
            let whole = digits.len().min(before + 1);
            out.extend_from_slice(&digits[..whole]);
            out.resize(out.len() + before + 1 - whole, b'0');
            if digits.len() > whole {
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        Err(_) if exponent >= -4 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(digits);
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            let text = format!("e{sign}{:02}", exponent.unsigned_abs());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

// Decoding ---------------------------------------------------------------------------------------

/// The value that a JSON text stands for.
pub(super) fn decode(lua: &Lua, config: Config, text: &[u8]) -> mlua::Result<Value> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(here(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder { lua, config, text, at: 0, scratch: Vec::new() };
    let token = decoder.token();
    let value = decoder.value(token, 0)?;
    match decoder.token() {
        (_, Token::End) => Ok(value),
        token => Err(decoder.expected("the end", &token)),
    }
}

#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// A string: its text is in the decoder's scratch buffer.
    Text,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Bad(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Text => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Bad(what) => what,
        }
    }
}

/// A token and the offset at which it was found.
type Found = (usize, Token);

struct Decoder<'l, 'a> {
    lua: &'l Lua,
    config: Config,
    text: &'a [u8],
    at: usize,
    scratch: Vec<u8>,
}

impl Decoder<'_, '_> {
    fn expected(&self, what: &str, (at, token): &Found) -> mlua::Error {
        let found = token.name();
        here(self.lua, format!("Expected {what} but found {found} at character {}", at + 1))
    }

    fn peek(&self, offset: usize) -> u8 {
        self.text.get(self.at + offset).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Found {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let token = match self.peek(0) {
            0 => return (at, Token::End),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => return self.text_token(),
            _ => return (at, self.word()),
        };
        self.at += 1;
        (at, token)
    }

    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        if matches!(rest[0], b'-' | b'+' | b'0'..=b'9') {
            if !self.config.decode_invalid && is_invalid_number(rest) {
                return Token::Bad("invalid number");
            }
            return self.number();
        }
        let words = [
            (&b"true"[..], Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ];
        for (word, token) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if self.config.decode_invalid && is_invalid_number(rest) {
            return self.number();
        }
        Token::Bad("invalid token")
    }

    fn number(&mut self) -> Token {
        match strtod(&self.text[self.at..]) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => Token::Bad("invalid number"),
        }
    }

    /// Reads a string into the scratch buffer.
    fn text_token(&mut self) -> Found {
        let start = self.at;
        self.at += 1;
        self.scratch.clear();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(plain) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0)) else {
                self.at = self.text.len();
                return (self.at, Token::Bad("unexpected end of string"));
            };
            self.scratch.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return (start, Token::Text);
                }
                b'\\' => {
                    if let Err(what) = self.unescape() {
                        return (self.at, Token::Bad(what));
                    }
                }
                _ => return (self.at, Token::Bad("unexpected end of string")),
            }
        }
    }

    fn unescape(&mut self) -> Result<(), &'static str> {
        let byte = match self.peek(1) {
            b'u' => return self.unescape_unicode(),
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            byte @ (b'"' | b'\\' | b'/') => byte,
            _ => return Err("invalid escape code"),
        };
        self.scratch.push(byte);
        self.at += 2;
        Ok(())
    }

    /// Four hexadecimal digits at this offset.
    fn hex4(&self, offset: usize) -> Option<u32> {
        let digits = self.text.get(self.at + offset..self.at + offset + 4)?;
        digits
            .iter()
            .try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
    }

    fn unescape_unicode(&mut self) -> Result<(), &'static str> {
        const BAD: &str = "invalid unicode escape code";
        let mut code = self.hex4(2).ok_or(BAD)?;
        let mut len = 6;
        if (0xd800..0xdc00).contains(&code) {
            if self.peek(6) != b'\\' || self.peek(7) != b'u' {
                return Err(BAD);
            }
            let low = self.hex4(8).filter(|low| (0xdc00..0xe000).contains(low)).ok_or(BAD)?;
            code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
            len = 12;
        }
        let code = char::from_u32(code).ok_or(BAD)?;
        self.scratch.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Ok(())
    }

    fn value(&mut self, found: Found, depth: u32) -> mlua::Result<Value> {
        Ok(match found.1 {
            Token::Text => Value::String(self.lua.create_string(&self.scratch)?),
            Token::Number(number) => Value::Number(number),
            Token::Boolean(value) => Value::Boolean(value),
            Token::Null => Value::NULL,
            Token::ObjectBegin => Value::Table(self.object(self.descend(depth)?)?),
            Token::ArrayBegin => Value::Table(self.array(self.descend(depth)?)?),
            _ => return Err(self.expected("value", &found)),
        })
    }

    fn descend(&self, depth: u32) -> mlua::Result<u32> {
        let depth = depth + 1;
        if depth > self.config.decode_max_depth {
            let at = self.at;
            let text = format!("Found too many nested data structures ({depth}) at character {at}");
            return Err(here(self.lua, text));
        }
        Ok(depth)
    }

    fn object(&mut self, depth: u32) -> mlua::Result<Table> {
        let table = self.lua.create_table()?;
        let mut found = self.token();
        if matches!(found.1, Token::ObjectEnd) {
            return Ok(table);
        }
        loop {
            if !matches!(found.1, Token::Text) {
                return Err(self.expected("object key string", &found));
            }
            let key = self.lua.create_string(&self.scratch)?;
            let colon = self.token();
            if !matches!(colon.1, Token::Colon) {
                return Err(self.expected("colon", &colon));
            }
            let token = self.token();
            table.raw_set(key, self.value(token, depth)?)?;
            found = self.token();
            match found.1 {
                Token::ObjectEnd => return Ok(table),
                Token::Comma => found = self.token(),
                _ => return Err(self.expected("comma or object end", &found)),
            }
        }
    }

    fn array(&mut self, depth: u32) -> mlua::Result<Table> {
        let table = self.lua.create_table()?;
        let mut found = self.token();
        if matches!(found.1, Token::ArrayEnd) {
            return Ok(table);
        }
        for index in 1_usize.. {
            if matches!(found.1, Token::Text) {
                table.raw_set(index, convert::string(&self.scratch))?;
            } else {
                table.raw_set(index, self.value(found, depth)?)?;
            }
            found = self.token();
            match found.1 {
                Token::ArrayEnd => break,
                Token::Comma => found = self.token(),
                _ => return Err(self.expected("comma or array end", &found)),
            }
        }
        Ok(table)
    }
}

/// Whether the text begins with a number that JSON doesn't have: hexadecimal, with a leading zero,
/// infinite or NaN.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = match text {
        [b'-' | b'+', rest @ ..] => rest,
        _ => text,
    };
    match text {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [byte, ..] if *byte <= b'9' => false,
        _ => starts_with_word(text, b"inf") || starts_with_word(text, b"nan"),
    }
}

fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Reads the longest number at the start of the text, as C's `strtod`; with the bytes it takes.
fn strtod(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let body = &text[sign..];
    let (value, len) = match body {
        _ if starts_with_word(body, b"infinity") => (f64::INFINITY, 8),
        _ if starts_with_word(body, b"inf") => (f64::INFINITY, 3),
        _ if starts_with_word(body, b"nan") => (f64::NAN, 3),
        [b'0', b'x' | b'X', digits @ ..] if hex_len(digits) > 0 => {
            let len = hex_len(digits);
            (crate::util::num::parse_f64(&body[..2 + len])?, 2 + len)
        }
        _ => {
            let len = decimal_len(body)?;
            (std::str::from_utf8(&body[..len]).ok()?.parse().ok()?, len)
        }
    };
    Some((if negative { -value } else { value }, sign + len))
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Bytes of an exponent: its letter, a sign and digits; 0 if there are no digits.
fn exponent_len(text: &[u8], letter: u8) -> usize {
    if !text.first().is_some_and(|first| first.eq_ignore_ascii_case(&letter)) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'-' | b'+')));
    match digits(&text[1 + sign..]) {
        0 => 0,
        count => 1 + sign + count,
    }
}

fn decimal_len(text: &[u8]) -> Option<usize> {
    let whole = digits(text);
    let mut len = whole;
    let mut fraction = 0;
    if text.get(len) == Some(&b'.') {
        fraction = digits(&text[len + 1..]);
        len += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    Some(len + exponent_len(&text[len..], b'e'))
}

/// Bytes of a hexadecimal number after its `0x`; 0 if there are no digits.
fn hex_len(text: &[u8]) -> usize {
    let hex = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let whole = hex(text);
    let mut len = whole;
    if text.get(len) == Some(&b'.') {
        let fraction = hex(&text[len + 1..]);
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
    }
    if len == 0 { 0 } else { len + exponent_len(&text[len..], b'p') }
}
