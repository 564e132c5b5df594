"""An event loop of which nothing is left to the machine: time is virtual, and the order of events is drawn by lot.

When nothing is ready, time jumps to the next timer. Of what is ready, one callback is picked by the random generator
(or the oldest, in scenarios that keep the order of a real loop). So a seed names one interleaving, for ever.
"""

import asyncio
import heapq
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

SCATTER, LARGEST = 0x9E3779B97F4A7C15, 2**60 - 1
SAME_INSTANT = 50_000  # callbacks without time moving: somebody spins

PROCESS: "ContextVar[Process | None]" = ContextVar("process", default=None)


class SpinsError(AssertionError):
    """Callbacks follow each other without end, and time does not move."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash comes of its number: sets of tasks iterate in the same order in every run.

    Scattered, and apart for each scenario: asyncio's own set of all tasks outlives them, and would fill with collisions.
    """

    def __init__(self, coro: Any, number: int, **words: Any) -> None:
        self.number = number
        super().__init__(coro, **words)

    def __hash__(self) -> int:
        return self.number


class Process:
    """An operating system process: the tasks begun in its context, and what signals do to them."""

    def __init__(self, name: str, loop: "VirtualLoop") -> None:
        self.name, self._loop = name, loop
        self.is_alive = True
        self.is_frozen = False
        self.thawed_at = float("-inf")
        self.held: list[asyncio.Handle] = []
        self.tasks: list[NumberedTask] = []
        self._context = copy_context()
        self._context.run(PROCESS.set, self)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> NumberedTask:
        """Begin a task of this process; what it begins belongs to the process too."""
        return self._context.run(self._loop.create_task, work)

    def adopt(self, task: NumberedTask) -> None:
        """Know a task as this process's own."""
        if len(self.tasks) > 200:
            self.tasks = [each for each in self.tasks if not each.done()]
        self.tasks.append(task)

    def freeze(self) -> None:
        """SIGSTOP: nothing of it runs, its timers fire unheard."""
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: everything that would have run meanwhile is ready now."""
        if self.is_frozen:
            self.is_frozen = False
            self.thawed_at = self._loop.time()
            self._loop.make_ready(self.held)
            self.held = []

    def kill(self) -> None:
        """SIGKILL: it ends at the await where it is. Its tasks are cancelled to clear them away; everything that could
        still be seen from outside asks `is_alive` first."""
        self.is_alive = False
        self.thaw()
        for task in self.tasks:
            task.cancel()


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. `shuffles`: whether the order among ready callbacks is drawn by lot."""

    def __init__(self, rng: Random, *, shuffles: bool, salt: int = 0) -> None:
        super().__init__()
        self._rng, self._shuffles = rng, shuffles
        self._ready: list[asyncio.Handle] = []
        self._now = 0.0
        self._count, self._salt = 0, salt
        self.turns = 0

    def time(self) -> float:
        """Return virtual seconds since the beginning."""
        return self._now

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> NumberedTask:
        """Begin a task, numbered, and known to its process."""
        self._count += 1
        number = (self._salt + self._count) * SCATTER & LARGEST
        task = NumberedTask(coro, number, loop=self, name=name, context=context)
        process = PROCESS.get()
        if process is not None:
            process.adopt(task)
        return task

    def make_ready(self, handles: list[asyncio.Handle]) -> None:
        """Let these run now."""
        self._ready.extend(handles)

    def _run_once(self) -> None:
        ready, rng, shuffles = self._ready, self._rng, self._shuffles
        if not ready:
            self._advance()
        ran = 0
        while ready and not self._stopping:
            if shuffles and len(ready) > 1:
                index = int(rng.random() * len(ready))
                handle = ready[index]
                ready[index] = ready[-1]
                ready.pop()
            else:
                handle = ready.pop(0)
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None and process.is_frozen:
                process.held.append(handle)
                continue
            handle._run()
            ran += 1
            if ran > SAME_INSTANT:
                raise SpinsError(f"{ran} callbacks at {self._now:.6f} s, the last {handle!r}")
        self.turns += ran

    def _advance(self) -> None:
        """Move time to the next timer, and make ready what is due then."""
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not timers:
            raise RuntimeError("nothing is left that could happen, and the scenario is not over")
        self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            self._ready.append(timer)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers leave when their time comes."""
