"""A TCP proxy for tests: what passes through it can be delayed, cut, held back or swallowed, and let pass again."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65_536
BACKLOG = 1024


@dataclass(eq=False)
class _Line:
    """One connection through the proxy: the client's side and the server's. A line may be dead for good."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    is_dead: bool = False


@dataclass
class Proxy:
    """Forwards to `port` on loopback, as long as nothing is wrong.

    `delay_s`: added to every chunk, each way. `hides_ends`: a side that closes is not reported to the other. `black_hole()`: bytes and new connections are held back, and go on when
    it heals, as TCP repeats what was lost. `go_half_open()`: lines of that moment, and those made until it heals, never
    carry a byte again, though nobody is told. `hold_answers()`: only what the server says is held back. `reset()`: every
    line ends at once, with an RST.
    """

    port: int
    delay_s: float = 0.0
    hides_ends: bool = False
    _lines: set[_Line] = field(default_factory=set)
    _passes: asyncio.Event = field(default_factory=asyncio.Event)
    _answers_pass: asyncio.Event = field(default_factory=asyncio.Event)
    _makes_dead_lines: bool = False
    _server: asyncio.Server | None = None
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    @property
    def own_port(self) -> int:
        """The port to connect to."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def lines(self) -> int:
        """How many connections are open."""
        return len(self._lines)

    def black_hole(self) -> None:
        """Hold everything back."""
        self._passes.clear()

    def hold_answers(self) -> None:
        """Hold back what the server says, as if the client did not read."""
        self._answers_pass.clear()

    def go_half_open(self) -> None:
        """Let every line die without a word."""
        self._makes_dead_lines = True
        for line in self._lines:
            line.is_dead = True

    def heal(self) -> None:
        """Let everything pass again. What died stays dead."""
        self.delay_s = 0.0
        self._makes_dead_lines = False
        self._passes.set()
        self._answers_pass.set()

    def reset(self) -> int:
        """End every line with an RST; return how many there were."""
        lines = list(self._lines)
        for line in lines:
            _abort(line.client)
            if line.server is not None:
                _abort(line.server)
        return len(lines)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(writer, is_dead=self._makes_dead_lines)
        self._lines.add(line)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._passes.wait()
            theirs, line.server = await asyncio.open_connection("127.0.0.1", self.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(line, reader, line.server))
                group.create_task(self._pump(line, theirs, writer))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass
        finally:
            self._lines.discard(line)
            self._tasks.discard(task)
            for each in (writer, line.server):
                if each is not None:
                    each.close()

    async def _pump(self, line: _Line, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._passes.wait()
            if sink is line.client:
                await self._answers_pass.wait()
            if line.is_dead:
                continue
            sink.write(chunk)
            await sink.drain()
        with suppress(OSError, RuntimeError):
            if not line.is_dead and not self.hides_ends and sink.can_write_eof():
                sink.write_eof()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    """Serve a proxy for the length of the block."""
    proxy = Proxy(port)
    proxy.heal()
    proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0, backlog=BACKLOG)
    try:
        yield proxy
    finally:
        proxy._server.close()
        tasks = list(proxy._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def through(url: str, port: int) -> str:
    """Return the address of the same database behind a proxy's port."""
    parts = urlsplit(url)
    netloc = parts.netloc.rsplit(":", 1)[0] + f":{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with an RST instead of a FIN."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
