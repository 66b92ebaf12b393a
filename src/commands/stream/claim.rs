//! XCLAIM and XAUTOCLAIM: pending entries change hands. And how such effects are told.
//!
//! What is told of a pending entry is always the same: an XCLAIM that gives it to its consumer
//! with its counters, whatever was there before.

use super::{no_group, parse, reply_entry, reply_id};
use crate::config::NotifyFlags;
use crate::resp::{Args, Error, Reply};
use crate::server::ctx::Ctx;
use crate::util::num;
use crate::value::stream::{Group, IdBuf, Log, Name, Pending, Stream, StreamId};

/// Whose effects are told.
pub(super) struct Tell<'a> {
    pub key: &'a [u8],
    pub group: &'a [u8],
}

impl Tell<'_> {
    /// Tells that an entry is pending for a consumer.
    pub fn claim(
        &self,
        ctx: &mut Ctx<'_>,
        consumer: &[u8],
        id: StreamId,
        delivered_ms: i64,
        count: u64,
        last_id: StreamId,
    ) {
        let (mut id_text, mut last_text) = (IdBuf::new(), IdBuf::new());
        let (mut time, mut times) = (num::IntBuf::new(), num::IntBuf::new());
        ctx.propagate_as(&[
            b"XCLAIM",
            self.key,
            self.group,
            consumer,
            b"0",
            id.text(&mut id_text),
            b"TIME",
            num::fmt_i64(delivered_ms, &mut time),
            b"RETRYCOUNT",
            num::fmt_u64(count, &mut times),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last_id.text(&mut last_text),
        ]);
    }

    /// Tells how far the group has read.
    pub fn last_id(&self, ctx: &mut Ctx<'_>, last_id: StreamId, entries_read: Option<u64>) {
        let (mut id_text, mut digits) = (IdBuf::new(), num::IntBuf::new());
        let read: &[u8] = match entries_read {
            Some(read) => num::fmt_u64(read, &mut digits),
            None => b"-1",
        };
        let id = last_id.text(&mut id_text);
        ctx.propagate_as(&[b"XGROUP", b"SETID", self.key, self.group, id, b"ENTRIESREAD", read]);
    }
}

/// Tells that a consumer was created.
pub(super) fn tell_consumer(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8], consumer: &[u8]) {
    ctx.propagate_as(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
}

/// A pending entry as it is to be told.
struct Effect {
    id: StreamId,
    consumer: Name,
    delivered_ms: i64,
    count: u64,
}

impl Effect {
    fn of(pending: &Pending) -> Self {
        let Pending { id, delivered_ms, count, ref consumer } = *pending;
        Self { id, consumer: consumer.clone(), delivered_ms, count }
    }
}

/// What a claim did.
#[derive(Default)]
struct Outcome {
    created: bool,
    /// LASTID moved the group on.
    advanced: bool,
    changes: u64,
    effects: Vec<Effect>,
}

/// The consumer that claims.
#[derive(Clone, Copy)]
struct Claimant<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    min_idle_ms: i64,
    just_id: bool,
}

impl Claimant<'_> {
    fn is_idle(&self, pending: &Pending, now_ms: i64) -> bool {
        self.min_idle_ms <= 0 || pending.idle_ms(now_ms) >= self.min_idle_ms
    }

    /// The stream to change; its group must exist.
    fn stream<'c>(&self, ctx: &'c mut Ctx<'_>) -> Result<(&'c mut Stream, &'c mut Reply), Error> {
        let (stream, out) = ctx.write::<Stream>(self.key)?;
        let stream = stream.filter(|stream| stream.group(self.group).is_some());
        Ok((stream.ok_or_else(|| no_group(self.key, self.group, ""))?, out))
    }

    /// Announces and tells what a claim did.
    fn announce(&self, ctx: &mut Ctx<'_>, outcome: Outcome, group: (StreamId, Option<u64>)) {
        let (last_id, entries_read) = group;
        ctx.propagate_nothing();
        ctx.srv.dirty += outcome.changes + u64::from(outcome.created);
        if outcome.created {
            ctx.notify(NotifyFlags::STREAM, "xgroup-createconsumer", self.key);
        }
        if !ctx.is_heard() {
            return;
        }
        // A consumer that gets nothing must be known all the same.
        if outcome.created {
            tell_consumer(ctx, self.key, self.group, self.consumer);
        }
        let tell = Tell { key: self.key, group: self.group };
        for effect in &outcome.effects {
            let Effect { id, ref consumer, delivered_ms, count } = *effect;
            tell.claim(ctx, consumer.as_bytes(), id, delivered_ms, count, last_id);
        }
        if outcome.advanced && outcome.effects.is_empty() {
            tell.last_id(ctx, last_id, entries_read);
        }
    }
}

/// The options of XCLAIM.
struct ClaimOptions {
    delivered_ms: i64,
    retry_count: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl ClaimOptions {
    fn parse(args: Args<'_>, now_ms: i64) -> Result<Self, Error> {
        let mut options = Self {
            delivered_ms: now_ms,
            retry_count: None,
            force: false,
            just_id: false,
            last_id: StreamId::MIN,
        };
        // A time that makes no sense is one of a client whose clock differs: it becomes now.
        let sane = |ms: i64| if (0..=now_ms).contains(&ms) { ms } else { now_ms };
        let mut i = 0;
        while i < args.len() {
            let value = args.get(i + 1);
            match value {
                _ if args.is(i, "force") => options.force = true,
                _ if args.is(i, "justid") => options.just_id = true,
                Some(value) if args.is(i, "idle") => {
                    let idle_ms = parse::int_or(value, Error::XclaimIdle)?;
                    options.delivered_ms = sane(now_ms.saturating_sub(idle_ms));
                    i += 1;
                }
                Some(value) if args.is(i, "time") => {
                    options.delivered_ms = sane(parse::int_or(value, Error::XclaimTime)?);
                    i += 1;
                }
                Some(value) if args.is(i, "retrycount") => {
                    let count = parse::int_or(value, Error::XclaimRetryCount)?;
                    options.retry_count = u64::try_from(count).ok();
                    i += 1;
                }
                Some(value) if args.is(i, "lastid") => {
                    options.last_id = parse::id(value)?;
                    i += 1;
                }
                _ => {
                    let option = String::from_utf8_lossy(args.at(i));
                    let text = format!("ERR Unrecognized XCLAIM option '{option}'");
                    return Err(Error::other(text));
                }
            }
            i += 1;
        }
        Ok(options)
    }
}

pub(super) fn xclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut claimant = Claimant {
        key: args.at(1),
        group: args.at(2),
        consumer: args.at(3),
        min_idle_ms: 0,
        just_id: false,
    };
    claimant.stream(ctx)?;
    claimant.min_idle_ms = parse::int_or(args.at(4), Error::XclaimMinIdle)?;
    let is_id = |arg: &&[u8]| StreamId::parse(arg, 0).is_some();
    let ids_end = 5 + args.from(5).iter().take_while(is_id).count();
    let now_ms = ctx.now_ms();
    let options = ClaimOptions::parse(args.from(ids_end), now_ms)?;
    claimant.just_id = options.just_id;
    let ids = args.range(5, ids_end);
    let heard = ctx.is_heard();
    let (stream, out) = claimant.stream(ctx)?;
    let claimed = stream.with_group(claimant.group, |log, group| {
        let mut outcome = Outcome::default();
        if options.last_id > group.last_id {
            group.last_id = options.last_id;
            outcome.advanced = true;
        }
        outcome.created = group.see(claimant.consumer, now_ms);
        let (mark, mut len) = (out.begin(), 0);
        for id in ids.iter().filter_map(|arg| StreamId::parse(arg, 0)) {
            let mut effect = |pending: &Pending| {
                outcome.changes += 1;
                if heard {
                    outcome.effects.push(Effect::of(pending));
                }
            };
            len += usize::from(claim_one(
                log,
                group,
                &claimant,
                &options,
                (id, now_ms),
                out,
                &mut effect,
            ));
        }
        out.end_array(mark, len);
        outcome.changes += u64::from(outcome.advanced && outcome.changes == 0);
        (outcome, (group.last_id, group.entries_read))
    });
    if let Some((outcome, group)) = claimed {
        claimant.announce(ctx, outcome, group);
    }
    Ok(())
}

/// Claims one entry, or ends that it is pending if it has been deleted; says whether it was
/// claimed. `effect` is called with what was changed.
fn claim_one(
    log: &Log,
    group: &mut Group,
    claimant: &Claimant<'_>,
    options: &ClaimOptions,
    (id, now_ms): (StreamId, i64),
    out: &mut Reply,
    effect: &mut impl FnMut(&Pending),
) -> bool {
    let pending = group.pending(id);
    let Some(entry) = log.get(id) else {
        if let Some(pending) = pending {
            effect(pending);
            group.acknowledge(id);
        }
        return false;
    };
    let may = match pending {
        Some(pending) => claimant.is_idle(pending, now_ms),
        None => options.force,
    };
    if !may {
        return false;
    }
    group.claim_or_create(id, claimant.consumer, now_ms, |pending| {
        pending.delivered_ms = options.delivered_ms;
        match options.retry_count {
            Some(count) => pending.count = count,
            None if !options.just_id => pending.count_delivery(),
            None => {}
        }
    });
    group.activate(claimant.consumer, now_ms);
    if let Some(pending) = group.pending(id) {
        effect(pending);
    }
    if options.just_id {
        reply_id(id, out)
    } else {
        reply_entry(&entry, out)
    }
    true
}

/// What is to be done with a pending entry that XAUTOCLAIM comes across.
enum Found {
    Claim,
    /// The entry has been deleted.
    Gone,
}

pub(super) fn xautoclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    /// How many entries are looked at for each that is wanted.
    const ATTEMPTS: u64 = 10;
    let min_idle_ms = parse::int_or(args.at(4), Error::XautoclaimMinIdle)?;
    let start = parse::range_start(args.at(5))?;
    let (count, just_id) = parse_autoclaim(args)?;
    let (key, group, consumer) = (args.at(1), args.at(2), args.at(3));
    let claimant = Claimant { key, group, consumer, min_idle_ms, just_id };
    let (now_ms, heard) = (ctx.now_ms(), ctx.is_heard());
    let (stream, out) = claimant.stream(ctx)?;
    let claimed = stream.with_group(group, |log, group| {
        let created = group.see(consumer, now_ms);
        let mut outcome = Outcome { created, ..Outcome::default() };
        let (mut attempts, mut left) = (count * ATTEMPTS, count);
        let mut pending = group.pending_from(start);
        let mut found = Vec::new();
        while attempts > 0 && left > 0 {
            let Some(pending) = pending.next() else { break };
            attempts -= 1;
            match () {
                () if log.get(pending.id).is_none() => found.push((pending.id, Found::Gone)),
                () if claimant.is_idle(pending, now_ms) => found.push((pending.id, Found::Claim)),
                () => continue,
            }
            left -= 1;
        }
        let next = pending.next().map_or(StreamId::MIN, |pending| pending.id);
        drop(pending);
        let mut effect = |pending: Option<&Pending>| {
            outcome.changes += 1;
            if heard {
                outcome.effects.extend(pending.map(Effect::of));
            }
        };
        take_over(group, &claimant, &found, now_ms, &mut effect);
        reply_autoclaimed(log, next, &found, just_id, out);
        (outcome, (group.last_id, group.entries_read))
    });
    if let Some((outcome, group)) = claimed {
        claimant.announce(ctx, outcome, group);
    }
    Ok(())
}

/// Reads XAUTOCLAIM's options: COUNT, and whether JUSTID is there.
fn parse_autoclaim(args: Args<'_>) -> Result<(u64, bool), Error> {
    const COUNT_MAX: i64 = i64::MAX / 16;
    let (mut count, mut just_id) = (100, false);
    let mut i = 6;
    while i < args.len() {
        if args.is(i, "count") && i + 1 < args.len() {
            let given = parse::int_or(args.at(i + 1), Error::XautoclaimCount)?;
            if !(1..=COUNT_MAX).contains(&given) {
                return Err(Error::XautoclaimCount);
            }
            count = given.unsigned_abs();
            i += 1;
        } else if args.is(i, "justid") {
            just_id = true;
        } else {
            return Err(Error::Syntax);
        }
        i += 1;
    }
    Ok((count, just_id))
}

/// Does with pending entries what was found to be done.
fn take_over(
    group: &mut Group,
    claimant: &Claimant<'_>,
    found: &[(StreamId, Found)],
    now_ms: i64,
    effect: &mut impl FnMut(Option<&Pending>),
) {
    for (id, what) in found {
        match what {
            Found::Gone => {
                effect(group.pending(*id));
                group.acknowledge(*id);
            }
            Found::Claim => {
                group.claim(*id, claimant.consumer, |pending| {
                    pending.delivered_ms = now_ms;
                    if !claimant.just_id {
                        pending.count_delivery();
                    }
                });
                effect(group.pending(*id));
                group.activate(claimant.consumer, now_ms);
            }
        }
    }
}

fn reply_autoclaimed(
    log: &Log,
    next: StreamId,
    found: &[(StreamId, Found)],
    just_id: bool,
    out: &mut Reply,
) {
    let gone = found.iter().filter(|(_, what)| matches!(what, Found::Gone)).count();
    out.array(3);
    reply_id(next, out);
    out.array(found.len() - gone);
    for (id, _) in found.iter().filter(|(_, what)| matches!(what, Found::Claim)) {
        match log.get(*id).filter(|_| !just_id) {
            Some(entry) => reply_entry(&entry, out),
            None => reply_id(*id, out),
        }
    }
    out.array(gone);
    for (id, _) in found.iter().filter(|(_, what)| matches!(what, Found::Gone)) {
        reply_id(*id, out);
    }
}
