//! XLEN, XRANGE and XREVRANGE: reading a stream without a group.

use super::{parse, reply_entries};
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::value::stream::Stream;

pub(super) fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_range(ctx, args, false)
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    reply_range(ctx, args, true)
}

fn reply_range(ctx: &mut Ctx<'_>, args: Args<'_>, reverse: bool) -> Result<(), Error> {
    let (start, end) = if reverse { (3, 2) } else { (2, 3) };
    let start = parse::range_start(args.at(start))?;
    let end = parse::range_end(args.at(end))?;
    let mut count = None;
    let mut i = 4;
    while i < args.len() {
        if !args.is(i, "count") || i + 1 >= args.len() {
            return Err(Error::Syntax);
        }
        count = Some(parse::count(args, i + 1)?);
        i += 2;
    }
    let (stream, out) = ctx.read::<Stream>(args.at(1))?;
    let Some(stream) = stream else {
        out.array(0);
        return Ok(());
    };
    if count == Some(0) {
        out.null_array();
        return Ok(());
    }
    let log = stream.log();
    let entries = if reverse { log.range_rev(start, end) } else { log.range(start, end) };
    reply_entries(entries, count.unwrap_or(0), out);
    Ok(())
}
