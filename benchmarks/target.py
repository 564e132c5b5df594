"""`python -m benchmarks.target`: the HTTP server that everything measured here calls, in a process of its own.

A raw protocol, so that it costs little beside what it serves. Paths: `/` answers 200 with about 200 bytes, `/wait/50`
does so after 50 ms; a model's address, `/v1/...`, is never answered (`/asked` says how many
wait). It counts by itself (`/count`), and keeps which `webhook-id` it saw when (`/ledger`, which empties
it): nothing is counted by what is measured.
"""

import asyncio
import json
import sys
import time

import uvloop

BODY = json.dumps({"status": "ok", "queue": 12, "detail": "x" * 160}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
ANSWER = OK % (len(BODY), BODY)
_END = b"\r\n\r\n"


class Ledger:
    """What came in. `seen`: webhook-ids and the wall clock's seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = 0
        self.keeps = False
        self.seen: list[tuple[str, float]] = []


class Exchange(asyncio.Protocol):
    """One connection, kept alive; requests without a body."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # a TCP server's transport is a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + len(_END) :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/count":
            return self._write(_json({"count": self._ledger.count}))
        if path == b"/ledger":
            seen, self._ledger.seen, self._ledger.keeps = self._ledger.seen, [], True
            return self._write(_json(seen))
        if path == b"/asked":
            return self._write(_json({"asked": self._ledger.asked}))
        if path.startswith(b"/v1/"):
            self._ledger.asked += 1
            return None
        self._ledger.count += 1
        if self._ledger.keeps:
            self._ledger.seen.append((_webhook_id(head), time.time()))
        if path.startswith(b"/wait/"):
            asyncio.get_running_loop().call_later(int(path[6:]) / 1000, self._write, ANSWER)
            return None
        return self._write(ANSWER)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


def _webhook_id(head: bytes) -> str:
    at = head.lower().find(b"\r\nwebhook-id:")
    return head[at + 13 :].split(b"\r\n", 1)[0].strip().decode() if at >= 0 else ""


def _json(value: object) -> bytes:
    body = json.dumps(value).encode()
    return OK % (len(body), body)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    ledger = Ledger()
    server = await asyncio.get_running_loop().create_server(lambda: Exchange(ledger), "127.0.0.1", port, backlog=2048)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
