//! What is told to the append only file and to replicas: exact requests, and that a server that
//! executes them has the same data.

use proptest::prelude::*;
use rhubarb::config::{Allow, Config, SavePoint};
use rhubarb::server::client::ClientRef;
use rhubarb::server::propagate::Targets;

use crate::harness::{Harness, START_MS};

fn config() -> Config {
    Config { enable_debug_command: Allow::Yes, ..Config::default() }
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// The requests of a feed, one text each.
fn requests(feed: &[u8]) -> Vec<String> {
    let text = String::from_utf8(feed.to_vec()).expect("text");
    let mut lines = text.split("\r\n");
    let mut found = Vec::new();
    while let Some(count) = lines.next().and_then(|line| line.strip_prefix('*')) {
        let count: usize = count.parse().expect("a count");
        let words: Vec<&str> = (0..count).filter_map(|_| lines.by_ref().nth(1)).collect();
        found.push(words.join(" "));
    }
    found
}

struct Told {
    harness: Harness,
    client: ClientRef,
}

impl Told {
    fn with(config: Config) -> Self {
        let mut harness = Harness::with(config);
        harness.server.propagation.listen(Targets::all(), true);
        let client = harness.connect();
        let mut told = Self { harness, client };
        told.call("SET before 1");
        told.aof();
        told
    }

    fn call(&mut self, line: &str) -> String {
        let reply = self.harness.call(self.client, &words(line));
        String::from_utf8(reply).expect("text")
    }

    fn aof(&mut self) -> Vec<String> {
        requests(&std::mem::take(&mut self.harness.server.propagation.aof.buf))
    }

    fn replicas(&mut self) -> Vec<String> {
        requests(&std::mem::take(&mut self.harness.server.propagation.replicas.buf))
    }

    /// Calls `lines`, of which the last is told as `expected` (and the others are not looked at).
    #[track_caller]
    fn check(&mut self, lines: &[&str], expected: &[&str]) {
        let (last, first) = lines.split_last().expect("a line");
        first.iter().for_each(|line| {
            let reply = self.call(line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        });
        self.aof();
        let reply = self.call(last);
        assert!(!reply.starts_with('-'), "{last}: {reply}");
        assert_eq!(self.aof(), expected, "{last}");
        self.call("FLUSHALL");
        self.aof();
    }
}

#[test]
fn what_changes_nothing_is_not_told() {
    let mut told = Told::with(config());
    for line in ["GET a", "SETNX before 2", "DEL nothing", "LPOP l", "SPOP s 3", "EXPIRE a 10"] {
        told.check(&["SET before 1", line], &[]);
    }
    told.check(&["EXPIRE before 0 GT"], &[]);
    told.check(&["PING"], &[]);
}

#[test]
fn what_is_the_same_again_is_told_as_called() {
    let mut told = Told::with(config());
    for line in [
        "incr n",
        "SET k v NX",
        "SET k v KEEPTTL",
        "APPEND k more",
        "ZADD z INCR 2 a",
        "ZINCRBY z 1.5 a",
        "HINCRBY h f 2",
        "RPUSH l a b c",
        "FLUSHALL",
        "FLUSHDB ASYNC",
        "SWAPDB 0 1",
        "SET k v PXAT 1800000000000",
    ] {
        told.check(&["SET other 1", line], &[line]);
    }
    told.check(&["RPUSH l 3 1 2", "SORT l STORE t"], &["SORT l STORE t"]);
    told.check(&["SET a 1", "RENAME a b"], &["RENAME a b"]);
    told.check(&["SET a 1", "COPY a b DB 3"], &["COPY a b DB 3"]);
    told.check(&["SET a 1", "MOVE a 2"], &["MOVE a 2"]);
}

#[test]
fn relative_time_becomes_absolute() {
    let mut told = Told::with(config());
    let at = |ms: i64| (START_MS + ms).to_string();
    let in_10_s = at(10_000);
    for (line, expected) in [
        ("SET k v EX 10", format!("SET k v PXAT {in_10_s}")),
        ("SET k v GET PX 10000", format!("SET k v PXAT {in_10_s}")),
        ("SET k v EXAT 1800000000", "SET k v PXAT 1800000000000".into()),
        ("SET k v GET", "SET k v".into()),
        ("SET k v XX GET KEEPTTL", "SET k v XX KEEPTTL".into()),
        ("SETEX k 10 v", format!("SET k v PXAT {in_10_s}")),
        ("PSETEX k 10000 v", format!("SET k v PXAT {in_10_s}")),
        ("GETSET k v", "SET k v".into()),
        ("GETDEL k", "DEL k".into()),
        ("GETEX k EX 10", format!("PEXPIREAT k {in_10_s}")),
        ("GETEX k PXAT 5", "DEL k".into()),
        ("EXPIRE k 10", format!("PEXPIREAT k {in_10_s}")),
        ("EXPIRE k 10 NX", format!("PEXPIREAT k {in_10_s} NX")),
        ("PEXPIRE k 10000 LT", format!("PEXPIREAT k {in_10_s} LT")),
        ("EXPIREAT k 1800000000", "PEXPIREAT k 1800000000000".into()),
        ("PEXPIREAT k 1800000000000", "PEXPIREAT k 1800000000000".into()),
        ("EXPIRE k -1", "DEL k".into()),
        ("INCRBYFLOAT k 0.1", "SET k 3.1 KEEPTTL".into()),
    ] {
        told.check(&["SET k 3", line], &[&expected]);
    }
    told.check(&["SET k v EX 10", "GETEX k PERSIST"], &["PERSIST k"]);
    told.check(&["HSET h f 3", "HINCRBYFLOAT h f 0.5"], &["HSET h f 3.5"]);
    let mut lazy = Told::with(Config { lazyfree_lazy_expire: true, ..config() });
    lazy.check(&["SET k 3", "EXPIRE k -1"], &["UNLINK k"]);
    lazy.check(&["SET k 3", "GETEX k PXAT 5"], &["UNLINK k"]);
}

#[test]
fn deadlines_of_fields_are_told_absolutely() {
    let mut told = Told::with(config());
    let at = START_MS + 10_000;
    for (line, expected) in [
        ("HEXPIRE h 10 FIELDS 2 a none", format!("HPEXPIREAT h {at} FIELDS 1 a")),
        ("HPEXPIRE h 10000 NX FIELDS 2 a b", format!("HPEXPIREAT h {at} FIELDS 2 a b")),
        ("HEXPIREAT h 5 FIELDS 2 a b", "HDEL h a b".into()),
        ("HGETEX h EX 10 FIELDS 1 a", format!("HPEXPIREAT h {at} FIELDS 1 a")),
        ("HGETEX h PXAT 5 FIELDS 2 a b", "HDEL h a b".into()),
        ("HGETDEL h FIELDS 2 none a", "HDEL h a".into()),
        ("HSETEX h PXAT 5 FIELDS 2 a 5 none 5", "HDEL h a".into()),
        ("HSETEX h FIELDS 1 a 5", "HSETEX h FIELDS 1 a 5".into()),
        ("MSETEX 2 k 1 l 2 EX 10", format!("MSETEX 2 k 1 l 2 PXAT {at}")),
    ] {
        told.check(&["HSET h a 1 b 2", line], &[&expected]);
    }
    for line in ["HEXPIRE h 10 XX FIELDS 1 a", "HPERSIST h FIELDS 1 a", "HGETEX h FIELDS 1 a"] {
        told.check(&["HSET h a 1 b 2", line], &[]);
    }
    let (volatile, told_at) =
        ("HPEXPIRE h 10000 FIELDS 1 a", format!("HPEXPIREAT h {at} FIELDS 1 a"));
    told.check(&["HSET h a 1", volatile, "HPERSIST h FIELDS 1 a"], &["HPERSIST h FIELDS 1 a"]);
    told.check(
        &["HSET h a 1", volatile, "HINCRBYFLOAT h a 0.5"],
        &["MULTI", "HSET h a 1.5", &told_at, "EXEC"],
    );
    told.check(
        &["SET k v", "HSETEX h EX 10 FIELDS 1 a 5"],
        &["MULTI", "HSET h a 5", &told_at, "EXEC"],
    );
    told.check(&["SET k v", "SET k w IFEQ v"], &["SET k w"]);
    told.check(&["SET k v", "DELIFEQ k v"], &["DELIFEQ k v"]);
    told.check(&["PFADD p a b", "PFCOUNT p"], &["PFCOUNT p"]);
    // What is due is told before what noticed it.
    told.call("HSET h a 1 b 2");
    told.call("HPEXPIRE h 10 FIELDS 1 a");
    told.aof();
    told.harness.advance(11);
    assert_eq!(told.aof(), ["HDEL h a"]);
}

#[test]
fn chance_is_told_by_its_outcome() {
    let mut told = Told::with(config());
    told.check(&["SADD s a", "SPOP s"], &["SREM s a"]);
    told.check(&["SADD s a b", "SPOP s 2"], &["DEL s"]);
    told.check(&["SADD s 1 2 3", "SPOP s 9"], &["DEL s"]);
    for line in ["SPOP s", "SPOP s 2"] {
        told.call("SADD s a b c");
        told.aof();
        told.call(line);
        let left = told.call("SMEMBERS s");
        let effects = told.aof();
        assert_eq!(effects.len(), 1);
        let removed: Vec<&str> = effects[0].split(' ').collect();
        assert_eq!(&removed[..2], ["SREM", "s"]);
        assert!(removed[2..].iter().all(|member| !left.contains(&format!("\r\n{member}\r\n"))));
        told.call("DEL s");
    }
    let members: Vec<String> = (0..3000).map(|i| format!("m{i}")).collect();
    told.call(&format!("SADD s {}", members.join(" ")));
    told.aof();
    told.call("SPOP s 2000");
    let sizes: Vec<usize> = told.aof().iter().map(|line| line.split(' ').count()).collect();
    // MULTI, two batches, EXEC.
    assert_eq!(sizes, [1, 1026, 978, 1]);
    let mut lazy = Told::with(Config { lazyfree_lazy_server_del: true, ..config() });
    lazy.check(&["SADD s a b", "SPOP s 2"], &["UNLINK s"]);
}

#[test]
fn pops_tell_what_they_took() {
    let mut told = Told::with(config());
    let list = "RPUSH l 1 2 3";
    told.check(&[list, "BLPOP x l 0"], &["LPOP l"]);
    told.check(&[list, "BRPOP l 0"], &["RPOP l"]);
    told.check(&[list, "LMPOP 2 x l RIGHT COUNT 9"], &["RPOP l 3"]);
    told.check(&[list, "BLMPOP 0 1 l LEFT"], &["LPOP l 1"]);
    told.check(&[list, "BLMOVE l m left right 0"], &["LMOVE l m left right"]);
    told.check(&[list, "BRPOPLPUSH l m 0"], &["RPOPLPUSH l m"]);
    told.check(&[list, "RPOPLPUSH l m"], &["RPOPLPUSH l m"]);
    let zset = "ZADD z 1 a 2 b";
    told.check(&[zset, "BZPOPMIN z 0"], &["ZPOPMIN z"]);
    told.check(&[zset, "BZPOPMAX x z 0"], &["ZPOPMAX z"]);
    told.check(&[zset, "ZMPOP 1 z MAX COUNT 5"], &["ZPOPMAX z 2"]);
    told.check(&[zset, "BZMPOP 0 1 z MIN"], &["ZPOPMIN z 1"]);
}

#[test]
fn a_blocked_client_is_told_when_it_is_served() {
    let mut told = Told::with(config());
    let waiting = told.harness.connect();
    told.harness.call(waiting, &words("BLMOVE l m LEFT RIGHT 0"));
    assert_eq!(told.aof(), [""; 0]);
    told.call("RPUSH l a");
    assert_eq!(told.aof(), ["RPUSH l a", "LMOVE l m LEFT RIGHT"]);
}

#[test]
fn transactions_and_scripts_are_units() {
    let mut told = Told::with(config());
    told.check(&["MULTI", "SET a 1", "GET a", "EXEC"], &["SET a 1"]);
    told.check(&["MULTI", "SET a 1", "INCR a", "EXEC"], &["MULTI", "SET a 1", "INCR a", "EXEC"]);
    let script = |told: &mut Told, text: &str| {
        told.harness.call(told.client, &[b"EVAL", text.as_bytes(), b"0"]);
        let aof = told.aof();
        told.call("SELECT 0");
        (aof, told.replicas())
    };
    told.replicas();
    let (aof, _) = script(
        &mut told,
        "redis.call('SET', 'k', 'v', 'EX', 10) redis.call('INCRBYFLOAT', 'f', '0.5')",
    );
    let expected = format!("SET k v PXAT {}", START_MS + 10_000);
    assert_eq!(aof, ["MULTI", &expected, "SET f 0.5 KEEPTTL", "EXEC"]);
    let (aof, replicas) = script(
        &mut told,
        "redis.set_repl(redis.REPL_AOF) redis.call('SET', 'a', 1)
         redis.set_repl(redis.REPL_REPLICA) redis.call('SET', 'r', 1)
         redis.set_repl(redis.REPL_NONE) redis.call('SET', 'n', 1)",
    );
    assert_eq!(aof, ["SET a 1"]);
    assert_eq!(replicas, ["SET r 1"]);
    // It holds for the script only.
    told.call("SET x 1");
    assert_eq!((told.aof(), told.replicas()), (vec!["SET x 1".into()], vec!["SET x 1".into()]));
}

#[test]
fn messages_go_to_replicas_only() {
    let mut told = Told::with(config());
    told.replicas();
    told.call("PUBLISH c hello");
    told.call("SPUBLISH c hello");
    assert_eq!(told.aof(), [""; 0]);
    assert_eq!(told.replicas(), ["PUBLISH c hello", "SPUBLISH c hello"]);
}

#[test]
fn expiry_is_told_before_what_noticed_it() {
    let mut told = Told::with(config());
    told.call("DEBUG SET-ACTIVE-EXPIRE 0");
    told.call("SET k v PX 5");
    told.aof();
    told.harness.advance(10);
    told.call("APPEND k w");
    assert_eq!(told.aof(), ["MULTI", "DEL k", "APPEND k w", "EXEC"]);
    told.call("PEXPIRE k 5");
    told.aof();
    told.harness.advance(10);
    told.call("GET k");
    assert_eq!(told.aof(), ["DEL k"]);
    told.call("DEBUG SET-ACTIVE-EXPIRE 1");
    told.call("SET k v PX 5");
    told.aof();
    told.harness.advance(100);
    assert_eq!(told.aof(), ["DEL k"]);
}

/// Commands on few keys, so that they meet: of all types, with all that isn't told as called.
fn command() -> impl Strategy<Value = String> {
    let key = "[abcd]";
    let member = "[0-9]|[xyz]{1,2}";
    let lines = [
        "SET K M",
        "SET K 5 EX 10",
        "SET K 1 PX 20 GET",
        "SETEX K 1 7",
        "GETSET K 3",
        "GETDEL K",
        "GETEX K PX 15",
        "GETEX K PERSIST",
        "INCR K",
        "INCRBYFLOAT K 0.3",
        "APPEND K M",
        "SETRANGE K 3 M",
        "EXPIRE K 1",
        "PEXPIRE K 12 GT",
        "PEXPIREAT K 5",
        "PERSIST K",
        "DEL K",
        "UNLINK K K",
        "RENAME K K",
        "COPY K K REPLACE",
        "COPY K K DB 1",
        "MOVE K 1",
        "SWAPDB 0 1",
        "SELECT 1",
        "SELECT 0",
        "LPUSH K M M",
        "RPUSH K M",
        "LPOP K",
        "RPOP K 2",
        "LREM K 0 M",
        "LMPOP 2 K K LEFT COUNT 2",
        "BLPOP K K 1",
        "BLMOVE K K LEFT RIGHT 1",
        "RPOPLPUSH K K",
        "BLMPOP 1 1 K RIGHT",
        "SORT K ALPHA STORE K",
        "SADD K M M M M",
        "SREM K M",
        "SPOP K",
        "SPOP K 2",
        "SMOVE K K M",
        "SUNIONSTORE K K K",
        "SDIFFSTORE K K K",
        "HSET K M M",
        "HINCRBY K M 4",
        "HINCRBYFLOAT K M 0.7",
        "HDEL K M",
        "ZADD K 2 M 1.5 M",
        "ZINCRBY K 0.1 M",
        "ZADD K INCR 3 M",
        "ZPOPMIN K",
        "BZPOPMAX K 1",
        "ZMPOP 1 K MIN COUNT 2",
        "ZUNIONSTORE K 2 K K",
        "ZRANGESTORE K K 0 1",
        "FLUSHDB",
        "MULTI",
        "EXEC",
        "DISCARD",
        "TICK",
    ];
    (
        prop::sample::select(lines.to_vec()),
        prop::collection::vec(key, 4),
        prop::collection::vec(member, 4),
    )
        .prop_map(|(line, keys, members)| {
            let (mut keys, mut members) = (keys.into_iter(), members.into_iter());
            let words = line.split(' ').map(|word| match word {
                "K" => keys.next().expect("a key"),
                "M" => members.next().expect("a member"),
                word => word.to_string(),
            });
            words.collect::<Vec<_>>().join(" ")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_replay_gives_the_same_data(lines in prop::collection::vec(command(), 1..60)) {
        let mut first = Harness::with(config());
        first.server.propagation.listen(Targets::AOF, true);
        let mut client = first.connect();
        for line in &lines {
            if line == "TICK" {
                first.advance(9);
                continue;
            }
            first.call(client, &words(line));
            if first.server.clients.get(client).is_some_and(|client| client.is_blocked()) {
                client = first.connect();
            }
        }
        let feed = std::mem::take(&mut first.server.propagation.aof.buf);
        let mut second = Harness::with(config());
        let replayer = second.connect();
        let replies = second.send(replayer, &feed);
        let errors: Vec<_> = replies.split(|&b| b == b'\n').filter(|l| l.starts_with(b"-")).collect();
        prop_assert!(errors.is_empty(), "{:?}", requests(&feed));
        let digest = words("DEBUG DIGEST");
        let client = first.connect();
        prop_assert_eq!(
            first.call(client, &digest),
            second.call(replayer, &digest),
            "{:?}",
            requests(&feed)
        );
    }
}

#[test]
fn libraries_are_told_as_they_were_loaded_and_functions_by_what_they_do() {
    const CODE: &[u8] = b"#!lua name=lib\nredis.register_function('f', function(keys) \
        redis.call('get', keys[1]) redis.call('incr', keys[1]) return redis.call('incr', 'n') end)";
    let mut told = Told::with(config());
    told.harness.call(told.client, &[b"FUNCTION", b"LOAD", CODE]);
    let loaded = format!("FUNCTION LOAD {}", String::from_utf8_lossy(CODE));
    assert_eq!(told.aof(), [loaded]);
    assert_eq!(told.call("FCALL f 1 k"), ":1\r\n");
    assert_eq!(told.aof(), ["MULTI", "incr k", "incr n", "EXEC"]);
    told.call("FUNCTION DELETE other");
    told.call("FUNCTION LIST");
    assert!(told.aof().is_empty());
    told.call("FUNCTION DELETE lib");
    told.call("FUNCTION FLUSH SYNC");
    assert_eq!(told.aof(), ["FUNCTION DELETE lib", "FUNCTION FLUSH SYNC"]);
}

#[test]
fn flushes_are_told_even_if_all_was_saved_or_nothing_was_there() {
    let save = vec![SavePoint { seconds: 60, changes: 1 }];
    let mut told = Told::with(Config { save, ..config() });
    for _ in 0..2 {
        told.call("FLUSHALL");
        assert_eq!(told.aof(), ["FLUSHALL"]);
        told.call("FLUSHDB SYNC");
        assert_eq!(told.aof(), ["FLUSHDB SYNC"]);
    }
}
