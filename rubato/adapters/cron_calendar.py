"""croniter as a calendar: which dates the three day fields of an expression name.

croniter is asked for dates only, never for times in a zone: it fires a fixed time twice when a clock is set
back (New York `30 1 * * *`, Lord Howe `45 1 * * *`). Months, weekdays, `L`, `#` and `W` it gets right.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from threading import Lock

from croniter import croniter

EVERY_DAY = "0 0 * * *"
_MINUTE = timedelta(minutes=1)


@lru_cache(maxsize=16384)
def first_day(days: str, start: date) -> date | None:
    """Return the first date at or after `start` on which `days` (an expression "0 0 D M W") fires.

    None when there is none within fifty years: no date of the Gregorian calendar is rarer than once in forty.
    As in standard cron, a day matches both day fields when one of them begins with `*`, else either.
    Raises `ValueError` or `TypeError` when croniter cannot read `days`.
    """
    if days == EVERY_DAY:
        return start
    return min((found for part in _parts(days) if (found := _calendar(part).first(start)) is not None), default=None)


@lru_cache(maxsize=4096)
def _parts(days: str) -> tuple[str, ...]:
    """Return the expressions, each with one day field, of which any may match; or the whole one.

    Asked for both at once, croniter searches fifty years for a 31 April at every date it is asked for.
    """
    minute, hour, day, month, weekday = days.split()
    if day.startswith("*") or weekday.startswith("*"):
        return (days,)
    return f"{minute} {hour} {day} {month} *", f"{minute} {hour} * {month} {weekday}"


class _Calendar:
    """One croniter, which keeps its position in itself and so needs a lock."""

    def __init__(self, days: str) -> None:
        self._lock = Lock()
        self._croniter = croniter(days, datetime(2000, 1, 1), implement_cron_bug=True)  # noqa: DTZ001
        self._none_from = date.max

    def first(self, start: date) -> date | None:
        if start >= self._none_from:
            return None
        midnight = datetime.combine(start, time())
        with self._lock:
            try:
                found = self._croniter.get_next(datetime, start_time=midnight - _MINUTE)
            except (ValueError, OverflowError):  # croniter's "no such date", or the end of year 9999
                self._none_from = min(self._none_from, start)
                return None
        assert isinstance(found, datetime)  # noqa: S101 (croniter is untyped)
        return found.date()


@lru_cache(maxsize=4096)
def _calendar(days: str) -> _Calendar:
    return _Calendar(days)
