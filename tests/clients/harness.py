"""Starts and stops the server under test, and waits for things to come true.

Owns: the server process, its folder and its log. Never: sleeps for a fixed time and hopes.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import redis

REPO = pathlib.Path(__file__).resolve().parents[2]


def binary():
    """Path of the server to test: $RHUBARB_SERVER, else the release build."""
    path = os.environ.get("RHUBARB_SERVER") or REPO / "target" / "release" / "rhubarb-server"
    found = shutil.which(str(path))
    if not found:
        raise FileNotFoundError(f"no server binary at {path}: build it, or set RHUBARB_SERVER")
    return found


def tool(name):
    """Path of a redis tool (redis-cli, redis-benchmark), which the machine must have."""
    found = shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name} is missing: install redis-tools")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(check, timeout=10.0, interval=0.02, what="condition"):
    """Calls `check` until it returns something true, and returns that; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s (last: {value!r})")
        time.sleep(interval)


class Server:
    """One server process with a folder, a TCP port and a unix socket of its own."""

    def __init__(self, *directives):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rhubarb-clients-"))
        self.port = free_port()
        self.socket = self.dir / "socket"
        self.log = self.dir / "log"
        self.directives = list(directives)
        self.program = None
        self.process = None

    def sibling(self, program):
        """Another server with the same folder and directives, run by another program."""
        other = Server(*self.directives)
        other.dir.rmdir()
        other.dir, other.socket, other.log, other.program = self.dir, self.socket, self.log, program
        return other

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        command = [self.program or binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.dir)]
        command += ["--unixsocket", str(self.socket), "--unixsocketperm", "700", "--logfile", str(self.log)]
        command += ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes", *self.directives]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            eventually(self.answers, 15, what="a PONG from the server")
        except BaseException:
            self.kill()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode} while starting:\n{self.log_tail()}")
        try:
            with self.client() as client:
                return client.ping()
        except redis.ConnectionError:
            return False

    def client(self, **options):
        options.setdefault("decode_responses", True)
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def log_tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:]) if self.log.exists() else "(no log)"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def crash(self):
        """Ends the server with SIGKILL; its folder stays."""
        self.process.kill()
        self.process.wait()

    def stop(self, keep=False):
        """Ends the server with SIGTERM. Fails if it had died before, or does not go in time with code 0.
        Its folder stays if `keep`."""
        try:
            assert self.process.poll() is None, f"the server died with {self.process.returncode}:\n{self.log_tail()}"
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(timeout=15)
            assert code == 0, f"the server ended with {code} on SIGTERM:\n{self.log_tail()}"
        finally:
            if not keep:
                self.kill()
