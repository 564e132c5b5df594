"""Reading answers without a model: numbers, states, announced instants, and whether two answers are the same."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from core.entities import Run, RunStatus

RISE, LEAST_RISE = 1.25, 5.0  # a level is rising when it grew by a quarter, and by five at least
_LEVELS = re.compile(r"queue|depth|backlog|pending|lag|load|errors?$|waiting|in_?flight", re.IGNORECASE)
_STATES = re.compile(r"^(status|state|health|condition|phase)$", re.IGNORECASE)
_UNWELL = (
    *("incident", "degraded", "error", "errors", "critical", "warning", "down", "unhealthy"),
    *("failing", "failed", "outage", "overloaded", "filling"),
)
_VOLATILE = re.compile(
    r"(^|_)(time|timestamp|ts|date|now|uuid|nonce|trace|span|request_?id|id|uptime|generated|served|elapsed)(_|$)|_at$|At$",
    re.IGNORECASE,
)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)")
_MAINTENANCE_KEY = re.compile(r"maintenance.*(until|end)|(until|end).*maintenance", re.IGNORECASE)
_MAINTENANCE_BEGINS = re.compile(r"maintenance.*(from|begin|start)|(begin|start).*maintenance", re.IGNORECASE)
_UPDATE_KEY = re.compile(r"^next_?update(_?at)?$", re.IGNORECASE)
_DEADLINE_KEY = re.compile(r"^(deadline|due|closes|closing|ends|expires)(_?at)?$", re.IGNORECASE)
_AT = "(" + _ISO.pattern + ")"
_MAINTENANCE_PROSE = re.compile(
    r"maintenance\b(?:[^.]{0,40}?\b(?:from|starting at|starts at|begins at)\s+(?P<begins>" + _ISO.pattern + r"))?"
    r"[^.]{0,80}?\b(?:until|till|to|ends at|ends)\s+(?P<until>" + _ISO.pattern + ")",
    re.IGNORECASE,
)
_UPDATE_PROSE = re.compile(r"next update (?:is )?(?:at|on|expected at|due at)\s+" + _AT, re.IGNORECASE)
_DEADLINE_PROSE = re.compile(r"\b(?:deadline|closes?|closing)\b(?: is| at| on|:)*\s+" + _AT, re.IGNORECASE)
_RETRY_PROSE = re.compile(
    r"\b(?:retry|try again|come back|again|blocked|limited)\s+(?:after|at|until|not before)\s+" + _AT, re.IGNORECASE
)
_RETRY = "the target asked not to be called before its Retry-After has passed"
_MAINTENANCE = "maintenance is announced until then"
_UPDATE = "the target announces its next update for then"
_DEADLINE = "the target names a deadline"
_RULE = re.compile(
    r"every\s+(?P<every>\d+(?:\.\d+)?)\s*(?P<unit>ms|milliseconds?|s|secs?|seconds?|m|min|minutes?|h|hours?)\b"
    r"[^.;]*?\b(?:while|when|if)\s+(?P<field>[A-Za-z_][\w.]*)\s+(?:is\s+|goes\s+|stays\s+)?"
    r"(?P<comparison>above|over|more than|greater than|>|below|under|less than|<)\s*(?P<number>\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_RESTS = re.compile(
    r"\b(?:rarely|seldom|less often|more slowly|relax)\b[^.;]*?\b(?:while|when|if|as long as)\b"
    r"[^.;]*?\b(?:idle|quiet|calm|empty|nothing changes|unchanged|the same)\b",
    re.IGNORECASE,
)
_UNITS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Notice:
    """An announced instant. Asking again before `at` is of no use, from `begins` on (None: from now on).

    `is_deadline`: the other way round; a run is wanted shortly before `at`.
    """

    at: datetime
    words: str
    begins: datetime | None = None
    is_deadline: bool = False


@dataclass(frozen=True, slots=True)
class Threshold:
    """A rule read out of the owner's intent: this tempo while that number is beyond a limit."""

    interval: timedelta
    field: str
    comparison: str
    number: float


def notices(run: Run, now: datetime) -> Iterator[Notice]:
    """Yield what an answer announces: Retry-After, maintenance, the next update, a deadline. Only what is to come."""
    waits = run.status_code in (429, 503) and run.finished_at is not None
    after = _retry_after(run.retry_after, run.finished_at or now) if waits else None
    if after is not None and after > now:
        yield Notice(after, _RETRY)
    body = run.response_excerpt or ""
    fields = [(name.rsplit(".", 1)[-1], value) for name, value in _leaves_of(body) if isinstance(value, str)]
    begins = [value for name, value in fields if _MAINTENANCE_BEGINS.search(name)]
    found = [
        (value, _MAINTENANCE, begins[0] if begins else None) for name, value in fields if _MAINTENANCE_KEY.search(name)
    ]
    found += [(value, _UPDATE, None) for name, value in fields if _UPDATE_KEY.search(name)]
    found += [(value, _DEADLINE, None) for name, value in fields if _DEADLINE_KEY.search(name)]
    found += [(match["until"], _MAINTENANCE, match["begins"]) for match in _MAINTENANCE_PROSE.finditer(body)]
    found += [(match, _UPDATE, None) for match in _UPDATE_PROSE.findall(body)]
    found += [(match, _DEADLINE, None) for match in _DEADLINE_PROSE.findall(body)]
    if waits:
        found += [(match, _RETRY, None) for match in _RETRY_PROSE.findall(body)]
    for text, words, since in found:
        at = _instant(text)
        if at is not None and at > now:
            yield Notice(at, words, _instant(since) if since else None, is_deadline=words is _DEADLINE)


def threshold_of(intent: str | None) -> Threshold | None:
    """Read `every 30 s while queue_depth is above 500` out of an intent."""
    match = _RULE.search(intent or "")
    if match is None:
        return None
    unit = match["unit"].lower()
    seconds = float(match["every"]) * _UNITS[unit[:2] if unit[:2] in ("ms", "mi") else unit[0]]
    if unit.startswith("milli"):
        seconds = float(match["every"]) / 1000
    below = match["comparison"].lower() in ("below", "under", "less than", "<")
    return Threshold(timedelta(seconds=seconds), match["field"], "below" if below else "above", float(match["number"]))


def rests_when_calm(intent: str | None) -> bool:
    """Tell whether an intent asks for fewer runs while nothing happens: `rarely while it is idle`. Without such a wish
    silence is no reason to slow down: the owner of a health check wants to know at once when it ends."""
    return bool(_RESTS.search(intent or ""))


def holds(rule: Threshold, run: Run) -> bool | None:
    """Tell whether a rule's condition holds in an answer; None when the answer has no such number."""
    for name, value in _leaves_of(run.response_excerpt or ""):
        if name == rule.field or name.rsplit(".", 1)[-1] == rule.field:
            number = _number(value)
            if number is not None:
                return number < rule.number if rule.comparison == "below" else number > rule.number
    return None


def is_unwell(run: Run) -> str | None:
    """Return the state an answer reports, if it is a bad one."""
    for name, value in _leaves_of(run.response_excerpt or ""):
        if isinstance(value, str) and _STATES.match(name.rsplit(".", 1)[-1]) and value.lower() in _UNWELL:
            return f'{name.rsplit(".", 1)[-1]} "{value.lower()}"'
    return None


def rising(runs: Sequence[Run], over: timedelta) -> str | None:
    """Return the name of a level (a queue, a backlog, a load) that has grown over that time and is still growing.

    The tempo must not decide: answers a second apart differ less than answers a minute apart.
    """
    if len(runs) < 3 or any(run.status is not RunStatus.SUCCEEDED for run in runs[:3]):
        return None
    back = next((run for run in runs[2:] if runs[0].scheduled_for - run.scheduled_for >= over), runs[-1])
    newest, middle, oldest = (_levels(run) for run in (runs[0], runs[1], back))
    for name, now_at in newest.items():
        was, before = middle.get(name), oldest.get(name)
        if was is None or before is None:
            continue
        if now_at > was and now_at >= before * RISE and now_at - before >= LEAST_RISE:
            return name
    return None


def elevated(runs: Sequence[Run]) -> str | None:
    """Return the name of a level that stands in the upper half of where it has been in these answers."""
    histories: dict[str, list[float]] = {}
    for run in runs:
        for name, level in _levels(run).items():
            histories.setdefault(name, []).append(level)
    for name, level in _levels(runs[0]).items():
        low, high = min(histories[name]), max(histories[name])
        if high - low >= LEAST_RISE and level > low + (high - low) / 2:
            return name
    return None


def same_answer(one: Run, other: Run) -> bool:
    """Tell whether two answers say the same, times, ids and the like left aside."""
    if one.status_code != other.status_code:
        return False
    same = one.response_excerpt == other.response_excerpt
    return same or _essence(one.response_excerpt or "") == _essence(other.response_excerpt or "")


@lru_cache(maxsize=1024)
def _essence(excerpt: str) -> Any:
    try:
        parsed = json.loads(excerpt)
    except (ValueError, RecursionError):
        return re.sub(r"\d+", "#", excerpt)
    return sorted((name, repr(value)) for name, value in _leaves(parsed) if not _is_volatile(name, value))


def _is_volatile(name: str, value: Any) -> bool:
    return bool(_VOLATILE.search(name.rsplit(".", 1)[-1])) or (isinstance(value, str) and bool(_ISO.search(value)))


@lru_cache(maxsize=1024)
def _leaves_of(excerpt: str) -> tuple[tuple[str, Any], ...]:
    """Return (dotted path, value) of a JSON text's leaves; none of any other text."""
    try:
        return tuple(_leaves(json.loads(excerpt)))
    except (ValueError, RecursionError):
        return ()


def _leaves(document: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of a JSON document's leaves, at most eight levels deep."""
    if depth > 8:
        return
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _leaves(value, f"{prefix}.{name}" if prefix else str(name), depth + 1)
    elif isinstance(document, list):
        for position, value in enumerate(document[:50]):
            yield from _leaves(value, f"{prefix}.{position}", depth + 1)
    elif prefix:
        yield prefix, document


def _levels(run: Run) -> dict[str, float]:
    numbers = ((name, _number(value)) for name, value in _leaves_of(run.response_excerpt or "") if _LEVELS.search(name))
    return {name: number for name, number in numbers if number is not None}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number == number and abs(number) != float("inf") else None


def _retry_after(header: str | None, finished_at: datetime) -> datetime | None:
    """Read seconds or an HTTP date; nothing further away than a day counts."""
    text = (header or "").strip()
    try:
        if text.isascii() and text.isdigit():
            at = finished_at + timedelta(seconds=int(text[:9]))
        else:
            at = parsedate_to_datetime(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at if at <= finished_at + timedelta(days=1) else None


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None
