//! Lists, and the commands that wait for them.

use crate::commands::mpop::MultiPop;
use crate::commands::{META_KEY, READ_KEY, reply_element, reply_len};
use crate::config::NotifyFlags;
use crate::resp::{Args, Error, Reply};
use crate::server::blocked::TimeoutReply;
use crate::server::command::{Command, Inside};
use crate::server::ctx::Ctx;
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};
use crate::util::num;
use crate::value::list::{End, List};
use crate::value::{Limits, Type};

const LIST: Command =
    Command { group: Group::List, categories: Category::LIST, ..Command::DEFAULT };
const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE;
const GROW: Flags = Flags::WRITE.union(Flags::DENYOOM);
const GROW_FAST: Flags = GROW.union(Flags::FAST);
const BLOCK: Flags = Flags::WRITE.union(Flags::BLOCKING);
const INSERT: &[KeySpec] = super::INSERT_KEY;
const POP: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const POP_KEY: &[KeySpec] = &[KeySpec::one(1, POP)];
const MOVE_KEYS: &[KeySpec] =
    &[KeySpec::one(1, POP), KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))];
const BLOCK_KEYS: &[KeySpec] = &[KeySpec::range(1, -2, 1, POP)];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "lpush",
        arity: -3,
        flags: GROW_FAST,
        keys: INSERT,
        inside: Some(Inside::End(End::Left)),
        complexity: "O(N), N elements added",
        summary: "Adds elements at the left end of a list.",
        syntax: "key element...",
        history: &[("2.4.0", "Several elements may be given.")],
        handler: push,
        ..LIST
    },
    Command {
        name: "rpush",
        arity: -3,
        flags: GROW_FAST,
        keys: INSERT,
        inside: Some(Inside::End(End::Right)),
        complexity: "O(N), N elements added",
        summary: "Adds elements at the right end of a list.",
        syntax: "key element...",
        history: &[("2.4.0", "Several elements may be given.")],
        handler: push,
        ..LIST
    },
    Command {
        name: "lpushx",
        arity: -3,
        flags: GROW_FAST,
        keys: INSERT,
        inside: Some(Inside::End(End::Left)),
        since: "2.2.0",
        complexity: "O(N), N elements added",
        summary: "Adds elements at the left end of a list that exists.",
        syntax: "key element...",
        history: &[("4.0.0", "Several elements may be given.")],
        handler: pushx,
        ..LIST
    },
    Command {
        name: "rpushx",
        arity: -3,
        flags: GROW_FAST,
        keys: INSERT,
        inside: Some(Inside::End(End::Right)),
        since: "2.2.0",
        complexity: "O(N), N elements added",
        summary: "Adds elements at the right end of a list that exists.",
        syntax: "key element...",
        history: &[("4.0.0", "Several elements may be given.")],
        handler: pushx,
        ..LIST
    },
    Command {
        name: "lpop",
        arity: -2,
        flags: WRITE.union(Flags::FAST),
        keys: POP_KEY,
        inside: Some(Inside::End(End::Left)),
        complexity: "O(N), N elements removed",
        summary: "Removes and returns elements from the left end of a list.",
        syntax: "key [count]@6.2.0",
        history: &[("6.2.0", "`count` is new.")],
        handler: pop,
        ..LIST
    },
    Command {
        name: "rpop",
        arity: -2,
        flags: WRITE.union(Flags::FAST),
        keys: POP_KEY,
        inside: Some(Inside::End(End::Right)),
        complexity: "O(N), N elements removed",
        summary: "Removes and returns elements from the right end of a list.",
        syntax: "key [count]@6.2.0",
        history: &[("6.2.0", "`count` is new.")],
        handler: pop,
        ..LIST
    },
    Command {
        name: "llen",
        arity: 2,
        flags: READ.union(Flags::FAST),
        keys: META_KEY,
        summary: "Returns the length of a list.",
        syntax: "key",
        handler: reply_len::<List>,
        ..LIST
    },
    Command {
        name: "lindex",
        arity: 3,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(log N)",
        summary: "Returns an element of a list by its index.",
        syntax: "key index",
        handler: lindex,
        ..LIST
    },
    Command {
        name: "lset",
        arity: 4,
        flags: GROW,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        complexity: "O(log N)",
        summary: "Sets an element of a list by its index.",
        syntax: "key index element",
        handler: lset,
        ..LIST
    },
    Command {
        name: "lrange",
        arity: 4,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(log N + M), M elements returned",
        summary: "Returns a range of elements of a list.",
        syntax: "key start stop",
        handler: lrange,
        ..LIST
    },
    Command {
        name: "ltrim",
        arity: 4,
        flags: WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        complexity: "O(N), N elements removed",
        summary: "Keeps a range of elements of a list and removes the others.",
        syntax: "key start stop",
        handler: ltrim,
        ..LIST
    },
    Command {
        name: "lrem",
        arity: 4,
        flags: WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        complexity: "O(N)",
        summary: "Removes elements of a given value from a list.",
        syntax: "key count element",
        handler: lrem,
        ..LIST
    },
    Command {
        name: "linsert",
        arity: 5,
        flags: GROW,
        keys: INSERT,
        since: "2.2.0",
        complexity: "O(N)",
        summary: "Puts an element before or after another in a list.",
        syntax: "key where=<BEFORE | AFTER> pivot element",
        handler: linsert,
        ..LIST
    },
    Command {
        name: "lpos",
        arity: -3,
        flags: READ,
        keys: READ_KEY,
        since: "6.0.6",
        complexity: "O(N)",
        summary: "Returns the indices of elements of a given value.",
        syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        handler: lpos,
        ..LIST
    },
    Command {
        name: "lmove",
        arity: 5,
        flags: GROW,
        keys: MOVE_KEYS,
        since: "6.2.0",
        summary: "Moves an element from one end of a list to an end of another.",
        syntax: "source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT>",
        handler: lmove,
        ..LIST
    },
    Command {
        name: "rpoplpush",
        arity: 3,
        flags: GROW,
        keys: MOVE_KEYS,
        inside: Some(Inside::End(End::Right)),
        since: "1.2.0",
        summary: "Moves the last element of a list to the start of another.",
        syntax: "source destination",
        deprecated: Some(("6.2.0", "`LMOVE` with `RIGHT` and `LEFT`")),
        handler: rpoplpush,
        ..LIST
    },
    Command {
        name: "lmpop",
        arity: -4,
        flags: WRITE.union(Flags::MOVABLEKEYS),
        keys: &[KeySpec::numkeys(1, POP)],
        since: "7.0.0",
        complexity: "O(N+M), N keys, M elements",
        summary: "Removes and returns elements of the first list that isn't empty.",
        syntax: "numkeys key... where=<LEFT | RIGHT> [COUNT count]",
        handler: lmpop,
        ..LIST
    },
    Command {
        name: "blpop",
        arity: -3,
        flags: BLOCK,
        keys: BLOCK_KEYS,
        since: "2.0.0",
        complexity: "O(N), N keys",
        summary: "Removes and returns the first element of a list, and waits for one.",
        syntax: "key... timeout",
        history: &[("6.0.0", "`timeout` may have decimals.")],
        handler: bpop,
        ..LIST
    },
    Command {
        name: "brpop",
        arity: -3,
        flags: BLOCK,
        keys: BLOCK_KEYS,
        since: "2.0.0",
        complexity: "O(N), N keys",
        summary: "Removes and returns the last element of a list, and waits for one.",
        syntax: "key... timeout",
        history: &[("6.0.0", "`timeout` may have decimals.")],
        handler: bpop,
        ..LIST
    },
    Command {
        name: "blmove",
        arity: 6,
        flags: BLOCK.union(Flags::DENYOOM),
        keys: MOVE_KEYS,
        since: "6.2.0",
        summary: "Moves an element from one list to another, and waits for one.",
        syntax: "source destination wherefrom=<LEFT | RIGHT> whereto=<LEFT | RIGHT> timeout",
        handler: blmove,
        ..LIST
    },
    Command {
        name: "brpoplpush",
        arity: 4,
        flags: BLOCK.union(Flags::DENYOOM),
        keys: MOVE_KEYS,
        since: "2.2.0",
        summary: "Moves the last element of a list to the start of another, and waits for one.",
        syntax: "source destination timeout",
        history: &[("6.0.0", "`timeout` may have decimals.")],
        deprecated: Some(("6.2.0", "`BLMOVE` with `RIGHT` and `LEFT`")),
        handler: brpoplpush,
        ..LIST
    },
    Command {
        name: "blmpop",
        arity: -5,
        flags: WRITE.union(Flags::BLOCKING).union(Flags::MOVABLEKEYS),
        keys: &[KeySpec {
            search: Search::Index(2),
            find: Find::Numkeys { index: 0, first: 1, step: 1 },
            flags: POP,
            notes: "",
        }],
        since: "7.0.0",
        complexity: "O(N+M), N keys, M elements",
        summary: "Removes and returns elements of a list, and waits for some.",
        syntax: "timeout numkeys key... where=<LEFT | RIGHT> [COUNT count]",
        handler: blmpop,
        ..LIST
    },
];

/// The end that a command's name says: `lpush`, `brpop`.
fn end_of(ctx: &Ctx<'_>) -> End {
    match ctx.command_name().trim_start_matches('b').starts_with('l') {
        true => End::Left,
        false => End::Right,
    }
}

fn parse_end(arg: &[u8]) -> Result<End, Error> {
    match arg.to_ascii_lowercase().as_slice() {
        b"left" => Ok(End::Left),
        b"right" => Ok(End::Right),
        _ => Err(Error::Syntax),
    }
}

fn push_event(end: End) -> &'static str {
    if end == End::Left { "lpush" } else { "rpush" }
}

fn pop_event(end: End) -> &'static str {
    if end == End::Left { "lpop" } else { "rpop" }
}

/// The command that pops from an end and never waits.
fn pop_name(end: End) -> &'static [u8] {
    if end == End::Left { b"LPOP" } else { b"RPOP" }
}

fn push(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    push_elements(ctx, args.at(1), args)
}

fn push_elements(ctx: &mut Ctx<'_>, key: &[u8], args: Args<'_>) -> Result<(), Error> {
    let (end, limits) = (end_of(ctx), ctx.srv.limits);
    let (list, out) = ctx.upsert::<List>(key)?;
    match args.len() {
        3 => list.push(end, args.at(2), &limits),
        _ => list.push_all(end, args.from(2).iter(), &limits),
    }
    out.len_int(list.len());
    ctx.modified_by(args.len() - 2, NotifyFlags::LIST, push_event(end), key);
    ctx.signal_ready(key);
    Ok(())
}

fn pushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    if ctx.write::<List>(key)?.0.is_none() {
        ctx.out.int(0);
        return Ok(());
    }
    push_elements(ctx, key, args)
}

/// Announces that `count` elements left a list, and deletes it if none is left.
fn popped(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) {
    ctx.modified_by(count, NotifyFlags::LIST, pop_event(end), key);
    ctx.drop_if_empty(key);
}

/// Removes up to `count` elements from an end and replies them as an array; returns how many.
fn pop_elements(
    list: &mut List,
    end: End,
    count: usize,
    out: &mut Reply,
    limits: &Limits,
) -> usize {
    let len = list.len();
    let count = count.min(len);
    out.array(count);
    let mut left = count;
    if left == 0 {
        return 0;
    }
    let (start, to) = match end {
        End::Left => (0, End::Right),
        End::Right => (len - 1, End::Left),
    };
    list.walk(start, to, |element| {
        reply_element(element, out);
        left -= 1;
        left > 0
    });
    let from = if end == End::Left { 0 } else { len - count };
    list.remove_range(from, count, limits);
    count
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(ctx.arity_error());
    }
    let (key, end, limits) = (args.at(1), end_of(ctx), ctx.srv.limits);
    let count = match args.get(2) {
        None => None,
        Some(count) => Some(parse_count(count)?),
    };
    let (list, out) = ctx.write::<List>(key)?;
    let Some(list) = list else {
        match count {
            None => out.null(),
            Some(_) => out.null_array(),
        }
        return Ok(());
    };
    let removed = match count {
        None => {
            list.pop(end, &limits, |element| reply_element(element, out));
            1
        }
        Some(count) => pop_elements(list, end, count, out, &limits),
    };
    if removed > 0 {
        popped(ctx, key, end, removed);
    }
    Ok(())
}

fn parse_count(arg: &[u8]) -> Result<usize, Error> {
    let count = num::parse_i64(arg).ok_or(Error::NotPositive)?;
    usize::try_from(count).map_err(|_| Error::NotPositive)
}

fn lindex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (list, out) = ctx.read::<List>(args.at(1))?;
    let Some(list) = list else {
        out.null();
        return Ok(());
    };
    let index = args.int(2)?;
    let found = list.position(index);
    if found.and_then(|at| list.get(at, |element| reply_element(element, out))).is_none() {
        out.null();
    }
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, limits) = (args.at(1), ctx.srv.limits);
    let list = ctx.write::<List>(key)?.0.ok_or(Error::NoSuchKey)?;
    let index = args.int(2)?;
    let at = list.position(index).ok_or(Error::IndexOutOfRange)?;
    list.set(at, args.at(3), &limits);
    ctx.modified(NotifyFlags::LIST, "lset", key);
    ctx.out.ok();
    Ok(())
}

/// The positions `start..end` that a range with negative indices and inclusive end means.
pub fn range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len_i = i64::try_from(len).unwrap_or(i64::MAX);
    let from_left = |at: i64| if at < 0 { at.saturating_add(len_i).max(0) } else { at };
    let end = if end < 0 { end.saturating_add(len_i) } else { end };
    let start = usize::try_from(from_left(start)).unwrap_or(0).min(len);
    let end = usize::try_from(end.saturating_add(1)).unwrap_or(0).min(len);
    start..end.max(start)
}

fn lrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (start, end) = (args.int(2)?, args.int(3)?);
    let (list, out) = ctx.read::<List>(args.at(1))?;
    let Some(list) = list else {
        out.array(0);
        return Ok(());
    };
    let range = range(start, end, list.len());
    out.array(range.len());
    let mut left = range.len();
    if left > 0 {
        list.walk(range.start, End::Right, |element| {
            reply_element(element, out);
            left -= 1;
            left > 0
        });
    }
    Ok(())
}

fn ltrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, limits) = (args.at(1), ctx.srv.limits);
    let (start, end) = (args.int(2)?, args.int(3)?);
    if let Some(list) = ctx.write::<List>(key)?.0 {
        let len = list.len();
        let keep = range(start, end, len);
        list.remove_range(keep.end, len - keep.end, &limits);
        list.remove_range(0, keep.start, &limits);
        ctx.modified_by(len - keep.len(), NotifyFlags::LIST, "ltrim", key);
        ctx.drop_if_empty(key);
    }
    ctx.out.ok();
    Ok(())
}

fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, limits) = (args.at(1), ctx.srv.limits);
    let count = args.int(2)?;
    let (from, most) = match count {
        0 => (End::Left, usize::MAX),
        1.. => (End::Left, usize::try_from(count).unwrap_or(usize::MAX)),
        _ => (End::Right, usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let list = ctx.write::<List>(key)?.0;
    let removed = list.map_or(0, |list| list.remove(args.at(3), from, most, &limits));
    if removed > 0 {
        ctx.modified_by(removed, NotifyFlags::LIST, "lrem", key);
        ctx.drop_if_empty(key);
    }
    ctx.out.len_int(removed);
    Ok(())
}

fn linsert(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, limits) = (args.at(1), ctx.srv.limits);
    let after = match () {
        () if args.is(2, "after") => 1,
        () if args.is(2, "before") => 0,
        () => return Err(Error::Syntax),
    };
    let Some(list) = ctx.write::<List>(key)?.0 else {
        ctx.out.int(0);
        return Ok(());
    };
    let Some(pivot) = list.find(args.at(3)) else {
        ctx.out.int(-1);
        return Ok(());
    };
    list.insert(pivot + after, args.at(4), &limits);
    let len = list.len();
    ctx.modified(NotifyFlags::LIST, "linsert", key);
    ctx.out.len_int(len);
    Ok(())
}

/// The options of LPOS.
struct PosOptions {
    rank: i64,
    count: Option<usize>,
    max_len: usize,
}

impl PosOptions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let mut options = Self { rank: 1, count: None, max_len: 0 };
        let mut i = 3;
        while i < args.len() {
            if i + 1 >= args.len() {
                return Err(Error::Syntax);
            }
            if args.is(i, "rank") {
                options.rank = args.int(i + 1)?;
                if options.rank == 0 {
                    return Err(Error::LposRankZero);
                }
                if options.rank == i64::MIN {
                    return Err(Error::LposRankRange);
                }
            } else if args.is(i, "count") {
                let count = num::parse_i64(args.at(i + 1)).ok_or(Error::LposCount)?;
                options.count = Some(usize::try_from(count).map_err(|_| Error::LposCount)?);
            } else if args.is(i, "maxlen") {
                let max_len = num::parse_i64(args.at(i + 1)).ok_or(Error::LposMaxlen)?;
                options.max_len = usize::try_from(max_len).map_err(|_| Error::LposMaxlen)?;
            } else {
                return Err(Error::Syntax);
            }
            i += 2;
        }
        Ok(options)
    }
}

fn lpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = PosOptions::parse(args)?;
    let (list, out) = ctx.read::<List>(args.at(1))?;
    let found = list.map_or(Vec::new(), |list| positions(list, args.at(2), &options));
    match options.count {
        Some(_) => {
            out.array(found.len());
            found.iter().for_each(|&at| out.len_int(at));
        }
        None => match found.first() {
            Some(&at) => out.len_int(at),
            None => out.null(),
        },
    }
    Ok(())
}

fn positions(list: &List, value: &[u8], options: &PosOptions) -> Vec<usize> {
    let most = match options.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let mut skip = options.rank.unsigned_abs() - 1;
    let mut looks = if options.max_len == 0 { usize::MAX } else { options.max_len };
    let (mut at, to) = match options.rank > 0 {
        true => (0, End::Right),
        false => (list.len().saturating_sub(1), End::Left),
    };
    let mut found = Vec::new();
    list.walk(at, to, |element| {
        if element.eq_bytes(value) {
            match skip {
                0 => found.push(at),
                _ => skip -= 1,
            }
        }
        at = if to == End::Right { at + 1 } else { at.wrapping_sub(1) };
        looks -= 1;
        looks > 0 && found.len() < most
    });
    found
}

/// Moves one element; says whether there was one.
fn move_element(
    ctx: &mut Ctx<'_>,
    source: &[u8],
    target: &[u8],
    from: End,
    to: End,
) -> Result<bool, Error> {
    let limits = ctx.srv.limits;
    if ctx.write::<List>(source)?.0.is_none() {
        return Ok(false);
    }
    ctx.write::<List>(target)?;
    let Some(list) = ctx.write::<List>(source)?.0 else { return Ok(false) };
    let Some(element) = list.pop(from, &limits, |element| element.to_vec()) else {
        return Ok(false);
    };
    ctx.upsert::<List>(target)?.0.push(to, &element, &limits);
    ctx.out.bulk(&element);
    ctx.modified(NotifyFlags::LIST, push_event(to), target);
    ctx.notify(NotifyFlags::LIST, pop_event(from), source);
    ctx.touched(source);
    ctx.drop_if_empty(source);
    ctx.signal_ready(target);
    Ok(true)
}

fn lmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (from, to) = (parse_end(args.at(3))?, parse_end(args.at(4))?);
    if !move_element(ctx, args.at(1), args.at(2), from, to)? {
        ctx.out.null();
    }
    Ok(())
}

fn rpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !move_element(ctx, args.at(1), args.at(2), End::Right, End::Left)? {
        ctx.out.null();
    }
    Ok(())
}

fn block_move(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    from: End,
    to: End,
    timeout: &[u8],
) -> Result<(), Error> {
    let timeout_ms = Ctx::parse_timeout(timeout)?;
    let source = args.at(1);
    if move_element(ctx, source, args.at(2), from, to)? {
        // All arguments but the timeout, which is the last.
        let words = args.range(1, args.len() - 1);
        let name: &[u8] = if words.len() == 2 { b"RPOPLPUSH" } else { b"LMOVE" };
        ctx.propagate_as(&[&[name], words.iter().collect::<Vec<_>>().as_slice()].concat());
        return Ok(());
    }
    // Unlike the timeout's reply, that of a caller who can't wait is a null, not a null array.
    if ctx.denies_blocking() {
        ctx.out.null();
        return Ok(());
    }
    ctx.block(args, [source].into_iter(), Type::List, timeout_ms, TimeoutReply::NullArray)
}

fn blmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (from, to) = (parse_end(args.at(3))?, parse_end(args.at(4))?);
    block_move(ctx, args, from, to, args.at(5))
}

fn brpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    block_move(ctx, args, End::Right, End::Left, args.at(3))
}

fn bpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (end, limits) = (end_of(ctx), ctx.srv.limits);
    let last = args.len() - 1;
    let timeout_ms = Ctx::parse_timeout(args.at(last))?;
    let keys = args.range(1, last);
    for key in keys.iter() {
        let (list, out) = ctx.write::<List>(key)?;
        if let Some(list) = list {
            out.array(2);
            out.bulk(key);
            list.pop(end, &limits, |element| reply_element(element, out));
            popped(ctx, key, end, 1);
            ctx.propagate_as(&[pop_name(end), key]);
            return Ok(());
        }
    }
    ctx.block(args, keys.iter(), Type::List, timeout_ms, TimeoutReply::NullArray)
}

/// Pops from the first list that isn't empty; says whether there was one.
fn pop_first(ctx: &mut Ctx<'_>, pop: &MultiPop<'_, End>) -> Result<bool, Error> {
    let limits = ctx.srv.limits;
    for key in pop.keys.iter() {
        let (list, out) = ctx.write::<List>(key)?;
        if let Some(list) = list {
            out.array(2);
            out.bulk(key);
            let removed = pop_elements(list, pop.end, pop.count, out, &limits);
            popped(ctx, key, pop.end, removed);
            ctx.propagate_number(&[pop_name(pop.end), key], removed as i64);
            return Ok(true);
        }
    }
    Ok(false)
}

fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !pop_first(ctx, &MultiPop::parse(args, 1, parse_end)?)? {
        ctx.out.null_array();
    }
    Ok(())
}

fn blmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let pop = MultiPop::parse(args, 2, parse_end)?;
    let timeout_ms = Ctx::parse_timeout(args.at(1))?;
    if pop_first(ctx, &pop)? {
        return Ok(());
    }
    ctx.block(args, pop.keys.iter(), Type::List, timeout_ms, TimeoutReply::NullArray)
}
