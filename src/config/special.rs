//! Owns the directives whose values have a form of their own: `save`, `bind`, output limits, and
//! so on. Never lists them (see `table`).

use super::directive::{
    Kind, Line, Origin, Reason, Unit, check_bounds, memory, quoted, word_index,
};
use super::values::{
    Config, DEFAULT_BIND, MAX_BIND_ADDRESSES, MemoryLimit, OutputLimit, SavePoint, ShutdownFlags,
    Text,
};
use super::words::NotifyFlags;
use crate::util::num::{parse_f64, parse_i64, parse_memory};

const WRONG_COUNT: Reason = Reason::Borrowed("wrong number of arguments");

/// No words, whether none were given or one empty one (`save ""`).
fn none_if_empty<'a, 'b>(words: &'a [&'b [u8]]) -> &'a [&'b [u8]] {
    if words == [b"".as_slice()] { &[] } else { words }
}

fn joined<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    words.join(" ")
}

fn line(value: impl Into<Text>, force: bool) -> Vec<Line> {
    vec![Line { value: value.into(), force }]
}

/// `save [seconds changes]...`: startup lines add up, the first one replacing the default.
pub(super) const SAVE: Kind = Kind::Special {
    multi: true,
    get: |c| joined(c.save.iter().flat_map(|point| [point.seconds, point.changes])).into(),
    set: |c, words, origin| {
        let words = none_if_empty(words);
        let points = save_points(words).ok_or(Reason::Borrowed("Invalid save parameters"))?;
        if words.is_empty() || origin != (Origin::Startup { first: false }) {
            c.save.clear();
        }
        c.save.extend(points);
        Ok(())
    },
    lines: |c| {
        if c.save.is_empty() {
            return line("\"\"", true);
        }
        let value = |point: &SavePoint| format!("{} {}", point.seconds, point.changes).into();
        c.save.iter().map(|point| Line { value: value(point), force: true }).collect()
    },
};

fn save_points(words: &[&[u8]]) -> Option<Vec<SavePoint>> {
    let (pairs, []) = words.as_chunks::<2>() else { return None };
    let point = |[seconds, changes]: &[&[u8]; 2]| {
        let seconds = u64::try_from(parse_i64(seconds)?).ok().filter(|&seconds| seconds > 0)?;
        Some(SavePoint { seconds, changes: u64::try_from(parse_i64(changes)?).ok()? })
    };
    pairs.iter().map(point).collect()
}

/// `bind [address]...`
pub(super) const BIND: Kind = Kind::Special {
    multi: true,
    get: |c| c.bind.join(" ").into(),
    set: |c, words, _| {
        let words = none_if_empty(words);
        if words.len() > MAX_BIND_ADDRESSES {
            return Err("Too many bind addresses specified.".into());
        }
        let text = |word: &&[u8]| String::from_utf8(word.to_vec());
        let addresses: Result<Vec<String>, _> = words.iter().map(text).collect();
        c.bind = addresses.map_err(|_| Reason::Borrowed("Invalid bind address"))?;
        Ok(())
    },
    lines: |c| match c.bind.as_slice() {
        [] => line("\"\"", true),
        addresses if *addresses == DEFAULT_BIND => Vec::new(),
        addresses => line(addresses.join(" "), true),
    },
};

/// `client-output-buffer-limit [class hard soft seconds]...`: classes not named stay as they are.
pub(super) const OUTPUT_LIMITS: Kind = Kind::Special {
    multi: true,
    get: |c| {
        let shown = |(name, limit): (&str, &OutputLimit)| {
            format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
        };
        joined(CLASSES.into_iter().zip(&c.client_output_buffer_limit).map(shown)).into()
    },
    set: |c, words, _| {
        let (groups, []) = words.as_chunks::<4>() else {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        };
        groups.iter().try_for_each(|group| set_output_limit(c, group))
    },
    lines: |c| {
        let defaults = Config::default().client_output_buffer_limit;
        let rows = CLASSES.into_iter().zip(c.client_output_buffer_limit).zip(defaults);
        rows.map(|((name, limit), default)| output_line(name, limit, default)).collect()
    },
};

/// Names of the classes in the order of `ClientClass`, as CONFIG GET shows them.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

fn set_output_limit(c: &mut Config, group: &[&[u8]; 4]) -> Result<(), Reason> {
    let [class, hard, soft, seconds] = group;
    let wanted: &[u8] = if class.eq_ignore_ascii_case(b"replica") { b"slave" } else { class };
    let named = |name: &&str| wanted.eq_ignore_ascii_case(name.as_bytes());
    let slot = CLASSES.iter().position(named);
    let slot = slot.and_then(|index| c.client_output_buffer_limit.get_mut(index));
    let Some(slot) = slot else {
        return Err("Invalid client class specified in buffer limit configuration.".into());
    };
    let limit = || {
        Some(OutputLimit {
            hard_bytes: parse_memory(hard)?,
            soft_bytes: parse_memory(soft)?,
            soft_seconds: u64::from(u32::try_from(parse_i64(seconds)?).ok()?),
        })
    };
    *slot = limit().ok_or(Reason::Borrowed(
        "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    ))?;
    Ok(())
}

fn output_line(name: &str, limit: OutputLimit, default: OutputLimit) -> Line {
    let mut value = Text::from(if name == "slave" { "replica" } else { name });
    for bytes in [limit.hard_bytes, limit.soft_bytes] {
        value.push(b' ');
        value.extend(memory(bytes.into()));
    }
    value.extend(format!(" {}", limit.soft_seconds).bytes());
    Line { value, force: limit != default }
}

/// `maxmemory-clients bytes|percent%`
pub(super) const MAXMEMORY_CLIENTS: Kind = Kind::Special {
    multi: false,
    get: |c| match c.maxmemory_clients {
        MemoryLimit::Bytes(bytes) => bytes.to_string().into(),
        MemoryLimit::Percent(percent) => format!("{percent}%").into(),
    },
    set: |c, words, _| {
        let [value] = words else { return Err(WRONG_COUNT) };
        c.maxmemory_clients = parse_memory_limit(value)?;
        Ok(())
    },
    lines: |c| {
        let value = match c.maxmemory_clients {
            MemoryLimit::Bytes(bytes) => memory(bytes.into()),
            MemoryLimit::Percent(percent) => format!("{percent}%").into(),
        };
        line(value, c.maxmemory_clients != MemoryLimit::Bytes(0))
    },
};

fn parse_memory_limit(value: &[u8]) -> Result<MemoryLimit, Reason> {
    let neither = Reason::Borrowed("argument must be a memory or percent value");
    let Some(percent) = value.strip_suffix(b"%") else {
        let bytes = parse_memory(value).ok_or(neither)?;
        check_bounds(bytes.into(), -100, i64::MAX.into(), Unit::Memory)?;
        return Ok(MemoryLimit::Bytes(bytes));
    };
    let percent = parse_i64(percent).filter(|&percent| percent >= 0).ok_or(neither)?;
    match u8::try_from(percent) {
        Ok(0) => Ok(MemoryLimit::Bytes(0)),
        Ok(percent @ ..=100) => Ok(MemoryLimit::Percent(percent)),
        _ => Err("percentage argument must be less or equal to 100".into()),
    }
}

/// `oom-score-adj-values master replica background`
pub(super) const OOM_SCORES: Kind = Kind::Special {
    multi: true,
    get: |c| joined(c.oom_score_adj_values).into(),
    set: |c, words, _| {
        let words: &[&[u8]; 3] = words.try_into().map_err(|_| WRONG_COUNT)?;
        for (slot, word) in c.oom_score_adj_values.iter_mut().zip(words) {
            let score = parse_i64(word).and_then(|score| i32::try_from(score).ok());
            *slot =
                score.filter(|score| (-2000..=2000).contains(score)).ok_or(Reason::Borrowed(
                    "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
                ))?;
        }
        Ok(())
    },
    lines: |c| {
        let force = c.oom_score_adj_values != Config::default().oom_score_adj_values;
        line(joined(c.oom_score_adj_values), force)
    },
};

/// `notify-keyspace-events letters`
pub(super) const NOTIFY: Kind = Kind::Special {
    multi: false,
    get: |c| c.notify_keyspace_events.letters().into(),
    set: |c, words, _| {
        let [letters] = words else { return Err(WRONG_COUNT) };
        c.notify_keyspace_events = NotifyFlags::parse(letters)
            .ok_or(Reason::Borrowed("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."))?;
        Ok(())
    },
    lines: |c| {
        let flags = c.notify_keyspace_events;
        line(quoted(flags.letters().as_bytes()), !flags.is_empty())
    },
};

/// `replicaof host port`, or `replicaof no one`
pub(super) const REPLICAOF: Kind = Kind::Special {
    multi: true,
    get: |c| match &c.replicaof {
        Some((host, port)) => format!("{host} {port}").into(),
        None => Text::new(),
    },
    set: |c, words, _| {
        let [host, port] = words else { return Err(WRONG_COUNT) };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            c.replicaof = None;
            return Ok(());
        }
        let port = parse_i64(port).and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or(Reason::Borrowed("Invalid master port"))?;
        let host = String::from_utf8(host.to_vec());
        let host = host.map_err(|_| Reason::Borrowed("Invalid master host"))?;
        c.replicaof = Some((host, port));
        Ok(())
    },
    lines: |c| match &c.replicaof {
        Some((host, port)) => line(format!("{host} {port}"), true),
        None => Vec::new(),
    },
};

/// `latency-tracking-info-percentiles [percentile]...`
pub(super) const PERCENTILES: Kind = Kind::Special {
    multi: true,
    get: |c| joined(c.latency_tracking_info_percentiles.iter().copied().map(percentile)).into(),
    set: |c, words, _| {
        let words = none_if_empty(words);
        let values: Option<Vec<f64>> = words.iter().map(|word| parse_f64(word)).collect();
        let values = values
            .ok_or(Reason::Borrowed("Invalid latency-tracking-info-percentiles parameters"))?;
        if !values.iter().all(|value| (0.0..=100.0).contains(value)) {
            return Err("latency-tracking-info-percentiles parameters should sit between \
                        [0.0,100.0]"
                .into());
        }
        c.latency_tracking_info_percentiles = values;
        Ok(())
    },
    lines: |c| {
        let values = &c.latency_tracking_info_percentiles;
        let force = *values != Config::default().latency_tracking_info_percentiles;
        let shown = joined(values.iter().copied().map(percentile));
        line(if shown.is_empty() { "\"\"".to_owned() } else { shown }, force)
    },
};

/// Six decimals at most, without trailing zeros.
fn percentile(value: f64) -> String {
    let fixed = format!("{value:.6}");
    fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `dir path`: REWRITE always writes it.
pub(super) const DIR: Kind = Kind::Special {
    multi: false,
    get: |c| c.dir.clone(),
    set: |c, words, _| {
        let [path] = words else { return Err(WRONG_COUNT) };
        c.dir = path.to_vec();
        Ok(())
    },
    lines: |c| line(quoted(&c.dir), true),
};

/// `shutdown-on-sigint flag...`
pub(super) const ON_SIGINT: Kind = Kind::Special {
    multi: true,
    get: |c| shutdown_words(c.shutdown_on_sigint).into(),
    set: |c, words, _| parse_shutdown(words).map(|flags| c.shutdown_on_sigint = flags),
    lines: |c| shutdown_lines(c.shutdown_on_sigint),
};

/// `shutdown-on-sigterm flag...`
pub(super) const ON_SIGTERM: Kind = Kind::Special {
    multi: true,
    get: |c| shutdown_words(c.shutdown_on_sigterm).into(),
    set: |c, words, _| parse_shutdown(words).map(|flags| c.shutdown_on_sigterm = flags),
    lines: |c| shutdown_lines(c.shutdown_on_sigterm),
};

const SHUTDOWN_WORDS: &[&str] = &["default", "save", "nosave", "now", "force"];

fn parse_shutdown(words: &[&[u8]]) -> Result<ShutdownFlags, Reason> {
    let mut flags = ShutdownFlags::default();
    if words.is_empty() {
        word_index(SHUTDOWN_WORDS, b"")?;
    }
    for word in words {
        match word_index(SHUTDOWN_WORDS, word)? {
            1 => flags.save = true,
            2 => flags.nosave = true,
            3 => flags.now = true,
            4 => flags.force = true,
            _ => {}
        }
    }
    if flags.save && flags.nosave {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(flags)
}

fn shutdown_words(flags: ShutdownFlags) -> String {
    let set = [flags.save, flags.nosave, flags.now, flags.force];
    let words = SHUTDOWN_WORDS.iter().skip(1).zip(set).filter(|(_, set)| *set);
    let words = joined(words.map(|(word, _)| word));
    if words.is_empty() { "default".to_owned() } else { words }
}

fn shutdown_lines(flags: ShutdownFlags) -> Vec<Line> {
    line(shutdown_words(flags), flags != ShutdownFlags::default())
}
