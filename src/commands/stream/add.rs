//! XADD, XTRIM, XDEL and XSETID: what comes into a stream, and what leaves it.

use smallvec::SmallVec;

use super::parse::{self, NewId, TrimArgs};
use crate::config::NotifyFlags;
use crate::resp::{Args, Error};
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::stream::{AppendError, ENTRY_BYTES_MAX, IdBuf, Log, Meta, Stream};
use crate::value::stream::{StreamId, TrimTo};

/// The ID of a new entry.
fn choose_id(wanted: NewId, last: StreamId, now_ms: i64) -> Result<StreamId, Error> {
    let now_ms = u64::try_from(now_ms).unwrap_or(0);
    match wanted {
        NewId::Given(id) => Ok(id),
        NewId::Auto if now_ms > last.ms => Ok(StreamId::new(now_ms, 0)),
        NewId::Auto => last.next().ok_or(Error::XaddExhausted),
        NewId::AutoSeq(ms) if ms != last.ms => Ok(StreamId::new(ms, 0)),
        NewId::AutoSeq(ms) => {
            let seq = last.seq.checked_add(1).ok_or(Error::XaddNotLater)?;
            Ok(StreamId::new(ms, seq))
        }
    }
}

pub(super) fn xadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, limits, now_ms) = (args.at(1), ctx.srv.limits, ctx.now_ms());
    let options = TrimArgs::parse(args, true, &limits)?;
    let fields = args.from(options.id_at + 1);
    if fields.len() < 2 || !fields.len().is_multiple_of(2) {
        return Err(ctx.arity_error());
    }
    if options.id == NewId::Given(StreamId::MIN) {
        return Err(Error::XaddZero);
    }
    // Nothing may fail once a new stream stands in its place.
    if fields.byte_len() > ENTRY_BYTES_MAX {
        return Err(Error::XaddTooLarge);
    }
    if options.only_existing && ctx.write::<Stream>(key)?.0.is_none() {
        ctx.out.null();
        return Ok(());
    }
    let (stream, out) = ctx.upsert::<Stream>(key)?;
    let log = stream.log_mut();
    if log.last_id() == StreamId::MAX {
        return Err(Error::XaddExhausted);
    }
    let id = choose_id(options.id, log.last_id(), now_ms)?;
    log.append(id, fields.iter(), &limits).map_err(|error| match error {
        AppendError::NotLater => Error::XaddNotLater,
        AppendError::TooLarge => Error::XaddTooLarge,
    })?;
    let trimmed = options.trim.map_or(0, |trim| log.trim(&trim));
    let mut text = IdBuf::new();
    let text = id.text(&mut text);
    out.bulk(text);
    ctx.modified(NotifyFlags::STREAM, "xadd", key);
    if trimmed > 0 {
        ctx.notify(NotifyFlags::STREAM, "xtrim", key);
    }
    ctx.signal_ready(key);
    if options.is_inexact() || !matches!(options.id, NewId::Given(_)) {
        tell_exactly(ctx, args, &options, text);
    }
    Ok(())
}

/// Tells of XADD or XTRIM in a form that does the same again.
fn tell_exactly(ctx: &mut Ctx<'_>, args: Args<'_>, options: &TrimArgs, id: &[u8]) {
    if !ctx.is_heard() {
        return;
    }
    let stream = ctx.db().get(args.at(1)).and_then(|entry| entry.collection::<Stream>());
    let Some(log) = stream.map(Stream::log) else { return };
    let (mut digits, mut buf) = (num::IntBuf::new(), IdBuf::new());
    let threshold = match options.trim.map(|trim| trim.to) {
        Some(TrimTo::MinId(_)) => first_left(log).text(&mut buf),
        _ => num::fmt_u64(log.len(), &mut digits),
    };
    let words: SmallVec<[&[u8]; 16]> = options.exact(args, threshold, id).collect();
    ctx.propagate_as(&words);
}

/// The ID to which a stream has been trimmed: that of its first entry.
fn first_left(log: &Log) -> StreamId {
    if log.is_empty() { StreamId::MAX } else { log.meta().first_id }
}

pub(super) fn xtrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, limits) = (args.at(1), ctx.srv.limits);
    let options = TrimArgs::parse(args, false, &limits)?;
    let (stream, _) = ctx.write::<Stream>(key)?;
    let trimmed = match (stream, options.trim) {
        (Some(stream), Some(trim)) => stream.log_mut().trim(&trim),
        _ => 0,
    };
    if trimmed > 0 {
        let changes = usize::try_from(trimmed).unwrap_or(usize::MAX);
        ctx.modified_by(changes, NotifyFlags::STREAM, "xtrim", key);
        if options.is_inexact() {
            tell_exactly(ctx, args, &options, b"");
        }
    }
    ctx.out.int(trimmed.cast_signed());
    Ok(())
}

pub(super) fn xdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let Some(stream) = ctx.write::<Stream>(key)?.0 else {
        ctx.out.int(0);
        return Ok(());
    };
    // An ID that isn't one must leave all entries where they are.
    let ids: SmallVec<[StreamId; 8]> =
        args.from(2).iter().map(parse::id).collect::<Result<_, _>>()?;
    let log = stream.log_mut();
    let deleted = ids.iter().filter(|id| log.delete(**id)).count();
    if deleted > 0 {
        ctx.modified_by(deleted, NotifyFlags::STREAM, "xdel", key);
    }
    ctx.out.len_int(deleted);
    Ok(())
}

pub(super) fn xsetid(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let last_id = parse::id(args.at(2))?;
    let (mut entries_added, mut max_deleted_id) = (None, StreamId::MIN);
    let mut i = 3;
    while i < args.len() {
        if args.is(i, "entriesadded") && i + 1 < args.len() {
            let added = u64::try_from(args.int(i + 1)?).map_err(|_| Error::XsetidAdded)?;
            entries_added = Some(added);
        } else if args.is(i, "maxdeletedid") && i + 1 < args.len() {
            max_deleted_id = parse::id(args.at(i + 1))?;
            if last_id < max_deleted_id {
                return Err(Error::XsetidDeleted);
            }
        } else {
            return Err(Error::Syntax);
        }
        i += 2;
    }
    let stream = ctx.write::<Stream>(key)?.0.ok_or(Error::NoSuchKey)?;
    let (log, meta) = (stream.log(), *stream.log().meta());
    if last_id < meta.max_deleted_id {
        return Err(Error::XsetidCurrent);
    }
    if log.last().is_some_and(|last| last_id < last.id()) {
        return Err(Error::XsetidTop);
    }
    if entries_added.is_some_and(|added| added < log.len()) {
        return Err(Error::XsetidLength);
    }
    let max_deleted_id =
        if max_deleted_id == StreamId::MIN { meta.max_deleted_id } else { max_deleted_id };
    let entries_added = entries_added.unwrap_or(meta.entries_added);
    stream.set_meta(Meta { last_id, max_deleted_id, entries_added, ..meta });
    ctx.out.ok();
    ctx.modified(NotifyFlags::STREAM, "xsetid", key);
    Ok(())
}
