"""Many seeds, on every core, and what came of them."""

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.invariants import Violation
from tests.simulation.world import play

CHUNK = 20  # seeds a process plays between two reports


@dataclass
class Ledger:
    """Sums over seeds. `violations`: (seed, violation)."""

    seeds: int = 0
    virtual_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, Violation]] = field(default_factory=list)

    def add(self, other: "Ledger") -> None:
        """Add another's sums."""
        self.seeds += other.seeds
        self.virtual_s += other.virtual_s
        self.counts += other.counts
        self.violations += other.violations


def play_all(seeds: range) -> Ledger:
    """Play these seeds in this process."""
    ledger = Ledger()
    gc.freeze()  # what is here stays; what a scenario leaves is seldom worth a look while it plays
    gc.set_threshold(50_000, 20, 50)
    for seed in seeds:
        outcome = play(seed)
        ledger.add(
            Ledger(1, outcome.virtual_s, outcome.counts, [(seed, violation) for violation in outcome.violations])
        )
    return ledger


def sweep(seeds: range, *, processes: int | None = None, progress: Callable[[Ledger], None] = lambda _: None) -> Ledger:
    """Play these seeds on all cores (or `processes` of them); `progress` hears the sums so far."""
    ledger = Ledger()
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    with multiprocessing.get_context("spawn").Pool(processes or os.cpu_count() or 1) as pool:
        for part in pool.imap_unordered(play_all, chunks):
            ledger.add(part)
            progress(ledger)
    ledger.violations.sort(key=lambda pair: (pair[0], pair[1].at_s))
    return ledger
