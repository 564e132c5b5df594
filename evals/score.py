"""What a play was worth: requests, delays, violations, tokens, and J, all a unit of the world's own time."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from evals.engine import Play
from evals.worlds.world import Target, World

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Score:
    """One realisation's figures. `requests`, `violations`, `tokens`, `sessions` and `cost` (J) a day and job; delays in
    seconds over all events; `wrong`: the share of time in which a two-state target was believed to be in the other;
    `fresh`: in which nothing had happened since the last run."""

    cost: float
    requests: float
    delay_s: float
    delay_p95_s: float
    violations: float
    tokens: float
    sessions: float
    wrong: float
    fresh: float

    def value(self, name: str) -> float:
        """Return a figure by name."""
        return float(getattr(self, name))


def score(world: World, targets: Sequence[Target], plays: Sequence[Play]) -> Score:
    """Score the plays of one realisation."""
    days = world.horizon_s / DAY_S * len(targets)
    delays = [
        delay for target, play in zip(targets, plays, strict=True) for delay in delays_of(target, play, world.horizon_s)
    ]
    requests = sum(len(play.runs) for play in plays)
    violations = sum(violations_of(target, play) for target, play in zip(targets, plays, strict=True))
    tokens = sum(play.tokens for play in plays)
    costs = world.costs
    spent = (
        costs.request * requests + costs.violation * violations + costs.delay * math.fsum(delays) + costs.token * tokens
    )
    return Score(
        cost=spent / days,
        requests=requests / days,
        delay_s=fmean(delays) if delays else 0.0,
        delay_p95_s=sorted(delays)[int(0.95 * (len(delays) - 1))] if delays else 0.0,
        violations=violations / days,
        tokens=tokens / days,
        sessions=sum(play.sessions for play in plays) / days,
        fresh=fmean(
            fresh_share(target.events, play.runs, world.horizon_s) for target, play in zip(targets, plays, strict=True)
        ),
        wrong=fmean(
            wrong_share(target.events, play.runs, world.horizon_s) for target, play in zip(targets, plays, strict=True)
        ),
    )


def delays_of(target: Target, play: Play, horizon_s: float) -> list[float]:
    """Return each event's wait for the first run at or after it; one that none saw waits until the horizon."""
    return [_first_at_or_after(play.runs, event, horizon_s) - event for event in target.events]


def violations_of(target: Target, play: Play) -> int:
    """Count runs in forbidden stretches (the first of each forgiven, unless it was announced), and wanted stretches
    without a run."""
    forgiven = 0 if target.announces else 1
    inside = 0
    for begin, end in target.forbidden:
        inside += max(0, bisect_left(play.runs, end) - bisect_left(play.runs, begin) - forgiven)
    missed = sum(bisect_left(play.runs, begin) == bisect_left(play.runs, end) for begin, end in target.wanted)
    return inside + missed


def wrong_share(flips: Sequence[float], runs: Sequence[float], horizon_s: float) -> float:
    """Return the share of time in which a two-state target differed from what the last run had seen."""
    wrong, seen = 0.0, 0
    edges = [*runs, horizon_s]
    for begin, end in pairwise(edges):
        seen = bisect_left(flips, begin)
        at, flipped = begin, False
        for flip in flips[seen : bisect_left(flips, end)]:
            wrong += (flip - at) * flipped
            at, flipped = flip, not flipped
        wrong += (end - at) * flipped
    return wrong / horizon_s


def fresh_share(events: Sequence[float], runs: Sequence[float], horizon_s: float) -> float:
    """Return the share of time in which no event lies between the last run and now."""
    stale = 0.0
    for begin, end in pairwise([*runs, horizon_s]):
        first = bisect_right(events, begin)
        if first < len(events) and events[first] < end:
            stale += end - events[first]
    return 1 - stale / horizon_s


def _first_at_or_after(runs: Sequence[float], at: float, horizon_s: float) -> float:
    index = bisect_left(runs, at)
    return min(runs[index], horizon_s) if index < len(runs) else horizon_s
