"""The life of a process: start, serve, and end well. A first signal drains; a second forces."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from core.errors import Unavailable
from core.usecases.run_due import RunDue
from worker.service import Service

DRAIN_S = 25.0  # orchestrators kill after 30
LAST_TURN_S = 1.0  # for a renewal that is under way when everything is out
KEEPERS = ("renew", "leases")  # services that go on until everything is out
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger("rubato.worker")


class Supervisor:
    """Services, and the runs in flight. `is_ready` tells a load balancer whether to count on this process."""

    def __init__(self, services: Sequence[Service], runs: RunDue | None, *, drain_s: float = DRAIN_S) -> None:
        self._services, self._runs, self._drain_s = services, runs, drain_s
        self.is_ready = False

    async def start(self) -> None:
        """Start every service."""
        for service in self._services:
            await service.start()
        self.is_ready = True

    async def stop(self, forced: asyncio.Event | None = None) -> None:
        """Stop claiming at once, then wait for what is out, `drain_s` at the most, less when `forced` is set.

        Every service is told at the same moment: a planner that waits for a slow model must not keep the run loop
        claiming. What is left at the end is cut off: a run is then uncertain and taken over by another worker, a
        session's lease ends by itself. Leases go on being renewed until all is out. Safe twice.
        """
        self.is_ready = False
        keepers = [service for service in self._services if service.name in KEEPERS]
        enders = [service for service in self._services if service not in keepers]
        loop = asyncio.get_running_loop()
        ending = loop.create_task(self._end(enders), name="drain")
        hurry = loop.create_task((forced or asyncio.Event()).wait(), name="second signal")
        try:
            await asyncio.wait({ending, hurry}, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(hurry)
            await _cancelled(ending)
            left = await self._runs.abandon() if self._runs is not None else 0
            if left:
                log.warning("ended with runs in flight; another worker takes them over", runs=left)
            for service in keepers:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_TURN_S):
                        await service.stop()

    async def _end(self, services: Sequence[Service]) -> None:
        """Stop these, and let the runs in flight finish. What was claimed and not sent is given back as soon as the run
        loop has stopped; a planner that waits for its model keeps nobody."""
        claiming = [service for service in services if service.name == "run"]
        async with asyncio.TaskGroup() as group:
            for service in services:
                if service not in claiming:
                    group.create_task(service.stop())
            group.create_task(self._end_runs(claiming))

    async def _end_runs(self, claiming: Sequence[Service]) -> None:
        for service in claiming:
            await service.stop()
        if self._runs is not None:
            with contextlib.suppress(Unavailable):  # what was not given back is free when its lease ends
                await self._runs.close()
            await self._runs.drain(self._drain_s)


class Signals:
    """The first SIGTERM or SIGINT sets `stop`, the second `force`."""

    def __init__(self) -> None:
        self.stop, self.force = asyncio.Event(), asyncio.Event()

    def take(self, number: signal.Signals) -> None:
        """Count one signal, and say so: a process that was told to end must not look like one that vanished."""
        first = not self.stop.is_set()
        log.info("stopping" if first else "stopping without waiting", signal=number.name)
        (self.stop if first else self.force).set()


@asynccontextmanager
async def signals() -> AsyncIterator[Signals]:
    """Listen for signals during the block."""
    loop, taken = asyncio.get_running_loop(), Signals()
    for each in SIGNALS:
        loop.add_signal_handler(each, taken.take, each)
    try:
        yield taken
    finally:
        for each in SIGNALS:
            loop.remove_signal_handler(each)


async def _cancelled(task: "asyncio.Task[object]") -> None:
    """Cancel a task, if it still goes on, and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
