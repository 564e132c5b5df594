"""A tempo drawn between its bounds: one log-scale line, a tick for the baseline, a mark for the tempo now."""

import math
from dataclasses import dataclass
from datetime import timedelta

from core.entities import Decision, Definition, IntervalBaseline, Limits, Source
from core.governor import effective_bounds
from core.wording import duration

WIDTH, LEFT, RIGHT = 240.0, 8.0, 232.0
_WITHOUT_MAXIMUM = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Band:
    """Where things stand on the line, in SVG units from the left, with their words."""

    shortest: str
    longest: str
    now_x: float | None
    now: str
    baseline_x: float | None
    baseline: str
    tone: str  # faster, slower or baseline


def draw(definition: Definition, limits: Limits, now: timedelta | None, decision: Decision) -> Band:
    """Lay out the band of a job whose present interval is `now` (None: it has none), by the decision in force."""
    bounds = effective_bounds(definition, limits)
    every = definition.baseline.every if isinstance(definition.baseline, IntervalBaseline) else None
    longest = bounds.maximum or max(_WITHOUT_MAXIMUM, every or timedelta(0), now or timedelta(0))
    low, high = math.log(bounds.floor.total_seconds()), math.log(max(longest, bounds.floor * 1.01).total_seconds())

    def place(value: timedelta) -> float:
        share = (math.log(max(value.total_seconds(), 0.001)) - low) / (high - low)
        return round(LEFT + min(1.0, max(0.0, share)) * (RIGHT - LEFT), 1)

    return Band(
        shortest=duration(bounds.floor),
        longest=duration(longest) if bounds.maximum is not None else f"{duration(longest)}+",
        now_x=place(now) if now is not None else None,
        now=duration(now) if now is not None else "no interval",
        baseline_x=place(every) if every is not None else None,
        baseline=duration(every) if every is not None else "",
        tone=_tone(every, now, decision),
    )


def _tone(every: timedelta | None, now: timedelta | None, decision: Decision) -> str:
    """Compare with the grid's interval; where the baseline is no grid, with its next fire, which the decision names."""
    if every is not None:
        if now is None or abs(now - every) <= every * 0.05:
            return "baseline"
        return "faster" if now < every else "slower"
    fire = next((each.at for each in decision.candidates if each.source is Source.BASELINE_CRON), None)
    if fire is None or decision.next_run_at is None or decision.next_run_at == fire:
        return "baseline"
    return "faster" if decision.next_run_at < fire else "slower"
