//! XINFO: what a stream, its groups and their consumers look like inside.

use super::{no_group_of, reply_entries, reply_entry, reply_id};
use crate::commands::reply_help;
use crate::resp::{Args, Error, Reply};
use crate::server::ctx::Ctx;
use crate::value::stream::{Consumer, Entry, Group, Log, Stream, StreamId};

/// How many entries XINFO STREAM FULL shows of each list unless told.
const FULL_COUNT: u64 = 10;

/// Reads the options behind the key: `FULL [COUNT n]`; the count if it is to be full, 0 for all.
fn parse_full(args: Args<'_>) -> Result<Option<u64>, Error> {
    match args.len() {
        3 => Ok(None),
        4 if args.is(3, "full") => Ok(Some(FULL_COUNT)),
        6 if args.is(3, "full") && args.is(4, "count") => {
            Ok(Some(u64::try_from(args.int(5)?).unwrap_or(FULL_COUNT)))
        }
        _ => Err(Error::subcommand_syntax("XINFO", args.at(1))),
    }
}

fn read<'c>(ctx: &'c mut Ctx<'_>, key: &[u8]) -> Result<(&'c Stream, &'c mut Reply), Error> {
    let (stream, out) = ctx.read::<Stream>(key)?;
    Ok((stream.ok_or(Error::NoSuchKey)?, out))
}

pub(super) fn stream(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(2);
    // A key that doesn't exist is told of before wrong options are.
    read(ctx, key)?;
    let full = parse_full(args)?;
    let (stream, out) = read(ctx, key)?;
    let log = stream.log();
    out.map(if full.is_some() { 9 } else { 10 });
    reply_meta(log, out);
    match full {
        None => {
            int(out, "groups", stream.group_count());
            out.bulk(b"first-entry");
            reply_or_null(log.first(), out);
            out.bulk(b"last-entry");
            reply_or_null(log.last(), out);
        }
        Some(count) => {
            out.bulk(b"entries");
            reply_entries(log.iter(), count, out);
            out.bulk(b"groups");
            out.array(stream.group_count());
            let most = match count {
                0 => usize::MAX,
                count => usize::try_from(count).unwrap_or(usize::MAX),
            };
            stream.groups().for_each(|group| reply_group_full(log, group, most, out));
        }
    }
    Ok(())
}

fn int(out: &mut Reply, name: &str, value: usize) {
    out.bulk(name.as_bytes());
    out.len_int(value);
}

fn time(out: &mut Reply, name: &str, value: i64) {
    out.bulk(name.as_bytes());
    out.int(value);
}

fn id(out: &mut Reply, name: &str, value: StreamId) {
    out.bulk(name.as_bytes());
    reply_id(value, out);
}

fn int_or_null(out: &mut Reply, name: &str, value: Option<i64>) {
    out.bulk(name.as_bytes());
    match value {
        Some(value) => out.int(value),
        None => out.null(),
    }
}

fn reply_or_null(entry: Option<Entry<'_>>, out: &mut Reply) {
    match entry {
        Some(entry) => reply_entry(&entry, out),
        None => out.null(),
    }
}

/// Seven pairs: what is the same in both forms.
fn reply_meta(log: &Log, out: &mut Reply) {
    let meta = log.meta();
    time(out, "length", log.len().cast_signed());
    // The nodes stand in a B+tree, which has fewer nodes of its own than a radix tree would have.
    int(out, "radix-tree-keys", log.node_count());
    int(out, "radix-tree-nodes", log.node_count() + 1);
    id(out, "last-generated-id", meta.last_id);
    id(out, "max-deleted-entry-id", meta.max_deleted_id);
    time(out, "entries-added", meta.entries_added.cast_signed());
    id(out, "recorded-first-entry-id", meta.first_id);
}

/// Three pairs: how far a group has read.
fn reply_progress(log: &Log, group: &Group, out: &mut Reply) {
    id(out, "last-delivered-id", group.last_id);
    int_or_null(out, "entries-read", group.entries_read.map(u64::cast_signed));
    int_or_null(out, "lag", group.lag(log));
}

fn reply_group_full(log: &Log, group: &Group, most: usize, out: &mut Reply) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(group.name().as_bytes());
    reply_progress(log, group, out);
    int(out, "pel-count", group.pending_len());
    out.bulk(b"pending");
    out.array(group.pending_len().min(most));
    for pending in group.pending_from(StreamId::MIN).take(most) {
        out.array(4);
        reply_id(pending.id, out);
        out.bulk(pending.consumer.as_bytes());
        out.int(pending.delivered_ms);
        out.int(pending.count.cast_signed());
    }
    out.bulk(b"consumers");
    out.array(group.consumers().len());
    group.consumers().for_each(|consumer| reply_consumer_full(group, consumer, most, out));
}

fn reply_consumer_full(group: &Group, consumer: &Consumer, most: usize, out: &mut Reply) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name().as_bytes());
    time(out, "seen-time", consumer.seen_ms);
    time(out, "active-time", consumer.active_ms.unwrap_or(-1));
    int(out, "pel-count", consumer.pending_len());
    out.bulk(b"pending");
    let (mark, mut len) = (out.begin(), 0);
    let ids = consumer.pending_from(StreamId::MIN).take(most);
    for pending in ids.filter_map(|id| group.pending(id)) {
        out.array(3);
        reply_id(pending.id, out);
        out.int(pending.delivered_ms);
        out.int(pending.count.cast_signed());
        len += 1;
    }
    out.end_array(mark, len);
}

pub(super) fn groups(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (stream, out) = read(ctx, args.at(2))?;
    out.array(stream.group_count());
    for group in stream.groups() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(group.name().as_bytes());
        int(out, "consumers", group.consumers().len());
        int(out, "pending", group.pending_len());
        reply_progress(stream.log(), group, out);
    }
    Ok(())
}

pub(super) fn consumers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (key, name, now_ms) = (args.at(2), args.at(3), ctx.now_ms());
    let (stream, out) = read(ctx, key)?;
    let group = stream.group(name).ok_or_else(|| no_group_of(key, name))?;
    let since = |then: i64| now_ms.saturating_sub(then).max(0);
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name().as_bytes());
        int(out, "pending", consumer.pending_len());
        time(out, "idle", since(consumer.seen_ms));
        time(out, "inactive", consumer.active_ms.map_or(-1, since));
    }
    Ok(())
}

pub(super) fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "XINFO",
        &[
            "CONSUMERS <key> <groupname>",
            "    Show the consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the consumer groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about a stream.",
        ],
    );
    Ok(())
}
