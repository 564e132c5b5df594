"""The target of a chaos run: a process of its own that answers late and keeps a ledger of what it was sent.

Every request gets a line in an append-only file before it is answered, and another when it was; the answer carries a
token that names the line. So what was sent, how often, by whom and when is known without asking the system under test.

    python -m tests.chaos.target LEDGER SEED [fast]

prints its port, and ends at SIGTERM.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping

WAIT_S = (0.005, 0.3)
SLOW_S = (1.0, 3.0)
SLOW_SHARE = 0.02


class LedgerTarget:
    """An HTTP/1.1 server, as plain as one can be: it reads a head, writes a line, waits, and answers 200."""

    def __init__(self, ledger: int, chance: random.Random, *, fast: bool) -> None:
        self._ledger, self._chance, self._count = ledger, chance, 0
        self._wait_s, self._slow_share = ((0.001, 0.01), 0.0) if fast else (WAIT_S, SLOW_SHARE)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await _head(reader):
                await self._answer(head, writer)
                if head.get("connection", "").lower() == "close":
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side has gone, killed perhaps: that is what this is for
        finally:
            writer.close()

    async def _answer(self, head: dict[str, str], writer: asyncio.StreamWriter) -> None:
        self._count += 1
        number = self._count
        asked = {"asked": number, "at": time.time_ns(), "id": head.get("webhook-id"), "by": head.get("user-agent")}
        self._write(asked)
        await asyncio.sleep(
            self._chance.uniform(*(SLOW_S if self._chance.random() < self._slow_share else self._wait_s))
        )
        body = json.dumps({"token": number}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        self._write({"answered": number, "at": time.time_ns()})

    def _write(self, line: Mapping[str, object]) -> None:
        os.write(self._ledger, json.dumps(line, separators=(",", ":")).encode() + b"\n")


async def _head(reader: asyncio.StreamReader) -> dict[str, str] | None:
    """Read a request's head; None at the connection's end. Requests have no body here."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = raw.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


async def main(ledger: str, seed: int, *, fast: bool) -> None:
    """Serve until SIGTERM."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    target = LedgerTarget(descriptor, random.Random(seed), fast=fast)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the other side waits for it
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), fast="fast" in sys.argv[3:]))
