"""Worker and beat processes for the Celery tests, and the worker processes of the other queues."""

import contextlib
import importlib
import os
import pathlib
import signal
import subprocess
import sys

from harness import eventually

HERE = pathlib.Path(__file__).resolve().parent


def load_app(server, **environment):
    """The application, pointed at `server`. One server per process: the module is loaded once for each test file."""
    os.environ["RHUBARB_TEST_URL"] = server.url
    os.environ.update(environment)
    import celery_app

    if celery_app.URL != server.url:
        importlib.reload(celery_app)
    return celery_app


class Process:
    """A Python module run in a process group of its own, with its output in the server's folder."""

    MODULE = ("celery", "-A", "celery_app")
    READY = " ready."

    def __init__(self, server, name, *arguments, **environment):
        self.name = name
        self.output = server.dir / f"{name}.log"
        command = [sys.executable, "-m", *self.MODULE, *arguments]
        env = dict(os.environ, RHUBARB_TEST_URL=server.url, PYTHONDONTWRITEBYTECODE="1", **environment)
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(
                command, cwd=HERE, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def text(self):
        return self.output.read_text(errors="replace")

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"{self.name} ended:\n{self.text()[-3000:]}"
            return self.READY in self.text()

        eventually(ready, 40, what=f"worker {self.name} ready")
        return self

    def kill(self):
        """SIGKILL to the command and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Warm shutdown; SIGKILL to what is left."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self.text()[-3000:]}") from None
        finally:
            self.kill()


def worker_arguments(name, *arguments, pool="solo", concurrency=1, queues="celery"):
    """The command line of `celery worker` with `arguments` and what all tests want."""
    common = ["-n", f"{name}@test", "-P", pool, "-c", str(concurrency), "-Q", queues, "--loglevel", "INFO"]
    return ["worker", *common, *arguments]


@contextlib.contextmanager
def worker(server, name, *arguments, pool="solo", concurrency=1, queues="celery", **environment):
    arguments = worker_arguments(name, *arguments, pool=pool, concurrency=concurrency, queues=queues)
    process = Process(server, name, *arguments, **environment)
    try:
        yield process.wait_ready()
        process.stop()
    finally:
        process.kill()
