"""redis-py with the families of commands beyond the plain types, over RESP2 and RESP3."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.retry import Retry

from harness import eventually


def test_stream_consumer_group(r):
    ids = [r.xadd("s", {"n": n}) for n in range(4)]
    assert r.xgroup_create("s", "g", id="0")
    with pytest.raises(ResponseError, match="BUSYGROUP"):
        r.xgroup_create("s", "g", id="0")
    taken = r.xreadgroup("g", "one", {"s": ">"}, count=3)
    # redis-py gives a dictionary of lists of batches with RESP3, pairs with RESP2.
    entries = taken["s"][0] if isinstance(taken, dict) else taken[0][1]
    assert [tuple(entry) for entry in entries] == [(ids[n], {"n": str(n)}) for n in range(3)]
    assert r.xack("s", "g", ids[0]) == 1 and r.xack("s", "g", ids[0]) == 0
    pending = r.xpending("s", "g")
    assert (pending["pending"], pending["min"], pending["max"]) == (2, ids[1], ids[2])
    claimed = r.xclaim("s", "g", "two", min_idle_time=0, message_ids=[ids[1]])
    assert [entry[0] for entry in claimed] == [ids[1]]
    assert r.xautoclaim("s", "g", "two", min_idle_time=0)[1][1][0] == ids[2]
    assert [(c["name"], c["pending"]) for c in r.xinfo_consumers("s", "g")] == [("one", 0), ("two", 2)]
    group = r.xinfo_groups("s")[0]
    assert group["entries-read"] == 3 and group["lag"] == 1


def test_geo(r):
    assert r.geoadd("Sicily", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
    assert r.geodist("Sicily", "Palermo", "Catania", "km") == pytest.approx(166.2742)
    found = r.geosearch("Sicily", longitude=15, latitude=37, radius=200, unit="km", sort="ASC", withdist=True)
    assert [name for name, _ in found] == ["Catania", "Palermo"]
    assert [distance for _, distance in found] == pytest.approx([56.4413, 190.4424])
    assert r.geohash("Sicily", "Palermo") == ["sqc8b49rny0"]


def test_bitmaps_and_hyperloglog(r):
    for offset in (1, 3, 100):
        assert r.setbit("bits", offset, 1) == 0
    assert r.bitcount("bits") == 3 and r.bitpos("bits", 1) == 1 and r.getbit("bits", 100) == 1
    r.setbit("other", 3, 1)
    assert r.bitop("AND", "both", "bits", "other") == 13 and r.bitcount("both") == 1
    assert r.bitfield("field").set("u8", 0, 250).overflow("SAT").incrby("u8", 0, 10).execute() == [0, 255]

    assert r.pfadd("a", *range(1000)) == 1 and r.pfadd("a", 5) == 0
    r.pfadd("b", *range(500, 1500))
    assert r.pfmerge("union", "a", "b")
    assert r.pfcount("union") == pytest.approx(1500, rel=0.05) == r.pfcount("a", "b")


def test_acl_user(r, server):
    try:
        assert r.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["data:*"], commands=["+get", "+acl|whoami"])
        assert "on" in r.acl_getuser("reader")["flags"]
        assert "reader" in r.acl_users()
        r.set("data:1", "v")
        with server.client(username="reader", password="secret", protocol=r.protocol_version) as reader:
            assert reader.get("data:1") == "v" and reader.acl_whoami() == "reader"
            with pytest.raises(NoPermissionError):
                reader.get("private")
            with pytest.raises(NoPermissionError):
                reader.set("data:1", "w")
        once = Retry(NoBackoff(), 0)
        with server.client(username="reader", password="wrong", retry=once) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        assert {entry["reason"] for entry in r.acl_log()} == {"key", "command", "auth"}
    finally:
        assert r.acl_deluser("reader") == 1
        r.acl_log_reset()


def test_functions(r):
    body = "function(keys, args) return {redis.call('GET', keys[1]), args[1]} end"
    code = f"#!lua name=lib\nredis.register_function{{function_name='read', flags={{'no-writes'}}, callback={body}}}"
    try:
        assert r.function_load(code) == "lib"
        r.set("k", "v")
        assert r.fcall("read", 1, "k", "x") == ["v", "x"] == r.fcall_ro("read", 1, "k", "x")
        with pytest.raises(ResponseError, match="already exists"):
            r.function_load(code)
        with undecoded(r) as raw:
            dump = raw.function_dump()
        assert r.function_flush() and not r.function_list()
        with pytest.raises(ResponseError, match="Function not found"):
            r.fcall("read", 1, "k", "x")
        with undecoded(r) as raw:
            assert raw.function_restore(dump)
        assert r.fcall("read", 1, "k", "x") == ["v", "x"]
    finally:
        r.function_flush()


def undecoded(r):
    """A client to the same server that gives replies as bytes."""
    options = r.connection_pool.connection_kwargs
    return redis.Redis(host=options["host"], port=options["port"], protocol=r.protocol_version)


def test_hash_field_expiry(r):
    r.hset("h", mapping={"short": 1, "long": 2, "ever": 3})
    assert r.hpexpire("h", 20, "short") == [1] and r.hexpire("h", 1000, "long", "absent") == [1, -2]
    eventually(lambda: not r.hexists("h", "short"), what="the field expired")
    assert r.hgetall("h") == {"long": "2", "ever": "3"}
    assert 0 < r.httl("h", "long")[0] <= 1000 and r.httl("h", "ever") == [-1]
    assert r.hpersist("h", "long") == [1] and r.httl("h", "long") == [-1]


def test_client_side_caching(clean, monkeypatch):
    # redis-py asks for a server that calls itself 7.4, though 7.2 has all of CLIENT TRACKING.
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "MIN_ALLOWED_VERSION", "7.2.0")
    with clean.client(protocol=3, cache_config=CacheConfig()) as cached, clean.client() as other:
        other.set("k", "old")
        assert cached.get("k") == "old" and cached.get_cache().size == 1
        reads = calls_of_get(other)
        assert cached.get("k") == "old"
        assert calls_of_get(other) == reads, "the second read came from the cache"
        other.set("k", "new")
        eventually(lambda: cached.get("k") == "new", what="the invalidation")
        assert calls_of_get(other) == reads + 1


def calls_of_get(client):
    return client.info("commandstats")["cmdstat_get"]["calls"]
