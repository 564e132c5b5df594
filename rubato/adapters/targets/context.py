"""What a handler is told of its call."""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


class CancelSignal:
    """Set when the call's deadline has passed, its lease was lost, or the worker ends. Safe from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask the handler to stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Tell whether the handler should stop."""
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the signal, instead of sleeping; True: stop. For handlers that are plain functions."""
        return self._event.wait(timeout_s)


@dataclass(frozen=True, slots=True)
class Context:
    """One call of a target. Instants are UTC.

    `slot`: the instant the run was due, never the clock's now. `call_id`: the same for every attempt at the slot, so
    that a handler can drop a duplicate. `deadline`: when the call will have timed out. `logger`: structlog's, with the
    call's ids bound. A handler that is a coroutine is cancelled at its deadline; one that is a plain function cannot
    be, and looks at `cancel`.
    """

    target: str
    tenant_id: str
    job_id: str
    job_key: str | None
    run_id: str
    call_id: str
    slot: datetime
    trigger: str
    attempt: int
    deadline: datetime
    logger: Any
    cancel: CancelSignal = field(default_factory=CancelSignal)
