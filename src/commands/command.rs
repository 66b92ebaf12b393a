//! COMMAND: the command table, told to clients.

mod docs;

use std::sync::Arc;

use crate::commands::reply_help;
use crate::resp::{Args, Error, Reply};
use crate::server::command::{Command, Registered, Table};
use crate::server::ctx::Ctx;
use crate::spec::{Category, Find, Flags, Group, KeySpec, Keys, Search};
use crate::util::glob::GlobPattern;

const COMMAND: Command = Command {
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Category::CONNECTION,
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(N), N commands",
    ..Command::DEFAULT
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    arity: -1,
    summary: "Describes all commands.",
    tips: &["nondeterministic_output_order"],
    subcommands: SUBCOMMANDS,
    handler: all,
    ..COMMAND
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "count",
        arity: 2,
        complexity: "O(1)",
        summary: "Returns the number of commands.",
        handler: count,
        ..COMMAND
    },
    Command {
        name: "info",
        arity: -2,
        summary: "Describes the named commands, or all.",
        syntax: "[command-name...]",
        history: &[("7.0.0", "Without names it describes all commands.")],
        tips: &["nondeterministic_output_order"],
        handler: info,
        ..COMMAND
    },
    Command {
        name: "docs",
        arity: -2,
        since: "7.0.0",
        summary: "Documents the named commands, or all.",
        syntax: "[command-name...]",
        tips: &["nondeterministic_output_order"],
        handler: docs::docs,
        ..COMMAND
    },
    Command {
        name: "list",
        arity: -2,
        since: "7.0.0",
        summary: "Lists the names of commands, filtered if wanted.",
        syntax: "[FILTERBY filterby=<MODULE module-name | ACLCAT category | PATTERN pattern>]",
        tips: &["nondeterministic_output_order"],
        handler: list,
        ..COMMAND
    },
    Command {
        name: "getkeys",
        arity: -3,
        complexity: "O(N), N arguments",
        summary: "Returns the keys of a whole command.",
        syntax: "command [arg...]",
        handler: getkeys,
        ..COMMAND
    },
    Command {
        name: "getkeysandflags",
        arity: -3,
        since: "7.0.0",
        complexity: "O(N), N arguments",
        summary: "Returns the keys of a whole command, and what it does to each.",
        syntax: "command [arg...]",
        handler: getkeysandflags,
        ..COMMAND
    },
    Command {
        name: "help",
        arity: 2,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Lists the subcommands.",
        handler: help,
        ..COMMAND
    },
];

fn all(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let table = Arc::clone(&ctx.srv.commands);
    ctx.out.array(table.top_level().count());
    table.top_level().for_each(|(_, row)| reply_info(&mut ctx.out, &table, row));
    Ok(())
}

fn count(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let count = ctx.srv.commands.len();
    ctx.out.len_int(count);
    Ok(())
}

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if args.len() == 2 {
        return all(ctx, args);
    }
    let table = Arc::clone(&ctx.srv.commands);
    ctx.out.array(args.len() - 2);
    for name in args.from(2).iter() {
        match table.by_full_name(name) {
            Some(id) => reply_info(&mut ctx.out, &table, table.get(id)),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

fn reply_info(out: &mut Reply, table: &Table, row: &Registered) {
    let command = row.command;
    let (first, last, step) = legacy_range(command.keys);
    out.array(10);
    out.bulk(row.full_name.as_bytes());
    out.int(command.arity.into());
    reply_flags(out, command.flags.names());
    [first, last, step].into_iter().for_each(|number| out.int(number));
    let categories = command.categories.derived(command.flags);
    let named = Category::NAMES.iter().filter(|(category, _)| categories.contains(*category));
    let named: Vec<String> = named.map(|(_, name)| format!("@{name}")).collect();
    reply_flags(out, named.iter().map(String::as_str));
    out.set(command.tips.len());
    command.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(command.keys.len());
    command.keys.iter().for_each(|spec| reply_spec(out, spec));
    let subcommands = row.subcommands();
    match subcommands.len() {
        0 => out.set(0),
        len => out.array(len),
    }
    subcommands.for_each(|id| reply_info(out, table, table.get(id)));
}

fn reply_flags<'a>(out: &mut Reply, names: impl Iterator<Item = &'a str>) {
    let names: Vec<&str> = names.collect();
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name.as_bytes()));
}

fn reply_spec(out: &mut Reply, spec: &KeySpec) {
    out.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        out.bulk(b"notes");
        out.bulk(spec.notes.as_bytes());
    }
    out.bulk(b"flags");
    reply_flags(out, spec.flags.names());
    out.bulk(b"begin_search");
    match spec.search {
        Search::Index(index) => reply_typed(out, "index", &[("index", signed(index))]),
        Search::Keyword(word, from) => {
            reply_typed_header(out, "keyword", 2);
            out.bulk(b"keyword");
            out.bulk(word.as_bytes());
            out.bulk(b"startfrom");
            out.int(from.into());
        }
        Search::Unknown => reply_typed(out, "unknown", &[]),
    }
    out.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step, limit } => {
            let spec =
                [("lastkey", last.into()), ("keystep", signed(step)), ("limit", signed(limit))];
            reply_typed(out, "range", &spec);
        }
        Find::Numkeys { index, first, step } => {
            let spec = [("keynumidx", index), ("firstkey", first), ("keystep", step)];
            reply_typed(out, "keynum", &spec.map(|(name, value)| (name, signed(value))));
        }
        Find::Unknown => reply_typed(out, "unknown", &[]),
    }
}

fn reply_typed_header(out: &mut Reply, kind: &str, fields: usize) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(fields);
}

fn reply_typed(out: &mut Reply, kind: &str, fields: &[(&str, i64)]) {
    reply_typed_header(out, kind, fields.len());
    for (name, value) in fields {
        out.bulk(name.as_bytes());
        out.int(*value);
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// First key, last key and step, as old clients read them: what the specifications that are plain
/// ranges cover together, if that is one range.
fn legacy_range(specs: &[KeySpec]) -> (i64, i64, i64) {
    let plain = |spec: &KeySpec| match (spec.search, spec.find) {
        (Search::Index(first), Find::Range { last, step, .. }) => {
            let first = signed(first);
            let last = if last >= 0 { first + i64::from(last) } else { last.into() };
            Some((first, last, signed(step)))
        }
        _ => None,
    };
    if let [spec] = specs {
        return plain(spec).unwrap_or_default();
    }
    let mut range: Option<(i64, i64, i64)> = None;
    for (first, last, step) in specs.iter().filter_map(plain) {
        let follows = range.is_none_or(|(_, before, _)| before == first - 1);
        if step != 1 || !follows {
            return (0, 0, 0);
        }
        range = Some((range.map_or(first, |(start, ..)| start), last, 1));
    }
    range.unwrap_or_default()
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let table = Arc::clone(&ctx.srv.commands);
    let filter: Box<dyn Fn(&Registered) -> bool> = match args.len() {
        2 => Box::new(|_| true),
        5 if args.is(2, "filterby") => filter(args.from(3))?,
        _ => return Err(Error::Syntax),
    };
    let rows: Vec<_> = table.iter().filter(|(_, row)| filter(row)).collect();
    ctx.out.array(rows.len());
    rows.iter().for_each(|(_, row)| ctx.out.bulk(row.full_name.as_bytes()));
    Ok(())
}

/// Whether COMMAND LIST shows a command.
type Filter<'a> = Box<dyn Fn(&Registered) -> bool + 'a>;

/// The rows that a kind of filter and its argument let through.
fn filter(args: Args<'_>) -> Result<Filter<'_>, Error> {
    let wanted = args.at(1);
    match () {
        // There are no modules.
        () if args.is(0, "module") => Ok(Box::new(|_| false)),
        () if args.is(0, "aclcat") => {
            let named = |(_, name): &&(_, &str)| wanted.eq_ignore_ascii_case(name.as_bytes());
            let category = Category::NAMES.iter().find(named).map(|(category, _)| *category);
            Ok(Box::new(move |row| {
                let all = row.command.categories.derived(row.command.flags);
                category.is_some_and(|category| all.contains(category))
            }))
        }
        () if args.is(0, "pattern") => {
            let pattern = GlobPattern::new(&wanted.to_ascii_lowercase());
            Ok(Box::new(move |row| pattern.matches(row.full_name.as_bytes())))
        }
        () => Err(Error::Syntax),
    }
}

fn getkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let args = args.from(2);
    let keys = keys_of(&ctx.srv.commands, args)?;
    ctx.out.array(keys.len());
    keys.iter().for_each(|(index, _)| ctx.out.bulk(args.at(*index)));
    Ok(())
}

fn getkeysandflags(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let args = args.from(2);
    let keys = keys_of(&ctx.srv.commands, args)?;
    ctx.out.array(keys.len());
    for (index, flags) in keys {
        ctx.out.array(2);
        ctx.out.bulk(args.at(index));
        reply_flags(&mut ctx.out, flags.names());
    }
    Ok(())
}

/// The keys of a whole command, as indices into its arguments.
fn keys_of(table: &Table, args: Args<'_>) -> Result<Keys, Error> {
    let Ok(id) = table.find(&args) else {
        return Err(Error::other("ERR Invalid command specified"));
    };
    let command = table.get(id).command;
    if !command.has_keys() {
        return Err(Error::other("ERR The command has no key arguments"));
    }
    if !command.fits(args.len()) {
        return Err(Error::other("ERR Invalid number of arguments specified for command"));
    }
    let (keys, fits) = command.keys_of(&args);
    let found = fits && !keys.is_empty();
    match found || command.flags.contains(Flags::NO_MANDATORY_KEYS) {
        true => Ok(if found { keys } else { Keys::new() }),
        false => Err(Error::other("ERR Invalid arguments specified for command")),
    }
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all commands.",
            "COUNT",
            "    Return the total number of commands in this server.",
            "LIST",
            "    Return a list of all commands in this server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full command.",
        ],
    );
    Ok(())
}
