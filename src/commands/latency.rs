//! LATENCY: what took long, and how long each command takes.

use std::fmt::Write;
use std::sync::Arc;

use crate::commands::{container, help_row, reply_help};
use crate::resp::{Args, Error};
use crate::server::command::{Command, CommandId};
use crate::server::ctx::Ctx;
use crate::spec::{Flags, Group};
use crate::stats::latency::{Sample, Series};

const LATENCY: Command = Command {
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    group: Group::Server,
    since: "2.8.13",
    ..Command::DEFAULT
};
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    arity: -2,
    flags: Flags::empty(),
    summary: "Tells what took long.",
    subcommands: SUBCOMMANDS,
    handler: container,
    ..LATENCY
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "latest",
        summary: "Returns the latest sample of every event.",
        tips: TIPS,
        handler: latest,
        ..LATENCY
    },
    Command {
        name: "history",
        arity: 3,
        summary: "Returns the samples of an event.",
        syntax: "event",
        tips: TIPS,
        handler: history,
        ..LATENCY
    },
    Command {
        name: "reset",
        arity: -2,
        summary: "Forgets the samples of events, or all.",
        syntax: "[event...]",
        tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
        handler: reset,
        ..LATENCY
    },
    Command {
        name: "graph",
        arity: 3,
        summary: "Draws the samples of an event.",
        syntax: "event",
        tips: TIPS,
        handler: graph,
        ..LATENCY
    },
    Command {
        name: "doctor",
        summary: "Tells about all events in words.",
        tips: TIPS,
        handler: doctor,
        ..LATENCY
    },
    Command {
        name: "histogram",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N), N commands",
        summary: "Returns how often commands took how long.",
        syntax: "[command...]",
        tips: TIPS,
        handler: histogram,
        ..LATENCY
    },
    help_row(LATENCY, LATENCY.since, help),
];

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn latest(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let events = ctx.srv.latency.iter();
    ctx.out.array(events.len());
    for (name, series) in events {
        let Some(last) = series.iter().next_back() else { continue };
        ctx.out.array(4);
        ctx.out.bulk(name.as_bytes());
        ctx.out.int(last.unix_s);
        ctx.out.int(signed(last.ms));
        ctx.out.int(signed(series.max_ms));
    }
    Ok(())
}

fn history(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let Some(series) = ctx.srv.latency.get(&args[2]) else {
        ctx.out.array(0);
        return Ok(());
    };
    ctx.out.array(series.iter().len());
    for Sample { unix_s, ms } in series.iter() {
        ctx.out.array(2);
        ctx.out.int(unix_s);
        ctx.out.int(signed(ms));
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let events = &mut ctx.srv.latency;
    let count = match args.len() {
        2 => events.clear(),
        _ => args.from(2).iter().filter(|event| events.forget(event)).count(),
    };
    ctx.out.len_int(count);
    Ok(())
}

fn graph(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let name = String::from_utf8_lossy(&args[2]);
    let Some(series) = ctx.srv.latency.get(&args[2]) else {
        return Err(Error::other(format!("ERR No samples available for event '{name}'")));
    };
    let text = draw(&name, series, ctx.now_ms() / 1000);
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

/// Draws the samples as bars, the oldest first, with their ages below. A row has three steps.
fn draw(name: &str, series: &Series, now_s: i64) -> String {
    const ROWS: u64 = 4;
    const TOPS: [char; 3] = ['_', 'o', '#'];
    const STEPS: u64 = TOPS.len() as u64;
    let high = series.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = series.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let max = series.max_ms;
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {max} ms)\n");
    text.push_str(&"-".repeat(80));
    text.push('\n');
    let span = (high - low).max(1);
    for row in (0..ROWS).rev() {
        let bar = |sample: Sample| {
            let height = u128::from(sample.ms - low) * u128::from(ROWS * STEPS) / u128::from(span);
            let step = u64::try_from(height).unwrap_or(u64::MAX).min(ROWS * STEPS - 1);
            match step.checked_sub(row * STEPS) {
                None => ' ',
                Some(above) => TOPS.get(above as usize).copied().unwrap_or('|'),
            }
        };
        text.extend(series.iter().map(bar));
        text.push('\n');
    }
    text.push_str(&" ".repeat(series.iter().len()));
    let ages: Vec<String> = series.iter().map(|sample| age(now_s - sample.unix_s)).collect();
    let depth = ages.iter().map(String::len).max().unwrap_or(0);
    for row in 0..depth {
        text.push('\n');
        text.extend(ages.iter().map(|age| age.chars().nth(row).unwrap_or(' ')));
    }
    text.push('\n');
    text
}

/// An age in its largest unit: `12s`, `3m`, `5h`, `2d`.
fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

fn doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    let now_s = ctx.now_ms() / 1000;
    let mut text = String::new();
    if ctx.srv.config.latency_monitor_threshold == 0 {
        text.push_str(
            "Latency monitoring is disabled. Enable it by CONFIG SET latency-monitor-threshold \
             <milliseconds>, and ask again when something was slow.\n",
        );
    } else if ctx.srv.latency.iter().len() == 0 {
        text.push_str("No event took longer than latency-monitor-threshold. All is well.\n");
    }
    for (i, (name, series)) in ctx.srv.latency.iter().enumerate() {
        let count = series.iter().len().max(1) as u64;
        let mean = series.iter().map(|sample| sample.ms).sum::<u64>() / count;
        let deviation = series.iter().map(|sample| sample.ms.abs_diff(mean)).sum::<u64>() / count;
        let oldest = series.iter().next().map_or(now_s, |sample| sample.unix_s);
        let period = (now_s - oldest).max(1) as f64 / count as f64;
        let max = series.max_ms;
        let _ = writeln!(
            text,
            "{}. {name}: {count} latency spikes (average {mean}ms, mean deviation {deviation}ms, \
             period {period:.2} sec). Worst all time event {max}ms.",
            i + 1
        );
        text.push_str(advice(name));
    }
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn advice(event: &str) -> &'static str {
    match event {
        "command" => "   Look at SLOWLOG GET for the commands; large values and O(N) do this.\n",
        "fast-command" => "   Fast commands are slow when the machine is: too little CPU, swap.\n",
        "expire-cycle" => "   Many keys fall due at once: spread their deadlines.\n",
        "aof-fsync-always" => {
            "   Every write waits for the disk: a faster one helps, or appendfsync everysec, which \
             may lose a second.\n"
        }
        "aof-rename" => "   The file system is slow to rename: others may be using the disk.\n",
        event if event.starts_with("aof-write") => {
            "   The disk is slow to write: others may be using it, or a rewrite of the append only \
             file is.\n"
        }
        _ => "",
    }
}

fn histogram(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let table = Arc::clone(&ctx.srv.commands);
    let called = |id: &CommandId| {
        let stats = ctx.srv.counters.per_command.get(id.index());
        stats.is_some_and(|stats| stats.latency.total() > 0)
    };
    let mut ids: Vec<CommandId> = match args.len() {
        2 => table.iter().map(|(id, _)| id).collect(),
        _ => {
            let named = args.from(2).iter().filter_map(|name| table.by_full_name(name));
            named.flat_map(|id| std::iter::once(id).chain(table.get(id).subcommands())).collect()
        }
    };
    ids.retain(called);
    ctx.out.map(ids.len());
    for id in ids {
        ctx.out.bulk(table.get(id).full_name.as_bytes());
        reply_histogram(ctx, id);
    }
    Ok(())
}

fn reply_histogram(ctx: &mut Ctx<'_>, id: CommandId) {
    let Some(stats) = ctx.srv.counters.per_command.get(id.index()) else { return };
    ctx.out.map(2);
    ctx.out.bulk(b"calls");
    ctx.out.int(signed(stats.latency.total()));
    ctx.out.bulk(b"histogram_usec");
    let counts = stats.latency.by_power_of_two();
    ctx.out.map(counts.len());
    for (limit_us, count) in counts {
        ctx.out.int(signed(limit_us));
        ctx.out.int(signed(count));
    }
}

fn help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), Error> {
    reply_help(
        ctx,
        "LATENCY",
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "GRAPH <event>",
            "    Return an ASCII latency graph for the <event> class.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
            "HISTOGRAM [COMMAND ...]",
            "    Return a cumulative distribution of latencies in the format of a histogram for \
             the specified command names.",
        ],
    );
    Ok(())
}
