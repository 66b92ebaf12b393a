//! CONFIG: reading, changing and writing the configuration.

use std::fs;
use std::io;
use std::path::Path;

use crate::commands::{container, help_row, reply_help};
use crate::config::{Config, Extent, OomScoreAdj, SetContext, SetError};
use crate::resp::{Args, Error};
use crate::server::Server;
use crate::server::client::ClientFlags;
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::spec::{Flags, Group};
use crate::stats::Counters;
use crate::util::process;

const CONFIG: Command = Command {
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.0.0",
    ..Command::DEFAULT
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    arity: -2,
    flags: Flags::empty(),
    summary: "Reads and changes the configuration.",
    subcommands: SUBCOMMANDS,
    handler: container,
    ..CONFIG
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: -3,
        complexity: "O(N), N directives",
        summary: "Returns the directives that match patterns.",
        syntax: "parameter...",
        history: &[("7.0.0", "Several patterns may be given.")],
        handler: get,
        ..CONFIG
    },
    Command {
        name: "set",
        arity: -4,
        complexity: "O(N), N directives",
        summary: "Sets directives, all or none.",
        syntax: "data=<parameter value>...",
        history: &[("7.0.0", "Several parameters may be set at once.")],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: set,
        ..CONFIG
    },
    Command {
        name: "resetstat",
        arity: 2,
        summary: "Sets the statistics of INFO to zero.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: resetstat,
        ..CONFIG
    },
    Command {
        name: "rewrite",
        arity: 2,
        since: "2.8.0",
        summary: "Writes the configuration to its file.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        handler: rewrite,
        ..CONFIG
    },
    help_row(CONFIG, "5.0.0", help),
];

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let patterns: Vec<&[u8]> = args.from(2).iter().collect();
    let found = ctx.srv.config.get(&patterns);
    ctx.out.map(found.len());
    for (name, value) in found {
        ctx.out.bulk(&name);
        ctx.out.bulk(&value);
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    if !args.len().is_multiple_of(2) {
        return Err(ctx.arity_error());
    }
    let pairs: Vec<(&[u8], &[u8])> =
        (2..args.len()).step_by(2).map(|i| (args.at(i), args.at(i + 1))).collect();
    let local = ctx.client().flags.contains(ClientFlags::LOCAL);
    let context = SetContext {
        protected_allowed: ctx.srv.config.enable_protected_configs.permits(local),
        loading: ctx.srv.is_loading(),
    };
    let refused = |error: SetError| Error::other(error.to_string());
    let new = ctx.srv.config.set(&pairs, context).map_err(refused)?;
    apply(ctx.srv, new).map_err(refused)?;
    ctx.out.ok();
    Ok(())
}

/// Puts a configuration in force: first what can fail, then the rest.
fn apply(srv: &mut Server, new: Config) -> Result<(), SetError> {
    let old = srv.config.clone();
    if new.dir != old.dir {
        let dir = String::from_utf8_lossy(&new.dir).into_owned();
        std::env::set_current_dir(&dir).map_err(|error| failed("dir", &error))?;
    }
    if let Err(error) = apply_adjustments(srv, &old, &new) {
        // What has been applied is taken back; it was in force a moment ago.
        let _ = std::env::set_current_dir(String::from_utf8_lossy(&old.dir).into_owned());
        let _ = adjust_oom(&old);
        return Err(error);
    }
    srv.log.set_level(log_level(&new));
    if new.requirepass != old.requirepass {
        srv.set_default_password(&new.requirepass);
    }
    let mut new = new;
    if new.dir != old.dir {
        let dir = std::env::current_dir().map(|dir| dir.display().to_string().into_bytes());
        new.dir = dir.unwrap_or(new.dir);
    }
    let turns = (old.appendonly, new.appendonly);
    srv.apply_config(new);
    match turns {
        (true, false) => srv.stop_aof(),
        (false, true) if srv.start_aof().is_err() => {
            srv.log.warning(
                "Failed applying new configuration. Possibly related to new appendonly setting. \
                 Restoring previous settings.",
            );
            srv.apply_config(old);
            return Err(SetError::failed(
                b"appendonly",
                "Unable to turn on AOF. Check server logs.",
            ));
        }
        _ => {}
    }
    Ok(())
}

fn apply_adjustments(srv: &mut Server, old: &Config, new: &Config) -> Result<(), SetError> {
    if new.oom_score_adj != old.oom_score_adj
        || new.oom_score_adj_values != old.oom_score_adj_values
    {
        adjust_oom(new).map_err(|_| {
            SetError::failed(
                b"oom-score-adj",
                "Failed to apply new oom_score_adj configuration, check server logs.",
            )
        })?;
    }
    if new.logfile != old.logfile {
        let path = String::from_utf8_lossy(&new.logfile).into_owned();
        srv.log.redirect(Path::new(&path)).map_err(|error| failed("logfile", &error))?;
    }
    if new.port != old.port || new.bind != old.bind {
        let name = if new.port != old.port { "port" } else { "bind" };
        let mut network =
            std::mem::replace(&mut srv.network, Box::new(crate::server::network::NoNetwork));
        let result = network.relisten(old, new);
        srv.network = network;
        result.map_err(|reason| SetError::failed(name.as_bytes(), reason))?;
    }
    Ok(())
}

fn failed(name: &str, error: &io::Error) -> SetError {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default().to_string();
    SetError::failed(name.as_bytes(), reason)
}

/// Tells the kernel how soon this process is to be ended when memory runs out.
pub fn adjust_oom(config: &Config) -> io::Result<()> {
    let own = config.oom_score_adj_values[0];
    match config.oom_score_adj {
        OomScoreAdj::No => process::restore_oom_score(),
        OomScoreAdj::Relative => process::set_oom_score(own, true),
        OomScoreAdj::Absolute => process::set_oom_score(own, false),
    }
}

/// The log's level of a configuration.
pub fn log_level(config: &Config) -> crate::util::log::Level {
    use crate::config::LogLevel;
    use crate::util::log::Level;
    match config.loglevel {
        LogLevel::Debug => Level::Debug,
        LogLevel::Verbose => Level::Verbose,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warning => Level::Warning,
        LogLevel::Nothing => Level::Nothing,
    }
}

fn resetstat(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let rows = ctx.srv.commands.rows();
    let peak_memory = ctx.srv.counters.peak_memory;
    ctx.srv.counters = Counters { peak_memory, ..Counters::new(rows) };
    ctx.srv.lazyfree.reset_freed();
    ctx.srv.aof.log.reset_delayed_syncs();
    ctx.srv.aof.rewrites = 0;
    (ctx.srv.rdb.saves, ctx.srv.rdb.begun) = (0, 0);
    ctx.out.ok();
    Ok(())
}

fn rewrite(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    rewrite_file(ctx, Extent::Changed)?;
    ctx.srv.log.notice("CONFIG REWRITE executed with success.");
    ctx.out.ok();
    Ok(())
}

/// Rewrites the configuration file.
pub(super) fn rewrite_file(ctx: &mut Ctx<'_>, extent: Extent) -> Result<(), Error> {
    let Some(path) = ctx.srv.config_file.clone() else { return Err(Error::NoConfigFile) };
    let users = ctx.srv.user_lines();
    let config = Config { users, ..ctx.srv.config.clone() };
    write_file(&path, &config, extent).map_err(|error| {
        ctx.srv.log.warning(format_args!("CONFIG REWRITE failed: {error}"));
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or_default();
        Error::other(format!("ERR Rewriting config file: {reason}"))
    })
}

/// Writes the file whole under another name, then puts it in place: it is never half written.
fn write_file(path: &Path, config: &Config, extent: Extent) -> io::Result<()> {
    let old = fs::read(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    })?;
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}.tmp", std::process::id()));
    let file = fs::File::create(&hidden)?;
    io::Write::write_all(&mut &file, &config.rewrite(&old, extent))?;
    file.sync_all()?;
    fs::rename(&hidden, path)
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return the directives that match the pattern.",
            "SET <directive> <value>",
            "    Set a directive.",
            "RESETSTAT",
            "    Set the statistics of INFO to zero.",
            "REWRITE",
            "    Write the configuration to its file.",
        ],
    );
    Ok(())
}
