"""redis-cli: one-shot, piped, interactive, and its own modes."""

import contextlib
import json
import re
import subprocess
import threading

import pexpect
import pytest

from harness import eventually, tool


@pytest.fixture
def cli(clean):
    """Runs redis-cli with arguments; returns its standard output (and error output where failing is right)."""

    def run(*arguments, stdin="", expect=0, timeout=30):
        command = [tool("redis-cli"), "-p", str(clean.port), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stdout + done.stderr

    return run


@pytest.fixture
def data(clean):
    """Some keys of each type."""
    with clean.client() as client:
        for i in range(50):
            client.set(f"string:{i}", "x" * i)
        client.set("string:largest", "x" * 5000)
        client.rpush("list:largest", *range(300))
        client.sadd("set:largest", *(f"m{i}" for i in range(400)))
        client.zadd("zset:largest", {f"m{i}": i for i in range(500)})
        client.hset("hash:largest", mapping={f"f{i}": i for i in range(600)})
    return clean


@contextlib.contextmanager
def running(server, *arguments):
    """redis-cli on a terminal, as a person uses it."""
    child = pexpect.spawn(
        tool("redis-cli"), ["-p", str(server.port), *arguments], encoding="utf-8", timeout=20, dimensions=(40, 200),
        env={"TERM": "xterm", "PATH": "/usr/bin:/bin", "HOME": str(server.dir)},
    )  # fmt: skip
    try:
        yield child
    finally:
        child.close(force=True)


# ---------------------------------------------------------------- one command


def test_one_shot_and_exit_codes(cli):
    assert cli("SET", "k", "v") == "OK\n"
    assert cli("GET", "k") == "v\n"
    assert cli("GET", "none") == "\n"
    assert cli("--no-raw", "GET", "none") == "(nil)\n"
    assert cli("--no-raw", "RPUSH", "l", "a", "b") == "(integer) 2\n"
    assert cli("--no-raw", "LRANGE", "l", "0", "-1") == '1) "a"\n2) "b"\n'
    assert "WRONGTYPE" in cli("LPUSH", "k", "x")


def test_dash_e_gives_an_exit_code(cli):
    cli("SET", "k", "v")
    cli("-e", "LPUSH", "k", "x", expect=1)


def test_formats(cli):
    cli("HSET", "h", "f", "1", "g", "two")
    assert cli("--csv", "HGETALL", "h") == '"f","1","g","two"\n'
    assert json.loads(cli("--json", "HGETALL", "h")) == {"f": "1", "g": "two"}
    assert json.loads(cli("--quoted-json", "HGETALL", "h")) == {"f": "1", "g": "two"}
    assert cli("-3", "--no-raw", "HGETALL", "h") == '1# "f" => "1"\n2# "g" => "two"\n'
    assert cli("-3", "--no-raw", "ZADD", "z", "INCR", "1.5", "m") == "(double) 1.5\n"
    assert json.loads(cli("-3", "--json", "ZRANGE", "z", "0", "-1", "WITHSCORES")) == [["m", 1.5]]
    assert cli("-d", ";", "HGETALL", "h").strip() == "f;1;g;two"


def test_stdin_arguments_repeat_and_database(cli):
    assert cli("-x", "SET", "k", stdin="from stdin") == "OK\n"
    assert cli("GET", "k") == "from stdin\n"
    assert cli("-r", "3", "INCR", "n") == "1\n2\n3\n"
    assert cli("-n", "7", "SET", "k", "seven") == "OK\n"
    assert cli("-n", "7", "DBSIZE") == "1\n"


def test_piped_commands(cli):
    script = "SET a 1\nINCRBY a 41\nGET a\nSET q \"two words\\n\"\nSTRLEN q\nBOGUS\nPING\n"
    lines = cli(stdin=script).splitlines()
    assert lines[:3] == ["OK", "42", "42"] and lines[4] == "10"
    assert "unknown command 'BOGUS'" in lines[5] and lines[-1] == "PONG"


def test_eval_file(cli, clean):
    script = clean.dir / "script.lua"
    script.write_text("redis.call('SET', KEYS[1], ARGV[1]); return {KEYS[1], ARGV[1], #ARGV}")
    assert cli("--no-raw", "--eval", str(script), "k", ",", "v", "w") == '1) "k"\n2) "v"\n3) (integer) 2\n'
    assert cli("GET", "k") == "v\n"


def test_unix_socket_and_uri(clean):
    def answer(*arguments):
        return subprocess.run([tool("redis-cli"), *arguments, "PING"], capture_output=True, text=True, timeout=20).stdout

    assert answer("-s", str(clean.socket)) == "PONG\n"
    assert answer("-u", f"redis://127.0.0.1:{clean.port}/5") == "PONG\n"


def test_pipe_mass_insertion(cli, clean):
    def command(*parts):
        return f"*{len(parts)}\r\n" + "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)

    stream = "".join(command("SET", f"key:{i}", f"value:{i}") for i in range(20_000))
    output = cli("--pipe", stdin=stream)
    assert "errors: 0, replies: 20000" in output
    with clean.client() as client:
        assert client.dbsize() == 20_000 and client.get("key:19999") == "value:19999"
    output = cli("--pipe", stdin=command("SET", "k", "v") + command("LPUSH", "k", "x"), expect=1)
    assert "errors: 1, replies: 2" in output


# ---------------------------------------------------------------- modes


def test_scan(cli, data):
    assert sorted(cli("--scan", "--pattern", "*:largest").split()) == sorted(
        f"{kind}:largest" for kind in ("string", "list", "set", "zset", "hash")
    )
    assert len(cli("--scan", "--pattern", "string:*").split()) == 51


def test_bigkeys(cli, data):
    output = cli("--bigkeys")
    assert "Sampled 55 keys in the keyspace!" in output
    for kind, size in [("string", "5000 bytes"), ("list", "300 items"), ("set", "400 members"), ("zset", "500 members"), ("hash", "600 fields")]:
        assert re.search(rf'Biggest +{kind} found .*"{kind}:largest".* has {size}', output), (kind, output)


def test_memkeys(cli, data):
    output = cli("--memkeys")
    assert "Sampled 55 keys in the keyspace!" in output
    for kind in ("string", "list", "set", "zset", "hash"):
        assert re.search(rf"Biggest +{kind} found .* has \d+ bytes", output), (kind, output)


def test_hotkeys_needs_an_lfu_policy(cli, data):
    output = cli("--hotkeys", expect=1)
    assert "ERR An LFU maxmemory policy is not selected, access frequency not tracked." in output


def test_hotkeys(cli, data):
    with data.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lfu")
        try:
            for _ in range(500):
                client.get("string:7")
            output = cli("--hotkeys")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert re.search(r'hot key found with counter: \d+\s+keyname: "?string:7', output), output


def test_stat(clean, data):
    with running(clean, "--stat", "-i", "0.1") as child:
        child.expect("keys +mem +clients +blocked +requests +connections")
        for _ in range(3):
            child.expect(r"55 +[\d.]+[MKB]+ +\d+ +0 +\d+ \(\+\d+\) +\d+")


def test_latency_modes(clean):
    with running(clean, "--latency", "-i", "1") as child:
        child.expect(r"min: \d+, max: \d+, avg: [\d.]+ \(\d+ samples\)")
    with running(clean, "--latency-history", "-i", "1") as child:
        child.expect(r"avg: [\d.]+ \(\d+ samples\) -- 1\.0\d seconds range")
    plain = subprocess.run(
        [tool("redis-cli"), "-p", str(clean.port), "--latency", "--raw", "-i", "1"], capture_output=True, text=True, timeout=20
    ).stdout
    assert re.fullmatch(r"\d+ \d+ [\d.]+ \d+\n", plain)


def test_monitor(clean):
    with running(clean, "MONITOR") as child:
        child.expect("OK")
        with clean.client(protocol=2) as client:
            client.set("k", 'quo"te\n')
            client.eval("return redis.call('GET', KEYS[1])", 1, "k")
        child.expect(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "k" "quo\\"te\\n"')
        child.expect(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "EVAL" ')
        child.expect(r'\d+\.\d{6} \[0 lua\] "GET" "k"')


def test_subscribe(clean):
    with running(clean, "SUBSCRIBE", "news") as child:
        child.expect_exact('3) (integer) 1')
        with clean.client() as client:
            assert client.publish("news", "hello") == 1
        child.expect_exact('1) "message"')
        child.expect_exact('2) "news"')
        child.expect_exact('3) "hello"')


def test_psubscribe_in_resp3(clean):
    with running(clean, "-3", "PSUBSCRIBE", "n*") as child:
        child.expect("psubscribe")
        with clean.client() as client:
            eventually(lambda: client.publish("news", "hello") == 1)
        child.expect("pmessage.*news.*hello")


def test_blocking_command_from_the_shell(cli, clean):
    with clean.client() as client:
        timer = threading.Timer(0.3, lambda: client.rpush("q", "x"))
        timer.start()
        assert cli("BLPOP", "q", "10") == "q\nx\n"
        timer.join()


# ---------------------------------------------------------------- on a terminal


def test_interactive_session(clean):
    prompt = f"127.0.0.1:{clean.port}"
    with running(clean) as child:
        child.expect_exact(f"{prompt}> ")
        for line, answer in [
            ("set greeting \"hello world\"", "OK"),
            ("get greeting", '"hello world"'),
            ("rpush list a b c", "(integer) 3"),
            ("lrange list 0 -1", '3) "c"'),
            ("incr greeting", "(error) ERR value is not an integer or out of range"),
            ("nosuchcommand", "(error) ERR unknown command 'nosuchcommand', with args beginning with:"),
        ]:
            child.send(line + "\r")
            child.expect_exact(answer)
            child.expect_exact(f"{prompt}> ")
        child.send("multi" + "\r")
        child.expect_exact(f"{prompt}(TX)> ")
        child.send("incr n" + "\r")
        child.expect_exact("QUEUED")
        child.send("exec" + "\r")
        child.expect_exact("1) (integer) 1")
        child.send("select 3" + "\r")
        child.expect_exact(f"{prompt}[3]> ")
        child.send("help set" + "\r")
        child.expect(r"group:.* string")
        child.send("info server" + "\r")
        child.expect("redis_version:7")
        child.send("hello 3" + "\r")
        child.expect("proto")
        child.send("hgetall none" + "\r")
        child.expect("empty hash")
        child.send("subscribe c" + "\r")
        # Not before the reply is there: an earlier Ctrl-C ends the editing of the line, not the subscription.
        child.expect_exact("press Ctrl-C to quit")
        child.expect(r"3\) \(integer\) 1")
        child.sendcontrol("c")
        child.expect_exact(f"{prompt}[3]> ")
        child.send("quit" + "\r")
        child.expect(pexpect.EOF)


def test_interactive_reconnects_by_itself(clean):
    with running(clean) as child:
        child.expect_exact("> ")
        with clean.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        child.send("ping" + "\r")
        child.expect("Server closed the connection")
        child.send("ping" + "\r")
        child.expect("PONG")


def test_help_of_commands_comes_from_the_server(cli):
    docs = cli("--no-raw", "COMMAND", "DOCS", "get")
    assert '"summary"' in docs and '"since"' in docs


def test_help_of_arguments_comes_from_the_server(cli):
    assert '"arguments"' in cli("--no-raw", "COMMAND", "DOCS", "get")
