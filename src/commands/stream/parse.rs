//! What the arguments of stream commands have in common: IDs, ends of ranges, trimming.

use crate::resp::{Args, Error};
use crate::util::num;
use crate::value::Limits;
use crate::value::stream::{StreamId, Trim, TrimTo};

/// The greatest limit of approximate trimming that is set where none is given, in entries.
const LIMIT_MAX: u64 = 1_000_000;
/// The same where nodes may have any number of entries.
const LIMIT_UNKNOWN: u64 = 10_000;

/// Reads an ID; without a sequence number it is `ms-0`.
pub(super) fn id(arg: &[u8]) -> Result<StreamId, Error> {
    StreamId::parse(arg, 0).ok_or(Error::StreamId)
}

/// Reads an ID, or `-` and `+` for the first and last that are possible.
pub(super) fn id_or_end(arg: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    match arg {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => StreamId::parse(arg, missing_seq).ok_or(Error::StreamId),
    }
}

/// Reads the start of a range, which `(` excludes: the first ID in it.
pub(super) fn range_start(arg: &[u8]) -> Result<StreamId, Error> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => id(rest)?.next().ok_or(Error::StreamRangeStart),
        _ => id_or_end(arg, 0),
    }
}

/// Reads the end of a range, which `(` excludes: the last ID in it.
pub(super) fn range_end(arg: &[u8]) -> Result<StreamId, Error> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => {
            let end = StreamId::parse(rest, u64::MAX).ok_or(Error::StreamId)?;
            end.prev().ok_or(Error::StreamRangeEnd)
        }
        _ => id_or_end(arg, u64::MAX),
    }
}

/// Reads a count where a negative one is 0.
pub(super) fn count(args: Args<'_>, index: usize) -> Result<u64, Error> {
    Ok(u64::try_from(args.int(index)?).unwrap_or(0))
}

/// Reads an integer that fails with an error of its own.
pub(super) fn int_or(arg: &[u8], error: Error) -> Result<i64, Error> {
    num::parse_i64(arg).ok_or(error)
}

/// The ID that XADD is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    AutoSeq(u64),
    /// Whole.
    Given(StreamId),
}

/// The options of XADD and XTRIM.
#[derive(Debug)]
pub(super) struct TrimArgs {
    pub trim: Option<Trim>,
    /// Where the length or ID that is trimmed to stands.
    pub trim_at: usize,
    /// Where the word LIMIT stands.
    limit_at: Option<usize>,
    pub only_existing: bool,
    pub id: NewId,
    /// Where the ID stands; behind the last argument if there is none.
    pub id_at: usize,
}

impl TrimArgs {
    /// Reads the options from the third argument on; XADD's end with its ID.
    pub fn parse(args: Args<'_>, is_xadd: bool, limits: &Limits) -> Result<Self, Error> {
        let mut parsed = Self {
            trim: None,
            trim_at: 0,
            limit_at: None,
            only_existing: false,
            id: NewId::Auto,
            id_at: args.len(),
        };
        let mut limit = 0;
        let mut i = 2;
        while i < args.len() {
            let more = args.len() - 1 - i;
            if is_xadd && args.at(i) == b"*" {
                parsed.id_at = i;
                break;
            } else if args.is(i, "maxlen") && more > 0 {
                i = parsed.parse_trim(args, i, parse_max_len)?;
            } else if args.is(i, "minid") && more > 0 {
                let parse = |args: Args<'_>, at| Ok(TrimTo::MinId(id(args.at(at))?));
                i = parsed.parse_trim(args, i, parse)?;
            } else if args.is(i, "limit") && more > 0 {
                limit = u64::try_from(args.int(i + 1)?).map_err(|_| Error::StreamLimitNegative)?;
                parsed.limit_at = Some(i);
                i += 1;
            } else if is_xadd && args.is(i, "nomkstream") {
                parsed.only_existing = true;
            } else if is_xadd {
                parsed.id = new_id(args.at(i))?;
                parsed.id_at = i;
                break;
            } else {
                return Err(Error::Syntax);
            }
            i += 1;
        }
        parsed.check(is_xadd, limit, limits)?;
        Ok(parsed)
    }

    /// Reads `MAXLEN|MINID [=|~] threshold` from `i` on; returns where the threshold stands.
    fn parse_trim(
        &mut self,
        args: Args<'_>,
        i: usize,
        parse: impl Fn(Args<'_>, usize) -> Result<TrimTo, Error>,
    ) -> Result<usize, Error> {
        if self.trim.is_some() {
            return Err(Error::StreamTrimTwice);
        }
        let operator = if i + 2 < args.len() { args.at(i + 1) } else { b"" };
        let at = i + 1 + usize::from(matches!(operator, b"=" | b"~"));
        let to = parse(args, at)?;
        self.trim = Some(Trim { to, approximate: operator == b"~", limit: 0 });
        self.trim_at = at;
        Ok(at)
    }

    /// The checks of options together; sets the limit.
    fn check(&mut self, is_xadd: bool, limit: u64, limits: &Limits) -> Result<(), Error> {
        let Some(trim) = &mut self.trim else {
            return match () {
                () if limit > 0 => Err(Error::StreamLimitAlone),
                () if !is_xadd => Err(Error::StreamTrimMissing),
                () => Ok(()),
            };
        };
        trim.limit = match self.limit_at {
            Some(_) if !trim.approximate => return Err(Error::StreamLimitExact),
            Some(_) => limit,
            None if !trim.approximate => 0,
            None => match limits.stream_node_max_entries.saturating_mul(100) {
                0 => LIMIT_UNKNOWN,
                entries => entries.min(LIMIT_MAX),
            },
        };
        Ok(())
    }

    /// Whether trimming could do something else when it is executed again.
    pub fn is_inexact(&self) -> bool {
        self.trim.is_some_and(|trim| trim.approximate)
    }

    /// The arguments in a form that does the same again: trimming is exact, to `threshold`, and
    /// the ID is `id`.
    pub fn exact<'a>(
        &self,
        args: Args<'a>,
        threshold: &'a [u8],
        id: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        let (trim_at, limit_at, id_at) = (self.trim_at, self.limit_at, self.id_at);
        let inexact = self.is_inexact();
        args.iter().enumerate().filter_map(move |(i, arg)| match i {
            _ if limit_at.is_some_and(|at| i == at || i == at + 1) => None,
            _ if i == id_at => Some(id),
            _ if inexact && i + 1 == trim_at => Some(&b"="[..]),
            _ if inexact && i == trim_at => Some(threshold),
            _ => Some(arg),
        })
    }
}

fn parse_max_len(args: Args<'_>, at: usize) -> Result<TrimTo, Error> {
    let len = u64::try_from(args.int(at)?).map_err(|_| Error::StreamMaxlenNegative)?;
    Ok(TrimTo::MaxLen(len))
}

fn new_id(arg: &[u8]) -> Result<NewId, Error> {
    match StreamId::parse_open(arg) {
        Some(ms) => Ok(NewId::AutoSeq(ms)),
        None => Ok(NewId::Given(id(arg)?)),
    }
}
