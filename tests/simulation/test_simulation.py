"""The simulation holds every invariant, and any seed replays identically."""

import os
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


def test_the_command_prints_a_ledger_and_names_the_seed_of_a_violation(tmp_path: os.PathLike[str]) -> None:
    command = [sys.executable, "-m", "tests.simulation"]
    env = {**clean_environment(), "RUBATO_TEST_SIMULATION_FAULT": "1"}
    good = subprocess.run([*command, "--seeds", "4"], cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    assert good.returncode == 0
    assert "violations" in good.stdout
    traced = subprocess.run([*command, "--seed", "3", "--trace"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert traced.returncode == 0
    assert play(3).digest in traced.stdout
    assert len(traced.stdout.splitlines()) > 100
