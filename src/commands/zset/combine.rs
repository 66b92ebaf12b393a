//! Union, intersection and difference of sorted sets (and plain sets, whose members score 1).

use hashbrown::HashMap;

use super::range::store;
use super::{reply_header, reply_pair};
use crate::keyspace::Entry;
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::set::Set;
use crate::value::zset::ZSet;

/// How the scores of one member are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of opposite signs cancel out, as in Redis.
            Self::Sum if (a + b).is_nan() => 0.0,
            Self::Sum => a + b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What a command asks for, from the number of keys on.
struct Query<'a> {
    keys: Args<'a>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
}

fn parse_keys<'a>(ctx: &Ctx<'_>, args: Args<'a>, at: usize) -> Result<Args<'a>, Error> {
    let count = args.int(at)?;
    if count < 1 {
        let name = ctx.command_name();
        return Err(Error::other(format!(
            "ERR at least 1 input key is needed for '{name}' command"
        )));
    }
    let end = usize::try_from(count).ok().and_then(|count| count.checked_add(at + 1));
    end.filter(|&end| end <= args.len()).map(|end| args.range(at + 1, end)).ok_or(Error::Syntax)
}

impl<'a> Query<'a> {
    fn parse(
        ctx: &Ctx<'_>,
        args: Args<'a>,
        at: usize,
        operation: Operation,
        stores: bool,
    ) -> Result<Self, Error> {
        let keys = parse_keys(ctx, args, at)?;
        let mut query =
            Self { keys, weights: vec![1.0; keys.len()], aggregate: Aggregate::Sum, scores: false };
        let mut i = at + 1 + keys.len();
        while i < args.len() {
            if operation != Operation::Diff && args.is(i, "weights") && args.len() - i > keys.len()
            {
                for (k, weight) in query.weights.iter_mut().enumerate() {
                    *weight = num::parse_f64(args.at(i + 1 + k)).ok_or(Error::WeightNotFloat)?;
                }
                i += keys.len();
            } else if operation != Operation::Diff && args.is(i, "aggregate") && i + 1 < args.len()
            {
                query.aggregate = match () {
                    () if args.is(i + 1, "sum") => Aggregate::Sum,
                    () if args.is(i + 1, "min") => Aggregate::Min,
                    () if args.is(i + 1, "max") => Aggregate::Max,
                    () => return Err(Error::Syntax),
                };
                i += 1;
            } else if !stores && args.is(i, "withscores") {
                query.scores = true;
            } else {
                return Err(Error::Syntax);
            }
            i += 1;
        }
        Ok(query)
    }
}

/// One input, borrowed from the database.
#[derive(Clone, Copy)]
enum Input<'a> {
    Missing,
    Set(&'a Set),
    ZSet(&'a ZSet),
}

impl<'a> Input<'a> {
    fn of(entry: Option<&'a Entry>) -> Result<Self, Error> {
        let Some(entry) = entry else { return Ok(Self::Missing) };
        match (entry.collection::<ZSet>(), entry.collection::<Set>()) {
            (Some(zset), _) => Ok(Self::ZSet(zset)),
            (_, Some(set)) => Ok(Self::Set(set)),
            _ => Err(Error::WrongType),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Set(set) => set.len(),
            Self::ZSet(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::ZSet(zset) => zset.score(member),
        }
    }

    /// Calls `f` with each member, until it says `false`.
    fn walk(self, mut f: impl FnMut(&[u8], f64) -> bool) {
        match self {
            Self::Missing => {}
            Self::Set(set) => {
                let mut buf = num::IntBuf::new();
                for member in set.iter() {
                    if !f(member.as_bytes(&mut buf), 1.0) {
                        return;
                    }
                }
            }
            Self::ZSet(zset) => zset.walk(0..usize::MAX, false, f),
        }
    }
}

/// Looks up every input, after those that are due are gone.
fn inputs<'a>(ctx: &'a mut Ctx<'_>, keys: Args<'_>) -> Result<Vec<Input<'a>>, Error> {
    for key in keys.iter() {
        ctx.lookup(key);
    }
    let db = ctx.db();
    keys.iter().map(|key| Input::of(db.get(key))).collect()
}

fn weigh(weight: f64, score: f64) -> f64 {
    let product = weight * score;
    if product.is_nan() { 0.0 } else { product }
}

/// The members of the result and their scores, in no order.
fn combine(inputs: &[Input<'_>], query: &Query<'_>, operation: Operation) -> Vec<(Vec<u8>, f64)> {
    match operation {
        Operation::Union => union(inputs, query),
        Operation::Inter => inter(inputs, query),
        Operation::Diff => diff(inputs),
    }
}

fn union(inputs: &[Input<'_>], query: &Query<'_>) -> Vec<(Vec<u8>, f64)> {
    let mut found: HashMap<Vec<u8>, f64> = HashMap::new();
    for (input, &weight) in inputs.iter().zip(&query.weights) {
        input.walk(|member, score| {
            let score = weigh(weight, score);
            match found.get_mut(member) {
                Some(sum) => *sum = query.aggregate.apply(*sum, score),
                None => {
                    found.insert(member.to_vec(), score);
                }
            }
            true
        });
    }
    found.into_iter().collect()
}

fn inter(inputs: &[Input<'_>], query: &Query<'_>) -> Vec<(Vec<u8>, f64)> {
    let mut found = Vec::new();
    let Some(smallest) = (0..inputs.len()).min_by_key(|&i| inputs[i].len()) else { return found };
    inputs[smallest].walk(|member, score| {
        let mut sum = weigh(query.weights[smallest], score);
        for (i, input) in inputs.iter().enumerate().filter(|(i, _)| *i != smallest) {
            match input.score(member) {
                Some(score) => sum = query.aggregate.apply(sum, weigh(query.weights[i], score)),
                None => return true,
            }
        }
        found.push((member.to_vec(), sum));
        true
    });
    found
}

fn diff(inputs: &[Input<'_>]) -> Vec<(Vec<u8>, f64)> {
    let mut found = Vec::new();
    let Some((first, others)) = inputs.split_first() else { return found };
    first.walk(|member, score| {
        if others.iter().all(|other| other.score(member).is_none()) {
            found.push((member.to_vec(), score));
        }
        true
    });
    found
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, operation: Operation) -> Result<(), Error> {
    let query = Query::parse(ctx, args, 1, operation, false)?;
    let mut found = combine(&inputs(ctx, query.keys)?, &query, operation);
    found.sort_unstable_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| a.cmp(b)));
    reply_header(&mut ctx.out, found.len(), query.scores);
    for (member, score) in found {
        reply_pair(&mut ctx.out, &member, query.scores.then_some(score));
    }
    Ok(())
}

fn run_store(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &str,
) -> Result<(), Error> {
    let query = Query::parse(ctx, args, 2, operation, true)?;
    let limits = ctx.srv.limits;
    let mut result = ZSet::default();
    for (member, score) in combine(&inputs(ctx, query.keys)?, &query, operation) {
        result.set(&member, score, &limits);
    }
    store(ctx, args.at(1), result, &limits, event);
    Ok(())
}

pub(super) fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, Operation::Union)
}

pub(super) fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, Operation::Inter)
}

pub(super) fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run(ctx, args, Operation::Diff)
}

pub(super) fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run_store(ctx, args, Operation::Union, "zunionstore")
}

pub(super) fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run_store(ctx, args, Operation::Inter, "zinterstore")
}

pub(super) fn zdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    run_store(ctx, args, Operation::Diff, "zdiffstore")
}

pub(super) fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let keys = parse_keys(ctx, args, 1)?;
    let mut limit = 0;
    let mut i = 2 + keys.len();
    while i < args.len() {
        if !args.is(i, "limit") || i + 1 >= args.len() {
            return Err(Error::Syntax);
        }
        let value = num::parse_i64(args.at(i + 1)).ok_or(Error::LimitNegative)?;
        limit = usize::try_from(value).map_err(|_| Error::LimitNegative)?;
        i += 2;
    }
    let inputs = inputs(ctx, keys)?;
    let mut count = 0;
    let smallest = inputs.iter().copied().min_by_key(|input| input.len());
    if let Some(smallest) = smallest {
        smallest.walk(|member, _| {
            count += usize::from(inputs.iter().all(|input| input.score(member).is_some()));
            limit == 0 || count < limit
        });
    }
    ctx.out.len_int(count);
    Ok(())
}
