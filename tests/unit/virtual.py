"""A house in virtual time: timers fire, nothing waits, and what was sent is known to the microsecond."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from random import Random
from typing import Any

from core.ports.dispatcher import HttpRequest, HttpResult
from core.usecases.run_due import RunDue
from tests.simulation.loop import VirtualLoop
from tests.unit.fakes import OK, START, FakeClock
from tests.unit.loop import Loop
from worker.loops import run_service
from worker.service import Service

AHEAD = timedelta(milliseconds=500)


class VirtualClock(FakeClock):
    """The event loop's own time. The host's and the store's clocks agree."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Time moves by itself."""


class VirtualHouse(Loop):
    """A house whose worker claims half a second ahead. `sent`: when each request left, in seconds, with its id."""

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock())
        self.sent: list[tuple[float, str]] = []
        self.dispatcher.plan = self._note
        self.worker = self.looking_ahead("worker_1")

    def looking_ahead(self, worker_id: str) -> RunDue:
        """Return another worker that claims ahead."""
        return RunDue(
            self.store,
            self.dispatcher,
            self.cron,
            self.clock,
            self.ids,
            self.events,
            worker_id=worker_id,
            ahead=AHEAD,
        )

    def service(self, worker: RunDue) -> Service:
        """Return the worker's loop as the wiring makes it."""
        return run_service(worker, self.clock, self.events, poll=timedelta(seconds=2))

    def _note(self, request: HttpRequest) -> HttpResult:
        self.sent.append((self.clock.monotonic(), request.webhook_id))
        return OK


def play(story: Callable[[VirtualHouse], Coroutine[Any, Any, None]]) -> None:
    """Let a story happen to a fresh house."""
    loop = VirtualLoop(Random(1), shuffles=False)

    async def whole() -> None:
        await story(VirtualHouse())

    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()
