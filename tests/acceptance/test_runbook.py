"""The runbook's commands, run against a living installation."""

import base64
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.server_account import choose_account
from rubato.adapters.postgres.server_binaries import find_binaries
from tests.acceptance.conftest import System
from tests.acceptance.test_processes import slow_target
from tests.processes import ROOT, clean_environment, free_port, rubato, serves, wait_for

COMMANDS = re.findall(r"^(?:DATABASE_URL=\S+ )?rubato (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)


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


def carry_out(section: str, system: System, **env: str) -> str:
    """Run every block of a section as it stands, in one shell; return what it printed."""
    text = (ROOT / "docs/runbook.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    programs = system.folder / "bin"
    programs.mkdir()
    ours = programs / "rubato"
    ours.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rubato "$@"\n')
    ours.chmod(0o755)
    path = f"{programs}:{find_binaries(choose_account(Path('/nowhere')))}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-e", "-c", "".join(blocks)],
        capture_output=True,
        text=True,
        env={**clean_environment(), **system.env, "PATH": path, **env},
        cwd=system.folder,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_backup_is_restored_into_a_fresh_server_and_passes_the_doctor(system: System, tmp_path: Path) -> None:
    jobs = [
        system.register(name=f"kept {n}", baselineIntervalMs=3_600_000, startAt="2099-01-01T00:00:00Z") for n in (1, 2)
    ]
    (tmp_path / "fresh").mkdir()
    tmp_path.chmod(0o755)
    with EmbeddedPostgres(tmp_path / "fresh", settings={"fsync": "off"}) as server:
        said = carry_out("Back up, and restore", system, RESTORED_URL=server.url)
        assert "FAULT" not in said, said
        system.processes["api"].stop()
        system.start("api", DATABASE_URL=server.url)
        wait_for("the API on the restored database", serves(f"{system.url}/readyz"), within_s=60)
        shown = system.api("GET", "/jobs").body["data"]
        assert {job["id"] for job in shown} == {job["id"] for job in jobs}
        system.processes["api"].stop()


def test_keys_and_secrets_are_rotated(system: System) -> None:
    key, fresh, told = carry_out("Rotate keys and secrets", system).splitlines()
    assert system.api("GET", "/jobs", key=key).status == 200
    assert len(base64.urlsafe_b64decode(fresh)) == 32
    assert told.startswith("0 versions hold secrets")


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
