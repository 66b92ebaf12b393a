"""The jobs of test_queues.py for RQ, dramatiq and huey, each with a database of its own on one server.

Environment: RHUBARB_TEST_URL (redis://host:port).
"""

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from huey import PriorityRedisHuey

URL = os.environ["RHUBARB_TEST_URL"]
records = redis.Redis.from_url(URL, db=5, decode_responses=True)


def rq_add(x, y):
    return x + y


def rq_fails_once(name):
    """Fails at its first run, returns the number of the run afterwards."""
    run = records.incr(name)
    if run == 1:
        raise ValueError("the first run fails")
    return run


def rq_always_fails():
    raise LookupError("nothing to find")


broker = RedisBroker(url=URL + "/1")
broker.add_middleware(Results(backend=RedisBackend(url=URL + "/2"), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def square(x):
    records.hincrby("squares", x, 1)
    return x * x


@dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=50)
def fails_twice(name):
    run = records.incr(name)
    if run < 3:
        raise ValueError(f"run {run} fails")
    return run


@dramatiq.actor(max_retries=0)
def fails(name):
    raise LookupError(name)


queue = PriorityRedisHuey("clients", url=URL + "/3", notify_result=True)


@queue.task()
def note(key, value):
    records.rpush(key, value)
    return value * 2


@queue.task(retries=2)
def huey_fails_once(name):
    run = records.incr(name)
    if run == 1:
        raise ValueError("the first run fails")
    return run
