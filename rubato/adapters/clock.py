"""The host's clock."""

import asyncio
import math
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
        """Give the event loop away for at least that many seconds; a negative wait returns after one turn of it.

        uvloop rounds to milliseconds and counts from the beginning of its turn: alone it woke up to 1.3 ms early, and
        what was to be sent at its slot was sent before it.
        """
        until, left = time.monotonic() + seconds, max(0.0, seconds)
        await asyncio.sleep(math.ceil(left * 1000) / 1000)
        while (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 - what is waited for is time itself
            await asyncio.sleep(math.ceil(left * 1000) / 1000)
