//! Tests of the configuration as a whole: against the texts that redis-server 7.0 gives.

use std::io;

use super::*;

/// Files in memory.
struct Fake(Vec<(&'static str, &'static str)>);

impl Files for Fake {
    fn read(&self, path: &[u8]) -> io::Result<Text> {
        let found = self.0.iter().find(|(name, _)| name.as_bytes() == path);
        found
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn expand(&self, pattern: &[u8]) -> Vec<Text> {
        let names = self.0.iter().map(|(name, _)| name.as_bytes().to_vec());
        names.filter(|name| crate::util::glob::glob_match(pattern, name, false)).collect()
    }
}

fn texts(words: &[&str]) -> Vec<Text> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Loads `file` with the words of a command line after it.
fn load(file: &'static str, words: &[&str]) -> Result<Config, String> {
    let words = [&["f"], words].concat();
    let line = CommandLine::parse(&texts(&words));
    Config::load(&line, b"", &Fake(vec![("f", file)])).map_err(|error| error.to_string())
}

fn get(config: &Config, name: &str) -> String {
    let found = config.get(&[name.as_bytes()]);
    assert_eq!(found.len(), 1, "{name}");
    String::from_utf8(found[0].1.clone()).unwrap()
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Config, String> {
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let context = SetContext { protected_allowed: false, loading: false };
    config.set(&pairs, context).map_err(|error| error.to_string())
}

/// Why CONFIG SET refuses the value.
fn refusal(name: &str, value: &str) -> String {
    let error = set(&Config::default(), &[(name, value)]).unwrap_err();
    let start = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - ");
    error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned()
}

/// Why a line of the file is refused.
fn line_refusal(line: &'static str) -> String {
    let error = load(line, &[]).unwrap_err();
    let start = format!(
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n\
         Reading the configuration file, at line 1\n>>> '{line}'\n"
    );
    error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn names_are_lower_case_and_unique_and_rows_are_documented() {
    let names = directives().flat_map(|d| [Some(d.name), d.alias]).flatten();
    let mut names: Vec<&str> = names.collect();
    assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(directives().all(|d| !d.doc.is_empty()));
}

/// Every integer field must hold its row's bounds: setting a bound must read back.
#[test]
fn fields_hold_their_bounds() {
    for directive in directives().filter(|d| d.name != "hz") {
        let Kind::Int { min, max, get, set, .. } = &directive.kind else { continue };
        for bound in [*min, *max] {
            let mut config = Config::default();
            set(&mut config, bound);
            assert_eq!(get(&config), bound, "{}", directive.name);
        }
        assert!((*min..=*max).contains(&get(&Config::default())), "{}", directive.name);
    }
}

/// Changing a directive must change what the same directive shows, and nothing else.
#[test]
fn rows_read_and_write_the_same_field() {
    for directive in directives() {
        let mut config = Config::default();
        match &directive.kind {
            Kind::Bool { get, set } => set(&mut config, !get(&Config::default())),
            Kind::Int { get, set, max, .. } => {
                let value = get(&config);
                set(&mut config, if value == *max { value - 1 } else { value + 1 });
            }
            Kind::Word { words, get, set } => {
                let other = words.iter().position(|word| *word != get(&Config::default()));
                set(&mut config, other.unwrap());
            }
            Kind::Text { set, .. } => set(&mut config, b"other".to_vec()),
            Kind::Special { .. } => continue,
        }
        let default = Config::default();
        let changed: Vec<&str> = config.changes(&default).map(|d| d.name).collect();
        assert_eq!(changed, [directive.name]);
    }
}

#[test]
fn every_shown_value_can_be_set_again() {
    let config = Config::default();
    for directive in directives().filter(|d| d.mutability == Mutability::Runtime) {
        let value = String::from_utf8(directive.get(&config)).unwrap();
        let again = set(&config, &[(directive.name, &value)]).unwrap();
        assert_eq!(again, config, "{}", directive.name);
    }
}

#[test]
fn get_finds_names_and_aliases_once() {
    let config = Config::default();
    let names = |patterns: &[&str]| -> Vec<String> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
        let found = config.get(&patterns);
        found.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    };
    assert_eq!(names(&["port", "PORT", "port"]), ["port", "PORT"]);
    assert_eq!(names(&["hash-max-*-value"]), ["hash-max-listpack-value", "hash-max-ziplist-value"]);
    assert_eq!(names(&["nothing", "watchdog*", "watchdog-period"]), ["watchdog-period"]);
    assert_eq!(names(&["SLOWLOG-*", "slowlog-max-len"]).len(), 2);
    assert_eq!(get(&config, "save"), "3600 1 300 100 60 10000");
    assert_eq!(get(&config, "bind"), "* -::*");
    assert_eq!(get(&config, "lua-time-limit"), "5000");
    assert_eq!(get(&config, "latency-tracking-info-percentiles"), "50 99 99.9");
    assert_eq!(
        get(&config, "client-output-buffer-limit"),
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
}

#[test]
fn set_errors_are_those_of_redis() {
    let cases = [
        ("hz", "abc", "argument couldn't be parsed into an integer"),
        ("hz", "-5", "argument must be between 0 and 2147483647 inclusive"),
        ("port", "99999", "argument must be between 0 and 65535 inclusive"),
        (
            "proto-max-bulk-len",
            "1",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        ("maxmemory", "xx", "argument must be a memory value"),
        ("maxmemory", "-1", "argument must be a memory value"),
        ("maxmemory-clients", "-5", "argument must be a memory or percent value"),
        ("maxmemory-clients", "150%", "percentage argument must be less or equal to 100"),
        ("protected-mode", "maybe", "argument must be 'yes' or 'no'"),
        ("enable-debug-command", "yes", "can't set immutable config"),
        ("dir", "/x", "can't set protected config"),
        ("save", "1 2 3", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        ("save", "900 1 ", "Invalid save parameters"),
        (
            "oom-score-adj",
            "on",
            "argument(s) must be one of the following: no, yes, relative, absolute",
        ),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        ("notify-keyspace-events", "Kxq", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        (
            "client-output-buffer-limit",
            "normal 1 2",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "foo 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "normal 1 x 3",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "master 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "shutdown-on-sigterm",
            "save nosave",
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ),
        (
            "latency-tracking-info-percentiles",
            "50 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "latency-tracking-info-percentiles",
            "x",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "proc-title-template",
            "{foo}",
            "template format is invalid or contains unknown variables",
        ),
        (
            "proc-title-template",
            "{title",
            "template format is invalid or contains unknown variables",
        ),
        ("slave-priority", "x", "argument couldn't be parsed into an integer"),
    ];
    for (name, value, reason) in cases {
        assert_eq!(refusal(name, value), reason, "{name} {value}");
    }
    let many = vec!["1"; 17].join(" ");
    assert_eq!(refusal("bind", &many), "Too many bind addresses specified.");
    let config = Config::default();
    assert_eq!(
        set(&config, &[("hz", "1"), ("foo", "bar")]).unwrap_err(),
        "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"
    );
    assert_eq!(
        set(&config, &[("port", "1"), ("port", "2")]).unwrap_err(),
        "ERR CONFIG SET failed (possibly related to argument 'port') - duplicate parameter"
    );
}

#[test]
fn set_is_all_or_nothing_and_keeps_order() {
    let config = Config::default();
    assert!(set(&config, &[("timeout", "5"), ("port", "x")]).is_err());
    let new = set(&config, &[("slave-priority", "1"), ("replica-priority", "2")]).unwrap();
    assert_eq!((config.replica_priority, new.replica_priority), (100, 2));
    let loading = SetContext { protected_allowed: true, loading: true };
    let error = config.set(&[(b"dir", b"/x")], loading).unwrap_err();
    assert_eq!(error.to_string(), "LOADING Redis is loading the dataset in memory");
    let new = config.set(&[(b"dir", b"/x")], SetContext { loading: false, ..loading }).unwrap();
    assert_eq!(new.dir, b"/x");
}

#[test]
fn values_are_shown_as_redis_shows_them() {
    let cases = [
        ("hz", "0", "1"),
        ("hz", "1000", "500"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "1kb", "1024"),
        ("notify-keyspace-events", "n$lshgzEm", "g$lshznEm"),
        ("notify-keyspace-events", "gKEm$lshzxetd", "AKEm"),
        ("shutdown-on-sigterm", "force nosave now", "nosave now force"),
        ("latency-tracking-info-percentiles", "50.1234567 99.99999999 0", "50.123457 100 0"),
        ("latency-tracking-info-percentiles", "", ""),
        ("bind", "", ""),
        ("save", "", ""),
        ("save", "1 2 3 4", "1 2 3 4"),
        ("hash-max-ziplist-value", "1KB", "1024"),
        ("loglevel", "NOTHING", "nothing"),
        (
            "client-output-buffer-limit",
            "normal 1mb 2 3 replica 0 0 0",
            "normal 1048576 2 3 slave 0 0 0 pubsub 33554432 8388608 60",
        ),
    ];
    for (name, value, shown) in cases {
        let config = set(&Config::default(), &[(name, value)]).unwrap();
        assert_eq!(get(&config, name), shown, "{name} {value}");
    }
}

#[test]
fn missing_features_are_refused_or_warned_about() {
    assert!(refusal("activedefrag", "yes").starts_with("not supported yet: "));
    assert!(line_refusal("cluster-enabled yes").starts_with("cluster-enabled: not supported yet"));
    assert!(line_refusal("io-threads 4").starts_with("io-threads: not supported yet"));
    assert!(load("appendonly no\nio-threads 1\ntls-port 0\nmaxmemory 0\n", &[]).is_ok());
    let config = load("repl-timeout 5\nlist-max-ziplist-value 3\nsave \"\"\n", &[]).unwrap();
    let warned: Vec<String> = config.warnings();
    assert!(warned.iter().any(|line| line.starts_with("'repl-timeout' has no effect")));
    assert!(warned.iter().any(|line| line.starts_with("'list-max-ziplist-value'")));
    assert_eq!(warned.len(), 2);
    assert_eq!(Config::default().warnings(), Vec::<String>::new());
}

#[test]
fn file_errors_are_those_of_redis() {
    let cases = [
        ("foo bar", "Bad directive or wrong number of arguments"),
        ("port 7301 2", "wrong number of arguments"),
        ("port", "wrong number of arguments"),
        ("port x", "argument couldn't be parsed into an integer"),
        ("save 1", "Invalid save parameters"),
        ("port \"7301", "Unbalanced quotes in configuration line"),
        ("unixsocketperm 999", "argument couldn't be parsed as an octal number"),
        ("unixsocketperm 7777", "argument must be between 0 and 777 inclusive"),
        ("replicaof a", "wrong number of arguments"),
        ("replicaof a b", "Invalid master port"),
        ("dbfilename a/b", "dbfilename can't be a path, just a filename"),
        ("appendfilename \"\"", "appendfilename can't be empty"),
        ("appenddirname a/b", "appenddirname can't be a path, just a dirname"),
        ("sentinel a b", "sentinel directive while not in sentinel mode"),
        ("enable-debug-command x", "argument(s) must be one of the following: no, yes, local"),
    ];
    for (line, reason) in cases {
        assert_eq!(line_refusal(line), reason, "{line}");
    }
    let error = load("include /nope", &[]).unwrap_err();
    assert_eq!(error, "Fatal error, can't open config file '/nope': No such file or directory");
    assert!(line_refusal("include f").contains("levels of include"));
}

#[test]
fn the_command_line_is_read_as_redis_reads_it() {
    let loaded = |words: &[&str]| load("port 1\nsave 900 1\n", words).unwrap();
    assert_eq!(get(&loaded(&["--save", "100", "100"]), "save"), "900 1 100 100");
    assert_eq!(get(&loaded(&["--save", "1 2"]), "save"), "900 1 1 2");
    for words in [["--save", ""].as_slice(), &["--save"], &["--save", "--loglevel", "verbose"]] {
        assert_eq!(get(&loaded(words), "save"), "", "{words:?}");
    }
    assert_eq!(loaded(&["--timeout 7"]).timeout, 7);
    assert_eq!(loaded(&["--hash-max-listpack-value '1kb'"]).limits.hash_max_listpack_value, 1024);
    assert_eq!(loaded(&["loglevel", "verbose"]).loglevel, LogLevel::Verbose);
    let config = loaded(&["--proc-title-template", "--my--title", "--loglevel", "debug"]);
    assert_eq!(get(&config, "proc-title-template"), "--my--title");
    assert_eq!(config.loglevel, LogLevel::Debug);
    let config = loaded(&[
        "--shutdown-on-sigint",
        "nosave",
        "force",
        "now",
        "--shutdown-on-sigterm",
        "nosave force",
    ]);
    assert_eq!(get(&config, "shutdown-on-sigint"), "nosave now force");
    assert_eq!(get(&config, "shutdown-on-sigterm"), "nosave force");
    assert_eq!(loaded(&["--bind", "a", "b"]).bind, ["a", "b"]);
    let error = load("", &["--port", "7301", "--foo", "a b", "c"]).unwrap_err();
    assert!(error.contains("at line 3\n>>> 'foo \"a b\" \"c\"'\n"), "{error}");
    let error = load("", &["--port", "--bla"]).unwrap_err();
    assert!(error.contains("at line 2\n>>> 'port \"--bla\"'\nargument couldn't"), "{error}");
    let error = load("", &["--port"]).unwrap_err();
    assert!(error.contains(">>> 'port'\nwrong number of arguments"), "{error}");
}

#[test]
fn sources_follow_each_other() {
    let files = Fake(vec![
        ("main", "include conf/*.conf\ninclude none/*.conf\nport 3\n"),
        ("conf/a.conf", "port 1\ntimeout 1\n"),
        ("conf/b.conf", "timeout 2\nTCP-BACKLOG 9"),
    ]);
    let line = CommandLine::parse(&texts(&["main", "--port", "5", "-"]));
    assert!(line.stdin);
    let config = Config::load(&line, b"port 4\nhz 20\n", &files).unwrap();
    assert_eq!((config.port, config.timeout, config.hz), (5, 2, 20));
    let config = load("rename-command flushdb badger\nrename-command keys \"\"\n", &[]).unwrap();
    let renamed =
        config.renamed_commands.iter().map(|renamed| (&renamed.from[..], &renamed.to[..]));
    assert!(renamed.eq([(&b"flushdb"[..], &b"badger"[..]), (b"keys", b"")]));
    let refused = config.renamed_commands[1].refused("no").to_string();
    assert!(refused.ends_with("at line 2\n>>> 'rename-command keys \"\"'\nno"), "{refused}");
    let config = load("# c\n\nrequirepass \"a\\x41 \\\"b\" \nlogfile ''\r\n", &[]).unwrap();
    assert_eq!(config.requirepass, b"aA \"b");
}

#[test]
fn rewrite_keeps_replaces_and_appends() {
    let old = "# mine\nport 1\n\n\nslave-priority 5\nsave 1 1\nsave 2 2\nnonsense\ninclude x\n\
               hash-max-ziplist-value 9\nbind 1.2.3.4\ntimeout 0\n";
    let mut config = Config { dir: b"/d".to_vec(), ..Config::default() };
    config.port = 2;
    config.replica_priority = 100;
    config.save = vec![SavePoint { seconds: 7, changes: 8 }];
    config.limits.hash_max_listpack_value = 2048;
    config.requirepass = b"a\"\n".to_vec();
    let expected = "# mine\nport 2\n\nreplica-priority 100\nsave 7 8\n\n# ??? nonsense\ninclude x\n\
                    hash-max-listpack-value 2kb\n\ntimeout 0\n# Generated by CONFIG REWRITE\n\
                    requirepass \"a\\\"\\n\"\ndir \"/d\"\n";
    let new = String::from_utf8(config.rewrite(old.as_bytes(), Extent::Changed)).unwrap();
    assert_eq!(new, expected);
    assert_eq!(
        String::from_utf8(config.rewrite(new.as_bytes(), Extent::Changed)).unwrap(),
        expected
    );
    let empty = Config { save: vec![], bind: vec![], ..config };
    let new = String::from_utf8(empty.rewrite(new.as_bytes(), Extent::Changed)).unwrap();
    assert!(new.contains("\nsave \"\"\n") && new.contains("\nbind \"\"\n"));
}

/// A rewritten file must load as the configuration that was rewritten.
#[test]
fn rewritten_files_load_again() {
    let config = load(
        "port 7\nbind 1.1.1.1 -::1\nsave 5 6\nrequirepass \"\\x00\\xff'\"\nunixsocketperm 700\n\
         notify-keyspace-events KA\nclient-output-buffer-limit replica 1mb 1000 5\nhz 50\n\
         maxmemory-clients 7%\noom-score-adj-values -1 2 3\nshutdown-on-sigint save now\n\
         latency-tracking-info-percentiles 1.5\n",
        &[],
    )
    .unwrap();
    for old in ["", "port 1\nport 2\nlatency-tracking-info-percentiles \"\"\nbind *\n"] {
        let text = config.rewrite(old.as_bytes(), Extent::Changed).leak();
        assert_eq!(load(std::str::from_utf8(text).unwrap(), &[]).unwrap(), config);
    }
}

#[test]
fn the_example_is_the_committed_file_and_gives_the_defaults() {
    let text = example();
    assert_eq!(load(text.clone().leak(), &[]).unwrap(), Config::default());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("redis.conf.example");
    if std::env::var_os("RHUBARB_WRITE_EXAMPLE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(text == committed, "run this test with RHUBARB_WRITE_EXAMPLE=1 to write the file");
}

/// Names that redis-server 7.0 shows, and those that 7.2 adds.
#[test]
fn every_directive_of_redis_is_known() {
    let names = include_str!("names.txt").split_whitespace();
    for name in names {
        assert!(lookup(name.as_bytes()).is_some(), "{name}");
    }
}
