"""A loopback server that speaks chat completions and answers what its script says, one entry a request.

Entries: `{"tool": [name, arguments]}`, `{"tools": [[name, arguments], ...]}`, `{"text": "..."}`, `{"raw": "garbage"}`,
`{"status": 503, "headers": {...}}`, `{"empty": true}` (no choices); beside them `"sleep": seconds` and `"usage": false`.
The last entry repeats.

    python tests/loopback_model.py --port 4000 --script script.json --seen requests.jsonl
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

_numbers = count(1)


@dataclass
class LoopbackModel:
    """What a running server has been asked, and what it will answer."""

    script: list[dict[str, Any]]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    seen_file: Path | None = None
    reply: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.requests.append(request)
            if self.seen_file is not None:
                with self.seen_file.open("a") as file:
                    file.write(json.dumps(request) + "\n")
            if self.reply is not None:
                return self.reply(request)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def loopback_model(
    script: list[dict[str, Any]],
    *,
    port: int = 0,
    seen_file: Path | None = None,
    reply: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Iterator[LoopbackModel]:
    """Serve a script for the length of the block; or what `reply` makes of each request."""
    state = LoopbackModel(list(script), seen_file=seen_file, reply=reply)
    server = _serve(state, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _serve(state: LoopbackModel, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
            entry = state.take({"path": self.path, "body": body})
            time.sleep(entry.get("sleep", 0))
            status, answer = _answer(entry, body.get("model", "model"))
            try:
                self.send_response(status)
                for name, value in entry.get("headers", {}).items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # the client gave up, as some tests want it to

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    return server


def _answer(entry: dict[str, Any], model: str) -> tuple[int, bytes]:
    if "status" in entry:
        return entry["status"], json.dumps({"error": {"message": "scripted", "code": "scripted"}}).encode()
    if "raw" in entry:
        return 200, entry["raw"].encode()
    message: dict[str, Any] = {"role": "assistant", "content": entry.get("text")}
    calls = entry.get("tools") or ([entry["tool"]] if "tool" in entry else [])
    if calls:
        message["tool_calls"] = [_call(*call) for call in calls]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [] if entry.get("empty") else [choice],
    }
    if entry.get("usage", True):
        completion["usage"] = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return 200, json.dumps(completion).encode()


def _call(name: str, arguments: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"call_{next(_numbers)}", "type": "function", "function": {"name": name, "arguments": text}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--seen", type=Path)
    options = parser.parse_args()
    running = LoopbackModel(json.loads(options.script.read_text()), seen_file=options.seen)
    serving = _serve(running, options.port)
    print(running.url, flush=True)  # noqa: T201 - how a caller learns the port
    serving.serve_forever()
