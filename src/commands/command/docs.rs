//! COMMAND DOCS: what each command is for and how it is called, from its row.

use std::sync::Arc;

use crate::resp::{Args, Error, Reply};
use crate::server::command::{CommandId, Registered, Table};
use crate::server::ctx::Ctx;
use crate::spec::Flags;
use crate::spec::syntax::{ArgKind, Argument};

pub(super) fn docs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let table = Arc::clone(&ctx.srv.commands);
    let ids: Vec<CommandId> = match args.len() {
        2 => table.top_level().map(|(id, _)| id).collect(),
        _ => args.from(2).iter().filter_map(|name| table.by_full_name(name)).collect(),
    };
    ctx.out.map(ids.len());
    ids.into_iter().for_each(|id| reply_docs(&mut ctx.out, &table, table.get(id)));
    Ok(())
}

/// A command's name and the map that documents it.
fn reply_docs(out: &mut Reply, table: &Table, row: &Registered) {
    let command = row.command;
    let (arguments, subcommands) = (row.arguments(), row.subcommands());
    let texts = [
        ("summary", Some(command.summary)),
        ("since", Some(command.since)),
        ("group", Some(command.group.name())),
        ("complexity", Some(command.complexity)),
    ];
    let deprecation = [
        ("deprecated_since", command.deprecated.map(|(since, _)| since)),
        ("replaced_by", command.deprecated.map(|(_, instead)| instead)),
    ];
    let flags = doc_flags(row);
    let fields = texts.iter().chain(&deprecation).filter(|(_, text)| text.is_some()).count()
        + usize::from(!flags.is_empty())
        + usize::from(!command.history.is_empty())
        + usize::from(!arguments.is_empty())
        + usize::from(subcommands.len() > 0);
    out.bulk(row.full_name.as_bytes());
    out.map(fields);
    reply_texts(out, &texts);
    if !flags.is_empty() {
        out.bulk(b"doc_flags");
        reply_names(out, &flags);
    }
    reply_texts(out, &deprecation);
    if !command.history.is_empty() {
        out.bulk(b"history");
        out.set(command.history.len());
        for (version, change) in command.history {
            out.array(2);
            out.bulk(version.as_bytes());
            out.bulk(change.as_bytes());
        }
    }
    if !arguments.is_empty() {
        out.bulk(b"arguments");
        reply_arguments(out, arguments);
    }
    if subcommands.len() > 0 {
        out.bulk(b"subcommands");
        out.map(subcommands.len());
        subcommands.for_each(|id| reply_docs(out, table, table.get(id)));
    }
}

fn doc_flags(row: &Registered) -> Vec<&'static str> {
    let deprecated = row.command.deprecated.map(|_| "deprecated");
    let system = row.command.flags.contains(Flags::SYSTEM).then_some("syscmd");
    deprecated.into_iter().chain(system).collect()
}

fn reply_names(out: &mut Reply, names: &[&str]) {
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name.as_bytes()));
}

/// Those texts that there are, each after its name.
fn reply_texts(out: &mut Reply, texts: &[(&str, Option<&str>)]) {
    for (name, text) in texts {
        if let Some(text) = text {
            out.bulk(name.as_bytes());
            out.bulk(text.as_bytes());
        }
    }
}

fn reply_arguments(out: &mut Reply, arguments: &[Argument]) {
    out.array(arguments.len());
    arguments.iter().for_each(|argument| reply_argument(out, argument));
}

fn reply_argument(out: &mut Reply, argument: &Argument) {
    let parts = argument.parts();
    let display = match argument.kind {
        ArgKind::Value { display, .. } => Some(display),
        ArgKind::PureToken => Some(&*argument.name),
        ArgKind::OneOf(_) | ArgKind::Block(_) => None,
    };
    let head = [
        ("name", Some(&*argument.name)),
        ("type", Some(argument.type_name())),
        ("display_text", display),
    ];
    let tail = [
        ("token", argument.token),
        ("since", argument.since),
        ("deprecated_since", argument.deprecated),
    ];
    let flags: Vec<&str> = argument.flags.names().collect();
    let fields = head.iter().chain(&tail).filter(|(_, text)| text.is_some()).count()
        + usize::from(argument.key_spec.is_some())
        + usize::from(!flags.is_empty())
        + usize::from(!parts.is_empty());
    out.map(fields);
    reply_texts(out, &head);
    if let Some(index) = argument.key_spec {
        out.bulk(b"key_spec_index");
        out.len_int(index);
    }
    reply_texts(out, &tail);
    if !flags.is_empty() {
        out.bulk(b"flags");
        reply_names(out, &flags);
    }
    if !parts.is_empty() {
        out.bulk(b"arguments");
        reply_arguments(out, parts);
    }
}
