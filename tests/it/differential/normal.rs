//! When two replies count as the same: orders that mean nothing, clocks that differ, and what
//! Redis 7.2 says otherwise than 7.0.

use rhubarb::server::command::Command;
use rhubarb::spec::Group;

use super::grammar::{Grammar, Words};
use crate::wire::Value;

/// Most milliseconds by which the servers' clocks and the time of execution may differ.
const CLOCKS_MS: i64 = 10_000;

/// Errors that 7.2 gives where 7.0 gives others (the end of each text; any command, unless the
/// reason names it).
const CHANGED_ERRORS: &[(&str, &str, &str)] = &[
    ("timeout is negative", "timeout is out of range", "7.0 lets large timeouts overflow"),
    ("ID or '$' must be specified.", " must be specified.", "7.2 names the command"),
    ("for 'zrank' command", "syntax error", "WITHSCORE"),
    ("for 'zrevrank' command", "syntax error", "WITHSCORE"),
];

/// The first command whose replies aren't the same, as far as they can be.
pub fn first_difference(
    grammar: &Grammar,
    sequence: &[Words],
    redis: &[Value],
    rhubarb: &[Value],
) -> Option<usize> {
    let mut queued: Vec<&Words> = Vec::new();
    sequence.iter().zip(redis.iter().zip(rhubarb)).position(|(words, (redis, rhubarb))| {
        if words[0] == b"EXEC" {
            let queued = std::mem::take(&mut queued);
            let (theirs, ours) = (redis.elements(), rhubarb.elements());
            if theirs.len() == queued.len() && ours.len() == queued.len() {
                let mut replies = queued.iter().zip(theirs.iter().zip(ours));
                return !replies
                    .all(|(words, (redis, rhubarb))| same(grammar, words, redis, rhubarb));
            }
        }
        if *redis == Value::Simple(b"QUEUED".into()) {
            queued.push(words);
        }
        !same(grammar, words, redis, rhubarb)
    })
}

fn same(grammar: &Grammar, words: &[Vec<u8>], redis: &Value, rhubarb: &Value) -> bool {
    if redis == rhubarb {
        return true;
    }
    if let Some(at) = called(words) {
        return same(grammar, &words[at..], redis, rhubarb);
    }
    if refused_first(words, rhubarb) {
        return true;
    }
    if let (Value::Error(redis), Value::Error(rhubarb)) = (redis, rhubarb) {
        return CHANGED_ERRORS.iter().any(|(theirs, ours, _)| {
            redis.ends_with(theirs.as_bytes()) && rhubarb.ends_with(ours.as_bytes())
        });
    }
    let row = |test: &dyn Fn(&Command) -> bool| grammar.is(words, test);
    let tip = |wanted: &str| row(&|row| row.tips.contains(&wanted));
    if row(&|row| matches!(row.group, Group::SortedSet | Group::Geo)) {
        if tip("nondeterministic_output") {
            return alike(redis, rhubarb);
        }
        let (redis, rhubarb) = (&with_numbers(redis), &with_numbers(rhubarb));
        return redis == rhubarb
            || tip("nondeterministic_output_order") && ordered(redis) == ordered(rhubarb);
    }
    match words[0].to_ascii_lowercase().as_slice() {
        b"hello" => true,
        b"ttl" | b"expiretime" => close(redis, rhubarb, CLOCKS_MS / 1000),
        b"pttl" | b"pexpiretime" => close(redis, rhubarb, CLOCKS_MS),
        b"hgetall" => ordered_pairs(redis) == ordered_pairs(rhubarb),
        _ if tip("nondeterministic_output") => alike(redis, rhubarb),
        _ if tip("nondeterministic_output_order") => ordered(redis) == ordered(rhubarb),
        _ => false,
    }
}

/// Whether a call was refused for its arguments by a command that looks at the key before them in
/// 7.0, and in 7.2 after them. A key that is due is gone then in 7.0.
pub fn refused_first(words: &[Vec<u8>], rhubarb: &Value) -> bool {
    let words = called(words).map_or(words, |at| &words[at..]);
    let command = words[0].to_ascii_lowercase();
    matches!(command.as_slice(), b"bitcount" | b"bitpos") && matches!(rhubarb, Value::Error(_))
}

/// Replies of the same kind.
fn alike(redis: &Value, rhubarb: &Value) -> bool {
    std::mem::discriminant(redis) == std::mem::discriminant(rhubarb)
}

/// A reply with its numbers in their shortest form: Redis 7.0 writes 17 digits, 7.2 as few as it
/// takes. Zero loses its sign, which depends on the encoding of a set that is only on its way.
fn with_numbers(reply: &Value) -> Value {
    let all = |elements: &[Value]| elements.iter().map(with_numbers).collect();
    match reply {
        Value::Bulk(text) | Value::Double(text) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
            match number.filter(|number| number.is_finite()) {
                Some(number) => Value::Double((number + 0.0).to_string().into()),
                None => reply.clone(),
            }
        }
        Value::Array(elements) => Value::Array(all(elements)),
        Value::Set(elements) => Value::Set(all(elements)),
        other => other.clone(),
    }
}

/// Where the command begins that a script calls.
fn called(words: &[Vec<u8>]) -> Option<usize> {
    let script = words[0].eq_ignore_ascii_case(b"eval") && words.len() > 3;
    script.then_some(3)
}

fn close(redis: &Value, rhubarb: &Value, most: i64) -> bool {
    match (redis, rhubarb) {
        (Value::Int(a), Value::Int(b)) => *a > 0 && *b > 0 && (a - b).abs() <= most,
        _ => false,
    }
}

/// An array or set with its elements in order.
fn ordered(reply: &Value) -> Value {
    match reply {
        Value::Array(elements) | Value::Set(elements) => {
            let mut elements = elements.clone();
            elements.sort();
            Value::Array(elements)
        }
        other => other.clone(),
    }
}

/// A map with its pairs in order; RESP2 has them one after the other.
fn ordered_pairs(reply: &Value) -> Value {
    let mut pairs = match reply {
        Value::Map(pairs) => pairs.clone(),
        Value::Array(flat) => {
            flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        }
        other => return other.clone(),
    };
    pairs.sort();
    Value::Map(pairs)
}
