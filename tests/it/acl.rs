//! Users and files: what starts, loads, saves and rewriting of users do, and what becomes of
//! clients whose user changes.

use std::sync::Arc;

use rhubarb::commands;
use rhubarb::config::{CommandLine, Config, Disk, Extent};
use rhubarb::options::{Invocation, parse};
use rhubarb::server::client::{ClientFlags, ClientRef};
use rhubarb::server::network::{Background, NoNetwork};
use rhubarb::server::{Parts, Server};
use rhubarb::util::clock::{Clock, ManualClock};
use rhubarb::util::file::sim::{EIO, Op, SimDisk};
use rhubarb::util::log::{Level, Log};

use crate::harness::{Harness, START_MS};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Calls a command of words without spaces.
fn call(harness: &mut Harness, client: ClientRef, line: &str) -> String {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    text(&harness.call(client, &words))
}

fn is_closing(harness: &Harness, client: ClientRef) -> bool {
    harness.server.clients.get(client).expect("a client").is_closing()
}

/// A configuration of lines.
fn config(lines: &[&str]) -> Config {
    let line = CommandLine { options: lines.join("\n").into_bytes(), ..CommandLine::default() };
    Config::load(&line, b"", &Disk).expect("a configuration")
}

/// A server with a disk, as it starts.
fn start(disk: &Arc<SimDisk>, lines: &[&str]) -> Result<Harness, String> {
    let mut config = config(lines);
    config.dir = b"/data".to_vec();
    let clock = Arc::new(ManualClock::at(START_MS));
    let shared: Arc<dyn Clock> = clock.clone();
    let parts = Parts {
        config,
        commands: commands::table(),
        log: Log::stdout(Level::Nothing, Arc::clone(&shared)),
        clock: shared,
        disk: disk.clone(),
        config_file: None,
    };
    let mut server = Server::new(parts, Box::new(NoNetwork), Background::Inline);
    server.load_first_users()?;
    Ok(Harness::around(server, clock, SimDisk::clone(disk)))
}

fn disk(file: &str) -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new());
    disk.put_dir("/data");
    disk.put("/data/users.acl", file.as_bytes());
    disk
}

const USERS: &str = "user alice on >a ~* +@all\nuser default on nopass ~* &* +@all\n";

#[test]
fn a_file_is_loaded_and_saved() {
    let disk = disk(USERS);
    let mut harness = start(&disk, &["aclfile users.acl"]).expect("a start");
    let (admin, alice) = (harness.connect(), harness.connect());
    assert_eq!(call(&mut harness, alice, "AUTH alice a"), "+OK\r\n");
    assert_eq!(call(&mut harness, admin, "ACL SETUSER bob on >b (+get ~x)"), "+OK\r\n");
    assert_eq!(call(&mut harness, admin, "ACL SAVE"), "+OK\r\n");
    let saved = text(&disk.contents("/data/users.acl").expect("a file"));
    let names: Vec<_> = saved.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(names, ["alice", "bob", "default"]);
    assert_eq!(disk.files().len(), 1, "nothing else is left: {:?}", disk.files());
    let before = call(&mut harness, admin, "ACL LIST");
    assert_eq!(call(&mut harness, admin, "ACL LOAD"), "+OK\r\n");
    assert_eq!(call(&mut harness, admin, "ACL LIST"), before);
    assert!(is_closing(&harness, alice), "its user is another one now");
    assert!(!is_closing(&harness, admin));
    assert_eq!(call(&mut harness, admin, "ACL WHOAMI"), "$7\r\ndefault\r\n");
}

#[test]
fn a_bad_file_changes_nothing() {
    let disk = disk(USERS);
    let mut harness = start(&disk, &["aclfile users.acl"]).expect("a start");
    let alice = harness.connect();
    call(&mut harness, alice, "AUTH alice a");
    let before = call(&mut harness, alice, "ACL LIST");
    let cases = [
        ("user alice on\nuser alice off", "Duplicate user 'alice' found on line 2"),
        ("alice on", "users.acl:1 should start with user keyword"),
        ("user bob on (%~", "Unmatched parenthesis"),
        ("user bob +nope", "Error in applying operation '+nope'"),
    ];
    for (file, wanted) in cases {
        disk.put("/data/users.acl", file.as_bytes());
        let reply = call(&mut harness, alice, "ACL LOAD");
        assert!(reply.starts_with("-ERR ") && reply.contains(wanted), "{file}: {reply}");
        assert!(reply.contains("no change to the previously active ACL rules"), "{reply}");
        assert_eq!(call(&mut harness, alice, "ACL LIST"), before);
        assert!(start(&disk, &["aclfile users.acl"]).is_err(), "{file}");
    }
    assert!(!is_closing(&harness, alice));
    let reply = start(&disk, &["aclfile none.acl"]).err().expect("no such file");
    assert!(reply.contains("Error loading ACLs, opening file 'none.acl': No such file"), "{reply}");
}

#[test]
fn a_save_that_fails_leaves_the_old_file() {
    let disk = disk(USERS);
    let mut harness = start(&disk, &["aclfile users.acl"]).expect("a start");
    let client = harness.connect();
    call(&mut harness, client, "ACL SETUSER bob");
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        disk.break_op(op, EIO);
        let reply = call(&mut harness, client, "ACL SAVE");
        assert!(reply.starts_with("-ERR There was an error trying to save"), "{op:?}: {reply}");
        disk.heal();
        let kept = disk.contents("/data/users.acl").map(|kept| text(&kept));
        assert_eq!(kept.as_deref(), Some(USERS), "{op:?}");
        assert_eq!(disk.files().len(), 1, "{op:?}: {:?}", disk.files());
    }
    assert_eq!(call(&mut harness, client, "ACL SAVE"), "+OK\r\n");
}

#[test]
fn users_come_from_a_file_or_the_configuration() {
    let disk = disk(USERS);
    let both = start(&disk, &["aclfile users.acl", "user bob on"]).err().expect("both");
    assert!(both.contains("please define either an ACL file or declare users"), "{both}");
    let lines = ["requirepass old", "user bob on nopass +acl", "user default on >new +@all"];
    let mut harness = start(&disk, &lines).expect("a start");
    let client = harness.connect();
    assert_eq!(call(&mut harness, client, "PING"), "-NOAUTH Authentication required.\r\n");
    assert!(call(&mut harness, client, "AUTH old").starts_with("-WRONGPASS"));
    assert_eq!(call(&mut harness, client, "AUTH bob x"), "+OK\r\n");
    assert_eq!(call(&mut harness, client, "ACL USERS"), "*2\r\n$3\r\nbob\r\n$7\r\ndefault\r\n");
    let unknown = start(&disk, &["user bob +nope"]).err().expect("no such command");
    assert!(unknown.contains("ACL rule '+nope' in the user 'bob'"), "{unknown}");
}

#[test]
fn bad_declarations_are_shown_with_their_line() {
    let fails = |words: &[&str]| match parse(words.iter().map(Into::into)) {
        Invocation::Fail(text) => text,
        other => panic!("{other:?}"),
    };
    let twice = fails(&["--user", "foo", "--user", "foo"]);
    assert!(twice.contains("Duplicate user found. A user can only be defined once"), "{twice}");
    let syntax = fails(&["--port", "1", "--user", "foo", "on", "%~x"]);
    assert!(syntax.contains("at line 3\n>>> 'user \"foo\" \"on\" \"%~x\"'"), "{syntax}");
    assert!(syntax.contains("Error in user declaration '%~x': Syntax error"), "{syntax}");
    let open = fails(&["--user", "foo", "(", "+get"]);
    assert!(open.contains("Error in user declaration '('"), "{open}");
}

#[test]
fn rewriting_keeps_users() {
    let mut harness = Harness::new();
    let client = harness.connect();
    call(&mut harness, client, "ACL SETUSER al\"ice on ~\"a' (~b +get)");
    let rewritten = |harness: &Harness, old: &str| {
        let users = harness.server.user_lines();
        let config = Config { users, ..harness.server.config.clone() };
        text(&config.rewrite(old.as_bytes(), Extent::Changed))
    };
    let first = rewritten(&harness, "# here\nuser gone on\n# there\n");
    assert!(first.starts_with("# here\nuser \"al\\\"ice\" on "), "{first}");
    assert_eq!(rewritten(&harness, &first), first);
    let lines: Vec<&str> = first.lines().collect();
    let disk = Arc::new(SimDisk::new());
    let mut again = start(&disk, &lines).expect("a start");
    let other = again.connect();
    assert_eq!(call(&mut again, other, "ACL LIST"), call(&mut harness, client, "ACL LIST"));
    // Users that have a file of their own don't stand in the configuration.
    harness.server.config.aclfile = b"users.acl".to_vec();
    assert!(!rewritten(&harness, &first).contains("\nuser "));
}

#[test]
fn requirepass_is_the_default_users_password() {
    let mut harness = Harness::new();
    let (admin, late) = (harness.connect(), harness.connect());
    assert_eq!(call(&mut harness, admin, "CONFIG SET requirepass one"), "+OK\r\n");
    assert!(call(&mut harness, late, "PING").starts_with("+PONG"), "it was let in before");
    let new = harness.connect();
    assert!(call(&mut harness, new, "PING").starts_with("-NOAUTH"));
    assert!(call(&mut harness, new, "AUTH one").starts_with("+OK"));
    call(&mut harness, admin, "ACL SETUSER default off");
    assert!(call(&mut harness, new, "AUTH one").starts_with("-WRONGPASS"));
    let newer = harness.connect();
    assert!(call(&mut harness, newer, "PING").starts_with("-NOAUTH"));
    call(&mut harness, admin, "ACL SETUSER default on nopass");
    assert!(call(&mut harness, newer, "PING").starts_with("+PONG"), "nothing to log in with");
    call(&mut harness, admin, "CONFIG SET requirepass two");
    assert!(call(&mut harness, newer, "PING").starts_with("-NOAUTH"));
}

#[test]
fn clients_of_deleted_users_end() {
    let mut harness = Harness::new();
    let (admin, one, two) = (harness.connect(), harness.connect(), harness.connect());
    call(&mut harness, admin, "ACL SETUSER u on nopass +@all ~*");
    call(&mut harness, one, "AUTH u x");
    call(&mut harness, two, "AUTH u x");
    assert!(call(&mut harness, admin, "CLIENT LIST").contains("user=u"));
    // The one that asks gets its reply first, and may do no more.
    assert_eq!(call(&mut harness, one, "ACL DELUSER u"), ":1\r\n");
    let flags = harness.server.clients.get(one).expect("a client").flags;
    assert!(flags.contains(ClientFlags::CLOSE_AFTER_REPLY));
    let flags = harness.server.clients.get(two).expect("a client").flags;
    assert!(flags.contains(ClientFlags::CLOSE_ASAP));
    assert!(!is_closing(&harness, admin));
    assert!(!call(&mut harness, admin, "CLIENT LIST").contains("user=u"));
}

#[test]
fn subscribers_lose_channels_with_their_connection() {
    let kinds = [("SUBSCRIBE", "a"), ("SSUBSCRIBE", "a"), ("PSUBSCRIBE", "a*")];
    for (command, channel) in kinds {
        let mut harness = Harness::new();
        let (admin, listener, idle) = (harness.connect(), harness.connect(), harness.connect());
        call(&mut harness, admin, "ACL SETUSER u on nopass +@all &a* &b");
        call(&mut harness, listener, "AUTH u x");
        call(&mut harness, idle, "AUTH u x");
        call(&mut harness, listener, &format!("{command} {channel}"));
        call(&mut harness, admin, "ACL SETUSER u resetchannels &a* &c");
        assert!(!is_closing(&harness, listener), "{command}: still allowed");
        call(&mut harness, admin, "ACL SETUSER u allchannels");
        assert!(!is_closing(&harness, listener), "{command}: more allowed");
        call(&mut harness, admin, "ACL SETUSER u resetchannels &b");
        assert!(is_closing(&harness, listener), "{command}");
        assert!(!is_closing(&harness, idle));
    }
}

#[test]
fn kill_by_user() {
    let mut harness = Harness::new();
    let (admin, one) = (harness.connect(), harness.connect());
    call(&mut harness, admin, "ACL SETUSER u on nopass");
    assert_eq!(call(&mut harness, admin, "CLIENT KILL USER u"), ":0\r\n");
    call(&mut harness, one, "AUTH u x");
    assert_eq!(call(&mut harness, admin, "CLIENT KILL USER u"), ":1\r\n");
    assert!(is_closing(&harness, one) && !is_closing(&harness, admin));
}

/// The fields of an entry of ACL LOG that don't depend on the client.
fn logged(harness: &Harness) -> Vec<(u64, &'static str, &'static str, String, String)> {
    let line = |entry: &rhubarb::acl::LogEntry| {
        let (reason, context) = (entry.reason.word(), entry.context.word());
        (entry.count, reason, context, text(&entry.object), text(&entry.username))
    };
    harness.server.acl_log.iter().map(line).collect()
}

#[test]
fn refusals_are_counted_and_logged() {
    let mut harness = Harness::new();
    let (admin, client) = (harness.connect(), harness.connect());
    call(&mut harness, admin, "ACL SETUSER u on >p +@all -get ~k* &c");
    call(&mut harness, client, "AUTH u wrong");
    call(&mut harness, client, "AUTH u p");
    call(&mut harness, client, "GET k");
    call(&mut harness, client, "SET x 1");
    harness.call(client, &[b"EVAL", b"return redis.pcall('publish', 'd', 'x')", b"0"]);
    call(&mut harness, client, "MULTI");
    call(&mut harness, client, "GET k");
    let word = |text: &str| text.to_string();
    assert_eq!(
        logged(&harness),
        [
            (1, "command", "multi", word("get"), word("u")),
            (1, "channel", "lua", word("d"), word("u")),
            (1, "key", "toplevel", word("x"), word("u")),
            (1, "command", "toplevel", word("get"), word("u")),
            (1, "auth", "toplevel", word("AUTH"), word("u")),
        ]
    );
    let info = call(&mut harness, admin, "INFO stats");
    for counter in ["auth:1", "cmd:2", "key:1", "channel:1"] {
        assert!(info.contains(&format!("acl_access_denied_{counter}\r\n")), "{counter}: {info}");
    }
    let reply = call(&mut harness, admin, "ACL LOG 1");
    for part in ["*20\r\n", "$3\r\nget\r\n", "user=u", "entry-id\r\n:4\r\n", "age-seconds"] {
        assert!(reply.contains(part), "{part}: {reply}");
    }
    call(&mut harness, admin, "CONFIG SET acllog-max-len 2");
    call(&mut harness, client, "GET k");
    assert_eq!(logged(&harness).len(), 2);
}

#[test]
fn restore_checks_payloads_in_full_as_the_setting_and_the_user_say() {
    for (setting, checked) in [("no", [0, 0]), ("yes", [1, 1]), ("clients", [1, 0])] {
        let mut harness = Harness::new();
        let client = harness.connect();
        harness.call(client, &[b"CONFIG", b"SET", b"sanitize-dump-payload", setting.as_bytes()]);
        harness.call(client, &[b"RPUSH", b"list", b"a", b"b"]);
        let dump = harness.call(client, &[b"DUMP", b"list"]);
        let start = dump.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
        let payload = dump[start..dump.len() - 2].to_vec();
        let words = "ACL SETUSER u on nopass ~* +@all skip-sanitize-payload";
        harness.call(client, &words.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        for (i, user) in [&b"default"[..], b"u"].into_iter().enumerate() {
            let before = harness.server.counters.sanitizations;
            assert_eq!(harness.call(client, &[b"AUTH", user, b"x"]), b"+OK\r\n");
            assert_eq!(harness.call(client, &[b"RESTORE", user, b"0", &payload]), b"+OK\r\n");
            let done = harness.server.counters.sanitizations - before;
            assert_eq!(done, checked[i], "{setting}, user {i}");
        }
    }
}
