"""What a change writes, and what it leaves alone when it is refused."""

import asyncio
from dataclasses import replace

import pytest

from core.entities import RunStatus
from core.errors import Conflict, LeaseLostError, NotFound
from core.ports.store import Change, JobRef, RunFilter, Snapshot
from tests.contract.conftest import House, untouched


async def test_a_settled_run_keeps_its_outcome_and_its_decision(house: House) -> None:
    job = await house.job()
    (run,) = await house.run_once()
    stored = await house.store.run(house.tenant, run.id)
    assert stored == run
    assert (stored.status, stored.response_excerpt, stored.duration_ms) == (RunStatus.SUCCEEDED, "ok", 3)
    assert stored.decision == await house.store.latest_decision(house.tenant, job.id)
    after = await house.store.job(house.tenant, job.id)
    assert after.schedule.lease is None
    assert after.schedule.planning.seq == 1
    assert await house.store.last_runs(house.tenant, [job.id, "job_none"]) == {job.id: run}


async def test_a_lost_workers_run_is_taken_over_under_the_same_id(house: House) -> None:
    await house.job()
    (first,) = await house.claim("w1")
    await house.store.change(first.ref, house.beginning(first.token))
    await house.expire_leases()
    (second,) = await house.claim("w2")
    assert (second.run_id, second.token) == (first.run_id, first.token + 1)
    change = await house.store.change(second.ref, house.beginning(second.token, "w2", second.lapsed_at))
    assert change.runs[0].attempt == 2
    with pytest.raises(LeaseLostError):
        await house.store.change(first.ref, house.settling(first.token))
    assert (await house.store.run(house.tenant, first.run_id)).status is RunStatus.RUNNING
    await house.store.change(second.ref, house.settling(second.token))


async def test_a_claim_that_its_worker_never_marked_is_run_by_another_as_the_first_attempt(house: House) -> None:
    await house.job()
    (first,) = await house.claim("w1")
    await house.expire_leases()
    (second,) = await house.claim("w2")
    assert (second.run_id, second.token) == (first.run_id, first.token + 1)
    change = await house.store.change(second.ref, house.beginning(second.token, "w2", second.lapsed_at))
    assert [(run.id, run.status, run.attempt) for run in change.runs] == [(first.run_id, RunStatus.RUNNING, 1)]
    assert await house.store.attempts(house.tenant, first.run_id) == []
    with pytest.raises(LeaseLostError):
        await house.store.change(first.ref, house.beginning(first.token))


async def test_what_a_transition_raises_leaves_nothing_behind(house: House) -> None:
    job = await house.job()
    before = await house.store.job(house.tenant, job.id)

    def explode(snapshot: Snapshot) -> Change:
        raise Conflict("no", "not now")

    with pytest.raises(Conflict):
        await house.store.change(JobRef(house.tenant, job.id), explode)
    assert await house.store.job(house.tenant, job.id) == before


async def test_one_error_does_not_spoil_the_batch(house: House) -> None:
    jobs = [await house.job() for _ in range(3)]
    claims = {claim.ref.job_id: claim for claim in await house.claim()}
    work = [
        (claims[job.id].ref, house.beginning(claims[job.id].token + (1 if number == 1 else 0)))
        for number, job in enumerate(jobs)
    ]
    work.append((JobRef(house.tenant, "job_none"), untouched))
    answers = await house.store.change_many(work)
    kinds = [type(answer) for answer in answers]
    assert kinds == [Change, LeaseLostError, Change, NotFound]
    states = [(await house.store.run(house.tenant, claims[job.id].run_id)).status for job in jobs]
    assert states == [RunStatus.RUNNING, RunStatus.CLAIMED, RunStatus.RUNNING]


async def test_changes_of_one_job_wait_for_each_other(house: House) -> None:
    job = await house.job()

    def count(snapshot: Snapshot) -> Change:
        schedule = replace(snapshot.job.schedule, failures=snapshot.job.schedule.failures + 1)
        return Change(replace(snapshot.job, schedule=schedule), "begin")

    await asyncio.gather(*(house.store.change(JobRef(house.tenant, job.id), count) for _ in range(20)))
    assert (await house.store.job(house.tenant, job.id)).schedule.failures == 20


async def test_a_failed_run_lengthens_the_streak(house: House) -> None:
    job = await house.job()
    await house.run_once(RunStatus.FAILED)
    schedule = (await house.store.job(house.tenant, job.id)).schedule
    assert (schedule.failed_runs, schedule.failures) == (1, 1)


async def test_text_that_a_database_cannot_hold_is_kept_readable(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.store.change(claim.ref, house.beginning(claim.token))

    def with_nul(snapshot: Snapshot) -> Change:
        change = house.settling(claim.token)(snapshot)
        runs = tuple(replace(run, response_excerpt="a\0b") for run in change.runs)
        return replace(change, runs=runs)

    await house.store.change(claim.ref, with_nul)
    (run,) = (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=1)).items
    assert (run.response_excerpt or "").startswith("a")
