//! Random sequences of commands, sent to Rhubarb and to redis-server 7.0.15: replies and data must
//! be the same. A sequence that fails is shrunk to the commands that it takes.
//!
//! `cargo test` runs a few fixed seeds. `RHUBARB_DIFFERENTIAL_SECONDS` has it go on with new seeds
//! for so long, `RHUBARB_DIFFERENTIAL_SEED` has it begin with that seed.

mod grammar;
mod normal;

use std::io;
use std::time::Duration;

use rhubarb::spec::Flags;

use crate::process::Process;
use crate::wire::{Connection, Value, write_command};
use grammar::{Grammar, Words};
use normal::{first_difference, refused_first};

/// Commands of one sequence.
const LENGTH: usize = 80;
/// Sequences of a short run.
const SHORT_RUN: u64 = 60;
/// Seeds that once failed. A change of the grammar makes other sequences of them: what they found is
/// tested by itself too (`tests/it/transcripts`).
const MENDED: [u64; 4] = [3098, 38255, 66071, 1_029_413];
/// Failures that a long run gathers before it ends.
const MOST_FAILURES: usize = 12;

/// Both servers.
struct Pair {
    redis: Connection,
    rhubarb: Connection,
    grammar: Grammar,
}

/// The first command whose replies differ, and these: Redis's, Rhubarb's.
struct Difference {
    at: usize,
    redis: Value,
    rhubarb: Value,
}

#[test]
fn random_commands_do_what_redis_does() {
    let Some(redis) = Process::redis(&["--enable-debug-command", "yes"]) else { return };
    // Redis 7.0 has no listpacks for sets.
    let options = ["--enable-debug-command", "yes", "--set-max-listpack-entries", "0"];
    let rhubarb = Process::rhubarb(&options).expect("Rhubarb starts");
    let mut redis = redis.connect().unwrap();
    let mut rhubarb = rhubarb.connect().unwrap();
    let names = |connection: &mut Connection| -> Vec<String> {
        let list = connection.call(&["COMMAND", "LIST"]).unwrap();
        list.elements().iter().map(Value::text).collect()
    };
    let (theirs, ours) = (names(&mut redis), names(&mut rhubarb));
    // Redis 7.0 lists no subcommands.
    let grammar = Grammar::new(|name| {
        let parent = name.split('|').next().unwrap_or(name);
        theirs.iter().any(|known| known == parent) && ours.iter().any(|known| known == name)
    });
    let mut pair = Pair { redis, rhubarb, grammar };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("RHUBARB_DIFFERENTIAL_SEED").unwrap_or(1);
    let failures = match number("RHUBARB_DIFFERENTIAL_SECONDS") {
        None => pair.run((first..first + SHORT_RUN).chain(MENDED)),
        Some(seconds) => pair.run((first..).take_while(ends_after(Duration::from_secs(seconds)))),
    };
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// True until the time has passed.
#[allow(clippy::disallowed_methods, reason = "a long run lasts by the real clock")]
fn ends_after(time: Duration) -> impl Fn(&u64) -> bool {
    let start = std::time::Instant::now();
    move |_| start.elapsed() < time
}

impl Pair {
    /// Runs the sequences of these seeds; tells the failures, one for each command that differs.
    fn run(&mut self, seeds: impl Iterator<Item = u64>) -> Vec<String> {
        let mut failures: Vec<(Vec<u8>, String)> = Vec::new();
        for seed in seeds {
            let sequence = self.grammar.sequence(seed, LENGTH);
            let Some(difference) = self.compare(&sequence) else { continue };
            let (shrunk, difference) = self.shrink(sequence, difference);
            let name = shrunk.get(difference.at).map_or(&b"digest"[..], |words| &words[0]).to_vec();
            if failures.iter().all(|(known, _)| *known != name) {
                failures.push((name, tell(seed, &shrunk, &difference)));
            }
            if failures.len() >= MOST_FAILURES {
                break;
            }
        }
        failures.into_iter().map(|(_, text)| text).collect()
    }

    /// Runs a sequence on both servers, from empty databases on.
    fn compare(&mut self, sequence: &[Words]) -> Option<Difference> {
        let redis = replies(&mut self.redis, sequence).expect("redis-server answers");
        let rhubarb = replies(&mut self.rhubarb, sequence).expect("Rhubarb answers");
        let last = sequence.len();
        let excused =
            sequence.iter().zip(&rhubarb).any(|(words, reply)| refused_first(words, reply));
        let digests = (redis[last] != rhubarb[last] && !excused).then_some(last);
        let at = first_difference(&self.grammar, sequence, &redis, &rhubarb).or(digests)?;
        Some(Difference { at, redis: redis[at].clone(), rhubarb: rhubarb[at].clone() })
    }

    /// Whether every command that blocks stands behind MULTI.
    fn cannot_block(&self, sequence: &[Words]) -> bool {
        let blocks =
            |words: &Words| self.grammar.is(words, |row| row.flags.contains(Flags::BLOCKING));
        let alone = |(at, words): (usize, &Words)| {
            blocks(words) && (at == 0 || sequence[at - 1][0] != b"MULTI")
        };
        !sequence.iter().enumerate().any(alone)
    }

    /// The commands of a failing sequence that it takes to fail; all, if it doesn't fail again.
    fn shrink(
        &mut self,
        mut sequence: Vec<Words>,
        mut difference: Difference,
    ) -> (Vec<Words>, Difference) {
        sequence.truncate(difference.at + 1);
        let mut size = (sequence.len() / 2).max(1);
        loop {
            let mut start = 0;
            while start < sequence.len() {
                let mut fewer = sequence.clone();
                fewer.drain(start..(start + size).min(sequence.len()));
                match self.cannot_block(&fewer).then(|| self.compare(&fewer)).flatten() {
                    Some(found) => {
                        fewer.truncate(found.at + 1);
                        (sequence, difference) = (fewer, found);
                    }
                    None => start += size,
                }
            }
            if size == 1 {
                return (sequence, difference);
            }
            size /= 2;
        }
    }
}

/// The replies to a sequence, and the digest of the data after it.
fn replies(connection: &mut Connection, sequence: &[Words]) -> io::Result<Vec<Value>> {
    let mut request = Vec::new();
    for words in [&["RESET"][..], &["FLUSHALL"]] {
        write_command(&mut request, words);
    }
    sequence.iter().for_each(|words| write_command(&mut request, words));
    for words in [&["RESET"][..], &["DEBUG", "DIGEST"]] {
        write_command(&mut request, words);
    }
    connection.send(&request)?;
    let all: io::Result<Vec<Value>> =
        (0..sequence.len() + 4).map(|_| connection.receive()).collect();
    let mut all = all?;
    all.drain(..2);
    all.remove(sequence.len());
    Ok(all)
}

fn tell(seed: u64, sequence: &[Words], difference: &Difference) -> String {
    let mut text = format!("seed {seed}:\n");
    for words in sequence {
        let words = words.iter().map(|word| match word.as_slice() {
            [] => "\"\"".to_owned(),
            word if word.iter().all(|byte| byte.is_ascii_graphic()) => {
                String::from_utf8_lossy(word).into_owned()
            }
            word => format!("\"{}\"", word.escape_ascii()),
        });
        text += &format!("  > {}\n", words.collect::<Vec<_>>().join(" "));
    }
    if difference.at >= sequence.len() {
        text += "  > DEBUG DIGEST\n";
    }
    text + &format!("  Redis   {}\n  Rhubarb {}", difference.redis, difference.rhubarb)
}
