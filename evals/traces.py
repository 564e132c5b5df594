"""Recorded changes as worlds: CSV of change instants, CSV of checks, or a tenant's own runs exported as JSONL.

What was recorded at a cadence cannot show what happened between two looks: changes faster than the cadence are
censored, and a replay of them is as coarse. Reading says so.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from core.errors import ConfigurationError
from evals.bounds import best_interval
from evals.exported import read_runs
from evals.worlds.changes import Trace
from evals.worlds.world import Costs, Terms, World

CHANGES = ("changed_at",)
CHECKS = ("checked_at", "endpoint", "state", "status_code", "latency_ms")
DEFAULT_EVERY = timedelta(hours=2)
FLOOR, CEILING = 24, 12  # how far below and above the baseline a trace world's bounds lie


@dataclass(frozen=True, slots=True)
class Recording:
    """When something changed at one endpoint, from its first look on. `cadence`: between looks, where it is known."""

    name: str
    begun: datetime
    ended: datetime
    changes: tuple[datetime, ...]
    cadence: timedelta | None = None

    @property
    def censored(self) -> str:
        """Return in words what the recording cannot show."""
        if self.cadence is None:
            return "the recording does not say at which cadence it was taken; shorter gaps than that are missing"
        minutes = self.cadence / timedelta(minutes=1)
        return f"taken about every {minutes:.0f} min: what came and went between two looks is missing"


def read_recordings(path: Path) -> list[Recording]:
    """Read a file by its shape. Raises ConfigurationError with the line and the reason."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    first = text.lstrip()[:1]
    if first == "{":
        return _from_runs(path)
    rows = csv.reader(text.splitlines())
    header = tuple(next(rows, ()))
    if header == CHANGES:
        return [_from_changes(path, rows)]
    if header == CHECKS:
        return _from_checks(path, rows)
    known = f"{','.join(CHANGES)} and {','.join(CHECKS)}"
    raise ConfigurationError(f"{path}, line 1: the header is {','.join(header) or 'missing'}; known are {known}.")


def as_world(recording: Recording, every: timedelta | None = None) -> World:
    """Return a world that repeats a recording. Its prices make `every` (two hours, or the cadence if that is more) the
    best fixed interval for its mean rate; the bounds lie around it."""
    if len(recording.changes) < 2:
        raise ConfigurationError(f"{recording.name}: {len(recording.changes)} changes are no history to learn from.")
    baseline = every or max(DEFAULT_EVERY, recording.cadence or DEFAULT_EVERY)
    horizon_s = (recording.ended - recording.begun).total_seconds()
    rate = len(recording.changes) / horizon_s
    unit = best_interval(rate, request=1.0, delay=1.0)
    costs = Costs(delay=(unit / baseline.total_seconds()) ** 2)
    changes = tuple((change - recording.begun).total_seconds() for change in recording.changes)
    terms = Terms(every=baseline, least=max(baseline / FLOOR, timedelta(seconds=1)), most=baseline * CEILING)
    law = Trace(kind="trace", changes_s=changes)
    return World(recording.name, recording.censored, law, terms, costs, horizon_s)


def _from_changes(path: Path, rows: Iterator[list[str]]) -> Recording:
    changes = [_instant(path, number, row[0] if len(row) == 1 else ",".join(row)) for number, row in _numbered(rows)]
    if not changes:
        raise ConfigurationError(f"{path}: no changes; nothing can be learnt from it.")
    for number, (one, other) in enumerate(pairwise(changes), start=3):
        if other < one:
            raise ConfigurationError(f"{path}, line {number}: earlier than the line before; changes must be in order.")
    return Recording(path.stem, changes[0], changes[-1], tuple(changes[1:]))


def _from_checks(path: Path, rows: Iterator[list[str]]) -> list[Recording]:
    seen: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for number, row in _numbered(rows):
        if len(row) != len(CHECKS):
            raise ConfigurationError(f"{path}, line {number}: {len(CHECKS)} fields are expected, not {len(row)}.")
        if row[3] and not row[3].isdigit():
            raise ConfigurationError(f'{path}, line {number}: "{row[3]}" is not a status code.')
        seen[row[1]].append((_instant(path, number, row[0]), f"{row[2]} {row[3]}"))
    if not seen:
        raise ConfigurationError(f"{path}: no checks; nothing can be learnt from it.")
    return [_recording(f"{path.stem}:{endpoint}", looks) for endpoint, looks in sorted(seen.items())]


def _from_runs(path: Path) -> list[Recording]:
    return [
        _recording(job_id, [(run.at, f"{run.status_code} {run.body}") for run in runs])
        for job_id, runs in sorted(read_runs(path).items())
    ]


def _recording(name: str, looks: list[tuple[datetime, str]]) -> Recording:
    looks.sort(key=lambda look: look[0])
    changes = tuple(at for (_, before), (at, state) in pairwise(looks) if state != before)
    gaps_s = [(later - sooner).total_seconds() for (sooner, _), (later, _) in pairwise(looks)]
    return Recording(name, looks[0][0], looks[-1][0], changes, timedelta(seconds=median(gaps_s)) if gaps_s else None)


def _numbered(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    return ((number, row) for number, row in enumerate(rows, start=2) if row)


def _instant(path: Path, number: int, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(f'{path}, line {number}: "{text[:60]}" is not an ISO 8601 instant.') from None
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
