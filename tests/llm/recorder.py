"""A loopback server between us and a model's server that keeps what the model answered; keys and requests are not kept."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

_PASSED_ON = ("authorization", "content-type", "accept", "user-agent")


@dataclass
class Recorder:
    """What was answered, in order: status and body."""

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)


@contextmanager
def recorder(upstream: str, *, timeout_s: float = 60) -> Iterator[Recorder]:
    """Pass requests on to `upstream` for the length of the block, and keep the answers."""
    kept, lock = Recorder(), threading.Lock()
    client = httpx2.Client(timeout=timeout_s)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() in _PASSED_ON}
            path = self.path.removeprefix("/v1")
            try:
                answer = client.post(upstream.rstrip("/") + path, content=body, headers=headers)
                status, text = answer.status_code, answer.text
            except httpx2.HTTPError as error:
                status, text = 502, f'{{"error":{{"message":"{type(error).__name__}"}}}}'
            with lock:
                kept.answers.append((status, text))
            sent = text.encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keep the output for what is reported."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
        client.close()
