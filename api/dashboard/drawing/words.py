"""How pages speak: statuses, instants, durations, counts. Everything here has a shape or a word beside its colour."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from core.entities import Author, HintKind, Source
from core.wording import duration

_NUMBERS = re.compile(r"\[[\s\d.,eE+-]+\]")
Tone = str  # ok, bad, warn, live or calm: a colour of the style sheet, never the only sign

STATUSES: Mapping[str, tuple[Tone, str]] = {  # status -> tone, symbol of the sprite
    "active": ("ok", "s-active"),
    "paused": ("warn", "s-paused"),
    "parked": ("bad", "s-parked"),
    "retired": ("calm", "s-retired"),
    "claimed": ("live", "s-running"),
    "running": ("live", "s-running"),
    "succeeded": ("ok", "s-succeeded"),
    "failed": ("bad", "s-failed"),
    "skipped": ("calm", "s-skipped"),
    "unknown": ("warn", "s-unknown"),
    "canceled": ("calm", "s-canceled"),
    "expired": ("calm", "s-retired"),
    "superseded": ("calm", "s-retired"),
    "consumed": ("ok", "s-succeeded"),
    "cleared": ("calm", "s-canceled"),
    "rejected": ("bad", "s-failed"),
    "shadow": ("calm", "s-skipped"),
    "proposed": ("live", "s-unknown"),
    "accepted": ("ok", "s-succeeded"),
    "clamped": ("warn", "s-clamped"),
    "answered": ("calm", "s-succeeded"),
    "completed": ("ok", "s-succeeded"),
    "denied": ("warn", "s-canceled"),
    "timed_out": ("bad", "s-failed"),
    "limited": ("warn", "s-clamped"),
    "stale": ("calm", "s-skipped"),
    "revoked": ("calm", "s-canceled"),
}
SOURCES: Mapping[Source, str] = {
    Source.BASELINE_CRON: "baseline (cron)",
    Source.BASELINE_INTERVAL: "baseline (interval)",
    Source.BASELINE_ONCE: "baseline (once)",
    Source.BACKOFF: "backoff",
    Source.RETRY: "retry",
    Source.PROBE: "probe",
    Source.HINT_INTERVAL: "interval hint",
    Source.HINT_NEXT_TIME: "next-time hint",
    Source.PAUSED_USER: "paused by a person",
    Source.PAUSED_RULE: "paused by a rule",
    Source.PAUSED_PLANNER: "paused by the planner",
    Source.SUSPENDED: "suspended",
    Source.PARKED: "parked",
    Source.RETIRED: "retired",
}
AUTHORS: Mapping[Author, str] = {Author.USER: "a person", Author.RULE: "a rule", Author.PLANNER: "the planner"}
KINDS: Mapping[HintKind, str] = {
    HintKind.INTERVAL: "interval",
    HintKind.NEXT_TIME: "next time",
    HintKind.PAUSE: "pause",
}
DONE: Mapping[str, str] = {  # what a form did, said on the page it leads to
    "paused": "Paused. Nothing that passes meanwhile is replayed.",
    "resumed": "Resumed. It runs from here on, without a backlog.",
    "asked": "A run was asked for; a worker takes it next.",
    "overlapped": "A run is active already, so this one was skipped.",
    "tested": "A test run was asked for; the schedule is untouched.",
    "pinned": "Pinned. This tempo holds until you clear it.",
    "hinted": "Your hint is in force.",
    "cleared": "Cleared. The schedule was decided again.",
    "saved": "Saved.",
    "planned": "The planner looked; its session is below.",
    "accepted": "Accepted. The rule is evaluated from the next response on.",
    "rejected": "Turned down.",
    "created": "Created.",
    "deleted": "Deleted.",
    "canceled": "Canceled. A request that is out may still reach its target.",
    "told": "A test was asked for; a worker delivers it, and the list below says how it went.",
    "revoked": "Revoked. It works no more.",
}


def tone(status: str) -> Tone:
    """Return the colour of a status."""
    return STATUSES.get(status, ("calm", "s-retired"))[0]


def symbol(status: str) -> str:
    """Return the shape of a status."""
    return STATUSES.get(status, ("calm", "s-retired"))[1]


def plain(value: str) -> str:
    """Return a code in words: `http_status` becomes `http status`."""
    return value.replace("_", " ")


def iso(at: datetime) -> str:
    """Return what a `time` element's `datetime` holds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(at: datetime) -> str:
    """Return the time of day in UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def stamp(at: datetime) -> str:
    """Return day and time in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def relative(at: datetime, now: datetime) -> str:
    """Say how far an instant is: `in 9 s`, `2 min ago`, `now`."""
    away = at - now
    if abs(away) < timedelta(seconds=1):
        return "now"
    return f"in {rough(away)}" if away > timedelta(0) else f"{rough(-away)} ago"


def rough(value: timedelta) -> str:
    """Say a duration in its two largest units, to the second."""
    return duration(timedelta(seconds=max(1, round(value.total_seconds()))))


def ms(value: int | None) -> str:
    """Say milliseconds: `250 ms`, `1.2 s`."""
    if value is None:
        return "–"
    return f"{value} ms" if value < 1000 else duration(timedelta(milliseconds=value))


def count(value: int) -> str:
    """Write a count with thin spaces: 12 345."""
    return f"{value:,}".replace(",", "\u202f")


def size(value: int | None) -> str:
    """Write a count of bytes."""
    if value is None:
        return "–"
    return f"{value} B" if value < 1024 else f"{value / 1024:.1f} KiB"


def dollars(value: float | None) -> str:
    """Write what something cost, down to hundredths of a cent."""
    return "price unknown" if value is None else f"${value:.4f}"


def pretty(value: Any) -> str:
    """Write JSON for people; a list of numbers in one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return _NUMBERS.sub(lambda found: " ".join(found.group().split()), text)


def short(identity: str) -> str:
    """Return the end of an id, which tells it from its neighbours."""
    return f"…{identity[-6:]}"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "tone": tone,
    "symbol": symbol,
    "plain": plain,
    "iso": iso,
    "clock": clock,
    "stamp": stamp,
    "relative": relative,
    "duration": duration,
    "rough": rough,
    "ms": ms,
    "count": count,
    "size": size,
    "dollars": dollars,
    "pretty": pretty,
    "short": short,
    "source": SOURCES.__getitem__,
    "author": AUTHORS.__getitem__,
    "kind": KINDS.__getitem__,
    "done": lambda name: DONE.get(name, ""),
}
