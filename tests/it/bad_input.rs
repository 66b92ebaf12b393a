//! What attackers send: each gets a clear error, costs bounded memory, and stops no one.

use rhubarb::config::Config;
use rhubarb::server::client::ClientFlags;

use crate::harness::Harness;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_unauthenticated_get_little() {
    let mut harness =
        Harness::with(Config { requirepass: b"secret".to_vec(), ..Config::default() });
    let client = harness.connect();
    assert_eq!(text(&harness.send(client, b"GET a\r\n")), "-NOAUTH Authentication required.\r\n");
    let many = harness.send(client, b"*11\r\n");
    assert_eq!(text(&many), "-ERR Protocol error: unauthenticated multibulk length\r\n");
    let long = harness.send(client, b"*2\r\n$20000\r\n");
    assert_eq!(text(&long), "-ERR Protocol error: unauthenticated bulk length\r\n");
    let wrong = harness.send(client, b"AUTH nope\r\n");
    assert!(text(&wrong).starts_with("-WRONGPASS"), "{}", text(&wrong));
    assert_eq!(text(&harness.send(client, b"AUTH secret\r\nPING\r\n")), "+OK\r\n+PONG\r\n");
}

#[test]
fn unread_noauth_replies_do_not_pile_up() {
    let mut harness =
        Harness::with(Config { requirepass: b"secret".to_vec(), ..Config::default() });
    let client = harness.connect();
    for _ in 0..100_000 {
        let args = rhubarb::resp::ArgBuf::from_iter(["GET", "a"]);
        harness.server.process(client, args.args());
    }
    let client = harness.server.clients.get(client).expect("a client");
    assert!(client.flags.contains(ClientFlags::CLOSE_ASAP));
}

#[test]
fn names_do_not_inject_replies() {
    let mut harness = Harness::new();
    let client = harness.connect();
    let reply = harness.call(client, &[b"no\r\n+OK\r\n", b"x\r\n:1\r\n"]);
    assert_eq!(text(&reply).matches("\r\n").count(), 1, "{}", text(&reply));
    let reply = harness.call(client, &[b"CLIENT", b"no\r\n+OK"]);
    assert_eq!(text(&reply).matches("\r\n").count(), 1, "{}", text(&reply));
    let reply = harness.call(client, &[b"CLIENT", b"SETNAME", b"a\r\nb"]);
    assert!(text(&reply).starts_with("-ERR Client names cannot"), "{}", text(&reply));
    let script = b"return redis.error_reply('My Err\\r\\n+OK')";
    let reply = harness.call(client, &[b"EVAL", script, b"0"]);
    assert_eq!(text(&reply).matches("\r\n").count(), 1, "{}", text(&reply));
}

#[test]
fn what_is_quoted_keeps_its_bytes() {
    let mut harness = Harness::new();
    let client = harness.connect();
    let reply = harness.call(client, &[b"\xff\xfe", b"a\xffb\0c", b"d"]);
    let wanted = b"-ERR unknown command '\xff\xfe', with args beginning with: 'a\xffb' 'd' \r\n";
    assert_eq!(reply, wanted);
    let reply = harness.call(client, &[b"CONFIG", b"\xff\0a"]);
    assert_eq!(reply, b"-ERR unknown subcommand '\xff'. Try CONFIG HELP.\r\n");
    let reply = harness.call(client, &[b"MEMORY", b"USAGE", b"k", b"\xff", b"1", b"2"]);
    assert_eq!(reply, b"-ERR syntax error\r\n");
    let reply = harness.call(client, &[b"CLIENT", b"unblock", b"1", b"2", b"3"]);
    let wanted =
        "-ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.\r\n";
    assert_eq!(text(&reply), wanted);
}

#[test]
fn http_is_not_executed() {
    for start in [&b"POST / HTTP/1.1\r\n"[..], b"GET /\r\nHOST: example.org\r\n", b"post\r\n"] {
        let mut harness = Harness::new();
        let (browser, other) = (harness.connect(), harness.connect());
        harness.send(browser, &[start, b"SET stolen 1\r\n"].concat());
        let flags = harness.server.clients.get(browser).expect("a client").flags;
        assert!(flags.contains(ClientFlags::CLOSE_ASAP), "{}", text(start));
        assert_eq!(text(&harness.call(other, &[b"EXISTS", b"stolen"])), ":0\r\n");
    }
    // Names that only begin so are as unknown as others.
    let mut harness = Harness::new();
    let client = harness.connect();
    let reply = text(&harness.send(client, b"posts\r\n*2\r\n$4\r\nhost\r\n$1\r\nx\r\n"));
    assert_eq!(reply.matches("-ERR unknown command").count(), 2, "{reply}");
}

#[test]
fn random_replies_have_an_end() {
    const REFUSED: &str = "-ERR value is out of range\r\n";
    let mut harness = Harness::new();
    let client = harness.connect();
    harness.call(client, &[b"SADD", b"set", b"m"]);
    harness.call(client, &[b"HSET", b"hash", b"f", b"v"]);
    harness.call(client, &[b"ZADD", b"zset", b"1", b"m"]);
    for (name, key) in [("SRANDMEMBER", "set"), ("HRANDFIELD", "hash"), ("ZRANDMEMBER", "zset")] {
        let mut call = |key: &str, count: &str| {
            text(&harness.call(client, &[name.as_bytes(), key.as_bytes(), count.as_bytes()]))
        };
        assert_eq!(call(key, "-9223372036854775807"), REFUSED);
        assert_eq!(call("none", "-9223372036854775807"), "*0\r\n");
        assert!(call(key, "-3").starts_with("*3\r\n"));
        assert!(call(key, "9223372036854775807").starts_with("*1\r\n"));
    }
    let script = b"return redis.pcall('SRANDMEMBER', 'set', '-9223372036854775807')";
    assert_eq!(text(&harness.call(client, &[b"EVAL", script, b"0"])), REFUSED);
    harness.call(client, &[b"MULTI"]);
    harness.call(client, &[b"SRANDMEMBER", b"set", b"-999999999999"]);
    harness.call(client, &[b"SRANDMEMBER", b"set", b"-1"]);
    let reply = text(&harness.call(client, &[b"EXEC"]));
    assert_eq!(reply, format!("*2\r\n{REFUSED}*1\r\n$1\r\nm\r\n"));
    // Whoever has a limit is closed for going beyond it, as with Redis.
    harness.call(client, &[b"CONFIG", b"SET", b"client-output-buffer-limit", b"normal 1mb 0 0"]);
    harness.call(client, &[b"SRANDMEMBER", b"set", b"-9223372036854775807"]);
    let flags = harness.server.clients.get(client).expect("a client").flags;
    assert!(flags.contains(ClientFlags::CLOSE_ASAP));
}

#[test]
fn glob_bombs_end() {
    let mut harness = Harness::new();
    let client = harness.connect();
    let key = vec![b'a'; 5000];
    harness.call(client, &[b"SET", &key, b"1"]);
    let bomb = b"*a".repeat(200).into_iter().chain(*b"*b").collect::<Vec<u8>>();
    assert_eq!(text(&harness.call(client, &[b"KEYS", &bomb])), "*0\r\n");
    harness.call(client, &[b"SCAN", b"0", b"MATCH", &bomb]);
    harness.call(client, &[b"PSUBSCRIBE", &bomb]);
    let other = harness.connect();
    assert_eq!(text(&harness.call(other, &[b"PUBLISH", &key, b"x"])), ":0\r\n");
}

#[test]
fn huge_headers_cost_nothing() {
    let mut harness = Harness::new();
    let client = harness.connect();
    assert_eq!(text(&harness.send(client, b"*2147483647\r\n")), "");
    let reply = harness.send(client, b"*2147483648\r\n");
    assert_eq!(text(&reply), "-ERR Protocol error: invalid multibulk length\r\n");
    let reply = harness.send(client, b"*1\r\n$536870913\r\n");
    assert_eq!(text(&reply), "-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn a_blocked_client_can_be_killed_and_unblocked() {
    let mut harness = Harness::new();
    let (waiting, other) = (harness.connect(), harness.connect());
    assert_eq!(text(&harness.call(waiting, &[b"BLPOP", b"list", b"0"])), "");
    assert_eq!(harness.server.blocked.len(), 1);
    let id = waiting.id.to_string();
    let unblock: &[&[u8]] = &[b"CLIENT", b"UNBLOCK", id.as_bytes(), b"ERROR"];
    assert_eq!(text(&harness.call(other, unblock)), ":1\r\n");
    let reply = harness.receive(waiting);
    assert_eq!(text(&reply), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    harness.call(waiting, &[b"BLPOP", b"list", b"0"]);
    harness.call(other, &[b"CLIENT", b"KILL", b"ID", id.as_bytes()]);
    // It is pushed to in the same moment: the element must not be lost.
    harness.server.remove_client(waiting);
    assert_eq!(text(&harness.call(other, &[b"RPUSH", b"list", b"x"])), ":1\r\n");
    assert_eq!(text(&harness.call(other, &[b"LLEN", b"list"])), ":1\r\n");
}

#[test]
fn a_nul_ends_an_inline_request() {
    let mut harness = Harness::new();
    let client = harness.connect();
    assert_eq!(text(&harness.send(client, b"\0abc\r\nPING\0 x\r\n")), "+PONG\r\n");
}

#[test]
fn malformed_selectors_are_refused() {
    let mut harness = Harness::new();
    let client = harness.connect();
    let cases: &[&[&[u8]]] = &[
        &[b"("],
        &[b")"],
        &[b"(", b"(", b")"],
        &[b"(%"],
        &[b"(%)"],
        &[b"(%~)"],
        &[b"(%R)R~x)"],
        &[b"(~x", b"", b"+get"],
        &[b"(~\"x)"],
        &[b"(()"],
        &[b"%\xff~a"],
        &[b"(+get|)"],
        &[b"(\x00"],
    ];
    for rules in cases {
        let words: Vec<&[u8]> = [b"ACL".as_slice(), b"SETUSER", b"x"]
            .into_iter()
            .chain(rules.iter().copied())
            .collect();
        let reply = text(&harness.call(client, &words));
        assert!(reply.starts_with("-ERR "), "{rules:?}: {reply}");
        assert_eq!(reply.matches("\r\n").count(), 1, "{rules:?}: {reply}");
    }
    assert_eq!(text(&harness.call(client, &[b"ACL", b"USERS"])), "*1\r\n$7\r\ndefault\r\n");
}

#[test]
fn key_checks_see_every_key() {
    let mut harness = Harness::new();
    let (admin, client) = (harness.connect(), harness.connect());
    let bomb = [b"~".as_slice(), &b"*a".repeat(200), b"*b"].concat();
    harness.call(admin, &[b"ACL", b"SETUSER", b"u", b"on", b"nopass", b"+@all", b"~k*", &bomb]);
    harness.call(client, &[b"AUTH", b"u", b"x"]);
    let denied: &[&[&[u8]]] = &[
        &[b"GET", &[b'a'; 5000]],
        &[b"COPY", b"k", b"x"],
        &[b"COPY", b"x", b"k"],
        &[b"SORT", b"k", b"STORE", b"x"],
        &[b"SORT", b"k", b"STORE", b"k", b"STORE", b"x"],
        &[b"SORT_RO", b"x"],
        &[b"MSETNX", b"k", b"1", b"x", b"1"],
        &[b"EVAL", b"return 1", b"1", b"x"],
        &[b"EVALSHA_RO", b"0", b"1", b"x"],
        &[b"ZUNIONSTORE", b"k", b"2", b"k", b"x"],
        &[b"ZUNIONSTORE", b"x", b"99", b"k"],
        &[b"LMPOP", b"2", b"k", b"x", b"LEFT"],
        &[b"BLMPOP", b"0", b"2", b"k", b"x", b"LEFT"],
        &[b"OBJECT", b"ENCODING", b"x"],
        &[b"MEMORY", b"USAGE", b"x"],
        &[b"RENAME", b"k", b"x"],
        &[b"BLMOVE", b"k", b"x", b"LEFT", b"LEFT", b"0"],
        &[b"SINTERCARD", b"2", b"k", b"x"],
        &[b"WATCH", b"k", b"x"],
        &[b"LCS", b"k", b"x"],
    ];
    for words in denied {
        let reply = text(&harness.call(client, words));
        assert_eq!(reply, "-NOPERM No permissions to access a key\r\n", "{words:?}");
    }
    // What can't be made sense of is refused by the command itself.
    let broken: &[&[&[u8]]] = &[
        &[b"EVAL", b"return 1", b"2", b"x"],
        &[b"EVAL", b"return 1", b"-1", b"x"],
        &[b"EVAL", b"return 1", b"9223372036854775807", b"x"],
        &[b"SINTERCARD", b"-9223372036854775808", b"x"],
        &[b"LMPOP", b"5", b"x", b"LEFT"],
        &[b"ZUNIONSTORE", b"k", b"9223372036854775807", b"x"],
    ];
    for words in broken {
        let reply = text(&harness.call(client, words));
        assert!(reply.starts_with("-ERR "), "{words:?}: {reply}");
    }
}
