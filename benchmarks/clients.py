"""HTTP clients side by side on one loopback target, and the dispatcher itself: requests a second, and their CPU.

`python -m benchmarks clients`. All of them in one process on uvloop, one after another, round by round; medians. The
target is nginx where it is installed, in a process of its own. What is not installed is left out and named:
`pip install aiohttp pyreqwest` brings the two that Rubato does not need.
"""

import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2
import uvloop

from core.ports.dispatcher import HttpRequest
from rubato.adapters.http.connection import Connection
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy

ROUNDS = 5
REQUESTS = 6000  # a round and client
SLOW_REQUESTS = 600  # a round of those that need a millisecond each
IN_FLIGHT = (100, 200)
HEADERS = {"x-tenant": "abc", "authorization": "Bearer 0123456789abcdef", "accept-encoding": "identity"}

Call = Callable[[], Awaitable[object]]
NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 60;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{body}'; }} }}
}}
"""


@dataclass
class Row:
    """One client at one number in flight: a figure a round."""

    name: str
    in_flight: int
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def measure() -> str:
    """Return the table."""
    with _target() as port:
        rows, missing = uvloop.run(_measure(port))
    lines = [f"{'client':<34}{'in flight':>10}{'requests/s':>12}{'low-high':>16}{'CPU us each':>13}"]
    for row in rows:
        spread = f"{min(row.per_second):,.0f}-{max(row.per_second):,.0f}"
        per_second, cpu_us = statistics.median(row.per_second), statistics.median(row.cpu_us)
        lines.append(f"{row.name:<34}{row.in_flight:>10}{per_second:>12,.0f}{spread:>16}{cpu_us:>13.1f}")
    return "\n".join([*lines, *(f"{name}: not installed, left out" for name in missing)])


async def _measure(port: int) -> tuple[list[Row], list[str]]:
    url = f"http://127.0.0.1:{port}/"
    rows: dict[tuple[str, int], Row] = {}
    missing: list[str] = []
    for _ in range(ROUNDS):
        for in_flight in IN_FLIGHT:
            for name, client in CLIENTS.items():
                try:
                    made = client(url, in_flight)
                    async with made as call:
                        await _run(call, in_flight, in_flight)
                        requests = SLOW_REQUESTS if "httpx2" in name else REQUESTS
                        per_second, cpu_us = await _run(call, in_flight, requests)
                except ImportError:
                    missing = [*missing, name] if name not in missing else missing
                    continue
                row = rows.setdefault((name, in_flight), Row(name, in_flight))
                row.per_second.append(per_second)
                row.cpu_us.append(cpu_us)
    return sorted(rows.values(), key=lambda row: (row.in_flight, list(CLIENTS).index(row.name))), missing


async def _run(call: Call, in_flight: int, requests: int) -> tuple[float, float]:
    left = requests

    async def lane() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    begun, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(lane() for _ in range(in_flight)))
    return requests / (time.perf_counter() - begun), (time.process_time() - used) / requests * 1e6


@asynccontextmanager
async def _raw(url: str, in_flight: int) -> AsyncIterator[Call]:
    """The ceiling: writes bytes and waits until as many came back as did the first time."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    free = [(await loop.create_connection(_Raw, host, int(port)))[1] for _ in range(in_flight)]

    async def call() -> object:
        lane = free.pop()
        lane.waiting = loop.create_future()
        lane.transport.write(request)
        await lane.waiting
        free.append(lane)
        return None

    yield call
    for lane in free:
        lane.transport.abort()


class _Raw(asyncio.Protocol):
    transport: asyncio.Transport
    waiting: "asyncio.Future[None]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP client's transport is a Transport

    def data_received(self, data: bytes) -> None:
        self.waiting.set_result(None)


@asynccontextmanager
async def _connection(url: str, in_flight: int) -> AsyncIterator[Call]:
    """Our own connection without the dispatcher around it."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()
    loop = asyncio.get_running_loop()
    free = [
        (await loop.create_connection(lambda: Connection(loop, 262_144), host, int(port)))[1] for _ in range(in_flight)
    ]

    async def call() -> object:
        lane = free.pop()
        answer = await lane.begin(request, is_head=False, deadline=time.monotonic() + 10)
        free.append(lane)
        return answer.body.decode()

    yield call
    for lane in free:
        lane.abort()


@asynccontextmanager
async def _dispatcher(url: str, in_flight: int) -> AsyncIterator[Call]:
    """`HttpDispatcher.send`: guard, pool, deadline, caps, charset and all."""
    dispatcher = HttpDispatcher(AddressPolicy(["loopback"]))
    headers = {name: value for name, value in HEADERS.items() if name != "accept-encoding"}

    async def call() -> object:
        result = await dispatcher.send(HttpRequest(url, headers=headers, tenant_id="ten_a", webhook_id="msg_1"))
        if result.status_code != 200:
            raise AssertionError(result.error)
        return result

    yield call
    await dispatcher.close()


@asynccontextmanager
async def _aiohttp(url: str, in_flight: int) -> AsyncIterator[Call]:
    aiohttp: Any = import_module("aiohttp")
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout, auto_decompress=False
    ) as session:

        async def call() -> object:
            async with session.get(url, headers=HEADERS, allow_redirects=False) as response:
                return (await response.read()).decode()

        yield call


@asynccontextmanager
async def _pyreqwest(url: str, in_flight: int) -> AsyncIterator[Call]:
    builder: Any = import_module("pyreqwest.client").ClientBuilder
    client = builder().no_proxy().follow_redirects(False).gzip(False).timeout(timedelta(seconds=10)).build()

    async def call() -> object:
        response = await client.get(url).headers(HEADERS).build().send()
        return await response.text()

    yield call
    await client.close()


@asynccontextmanager
async def _httpx2(url: str, in_flight: int) -> AsyncIterator[Call]:
    """One client a request, as the dispatcher was before: a shared pool rescans its connections at every request."""
    tls = httpx2.create_ssl_context(trust_env=False)

    async def call() -> object:
        async with httpx2.AsyncClient(verify=tls, trust_env=False, timeout=10) as client:
            return (await client.get(url, headers=HEADERS)).text

    yield call


CLIENTS = {
    "raw protocol, parses nothing": _raw,
    "our connection alone": _connection,
    "HttpDispatcher.send": _dispatcher,
    "aiohttp": _aiohttp,
    "pyreqwest": _pyreqwest,
    "httpx2, a client a request": _httpx2,
}


@contextmanager
def _target() -> Iterator[int]:
    """Serve 200 with about 200 bytes on loopback, in another process; yield the port."""
    nginx = shutil.which("nginx")
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        if nginx is None:
            command = [sys.executable, "-m", "benchmarks.target", str(port)]
        else:
            body = json.dumps({"status": "ok", "queue": 12, "detail": "x" * 150})
            config = Path(folder) / "nginx.conf"
            config.write_text(NGINX.format(folder=folder, port=port, body=body), encoding="ascii")
            command = [nginx, "-c", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603
            try:
                _await_port(port)
                yield port
            finally:
                process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
