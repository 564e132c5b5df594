"""The host's clocks."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The clock port on this host."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; a negative wait returns at once."""
        await asyncio.sleep(max(0.0, seconds))
