//! ACL: users and what they may do.

use crate::acl::{self, Catalog, Selector};
use crate::commands::{container, help_row, reply_help};
use crate::resp::{Args, Error, Reply};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Category, Flags, Group};
use crate::util::file::strerror;
use crate::util::seed;

const ACL: Command = Command {
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "6.0.0",
    ..Command::DEFAULT
};
/// What anybody may ask.
const OPEN: Command = Command { flags: ACL.flags.difference(Flags::ADMIN), ..ACL };
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "acl",
    arity: -2,
    flags: Flags::empty(),
    complexity: "Depends on subcommand.",
    summary: "Manages users and what they may do.",
    subcommands: SUBCOMMANDS,
    handler: container,
    ..ACL
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "cat",
        arity: -2,
        complexity: "O(1) since the categories and commands are a fixed set.",
        summary: "Lists the categories of commands, or the commands of one.",
        syntax: "[category]",
        handler: cat,
        ..OPEN
    },
    Command {
        name: "deluser",
        arity: -3,
        complexity: "O(1) amortized time considering the typical user.",
        summary: "Deletes users and closes their connections.",
        syntax: "username...",
        tips: EVERYWHERE,
        handler: deluser,
        ..ACL
    },
    Command {
        name: "dryrun",
        arity: -4,
        since: "7.0.0",
        complexity: "O(1).",
        summary: "Tells whether a user may run a command, without running it.",
        syntax: "username command [arg...]",
        handler: dryrun,
        ..ACL
    },
    Command {
        name: "genpass",
        arity: -2,
        summary: "Makes a password up that can't be guessed.",
        syntax: "[bits]",
        handler: genpass,
        ..OPEN
    },
    Command {
        name: "getuser",
        arity: 3,
        complexity: "O(N), N rules of the user",
        summary: "Returns the rules of a user.",
        syntax: "username",
        history: &[
            ("6.2.0", "Channel patterns are new."),
            ("7.0.0", "Selectors are new; keys and channels are told as rules, not as lists."),
        ],
        handler: getuser,
        ..ACL
    },
    Command {
        name: "list",
        complexity: "O(N), N users",
        summary: "Returns the rules of all users, as in the users' file.",
        handler: list,
        ..ACL
    },
    Command {
        name: "load",
        complexity: "O(N), N users",
        summary: "Reads the users' file again.",
        handler: load,
        ..ACL
    },
    Command {
        name: "log",
        arity: -2,
        complexity: "O(N), N entries",
        summary: "Returns the latest refusals, or forgets them.",
        syntax: "operation=[count | RESET]",
        history: &[("7.2.0", "Entries have an identifier and two times.")],
        handler: log,
        ..ACL
    },
    Command {
        name: "save",
        complexity: "O(N), N users",
        summary: "Writes the users to their file.",
        tips: EVERYWHERE,
        handler: save,
        ..ACL
    },
    Command {
        name: "setuser",
        arity: -3,
        complexity: "O(N), N rules given",
        summary: "Makes or changes a user.",
        syntax: "username [rule...]",
        history: &[
            ("6.2.0", "Channel patterns are new."),
            ("7.0.0", "Selectors and permissions to only read or write keys are new."),
        ],
        tips: EVERYWHERE,
        handler: setuser,
        ..ACL
    },
    Command {
        name: "users",
        complexity: "O(N), N users",
        summary: "Lists the names of all users.",
        handler: users,
        ..ACL
    },
    Command {
        name: "whoami",
        summary: "Returns the name of the connection's user.",
        handler: whoami,
        ..OPEN
    },
    help_row(ACL, ACL.since, help),
];

// ---- users ----------------------------------------------------------------------------------

fn setuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if acl::has_spaces(args.at(2)) {
        return Err(Error::AclUserName);
    }
    let rules: Vec<&[u8]> = args.from(3).iter().collect();
    let refused = |error| Error::other(format!("ERR {error}"));
    ctx.srv.set_user(args.at(2), &rules).map_err(refused)?;
    ctx.out.ok();
    Ok(())
}

fn deluser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let names = args.from(2);
    if names.iter().any(|name| name == b"default") {
        return Err(Error::AclDefaultUser);
    }
    let deleted = names.iter().filter(|name| ctx.srv.delete_user(name)).count();
    ctx.out.len_int(deleted);
    Ok(())
}

fn getuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let srv = &*ctx.srv;
    let out = &mut ctx.out;
    let Some(id) = srv.users.find(args.at(2)) else {
        out.null();
        return Ok(());
    };
    let user = srv.users.get(id);
    out.map(6);
    out.bulk(b"flags");
    out.set(user.flags().count());
    user.flags().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.password_hashes().len());
    user.password_hashes().for_each(|hash| out.bulk(hash.as_bytes()));
    reply_selector(out, user.root());
    out.bulk(b"selectors");
    out.array(user.further_selectors().len());
    for selector in user.further_selectors() {
        out.map(3);
        reply_selector(out, selector);
    }
    Ok(())
}

fn reply_selector(out: &mut Reply, selector: &Selector) {
    out.bulk(b"commands");
    out.bulk(&selector.command_words());
    out.bulk(b"keys");
    out.bulk(&selector.key_words());
    out.bulk(b"channels");
    out.bulk(&selector.channel_words());
}

fn list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let users = ctx.srv.users.iter();
    ctx.out.array(users.len());
    for user in users {
        ctx.out.bulk(&[b"user ", &*user.name, b" ", &user.describe()].concat());
    }
    Ok(())
}

fn users(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let users = ctx.srv.users.iter();
    ctx.out.array(users.len());
    users.for_each(|user| ctx.out.bulk(&user.name));
    Ok(())
}

fn whoami(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let id = ctx.client().user;
    ctx.out.bulk(&ctx.srv.users.get(id).name);
    Ok(())
}

fn genpass(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    const BITS_MAX: usize = 4096;
    let bits = match args.len() {
        2 => 256,
        3 => args.int(2)?,
        _ => return Err(Error::subcommand_syntax("ACL", args.at(1))),
    };
    let bits = usize::try_from(bits).ok().filter(|bits| (1..=BITS_MAX).contains(bits));
    let digits = bits.ok_or(Error::AclGenpass)?.div_ceil(4);
    ctx.out.bulk(seed::random_hex(digits).as_bytes());
    Ok(())
}

fn dryrun(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let srv = &*ctx.srv;
    let not_found = |what, name| {
        Error::other(format!("ERR {what} '{}' not found", String::from_utf8_lossy(name)))
    };
    let user = srv.users.find(args.at(2)).ok_or_else(|| not_found("User", args.at(2)))?;
    let user = srv.users.get(user);
    let call = args.from(3);
    let command = srv.commands.find(&call).map_err(|_| not_found("Command", args.at(3)))?;
    let row = srv.commands.get(command);
    if !row.command.fits(call.len()) {
        return Err(Error::wrong_arity(&*row.full_name));
    }
    match srv.check_user(user, command, &call) {
        Ok(()) => ctx.out.ok(),
        Err(denial) => {
            let text = srv.denial_text(user, command, &call, denial, true);
            ctx.out.bulk(text.as_bytes());
        }
    }
    Ok(())
}

// ---- categories -----------------------------------------------------------------------------

fn cat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    match args.len() {
        2 => {
            ctx.out.array(Category::NAMES.len());
            Category::NAMES.iter().for_each(|(_, name)| ctx.out.bulk(name.as_bytes()));
        }
        3 => {
            let category = Catalog::category(args.at(2)).ok_or_else(|| {
                let name = String::from_utf8_lossy(args.at(2));
                let shown: String = name.chars().take(128).collect();
                Error::other(format!("ERR Unknown category '{shown}'"))
            })?;
            let rows = ctx.srv.users.catalog().iter();
            let rows: Vec<_> = rows.filter(|(_, row)| row.categories.contains(category)).collect();
            ctx.out.array(rows.len());
            rows.iter().for_each(|(_, row)| ctx.out.bulk(row.full_name.as_bytes()));
        }
        _ => return Err(Error::subcommand_syntax("ACL", args.at(1))),
    }
    Ok(())
}

// ---- the log --------------------------------------------------------------------------------

fn log(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let count = match args.len() {
        2 => 10,
        3 if args.is(2, "reset") => {
            ctx.srv.acl_log.clear();
            ctx.out.ok();
            return Ok(());
        }
        3 => args.int(2)?,
        _ => return Err(Error::subcommand_syntax("ACL", args.at(1))),
    };
    let now_ms = ctx.now_ms();
    let entries = ctx.srv.acl_log.iter().take(usize::try_from(count).unwrap_or(0));
    let out = &mut ctx.out;
    out.array(entries.len());
    for entry in entries {
        out.map(10);
        out.bulk(b"count");
        out.int(i64::try_from(entry.count).unwrap_or(i64::MAX));
        out.bulk(b"reason");
        out.bulk(entry.reason.word().as_bytes());
        out.bulk(b"context");
        out.bulk(entry.context.word().as_bytes());
        out.bulk(b"object");
        out.bulk(&entry.object);
        out.bulk(b"username");
        out.bulk(&entry.username);
        out.bulk(b"age-seconds");
        out.double((now_ms - entry.updated_ms) as f64 / 1000.0);
        out.bulk(b"client-info");
        out.bulk(entry.client.as_bytes());
        out.bulk(b"entry-id");
        out.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
        out.bulk(b"timestamp-created");
        out.int(entry.created_ms);
        out.bulk(b"timestamp-last-updated");
        out.int(entry.updated_ms);
    }
    Ok(())
}

// ---- the file -------------------------------------------------------------------------------

fn load(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if ctx.srv.config.aclfile.is_empty() {
        return Err(Error::NoAclFile);
    }
    ctx.srv.load_users().map_err(|text| Error::other(format!("ERR {text}")))?;
    ctx.out.ok();
    Ok(())
}

fn save(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    if ctx.srv.config.aclfile.is_empty() {
        return Err(Error::NoAclFile);
    }
    ctx.srv.save_users().map_err(|error| {
        let why = strerror(&error);
        ctx.srv.log.warning(format_args!("Writing the ACL file for ACL SAVE: {why}"));
        Error::AclNotSaved
    })?;
    ctx.out.ok();
    Ok(())
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "ACL",
        &[
            "CAT [<category>]",
            "    List the commands of a category, or without one, the categories.",
            "DELUSER <username> [<username> ...]",
            "    Delete users and close their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Tell whether a user may run a command, without running it.",
            "GETUSER <username>",
            "    Return the rules of a user.",
            "GENPASS [<bits>]",
            "    Make a password up, of 256 bits or as many as are given.",
            "LIST",
            "    Return the rules of all users, as in the users' file.",
            "LOAD",
            "    Read the users' file again.",
            "LOG [<count> | RESET]",
            "    Return the latest refusals, or forget them.",
            "SAVE",
            "    Write the users to their file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Make a user, or change one, by rules.",
            "USERS",
            "    List the names of all users.",
            "WHOAMI",
            "    Return the name of the connection's user.",
        ],
    );
    Ok(())
}
