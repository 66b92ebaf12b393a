//! Sets: members, random members, intersections, unions and differences, and scans.

use triomphe::Arc;

use crate::commands::scan;
use crate::commands::{
    DELETE_KEY, INSERT_KEY, META_KEY, POP_KEY, READ_KEY, READ_KEYS, reply_element, reply_len,
    store_collection,
};
use crate::config::NotifyFlags;
use crate::ds::listpack::Element;
use crate::keyspace::Entry;
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::num::{self, IntBuf};
use crate::value::set::Set;
use crate::value::{Collection, Limits, Value};

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const GROW: Flags = Flags::WRITE.union(Flags::DENYOOM);
const SHRINK_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const SET: Command = Command { group: Group::Set, categories: Category::SET, ..Command::DEFAULT };
/// A destination, and after it keys that are read.
const INTER_STORE_KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE)),
    KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
];
const STORE_KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
    KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
];
const MOVE_KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
    KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        arity: -3,
        flags: GROW.union(Flags::FAST),
        keys: INSERT_KEY,
        complexity: "O(N), N members",
        summary: "Adds members to a set, and creates the set if need be.",
        syntax: "key member...",
        history: &[("2.4.0", "Several members may be given.")],
        handler: sadd,
        ..SET
    },
    Command {
        name: "srem",
        arity: -3,
        flags: SHRINK_FAST,
        keys: DELETE_KEY,
        complexity: "O(N), N members",
        summary: "Removes members from a set, and deletes the set when none is left.",
        syntax: "key member...",
        history: &[("2.4.0", "Several members may be given.")],
        handler: srem,
        ..SET
    },
    Command {
        name: "smove",
        arity: 4,
        flags: SHRINK_FAST,
        keys: MOVE_KEYS,
        summary: "Moves a member from one set to another.",
        syntax: "source destination member",
        handler: smove,
        ..SET
    },
    Command {
        name: "sismember",
        arity: 3,
        flags: READ_FAST,
        keys: META_KEY,
        summary: "Tells whether a set has a member.",
        syntax: "key member",
        handler: sismember,
        ..SET
    },
    Command {
        name: "smismember",
        arity: -3,
        flags: READ_FAST,
        keys: READ_KEY,
        since: "6.2.0",
        complexity: "O(N), N members",
        summary: "Tells which of several members a set has.",
        syntax: "key member...",
        handler: smismember,
        ..SET
    },
    Command {
        name: "scard",
        arity: 2,
        flags: READ_FAST,
        keys: META_KEY,
        summary: "Returns the number of members of a set.",
        syntax: "key",
        handler: reply_len::<Set>,
        ..SET
    },
    Command {
        name: "spop",
        arity: -2,
        flags: SHRINK_FAST,
        keys: POP_KEY,
        complexity: "O(N), N members returned",
        summary: "Removes random members from a set and returns them.",
        syntax: "key [count]@3.2.0",
        history: &[("3.2.0", "`count` is new.")],
        tips: &["nondeterministic_output"],
        handler: spop,
        ..SET
    },
    Command {
        name: "srandmember",
        arity: -2,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(N), N members returned",
        summary: "Returns random members of a set.",
        syntax: "key [count]@2.6.0",
        history: &[("2.6.0", "`count` is new.")],
        tips: &["nondeterministic_output"],
        handler: srandmember,
        ..SET
    },
    Command {
        name: "smembers",
        arity: 2,
        flags: READ,
        keys: READ_KEY,
        complexity: "O(N), N members",
        summary: "Returns all members of a set.",
        syntax: "key",
        tips: &["nondeterministic_output_order"],
        handler: smembers,
        ..SET
    },
    Command {
        name: "sinter",
        arity: -2,
        flags: READ,
        keys: READ_KEYS,
        complexity: "O(N*M), N members of the smallest set, M sets",
        summary: "Returns the members that all sets have.",
        syntax: "key...",
        tips: &["nondeterministic_output_order"],
        handler: sinter,
        ..SET
    },
    Command {
        name: "sintercard",
        arity: -3,
        flags: READ.union(Flags::MOVABLEKEYS),
        keys: &[KeySpec::numkeys(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        since: "7.0.0",
        complexity: "O(N*M), N members of the smallest set, M sets",
        summary: "Returns the number of members that all sets have.",
        syntax: "numkeys key... [LIMIT limit]",
        handler: sintercard,
        ..SET
    },
    Command {
        name: "sinterstore",
        arity: -3,
        flags: GROW,
        keys: INTER_STORE_KEYS,
        complexity: "O(N*M), N members of the smallest set, M sets",
        summary: "Stores the members that all sets have at a key.",
        syntax: "destination key...",
        handler: sinterstore,
        ..SET
    },
    Command {
        name: "sunion",
        arity: -2,
        flags: READ,
        keys: READ_KEYS,
        complexity: "O(N), N members of all sets",
        summary: "Returns the members that any set has.",
        syntax: "key...",
        tips: &["nondeterministic_output_order"],
        handler: sunion,
        ..SET
    },
    Command {
        name: "sunionstore",
        arity: -3,
        flags: GROW,
        keys: STORE_KEYS,
        complexity: "O(N), N members of all sets",
        summary: "Stores the members that any set has at a key.",
        syntax: "destination key...",
        handler: sunionstore,
        ..SET
    },
    Command {
        name: "sdiff",
        arity: -2,
        flags: READ,
        keys: READ_KEYS,
        complexity: "O(N), N members of all sets",
        summary: "Returns the members of the first set that no other set has.",
        syntax: "key...",
        tips: &["nondeterministic_output_order"],
        handler: sdiff,
        ..SET
    },
    Command {
        name: "sdiffstore",
        arity: -3,
        flags: GROW,
        keys: STORE_KEYS,
        complexity: "O(N), N members of all sets",
        summary: "Stores the members of the first set that no other set has at a key.",
        syntax: "destination key...",
        handler: sdiffstore,
        ..SET
    },
    Command {
        name: "sscan",
        arity: -3,
        flags: READ,
        keys: READ_KEY,
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for all N members",
        summary: "Iterates over the members of a set.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        tips: &["nondeterministic_output"],
        handler: sscan,
        ..SET
    },
];

fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, members) = (args.at(1), args.from(2));
    let limits = ctx.srv.limits;
    let (set, _) = ctx.upsert::<Set>(key)?;
    set.expect(members.at(0), members.len(), &limits);
    let added = members.iter().filter(|member| set.add(member, &limits)).count();
    if added > 0 {
        ctx.modified_by(added, NotifyFlags::SET, "sadd", key);
    }
    ctx.out.len_int(added);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let (set, _) = ctx.write::<Set>(key)?;
    let removed =
        set.map_or(0, |set| args.from(2).iter().filter(|member| set.remove(member)).count());
    if removed > 0 {
        ctx.modified_by(removed, NotifyFlags::SET, "srem", key);
        ctx.drop_if_empty(key);
    }
    ctx.out.len_int(removed);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (from, to, member) = (args.at(1), args.at(2), args.at(3));
    let moved = move_member(ctx, from, to, member)?;
    ctx.out.int(i64::from(moved));
    Ok(())
}

/// Moves a member from one set to another; says whether it was in the first.
fn move_member(ctx: &mut Ctx<'_>, from: &[u8], to: &[u8], member: &[u8]) -> Result<bool, Error> {
    let Some(kind) = ctx.kind_of(from) else { return Ok(false) };
    if [Some(kind), ctx.kind_of(to)].into_iter().flatten().any(|kind| kind != Set::TYPE) {
        return Err(Error::WrongType);
    }
    if from == to {
        return Ok(ctx.read::<Set>(from)?.0.is_some_and(|set| set.contains(member)));
    }
    if !ctx.write::<Set>(from)?.0.is_some_and(|set| set.remove(member)) {
        return Ok(false);
    }
    ctx.modified(NotifyFlags::SET, "srem", from);
    ctx.drop_if_empty(from);
    let limits = ctx.srv.limits;
    let (set, _) = ctx.upsert::<Set>(to)?;
    set.expect(member, 1, &limits);
    if set.add(member, &limits) {
        ctx.modified(NotifyFlags::SET, "sadd", to);
    }
    Ok(true)
}

fn sismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (set, out) = ctx.read::<Set>(args.at(1))?;
    out.int(i64::from(set.is_some_and(|set| set.contains(args.at(2)))));
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (set, out) = ctx.read::<Set>(args.at(1))?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        out.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

fn smembers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (set, out) = ctx.read::<Set>(args.at(1))?;
    out.set(set.map_or(0, Set::len));
    set.into_iter().flat_map(Set::iter).for_each(|member| reply_element(member, out));
    Ok(())
}

fn spop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let count = match args.get(2) {
        None => None,
        Some(_) if args.len() > 3 => return Err(Error::Syntax),
        Some(text) => {
            let count = num::parse_i64(text).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(Error::NotPositive)?)
        }
    };
    let mut rng = ctx.srv.rng.fork();
    let (set, out) = ctx.write::<Set>(key)?;
    let wanted = count.unwrap_or(1).min(set.as_ref().map_or(0, |set| set.len()));
    match (count, wanted) {
        (Some(_), _) => out.set(wanted),
        (None, 0) => out.null(),
        (None, _) => {}
    }
    let Some(set) = set.filter(|_| wanted > 0) else { return Ok(()) };
    let whole = count.is_some() && wanted == set.len();
    if whole {
        set.iter().for_each(|member| reply_element(member, out));
        *set = Set::default();
        ctx.propagate_deleted(key, ctx.srv.config.lazyfree_lazy_server_del);
    } else {
        let popped = pop(set, wanted, &mut rng, |member| reply_element(member, out));
        for members in popped.chunks(SREM_BATCH) {
            let words = [b"SREM".as_slice(), key];
            let members = members.iter().map(Vec::as_slice);
            ctx.propagate_words(words.into_iter().chain(members).collect::<Vec<_>>().into_iter());
        }
    }
    ctx.modified_by(wanted, NotifyFlags::SET, "spop", key);
    ctx.drop_if_empty(key);
    Ok(())
}

/// The most members that one SREM tells of.
const SREM_BATCH: usize = 1024;

/// Removes `n` random members, of which there are so many, passes each to `emit` and returns them.
fn pop(
    set: &mut Set,
    n: usize,
    rng: &mut fastrand::Rng,
    mut emit: impl FnMut(Element<'_>),
) -> Vec<Vec<u8>> {
    let mut popped = Vec::with_capacity(n.min(SREM_BATCH));
    set.random_distinct(n, rng, |member| {
        emit(member);
        popped.push(member.to_vec());
    });
    popped.iter().for_each(|member| {
        set.remove(member);
    });
    popped
}

fn srandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut rng = ctx.srv.rng.fork();
    if args.len() == 2 {
        let (set, out) = ctx.read::<Set>(args.at(1))?;
        match set.and_then(|set| set.random(&mut rng)) {
            Some(member) => reply_element(member, out),
            None => out.null(),
        }
        return Ok(());
    }
    if args.len() > 3 {
        return Err(Error::Syntax);
    }
    let count = args.int(2)?;
    if count == i64::MIN {
        return Err(Error::CountOutOfRange);
    }
    let cap = ctx.output_cap(count);
    let (set, out) = ctx.read::<Set>(args.at(1))?;
    let Some(set) = set else {
        out.array(0);
        return Ok(());
    };
    let cap = cap?;
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        out.array(wanted);
        for _ in 0..wanted {
            let Some(member) = set.random(&mut rng).filter(|_| out.len() <= cap.max) else { break };
            reply_element(member, out);
        }
        return ctx.end_capped(cap);
    } else {
        out.array(wanted.min(set.len()));
        set.random_distinct(wanted, &mut rng, |member| reply_element(member, out));
    }
    Ok(())
}

// ---- intersections, unions, differences -----------------------------------------------------

/// The sets at `keys`, shared: what is stored over one of them doesn't change it here.
fn sets_at(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<Vec<Option<Arc<Set>>>, Error> {
    let set_of = |entry: Option<&Entry>| match entry.map(Entry::value) {
        None => Ok(None),
        Some(Some(Value::Set(set))) => Ok(Some(Arc::clone(set))),
        Some(_) => Err(Error::WrongType),
    };
    keys.iter().map(|key| set_of(ctx.lookup(key))).collect()
}

/// Passes the members that all sets have until `emit` refuses one.
fn intersect(mut sets: Vec<Option<Arc<Set>>>, mut emit: impl FnMut(Element<'_>) -> bool) {
    sets.sort_by_key(|set| set.as_ref().map_or(0, |set| set.len()));
    let Some((Some(smallest), others)) = sets.split_first() else { return };
    for member in smallest.iter() {
        let common = others.iter().flatten().all(|set| set.contains_element(member));
        if common && !emit(member) {
            return;
        }
    }
}

/// Adds the members of all sets to `result`.
fn unite(sets: &[Option<Arc<Set>>], result: &mut Set, limits: &Limits) {
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        result.add_element(member, limits);
    }
}

/// Adds the members of the first set that no other has to `result`: the ones missing elsewhere,
/// or the first set's less the others', whichever is likely less work.
fn subtract(mut sets: Vec<Option<Arc<Set>>>, result: &mut Set, limits: &Limits) {
    let Some((Some(first), others)) = sets.split_first_mut() else { return };
    let len = |set: &Option<Arc<Set>>| set.as_ref().map_or(0, |set| set.len());
    let sum = others.iter().map(len).fold(first.len(), usize::saturating_add);
    if first.len().saturating_mul(others.len() + 1) / 2 <= sum {
        // The largest is the likeliest to have a member.
        others.sort_by_key(|set| std::cmp::Reverse(len(set)));
        for member in first.iter() {
            if !others.iter().flatten().any(|set| set.contains_element(member)) {
                result.add_element(member, limits);
            }
        }
        return;
    }
    first.iter().for_each(|member| {
        result.add_element(member, limits);
    });
    for member in others.iter().flatten().flat_map(|set| set.iter()) {
        result.remove(member.as_bytes(&mut IntBuf::new()));
        if result.is_empty() {
            return;
        }
    }
}

/// An empty set for a result that is only read: a table, unless all of it will be integers.
fn scratch(sets: &[Option<Arc<Set>>]) -> Set {
    let ints = sets.iter().flatten().all(|set| set.as_intset().is_some());
    if ints { Set::default() } else { Set::new_table() }
}

fn reply_set(out: &mut Reply, set: &Set) {
    out.set(set.len());
    set.iter().for_each(|member| reply_element(member, out));
}

fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let sets = sets_at(ctx, args.from(1))?;
    let (mark, mut len) = (ctx.out.begin(), 0);
    intersect(sets, |member| {
        reply_element(member, &mut ctx.out);
        len += 1;
        true
    });
    ctx.out.end_set(mark, len);
    Ok(())
}

fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (sets, limits) = (sets_at(ctx, args.from(2))?, ctx.srv.limits);
    let mut result = Set::default();
    intersect(sets, |member| {
        result.add_element(member, &limits);
        true
    });
    store_collection(ctx, args.at(1), result, NotifyFlags::SET, "sinterstore");
    Ok(())
}

fn sintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let numkeys = num::parse_i64(args.at(1)).and_then(|count| usize::try_from(count).ok());
    let numkeys = numkeys.filter(|&count| count > 0).ok_or(Error::NumKeysPositive)?;
    if numkeys > args.len() - 2 {
        return Err(Error::NumKeysTooMany);
    }
    let (keys, options) = (args.range(2, 2 + numkeys), args.from(2 + numkeys));
    let mut limit = 0;
    for i in (0..options.len()).step_by(2) {
        let value = options.get(i + 1).filter(|_| options.is(i, "limit")).ok_or(Error::Syntax)?;
        let value = num::parse_i64(value).and_then(|value| usize::try_from(value).ok());
        limit = value.ok_or(Error::LimitNegative)?;
    }
    let mut count = 0;
    intersect(sets_at(ctx, keys)?, |_| {
        count += 1;
        count != limit
    });
    ctx.out.len_int(count);
    Ok(())
}

fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let sets = sets_at(ctx, args.from(1))?;
    let mut result = scratch(&sets);
    unite(&sets, &mut result, &ctx.srv.limits);
    reply_set(&mut ctx.out, &result);
    Ok(())
}

fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let sets = sets_at(ctx, args.from(2))?;
    let mut result = Set::default();
    unite(&sets, &mut result, &ctx.srv.limits);
    store_collection(ctx, args.at(1), result, NotifyFlags::SET, "sunionstore");
    Ok(())
}

fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let sets = sets_at(ctx, args.from(1))?;
    let mut result = scratch(&sets);
    subtract(sets, &mut result, &ctx.srv.limits);
    reply_set(&mut ctx.out, &result);
    Ok(())
}

fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let sets = sets_at(ctx, args.from(2))?;
    let mut result = Set::default();
    subtract(sets, &mut result, &ctx.srv.limits);
    store_collection(ctx, args.at(1), result, NotifyFlags::SET, "sdiffstore");
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    scan::collection(ctx, args, |set: &Set, options, elements| {
        let mut count = 0;
        let next = set.scan(options.cursor, options.count, |member| {
            if options.matches(member.as_bytes(&mut IntBuf::new())) {
                reply_element(member, elements);
                count += 1;
            }
        });
        (next, count)
    })
}
