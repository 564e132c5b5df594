"""Who plans a job, and what is kept of it."""

from datetime import timedelta

import pytest

from core.entities import (
    RunStatus,
)
from core.errors import LeaseLostError
from core.ports.store import JobRef, Transition
from core.sessions import NOTES_TOOL, Outcome, Plan, Session, ToolCall, Usage, Verdict
from core.usecases.commit_plan import commit_plan
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


async def test_planning_left_by_a_dead_planner_is_taken_up_and_its_late_session_refused(house: House) -> None:
    job = await house.job()
    await house.run_once()
    (dead,) = await house.store.claim_plans(limit=1, lease=timedelta(0), recent_runs=5)
    (living,) = await house.store.claim_plans(limit=1, lease=LEASE, recent_runs=5)
    assert (living.token, living.seq) == (dead.token + 1, dead.seq)
    now = await house.store.now()
    session = Session("ses_late", house.tenant, job.id, 1, now, now, Plan(Outcome.COMPLETED, "llm", "m", ""))

    def committing(token: int) -> Transition:
        return lambda seen: commit_plan(
            seen, token=token, seq=dead.seq, session=session, last_run_at=now, cron=house.cron, ids=house.ids
        )

    with pytest.raises(LeaseLostError):
        await house.store.change(dead.ref, committing(dead.token))
    assert (await house.store.sessions(house.tenant, limit=9)).items == []
    await house.store.change(living.ref, committing(living.token))
    planning = (await house.store.job(house.tenant, job.id)).schedule.planning
    assert (planning.seq, planning.done_seq, planning.ready_at) == (1, 1, None)


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


async def test_the_numbers_a_session_kept_come_back_to_the_job_and_to_its_group(house: House) -> None:
    job = await house.job(definition(group="g"))
    sibling = await house.job(definition(name="sibling", group="g"))
    await house.job(definition(name="stranger", group="other"))
    await house.run_once()
    now = await house.store.now()

    async def keep(number: int, kept_by: str, *calls: ToolCall) -> None:
        plan = Plan(Outcome.COMPLETED, "offline", "m", "", calls=calls)
        await house.store.add_session(Session(f"ses_{number}", house.tenant, kept_by, 1, now, now, plan))

    def notes(value: float) -> ToolCall:
        return ToolCall("notes", NOTES_TOOL, {"looks": value}, Verdict.ANSWERED, "kept")

    await keep(1, job.id, notes(1.0))
    await keep(2, job.id, ToolCall("c", "propose_interval", {}, Verdict.ACCEPTED, "yes"), notes(2.0))
    await keep(3, job.id)
    await keep(4, sibling.id, notes(3.0))
    claims = await house.store.claim_plans(limit=9, lease=LEASE, recent_runs=5)
    found = {claim.ref.job_id: (claim.context.notes, list(claim.context.sibling_notes)) for claim in claims}
    assert found[job.id] == ({"looks": 2.0}, [{"looks": 3.0}])
    assert found[sibling.id] == ({"looks": 3.0}, [{"looks": 2.0}])
    others = [kept for job_id, kept in found.items() if job_id not in (job.id, sibling.id)]
    assert others == [(None, [])]
