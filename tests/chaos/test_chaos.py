"""Workers killed, stopped beyond their lease and ended, in small; `make chaos` is the same at length."""

from pathlib import Path

import pytest

from tests.chaos.analysis import judge
from tests.chaos.director import Scale, run_chaos
from tests.chaos.report import chaos_report

SCALE = Scale(seconds=18, workers=4, jobs=180, kills=15, stops=3, terms=1, seed=7)


@pytest.mark.timeout(240)
async def test_nothing_is_lost_or_doubled_beyond_the_promise_while_workers_are_killed_and_stopped(
    database_url: str, tmp_path: Path
) -> None:
    outcome = await run_chaos(database_url, tmp_path, SCALE)
    told = judge(outcome.evidence)
    print(chaos_report(outcome, told))  # noqa: T201 - shown when it fails
    assert told.findings == {}
    assert outcome.surprises == []
    assert outcome.quiet_s is not None
    assert outcome.faults == {"kill": 15, "stop": 3, "term": 1}
    assert told.sent >= 1000
    assert told.taken_over > 0
    assert told.recovery_s
    assert all(request.launch is not None for request in outcome.evidence.requests)
