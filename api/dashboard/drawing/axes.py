"""The two axes of a job's timeline: instants from left to right, intervals on a log scale from bottom to top."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.wording import duration

_ROUND_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_MOST_TICKS, _MOST_LINES = 9, 6
_LABEL_ROOM = 20.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label; `at` for those of the time axis."""

    place: float
    label: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Instants from `begin` to `end` between two places."""

    begin: datetime
    end: datetime
    left: float
    right: float

    def x(self, at: datetime) -> float:
        """Return where an instant lies, held to the ends."""
        share = (at - self.begin) / (self.end - self.begin)
        return round(self.left + min(1.0, max(0.0, share)) * (self.right - self.left), 1)

    def holds(self, at: datetime) -> bool:
        """Tell whether an instant is drawn."""
        return self.begin <= at <= self.end

    def ticks(self) -> list[Tick]:
        """Return round instants, nine at the most."""
        step_s = next((s for s in _ROUND_S if (self.end - self.begin).total_seconds() / s <= _MOST_TICKS), _ROUND_S[-1])
        first = math.ceil(self.begin.timestamp() / step_s) * step_s
        places = range(first, int(self.end.timestamp()) + 1, step_s)
        form = "%H:%M:%S" if step_s < 60 else ("%H:%M" if step_s < 86400 else "%d %b")
        instants = [datetime.fromtimestamp(each, UTC) for each in places][-3 * _MOST_TICKS :]
        drawn = (at for at in instants if self.x(at) < self.right - _LABEL_ROOM)
        return [Tick(self.x(at), at.strftime(form), at) for at in drawn]


@dataclass(frozen=True, slots=True)
class IntervalAxis:
    """Intervals between two places, the longest on top."""

    shortest: timedelta
    longest: timedelta
    bottom: float
    top: float

    def y(self, interval: timedelta) -> float:
        """Return where an interval lies, held to the ends."""
        low, high = math.log(self.shortest.total_seconds()), math.log(self.longest.total_seconds())
        share = (math.log(max(interval.total_seconds(), 0.001)) - low) / (high - low)
        return round(self.bottom - min(1.0, max(0.0, share)) * (self.bottom - self.top), 1)

    def ticks(self) -> list[Tick]:
        """Return round intervals, six at the most, thinned evenly."""
        spans = [timedelta(seconds=s) for s in _ROUND_S]
        held = [each for each in spans if self.shortest <= each <= self.longest]
        thin = math.ceil(len(held) / _MOST_LINES) or 1
        return [Tick(self.y(each), duration(each)) for each in held[::thin]]


def interval_axis(around: Iterable[timedelta], *, bottom: float, top: float) -> IntervalAxis:
    """Return an axis that holds these intervals with a little room."""
    held = [max(each, timedelta(milliseconds=100)) for each in around]
    return IntervalAxis(min(held) / 1.5, max(held) * 1.5, bottom, top)
