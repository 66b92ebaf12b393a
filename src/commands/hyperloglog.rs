//! HyperLogLog: PFADD, PFCOUNT, PFMERGE and their debugging commands.
//!
//! Owns which strings are taken for a HyperLogLog and what is announced of changes. The form and the
//! estimate are the business of `ds::hyperloglog`.

use crate::commands::INSERT_KEY;
use crate::config::NotifyFlags;
use crate::ds::hyperloglog::{self, Corrupt, Encoding, Hll, HllMut, Registers, Run};
use crate::keyspace::{Entry, StrView};
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};
use crate::value::Value;

const HYPERLOGLOG: Command = Command {
    group: Group::HyperLogLog,
    categories: Category::HYPERLOGLOG,
    since: "2.8.9",
    ..Command::DEFAULT
};
// A count writes what it keeps for the next one.
const COUNT_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))
    .noted("RW, as the count that is kept in the value may change")];
const MERGE_KEYS: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
    KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pfadd",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        keys: INSERT_KEY,
        complexity: "O(1) for each element",
        summary: "Adds elements to a HyperLogLog, and creates it if need be.",
        syntax: "key [element...]",
        handler: pfadd,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfcount",
        arity: -2,
        flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
        keys: COUNT_KEYS,
        complexity: "O(1) for one key, O(N) for N keys",
        summary: "Estimates how many different elements HyperLogLogs have seen.",
        syntax: "key...",
        handler: pfcount,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfmerge",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: MERGE_KEYS,
        complexity: "O(N), N keys",
        summary: "Merges HyperLogLogs into one.",
        syntax: "destkey sourcekey...",
        handler: pfmerge,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfdebug",
        arity: 3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN).union(Flags::SYSTEM),
        keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))],
        complexity: "N/A",
        summary: "Shows the inside of a HyperLogLog.",
        syntax: "subcommand key",
        handler: pfdebug,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfselftest",
        arity: 1,
        flags: Flags::ADMIN.union(Flags::SYSTEM),
        complexity: "N/A",
        summary: "Tests the registers and the estimate of HyperLogLogs.",
        handler: pfselftest,
        ..HYPERLOGLOG
    },
];

impl From<Corrupt> for Error {
    fn from(Corrupt: Corrupt) -> Self {
        Self::CorruptHll
    }
}

/// The HyperLogLog that a string is.
fn view(text: StrView<'_>) -> Result<Hll<'_>, Error> {
    match text {
        StrView::Bytes(bytes) => Hll::parse(bytes).ok_or(Error::NotHll),
        StrView::Int(_) => Err(Error::NotHll),
    }
}

/// The HyperLogLog that an entry holds, to change.
fn writable(entry: &mut Entry) -> Result<HllMut<'_>, Error> {
    view(entry.str().ok_or(Error::WrongType)?)?;
    entry.str_mut().and_then(HllMut::parse).ok_or(Error::NotHll)
}

/// The HyperLogLog at a key, to change.
fn open<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<HllMut<'a>>, Error> {
    ctx.lookup_write(key).map(writable).transpose()
}

/// As [`open`]; a missing one is created. Says whether it was.
fn open_or_create<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<(HllMut<'a>, bool), Error> {
    let empty = || Value::Str(triomphe::Arc::new(hyperloglog::empty()));
    let (entry, created, _) = ctx.upsert_entry(key, empty)?;
    Ok((writable(entry)?, created))
}

fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let sparse_max = ctx.srv.config.hll_sparse_max_bytes;
    let (mut hll, created) = open_or_create(ctx, key)?;
    let mut changes = usize::from(created);
    let mut corrupt = Ok(());
    for element in args.from(2).iter() {
        match hll.add(element, sparse_max) {
            Ok(changed) => changes += usize::from(changed),
            Err(error) => {
                corrupt = Err(error);
                break;
            }
        }
    }
    if changes > 0 {
        hll.invalidate();
        ctx.modified_by(changes, NotifyFlags::STRING, "pfadd", key);
    }
    corrupt?;
    ctx.out.int(i64::from(changes > 0));
    Ok(())
}

fn pfcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let keys = args.from(1);
    let count = if keys.len() == 1 {
        count_one(ctx, args.at(1))?
    } else {
        let mut union = Registers::default();
        merge(ctx, keys, &mut union)?;
        union.count()
    };
    ctx.out.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// The cardinality of one HyperLogLog, which is kept until it changes.
fn count_one(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<u64, Error> {
    let Some(text) = ctx.read_str(key)?.0 else { return Ok(0) };
    let hll = view(text)?;
    if let Some(count) = hll.cached_count() {
        return Ok(count);
    }
    let count = hll.count()?;
    if let Some(mut hll) = open(ctx, key)? {
        hll.cache_count(count);
        ctx.touched(key);
        ctx.srv.dirty += 1;
        // The count is part of the string, which must stay the same everywhere.
        ctx.propagate_as(&[b"PFCOUNT", key]);
    }
    Ok(count)
}

/// Takes the HyperLogLogs of some keys into one; says whether one of them is dense.
fn merge(ctx: &mut Ctx<'_>, keys: Args<'_>, union: &mut Registers) -> Result<bool, Error> {
    let mut dense = false;
    for key in keys.iter() {
        if let Some(text) = ctx.read_str(key)?.0 {
            let hll = view(text)?;
            dense |= hll.encoding() == Encoding::Dense;
            union.merge(hll)?;
        }
    }
    Ok(dense)
}

fn pfmerge(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(1);
    let sparse_max = ctx.srv.config.hll_sparse_max_bytes;
    let mut union = Registers::default();
    let dense = merge(ctx, args.from(1), &mut union)?;
    let (mut hll, _) = open_or_create(ctx, key)?;
    if dense {
        hll.make_dense()?;
    }
    for (index, &value) in union.values().iter().enumerate().filter(|(_, value)| **value > 0) {
        hll.raise(index, value, sparse_max)?;
    }
    hll.invalidate();
    ctx.modified(NotifyFlags::STRING, "pfadd", key);
    ctx.out.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let key = args.at(2);
    let mut hll = open(ctx, key)?.ok_or(Error::NoSpecifiedKey)?;
    if args.is(1, "getreg") {
        let changed = hll.make_dense()?;
        let mut registers = Registers::default();
        registers.merge(hll.view())?;
        ctx.srv.dirty += u64::from(changed);
        ctx.out.array(hyperloglog::REGISTERS);
        registers.values().iter().for_each(|value| ctx.out.int(i64::from(*value)));
    } else if args.is(1, "decode") {
        let runs = hll.view().runs().ok_or(Error::HllNotSparse)?;
        let texts: Result<Vec<String>, Corrupt> = runs.map(|run| run.map(decoded)).collect();
        let text = texts?.join(" ");
        ctx.out.bulk(text.as_bytes());
    } else if args.is(1, "encoding") {
        let name: &[u8] = match hll.view().encoding() {
            Encoding::Dense => b"dense",
            Encoding::Sparse => b"sparse",
        };
        ctx.out.simple(name);
    } else if args.is(1, "todense") {
        let changed = hll.make_dense()?;
        ctx.srv.dirty += u64::from(changed);
        ctx.out.int(i64::from(changed));
    } else {
        let name = String::from_utf8_lossy(args.at(1));
        return Err(Error::other(format!("ERR Unknown PFDEBUG subcommand '{name}'")));
    }
    Ok(())
}

fn decoded(run: Run) -> String {
    match run {
        Run::Zeroes(len) => format!("z:{len}"),
        Run::LongZeroes(len) => format!("Z:{len}"),
        Run::Values(value, len) => format!("v:{value},{len}"),
    }
}

fn pfselftest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let mut rng = ctx.srv.rng.fork();
    match hyperloglog::self_test(&mut rng) {
        Ok(()) => ctx.out.ok(),
        Err(reason) => return Err(Error::other(format!("ERR TESTFAILED {reason}"))),
    }
    Ok(())
}
