//! Values as payloads: DUMP, RESTORE.
//!
//! MIGRATE, which sends payloads to another server, stands in `migrate`.

use crate::commands::READ_KEY;
use crate::config::{NotifyFlags, SanitizePayload};
use crate::keyspace::Entry;
use crate::persist::rdb::Access;
use crate::persist::rdb::dump::{self, Refused};
use crate::persist::rdb::value::Options;
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group, KeyFlags, KeySpec};

const DUMP: Command =
    Command { group: Group::Generic, categories: Category::KEYSPACE, ..Command::DEFAULT };
const RESTORE: Command = Command {
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Category::KEYSPACE.union(Category::DANGEROUS),
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    complexity: "O(1) to create the key, and O(N) to read its value, N its elements",
    syntax: "key ttl serialized-value [REPLACE]@3.0.0 [ABSTTL]@5.0.0 [IDLETIME seconds]@5.0.0 \
             [FREQ frequency]@5.0.0",
    history: &[
        ("3.0.0", "`REPLACE` is new."),
        ("5.0.0", "`ABSTTL` is new."),
        ("5.0.0", "`IDLETIME` and `FREQ` are new."),
    ],
    handler: restore,
    ..DUMP
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        arity: 2,
        flags: Flags::READONLY,
        keys: READ_KEY,
        since: "2.6.0",
        complexity: "O(1) to find the key, and O(N) to write its value, N its elements",
        summary: "Returns a key's value as a payload that RESTORE takes.",
        syntax: "key",
        tips: &["nondeterministic_output"],
        handler: dump,
        ..DUMP
    },
    Command {
        name: "restore",
        since: "2.6.0",
        summary: "Creates a key from a payload of DUMP.",
        ..RESTORE
    },
    Command {
        name: "restore-asking",
        flags: RESTORE.flags.union(Flags::ASKING).union(Flags::SYSTEM),
        group: Group::Server,
        since: "3.0.0",
        summary: "As RESTORE, from a server that moves a slot of a cluster.",
        ..RESTORE
    },
];

fn dump(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let compress = ctx.srv.config.rdbcompression;
    match ctx.lookup_reply(args.at(1)) {
        (None, out) => out.null(),
        (Some(entry), out) => out.bulk(&dump::dump(entry, compress)),
    }
    Ok(())
}

/// The options of RESTORE.
#[derive(Debug, Default)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
    access: Access,
}

impl RestoreOptions {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut at = 4;
        while at < args.len() {
            let more = at + 1 < args.len();
            match () {
                () if args.is(at, "replace") => found.replace = true,
                () if args.is(at, "absttl") => found.absolute = true,
                () if args.is(at, "idletime")
                    && more
                    && !matches!(found.access, Access::Freq(_)) =>
                {
                    at += 1;
                    let seconds =
                        u64::try_from(args.int(at)?).map_err(|_| Error::RestoreIdletime)?;
                    found.access = Access::Idle(seconds);
                }
                () if args.is(at, "freq") && more && !matches!(found.access, Access::Idle(_)) => {
                    at += 1;
                    let counter = u8::try_from(args.int(at)?).map_err(|_| Error::RestoreFreq)?;
                    found.access = Access::Freq(counter);
                }
                () => return Err(Error::Syntax),
            }
            at += 1;
        }
        Ok(found)
    }
}

fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = RestoreOptions::parse(args)?;
    let (key, payload) = (args.at(1), args.at(3));
    if !options.replace && ctx.exists(key) {
        return Err(Error::BusyKey);
    }
    let ttl = Some(args.int(2)?).filter(|&ttl| ttl != 0);
    if ttl.is_some_and(|ttl| ttl < 0) {
        return Err(Error::RestoreTtl);
    }
    let deadline = match ttl {
        Some(ttl) if !options.absolute => {
            Some(ttl.checked_add(ctx.now_ms()).ok_or(Error::RestoreTtl)?)
        }
        ttl => ttl,
    };
    let entry = read_payload(ctx, payload, key, deadline)?;
    let replaced = options.replace && ctx.delete(key);
    if deadline.is_some_and(|at| at <= ctx.now_ms()) && !ctx.srv.is_loading() {
        if replaced {
            let word: &[u8] =
                if ctx.srv.config.lazyfree_lazy_server_del { b"UNLINK" } else { b"DEL" };
            ctx.propagate_as(&[word, key]);
            ctx.modified(NotifyFlags::GENERIC, "del", key);
        }
        ctx.out.ok();
        return Ok(());
    }
    let (eviction, clock) = (ctx.srv.eviction, ctx.srv.access_clock());
    ctx.put(entry);
    if let Some(entry) = ctx.db().get(key) {
        eviction.set(entry, options.access, clock);
    }
    if let Some(deadline) = deadline.filter(|_| !options.absolute) {
        let mut digits = itoa::Buffer::new();
        let mut words: Vec<&[u8]> = args.iter().collect();
        words[2] = digits.format(deadline).as_bytes();
        words.push(b"ABSTTL");
        ctx.propagate_as(&words);
    }
    ctx.modified(NotifyFlags::GENERIC, "restore", key);
    ctx.out.ok();
    Ok(())
}

fn read_payload(
    ctx: &mut Ctx<'_>,
    payload: &[u8],
    key: &[u8],
    deadline: Option<i64>,
) -> Result<Entry, Error> {
    let deep = match ctx.srv.config.sanitize_dump_payload {
        SanitizePayload::No => false,
        SanitizePayload::Yes => true,
        // What is loaded from our own file was written by this server.
        SanitizePayload::Clients => {
            let user = ctx.client().user;
            !ctx.srv.is_loading() && ctx.srv.users.get(user).sanitizes_payloads()
        }
    };
    let options = Options { deep, limits: ctx.srv.limits };
    ctx.srv.counters.sanitizations += u64::from(deep);
    let trusting = ctx.srv.skip_checksums;
    dump::restore(payload, key, deadline, trusting, &options).map_err(|refused| match refused {
        Refused::Footer => Error::DumpFooter,
        Refused::Corrupt(problem) => {
            ctx.srv.log.warning(format_args!("RESTORE of a payload that is no value: {problem}"));
            Error::DumpFormat
        }
    })
}
