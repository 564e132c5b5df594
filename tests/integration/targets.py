"""Loopback targets that write whatever bytes a test wants, and count what reaches them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Served:
    """A target and what it has seen. `heads`: requests, in their order. `ended`: connections whose other end is gone."""

    port: int = 0
    scheme: str = "http"
    connections: int = 0
    ended: int = 0
    heads: list[bytes] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/"

    async def until(self, is_so: Callable[["Served"], bool]) -> None:
        """Wait, not for ever, until what was seen is so."""
        async with asyncio.timeout(10):
            while not is_so(self):
                self.changed.clear()
                await self.changed.wait()

    def note(self) -> None:
        self.changed.set()


@asynccontextmanager
async def serving(
    handler: Handler, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Served]:
    """Call the handler at every request, on connections that stay open until a handler closes them."""
    served = Served(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.connections += 1
        served.note()
        try:
            while not writer.is_closing():
                served.heads.append(await reader.readuntil(b"\r\n\r\n"))
                served.note()
                await handler(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            served.ended += 1
            served.note()
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def raw(handler: Handler) -> AsyncIterator[str]:
    """Serve one request a connection, which ends with the handler; yield the address."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)
        await writer.drain()
        writer.close()

    async with serving(once) as served:
        yield served.url


def writes(data: bytes) -> Handler:
    """Return a handler that writes this."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return handler


def says(*answers: bytes) -> Handler:
    """Return a handler that writes these one after the other, the last one for ever."""
    left = list(answers)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return handler
