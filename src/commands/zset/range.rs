//! Ranges by rank, score and member: returned, stored, counted, removed.

use std::ops::Range;

use super::bounds::{Bounds, By, Limit};
use super::{Shape, reply_range};
use crate::commands::store_collection;
use crate::config::NotifyFlags;
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::value::zset::ZSet;

/// What ZRANGE and its older forms ask for.
struct RangeOptions<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    limit: Limit,
    with_scores: bool,
}

impl<'a> RangeOptions<'a> {
    /// Parses the bounds at `at` and the options after them. A `by` or `reverse` that the command
    /// fixes can't be given as an option; WITHSCORES can't where the result is stored.
    fn parse(
        args: Args<'a>,
        at: usize,
        by: Option<By>,
        reverse: Option<bool>,
        store: bool,
    ) -> Result<Self, Error> {
        let (mut chosen_by, mut chosen_reverse) = (by, reverse);
        let (mut limit, mut with_scores) = (Limit::NONE, false);
        let mut i = at + 2;
        while i < args.len() {
            if !store && args.is(i, "withscores") {
                with_scores = true;
            } else if args.is(i, "limit") && i + 2 < args.len() {
                limit = Limit::parse(args, i + 1)?;
                i += 2;
            } else if reverse.is_none() && args.is(i, "rev") {
                chosen_reverse = Some(true);
            } else if chosen_by.is_none() && args.is(i, "bylex") {
                chosen_by = Some(By::Lex);
            } else if chosen_by.is_none() && args.is(i, "byscore") {
                chosen_by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
            i += 1;
        }
        let (by, reverse) = (chosen_by.unwrap_or(By::Rank), chosen_reverse.unwrap_or(false));
        if limit.count != -1 && by == By::Rank {
            return Err(Error::LimitUnit);
        }
        if with_scores && by == By::Lex {
            return Err(Error::WithscoresLex);
        }
        let (mut min, mut max) = (args.at(at), args.at(at + 1));
        if reverse && by != By::Rank {
            std::mem::swap(&mut min, &mut max);
        }
        Ok(Self { bounds: Bounds::parse(by, min, max)?, reverse, limit, with_scores })
    }

    fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let ranks = self.bounds.ranks(zset, self.reverse);
        match self.bounds {
            Bounds::Rank(..) => ranks,
            _ => self.limit.cut(ranks, self.reverse),
        }
    }
}

pub fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, None, None)
}

pub fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(By::Rank), Some(true))
}

pub fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(By::Score), Some(false))
}

pub fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(By::Score), Some(true))
}

pub fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(By::Lex), Some(false))
}

pub fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(By::Lex), Some(true))
}

fn range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    by: Option<By>,
    reverse: Option<bool>,
) -> Result<(), Error> {
    let options = RangeOptions::parse(args, 2, by, reverse, false)?;
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let Some(zset) = zset else {
        out.array(0);
        return Ok(());
    };
    let shape = Shape::new(options.with_scores, out);
    reply_range(out, zset, options.ranks(zset), options.reverse, shape);
    Ok(())
}

pub fn zrangestore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = RangeOptions::parse(args, 3, None, None, true)?;
    let limits = ctx.srv.limits;
    let mut result = ZSet::default();
    if let Some(zset) = ctx.read::<ZSet>(args.at(2))?.0 {
        let ranks = options.ranks(zset);
        result.expect(b"", ranks.len(), &limits);
        zset.walk(ranks, false, |member, score| {
            result.set(member, score, &limits);
            true
        });
    }
    store_collection(ctx, args.at(1), result, NotifyFlags::ZSET, "zrangestore");
    Ok(())
}

pub fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    count(ctx, args, By::Score)
}

pub fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    count(ctx, args, By::Lex)
}

fn count(ctx: &mut Ctx<'_>, args: Args<'_>, by: By) -> Result<(), Error> {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    out.len_int(zset.map_or(0, |zset| bounds.ranks(zset, false).len()));
    Ok(())
}

pub fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    remove_range(ctx, args, By::Rank, "zremrangebyrank")
}

pub fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    remove_range(ctx, args, By::Score, "zremrangebyscore")
}

pub fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    remove_range(ctx, args, By::Lex, "zremrangebylex")
}

fn remove_range(ctx: &mut Ctx<'_>, args: Args<'_>, by: By, event: &str) -> Result<(), Error> {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let key = args.at(1);
    let zset = ctx.write::<ZSet>(key)?.0;
    let removed = zset.map_or(0, |zset| zset.remove_ranks(bounds.ranks(zset, false)));
    if removed > 0 {
        ctx.modified_by(removed, NotifyFlags::ZSET, event, key);
        ctx.drop_if_empty(key);
    }
    ctx.out.len_int(removed);
    Ok(())
}
