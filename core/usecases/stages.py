"""Stages of a pipeline: background work that runs while there is some, one task a stage, and says when it died."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from core.events import LoopFailed
from core.ports.events import Events

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Stages:
    """The stages at work. A stage returns when it finds nothing more to do, and is kicked when there may be some."""

    events: Events
    _tasks: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)

    @property
    def tasks(self) -> "tuple[asyncio.Task[None], ...]":
        """Return the tasks of the stages at work."""
        return tuple(self._tasks.values())

    def kick(self, name: str, work: Work) -> None:
        """See that this stage is at work."""
        if name in self._tasks:
            self._again.add(name)  # it may have looked for the last time
            return
        task = self._tasks[name] = asyncio.get_running_loop().create_task(work(), name=name)
        task.add_done_callback(partial(self._rested, name, work))

    async def rest(self, name: str) -> None:
        """Wait until this stage has nothing more to do."""
        while name in self._tasks:
            await asyncio.wait([self._tasks[name]])

    def _rested(self, name: str, work: Work, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(name, None)
        wanted = name in self._again
        self._again.discard(name)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.events.emit(LoopFailed(name, f"{type(error).__name__}: {error}"))
        if wanted:
            self.kick(name, work)
