//! WAIT and WAITAOF: what blocks, until when, and what is replied.

use rhubarb::config::{AppendFsync, Config};
use rhubarb::server::client::ClientRef;
use rhubarb::util::file::sim::{EIO, Op, SimDisk};

use crate::harness::Harness;

fn start(appendonly: bool) -> (Harness, SimDisk, ClientRef) {
    let disk = SimDisk::new();
    let config = Config { appendonly, appendfsync: AppendFsync::Everysec, ..Config::default() };
    let mut harness = Harness::on_disk(config, &disk);
    if appendonly {
        harness.server.load_aof().expect("loaded");
        harness.server.open_aof().expect("opened");
    }
    let client = harness.connect();
    (harness, disk, client)
}

/// The reply of a command, or nothing as long as it waits.
fn call(harness: &mut Harness, client: ClientRef, line: &str) -> String {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let reply = harness.call(client, &words);
    harness.server.flush_aof();
    text(reply)
}

fn text(reply: Vec<u8>) -> String {
    String::from_utf8(reply).expect("text").replace("\r\n", " ").trim_end().to_owned()
}

#[test]
fn wait_counts_no_replicas() {
    let (mut harness, _, client) = start(false);
    call(&mut harness, client, "SET a 1");
    for (line, reply) in [
        ("WAIT 0 0", ":0"),
        ("WAIT -1 0", ":0"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("WAIT 1", "-ERR wrong number of arguments for 'wait' command"),
        ("WAIT 1 100", ""),
    ] {
        assert_eq!(call(&mut harness, client, line), reply, "{line}");
    }
    harness.advance(99);
    assert_eq!(text(harness.receive(client)), "");
    harness.advance(1);
    assert_eq!(text(harness.receive(client)), ":0");
    let replies = call(&mut harness, client, "MULTI")
        + &call(&mut harness, client, "WAIT 1 0")
        + &call(&mut harness, client, "EXEC");
    assert_eq!(replies, "+OK+QUEUED*1 :0");
    let script = [b"EVAL".as_slice(), b"return redis.call('WAIT', 1, 0)", b"0"];
    assert_eq!(text(harness.call(client, &script)), ":0");
    assert_eq!(call(&mut harness, client, "WAIT 1 0"), "");
    let other = harness.connect();
    let id = text(harness.call(other, &[b"CLIENT", b"ID"]));
    let first: i64 = id[1..].parse::<i64>().expect("a number") - 1;
    assert_eq!(call(&mut harness, other, &format!("CLIENT UNBLOCK {first}")), ":1");
    assert_eq!(text(harness.receive(client)), ":0");
}

#[test]
fn waitaof_waits_for_the_sync() {
    let (mut harness, _, client) = start(true);
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 0"), "*2 :1 :0", "it has written nothing");
    call(&mut harness, client, "SET a 1");
    assert_eq!(call(&mut harness, client, "WAITAOF 0 0 0"), "*2 :0 :0");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 0"), "");
    let idle = harness.connect();
    assert_eq!(call(&mut harness, idle, "WAITAOF 1 0 0"), "*2 :1 :0", "others don't wait");
    harness.advance(500);
    assert_eq!(text(harness.receive(client)), "");
    harness.advance(600);
    assert_eq!(text(harness.receive(client)), "*2 :1 :0");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 1 100"), "");
    harness.advance(100);
    assert_eq!(text(harness.receive(client)), "*2 :1 :0", "no replica has it");
    call(&mut harness, client, "SET a 2");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 100"), "");
    harness.advance(100);
    assert_eq!(text(harness.receive(client)), "*2 :0 :0", "too late");
    call(&mut harness, client, "CONFIG SET appendfsync no");
    call(&mut harness, client, "SET a 3");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 5000"), "");
    harness.advance(4000);
    assert_eq!(text(harness.receive(client)), "", "nobody syncs");
    call(&mut harness, idle, "CONFIG SET appendfsync everysec");
    harness.advance(900);
    assert_eq!(text(harness.receive(client)), "*2 :1 :0");
}

#[test]
fn waitaof_refuses_what_redis_refuses() {
    let (mut harness, _, client) = start(false);
    let off = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    for (line, reply) in [
        ("WAITAOF 0 0 0", "*2 :0 :0"),
        ("WAITAOF 1 0 0", off),
        ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF -1 0 0", "-ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF x 0 0", "-ERR value is not an integer or out of range"),
        ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive"),
        ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
        ("WAITAOF 0 0", "-ERR wrong number of arguments for 'waitaof' command"),
    ] {
        assert_eq!(call(&mut harness, client, line), reply, "{line}");
    }
    let (mut harness, _, client) = start(true);
    call(&mut harness, client, "SET a 1");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 0"), "");
    let other = harness.connect();
    call(&mut harness, other, "CONFIG SET appendonly no");
    harness.advance(200);
    assert_eq!(text(harness.receive(client)), off);
}

#[test]
fn waitaof_waits_for_the_first_rewrite_and_for_a_disk_that_syncs() {
    let (mut harness, disk, client) = start(false);
    call(&mut harness, client, "SET a 1");
    disk.break_op(Op::Rename, EIO);
    call(&mut harness, client, "CONFIG SET appendonly yes");
    call(&mut harness, client, "SET a 2");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 0"), "");
    harness.advance(1100);
    harness.advance(1100);
    assert_eq!(text(harness.receive(client)), "", "there is no complete file");
    disk.heal();
    for _ in 0..100 {
        harness.advance(1100);
    }
    assert_eq!(text(harness.receive(client)), "*2 :1 :0");
    disk.break_op(Op::Sync, EIO);
    call(&mut harness, client, "SET a 3");
    assert_eq!(call(&mut harness, client, "WAITAOF 1 0 0"), "");
    harness.advance(1100);
    assert_eq!(text(harness.receive(client)), "");
    disk.heal();
    harness.server.flush_aof();
    assert_eq!(text(harness.receive(client)), "", "the disk has lost what it didn't sync");
    harness.advance(1100);
    harness.advance(1100);
    assert_eq!(text(harness.receive(client)), "*2 :1 :0", "a rewrite makes that good");
}
