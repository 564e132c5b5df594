"""An invariant is worth having only if it can fail: known bugs, planted one by one, are all found, each by its own."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.world import play

WITHIN_SEEDS = 400


def first_seed(name: str) -> int | None:
    """Return the first seed in which this invariant does not hold."""
    for seed in range(WITHIN_SEEDS):
        if name in {violation.name for violation in play(seed).violations}:
            return seed
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_bug_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert first_seed(MUTANTS[mutant]) is not None, f"{WITHIN_SEEDS} seeds did not notice"


def test_a_violation_ends_the_command_with_its_name_and_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.simulation import mutants
    from tests.simulation.__main__ import main

    mutants.requests_leave_early(monkeypatch)
    seed = first_seed("never early")
    monkeypatch.setattr("sys.argv", ["simulate", "--seed", str(seed)])
    assert main() == 1
    assert "never early" in capsys.readouterr().out
