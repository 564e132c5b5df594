"""What a planner sees of a job's past: runs over the last ten, an hour, a day, a week; hints that have ended.

A day's success rate hides six healthy hours; so the windows stand apart.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from core.entities import Hint, RunStatus
from core.gate import GateVerdict
from core.hints import is_active
from core.ports.store import Snapshot
from core.sessions import RunWindow

MOST_RUNS = 2_000  # are read of a week; a window that holds more says so
SPAN = timedelta(days=7)
MOST_PAST_HINTS, PAST_HINTS_SPAN = 20, timedelta(days=1)
_TEN = 10
_SPANS = (("last hour", timedelta(hours=1)), ("last 24 hours", timedelta(days=1)), ("last 7 days", SPAN))
_NEWS = (GateVerdict.STATUS_CHANGED, GateVerdict.RESPONSE_CHANGED, GateVerdict.COVERED)


class RunFigures(NamedTuple):
    """Of one run that succeeded or failed. `gate`: what the gate noted."""

    scheduled_for: datetime
    status: RunStatus
    duration_ms: int | None
    gate: str | None


def windows_of(runs: Sequence[RunFigures], now: datetime) -> tuple[RunWindow, ...]:
    """Return the windows of runs, newest first; at most MOST_RUNS of them are given."""
    is_cut = len(runs) >= MOST_RUNS
    oldest = runs[-1].scheduled_for if runs else now
    named = [_window(f"last {_TEN} runs", runs[:_TEN], more=False)]
    for name, span in _SPANS:
        inside = [run for run in runs if run.scheduled_for >= now - span]
        named.append(_window(name, inside, more=is_cut and oldest > now - span))
    return tuple(named)


def past_hints(own: Iterable[Hint], snapshot: Snapshot) -> tuple[Hint, ...]:
    """Return the planner's own hints that have ended, with the pauses that still count against the week's allowance."""
    pauses = {hint.id: hint for hint in snapshot.hints if not is_active(hint, snapshot.now)}
    found = pauses | {hint.id: hint for hint in own}
    return tuple(sorted(found.values(), key=lambda hint: hint.id, reverse=True))


def _window(name: str, runs: Sequence[RunFigures], *, more: bool) -> RunWindow:
    times = sorted(run.duration_ms for run in runs if run.duration_ms is not None)
    return RunWindow(
        name=name,
        ended=len(runs),
        failed=sum(run.status is RunStatus.FAILED for run in runs),
        changed=sum(run.gate is not None and run.gate.partition(":")[0] in _NEWS for run in runs),
        p50_ms=times[(len(times) - 1) // 2] if times else None,
        p95_ms=times[(len(times) - 1) * 95 // 100] if times else None,
        more=more,
    )
