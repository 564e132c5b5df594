"""A tempo drawn between its bounds: one log-scale line, a tick for the baseline, a mark for the tempo now."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.entities import CronBaseline, Definition, IntervalBaseline, Job, Limits, OnceBaseline, Source
from core.governor import effective_bounds
from core.ports.cron import Cron
from core.wording import duration

WIDTH, LEFT, RIGHT = 180.0, 8.0, 172.0
_WITHOUT_MAXIMUM = timedelta(hours=1)
_SAME = 0.05  # how far from its baseline a tempo still counts as the baseline, as a share of it
_HINTS = (Source.HINT_INTERVAL, Source.HINT_NEXT_TIME)
_BASELINES = (Source.BASELINE_INTERVAL, Source.BASELINE_CRON)
TONES = {"faster": "faster than its baseline", "slower": "slower than its baseline", "baseline": "at its baseline"}


@dataclass(frozen=True, slots=True)
class Scale:
    """Intervals on a log scale from `shortest` to `longest`, as shares from 0 to 1."""

    shortest: timedelta
    longest: timedelta
    is_open: bool  # no maximum: `longest` is only as far as is drawn

    def place(self, value: timedelta) -> float:
        """Return where an interval lies, held to the ends."""
        low, high = (math.log(each.total_seconds()) for each in (self.shortest, self.longest))
        share = (math.log(max(value.total_seconds(), 0.001)) - low) / (high - low)
        return min(1.0, max(0.0, share))


@dataclass(frozen=True, slots=True)
class Band:
    """Where things stand on the line, in SVG units from the left, with their words. `tone`: a name of `TONES`."""

    shortest: str
    longest: str
    now_x: float | None
    now: str
    baseline_x: float | None
    baseline: str
    tone: str

    @property
    def words(self) -> str:
        """Say what the drawing shows."""
        baseline = f"; baseline {self.baseline}" if self.baseline else ""
        return f"Interval now {self.now}, between {self.shortest} and {self.longest}{baseline}"


def scale_of(definition: Definition, limits: Limits, *also: timedelta | None) -> Scale:
    """Return the scale of a job's bounds; without a maximum it reaches an hour, or as far as `also` does."""
    bounds = effective_bounds(definition, limits)
    longest = bounds.maximum or max(_WITHOUT_MAXIMUM, *(each for each in also if each is not None), bounds.floor)
    return Scale(bounds.floor, max(longest, bounds.floor * 1.01), is_open=bounds.maximum is None)


def draw(job: Job, limits: Limits, every: timedelta | None) -> Band | None:
    """Lay out the band of a job whose baseline has this interval; a job that runs once has none."""
    if isinstance(job.definition.baseline, OnceBaseline):
        return None
    now = tempo(job, every)
    scale = scale_of(job.definition, limits, every, now)

    def x(value: timedelta | None) -> float | None:
        return None if value is None else round(LEFT + scale.place(value) * (RIGHT - LEFT), 1)

    return Band(
        shortest=duration(scale.shortest),
        longest=f"{duration(scale.longest)}{'+' if scale.is_open else ''}",
        now_x=x(now),
        now=duration(now) if now is not None else "none",
        baseline_x=x(every),
        baseline=duration(every) if every is not None else "",
        tone=tone(job, every, now),
    )


def tempo(job: Job, every: timedelta | None) -> timedelta | None:
    """Return how far the next run lies from the last start; a baseline's run has the interval of the baseline."""
    slot, start = job.schedule.slot, job.schedule.last_start_at
    if slot is not None and slot.source in _BASELINES:
        return every
    return slot.at - start if slot is not None and start is not None and slot.at > start else None


def baseline_interval(definition: Definition, cron: Cron, now: datetime) -> timedelta | None:
    """Return the interval of a baseline: a cron's is the one between its next two fires."""
    baseline = definition.baseline
    if isinstance(baseline, IntervalBaseline):
        return baseline.every
    if isinstance(baseline, CronBaseline):
        first = cron.next_after(baseline.expression, baseline.timezone, now)
        second = cron.next_after(baseline.expression, baseline.timezone, first) if first is not None else None
        return second - first if first is not None and second is not None else None
    return None


def tone(job: Job, every: timedelta | None, now: timedelta | None) -> str:
    """Compare with the baseline's interval; where it is a cron, with the fire that the slot was moved from."""
    slot = job.schedule.slot
    if isinstance(job.definition.baseline, CronBaseline):
        is_hinted = slot is not None and slot.source in _HINTS
        return ("faster" if slot is not None and slot.accelerated else "slower") if is_hinted else "baseline"
    if every is None or now is None or abs(now - every) <= every * _SAME:
        return "baseline"
    return "faster" if now < every else "slower"
