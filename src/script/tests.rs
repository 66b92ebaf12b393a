//! Scripts and their replies, byte for byte: what redis-server replies, save where a comment says
//! otherwise.

use std::collections::HashMap;

use super::*;
use crate::resp::{ArgBuf, Args, Proto, Reply};

/// A server of a few commands.
#[derive(Default)]
struct Double {
    keys: HashMap<Vec<u8>, Vec<u8>>,
    ticks_left: Option<u32>,
    logged: Vec<(LogLevel, Vec<u8>)>,
    repl: Option<u8>,
}

impl Host for Double {
    fn call(&mut self, args: Args<'_>, out: &mut Reply) {
        match (args.at(0), args.len()) {
            (b"get", 2) => out.bulk_or_null(self.keys.get(args.at(1)).map(|value| &**value)),
            (b"set", 3) => {
                self.keys.insert(args.at(1).to_vec(), args.at(2).to_vec());
                out.ok();
            }
            (b"echo", 2) => out.bulk(args.at(1)),
            (b"count", len) => out.len_int(len),
            (b"all", 1) => all_kinds(out),
            (b"panic", 1) => std::panic::resume_unwind(Box::new("of the host")),
            _ => out.error_text(b"ERR Unknown Redis command called from script"),
        }
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.logged.push((level, message.to_vec()));
    }

    fn tick(&mut self) -> Tick {
        match &mut self.ticks_left {
            None => Tick::Continue,
            Some(0) => Tick::Kill,
            Some(left) => {
                *left -= 1;
                Tick::Continue
            }
        }
    }

    fn set_repl(&mut self, flags: u8) {
        self.repl = Some(flags);
    }

    fn acl_check(&mut self, args: Args<'_>) -> AclVerdict {
        match args.at(0) {
            b"get" => AclVerdict::Allowed,
            b"set" => AclVerdict::Denied,
            _ => AclVerdict::UnknownCommand,
        }
    }
}

/// One value of each kind that RESP3 has.
fn all_kinds(out: &mut Reply) {
    out.array(9);
    out.map(1);
    out.bulk(b"k");
    out.int(1);
    out.set(1);
    out.bulk(b"m");
    out.double(1.5);
    out.bool(true);
    out.null();
    out.big_number(b"12345678901234567890");
    out.verbatim(b"txt", b"v");
    out.simple(b"OK");
    out.error_text(b"ERR inner");
}

/// Runs on a thread with the executor's stack: the limits of recursion are made for that.
fn with_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(test);
    thread.expect("a thread").join().expect("no panic");
}

fn run_in(engine: &mut Engine, host: &mut Double, proto: Proto, script: &str) -> String {
    let args: ArgBuf = ["k1", "k2", "a1", "a2"].iter().map(|arg| arg.as_bytes()).collect();
    let mut out = Reply::new(proto);
    match engine.load(script.as_bytes()) {
        Ok(id) => {
            engine.run(id, args.args().range(0, 2), args.args().from(2), host, &mut out);
        }
        Err(error) => out.error_text(&error.0),
    }
    String::from_utf8_lossy(out.bytes()).into_owned()
}

fn run(script: &str) -> String {
    run_in(&mut Engine::default(), &mut Double::default(), Proto::Resp2, script)
}

/// The reply of an error that a script raised in its first line.
fn raised(script: &str, text: &str) -> String {
    let sha = sha1_hex(script.as_bytes());
    let sha = String::from_utf8_lossy(&sha);
    format!("-{text} script: {sha}, on @user_script:1.\r\n")
}

#[track_caller]
fn replies(cases: &[(&str, &str)]) {
    let (mut engine, mut host) = (Engine::default(), Double::default());
    for (script, reply) in cases {
        assert_eq!(run_in(&mut engine, &mut host, Proto::Resp2, script), *reply, "{script}");
    }
}

#[track_caller]
fn raises(cases: &[(&str, &str)]) {
    for (script, text) in cases {
        assert_eq!(run(script), raised(script, text), "{script}");
    }
}

#[test]
fn values_become_replies() {
    replies(&[
        ("return 1", ":1\r\n"),
        ("return {KEYS[2],ARGV[1],#KEYS,#ARGV}", "*4\r\n$2\r\nk2\r\n$2\r\na1\r\n:2\r\n:2\r\n"),
        ("return {1,2.9,-2.9,true,false}", "*5\r\n:1\r\n:2\r\n:-2\r\n:1\r\n$-1\r\n"),
        ("return {1,2,nil,4}", "*2\r\n:1\r\n:2\r\n"),
        ("return {}", "*0\r\n"),
        ("return", "$-1\r\n"),
        ("return {ok='fine\\r\\nx'}", "+fine  x\r\n"),
        ("return {err='BAD x\\r\\ny'}", "-BAD x  y\r\n"),
        ("return {err='x', 1, 2}", "-x\r\n"),
        ("return {double=1.5}", "$3\r\n1.5\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "*1\r\n$1\r\na\r\n"),
        ("return {big_number='12\\n'}", "$3\r\n12 \r\n"),
        ("return {verbatim_string={string='hello',format='txt'}}", "$5\r\nhello\r\n"),
        ("return redis.call('set','k','v')", "+OK\r\n"),
        ("return {redis.call('get','k'), redis.call('get','none')}", "*2\r\n$1\r\nv\r\n$-1\r\n"),
        ("return redis.call('echo', 2^53)", "$16\r\n9007199254740992\r\n"),
        ("return redis.call('echo', 1.5)", "$3\r\n1.5\r\n"),
        ("return redis.error_reply('-MY e')", "-MY e\r\n"),
        ("return redis.status_reply('FINE')", "+FINE\r\n"),
        ("return redis.error_reply()", "-ERR wrong number or type of arguments\r\n"),
        ("return redis.pcall('nosuch')", "-ERR Unknown Redis command called from script\r\n"),
        ("return redis.sha1hex('')", "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709\r\n"),
        ("return {redis.acl_check_cmd('get'), redis.acl_check_cmd('set')}", "*2\r\n:1\r\n$-1\r\n"),
    ]);
}

#[test]
fn resp3_values_pass_both_ways() {
    let (mut engine, mut host) = (Engine::default(), Double::default());
    let mut run = |script| run_in(&mut engine, &mut host, Proto::Resp3, script);
    let reply = run("redis.setresp(3) local r = redis.call('all') r[5] = 5 return r");
    let expected = "*9\r\n%1\r\n$1\r\nk\r\n:1\r\n~1\r\n$1\r\nm\r\n,1.5\r\n#t\r\n:5\r\n\
                    (12345678901234567890\r\n=5\r\ntxt:v\r\n+OK\r\n-ERR inner\r\n";
    assert_eq!(reply, expected);
    assert_eq!(run("redis.setresp(3) return redis.call('all')[5] == nil"), "#t\r\n");
    assert_eq!(run("redis.setresp(3) return redis.call('all')[1].map.k"), ":1\r\n");
    assert_eq!(run("return {true, false}"), "*2\r\n:1\r\n_\r\n");
    assert_eq!(run("redis.setresp(3) return {true, false}"), "*2\r\n#t\r\n#f\r\n");
}

#[test]
fn errors_carry_the_script_and_its_line() {
    raises(&[
        ("error('x')", "ERR user_script:1: x"),
        ("error('x', 0)", "ERR x"),
        ("error({err='My Err'})", "My Err"),
        ("error()", "ERR nil"),
        ("error({})", "ERR unknown error"),
        ("error('a\\r\\nb', 0)", "ERR a  b"),
        ("return redis.call('nosuch')", "ERR Unknown Redis command called from script"),
        ("redis.call()", "ERR Please specify at least one argument for this redis lib call"),
        ("redis.call({})", "ERR Lua redis lib command arguments must be strings or integers"),
        ("redis.log(1)", "ERR redis.log() requires two arguments or more."),
        ("redis.log(9, 'x')", "ERR Invalid debug level."),
        ("redis.setresp(4)", "ERR RESP version must be 2 or 3."),
        ("redis.acl_check_cmd('x')", "ERR Invalid command passed to redis.acl_check_cmd()"),
        ("local t = nil return t.x", "ERR user_script:1: attempt to index local 't' (a nil value)"),
    ]);
    let script = "local x\n\nx = redis.call('nosuch')";
    assert!(run(script).ends_with(", on @user_script:3.\r\n"));
}

#[test]
fn caught_errors_are_plain_values() {
    replies(&[
        ("return {pcall(function() error('x') end)}", "*2\r\n$-1\r\n$16\r\nuser_script:1: x\r\n"),
        ("return select(2, pcall(redis.call))", PLEASE),
        ("local e = redis.pcall('x') return {e.err, e.ignore_error_stats_update}", PCALL),
        (
            "return {xpcall(function() error('x') end, function(e) return 'H' .. e end)}",
            "*2\r\n$-1\r\n$17\r\nHuser_script:1: x\r\n",
        ),
        (
            "return {coroutine.resume(coroutine.create(function() error('x') end))}",
            "*2\r\n$-1\r\n$16\r\nuser_script:1: x\r\n",
        ),
        ("return type(select(2, pcall(cjson.decode, 'x')))", "$6\r\nstring\r\n"),
    ]);
}

const PLEASE: &str = "$64\r\nERR Please specify at least one argument for this redis lib call\r\n";
const PCALL: &str = "*2\r\n$44\r\nERR Unknown Redis command called from script\r\n:1\r\n";

#[test]
fn compile_errors_and_shebangs() {
    let failed = "-ERR Error compiling script (new function): ";
    replies(&[
        ("x x", &format!("{failed}user_script:1: '=' expected near 'x'\r\n")),
        ("#!lua flags=no-writes,allow-oom\nreturn 7", ":7\r\n"),
        ("#!lua flags=\nreturn 7", ":7\r\n"),
        ("#!lua", "-ERR Invalid script shebang\r\n"),
        ("#!js\nreturn 1", "-ERR Unexpected engine in script shebang: #!js\r\n"),
        ("#!lua \"x\nreturn 1", "-ERR Invalid engine in script shebang\r\n"),
        ("#!lua flags=a\nreturn 1", "-ERR Unexpected flag in script shebang: a\r\n"),
        ("#!lua flags=no-writes,\nreturn 1", "-ERR Unexpected flag in script shebang: \r\n"),
        ("#!lua name=x\nreturn 1", "-ERR Unknown lua shebang option: name=x\r\n"),
    ]);
    assert!(run("\u{1b}Lua").starts_with(failed));
    let mut engine = Engine::default();
    let id = engine.load(b"#!lua flags=no-writes,no-cluster\n").expect("valid");
    assert_eq!(engine.script(id).flags, Flags::NO_WRITES | Flags::NO_CLUSTER);
    let id = engine.load(b"return 1").expect("valid");
    assert_eq!(engine.script(id).flags, Flags::EVAL_COMPAT);
}

#[test]
fn the_cache_finds_by_text_and_sha() {
    let mut engine = Engine::default();
    let id = engine.load(b"return 1").expect("valid");
    assert_eq!(engine.load(b"return 1"), Ok(id));
    assert_eq!(engine.find(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(id));
    assert_eq!(engine.find(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8dc"), None);
    assert_eq!(engine.find(b"e0"), None);
    assert_eq!(engine.len(), 1);
    assert!(engine.cache_bytes() > 8 && engine.vm_bytes() > 1_000);
    engine.flush();
    assert_eq!(engine.find(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"), None);
    assert!(engine.is_empty());
}

#[test]
fn shared_tables_are_read_only() {
    let readonly = "ERR user_script:1: Attempt to modify a readonly table";
    raises(&[
        ("foo = 1", readonly),
        ("KEYS = {}", readonly),
        ("string.x = 1", readonly),
        ("redis.call = nil", readonly),
        ("cjson.encode = nil", readonly),
        ("getmetatable(_G).__index = 1", readonly),
        ("getmetatable('').__index = 1", readonly),
        ("setmetatable(_G, {})", "ERR Attempt to modify a readonly table"),
        ("rawset(string, 'rep', 1)", "ERR Attempt to modify a readonly table"),
        (
            "return foo",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'foo'",
        ),
        (
            "return print",
            "ERR user_script:1: Script attempted to access nonexistent global variable 'print'",
        ),
        ("loadstring('foo = 1', '@user_script')()", readonly),
    ]);
    let names = "local r = {} for k in pairs(_G) do r[#r+1] = k end table.sort(r) \
                 return table.concat(r, ' ')";
    let expected = "ARGV KEYS _G _VERSION __redis__err__handler assert bit cjson cmsgpack \
                    collectgarbage coroutine error gcinfo getmetatable ipairs load loadstring math \
                    next os pairs pcall rawequal rawget rawset redis select setmetatable string \
                    struct table tonumber tostring type unpack xpcall";
    assert_eq!(run(names), format!("${}\r\n{expected}\r\n", expected.len()));
}

#[test]
fn what_a_script_leaves_in_a_shared_table_is_swept() {
    let (mut engine, mut host) = (Engine::default(), Double::default());
    let mut run = |script| run_in(&mut engine, &mut host, Proto::Resp2, script);
    run("table.insert(string, 'x') collectgarbage('stop')");
    for _ in 0..64 {
        run("return 1");
    }
    assert_eq!(run("return string[1]"), "$-1\r\n");
}

#[test]
fn a_killed_script_ends_whatever_it_catches() {
    with_stack(|| {
        for script in [
            "while true do end",
            "while true do pcall(function() while true do end end) end",
            "local f = function() while true do end end while true do xpcall(f, f) end",
            "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
            "local co = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) \
             while true do co() end",
        ] {
            let mut host = Double { ticks_left: Some(3), ..Double::default() };
            let reply = run_in(&mut Engine::default(), &mut host, Proto::Resp2, script);
            assert_eq!(reply, raised(script, "ERR Script killed by user with SCRIPT KILL."));
        }
    });
}

#[test]
fn a_panic_goes_through_whatever_catches_errors() {
    for script in [
        "redis.call('panic')",
        "redis.pcall('panic')",
        "pcall(redis.call, 'panic')",
        "xpcall(function() redis.call('panic') end, function() end)",
        "coroutine.resume(coroutine.create(function() pcall(redis.call, 'panic') end))",
        "coroutine.wrap(function() redis.call('panic') end)()",
    ] {
        let panic = std::panic::catch_unwind(|| run(script)).expect_err(script);
        assert_eq!(panic.downcast_ref(), Some(&"of the host"), "{script}");
    }
}

#[test]
fn random_numbers_are_those_of_redis() {
    replies(&[
        (
            "return {math.random(1000), math.random(1000), math.random(1000)}",
            "*3\r\n:397\r\n:841\r\n:354\r\n",
        ),
        ("return tostring(math.random())", "$16\r\n0.44658343468168\r\n"),
    ]);
    raises(&[
        (
            "local x = math.random(0)",
            "ERR user_script:1: bad argument #1 to 'random' (interval is empty)",
        ),
        ("local x = math.random(1,2,3)", "ERR user_script:1: wrong number of arguments"),
    ]);
}

#[test]
fn holes_of_stock_lua_are_closed() {
    with_stack(|| {
        let too_many = "ERR user_script:1: too many results to unpack";
        raises(&[
            ("local x = unpack({}, 0, 2147483647)", too_many),
            ("local x = unpack({}, -2147483648, 2147483647)", too_many),
            ("local x = unpack({}, 1, 1e8)", too_many),
            (
                "local t = {} t[8000] = 1 for i = 1, 8000 do t[i] = 1 end local x = unpack(t)",
                too_many,
            ),
            ("local x = ('a'):find(('a?'):rep(100000))", "ERR user_script:1: pattern too complex"),
            ("local x = ('a'):rep(2^40)", "ERR user_script:1: resulting string too large"),
            (
                "local x = cmsgpack.unpack(('\\145'):rep(100000))",
                "ERR user_script:1: stack overflow (in function mp_decode_to_lua_array)",
            ),
            (
                "local a = {} a[1] = a local x = cjson.encode(a)",
                "ERR user_script:1: Cannot serialise, excessive nesting (1001)",
            ),
        ]);
        replies(&[
            ("return select('#', unpack({}, 1, 7000))", ":7000\r\n"),
            ("return {unpack({1,2,3}, 2)}", "*2\r\n:2\r\n:3\r\n"),
            ("return loadstring(string.dump(function() end))", "$-1\r\n"),
            ("return #string.format('%s', ('x'):rep(1000))", ":1000\r\n"),
            ("collectgarbage('stop') return collectgarbage('setpause', 1e9)", ":200\r\n"),
        ]);
        let nested = run("local function f() return (coroutine.wrap(f)()) end return f()");
        assert!(nested.contains("C stack overflow"), "{nested}");
        assert!(
            run("local a = {} a[1] = a return a").ends_with("-ERR reached lua stack limit\r\n")
        );
        let gc = "local n = 0 return load(function() collectgarbage() n = n + 1 \
                  return ({'return ', '7'})[n] end, 'na' .. 'me')()";
        assert_eq!(run(gc), ":7\r\n");
    });
}

#[test]
fn log_and_replication_reach_the_host() {
    let mut host = Double::default();
    let script = "redis.log(redis.LOG_WARNING, 'a', 1, {}) redis.set_repl(redis.REPL_AOF)";
    run_in(&mut Engine::default(), &mut host, Proto::Resp2, script);
    assert_eq!(host.logged, [(LogLevel::Warning, b"a 1".to_vec())]);
    assert_eq!(host.repl, Some(1));
}

#[test]
fn outcomes_say_who_counted_the_error() {
    let (mut engine, mut host) = (Engine::default(), Double::default());
    let mut outcome = |script: &str| {
        let id = engine.load(script.as_bytes()).expect("valid");
        let none = ArgBuf::new();
        engine.run(id, none.args(), none.args(), &mut host, &mut Reply::new(Proto::Resp2))
    };
    assert_eq!(outcome("return 1"), Outcome::default());
    let failed = |codes: &[&str]| {
        let uncounted = codes.iter().map(|&code| code.into()).collect();
        Outcome { failed: true, uncounted }
    };
    assert_eq!(outcome("error('x')"), failed(&["ERR"]));
    assert_eq!(outcome("redis.call('x')"), failed(&[]));
    assert_eq!(outcome("redis.pcall('x')"), Outcome::default());
    assert_eq!(outcome("return redis.pcall('x')"), failed(&[]));
    assert_eq!(outcome("return {err='x'}"), failed(&["x"]));
    assert_eq!(outcome("return {{err='A b'}, redis.pcall('x'), {err='C d'}}"), failed(&["A", "C"]));
}

#[test]
fn arguments_reach_the_command_as_text() {
    let echoed =
        [("0", "0"), ("-0", "0"), ("3.0", "3"), ("0.5", "0.5"), ("2^53", "9007199254740992")];
    for (number, text) in echoed {
        let script = format!("return redis.call('echo', {number})");
        assert_eq!(run(&script), format!("${}\r\n{text}\r\n", text.len()), "{number}");
    }
    // As many as Lua's unpack hands over.
    replies(&[(
        "local t = {} for i = 1, 7990 do t[i] = i % 2 == 0 and i or 'x' end
         return redis.call('count', unpack(t))",
        ":7991\r\n",
    )]);
    raises(&[(
        "return redis.call('echo', {})",
        "ERR Lua redis lib command arguments must be strings or integers",
    )]);
}

#[test]
fn calls_work_in_coroutines_and_callbacks() {
    replies(&[
        ("return coroutine.wrap(function() return redis.call('echo', 'x') end)()", "$1\r\nx\r\n"),
        (
            "return (string.gsub('ab', '.', function(c) return redis.call('echo', c .. c) end))",
            "$4\r\naabb\r\n",
        ),
        (
            "local co = coroutine.create(function() redis.call('nothing') end)
             local ok, e = coroutine.resume(co)
             return {tostring(ok), e.err}",
            "*2\r\n$5\r\nfalse\r\n$44\r\nERR Unknown Redis command called from script\r\n",
        ),
    ]);
}

#[test]
fn a_reply_without_memory_is_an_error_and_the_next_script_runs() {
    let (mut engine, mut host) = (Engine::default(), Double::default());
    // Doubles a string until Lua has no more memory: which of the two needs it last is all one.
    let script = "local s = string.rep('x', 2^20)
        while true do s = redis.call('echo', s .. s) end";
    let reply = run_in(&mut engine, &mut host, Proto::Resp2, script);
    assert!(reply.starts_with("-ERR not enough memory"), "{reply}");
    assert_eq!(
        run_in(&mut engine, &mut host, Proto::Resp2, "return redis.call('echo', 'x')"),
        "$1\r\nx\r\n"
    );
}
