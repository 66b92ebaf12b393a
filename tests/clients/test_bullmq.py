"""BullMQ (npm) with its real queues, workers, schedulers, flows and events: one node process per scenario."""

import os
import subprocess

import pytest

from harness import REPO, tool

HERE = os.path.dirname(__file__)
MODULES = REPO / "target" / "clients-node" / "node_modules"
SCENARIOS = "jobs concurrency delayed retries priorities schedulers flows limiter pausing keeping stalled".split()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_bullmq(clean, scenario):
    modules = os.environ.get("RHUBARB_NODE_MODULES") or str(MODULES)
    assert os.path.isdir(os.path.join(modules, "bullmq")), f"no BullMQ in {modules}: run `.ci/run packages`"
    command = [tool("node"), os.path.join(HERE, "bullmq", "scenarios.js"), scenario, str(clean.port)]
    done = subprocess.run(
        command, env={**os.environ, "NODE_PATH": modules}, capture_output=True, text=True, timeout=80, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and not said, f"exit code {done.returncode}:\n{said[-4000:]}"
