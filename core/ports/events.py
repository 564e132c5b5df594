"""The event port: where telemetry goes."""

from typing import Protocol

from core.events import Event


class Events(Protocol):
    """Takes a record of what happened and makes metrics and log lines of it. Never raises, never blocks."""

    def emit(self, event: Event) -> None:
        """Take one event."""
        ...
