"""redis-py's asyncio client, over RESP2 and RESP3."""

import asyncio

import pytest
import pytest_asyncio
import redis.asyncio as aioredis
from redis.exceptions import ResponseError, WatchError


@pytest_asyncio.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
async def a(clean, request):
    client = aioredis.Redis(host="127.0.0.1", port=clean.port, protocol=request.param, decode_responses=True, max_connections=600)
    yield client
    await client.aclose()


async def message_of(pubsub, kind, timeout=5):
    async with asyncio.timeout(timeout):
        while True:
            message = await pubsub.get_message(timeout=0.2)
            if message and message["type"] == kind:
                return message


async def test_commands_and_pipeline(a):
    assert await a.set("k", "v") and await a.get("k") == "v"
    async with a.pipeline(transaction=True) as pipe:
        assert await pipe.incr("n").incr("n").hset("h", mapping={"f": 1}).hgetall("h").execute() == [1, 2, 1, {"f": "1"}]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await a.lpush("k", 1)


async def test_many_concurrent_connections(a):
    async def work(i):
        await a.set(f"k{i}", i)
        assert await a.get(f"k{i}") == str(i)
        return await a.incr("total")

    results = await asyncio.gather(*(work(i) for i in range(500)))
    assert sorted(results) == list(range(1, 501))


async def test_watch(a):
    async with a.pipeline() as pipe:
        await pipe.watch("k")
        await a.set("k", 1)
        pipe.multi()
        pipe.get("k")
        with pytest.raises(WatchError):
            await pipe.execute()


async def test_pubsub(a):
    async with a.pubsub() as pubsub:
        await pubsub.subscribe("c")
        await pubsub.psubscribe("p*")
        await message_of(pubsub, "subscribe")
        await message_of(pubsub, "psubscribe")
        assert await a.publish("c", "one") == 1
        assert (await message_of(pubsub, "message"))["data"] == "one"
        assert await a.publish("px", "two") == 1
        assert (await message_of(pubsub, "pmessage"))["channel"] == "px"


async def test_blocking_pop_among_other_work(a):
    blocked = [asyncio.create_task(a.blpop("q", timeout=10)) for _ in range(20)]
    async with asyncio.timeout(10):
        while (await a.info("clients"))["blocked_clients"] < 20:
            await asyncio.sleep(0.01)
    assert await a.rpush("q", *range(20)) == 20
    items = await asyncio.gather(*blocked)
    assert sorted(int(item[1]) for item in items) == list(range(20))


async def test_cancelled_blocking_pop_takes_nothing(a):
    task = asyncio.create_task(a.blpop("q", timeout=0))
    async with asyncio.timeout(10):
        while (await a.info("clients"))["blocked_clients"] < 1:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        while (await a.info("clients"))["blocked_clients"] > 0:
            await asyncio.sleep(0.01)
    await a.rpush("q", "kept")
    assert await a.lrange("q", 0, -1) == ["kept"]


async def test_script_and_lock(a):
    script = a.register_script("return ARGV[1]")
    assert await script(args=["x"]) == "x"
    async with a.lock("l", timeout=10):
        assert not await a.lock("l", timeout=10).acquire(blocking=False)
    assert not await a.exists("l")


async def test_scan_iter(a):
    async with a.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"k{i}", i)
        await pipe.execute()
    assert len({key async for key in a.scan_iter(match="k*", count=77)}) == 1000


async def test_monitor(a):
    async with a.monitor() as monitor:
        await a.set("seen", "1")
        async with asyncio.timeout(5):
            async for entry in monitor.listen():
                if entry["command"].startswith("SET seen"):
                    break
