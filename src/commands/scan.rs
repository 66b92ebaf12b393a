//! What SCAN, HSCAN, SSCAN and ZSCAN share.

use crate::resp::{Args, Error, Reply};
use crate::server::ctx::Ctx;
use crate::util::glob::GlobPattern;
use crate::util::num;
use crate::value::{Collection, Type};

/// A cursor and the options after it.
#[derive(Debug)]
pub struct ScanOptions {
    /// Where to go on.
    pub cursor: u64,
    /// About how many elements to look at.
    pub count: usize,
    /// What the elements must match; `None` for all.
    pub pattern: Option<GlobPattern>,
    /// The type that keys must have (SCAN only).
    pub kind: Option<ScanType>,
}

/// The TYPE option: a name that is no type matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanType(pub Option<Type>);

/// The cursor that stands at `index`. Of a collection that isn't there, nobody looks at more.
pub fn cursor(args: Args<'_>, index: usize) -> Result<u64, Error> {
    let text = args.get(index).unwrap_or_default();
    // As C's `strtoul` has it, no text is 0, and negative numbers wrap.
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let value = match &digits[zeros..] {
        [] if zeros > 0 || text.is_empty() => 0,
        digits => num::parse_u64(digits).ok_or(Error::InvalidCursor)?,
    };
    Ok(if negative { value.wrapping_neg() } else { value })
}

impl ScanOptions {
    /// Parses the cursor at `index` and the options after it; `TYPE` only where keys are scanned.
    pub fn parse(args: Args<'_>, index: usize, keys: bool) -> Result<Self, Error> {
        let cursor = cursor(args, index)?;
        let mut options = Self { cursor, count: 10, pattern: None, kind: None };
        let mut i = index + 1;
        while i < args.len() {
            let Some(value) = args.get(i + 1) else { return Err(Error::Syntax) };
            if args.is(i, "count") {
                let count = args.int(i + 1)?;
                options.count =
                    usize::try_from(count).ok().filter(|&n| n > 0).ok_or(Error::Syntax)?;
            } else if args.is(i, "match") {
                let pattern = GlobPattern::new(value);
                options.pattern = (!pattern.is_all()).then_some(pattern);
            } else if args.is(i, "type") && keys {
                options.kind = Some(ScanType(Type::from_name(value)));
            } else {
                return Err(Error::Syntax);
            }
            i += 2;
        }
        Ok(options)
    }

    /// Whether an element matches the pattern.
    #[inline]
    pub fn matches(&self, element: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(element))
    }
}

/// Writes the reply of a scan: the next cursor, and elements that `elements` holds already in RESP.
pub fn reply_scan(out: &mut Reply, cursor: u64, elements: &[u8], count: usize) {
    out.array(2);
    let mut digits = num::IntBuf::new();
    out.bulk(num::fmt_u64(cursor, &mut digits));
    out.array(count);
    out.raw(elements);
}

/// HSCAN, SSCAN and ZSCAN: `step` looks at some elements, writes those that match, and says where to
/// go on and how many parts it wrote.
pub fn collection<T: Collection>(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    step: impl FnOnce(&T, &ScanOptions, &mut Reply) -> (u64, usize),
) -> Result<(), Error> {
    cursor(args, 2)?;
    let (found, out) = ctx.read::<T>(args.at(1))?;
    let Some(found) = found else {
        reply_scan(out, 0, &[], 0);
        return Ok(());
    };
    let options = ScanOptions::parse(args, 2, false)?;
    let mut elements = Reply::new(out.proto());
    let (next, count) = step(found, &options, &mut elements);
    reply_scan(out, next, elements.bytes(), count);
    Ok(())
}
