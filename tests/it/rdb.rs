//! Snapshots as clients see them: SAVE, BGSAVE, save points, failing disks, DUMP and RESTORE.

use rhubarb::config::{Config, SavePoint};
use rhubarb::util::file::sim::{EIO, ENOSPC, Loss, Op};

use crate::harness::Harness;
use crate::process::Process;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).trim_end().to_string()
}

fn info(harness: &mut Harness, client: rhubarb::server::client::ClientRef, field: &str) -> String {
    let all = text(harness.call(client, &[b"INFO", b"persistence"]));
    let prefix = format!("{field}:");
    let line = all.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no field {field}")).to_string()
}

fn harness() -> Harness {
    Harness::with(Config {
        enable_debug_command: rhubarb::config::Allow::Yes,
        save: vec![SavePoint { seconds: 60, changes: 3 }],
        ..Config::default()
    })
}

#[test]
fn saved_data_come_back() {
    let mut harness = harness();
    let client = harness.connect();
    for words in ["SET a 1", "RPUSH l a b c", "HSET h f v", "SADD s 1 2 x", "ZADD z 1.5 m"] {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        harness.call(client, &words);
    }
    harness.call(client, &[b"PEXPIRE", b"a", b"5000"]);
    let digest = text(harness.call(client, &[b"DEBUG", b"DIGEST"]));
    assert_eq!(info(&mut harness, client, "rdb_changes_since_last_save"), "10");
    assert_eq!(text(harness.call(client, &[b"SAVE"])), "+OK");
    assert_eq!(info(&mut harness, client, "rdb_changes_since_last_save"), "0");
    assert_eq!(info(&mut harness, client, "rdb_saves"), "1");
    harness.disk.reboot(Loss::All);
    harness.call(client, &[b"SET", b"other", b"1"]);
    assert_eq!(text(harness.call(client, &[b"DEBUG", b"RELOAD", b"NOSAVE"])), "+OK");
    assert_eq!(text(harness.call(client, &[b"DEBUG", b"DIGEST"])), digest);
    assert_eq!(info(&mut harness, client, "rdb_last_load_keys_loaded"), "5");
    harness.advance(10_000);
    assert_eq!(text(harness.call(client, &[b"DEBUG", b"RELOAD", b"NOSAVE"])), "+OK");
    assert_eq!(info(&mut harness, client, "rdb_last_load_keys_expired"), "1");
    let twice = text(harness.call(client, &[b"DEBUG", b"RELOAD", b"NOSAVE", b"NOFLUSH"]));
    assert_eq!(twice, "-ERR Error trying to load the RDB dump, check server logs.");
    let merged = harness.call(client, &[b"DEBUG", b"RELOAD", b"NOSAVE", b"NOFLUSH", b"MERGE"]);
    assert_eq!(text(merged), "+OK");
}

#[test]
fn background_saves_end_and_count() {
    let mut harness = harness();
    let client = harness.connect();
    harness.call(client, &[b"SET", b"a", b"1"]);
    let started = text(harness.call(client, &[b"BGSAVE"]));
    assert_eq!(started, "+Background saving started");
    assert_eq!(info(&mut harness, client, "rdb_bgsave_in_progress"), "1");
    for command in [&b"SAVE"[..], b"BGSAVE"] {
        let busy = text(harness.call(client, &[command]));
        assert_eq!(busy, "-ERR Background save already in progress");
    }
    harness.call(client, &[b"SET", b"b", b"1"]);
    harness.advance(2500);
    assert_eq!(info(&mut harness, client, "rdb_bgsave_in_progress"), "0");
    assert_eq!(info(&mut harness, client, "rdb_changes_since_last_save"), "1");
    assert_eq!(info(&mut harness, client, "rdb_last_bgsave_time_sec"), "2");
    let last = text(harness.call(client, &[b"LASTSAVE"]));
    assert_eq!(last, format!(":{}", (crate::harness::START_MS + 2500) / 1000));
    assert_eq!(text(harness.call(client, &[b"BGSAVE", b"NOW"])), "-ERR syntax error");
}

#[test]
fn save_points_save() {
    let mut harness = harness();
    let client = harness.connect();
    for key in [b"a", b"b", b"c"] {
        harness.call(client, &[b"SET", key, b"1"]);
    }
    harness.advance(59_000);
    assert_eq!(info(&mut harness, client, "rdb_saves"), "0");
    harness.advance(2000);
    harness.advance(1000);
    assert_eq!(info(&mut harness, client, "rdb_saves"), "1");
    assert!(harness.disk.contents("/data/dump.rdb").is_some());
}

#[test]
fn a_failed_save_stops_writes_until_one_succeeds() {
    let mut harness = harness();
    let client = harness.connect();
    harness.call(client, &[b"SET", b"a", b"1"]);
    harness.call(client, &[b"SAVE"]);
    let before = harness.disk.contents("/data/dump.rdb");
    harness.disk.break_op(Op::Sync, EIO);
    assert_eq!(text(harness.call(client, &[b"SAVE"])), "-ERR");
    harness.call(client, &[b"BGSAVE"]);
    harness.advance(100);
    assert_eq!(info(&mut harness, client, "rdb_last_bgsave_status"), "err");
    assert_eq!(harness.disk.contents("/data/dump.rdb"), before);
    for words in [&[&b"SET"[..], b"a", b"2"][..], &[b"PING"], &[b"DEL", b"a"]] {
        let refused = text(harness.call(client, words));
        assert!(refused.starts_with("-MISCONF Redis is configured to save RDB"), "{refused}");
    }
    let script: &[u8] = b"return redis.call('set', 'a', 1)";
    let refused = text(harness.call(client, &[b"EVAL", script, b"0"]));
    assert!(refused.starts_with("-MISCONF Redis is configured to save RDB"), "{refused}");
    let script: &[u8] = b"#!lua\nreturn redis.call('get', 'a')";
    let refused = text(harness.call(client, &[b"EVAL", script, b"0"]));
    assert!(refused.contains("Writable scripts are blocked"), "{refused}");
    let script: &[u8] = b"#!lua flags=no-writes\nreturn redis.call('get', 'a')";
    assert_eq!(text(harness.call(client, &[b"EVAL", script, b"0"])), "$1\r\n1");
    harness.disk.heal();
    harness.call(client, &[b"BGSAVE"]);
    harness.advance(100);
    assert_eq!(text(harness.call(client, &[b"SET", b"a", b"2"])), "+OK");
}

#[test]
fn a_failed_save_is_tried_again() {
    let mut harness = harness();
    let client = harness.connect();
    for key in [b"a", b"b", b"c"] {
        harness.call(client, &[b"SET", key, b"1"]);
    }
    harness.disk.set_capacity(5);
    harness.advance(61_000);
    harness.advance(1000);
    assert_eq!(info(&mut harness, client, "rdb_last_bgsave_status"), "err");
    harness.disk.heal();
    harness.advance(1000);
    assert_eq!(info(&mut harness, client, "rdb_last_bgsave_status"), "err", "too soon");
    harness.advance(6000);
    harness.advance(1000);
    assert_eq!(info(&mut harness, client, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn flushall_saves_nothing_but_an_empty_file() {
    let mut harness = harness();
    let client = harness.connect();
    harness.call(client, &[b"SET", b"a", b"1"]);
    harness.call(client, &[b"SAVE"]);
    let full = harness.disk.contents("/data/dump.rdb").map(|image| image.len());
    harness.call(client, &[b"BGSAVE"]);
    harness.call(client, &[b"FLUSHALL"]);
    assert_eq!(info(&mut harness, client, "rdb_bgsave_in_progress"), "0");
    assert_eq!(info(&mut harness, client, "rdb_changes_since_last_save"), "0");
    let empty = harness.disk.contents("/data/dump.rdb").map(|image| image.len());
    assert!(empty < full, "{empty:?} {full:?}");
}

#[test]
fn shutdown_saves_or_is_refused() {
    let mut harness = harness();
    let client = harness.connect();
    harness.call(client, &[b"SET", b"a", b"1"]);
    harness.disk.break_op(Op::Write, ENOSPC);
    let refused = text(harness.call(client, &[b"SHUTDOWN"]));
    assert_eq!(refused, "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(harness.server.shutdown, None);
    assert!(harness.disk.files().is_empty());
    harness.disk.heal();
    harness.call(client, &[b"SHUTDOWN"]);
    assert_eq!(harness.server.shutdown, Some(0));
    assert!(harness.disk.contents("/data/dump.rdb").is_some());
    for (words, saves) in
        [(&[&b"SHUTDOWN"[..], b"NOSAVE"][..], false), (&[b"SHUTDOWN", b"SAVE"], true)]
    {
        let mut harness = Harness::with(Config { save: vec![], ..Config::default() });
        let client = harness.connect();
        harness.call(client, words);
        assert_eq!(harness.server.shutdown, Some(0));
        assert_eq!(harness.disk.contents("/data/dump.rdb").is_some(), saves);
    }
}

#[test]
fn payloads_are_dumped_and_restored() {
    let mut harness = harness();
    let client = harness.connect();
    harness.call(client, &[b"RPUSH", b"l", b"a", b"10"]);
    let reply = harness.call(client, &[b"DUMP", b"l"]);
    let start = reply.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
    let payload = reply[start..reply.len() - 2].to_vec();
    let mut restore = |words: &[&[u8]]| text(harness.call(client, words));
    assert_eq!(
        restore(&[b"RESTORE", b"l", b"0", &payload]),
        "-BUSYKEY Target key name already exists."
    );
    assert_eq!(restore(&[b"RESTORE", b"m", b"0", &payload]), "+OK");
    assert_eq!(restore(&[b"LRANGE", b"m", b"0", b"-1"]), "*2\r\n$1\r\na\r\n$2\r\n10");
    assert_eq!(restore(&[b"RESTORE", b"m", b"1000", &payload, b"REPLACE"]), "+OK");
    assert_eq!(restore(&[b"PTTL", b"m"]), ":1000");
    let later = (crate::harness::START_MS + 500).to_string();
    let at = later.as_bytes();
    assert_eq!(restore(&[b"RESTORE", b"m", at, &payload, b"REPLACE", b"ABSTTL"]), "+OK");
    assert_eq!(restore(&[b"PTTL", b"m"]), ":500");
    assert_eq!(restore(&[b"RESTORE", b"m", b"1", &payload, b"ABSTTL", b"REPLACE"]), "+OK");
    assert_eq!(restore(&[b"EXISTS", b"m"]), ":0");
    assert_eq!(restore(&[b"RESTORE", b"m", b"0", &payload, b"IDLETIME", b"900"]), "+OK");
    assert_eq!(restore(&[b"OBJECT", b"IDLETIME", b"m"]), ":900");
    for (words, error) in [
        (&[&b"RESTORE"[..], b"n", b"-1", &payload][..], "Invalid TTL value, must be >= 0"),
        (&[b"RESTORE", b"n", b"9223372036854775807", &payload], "Invalid TTL value, must be >= 0"),
        (&[b"RESTORE", b"n", b"x", &payload], "value is not an integer or out of range"),
        (
            &[b"RESTORE", b"n", b"0", &payload, b"IDLETIME", b"-1"],
            "Invalid IDLETIME value, must be >= 0",
        ),
        (
            &[b"RESTORE", b"n", b"0", &payload, b"FREQ", b"256"],
            "Invalid FREQ value, must be >= 0 and <= 255",
        ),
        (&[b"RESTORE", b"n", b"0", &payload, b"FREQ", b"1", b"IDLETIME", b"1"], "syntax error"),
        (&[b"RESTORE", b"n", b"0", &payload, b"IDLETIME"], "syntax error"),
        (&[b"RESTORE", b"n", b"0", &payload[1..]], "DUMP payload version or checksum are wrong"),
        (&[b"RESTORE", b"n", b"0", b"..."], "DUMP payload version or checksum are wrong"),
    ] {
        assert_eq!(restore(words), format!("-ERR {error}"));
    }
    restore(&[b"DEBUG", b"SET-SKIP-CHECKSUM-VALIDATION", b"1"]);
    let mut broken = payload.clone();
    broken[3] ^= 0x20;
    assert_eq!(restore(&[b"RESTORE", b"n", b"0", &broken]), "-ERR Bad data format");
    assert_eq!(restore(&[b"DUMP", b"none"]), "$-1");
}

#[test]
fn debug_object_tells_the_saved_length() {
    // What compression makes of a text may differ.
    let options = ["--enable-debug-command", "yes", "--rdbcompression", "no"];
    let Some(redis) = Process::redis(&options) else { return };
    let mut redis = redis.connect().unwrap();
    let mut harness = harness();
    let client = harness.connect();
    harness.call(client, &[b"CONFIG", b"SET", b"rdbcompression", b"no"]);
    let (long, many) = ("x".repeat(100), "y ".repeat(4000));
    let lines = [
        format!("SET raw {long}"),
        "SET int 12345".into(),
        "SET embstr short".into(),
        "RPUSH short a b c 1 2 3".into(),
        format!("RPUSH nodes {many}"),
        "SADD intset 1 2".into(),
        "HSET hash field 1".into(),
        "ZADD zset 1 member".into(),
        "XADD stream 1-1 field value".into(),
    ];
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        redis.call(&words).unwrap();
        harness.call(client, &bytes);
        let expected = redis.call(&["DEBUG", "OBJECT", words[1]]).unwrap().text();
        let found = text(harness.call(client, &[b"DEBUG", b"OBJECT", bytes[1]]));
        let field = |text: &str, name: &str| {
            text.split(' ').find_map(|part| part.strip_prefix(name).map(str::to_owned))
        };
        if words[1] != "nodes" {
            let len = field(&found, "serializedlength:");
            assert_eq!(len, field(&expected, "serializedlength:"), "{line}: {found}");
            assert!(len.is_some());
            continue;
        }
        // Nodes may be cut elsewhere.
        for name in ["ql_listpack_max:", "ql_compressed:"] {
            assert_eq!(field(&found, name), field(&expected, name), "{found}");
        }
        assert!(field(&found, "ql_nodes:").is_some_and(|nodes| nodes != "1"), "{found}");
    }
}
