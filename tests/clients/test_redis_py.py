"""redis-py, synchronous, over RESP2 and RESP3."""

import threading
import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    DataError,
    ExecAbortError,
    LockNotOwnedError,
    NoScriptError,
    ResponseError,
    WatchError,
)
from redis.retry import Retry

from harness import eventually


def next_message(pubsub, timeout=5.0):
    """The next message that is not a confirmation."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=0.2)
        if message and not message["type"].endswith("subscribe"):
            return message
    raise AssertionError("no message came")


def confirm(pubsub, count):
    """Reads `count` (un)subscribe confirmations and returns them."""
    found = []
    deadline = time.monotonic() + 5
    while len(found) < count and time.monotonic() < deadline:
        message = pubsub.get_message(timeout=0.2)
        if message:
            assert message["type"].endswith("subscribe"), message
            found.append(message)
    assert len(found) == count
    return found


# ---------------------------------------------------------------- connection


def test_handshake_and_client_setinfo(r):
    r.client_setname("probe")
    assert r.client_getname() == "probe"
    me = r.client_info()
    assert me["name"] == "probe"
    assert str(me["resp"]) == str(r.protocol_version)
    assert any(str(c["id"]) == str(r.client_id()) for c in r.client_list())


def test_hello_reports_the_server(r):
    hello = r.execute_command("HELLO", str(r.protocol_version))
    if isinstance(hello, list):
        hello = dict(zip(hello[::2], hello[1::2]))
    assert hello["proto"] == r.protocol_version
    assert hello["mode"] == "standalone"
    assert hello["role"] == "master"
    assert hello["version"].split(".")[0] == "7"


def test_hello_with_an_unknown_version_leaves_the_connection_usable(clean):
    with clean.client(protocol=2) as client:
        with pytest.raises(ResponseError, match="NOPROTO|unsupported protocol"):
            client.execute_command("HELLO", "9")
        assert client.ping()


def test_unix_socket(clean):
    with redis.Redis(unix_socket_path=str(clean.socket)) as client:
        client.set("over", "unix")
    with clean.client() as client:
        assert client.get("over") == "unix"


def test_select_keeps_databases_apart(clean):
    with clean.client(db=0) as zero, clean.client(db=5) as five:
        zero.set("k", "0")
        five.set("k", "5")
        assert (zero.get("k"), five.get("k")) == ("0", "5")
        assert zero.move("other", 5) == 0
        five.flushdb()
        assert zero.get("k") == "0" and five.get("k") is None
        assert zero.swapdb(0, 5)
        assert five.get("k") == "0"


def test_wrong_password_is_an_authentication_error(clean):
    with clean.client() as admin:
        admin.config_set("requirepass", "secret")
        try:
            once = Retry(NoBackoff(), 0)
            with clean.client(password="wrong", retry=once) as client, pytest.raises(AuthenticationError):
                client.ping()
            with clean.client(retry=once) as client, pytest.raises(AuthenticationError):
                client.ping()
            with clean.client(password="secret") as client:
                assert client.ping()
            with clean.client(username="default", password="secret", protocol=3) as client:
                assert client.ping()
        finally:
            admin.config_set("requirepass", "")


def test_client_kill_makes_the_pool_reconnect(r):
    with r.another() as other:
        victim = other.client_id()
        assert r.client_kill_filter(_id=victim) == 1
        assert other.ping()
        assert other.client_id() != victim


# ---------------------------------------------------------------- types


def test_strings(r):
    assert r.set("k", "v", nx=True)
    assert not r.set("k", "w", nx=True)
    assert r.set("k", "w", xx=True, get=True) == "v"
    assert r.append("k", "xyz") == 4
    assert r.getrange("k", 1, 2) == "xy"
    assert r.incrbyfloat("f", 1.5) == 1.5
    assert r.incr("n", 5) == 5 and r.decr("n", 2) == 3
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "none", "b") == ["1", None, "2"]
    assert r.msetnx({"c": 1, "a": 3}) in (False, 0)
    assert r.set("t", "x", px=60_000) and 0 < r.pttl("t") <= 60_000
    assert r.getex("t", persist=True) == "x" and r.ttl("t") == -1
    assert r.getdel("t") == "x" and r.exists("t") == 0
    assert r.setrange("pad", 3, "x") == 4 and r.get("pad") == "\0\0\0x"
    assert r.strlen("pad") == 4


def test_hashes(r):
    assert r.hset("h", mapping={"a": 1, "b": "two"}) == 2
    assert r.hgetall("h") == {"a": "1", "b": "two"}
    assert r.hincrby("h", "a", 4) == 5 and float(r.hincrbyfloat("h", "a", 0.5)) == 5.5
    assert r.hmget("h", "a", "x") == ["5.5", None]
    assert r.hsetnx("h", "a", 1) == 0 and r.hexists("h", "b") and r.hlen("h") == 2
    assert sorted(r.hkeys("h")) == ["a", "b"] and r.hdel("h", "a", "x") == 1
    r.hset("big", mapping={f"f{i}": i for i in range(1000)})
    assert dict(r.hscan_iter("big", count=50)) == {f"f{i}": str(i) for i in range(1000)}
    assert r.hrandfield("h", 5) == ["b"]


def test_lists(r):
    assert r.rpush("l", *range(10)) == 10
    assert r.lrange("l", 0, -1) == [str(i) for i in range(10)]
    assert r.lpop("l", 2) == ["0", "1"] and r.rpop("l") == "9"
    assert r.lmove("l", "m", "LEFT", "RIGHT") == "2" and r.lrange("m", 0, -1) == ["2"]
    assert r.lpos("l", "5") == 2 and r.linsert("l", "BEFORE", "5", "x") == 7
    assert r.lset("l", 0, "first") and r.lindex("l", 0) == "first"
    assert r.lrem("l", 0, "x") == 1 and r.ltrim("l", 0, 1) and r.llen("l") == 2
    assert r.lmpop(2, "none", "l", direction="LEFT", count=5) == ["l", ["first", "4"]]


def test_sets(r):
    r.sadd("a", 1, 2, 3)
    r.sadd("b", 3, 4)
    assert r.sinter("a", "b") == {"3"} and r.sunion("a", "b") == {"1", "2", "3", "4"} and r.sdiff("a", "b") == {"1", "2"}
    assert r.sinterstore("c", "a", "b") == 1 and r.sintercard(2, ["a", "b"]) == 1
    assert r.smismember("a", ["1", "9"]) == [1, 0] and r.smove("a", "b", 1)
    assert r.smembers("b") == {"1", "3", "4"}
    r.sadd("many", *range(5000))
    assert {int(m) for m in r.sscan_iter("many", count=100)} == set(range(5000))
    assert len(r.srandmember("many", -10)) == 10 and r.spop("a") in {"2", "3"}


def test_sorted_sets(r):
    r.zadd("z", {"a": 1, "b": 2, "c": 3, "inf": float("inf")})
    assert r.zrange("z", 0, -1) == ["a", "b", "c", "inf"]
    pairs = r.zrange("z", 0, 1, withscores=True)
    assert [tuple(p) for p in pairs] == [("a", 1.0), ("b", 2.0)]
    assert r.zrange("z", "+inf", "2", byscore=True, desc=True, offset=0, num=2) == ["inf", "c"]
    assert r.zadd("z", {"a": 0.5}, gt=True) == 0 and r.zscore("z", "a") == 1.0
    assert r.zadd("z", {"a": 10}, incr=True) == 11.0
    assert r.zrank("z", "b") == 0 and r.zrevrank("z", "b") == 3
    assert r.zrangebyscore("z", 2, "(11") == ["b", "c"] and r.zcount("z", "-inf", "+inf") == 4
    assert [tuple(p) for p in r.zpopmin("z", 1)] == [("b", 2.0)]
    r.zadd("y", {"c": 1, "d": 4})
    assert r.zunionstore("u", ["z", "y"], aggregate="MAX") == 4
    assert r.zinter(["z", "y"]) == ["c"] and r.zdiff(["y", "z"]) == ["d"]
    r.zadd("lex", {m: 0 for m in "abcdef"})
    assert r.zrangebylex("lex", "[b", "(e") == ["b", "c", "d"] and r.zlexcount("lex", "-", "+") == 6
    assert r.zremrangebyrank("lex", 0, 1) == 2
    assert r.zmscore("y", ["c", "none"]) == [1.0, None]


def test_generic(r):
    r.set("s", 1)
    r.rpush("l", 1)
    assert r.type("s") == "string" and r.type("none") == "none" and r.object("encoding", "s") == "int"
    assert r.rename("s", "s2") and r.renamenx("s2", "l") in (False, 0)
    assert r.copy("l", "l2") and r.lrange("l2", 0, -1) == ["1"]
    assert r.expire("l", 100) and r.expire("l", 50, gt=True) in (False, 0) and r.persist("l")
    assert r.unlink("l", "l2", "none") == 2 and r.touch("s2") == 1
    assert r.randomkey() == "s2" and r.dbsize() == 1
    r.rpush("nums", 3, 1, 2)
    assert r.sort("nums", desc=True, start=0, num=2) == ["3", "2"]
    assert r.sort("nums", store="sorted") == 3 and r.lrange("sorted", 0, -1) == ["1", "2", "3"]


def test_scan_returns_every_key_under_writes(r):
    wanted = {f"key:{i}" for i in range(3000)}
    with r.pipeline(transaction=False) as pipe:
        for key in wanted:
            pipe.set(key, 1)
        pipe.execute()
    found, extra = set(), 0
    for key in r.scan_iter(match="key:*", count=100):
        found.add(key)
        extra += 1
        if extra % 10 == 0:
            r.set(f"new:{extra}", 1)
    assert found == wanted
    r.zadd("z", {"m": 1})
    assert list(r.scan_iter(_type="zset")) == ["z"]


# ---------------------------------------------------------------- pipelines and transactions


def test_pipeline_of_many_commands_in_order(r):
    pipe = r.pipeline(transaction=False)
    for i in range(10_000):
        pipe.set(f"k{i % 100}", i)
        pipe.incr("counter")
    replies = pipe.execute()
    assert replies[1::2] == list(range(1, 10_001))


def test_transaction(r):
    with r.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 1).incr("a").rpush("a", "wrong").get("a").execute(raise_on_error=False)[1] == 2
        pipe.rpush("a", "wrong").set("b", 1)
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            pipe.execute()
    assert r.get("b") == "1", "the commands after a failing one ran"


def test_transaction_with_a_bad_command_is_aborted(r):
    with r.pipeline() as pipe:
        pipe.set("a", 1)
        pipe.execute_command("SET", "only-a-key")
        with pytest.raises((ExecAbortError, ResponseError)):
            pipe.execute()
    assert r.get("a") is None


def test_watch_loop_of_many_threads_loses_no_increment(r):
    def bump(_):
        for _ in range(25):
            def step(pipe):
                value = int(pipe.get("n") or 0)
                pipe.multi()
                pipe.set("n", value + 1)

            r.transaction(step, "n")

    threads = [threading.Thread(target=bump, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.get("n") == "100"


def test_watch_error(r):
    with r.pipeline() as pipe:
        pipe.watch("k")
        r.set("k", "changed")
        pipe.multi()
        pipe.get("k")
        with pytest.raises(WatchError):
            pipe.execute()


# ---------------------------------------------------------------- blocking commands


def test_blocking_pop_is_served_by_a_push(r):
    got = []
    thread = threading.Thread(target=lambda: got.append(r.blpop(["q1", "q2"], timeout=10)))
    thread.start()
    with r.another() as other:
        eventually(lambda: other.info("clients")["blocked_clients"] == 1, what="a blocked client")
        other.rpush("q2", "job")
    thread.join(10)
    assert [tuple(item) for item in got] == [("q2", "job")]


@pytest.mark.parametrize("command", ["blpop", "brpop", "bzpopmin", "bzpopmax"])
def test_blocking_pop_times_out_punctually(r, command):
    start = time.monotonic()
    assert getattr(r, command)(["none"], timeout=1) is None
    assert 0.95 <= time.monotonic() - start < 1.6


def test_blocked_clients_are_served_in_order(r):
    order, threads = [], []
    with r.another() as admin:
        for i in range(3):
            threads.append(threading.Thread(target=lambda i=i: order.append((i, r.brpop("q", timeout=10)[1]))))
            threads[-1].start()
            eventually(lambda i=i: admin.info("clients")["blocked_clients"] == i + 1, what="a blocked client")
        admin.lpush("q", "a", "b", "c")
    for thread in threads:
        thread.join(10)
    assert sorted(order) == [(0, "a"), (1, "b"), (2, "c")]


def test_blmove_and_bzmpop(r):
    timer = threading.Timer(0.2, lambda: r.rpush("src", "x"))
    timer.start()
    assert r.blmove("src", "dst", 5, "LEFT", "RIGHT") == "x"
    timer.join()
    timer = threading.Timer(0.2, lambda: r.zadd("z", {"m": 2}))
    timer.start()
    key, members = r.bzmpop(5, 1, ["z"], min=True)
    timer.join()
    assert key == "z" and members[0][0] == "m" and float(members[0][1]) == 2.0


# ---------------------------------------------------------------- pub/sub


def test_pubsub_channels_and_patterns(r):
    pubsub = r.pubsub()
    pubsub.subscribe("news", "other")
    pubsub.psubscribe("n*")
    assert [m["data"] for m in confirm(pubsub, 3)] == [1, 2, 3]
    assert r.publish("news", "hello") == 2
    kinds = {}
    for _ in range(2):
        message = next_message(pubsub)
        kinds[message["type"]] = (message["channel"], message["data"], message["pattern"])
    assert kinds == {"message": ("news", "hello", None), "pmessage": ("news", "hello", "n*")}
    assert r.pubsub_numsub("news", "none") == [("news", 1), ("none", 0)] and r.pubsub_numpat() == 1
    assert sorted(r.pubsub_channels()) == ["news", "other"]
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    assert [m["data"] for m in confirm(pubsub, 3)][-1] == 0
    pubsub.close()


def test_pubsub_ping_and_many_messages_in_order(r):
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("c")
    eventually(lambda: r.pubsub_numsub("c")[0][1] == 1)
    pubsub.ping()
    with r.pipeline(transaction=False) as pipe:
        for i in range(2000):
            pipe.publish("c", i)
        pipe.execute()
    got = []
    while len(got) < 2000:
        message = pubsub.get_message(timeout=5)
        assert message is not None or got == [], "messages stopped coming"
        if message and message["type"] == "message":
            got.append(int(message["data"]))
    assert got == list(range(2000))
    pubsub.close()


def test_sharded_pubsub(r):
    pubsub = r.pubsub()
    pubsub.ssubscribe("shard")
    confirm(pubsub, 1)
    assert r.spublish("shard", "x") == 1
    deadline = time.monotonic() + 5
    message = None
    while message is None and time.monotonic() < deadline:
        message = pubsub.get_sharded_message(timeout=0.2) if hasattr(pubsub, "get_sharded_message") else pubsub.get_message(timeout=0.2)
    assert message["type"] == "smessage" and message["data"] == "x"
    assert r.pubsub_shardchannels() == ["shard"] and r.pubsub_shardnumsub("shard") == [("shard", 1)]
    pubsub.close()


def test_commands_are_refused_while_subscribed_in_resp2(clean):
    with clean.client(protocol=2) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", "c")
        assert connection.read_response() == ["subscribe", "c", 1]
        connection.send_command("GET", "k")
        with pytest.raises(ResponseError, match="Can't execute 'get'"):
            connection.read_response()
        connection.disconnect()


def test_publish_inside_a_transaction(r):
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("c")
    eventually(lambda: r.pubsub_numsub("c")[0][1] == 1)
    with r.pipeline(transaction=True) as pipe:
        assert pipe.set("k", 1).publish("c", "m").execute() == [True, 1]
    assert next_message(pubsub)["data"] == "m"
    pubsub.close()


def test_keyspace_notifications(r):
    r.config_set("notify-keyspace-events", "KEA")
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.psubscribe("__key*__:*")
    eventually(lambda: r.pubsub_numpat() == 1)
    r.set("k", 1)
    r.pexpire("k", 30)
    seen = []
    while ("__keyevent@0__:expired", "k") not in seen:
        message = next_message(pubsub)
        seen.append((message["channel"], message["data"]))
    assert seen == [
        ("__keyspace@0__:k", "set"), ("__keyevent@0__:set", "k"),
        ("__keyspace@0__:k", "expire"), ("__keyevent@0__:expire", "k"),
        ("__keyspace@0__:k", "expired"), ("__keyevent@0__:expired", "k"),
    ]  # fmt: skip
    pubsub.close()
    r.config_set("notify-keyspace-events", "")


# ---------------------------------------------------------------- scripts and locks


def test_registered_script_survives_a_script_flush(r):
    script = r.register_script("redis.call('SET', KEYS[1], ARGV[1]); return redis.call('INCRBY', KEYS[1], 2)")
    assert script(keys=["k"], args=[40]) == 42
    r.script_flush()
    with pytest.raises(NoScriptError):
        r.evalsha(script.sha, 1, "k", 1)
    assert script(keys=["k"], args=[1]) == 3
    assert r.script_exists(script.sha, "0" * 40) == [True, False]


def test_script_replies_and_errors(r):
    assert r.eval("return {1, 'two', false, {3}}", 0) == [1, "two", None, [3]]
    assert r.eval("return redis.status_reply('FINE')", 0) == "FINE"
    assert r.eval("return #ARGV", 0, *range(100)) == 100
    with pytest.raises(ResponseError, match="MY message"):
        r.eval("return redis.error_reply('MY message')", 0)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        r.eval("redis.call('RPUSH', KEYS[1], 1); return redis.call('GET', KEYS[1])", 1, "l")
    with pytest.raises(ResponseError, match="Write commands are not allowed"):
        r.eval_ro("return redis.call('SET', KEYS[1], 1)", 1, "k")
    assert r.eval("return cjson.encode({a=cjson.decode('[1,2]')})", 0) == '{"a":[1,2]}'
    assert r.eval("return cmsgpack.unpack(cmsgpack.pack({1, 'x'}))", 0) == [1, "x"]


def test_script_in_a_pipeline(r):
    script = r.register_script("return redis.call('INCR', KEYS[1])")
    with r.pipeline() as pipe:
        script(keys=["n"], client=pipe)
        pipe.get("n")
        assert pipe.execute() == [1, "1"]


def test_lock_excludes_and_extends(r):
    lock = r.lock("lock", timeout=30)
    assert lock.acquire(blocking=False)
    assert not r.lock("lock", timeout=30).acquire(blocking=False)
    assert lock.extend(10) and 30_000 < r.pttl("lock") <= 40_000
    assert lock.reacquire() and r.pttl("lock") <= 30_000
    lock.release()
    assert not r.exists("lock")
    with pytest.raises(LockNotOwnedError):
        short = r.lock("lock", timeout=0.05)
        short.acquire()
        eventually(lambda: not r.exists("lock"))
        short.release()


def test_lock_hands_over_between_threads(r):
    holders, trace = [], []

    def work(i):
        with r.lock("l", timeout=20, sleep=0.005):
            holders.append(i)
            trace.append(len(holders))
            time.sleep(0.005)
            holders.remove(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trace == [1] * 8


# ---------------------------------------------------------------- values and errors


@pytest.mark.parametrize("size", [0, 1, 63, 64, 16_383, 16_384, 65_536, 5_000_000])
def test_binary_values_of_every_size(clean, size):
    value = (bytes(range(256)) * (size // 256 + 1))[:size]
    with clean.client(decode_responses=False) as client:
        client.set("k", value)
        assert client.get("k") == value
        client.hset("h", "f", value)
        client.rpush("l", value, b"\r\n", value)
        assert client.hget("h", "f") == value and client.lrange("l", 0, -1) == [value, b"\r\n", value]


def test_unicode_and_odd_keys(r):
    for key in ["ключ", "键", "emoji \U0001f353", "with space", "new\r\nline", "nul\0byte", "{tag}[a]*?\\"]:
        r.set(key, key + "!")
        assert r.get(key) == key + "!"
    assert r.dbsize() == 7
    assert r.keys("{tag}\\[a\\]\\*\\?\\\\") == ["{tag}[a]*?\\"]


def test_error_texts(r):
    r.set("s", "text")
    cases = [
        (("LPUSH", "s", "x"), "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (("INCR", "s"), "value is not an integer or out of range"),
        (("GET",), "wrong number of arguments for 'get' command"),
        (("NOSUCH", "a"), "unknown command 'NOSUCH', with args beginning with: 'a'"),
        (("SET", "a", "b", "BOGUS"), "syntax error"),
        (("EXPIRE", "s", "x"), "value is not an integer or out of range"),
        (("SETEX", "a", "0", "b"), "invalid expire time in 'setex' command"),
        (("LSET", "none", "0", "x"), "no such key"),
        (("OBJECT", "BOGUS", "s"), "unknown subcommand 'BOGUS'. Try OBJECT HELP."),
        (("SELECT", "99"), "DB index is out of range"),
        (("EXEC",), "EXEC without MULTI"),
        (("CONFIG", "SET", "nosuch", "1"), "Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        (("EVALSHA", "x", "0"), "No matching script"),
        (("ZADD", "z", "nan", "m"), "value is not a valid float"),
    ]
    for command, text in cases:
        with pytest.raises(redis.RedisError) as caught:
            r.execute_command(*command)
        assert text.removeprefix("WRONGTYPE ") in str(caught.value), command
    with pytest.raises(DataError):
        r.set("k", None)


def test_info_and_admin(r):
    info = r.info("all") if r.protocol_version == 2 else r.info()
    assert info["redis_version"].startswith("7.") and info["redis_mode"] == "standalone"
    assert info["tcp_port"] == r.connection_pool.connection_kwargs["port"] and info["role"] == "master"
    assert info["used_memory"] > 0 and info["connected_clients"] >= 1
    r.set("k", "v" * 1000)
    assert r.memory_usage("k") > 1000 and "maxmemory" in r.config_get("max*")
    assert r.info("keyspace")["db0"]["keys"] == 1
    assert r.time()[0] > 1_600_000_000 and r.echo("hi") == "hi"
    assert r.command_count() == sum("|" not in name for name in r.command_list())
    assert r.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
    r.slowlog_reset()
    assert isinstance(r.slowlog_get(), list) and r.latency_latest() == []
    r.config_resetstat()
    assert r.lastsave()


def test_time_of_scripts_and_transactions_includes_their_commands(r):
    r.config_resetstat()
    r.eval("for i = 1, 2000 do redis.call('SET', KEYS[1], i) end", 1, "k")
    with r.pipeline(transaction=True) as pipe:
        for i in range(2000):
            pipe.incr("n")
        pipe.execute()
    stats = r.info("commandstats")
    assert stats["cmdstat_eval"]["usec"] >= stats["cmdstat_set"]["usec"] > 0
    assert stats["cmdstat_exec"]["usec"] >= stats["cmdstat_incrby"]["usec"] > 0


def test_number_of_commands(r):
    assert r.command_count() > 200


def test_expiry_is_punctual(r):
    with r.pipeline(transaction=False) as pipe:
        for i in range(2000):
            pipe.set(f"k{i}", 1, px=300 + i % 100)
        pipe.execute()
    start = time.monotonic()
    eventually(lambda: r.dbsize() == 0, timeout=5, what="all keys gone by themselves")
    assert time.monotonic() - start > 0.2
