//! Adding members, changing scores, removing members and ranges.

use super::parse_score;
use super::range::{LexRange, ScoreRange, rank_range};
use crate::config::NotifyFlags;
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::value::zset::ZSet;

/// The options of ZADD.
#[derive(Debug, Default, Clone, Copy)]
struct AddOptions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

impl AddOptions {
    /// The options, and the index of the first score.
    fn parse(args: Args<'_>) -> Result<(Self, usize), Error> {
        let mut found = Self::default();
        let mut i = 2;
        while i < args.len() {
            let flag = match () {
                () if args.is(i, "nx") => &mut found.nx,
                () if args.is(i, "xx") => &mut found.xx,
                () if args.is(i, "gt") => &mut found.gt,
                () if args.is(i, "lt") => &mut found.lt,
                () if args.is(i, "ch") => &mut found.ch,
                () if args.is(i, "incr") => &mut found.incr,
                () => break,
            };
            *flag = true;
            i += 1;
        }
        let rest = args.len() - i;
        if rest == 0 || !rest.is_multiple_of(2) {
            return Err(Error::Syntax);
        }
        if found.nx && found.xx {
            return Err(Error::ZaddNxXx);
        }
        if found.nx && (found.gt || found.lt) || found.gt && found.lt {
            return Err(Error::ZaddGtLtNx);
        }
        if found.incr && rest > 2 {
            return Err(Error::ZaddIncrPair);
        }
        Ok((found, i))
    }
}

/// What became of one member.
enum Outcome {
    /// The options forbade it.
    Refused,
    Unchanged(f64),
    Changed(f64),
    Added(f64),
}

fn add(
    zset: &mut ZSet,
    member: &[u8],
    score: f64,
    options: AddOptions,
    limits: &crate::value::Limits,
) -> Result<Outcome, Error> {
    let Some(old) = zset.score(member) else {
        if options.xx {
            return Ok(Outcome::Refused);
        }
        zset.set(member, score, limits);
        return Ok(Outcome::Added(score));
    };
    if options.nx {
        return Ok(Outcome::Refused);
    }
    let new = if options.incr { old + score } else { score };
    if new.is_nan() {
        return Err(Error::ScoreNan);
    }
    if options.gt && new <= old || options.lt && new >= old {
        return Ok(Outcome::Refused);
    }
    if new == old {
        return Ok(Outcome::Unchanged(new));
    }
    zset.set(member, new, limits);
    Ok(Outcome::Changed(new))
}

pub(super) fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (options, first) = AddOptions::parse(args)?;
    add_pairs(ctx, args.at(1), args.from(first), options)
}

pub(super) fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = AddOptions { incr: true, ..AddOptions::default() };
    add_pairs(ctx, args.at(1), args.from(2), options)
}

/// Adds pairs of score and member; all scores are checked before anything changes.
fn add_pairs(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    pairs: Args<'_>,
    options: AddOptions,
) -> Result<(), Error> {
    for i in (0..pairs.len()).step_by(2) {
        parse_score(pairs.at(i))?;
    }
    let limits = ctx.srv.limits;
    if options.xx && ctx.write::<ZSet>(key)?.0.is_none() {
        match options.incr {
            true => ctx.out.null(),
            false => ctx.out.int(0),
        }
        return Ok(());
    }
    let (zset, _) = ctx.upsert::<ZSet>(key)?;
    let (mut added, mut changed, mut score) = (0, 0, None);
    let mut failure = None;
    for i in (0..pairs.len()).step_by(2) {
        match add(zset, pairs.at(i + 1), parse_score(pairs.at(i))?, options, &limits) {
            Ok(Outcome::Refused) => {}
            Ok(Outcome::Unchanged(new)) => score = Some(new),
            Ok(Outcome::Changed(new)) => {
                changed += 1;
                score = Some(new);
            }
            Ok(Outcome::Added(new)) => {
                added += 1;
                score = Some(new);
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    ctx.undo_upsert(key);
    if added + changed > 0 {
        ctx.modified(NotifyFlags::ZSET, if options.incr { "zincr" } else { "zadd" }, key);
        ctx.signal_ready(key);
    }
    if let Some(error) = failure {
        return Err(error);
    }
    match (options.incr, score) {
        (true, Some(score)) => ctx.out.double(score),
        (true, None) => ctx.out.null(),
        (false, _) => ctx.out.int(if options.ch { added + changed } else { added }),
    }
    Ok(())
}

pub(super) fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let removed = match ctx.write::<ZSet>(key)?.0 {
        None => 0,
        Some(zset) => args.from(2).iter().filter(|member| zset.remove(member).is_some()).count(),
    };
    announce_removal(ctx, key, "zrem", removed);
    Ok(())
}

fn announce_removal(ctx: &mut Ctx<'_>, key: &[u8], event: &str, removed: usize) {
    if removed > 0 {
        ctx.modified(NotifyFlags::ZSET, event, key);
        ctx.drop_if_empty(key);
    }
    ctx.out.len_int(removed);
}

fn remove_range(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    event: &str,
    ranks: impl FnOnce(&ZSet) -> std::ops::Range<usize>,
) -> Result<(), Error> {
    let removed = match ctx.write::<ZSet>(key)?.0 {
        None => 0,
        Some(zset) => zset.remove_ranks(ranks(zset)),
    };
    announce_removal(ctx, key, event, removed);
    Ok(())
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (start, end) = (args.int(2)?, args.int(3)?);
    remove_range(ctx, args.at(1), "zremrangebyrank", |zset| rank_range(start, end, zset.len()))
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let range = ScoreRange::parse(args.at(2), args.at(3))?;
    remove_range(ctx, args.at(1), "zremrangebyscore", |zset| range.ranks(zset))
}

pub(super) fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let range = LexRange::parse(args.at(2), args.at(3))?;
    remove_range(ctx, args.at(1), "zremrangebylex", |zset| range.ranks(zset))
}
