"""The cron administration on real processes: the document's own walk, and what ends and starts without each other."""

import re
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import KEY, System
from tests.processes import ROOT, Answer, call, clean_environment, serves, wait_for

SLOW = """
import time
from rubato.targets import target


@target("tests.slow")
def slow(payload, context):
    open(payload["begun"], "w").close()
    time.sleep(1.5)
    return "ended"
"""


def admin(system: System, method: str, path: str, body: Any = None) -> Answer:
    return call(method, f"{system.url}/api/v2/admin/cron{path}", body, key=KEY)


def ended(system: System, run: dict[str, Any]) -> dict[str, Any]:
    """Wait for a run's end."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = admin(system, "GET", f"/runs/{run['id']}").body
        return found if found["finishedAt"] else None

    return wait_for("the run's end", look)


def walk() -> list[tuple[str, str]]:
    """Return the blocks of the walk with what each writes; one that is followed by none writes nothing."""
    text = (ROOT / "docs" / "cron.md").read_text()
    section = text.split("## A walk through the administration")[1].split("\n## ")[0]
    found = re.findall(r"```sh\n(.*?)```\n(?:```text\n(.*?)```)?", section, flags=re.DOTALL)
    assert len(found) >= 6
    return found


def test_the_walk_through_the_administration_does_what_it_says(system: System) -> None:
    system.start("worker")
    wait_for("the worker", serves(f"http://127.0.0.1:{system.env['RUBATO_WORKER_PORT']}/readyz"))
    script = "set -euo pipefail\n" + "echo '--8<--'\n".join(block for block, _ in walk())
    env = {**clean_environment(), "RUBATO_URL": system.url, "RUBATO_API_KEY": KEY, "no_proxy": "127.0.0.1"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("--8<--\n") == [said for _, said in walk()]
    log = system.processes["worker"].output()
    assert "still here" in log


def test_due_work_runs_on_while_the_api_is_down(system: System) -> None:
    body = {
        "key": "log",
        "target": "system.log_message",
        "payload": {"message": "alone"},
        "baselineCron": "* * * * * *",
    }
    assert admin(system, "POST", "/jobs", body).status == 201
    api = system.processes["api"]
    api.popen.kill()
    api.popen.wait(10)
    worker = system.start("worker", "worker", "--only", "run")
    wait_for("work without an API", lambda: worker.output().count('"alone"') >= 2)


def test_a_worker_that_is_told_to_end_lets_a_target_in_flight_finish(system: System, tmp_path: Path) -> None:
    (tmp_path / "slow_targets.py").write_text(SLOW)
    system.env |= {"RUBATO_TARGETS": "slow_targets", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    assert system.processes["api"].stop() == 0
    system.start("api again", "api")
    wait_for("the API again", serves(f"{system.url}/readyz"))
    worker = system.start("worker")
    begun = tmp_path / "begun"
    body = {"key": "slow", "target": "tests.slow", "payload": {"begun": str(begun)}, "baselineCron": "0 0 1 1 *"}
    job = admin(system, "POST", "/jobs", body).body
    run = admin(system, "POST", f"/jobs/{job['id']}/run-now").body
    wait_for("the handler's beginning", begun.exists)
    assert worker.stop() == 0
    done = ended(system, run)
    assert (done["status"], done["responseExcerpt"]) == ("succeeded", '"ended"')


def test_an_operator_sees_and_runs_rubatos_own_maintenance(system: System) -> None:
    operator = "cron_operator_0123456789abcdefghijklmnopqrstuvwxyz"
    assert system.start("migrate").popen.wait(60) == 0
    assert system.processes["api"].stop() == 0
    system.start("api again", "api", RUBATO_OPERATOR_API_KEY=operator)
    wait_for("the API again", serves(f"{system.url}/readyz"))
    system.start("worker")
    base = f"{system.url}/api/v2/admin/cron"
    keys = {each["key"] for each in call("GET", f"{base}/jobs", key=operator).body["data"]}
    assert keys == {"purge-runs", "reap-stale", "expire-reservations", "make-partitions"}
    assert admin(system, "GET", "/jobs").body["data"] == []
    (purge,) = call("GET", f"{base}/jobs?key=purge-runs", key=operator).body["data"]
    assert (purge["payload"], purge["nextRunAt"] is not None) == ({"days": 180}, True)
    run = call("POST", f"{base}/jobs/{purge['id']}/run-now", key=operator).body

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = call("GET", f"{base}/runs/{run['id']}", key=operator).body
        return found if found["finishedAt"] else None

    done = wait_for("the purge", look)
    assert (done["status"], done["errorMessage"]) == ("succeeded", None)
    assert admin(system, "GET", f"/runs/{run['id']}").status == 404
