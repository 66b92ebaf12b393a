//! Splitting a line into words, with the quotes that redis.conf and inline requests share.
//!
//! Double quotes know `\n \r \t \b \a \xHH \" \\`; single quotes only `\'`. Never touches files.

use std::borrow::Cow;

/// The words of `line`, or `None` if a quote doesn't close or is followed by more than a space.
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    // A NUL ends the line, as it ends a string in C.
    let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    let mut rest = line[..end].trim_ascii_start();
    while !rest.is_empty() {
        let (word, after) = split_word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

/// Appends `bytes` in double quotes, with escapes, so that it reads back as one word.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

/// A word so that it reads back as itself: in double quotes if it has to be.
pub fn quoted_if_needed(word: &[u8]) -> Cow<'_, [u8]> {
    match split_args(word).as_deref() {
        Some([same]) if same == word => Cow::Borrowed(word),
        _ => {
            let mut quoted = Vec::with_capacity(word.len() + 2);
            quote(word, &mut quoted);
            Cow::Owned(quoted)
        }
    }
}

/// The first word and what follows it.
fn split_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Some((word, rest)),
            [b'"', after @ ..] => return end_quoted(word, after, double_quoted),
            [b'\'', after @ ..] => return end_quoted(word, after, single_quoted),
            [byte, ..] if byte.is_ascii_whitespace() => return Some((word, rest)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// Reads one byte of a quoted part: the byte, or none at the closing quote, and the rest.
type Step = fn(&[u8]) -> Option<(Option<u8>, &[u8])>;

/// Reads a quoted part; a closing quote must end the word.
fn end_quoted(mut word: Vec<u8>, mut rest: &[u8], step: Step) -> Option<(Vec<u8>, &[u8])> {
    loop {
        match step(rest)? {
            (Some(byte), after) => {
                word.push(byte);
                rest = after;
            }
            (None, after) if after.first().is_none_or(u8::is_ascii_whitespace) => {
                return Some((word, after));
            }
            (None, _) => return None,
        }
    }
}

/// One byte of a double-quoted part and the rest; no byte at the closing quote.
fn double_quoted(rest: &[u8]) -> Option<(Option<u8>, &[u8])> {
    match rest {
        [] => None,
        [b'"', after @ ..] => Some((None, after)),
        [b'\\', b'x', high, low, after @ ..]
            if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
        {
            Some((Some(hex(*high) << 4 | hex(*low)), after))
        }
        [b'\\', escaped, after @ ..] => {
            let byte = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'a' => 0x07,
                other => *other,
            };
            Some((Some(byte), after))
        }
        [byte, after @ ..] => Some((Some(*byte), after)),
    }
}

/// As [`double_quoted`], for single quotes.
fn single_quoted(rest: &[u8]) -> Option<(Option<u8>, &[u8])> {
    match rest {
        [] => None,
        [b'\'', after @ ..] => Some((None, after)),
        [b'\\', b'\'', after @ ..] => Some((Some(b'\''), after)),
        [byte, after @ ..] => Some((Some(*byte), after)),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::split_args;

    #[test]
    fn words_and_quotes() {
        let check = |line: &[u8], words: &[&[u8]]| {
            assert_eq!(
                split_args(line).as_deref(),
                Some(words.iter().map(|w| w.to_vec()).collect::<Vec<_>>()).as_deref()
            );
        };
        check(b"", &[]);
        check(b"  a  bc\td ", &[b"a", b"bc", b"d"]);
        check(b"\"\" 'x y' a\"b c\"", &[b"", b"x y", b"ab c"]);
        check(b"\"\\x41\\n\\q\\\"\" 'it\\'s'", &[b"A\nq\"", b"it's"]);
        check(b"a b\0c d", &[b"a", b"b"]);
        check(b"\0", &[]);
        assert_eq!(split_args(b"\"a\0\""), None);
        assert_eq!(split_args(b"\"a"), None);
        assert_eq!(split_args(b"'a"), None);
        assert_eq!(split_args(b"\"a\"b"), None);
    }
}
