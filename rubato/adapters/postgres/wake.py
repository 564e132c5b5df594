"""Wake-ups: a hint that something became ready sooner, never the only way to find out."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType

import asyncpg

from rubato.adapters.postgres.engine import CONNECT_S, driver_url

CHANNEL = "rubato_wake"
_RECONNECT_S = 5.0  # until then the loops poll, as they do anyway


class WakeListener:
    """Listens on a connection of its own. While that is down the loops poll, as they do anyway."""

    def __init__(self, url: str) -> None:
        driver_url(url)  # refuses what is no PostgreSQL address; the driver itself takes the URL as it was given
        self._url = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._subscribers: list[Callable[[], None]] = []
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

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call this at every wake-up, and when the connection is there again: one may have been missed meanwhile."""
        self._subscribers.append(wake)

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
            self._wake()
            await lost.wait()
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    def _wake(self) -> None:
        for wake in self._subscribers:
            wake()
