"""The append only file: what was acknowledged survives SIGKILL, and redis-server reads it as we do.

RHUBARB_KILL_ROUNDS sets how often the server is killed under load (default 8; 200 is the long mode).
"""

import os
import random
import subprocess
import threading

import pytest
import redis

from celery_harness import Process, load_app, worker, worker_arguments
from harness import Server, eventually, tool

ROUNDS = int(os.environ.get("RHUBARB_KILL_ROUNDS", "8"))
CLIENTS = 8


class Writer(threading.Thread):
    """Pushes numbers to a list of its own until the server is gone; knows which were acknowledged."""

    def __init__(self, server, name, pipelined):
        super().__init__(daemon=True)
        self.server, self.key, self.pipelined = server, name, pipelined
        self.acked = 0

    def run(self):
        size = 16 if self.pipelined else 1
        with self.server.client() as client:
            self.acked = client.llen(self.key)
            try:
                while True:
                    pipe = client.pipeline(transaction=False)
                    for n in range(self.acked, self.acked + size):
                        pipe.rpush(self.key, n)
                    self.acked = pipe.execute()[-1]
            except redis.RedisError:
                return


def kill_under_load(server, rounds):
    for turn in range(rounds):
        server.start()
        writers = [Writer(server, f"list:{i}", i % 2) for i in range(CLIENTS)]
        for thread in writers:
            thread.start()
        with server.client() as client:
            enough = random.randint(100, 1500) + sum(client.llen(thread.key) for thread in writers)
            eventually(lambda: sum(thread.acked for thread in writers) > enough, 60, 0.001, "some writes")
            if turn % 2:
                client.bgrewriteaof()
        server.crash()
        for thread in writers:
            thread.join()
        server.start()
        with server.client() as client:
            for thread in writers:
                found = client.lrange(thread.key, 0, -1)
                assert len(found) >= thread.acked, f"round {turn}: {thread.key} lost acknowledged writes"
                assert found == [str(n) for n in range(len(found))]
        server.stop(keep=True)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_kill_under_load_loses_nothing_acknowledged(fsync):
    server = Server("--appendonly", "yes", "--appendfsync", fsync)
    try:
        kill_under_load(server, ROUNDS)
    finally:
        server.kill()


# Its waits together are longer than other tests may take: 2,000 tasks on a busy machine.
@pytest.mark.timeout(300)
def test_celery_survives_a_killed_server():
    server = Server("--appendonly", "yes", "--appendfsync", "always").start()
    first = None
    try:
        celery = load_app(server)
        for i in range(2000):
            celery.count_late.apply_async(("crash", i), queue="crash", ignore_result=True)
        threads = {"queues": "crash", "pool": "threads", "concurrency": 4}
        first = Process(server, "first", *worker_arguments("first", "-O", "fair", **threads)).wait_ready()
        eventually(lambda: celery.records.hlen("crash") >= 500, 60, 0.02, "a quarter of the tasks run")
        server.crash()
        # A worker of Celery 5.7 often does not find back to a server that died, also to redis-server's: kombu's
        # cleaning up of the lost connection raises. Whoever watches over workers starts a new one.
        first.kill()
        server.start()
        with worker(server, "second", "-O", "fair", **threads), server.client() as client:
            eventually(lambda: no_task_left(client), 180, 0.1, "the queues are empty")
        # Tasks that were running may run again. One may be lost, in Celery itself: that of the BRPOP whose reply was
        # under way when the server died. It was popped, and no worker had it.
        assert celery.records.hlen("crash") >= 1999
    finally:
        first and first.kill()
        server.kill()


def no_task_left(client):
    return not any(key.startswith(("crash", "unacked")) for key in client.keys())


def fill(client):
    """Data of all types and encodings."""
    client.set("int", 12345)
    client.set("short", "value", px=10**9)
    client.set("long", "x" * 5000)
    client.rpush("list", *range(20), "x" * 100)
    client.rpush("biglist", *[f"element {i}" for i in range(2000)])
    client.sadd("ints", *range(20))
    client.sadd("set", "a", "b", 3)
    client.sadd("bigset", *[f"member {i}" for i in range(1000)])
    client.zadd("zset", {"a": 1.5, "b": -2, "c": float("inf")})
    client.zadd("bigzset", {f"m{i}": i / 7 for i in range(500)})
    client.hset("hash", mapping={"f": 1, "g": "text"})
    client.hset("bighash", mapping={f"f{i}": "v" * i for i in range(300)})
    client.pexpire("zset", 10**9)


def change(client):
    """What is told in another form than it was called in."""
    client.spop("bigset", 5)
    client.incrbyfloat("float", 0.1)
    client.hincrbyfloat("hash", "h", 1.25)
    client.expire("hash", 10**6)
    client.getex("long", ex=10**6)
    client.lmpop(1, "biglist", direction="LEFT", count=3)
    client.eval("for i = 1, 5 do redis.call('RPUSH', 'scripted', i) end", 0)
    with client.pipeline() as pipe:
        pipe.incr("int").append("short", "more").select(3).set("elsewhere", 1).select(0)
        pipe.execute()


def digest(client):
    return client.execute_command("DEBUG", "DIGEST")


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_redis_server_and_back(preamble):
    ours = Server("--appendonly", "yes", "--aof-use-rdb-preamble", preamble)
    theirs = ours.sibling(tool("redis-server"))
    try:
        expected = None
        for server in (ours, theirs, ours, theirs, ours):
            server.start()
            with server.client() as client:
                assert expected in (None, digest(client))
                fill(client) if expected is None else change(client)
                client.bgrewriteaof()
                eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0, what="the rewrite ended")
                change(client)
                expected = digest(client)
            server.stop(keep=True)
            manifest = ours.dir / "appendonlydir" / "appendonly.aof.manifest"
            subprocess.run([tool("redis-check-aof"), manifest], check=True, stdout=subprocess.DEVNULL)
    finally:
        ours.kill()
