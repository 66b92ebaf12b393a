"""The Celery application of test_celery*.py: broker, results and the tasks' own records on one server.

Environment: RHUBARB_TEST_URL (redis://host:port), RHUBARB_TEST_EXPIRES (seconds results are kept).
"""

import os
import time

import redis
from celery import Celery

URL = os.environ["RHUBARB_TEST_URL"]
records = redis.Redis.from_url(URL, db=2, decode_responses=True)

app = Celery("clients", broker=URL + "/0", backend=URL + "/1")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 3,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
    },
    result_expires=int(os.environ.get("RHUBARB_TEST_EXPIRES", "600")),
    result_chord_retry_interval=0.1,
    task_default_priority=5,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    beat_schedule={"tick": {"task": "celery_app.record", "schedule": 0.3, "args": ("ticks", "beat")}},
    beat_max_loop_interval=0.1,
)


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail(text):
    raise ValueError(text)


@app.task
def record(key, value):
    """Appends to a list that the test reads."""
    return records.rpush(key, value)


@app.task
def count(key, field):
    """Counts how often this was run for `field`."""
    return records.hincrby(key, field, 1)


@app.task(acks_late=True)
def count_late(key, field):
    """As `count`, and runs again if its worker dies."""
    return records.hincrby(key, field, 1)


@app.task(bind=True, autoretry_for=(ValueError,), retry_backoff=1, retry_jitter=False, max_retries=5)
def flaky(self, key, failures):
    """Fails `failures` times; records the moment of each try."""
    records.rpush(key, time.time())
    if self.request.retries < failures:
        raise ValueError("not yet")
    return self.request.retries


@app.task
def hold(key, seconds):
    """Says in `key` that it runs, then goes on for `seconds`."""
    records.rpush(key, "running")
    time.sleep(seconds)
    records.rpush(key, "done")


@app.task(acks_late=True, reject_on_worker_lost=True)
def late(key):
    """Waits at its first run until it is killed; the second run ends at once."""
    if records.rpush(key, "run") == 1:
        time.sleep(60)
    return records.llen(key)


@app.task(rate_limit="10/s")
def limited(key):
    records.rpush(key, time.time())


@app.task
def raised(request, exc, traceback, key):
    """Error callback."""
    records.rpush(key, str(exc))
