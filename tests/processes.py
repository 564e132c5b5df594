"""Real processes for tests: started, awaited by what they serve, and ended, with their output kept for the failure."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
Value = TypeVar("Value")


def free_port() -> int:
    """Return a loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Callable[[], Value | None], *, within_s: float = 60.0) -> Value:
    """Look until there is something true to return; a bounded wait whose failure says what was awaited."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.05)


@dataclass
class Process:
    """A running command. `output()` is everything it has written so far, both streams."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, sign: signal.Signals = signal.SIGTERM, *, within_s: float = 30.0) -> int:
        """Signal it, wait for its end and return the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(sign)
        return self.popen.wait(within_s)


@contextmanager
def running(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Process]:
    """Run a command until the block ends; then it is terminated, or killed if it does not heed."""
    with log.open("ab") as stream:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=cwd or ROOT,
            env={**clean_environment(), **(env or {})},
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        if popen.poll() is None:
            popen.terminate()
            try:
                popen.wait(30)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait(10)


def rubato(*args: str) -> list[str]:
    """Return the command line of `rubato` as this interpreter runs it."""
    return [sys.executable, "-m", "rubato", *args]


def clean_environment() -> dict[str, str]:
    """Return this environment without anything that configures Rubato or a model."""
    ours = ("RUBATO_", "OPENAI_", "DATABASE_URL", "GITHUB_CLIENT", "SENTRY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, its JSON body parsed where it has one."""

    status: int
    headers: Mapping[str, str]
    body: Any


def call(method: str, url: str, body: Any = None, *, key: str | None = None, timeout_s: float = 10.0) -> Answer:
    """Send one request to a loopback server."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method)
    if data is not None:
        request.add_header("content-type", "application/json")
    if key is not None:
        request.add_header("x-api-key", key)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return _answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers, error.read())


def serves(url: str) -> Callable[[], bool]:
    """Return a look that is true once the address answers 200."""

    def look() -> bool:
        try:
            return call("GET", url, timeout_s=2).status == 200
        except OSError:
            return False

    return look


def _answer(status: int, headers: Any, raw: bytes) -> Answer:
    text = raw.decode(errors="replace")
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = text
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body)


@dataclass
class Target:
    """A loopback HTTP server in this process: it answers what `reply` says and keeps what it was sent."""

    url: str
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    reply: tuple[int, dict[str, str], bytes] = (200, {"content-type": "application/json"}, b'{"status":"ok"}')


@contextmanager
def target() -> Iterator[Target]:
    """Serve a target for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            state.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, headers, answer = state.reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Target(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
