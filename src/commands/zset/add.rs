//! Adding, changing and removing single members, and looking them up.

use smallvec::SmallVec;

use crate::commands::scan;
use crate::config::NotifyFlags;
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::zset::ZSet;

/// The options of ZADD.
#[derive(Debug, Default, Clone, Copy)]
pub struct AddOptions {
    /// Only add.
    pub nx: bool,
    /// Only change.
    pub xx: bool,
    /// Only raise what is there.
    pub gt: bool,
    /// Only lower what is there.
    pub lt: bool,
    /// Reply changed members, too.
    pub ch: bool,
    /// Add to the score.
    pub incr: bool,
}

impl AddOptions {
    const INCR: Self = Self { nx: false, xx: false, gt: false, lt: false, ch: false, incr: true };

    /// Parses the options at index 2, and tells where the scores begin.
    fn parse(args: Args<'_>) -> (Self, usize) {
        let mut options = Self::default();
        for at in 2..args.len() {
            match () {
                () if args.is(at, "nx") => options.nx = true,
                () if args.is(at, "xx") => options.xx = true,
                () if args.is(at, "gt") => options.gt = true,
                () if args.is(at, "lt") => options.lt = true,
                () if args.is(at, "ch") => options.ch = true,
                () if args.is(at, "incr") => options.incr = true,
                () => return (options, at),
            }
        }
        (options, args.len())
    }

    /// Refuses options that contradict each other, or don't fit the number of members.
    fn check(self, members: usize) -> Result<(), Error> {
        if self.nx && self.xx {
            return Err(Error::ZaddNxXx);
        }
        if self.nx && (self.gt || self.lt) || self.gt && self.lt {
            return Err(Error::ZaddGtLtNx);
        }
        if self.incr && members > 1 {
            return Err(Error::ZaddIncrPair);
        }
        Ok(())
    }

    /// The new score of a member, or `None` to leave it as it is.
    fn decide(self, old: Option<f64>, score: f64) -> Result<Option<f64>, Error> {
        let Some(old) = old else { return Ok((!self.xx).then_some(score)) };
        if self.nx {
            return Ok(None);
        }
        let score = if self.incr { old + score } else { score };
        if score.is_nan() {
            return Err(Error::ScoreNan);
        }
        let refused = self.lt && score >= old || self.gt && score <= old;
        Ok((!refused).then_some(score))
    }
}

/// What became of the members of one ZADD.
#[derive(Debug, Default)]
struct Added {
    added: usize,
    changed: usize,
    /// The last member's score, if the options didn't forbid the operation.
    score: Option<f64>,
}

pub fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (options, at) = AddOptions::parse(args);
    let pairs = args.from(at);
    if pairs.len() == 0 || !pairs.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    options.check(pairs.len() / 2)?;
    add(ctx, args.at(1), pairs, options)
}

pub fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    add(ctx, args.at(1), args.from(2), AddOptions::INCR)
}

/// Adds pairs of score and member to a key and replies.
fn add(ctx: &mut Ctx<'_>, key: &[u8], pairs: Args<'_>, options: AddOptions) -> Result<(), Error> {
    // All scores are read before anything is done.
    let mut scored = SmallVec::<[(f64, &[u8]); 8]>::with_capacity(pairs.len() / 2);
    for at in (0..pairs.len()).step_by(2) {
        scored.push((pairs.float(at)?, pairs.at(at + 1)));
    }
    add_scored(ctx, key, &scored, options)
}

/// Adds members with their scores to a key and replies.
pub fn add_scored(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    scored: &[(f64, &[u8])],
    options: AddOptions,
) -> Result<(), Error> {
    let mut done = Added::default();
    if !options.xx || ctx.write::<ZSet>(key)?.0.is_some() {
        let result = add_each(ctx, key, scored, options, &mut done);
        let changes = done.added + done.changed;
        if changes > 0 {
            let event = if options.incr { "zincr" } else { "zadd" };
            ctx.modified_by(changes, NotifyFlags::ZSET, event, key);
        }
        result?;
    }
    match (options.incr, done.score) {
        (true, Some(score)) => ctx.out.double(score),
        (true, None) => ctx.out.null(),
        (false, _) => ctx.out.len_int(done.added + if options.ch { done.changed } else { 0 }),
    }
    Ok(())
}

fn add_each(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    scored: &[(f64, &[u8])],
    options: AddOptions,
    done: &mut Added,
) -> Result<(), Error> {
    let limits = ctx.srv.limits;
    let zset = ctx.upsert::<ZSet>(key)?.0;
    let first = scored.first().map_or(&b""[..], |(_, member)| member);
    zset.expect(first, scored.len(), &limits);
    for &(score, member) in scored {
        let mut new = Ok(None);
        let old = zset.change(member, &limits, |old| {
            new = options.decide(old, score);
            new.as_ref().ok().copied().flatten()
        });
        done.score = new?;
        match (old, done.score) {
            (None, Some(_)) => done.added += 1,
            (Some(old), Some(new)) if old != new => done.changed += 1,
            _ => {}
        }
    }
    Ok(())
}

pub fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let mut removed = 0;
    if let Some(zset) = ctx.write::<ZSet>(key)?.0 {
        removed = args.from(2).iter().filter(|member| zset.remove(member).is_some()).count();
    }
    if removed > 0 {
        ctx.modified_by(removed, NotifyFlags::ZSET, "zrem", key);
        ctx.drop_if_empty(key);
    }
    ctx.out.len_int(removed);
    Ok(())
}

pub fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    match zset.and_then(|zset| zset.score(args.at(2))) {
        Some(score) => out.double(score),
        None => out.null(),
    }
    Ok(())
}

pub fn zmscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => out.double(score),
            None => out.null(),
        }
    }
    Ok(())
}

pub fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    rank(ctx, args, false)
}

pub fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    rank(ctx, args, true)
}

fn rank(ctx: &mut Ctx<'_>, args: Args<'_>, reverse: bool) -> Result<(), Error> {
    if args.len() > 4 {
        return Err(ctx.arity_error());
    }
    let with_score = args.is(3, "withscore");
    if args.len() == 4 && !with_score {
        return Err(Error::Syntax);
    }
    let (key, member) = (args.at(1), args.at(2));
    let (zset, out) = ctx.read::<ZSet>(key)?;
    let found = zset.and_then(|zset| {
        let rank = zset.rank(member)?;
        Some((zset, if reverse { zset.len() - 1 - rank } else { rank }))
    });
    match found {
        Some((_, rank)) if !with_score => out.len_int(rank),
        Some((zset, rank)) => {
            out.array(2);
            out.len_int(rank);
            out.double(zset.score(member).unwrap_or_default());
        }
        None if with_score => out.null_array(),
        None => out.null(),
    }
    Ok(())
}

pub fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    scan::collection(ctx, args, |zset: &ZSet, options, elements| {
        let mut count = 0;
        // Redis prints the scores of large sets in another way here, and only here.
        let packed = zset.packed().is_some();
        let next = zset.scan(options.cursor, options.count, |member, score| {
            if !options.matches(member) {
                return;
            }
            elements.bulk(member);
            match packed {
                true => elements.bulk(num::fmt_f64(score, &mut num::F64Buf::new())),
                false => elements.bulk(num::fmt_f64_17(score).as_bytes()),
            }
            count += 2;
        });
        (next, count)
    })
}
