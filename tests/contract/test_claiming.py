"""Who gets which job: claims are disjoint, in order, fair when asked, and leave alone what must not run."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.entities import (
    RunStatus,
    Trigger,
)
from core.errors import LeaseLostError
from core.ids import bucket_of
from core.ports.store import RunFilter
from tests.contract.conftest import LEASE, House
from tests.unit.loop import definition


async def test_claiming_leases_the_job_and_makes_its_run(house: House) -> None:
    job = await house.job()
    claims = await house.store.claim("w1", limit=10, lease=LEASE)
    (claim,) = claims.jobs
    assert (claim.ref.job_id, claim.token) == (job.id, 1)
    run = await house.store.run(house.tenant, claim.run_id)
    assert (run.status, run.trigger, run.worker_id) == (RunStatus.CLAIMED, Trigger.SCHEDULED, "w1")
    assert job.schedule.slot is not None
    assert run.scheduled_for == job.schedule.slot.at
    assert await house.claim("w2") == ()
    lease = (await house.store.job(house.tenant, job.id)).schedule.lease
    assert lease is not None
    assert lease.worker_id == "w1"
    assert timedelta(seconds=29) < lease.until - claims.now <= timedelta(seconds=31)


async def test_a_job_that_is_not_due_is_not_claimed_but_announced(house: House) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    await house.job(definition(start_at=at))
    claims = await house.store.claim("w1", limit=10, lease=LEASE)
    assert (claims.jobs, claims.next_ready_at) == ((), at)


async def test_the_earliest_due_jobs_are_claimed_first(house: House) -> None:
    jobs = [await house.job() for _ in range(4)]
    claimed = [claim.ref.job_id for claim in await house.claim(limit=2)]
    assert set(claimed) == {job.id for job in jobs[:2]}


async def test_claims_can_be_limited_to_buckets(house: House) -> None:
    jobs = [await house.job() for _ in range(3)]
    wanted = [bucket_of(jobs[0].id)]
    claims = await house.store.claim("w1", limit=10, lease=LEASE, buckets=wanted)
    assert {bucket_of(claim.ref.job_id) for claim in claims.jobs} == set(wanted)


async def test_concurrent_claimers_get_disjoint_jobs_and_together_all(house: House) -> None:
    jobs = {(await house.job()).id for _ in range(40)}
    answers = await asyncio.gather(*(house.claim(f"w{n}", limit=15) for n in range(4)))
    claimed = Counter(claim.ref.job_id for answer in answers for claim in answer)
    claimed.update(claim.ref.job_id for claim in await house.claim("rest", limit=100))
    assert set(claimed) == jobs
    assert set(claimed.values()) == {1}


async def test_a_manual_run_goes_first_under_the_id_it_was_promised(house: House) -> None:
    job = await house.job(definition(start_at=datetime.now(UTC) + timedelta(hours=1)))
    asked = await house.jobs.run_now(house.tenant, job.id)
    (claim,) = await house.claim()
    assert claim.run_id == asked.id
    await house.store.change(claim.ref, house.beginning(claim.token))
    await house.store.change(claim.ref, house.settling(claim.token))
    (run,) = (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=5)).items
    assert (run.id, run.trigger, run.status) == (asked.id, Trigger.MANUAL, RunStatus.SUCCEEDED)


async def test_a_deleted_or_suspended_job_is_never_claimed(house: House) -> None:
    job = await house.job()
    await house.jobs.delete(house.tenant, job.id)
    assert await house.claim() == ()
    await house.job()
    await house.suspend()
    assert await house.claim() == ()


async def test_test_runs_are_claimed_once_and_settled_under_their_token(house: House) -> None:
    job = await house.job(definition(start_at=datetime.now(UTC) + timedelta(hours=1)))
    asked = await house.jobs.test(house.tenant, job.id)
    (claim,) = await house.store.claim_tests("w1", limit=5, lease=LEASE)
    assert (claim.run.id, claim.run.status, claim.job.id) == (asked.id, RunStatus.RUNNING, job.id)
    assert await house.store.claim_tests("w2", limit=5, lease=LEASE) == []
    done = replace(claim.run, status=RunStatus.SUCCEEDED, finished_at=await house.store.now())
    with pytest.raises(LeaseLostError):
        await house.store.settle_test(replace(claim, token=claim.token + 1), done)
    await house.store.settle_test(claim, done)
    assert (await house.store.run(house.tenant, asked.id)).status is RunStatus.SUCCEEDED
    assert await house.claim() == ()
