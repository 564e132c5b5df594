"""What a plot of one realisation needs: tempo after each run, between its bounds, with events and hints."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from evals.engine import play
from evals.suite import OFFLINE, PLANNERS
from evals.worlds.world import World

SHOWN = 2000  # runs at the most


@dataclass(frozen=True, slots=True)
class Tape:
    """One job's runs (seconds), the interval after each, what happened meanwhile, and when no run was allowed."""

    world: str
    runs: tuple[float, ...]
    intervals: tuple[float, ...]
    events: tuple[float, ...]
    forbidden: tuple[tuple[float, float], ...]
    every: float
    least: float
    most: float


def record(world: World, seed: int, policy: str = OFFLINE) -> Tape:
    """Play one realisation and keep its first part."""
    targets = world.draw(seed)
    runs: Sequence[float] = play(targets, world.terms, PLANNERS[policy](), world.horizon_s)[0].runs[: SHOWN + 1]
    end = runs[-1]
    return Tape(
        world.name,
        tuple(runs[:-1]),
        tuple(later - sooner for sooner, later in pairwise(runs)),
        tuple(event for event in targets[0].events if event <= end),
        tuple(stretch for stretch in targets[0].forbidden if stretch[0] <= end),
        world.terms.every.total_seconds(),
        world.terms.least.total_seconds(),
        world.terms.most.total_seconds(),
    )
