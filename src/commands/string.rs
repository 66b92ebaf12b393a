//! Strings: GET, SET and their kin, counters, and ranges of bytes.

use crate::commands::deadline::{Expiry, Unit};
use crate::commands::{
    INSERT_KEY, META_KEY, OVERWRITE_KEY, POP_KEY, READ_KEY, READ_KEYS, UPDATE_KEY,
};
use crate::config::NotifyFlags;
use crate::keyspace::{Entry, StrView};
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};
use crate::util::long_double::LongDouble;
use crate::util::num;
use crate::value::Value;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const GROW: Flags = Flags::WRITE.union(Flags::DENYOOM);
const GROW_FAST: Flags = GROW.union(Flags::FAST);
const STRING: Command =
    Command { group: Group::String, categories: Category::STRING, ..Command::DEFAULT };
const SET_KEYS: &[KeySpec] = &[KeySpec::one(
    1,
    KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
)
.noted("RW and ACCESS for the sake of GET")];
const MSET_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))];
const MSETEX_KEYS: &[KeySpec] = &[KeySpec {
    search: Search::Index(1),
    find: Find::Numkeys { index: 0, first: 1, step: 2 },
    flags: KeyFlags::OW.union(KeyFlags::UPDATE),
    notes: "",
}];
const MSETNX_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        flags: READ_FAST,
        keys: READ_KEY,
        summary: "Returns the string at a key.",
        syntax: "key",
        handler: get,
        ..STRING
    },
    Command {
        name: "set",
        arity: -3,
        flags: GROW,
        keys: SET_KEYS,
        summary: "Sets a key to a string, whatever it held, with options for expiry and conditions.",
        syntax: "key value condition=[NX | XX | IFEQ comparison-value]@2.6.12 [GET]@6.2.0 expiration=[EX seconds@2.6.12 | PX \
             milliseconds@2.6.12 | EXAT unix-time-seconds@6.2.0 | PXAT \
             unix-time-milliseconds@6.2.0 | KEEPTTL@6.0.0]",
        history: &[
            ("2.6.12", "`EX`, `PX`, `NX` and `XX` are new."),
            ("6.0.0", "`KEEPTTL` is new."),
            ("6.2.0", "`GET`, `EXAT` and `PXAT` are new."),
            ("7.0.0", "`NX` and `GET` may be given together."),
        ],
        handler: set,
        ..STRING
    },
    Command {
        name: "setnx",
        arity: 3,
        flags: GROW_FAST,
        keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
        summary: "Sets a key to a string if the key doesn't exist.",
        syntax: "key value",
        deprecated: Some(("2.6.12", "`SET` with `NX`")),
        handler: setnx,
        ..STRING
    },
    Command {
        name: "setex",
        arity: 4,
        flags: GROW,
        keys: OVERWRITE_KEY,
        since: "2.0.0",
        summary: "Sets a key to a string that expires in seconds.",
        syntax: "key seconds value",
        deprecated: Some(("2.6.12", "`SET` with `EX`")),
        handler: setex,
        ..STRING
    },
    Command {
        name: "psetex",
        arity: 4,
        flags: GROW,
        keys: OVERWRITE_KEY,
        since: "2.6.0",
        summary: "Sets a key to a string that expires in milliseconds.",
        syntax: "key milliseconds value",
        deprecated: Some(("2.6.12", "`SET` with `PX`")),
        handler: setex,
        ..STRING
    },
    Command {
        name: "getset",
        arity: 3,
        flags: GROW_FAST,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        summary: "Sets a key to a string and returns what it held.",
        syntax: "key value",
        deprecated: Some(("6.2.0", "`SET` with `GET`")),
        handler: getset,
        ..STRING
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: POP_KEY,
        since: "6.2.0",
        summary: "Returns the string at a key and deletes the key.",
        syntax: "key",
        handler: getdel,
        ..STRING
    },
    Command {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
            .noted("RW and UPDATE, as the time to live may change")],
        since: "6.2.0",
        summary: "Returns the string at a key and sets or removes the key's expiry.",
        syntax: "key expiration=[EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT \
             unix-time-milliseconds | PERSIST]",
        handler: getex,
        ..STRING
    },
    Command {
        name: "mget",
        arity: -2,
        flags: READ_FAST,
        keys: READ_KEYS,
        complexity: "O(N), N keys",
        summary: "Returns the strings at several keys.",
        syntax: "key...",
        tips: &["request_policy:multi_shard"],
        handler: mget,
        ..STRING
    },
    Command {
        name: "mset",
        arity: -3,
        flags: GROW,
        keys: MSET_KEYS,
        since: "1.0.1",
        complexity: "O(N), N keys",
        summary: "Sets several keys to strings.",
        syntax: "data=<key value>...",
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        handler: mset,
        ..STRING
    },
    Command {
        name: "msetnx",
        arity: -3,
        flags: GROW,
        keys: MSETNX_KEYS,
        since: "1.0.1",
        complexity: "O(N), N keys",
        summary: "Sets several keys to strings if none of them exists.",
        syntax: "data=<key value>...",
        handler: msetnx,
        ..STRING
    },
    Command {
        name: "msetex",
        arity: -4,
        flags: GROW.union(Flags::MOVABLEKEYS),
        keys: MSETEX_KEYS,
        since: "8.4.0",
        complexity: "O(N), N keys",
        summary: "Sets several keys to strings that expire together, with conditions on all of them.",
        syntax: "numkeys data=<key value>... condition=[NX | XX] expiration=[EX seconds | PX \
             milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        handler: msetex,
        ..STRING
    },
    Command {
        name: "delifeq",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        since: "9.0.0",
        summary: "Deletes a key if it holds the given string.",
        syntax: "key value",
        handler: delifeq,
        ..STRING
    },
    Command {
        name: "append",
        arity: 3,
        flags: GROW_FAST,
        keys: INSERT_KEY,
        since: "2.0.0",
        summary: "Appends to the string at a key.",
        syntax: "key value",
        handler: append,
        ..STRING
    },
    Command {
        name: "strlen",
        arity: 2,
        flags: READ_FAST,
        keys: META_KEY,
        since: "2.2.0",
        summary: "Returns the length of the string at a key.",
        syntax: "key",
        handler: strlen,
        ..STRING
    },
    Command {
        name: "setrange",
        arity: 4,
        flags: GROW,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        since: "2.2.0",
        complexity: "O(M), M bytes of the value",
        summary: "Overwrites part of the string at a key, from an offset on.",
        syntax: "key offset value",
        handler: setrange,
        ..STRING
    },
    Command {
        name: "getrange",
        arity: 4,
        flags: READ,
        keys: READ_KEY,
        since: "2.4.0",
        complexity: "O(N), N bytes returned",
        summary: "Returns part of the string at a key.",
        syntax: "key start end",
        handler: getrange,
        ..STRING
    },
    Command {
        name: "substr",
        arity: 4,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(N), N bytes returned",
        summary: "Returns part of the string at a key; the old name of GETRANGE.",
        syntax: "key start end",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        handler: getrange,
        ..STRING
    },
    Command {
        name: "incr",
        arity: 2,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        summary: "Adds one to the integer at a key.",
        syntax: "key",
        handler: incr,
        ..STRING
    },
    Command {
        name: "decr",
        arity: 2,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        summary: "Subtracts one from the integer at a key.",
        syntax: "key",
        handler: decr,
        ..STRING
    },
    Command {
        name: "incrby",
        arity: 3,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        summary: "Adds to the integer at a key.",
        syntax: "key increment",
        handler: incrby,
        ..STRING
    },
    Command {
        name: "decrby",
        arity: 3,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        summary: "Subtracts from the integer at a key.",
        syntax: "key decrement",
        handler: decrby,
        ..STRING
    },
    Command {
        name: "incrbyfloat",
        arity: 3,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        since: "2.6.0",
        summary: "Adds to the floating-point number at a key.",
        syntax: "key increment{double}",
        handler: incrbyfloat,
        ..STRING
    },
];

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_get(ctx, args.at(1))
}

/// Writes the string at a key, or null.
#[inline]
fn reply_get(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<(), Error> {
    let (found, out) = ctx.read_str(key)?;
    reply_str(found, out);
    Ok(())
}

#[inline]
fn reply_str(found: Option<StrView<'_>>, out: &mut Reply) {
    match found {
        Some(StrView::Bytes(bytes)) => out.bulk(bytes),
        Some(StrView::Int(value)) => out.bulk_int(value),
        None => out.null(),
    }
}

/// When SET sets.
#[derive(Debug, Clone, Copy)]
enum OnlyIf<'a> {
    /// NX
    Absent,
    /// XX
    Present,
    /// IFEQ: the key holds this string.
    Equals(&'a [u8]),
}

impl OnlyIf<'_> {
    fn holds(self, ctx: &mut Ctx<'_>, key: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Absent => Ok(!ctx.exists(key)),
            Self::Present => Ok(ctx.exists(key)),
            Self::Equals(wanted) => holds_string(ctx, key, wanted),
        }
    }
}

/// Whether a key holds this string.
fn holds_string(ctx: &mut Ctx<'_>, key: &[u8], wanted: &[u8]) -> Result<bool, Error> {
    let Some(entry) = ctx.peek(key) else { return Ok(false) };
    let text = entry.str().ok_or(Error::WrongType)?;
    Ok(text.bytes(&mut num::IntBuf::new()) == wanted)
}

/// The options of SET.
struct SetOptions<'a> {
    expiry: Expiry,
    only_if: Option<OnlyIf<'a>>,
    get: bool,
}

/// The deadline that a number means, in Unix milliseconds.
fn deadline(ctx: &Ctx<'_>, unit: Unit, number: &[u8]) -> Result<i64, Error> {
    let number = num::parse_i64(number).ok_or(Error::NotInteger)?;
    let at = Some(number).filter(|&number| number > 0);
    let at = at.and_then(|number| unit.deadline(number, ctx.now_ms()));
    at.ok_or_else(|| Error::InvalidExpire(ctx.command_name()))
}

/// Parses the options of SET that begin at `from`; GET and IFEQ aren't taken unless `single`.
fn set_options<'a>(
    ctx: &Ctx<'_>,
    args: Args<'a>,
    from: usize,
    single: bool,
) -> Result<SetOptions<'a>, Error> {
    let mut options = SetOptions { expiry: Expiry::Unsaid, only_if: None, get: false };
    let mut number = None;
    let mut i = from;
    while let Some(word) = args.get(i) {
        let unit = Unit::of_option(word);
        let unsaid = options.expiry == Expiry::Unsaid && number.is_none();
        if args.is(i, "nx") && options.only_if.is_none() {
            options.only_if = Some(OnlyIf::Absent);
        } else if args.is(i, "xx") && options.only_if.is_none() {
            options.only_if = Some(OnlyIf::Present);
        } else if single && args.is(i, "ifeq") && options.only_if.is_none() {
            options.only_if = Some(OnlyIf::Equals(args.get(i + 1).ok_or(Error::Syntax)?));
            i += 1;
        } else if single && args.is(i, "get") {
            options.get = true;
        } else if args.is(i, "keepttl") && unsaid {
            options.expiry = Expiry::Keep;
        } else if let Some(unit) = unit
            && unsaid
        {
            number = Some((unit, args.get(i + 1).ok_or(Error::Syntax)?));
            i += 1;
        } else {
            return Err(Error::Syntax);
        }
        i += 1;
    }
    if let Some((unit, number)) = number {
        options.expiry = Expiry::At(deadline(ctx, unit, number)?);
    }
    Ok(options)
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        store(ctx, key, value, Expiry::Unsaid);
        ctx.out.ok();
        return Ok(());
    }
    let options = set_options(ctx, args, 3, true)?;
    if options.get {
        reply_get(ctx, key)?;
    }
    if let Some(only_if) = options.only_if
        && !only_if.holds(ctx, key)?
    {
        if !options.get {
            ctx.out.null();
        }
        return Ok(());
    }
    store(ctx, key, value, options.expiry);
    match options.expiry {
        Expiry::At(at) => tell_set(ctx, key, value, at),
        // Whoever executes it again needn't compare.
        Expiry::Keep if matches!(options.only_if, Some(OnlyIf::Equals(_))) => {
            ctx.propagate_as(&[b"SET", key, value, b"KEEPTTL"]);
        }
        _ if matches!(options.only_if, Some(OnlyIf::Equals(_))) => {
            ctx.propagate_as(&[b"SET", key, value]);
        }
        _ if options.get => {
            let words = args.iter().enumerate();
            let kept = words.filter(|&(i, _)| i < 3 || !args.is(i, "get"));
            ctx.propagate_words(kept.map(|(_, word)| word).collect::<Vec<_>>().into_iter());
        }
        _ => {}
    }
    if !options.get {
        ctx.out.ok();
    }
    Ok(())
}

/// Tells of a string that was set, with a deadline that means the same at any time.
fn tell_set(ctx: &mut Ctx<'_>, key: &[u8], value: &[u8], deadline: i64) {
    ctx.propagate_number(&[b"SET", key, value, b"PXAT"], deadline);
}

/// Sets a key to a string, with the events of SET. A deadline that has passed deletes the key.
fn store(ctx: &mut Ctx<'_>, key: &[u8], value: &[u8], expiry: Expiry) {
    let deadline = match expiry {
        Expiry::At(at) => Some(at),
        Expiry::Keep => ctx.peek(key).and_then(Entry::deadline),
        Expiry::Unsaid | Expiry::Remove => None,
    };
    ctx.put_str(key, value, deadline);
    ctx.modified(NotifyFlags::STRING, "set", key);
    if matches!(expiry, Expiry::At(_)) {
        ctx.notify(NotifyFlags::GENERIC, "expire", key);
    }
}

fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let new = !ctx.exists(args.at(1));
    if new {
        store(ctx, args.at(1), args.at(2), Expiry::Unsaid);
    }
    ctx.out.int(i64::from(new));
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let unit = Unit { seconds: ctx.command_name() == "setex", relative: true };
    let at = deadline(ctx, unit, args.at(2))?;
    store(ctx, args.at(1), args.at(3), Expiry::At(at));
    tell_set(ctx, args.at(1), args.at(3), at);
    ctx.out.ok();
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_get(ctx, args.at(1))?;
    store(ctx, args.at(1), args.at(2), Expiry::Unsaid);
    ctx.propagate_as(&[b"SET", args.at(1), args.at(2)]);
    Ok(())
}

fn getdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    reply_get(ctx, key)?;
    if ctx.delete(key) {
        ctx.modified(NotifyFlags::GENERIC, "del", key);
        ctx.propagate_deleted(key, false);
    }
    Ok(())
}

/// A time that hasn't been read yet.
type Time<'a> = (Unit, &'a [u8]);

/// What GETEX is to do with the expiry.
fn getex_option<'a>(args: Args<'a>) -> Result<(Expiry, Option<Time<'a>>), Error> {
    match (args.get(2), args.get(3)) {
        (None, _) => Ok((Expiry::Unsaid, None)),
        (Some(word), None) if word.eq_ignore_ascii_case(b"persist") => Ok((Expiry::Remove, None)),
        (Some(word), Some(number)) if args.len() == 4 => {
            let unit = Unit::of_option(word).ok_or(Error::Syntax)?;
            Ok((Expiry::Unsaid, Some((unit, number))))
        }
        _ => Err(Error::Syntax),
    }
}

fn getex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let (mut expiry, number) = getex_option(args)?;
    // As in Redis, nobody looks at the number if there is no string.
    if let Some((unit, number)) = number
        && ctx.peek(key).is_some_and(|entry| entry.str().is_some())
    {
        expiry = Expiry::At(deadline(ctx, unit, number)?);
    }
    reply_get(ctx, key)?;
    let Some(entry) = ctx.peek(key) else { return Ok(()) };
    let volatile = entry.deadline().is_some();
    match expiry {
        Expiry::At(at) if at <= ctx.now_ms() => {
            ctx.delete(key);
            ctx.modified(NotifyFlags::GENERIC, "del", key);
            ctx.propagate_deleted(key, ctx.srv.config.lazyfree_lazy_expire);
        }
        Expiry::At(at) => {
            ctx.set_deadline(key, Some(at));
            ctx.modified(NotifyFlags::GENERIC, "expire", key);
            ctx.propagate_number(&[b"PEXPIREAT", key], at);
        }
        Expiry::Remove if volatile => {
            ctx.set_deadline(key, None);
            ctx.modified(NotifyFlags::GENERIC, "persist", key);
            ctx.propagate_as(&[b"PERSIST", key]);
        }
        Expiry::Remove | Expiry::Unsaid | Expiry::Keep => {}
    }
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.out.array(args.len() - 1);
    for key in args.from(1).iter() {
        let (entry, out) = ctx.lookup_reply(key);
        reply_str(entry.and_then(Entry::str), out);
    }
    Ok(())
}

/// The key and value pairs of MSET and MSETNX.
fn pairs<'a>(
    ctx: &Ctx<'_>,
    args: Args<'a>,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a>, Error> {
    if args.len().is_multiple_of(2) {
        return Err(ctx.arity_error());
    }
    Ok((1..args.len()).step_by(2).map(move |i| (args.at(i), args.at(i + 1))))
}

fn mset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    for (key, value) in pairs(ctx, args)? {
        store(ctx, key, value, Expiry::Unsaid);
    }
    ctx.out.ok();
    Ok(())
}

fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut keys = pairs(ctx, args)?.map(|(key, _)| key);
    let none = keys.all(|key| !ctx.exists(key));
    if none {
        for (key, value) in pairs(ctx, args)? {
            store(ctx, key, value, Expiry::Unsaid);
        }
    }
    ctx.out.int(i64::from(none));
    Ok(())
}

fn msetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let number = args.int(1).ok().and_then(|number| usize::try_from(number).ok());
    let number = number.filter(|number| *number > 0).ok_or(Error::MsetexNumkeys)?;
    let end = number.checked_mul(2).and_then(|words| words.checked_add(2));
    let end = end.filter(|end| *end <= args.len()).ok_or_else(|| ctx.arity_error())?;
    let options = set_options(ctx, args, end, false)?;
    let pairs = || (2..end).step_by(2).map(|i| (args.at(i), args.at(i + 1)));
    for (key, _) in pairs().filter(|_| options.only_if.is_some()) {
        if let Some(only_if) = options.only_if
            && !only_if.holds(ctx, key)?
        {
            ctx.out.int(0);
            return Ok(());
        }
    }
    for (key, value) in pairs() {
        store(ctx, key, value, options.expiry);
    }
    if let Expiry::At(at) = options.expiry {
        let at = at.to_string();
        let tail = [&b"PXAT"[..], at.as_bytes()];
        let words: Vec<&[u8]> = args.range(0, end).iter().chain(tail).collect();
        ctx.propagate_words(words.into_iter());
    }
    ctx.out.int(1);
    Ok(())
}

fn delifeq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let deleted = holds_string(ctx, key, args.at(2))? && ctx.delete(key);
    if deleted {
        ctx.modified(NotifyFlags::GENERIC, "del", key);
    }
    ctx.out.int(i64::from(deleted));
    Ok(())
}

fn strlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (found, out) = ctx.read_str(args.at(1))?;
    out.len_int(found.map_or(0, StrView::len));
    Ok(())
}

/// Refuses strings longer than `proto-max-bulk-len`.
fn check_len(ctx: &Ctx<'_>, len: usize, more: usize) -> Result<(), Error> {
    let total = len.checked_add(more).ok_or(Error::StringTooLong)?;
    match u64::try_from(total).is_ok_and(|total| total <= ctx.srv.config.proto_max_bulk_len) {
        true => Ok(()),
        false => Err(Error::StringTooLong),
    }
}

fn append(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, more) = (args.at(1), args.at(2));
    let old = match ctx.lookup_write(key) {
        None => None,
        Some(entry) => Some(entry.str().ok_or(Error::WrongType)?.len()),
    };
    let len = match old {
        None => {
            ctx.put_str(key, more, None);
            more.len()
        }
        Some(old) => {
            check_len(ctx, old, more.len())?;
            ctx.upsert_str(key)?.extend_from_slice(more);
            old + more.len()
        }
    };
    ctx.modified(NotifyFlags::STRING, "append", key);
    ctx.out.len_int(len);
    Ok(())
}

fn setrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, piece) = (args.at(1), args.at(3));
    let offset = usize::try_from(args.int(2)?).map_err(|_| Error::OffsetOutOfRange)?;
    let old = match ctx.lookup_write(key) {
        None => None,
        Some(entry) => Some(entry.str().ok_or(Error::WrongType)?.len()),
    };
    if piece.is_empty() {
        ctx.out.len_int(old.unwrap_or(0));
        return Ok(());
    }
    check_len(ctx, offset, piece.len())?;
    let end = offset + piece.len();
    let bytes = ctx.upsert_str(key)?;
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(piece);
    let len = bytes.len();
    ctx.modified(NotifyFlags::STRING, "setrange", key);
    ctx.out.len_int(len);
    Ok(())
}

fn getrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (start, end) = (args.int(2)?, args.int(3)?);
    let (found, out) = ctx.read_str(args.at(1))?;
    let mut digits = num::IntBuf::new();
    let bytes = found.map_or(&b""[..], |found| found.bytes(&mut digits));
    out.bulk(slice(bytes, start, end));
    Ok(())
}

/// The bytes `start..=end`, counted from the end where negative, cut to what exists.
fn slice(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let from_start = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end => bytes.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
}

fn incr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    add(ctx, args.at(1), 1)
}

fn decr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    add(ctx, args.at(1), -1)
}

fn incrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    add(ctx, args.at(1), args.int(2)?)
}

fn decrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let by = args.int(2)?.checked_neg().ok_or(Error::DecrOverflow)?;
    add(ctx, args.at(1), by)
}

fn add(ctx: &mut Ctx<'_>, key: &[u8], by: i64) -> Result<(), Error> {
    let mut deadline = None;
    let mut sum = by;
    let mut stored = false;
    if let Some(entry) = ctx.lookup_write(key) {
        deadline = entry.deadline();
        let old = entry.str().ok_or(Error::WrongType)?.as_int().ok_or(Error::NotInteger)?;
        sum = old.checked_add(by).ok_or(Error::Overflow)?;
        if matches!(entry.value(), Some(Value::Int(_)))
            && let Some(Value::Int(value)) = entry.value_mut()
        {
            *value = sum;
            stored = true;
        }
    }
    if !stored {
        ctx.put(Entry::new(key, Value::Int(sum), deadline));
    }
    ctx.modified(NotifyFlags::STRING, "incrby", key);
    ctx.out.int(sum);
    Ok(())
}

fn incrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let (old, deadline) = match ctx.lookup_write(key) {
        None => (LongDouble::ZERO, None),
        Some(entry) => {
            let text = entry.str().ok_or(Error::WrongType)?;
            let old = LongDouble::parse(text.bytes(&mut num::IntBuf::new()));
            (old.ok_or(Error::NotFloat)?, entry.deadline())
        }
    };
    let by = LongDouble::parse(args.at(2)).ok_or(Error::NotFloat)?;
    let sum = old.checked_add(by).ok_or(Error::NanOrInfinity)?;
    let mut text = Vec::new();
    sum.format(&mut text);
    ctx.put_str(key, &text, deadline);
    ctx.modified(NotifyFlags::STRING, "incrbyfloat", key);
    ctx.propagate_as(&[b"SET", key, &text, b"KEEPTTL"]);
    ctx.out.bulk(&text);
    Ok(())
}
