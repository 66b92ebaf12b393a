//! Scores, ranks, random members and iteration.

use super::{reply_header, reply_pair};
use crate::commands::scan::{ScanOptions, reply_scan};
use crate::resp::{Args, Error, Proto, Reply};
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::zset::ZSet;

pub(super) fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    out.len_int(zset.map_or(0, ZSet::len));
    Ok(())
}

fn reply_score(out: &mut Reply, score: Option<f64>) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

pub(super) fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    reply_score(out, zset.and_then(|zset| zset.score(args.at(2))));
    Ok(())
}

pub(super) fn zmscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    out.array(args.len() - 2);
    for member in args.from(2).iter() {
        reply_score(out, zset.and_then(|zset| zset.score(member)));
    }
    Ok(())
}

/// ZRANK and ZREVRANK.
pub(super) fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 4 {
        return Err(ctx.arity_error());
    }
    let with_score = args.len() == 4;
    if with_score && !args.is(3, "withscore") {
        return Err(Error::Syntax);
    }
    let reverse = ctx.command_name() == "zrevrank";
    let member = args.at(2);
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let found = zset.and_then(|zset| Some((zset.rank(member)?, zset.score(member)?, zset.len())));
    match found {
        None if with_score => out.null_array(),
        None => out.null(),
        Some((rank, score, len)) => {
            if with_score {
                out.array(2);
            }
            out.len_int(if reverse { len - 1 - rank } else { rank });
            if with_score {
                out.double(score);
            }
        }
    }
    Ok(())
}

pub(super) fn zrandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut rng = ctx.srv.rng.fork();
    if args.len() == 2 {
        let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
        let Some(zset) = zset else {
            out.null();
            return Ok(());
        };
        reply_ranks(zset, &[rng.usize(..zset.len().max(1))], false, out);
        return Ok(());
    }
    let scores = args.len() == 4 && args.is(3, "withscores");
    if args.len() > 4 || args.len() == 4 && !scores {
        return Err(Error::Syntax);
    }
    let count = num::parse_i64(args.at(2)).ok_or(Error::NotInteger)?;
    let most = if scores { i64::MAX / 2 } else { i64::MAX };
    if count < -most || count > most {
        return Err(Error::OutOfRange);
    }
    let cap = ctx.output_cap();
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let Some(zset) = zset else {
        out.array(0);
        return Ok(());
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        reply_header(out, wanted, scores);
        for _ in 0..wanted {
            if out.len() > cap {
                break;
            }
            reply_ranks(zset, &[rng.usize(..zset.len())], scores, out);
        }
        return Ok(());
    }
    let ranks = distinct(zset.len(), wanted, &mut rng);
    reply_header(out, ranks.len(), scores);
    reply_ranks(zset, &ranks, scores, out);
    Ok(())
}

fn reply_ranks(zset: &ZSet, ranks: &[usize], scores: bool, out: &mut Reply) {
    for &rank in ranks {
        zset.walk(rank..rank + 1, false, |member, score| {
            reply_pair(out, member, scores.then_some(score));
            true
        });
    }
}

/// Up to `wanted` different numbers below `len`, in random order.
fn distinct(len: usize, wanted: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    if wanted >= len / 3 {
        let mut all: Vec<usize> = (0..len).collect();
        rng.shuffle(&mut all);
        all.truncate(wanted);
        return all;
    }
    let mut seen = hashbrown::HashSet::new();
    let mut chosen = Vec::with_capacity(wanted);
    while chosen.len() < wanted {
        let rank = rng.usize(..len);
        if seen.insert(rank) {
            chosen.push(rank);
        }
    }
    chosen
}

pub(super) fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = ScanOptions::parse(args, 2, false)?;
    let (zset, out) = ctx.read::<ZSet>(args.at(1))?;
    let (mut elements, mut count) = (Reply::new(Proto::Resp2), 0);
    let next = zset.map_or(0, |zset| {
        zset.scan(options.cursor, options.count, |member, score| {
            if options.matches(member) {
                elements.bulk(member);
                elements.double(score);
                count += 2;
            }
        })
    });
    reply_scan(out, next, elements.bytes(), count);
    Ok(())
}
