//! The append only file on a disk that fails: what was acknowledged is there after a restart.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use rhubarb::config::{Allow, AppendFsync, Config};
use rhubarb::server::client::ClientRef;
use rhubarb::util::file::sim::{EIO, ENOSPC, Fault, Loss, Op, SimDisk};
use rhubarb::util::log::Level;

use crate::harness::Harness;

const DIR: &str = "/data/appendonlydir";

fn config(appendfsync: AppendFsync) -> Config {
    Config { appendonly: true, appendfsync, enable_debug_command: Allow::Yes, ..Config::default() }
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// A server that has loaded what the disk holds, or why it didn't start.
fn start(config: &Config, disk: &SimDisk) -> Option<Harness> {
    let mut harness = Harness::on_disk(config.clone(), disk);
    harness.server.load_aof().ok()?;
    harness.server.open_aof().ok()?;
    Some(harness)
}

/// Calls a command as a connection does: its reply is sent when the file has the effects. Says
/// nothing if it can't be sent.
fn call(harness: &mut Harness, client: ClientRef, line: &str) -> Option<String> {
    let reply = harness.call(client, &words(line));
    harness.server.flush_aof();
    harness.server.may_reply(client).then(|| String::from_utf8(reply).expect("text"))
}

fn digest(harness: &mut Harness) -> Vec<u8> {
    let client = harness.connect();
    harness.call(client, &words("DEBUG DIGEST"))
}

fn file(disk: &SimDisk, name: &str) -> Vec<u8> {
    disk.contents(format!("{DIR}/{name}"))
        .unwrap_or_else(|| panic!("no {name}: {:?}", disk.files()))
}

fn names(disk: &SimDisk) -> Vec<String> {
    let inside = disk.files();
    let inside = inside.iter().filter_map(|path| path.strip_prefix(DIR).ok());
    inside.map(|name| name.display().to_string()).collect()
}

/// Commands of all types.
const SOME: &[&str] = &[
    "SET s 1",
    "APPEND s 23",
    "SELECT 3",
    "RPUSH l a b c",
    "SADD ints 1 2 3",
    "SADD names a b c",
    "ZADD z 1.5 a 2 b",
    "HSET h f 1 g 2",
    "PEXPIRE h 100000",
    "SETEX v 100 text",
    "SPOP names",
    "SELECT 0",
    "INCRBYFLOAT s 0.5",
];

#[test]
fn a_restart_has_the_same_data() {
    for policy in [AppendFsync::Always, AppendFsync::Everysec, AppendFsync::No] {
        let disk = SimDisk::new();
        let mut first = start(&config(policy), &disk).expect("started");
        let client = first.connect();
        for line in SOME {
            assert!(call(&mut first, client, line).is_some(), "{line}");
        }
        let before = digest(&mut first);
        drop(first);
        let mut second = start(&config(policy), &disk).expect("started again");
        assert_eq!(digest(&mut second), before);
        assert_eq!(second.server.dirty, 0);
    }
}

#[test]
fn a_rewrite_replaces_the_files() {
    let disk = SimDisk::new();
    let mut first = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = first.connect();
    for line in SOME {
        call(&mut first, client, line);
    }
    let many: Vec<String> = (0..200).map(|i| format!("{i} m{i}")).collect();
    call(&mut first, client, &format!("ZADD many {}", many.join(" ")));
    assert_eq!(
        call(&mut first, client, "BGREWRITEAOF").as_deref(),
        Some("+Background append only file rewriting started\r\n")
    );
    call(&mut first, client, "RPUSH after 1");
    first.advance(100);
    let form = if names(&disk).iter().any(|name| name.ends_with(".rdb")) { "rdb" } else { "aof" };
    assert_eq!(
        names(&disk),
        [
            format!("appendonly.aof.2.base.{form}"),
            "appendonly.aof.2.incr.aof".into(),
            "appendonly.aof.manifest".into()
        ]
    );
    assert_eq!(
        String::from_utf8(file(&disk, "appendonly.aof.2.incr.aof")).expect("text"),
        "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$5\r\nRPUSH\r\n$5\r\nafter\r\n$1\r\n1\r\n"
    );
    let before = digest(&mut first);
    let mut second = start(&config(AppendFsync::Everysec), &disk).expect("started again");
    assert_eq!(digest(&mut second), before);
}

/// All that a base must hold, of every type in every encoding.
const ALL: &[&str] = &[
    "SET int 12",
    "SET text abc",
    "SETEX volatile 100 v",
    "RPUSH list a 1 -5 b",
    "SADD ints 3 1 2",
    "SADD names a b 1",
    "ZADD zset 1.5 a -inf b 1e300 c 0.1 d",
    "HSET hash f 1 g 2 1 h",
    "HSET timed f 1 g 2 h 3",
    "HPEXPIRE timed 100000 FIELDS 1 f",
    "HPEXPIRE timed 200000 FIELDS 2 g none",
    "PEXPIRE timed 300000",
    "SELECT 5",
    "XADD s 1-1 f v g 12",
    "XADD s 2-1 f v2",
    "XADD s 3-1 other 1",
    "XADD s 4-0 f v",
    "XDEL s 2-1",
    "XGROUP CREATE s g 0",
    "XGROUP CREATE s lag 1-1 ENTRIESREAD 1",
    "XGROUP CREATE s unknown 3-1",
    "XGROUP CREATECONSUMER s g idle",
    "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
    "XCLAIM s g d 0 3-1 TIME 1600000000000 RETRYCOUNT 7",
    "XADD s 9-9 f last",
    "XGROUP CREATE empty g $ MKSTREAM",
    "XADD trimmed MAXLEN 0 7-7 f v",
    "SELECT 0",
];

/// What the streams show of themselves; without what commands can't say: how long ago consumers
/// were seen.
fn streams(harness: &mut Harness) -> Vec<String> {
    let client = harness.connect();
    harness.call(client, &words("SELECT 5"));
    let about = |key| {
        let line = format!("XINFO STREAM {key} FULL");
        let reply = harness.call(client, &words(&line));
        let text = String::from_utf8(reply).expect("text");
        let mut lines = text.split("\r\n");
        let mut kept = Vec::new();
        while let Some(line) = lines.next() {
            kept.push(line);
            if matches!(line, "seen-time" | "active-time" | "radix-tree-nodes") {
                lines.next();
            }
        }
        kept.join(" ")
    };
    ["s", "empty", "trimmed"].map(about).to_vec()
}

#[test]
fn a_base_of_commands_holds_every_type() {
    let disk = SimDisk::new();
    let config = Config { aof_use_rdb_preamble: false, ..config(AppendFsync::Everysec) };
    let mut first = start(&config, &disk).expect("started");
    let client = first.connect();
    for line in ALL {
        let reply = call(&mut first, client, line).expect("a reply");
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    let many: Vec<String> = (0..1000).map(|i| format!("{i} member{i}")).collect();
    for command in ["ZADD bigz", "HSET bigh", "SADD bigs", "RPUSH bigl"] {
        call(&mut first, client, &format!("{command} {}", many.join(" ")));
    }
    let library = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    first.call(client, &[b"FUNCTION", b"LOAD", library]);
    call(&mut first, client, "BGREWRITEAOF");
    first.advance(100);
    assert!(names(&disk).contains(&"appendonly.aof.2.base.aof".to_string()), "{:?}", names(&disk));
    assert!(file(&disk, "appendonly.aof.2.incr.aof").is_empty());
    let (before, shown) = (digest(&mut first), streams(&mut first));
    let mut second = start(&config, &disk).expect("started again");
    assert_eq!(digest(&mut second), before);
    assert_eq!(streams(&mut second), shown);
    let client = second.connect();
    for (field, at) in [("f", 100_000), ("g", 200_000)] {
        let line = format!("HPEXPIRETIME timed FIELDS 1 {field}");
        let expected = format!("*1\r\n:{}\r\n", 1_700_000_000_000_i64 + at);
        assert_eq!(call(&mut second, client, &line).as_deref(), Some(expected.as_str()));
    }
    assert_eq!(call(&mut second, client, "FCALL f 0").as_deref(), Some(":1\r\n"));
}

#[test]
fn what_is_persisted_in_time_stays_however_late_the_restart() {
    let disk = SimDisk::new();
    let mut first = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = first.connect();
    for line in [
        "SET s 1 PX 5000",
        "PERSIST s",
        "HSET h f 1 g 2",
        "HPEXPIRE h 5000 FIELDS 2 f g",
        "HPERSIST h FIELDS 1 f",
    ] {
        call(&mut first, client, line);
    }
    drop(first);
    let mut second = Harness::on_disk(config(AppendFsync::Everysec), &disk);
    second.advance(60_000);
    second.server.load_aof().expect("loaded");
    second.server.open_aof().expect("opened");
    let client = second.connect();
    assert_eq!(call(&mut second, client, "GET s").as_deref(), Some("$1\r\n1\r\n"));
    assert_eq!(
        call(&mut second, client, "HGETALL h").as_deref(),
        Some("*2\r\n$1\r\nf\r\n$1\r\n1\r\n")
    );
}

#[test]
fn turning_it_on_begins_with_a_rewrite() {
    let disk = SimDisk::new();
    let off = Config { appendonly: false, ..config(AppendFsync::Everysec) };
    let mut first = Harness::on_disk(off, &disk);
    let client = first.connect();
    call(&mut first, client, "SET a 1");
    assert_eq!(names(&disk), [""; 0]);
    assert_eq!(call(&mut first, client, "CONFIG SET appendonly yes").as_deref(), Some("+OK\r\n"));
    call(&mut first, client, "SET b 2");
    first.advance(100);
    let before = digest(&mut first);
    assert!(names(&disk).contains(&"appendonly.aof.1.incr.aof".to_string()), "{:?}", names(&disk));
    let mut second = start(&config(AppendFsync::Everysec), &disk).expect("started");
    assert_eq!(digest(&mut second), before);
    assert_eq!(call(&mut first, client, "CONFIG SET appendonly no").as_deref(), Some("+OK\r\n"));
    call(&mut first, client, "SET c 3");
    let mut third = start(&config(AppendFsync::Everysec), &disk).expect("started");
    assert_eq!(digest(&mut third), before);
}

#[test]
fn times_are_noted_where_asked_for() {
    let disk = SimDisk::new();
    let config = Config { aof_timestamp_enabled: true, ..config(AppendFsync::Everysec) };
    let mut first = start(&config, &disk).expect("started");
    let client = first.connect();
    call(&mut first, client, "SET a 1");
    call(&mut first, client, "SET b 1");
    first.advance(2000);
    call(&mut first, client, "GET a");
    call(&mut first, client, "SET c 1");
    let text = String::from_utf8(file(&disk, "appendonly.aof.1.incr.aof")).expect("text");
    let times: Vec<&str> = text.lines().filter(|line| line.starts_with("#TS:")).collect();
    assert_eq!(times, ["#TS:1700000000", "#TS:1700000002"]);
    let before = digest(&mut first);
    assert_eq!(digest(&mut start(&config, &disk).expect("started again")), before);
}

#[test]
fn a_file_of_redis_6_moves_into_the_directory() {
    let disk = SimDisk::new();
    disk.put("/data/appendonly.aof", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
    let mut harness = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = harness.connect();
    assert_eq!(call(&mut harness, client, "GET a").as_deref(), Some("$1\r\n1\r\n"));
    assert_eq!(
        names(&disk),
        ["appendonly.aof", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    );
    assert_eq!(
        file(&disk, "appendonly.aof.manifest"),
        b"file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    );
}

/// Starts from an increment of these bytes; says what list `l` holds, if that succeeds.
fn load(config: &Config, bytes: &[u8]) -> Option<(String, SimDisk)> {
    let disk = SimDisk::new();
    disk.put(format!("{DIR}/appendonly.aof.1.incr.aof"), bytes);
    let manifest = b"file appendonly.aof.1.incr.aof seq 1 type i\n";
    disk.put(format!("{DIR}/appendonly.aof.manifest"), manifest);
    let mut harness = start(config, &disk)?;
    let client = harness.connect();
    let list = harness.call(client, &words("LRANGE l 0 -1"));
    Some((String::from_utf8(list).expect("text"), disk))
}

#[test]
fn a_file_cut_at_any_byte_loads_every_whole_command() {
    let push = |n: usize| format!("*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$1\r\n{n}\r\n");
    let transaction = format!("*1\r\n$5\r\nMULTI\r\n{}{}*1\r\n$4\r\nEXEC\r\n", push(4), push(5));
    let parts = [push(1), push(2), "#TS:1700000000\r\n".into(), push(3), transaction, push(6)];
    let elements = [1, 2, 2, 3, 5, 6];
    let whole: String = parts.concat();
    let config = config(AppendFsync::Everysec);
    for cut in 0..=whole.len() {
        let (mut end, mut expected) = (0, 0);
        for (part, &count) in parts.iter().zip(&elements) {
            end += part.len();
            if end > cut {
                break;
            }
            expected = count;
        }
        let (list, disk) = load(&config, &whole.as_bytes()[..cut]).expect("loaded");
        assert!(list.starts_with(&format!("*{expected}\r\n")), "cut at {cut}: {list:?}");
        let strict = Config { aof_load_truncated: false, ..config.clone() };
        // A cut between units goes unnoticed; a note of the time may be cut short as well.
        if load(&strict, &whole.as_bytes()[..cut]).is_some() {
            assert!(list.starts_with(&format!("*{expected}\r\n")));
        } else {
            let left = file(&disk, "appendonly.aof.1.incr.aof");
            assert!(left.len() < cut && whole.as_bytes().starts_with(&left), "cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_request_stops_the_start() {
    let config = config(AppendFsync::Everysec);
    let good = "*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$1\r\n1\r\n";
    for bad in [
        "hello",
        "*x\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*1\r\n+OK\r\n",
        "*1\r\n$-5\r\nPING\r\n",
        "*1\r\n$7\r\nUNHEARD\r\n",
        "*2\r\n$3\r\nSET\r\n$1\r\na\r\n",
        "*99999999999999999999\r\n",
    ] {
        assert!(load(&config, format!("{good}{bad}").as_bytes()).is_none(), "{bad:?}");
    }
    let zeros = "*2\r\n$3\r\nGET\r\n$9\r\nab\0\0\0\0\0\0\0\0\0\0\0\0";
    for cut in [
        "\0\0\0\0\0\0\0\0",
        "*2\r\n$\0\0\0",
        zeros,
        "*2147483647\r\n$1\r\n",
        "*1\r\n$9000000000000000000\r\nx",
    ] {
        assert!(load(&config, format!("{good}{cut}").as_bytes()).is_some(), "{cut:?}");
    }
}

#[test]
fn a_file_that_is_missing_stops_the_start() {
    let disk = SimDisk::new();
    let manifest = b"file appendonly.aof.1.incr.aof seq 1 type i\n";
    disk.put(format!("{DIR}/appendonly.aof.manifest"), manifest);
    assert!(start(&config(AppendFsync::Everysec), &disk).is_none());
    disk.put(format!("{DIR}/appendonly.aof.manifest"), b"");
    assert!(start(&config(AppendFsync::Everysec), &disk).is_none());
}

/// Pushes numbers to a list, with rewrites in between, until something stops it. Returns those
/// whose push was acknowledged.
fn push_numbers(config: &Config, disk: &SimDisk) -> Vec<usize> {
    let acked = Mutex::new(Vec::new());
    push_all_numbers(config, disk, &acked);
    acked.into_inner().expect("a list")
}

/// As [`push_numbers`], for who wants to know up to where it came when it panics, or the server as
/// it is then.
fn push_all_numbers(config: &Config, disk: &SimDisk, acked: &Mutex<Vec<usize>>) -> Option<Harness> {
    let mut harness = start(config, disk)?;
    let client = harness.connect();
    let ack = |n| acked.lock().expect("a list").push(n);
    for n in 0..14 {
        if n % 6 == 3 {
            call(&mut harness, client, "BGREWRITEAOF");
        }
        if n == 8 {
            harness.advance(1100);
        }
        match call(&mut harness, client, &format!("RPUSH l {n}")) {
            Some(reply) if reply.starts_with(':') => ack(n),
            Some(_) => harness.advance(1100),
            _ if harness.server.shutdown.is_some() || disk.is_off() => return None,
            _ => {
                // Held back until it can be written.
                harness.advance(1100);
                if harness.server.may_reply(client) {
                    ack(n);
                }
            }
        }
    }
    Some(harness)
}

/// What the list holds.
fn numbers(harness: &mut Harness) -> Vec<usize> {
    let client = harness.connect();
    let reply = harness.call(client, &words("LRANGE l 0 -1"));
    let text = String::from_utf8(reply).expect("text");
    text.split("\r\n").skip(2).step_by(2).filter_map(|n| n.parse().ok()).collect()
}

#[test]
fn no_power_cut_loses_what_always_acknowledged() {
    let config = config(AppendFsync::Always);
    let whole = SimDisk::new();
    assert_eq!(push_numbers(&config, &whole).len(), 14);
    assert!(whole.ops() > 60, "{} operations", whole.ops());
    let losses = [Loss::All, Loss::Nothing].into_iter().chain((0..4).map(Loss::Some));
    for loss in losses {
        for cut in 0..whole.ops() {
            let disk = SimDisk::new();
            disk.fail_at(cut, Fault::PowerCut);
            let acked = push_numbers(&config, &disk);
            disk.reboot(loss);
            let mut after = start(&config, &disk).unwrap_or_else(|| {
                panic!("no start after a cut at {cut}, {loss:?}: {:?}", disk.files())
            });
            let found = numbers(&mut after);
            let lost = acked.iter().any(|n| !found.contains(n));
            assert!(!lost, "cut at {cut}, {loss:?}: {acked:?} acked, {found:?}");
            assert!(found.iter().copied().eq(0..found.len()), "cut at {cut}, {loss:?}: {found:?}");
        }
    }
}

#[test]
fn no_death_of_the_process_loses_what_everysec_acknowledged() {
    for policy in [AppendFsync::Everysec, AppendFsync::No] {
        let config = config(policy);
        let whole = SimDisk::new();
        assert_eq!(push_numbers(&config, &whole).len(), 14);
        for cut in 0..whole.ops() {
            let disk = SimDisk::new();
            disk.fail_at(cut, Fault::PowerCut);
            let acked = push_numbers(&config, &disk);
            disk.reboot(Loss::Nothing);
            let mut after = start(&config, &disk).expect("started");
            let found = numbers(&mut after);
            let lost = acked.iter().any(|n| !found.contains(n));
            assert!(!lost, "cut at {cut}: {acked:?} acked, {found:?}");
        }
    }
}

#[test]
fn no_failed_operation_loses_what_was_acknowledged() {
    for policy in [AppendFsync::Always, AppendFsync::Everysec] {
        let config = config(policy);
        let whole = SimDisk::new();
        push_numbers(&config, &whole);
        for fault in [Fault::Error(EIO), Fault::Error(ENOSPC), Fault::Short] {
            for at in 0..whole.ops() {
                let disk = SimDisk::new();
                disk.fail_at(at, fault);
                let acked = push_numbers(&config, &disk);
                let mut after = start(&config, &disk).unwrap_or_else(|| {
                    panic!("no start after {fault:?} at {at}, {policy:?}: {:?}", disk.files())
                });
                let found = numbers(&mut after);
                let lost = acked.iter().any(|n| !found.contains(n));
                assert!(!lost, "{fault:?} at {at}: {acked:?} acked, {found:?}");
                let rising = found.windows(2).all(|pair| pair[0] < pair[1]);
                assert!(rising, "{fault:?} at {at}, {policy:?}: {found:?}");
            }
        }
    }
}

fn quiet_simulated_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.to_string().contains("simulated at operation") {
            hook(panic);
        }
    }));
}

/// Lets threads do their work until INFO says so.
fn wait_for(harness: &mut Harness, line: &str) {
    let client = harness.connect();
    for _ in 0..1000 {
        harness.server.flush_aof();
        harness.server.tick();
        let info = harness.call(client, &words("INFO persistence"));
        if String::from_utf8(info).expect("text").contains(line) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("never {line}");
}

#[test]
fn a_thread_that_panics_has_failed_and_works_on() {
    quiet_simulated_panics();
    let disk = SimDisk::new();
    let mut harness = Harness::with_threads(config(AppendFsync::Everysec), &disk);
    harness.server.load_aof().expect("loaded");
    harness.server.open_aof().expect("opened");
    let client = harness.connect();
    harness.call(client, &words("SET a 1"));
    wait_for(&mut harness, "aof_current_size:");
    for op in [Op::Sync, Op::Rename] {
        disk.break_with(op, Fault::Panic);
        for (command, now, last) in [
            ("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status"),
            ("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status"),
        ] {
            harness.call(client, &words(command));
            wait_for(&mut harness, &format!("{now}:0"));
            wait_for(&mut harness, &format!("{last}:err"));
        }
        disk.heal();
        for (command, now, last) in [
            ("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status"),
            ("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status"),
        ] {
            harness.call(client, &words(command));
            wait_for(&mut harness, &format!("{now}:0"));
            wait_for(&mut harness, &format!("{last}:ok"));
        }
        let left: Vec<_> = disk.files();
        let temporary = |path: &std::path::PathBuf| path.to_string_lossy().contains("temp-");
        assert!(!left.iter().any(temporary), "{left:?}");
    }
}

/// What becomes of a panic at an operation: the executor's own ends the process, and a worker's is a
/// failure like another.
#[test]
fn no_panic_loses_what_was_acknowledged_or_leaves_a_rewrite_hanging() {
    quiet_simulated_panics();
    for policy in [AppendFsync::Always, AppendFsync::Everysec] {
        let config = config(policy);
        let whole = SimDisk::new();
        push_numbers(&config, &whole);
        let mut survivors = 0;
        for at in 0..whole.ops() {
            let disk = SimDisk::new();
            disk.fail_at(at, Fault::Panic);
            let acked = Mutex::new(Vec::new());
            let survived =
                catch_unwind(AssertUnwindSafe(|| push_all_numbers(&config, &disk, &acked)));
            let acked = acked.into_inner().expect("a list");
            if let Ok(Some(mut harness)) = survived {
                survivors += 1;
                harness.advance(120_000);
                let client = harness.connect();
                let info = String::from_utf8(harness.call(client, &words("INFO persistence")));
                let hangs = info.expect("text").contains("aof_rewrite_in_progress:1");
                assert!(!hangs, "panic at {at}, {policy:?}");
            }
            let mut after = start(&config, &disk).expect("started");
            let found = numbers(&mut after);
            let lost = acked.iter().any(|n| !found.contains(n));
            assert!(!lost, "panic at {at}, {policy:?}: {acked:?} acked, {found:?}");
        }
        assert!(survivors > 30, "{policy:?}: {survivors} of {}", whole.ops());
    }
}

#[test]
fn a_cancelled_rewrite_leaves_no_file_and_the_next_one_counts() {
    let disk = SimDisk::new();
    let off = Config { appendonly: false, ..config(AppendFsync::Everysec) };
    let mut harness = Harness::on_disk(off, &disk);
    let client = harness.connect();
    call(&mut harness, client, "SET a 1");
    // Without the file on, a rewrite makes a base alone; it is cancelled before it is looked at.
    harness.call(client, &words("BGREWRITEAOF"));
    harness.call(client, &words("CONFIG SET appendonly yes"));
    harness.advance(100);
    harness.advance(100);
    let left = names(&disk);
    assert!(!left.iter().any(|name| name.starts_with("temp-")), "{left:?}");
    let info = call(&mut harness, client, "INFO persistence").expect("a reply");
    assert!(info.contains("aof_last_bgrewrite_status:ok"), "{info}");
    assert!(info.contains("aof_rewrite_in_progress:0"), "{info}");
    let before = digest(&mut harness);
    assert_eq!(digest(&mut start(&config(AppendFsync::Everysec), &disk).expect("started")), before);
}

#[test]
fn what_cannot_be_made_durable_keeps_the_server_from_ending() {
    for op in [Op::Sync, Op::Write] {
        let disk = SimDisk::new();
        let mut harness = start(&config(AppendFsync::Everysec), &disk).expect("started");
        let client = harness.connect();
        call(&mut harness, client, "SET a 1");
        disk.break_op(op, EIO);
        call(&mut harness, client, "SET b 1");
        let ender = harness.connect();
        let refused = call(&mut harness, ender, "SHUTDOWN NOW").expect("a reply");
        assert!(refused.starts_with("-ERR Errors trying to SHUTDOWN"), "{op:?}: {refused}");
        assert_eq!(harness.server.shutdown, None);
        disk.heal();
        harness.call(ender, &words("SHUTDOWN"));
        assert_eq!(harness.server.shutdown, Some(0), "{op:?}");
        disk.reboot(Loss::All);
        let mut after = start(&config(AppendFsync::Everysec), &disk).expect("started");
        let client = after.connect();
        assert_eq!(call(&mut after, client, "DBSIZE").as_deref(), Some(":2\r\n"));
    }
    let disk = SimDisk::new();
    let mut harness = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = harness.connect();
    call(&mut harness, client, "SET a 1");
    disk.break_op(Op::Sync, EIO);
    harness.call(client, &words("SHUTDOWN FORCE"));
    assert_eq!(harness.server.shutdown, Some(0));
}

#[test]
fn history_that_was_kept_goes_before_the_reply() {
    let disk = SimDisk::new();
    let keeps = Config { aof_disable_auto_gc: true, ..config(AppendFsync::Everysec) };
    let mut harness = start(&keeps, &disk).expect("started");
    let client = harness.connect();
    for _ in 0..2 {
        call(&mut harness, client, "BGREWRITEAOF");
        harness.advance(100);
    }
    assert_eq!(names(&disk).len(), 7, "{:?}", names(&disk));
    harness.call(client, &words("CONFIG SET aof-disable-auto-gc no"));
    assert_eq!(names(&disk).len(), 3, "{:?}", names(&disk));
    let manifest = String::from_utf8(file(&disk, "appendonly.aof.manifest")).expect("text");
    assert_eq!(manifest.lines().count(), 2, "{manifest}");
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = SimDisk::new();
    let mut harness = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = harness.connect();
    assert!(call(&mut harness, client, "SET a 1").is_some());
    let before = file(&disk, "appendonly.aof.1.incr.aof");
    let used: usize =
        disk.files().iter().filter_map(|path| disk.contents(path)).map(|c| c.len()).sum();
    disk.set_capacity(used + 5);
    assert_eq!(call(&mut harness, client, "SET b 1"), None, "held back");
    assert_eq!(file(&disk, "appendonly.aof.1.incr.aof"), before, "cut back to what is whole");
    let other = harness.connect();
    let misconf = "-MISCONF Errors writing to the AOF file: No space left on device\r\n";
    assert_eq!(call(&mut harness, other, "SET c 1").as_deref(), Some(misconf));
    assert_eq!(call(&mut harness, other, "PING").as_deref(), Some(misconf));
    assert_eq!(call(&mut harness, other, "GET a").as_deref(), Some("$1\r\n1\r\n"));
    let info = call(&mut harness, other, "INFO persistence").expect("a reply");
    assert!(info.contains("aof_last_write_status:err"));
    harness.advance(1100);
    assert!(!harness.server.may_reply(client));
    disk.heal();
    harness.advance(1100);
    assert!(harness.server.may_reply(client));
    assert_eq!(call(&mut harness, other, "SET c 1").as_deref(), Some("+OK\r\n"));
    let before = digest(&mut harness);
    assert_eq!(digest(&mut start(&config(AppendFsync::Everysec), &disk).expect("started")), before);
}

#[test]
fn a_full_disk_does_not_keep_the_server_from_starting() {
    let config = config(AppendFsync::Everysec);
    let disk = SimDisk::new();
    let mut harness = start(&config, &disk).expect("started");
    let client = harness.connect();
    assert!(call(&mut harness, client, "SET a 1").is_some());
    drop(harness);
    let used: usize =
        disk.files().iter().filter_map(|path| disk.contents(path)).map(|c| c.len()).sum();
    disk.set_capacity(used);
    let mut harness = start(&config, &disk).expect("started");
    let client = harness.connect();
    assert_eq!(call(&mut harness, client, "GET a").as_deref(), Some("$1\r\n1\r\n"));
    assert_eq!(call(&mut harness, client, "SET b 1"), None, "held back");
}

#[test]
fn commands_that_fail_while_loading_are_told_and_counted() {
    let request = |line: &str| {
        let words = line.split(' ').map(|word| format!("${}\r\n{word}\r\n", word.len()));
        format!("*{}\r\n{}", line.split(' ').count(), words.collect::<String>())
    };
    let lines = ["SET a x", "LPUSH a 1", "SELECT 99", "MULTI", "INCR a", "SET b 1", "EXEC", "EXEC"];
    let disk = SimDisk::new();
    disk.put(format!("{DIR}/appendonly.aof.1.incr.aof"), lines.map(request).concat().as_bytes());
    let manifest = b"file appendonly.aof.1.incr.aof seq 1 type i\n";
    disk.put(format!("{DIR}/appendonly.aof.manifest"), manifest);
    let mut harness = Harness::on_disk(config(AppendFsync::Everysec), &disk);
    let log = tempfile::NamedTempFile::new().expect("a file");
    harness.server.log.redirect(log.path()).expect("a log");
    harness.server.log.set_level(Level::Warning);
    harness.server.load_aof().expect("loaded all the same");
    let told = std::fs::read_to_string(log.path()).expect("lines");
    let told: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once("== CRITICAL == "))
        .map(|(_, line)| line)
        .collect();
    let line = |error: &str, name: &str| {
        format!(
            "This server is sending an error to its AOF-loading-client: '{error}' after processing \
             the command '{name}'"
        )
    };
    let expected = [
        line("-WRONGTYPE Operation against a key holding the wrong kind of value", "lpush"),
        line("DB index is out of range", "select"),
        line("value is not an integer or out of range", "incr"),
        line("EXEC without MULTI", "exec"),
    ];
    assert_eq!(told, expected);
    let client = harness.connect();
    let info = call(&mut harness, client, "INFO stats").expect("a reply");
    assert!(info.contains("unexpected_error_replies:4\r\n"), "{info}");
    assert_eq!(call(&mut harness, client, "GET b").as_deref(), Some("$1\r\n1\r\n"));
}

#[test]
fn a_failed_sync_refuses_writes_and_leads_to_a_rewrite() {
    let disk = SimDisk::new();
    let mut harness = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = harness.connect();
    call(&mut harness, client, "SET a 1");
    disk.break_op(Op::Sync, EIO);
    harness.advance(1100);
    let refused = call(&mut harness, client, "SET b 1").expect("a reply");
    assert_eq!(refused, "-MISCONF Errors writing to the AOF file: Input/output error\r\n");
    disk.heal();
    harness.advance(1100);
    assert_eq!(call(&mut harness, client, "SET b 1").as_deref(), Some("+OK\r\n"));
    harness.advance(1100);
    harness.advance(1100);
    // The sync lost a part of the file, which the rewrite has made good.
    disk.reboot(Loss::All);
    let mut after = start(&config(AppendFsync::Everysec), &disk).expect("started");
    let client = after.connect();
    assert_eq!(
        call(&mut after, client, "MGET a b").as_deref(),
        Some("*2\r\n$1\r\n1\r\n$1\r\n1\r\n")
    );
}

#[test]
fn an_error_ends_the_server_where_replies_wait_for_syncs() {
    for op in [Op::Write, Op::Sync] {
        let disk = SimDisk::new();
        let mut harness = start(&config(AppendFsync::Always), &disk).expect("started");
        let client = harness.connect();
        disk.break_op(op, EIO);
        assert_eq!(call(&mut harness, client, "SET a 1"), None);
        assert_eq!(harness.server.shutdown, Some(1));
        harness.server.finish_aof();
        assert!(!harness.server.may_reply(client));
    }
}

#[test]
fn one_write_and_one_sync_serve_all_of_a_tick() {
    let disk = SimDisk::new();
    let mut harness = start(&config(AppendFsync::Always), &disk).expect("started");
    let clients: Vec<ClientRef> = (0..50).map(|_| harness.connect()).collect();
    let reader = harness.connect();
    let before = disk.ops();
    for client in &clients {
        harness.call(*client, &words("INCR n"));
        assert!(!harness.server.may_reply(*client));
    }
    harness.call(reader, &words("GET n"));
    assert!(harness.server.may_reply(reader), "who reads doesn't wait");
    harness.server.flush_aof();
    assert_eq!(disk.ops() - before, 2);
    assert!(clients.iter().all(|client| harness.server.may_reply(*client)));
}

/// Has clients write, as connections do whose replies then wait.
fn write_and_wait(harness: &mut Harness, clients: &[ClientRef]) {
    for client in clients {
        harness.call(*client, &words("INCR n"));
        harness.server.wait_for_aof(*client);
    }
}

#[test]
fn a_sync_waits_for_those_who_were_answered_last() {
    let disk = SimDisk::new();
    let mut harness = start(&config(AppendFsync::Always), &disk).expect("started");
    let clients: Vec<ClientRef> = (0..3).map(|_| harness.connect()).collect();
    write_and_wait(&mut harness, &clients);
    assert_eq!(harness.server.commit_aof(), None, "nobody is known yet");
    let before = disk.ops();
    for (at, client) in clients.iter().enumerate() {
        write_and_wait(&mut harness, &[*client]);
        assert_eq!(harness.server.commit_aof().is_none(), at == 2);
    }
    assert_eq!(disk.ops() - before, 2);
    assert!(clients.iter().all(|client| harness.server.may_reply(*client)));

    // But not for long.
    write_and_wait(&mut harness, &clients[..1]);
    let wait = harness.server.commit_aof().expect("others are expected");
    assert!(wait < std::time::Duration::from_millis(1) && disk.ops() - before == 2);
    harness.clock.advance(1);
    assert_eq!(harness.server.commit_aof(), None);
    assert!(harness.server.may_reply(clients[0]));
    write_and_wait(&mut harness, &clients[..1]);
    assert_eq!(harness.server.commit_aof(), None, "nobody else was answered");

    // Nor for who is gone, nor when it isn't asked for.
    write_and_wait(&mut harness, &clients);
    harness.server.commit_aof();
    write_and_wait(&mut harness, &clients[..2]);
    harness.server.remove_client(clients[1]);
    assert!(harness.server.commit_aof().is_some());
    harness.server.flush_aof();
    assert!(harness.server.may_reply(clients[0]));
}

#[test]
fn no_power_cut_loses_what_a_group_was_told() {
    let config = config(AppendFsync::Always);
    let run = |disk: &SimDisk| {
        let (mut acked, mut waiting) = (0, Vec::new());
        let Some(mut harness) = start(&config, disk) else { return acked };
        let clients: Vec<ClientRef> = (0..3).map(|_| harness.connect()).collect();
        for turn in 0..20 {
            for client in &clients {
                write_and_wait(&mut harness, &[*client]);
                waiting.push(*client);
                // The first group is of all, and so are those that follow.
                if (turn > 0 || waiting.len() == 3) && harness.server.commit_aof().is_none() {
                    let told = |client: &ClientRef| harness.server.may_reply(*client);
                    acked += waiting.drain(..).filter(told).count();
                }
            }
        }
        assert!(disk.is_off() || disk.ops() < 80, "{} operations", disk.ops());
        acked
    };
    let whole = SimDisk::new();
    assert_eq!(run(&whole), 60);
    for cut in 0..whole.ops() {
        let disk = SimDisk::new();
        disk.fail_at(cut, Fault::PowerCut);
        let acked = run(&disk);
        disk.reboot(Loss::All);
        let mut after = start(&config, &disk).expect("a start");
        let client = after.connect();
        let reply = after.call(client, &words("INCRBY n 0"));
        let found: usize = String::from_utf8_lossy(&reply[1..]).trim().parse().expect("a number");
        assert!(found >= acked, "cut at {cut}: {acked} acked, {found} found");
    }
}
