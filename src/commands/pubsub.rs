//! Publish and subscribe.

use crate::commands::{container, help_row};
use crate::resp::{Args, Error, Reply};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::propagate::Targets;
use crate::server::pubsub::Kind;
use crate::spec::{Channels, Flags, Group, KeyFlags, KeySpec};
use crate::util::glob::GlobPattern;

const ANYTIME: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
const SUBSCRIBE: Flags = ANYTIME.union(Flags::NOSCRIPT);
const PUBLISH: Flags = ANYTIME.union(Flags::FAST).union(Flags::MAY_REPLICATE);
const PUBSUB: Command = Command { group: Group::PubSub, flags: ANYTIME, ..Command::DEFAULT };
const SHARD_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "subscribe",
        arity: -2,
        flags: SUBSCRIBE,
        channels: Channels::From(1),
        since: "2.0.0",
        complexity: "O(N), N channels",
        summary: "Listens to channels.",
        syntax: "channel...",
        handler: subscribe,
        ..PUBSUB
    },
    Command {
        name: "unsubscribe",
        arity: -1,
        flags: SUBSCRIBE,
        since: "2.0.0",
        complexity: "O(N), N channels",
        summary: "Stops listening to channels.",
        syntax: "[channel...]",
        handler: unsubscribe,
        ..PUBSUB
    },
    Command {
        name: "psubscribe",
        arity: -2,
        flags: SUBSCRIBE,
        channels: Channels::PatternsFrom(1),
        since: "2.0.0",
        complexity: "O(N), N patterns",
        summary: "Listens to the channels that match patterns.",
        syntax: "pattern...",
        handler: psubscribe,
        ..PUBSUB
    },
    Command {
        name: "punsubscribe",
        arity: -1,
        flags: SUBSCRIBE,
        since: "2.0.0",
        complexity: "O(N), N patterns",
        summary: "Stops listening to patterns.",
        syntax: "[pattern...]",
        handler: punsubscribe,
        ..PUBSUB
    },
    Command {
        name: "ssubscribe",
        arity: -2,
        flags: SUBSCRIBE,
        channels: Channels::From(1),
        keys: SHARD_KEYS,
        since: "7.0.0",
        complexity: "O(N), N channels",
        summary: "Listens to shard channels.",
        syntax: "shardchannel...",
        handler: ssubscribe,
        ..PUBSUB
    },
    Command {
        name: "sunsubscribe",
        arity: -1,
        flags: SUBSCRIBE,
        keys: SHARD_KEYS,
        since: "7.0.0",
        complexity: "O(N), N channels",
        summary: "Stops listening to shard channels.",
        syntax: "[shardchannel...]",
        handler: sunsubscribe,
        ..PUBSUB
    },
    Command {
        name: "publish",
        arity: 3,
        flags: PUBLISH,
        channels: Channels::One(1),
        since: "2.0.0",
        complexity: "O(N+M), N listeners to the channel, M patterns",
        summary: "Sends a message to a channel.",
        syntax: "channel message",
        handler: publish,
        ..PUBSUB
    },
    Command {
        name: "spublish",
        arity: 3,
        flags: PUBLISH,
        channels: Channels::One(1),
        keys: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
        since: "7.0.0",
        complexity: "O(N), N listeners to the channel",
        summary: "Sends a message to a shard channel.",
        syntax: "shardchannel message",
        handler: spublish,
        ..PUBSUB
    },
    Command {
        name: "pubsub",
        arity: -2,
        flags: Flags::empty(),
        since: "2.8.0",
        summary: "Tells of channels, patterns and who listens to them.",
        subcommands: SUBCOMMANDS,
        handler: container,
        ..PUBSUB
    },
];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "channels",
        arity: -2,
        since: "2.8.0",
        complexity: "O(N), N channels",
        summary: "Lists the channels that somebody listens to.",
        syntax: "[pattern]",
        handler: channels,
        ..PUBSUB
    },
    Command {
        name: "numsub",
        arity: -2,
        since: "2.8.0",
        complexity: "O(N), N channels asked for",
        summary: "Counts the listeners to channels.",
        syntax: "[channel...]",
        handler: numsub,
        ..PUBSUB
    },
    Command {
        name: "numpat",
        arity: 2,
        since: "2.8.0",
        summary: "Counts the patterns that somebody listens to.",
        handler: numpat,
        ..PUBSUB
    },
    Command {
        name: "shardchannels",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N), N channels",
        summary: "Lists the shard channels that somebody listens to.",
        syntax: "[pattern]",
        handler: shardchannels,
        ..PUBSUB
    },
    Command {
        name: "shardnumsub",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N), N channels asked for",
        summary: "Counts the listeners to shard channels.",
        syntax: "[shardchannel...]",
        handler: shardnumsub,
        ..PUBSUB
    },
    help_row(PUBSUB, "6.2.0", help),
];

/// Number of subscriptions that the reply to one of this kind tells.
fn count(ctx: &mut Ctx<'_>, kind: Kind) -> usize {
    let subs = &ctx.client().subs;
    match kind {
        Kind::Shard => subs.shard.len(),
        Kind::Channel | Kind::Pattern => subs.count(),
    }
}

/// The reply to one subscription or its end: a push, which CLIENT REPLY doesn't silence.
fn confirm(ctx: &mut Ctx<'_>, kind: Kind, word: &str, name: Option<&[u8]>) {
    let count = count(ctx, kind);
    let write = |out: &mut Reply| {
        out.push(3);
        out.bulk(word.as_bytes());
        out.bulk_or_null(name);
        out.len_int(count);
    };
    if ctx.client().flags.intersects(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP) {
        let mut push = Reply::new(ctx.out.proto());
        write(&mut push);
        ctx.srv.push_output(ctx.client, push.bytes());
    } else {
        write(&mut ctx.out);
    }
}

fn begin(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result<(), Error> {
    let word = ctx.command_name();
    for name in args.from(1).iter() {
        ctx.srv.subscribe(ctx.client, kind, name);
        confirm(ctx, kind, word, Some(name));
    }
    Ok(())
}

fn end(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result<(), Error> {
    let word = ctx.command_name();
    let subs = &ctx.client().subs;
    let all: Vec<Box<[u8]>> = match kind {
        _ if args.len() > 1 => args.from(1).iter().map(Into::into).collect(),
        Kind::Channel => subs.channels.iter().cloned().collect(),
        Kind::Pattern => subs.patterns.iter().cloned().collect(),
        Kind::Shard => subs.shard.iter().cloned().collect(),
    };
    for name in &all {
        ctx.srv.unsubscribe(ctx.client, kind, name);
        confirm(ctx, kind, word, Some(name));
    }
    if all.is_empty() {
        confirm(ctx, kind, word, None);
    }
    Ok(())
}

fn subscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    begin(ctx, args, Kind::Channel)
}

fn psubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    begin(ctx, args, Kind::Pattern)
}

fn ssubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    begin(ctx, args, Kind::Shard)
}

fn unsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    end(ctx, args, Kind::Channel)
}

fn punsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    end(ctx, args, Kind::Pattern)
}

fn sunsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    end(ctx, args, Kind::Shard)
}

fn publish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let receivers = ctx.srv.publish(args.at(1), args.at(2));
    tell_replicas(ctx, args);
    ctx.out.len_int(receivers);
    Ok(())
}

fn spublish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let receivers = ctx.srv.publish_shard(args.at(1), args.at(2));
    tell_replicas(ctx, args);
    ctx.out.len_int(receivers);
    Ok(())
}

/// Replicas have subscribers too; a file has none.
fn tell_replicas(ctx: &mut Ctx<'_>, args: Args<'_>) {
    ctx.srv.propagation.add(ctx.db, Targets::REPLICAS, args.iter());
}

fn list_channels(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::subcommand_syntax("PUBSUB", args.at(1)));
    }
    let glob = args.get(2).map(GlobPattern::new);
    let mark = ctx.out.begin();
    let mut listed = 0;
    for (name, _) in ctx.srv.pubsub.channels(kind) {
        if glob.as_ref().is_none_or(|glob| glob.matches(name)) {
            ctx.out.bulk(name);
            listed += 1;
        }
    }
    ctx.out.end_array(mark, listed);
    Ok(())
}

fn count_subscribers(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Result<(), Error> {
    ctx.out.array((args.len() - 2) * 2);
    for name in args.from(2).iter() {
        ctx.out.bulk(name);
        ctx.out.len_int(ctx.srv.pubsub.subscribers(kind, name));
    }
    Ok(())
}

fn channels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    list_channels(ctx, args, Kind::Channel)
}

fn shardchannels(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    list_channels(ctx, args, Kind::Shard)
}

fn numsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    count_subscribers(ctx, args, Kind::Channel)
}

fn shardnumsub(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    count_subscribers(ctx, args, Kind::Shard)
}

fn numpat(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.out.len_int(ctx.srv.pubsub.pattern_count());
    Ok(())
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    super::reply_help(
        ctx,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    List the channels that somebody listens to and that match the pattern.",
            "NUMPAT",
            "    Count the patterns that somebody listens to.",
            "NUMSUB [<channel> ...]",
            "    Count the listeners to each channel.",
            "SHARDCHANNELS [<pattern>]",
            "    List the shard channels that somebody listens to and that match the pattern.",
            "SHARDNUMSUB [<channel> ...]",
            "    Count the listeners to each shard channel.",
        ],
    );
    Ok(())
}
