"""Errors of a worker reach a server that speaks Sentry's protocol, without what may be secret; by default nothing does."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import System
from tests.acceptance.test_processes import ended
from tests.processes import serves, wait_for

FAILING = '''
from rubato.targets import Context, target


@target("tests.fails")
def fails(payload: object, context: Context) -> None:
    """Fail with something secret in a local variable."""
    password = "hunter2-" + "in-a-local"
    raise RuntimeError("the ledger is closed")
'''


@contextmanager
def sentry() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve the protocol; yield its address and the events that have come."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            events.extend(each for each in map(json.loads, body.splitlines()) if "event_id" in each and "level" in each)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://key@127.0.0.1:{server.server_port}/1", events
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_a_handlers_exception_in_a_worker_is_reported_with_its_trace_and_without_secrets(
    system: System, tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    with sentry() as (dsn, events):
        env = {"RUBATO_TARGETS": "failing", "PYTHONPATH": f"{tmp_path}:{system.env.get('PYTHONPATH', '.')}"}
        api = system.processes["api"]
        assert api.stop() == 0
        system.env |= env
        system.start("api again", "api")
        wait_for("the API again", serves(f"{system.url}/readyz"))
        body = {
            "name": "fails",
            "target": "tests.fails",
            "payload": "hunter2-in-the-payload",
            "baselineCron": "0 0 1 1 *",
        }
        job = system.api("POST", "/jobs", body).body
        system.start("worker", SENTRY_DSN=dsn)
        system.api("POST", f"/jobs/{job['id']}/run")
        event = wait_for("the report", lambda: next((each for each in events if "exception" in each), None))
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "the ledger is closed")
    assert error["stacktrace"]["frames"][-1]["function"] == "fails"
    assert (event["environment"], event["tags"]["process"]) == ("production", "worker")
    assert event["extra"]["job_id"] == job["id"]
    assert "hunter2" not in json.dumps(event)
    assert "hunter2" not in system.processes["worker"].output()


def test_an_address_that_is_none_is_refused_and_names_the_variable(tmp_path: Path) -> None:
    end = ended("worker", cwd=tmp_path, SENTRY_DSN="https://example.com/1", DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert (end.returncode, "SENTRY_DSN" in end.stderr) == (2, True)


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_a_worker_starts_without_the_apis_variables(system: System, environment: str) -> None:
    for name in ("RUBATO_SECRET", "RUBATO_BOOTSTRAP_API_KEY", "PORT"):
        system.env.pop(name, None)
    worker = system.start("worker", RUBATO_ENV=environment)
    wait_for("the worker", serves(f"http://127.0.0.1:{system.env['RUBATO_WORKER_PORT']}/readyz"))
    assert worker.stop() == 0
