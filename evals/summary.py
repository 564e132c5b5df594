"""From scores to statements: J against the best fixed interval, requests at equal delay, the gap closed, harm.

The best fixed interval is chosen in hindsight, over the same seeds; so are textbook policies' knobs: it
flatters both. A planner is judged at the owner's own baseline, with no knob turned.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from evals.curves import Point, requests_at
from evals.intervals import Interval, bootstrap, gap_closed, mean_of, relative
from evals.policies.catalogue import FIXED
from evals.score import Score
from evals.suite import OFFLINE, PLANNERS, Played, Results
from evals.worlds.world import World

FIGURES = ("requests", "delay_s", "delay_p95_s", "violations", "tokens", "sessions", "wrong", "fresh")


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """A policy in a world. `knob`: the one its figures are shown at. `cost` is J a day and job; `against_fixed` its
    relative excess over the best fixed interval; `at_equal_delay` requests against fixed at the delay of the owner's
    baseline; `closed` the share of the gap to the bound. None: cannot be said there."""

    knob: float
    cost: Interval
    against_fixed: Interval
    figures: dict[str, Interval]
    curve: list[Point]
    at_equal_delay: Interval | None = None
    closed: Interval | None = None

    @property
    def is_harmful(self) -> bool:
        """Tell whether it costs more than the best fixed interval, beyond chance."""
        return self.against_fixed.is_above_zero


@dataclass(frozen=True, slots=True)
class WorldSummary:
    """A world with all its policies. `bound` is J of its bound, of the kind named."""

    name: str
    why: str
    is_null: bool
    twin_of: str | None
    prices: dict[str, float]
    every_s: float
    bound: float
    bound_kind: str
    seeds: int
    policies: dict[str, PolicySummary]


def summarise(results: Results) -> list[WorldSummary]:
    """Return what the results say, world by world."""
    return [
        _world(results.worlds[name], cells)
        for name, cells in results.played.items()
        if cells and name in results.worlds
    ]


def _world(world: World, cells: Sequence[Played]) -> WorldSummary:
    fixed_knob = _best_knob(cells, FIXED)
    fixed = _costs(cells, FIXED, fixed_knob)
    bound = [cell.bound for cell in cells]
    has_law = world.draw(cells[0].seed)[0].mean_root_rate is not None
    return WorldSummary(
        name=world.name,
        why=world.why,
        is_null=world.is_null,
        twin_of=world.twin_of,
        prices={name: price for name, price in world.costs.model_dump().items() if price},
        every_s=world.terms.every.total_seconds(),
        bound=fmean(bound),
        bound_kind="informed" if has_law else "clairvoyant",
        seeds=len(cells),
        policies={policy: _policy(cells, policy, fixed, bound, fixed_knob) for policy in cells[0].scores},
    )


def _policy(
    cells: Sequence[Played], policy: str, fixed: Sequence[float], bound: Sequence[float], fixed_knob: float
) -> PolicySummary:
    knob = fixed_knob if policy == FIXED else 1.0 if policy in PLANNERS else _best_knob(cells, policy)
    costs, scores = _costs(cells, policy, knob), [cell.scores[policy][knob] for cell in cells]
    return PolicySummary(
        knob=knob,
        cost=mean_of(costs),
        against_fixed=relative(costs, fixed),
        figures={name: mean_of([each.value(name) for each in scores]) for name in FIGURES},
        curve=_curve([cell.scores[policy] for cell in cells]),
        at_equal_delay=_at_equal_delay(cells, policy),
        closed=gap_closed(costs, fixed, bound),
    )


def _best_knob(cells: Sequence[Played], policy: str) -> float:
    knobs = cells[0].scores[policy]
    return min(knobs, key=lambda knob: (fmean(_costs(cells, policy, knob)), abs(knob - 1)))


def _costs(cells: Sequence[Played], policy: str, knob: float) -> list[float]:
    return [cell.scores[policy][knob].cost for cell in cells]


def _curve(scores: Sequence[dict[float, Score]]) -> list[Point]:
    return [
        Point(knob, fmean(each[knob].requests for each in scores), fmean(each[knob].delay_s for each in scores))
        for knob in scores[0]
    ]


def _at_equal_delay(cells: Sequence[Played], policy: str) -> Interval | None:
    """Compare requests at the delay of the fixed baseline. Realisations are resampled with their whole curves."""
    if 1.0 not in cells[0].scores[FIXED] or cells[0].scores[FIXED][1.0].delay_s <= 0:
        return None

    def ratio(rows: Sequence[tuple[float, ...]]) -> float:
        drawn = [cells[int(row[0])] for row in rows]
        base = _curve([{1.0: cell.scores[FIXED][1.0]} for cell in drawn])[0]
        ours = requests_at(_curve([cell.scores[policy] for cell in drawn]), base.delay_s)
        return ours / base.requests - 1 if ours is not None else float("nan")

    found = bootstrap([(float(index),) for index in range(len(cells))], ratio, resamples=300)
    return None if found.mean != found.mean or found.low != found.low or found.high != found.high else found


def harm(worlds: Sequence[WorldSummary], policy: str = OFFLINE) -> list[str]:
    """Return the worlds in which a policy does harm beyond chance."""
    return [world.name for world in worlds if policy in world.policies and world.policies[policy].is_harmful]


def as_json(worlds: Sequence[WorldSummary]) -> dict[str, Any]:
    """Return summaries as plain data."""
    return {world.name: asdict(world) for world in worlds}
