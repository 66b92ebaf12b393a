//! Rules in and out, and what they allow.

use proptest::prelude::*;

use super::*;
use crate::resp::{ArgBuf, Args};
use crate::spec::{Category, Channels, KeyFlags, Keys};

const GET: usize = 0;
const SET: usize = 1;
const CLIENT: usize = 2;
const CLIENT_ID: usize = 3;
const CLIENT_KILL: usize = 4;
const DEBUG: usize = 5;
const PUBLISH: usize = 6;
const PSUBSCRIBE: usize = 7;
const COUNT: usize = 8;

fn catalog() -> Catalog {
    let row =
        |name: &str, categories, parent| CatalogRow { full_name: name.into(), categories, parent };
    [
        row("get", Category::READ | Category::STRING | Category::FAST, None),
        row("set", Category::WRITE | Category::STRING | Category::SLOW, None),
        row("client", Category::SLOW, None),
        row("client|id", Category::CONNECTION | Category::SLOW, Some(CLIENT)),
        row("client|kill", Category::CONNECTION | Category::ADMIN | Category::SLOW, Some(CLIENT)),
        row("debug", Category::ADMIN | Category::SLOW, None),
        row("publish", Category::PUBSUB | Category::FAST, None),
        row("psubscribe", Category::PUBSUB | Category::SLOW, None),
    ]
    .into_iter()
    .collect()
}

/// A new user with these rules, which are separated by spaces.
fn user(words: &str) -> Result<User, String> {
    let catalog = catalog();
    let mut rules = Rules::new(&catalog, false);
    let mut user = User::new(b"u", &rules);
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    user.apply_all(&words, &mut rules).map_err(|error| error.to_string())?;
    Ok(user)
}

fn described(words: &str) -> String {
    let user = user(words).expect("rules");
    String::from_utf8(user.describe()).expect("text")
}

/// Checks a call whose first argument is a key that it does `flags` to, or a channel.
fn check(user: &User, command: usize, words: &[&str], flags: KeyFlags) -> Result<(), Denial> {
    let args: ArgBuf = words.iter().collect();
    let channels = match command {
        PUBLISH => Channels::One(1),
        PSUBSCRIBE => Channels::PatternsFrom(1),
        _ => Channels::None,
    };
    let args: Args<'_> = args.args();
    let call = Call { command, open: false, args, channels };
    let has_key = matches!(command, GET | SET);
    user.check(&call, || has_key.then_some((1, flags)).into_iter().collect::<Keys>())
}

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const WRITES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const BOTH: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

#[test]
fn rules_are_shown_as_they_were_given() {
    let cases = [
        ("", "off sanitize-payload resetchannels -@all"),
        ("on nopass allkeys allchannels allcommands", "on nopass sanitize-payload ~* &* +@all"),
        ("skip-sanitize-payload ~a", "off skip-sanitize-payload ~a resetchannels -@all"),
        ("%R~a %W~b %rw~c %W~a", "off sanitize-payload ~a %W~b ~c resetchannels -@all"),
        ("~a ~a &x &y &x", "off sanitize-payload ~a resetchannels &x &y -@all"),
        ("+GET +@Read -get +get", "off sanitize-payload resetchannels -@all +@read +get"),
        ("+@all -client|kill -client", "off sanitize-payload resetchannels +@all -client"),
        ("+client|id +client", "off sanitize-payload resetchannels -@all +client"),
        ("+@all +client|id", "off sanitize-payload resetchannels +@all +client|id"),
        ("+get|A +get|b", "off sanitize-payload resetchannels -@all +get|a +get|b"),
        ("+get +@all", "off sanitize-payload resetchannels +@all"),
        (
            "~a ( ~b +get ) (&* +@all -set)",
            "off sanitize-payload ~a resetchannels -@all (~b resetchannels -@all +get) \
             (&* +@all -set)",
        ),
        ("()", "off sanitize-payload resetchannels -@all (resetchannels -@all)"),
        ("(~a) clearselectors", "off sanitize-payload resetchannels -@all"),
        ("%RW~* ~a", "off sanitize-payload %RW~* ~a resetchannels -@all"),
        ("(\"~\\\"\")", "off sanitize-payload resetchannels -@all (\"~\\\"\" resetchannels -@all)"),
        (
            "(\"~a)\" ~b)",
            "off sanitize-payload resetchannels -@all (\"~a)\" ~b resetchannels -@all)",
        ),
        ("on >x ~a &b +get (~c) reset", "off sanitize-payload resetchannels -@all"),
    ];
    for (words, wanted) in cases {
        assert_eq!(described(words), wanted, "{words}");
    }
}

#[test]
fn bad_rules_are_refused_by_name() {
    let cases = [
        ("+nope", "'+nope': Unknown command"),
        ("-nope", "'-nope': Unknown command"),
        ("+", "'+': Unknown command"),
        ("-", "'-': Unknown command"),
        ("+@nope", "'+@nope': Unknown command or category name in ACL"),
        ("+@", "'+@': Unknown command"),
        ("+client|nope", "'+client|nope': Unknown command"),
        ("-get|x", "'-get|x': Unknown command"),
        ("+get|a|b", "'+get|a|b': Unknown command"),
        ("+client|id|x", "'+client|id|x': Allowing first-arg of a subcommand is not supported"),
        ("+get|", "'+get|': Syntax error"),
        ("+client|", "'+client|': Syntax error"),
        ("~* ~a", "'~a': Adding a pattern after the * pattern (or the 'allkeys' flag)"),
        ("&* &a", "'&a': Adding a pattern after the * pattern (or the 'allchannels' flag)"),
        ("~a\tb", "'~a\tb': Syntax error"),
        ("%", "'%': Syntax error"),
        ("%~", "'%~': Syntax error"),
        ("%~a", "'%~a': Syntax error"),
        ("%RR~a", "'%RR~a': Syntax error"),
        ("%RX~a", "'%RX~a': Syntax error"),
        ("#12", "'#12': The password hash must be exactly 64 characters"),
        ("<none", "'<none': The password you are trying to remove"),
        ("whatever", "'whatever': Syntax error"),
        (")", "')': Syntax error"),
        ("(%)", "'(%)': Syntax error"),
        ("(%~ )", "'(%~ )': Syntax error"),
        ("(on)", "'(on)': Syntax error"),
        ("((~a))", "'((~a))': Syntax error"),
        ("(~\"a)", "'(~\"a)': Syntax error"),
        ("~x ( ~a", "Unmatched parenthesis in acl selector starting at '('."),
        ("(~a +get", "Unmatched parenthesis in acl selector starting at '(~a'."),
    ];
    for (words, wanted) in cases {
        let error = user(words).expect_err(words);
        assert!(error.contains(wanted), "{words}: {error}");
    }
    let hash = format!("#{}", "A".repeat(64));
    assert!(user(&hash).expect_err("upper case").contains("password hash"));
    // No pattern after the access is a pattern that only the empty key fits, as in Redis.
    assert!(user("%R").is_ok());
}

#[test]
fn selectors_do_not_add_up() {
    let user = user("+get %R~r* (+set %W~w*) (+@all ~both)").expect("rules");
    assert_eq!(check(&user, GET, &["get", "r1"], READS), Ok(()));
    assert_eq!(check(&user, SET, &["set", "w1"], WRITES), Ok(()));
    assert_eq!(check(&user, SET, &["set", "both"], BOTH), Ok(()));
    assert_eq!(check(&user, SET, &["set", "w1"], BOTH), Err(Denial::Key(1)));
    assert_eq!(check(&user, GET, &["get", "w1"], READS), Err(Denial::Key(1)));
    // Neither read nor written: any access will do.
    assert_eq!(check(&user, GET, &["get", "r1"], KeyFlags::RO), Ok(()));
    assert_eq!(check(&user, GET, &["get", "none"], KeyFlags::RO), Err(Denial::Key(1)));
}

#[test]
fn commands_subcommands_and_first_arguments() {
    let allowed = |words, command, args: &[&str]| {
        check(&user(words).expect("rules"), command, args, READS) != Err(Denial::Command)
    };
    assert!(allowed("+client|id", CLIENT_ID, &["client", "id"]));
    assert!(!allowed("+client|id", CLIENT_KILL, &["client", "kill"]));
    assert!(allowed("+client -client|kill", CLIENT_ID, &["client", "id"]));
    assert!(!allowed("+client -client|kill", CLIENT_KILL, &["client", "kill"]));
    assert!(!allowed("+@all -client", CLIENT_KILL, &["client", "kill"]));
    assert!(allowed("+@connection", CLIENT_KILL, &["client", "kill"]));
    assert!(!allowed("+@all -@admin", DEBUG, &["debug", "x"]));
    assert!(allowed("+debug|object", DEBUG, &["debug", "OBJECT"]));
    assert!(!allowed("+debug|object", DEBUG, &["debug", "sleep"]));
    assert!(!allowed("+debug|object", DEBUG, &["debug"]));
    assert!(!allowed("+debug|object -debug", DEBUG, &["debug", "object"]));
    assert!(!allowed("+debug|object -@admin", DEBUG, &["debug", "object"]));
}

#[test]
fn channels_match_and_patterns_compare() {
    let user = user("+@pubsub &news:* &exact").expect("rules");
    let call = |command, channel| check(&user, command, &["x", channel], READS);
    assert_eq!(call(PUBLISH, "news:1"), Ok(()));
    assert_eq!(call(PUBLISH, "exact"), Ok(()));
    assert_eq!(call(PUBLISH, "other"), Err(Denial::Channel(1)));
    assert_eq!(call(PSUBSCRIBE, "news:*"), Ok(()));
    assert_eq!(call(PSUBSCRIBE, "news:1"), Err(Denial::Channel(1)));
    assert_eq!(call(PSUBSCRIBE, "*"), Err(Denial::Channel(1)));
}

#[test]
fn passwords() {
    let set = |words: &str| user(words).expect("rules");
    assert!(set("on >a >b").accepts(b"b"));
    assert!(!set("off >a").accepts(b"a"));
    assert!(!set("on >a >b <a").accepts(b"a"));
    assert!(!set("on").accepts(b""));
    assert!(set("on nopass").accepts(b"any"));
    assert!(!set("on nopass >a").accepts(b"any"));
    assert!(!set("on >a nopass resetpass").accepts(b"a"));
    assert!(set("on >").accepts(b""));
    let hash = "#ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    assert!(set(&format!("on {hash}")).accepts(b"a"));
    assert!(described("on >a").contains(hash));
    assert_eq!(set(&format!("{hash} >a")).password_hashes().len(), 1);
}

#[test]
fn channels_are_lost_or_not() {
    let set = |words| user(words).expect("rules");
    let loses = |old, new| loses_channels(&set(old), &set(new));
    assert!(!loses("&a &b", "&b &a &c"));
    assert!(!loses("&a", "allchannels"));
    assert!(!loses("&a (&b)", "&a &b"));
    assert!(loses("allchannels", "&*x"));
    assert!(loses("&a &b", "&a"));
    assert!(loses("(&a)", "&b"));
}

#[test]
fn users_keep_their_places() {
    let mut users = Users::new(catalog());
    let catalog = catalog();
    let rules = Rules::new(&catalog, false);
    let a = users.put(User::new(b"a", &rules));
    let b = users.put(User::new(b"b", &rules));
    assert_ne!(a, b);
    assert_eq!(users.put(User::new(b"a", &rules)), a);
    assert_eq!(users.remove(b"default"), None);
    assert_eq!(users.remove(b"a"), Some(a));
    assert_eq!(users.remove(b"a"), None);
    assert!(!users.get(a).is_enabled());
    assert_eq!(users.find(b"b"), Some(b));
    assert_eq!(users.put(User::new(b"c", &rules)), a, "the place is used again");
    let names: Vec<_> = users.iter().map(|user| user.name.clone()).collect();
    assert_eq!(names, [b"b".as_slice().into(), b"c".as_slice().into(), Box::from(*b"default")]);
    users.replace(vec![User::new(b"z", &rules)]);
    assert!(users.find(b"b").is_none() && users.find(b"z").is_some());
    assert!(users.admit_anybody(), "a default user as of old");
}

#[test]
fn files_are_read_and_written() {
    let catalog = catalog();
    let mut rules = Rules::new(&catalog, false);
    let text = "user a on >x ~k* +get (+set ~w)\r\n\n  \nuser default on nopass ~* &* +@all";
    let users = parse_file(text.as_bytes(), "f", &mut rules).expect("users");
    let printed = print_file(users.iter());
    let again = parse_file(&printed, "f", &mut rules).expect("users");
    assert_eq!(print_file(again.iter()), printed);
    assert!(
        String::from_utf8_lossy(&printed)
            .ends_with("user default on nopass sanitize-payload ~* &* +@all\n")
    );
    let bad = "hello\nuser\nuser a\tb on\nuser a +nope +nix bad %\nuser a\nuser a\nuser b ( ~x\n";
    let error = parse_file(bad.as_bytes(), "f", &mut rules).expect_err("errors");
    assert_eq!(
        error,
        "f:1 should start with user keyword followed by the username. \
         f:2 should start with user keyword followed by the username. \
         'f:3: username 'a\tb' contains invalid characters. \
         f:4: Error in applying operation '+nope': Unknown command or category name in ACL. \
         f:4: Error in applying operation '+nix': Unknown command or category name in ACL. \
         f:4: Syntax error. \
         WARNING: Duplicate user 'a' found on line 6. \
         f:7: Unmatched parenthesis in selector definition.\
         WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    );
}

#[test]
fn like_refusals_count_as_one() {
    let entry = |object: &str, at_ms| LogEntry {
        id: 0,
        count: 1,
        reason: Reason::Key,
        context: Context::Toplevel,
        object: object.as_bytes().into(),
        username: b"u".as_slice().into(),
        client: format!("at {at_ms}").into(),
        created_ms: at_ms,
        updated_ms: at_ms,
    };
    let mut log = AclLog::default();
    log.add(entry("a", 0), 3);
    log.add(entry("b", 1), 3);
    log.add(entry("a", 60_000), 3);
    let shown = |log: &AclLog| {
        let line = |one: &LogEntry| (one.id, one.count, one.created_ms, one.updated_ms);
        log.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(shown(&log), [(0, 2, 0, 60_000), (1, 1, 1, 1)]);
    assert_eq!(&*log.iter().next().expect("an entry").client, "at 60000");
    // Too late to be the same.
    log.add(entry("b", 60_002), 3);
    log.add(entry("c", 60_002), 3);
    assert_eq!(shown(&log), [(3, 1, 60_002, 60_002), (2, 1, 60_002, 60_002), (0, 2, 0, 60_000)]);
    log.clear();
    log.add(entry("a", 0), 0);
    assert_eq!(log.iter().len(), 0);
}

fn rule() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "on",
        "off",
        "nopass",
        "resetpass",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "+@string",
        "-@string",
        "+@slow",
        "-@slow",
        "+@connection",
        "-@admin",
        "+get",
        "-get",
        "+set",
        "-set",
        "+client",
        "-client",
        "+client|id",
        "-client|kill",
        "+debug|a",
        "+debug|b",
        "-debug",
        "+psubscribe",
        "reset",
        "clearselectors",
        ">p",
        "<p",
        "skip-sanitize-payload",
    ]);
    let pattern = "[~&][ab*?]{0,3}|%[RW]{1,2}~[ab*]{0,2}";
    let selector = prop::collection::vec(
        prop::sample::select(vec![
            "~a",
            "%R~b*",
            "+get",
            "-get",
            "+@string",
            "+@all",
            "&c",
            "",
            "%RW~*",
            "\"~a)\"",
            "\"~\\\"\"",
        ]),
        0..5,
    );
    prop_oneof![
        6 => fixed.prop_map(str::to_string),
        3 => pattern,
        1 => selector.prop_map(|words| format!("({})", words.join(" "))),
        1 => "[ -~]{0,6}",
    ]
}

proptest! {
    /// Ruling patterns out by their heads changes no verdict.
    #[test]
    fn keys_match_as_globs_do(
        pattern in "[ab]{0,10}[ab*?\\[\\]\\x5c]{0,3}[ab]{0,2}",
        key in "[ab\\x00\\x5c]{1,12}",
    ) {
        let catalog = catalog();
        let mut rules = Rules::new(&catalog, false);
        let mut user = User::new(b"u", &rules);
        let rule = format!("~{pattern}");
        prop_assume!(user.apply(rule.as_bytes(), &mut rules).is_ok());
        prop_assert!(user.apply(b"+get", &mut rules).is_ok());
        let glob = crate::util::glob::GlobPattern::new(pattern.as_bytes());
        let allowed = pattern == "*" || glob.matches(key.as_bytes());
        prop_assert_eq!(check(&user, GET, &["get", &key], READS).is_ok(), allowed);
    }

    /// What is shown of a user makes the same user again.
    #[test]
    fn descriptions_are_faithful(rules in prop::collection::vec(rule(), 0..20)) {
        let catalog = catalog();
        let mut env = Rules::new(&catalog, false);
        let mut first = User::new(b"u", &env);
        for rule in &rules {
            // What is refused changes nothing.
            let before = first.describe();
            if first.apply(rule.as_bytes(), &mut env).is_err() {
                prop_assert_eq!(first.describe(), before);
            }
        }
        let text = first.describe();
        let words: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
        let mut second = User::new(b"u", &env);
        second.apply_all(&words, &mut env).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(second.describe(), text);
        for (a, b) in first.selectors().zip(second.selectors()) {
            for id in 0..COUNT {
                prop_assert_eq!(a.allows_command(id), b.allows_command(id), "command {}", id);
            }
        }
        for command in [GET, SET, CLIENT_ID, DEBUG, PUBLISH, PSUBSCRIBE] {
            for word in ["a", "b", "ab"] {
                let args = ["x", word];
                let (one, two) =
                    (check(&first, command, &args, BOTH), check(&second, command, &args, BOTH));
                prop_assert_eq!(one, two);
            }
        }
    }
}
