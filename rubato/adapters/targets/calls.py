"""One call of a handler, on a thread of its own: nothing it does can hold up the worker's event loop."""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from rubato.adapters.targets.context import Context

BODY_CAP = 256 * 1024  # bytes of what a handler returned, as of a response's body
LONGEST_ERROR = 500  # characters


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: what was returned, as JSON text, or why it failed."""

    body: str | None = None
    body_bytes: int = 0
    truncated: bool = False
    error: str | None = None


class HandlerThread(threading.Thread):
    """Runs one handler to its end and then calls `on_end`, from this thread.

    A daemon: a handler that never returns must not keep the process. A coroutine gets an event loop of its own, so that
    one which blocks stands in nobody's way but its own.
    """

    def __init__(
        self, handler: Callable[..., Any], payload: Any, context: Context, on_end: Callable[[Outcome], None]
    ) -> None:
        super().__init__(name=f"target {context.target}", daemon=True)
        self._handler, self._payload, self._context, self._on_end = handler, payload, context, on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def is_given_up(self) -> bool:
        """Tell whether it was asked to stop."""
        return self._context.cancel.is_set()

    def run(self) -> None:
        """Call the handler."""
        self._on_end(self._outcome())

    def cancel(self) -> None:
        """Ask the handler to stop; a coroutine is cancelled."""
        self._context.cancel.set()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)

    def _outcome(self) -> Outcome:
        try:
            return _written(self._value())
        except asyncio.CancelledError:
            return Outcome(error="The call was canceled")
        except Exception as error:
            self._context.logger.exception("a target failed")
            return Outcome(error=f"{type(error).__name__}: {error}"[:LONGEST_ERROR])
        except BaseException as error:
            self._context.logger.exception("a target tried to end the process")
            return Outcome(error=f"The target tried to end the process ({type(error).__name__})")

    def _value(self) -> Any:
        if not _is_coroutine_function(self._handler):
            return self._handler(self._payload, self._context)
        with asyncio.Runner() as runner:
            return runner.run(self._awaited())

    async def _awaited(self) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._context.cancel.is_set():
            raise asyncio.CancelledError
        return await self._handler(self._payload, self._context)


def _is_coroutine_function(handler: Callable[..., Any]) -> bool:
    called = getattr(handler, "__call__", None)  # noqa: B004 - an object whose `__call__` is a coroutine function
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called)


def _written(value: Any) -> Outcome:
    """Write what a handler returned as JSON; what JSON does not know becomes its text."""
    if value is None:
        return Outcome()
    written = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    kept = written[:BODY_CAP].decode(errors="replace")
    return Outcome(kept, len(written), len(written) > BODY_CAP)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
