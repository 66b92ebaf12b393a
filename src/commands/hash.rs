//! Hashes: fields and their values, counters, random fields, and scans.

use crate::commands::scan;
use crate::commands::{
    DELETE_KEY, INSERT_KEY, META_KEY, READ_KEY, UPDATE_KEY, random_count, reply_element, reply_len,
};
use crate::config::NotifyFlags;
use crate::ds::listpack::Element;
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::long_double::LongDouble;
use crate::util::num::{self, IntBuf};
use crate::value::hash::Hash;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const GROW_FAST: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const HASH: Command =
    Command { group: Group::Hash, categories: Category::HASH, since: "2.0.0", ..Command::DEFAULT };
/// The key is updated, and none of its data is returned.
const SET_KEY: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hset",
        arity: -4,
        flags: GROW_FAST,
        keys: SET_KEY,
        complexity: "O(N), N fields",
        summary: "Sets fields of a hash, and creates the hash if need be.",
        syntax: "key data=<field value>...",
        history: &[("4.0.0", "Several pairs of `field` and `value` may be given.")],
        handler: hset,
        ..HASH
    },
    Command {
        name: "hsetnx",
        arity: 4,
        flags: GROW_FAST,
        keys: INSERT_KEY,
        summary: "Sets a field of a hash if there is no such field.",
        syntax: "key field value",
        handler: hsetnx,
        ..HASH
    },
    Command {
        name: "hmset",
        arity: -4,
        flags: GROW_FAST,
        keys: SET_KEY,
        complexity: "O(N), N fields",
        summary: "Sets fields of a hash; the old form of HSET.",
        syntax: "key data=<field value>...",
        deprecated: Some(("4.0.0", "`HSET` with several fields")),
        handler: hset,
        ..HASH
    },
    Command {
        name: "hget",
        arity: 3,
        flags: READ_FAST,
        keys: READ_KEY,
        summary: "Returns the value of a field of a hash.",
        syntax: "key field",
        handler: hget,
        ..HASH
    },
    Command {
        name: "hmget",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        complexity: "O(N), N fields",
        summary: "Returns the values of several fields of a hash.",
        syntax: "key field...",
        handler: hmget,
        ..HASH
    },
    Command {
        name: "hdel",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: DELETE_KEY,
        complexity: "O(N), N fields",
        summary: "Removes fields from a hash, and deletes the hash when none is left.",
        syntax: "key field...",
        history: &[("2.4.0", "Several fields may be given.")],
        handler: hdel,
        ..HASH
    },
    Command {
        name: "hlen",
        arity: 2,
        flags: READ_FAST,
        keys: META_KEY,
        summary: "Returns the number of fields of a hash.",
        syntax: "key",
        handler: reply_len::<Hash>,
        ..HASH
    },
    Command {
        name: "hstrlen",
        arity: 3,
        flags: READ_FAST,
        keys: META_KEY,
        since: "3.2.0",
        summary: "Returns the length of the value of a field of a hash.",
        syntax: "key field",
        handler: hstrlen,
        ..HASH
    },
    Command {
        name: "hkeys",
        arity: 2,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(N), N fields",
        summary: "Returns all fields of a hash.",
        syntax: "key",
        tips: &["nondeterministic_output_order"],
        handler: hkeys,
        ..HASH
    },
    Command {
        name: "hvals",
        arity: 2,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(N), N fields",
        summary: "Returns all values of a hash.",
        syntax: "key",
        tips: &["nondeterministic_output_order"],
        handler: hvals,
        ..HASH
    },
    Command {
        name: "hgetall",
        arity: 2,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(N), N fields",
        summary: "Returns all fields of a hash with their values.",
        syntax: "key",
        tips: &["nondeterministic_output_order"],
        handler: hgetall,
        ..HASH
    },
    Command {
        name: "hexists",
        arity: 3,
        flags: READ_FAST,
        keys: META_KEY,
        summary: "Tells whether a hash has a field.",
        syntax: "key field",
        handler: hexists,
        ..HASH
    },
    Command {
        name: "hincrby",
        arity: 4,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        summary: "Adds to the integer that a field of a hash holds.",
        syntax: "key field increment",
        handler: hincrby,
        ..HASH
    },
    Command {
        name: "hincrbyfloat",
        arity: 4,
        flags: GROW_FAST,
        keys: UPDATE_KEY,
        since: "2.6.0",
        summary: "Adds to the floating-point number that a field of a hash holds.",
        syntax: "key field increment{double}",
        handler: hincrbyfloat,
        ..HASH
    },
    Command {
        name: "hrandfield",
        arity: -2,
        flags: READ,
        keys: READ_KEY,
        since: "6.2.0",
        complexity: "O(N), N fields returned",
        summary: "Returns random fields of a hash.",
        syntax: "key options=[count [WITHVALUES]]",
        tips: &["nondeterministic_output"],
        handler: hrandfield,
        ..HASH
    },
    Command {
        name: "hscan",
        arity: -3,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for all N fields",
        summary: "Iterates over the fields of a hash and their values.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        tips: &["nondeterministic_output"],
        handler: hscan,
        ..HASH
    },
];

fn hset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, pairs) = (args.at(1), args.from(2));
    if !pairs.len().is_multiple_of(2) {
        return Err(ctx.arity_error());
    }
    let limits = ctx.srv.limits;
    let (hash, _) = ctx.upsert::<Hash>(key)?;
    let before = hash.next_deadline();
    hash.expect(pairs.iter(), &limits);
    let mut new = 0;
    for i in (0..pairs.len()).step_by(2) {
        new += usize::from(hash.set(pairs.at(i), pairs.at(i + 1), &limits));
    }
    if before.is_some() {
        ctx.db_mut().reindex_fields(key, before);
    }
    if ctx.command_name() == "hmset" {
        ctx.out.ok()
    } else {
        ctx.out.len_int(new)
    }
    ctx.modified_by(pairs.len() / 2, NotifyFlags::HASH, "hset", key);
    Ok(())
}

fn hsetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, field, value) = (args.at(1), args.at(2), args.at(3));
    let limits = ctx.srv.limits;
    let (hash, _) = ctx.upsert::<Hash>(key)?;
    let new = !hash.contains(field);
    if new {
        hash.expect([field, value].into_iter(), &limits);
        hash.set(field, value, &limits);
        ctx.modified(NotifyFlags::HASH, "hset", key);
    }
    ctx.out.int(i64::from(new));
    Ok(())
}

fn hget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    reply_value(out, hash, args.at(2));
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    let fields = args.from(2);
    out.array(fields.len());
    fields.iter().for_each(|field| reply_value(out, hash, field));
    Ok(())
}

/// Writes the value of a field, or null.
pub(super) fn reply_value(out: &mut Reply, hash: Option<&Hash>, field: &[u8]) {
    match hash.and_then(|hash| hash.get(field)) {
        Some(value) => reply_element(value, out),
        None => out.null(),
    }
}

fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let Some(hash) = ctx.write::<Hash>(key)?.0 else {
        ctx.out.int(0);
        return Ok(());
    };
    let before = hash.next_deadline();
    let removed = args.from(2).iter().filter(|field| hash.remove(field)).count();
    if removed > 0 {
        if before.is_some() {
            ctx.db_mut().reindex_fields(key, before);
        }
        ctx.modified_by(removed, NotifyFlags::HASH, "hdel", key);
        ctx.drop_if_empty(key);
    }
    ctx.out.len_int(removed);
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    let value = hash.and_then(|hash| hash.get(args.at(2)));
    out.len_int(value.map_or(0, |value| value.len()));
    Ok(())
}

fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    out.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(field, _)| reply_element(field, out));
    Ok(())
}

fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    out.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(_, value)| reply_element(value, out));
    Ok(())
}

fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    out.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        reply_element(field, out);
        reply_element(value, out);
    }
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    out.int(i64::from(hash.is_some_and(|hash| hash.contains(args.at(2)))));
    Ok(())
}

fn hincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, field, by) = (args.at(1), args.at(2), args.int(3)?);
    let limits = ctx.srv.limits;
    let (hash, _) = ctx.upsert::<Hash>(key)?;
    let old = match hash.get(field) {
        None => 0,
        Some(value) => value.as_int().ok_or(Error::HashNotInteger)?,
    };
    let sum = old.checked_add(by).ok_or(Error::Overflow)?;
    hash.set_value(field, num::fmt_i64(sum, &mut IntBuf::new()), &limits);
    ctx.out.int(sum);
    ctx.modified(NotifyFlags::HASH, "hincrby", key);
    Ok(())
}

fn hincrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, field) = (args.at(1), args.at(2));
    let by = LongDouble::parse(args.at(3)).ok_or(Error::NotFloat)?;
    by.checked_add(LongDouble::ZERO).ok_or(Error::ValueNanOrInfinity)?;
    let limits = ctx.srv.limits;
    let (hash, _) = ctx.upsert::<Hash>(key)?;
    let old = match hash.get(field) {
        None => LongDouble::ZERO,
        Some(value) => {
            LongDouble::parse(value.as_bytes(&mut IntBuf::new())).ok_or(Error::HashNotFloat)?
        }
    };
    let sum = old.checked_add(by).ok_or(Error::NanOrInfinity)?;
    let mut text = Vec::new();
    sum.format(&mut text);
    hash.set_value(field, &text, &limits);
    let deadline = hash.deadline(field);
    ctx.out.bulk(&text);
    ctx.modified(NotifyFlags::HASH, "hincrbyfloat", key);
    ctx.propagate_as(&[b"HSET", key, field, &text]);
    if let Some(at) = deadline {
        // HSET takes the deadline away.
        let at = at.to_string();
        ctx.propagate_as(&[b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", b"1", field]);
    }
    Ok(())
}

fn hrandfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut rng = ctx.srv.rng.fork();
    if args.len() == 2 {
        let (hash, out) = ctx.read::<Hash>(args.at(1))?;
        match hash.and_then(|hash| hash.random(&mut rng)) {
            Some((field, _)) => reply_element(field, out),
            None => out.null(),
        }
        return Ok(());
    }
    let (count, values) = random_count(args, "withvalues")?;
    let cap = ctx.output_cap(count);
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    let Some(hash) = hash else {
        out.array(0);
        return Ok(());
    };
    let cap = cap?;
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let wanted = if count < 0 { wanted } else { wanted.min(hash.len()) };
    // RESP3 nests each pair in an array of its own.
    let nested = values && out.resp3();
    out.array(if values && !nested { wanted * 2 } else { wanted });
    let emit = |field: Element<'_>, value: Element<'_>| {
        if nested {
            out.array(2);
        }
        reply_element(field, out);
        if values {
            reply_element(value, out);
        }
        out.len() <= cap.max
    };
    pick(hash, wanted, count < 0, &mut rng, emit);
    ctx.end_capped(cap)
}

/// Passes `n` random pairs: each drawn from all of them, or all different.
fn pick(
    hash: &Hash,
    n: usize,
    repeat: bool,
    rng: &mut fastrand::Rng,
    mut emit: impl FnMut(Element<'_>, Element<'_>) -> bool,
) {
    if !repeat {
        return hash.random_distinct(n, rng, |field, value| {
            emit(field, value);
        });
    }
    for _ in 0..n {
        let Some((field, value)) = hash.random(rng) else { return };
        if !emit(field, value) {
            return;
        }
    }
}

fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    scan::collection(ctx, args, |hash: &Hash, options, elements| {
        let mut count = 0;
        let next = hash.scan(options.cursor, options.count, |field, value| {
            if options.matches(field.as_bytes(&mut IntBuf::new())) {
                reply_element(field, elements);
                reply_element(value, elements);
                count += 2;
            }
        });
        (next, count)
    })
}
