//! Ziplists and zipmaps: what listpacks were before Redis 7, in old files only.
//!
//! Owns reading them, every byte checked. Never writes any.
//!
//! A ziplist: bytes (u32), offset of the last entry (u32), count (u16; 65535 is "count them"),
//! entries, `0xFF`. An entry: the length of the one before (1 or 5 bytes), encoding, payload.
//! A zipmap: count (1 byte), then pairs of key (length, bytes) and value (length, one byte that
//! counts unused bytes after it, bytes), `0xFF`. Integers are little-endian but for lengths of
//! strings in ziplists.

use crate::ds::listpack::Element;

const HEADER: usize = 10;
const END: u8 = 0xff;
/// A length of this value is in the four bytes that follow.
const LONG: u8 = 254;

/// The elements of a ziplist; none if it is corrupt anywhere.
pub fn ziplist(image: &[u8]) -> Option<Vec<Element<'_>>> {
    let word = |at: usize| Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?));
    let (total, last) = (word(0)? as usize, word(4)? as usize);
    let count = u16::from_le_bytes([*image.get(8)?, *image.get(9)?]);
    let (&end, body) = image.split_last()?;
    if total != image.len() || end != END || body.len() < HEADER {
        return None;
    }
    let (mut at, mut before, mut elements, mut start) = (HEADER, 0, Vec::new(), HEADER);
    while at < body.len() {
        start = at;
        let (back, size) = back_length(body.get(at..)?)?;
        if back != before {
            return None;
        }
        let (element, len) = ziplist_entry(body.get(at + size..)?)?;
        elements.push(element);
        at += size + len;
        before = size + len;
    }
    let counted = count == u16::MAX || usize::from(count) == elements.len();
    (counted && last == start).then_some(elements)
}

/// The length of the entry before, and the bytes that it takes.
fn back_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        LONG => Some((u32::from_le_bytes(*bytes.get(1..)?.first_chunk()?) as usize, 5)),
        END => None,
        len => Some((usize::from(len), 1)),
    }
}

/// The value of the entry whose encoding stands first, and its length.
fn ziplist_entry(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&code, rest) = bytes.split_first()?;
    let text = |skip: usize, len: usize| {
        Some((Element::Str(rest.get(skip..)?.get(..len)?), 1 + skip + len))
    };
    let int = |width: usize| {
        let mut wide = [0; 8];
        wide[8 - width..].copy_from_slice(rest.get(..width)?);
        Some((Element::Int(i64::from_le_bytes(wide) >> (64 - 8 * width)), 1 + width))
    };
    match code {
        0x00..=0x3f => text(0, usize::from(code)),
        0x40..=0x7f => text(1, usize::from(code & 0x3f) << 8 | usize::from(*rest.first()?)),
        0x80 => text(4, u32::from_be_bytes(*rest.first_chunk()?) as usize),
        0xc0 => int(2),
        0xd0 => int(4),
        0xe0 => int(8),
        0xf0 => int(3),
        0xfe => int(1),
        0xf1..=0xfd => Some((Element::Int(i64::from(code & 0x0f) - 1), 1)),
        _ => None,
    }
}

/// The keys and values of a zipmap; none if it is corrupt anywhere, or empty.
pub fn zipmap(image: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (&count, mut rest) = image.split_first()?;
    let mut pairs = Vec::new();
    while *rest.first()? != END {
        let (key_len, after) = zipmap_len(rest)?;
        let (key, after) = after.split_at_checked(key_len)?;
        let (value_len, after) = zipmap_len(after)?;
        let (&free, after) = after.split_first()?;
        let (value, after) = after.split_at_checked(value_len)?;
        rest = after.get(usize::from(free)..)?;
        pairs.push((key, value));
    }
    let counted = count >= LONG || usize::from(count) == pairs.len();
    (rest.len() == 1 && counted && !pairs.is_empty()).then_some(pairs)
}

fn zipmap_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    match len {
        END => None,
        LONG => {
            let (len, rest) = rest.split_first_chunk()?;
            let len = u32::from_le_bytes(*len) as usize;
            // Whoever wrote a short length this way didn't write a zipmap.
            (len >= usize::from(LONG)).then_some((len, rest))
        }
        len => Some((usize::from(len), rest)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ziplist of entries that are encoded already.
    fn build(entries: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        let (mut last, mut before) = (HEADER, 0);
        for entry in entries {
            last = HEADER + body.len();
            match before {
                0..254 => body.push(before as u8),
                _ => {
                    body.push(LONG);
                    body.extend_from_slice(&(before as u32).to_le_bytes());
                }
            }
            body.extend_from_slice(entry);
            before = HEADER + body.len() - last;
        }
        let mut image = ((HEADER + body.len() + 1) as u32).to_le_bytes().to_vec();
        image.extend_from_slice(&(last as u32).to_le_bytes());
        image.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        image.extend_from_slice(&body);
        image.push(END);
        image
    }

    #[test]
    fn ziplists_are_read_and_checked() {
        let long = [&[0x41, 0x2c][..], &[b'x'; 300]].concat();
        let image = build(&[
            b"\x02hi",
            &long,
            &[0xf1],
            &[0xfd],
            &[0xfe, 0x80],
            &[0xc0, 0x00, 0x01],
            &[0xf0, 0xff, 0xff, 0xff],
            &[0xd0, 0, 0, 0, 0x80],
            &[0xe0, 1, 0, 0, 0, 0, 0, 0, 0],
            b"\x80\0\0\0\x03abc",
        ]);
        let ints = [0, 12, -128, 256, -1, -0x8000_0000, 1].map(Element::Int);
        let texts = [Element::Str(b"hi"), Element::Str(&long[2..])];
        let all = [&texts[..], &ints, &[Element::Str(b"abc")]].concat();
        assert_eq!(ziplist(&image), Some(all));
        assert_eq!(ziplist(&build(&[])), Some(vec![]));
        // Every byte of the header, and what says how long the first entries are.
        for at in (0..=HEADER + 1).chain([HEADER + 4, HEADER + 5]) {
            let mut bad = image.clone();
            bad[at] ^= 0x55;
            assert_eq!(ziplist(&bad), None, "byte {at}");
        }
        for len in 0..image.len() {
            assert_eq!(ziplist(&image[..len]), None);
        }
    }

    #[test]
    fn zipmaps_are_read_and_checked() {
        let long = [b'y'; 300];
        let image = [b"\x02\x01a\x01\x00x\xfe\x2c\x01\0\0", &long[..], b"\x00\x02??\xff"].concat();
        let pairs: Vec<(&[u8], &[u8])> = vec![(b"a", b"x"), (&long, b"")];
        assert_eq!(zipmap(&image), Some(pairs));
        assert_eq!(zipmap(b"\x01\xfe\x01\0\0\0a\x01\x00x\xff"), None, "a length too long");
        for len in 0..image.len() {
            assert_eq!(zipmap(&image[..len]), None);
        }
        assert_eq!(zipmap(b"\x00\xff"), None);
        assert_eq!(zipmap(b"\x03\x01a\x01\x00x\xff"), None);
        assert_eq!(zipmap(b"\x01\x01a\x01\x00x\xff!"), None);
    }

    proptest! {
        #[test]
        fn junk_is_refused(mut junk in proptest::collection::vec(any::<u8>(), 0..100)) {
            zipmap(&junk);
            if junk.len() > HEADER {
                let len = junk.len() as u32;
                junk[..4].copy_from_slice(&len.to_le_bytes());
                *junk.last_mut().expect("a byte") = END;
            }
            ziplist(&junk);
        }
    }
}
