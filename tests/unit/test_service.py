"""The one life of a service: safe twice and before its start, backing off when a turn raises, woken early."""

import asyncio

from core.events import LoopFailed
from tests.unit.fakes import EventLog
from worker import service as module
from worker.service import Service

LONG_S = 3600.0


class Turns:
    """A turn that counts, does what it is told, and lets a test wait for the n-th."""

    def __init__(self, *, rests_s: float = LONG_S, fails: int = 0) -> None:
        self.count, self.rests_s, self.fails = 0, rests_s, fails
        self.reached: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self) -> float:
        self.count += 1
        self.reached.put_nowait(self.count)
        if self.count <= self.fails:
            raise RuntimeError("the database is in the garden")
        return self.rests_s

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while await self.reached.get() < count:
                pass


async def test_stopping_before_the_start_does_nothing() -> None:
    service = Service("run", Turns(), EventLog())
    await service.stop()
    assert not service.is_running


async def test_starting_twice_turns_once_and_stopping_twice_is_safe() -> None:
    turns = Turns()
    service = Service("run", turns, EventLog())
    await service.start()
    await service.start()
    await turns.until(1)
    alive = [service.is_running]
    await service.stop()
    await service.stop()
    assert [*alive, service.is_running] == [True, False]
    assert turns.count == 1


async def test_a_stopped_service_can_start_again() -> None:
    turns = Turns()
    service = Service("run", turns, EventLog())
    for life in (1, 2):
        await service.start()
        await turns.until(life)
        await service.stop()
    assert turns.count == 2


async def test_a_wake_up_ends_the_wait() -> None:
    turns = Turns()
    service = Service("run", turns, EventLog())
    await service.start()
    await turns.until(1)
    service.wake()
    await turns.until(2)
    await service.stop()


async def test_a_wake_up_during_a_turn_is_not_lost() -> None:
    begun, go_on, again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def turn() -> float:
        if begun.is_set():
            again.set()
            return LONG_S
        begun.set()
        await go_on.wait()
        return LONG_S

    service = Service("run", turn, EventLog())
    await service.start()
    await begun.wait()
    service.wake()
    go_on.set()
    async with asyncio.timeout(10):
        await again.wait()
    await service.stop()


async def test_a_failing_turn_is_reported_and_the_loop_goes_on() -> None:
    turns, events = Turns(fails=1), EventLog()
    service = Service("plan", turns, events)
    await service.start()
    await turns.until(1)
    service.wake()
    await turns.until(2)
    await service.stop()
    assert events.events == [LoopFailed("plan", "RuntimeError: the database is in the garden")]


async def test_failures_in_a_row_wait_longer_up_to_a_limit() -> None:
    turns, waits = Turns(fails=7), []
    service = Service("plan", turns, EventLog())

    async def rest(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    service._rest = rest  # type: ignore[method-assign]
    await service.start()
    await turns.until(8)
    await service.stop()
    assert waits[:7] == [1.0, 2.0, *[module.LONGEST_FAILED_WAIT_S] * 5]
    assert module.LONGEST_FAILED_WAIT_S < 5  # the bar of recovery after an outage
    assert waits[7] == LONG_S


async def test_a_stop_lets_the_present_turn_end() -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), []

    async def turn() -> float:
        begun.set()
        await go_on.wait()
        ended.append(True)
        return LONG_S

    service = Service("run", turn, EventLog())
    await service.start()
    await begun.wait()
    stop = asyncio.create_task(service.stop())
    await asyncio.sleep(0)
    assert not stop.done()
    go_on.set()
    await stop
    assert ended == [True]


async def test_a_stop_that_is_cut_off_cuts_off_the_turn() -> None:
    begun, cut = asyncio.Event(), []

    async def turn() -> float:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(True)
            raise
        return LONG_S

    service = Service("plan", turn, EventLog())
    await service.start()
    await begun.wait()
    stop = asyncio.create_task(service.stop())
    await asyncio.sleep(0)
    stop.cancel()
    await asyncio.wait([stop])
    assert stop.cancelled()
    assert cut == [True]
    assert not service.is_running
