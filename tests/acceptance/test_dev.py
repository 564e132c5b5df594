"""`rubato dev`: everything from one command, kept across a Ctrl-C and a kill -9."""

import re
import signal
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Process, call, free_port, rubato, running, serves, wait_for

pytestmark = pytest.mark.timeout(240)

FIRST_START_S = 90.0  # a cluster is made


@dataclass
class Dev:
    """A developer's machine: one data folder, one port, one start after another."""

    folder: Path
    port: int
    starts: int = 0
    env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *args: str) -> "Started":
        self.starts += 1
        return Started(self, args)

    def get(self, path: str, key: str) -> Any:
        answer = call("GET", f"{self.url}/api/v1{path}", key=key)
        assert answer.status == 200, answer.body
        return answer.body


class Started:
    """One start, as a context: `process` and the `key` it printed."""

    def __init__(self, dev: Dev, args: tuple[str, ...]) -> None:
        log = dev.folder / f"dev-{dev.starts}.log"
        command = rubato("dev", "--port", str(dev.port), *args)
        self._dev, self._running = dev, running(command, log, dev.env, dev.folder)
        self.key = ""

    def __enter__(self) -> "Started":
        self.process: Process = self._running.__enter__()

        def printed() -> str | None:
            assert self.process.popen.poll() is None, self.process.output()
            found = re.search(r"API key\s+(\S+)", self.process.output())
            return found.group(1) if found else None

        self.key = wait_for("the link and the key", printed, within_s=FIRST_START_S)
        assert f"{self._dev.url}/" in self.process.output()
        return self

    def __exit__(self, *error: Any) -> None:
        self._running.__exit__(*error)


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    tmp_path.chmod(0o755)
    return Dev(tmp_path, free_port(), env={"RUBATO_DATA_DIR": str(tmp_path / "data"), "LOCK_TTL_MS": "10000"})


def test_a_first_start_shows_a_changed_tempo_and_a_second_one_keeps_everything(dev: Dev) -> None:
    with dev.start() as first:
        wait_for("the page", serves(f"{dev.url}/"))
        jobs = {job["key"]: job for job in dev.get("/jobs", first.key)["data"]}
        assert set(jobs) == {"demo-queue", "demo-reports", "demo-deploy", "demo-log"}
        queue = jobs["demo-queue"]["id"]

        def steered() -> bool:
            found: bool = dev.get(f"/jobs/{queue}/explanation", first.key)["source"] == "hint_interval"
            return found

        wait_for("a hint that changed the tempo", steered, within_s=60)
        page = call("GET", f"{dev.url}/").body
        assert "every 2 s, says the planner" in page
        for kept in ("api_key", "secret"):
            assert stat.S_IMODE((dev.folder / "data" / kept).stat().st_mode) == 0o600
        assert first.process.stop(signal.SIGINT, within_s=15) == 0
        assert "Traceback" not in first.process.output()
        assert "SIGINT" in first.process.output()
    assert not listening(dev.port)

    with dev.start() as second:
        assert second.key == first.key
        assert {job["key"]: job["id"] for job in dev.get("/jobs", second.key)["data"]} == {
            key: job["id"] for key, job in jobs.items()
        }
        runs = dev.get(f"/jobs/{queue}/runs?limit=200", second.key)["data"]
        before = {run["id"] for run in runs}
        second.process.popen.kill()
        second.process.popen.wait(10)

    with dev.start() as third:
        assert third.key == first.key
        after = {run["id"] for run in dev.get(f"/jobs/{queue}/runs?limit=200", third.key)["data"]}
        assert before <= after

        def ran_again() -> bool:
            newest = dev.get(f"/jobs/{queue}/runs?limit=200", third.key)["data"]
            return any(run["id"] not in after and run["status"] == "succeeded" for run in newest)

        wait_for("a run after the kill", ran_again, within_s=90)  # a lease, if it was killed during a run
        assert third.process.stop(signal.SIGTERM, within_s=15) == 0


def test_with_a_database_of_ones_own_no_server_is_started_and_no_demo_is_made(
    dev: Dev, empty_database_url: str
) -> None:
    dev.env["DATABASE_URL"] = empty_database_url
    with dev.start("--no-demo") as started:
        assert dev.get("/jobs", started.key)["data"] == []
        assert not (dev.folder / "data" / "postgres").exists()
        assert call("GET", f"{dev.url}/").status == 200
        refused = call(
            "POST",
            f"{dev.url}/api/v1/jobs",
            {"name": "inside", "url": "http://10.0.0.1/", "baselineIntervalMs": 60000},
            key=started.key,
        )
        assert (refused.status, refused.body["errors"][0]["code"]) == (400, "blocked_address")
        assert started.process.stop(signal.SIGINT, within_s=15) == 0


def test_a_taken_port_is_named_before_anything_else_is_shown(dev: Dev, empty_database_url: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(
            rubato("dev", "--port", str(port)),
            dev.folder / "dev.log",
            {**dev.env, "DATABASE_URL": empty_database_url},
            dev.folder,
        ) as process:
            assert process.popen.wait(60) == 1
            assert f"Port {port}" in process.output()
            assert "PORT" in process.output()
            assert "API key" not in process.output()


def listening(port: int) -> bool:
    """Tell whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
