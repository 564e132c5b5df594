"""The simulation holds every invariant, and any seed replays identically."""

import subprocess
import sys

import pytest

from tests.processes import ROOT, clean_environment
from tests.simulation.sweep import sweep
from tests.simulation.world import play

SEEDS = 1000


@pytest.mark.timeout(600)
def test_a_thousand_seeds_hold_every_invariant() -> None:
    ledger = sweep(range(SEEDS))
    told = [
        f'seed {seed} at {found.at_s:.3f} s: {found.name}: {found.about} (make simulate ARGS="--seed {seed} --trace")'
        for seed, found in ledger.violations
    ]
    assert told == []
    assert ledger.seeds == SEEDS
    for happened in (
        "runs",
        "requests",
        "deeds",
        "hints",
        "crashes",
        "freezes",
        "outages",
        "stops",
        "taken over",
        "lost",
    ):
        assert ledger.counts[happened] > SEEDS / 10, f"the seeds hardly ever meet with: {happened}"
    assert ledger.counts["discarded"] > 0


def test_a_seed_replays_identically_in_another_process_with_another_hash_seed() -> None:
    seeds = (3, 61, 123, 700)
    here = [play(seed).digest for seed in seeds]
    assert [play(seed).digest for seed in reversed(seeds)] == here[::-1]
    assert len(set(here)) == len(seeds)
    for salt in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", f"from tests.simulation.world import play\nfor s in {seeds}: print(play(s).digest)"],
            cwd=ROOT,
            env={**clean_environment(), "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.split() == here


def test_the_command_prints_a_ledger_or_a_trace_that_can_be_compared() -> None:
    def told(*words: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", *words]
        done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True)
        return done.stdout

    assert "seeds                            4\n" in told("--seeds", "4", "--processes", "1")
    traced = told("--seed", "3", "--trace")
    assert play(3).digest in traced
    assert len(traced.splitlines()) > 100
