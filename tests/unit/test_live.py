"""Live updates: one look for all who follow a tenant, events to go on from, and an end when the process stops."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from api.live import Live
from core.ports.feed import News
from rubato.adapters.memory.feed import MemoryFeed
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop


class Counted:
    """A feed that tells of a change at every look, and counts them."""

    def __init__(self) -> None:
        self.looks = 0

    async def since(self, tenant_id: str, position: str | None) -> News:
        self.looks += 1
        return News(str(self.looks), () if position is None else (f"job_{self.looks}",), START)


async def taken(following: AsyncIterator[News], count: int) -> list[News]:
    return [await anext(following) for _ in range(count)]


async def test_a_reader_hears_of_a_change_and_where_to_go_on() -> None:
    loop = Loop()
    job = await loop.register()
    live = Live(MemoryFeed(loop.store), every_s=0.001)
    reader = live.follow(TENANT, None)
    (ready,) = await taken(reader, 1)
    assert ready.job_ids == ()
    await loop.jobs.pause(TENANT, job.id)
    while not (news := await anext(reader)).job_ids:
        pass
    assert news.job_ids == (job.id,)
    again = live.follow(TENANT, ready.position)
    assert (await anext(again)).job_ids == (job.id,)


async def test_many_readers_of_a_tenant_cost_one_look() -> None:
    feed = Counted()
    live = Live(feed, every_s=0.01)
    readers = [live.follow(TENANT, None) for _ in range(20)]
    for reader in readers:
        await anext(reader)
    begun = feed.looks
    await asyncio.gather(*(taken(reader, 5) for reader in readers))
    assert feed.looks - begun < 5 * len(readers) / 2


async def test_closing_ends_every_stream_at_once() -> None:
    live = Live(Counted(), every_s=60)
    reader = live.follow(TENANT, None)
    await anext(reader)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    live.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 5)


async def test_a_stream_ends_after_a_while_so_that_its_reader_says_again_who_it_is() -> None:
    live = Live(Counted(), every_s=0.001, longest_s=0.0)
    assert len([news async for news in live.follow(TENANT, None)]) == 1
