"""What is typed on a command line, read: durations, instants, NAME=VALUE pairs, values of fields."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from core.wording import read_duration

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(text: str) -> int:
    """Read a duration such as 30s, 5m, 1h30m or 250ms; a bare number is milliseconds."""
    if text.isascii() and text.isdigit():
        return int(text)
    found = read_duration(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration; write 30s, 5m, 1h30m or 250ms.")
    return found // timedelta(milliseconds=1)


def instant(text: str) -> datetime:
    """Read an instant with its offset, such as 2027-01-31T12:00:00Z."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is not an instant with an offset; write 2027-01-31T12:00:00Z.")
    return found.astimezone(UTC)


def pairs(given: list[str], *, separator: str = "=") -> dict[str, str]:
    """Read NAME=VALUE pairs."""
    found = {}
    for each in given:
        name, mark, value = each.partition(separator)
        if not mark or not name.strip():
            raise typer.BadParameter(f"{each!r} is not NAME{separator}VALUE.")
        found[name.strip()] = value.strip()
    return found


def fields(given: list[str]) -> dict[str, Any]:
    """Read FIELD=VALUE pairs whose values are JSON where they parse as JSON, and text otherwise."""
    return {name: json_or_text(value) for name, value in pairs(given).items()}


def json_or_text(text: str) -> Any:
    """Return what the text says as JSON, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def duration(value: int | None) -> str:
    """Write milliseconds as they are read: 90000 is 1m30s."""
    if value is None:
        return ""
    written, rest = "", value
    for unit, size in sorted(_UNITS.items(), key=lambda each: -each[1]):
        amount, rest = divmod(rest, size)
        written += f"{amount}{unit}" if amount else ""
    return written or "0ms"
