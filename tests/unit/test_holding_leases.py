"""What a worker holds: for how long it may rely on it, and what becomes of it when it stops."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from core.entities import Delivery, RunStatus
from core.errors import Unavailable
from core.events import StaleWriteRefused
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition, failing, instead
from tests.unit.virtual import VirtualClock, VirtualHouse, play

LEASE_S = 60.0


async def settle_down() -> None:
    """Let what was cancelled end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_request_longer_than_its_lease_goes_on_while_the_lease_is_renewed() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    for _ in range(12):
        loop.clock.advance(LEASE_S / 4)
        await loop.worker.renew_once()
        loop.worker.check_leases()
        assert (await loop.new_worker("worker_2").run_once()).claimed == 0
    await loop.answer()
    run = (await loop.runs(job))[0]
    assert (run.status, run.attempt, len(loop.dispatcher.sent)) == (RunStatus.SUCCEEDED, 1, 1)


async def test_a_request_whose_lease_cannot_be_renewed_is_cancelled_before_the_lease_ends() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    failing(loop, "renew", [Unavailable("gone")] * 9)
    loop.clock.advance(LEASE_S * 11 / 12 - 1)
    with pytest.raises(Unavailable):
        await loop.worker.renew_once()
    loop.worker.check_leases()
    await settle_down()
    assert loop.worker.in_flight == 1
    loop.clock.advance(1)
    loop.worker.check_leases()
    await settle_down()
    assert loop.worker.in_flight == 0
    assert (await loop.runs(job))[0].status is RunStatus.RUNNING  # uncertain; another decides when the lease has ended
    assert (await loop.new_worker("worker_2").run_once()).claimed == 0
    loop.dispatcher.answers.set()


def hanging_mark(loop: Loop, seconds: float) -> None:
    """Let the answer to a mark come late."""

    async def hanging(as_it_is: Callable[..., Awaitable[object]], *args: object, **kwargs: object) -> object:
        answer = await as_it_is(*args, **kwargs)
        loop.clock.advance(seconds)
        return answer

    instead(loop, "start", hanging)


async def test_a_request_whose_mark_hung_leaves_with_a_fresh_lease() -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=600))
    hanging_mark(loop, LEASE_S * 11 / 12 - 1)
    await loop.send()
    await settle_down()
    assert len(loop.dispatcher.sent) == 1
    loop.clock.advance(LEASE_S / 4 - 1)
    assert (await loop.new_worker("worker_2").run_once()).claimed == 0
    await loop.answer()
    assert [(run.status, run.attempt) for run in await loop.runs(job)] == [(RunStatus.SUCCEEDED, 1)]


async def test_a_request_whose_mark_hung_does_not_leave_when_its_lease_cannot_be_renewed() -> None:
    loop = Loop()
    await loop.register()
    hanging_mark(loop, LEASE_S * 11 / 12 - 1)
    failing(loop, "renew", [Unavailable("gone")])
    await loop.send()
    await settle_down()
    assert loop.dispatcher.sent == []


async def test_a_request_whose_lease_is_another_workers_is_cancelled_at_the_renewal() -> None:
    loop = Loop()
    await loop.register()
    await loop.send()
    loop.clock.advance(LEASE_S + 1)
    second = loop.new_worker("worker_2")
    await loop.send(second)
    await loop.worker.renew_once()
    await settle_down()
    assert (loop.worker.in_flight, second.in_flight) == (0, 1)
    assert len(loop.events.of(StaleWriteRefused)) == 1
    await loop.answer(second)


def test_a_worker_that_stops_gives_back_what_it_held_and_waits_for_what_is_out() -> None:
    async def story(house: VirtualHouse) -> None:
        held = await house.register(definition(10, start_at=START + timedelta(seconds=0.4)))
        out = await house.register(definition())
        house.dispatcher.answers.clear()
        await house.worker.run_once()
        await asyncio.sleep(0.1)
        assert (house.worker.held, house.worker.in_flight) == (1, 1)
        await house.worker.close()
        assert (house.worker.held, house.worker.in_flight) == (0, 1)
        assert (await house.worker.run_once()).claimed == 0
        assert await house.runs(held) == []
        assert (await house.looking_ahead("worker_2").run_once()).claimed == 1
        house.dispatcher.answers.set()
        assert await house.worker.drain(25) == 0
        assert [run.status for run in await house.runs(out)] == [RunStatus.SUCCEEDED]

    play(story)


async def test_what_is_out_when_the_drain_ends_is_uncertain_and_its_delivery_decides() -> None:
    loop = Loop()
    jobs = [await loop.register(definition(delivery=delivery)) for delivery in Delivery]
    await loop.send()
    await loop.worker.close()
    assert await loop.worker.drain(0) == 2
    loop.dispatcher.answers.set()
    loop.clock.advance(LEASE_S + 1)
    second = loop.new_worker("worker_2")
    await second.run_once()
    assert await second.drain(5) == 0
    ends = {job.definition.delivery: (await loop.runs(job))[0].status for job in jobs}
    assert ends == {Delivery.AT_LEAST_ONCE: RunStatus.SUCCEEDED, Delivery.AT_MOST_ONCE: RunStatus.UNKNOWN}


@pytest.mark.parametrize("skew_s", [-86_400.0, -3.0, 3.0, 86_400.0])
def test_the_hosts_wall_clock_has_no_say_in_when_a_run_is_sent(skew_s: float) -> None:
    class SkewedClock(VirtualClock):
        def now(self) -> datetime:
            return super().now() + timedelta(seconds=skew_s)

    async def story(house: VirtualHouse) -> None:
        job = await house.register(definition(10, start_at=START + timedelta(seconds=0.4)))
        worker = house.looking_ahead("worker_1")
        worker.clock = SkewedClock()
        service = house.service(worker)
        await service.start()
        await asyncio.sleep(25)
        await service.stop()
        assert [round(at, 6) for at, _ in house.sent] == [0.4, 10.4, 20.4]
        assert [(run.started_at, run.status) for run in await house.runs(job)] == [
            (run.scheduled_for, RunStatus.SUCCEEDED) for run in await house.runs(job)
        ]

    play(story)


async def test_a_live_lease_is_never_touched_however_long_its_run_takes() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    for _ in range(80):  # twenty minutes: longer than a stale run is waited for
        loop.clock.advance(LEASE_S / 4)
        await loop.worker.renew_once()
    assert (await loop.new_worker("worker_2").run_once()).claimed == 0
    (run,) = await loop.runs(job)
    assert (run.status, run.worker_id) == (RunStatus.RUNNING, "worker_1")
    assert await loop.store.attempts(TENANT, run.id) == []
    await loop.answer()
