"""Django's own Redis cache, cache-backed sessions, and django-redis."""

import os
import threading

import pytest

from harness import eventually


@pytest.fixture(scope="module")
def django(server):
    """Django, set up once for this file's server, with its tables made."""
    os.environ["RHUBARB_TEST_URL"] = server.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "djsite.settings"
    import django as package
    from django.core.management import call_command

    package.setup()
    call_command("migrate", verbosity=0)
    return package


@pytest.fixture(params=["default", "plugin"])
def cache(django, clean, request):
    from django.core.cache import caches

    return caches[request.param]


@pytest.fixture
def plugin(django, clean):
    from django.core.cache import caches

    return caches["plugin"]


@pytest.fixture
def browser(django, clean):
    from django.test import Client

    return Client()


# ---------------------------------------------------------------- both caches


def test_get_set_add_delete(cache):
    assert cache.get("k", "none") == "none"
    cache.set("k", {"a": [1, 2.5, None], "b": "ягода"})
    assert cache.get("k") == {"a": [1, 2.5, None], "b": "ягода"}
    assert not cache.add("k", "other") and cache.add("new", "x")
    assert cache.delete("k") and not cache.delete("k")
    assert "new" in cache and cache.has_key("new")


def test_many(cache):
    values = {f"k{i}": i for i in range(500)}
    assert not cache.set_many(values, timeout=60)
    assert cache.get_many([*values, "none"]) == values
    cache.delete_many(list(values)[:250])
    assert len(cache.get_many(values)) == 250


def test_counters(cache):
    cache.set("n", 10)
    assert cache.incr("n") == 11 and cache.incr("n", 9) == 20 and cache.decr("n", 5) == 15
    assert cache.get("n") == 15
    with pytest.raises(ValueError):
        cache.incr("none")


def test_timeouts(cache):
    cache.set("short", 1, timeout=0.3 if cache.__class__.__module__.startswith("django_redis") else 1)
    cache.set("gone", 1, timeout=0)
    cache.set("forever", 1, timeout=None)
    assert cache.get("gone") is None
    eventually(lambda: cache.get("short") is None, 5, what="the key expired")
    assert cache.get("forever") == 1
    assert cache.touch("forever", 1) and not cache.touch("none", 1)
    eventually(lambda: cache.get("forever") is None, 5, what="the touched key expired")


def test_get_or_set_and_versions(cache):
    assert cache.get_or_set("k", lambda: 42, timeout=10) == 42
    assert cache.get_or_set("k", lambda: 43, timeout=10) == 42
    cache.set("v", "one", version=1)
    cache.set("v", "two", version=2)
    assert (cache.get("v", version=1), cache.get("v", version=2)) == ("one", "two")
    assert cache.incr_version("v", version=2) == 3 and cache.get("v", version=3) == "two"


def test_clear_empties_this_database_only(cache, server):
    with server.client(db=9) as other:
        other.set("stays", 1)
        cache.set("goes", 1)
        cache.clear()
        assert cache.get("goes") is None and other.get("stays") == "1"


def test_threads_share_a_cache(cache):
    cache.set("hits", 0)

    def work():
        for _ in range(50):
            cache.incr("hits")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("hits") == 300


# ---------------------------------------------------------------- requests


def test_session_of_a_visitor(browser):
    assert [browser.get("/visit").json()["visits"] for _ in range(3)] == [1, 2, 3]
    browser.cookies.clear()
    assert browser.get("/visit").json()["visits"] == 1


def test_login_cycles_the_session_and_logout_flushes_it(browser, server):
    from django.contrib.auth.models import User

    User.objects.filter(username="ada").delete()
    User.objects.create_user("ada", password="pw")
    browser.get("/visit")
    before = browser.session.session_key
    assert browser.post("/enter", {"name": "ada", "password": "wrong"}).status_code == 403
    assert browser.post("/enter", {"name": "ada", "password": "pw"}).status_code == 200
    after = browser.session.session_key
    assert before != after
    assert browser.get("/visit").json() == {"visits": 2, "user": "ada"}
    with server.client(db=3, decode_responses=False) as client:
        keys = client.keys("*")
        assert len(keys) == 1 and after.encode() in keys[0]
        assert client.ttl(keys[0]) > 1_000_000, "two weeks"
        browser.get("/leave")
        assert client.dbsize() == 0
    assert browser.get("/visit").json() == {"visits": 1, "user": ""}


def test_page_cache(browser):
    from django.core.cache import cache

    first = browser.get("/slow").content
    assert browser.get("/slow").content == first
    cache.clear()
    assert browser.get("/slow").content != first


def test_session_store_directly(django, clean):
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["k"] = "v"
    session.set_expiry(100)
    session.create()
    again = SessionStore(session.session_key)
    assert again["k"] == "v" and again.exists(session.session_key)
    again.delete()
    assert not session.exists(session.session_key)


# ---------------------------------------------------------------- django-redis


def test_ttl_persist_expire(plugin):
    plugin.set("k", 1, timeout=100)
    assert 99 <= plugin.ttl("k") <= 100 and 99_000 < plugin.pttl("k") <= 100_000
    assert plugin.persist("k") and plugin.ttl("k") is None
    assert plugin.expire("k", 50) and plugin.ttl("k") <= 50
    assert plugin.pexpire("k", 5000) and plugin.pttl("k") <= 5000
    assert plugin.ttl("none") == 0


def test_keys_and_patterns(plugin):
    plugin.set_many({f"user:{i}": i for i in range(1000)})
    plugin.set_many({f"page:{i}": i for i in range(10)})
    assert len(list(plugin.iter_keys("user:*", itersize=50))) == 1000
    assert sorted(plugin.keys("page:*")) == [f"page:{i}" for i in range(10)]
    assert plugin.delete_pattern("user:*", itersize=100) == 1000
    assert len(plugin.keys("*")) == 10


def test_lock(plugin):
    with plugin.lock("once", timeout=10):
        assert not plugin.lock("once", timeout=10).acquire(blocking=False)
    lock = plugin.lock("once", timeout=10)
    assert lock.acquire(blocking=False)
    lock.release()


def test_nx_and_incr_of_large_numbers(plugin):
    assert plugin.set("k", 1, nx=True) and not plugin.set("k", 2, nx=True)
    plugin.set("big", 2**50)
    assert plugin.incr("big", 5) == 2**50 + 5
    plugin.set("kept", 1, timeout=100)
    plugin.incr("kept")
    assert plugin.ttl("kept") > 90


def test_raw_client_and_sets(plugin):
    from django_redis import get_redis_connection

    raw = get_redis_connection("plugin")
    assert raw.ping()
    assert plugin.sadd("s", "a", "b") == 2 and plugin.smembers("s") == {"a", "b"}
    assert raw.hset("h", "f", 1) == 1 and raw.hget("h", "f") == b"1"
