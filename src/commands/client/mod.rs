//! CLIENT: the connections, seen and managed.

mod kill;
mod list;
mod tracking;

use crate::commands::connection::is_client_name;
use crate::commands::{container, help_row, reply_help};
use crate::resp::{Args, Error};
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::pause::Pause;
use crate::spec::{Category, Flags, Group};

const CLIENT: Command = Command {
    group: Group::Connection,
    categories: Category::CONNECTION,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE),
    ..Command::DEFAULT
};
const ADMIN: Command = Command { flags: CLIENT.flags.union(Flags::ADMIN), ..CLIENT };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    arity: -2,
    flags: Flags::empty(),
    categories: Category::empty(),
    since: "2.4.0",
    summary: "Shows and manages connections.",
    subcommands: SUBCOMMANDS,
    handler: container,
    ..CLIENT
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "id",
        arity: 2,
        since: "5.0.0",
        summary: "Returns the connection's identifier.",
        handler: id,
        ..CLIENT
    },
    Command {
        name: "info",
        arity: 2,
        since: "6.2.0",
        summary: "Describes the connection.",
        tips: &["nondeterministic_output"],
        handler: list::info,
        ..CLIENT
    },
    Command {
        name: "list",
        arity: -2,
        since: "2.4.0",
        complexity: "O(N), N connections",
        summary: "Describes all connections, or those of a type or with given identifiers.",
        syntax: "[TYPE client-type=<NORMAL | MASTER | REPLICA | PUBSUB>]@5.0.0 [ID \
             client-id...]@6.2.0",
        history: &[
            ("2.8.12", "The field `id` is new."),
            ("5.0.0", "`TYPE` is new."),
            ("6.0.0", "The field `user` is new."),
            ("6.2.0", "`ID` and the fields `argv-mem`, `tot-mem`, `laddr` and `redir` are new."),
            ("7.0.0", "The fields `resp`, `multi-mem`, `rbs` and `rbp` are new."),
            ("7.0.3", "The field `ssub` is new."),
        ],
        tips: &["nondeterministic_output"],
        handler: list::list,
        ..ADMIN
    },
    Command {
        name: "kill",
        arity: -3,
        since: "2.4.0",
        complexity: "O(N), N connections",
        summary: "Closes connections.",
        syntax: "filter=<old-format=ip:port^2.8.12 | new-format=<[ID client-id]@2.8.12 | [TYPE \
             client-type=<NORMAL | MASTER@3.2.0 | SLAVE | REPLICA@5.0.0 | PUBSUB>]@2.8.12 | [USER \
             username] | [ADDR addr=ip:port] | [LADDR laddr=ip:port]@6.2.0 | [SKIPME skipme=<YES \
             | NO>]>...>",
        history: &[
            ("2.8.12", "Filters are new."),
            ("2.8.12", "`ID` is new."),
            ("3.2.0", "`TYPE` knows `MASTER`."),
            ("5.0.0", "`TYPE` knows `REPLICA`, which `SLAVE` still means too."),
            ("6.2.0", "`LADDR` is new."),
        ],
        handler: kill::kill,
        ..ADMIN
    },
    Command {
        name: "getname",
        arity: 2,
        since: "2.6.9",
        summary: "Returns the connection's name.",
        handler: getname,
        ..CLIENT
    },
    Command {
        name: "setname",
        arity: 3,
        since: "2.6.9",
        summary: "Names the connection.",
        syntax: "connection-name",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: setname,
        ..CLIENT
    },
    Command {
        name: "setinfo",
        arity: 4,
        since: "7.2.0",
        summary: "Tells the client library's name or version.",
        syntax: "attr=<LIB-NAME libname | LIB-VER libver>",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: setinfo,
        ..CLIENT
    },
    Command {
        name: "reply",
        arity: 3,
        since: "3.2.0",
        summary: "Turns the replies of the connection on or off.",
        syntax: "action=<ON | OFF | SKIP>",
        handler: reply,
        ..CLIENT
    },
    Command {
        name: "unblock",
        arity: -3,
        since: "5.0.0",
        complexity: "O(log N), N connections",
        summary: "Ends a blocking command of another connection.",
        syntax: "client-id unblock-type=[TIMEOUT | ERROR]",
        handler: unblock,
        ..ADMIN
    },
    Command {
        name: "pause",
        arity: -3,
        since: "3.0.0",
        summary: "Holds commands back for a time.",
        syntax: "timeout{integer} mode=[WRITE | ALL]@6.2.0",
        history: &[("6.2.0", "The mode is new, and with it `WRITE`.")],
        handler: pause,
        ..ADMIN
    },
    Command {
        name: "unpause",
        arity: 2,
        since: "6.2.0",
        complexity: "O(N), N paused connections",
        summary: "Ends a pause.",
        handler: unpause,
        ..ADMIN
    },
    Command {
        name: "no-evict",
        arity: 3,
        since: "7.0.0",
        summary: "Exempts the connection from the eviction of clients, or not.",
        syntax: "enabled=<ON | OFF>",
        handler: no_evict,
        ..ADMIN
    },
    Command {
        name: "no-touch",
        arity: 3,
        since: "7.2.0",
        summary: "Has the connection's reads leave access clocks alone, or not.",
        syntax: "enabled=<ON | OFF>",
        handler: no_touch,
        ..CLIENT
    },
    Command {
        name: "getredir",
        arity: 2,
        since: "6.0.0",
        summary: "Returns the connection that tracking messages go to.",
        handler: tracking::getredir,
        ..CLIENT
    },
    Command {
        name: "caching",
        arity: 3,
        since: "6.0.0",
        summary: "Has the next command's keys tracked, or not.",
        syntax: "mode=<YES | NO>",
        handler: tracking::caching,
        ..CLIENT
    },
    Command {
        name: "trackinginfo",
        arity: 2,
        since: "6.2.0",
        summary: "Describes the connection's tracking.",
        handler: tracking::trackinginfo,
        ..CLIENT
    },
    Command {
        name: "tracking",
        arity: -3,
        since: "6.0.0",
        summary: "Has the keys tracked that the connection reads, or not.",
        syntax: "status=<ON | OFF> [REDIRECT client-id] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] \
             [NOLOOP]",
        handler: tracking::tracking,
        ..CLIENT
    },
    help_row(CLIENT, "5.0.0", help),
];

fn id(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let id = i64::try_from(ctx.client.id).unwrap_or(i64::MAX);
    ctx.out.int(id);
    Ok(())
}

fn getname(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let name = ctx.client().name.clone();
    ctx.out.bulk_or_null((!name.is_empty()).then_some(&name));
    Ok(())
}

fn setname(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !is_client_name(args.at(2)) {
        return Err(Error::ClientName);
    }
    ctx.client().name = args.at(2).into();
    ctx.out.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let value = args.at(3);
    let which = String::from_utf8_lossy(args.at(2)).to_ascii_lowercase();
    if which != "lib-name" && which != "lib-ver" {
        let option = String::from_utf8_lossy(args.at(2)).into_owned();
        return Err(Error::other(format!("ERR Unrecognized option '{option}'")));
    }
    if !is_client_name(value) {
        return Err(Error::other(format!(
            "ERR {which} cannot contain spaces, newlines or special characters."
        )));
    }
    match which.as_str() {
        "lib-name" => ctx.client().lib_name = value.into(),
        _ => ctx.client().lib_ver = value.into(),
    }
    ctx.out.ok();
    Ok(())
}

fn reply(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let off = ctx.client().flags.contains(ClientFlags::REPLY_OFF);
    if args.is(2, "on") {
        ctx.client().flags.remove(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP);
        ctx.out.ok();
    } else if args.is(2, "off") {
        ctx.client().flags.insert(ClientFlags::REPLY_OFF);
    } else if args.is(2, "skip") {
        if !off {
            ctx.client().flags.insert(ClientFlags::REPLY_SKIP_NEXT);
        }
    } else {
        return Err(Error::Syntax);
    }
    Ok(())
}

fn unblock(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let fails = match args.get(3) {
        None => false,
        Some(_) if args.len() > 4 => return Err(Error::subcommand_syntax("CLIENT", args.at(1))),
        Some(word) if word.eq_ignore_ascii_case(b"timeout") => false,
        Some(word) if word.eq_ignore_ascii_case(b"error") => true,
        Some(_) => return Err(Error::UnblockReason),
    };
    let id = args.int(2)?;
    let target = u64::try_from(id).ok().and_then(|id| ctx.srv.clients.by_id(id));
    let Some(target) = target.filter(|client| client.is_blocked()).map(|client| client.id) else {
        ctx.out.int(0);
        return Ok(());
    };
    match fails {
        true => ctx.srv.fail_blocked_client(target, &Error::UnblockedByClient),
        false => ctx.srv.time_out_client(target),
    }
    ctx.out.int(1);
    Ok(())
}

fn pause(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let writes_only = match args.get(3) {
        None => false,
        Some(_) if args.len() > 4 => return Err(Error::subcommand_syntax("CLIENT", args.at(1))),
        Some(word) if word.eq_ignore_ascii_case(b"write") => true,
        Some(word) if word.eq_ignore_ascii_case(b"all") => false,
        Some(_) => return Err(Error::PauseMode),
    };
    let until_ms = ctx.now_ms().saturating_add(ctx.timeout_ms(args.at(2))?);
    ctx.srv.pause_clients(Pause { until_ms, writes_only });
    ctx.out.ok();
    Ok(())
}

fn unpause(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    ctx.srv.unpause_clients();
    ctx.out.ok();
    Ok(())
}

fn set_flag(ctx: &mut Ctx<'_>, args: Args<'_>, flag: ClientFlags) -> Result<(), Error> {
    if !args.is(2, "on") && !args.is(2, "off") {
        return Err(Error::Syntax);
    }
    let on = args.is(2, "on");
    ctx.client().flags.set(flag, on);
    ctx.out.ok();
    Ok(())
}

fn no_evict(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    set_flag(ctx, args, ClientFlags::NO_EVICT)
}

fn no_touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    set_flag(ctx, args, ClientFlags::NO_TOUCH)
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "CLIENT",
        &[
            "CACHING (YES|NO)",
            "    Have the next command's keys tracked in mode OPTIN, or not in mode OPTOUT.",
            "GETREDIR",
            "    Return the connection that tracking messages go to.",
            "GETNAME",
            "    Return the name of the connection.",
            "ID",
            "    Return the identifier of the connection.",
            "INFO",
            "    Describe the connection.",
            "KILL <ip:port>",
            "    Close the connection of this address.",
            "KILL <option> <value> [<option> <value> ...]",
            "    Close the connections that fit all options: ADDR, LADDR, TYPE,",
            "    USER, SKIPME, ID, MAXAGE.",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> ...]",
            "    Describe connections.",
            "NO-EVICT (ON|OFF)",
            "    Exempt the connection from the eviction of clients.",
            "NO-TOUCH (ON|OFF)",
            "    Have reads of the connection leave access clocks alone.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold commands back for so many milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Turn the replies of the connection on or off.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Tell the client library's name or version.",
            "SETNAME <name>",
            "    Name the connection.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT] [NOLOOP]",
            "    Have the keys tracked that the connection reads, or not.",
            "TRACKINGINFO",
            "    Describe the connection's tracking.",
            "UNBLOCK <id> [TIMEOUT|ERROR]",
            "    End a blocking command of another connection.",
            "UNPAUSE",
            "    End a pause.",
        ],
    );
    Ok(())
}
