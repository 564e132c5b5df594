"""In-memory stand-ins for the clock, cron and id ports: deterministic, without I/O, for unit tests."""

import asyncio
from datetime import UTC, datetime, timedelta

from core.errors import CronError

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""Where a `FakeClock` begins: a Monday, at noon, far from any daylight-saving change."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that moves only when told to, or when somebody sleeps on it.

    `slept` lists every wait in seconds, in order. `monotonic()` counts the seconds moved forward since the
    clock was made; `set()` moves the wall alone, as an operator or NTP would.
    """

    def __init__(self, at: datetime = START) -> None:
        self._at = at.astimezone(UTC)
        self._elapsed_s = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Advance by `seconds` at once, after giving other tasks one turn."""
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.advance(timedelta(seconds=max(0.0, seconds)))

    def advance(self, by: timedelta) -> datetime:
        """Move wall and monotonic time forward; return the new instant."""
        if by < timedelta():
            raise ValueError("time that passes never runs backwards; use set() to turn the wall clock back")
        self._at += by
        self._elapsed_s += by.total_seconds()
        return self._at

    def set(self, at: datetime) -> None:
        """Put the wall clock at an aware instant, earlier or later; monotonic time is not touched."""
        self._at = at.astimezone(UTC)


class FakeCron:
    """A cron port on which every expression fires at the multiples of `step` since 1970, in any zone.

    `refused` holds the expressions that are errors, and `last` an instant after which nothing fires. `asked`
    lists the instants `next_after` was asked about.
    """

    def __init__(
        self,
        step: timedelta = timedelta(minutes=5),
        *,
        refused: frozenset[str] = frozenset({"bad"}),
        last: datetime | None = None,
    ) -> None:
        self._step = step
        self._refused = refused
        self._last = last
        self.asked: list[datetime] = []

    def validate(self, expression: str, timezone: str) -> None:
        if expression in self._refused:
            raise CronError(f'Cannot read the cron expression "{expression}"; try "0 0 * * *".')

    def next_after(self, expression: str, timezone: str, after: datetime) -> datetime | None:
        self.validate(expression, timezone)
        self.asked.append(after)
        fire = EPOCH + ((after - EPOCH) // self._step + 1) * self._step
        return None if self._last is not None and fire > self._last else fire

    def shortest_gap(self, expression: str, timezone: str) -> timedelta:
        self.validate(expression, timezone)
        return self._step


class SequentialIds:
    """Ids that count: the sixteen characters are a number, so they sort in the order they were made."""

    def __init__(self) -> None:
        self._made = 0

    def entropy(self) -> str:
        self._made += 1
        return f"{self._made:016d}"
