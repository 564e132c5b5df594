"""Processes as an operator meets them: exit codes, signals, lines of JSON, ports. Real processes, a real PostgreSQL."""

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import KEY, System, environment
from tests.processes import Process, call, clean_environment, free_port, rubato, running, serves, wait_for

SECRET = "0123456789abcdef0123456789abcdef"


def ended(*args: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, in a folder without settings."""
    return subprocess.run(
        rubato(*args),
        capture_output=True,
        text=True,
        env={**clean_environment(), **env},
        cwd=cwd,
        timeout=60,
        check=False,
    )


@dataclass
class SlowTarget:
    """A target that answers when it is told to."""

    url: str = ""
    asked: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)


@contextmanager
def slow_target() -> Iterator[SlowTarget]:
    """Serve a slow target for the length of the block."""
    state = SlowTarget()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.set()
            state.answer.wait(60)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.answer.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.mark.parametrize("command", ["api", "worker", "migrate"])
def test_without_a_database_address_it_says_what_to_set(command: str, tmp_path: Path) -> None:
    end = ended(command, cwd=tmp_path)
    assert end.returncode == 2
    assert end.stderr.startswith("rubato: DATABASE_URL is not set.")
    assert "postgresql://user:password@host:5432/database" in end.stderr


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (("config", "check"), {"PORT": "http"}, "PORT"),
        (("api",), {"RUBATO_PLANER": "off"}, "Did you mean RUBATO_PLANNER?"),
        (("worker",), {"LOCK_TTL_MS": "1000"}, "LOCK_TTL_MS"),
        (("worker", "--only", "both"), {}, "--only takes run or plan"),
        (("dev",), {"RUBATO_ENV": "production"}, "RUBATO_ENV"),
        (("api",), {"RUBATO_ENV": "production", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, "RUBATO_SECRET"),
        (("migrate",), {"RUBATO_EGRESS_ALLOW": "10.0.0.0/99", "DATABASE_URL": "postgresql://x@h/x"}, "EGRESS_ALLOW"),
        (("planning", "set", "maybe"), {}, "on, shadow or off"),
        (("planning", "quota", "tokens_per_day=many"), {"DATABASE_URL": "postgresql://x@h/x"}, "does not look like"),
        (("planning", "status"), {}, "DATABASE_URL"),
        (("sing",), {}, "No such command"),
        (("dev", "--port", "0"), {}, "--port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_use_exits_with_2_and_names_it(
    args: tuple[str, ...], env: dict[str, str], words: str, tmp_path: Path
) -> None:
    end = ended(*args, cwd=tmp_path, **env)
    assert end.returncode == 2, end.stderr
    assert words in end.stderr
    assert "Traceback" not in end.stderr


def test_a_database_that_stays_away_ends_the_start_with_1(tmp_path: Path) -> None:
    url = f"postgresql://rubato:hidden@127.0.0.1:{free_port()}/rubato"
    end = ended("worker", cwd=tmp_path, DATABASE_URL=url, RUBATO_DATABASE_WAIT_MS="300")
    assert end.returncode == 1
    assert "did not answer within 0.3 s" in end.stderr
    assert "DATABASE_URL" in end.stderr
    assert "hidden" not in end.stderr
    assert "Traceback" not in end.stderr


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_database_without_tables_asks_for_the_migration(
    command: str, empty_database_url: str, tmp_path: Path
) -> None:
    end = ended(command, cwd=tmp_path, DATABASE_URL=empty_database_url)
    assert end.returncode == 2
    assert "rubato migrate" in end.stderr


def test_a_taken_port_is_named_with_its_variable(database_url: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        api = ended("api", cwd=tmp_path, DATABASE_URL=database_url, PORT=port)
        worker = ended("worker", cwd=tmp_path, DATABASE_URL=database_url, RUBATO_WORKER_PORT=port)
    assert (api.returncode, worker.returncode) == (1, 1)
    assert f"Port {port}" in api.stderr
    assert "PORT" in api.stderr.replace("Port", "")
    assert "RUBATO_WORKER_PORT" in worker.stderr


def test_the_configuration_is_shown_without_its_secrets(tmp_path: Path) -> None:
    end = ended(
        "config", "check", cwd=tmp_path, DATABASE_URL="postgresql://u:hidden@h/d", RUBATO_SECRET=SECRET, PORT="4000"
    )
    assert (end.returncode, end.stderr) == (0, "")
    assert re.search(r"^PORT\s+4000\s+environment$", end.stdout, re.MULTILINE)
    assert "hidden" not in end.stdout
    assert SECRET not in end.stdout


def test_two_migrations_at_once_are_safe_and_a_third_changes_nothing(empty_database_url: str, tmp_path: Path) -> None:
    env = {"DATABASE_URL": empty_database_url}
    with (
        running(rubato("migrate"), tmp_path / "one", env, tmp_path) as one,
        running(rubato("migrate"), tmp_path / "two", env, tmp_path) as two,
    ):
        codes = [one.popen.wait(60), two.popen.wait(60)]
        assert codes == [0, 0], one.output() + two.output()
    assert ended("migrate", cwd=tmp_path, **env).returncode == 0


def test_every_line_of_every_process_is_json_in_production_and_holds_no_secret(
    empty_database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    env = {**environment(empty_database_url, port), "RUBATO_PLANNER": "offline", "RUBATO_LOG_LEVEL": "debug"}
    password = empty_database_url.split("@")[0].rsplit(":", 1)[1]
    with (
        running(rubato("migrate"), tmp_path / "migrate", env, tmp_path) as migrate,
        slow_target() as target,
    ):
        assert migrate.popen.wait(60) == 0, migrate.output()
        target.answer.set()
        with (
            running(rubato("api"), tmp_path / "api", env, tmp_path) as api,
            running(rubato("worker"), tmp_path / "worker", env, tmp_path) as worker,
        ):
            wait_for("the API to serve", serves(f"http://127.0.0.1:{port}/readyz"))
            body = {"name": "x", "url": target.url, "baselineIntervalMs": 1000, "splay": False}
            assert call("POST", f"http://127.0.0.1:{port}/api/v1/jobs", body, key=KEY).status == 201
            wait_for("a run and a session", lambda: "planner session" in worker.output())
            assert call("GET", f"http://127.0.0.1:{port}/%ff?x=1").status == 404
            again = ended("api", cwd=tmp_path, **env)  # its port is taken: its last word is a line too
            assert (worker.stop(), api.stop()) == (0, 0)
        written = migrate.output() + api.output() + worker.output() + again.stdout + again.stderr
    lines = [json.loads(line) for line in written.splitlines()]
    assert {"run settled", "planner session", "worker is up", "API is up"} <= {line["event"] for line in lines}
    assert any("cannot be taken" in line["event"] for line in lines)
    for secret in (KEY, env["RUBATO_SECRET"], password):
        assert secret not in written


def test_a_stopped_worker_lets_its_request_finish_and_says_that_it_is_not_ready(system: System) -> None:
    with slow_target() as target:
        worker = system.start("worker")
        status = f"http://127.0.0.1:{system.env['RUBATO_WORKER_PORT']}"
        wait_for("the worker to be ready", serves(f"{status}/readyz"))
        job = system.register(url=target.url, baselineIntervalMs=3_600_000)
        assert target.asked.wait(20)
        worker.popen.send_signal(signal.SIGTERM)
        wait_for("the worker to be unready", lambda: call("GET", f"{status}/readyz").status == 503)
        assert call("GET", f"{status}/livez").status == 200
        late = system.register(name="late", baselineIntervalMs=3_600_000)
        target.answer.set()
        assert worker.popen.wait(30) == 0
        assert [run["status"] for run in system.runs(job)] == ["succeeded"]
        assert system.runs(late) == []
        assert system.target.seen == []


def test_a_second_signal_does_not_wait_and_the_run_is_taken_over(system: System) -> None:
    with slow_target() as target:
        worker = system.start("worker", LOCK_TTL_MS="10000")
        job = system.register(url=target.url, baselineIntervalMs=3_600_000)
        assert target.asked.wait(20)
        worker.popen.send_signal(signal.SIGTERM)
        wait_for("the worker to drain", lambda: _line(worker.output(), '"stopping"'))
        worker.popen.send_signal(signal.SIGTERM)
        assert worker.popen.wait(15) == 0
        forced = _line(worker.output(), "stopping without waiting")
        assert forced is not None
        assert forced["signal"] == "SIGTERM"
        assert [run["status"] for run in system.runs(job)] == ["running"]
        target.answer.set()
        system.start("second", "worker", LOCK_TTL_MS="10000", RUBATO_WORKER_PORT=str(free_port()))

        def settled() -> bool:
            return [run["status"] for run in system.runs(job)] == ["succeeded"]

        wait_for("another worker to run it again", settled, within_s=30)
        assert system.runs(job)[0]["attempt"] == 2


def test_workers_for_one_loop_only_do_that_loop(system: System) -> None:
    env = {"RUBATO_PLANNER": "offline"}
    job = system.register(baselineIntervalMs=1_000)
    system.start("runner", "worker", "--only", "run", **env)
    wait_for("two runs", lambda: len([run for run in system.runs(job) if run["finishedAt"]]) >= 2)
    assert system.api("GET", f"/jobs/{job['id']}/sessions").body["data"] == []
    system.start("planner", "worker", "--only", "plan", **env, RUBATO_WORKER_PORT=str(free_port()))
    wait_for("a session", lambda: system.api("GET", f"/jobs/{job['id']}/sessions").body["data"])
    system.processes["runner"].stop()
    count = len(system.runs(job))
    assert "run settled" not in system.processes["planner"].output()
    assert len(system.runs(job)) == count


def test_the_default_worker_port_gives_way_to_a_free_one(system: System) -> None:
    del system.env["RUBATO_WORKER_PORT"]
    ports = set()
    for name in ("one", "two"):
        worker = system.start(name, "worker")
        line = wait_for("the worker's address", partial(_logged, worker, "worker is up"))
        assert call("GET", line["status"]).status == 200
        ports.add(line["status"])
    assert len(ports) == 2
    taken = _line(system.processes["two"].output(), "the default worker port is taken; took a free one")
    assert taken is not None
    assert taken["default"] == 3001


def test_a_worker_serves_its_metrics(system: System) -> None:
    system.start("worker")
    job = system.register(baselineIntervalMs=3_600_000)
    wait_for("the run", lambda: [run for run in system.runs(job) if run["finishedAt"]])
    address = f"http://127.0.0.1:{system.env['RUBATO_WORKER_PORT']}/metrics"
    assert 'rubato_runs_total{outcome="succeeded",trigger="scheduled"} 1.0' in call("GET", address).body


def test_the_demo_target_can_be_served_alone(tmp_path: Path) -> None:
    port = str(free_port())
    with running(rubato("demo-target", "--port", port), tmp_path / "target.log", cwd=tmp_path) as process:
        wait_for("the target to serve", serves(f"http://127.0.0.1:{port}/queue"))
        assert call("GET", f"http://127.0.0.1:{port}/elsewhere").status == 404
        second = ended("demo-target", "--port", port, cwd=tmp_path)
        assert (second.returncode, f"Port {port}" in second.stderr) == (1, True)
        assert process.stop(signal.SIGINT) == 0


def _logged(process: Process, event: str) -> dict[str, Any] | None:
    return _line(process.output(), event)


def _line(output: str, event: str) -> dict[str, Any] | None:
    found = (json.loads(line) for line in output.splitlines() if event in line)
    return next(found, None)
