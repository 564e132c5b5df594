"""With a guard taken away the suite fails: else it would prove nothing."""

import pytest

from tests.hostile.invariants import BrokenError
from tests.hostile.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_found_out(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.patch(monkeypatch)
    with pytest.raises(BrokenError):
        await mutant.attack()
