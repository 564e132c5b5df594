"""The whole system as an operator runs it: a real PostgreSQL, `rubato api` and `rubato worker` as processes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.loopback_model import LoopbackModel, loopback_model
from tests.processes import Answer, Process, Target, call, free_port, rubato, running, serves, target, wait_for

KEY = "cron_acceptance_0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class System:
    """A running installation. `api(...)` calls it with its key."""

    url: str
    env: dict[str, str]
    folder: Path
    target: Target
    stack: ExitStack
    processes: dict[str, Process] = field(default_factory=dict)

    def api(self, method: str, path: str, body: Any = None, *, key: str | None = KEY) -> Answer:
        return call(method, f"{self.url}/api/v1{path}", body, key=key)

    def start(self, name: str, *args: str, **env: str) -> Process:
        """Start another process of the installation."""
        command = rubato(*(args or (name,)))
        process = self.stack.enter_context(running(command, self.folder / f"{name}.log", {**self.env, **env}))
        self.processes[name] = process
        return process

    def register(self, **fields: Any) -> dict[str, Any]:
        """Register a job on the target; it starts at once unless told otherwise."""
        body = {"name": "watched", "url": f"{self.target.url}/queue", "splay": False, **fields}
        answer = self.api("POST", "/jobs", body)
        assert answer.status == 201, answer.body
        job: dict[str, Any] = answer.body
        return job

    def runs(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a job's runs, newest first."""
        found: list[dict[str, Any]] = self.api("GET", f"/jobs/{job['id']}/runs?limit=200").body["data"]
        return found

    def explanation(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the decision in force."""
        answer: dict[str, Any] = self.api("GET", f"/jobs/{job['id']}/explanation").body
        return answer


def environment(database_url: str, port: int) -> dict[str, str]:
    """Return a production environment that may call loopback targets."""
    return {
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "RUBATO_ENV": "production",
        "RUBATO_SECRET": "0123456789abcdef0123456789abcdef",
        "RUBATO_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "RUBATO_BOOTSTRAP_API_KEY": KEY,
        "RUBATO_PLANNER": "off",
        "RUBATO_EGRESS_ALLOW": "loopback",
        "RUBATO_WORKER_PORT": str(free_port()),
        "POLL_INTERVAL_MS": "1000",
    }


@pytest.fixture
def system(database_url: str, tmp_path: Path) -> Iterator[System]:
    """Serve an installation without planning, its API up, no worker started."""
    port = free_port()
    with ExitStack() as stack:
        served = stack.enter_context(target())
        running_system = System(f"http://127.0.0.1:{port}", environment(database_url, port), tmp_path, served, stack)
        running_system.start("api")
        wait_for("the API to serve", serves(f"{running_system.url}/readyz"))
        yield running_system


@pytest.fixture
def model() -> Iterator[LoopbackModel]:
    """Serve a model that proposes half a second for eight seconds, once, and then leaves things alone."""
    wish = {"interval_ms": 500, "ttl_ms": 8000, "reason": "the queue is filling"}
    with loopback_model([{"tool": ["propose_interval", wish]}, {"text": "Nothing has changed."}]) as server:
        yield server
