//! Removing the members of the lowest or highest scores, and waiting for them.

use crate::config::NotifyFlags;
use crate::resp::{Args, Error};
use crate::server::blocked::TimeoutReply;
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::Type;
use crate::value::zset::ZSet;

/// How popped members are replied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// ZPOPMIN: members and scores in one array, nested pairs in RESP3 if a count was given.
    Flat { nested: bool },
    /// BZPOPMIN: the key, the member and the score in one array.
    WithKey,
    /// ZMPOP: the key, and an array of pairs.
    Pairs,
}

/// Pops up to `count` members and replies them; says whether there was a sorted set.
fn pop(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    max: bool,
    count: usize,
    shape: Shape,
) -> Result<bool, Error> {
    let (zset, out) = ctx.write::<ZSet>(key)?;
    let Some(zset) = zset else { return Ok(false) };
    let len = zset.len();
    let count = count.min(len);
    let ranks = if max { len - count..len } else { 0..count };
    match shape {
        Shape::Flat { nested: true } if out.resp3() => out.array(count),
        Shape::Flat { .. } => out.array(count * 2),
        Shape::WithKey => {
            out.array(3);
            out.bulk(key);
        }
        Shape::Pairs => {
            out.array(2);
            out.bulk(key);
            out.array(count);
        }
    }
    let pairs = shape == Shape::Pairs || shape == Shape::Flat { nested: true } && out.resp3();
    zset.walk(ranks.clone(), max, |member, score| {
        if pairs {
            out.array(2);
        }
        out.bulk(member);
        out.double(score);
        true
    });
    zset.remove_ranks(ranks);
    if count > 0 {
        ctx.modified(NotifyFlags::ZSET, if max { "zpopmax" } else { "zpopmin" }, key);
        ctx.drop_if_empty(key);
    }
    Ok(true)
}

fn pops_max(ctx: &Ctx<'_>) -> bool {
    ctx.command_name().ends_with("max")
}

/// ZPOPMIN and ZPOPMAX.
pub(super) fn zpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::Syntax);
    }
    let count = match args.get(2) {
        None => 1,
        Some(count) => {
            let count = num::parse_i64(count).ok_or(Error::NotPositive)?;
            usize::try_from(count).map_err(|_| Error::NotPositive)?
        }
    };
    let shape = Shape::Flat { nested: args.len() == 3 };
    let max = pops_max(ctx);
    if !pop(ctx, args.at(1), max, count, shape)? {
        ctx.out.array(0);
    }
    Ok(())
}

/// BZPOPMIN and BZPOPMAX.
pub(super) fn bzpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let last = args.len() - 1;
    let timeout_ms = Ctx::parse_timeout(args.at(last))?;
    let (keys, max) = (args.range(1, last), pops_max(ctx));
    for key in keys.iter() {
        if pop(ctx, key, max, 1, Shape::WithKey)? {
            return Ok(());
        }
    }
    ctx.block(args, keys.iter(), Type::ZSet, timeout_ms, TimeoutReply::NullArray)
}

/// The arguments of ZMPOP from the number of keys on.
struct MultiPop<'a> {
    keys: Args<'a>,
    max: bool,
    count: usize,
}

impl<'a> MultiPop<'a> {
    fn parse(args: Args<'a>, at: usize) -> Result<Self, Error> {
        let numkeys = num::parse_i64(args.at(at)).filter(|&n| n > 0);
        let numkeys = usize::try_from(numkeys.ok_or(Error::NumKeysPositive)?).unwrap_or(usize::MAX);
        let where_at = numkeys.checked_add(at + 1).ok_or(Error::Syntax)?;
        let max = match () {
            () if args.is(where_at, "min") => false,
            () if args.is(where_at, "max") => true,
            () => return Err(Error::Syntax),
        };
        let mut count = None;
        let mut i = where_at + 1;
        while i < args.len() {
            if !args.is(i, "count") || count.is_some() || i + 1 >= args.len() {
                return Err(Error::Syntax);
            }
            let value = num::parse_i64(args.at(i + 1)).filter(|&n| n > 0);
            count = Some(value.ok_or(Error::CountPositive)?);
            i += 2;
        }
        let count = usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok(Self { keys: args.range(at + 1, where_at), max, count })
    }

    fn run(&self, ctx: &mut Ctx<'_>) -> Result<bool, Error> {
        for key in self.keys.iter() {
            if pop(ctx, key, self.max, self.count, Shape::Pairs)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !MultiPop::parse(args, 1)?.run(ctx)? {
        ctx.out.null_array();
    }
    Ok(())
}

pub(super) fn bzmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let timeout_ms = Ctx::parse_timeout(args.at(1))?;
    let pop = MultiPop::parse(args, 2)?;
    if pop.run(ctx)? {
        return Ok(());
    }
    ctx.block(args, pop.keys.iter(), Type::ZSet, timeout_ms, TimeoutReply::NullArray)
}
