"""What a tenant used, a bar a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from core.entities import RunStatus
from core.ports.usage import UsageDay

HEIGHT = 60.0  # of the tallest bar, in the drawing's units


@dataclass(frozen=True, slots=True)
class Day:
    """One day. `bar` and `bad`: heights of all runs and of the failed ones."""

    day: date
    runs: int
    failed: int
    skipped: int
    sessions: int
    tokens: int
    bar: float
    bad: float


def days_of(used: Mapping[date, UsageDay]) -> list[Day]:
    """Return the days from the first on which anything was used to the last, oldest first; none is left out."""
    if not used:
        return []
    first, last = min(used), max(used)
    dates = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    shown = [used.get(each, UsageDay(each)) for each in dates]
    most = max(sum(each.runs.values()) for each in shown) or 1
    return [_day(each, most) for each in shown]


def _day(used: UsageDay, most: int) -> Day:
    runs, failed = sum(used.runs.values()), used.runs.get(RunStatus.FAILED, 0)
    return Day(
        day=used.day,
        runs=runs,
        failed=failed,
        skipped=used.runs.get(RunStatus.SKIPPED, 0),
        sessions=used.sessions,
        tokens=used.input_tokens + used.output_tokens,
        bar=HEIGHT * runs / most,
        bad=HEIGHT * failed / most,
    )
