//! Popping the members of least or greatest score, also waiting for them; and random members.

use super::{Shape, reply_member, reply_range};
use crate::commands::mpop::MultiPop;
use crate::commands::random_count;
use crate::config::NotifyFlags;
use crate::resp::{Args, Error, Reply};
use crate::server::blocked::TimeoutReply;
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::Type;
use crate::value::zset::ZSet;

/// The end that members are popped from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn parse(arg: &[u8]) -> Result<Self, Error> {
        match () {
            () if arg.eq_ignore_ascii_case(b"min") => Ok(Self::Min),
            () if arg.eq_ignore_ascii_case(b"max") => Ok(Self::Max),
            () => Err(Error::Syntax),
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }

    /// The command that pops from the end and never waits.
    fn pop_name(self) -> &'static [u8] {
        match self {
            Self::Min => b"ZPOPMIN",
            Self::Max => b"ZPOPMAX",
        }
    }
}

/// Removes up to `count` members from an end and replies them, with a header if `header`; returns
/// how many they were.
fn pop_members(
    zset: &mut ZSet,
    end: End,
    count: usize,
    out: &mut Reply,
    shape: Shape,
    header: bool,
) -> usize {
    let len = zset.len();
    let count = count.min(len);
    let ranks = match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    };
    match header {
        true => reply_range(out, zset, ranks.clone(), end == End::Max, shape),
        false => zset.walk(ranks.clone(), end == End::Max, |member, score| {
            reply_member(out, member, score, shape);
            true
        }),
    }
    zset.remove_ranks(ranks)
}

/// Announces that members left a sorted set, and deletes it if none is left.
fn popped(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) {
    ctx.modified_by(count, NotifyFlags::ZSET, end.event(), key);
    ctx.drop_if_empty(key);
}

pub fn zpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    pop(ctx, args, End::Min)
}

pub fn zpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    pop(ctx, args, End::Max)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::Syntax);
    }
    let count = match args.get(2) {
        None => None,
        Some(count) => {
            let count = num::parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(Error::NotPositive)?)
        }
    };
    let key = args.at(1);
    let (zset, out) = ctx.write::<ZSet>(key)?;
    let Some(zset) = zset.filter(|_| count != Some(0)) else {
        out.array(0);
        return Ok(());
    };
    // RESP3 nests each pair in an array of its own, if there may be several.
    let shape = if count.is_some() { Shape::new(true, out) } else { Shape::Flat };
    let removed = pop_members(zset, end, count.unwrap_or(1), out, shape, true);
    popped(ctx, key, end, removed);
    Ok(())
}

pub fn bzpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    block_pop(ctx, args, End::Min)
}

pub fn bzpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    block_pop(ctx, args, End::Max)
}

fn block_pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Result<(), Error> {
    let last = args.len() - 1;
    let timeout_ms = Ctx::parse_timeout(args.at(last))?;
    let keys = args.range(1, last);
    for key in keys.iter() {
        let (zset, out) = ctx.write::<ZSet>(key)?;
        if let Some(zset) = zset {
            out.array(3);
            out.bulk(key);
            let removed = pop_members(zset, end, 1, out, Shape::Flat, false);
            popped(ctx, key, end, removed);
            ctx.propagate_as(&[end.pop_name(), key]);
            return Ok(());
        }
    }
    ctx.block(args, keys.iter(), Type::ZSet, timeout_ms, TimeoutReply::NullArray)
}

/// Pops from the first sorted set that isn't empty; says whether there was one.
fn pop_first(ctx: &mut Ctx<'_>, pop: &MultiPop<'_, End>) -> Result<bool, Error> {
    for key in pop.keys.iter() {
        let (zset, out) = ctx.write::<ZSet>(key)?;
        if let Some(zset) = zset {
            out.array(2);
            out.bulk(key);
            let removed = pop_members(zset, pop.end, pop.count, out, Shape::Nested, true);
            popped(ctx, key, pop.end, removed);
            ctx.propagate_number(&[pop.end.pop_name(), key], removed as i64);
            return Ok(true);
        }
    }
    Ok(false)
}

pub fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !pop_first(ctx, &MultiPop::parse(args, 1, End::parse)?)? {
        ctx.out.null_array();
    }
    Ok(())
}

pub fn bzmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let pop = MultiPop::parse(args, 2, End::parse)?;
    let timeout_ms = Ctx::parse_timeout(args.at(1))?;
    if pop_first(ctx, &pop)? {
        return Ok(());
    }
    ctx.block(args, pop.keys.iter(), Type::ZSet, timeout_ms, TimeoutReply::NullArray)
}

pub fn zrandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut rng = ctx.srv.rng.fork();
    if args.len() == 2 {
        match ctx.read::<ZSet>(args.at(1))? {
            (Some(zset), out) => zset.random(&mut rng, |member, _| out.bulk(member)),
            (None, out) => out.null(),
        }
        return Ok(());
    }
    let (count, with_scores) = random_count(args, "withscores")?;
    let cap = ctx.output_cap(count);
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let Some(zset) = zset else {
        out.array(0);
        return Ok(());
    };
    let cap = cap?;
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let wanted = if count < 0 { wanted } else { wanted.min(zset.len()) };
    let shape = Shape::new(with_scores, out);
    shape.header(out, wanted);
    if count >= 0 {
        zset.random_distinct(wanted, &mut rng, |member, score| {
            reply_member(out, member, score, shape);
        });
        return Ok(());
    }
    for _ in 0..wanted {
        if out.len() > cap.max {
            break;
        }
        zset.random(&mut rng, |member, score| reply_member(out, member, score, shape));
    }
    ctx.end_capped(cap)
}
