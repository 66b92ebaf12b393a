//! The connection itself: PING, ECHO, SELECT, AUTH, HELLO, RESET, QUIT.

use crate::acl::UserId;
use crate::resp::{Args, Error, Proto};
use crate::server::client::{ClientFlags, Subscriptions};
use crate::server::command::Command;
use crate::server::ctx::{Caller, Ctx};
use crate::server::{REDIS_VERSION, Server};
use crate::spec::{Category, Flags, Group};
use crate::util::num;

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
const SESSION: Flags =
    ANYTIME.union(Flags::NOSCRIPT).union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY);
const CONNECTION: Command =
    Command { group: Group::Connection, categories: Category::CONNECTION, ..Command::DEFAULT };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        summary: "Replies PONG, or the argument.",
        syntax: "[message]",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        handler: ping,
        ..CONNECTION
    },
    Command {
        name: "echo",
        arity: 2,
        flags: ANYTIME,
        summary: "Replies its argument.",
        syntax: "message",
        handler: echo,
        ..CONNECTION
    },
    Command {
        name: "select",
        arity: 2,
        flags: ANYTIME,
        summary: "Selects the connection's database.",
        syntax: "index",
        handler: select,
        ..CONNECTION
    },
    Command {
        name: "auth",
        arity: -2,
        flags: SESSION,
        summary: "Authenticates the connection.",
        syntax: "[username]@6.0.0 password",
        history: &[("6.0.0", "A username may stand before the password.")],
        handler: auth,
        ..CONNECTION
    },
    Command {
        name: "hello",
        arity: -1,
        flags: SESSION,
        since: "6.0.0",
        summary: "Chooses the protocol, with authentication and a name if wanted.",
        syntax: "arguments=[protover [AUTH username password] [SETNAME clientname]]",
        history: &[(
            "6.2.0",
            "`protover` may be left out: the state of the connection is told all the same.",
        )],
        handler: hello,
        ..CONNECTION
    },
    Command {
        name: "reset",
        arity: 1,
        flags: SESSION,
        since: "6.2.0",
        summary: "Puts the connection back into its first state.",
        handler: reset,
        ..CONNECTION
    },
    Command {
        name: "quit",
        arity: -1,
        flags: SESSION,
        summary: "Closes the connection.",
        deprecated: Some(("7.2.0", "closing the connection")),
        handler: quit,
        ..CONNECTION
    },
];

fn ping(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() > 2 {
        return Err(ctx.arity_error());
    }
    let resp3 = ctx.out.resp3();
    let subscribed = ctx.caller == Caller::Client && !ctx.client().subs.is_empty();
    match args.get(1) {
        message if subscribed && !resp3 => {
            ctx.out.array(2);
            ctx.out.bulk(b"pong");
            ctx.out.bulk(message.unwrap_or_default());
        }
        Some(message) => ctx.out.bulk(message),
        None => ctx.out.simple(b"PONG"),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    ctx.out.bulk(args.at(1));
    Ok(())
}

/// A database's index, as commands take it.
pub fn parse_db(srv: &Server, arg: &[u8], invalid: Option<Error>) -> Result<usize, Error> {
    let Some(index) = num::parse_i64(arg) else { return Err(invalid.unwrap_or(Error::NotInteger)) };
    let index = i32::try_from(index).map_err(|_| invalid.unwrap_or(Error::IntOutOfRange))?;
    usize::try_from(index).ok().filter(|&db| db < srv.dbs.len()).ok_or(Error::DbOutOfRange)
}

fn select(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let db = parse_db(ctx.srv, args.at(1), None)?;
    ctx.db = db;
    // A script selects for itself only; the engine's host keeps what it chose.
    if ctx.caller != Caller::Script {
        ctx.client().db = db;
    }
    ctx.out.ok();
    Ok(())
}

fn auth(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let default = ctx.srv.users.get(UserId::DEFAULT);
    let (user, password) = match args.len() {
        2 if default.needs_no_password() => return Err(Error::AuthNoPassword),
        2 => (&b"default"[..], args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(Error::Syntax),
    };
    ctx.srv.log_in(ctx.client, &args, user, password)?;
    ctx.out.ok();
    Ok(())
}

/// A name that CLIENT SETNAME and its kin take: printable, without spaces.
pub fn is_client_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn hello(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let proto = match args.get(1) {
        None => None,
        Some(version) => match num::parse_i64(version) {
            Some(2) => Some(Proto::Resp2),
            Some(3) => Some(Proto::Resp3),
            Some(_) => return Err(Error::NoProto),
            None => return Err(Error::ProtocolVersion),
        },
    };
    let (mut login, mut name) = (None, None);
    let mut i = 2;
    while i < args.len() {
        if args.is(i, "auth") && args.len() > i + 2 {
            login = Some((args.at(i + 1), args.at(i + 2)));
            i += 3;
        } else if args.is(i, "setname") && args.len() > i + 1 {
            if !is_client_name(args.at(i + 1)) {
                return Err(Error::ClientName);
            }
            name = Some(args.at(i + 1));
            i += 2;
        } else {
            let option = String::from_utf8_lossy(args.at(i)).into_owned();
            return Err(Error::other(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = login {
        ctx.srv.log_in(ctx.client, &args, user, password)?;
    }
    if ctx.srv.clients.get(ctx.client).is_some_and(|client| ctx.srv.needs_login(client)) {
        return Err(Error::HelloNoAuth);
    }
    if let Some(name) = name {
        ctx.client().name = name.into();
    }
    if let Some(proto) = proto {
        ctx.out.set_proto(proto);
    }
    reply_hello(ctx);
    Ok(())
}

fn reply_hello(ctx: &mut Ctx<'_>) {
    let proto = if ctx.out.resp3() { 3 } else { 2 };
    let id = i64::try_from(ctx.client.id).unwrap_or(i64::MAX);
    let out = &mut ctx.out;
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(proto);
    out.bulk(b"id");
    out.int(id);
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(b"master");
    out.bulk(b"modules");
    out.array(0);
}

fn reset(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let id = ctx.client;
    ctx.srv.discard(id);
    ctx.srv.unsubscribe_all(id);
    ctx.srv.disable_tracking(id);
    ctx.srv.monitors.retain(|monitor| *monitor != id);
    ctx.srv.log_out(id);
    let client = ctx.client();
    client.subs = Subscriptions::default();
    client.flags.remove(
        ClientFlags::MONITOR
            | ClientFlags::REPLY_OFF
            | ClientFlags::REPLY_SKIP
            | ClientFlags::REPLY_SKIP_NEXT
            | ClientFlags::NO_EVICT
            | ClientFlags::NO_TOUCH,
    );
    client.db = 0;
    client.name = Box::default();
    ctx.db = 0;
    ctx.out.set_proto(Proto::Resp2);
    ctx.out.simple(b"RESET");
    Ok(())
}

fn quit(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.client().flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
    ctx.out.ok();
    Ok(())
}
