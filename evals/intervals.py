"""Intervals of means over paired realisations, by bootstrap, and what they say about harm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the ends of its 95 % interval. One realisation has no interval: its ends are the mean."""

    mean: float
    low: float
    high: float

    @property
    def is_above_zero(self) -> bool:
        """Tell whether the interval lies above zero."""
        return self.low > 0

    @property
    def is_below_zero(self) -> bool:
        """Tell whether the interval lies below zero."""
        return self.high < 0


def bootstrap(
    pairs: Sequence[tuple[float, ...]],
    statistic: Callable[[Sequence[tuple[float, ...]]], float],
    resamples: int = RESAMPLES,
) -> Interval:
    """Return a statistic of paired figures, a tuple a realisation, with its interval.

    Realisations are drawn with replacement, each with all its figures: the pairing stays. The draws are the same for
    the same number of realisations, so that equal figures give equal intervals.
    """
    value = statistic(pairs)
    if len(pairs) < 2:
        return Interval(value, value, value)
    random = Random(len(pairs))  # noqa: S311 - a simulation
    drawn = sorted(statistic(random.choices(pairs, k=len(pairs))) for _ in range(resamples))
    tail = (1 - LEVEL) / 2
    return Interval(value, drawn[int(tail * resamples)], drawn[int((1 - tail) * resamples) - 1])


def mean_of(values: Sequence[float]) -> Interval:
    """Return the mean with its interval."""
    return bootstrap([(value,) for value in values], lambda drawn: fmean(row[0] for row in drawn))


def relative(of: Sequence[float], to: Sequence[float]) -> Interval:
    """Return mean(of) / mean(to) - 1, paired."""

    def ratio(rows: Sequence[tuple[float, ...]]) -> float:
        base = fmean(row[1] for row in rows)
        return fmean(row[0] for row in rows) / base - 1 if base else 0.0

    return bootstrap(list(zip(of, to, strict=True)), ratio)


def gap_closed(policy: Sequence[float], fixed: Sequence[float], bound: Sequence[float]) -> Interval | None:
    """Return (J_fixed - J) / (J_fixed - J_bound), paired; None where fixed is within a hundredth of the bound."""
    if fmean(fixed) - fmean(bound) <= 0.01 * fmean(fixed):
        return None

    def closed(rows: Sequence[tuple[float, ...]]) -> float:
        ours, theirs, best = (fmean(row[index] for row in rows) for index in range(3))
        return (theirs - ours) / (theirs - best)

    return bootstrap(list(zip(policy, fixed, bound, strict=True)), closed)
