"""The runbook's commands, run against a living installation."""

import re
import shlex
import signal
import subprocess
import sys

import pytest

from tests.acceptance.conftest import System
from tests.acceptance.test_processes import slow_target
from tests.processes import ROOT, clean_environment, free_port, rubato, wait_for

COMMANDS = re.findall(r"^rubato (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)


def say(system: System, *args: str) -> str:
    """Run a command to its end, and return what it printed."""
    ended = subprocess.run(
        rubato(*args),
        capture_output=True,
        text=True,
        env={**clean_environment(), **system.env},
        cwd=system.folder,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_everything_pauses_and_goes_on(system: System) -> None:
    """R52: pause-all and resume-all are commands that work."""
    system.start("worker")
    job = system.register(baselineIntervalMs=1000, minIntervalMs=1000)
    wait_for("runs", lambda: len(system.target.seen) >= 2, within_s=60)
    assert "for 2 tenant" in say(system, "ops", "pause-all", "--reason", "the target is moved")  # and Rubato's own
    assert "for 0 tenant" in say(system, "ops", "pause-all")
    wait_for("what was out to end", lambda: not [run for run in system.runs(job) if run["finishedAt"] is None])
    count = len(system.target.seen)
    waits = system.register(name="waits", baselineIntervalMs=3_600_000)
    assert "the target is moved" in system.explanation(waits)["reason"]
    assert len(system.target.seen) <= count + 1
    assert system.runs(waits) == []
    assert say(system, "ops", "resume-all") == "2 tenant(s) go on.\n"
    wait_for("both to run", lambda: len(system.target.seen) >= count + 3 and system.runs(waits), within_s=60)


def test_a_dead_workers_leases_are_seen_and_ended(system: System) -> None:
    """R52: inspect-leases is a command that works."""
    assert say(system, "ops", "leases") == "Nobody holds a lease.\n"
    with slow_target() as slow:
        first = system.start("first", "worker", LOCK_TTL_MS="3600000")
        job = system.register(url=slow.url, baselineIntervalMs=3_600_000)
        assert slow.asked.wait(60)
        (line,) = wait_for("the lease", lambda: say(system, "ops", "leases").splitlines())
        worker, job_id, run_id, _ = line.split()
        assert (job_id, run_id) == (job["id"], system.runs(job)[0]["id"])
        assert say(system, "ops", "leases", "--worker", "wrk_other") == "Nobody holds a lease.\n"
        first.stop(signal.SIGKILL)
        slow.answer.set()
        system.start("second", "worker", RUBATO_WORKER_PORT=str(free_port()))
        assert say(system, "ops", "end-leases", worker) == "1 lease(s) ended.\n"
        wait_for("another worker to run it again", lambda: system.runs(job)[0]["status"] == "succeeded", within_s=60)
        assert system.runs(job)[0]["attempt"] == 2
        assert say(system, "ops", "end-leases", worker) == "0 lease(s) ended.\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_runbook_is_one(command: str) -> None:
    words = [word for word in shlex.split(command) if not word.startswith("wrk_")]
    named = words[: next((at for at, word in enumerate(words) if word.startswith("-")), len(words))]
    named = [word for word in named if word not in ("on", "off")]
    ended = subprocess.run(
        [sys.executable, "-m", "rubato", *named, "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in ended.stdout
