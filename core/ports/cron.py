"""The cron port."""

from datetime import datetime, timedelta
from typing import Protocol


class Cron(Protocol):
    """Fires of cron expressions in IANA zones.

    Expressions have five fields, six with seconds *first*, names (`MON`, `JAN`), or an `@` form (`@daily`).
    A fixed-time fire inside a daylight-saving gap runs once, right after the gap; a fixed time that occurs
    twice runs once, the first time; wildcard minutes or hours follow elapsed time.
    """

    @property
    def tzdata_version(self) -> str:
        """Return which release of the time zone database the fires are computed from, e.g. `2026.6`."""
        ...

    def validate(self, expression: str, timezone: str) -> None:
        """Raise `CronError` unless the expression parses, the zone exists and the expression ever fires."""
        ...

    def next_after(self, expression: str, timezone: str, after: datetime) -> datetime | None:
        """Return the first fire strictly later than `after`, in UTC, or None when there is none in the calendar.

        Raises `CronError` for what `validate` refuses.
        """
        ...

    def shortest_gap(self, expression: str, timezone: str) -> timedelta:
        """Return the smallest distance between two neighbouring fires, found over at least a year of fires
        or the first thousands of them. Registration compares it with the minimal interval."""
        ...
