//! XGROUP, XACK and XPENDING: groups, and what is pending in them.

use smallvec::SmallVec;

use super::{no_group, no_group_of, parse, reply_id};
use crate::commands::reply_help;
use crate::config::NotifyFlags;
use crate::resp::{Args, Error, Reply};
use crate::server::ctx::Ctx;
use crate::value::stream::{Group, Pending, Stream, StreamId};

/// The options of XGROUP CREATE and SETID.
#[derive(Default)]
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl GroupOptions {
    fn parse(args: Args<'_>, creates: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut i = 5;
        while i < args.len() {
            if creates && args.is(i, "mkstream") {
                options.make_stream = true;
                i += 1;
            } else if args.is(i, "entriesread") && i + 1 < args.len() {
                options.entries_read = match args.int(i + 1)? {
                    -1 => None,
                    read => Some(u64::try_from(read).map_err(|_| Error::XgroupEntriesRead)?),
                };
                i += 2;
            } else {
                return Err(Error::subcommand_syntax("XGROUP", args.at(1)));
            }
        }
        let most = if creates { 8 } else { 7 };
        match args.len() <= most {
            true => Ok(options),
            false => Err(Error::subcommand_syntax("XGROUP", args.at(1))),
        }
    }
}

/// The stream of an XGROUP subcommand, which must exist.
fn existing<'c>(ctx: &'c mut Ctx<'_>, key: &[u8]) -> Result<&'c mut Stream, Error> {
    ctx.write::<Stream>(key)?.0.ok_or(Error::XgroupNoKey)
}

/// The same, whose group must exist, too.
fn existing_group<'c>(
    ctx: &'c mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
) -> Result<&'c mut Stream, Error> {
    let stream = existing(ctx, key)?;
    match stream.group(group) {
        Some(_) => Ok(stream),
        None => Err(no_group_of(key, group)),
    }
}

/// The ID that a group is set to; `$` is the stream's last.
fn group_id(arg: &[u8], stream: Option<&Stream>) -> Result<StreamId, Error> {
    match arg {
        b"$" => Ok(stream.map_or(StreamId::MIN, |stream| stream.log().last_id())),
        _ => parse::id_or_end(arg, 0),
    }
}

pub(super) fn create(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = GroupOptions::parse(args, true)?;
    let (key, name) = (args.at(2), args.at(3));
    let stream = ctx.write::<Stream>(key)?.0;
    if stream.is_none() && !options.make_stream {
        return Err(Error::XgroupNoKey);
    }
    // Unlike SETID, it takes neither `-` nor `+`.
    let id = match args.at(4) {
        b"-" | b"+" => return Err(Error::StreamId),
        arg => group_id(arg, stream.as_deref())?,
    };
    let stream = ctx.upsert::<Stream>(key)?.0;
    if !stream.add_group(Group::new(name, id, options.entries_read)) {
        return Err(Error::BusyGroup);
    }
    ctx.out.ok();
    ctx.modified(NotifyFlags::STREAM, "xgroup-create", key);
    Ok(())
}

pub(super) fn set_id(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = GroupOptions::parse(args, false)?;
    let (key, name) = (args.at(2), args.at(3));
    let stream = existing_group(ctx, key, name)?;
    let id = group_id(args.at(4), Some(stream))?;
    stream.with_group(name, |_, group| {
        (group.last_id, group.entries_read) = (id, options.entries_read);
    });
    ctx.out.ok();
    ctx.modified(NotifyFlags::STREAM, "xgroup-setid", key);
    Ok(())
}

pub(super) fn destroy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(2);
    let removed = existing(ctx, key)?.remove_group(args.at(3));
    ctx.out.int(i64::from(removed));
    if removed {
        ctx.modified(NotifyFlags::STREAM, "xgroup-destroy", key);
        // Those who wait for this group must learn that it is gone.
        ctx.signal_ready(key);
    }
    Ok(())
}

pub(super) fn create_consumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, name, now_ms) = (args.at(2), args.at(3), ctx.now_ms());
    let stream = existing_group(ctx, key, name)?;
    let created =
        stream.with_group(name, |_, group| group.create_consumer(args.at(4), now_ms)) == Some(true);
    ctx.out.int(i64::from(created));
    if created {
        ctx.srv.dirty += 1;
        ctx.notify(NotifyFlags::STREAM, "xgroup-createconsumer", key);
    }
    Ok(())
}

pub(super) fn delete_consumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, name) = (args.at(2), args.at(3));
    let stream = existing_group(ctx, key, name)?;
    let removed = stream.with_group(name, |_, group| group.remove_consumer(args.at(4))).flatten();
    ctx.out.len_int(removed.unwrap_or(0));
    if removed.is_some() {
        ctx.modified(NotifyFlags::STREAM, "xgroup-delconsumer", key);
    }
    Ok(())
}

pub(super) fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "XGROUP",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's counter of entries read (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the group's last ID and its counter of entries read.",
        ],
    );
    Ok(())
}

pub(super) fn xack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, name) = (args.at(1), args.at(2));
    let stream = ctx.write::<Stream>(key)?.0;
    let Some(stream) = stream.filter(|stream| stream.group(name).is_some()) else {
        ctx.out.int(0);
        return Ok(());
    };
    // An ID that isn't one must leave all of them pending.
    let ids: SmallVec<[StreamId; 8]> =
        args.from(3).iter().map(parse::id).collect::<Result<_, _>>()?;
    let acknowledged =
        stream.with_group(name, |_, group| ids.iter().filter(|id| group.acknowledge(**id)).count());
    let acknowledged = acknowledged.unwrap_or(0);
    ctx.srv.dirty += acknowledged as u64;
    ctx.out.len_int(acknowledged);
    Ok(())
}

/// What the long form of XPENDING asks for.
struct PendingRange<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> PendingRange<'a> {
    /// Reads the arguments behind the group; there are none in the short form.
    fn parse(args: Args<'a>) -> Result<Option<Self>, Error> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(Error::Syntax);
        }
        let (mut min_idle_ms, mut at) = (0, 3);
        if args.is(3, "idle") {
            min_idle_ms = args.int(4)?;
            if args.len() < 8 {
                return Err(Error::Syntax);
            }
            at = 5;
        }
        let count = parse::count(args, at + 2)?;
        let start = parse::range_start(args.at(at))?;
        let end = parse::range_end(args.at(at + 1))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Some(Self { min_idle_ms, start, end, count, consumer: args.get(at + 3) }))
    }
}

pub(super) fn xpending(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, name, now_ms) = (args.at(1), args.at(2), ctx.now_ms());
    let range = PendingRange::parse(args)?;
    let (stream, out) = ctx.read::<Stream>(key)?;
    let group = stream.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_group(key, name, ""))?;
    match range {
        Some(range) => reply_pending(group, &range, now_ms, out),
        None => reply_pending_summary(group, out),
    }
    Ok(())
}

fn reply_pending_summary(group: &Group, out: &mut Reply) {
    out.array(4);
    out.len_int(group.pending_len());
    let Some((first, last)) = group.pending_ends() else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    reply_id(first, out);
    reply_id(last, out);
    let (mark, mut len) = (out.begin(), 0);
    for consumer in group.consumers().filter(|consumer| consumer.pending_len() > 0) {
        out.array(2);
        out.bulk(consumer.name().as_bytes());
        out.bulk_int(i64::try_from(consumer.pending_len()).unwrap_or(i64::MAX));
        len += 1;
    }
    out.end_array(mark, len);
}

fn reply_pending(group: &Group, range: &PendingRange<'_>, now_ms: i64, out: &mut Reply) {
    let (mark, mut len) = (out.begin(), 0);
    let mut reply = |pending: &Pending| {
        if pending.id > range.end || len == range.count {
            return false;
        }
        let idle_ms = pending.idle_ms(now_ms);
        if range.min_idle_ms == 0 || idle_ms >= range.min_idle_ms {
            out.array(4);
            reply_id(pending.id, out);
            out.bulk(pending.consumer.as_bytes());
            out.int(idle_ms.max(0));
            out.int(pending.count.cast_signed());
            len += 1;
        }
        true
    };
    match range.consumer {
        None => {
            group.pending_from(range.start).all(&mut reply);
        }
        Some(name) => {
            if let Some(consumer) = group.consumer(name) {
                let ids = consumer.pending_from(range.start);
                ids.filter_map(|id| group.pending(id)).all(&mut reply);
            }
        }
    }
    out.end_array(mark, len);
}
