"""Fixtures: one fresh server per test module, emptied before each test that asks for a client."""

import pytest

from harness import Server


@pytest.fixture(scope="module")
def server(request):
    """A running server; a module can pass directives through a list named DIRECTIVES."""
    instance = Server(*getattr(request.module, "DIRECTIVES", [])).start()
    yield instance
    instance.stop()


@pytest.fixture
def clean(server):
    """The server, with no data in it."""
    with server.client() as client:
        client.flushall()
    return server


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def r(clean, request):
    """A redis-py client, once per protocol version, on an empty server."""
    with clean.client(protocol=request.param) as client:
        client.protocol_version = request.param
        client.another = lambda: clean.client(protocol=request.param)
        yield client
