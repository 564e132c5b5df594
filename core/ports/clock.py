"""The clock port."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Host time. The database's clock decides what is due; this one measures and waits."""

    def now(self) -> datetime:
        """Return the host's current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least that many seconds; a negative wait returns at once."""
        ...
