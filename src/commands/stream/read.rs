//! XREAD and XREADGROUP: entries after an ID, from several streams, and waiting for them.

use smallvec::SmallVec;

use super::{no_group, parse, reply_entries, reply_entry, reply_id};
use crate::config::NotifyFlags;
use crate::resp::{ArgBuf, Args, Error, Reply};
use crate::server::blocked::TimeoutReply;
use crate::server::ctx::{Caller, Ctx};
use crate::value::Type;
use crate::value::stream::{Group, IdBuf, Log, Stream, StreamId};

use super::claim::{Tell, tell_consumer};

/// From where a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Behind this entry.
    Id(StreamId),
    /// `>`: behind what the group has read.
    New,
}

/// What XREAD and XREADGROUP are asked.
struct ReadArgs<'a> {
    block_ms: Option<i64>,
    /// The most entries of each stream; 0 is no limit.
    count: u64,
    no_ack: bool,
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    keys: Args<'a>,
    ids: Args<'a>,
}

impl<'a> ReadArgs<'a> {
    fn parse(ctx: &Ctx<'_>, args: Args<'a>, grouped: bool) -> Result<Self, Error> {
        let mut read = Self {
            block_ms: None,
            count: 0,
            no_ack: false,
            group: None,
            keys: args.range(0, 0),
            ids: args.range(0, 0),
        };
        let mut i = 1;
        while i < args.len() {
            let more = args.len() - 1 - i;
            if args.is(i, "block") && more > 0 {
                read.block_ms = Some(parse_block(ctx, args, i + 1)?);
                i += 2;
            } else if args.is(i, "count") && more > 0 {
                read.count = parse::count(args, i + 1)?;
                i += 2;
            } else if args.is(i, "streams") && more > 0 {
                if !more.is_multiple_of(2) {
                    return Err(unbalanced(ctx, grouped));
                }
                read.keys = args.range(i + 1, i + 1 + more / 2);
                read.ids = args.from(i + 1 + more / 2);
                break;
            } else if args.is(i, "group") && more > 1 {
                if !grouped {
                    return Err(Error::XreadGroup);
                }
                read.group = Some((args.at(i + 1), args.at(i + 2)));
                i += 3;
            } else if args.is(i, "noack") {
                if !grouped {
                    return Err(Error::XreadNoack);
                }
                read.no_ack = true;
                i += 1;
            } else {
                return Err(Error::Syntax);
            }
        }
        match () {
            () if read.keys.len() == 0 => Err(Error::Syntax),
            () if grouped && read.group.is_none() => Err(Error::XreadgroupNoGroup),
            () => Ok(read),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.keys.iter().zip(self.ids.iter())
    }
}

fn parse_block(ctx: &Ctx<'_>, args: Args<'_>, at: usize) -> Result<i64, Error> {
    if ctx.caller == Caller::Script {
        return Err(Error::other(format!(
            "ERR {} command is not allowed with BLOCK option from scripts",
            String::from_utf8_lossy(args.at(0))
        )));
    }
    ctx.timeout_ms(args.at(at))
}

fn unbalanced(ctx: &Ctx<'_>, grouped: bool) -> Error {
    let symbol = if grouped { '>' } else { '$' };
    Error::other(format!(
        "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{symbol}' must be \
         specified.",
        ctx.command_name()
    ))
}

/// The positions of the keys, by the options before them.
pub(super) fn keys(args: &Args<'_>) -> Option<Vec<usize>> {
    let mut i = 1;
    while i < args.len() && !args.is(i, "streams") {
        i += match () {
            () if args.is(i, "block") || args.is(i, "count") => 2,
            () if args.is(i, "group") => 3,
            () if args.is(i, "noack") => 1,
            () => return None,
        };
    }
    // As many keys as there could be, be there an ID for each or not.
    let keys = args.len().checked_sub(i + 1)? / 2;
    (keys > 0).then(|| (i + 1..i + 1 + keys).collect())
}

/// The reply of both: streams, each with its key, of which some may have nothing to tell.
struct Streams {
    mark: crate::resp::Mark,
    len: usize,
}

impl Streams {
    fn begin(out: &mut Reply) -> Self {
        Self { mark: out.begin(), len: 0 }
    }

    /// Begins a stream's part, which one value must follow.
    fn add(&mut self, key: &[u8], out: &mut Reply) {
        self.len += 1;
        if !out.resp3() {
            out.array(2);
        }
        out.bulk(key);
    }

    /// Ends the reply; says whether there is one.
    fn end(self, out: &mut Reply) -> bool {
        match self.len {
            0 => {}
            len if out.resp3() => out.end_map(self.mark, len),
            len => out.end_array(self.mark, len),
        }
        self.len > 0
    }
}

pub(super) fn xread(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let read = ReadArgs::parse(ctx, args, false)?;
    let mut after = SmallVec::<[StreamId; 4]>::new();
    for (key, id) in read.pairs() {
        let stream = ctx.read::<Stream>(key)?.0;
        after.push(parse_after(id, stream.map(Stream::log))?);
    }
    let mut streams = Streams::begin(&mut ctx.out);
    for (key, &after) in read.keys.iter().zip(&after) {
        let (stream, out) = ctx.read::<Stream>(key)?;
        let Some((log, start)) = stream.map(Stream::log).zip(after.next()) else { continue };
        if has_after(log, after) {
            streams.add(key, out);
            reply_entries(log.range(start, StreamId::MAX), read.count, out);
        }
    }
    if streams.end(&mut ctx.out) {
        return Ok(());
    }
    let Some(timeout_ms) = read.block_ms else {
        ctx.out.null_array();
        return Ok(());
    };
    let (keys, kind) = (read.keys.iter(), Type::Stream);
    if ctx.caller != Caller::Unblocked && read.ids.iter().any(|id| id == b"$") {
        // When it is executed again, `$` must mean what it means now.
        let args = without_dollar(args, &after);
        return ctx.block(args.args(), keys, kind, timeout_ms, TimeoutReply::NullArray);
    }
    ctx.block(args, keys, kind, timeout_ms, TimeoutReply::NullArray)
}

/// The ID behind which XREAD reads.
fn parse_after(id: &[u8], log: Option<&Log>) -> Result<StreamId, Error> {
    match id {
        b"$" => Ok(log.map_or(StreamId::MIN, Log::last_id)),
        b"+" => {
            let last = log.and_then(Log::last).and_then(|last| last.id().prev());
            // In an empty stream, all that comes is the last.
            Ok(last.or(log.map(Log::last_id)).unwrap_or(StreamId::MIN))
        }
        b">" => Err(Error::XreadNew),
        _ => parse::id(id),
    }
}

/// Whether there is an entry behind an ID.
fn has_after(log: &Log, id: StreamId) -> bool {
    !log.is_empty() && log.last_id() > id && log.last().is_some_and(|last| last.id() > id)
}

fn without_dollar(args: Args<'_>, after: &[StreamId]) -> ArgBuf {
    let ids_at = args.len() - after.len();
    let mut buf = IdBuf::new();
    let mut replaced = ArgBuf::new();
    for (i, arg) in args.iter().enumerate() {
        match i.checked_sub(ids_at).and_then(|i| after.get(i)) {
            Some(id) if arg == b"$" => replaced.push(id.text(&mut buf)),
            _ => replaced.push(arg),
        }
    }
    replaced
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let read = ReadArgs::parse(ctx, args, true)?;
    let (group, consumer) = read.group.unwrap_or_default();
    let mut after = SmallVec::<[After; 4]>::new();
    for (key, id) in read.pairs() {
        let stream = ctx.read::<Stream>(key)?.0;
        if stream.and_then(|stream| stream.group(group)).is_none() {
            return Err(no_group(key, group, " in XREADGROUP with GROUP option"));
        }
        after.push(match id {
            b">" => After::New,
            b"$" => return Err(Error::XreadgroupEnd),
            b"+" => return Err(Error::XreadgroupLast),
            _ => match parse::id(id)? {
                StreamId::MAX => After::New,
                id => After::Id(id),
            },
        });
    }
    // What is told are the effects.
    ctx.propagate_nothing();
    let mut streams = Streams::begin(&mut ctx.out);
    for (key, after) in read.keys.iter().zip(after) {
        let request = Request { key, group, consumer, after, read: &read };
        serve(ctx, &request, &mut streams)?;
    }
    if streams.end(&mut ctx.out) {
        return Ok(());
    }
    match read.block_ms {
        Some(timeout_ms) => ctx.block_on_group(args, read.keys.iter(), timeout_ms),
        None => {
            ctx.out.null_array();
            Ok(())
        }
    }
}

/// What a consumer asks of one stream.
struct Request<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    after: After,
    read: &'a ReadArgs<'a>,
}

/// Serves a consumer from one stream, if there is something for it.
fn serve(ctx: &mut Ctx<'_>, request: &Request<'_>, streams: &mut Streams) -> Result<(), Error> {
    let Request { key, group, consumer, after, read } = *request;
    let now_ms = ctx.now_ms();
    let (stream, out) = ctx.write::<Stream>(key)?;
    let Some(stream) = stream else { return Ok(()) };
    let served = stream.with_group(group, |log, group| {
        let created = group.see(consumer, now_ms);
        let mut ids = SmallVec::<[StreamId; 16]>::new();
        match after {
            After::Id(id) => {
                streams.add(key, out);
                reply_history(log, group, request, id, now_ms, out);
            }
            After::New if has_after(log, group.last_id) => {
                streams.add(key, out);
                ids = reply_new(log, group, read.count, out);
                if !read.no_ack {
                    group.deliver(consumer, &ids, now_ms);
                }
            }
            After::New => {}
        }
        (created, ids, group.last_id, group.entries_read)
    });
    let Some((created, ids, last_id, entries_read)) = served else { return Ok(()) };
    if created {
        ctx.srv.dirty += 1;
        ctx.notify(NotifyFlags::STREAM, "xgroup-createconsumer", key);
    }
    if created && (read.no_ack || ids.is_empty()) {
        tell_consumer(ctx, key, group, consumer);
    }
    if ids.is_empty() {
        return Ok(());
    }
    ctx.srv.dirty += 1;
    if ctx.is_heard() {
        let tell = Tell { key, group };
        if !read.no_ack {
            ids.iter().for_each(|&id| tell.claim(ctx, consumer, id, now_ms, 1, id));
        }
        tell.last_id(ctx, last_id, entries_read);
    }
    Ok(())
}

/// Replies the entries that a group hasn't read yet, and notes that it has; returns their IDs.
fn reply_new(
    log: &Log,
    group: &mut Group,
    count: u64,
    out: &mut Reply,
) -> SmallVec<[StreamId; 16]> {
    let mut ids = SmallVec::new();
    let Some(start) = group.last_id.next() else { return ids };
    let most = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    let mark = out.begin();
    for entry in log.range(start, StreamId::MAX).take(most) {
        group.advance(log, entry.id());
        reply_entry(&entry, out);
        ids.push(entry.id());
    }
    out.end_array(mark, ids.len());
    ids
}

/// Replies the entries behind an ID that are pending for a consumer: delivered once more.
fn reply_history(
    log: &Log,
    group: &mut Group,
    request: &Request<'_>,
    after: StreamId,
    now_ms: i64,
    out: &mut Reply,
) {
    let most = match request.read.count {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(usize::MAX),
    };
    let start = after.next().unwrap_or(StreamId::MAX);
    let consumer = group.consumer(request.consumer);
    let ids: Vec<StreamId> = consumer
        .map(|consumer| consumer.pending_from(start).take(most).collect())
        .unwrap_or_default();
    out.array(ids.len());
    for id in ids {
        match log.get(id) {
            Some(entry) => {
                reply_entry(&entry, out);
                group.update_pending(id, |pending| {
                    pending.delivered_ms = now_ms;
                    pending.count_delivery();
                });
            }
            // It has been deleted since.
            None => {
                out.array(2);
                reply_id(id, out);
                out.null_array();
            }
        }
    }
}
