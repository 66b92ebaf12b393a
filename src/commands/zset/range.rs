//! Ranges by rank, score and name: bounds, and the commands that return or store them.

use std::ops::Range;

use super::{reply_header, reply_pair};
use crate::config::NotifyFlags;
use crate::resp::{Args, Error, Reply};
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::zset::ZSet;
use crate::value::{Collection, Limits};

/// The ranks that inclusive indices mean, negative ones counted from the end.
pub(super) fn rank_range(start: i64, end: i64, len: usize) -> Range<usize> {
    crate::commands::list::range(start, end, len)
}

/// A bound of scores.
#[derive(Debug, Clone, Copy)]
struct ScoreBound {
    score: f64,
    exclusive: bool,
}

impl ScoreBound {
    fn parse(arg: &[u8]) -> Result<Self, Error> {
        let (exclusive, text) = match arg.strip_prefix(b"(") {
            Some(rest) => (true, rest),
            None => (false, arg),
        };
        let score = num::parse_f64(text).ok_or(Error::MinMaxNotFloat)?;
        Ok(Self { score, exclusive })
    }
}

/// A range of scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScoreRange {
    min: ScoreBound,
    max: ScoreBound,
}

impl ScoreRange {
    pub(super) fn parse(min: &[u8], max: &[u8]) -> Result<Self, Error> {
        Ok(Self { min: ScoreBound::parse(min)?, max: ScoreBound::parse(max)? })
    }

    /// The ranks of the members inside.
    pub(super) fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let Self { min, max } = *self;
        let start =
            zset.count_before(
                |score, _| {
                    if min.exclusive { score <= min.score } else { score < min.score }
                },
            );
        let end =
            zset.count_before(
                |score, _| {
                    if max.exclusive { score < max.score } else { score <= max.score }
                },
            );
        start..end.max(start)
    }
}

/// A bound of names.
#[derive(Debug, Clone, Copy)]
enum LexBound<'a> {
    First,
    Last,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

impl<'a> LexBound<'a> {
    fn parse(arg: &'a [u8]) -> Result<Self, Error> {
        match arg {
            b"-" => Ok(Self::First),
            b"+" => Ok(Self::Last),
            [b'[', name @ ..] => Ok(Self::Inclusive(name)),
            [b'(', name @ ..] => Ok(Self::Exclusive(name)),
            _ => Err(Error::LexRange),
        }
    }
}

/// A range of names.
#[derive(Debug, Clone, Copy)]
pub(super) struct LexRange<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

impl<'a> LexRange<'a> {
    pub(super) fn parse(min: &'a [u8], max: &'a [u8]) -> Result<Self, Error> {
        Ok(Self { min: LexBound::parse(min)?, max: LexBound::parse(max)? })
    }

    /// The ranks of the members inside.
    pub(super) fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let start = zset.count_before(|_, member| match self.min {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(name) => member < name,
            LexBound::Exclusive(name) => member <= name,
        });
        let end = zset.count_before(|_, member| match self.max {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(name) => member <= name,
            LexBound::Exclusive(name) => member < name,
        });
        start..end.max(start)
    }
}

/// What a range is measured in.
#[derive(Debug, Clone, Copy)]
enum By<'a> {
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Rank,
    Score,
    Lex,
}

/// What one of the range commands asks for.
#[derive(Debug, Clone, Copy)]
struct Query<'a> {
    by: By<'a>,
    reverse: bool,
    scores: bool,
    /// Members to pass over, and the most to return; negative for all.
    limit: Option<(i64, i64)>,
}

/// What the command's name says already.
#[derive(Debug, Clone, Copy)]
struct Form {
    unit: Option<Unit>,
    reverse: Option<bool>,
    stores: bool,
}

impl<'a> Query<'a> {
    /// Parses the bounds at `at` and the options after them.
    fn parse(args: Args<'a>, at: usize, form: Form) -> Result<Self, Error> {
        let (mut unit, mut reverse) = (form.unit, form.reverse.unwrap_or(false));
        let (mut scores, mut limit) = (false, None);
        let mut i = at + 2;
        while i < args.len() {
            if !form.stores && args.is(i, "withscores") {
                scores = true;
            } else if args.is(i, "limit") && i + 2 < args.len() {
                limit = Some((args.int(i + 1)?, args.int(i + 2)?));
                i += 2;
            } else if form.reverse.is_none() && args.is(i, "rev") {
                reverse = true;
            } else if form.unit.is_none() && unit.is_none() && args.is(i, "byscore") {
                unit = Some(Unit::Score);
            } else if form.unit.is_none() && unit.is_none() && args.is(i, "bylex") {
                unit = Some(Unit::Lex);
            } else {
                return Err(Error::Syntax);
            }
            i += 1;
        }
        let unit = unit.unwrap_or(Unit::Rank);
        if limit.is_some() && unit == Unit::Rank {
            return Err(Error::LimitUnit);
        }
        if scores && unit == Unit::Lex {
            return Err(Error::WithscoresLex);
        }
        let (mut min, mut max) = (args.at(at), args.at(at + 1));
        if reverse && unit != Unit::Rank {
            (min, max) = (max, min);
        }
        let by = match unit {
            Unit::Rank => By::Rank(args.int(at)?, args.int(at + 1)?),
            Unit::Score => By::Score(ScoreRange::parse(min, max)?),
            Unit::Lex => By::Lex(LexRange::parse(min, max)?),
        };
        Ok(Self { by, reverse, scores, limit })
    }

    /// The ranks that are asked for, counted from the lowest score.
    fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let all = match self.by {
            By::Rank(start, end) => {
                let ranks = rank_range(start, end, zset.len());
                match self.reverse {
                    true => zset.len() - ranks.end..zset.len() - ranks.start,
                    false => ranks,
                }
            }
            By::Score(range) => range.ranks(zset),
            By::Lex(range) => range.ranks(zset),
        };
        let Some((offset, count)) = self.limit else { return all };
        let Ok(offset) = usize::try_from(offset) else { return 0..0 };
        let len = all.len().saturating_sub(offset);
        let len = usize::try_from(count).map_or(len, |count| count.min(len));
        match self.reverse {
            false => {
                let start = all.end.min(all.start.saturating_add(offset));
                start..start + len
            }
            true => {
                let end = all.start.max(all.end.saturating_sub(offset));
                end - len..end
            }
        }
    }
}

fn reply_range(out: &mut Reply, zset: Option<&ZSet>, query: &Query<'_>) {
    let Some(zset) = zset else {
        out.array(0);
        return;
    };
    let ranks = query.ranks(zset);
    reply_header(out, ranks.len(), query.scores);
    zset.walk(ranks, query.reverse, |member, score| {
        reply_pair(out, member, query.scores.then_some(score));
        true
    });
}

fn range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    unit: Option<Unit>,
    reverse: Option<bool>,
) -> Result<(), Error> {
    let query = Query::parse(args, 2, Form { unit, reverse, stores: false })?;
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    reply_range(out, zset, &query);
    Ok(())
}

pub(super) fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, None, None)
}

pub(super) fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(Unit::Rank), Some(true))
}

pub(super) fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(Unit::Score), Some(false))
}

pub(super) fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(Unit::Score), Some(true))
}

pub(super) fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(Unit::Lex), Some(false))
}

pub(super) fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    range(ctx, args, Some(Unit::Lex), Some(true))
}

pub(super) fn zrangestore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let query = Query::parse(args, 3, Form { unit: None, reverse: None, stores: true })?;
    let limits = ctx.srv.limits;
    let mut result = ZSet::default();
    if let Some(zset) = ctx.read::<ZSet>(args.at(2))?.0 {
        zset.walk(query.ranks(zset), query.reverse, |member, score| {
            result.set(member, score, &limits);
            true
        });
    }
    store(ctx, args.at(1), result, &limits, "zrangestore");
    Ok(())
}

/// Stores a result at a key, or deletes the key if there is none; replies the number of members.
pub(super) fn store(ctx: &mut Ctx<'_>, key: &[u8], mut result: ZSet, limits: &Limits, event: &str) {
    let len = result.len();
    if len == 0 {
        if ctx.delete(key) {
            ctx.modified(NotifyFlags::GENERIC, "del", key);
        }
    } else {
        result.compact(limits);
        ctx.put(crate::keyspace::Entry::new(key, result.into_value(), None));
        ctx.modified(NotifyFlags::ZSET, event, key);
    }
    ctx.out.len_int(len);
}

pub(super) fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let range = ScoreRange::parse(args.at(2), args.at(3))?;
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    out.len_int(zset.map_or(0, |zset| range.ranks(zset).len()));
    Ok(())
}

pub(super) fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let range = LexRange::parse(args.at(2), args.at(3))?;
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    out.len_int(zset.map_or(0, |zset| range.ranks(zset).len()));
    Ok(())
}
