"""Wake-ups: a hint that something became ready sooner, never the only way to find out."""

import asyncio
import contextlib
from types import TracebackType

import asyncpg

from rubato.adapters.postgres.engine import CONNECT_S, driver_url

CHANNEL = "rubato_wake"
_RECONNECT_S = 5.0  # until then the loops poll, as they do anyway


class WakeListener:
    """Listens on a connection of its own. While that is down, `wait` still returns at its timeout."""

    def __init__(self, url: str) -> None:
        self._url = driver_url(url).replace("postgresql+asyncpg", "postgresql", 1)
        self._events: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "WakeListener":
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="wake listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a wake-up, at most `timeout_s`; tell whether one came."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await event.wait()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._events.discard(event)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await self._listen_once()
            await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_S, server_settings={"application_name": "rubato wake"}
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, lambda *_: self._wake())
            await lost.wait()
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    def _wake(self) -> None:
        for event in self._events:
            event.set()
