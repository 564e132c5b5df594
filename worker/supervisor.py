"""The life of a process: start, serve, and end well. A first signal drains; a second forces."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from core.usecases.run_due import RunDue
from worker.service import Service

DRAIN_S = 25.0  # orchestrators kill after 30
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger("rubato.worker")


class Supervisor:
    """Services, and the runs in flight. `is_ready` tells a load balancer whether to count on this process."""

    def __init__(self, services: Sequence[Service], runs: RunDue | None) -> None:
        self._services, self._runs = services, runs
        self.is_ready = False

    async def start(self) -> None:
        """Start every service."""
        for service in self._services:
            await service.start()
        self.is_ready = True

    async def stop(self, forced: asyncio.Event | None = None) -> None:
        """Stop claiming, then wait for what is out; what is left after the drain is uncertain and taken over later.

        Leases go on being renewed until the drain is over.
        """
        self.is_ready = False
        keepers = [service for service in self._services if service.name == "renew"]
        for service in self._services:
            if service not in keepers:
                await service.stop()
        if self._runs is not None:
            left = await self._drained(self._runs, forced)
            if left:
                log.warning("ended with runs in flight; another worker takes them over", runs=left)
        for service in keepers:
            await service.stop()

    async def _drained(self, runs: RunDue, forced: asyncio.Event | None) -> int:
        drain = asyncio.get_running_loop().create_task(runs.drain(DRAIN_S))
        if forced is None:
            return await drain
        hurry = asyncio.get_running_loop().create_task(forced.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hurry
        if drain.done():
            return drain.result()
        drain.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drain
        return await runs.drain(0)


class Signals:
    """The first SIGTERM or SIGINT sets `stop`, the second `force`."""

    def __init__(self) -> None:
        self.stop, self.force = asyncio.Event(), asyncio.Event()

    def take(self) -> None:
        """Count one signal."""
        (self.force if self.stop.is_set() else self.stop).set()


@asynccontextmanager
async def signals() -> AsyncIterator[Signals]:
    """Listen for signals during the block."""
    loop, taken = asyncio.get_running_loop(), Signals()
    for each in SIGNALS:
        loop.add_signal_handler(each, taken.take)
    try:
        yield taken
    finally:
        for each in SIGNALS:
            loop.remove_signal_handler(each)
