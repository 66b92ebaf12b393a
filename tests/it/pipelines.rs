//! Pipelines do what the same commands do one by one: the look ahead changes nothing.

use std::io;

use fastrand::Rng;

use crate::process::Process;
use crate::wire::{Connection, write_command};

/// Commands that look at few keys, in databases that change places, vanish and come back.
fn command(rng: &mut Rng) -> String {
    let (key, other, number) = (rng.usize(0..6), rng.usize(0..6), rng.usize(0..40));
    match rng.usize(0..30) {
        0 => format!("SELECT {}", rng.usize(0..3)),
        1 => format!("SWAPDB {} {}", rng.usize(0..3), rng.usize(0..3)),
        2 => ["FLUSHDB", "FLUSHALL", "FLUSHALL ASYNC"][rng.usize(0..3)].to_owned(),
        3 => format!("RENAME k{key} k{other}"),
        4 => format!("COPY k{key} k{other} REPLACE"),
        5 => format!("MOVE k{key} {}", rng.usize(0..3)),
        6 => format!("DEL k{key}"),
        7 => format!("GET k{key}"),
        8 => format!("SET k{key} {number}"),
        9 => format!("INCR k{key}"),
        10 => format!("APPEND k{key} {number}"),
        11 => format!("LPUSH k{key} {number}"),
        12 => format!("RPOPLPUSH k{key} k{other}"),
        13 => format!("SADD k{key} {number}"),
        14 => format!("SMOVE k{key} k{other} {number}"),
        15 => format!("HSET k{key} f{number} {number}"),
        16 => format!("ZADD k{key} {number} m{number}"),
        17 => format!("ZINCRBY k{key} 1 m{number}"),
        18 => format!("PEXPIRE k{key} {}", [0, 100_000][rng.usize(0..2)]),
        19 => format!(
            "EVAL {} 1 k{key}",
            "return{redis.call('TYPE',KEYS[1]).ok,redis.call('INCR','k1')}"
        ),
        20 => "MULTI".to_owned(),
        21 | 22 => "EXEC".to_owned(),
        23 => format!("RPUSH k{key} {number} a {number:030} b"),
        24 => format!("LPUSH k{key} {number:09000}"),
        25 => format!("LPOP k{key}"),
        26 => format!("RPOP k{key} {}", rng.usize(1..3)),
        27 => format!("LPUSHX k{key} {number}"),
        28 => format!("LRANGE k{key} 0 5"),
        _ => format!("SORT k{key} BY nosort GET # LIMIT 0 5"),
    }
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

fn one_by_one(connection: &mut Connection, commands: &[String]) -> io::Result<Vec<String>> {
    let replies = commands.iter().map(|command| connection.call(&words(command)));
    replies.map(|reply| Ok(reply?.to_string())).collect()
}

fn at_once(connection: &mut Connection, commands: &[String]) -> io::Result<Vec<String>> {
    let mut request = Vec::new();
    commands.iter().for_each(|command| write_command(&mut request, &words(command)));
    connection.send(&request)?;
    commands.iter().map(|_| Ok(connection.receive()?.to_string())).collect()
}

#[test]
fn a_pipeline_does_what_its_commands_do_one_by_one() -> io::Result<()> {
    // Few elements make a list a tree.
    let options = ["--enable-debug-command", "yes", "--list-max-listpack-size", "3"];
    let servers = [Process::rhubarb(&options)?, Process::rhubarb(&options)?];
    let [mut slow, mut quick] = [servers[0].connect()?, servers[1].connect()?];
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let commands: Vec<String> = (0..150).map(|_| command(&mut rng)).collect();
        let expected = one_by_one(&mut slow, &commands)?;
        let found = at_once(&mut quick, &commands)?;
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let command = &commands[index];
            assert_eq!(found, expected, "seed {seed}, command {index}: {command}");
        }
        // EXEC ends what a MULTI may have begun; both say the same of the data then.
        let ends = ["DISCARD", "DEBUG DIGEST"].map(str::to_owned);
        assert_eq!(at_once(&mut quick, &ends)?, one_by_one(&mut slow, &ends)?, "seed {seed}");
    }
    Ok(())
}
