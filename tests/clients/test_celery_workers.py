"""Celery workers that share, die, and take tasks by priority."""

import contextlib

import pytest

from celery_harness import load_app, worker
from harness import eventually

WAIT = 60


@pytest.fixture(scope="module")
def celery(server):
    return load_app(server, RHUBARB_TEST_EXPIRES="1")


def test_two_workers_share_2000_tasks(celery, server):
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            stack.enter_context(worker(server, name, "-O", "fair", queues="shared", pool="prefork", concurrency=2))
        ids = [celery.count.apply_async(("counts", i), queue="shared", ignore_result=True).id for i in range(2000)]
        assert len(set(ids)) == 2000
        eventually(lambda: celery.records.hlen("counts") == 2000, WAIT, 0.1, "all 2000 tasks run")
    assert set(celery.records.hvals("counts")) == {"1"}, "no task ran twice"
    with server.client() as client:
        assert client.llen("shared") == 0 and client.hlen("unacked") == 0, "nothing left in the broker"


def test_priorities(celery, server):
    for priority in (9, 6, 3, 0) * 5:
        celery.record.apply_async(("order", priority), priority=priority, queue="ranked", ignore_result=True)
    with worker(server, "ranked", queues="ranked"):
        eventually(lambda: celery.records.llen("order") == 20, WAIT, what="all tasks run")
    assert celery.records.lrange("order", 0, -1) == ["0"] * 5 + ["3"] * 5 + ["6"] * 5 + ["9"] * 5


def test_task_of_a_killed_worker_runs_again(celery, server):
    result = celery.late.apply_async(("late",), queue="late")
    with worker(server, "doomed", queues="late") as doomed:
        eventually(lambda: celery.records.llen("late") == 1, WAIT, what="the task started")
        with server.client() as client:
            assert client.hlen("unacked") == 1 and client.llen("late") == 0
        doomed.kill()
    with worker(server, "heir", queues="late"):
        assert result.get(timeout=WAIT) == 2
    assert celery.records.llen("late") == 2


def test_warm_shutdown_loses_nothing(celery, server):
    for i in range(100):
        celery.count.apply_async(("warm", i), queue="warm", ignore_result=True)
    for name in ("first", "second"):
        # Not the prefork pool: it can wait for ever when the signal comes between a task's end and its report.
        with worker(server, name, queues="warm"):
            eventually(lambda: celery.records.hlen("warm") > 0, WAIT)
    with worker(server, "third", queues="warm"):
        eventually(lambda: celery.records.hlen("warm") == 100, WAIT, what="all tasks run")
    assert set(celery.records.hvals("warm")) == {"1"}


def test_results_expire(celery, server):
    with worker(server, "expiring", queues="expiring", RHUBARB_TEST_EXPIRES="1"):
        result = celery.add.apply_async((1, 1), queue="expiring")
        assert result.get(timeout=WAIT) == 2
        with server.client(db=1) as client:
            eventually(lambda: not client.exists(f"celery-task-meta-{result.id}"), 10, what="the result expired")
    assert celery.app.AsyncResult(result.id).state == "PENDING"


def test_worker_reconnects_after_its_connections_are_killed(celery, server):
    with worker(server, "cut", queues="cut") as process:
        with server.client() as client:
            assert client.client_kill_filter(skipme=True) > 0
        result = celery.add.apply_async((20, 22), queue="cut")
        eventually(lambda: "succeeded" in process.text(), WAIT, what="the task ran after the cut")
        del result


def test_purge(celery):
    for i in range(10):
        celery.add.apply_async((i, i), queue="purged")
    with celery.app.connection_for_write() as connection:
        assert connection.default_channel.queue_purge("purged") == 10
