"""Giving back a claim on a run that another worker had sent and never recorded."""

from datetime import UTC, datetime, timedelta

import pytest

from core.entities import RunStatus
from core.errors import LeaseLostError
from core.ports.store import Claimed, RunFilter
from tests.contract.conftest import LEASE, House


async def left_running(house: House) -> Claimed:
    """Return w2's claim on a run that w1 began and left."""
    await house.job()
    (first,) = await house.claim()
    assert await house.store.start("w1", [first])
    await house.expire_leases()
    (second,) = await house.claim("w2")
    return second


async def test_a_run_taken_over_and_given_back_is_free_at_once(house: House) -> None:
    second = await left_running(house)
    await house.store.release("w2", [(second.ref, second.token)])
    with pytest.raises(LeaseLostError):
        await house.store.change(second.ref, house.beginning(second.token, "w2", second.lapsed_at))
    (third,) = await house.claim("w3")
    assert third.run_id == second.run_id
    assert (await house.store.run(house.tenant, third.run_id)).status is RunStatus.RUNNING


async def test_a_run_taken_over_and_held_back_is_left_alone_for_that_long(house: House) -> None:
    second = await left_running(house)
    await house.store.release("w2", [(second.ref, second.token)], hold_back=timedelta(minutes=1))
    assert await house.claim("w3") == ()


async def test_releasing_gives_a_claim_back_without_a_trace(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.store.release("w1", [(claim.ref, claim.token)])
    assert (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=5)).items == []
    with pytest.raises(LeaseLostError):
        await house.store.change(claim.ref, house.beginning(claim.token))
    (again,) = await house.claim("w2")
    assert again.slot_at == claim.slot_at


async def test_renewing_extends_what_is_held_and_names_what_is_lost(house: House) -> None:
    jobs = [await house.job() for _ in range(2)]
    kept, lost = await house.claim()
    held = [(kept.ref, kept.token), (lost.ref, lost.token + 7)]
    assert await house.store.renew("w1", held, lease=timedelta(minutes=9)) == [lost.ref]
    assert await house.store.renew("w9", held[:1], lease=LEASE) == [kept.ref]
    lease = (await house.store.job(house.tenant, kept.ref.job_id)).schedule.lease
    assert lease is not None
    assert lease.until > datetime.now(UTC) + timedelta(minutes=8)
    assert len(jobs) == 2


async def test_a_claim_given_back_and_held_back_keeps_its_slot(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.store.release("w1", [(claim.ref, claim.token)], hold_back=timedelta(minutes=1))
    assert await house.claim("w2") == ()
    after = (await house.store.job(house.tenant, job.id)).schedule
    assert (after.slot, after.lease) == (job.schedule.slot, None)
    assert (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=5)).items == []


async def test_a_job_held_back_is_free_again_once_its_schedule_is_written(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.store.release("w1", [(claim.ref, claim.token)], hold_back=timedelta(minutes=1))
    asked = await house.jobs.run_now(house.tenant, job.id)
    (by_hand,) = await house.claim("w2")
    assert by_hand.run_id == asked.id


async def test_only_the_holder_gives_back_and_holds_back(house: House) -> None:
    await house.job()
    (first,) = await house.claim()
    await house.store.release("w9", [(first.ref, first.token)])
    await house.store.release("w1", [(first.ref, first.token + 1)], hold_back=timedelta(minutes=1))
    assert await house.store.renew("w1", [(first.ref, first.token)], lease=LEASE) == []
    await house.store.release("w1", [(first.ref, first.token)])
    (second,) = await house.claim("w2")
    await house.store.release("w1", [(first.ref, first.token)], hold_back=timedelta(minutes=1))
    assert await house.store.renew("w2", [(second.ref, second.token)], lease=LEASE) == []


async def test_a_manual_requests_row_stays_when_its_claim_is_given_back(house: House) -> None:
    job = await house.coming()
    asked = await house.jobs.run_now(house.tenant, job.id)
    (claim,) = await house.claim()
    await house.store.release("w1", [(claim.ref, claim.token)])
    assert (await house.store.run(house.tenant, asked.id)).status is RunStatus.CLAIMED
    (again,) = await house.claim("w2")
    assert again.run_id == asked.id
