//! Snapshots and payloads that go from Rhubarb to redis-server 7.0.15 and back: every type, in every
//! encoding, has the same digest on both sides.

use std::fs;
use std::process::Command;

use crate::process::Process;
use crate::wire::{Connection, Value};

const OPTIONS: &[&str] = &["--enable-debug-command", "yes"];

fn fill(to: &mut Connection) {
    let many = |command: &str, key: &str, each: &dyn Fn(usize) -> Vec<String>| {
        let mut words = vec![command.to_string(), key.to_string()];
        (0..1000).for_each(|i| words.extend(each(i)));
        words
    };
    let mut commands: Vec<Vec<String>> = [
        "SET text hello",
        "SET int 12345",
        "SET negative -7",
        "SET wide 123456789012345",
        "SET wider 12345678901234567890",
        "SET volatile x PXAT 99999999999999",
        "RPUSH list a b c 1 2 -3 100000",
        "SADD ints 1 2 3",
        "SADD wide-ints 1 10000000000",
        "SADD set a b 1",
        "ZADD zset 1 a 2 b 3.5 c -inf d +inf e 0.1 f",
        "HSET hash a 1 b two c 3.25",
        "XADD stream 1-1 a 1 b 2",
        "XADD stream 5-0 c x",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >",
    ]
    .iter()
    .map(|line| line.split(' ').map(str::to_string).collect())
    .collect();
    let big = |len: usize| (0..len).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    commands.push(vec!["SET".into(), "compressible".into(), "ab".repeat(5000)]);
    commands.push(vec!["SET".into(), "big".into(), big(300_000)]);
    commands.push(vec!["RPUSH".into(), "plain-nodes".into(), big(20_000), "x".into(), big(9000)]);
    commands.push(vec!["ZADD".into(), "long-member".into(), "3".into(), big(100)]);
    commands.push(many("RPUSH", "long-list", &|i| vec![format!("item {i}")]));
    commands.push(many("SADD", "large-set", &|i| vec![format!("m{i}")]));
    commands.push(many("SADD", "many-ints", &|i| vec![(i * 7).to_string()]));
    commands.push(many("ZADD", "large-zset", &|i| vec![format!("{}.5", i % 50), format!("m{i}")]));
    commands.push(many("HSET", "large-hash", &|i| vec![format!("f{i}"), i.to_string()]));
    let library = "#!lua name=lib\nredis.register_function('f', function() return 'pie' end)";
    commands.push(vec!["FUNCTION".into(), "LOAD".into(), library.into()]);
    commands.extend(
        [["SELECT", "9"], ["INCR", "elsewhere"], ["SELECT", "0"]]
            .map(|words| words.map(str::to_string).to_vec()),
    );
    for words in commands {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let reply = to.call(&words).expect("a reply");
        assert!(!matches!(reply, Value::Error(_)), "{}: {reply:?}", words[1]);
    }
}

fn ok(to: &mut Connection, words: &[&str]) {
    let reply = to.call(words).expect("a reply");
    assert_eq!(reply, Value::Simple(b"OK".to_vec()), "{words:?}");
}

/// Takes the snapshot of one server to the other, and compares.
fn compare(from: &Process, to: &Process) {
    let (mut a, mut b) = (from.connect().expect("a"), to.connect().expect("b"));
    fill(&mut a);
    for compression in ["yes", "no"] {
        ok(&mut a, &["CONFIG", "SET", "rdbcompression", compression]);
        ok(&mut a, &["SAVE"]);
        fs::copy(from.dir().join("dump.rdb"), to.dir().join("dump.rdb")).expect("copied");
        ok(&mut b, &["DEBUG", "RELOAD", "NOSAVE"]);
        let digest = a.call(&["DEBUG", "DIGEST"]).expect("a digest");
        assert_eq!(b.call(&["DEBUG", "DIGEST"]).expect("a digest"), digest);
        let calls: [&[&str]; 4] = [
            &["DBSIZE"],
            &["PEXPIRETIME", "volatile"],
            &["FCALL", "f", "0"],
            &["XPENDING", "stream", "group"],
        ];
        for words in calls {
            assert_eq!(b.call(words).expect("b"), a.call(words).expect("a"), "{words:?}");
        }
        compare_payloads(&mut a, &mut b);
    }
}

/// Dumps every key, restores it at the other server, and compares.
fn compare_payloads(a: &mut Connection, b: &mut Connection) {
    let Value::Array(keys) = a.call(&["KEYS", "*"]).expect("keys") else { panic!("no keys") };
    assert!(keys.len() > 18);
    for key in keys {
        let Value::Bulk(key) = key else { panic!("no key") };
        let Value::Bulk(payload) = a.call(&[&b"DUMP"[..], &key]).expect("a payload") else {
            panic!("no payload")
        };
        let restore: [&[u8]; 5] = [b"RESTORE", b"copy", b"0", &payload, b"REPLACE"];
        let restored = b.call(&restore).expect("a reply");
        assert_eq!(restored, Value::Simple(b"OK".to_vec()), "{}", String::from_utf8_lossy(&key));
        a.call(&[&b"PERSIST"[..], &key]).expect("a reply");
        let digest = a.call(&[&b"DEBUG"[..], b"DIGEST-VALUE", &key]).expect("a digest");
        let copy = b.call(&["DEBUG", "DIGEST-VALUE", "copy"]).expect("a digest");
        assert_eq!(copy, digest, "{}", String::from_utf8_lossy(&key));
    }
    a.call(&["PEXPIREAT", "volatile", "99999999999999"]).expect("a reply");
    b.call(&["DEL", "copy"]).expect("a reply");
}

#[test]
fn to_redis_server() {
    let Some(redis) = Process::redis(OPTIONS) else { return };
    let rhubarb = Process::rhubarb(OPTIONS).expect("this server");
    compare(&rhubarb, &redis);
    let check = Command::new("redis-check-rdb").arg(rhubarb.dir().join("dump.rdb")).output();
    match check {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && text.contains("RDB looks OK!"), "{text}");
        }
        Err(error) => eprintln!("skipped: can't run redis-check-rdb: {error}"),
    }
}

#[test]
fn from_redis_server() {
    let Some(redis) = Process::redis(OPTIONS) else { return };
    let rhubarb = Process::rhubarb(OPTIONS).expect("this server");
    compare(&redis, &rhubarb);
}

#[test]
fn from_and_to_this_server() {
    let [a, b] = [0, 1].map(|_| Process::rhubarb(OPTIONS).expect("this server"));
    compare(&a, &b);
}
