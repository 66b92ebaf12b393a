//! Bitmaps: strings whose bits are set, read, counted, searched and combined.
//!
//! Owns bit offsets and ranges as commands give them. The bits themselves are the business of
//! `ds::bits`.

use crate::commands::{READ_KEY, UPDATE_KEY};
use crate::config::NotifyFlags;
use crate::ds::bits::{self, Combine};
use crate::keyspace::{Entry, StrView};
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::num::{self, IntBuf};
use crate::value::Value;

const BITMAP: Command =
    Command { group: Group::Bitmap, categories: Category::BITMAP, ..Command::DEFAULT };
const BITOP_KEYS: &[KeySpec] = &[
    KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
    KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
];

/// The rows of this family, BITFIELD apart.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: UPDATE_KEY,
        since: "2.2.0",
        summary: "Sets or clears the bit at an offset of a string, and returns what it was.",
        syntax: "key offset value{integer}",
        handler: setbit,
        ..BITMAP
    },
    Command {
        name: "getbit",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST),
        keys: READ_KEY,
        since: "2.2.0",
        summary: "Returns the bit at an offset of a string.",
        syntax: "key offset",
        handler: getbit,
        ..BITMAP
    },
    Command {
        name: "bitcount",
        arity: -2,
        flags: Flags::READONLY,
        keys: READ_KEY,
        since: "2.6.0",
        complexity: "O(N), N bytes of the range",
        summary: "Counts the set bits of a string, or of a range of it.",
        syntax: "key index=[start end index-unit=[BYTE | BIT]@7.0.0]",
        history: &[("7.0.0", "`BYTE` and `BIT` are new.")],
        handler: bitcount,
        ..BITMAP
    },
    Command {
        name: "bitpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: READ_KEY,
        since: "2.8.7",
        complexity: "O(N), N bytes of the range",
        summary: "Finds the first set or clear bit of a string, or of a range of it.",
        syntax: "key bit index=[start end-index=[end index-unit=[BYTE | BIT]@7.0.0]]",
        history: &[("7.0.0", "`BYTE` and `BIT` are new.")],
        handler: bitpos,
        ..BITMAP
    },
    Command {
        name: "bitop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: BITOP_KEYS,
        since: "2.6.0",
        complexity: "O(N), N bytes of all strings",
        summary: "Combines strings bit by bit, and stores the result.",
        syntax: "operation=<AND | OR | XOR | NOT> destkey key...",
        handler: bitop,
        ..BITMAP
    },
];

/// Refuses offsets in bits beyond the longest string that a client may make.
pub(super) fn check_offset(ctx: &Ctx<'_>, offset: Option<i64>) -> Result<u64, Error> {
    let offset = offset.and_then(|offset| u64::try_from(offset).ok()).ok_or(Error::BitOffset)?;
    if offset / 8 >= ctx.srv.config.proto_max_bulk_len {
        return Err(Error::BitOffset);
    }
    Ok(offset)
}

/// Makes the string at a key long enough for the bit at `offset`; says whether it grew, and returns
/// it.
pub(super) fn reach<'a>(
    ctx: &'a mut Ctx<'_>,
    key: &[u8],
    offset: u64,
) -> Result<(bool, &'a mut Vec<u8>), Error> {
    let len = usize::try_from(offset / 8).map_err(|_| Error::BitOffset)? + 1;
    let bytes = ctx.upsert_str(key)?;
    let grows = bytes.len() < len;
    if grows {
        bytes.resize(len, 0);
    }
    Ok((grows, bytes))
}

fn setbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let offset = check_offset(ctx, num::parse_i64(args.at(2)))?;
    let bit = match num::parse_i64(args.at(3)) {
        Some(bit @ 0..=1) => bit == 1,
        _ => return Err(Error::BitValue),
    };
    let (grew, bytes) = reach(ctx, key, offset)?;
    let old = bits::set(bytes, offset, bit);
    if grew || old != bit {
        ctx.modified(NotifyFlags::STRING, "setbit", key);
    }
    ctx.out.int(i64::from(old));
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let offset = check_offset(ctx, num::parse_i64(args.at(2)))?;
    let (found, out) = ctx.read_str(args.at(1))?;
    let mut digits = IntBuf::new();
    let bit = found.is_some_and(|found| bits::get(found.bytes(&mut digits), offset));
    out.int(i64::from(bit));
    Ok(())
}

/// A range as commands give it: first and last, in bytes or bits, from the end where negative.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: i64,
    end: i64,
    bits: bool,
}

impl Range {
    const WHOLE: Self = Self { start: 0, end: -1, bits: false };

    /// Whether the argument at `index` says that the range is in bits; in bytes if there is none.
    fn unit(args: Args<'_>, index: usize) -> Result<bool, Error> {
        match args.get(index) {
            None => Ok(false),
            Some(_) if args.is(index, "bit") => Ok(true),
            Some(_) if args.is(index, "byte") => Ok(false),
            Some(_) => Err(Error::Syntax),
        }
    }

    /// The first and the last bit of it in a string of `len` bytes; `None` if it is empty.
    fn bits_of(self, len: usize) -> Option<(u64, u64)> {
        let scale = if self.bits { 1 } else { 8 };
        let total = i64::try_from(len).ok()?.checked_mul(8)? / scale;
        let place = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
        let (start, end) = (place(self.start), place(self.end).min(total - 1));
        if start > end {
            return None;
        }
        // Both are at least 0 and at most `total - 1` here.
        Some(((start * scale).unsigned_abs(), (end * scale + scale - 1).unsigned_abs()))
    }
}

/// The bytes that hold the bits `first..=last`, and masks of those bits in the first and the last of
/// them.
fn window(bytes: &[u8], first: u64, last: u64) -> (&[u8], u8, u8) {
    let at = |bit: u64| usize::try_from(bit / 8).unwrap_or(usize::MAX);
    let held = bytes.get(at(first)..=at(last)).unwrap_or_default();
    (held, 0xff >> (first % 8), !(0x7f >> (last % 8)))
}

fn bitcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let range = match args.len() {
        2 => Range::WHOLE,
        4 | 5 => Range { start: args.int(2)?, end: args.int(3)?, bits: Range::unit(args, 4)? },
        _ => return Err(Error::Syntax),
    };
    let (found, out) = ctx.read_str(args.at(1))?;
    let mut digits = IntBuf::new();
    let bytes = found.map_or(&b""[..], |found| found.bytes(&mut digits));
    // Redis calls a range empty that ends before it begins, counted from the end, even where both
    // lie before the string.
    let reversed = range.start < 0 && range.end < 0 && range.start > range.end;
    let count = match range.bits_of(bytes.len()) {
        Some((first, last)) if !reversed => count_range(bytes, first, last),
        _ => 0,
    };
    out.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

fn count_range(bytes: &[u8], first: u64, last: u64) -> u64 {
    let (held, first_mask, last_mask) = window(bytes, first, last);
    let outside =
        |byte: Option<&u8>, mask: u8| u64::from(byte.map_or(0, |byte| (byte & !mask).count_ones()));
    bits::count(held) - outside(held.first(), first_mask) - outside(held.last(), last_mask)
}

fn bitpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let bit = match args.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::BitArgument),
    };
    if args.len() > 6 {
        return Err(Error::Syntax);
    }
    let mut range = Range::WHOLE;
    if args.len() > 3 {
        range.start = args.int(3)?;
        range.bits = Range::unit(args, 5)?;
    }
    let end_given = args.len() > 4;
    if end_given {
        range.end = args.int(4)?;
    }
    let (found, out) = ctx.read_str(args.at(1))?;
    let Some(found) = found else {
        // A missing key is clear bits without end.
        out.int(if bit { -1 } else { 0 });
        return Ok(());
    };
    let mut digits = IntBuf::new();
    let bytes = found.bytes(&mut digits);
    let position = range.bits_of(bytes.len()).and_then(|(first, last)| {
        let within = find_range(bytes, bit, first, last);
        // Without an end, clear bits follow the string.
        within.or_else(|| (!bit && !end_given).then_some(bytes.len() as u64 * 8))
    });
    out.int(position.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1));
    Ok(())
}

fn find_range(bytes: &[u8], bit: bool, first: u64, last: u64) -> Option<u64> {
    let (held, first_mask, last_mask) = window(bytes, first, last);
    // Bits outside the range are made such that they aren't found.
    let hide = |byte: u8, mask: u8| if bit { byte & mask } else { byte | !mask };
    let base = first / 8 * 8;
    let (head, rest) = held.split_first()?;
    let head = hide(*head, first_mask);
    let Some((tail, middle)) = rest.split_last() else {
        return bits::find(&[hide(head, last_mask)], bit).map(|at| base + at);
    };
    let after = base + 8 + middle.len() as u64 * 8;
    bits::find(&[head], bit)
        .map(|at| base + at)
        .or_else(|| bits::find(middle, bit).map(|at| base + 8 + at))
        .or_else(|| bits::find(&[hide(*tail, last_mask)], bit).map(|at| after + at))
}

fn bitop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (dest, sources) = (args.at(2), args.from(3));
    let how = match () {
        () if args.is(1, "and") => Some(Combine::And),
        () if args.is(1, "or") => Some(Combine::Or),
        () if args.is(1, "xor") => Some(Combine::Xor),
        () if args.is(1, "not") => None,
        () => return Err(Error::Syntax),
    };
    if how.is_none() && sources.len() != 1 {
        return Err(Error::BitopNot);
    }
    let mut longest = 0;
    for key in sources.iter() {
        longest = longest.max(ctx.read_str(key)?.0.map_or(0, StrView::len));
    }
    let mut result = Vec::with_capacity(longest);
    let mut digits = IntBuf::new();
    for (i, key) in sources.iter().enumerate() {
        let found = ctx.peek(key).and_then(|entry| entry.str());
        let bytes = found.map_or(&b""[..], |found| found.bytes(&mut digits));
        match how {
            Some(how) if i > 0 => bits::combine(&mut result, bytes, how),
            _ => {
                result.extend_from_slice(bytes);
                result.resize(longest, 0);
            }
        }
    }
    if how.is_none() {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    if !result.is_empty() {
        ctx.put(Entry::new(dest, Value::Str(triomphe::Arc::new(result)), None));
        ctx.modified(NotifyFlags::STRING, "set", dest);
    } else if ctx.delete(dest) {
        ctx.modified(NotifyFlags::GENERIC, "del", dest);
    }
    ctx.out.len_int(longest);
    Ok(())
}
