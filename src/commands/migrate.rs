//! MIGRATE: keys that move to another server.

use std::time::Duration;

use crate::keyspace::Entry;
use crate::resp::{Args, Error};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::migrate::{Login, Request};
use crate::spec::{Category, Find, Flags, Group, KeyFlags, KeySpec, Search};

const MOVED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "migrate",
    arity: -6,
    flags: Flags::WRITE.union(Flags::MOVABLEKEYS),
    categories: Category::KEYSPACE.union(Category::DANGEROUS),
    keys: &[
        KeySpec::one(3, MOVED),
        KeySpec {
            search: Search::Keyword("KEYS", -2),
            find: Find::Range { last: -1, step: 1, limit: 0 },
            flags: MOVED.union(KeyFlags::INCOMPLETE),
            notes: "",
        },
    ],
    get_keys: Some(migrate_keys),
    group: Group::Generic,
    since: "2.6.0",
    complexity: "DUMP and DEL here and RESTORE there, for each key, and O(N) to send N bytes",
    summary: "Moves keys to another server.",
    syntax: "host port key-or-empty-string=<key | empty-string=\"\"> destination-db \
             timeout{integer} \
             [COPY]@3.0.0 [REPLACE]@3.0.0 \
             authentication=[[AUTH auth=password]@4.0.7 | \
             [AUTH2 auth2=<username password>]@6.0.0] \
             [KEYS keys=key...]@3.0.6",
    history: &[
        ("3.0.0", "`COPY` and `REPLACE` are new."),
        ("3.0.6", "`KEYS` is new."),
        ("4.0.7", "`AUTH` is new."),
        ("6.0.0", "`AUTH2` is new."),
    ],
    tips: &["nondeterministic_output"],
    handler: migrate,
    ..Command::DEFAULT
}];

/// The words that come after the first six.
#[derive(Debug, Default)]
struct Options {
    copy: bool,
    replace: bool,
    login: Option<Login>,
    /// Where the keys after KEYS begin.
    keys_at: Option<usize>,
}

impl Options {
    fn parse(args: &Args<'_>) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut at = 6;
        while at < args.len() {
            let more = args.len() - at - 1;
            match () {
                () if args.is(at, "copy") => found.copy = true,
                () if args.is(at, "replace") => found.replace = true,
                () if args.is(at, "auth") && more >= 1 => {
                    at += 1;
                    found.login = Some(Login { user: None, password: args.at(at).to_vec() });
                }
                () if args.is(at, "auth2") && more >= 2 => {
                    at += 2;
                    let user = Some(args.at(at - 1).to_vec());
                    found.login = Some(Login { user, password: args.at(at).to_vec() });
                }
                () if args.is(at, "keys") => {
                    if !args.at(3).is_empty() {
                        return Err(Error::MigrateKeys);
                    }
                    found.keys_at = Some(at + 1);
                    break;
                }
                () => return Err(Error::Syntax),
            }
            at += 1;
        }
        Ok(found)
    }
}

/// The keys: the third argument, or if that is empty those after KEYS.
fn migrate_keys(args: &Args<'_>) -> Option<Vec<usize>> {
    if args.get(3)?.is_empty() {
        let mut at = 6;
        while at < args.len() {
            match () {
                () if args.is(at, "keys") => return Some((at + 1..args.len()).collect()),
                () if args.is(at, "auth") => at += 1,
                () if args.is(at, "auth2") => at += 2,
                () => {}
            }
            at += 1;
        }
    }
    Some(vec![3])
}

fn migrate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let options = Options::parse(&args)?;
    let (timeout_ms, to_db) = (args.int(5)?, args.int(4)?);
    let timeout_ms = u64::try_from(timeout_ms).ok().filter(|&ms| ms > 0).unwrap_or(1000);
    let keys = match options.keys_at {
        Some(at) => args.from(at),
        None => args.range(3, 4),
    };
    let mut entries: Vec<Entry> = Vec::new();
    for key in keys.iter() {
        entries.extend(ctx.lookup(key).cloned());
    }
    if entries.is_empty() {
        ctx.out.simple(b"NOKEY");
        return Ok(());
    }
    let port = std::str::from_utf8(args.at(2)).ok().and_then(|port| port.parse().ok());
    let request = Request {
        host: String::from_utf8_lossy(args.at(1)).into_owned(),
        port: port.ok_or(Error::MigrateConnect)?,
        to_db,
        timeout: Duration::from_millis(timeout_ms),
        login: options.login,
        replace: options.replace,
        copy: options.copy,
        compress: ctx.srv.config.rdbcompression,
        db: ctx.db,
        entries,
        now_ms: ctx.now_ms(),
    };
    // What is deleted is told when it is.
    ctx.propagate_nothing();
    if ctx.denies_blocking() {
        let outcome = ctx.srv.network.migrate_now(request);
        let Ctx { srv, out, .. } = ctx;
        srv.take_migrated(&outcome, out);
        return Ok(());
    }
    ctx.client().flags.insert(ClientFlags::MIGRATING);
    let id = ctx.client;
    ctx.srv.network.migrate(id, request);
    Ok(())
}
