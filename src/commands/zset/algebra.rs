//! Unions, intersections and differences of sorted sets, and of sets as sorted sets of scores 1.

use triomphe::Arc;

use super::{Shape, reply_range};
use crate::commands::store_collection;
use crate::config::NotifyFlags;
use crate::keyspace::Entry;
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::util::num::{self, IntBuf};
use crate::value::set::Set;
use crate::value::zset::ZSet;
use crate::value::{Limits, Value};

/// A set or sorted set at a key, shared: what is stored over it doesn't change it here.
enum Members {
    None,
    Set(Arc<Set>),
    ZSet(Arc<ZSet>),
}

impl Members {
    fn of(entry: Option<&Entry>) -> Result<Self, Error> {
        match entry.map(Entry::value) {
            None => Ok(Self::None),
            Some(Some(Value::Set(set))) => Ok(Self::Set(Arc::clone(set))),
            Some(Some(Value::ZSet(zset))) => Ok(Self::ZSet(Arc::clone(zset))),
            Some(_) => Err(Error::WrongType),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Set(set) => set.len(),
            Self::ZSet(zset) => zset.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::ZSet(zset) => zset.score(member),
        }
    }

    /// Calls `f` with members and scores until it says `false`.
    fn walk(&self, mut f: impl FnMut(&[u8], f64) -> bool) {
        match self {
            Self::None => {}
            Self::Set(set) => {
                let mut buf = IntBuf::new();
                let _ = set.iter().all(|member| f(member.as_bytes(&mut buf), 1.0));
            }
            Self::ZSet(zset) => zset.walk(0..usize::MAX, false, f),
        }
    }
}

/// An operand with its weight.
struct Operand {
    members: Members,
    weight: f64,
}

impl Operand {
    fn weigh(&self, score: f64) -> f64 {
        zero_if_nan(self.weight * score)
    }
}

fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// How the scores of one member become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(arg: &[u8]) -> Result<Self, Error> {
        match () {
            () if arg.eq_ignore_ascii_case(b"sum") => Ok(Self::Sum),
            () if arg.eq_ignore_ascii_case(b"min") => Ok(Self::Min),
            () if arg.eq_ignore_ascii_case(b"max") => Ok(Self::Max),
            () => Err(Error::Syntax),
        }
    }

    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs cancel out.
            Self::Sum => zero_if_nan(a + b),
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

/// The operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What is made of the result, which says what options there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Reply,
    Store,
    Count,
}

/// One call: operands in the order of their keys, and options.
struct Call {
    operation: Operation,
    operands: Vec<Operand>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Members to count at most; 0 for all.
    limit: usize,
}

impl Call {
    /// Parses the number of keys at `at` and all after it, and looks the keys up.
    fn parse(
        ctx: &mut Ctx<'_>,
        args: Args<'_>,
        at: usize,
        operation: Operation,
        outcome: Outcome,
    ) -> Result<Self, Error> {
        let numkeys = args.int(at)?;
        if numkeys < 1 {
            let name = ctx.full_name();
            let text = format!("ERR at least 1 input key is needed for '{name}' command");
            return Err(Error::other(text));
        }
        let numkeys = usize::try_from(numkeys).unwrap_or(usize::MAX);
        if numkeys > args.len() - (at + 1) {
            return Err(Error::Syntax);
        }
        let (keys, options) = (args.range(at + 1, at + 1 + numkeys), args.from(at + 1 + numkeys));
        let mut operands = Vec::with_capacity(numkeys);
        for key in keys.iter() {
            operands.push(Operand { members: Members::of(ctx.lookup(key))?, weight: 1.0 });
        }
        let mut call =
            Self { operation, operands, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        call.parse_options(options, outcome)?;
        Ok(call)
    }

    fn parse_options(&mut self, options: Args<'_>, outcome: Outcome) -> Result<(), Error> {
        let weighs = self.operation != Operation::Diff && outcome != Outcome::Count;
        let mut i = 0;
        while i < options.len() {
            let left = options.len() - i;
            if weighs && left > self.operands.len() && options.is(i, "weights") {
                let weights = options.range(i + 1, i + 1 + self.operands.len());
                for (operand, weight) in self.operands.iter_mut().zip(weights.iter()) {
                    operand.weight = num::parse_f64(weight).ok_or(Error::WeightNotFloat)?;
                }
                i += 1 + weights.len();
            } else if weighs && left >= 2 && options.is(i, "aggregate") {
                self.aggregate = Aggregate::parse(options.at(i + 1))?;
                i += 2;
            } else if outcome == Outcome::Reply && options.is(i, "withscores") {
                self.with_scores = true;
                i += 1;
            } else if outcome == Outcome::Count && left >= 2 && options.is(i, "limit") {
                let limit = num::parse_i64(options.at(i + 1));
                let limit = limit.and_then(|limit| usize::try_from(limit).ok());
                self.limit = limit.ok_or(Error::LimitNegative)?;
                i += 2;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(())
    }

    /// The members of the result.
    fn run(mut self, limits: &Limits) -> ZSet {
        let mut result = ZSet::default();
        match self.operation {
            Operation::Union => self.unite(&mut result, limits),
            Operation::Inter => self.intersect(|member, score| {
                result.set(member, score, limits);
                true
            }),
            Operation::Diff => self.subtract(&mut result, limits),
        }
        result
    }

    fn unite(&mut self, result: &mut ZSet, limits: &Limits) {
        self.operands.sort_by_key(|operand| operand.members.len());
        for operand in &self.operands {
            operand.members.walk(|member, score| {
                let score = operand.weigh(score);
                let join = |old: f64| self.aggregate.join(old, score);
                result.change(member, limits, |old| Some(old.map_or(score, join)));
                true
            });
        }
    }

    /// Passes the members that all operands have until `emit` refuses one.
    fn intersect(&mut self, mut emit: impl FnMut(&[u8], f64) -> bool) {
        self.operands.sort_by_key(|operand| operand.members.len());
        let Some((smallest, others)) = self.operands.split_first() else { return };
        smallest.members.walk(|member, score| {
            let scores = others.iter().try_fold(smallest.weigh(score), |sum, other| {
                // What is no number cancels the sum here, as in Redis, where a union drops it.
                let score = other.weight * other.members.score(member)?;
                Some(self.aggregate.join(sum, score))
            });
            scores.is_none_or(|score| emit(member, score))
        });
    }

    fn subtract(&mut self, result: &mut ZSet, limits: &Limits) {
        let Some((first, others)) = self.operands.split_first_mut() else { return };
        // The largest is the likeliest to have a member.
        others.sort_by_key(|other| std::cmp::Reverse(other.members.len()));
        first.members.walk(|member, score| {
            if !others.iter().any(|other| other.members.score(member).is_some()) {
                result.set(member, score, limits);
            }
            true
        });
    }
}

pub fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply(ctx, args, Operation::Union)
}

pub fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply(ctx, args, Operation::Inter)
}

pub fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply(ctx, args, Operation::Diff)
}

fn reply(ctx: &mut Ctx<'_>, args: Args<'_>, operation: Operation) -> Result<(), Error> {
    let call = Call::parse(ctx, args, 1, operation, Outcome::Reply)?;
    let shape = Shape::new(call.with_scores, &ctx.out);
    let result = call.run(&ctx.srv.limits);
    reply_range(&mut ctx.out, &result, 0..result.len(), false, shape);
    Ok(())
}

pub fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    store(ctx, args, Operation::Union, "zunionstore")
}

pub fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    store(ctx, args, Operation::Inter, "zinterstore")
}

pub fn zdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    store(ctx, args, Operation::Diff, "zdiffstore")
}

fn store(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &'static str,
) -> Result<(), Error> {
    let call = Call::parse(ctx, args, 2, operation, Outcome::Store)?;
    let result = call.run(&ctx.srv.limits);
    store_collection(ctx, args.at(1), result, NotifyFlags::ZSET, event);
    Ok(())
}

pub fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut call = Call::parse(ctx, args, 1, Operation::Inter, Outcome::Count)?;
    let (mut count, limit) = (0, call.limit);
    call.intersect(|_, _| {
        count += 1;
        count != limit
    });
    ctx.out.len_int(count);
    Ok(())
}
