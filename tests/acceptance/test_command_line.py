"""The command line as a person uses it, against running processes: waiting for a run, and how it ends."""

import json
import subprocess
from pathlib import Path

from tests.acceptance.conftest import KEY, System
from tests.processes import clean_environment, rubato


def ended(system: System, folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of a user's to its end."""
    env = {**clean_environment(), "RUBATO_URL": system.url, "RUBATO_API_KEY": KEY}
    return subprocess.run(rubato(*args), env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_waiting_for_a_run_ends_as_the_run_does(system: System, tmp_path: Path) -> None:
    system.start("worker")
    url = f"{system.target.url}/queue"
    made = ended(system, tmp_path, "jobs", "create", "Watched", url, "--key", "watched", "--every", "1h")
    assert made.returncode == 0, made.stderr
    good = ended(system, tmp_path, "jobs", "run", "watched", "--wait", "-o", "json")
    assert good.returncode == 0, good.stderr
    assert (json.loads(good.stdout)["status"], json.loads(good.stdout)["statusCode"]) == ("succeeded", 200)
    system.target.reply = (500, {}, b"")
    bad = ended(system, tmp_path, "jobs", "run", "watched", "--wait")
    assert bad.returncode == 1
    assert "HTTP 500" in bad.stdout
    assert "The run is failed." in bad.stderr
