"""The host's clock."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """`core.ports.clock.Clock` on the host; no other module asks the operating system for the time."""

    def now(self) -> datetime:
        """Return the host's current instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Give the event loop away for that many seconds; a negative wait returns after one turn of it."""
        await asyncio.sleep(max(0.0, seconds))
