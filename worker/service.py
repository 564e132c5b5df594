"""One life for every service: started, turned until stopped, safe twice and before its start."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from core.events import LoopFailed
from core.ports.events import Events

FAILED_WAIT_S = 1.0  # after a turn that raised; doubled up to the next while it goes on
LONGEST_FAILED_WAIT_S = 4.0  # so that everything goes on within 5 s of the database's return, however long it was away

Turn = Callable[[], Awaitable[float]]


class Service:
    """Runs `turn` again and again. A turn returns how many seconds to wait before the next; `wake` ends the wait.
    `last`: done once after the last turn."""

    def __init__(
        self, name: str, turn: Turn, events: Events, *, last: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.name = name
        self._turn, self._events, self._last = turn, events, last
        self._woken, self._stopping = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether the loop is alive."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Begin; nothing happens when it has begun."""
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """End after the present turn; nothing happens before a start or a second time.

        When the stop itself is cancelled, so is the turn.
        """
        task = self._task
        if task is None:
            return
        self._stopping.set()
        self.wake()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            self._task = None

    def wake(self) -> None:
        """End the present wait, or let the turn that is on be followed by another at once."""
        self._woken.set()

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                seconds = await self._turn()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the loop's outermost turn: it says so, backs off and goes on
                self._events.emit(LoopFailed(self.name, f"{type(error).__name__}: {error}"))
                seconds = min(FAILED_WAIT_S * 2**failures, LONGEST_FAILED_WAIT_S)
                failures = min(failures + 1, 5)
            await self._rest(seconds)
        if self._last is not None:
            try:
                await self._last()
            except Exception as error:  # noqa: BLE001 - the process ends all the same
                self._events.emit(LoopFailed(self.name, f"{type(error).__name__}: {error}"))

    async def _rest(self, seconds: float) -> None:
        """Wait for the time or a wake-up, whichever comes first; others get their turn in any case."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
