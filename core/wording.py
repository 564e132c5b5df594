"""How decisions speak: durations and instants in plain words, the same in the API, the page and the logs."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_PART = r"(\d{1,15})\s*(ms|s|min|m|h|d)"
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


@lru_cache(1024)
def duration(value: timedelta) -> str:
    """Say a duration in its two largest units: `1 min 30 s`, `250 ms`, `2 d 4 h`."""
    if value < timedelta(seconds=1):
        return f"{value // timedelta(milliseconds=1)} ms"
    seconds = int(value.total_seconds())
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for size, unit in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    if len(parts) == 1 and parts[0].endswith(" s") and value.microseconds:
        return f"{value.total_seconds():.1f} s"
    return " ".join(parts[:2])


def read_duration(text: str) -> timedelta | None:
    """Read a duration as `duration` says it, or shorter: `1 min 30 s`, `1h30m`, `250ms`. None: it is none."""
    if not re.fullmatch(rf"\s*(?:{_PART}\s*)+", text, re.ASCII):
        return None
    try:
        return sum((int(count) * _UNITS[unit] for count, unit in re.findall(_PART, text)), timedelta())
    except OverflowError:
        return None


def instant(value: datetime) -> str:
    """Say an instant in UTC to the second."""
    return f"{value.astimezone(UTC).isoformat(' ')[:19]}Z"
