"""redis-benchmark: every test it has, plain and pipelined."""

import csv
import subprocess

import pytest

from harness import tool

TESTS = [
    "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP",
    "ZADD", "ZPOPMIN", "LPUSH (needed to benchmark LRANGE)", "LRANGE_100 (first 100 elements)",
    "LRANGE_300 (first 300 elements)", "LRANGE_500 (first 500 elements)", "LRANGE_600 (first 600 elements)",
    "MSET (10 keys)",
]  # fmt: skip


def bench(server, *arguments):
    """Runs redis-benchmark; returns its output. It ends with an error at the first error reply of the server."""
    command = [tool("redis-benchmark"), "-p", str(server.port), "-n", "2000", "-c", "20", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    for trouble in ("Error from server", "WARNING", "Could not"):
        assert trouble not in output, output
    return done.stdout


def rates(output):
    rows = list(csv.DictReader(output.splitlines()))
    return {row["test"]: float(row["rps"]) for row in rows}


@pytest.mark.parametrize("extra", [["-P", "1"], ["-P", "16"], ["-P", "16", "-3"], ["--threads", "2"]], ids=" ".join)
def test_all_tests(clean, extra):
    found = rates(bench(clean, "--csv", *extra))
    assert list(found) == TESTS
    assert all(rate > 0 for rate in found.values())


def test_data_is_what_the_commands_wrote(clean):
    bench(clean, "-q", "-t", "set,incr,lpush,sadd,hset,zadd,mset", "-r", "1000", "-d", "100")
    with clean.client() as client:
        assert client.llen("mylist") == 2000
        assert client.strlen("key:000000000001") in (0, 100)
        assert 1 < client.dbsize() <= 2020
        assert client.memory_usage("mylist") > 0


def test_quiet_and_text_forms(clean):
    output = bench(clean, "-q", "-t", "get,set")
    assert "SET: " in output and "requests per second" in output
    text = bench(clean, "-t", "ping")
    assert "20 parallel clients" in text and "host configuration" in text


def test_own_command_with_random_arguments(clean):
    bench(clean, "-r", "100", "-P", "8", "HSET", "h", "__rand_int__", "__data__")
    with clean.client() as client:
        assert client.hlen("h") <= 100 and client.hlen("h") > 50


def test_over_the_unix_socket_and_many_clients(clean):
    command = [tool("redis-benchmark"), "-s", str(clean.socket), "-n", "4000", "-c", "300", "-q", "-t", "set,get"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0 and "GET: " in done.stdout
