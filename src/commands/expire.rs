//! Expiry: setting, reading and removing deadlines.

use smallvec::SmallVec;

use crate::commands::READ_KEY;
use crate::config::NotifyFlags;
use crate::keyspace::Entry;
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::util::num;

const KEYSPACE: Command =
    Command { group: Group::Generic, categories: Category::KEYSPACE, ..Command::DEFAULT };
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const SET: Command =
    Command { arity: -3, flags: Flags::WRITE.union(Flags::FAST), keys: UPDATE, ..KEYSPACE };
const READ: Command =
    Command { arity: 2, flags: Flags::READONLY.union(Flags::FAST), keys: READ_KEY, ..KEYSPACE };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "expire",
        summary: "Has a key expire in seconds.",
        syntax: "key seconds condition=[NX | XX | GT | LT]@7.0.0",
        history: &[("7.0.0", "`NX`, `XX`, `GT` and `LT` are new.")],
        handler: expire,
        ..SET
    },
    Command {
        name: "pexpire",
        since: "2.6.0",
        summary: "Has a key expire in milliseconds.",
        syntax: "key milliseconds condition=[NX | XX | GT | LT]@7.0.0",
        history: &[("7.0.0", "`NX`, `XX`, `GT` and `LT` are new.")],
        handler: expire,
        ..SET
    },
    Command {
        name: "expireat",
        since: "1.2.0",
        summary: "Has a key expire at a Unix time in seconds.",
        syntax: "key unix-time-seconds condition=[NX | XX | GT | LT]@7.0.0",
        history: &[("7.0.0", "`NX`, `XX`, `GT` and `LT` are new.")],
        handler: expire,
        ..SET
    },
    Command {
        name: "pexpireat",
        since: "2.6.0",
        summary: "Has a key expire at a Unix time in milliseconds.",
        syntax: "key unix-time-milliseconds condition=[NX | XX | GT | LT]@7.0.0",
        history: &[("7.0.0", "`NX`, `XX`, `GT` and `LT` are new.")],
        handler: expire,
        ..SET
    },
    Command {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Removes a key's expiry.",
        syntax: "key",
        handler: persist,
        ..SET
    },
    Command {
        name: "ttl",
        summary: "Returns in how many seconds a key expires.",
        syntax: "key",
        history: &[("2.8.0", "-2 tells that there is no such key.")],
        tips: &["nondeterministic_output"],
        handler: ttl,
        ..READ
    },
    Command {
        name: "pttl",
        since: "2.6.0",
        summary: "Returns in how many milliseconds a key expires.",
        syntax: "key",
        history: &[("2.8.0", "-2 tells that there is no such key.")],
        tips: &["nondeterministic_output"],
        handler: pttl,
        ..READ
    },
    Command {
        name: "expiretime",
        since: "7.0.0",
        summary: "Returns the Unix time in seconds at which a key expires.",
        syntax: "key",
        handler: expiretime,
        ..READ
    },
    Command {
        name: "pexpiretime",
        since: "7.0.0",
        summary: "Returns the Unix time in milliseconds at which a key expires.",
        syntax: "key",
        handler: pexpiretime,
        ..READ
    },
];

/// The conditions of EXPIRE and its kin.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        for (i, word) in args.iter().enumerate().skip(3) {
            let flag = match () {
                () if args.is(i, "nx") => &mut found.nx,
                () if args.is(i, "xx") => &mut found.xx,
                () if args.is(i, "gt") => &mut found.gt,
                () if args.is(i, "lt") => &mut found.lt,
                () => {
                    let word = String::from_utf8_lossy(word);
                    return Err(Error::other(format!("ERR Unsupported option {word}")));
                }
            };
            *flag = true;
        }
        if found.nx && (found.xx || found.gt || found.lt) {
            return Err(Error::ExpireNx);
        }
        if found.gt && found.lt {
            return Err(Error::ExpireGtLt);
        }
        Ok(found)
    }

    /// Whether a key with the deadline `old` may get the deadline `new`. No deadline is the latest.
    fn allow(self, old: Option<i64>, new: i64) -> bool {
        match old {
            Some(old) => !self.nx && (!self.gt || new > old) && (!self.lt || new < old),
            None => !self.xx && !self.gt,
        }
    }
}

/// EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT: the name says the unit and the base.
fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let name = ctx.command_name();
    let (ms, absolute) = (name.starts_with('p'), name.ends_with("at"));
    let key = args.at(1);
    let conditions = Conditions::parse(args)?;
    let invalid = || Error::InvalidExpire(name);
    let value = args.int(2)?;
    let value = if ms { value } else { value.checked_mul(1000).ok_or_else(invalid)? };
    let base = if absolute { 0 } else { ctx.now_ms() };
    let deadline = value.checked_add(base).ok_or_else(invalid)?;
    let Some(old) = ctx.lookup_write(key).map(|entry| entry.deadline()) else {
        ctx.out.int(0);
        return Ok(());
    };
    if !conditions.allow(old, deadline) {
        ctx.out.int(0);
        return Ok(());
    }
    // While data are loaded, a time that is over has been told for what follows to be right.
    if deadline <= ctx.now_ms() && !ctx.srv.is_loading() {
        ctx.delete(key);
        ctx.modified(NotifyFlags::GENERIC, "del", key);
        ctx.propagate_deleted(key, ctx.srv.config.lazyfree_lazy_expire);
    } else {
        ctx.set_deadline(key, Some(deadline));
        ctx.modified(NotifyFlags::GENERIC, "expire", key);
        let mut digits = num::IntBuf::new();
        let words = [b"PEXPIREAT".as_slice(), key, num::fmt_i64(deadline, &mut digits)];
        let words: SmallVec<[&[u8]; 4]> = words.into_iter().chain(args.from(3).iter()).collect();
        ctx.propagate_words(words.into_iter());
    }
    ctx.out.int(1);
    Ok(())
}

fn persist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let volatile = ctx.lookup_write(key).is_some_and(|entry| entry.deadline().is_some());
    if volatile {
        ctx.set_deadline(key, None);
        ctx.modified(NotifyFlags::GENERIC, "persist", key);
    }
    ctx.out.int(i64::from(volatile));
    Ok(())
}

/// Replies -2 without the key, -1 without a deadline, else what `show` makes of the deadline.
fn reply_deadline(ctx: &mut Ctx<'_>, key: &[u8], show: fn(i64, i64) -> i64) -> Result<(), Error> {
    let now_ms = ctx.now_ms();
    let shown = match ctx.lookup_untouched(key).map(Entry::deadline) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => show(deadline, now_ms),
    };
    ctx.out.int(shown);
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_deadline(ctx, args.at(1), |deadline, now| {
        deadline.saturating_sub(now).max(0).saturating_add(500) / 1000
    })
}

fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_deadline(ctx, args.at(1), |deadline, now| deadline.saturating_sub(now).max(0))
}

fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_deadline(ctx, args.at(1), |deadline, _| deadline.saturating_add(500) / 1000)
}

fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_deadline(ctx, args.at(1), |deadline, _| deadline)
}
