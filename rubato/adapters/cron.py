"""Cron on croniter: fires of an expression in a zone, as UTC instants.

croniter reads the fields and knows the calendar; the step from wall time to instants is made here, because
libraries disagree about it. Between two changes of a zone's offset wall time and UTC run alike, so a search
walks from change to change, and at each one:

- an expression of fixed times that falls into skipped wall time fires once, at the change itself;
- one whose wall time is repeated has already fired, and waits until the clocks stop repeating themselves;
- an expression with a wildcard minute or hour fires whenever the wall clock shows a matching time: twice in
  repeated time, never in skipped time, which is what elapsed time asks.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import tzdata

from rubato.adapters.cron_expression import Expression, read_expression
from rubato.adapters.zones import Zone, aware, load_zone

FIRST = datetime(1900, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)
"""The calendar: no fire lies before FIRST, or at or after LAST."""

MEMO = 8192
"""Minutes kept: one for each of some thousands of jobs; one that fires every second takes about 5 KiB."""

SCAN_FROM = datetime(2024, 1, 1)  # noqa: DTZ001 (naive UTC)
"""A leap year, so that 29 February is among the first."""
SCAN_YEARS = 28
"""After 28 years the Gregorian weekdays repeat: sparse expressions are scanned that long."""
SCAN_FIRES = 500
CHANGES_SCANNED_YEARS = 2
CHANGE_AHEAD = (timedelta(hours=26), timedelta(hours=2), timedelta(minutes=2))
CHANGE_FIRES = 200
"""Where a scan of a change starts: 200 fires reach it from the first if they are rare, from the last if they
come every second."""

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_YEAR = timedelta(days=365, hours=6)


class CroniterCron:
    """`core.ports.cron.Cron` on croniter. Safe to share between tasks and threads."""

    def __init__(self) -> None:
        self._fires = lru_cache(maxsize=MEMO)(_fires_from)
        self._gap = lru_cache(maxsize=1024)(_shortest_gap)

    @property
    def tzdata_version(self) -> str:
        """Return the release of the pinned time zone database."""
        return str(tzdata.IANA_VERSION)

    def validate(self, expression: str, timezone: str) -> None:
        """Raise `CronError` unless the expression parses, the zone exists and the expression ever fires."""
        read_expression(expression)
        load_zone(timezone)

    def next_after(self, expression: str, timezone: str, after: datetime) -> datetime | None:
        """Return the first fire strictly later than `after`, in UTC; None at the end of the year 9998.

        Memoised per expression, zone and minute. Raises `CronError` for what `validate` refuses and
        `ValueError` for an `after` without a zone.
        """
        if after.tzinfo is None:
            raise ValueError("after must be an aware instant, such as datetime(2026, 1, 1, tzinfo=UTC)")
        if after >= LAST:
            self.validate(expression, timezone)
            return None
        instant = FIRST if after < FIRST else after.astimezone(UTC)
        fires = self._fires(expression, timezone, instant.replace(second=0, microsecond=0))
        n = bisect_right(fires, instant)
        return fires[n] if n < len(fires) else None

    def shortest_gap(self, expression: str, timezone: str) -> timedelta:
        """Return the smallest distance between neighbouring fires, in elapsed time.

        Looks at the fires of 28 years from 2024, or the first 500, and at every change of the zone's offset
        in the first two years (a fire moved out of skipped time may come close to the next). Memoised.
        Raises `CronError` for what `validate` refuses.
        """
        return self._gap(expression, timezone)


def _fires_from(expression: str, timezone: str, minute: datetime) -> tuple[datetime, ...]:
    """Return the fires after `minute` and within it, and the first one beyond."""
    read, zone = read_expression(expression), load_zone(timezone)
    at, end = minute.replace(tzinfo=None), minute.replace(tzinfo=None) + _MINUTE
    found: list[datetime] = []
    while at < end:
        fire = _next_fire(read, zone, at)
        if fire is None:
            break
        found.append(aware(fire))
        at = fire
    return tuple(found)


def _next_fire(expression: Expression, zone: Zone, after: datetime) -> datetime | None:
    """Return the first fire strictly later than `after`. Instants are naive UTC, walls are naive local."""
    at = after.replace(microsecond=0)
    offset = zone.offset(at)
    floor = at + offset + _SECOND
    if expression.fixed:
        floor = max(floor, zone.repeat_ends(at) or floor)
    while True:
        wall = expression.first_wall(floor)
        if wall is None or wall - offset >= LAST.replace(tzinfo=None):
            return None
        change = zone.first_change(at, wall - offset)
        if change is None:
            return wall - offset
        at, offset, floor = change.at, change.after, change.at + change.after
        if expression.fixed:
            if wall < floor:
                return change.at
            floor = max(floor, change.at + change.before)


def _shortest_gap(expression: str, timezone: str) -> timedelta:
    read, zone = read_expression(expression), load_zone(timezone)
    least = _least_gap(read, zone, SCAN_FROM, SCAN_FROM + SCAN_YEARS * _YEAR, SCAN_FIRES)
    at, until = SCAN_FROM, SCAN_FROM + CHANGES_SCANNED_YEARS * _YEAR
    while (change := zone.first_change(at, until)) is not None:
        at = change.at
        for ahead in CHANGE_AHEAD:
            least = min(least, _least_gap(read, zone, at - ahead, at + CHANGE_AHEAD[0], CHANGE_FIRES))
    return least


def _least_gap(read: Expression, zone: Zone, start: datetime, end: datetime, fires: int) -> timedelta:
    """Return the smallest gap among `fires` fires after `start`, the last beginning before `end`."""
    finest = _SECOND if len(read.seconds) > 1 else _MINUTE
    least = timedelta.max
    last = _next_fire(read, zone, start)
    for _ in range(fires):
        if last is None or last >= end or least <= finest:
            break
        fire = _next_fire(read, zone, last)
        if fire is not None:
            least = min(least, fire - last)
        last = fire
    return least
