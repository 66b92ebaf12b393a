"""Celery with a real prefork worker: tasks, retries, canvases, revokes, events, control."""

import threading
import time

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from celery_harness import Process, load_app, worker
from harness import eventually

WAIT = 30


@pytest.fixture(scope="module")
def celery(server):
    module = load_app(server)
    with worker(server, "main", pool="prefork", concurrency=4):
        yield module


def test_task_and_failure(celery):
    assert celery.add.delay(2, 3).get(timeout=WAIT) == 5
    with pytest.raises(ValueError, match="told so"):
        celery.fail.delay("told so").get(timeout=WAIT)


def test_large_unicode_arguments_and_results(celery):
    text = "ягода \U0001f353" * 50_000
    assert celery.add.delay(text, "!").get(timeout=WAIT) == text + "!"


def test_retry_with_backoff(celery):
    result = celery.flaky.delay("flaky", 2)
    assert result.get(timeout=WAIT) == 2
    tries = [float(moment) for moment in celery.records.lrange("flaky", 0, -1)]
    assert len(tries) == 3
    assert tries[1] - tries[0] >= 0.9 and tries[2] - tries[1] >= 1.9


def test_chain(celery):
    assert chain(celery.add.s(1, 2), celery.add.s(10), celery.add.s(100)).delay().get(timeout=WAIT) == 113


def test_group(celery):
    result = group(celery.add.s(i, i) for i in range(50)).delay()
    assert result.get(timeout=WAIT) == [2 * i for i in range(50)]


@pytest.mark.parametrize("size", [1, 10, 200])
def test_chord(celery, size):
    result = chord([celery.add.s(i, 1) for i in range(size)])(celery.total.s())
    assert result.get(timeout=WAIT) == sum(range(1, size + 1))


def test_many_chords_at_once(celery):
    results = [chord([celery.add.s(i, k) for i in range(10)])(celery.total.s()) for k in range(20)]
    assert [result.get(timeout=WAIT) for result in results] == [45 + 10 * k for k in range(20)]


def test_chord_in_a_chain_and_its_error_callback(celery):
    flow = chain(celery.add.s(1, 1), group(celery.add.s(1), celery.add.s(2)), celery.total.s(), celery.add.s(100))
    assert flow.delay().get(timeout=WAIT) == 107
    body = celery.total.s().on_error(celery.raised.s("chord-error"))
    chord([celery.add.s(1, 1), celery.fail.s("inside")])(body)
    text = eventually(lambda: celery.records.lrange("chord-error", 0, -1), WAIT, what="error callback")
    assert "inside" in text[0]


def test_chunks_and_starmap(celery):
    result = celery.add.chunks(zip(range(100), range(100)), 10).group().delay()
    assert sum(result.get(timeout=WAIT), []) == [2 * i for i in range(100)]
    assert celery.add.starmap([(1, 2), (3, 4)]).delay().get(timeout=WAIT) == [3, 7]


def test_countdown_and_eta(celery):
    start = time.time()
    result = celery.add.apply_async((1, 1), countdown=1.5)
    assert result.get(timeout=WAIT) == 2
    assert time.time() - start >= 1.4


def test_revoke_before_and_during(celery):
    waiting = celery.record.apply_async(("revoked", "ran"), countdown=2)
    waiting.revoke()
    running = celery.hold.delay("held", 60)
    eventually(lambda: celery.records.llen("held"), WAIT, what="the task started")
    running.revoke(terminate=True, signal="SIGKILL")
    for result in (waiting, running):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=WAIT)
    assert celery.records.llen("revoked") == 0
    assert celery.records.lrange("held", 0, -1) == ["running"]


def test_track_started(celery):
    result = celery.hold.delay("tracked", 1)
    eventually(lambda: result.state == "STARTED", WAIT, what="state STARTED")
    result.get(timeout=WAIT)
    assert result.state == "SUCCESS"


def test_rate_limit(celery):
    start = time.time()
    for _ in range(15):
        celery.limited.delay("limited")
    eventually(lambda: celery.records.llen("limited") == 15, WAIT, what="all limited tasks")
    assert time.time() - start >= 1.2


def test_result_expiry_and_forget(celery, server):
    result = celery.add.delay(1, 1)
    assert result.get(timeout=WAIT) == 2
    with server.client(db=1) as client:
        key = f"celery-task-meta-{result.id}"
        assert 0 < client.ttl(key) <= 600
        result.forget()
        assert not client.exists(key)


def test_ignored_result_leaves_no_key(celery, server):
    result = celery.record.apply_async(("ignored", "x"), ignore_result=True)
    eventually(lambda: celery.records.llen("ignored"), WAIT)
    with server.client(db=1) as client:
        assert not client.exists(f"celery-task-meta-{result.id}")


def test_expired_message_is_not_run(celery):
    result = celery.record.apply_async(("late", "ran"), countdown=1, expires=0.3)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT)
    assert celery.records.llen("late") == 0


def test_inspect_and_control(celery):
    everyone = ["main@test"]  # naming the workers ends the wait for replies with the last of them
    inspect = celery.app.control.inspect(everyone, timeout=20)
    assert inspect.ping() == {"main@test": {"ok": "pong"}}
    assert "celery_app.add" in inspect.registered()["main@test"]
    assert inspect.stats()["main@test"]["broker"]["transport"] == "redis"
    assert celery.app.control.ping(everyone, timeout=20) == [{"main@test": {"ok": "pong"}}]
    answer = celery.app.control.rate_limit("celery_app.add", "1000/s", everyone, reply=True, timeout=20)
    assert answer == [{"main@test": {"ok": "new rate limit set successfully"}}]


def test_task_events(celery):
    seen = []
    ready = threading.Event()
    done = threading.Event()

    def capture():
        with celery.app.connection() as connection:
            def handle(event):
                seen.append((event["type"], event.get("uuid")))
                ready.set()
                if event["type"] == "task-succeeded":
                    done.set()

            receiver = celery.app.events.Receiver(connection, handlers={"*": handle})
            for _ in receiver.itercapture(limit=None, timeout=20, wakeup=True):
                if done.is_set():
                    return

    thread = threading.Thread(target=capture, daemon=True)
    thread.start()
    assert ready.wait(20), "no heartbeat event came"
    result = celery.add.delay(1, 1)
    assert done.wait(20), seen
    thread.join(20)
    kinds = [kind for kind, uuid in seen if uuid == result.id]
    assert kinds == ["task-received", "task-started", "task-succeeded"]


def test_beat(celery, server):
    beat = Process(server, "beat", "beat", "-s", str(server.dir / "beat-schedule"), "--loglevel", "INFO")
    try:
        eventually(lambda: celery.records.llen("ticks") >= 3, WAIT, what="three ticks of beat")
    finally:
        beat.stop()


def test_results_by_join_native_and_iteration(celery):
    results = group(celery.add.s(i, 0) for i in range(30)).delay()
    assert results.join_native(timeout=WAIT) == list(range(30))
    assert sorted(value["result"] for _, value in results.iter_native(timeout=WAIT)) == list(range(30))
