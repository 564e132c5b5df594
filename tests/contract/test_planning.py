"""Who plans a job, and what is kept of it."""

from datetime import timedelta

from core.entities import (
    RunStatus,
)
from core.ports.store import JobRef
from core.sessions import Outcome, Plan, Session, ToolCall, Usage, Verdict
from tests.contract.conftest import LEASE, House
from tests.unit.loop import definition


async def test_planning_is_claimed_once_and_fenced(house: House) -> None:
    job = await house.job(definition(group="g"))
    sibling = await house.job(definition(name="sibling", group="g"))
    await house.run_once()
    claims = await house.store.claim_plans(limit=9, lease=LEASE, recent_runs=5)
    assert {claim.ref.job_id for claim in claims} == {job.id, sibling.id}
    mine = next(claim for claim in claims if claim.ref.job_id == job.id)
    assert (mine.token, mine.seq) == (1, 1)
    assert [run.status for run in mine.context.runs] == [RunStatus.SUCCEEDED]
    assert [name for name, _ in mine.context.siblings] == ["sibling"]
    assert mine.context.decision is not None
    assert await house.store.claim_plans(limit=9, lease=LEASE, recent_runs=5) == []
    ref = JobRef(house.tenant, job.id)
    assert await house.store.claim_plans(limit=1, lease=LEASE, recent_runs=5, only=ref) == []


async def test_a_person_may_have_a_job_planned_that_is_not_due_for_it(house: House) -> None:
    job = await house.job()
    ref = JobRef(house.tenant, job.id)
    (claim,) = await house.store.claim_plans(limit=1, lease=LEASE, recent_runs=5, only=ref)
    assert claim.seq == 0


async def test_a_session_comes_back_as_it_was_stored(house: House) -> None:
    job = await house.job()
    now = await house.store.now()
    plan = Plan(
        outcome=Outcome.LIMITED,
        planner="llm",
        model="m",
        input_summary="what it saw",
        calls=(ToolCall("c1", "propose_interval", {"interval_ms": 5, "deep": [None]}, Verdict.REJECTED, "no"),),
        usage=Usage(2, 30, 4, estimated=True),
        reasoning="because",
        confidence=0.5,
        next_analysis_in=timedelta(seconds=9),
        messages="[]",
        prompt_hash="abc",
        error="limit",
    )
    session = Session("ses_1", house.tenant, job.id, 1, now, now, plan, run_id=None, hint_ids=("h",))
    await house.store.add_session(session)
    assert await house.store.session(house.tenant, "ses_1") == session
    assert (await house.store.sessions(house.tenant, job_id=job.id, limit=9)).items == [session]
    assert (await house.store.sessions("ten_b", limit=9)).items == []
