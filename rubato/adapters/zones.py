"""IANA time zones, read from the pinned `tzdata` package and nowhere else.

The host's own zone files are not asked: two workers on hosts of different age would disagree about the same
job, and a stored decision could not name the version of the rules it was made with.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

from core.errors import CronError

LONGEST_REPEAT = timedelta(hours=25)
"""No zone ever set its clocks back by more than a day (Kwajalein in 1969, 23 hours, comes nearest)."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_NOT_PLACES = {"Factory"}


@dataclass(frozen=True, slots=True)
class Change:
    """A moment at which a zone's offset changes. `at` is naive UTC; the offsets are east of UTC."""

    at: datetime
    before: timedelta
    after: timedelta


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone's offsets as a function of naive UTC instants."""

    key: str
    info: ZoneInfo

    def offset(self, at: datetime) -> timedelta:
        """Return the offset in force at the naive UTC instant `at`."""
        local = self.info.fromutc(at.replace(tzinfo=self.info))
        return local.replace(tzinfo=None) - at

    def first_change(self, after: datetime, until: datetime) -> Change | None:
        """Return the first change with `after < change.at <= until`, or None."""
        for year in range(after.year, until.year + 1):
            for change in _changes(self.key, year):
                if change.at > after:
                    return change if change.at <= until else None
        return None

    def repeat_ends(self, at: datetime) -> datetime | None:
        """Return the wall time at which the clocks finish repeating themselves, if the last day's change set
        them back; None if they were not set back within `LONGEST_REPEAT` before `at`."""
        change = self.first_change(at - LONGEST_REPEAT, at)
        if change is None or change.after >= change.before:
            return None
        return change.at + change.before


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return every zone name that is accepted, exactly as IANA spells it."""
    listed = files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(listed) - _NOT_PLACES


@lru_cache(maxsize=1024)
def load_zone(key: str) -> Zone:
    """Return the zone of that exact IANA name.

    The name is looked up in the published list before any file is opened, so that it can never be a path.
    Raises `CronError` pointing at `/timezone` for any other name.
    """
    if key not in zone_names():
        raise CronError(_unknown(key), field="/timezone")
    with files("tzdata.zoneinfo").joinpath(*key.split("/")).open("rb") as rules:
        return Zone(key, ZoneInfo.from_file(rules, key=key))


def _unknown(key: str) -> str:
    shown = ascii(key[:60])[1:-1]
    detail = f'Unknown time zone "{shown}"; use an IANA name such as "Europe/Lisbon" or "UTC".'
    folded = key.casefold()
    meant = next((name for name in sorted(zone_names()) if name.casefold() == folded), None)
    return detail if meant is None else f'{detail} Names are case-sensitive: did you mean "{meant}"?'


@lru_cache(maxsize=8192)
def _changes(key: str, year: int) -> tuple[Change, ...]:
    """Return the changes after the first midnight (UTC) of `year` and up to that of the next year, in order.

    Days are compared first, then the one that differs is halved down to the second. Two changes within a day
    could hide each other; the closest pair in tzdata is a week apart.
    """
    zone = load_zone(key)
    first = datetime(year, 1, 1)  # noqa: DTZ001 (naive UTC throughout this module)
    days = (datetime(year + 1, 1, 1) - first).days  # noqa: DTZ001
    offsets = [(first + _DAY * n, zone.offset(first + _DAY * n)) for n in range(days + 1)]
    found = []
    for (low, before), (high, after) in pairwise(offsets):
        if before != after:
            found.append(_narrow(zone, low, high, before))
    return tuple(found)


def _narrow(zone: Zone, low: datetime, high: datetime, before: timedelta) -> Change:
    while high - low > _SECOND:
        middle = low + _SECOND * ((high - low) // _SECOND // 2)
        if zone.offset(middle) == before:
            low = middle
        else:
            high = middle
    return Change(high, before, zone.offset(high))


def aware(at: datetime) -> datetime:
    """Return the naive UTC instant `at` as an aware one."""
    return at.replace(tzinfo=UTC)
