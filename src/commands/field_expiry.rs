//! Deadlines of hash fields: HEXPIRE and its kin, HTTL and its kin, HPERSIST, HGETEX, HSETEX, HGETDEL.
//!
//! Owns how these are parsed, announced and told to others: always with absolute deadlines, and
//! fields whose deadline has passed by HDEL. When fields that are due go is the server's matter.

use crate::commands::deadline::{Expiry, Unit};
use crate::commands::hash::reply_value;
use crate::commands::{POP_KEY, READ_KEY, UPDATE_KEY};
use crate::config::NotifyFlags;
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::num;
use crate::value::hash::{Hash, MAX_DEADLINE};

const SET: Command = Command {
    arity: -6,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Hash,
    categories: Category::HASH,
    since: "7.4.0",
    complexity: "O(N), N fields",
    ..Command::DEFAULT
};
const READ: Command =
    Command { arity: -5, flags: Flags::READONLY.union(Flags::FAST), keys: READ_KEY, ..SET };
const TAKE: Command =
    Command { arity: -5, flags: Flags::WRITE.union(Flags::FAST), since: "8.0.0", ..SET };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hexpire",
        summary: "Sets when fields of a hash expire, in seconds from now.",
        syntax: "key seconds condition=[NX | XX | GT | LT] fields=<FIELDS numfields field...>",
        handler: hexpire,
        ..SET
    },
    Command {
        name: "hpexpire",
        summary: "Sets when fields of a hash expire, in milliseconds from now.",
        syntax: "key milliseconds condition=[NX | XX | GT | LT] fields=<FIELDS numfields field...>",
        handler: hexpire,
        ..SET
    },
    Command {
        name: "hexpireat",
        summary: "Sets the Unix time in seconds at which fields of a hash expire.",
        syntax: "key unix-time-seconds condition=[NX | XX | GT | LT] \
             fields=<FIELDS numfields field...>",
        handler: hexpire,
        ..SET
    },
    Command {
        name: "hpexpireat",
        summary: "Sets the Unix time in milliseconds at which fields of a hash expire.",
        syntax: "key unix-time-milliseconds condition=[NX | XX | GT | LT] \
             fields=<FIELDS numfields field...>",
        handler: hexpire,
        ..SET
    },
    Command {
        name: "httl",
        summary: "Returns in how many seconds fields of a hash expire.",
        syntax: "key fields=<FIELDS numfields field...>",
        tips: &["nondeterministic_output"],
        handler: httl,
        ..READ
    },
    Command {
        name: "hpttl",
        summary: "Returns in how many milliseconds fields of a hash expire.",
        syntax: "key fields=<FIELDS numfields field...>",
        tips: &["nondeterministic_output"],
        handler: httl,
        ..READ
    },
    Command {
        name: "hexpiretime",
        summary: "Returns the Unix time in seconds at which fields of a hash expire.",
        syntax: "key fields=<FIELDS numfields field...>",
        handler: httl,
        ..READ
    },
    Command {
        name: "hpexpiretime",
        summary: "Returns the Unix time in milliseconds at which fields of a hash expire.",
        syntax: "key fields=<FIELDS numfields field...>",
        handler: httl,
        ..READ
    },
    Command {
        name: "hpersist",
        since: "7.4.0",
        summary: "Removes the expiry of fields of a hash.",
        syntax: "key fields=<FIELDS numfields field...>",
        handler: hpersist,
        ..TAKE
    },
    Command {
        name: "hgetdel",
        keys: POP_KEY,
        summary: "Returns the values of fields of a hash and removes the fields.",
        syntax: "key fields=<FIELDS numfields field...>",
        handler: hgetdel,
        ..TAKE
    },
    Command {
        name: "hgetex",
        keys: UPDATE_KEY,
        summary: "Returns the values of fields of a hash and sets or removes their expiry.",
        syntax: "key expiration=[EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT \
             unix-time-milliseconds | PERSIST] fields=<FIELDS numfields field...>",
        handler: hgetex,
        ..TAKE
    },
    Command {
        name: "hsetex",
        since: "8.0.0",
        summary: "Sets fields of a hash and when they expire, with conditions.",
        syntax: "key condition=[FNX | FXX] expiration=[EX seconds | PX milliseconds | EXAT \
             unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
             fields=<FIELDS numfields data=<field value>...>",
        handler: hsetex,
        ..SET
    },
];

// ---- arguments ------------------------------------------------------------------------------

/// The arguments after `FIELDS` and their number at `at`, each of `width` words; they are the last.
fn fields<'a>(args: Args<'a>, at: usize, count: Error) -> Result<Args<'a>, Error> {
    if !args.is(at, "fields") {
        return Err(Error::FieldsMissing);
    }
    let number = args.get(at + 1).and_then(num::parse_i64).filter(|number| *number > 0);
    let number = usize::try_from(number.ok_or(count)?).unwrap_or(usize::MAX);
    let fields = args.from(at + 2);
    if fields.len() == number { Ok(fields) } else { Err(Error::FieldsNumber) }
}

/// How the number of the command is meant, by its name.
fn unit_of(command: &str) -> Unit {
    Unit {
        seconds: !command.starts_with("hp"),
        relative: !command.ends_with("at") && !command.ends_with("time"),
    }
}

/// The deadline that the number at `at` means, in Unix milliseconds.
fn deadline(ctx: &Ctx<'_>, unit: Unit, args: Args<'_>, at: usize) -> Result<i64, Error> {
    let number = args.int(at)?;
    if number < 0 {
        return Err(Error::FieldExpireNegative);
    }
    let at = unit.deadline(number, ctx.now_ms()).filter(|at| *at <= MAX_DEADLINE);
    at.ok_or_else(|| Error::InvalidExpire(ctx.command_name()))
}

// ---- changes --------------------------------------------------------------------------------

/// Announces that fields were removed, and tells it by HDEL.
fn announce_removed(ctx: &mut Ctx<'_>, key: &[u8], removed: &[&[u8]]) {
    ctx.modified_by(removed.len(), NotifyFlags::HASH, "hdel", key);
    ctx.drop_if_empty(key);
    let words: Vec<&[u8]> = [b"HDEL", key].into_iter().chain(removed.iter().copied()).collect();
    ctx.propagate_words(words.into_iter());
}

/// Tells fields and what to do with them: `COMMAND key [argument] FIELDS n field...`.
fn tell_fields(ctx: &mut Ctx<'_>, head: &[&[u8]], fields: &[&[u8]]) {
    let number = fields.len().to_string();
    let tail = [&b"FIELDS"[..], number.as_bytes()];
    let words: Vec<&[u8]> = head.iter().chain(&tail).chain(fields).copied().collect();
    ctx.propagate_words(words.into_iter());
}

/// Whether a deadline removes its field at once. Not while loading: what follows may persist it.
fn has_passed(ctx: &Ctx<'_>, at: i64) -> bool {
    at <= ctx.now_ms() && !ctx.srv.is_loading()
}

/// Gives fields of the hash at `key` a deadline, or removes them if it has passed, and announces it.
fn set_deadlines(ctx: &mut Ctx<'_>, key: &[u8], fields: &[&[u8]], at: i64) -> Result<(), Error> {
    let (limits, past) = (ctx.srv.limits, has_passed(ctx, at));
    let Some(hash) = ctx.write::<Hash>(key)?.0.filter(|_| !fields.is_empty()) else {
        return Ok(());
    };
    let before = hash.next_deadline();
    for field in fields {
        if past {
            hash.remove(field);
        } else {
            hash.set_deadline(field, at, &limits);
        }
    }
    ctx.db_mut().reindex_fields(key, before);
    if past {
        announce_removed(ctx, key, fields);
    } else {
        ctx.modified_by(fields.len(), NotifyFlags::HASH, "hexpire", key);
        let text = at.to_string();
        tell_fields(ctx, &[b"HPEXPIREAT", key, text.as_bytes()], fields);
    }
    Ok(())
}

/// Takes the deadlines of fields away that have one, and announces it; returns which these were.
fn persist<'a>(ctx: &mut Ctx<'_>, key: &[u8], fields: Args<'a>) -> Result<Vec<&'a [u8]>, Error> {
    let Some(hash) = ctx.write::<Hash>(key)?.0 else { return Ok(Vec::new()) };
    let before = hash.next_deadline();
    let persisted: Vec<&[u8]> = fields.iter().filter(|field| hash.clear_deadline(field)).collect();
    if !persisted.is_empty() {
        ctx.db_mut().reindex_fields(key, before);
        ctx.modified_by(persisted.len(), NotifyFlags::HASH, "hpersist", key);
        tell_fields(ctx, &[b"HPERSIST", key], &persisted);
    }
    Ok(persisted)
}

// ---- handlers -------------------------------------------------------------------------------

/// No such field.
const NO_FIELD: i64 = -2;

/// When a new deadline is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    IfNone,
    IfAny,
    IfLater,
    IfEarlier,
}

impl Condition {
    fn parse(args: Args<'_>, at: usize) -> Self {
        match () {
            () if args.is(at, "nx") => Self::IfNone,
            () if args.is(at, "xx") => Self::IfAny,
            () if args.is(at, "gt") => Self::IfLater,
            () if args.is(at, "lt") => Self::IfEarlier,
            () => Self::Always,
        }
    }

    /// Whether it holds; no deadline is later than any.
    fn holds(self, old: Option<i64>, new: i64) -> bool {
        match self {
            Self::Always => true,
            Self::IfNone => old.is_none(),
            Self::IfAny => old.is_some(),
            Self::IfLater => old.is_some_and(|old| new > old),
            Self::IfEarlier => old.is_none_or(|old| new < old),
        }
    }
}

/// HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT.
fn hexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    ctx.kind_is::<Hash>(key)?;
    let at = deadline(ctx, unit_of(ctx.command_name()), args, 2)?;
    let condition = Condition::parse(args, 3);
    let fields_at = if condition == Condition::Always { 3 } else { 4 };
    let fields = fields(args, fields_at, Error::NumFields)?;
    let done = if has_passed(ctx, at) { 2 } else { 1 };
    let (hash, out) = ctx.read::<Hash>(key)?;
    let mut changed: Vec<&[u8]> = Vec::new();
    out.array(fields.len());
    for field in fields.iter() {
        // A field that stands here twice and was removed is gone.
        let there = hash.is_some_and(|hash| hash.contains(field));
        let gone = !there || done == 2 && changed.contains(&field);
        let old = hash.and_then(|hash| hash.deadline(field));
        let old = if changed.contains(&field) { Some(at) } else { old };
        out.int(match () {
            () if gone => NO_FIELD,
            () if condition.holds(old, at) => {
                if !changed.contains(&field) {
                    changed.push(field);
                }
                done
            }
            () => 0,
        });
    }
    set_deadlines(ctx, key, &changed, at)
}

/// HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME.
fn httl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let unit = unit_of(ctx.command_name());
    let now_ms = if unit.relative { ctx.now_ms() } else { 0 };
    let (hash, out) = ctx.read::<Hash>(args.at(1))?;
    let fields = fields(args, 2, Error::FieldsPositive)?;
    out.array(fields.len());
    for field in fields.iter() {
        let hash = hash.filter(|hash| hash.contains(field));
        out.int(match hash.map(|hash| hash.deadline(field)) {
            None => NO_FIELD,
            Some(None) => -1,
            Some(Some(at)) if unit.seconds => (at - now_ms + 999) / 1000,
            Some(Some(at)) => at - now_ms,
        });
    }
    Ok(())
}

fn hpersist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let (hash, out) = ctx.read::<Hash>(key)?;
    let fields = fields(args, 2, Error::FieldsPositive)?;
    out.array(fields.len());
    let mut seen: Vec<&[u8]> = Vec::new();
    for field in fields.iter() {
        let hash = hash.filter(|hash| hash.contains(field));
        out.int(match hash.map(|hash| hash.deadline(field)) {
            None => NO_FIELD,
            Some(Some(_)) if !seen.contains(&field) => {
                seen.push(field);
                1
            }
            Some(_) => -1,
        });
    }
    persist(ctx, key, fields)?;
    Ok(())
}

fn hgetdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let (hash, out) = ctx.write::<Hash>(key)?;
    let fields = fields(args, 2, Error::FieldsPositive)?;
    out.array(fields.len());
    let Some(hash) = hash else {
        fields.iter().for_each(|_| out.null());
        return Ok(());
    };
    let before = hash.next_deadline();
    let mut removed: Vec<&[u8]> = Vec::new();
    for field in fields.iter() {
        reply_value(out, Some(hash), field);
        if hash.remove(field) {
            removed.push(field);
        }
    }
    if !removed.is_empty() {
        ctx.db_mut().reindex_fields(key, before);
        announce_removed(ctx, key, &removed);
    }
    Ok(())
}

/// The options of HGETEX and HSETEX before FIELDS.
#[derive(Debug)]
struct Options {
    expiry: Expiry,
    /// FXX or FNX: whether all fields, or none, must be there.
    only_if: Option<bool>,
    /// Where FIELDS stands.
    fields_at: usize,
}

impl Options {
    /// Parses them; `sets` for those of HSETEX.
    fn parse(ctx: &Ctx<'_>, args: Args<'_>, sets: bool) -> Result<Self, Error> {
        let mut found = Self { expiry: Expiry::Unsaid, only_if: None, fields_at: 0 };
        let mut at = 2;
        while at < args.len() && !args.is(at, "fields") {
            let mut only_if = None;
            let expiry = match Unit::of_option(args.at(at)) {
                Some(unit) => {
                    at += 1;
                    if at >= args.len() {
                        return Err(ctx.arity_error());
                    }
                    Some(Expiry::At(deadline(ctx, unit, args, at)?))
                }
                None if sets && args.is(at, "keepttl") => Some(Expiry::Keep),
                None if !sets && args.is(at, "persist") => Some(Expiry::Remove),
                None if sets && args.is(at, "fxx") => {
                    only_if = Some(true);
                    None
                }
                None if sets && args.is(at, "fnx") => {
                    only_if = Some(false);
                    None
                }
                None => {
                    let word = String::from_utf8_lossy(args.at(at));
                    return Err(Error::other(format!("ERR unknown argument: {word}")));
                }
            };
            if expiry.is_some() && found.expiry != Expiry::Unsaid {
                return Err(if sets { Error::HsetexExpiry } else { Error::HgetexExpiry });
            }
            if only_if.is_some() && found.only_if.is_some() {
                return Err(Error::HsetexCondition);
            }
            found.expiry = expiry.unwrap_or(found.expiry);
            found.only_if = only_if.or(found.only_if);
            at += 1;
        }
        found.fields_at = at;
        if at < args.len() { Ok(found) } else { Err(Error::FieldsAbsent) }
    }
}

fn hgetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    ctx.kind_is::<Hash>(key)?;
    let options = Options::parse(ctx, args, false)?;
    let fields = fields(args, options.fields_at, Error::FieldsInvalid)?;
    let (hash, out) = ctx.read::<Hash>(key)?;
    out.array(fields.len());
    fields.iter().for_each(|field| reply_value(out, hash, field));
    match options.expiry {
        Expiry::Unsaid | Expiry::Keep => {}
        Expiry::Remove => {
            persist(ctx, key, fields)?;
        }
        Expiry::At(at) => {
            let mut there: Vec<&[u8]> = fields
                .iter()
                .filter(|field| hash.is_some_and(|hash| hash.contains(field)))
                .collect();
            there.sort_unstable();
            there.dedup();
            set_deadlines(ctx, key, &there, at)?;
        }
    }
    Ok(())
}

fn hsetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    ctx.kind_is::<Hash>(key)?;
    let options = Options::parse(ctx, args, true)?;
    let number = args.get(options.fields_at + 1).and_then(num::parse_i64);
    let number = number.filter(|number| *number > 0).ok_or(Error::FieldsInvalid)?;
    let pairs = args.from(options.fields_at + 2);
    if !pairs.len().is_multiple_of(2) || usize::try_from(number).ok() != Some(pairs.len() / 2) {
        return Err(Error::FieldsNumber);
    }
    let mut fields: Vec<&[u8]> = pairs.iter().step_by(2).collect();
    fields.sort_unstable();
    fields.dedup();
    let hash = ctx.read::<Hash>(key)?.0;
    let there = |field: &&[u8]| hash.is_some_and(|hash| hash.contains(field));
    let old: Vec<&[u8]> = fields.iter().copied().filter(there).collect();
    let refused = match options.only_if {
        None => false,
        Some(true) => old.len() < fields.len(),
        Some(false) => !old.is_empty(),
    };
    ctx.out.int(i64::from(!refused));
    if refused {
        return Ok(());
    }
    match options.expiry {
        // What would expire at once isn't set.
        Expiry::At(at) if has_passed(ctx, at) => {
            ctx.propagate_nothing();
            set_deadlines(ctx, key, &old, at)
        }
        Expiry::At(at) => {
            set_pairs(ctx, key, pairs, false)?;
            let words: Vec<&[u8]> = [b"HSET", key].into_iter().chain(pairs.iter()).collect();
            ctx.propagate_words(words.into_iter());
            set_deadlines(ctx, key, &fields, at)
        }
        expiry => set_pairs(ctx, key, pairs, expiry == Expiry::Keep),
    }
}

/// Sets fields and values, which keep their deadlines if `keep`.
fn set_pairs(ctx: &mut Ctx<'_>, key: &[u8], pairs: Args<'_>, keep: bool) -> Result<(), Error> {
    let limits = ctx.srv.limits;
    let (hash, _) = ctx.upsert::<Hash>(key)?;
    let before = hash.next_deadline();
    hash.expect(pairs.iter(), &limits);
    for at in (0..pairs.len()).step_by(2) {
        let (field, value) = (pairs.at(at), pairs.at(at + 1));
        if keep {
            hash.set_value(field, value, &limits)
        } else {
            hash.set(field, value, &limits)
        };
    }
    ctx.db_mut().reindex_fields(key, before);
    ctx.modified_by(pairs.len() / 2, NotifyFlags::HASH, "hset", key);
    Ok(())
}
