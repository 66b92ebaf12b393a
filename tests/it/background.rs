//! What takes long is done by threads: a server as a process goes on meanwhile. (The other tests
//! ask for the opposite, so that they see each step.)

use std::time::Duration;

use rhubarb::util::clock::{Clock, SystemClock};

use crate::process::Process;
use crate::wire::{Connection, Value};

/// Each key takes 10 ms to write.
const SLOW: &[&str] =
    &["--enable-debug-command", "yes", "--rdb-key-save-delay", "10000", "--appendonly", "yes"];

fn call(connection: &mut Connection, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match connection.call(&words).expect("a reply") {
        Value::Simple(text) | Value::Bulk(text) | Value::Error(text) => {
            String::from_utf8(text).expect("text")
        }
        other => format!("{other}"),
    }
}

fn persistence(connection: &mut Connection, field: &str) -> String {
    let info = call(connection, "INFO persistence");
    let prefix = format!("{field}:");
    let found = info.lines().find_map(|line| line.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {field} in {info}")).to_owned()
}

/// Waits until a field has a value.
fn wait_for(connection: &mut Connection, field: &str, value: &str) {
    for _ in 0..1000 {
        if persistence(connection, field) == value {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{field} never becomes {value}");
}

#[test]
fn saves_and_rewrites_hold_nobody_up() {
    let server = Process::rhubarb(SLOW).expect("a server");
    let mut client = server.connect().expect("a connection");
    let clock = SystemClock;
    call(&mut client, "DEBUG POPULATE 100");
    for (command, field) in
        [("BGSAVE", "rdb_bgsave_in_progress"), ("BGREWRITEAOF", "aof_rewrite_in_progress")]
    {
        let started_ns = clock.mono_ns();
        assert!(call(&mut client, command).ends_with(" started"), "{command}");
        assert_eq!(persistence(&mut client, field), "1");
        assert_eq!(call(&mut client, "SET a 1"), "OK");
        assert_eq!(persistence(&mut client, field), "1");
        wait_for(&mut client, field, "0");
        let took = Duration::from_nanos(clock.mono_ns() - started_ns);
        assert!(took >= Duration::from_secs(1), "{command} was too quick to tell: {took:?}");
    }
    assert_eq!(persistence(&mut client, "rdb_last_bgsave_status"), "ok");
    assert_eq!(persistence(&mut client, "aof_last_bgrewrite_status"), "ok");
}

#[test]
fn others_read_while_a_reply_waits_for_the_disk() {
    let options =
        ["--enable-debug-command", "yes", "--appendonly", "yes", "--appendfsync", "always"];
    let server = Process::rhubarb(&options).expect("a server");
    let mut writer = server.connect().expect("a connection");
    for n in 0..20 {
        assert_eq!(call(&mut writer, &format!("SET a {n}")), "OK");
    }
    let mut reader = server.connect().expect("a connection");
    assert_eq!(call(&mut reader, "GET a"), "19");
    // Longer than any test waits for a reply.
    assert_eq!(call(&mut reader, "DEBUG AOF-FLUSH-SLEEP 600000000"), "OK");
    writer.send(b"SET a 20\r\n").expect("sent");
    while call(&mut reader, "GET a") != "20" {}
    assert_eq!(call(&mut reader, "PING"), "PONG");
}

#[test]
fn a_panic_of_the_executor_is_told_and_ends_the_process() {
    for (exits, code) in [("no", None), ("yes", Some(1))] {
        let options =
            ["--enable-debug-command", "yes", "--logfile", "log", "--use-exit-on-panic", exits];
        let mut server = Process::rhubarb(&options).expect("a server");
        let mut client = server.connect().expect("a connection");
        assert!(client.call(&["DEBUG", "PANIC"]).is_err(), "there is no reply");
        let status = server.ended().expect("it ends");
        assert_eq!(status.code(), code);
        let log = std::fs::read_to_string(server.dir().join("log")).expect("a log");
        for part in ["Guru Meditation", "called by DEBUG PANIC", "STACK TRACE", "begin_unwind"] {
            assert!(log.contains(part), "no {part} in {log}");
        }
    }
}
