"""Workers that claim by token lease buckets: disjoint, evenly, all of them, and again after a worker is gone."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from core.ids import BUCKETS
from rubato.adapters.postgres.buckets import RANGE, BucketRanges, Range, divide
from rubato.adapters.postgres.engine import Engine

RANGES = BUCKETS // RANGE


async def settled(*workers: BucketRanges) -> list[list[int]]:
    """Let everybody turn twice: those who have too much give back, those who have too little find it."""
    for worker in workers:
        await worker.hold()
    return [await worker.hold() for worker in workers]


async def test_workers_share_all_buckets_evenly_and_none_twice(engine: Engine) -> None:
    workers = [BucketRanges(engine, f"w{number}") for number in range(3)]
    assert [len(held) for held in await settled(workers[0])] == [BUCKETS]
    shares = await settled(*workers)
    assert sorted(itertools.chain(*shares)) == list(range(BUCKETS))
    assert {len(share) for share in shares} <= {20 * RANGE, 22 * RANGE}


async def test_a_worker_that_leaves_is_followed_at_once(engine: Engine) -> None:
    first, second = BucketRanges(engine, "first"), BucketRanges(engine, "second")
    await settled(first, second)
    await first.leave()
    assert len(await second.hold()) == BUCKETS


async def test_a_dead_workers_buckets_are_free_when_its_lease_ends(engine: Engine) -> None:
    dead, alive = BucketRanges(engine, "dead"), BucketRanges(engine, "alive")
    shares = await settled(dead, alive)
    assert len(shares[1]) == BUCKETS // 2
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE bucket_ranges SET until = now() WHERE holder = 'dead'"))
        await connection.execute(text("UPDATE bucket_claimers SET until = now() WHERE worker_id = 'dead'"))
    assert len(await alive.hold()) == BUCKETS
    assert await dead.hold() == []


ranges = st.builds(
    lambda states: [
        Range(n * RANGE, n, is_mine=each == "mine", is_free=each == "free") for n, each in enumerate(states)
    ],
    st.lists(st.sampled_from(["mine", "free", "another's"]), min_size=RANGES, max_size=RANGES),
)


@given(ranges, st.integers(0, 200))
def test_nobody_holds_more_than_an_even_share_or_what_is_anothers(found: list[Range], claimers: int) -> None:
    keep, drop = divide(found, claimers)
    anothers = {each.bucket for each in found if not each.is_mine and not each.is_free}
    mine = {each.bucket for each in found if each.is_mine}
    assert not anothers & {*keep, *drop}
    assert not set(keep) & set(drop)
    assert mine <= {*keep, *drop}
    assert len(keep) * max(1, claimers) < RANGES + max(1, claimers)
