"""One life for every service: started, turned until stopped, safe twice and before its start."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from core.events import LoopFailed
from core.ports.events import Events

FAILED_WAIT_S = 1.0  # after a turn that raised; doubled up to the next while it goes on
LONGEST_FAILED_WAIT_S = 15.0

Turn = Callable[[], Awaitable[float]]
Wait = Callable[[float], Awaitable[object]]


class Service:
    """Runs `turn` again and again. A turn returns how many seconds to wait before the next; `wait` may end sooner."""

    def __init__(self, name: str, turn: Turn, events: Events, *, wait: Wait | None = None) -> None:
        self.name = name
        self._turn, self._events, self._wait = turn, events, wait or asyncio.sleep
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
        """End after the present turn; nothing happens before a start or a second time."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping.set()
        self.wake()
        await asyncio.wait([task])

    def wake(self) -> None:
        """End the present wait."""
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
            if seconds > 0 and not self._stopping.is_set():
                await self._until_woken(seconds)
            else:
                await asyncio.sleep(0)

    async def _until_woken(self, seconds: float) -> None:
        """Wait for the time, a wake-up of ours, or one from outside, whichever comes first."""
        loop = asyncio.get_running_loop()
        waits = {loop.create_task(self._woken.wait()), loop.create_task(self._from_outside(seconds))}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            for each in waits:
                with contextlib.suppress(asyncio.CancelledError):
                    await each

    async def _from_outside(self, seconds: float) -> None:
        await self._wait(seconds)
