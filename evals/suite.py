"""The closed-loop suite: every policy in every world over many seeds, in processes, with what is left of the time.

Training seeds are for tuning, held-out seeds for reports; they never meet. A cell is one realisation of one world with
all its policies and knobs: all of them face the same changes.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from core.ports.planner import Planner
from evals import bounds
from evals.engine import play
from evals.offline import DirectOfflinePlanner
from evals.policies.catalogue import TEXTBOOK
from evals.policies.policy import Setting
from evals.quick import play_quickly
from evals.score import DAY_S, Score, score
from evals.worlds.world import Target, World

OFFLINE = "offline"
TRAINING = range(1000, 1030)
HELD_OUT = range(30)
KNOBS = (0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83)
PLANNER_KNOBS = (0.71, 1.0, 1.41, 2.0)
A_SESSION = 1500  # tokens
# Played through the real loops. The last two cost what a model would: woken by the gate, and asked after every run.
PLANNERS: dict[str, Callable[[], Planner]] = {
    OFFLINE: DirectOfflinePlanner,
    "offline, gated": lambda: DirectOfflinePlanner(A_SESSION),
    "offline, every run": lambda: DirectOfflinePlanner(A_SESSION, every_run=True),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One realisation to be played. `sweep`: planners at other baselines, too; policies always are."""

    world: World
    seed: int
    policies: tuple[str, ...]
    sweep: bool = True


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a cell: the score of each policy at each knob, and the bound's J a day and job."""

    world: str
    seed: int
    scores: dict[str, dict[float, Score]]
    bound: float
    runs: int


@dataclass
class Results:
    """Everything played so far, by world."""

    worlds: dict[str, World]
    seeds: tuple[int, ...]
    policies: tuple[str, ...]
    played: dict[str, list[Played]] = field(default_factory=dict)
    stopped: bool = False

    def add(self, played: Played) -> None:
        """Keep a cell, in the order of seeds whatever finished first."""
        cells = self.played.setdefault(played.world, [])
        cells.append(played)
        cells.sort(key=lambda each: each.seed)


def play_cell(cell: Cell) -> Played:
    """Play one realisation: textbook policies the short way, planners through the real loops."""
    targets, runs = cell.world.draw(cell.seed), 0
    scores: dict[str, dict[float, Score]] = {}
    for policy in cell.policies:
        for knob in _knobs(cell, policy):
            found, count = _play(cell.world, targets, policy, knob)
            scores.setdefault(policy, {})[knob] = found
            runs += count
    return Played(cell.world.name, cell.seed, scores, bound_of(cell.world, targets), runs)


def bound_of(world: World, targets: Sequence[Target]) -> float:
    """Return J a day and job of the informed bound where events follow a law, else of the clairvoyant; never less than
    what the runs that `most` demands cost, and one for each stretch in which a run is wanted."""
    costs, total = world.costs, 0.0
    for target in targets:
        if target.mean_root_rate is not None:
            best = bounds.root_cost(target.mean_root_rate, request=costs.request, delay=costs.delay) * world.horizon_s
        else:
            best = bounds.clairvoyant(target.events, request=costs.request, delay=costs.delay)
        best += costs.request * len(target.wanted)
        total += max(best, costs.request * math.floor(world.horizon_s / world.terms.most.total_seconds()))
    return total / len(targets) / (world.horizon_s / DAY_S)


def cells_of(worlds: Sequence[World], seeds: Sequence[int], policies: Sequence[str], *, sweep: bool) -> list[Cell]:
    """Return the cells, seed by seed, so that an early end leaves whole comparisons of every world."""
    return [Cell(world, seed, tuple(policies), sweep) for seed in seeds for world in worlds]


def run_cells(
    cells: Sequence[Cell], processes: int, progress: Callable[[int, int, float | None], None]
) -> Iterator[Played]:
    """Play cells in processes and yield what is done. `progress(done, of, seconds_left)`."""
    began = time.monotonic()
    progress(0, len(cells), None)
    for done, played in enumerate(_in_processes(cells, processes) if processes > 1 else map(play_cell, cells), start=1):
        yield played
        left = (time.monotonic() - began) / done * (len(cells) - done)
        progress(done, len(cells), left)


def _in_processes(cells: Sequence[Cell], processes: int) -> Iterator[Played]:
    ignoring = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=ignoring) as pool:
        waiting: set[Future[Played]] = {pool.submit(play_cell, cell) for cell in cells}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for each in ended:
                    yield each.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _knobs(cell: Cell, policy: str) -> tuple[float, ...]:
    if policy == "always-min":
        return (1.0,)
    if policy not in PLANNERS:
        return KNOBS
    return PLANNER_KNOBS if cell.sweep and cell.world.law.is_swept else (1.0,)


def _play(world: World, targets: Sequence[Target], policy: str, knob: float) -> tuple[Score, int]:
    if policy in PLANNERS:
        plays = play(targets, world.terms.at(world.terms.every * knob), PLANNERS[policy](), world.horizon_s)
    else:
        setting = Setting.of(world.terms, world.costs, knob)
        plays = [play_quickly(target, TEXTBOOK[policy](setting), world.horizon_s) for target in targets]
    return score(world, targets, plays), sum(len(each.runs) for each in plays)
