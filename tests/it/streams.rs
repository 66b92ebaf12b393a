//! Streams: what is told of them to the append only file and to replicas, and input that means harm.

use proptest::prelude::*;
use rhubarb::config::{Allow, Config};
use rhubarb::server::client::ClientRef;
use rhubarb::server::propagate::Targets;

use crate::harness::Harness;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// A server, and what it tells.
struct Told {
    harness: Harness,
    client: ClientRef,
}

impl Told {
    fn new() -> Self {
        let config = Config { enable_debug_command: Allow::Yes, ..Config::default() };
        let mut harness = Harness::with(config);
        harness.server.propagation.listen(Targets::all(), true);
        let client = harness.connect();
        Self { harness, client }
    }

    fn call(&mut self, line: &str) -> String {
        text(&self.harness.call(self.client, &words(line)))
    }

    fn feed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.harness.server.propagation.aof.buf)
    }

    /// The requests told since the last look, without what frames them.
    fn told(&mut self) -> Vec<String> {
        let feed = text(&self.feed());
        let mut lines = feed.split("\r\n");
        let mut found = Vec::new();
        while let Some(count) = lines.next().and_then(|line| line.strip_prefix('*')) {
            let count: usize = count.parse().expect("a count");
            let words: Vec<&str> = (0..count).filter_map(|_| lines.by_ref().nth(1)).collect();
            found.push(words.join(" "));
        }
        found.retain(|request| !["SELECT 0", "MULTI", "EXEC"].contains(&request.as_str()));
        found
    }
}

#[test]
fn effects_are_told_so_that_they_happen_again() {
    let mut told = Told::new();
    told.call("XADD s 1-1 a 1");
    told.call("XADD s 1-* a 2");
    told.call("XADD s * a 3");
    told.call("XADD s NOMKSTREAM MAXLEN ~ 100 LIMIT 5 * a 4");
    told.call("XADD s MINID ~ 1-2 * a 4");
    told.call("XTRIM s MAXLEN = 3");
    told.call("XTRIM s MAXLEN ~ 1");
    told.call("XADD none NOMKSTREAM * a 1");
    assert_eq!(
        told.told(),
        [
            "XADD s 1-1 a 1",
            "XADD s 1-2 a 2",
            "XADD s 1700000000000-0 a 3",
            "XADD s NOMKSTREAM MAXLEN = 4 1700000000000-1 a 4",
            "XADD s MINID = 1-1 1700000000000-2 a 4",
            "XTRIM s MAXLEN = 3",
        ]
    );
    told.call("DEL s");
    told.call("XADD s 1-1 a 1");
    told.call("XADD s 2-1 a 2");
    told.call("XGROUP CREATE s g 0");
    told.told();
    told.call("XREADGROUP GROUP g alice COUNT 1 STREAMS s >");
    told.call("XREADGROUP GROUP g alice STREAMS s 0");
    told.call("XREADGROUP GROUP g bob NOACK STREAMS s >");
    told.call("XREADGROUP GROUP g carol STREAMS s >");
    told.call("XCLAIM s g bob 0 1-1 TIME 1000");
    told.call("XCLAIM s g bob 100000000000000 1-1");
    told.call("XCLAIM s g bob 0 9-9 LASTID 9-9");
    told.call("XAUTOCLAIM s g dave 0 0 JUSTID");
    told.call("XACK s g 1-1 5-5");
    told.call("XACK s g 1-1");
    assert_eq!(
        told.told(),
        [
            "XCLAIM s g alice 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1",
            "XGROUP SETID s g 1-1 ENTRIESREAD 1",
            "XGROUP CREATECONSUMER s g bob",
            "XGROUP SETID s g 2-1 ENTRIESREAD 2",
            "XGROUP CREATECONSUMER s g carol",
            "XCLAIM s g bob 0 1-1 TIME 1000 RETRYCOUNT 3 FORCE JUSTID LASTID 2-1",
            "XGROUP SETID s g 9-9 ENTRIESREAD 2",
            "XGROUP CREATECONSUMER s g dave",
            "XCLAIM s g dave 0 1-1 TIME 1700000000000 RETRYCOUNT 3 FORCE JUSTID LASTID 9-9",
            "XACK s g 1-1 5-5",
        ]
    );
}

fn id() -> impl Strategy<Value = String> {
    (1u64..9, 0u64..4).prop_map(|(ms, seq)| format!("{ms}-{seq}"))
}

fn command() -> impl Strategy<Value = String> {
    let trim = prop_oneof![
        3 => Just(String::new()),
        1 => (0u64..9).prop_map(|len| format!("MAXLEN {len} ")),
        1 => (0u64..9, 0u64..9).prop_map(|(len, limit)| format!("MAXLEN ~ {len} LIMIT {limit} ")),
        1 => id().prop_map(|id| format!("MINID ~ {id} ")),
        1 => id().prop_map(|id| format!("MINID {id} ")),
    ];
    let new = prop_oneof![Just("*".to_string()), (1u64..9).prop_map(|ms| format!("{ms}-*")), id()];
    let group = "(g|h)";
    let consumer = "(alice|bob|carol)";
    prop_oneof![
        6 => (trim, new).prop_map(|(trim, id)| format!("XADD s {trim}{id} field value")),
        1 => id().prop_map(|id| format!("XTRIM s MINID ~ {id}")),
        2 => (id(), id()).prop_map(|(a, b)| format!("XDEL s {a} {b}")),
        1 => (group, id()).prop_map(|(group, id)| format!("XGROUP CREATE s {group} {id} MKSTREAM")),
        1 => (group, id()).prop_map(|(group, id)| format!("XGROUP SETID s {group} {id}")),
        1 => (group, consumer).prop_map(|(g, c)| format!("XGROUP DELCONSUMER s {g} {c}")),
        5 => (group, consumer, 1u64..4).prop_map(|(g, c, n)| format!("XREADGROUP GROUP {g} {c} COUNT {n} STREAMS s >")),
        1 => (group, consumer).prop_map(|(g, c)| format!("XREADGROUP GROUP {g} {c} NOACK STREAMS s >")),
        2 => (group, id(), id()).prop_map(|(g, a, b)| format!("XACK s {g} {a} {b}")),
        2 => (group, consumer, id(), id(), id()).prop_map(|(g, c, a, b, l)| format!("XCLAIM s {g} {c} 0 {a} {b} FORCE LASTID {l}")),
        2 => (group, consumer, id()).prop_map(|(g, c, id)| format!("XAUTOCLAIM s {g} {c} 0 {id} COUNT 2")),
        1 => id().prop_map(|id| format!("XSETID s {id}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_server_that_is_told_has_the_same_streams(commands in proptest::collection::vec(command(), 1..60)) {
        let mut source = Told::new();
        let setup = ["CONFIG SET stream-node-max-entries 3", "XGROUP CREATE s g 0 MKSTREAM"];
        setup.iter().for_each(|line| drop(source.call(line)));
        for command in &commands {
            source.call(command);
        }
        let feed = source.feed();
        let mut copy = Told::new();
        copy.call(setup[0]);
        let replies = text(&copy.harness.send(copy.client, &feed));
        prop_assert!(!replies.contains("\r\n-") && !replies.starts_with('-'), "{}", replies);
        for question in ["DEBUG DIGEST", "XINFO GROUPS s", "XPENDING s g - + 99", "XPENDING s h - + 99"] {
            prop_assert_eq!(source.call(question), copy.call(question), "{}", question);
        }
        // Trimming may have left other marks, so only what is there must agree.
        let full = |told: &mut Told| {
            let info = told.call("XINFO STREAM s FULL COUNT 0");
            let at = info.find("last-generated-id").unwrap_or(0);
            info[at..].to_string()
        };
        prop_assert_eq!(full(&mut source), full(&mut copy));
    }
}

#[test]
fn extreme_numbers_and_many_ids_do_no_harm() {
    let mut harness = Harness::new();
    let client = harness.connect();
    for ms in 1..200 {
        harness.call(client, &words(&format!("XADD s {ms}-1 a {ms}")));
    }
    harness.call(client, &words("XGROUP CREATE s g 0"));
    harness.call(client, &words("XREADGROUP GROUP g c STREAMS s >"));
    let ids: Vec<String> = (0..20_000).map(|ms| format!("{ms}-1")).collect();
    let many = |head: &str| {
        let mut request: Vec<Vec<u8>> = words(head).into_iter().map(<[u8]>::to_vec).collect();
        request.extend(ids.iter().map(|id| id.clone().into_bytes()));
        request
    };
    let mut call = |words: &[Vec<u8>]| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        text(&harness.call(client, &words))
    };
    assert!(call(&many("XCLAIM s g d 0")).starts_with("*199\r\n"));
    assert_eq!(call(&many("XACK s g")), ":199\r\n");
    assert_eq!(call(&many("XDEL s")), ":199\r\n");
    let mut line =
        |line: &str| call(&words(line).into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
    let max = i64::MAX;
    for (request, reply) in [
        (format!("XAUTOCLAIM s g c 0 0 COUNT {max}"), "-ERR COUNT must be > 0\r\n"),
        (
            format!("XAUTOCLAIM s g c {} 0 COUNT {}", i64::MIN, max / 16),
            "*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n",
        ),
        (format!("XTRIM s MAXLEN ~ {max} LIMIT {max}"), ":0\r\n"),
        (format!("XTRIM s MAXLEN {max}"), ":0\r\n"),
        (format!("XRANGE s - + COUNT {max}"), "*0\r\n"),
        (format!("XPENDING s g IDLE {max} - + {max}"), "*0\r\n"),
        (format!("XSETID s {0}-{0} ENTRIESADDED {max}", u64::MAX), "+OK\r\n"),
        (
            "XADD s * a b".into(),
            "-ERR The stream has exhausted the last possible ID, unable to add more items\r\n",
        ),
        (format!("XGROUP CREATE s h {0}-{0} ENTRIESREAD {max}", u64::MAX), "+OK\r\n"),
        ("XREADGROUP GROUP h c STREAMS s >".into(), "*-1\r\n"),
        ("CONFIG SET stream-node-max-entries 9223372036854775807".into(), "+OK\r\n"),
        ("CONFIG SET stream-node-max-bytes 9223372036854775807".into(), "+OK\r\n"),
        ("XADD t MAXLEN ~ 1 1-1 a b".into(), "$3\r\n1-1\r\n"),
        ("XADD t 1-2 a b".into(), "$3\r\n1-2\r\n"),
        (format!("XADD t {}-1 a b", u64::MAX), "$22\r\n18446744073709551615-1\r\n"),
    ] {
        assert_eq!(line(&request), reply, "{request}");
    }
    let info = line("XINFO STREAM t FULL COUNT 9223372036854775807");
    assert!(info.contains("18446744073709551615-1"), "{info}");
}
