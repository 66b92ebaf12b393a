//! The commands: one family per file, its rows beside their handlers.
//!
//! To add a command, add a row to its family's `COMMANDS` and write the handler below it. Handlers
//! are plain functions: no I/O, time and randomness through `Ctx`.

pub mod acl;
pub mod admin;
pub mod aof;
pub mod bitfield;
pub mod bitmap;
pub mod client;
pub mod command;
pub mod config;
pub mod connection;
mod deadline;
pub mod debug;
pub mod dump;
pub mod expire;
pub mod field_expiry;
pub mod function;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod info;
pub mod keys;
pub mod latency;
pub mod lcs;
pub mod list;
pub mod memory;
pub mod migrate;
pub mod module;
pub mod mpop;
pub mod pubsub;
pub mod scan;
pub mod scripting;
pub mod set;
pub mod slowlog;
pub mod sort;
pub mod stream;
pub mod string;
pub mod transaction;
pub mod wait;
pub mod zset;

use crate::config::NotifyFlags;
use crate::ds::listpack::Element;
use crate::keyspace::Entry;
use crate::resp::{Args, Error, Reply};
use crate::server::command::{Command, Handler, Table};
use crate::server::ctx::Ctx;
use crate::spec::{Flags, KeyFlags, KeySpec};
use crate::value::Collection;

/// HLEN, LLEN, SCARD, ZCARD and XLEN.
fn reply_len<T: Collection>(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let (found, out) = ctx.read::<T>(args.at(1))?;
    out.len_int(found.map_or(0, T::len));
    Ok(())
}

/// The row of HELP in a family of subcommands.
const fn help_row(family: Command, since: &'static str, handler: Handler) -> Command {
    Command {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE),
        keys: &[],
        since,
        summary: "Lists the subcommands.",
        handler,
        ..family
    }
}

/// A command that does nothing without a subcommand.
fn container(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    Err(ctx.arity_error())
}

/// The rows of every family.
pub const FAMILIES: &[&[Command]] = &[
    acl::COMMANDS,
    admin::COMMANDS,
    aof::COMMANDS,
    bitfield::COMMANDS,
    bitmap::COMMANDS,
    client::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    dump::COMMANDS,
    expire::COMMANDS,
    function::COMMANDS,
    field_expiry::COMMANDS,
    geo::COMMANDS,
    hash::COMMANDS,
    hyperloglog::COMMANDS,
    info::COMMANDS,
    keys::COMMANDS,
    latency::COMMANDS,
    lcs::COMMANDS,
    list::COMMANDS,
    memory::COMMANDS,
    migrate::COMMANDS,
    module::COMMANDS,
    pubsub::COMMANDS,
    scripting::COMMANDS,
    set::COMMANDS,
    sort::COMMANDS,
    slowlog::COMMANDS,
    stream::COMMANDS,
    string::COMMANDS,
    transaction::COMMANDS,
    wait::COMMANDS,
    zset::COMMANDS,
];

/// The table of all commands.
pub fn table() -> Table {
    Table::new(FAMILIES)
}

/// The reply of a HELP subcommand, in Redis's form: simple strings, the last two about HELP itself.
pub(crate) fn reply_help(ctx: &mut Ctx<'_>, container: &str, lines: &[&str]) {
    let first = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    ctx.out.array(lines.len() + 3);
    let all = [first.as_str()].into_iter().chain(lines.iter().copied());
    all.chain(["HELP", "    Print this help."]).for_each(|line| ctx.out.simple(line.as_bytes()));
}

/// Writes an element of a collection as a bulk string.
#[inline]
pub(crate) fn reply_element(element: Element<'_>, out: &mut Reply) {
    match element {
        Element::Int(value) => out.bulk_int(value),
        Element::Str(bytes) => out.bulk(bytes),
    }
}

/// Reads the count of HRANDFIELD and ZRANDMEMBER, and whether `word` (WITHVALUES, WITHSCORES)
/// follows it.
pub(crate) fn random_count(args: Args<'_>, word: &str) -> Result<(i64, bool), Error> {
    let count = args.int(2)?;
    if count == i64::MIN {
        return Err(Error::CountOutOfRange);
    }
    let values = args.is(3, word);
    if args.len() > 4 || args.len() == 4 && !values {
        return Err(Error::Syntax);
    }
    // With values the reply has twice as many elements.
    if values && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(Error::OutOfRange);
    }
    Ok((count, values))
}

/// Stores a result, or deletes the key if it is empty, with the events of that; replies its length.
pub(crate) fn store_collection<T: Collection>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    result: T,
    class: NotifyFlags,
    event: &str,
) {
    let value = result.into_value();
    let len = value.len();
    if len > 0 {
        ctx.put(Entry::new(key, value, None));
        ctx.modified(class, event, key);
    } else if ctx.delete(key) {
        ctx.modified(NotifyFlags::GENERIC, "del", key);
    }
    ctx.out.len_int(len);
}

/// One key, the first argument, that is read.
pub(crate) const READ_KEY: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
/// One key, the first argument, of which only metadata is read.
pub(crate) const META_KEY: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];
/// One key, the first argument, that is read and changed.
pub(crate) const UPDATE_KEY: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];
/// One key, the first argument, that something is added to.
pub(crate) const INSERT_KEY: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))];
/// One key, the first argument, that is overwritten.
pub(crate) const OVERWRITE_KEY: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))];
/// One key, the first argument, that something is removed from.
pub(crate) const DELETE_KEY: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];
/// One key, the first argument, that something is read and removed from.
pub(crate) const POP_KEY: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))];
/// All arguments are keys that are read.
pub(crate) const READ_KEYS: &[KeySpec] =
    &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))];
