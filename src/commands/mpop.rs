//! The arguments that LMPOP, ZMPOP and their blocking forms share.

use crate::resp::{Args, Error};
use crate::util::num;

/// Keys, the end to pop from, and how many elements at most.
#[derive(Debug)]
pub struct MultiPop<'a, E> {
    /// The keys, of which the first that isn't empty is popped from.
    pub keys: Args<'a>,
    /// The end.
    pub end: E,
    /// At least 1.
    pub count: usize,
}

impl<'a, E> MultiPop<'a, E> {
    /// Parses the number of keys at `at`, and all after it.
    pub fn parse(
        args: Args<'a>,
        at: usize,
        parse_end: fn(&[u8]) -> Result<E, Error>,
    ) -> Result<Self, Error> {
        let numkeys =
            num::parse_i64(args.at(at)).filter(|&n| n > 0).ok_or(Error::NumKeysPositive)?;
        let numkeys = usize::try_from(numkeys).map_err(|_| Error::NumKeysPositive)?;
        let end_at = numkeys.checked_add(at + 1).ok_or(Error::Syntax)?;
        let end = parse_end(args.get(end_at).ok_or(Error::Syntax)?)?;
        let mut count = None;
        let mut i = end_at + 1;
        while i < args.len() {
            if !args.is(i, "count") || count.is_some() || i + 1 >= args.len() {
                return Err(Error::Syntax);
            }
            let value = num::parse_i64(args.at(i + 1)).filter(|&n| n > 0);
            count = Some(value.ok_or(Error::CountPositive)?);
            i += 2;
        }
        let count = usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok(Self { keys: args.range(at + 1, end_at), end, count })
    }
}
