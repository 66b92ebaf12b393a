"""Job queues and channel layers on PyPI, each with its real workers: RQ, dramatiq, huey, channels_redis."""

import asyncio
import contextlib
import datetime
import os

import pytest
import redis
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from dramatiq.results.errors import ResultError, ResultFailure
from huey.exceptions import TaskException
from rq import Queue, Retry

from celery_harness import Process
from harness import eventually

WAIT = 30


@pytest.fixture
def app(clean):
    """The module of jobs, pointed at the server, which is empty."""
    os.environ["RHUBARB_TEST_URL"] = clean.url
    import queue_app

    assert queue_app.URL == clean.url, "the module is loaded once per process, for one server"
    return queue_app


class RqWorker(Process):
    MODULE = ("rq.cli", "worker", "--burst")

    def run_to_end(self):
        """Waits until the queue is empty and the worker has gone."""
        try:
            eventually(lambda: self.process.poll() is not None, WAIT, what=f"the end of {self.name}")
            assert self.process.returncode == 0, self.text()[-3000:]
        finally:
            self.kill()


class DramatiqWorker(Process):
    MODULE = ("dramatiq", "queue_app", "--processes", "1", "--threads", "4")
    READY = "Worker process is ready for action"


class HueyConsumer(Process):
    MODULE = ("huey.bin.huey_consumer", "queue_app.queue", "--workers", "1", "--scheduler-interval", "1")
    READY = "Huey consumer started"


@contextlib.contextmanager
def running(process):
    try:
        yield process.wait_ready()
        process.stop()
    finally:
        process.kill()


# --- RQ ---


@pytest.fixture
def rq_queue(app):
    with redis.Redis.from_url(app.URL) as connection:
        yield Queue("jobs", connection=connection)


def rq_work(server, name):
    RqWorker(server, name, "--url", server.url, "--name", name, "jobs").run_to_end()


def test_rq_jobs_and_results(rq_queue, app, server):
    jobs = [rq_queue.enqueue(app.rq_add, i, i) for i in range(5)]
    after = rq_queue.enqueue(app.rq_add, 20, 22, depends_on=jobs)
    assert len(rq_queue) == 5 and after.get_status() == "deferred"
    rq_work(server, "sums")
    assert [job.return_value(refresh=True) for job in jobs] == [0, 2, 4, 6, 8]
    assert after.get_status() == "finished" and after.return_value(refresh=True) == 42
    assert len(rq_queue) == 0 and len(rq_queue.finished_job_registry) == 6
    assert len(rq_queue.started_job_registry) == 0 and len(rq_queue.deferred_job_registry) == 0


def test_rq_retry_of_a_failed_job(rq_queue, app, server):
    retried = rq_queue.enqueue(app.rq_fails_once, "rq-retried", retry=Retry(max=2))
    lost = rq_queue.enqueue(app.rq_always_fails)
    rq_work(server, "failures")
    assert retried.get_status() == "finished" and retried.return_value(refresh=True) == 2
    assert lost.get_status() == "failed" and "nothing to find" in lost.latest_result().exc_string
    assert rq_queue.failed_job_registry.get_job_ids() == [lost.id]

    by_hand = rq_queue.enqueue(app.rq_fails_once, "rq-by-hand")
    rq_work(server, "once")
    assert by_hand.get_status() == "failed"
    rq_queue.failed_job_registry.requeue(by_hand)
    rq_work(server, "again")
    assert by_hand.get_status() == "finished" and by_hand.return_value(refresh=True) == 2
    assert rq_queue.failed_job_registry.get_job_ids() == [lost.id]


# --- dramatiq ---


def test_dramatiq_actors_and_results(app, server):
    with running(DramatiqWorker(server, "squares")):
        messages = [app.square.send(i) for i in range(100)]
        assert [message.get_result(block=True, timeout=WAIT * 1000) for message in messages] == [i * i for i in range(100)]
        eventually(lambda: not app.broker.client.hlen("dramatiq:default.msgs"), WAIT, what="all messages acknowledged")
    assert set(app.records.hvals("squares")) == {"1"}, "no message was handled twice"


def test_dramatiq_retry_and_failure(app, server):
    with running(DramatiqWorker(server, "retries")):
        retried, lost = app.fails_twice.send("twice"), app.fails.send("gone")
        # A failed run stores its exception, which the next run's result replaces.
        eventually(lambda: app.records.get("twice") == "3", WAIT, what="three runs")
        eventually(lambda: app.broker.client.zcard("dramatiq:default.XQ") == 1, WAIT, what="the dead letter")
        eventually(lambda: result_or_none(retried) == 3, WAIT, what="the third run's result")
        with pytest.raises(ResultFailure, match="gone"):
            lost.get_result(block=True, timeout=WAIT * 1000)
        assert app.broker.client.zrange("dramatiq:default.XQ", 0, -1) == [lost.options["redis_message_id"].encode()]


def result_or_none(message):
    try:
        return message.get_result()
    except ResultError:
        return None


def test_dramatiq_finds_the_largest_unpack(app):
    """The broker doubles a table until `unpack` fails: that must be an error a script can catch, and come soon."""
    type(app.broker)._max_unpack_size_val = None
    size = app.broker._max_unpack_size()
    assert 999 // 2 <= size <= 1_000_000, size
    assert app.broker.client.ping()


# --- huey ---


def test_huey_tasks_by_priority(app, server):
    results = [app.note("ranks", rank, priority=rank) for rank in (1, 9, 5, 9, 1)]
    assert app.queue.pending_count() == 5
    with running(HueyConsumer(server, "ranked")):
        assert [result.get(blocking=True, timeout=WAIT) for result in results] == [2, 18, 10, 18, 2]
    assert app.records.lrange("ranks", 0, -1) == ["9", "9", "5", "1", "1"]
    assert app.queue.pending_count() == 0


def test_huey_retry_and_schedule(app, server):
    with running(HueyConsumer(server, "planned")):
        retried = app.huey_fails_once("huey-retried")
        eventually(lambda: app.records.get("huey-retried") == "2", WAIT, what="the second run")
        eventually(lambda: result_or_error(retried) == 2, WAIT, what="the second run's result")
        delayed = app.note.schedule(("planned", 1), delay=1)
        eta = app.note.schedule(("planned", 2), eta=datetime.datetime.now() + datetime.timedelta(seconds=1))
        never = app.note.schedule(("planned", 3), delay=3600)
        assert delayed.get(blocking=True, timeout=WAIT) == 2 and eta.get(blocking=True, timeout=WAIT) == 4
        assert app.queue.scheduled_count() == 1
    assert never.get() is None
    assert sorted(app.records.lrange("planned", 0, -1)) == ["1", "2"]


def result_or_error(result):
    try:
        return result.get(preserve=True)
    except TaskException as error:
        result.reset()
        return error


# --- channels_redis ---


@pytest.mark.parametrize("layer_class", [RedisChannelLayer, RedisPubSubChannelLayer])
async def test_channel_layers(clean, layer_class):
    one, two = (layer_class(hosts=[clean.url + "/4"]) for _ in range(2))
    try:
        async with asyncio.timeout(WAIT):
            first, second, outside = await one.new_channel(), await two.new_channel(), await two.new_channel()
            await one.group_add("room", first)
            await two.group_add("room", second)
            for text in ("hello", "again"):
                await one.group_send("room", {"type": "chat", "text": text})
                for layer, channel in ((one, first), (two, second)):
                    assert await layer.receive(channel) == {"type": "chat", "text": text}

            await two.group_discard("room", second)
            await two.group_send("room", {"type": "chat", "text": "alone"})
            assert (await one.receive(first))["text"] == "alone"
            # What a channel outside the group receives first is what was sent to it alone.
            for channel in (second, outside):
                await one.send(channel, {"type": "direct", "to": channel})
                assert await two.receive(channel) == {"type": "direct", "to": channel}
    finally:
        for layer in (one, two):
            await layer.flush()
