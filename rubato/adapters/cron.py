"""Cron expressions on croniter, with daylight saving worked out here.

croniter walks naive local times; this file maps them to instants. Measured against cronsim 2.8, croniter 7.0 run in a
zone fires a fixed time twice in a repeated hour (New York `30 1 * * *`, Lord Howe `45 1 * * *`); on naive times it
has no opinion, and the rule is ours:

- A *fixed* expression (neither its minutes nor its hours hold a `*`) means wall-clock times. One that falls into a gap
  fires once, right after the gap; one that occurs twice fires the first time only.
- Any other follows elapsed time: it fires whenever the wall clock matches, in both passes of a repeated hour, and
  not at all at times that the day does not have.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import CroniterError, croniter

from core.errors import CronError

LONGEST_EXPRESSION = 200  # characters
LAST_YEAR = 2200  # nothing is scheduled beyond it
_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELD = re.compile(r"[a-z0-9*,/\-#?]+", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_EXAMPLE = 'An example that works: "*/5 * * * *" (every five minutes).'
_ORIGIN = datetime(2024, 1, 1)  # noqa: DTZ001 - a local wall-clock time, before any zone is applied
_GAP_FIRES, _GAP_DAYS = 1500, timedelta(days=400)  # what `shortest_gap` looks at
_LOOK_AHEAD_H = 26  # hours after an instant in which a change of offset can repeat wall-clock times already passed
_SECOND = timedelta(seconds=1)


class CroniterCron:
    """The cron port. One instance can serve everybody: it only holds caches."""

    @property
    def tzdata_version(self) -> str:
        """Return the installed tzdata release."""
        try:
            return version("tzdata")
        except PackageNotFoundError:
            return "system"

    def validate(self, expression: str, timezone: str) -> None:
        """Raise CronError unless the expression parses, the zone exists and the expression ever fires."""
        _zone(timezone)
        _parse(expression)

    def next_after(self, expression: str, timezone: str, after: datetime) -> datetime | None:
        """Return the first fire strictly after `after`, in UTC; None beyond the year 2200."""
        per = 1 if _parse(expression).has_seconds else 60
        return _next(expression, timezone, int(after.timestamp() // per) * per)

    def shortest_gap(self, expression: str, timezone: str) -> timedelta:
        """Return the smallest wall-clock distance between neighbouring fires within 400 days, or 1,500 fires."""
        self.validate(expression, timezone)
        return _shortest_gap(expression)


class _Expression:
    """A parsed expression: croniter's text for it, and what kind it is."""

    __slots__ = ("fixed", "has_seconds", "text")

    def __init__(self, text: str, *, has_seconds: bool) -> None:
        fields = text.split()
        self.text, self.has_seconds = text, has_seconds
        self.fixed = not any("*" in field for field in fields[int(has_seconds) :][:2])

    def fires(self, after: datetime) -> Iterator[datetime]:
        """Yield the naive local fires strictly after a naive local time."""
        walk = croniter(self.text, after.replace(microsecond=0), second_at_beginning=self.has_seconds)
        while True:
            fire = walk.get_next(datetime)
            if fire.year > LAST_YEAR:
                return
            yield fire


@lru_cache(maxsize=4096)
def _parse(expression: str) -> _Expression:
    text = " ".join(expression.split()) if len(expression) <= LONGEST_EXPRESSION else ""
    shown = expression if len(expression) <= 60 else f"{expression[:60]}..."
    if len(expression) > LONGEST_EXPRESSION:
        raise CronError(f'The cron expression "{shown}" is longer than {LONGEST_EXPRESSION} characters. {_EXAMPLE}')
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            known = ", ".join(_ALIASES)
            raise CronError(f'"{shown}" is not one of the @ forms that can be scheduled: {known}. {_EXAMPLE}')
        text = _ALIASES[text.lower()]
    fields = text.split()
    if len(fields) not in (5, 6):
        wanted = "five fields (minute hour day month weekday), or six with seconds first"
        raise CronError(f'The cron expression "{shown}" has {len(fields)} fields; it needs {wanted}. {_EXAMPLE}')
    for field in fields:
        words = {word.lower() for word in _WORD.findall(field)} - {*_MONTHS, *_WEEKDAYS, "l"}
        if words or not _FIELD.fullmatch(field) or not field.isascii():
            raise CronError(f'"{field}" in the cron expression "{shown}" is not understood. {_EXAMPLE}')
    parsed = _Expression(text, has_seconds=len(fields) == 6)
    try:
        next(parsed.fires(_ORIGIN))
    except CroniterError as error:
        if "failed to find next" in str(error):
            raise CronError(f'The cron expression "{shown}" names a date that never comes. {_EXAMPLE}') from error
        raise CronError(f'The cron expression "{shown}" is not valid: {error}. {_EXAMPLE}') from error
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, StopIteration) as error:
        raise CronError(f'The cron expression "{shown}" is not valid. {_EXAMPLE}') from error
    return parsed


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    hint = 'use an IANA name such as "Europe/Lisbon" or "UTC"'
    if name not in available_timezones():
        raise CronError(f'Unknown time zone "{name[:60]}"; {hint}.', field="/timezone")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CronError(f'Unknown time zone "{name[:60]}"; {hint}.', field="/timezone") from error


@lru_cache(maxsize=65536)
def _next(expression: str, timezone: str, epoch_s: int) -> datetime | None:
    """Return the first fire after an instant cut to the minute (five fields) or the second: every instant within
    has the same next fire, so that one answer serves them all."""
    parsed, zone = _parse(expression), _zone(timezone)
    after = datetime.fromtimestamp(epoch_s, UTC)
    try:
        return _next_fixed(parsed, zone, after) if parsed.fixed else _next_elapsed(parsed, zone, after)
    except (CroniterError, OverflowError):
        return None


def _next_fixed(parsed: _Expression, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Map wall-clock fires to instants: the first pass of a repeated time, the end of a gap. The map never falls,
    so the first that lies after `after` is the next."""
    for fire in parsed.fires(_local(after, zone)):
        instant = _first_pass_or_gap_end(fire, zone)
        if instant > after:
            return instant
    return None


def _next_elapsed(parsed: _Expression, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Walk the wall clock from offset to offset. Within one offset it is linear; where the offset changes, it jumps,
    and the search goes on from the wall-clock time it jumps to."""
    local = _local(after, zone)
    while True:
        fire = next(parsed.fires(local), None)
        if fire is None:
            return None
        candidate = (fire - _offset(after, zone)).replace(tzinfo=UTC)
        change = _next_change(after, min(candidate, after + timedelta(hours=_LOOK_AHEAD_H)), zone)
        if change is not None:
            after, local = change, _local(change, zone) - _SECOND
            continue
        if candidate <= after + timedelta(hours=_LOOK_AHEAD_H):
            return candidate
        instant = fire.replace(tzinfo=zone).astimezone(UTC)
        if _local(instant, zone) == fire:
            return instant
        local = fire  # the day does not have this time


def _next_change(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first instant in (after, until] at which the zone's offset is another than at `after`."""
    offset, low = _offset(after, zone), after
    while low < until:
        high = min(low + timedelta(hours=1), until)
        if _offset(high, zone) != offset:
            while high - low > _SECOND:
                middle = low + (high - low) / 2
                middle = middle.replace(microsecond=0)
                if middle <= low:
                    break
                low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
            return high
        low = high
    return None


def _first_pass_or_gap_end(fire: datetime, zone: ZoneInfo) -> datetime:
    aware = fire.replace(tzinfo=zone)
    instant = aware.astimezone(UTC)
    if _local(instant, zone) == fire:
        return instant
    before = instant - timedelta(hours=_LOOK_AHEAD_H)  # a gap: PEP 495 reads it with the offset before it
    while (change := _next_change(before, instant + timedelta(hours=_LOOK_AHEAD_H), zone)) is not None:
        if _local(change, zone) > fire:
            return change
        before = change
    return instant


def _local(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


@lru_cache(maxsize=4096)
def _shortest_gap(expression: str) -> timedelta:
    parsed = _parse(expression)
    unit = timedelta(seconds=1 if parsed.has_seconds else 60)
    shortest, previous = timedelta.max, None
    for count, fire in enumerate(parsed.fires(_ORIGIN - _SECOND)):
        if previous is not None:
            shortest = min(shortest, fire - previous)
            if shortest <= unit or count >= _GAP_FIRES or (fire - _ORIGIN > _GAP_DAYS and count > 1):
                break
        previous = fire
    return shortest
