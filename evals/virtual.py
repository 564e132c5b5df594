"""What stands for the outside: a clock that is moved, ids that repeat, ears for events, an allowance of tokens."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from core.events import Event, LoopFailed, SessionEnded
from core.ports.quota import Denial, QuotaWindow, Reservation

BEGUN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday; every world begins here, at second 0


def instant_at(second: float) -> datetime:
    """Return the instant that many seconds into a world."""
    return BEGUN + timedelta(seconds=second)


def second_of(at: datetime) -> float:
    """Return how many seconds into a world an instant lies."""
    return (at - BEGUN).total_seconds()


@dataclass
class VirtualClock:
    """Stands still but when it is moved."""

    at: datetime = BEGUN

    def now(self) -> datetime:
        """Return the virtual instant."""
        return self.at

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return second_of(self.at)

    async def sleep(self, seconds: float) -> None:
        """Let others run; nobody waits here."""
        await asyncio.sleep(0)


@dataclass
class CountingIds:
    """Ids that repeat from run to run."""

    count: int = 0

    def entropy(self) -> str:
        """Return the next number."""
        self.count += 1
        return f"{self.count:016d}"


@dataclass
class Listener:
    """Counts what the use cases report. An error that a loop swallowed would spoil a figure: it is kept, and raised
    by the engine."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Take one event."""
        self.counts[type(event).__name__] += 1
        if isinstance(event, LoopFailed):
            self.errors.append(event.error)
        elif isinstance(event, SessionEnded) and not event.session_id:
            self.errors.append(event.error or "a session was lost")


@dataclass
class Allowance:
    """The quota port with one window: so many tokens a day (None: without limit). A reservation is what a session can
    cost at the worst, as in the database's guard."""

    clock: VirtualClock
    tokens_per_day: int | None = None
    spent: int = 0
    _today: int = 0
    _used: int = 0
    _reserved: int = 0

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation | Denial:
        """Reserve, or refuse."""
        self._turn_page()
        limit = self.tokens_per_day
        if limit is not None and self._used + self._reserved + tokens > limit:
            return Denial("tokens_per_day", f"{limit} tokens a day")
        self._reserved += tokens
        return Reservation(str(self._today), tenant_id, job_id, tokens, self.clock.now() + timedelta(minutes=5))

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        """Replace a reservation by what was used."""
        self.spent += tokens
        if reservation.id == str(self._today):
            self._reserved -= reservation.tokens
            self._used += tokens

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        """Return the day's window."""
        self._turn_page()
        opened = instant_at(self._today * 86400)
        limit = self.tokens_per_day if self.tokens_per_day is not None else 0
        return [
            QuotaWindow("tokens_per_day", opened, opened + timedelta(days=1), limit, self._used, self._reserved),
        ]

    def _turn_page(self) -> None:
        today = int(self.clock.monotonic() // 86400)
        if today != self._today:
            self._today, self._used, self._reserved = today, 0, 0
