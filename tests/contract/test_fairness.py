"""Shares of a claim: between tenants, without some of them, within buckets."""

from collections import Counter
from datetime import timedelta

import pytest

from core.ids import bucket_of
from tests.contract.conftest import AHEAD, LEASE, House

NOW = timedelta(0)


async def crowd(house: House, *, heavy: int, light: int) -> None:
    """Register many jobs of one tenant, and then few of another's; all are due."""
    for _ in range(heavy):
        await house.job(tenant="ten_a")
    for _ in range(light):
        await house.job(tenant="ten_b")


async def tenants(house: House, limit: int, **how: object) -> Counter[str]:
    """Claim, and count by tenant."""
    return Counter(claim.ref.tenant_id for claim in await house.claim(limit=limit, **how))


async def test_the_earliest_go_first_unless_a_fair_claim_is_asked_for(house: House) -> None:
    await crowd(house, heavy=8, light=2)
    assert await tenants(house, 2) == {"ten_a": 2}
    assert await tenants(house, 4, is_fair=True) == {"ten_a": 2, "ten_b": 2}


async def test_a_tenant_with_one_due_job_gets_it_into_the_smallest_fair_claim(house: House) -> None:
    await crowd(house, heavy=9, light=1)
    assert await tenants(house, 2, is_fair=True) == {"ten_a": 1, "ten_b": 1}


@pytest.mark.parametrize("is_fair", [False, True])
async def test_a_claim_without_a_tenant_leaves_its_jobs_and_reaches_past_them(house: House, is_fair: bool) -> None:
    await crowd(house, heavy=6, light=3)
    assert await tenants(house, 5, is_fair=is_fair, without=("ten_a",)) == {"ten_b": 3}
    assert await tenants(house, 9, is_fair=is_fair, without=("ten_a", "ten_b")) == {}
    assert await tenants(house, 9, is_fair=is_fair) == {"ten_a": 6}


@pytest.mark.parametrize("ahead", [NOW, AHEAD])
@pytest.mark.parametrize("is_fair", [False, True])
async def test_a_claim_keeps_to_its_buckets_however_it_is_made(house: House, is_fair: bool, ahead: timedelta) -> None:
    jobs = [await house.job() for _ in range(6)] if ahead == NOW else [await house.coming() for _ in range(6)]
    mine = sorted({bucket_of(job.id) for job in jobs})[:2]
    claims = await house.claim(limit=9, ahead=ahead, is_fair=is_fair, buckets=mine)
    assert {claim.ref.job_id for claim in claims} == {job.id for job in jobs if bucket_of(job.id) in mine}
    assert await house.claim(limit=9, ahead=ahead, is_fair=is_fair, buckets=()) == ()
    rest = await house.claim(limit=9, ahead=ahead, is_fair=is_fair)
    assert len(claims) + len(rest) == len(jobs)


async def test_a_limit_that_was_reached_says_that_more_is_due(house: House) -> None:
    await crowd(house, heavy=3, light=0)
    claims = await house.store.claim("w1", limit=2, lease=LEASE)
    assert claims.next_ready_at is not None
    assert (len(claims.jobs), claims.next_ready_at <= claims.now) == (2, True)


async def test_a_suspended_tenants_backlog_costs_the_others_nothing(house: House) -> None:
    await crowd(house, heavy=5, light=2)
    await house.suspend("ten_a")
    assert await tenants(house, 2) == {"ten_b": 2}
