"""What a planning session is shown of the past, the same from both stores."""

from datetime import timedelta

from core.entities import HintKind, HintState, Run, RunStatus
from core.ports.store import PlanClaim
from core.sessions import Proposal, RunWindow
from core.usecases.plan_due import PlanDue
from rubato.adapters.clock import SystemClock
from tests.contract.conftest import LEASE, House
from tests.unit.fakes import EventLog, FakeQuota, ScriptedPlanner
from tests.unit.loop import definition, interval_proposal


def planning(house: House, *script: list[Proposal]) -> PlanDue:
    return PlanDue(
        house.store, ScriptedPlanner(list(script)), FakeQuota(), house.cron, SystemClock(), house.ids, EventLog()
    )


async def run_by_hand(house: House, job_id: str, times: int) -> list[Run]:
    settled = []
    for _ in range(times):
        await house.jobs.run_now(house.tenant, job_id)
        settled += await house.run_once()
    return settled


async def claimed(house: House) -> PlanClaim:
    (claim,) = await house.store.claim_plans(limit=1, lease=LEASE, recent_runs=5)
    return claim


async def test_the_windows_count_what_ended(house: House) -> None:
    job = await house.job()
    await house.run_once()
    await run_by_hand(house, job.id, 2)
    windows = (await claimed(house)).context.windows
    assert [window.name for window in windows] == ["last 10 runs", "last hour", "last 24 hours", "last 7 days"]
    assert windows[0] == RunWindow("last 10 runs", ended=3, failed=0, changed=0, p50_ms=3, p95_ms=3)
    assert {window.ended for window in windows} == {3}


async def test_the_planners_own_hints_that_have_ended_are_shown_with_what_came_of_them(house: House) -> None:
    job = await house.job()
    await house.run_once()
    plans = planning(house, [interval_proposal(20)], [interval_proposal(30)])
    assert await plans.run_once() == 1
    await run_by_hand(house, job.id, 1)
    assert await plans.run_once() == 1
    await run_by_hand(house, job.id, 1)
    context = (await claimed(house)).context
    assert [(hint.interval, hint.state) for hint in context.hints] == [(timedelta(seconds=30), HintState.ACTIVE)]
    (past,) = context.past_hints
    assert (past.interval, past.state) == (timedelta(seconds=20), HintState.SUPERSEDED)
    assert past.applied is not None


async def test_a_pause_that_has_ended_still_counts_against_the_weeks_allowance(house: House) -> None:
    job = await house.job()
    await house.run_once()
    until = await house.store.now() + timedelta(hours=1)
    plans = planning(house, [Proposal(HintKind.PAUSE, "maintenance", "c1", until=until)])
    await plans.run_once()
    await house.jobs.resume(house.tenant, job.id)
    await run_by_hand(house, job.id, 1)
    (past,) = (await claimed(house)).context.past_hints
    assert (past.kind, past.state) == (HintKind.PAUSE, HintState.CLEARED)


async def test_the_gates_verdicts_are_kept_with_runs_and_counted(house: House) -> None:
    job = await house.job(definition())
    await house.run_once()
    runs = await run_by_hand(house, job.id, 4)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert await house.store.gate_counts(house.tenant, newest=100) == {"first_runs": 3, "steady": 2}
    assert await house.store.gate_counts("ten_b", newest=100) == {}
    stored = await house.store.run(house.tenant, runs[-1].id)
    assert stored.gate == "steady"
    planning = (await house.store.job(house.tenant, job.id)).schedule.planning
    assert (planning.seq, len(planning.gate) > 0) == (3, True)
