//! The bounds of ranges of sorted sets: by rank, by score, by member; and LIMIT.
//!
//! Owns their texts' parsing and what ranks they come down to. Never touches a key.

use std::ops::Range;

use crate::commands::list;
use crate::resp::{Args, Error};
use crate::util::num;
use crate::value::zset::ZSet;

/// What a range goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Ranks.
    Rank,
    /// Scores.
    Score,
    /// Members, where all scores are equal.
    Lex,
}

/// A range's two ends.
#[derive(Debug, Clone, Copy)]
pub enum Bounds<'a> {
    /// Ranks, inclusive; negative ones count from the end.
    Rank(i64, i64),
    /// Scores.
    Score(ScoreBound, ScoreBound),
    /// Members.
    Lex(LexBound<'a>, LexBound<'a>),
}

/// An end of a range of scores.
#[derive(Debug, Clone, Copy)]
pub struct ScoreBound {
    score: f64,
    exclusive: bool,
}

/// An end of a range of members.
#[derive(Debug, Clone, Copy)]
pub enum LexBound<'a> {
    /// Before all members: `-`.
    Min,
    /// After all members: `+`.
    Max,
    /// A member that belongs to the range: `[m`.
    Inclusive(&'a [u8]),
    /// A member that doesn't: `(m`.
    Exclusive(&'a [u8]),
}

impl ScoreBound {
    fn parse(text: &[u8]) -> Result<Self, Error> {
        let (exclusive, text) = match text {
            [b'(', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let score = num::parse_f64_lax(text);
        Ok(Self { score: score.ok_or(Error::MinMaxNotFloat)?, exclusive })
    }
}

impl<'a> LexBound<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Error> {
        match text {
            b"-" => Ok(Self::Min),
            b"+" => Ok(Self::Max),
            [b'[', member @ ..] => Ok(Self::Inclusive(member)),
            [b'(', member @ ..] => Ok(Self::Exclusive(member)),
            _ => Err(Error::LexRange),
        }
    }

    /// How many members come before this end; `start` says which end of the range it is.
    fn rank(self, zset: &ZSet, start: bool) -> usize {
        match self {
            Self::Min => 0,
            Self::Max => zset.len(),
            Self::Inclusive(member) if start => zset.count_before(|_, name| name < member),
            Self::Inclusive(member) => zset.count_before(|_, name| name <= member),
            Self::Exclusive(member) if start => zset.count_before(|_, name| name <= member),
            Self::Exclusive(member) => zset.count_before(|_, name| name < member),
        }
    }
}

impl<'a> Bounds<'a> {
    /// Parses the lower and the upper end.
    pub fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, Error> {
        let rank = |text| num::parse_i64(text).ok_or(Error::NotInteger);
        match by {
            By::Rank => Ok(Self::Rank(rank(min)?, rank(max)?)),
            By::Score => Ok(Self::Score(ScoreBound::parse(min)?, ScoreBound::parse(max)?)),
            By::Lex => Ok(Self::Lex(LexBound::parse(min)?, LexBound::parse(max)?)),
        }
    }

    /// The ranks of what lies between the ends. Ranks given are counted from the last member on if
    /// `reverse`.
    pub fn ranks(&self, zset: &ZSet, reverse: bool) -> Range<usize> {
        let (start, end) = match *self {
            Self::Rank(start, end) => {
                let len = zset.len();
                let ranks = list::range(start, end, len);
                return if reverse { len - ranks.end..len - ranks.start } else { ranks };
            }
            Self::Score(min, max) => (
                zset.count_before(|score, _| {
                    score < min.score || min.exclusive && score == min.score
                }),
                zset.count_before(|score, _| {
                    score < max.score || !max.exclusive && score == max.score
                }),
            ),
            Self::Lex(min, max) => (min.rank(zset, true), max.rank(zset, false)),
        };
        start..end.max(start)
    }
}

/// The LIMIT option: what to leave out, and how much to return at most.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Negative leaves all out.
    pub offset: i64,
    /// Negative for no bound.
    pub count: i64,
}

impl Limit {
    /// No LIMIT.
    pub const NONE: Self = Self { offset: 0, count: -1 };

    /// Parses the two arguments from `at` on.
    pub fn parse(args: Args<'_>, at: usize) -> Result<Self, Error> {
        Ok(Self { offset: args.int(at)?, count: args.int(at + 1)? })
    }

    /// What is left of these ranks, when they are returned from the last on if `reverse`.
    pub fn cut(&self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        let skip = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(ranks.len() - skip);
        match reverse {
            false => ranks.start + skip..ranks.start + skip + count,
            true => ranks.end - skip - count..ranks.end - skip,
        }
    }
}
