"""The run loop at its worst moments: a reply that never came, a process that slept, a renewal beside a settlement."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from core.entities import Job, RunStatus
from core.errors import Unavailable
from core.events import StaleWriteRefused
from core.usecases.run_due import RunDue
from tests.unit.loop import TENANT, Loop

LEASE = timedelta(seconds=60)
Fault = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


@dataclass
class Unlucky:
    """A store, some of whose calls meet a fault: `faults[name]` are used up one a call."""

    store: Any
    faults: dict[str, list[Fault]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def call(*args: Any, **options: Any) -> Any:
            waiting = self.faults.get(name)
            if not waiting:
                return await method(*args, **options)
            return await waiting.pop(0)(lambda: method(*args, **options))

        return call


async def is_lost(call: Callable[[], Awaitable[Any]]) -> Any:
    """The request never arrives."""
    raise Unavailable("the line broke")


async def reply_is_lost(call: Callable[[], Awaitable[Any]]) -> Any:
    """It is done, but the answer never comes."""
    await call()
    raise Unavailable("the line broke")


@dataclass
class Scene:
    """A house with one worker on an unlucky store."""

    loop: Loop
    store: Unlucky
    worker: RunDue

    async def turn(self) -> None:
        """One turn, with everything let out."""
        await self.worker.run_once()
        assert await self.worker.drain(5) == 0

    async def due(self, **fields: object) -> Job:
        """Register a job that is due at once."""
        return await self.loop.register()


@pytest.fixture
def scene() -> Scene:
    loop = Loop()
    store = Unlucky(loop.store)
    worker = RunDue(store, loop.dispatcher, loop.cron, loop.clock, loop.ids, loop.events, worker_id="worker_1")  # type: ignore[arg-type]  # it stands for any store
    return Scene(loop, store, worker)


async def test_places_are_counted_once_when_half_a_batch_begins_before_the_store_goes(scene: Scene) -> None:
    manual, plain = await scene.due(), await scene.due()
    await scene.turn()
    await scene.loop.until_slot(plain)
    await scene.loop.jobs.run_now(TENANT, manual.id)
    scene.store.faults["change_many"] = [is_lost]
    await scene.turn()
    assert len(scene.loop.dispatcher.sent) == 4
    assert scene.worker._places.taken == 0


async def test_a_worker_that_slept_beyond_its_lease_does_not_send_what_it_had_marked(scene: Scene) -> None:
    job = await scene.due()

    async def sleeps(call: Callable[[], Awaitable[Any]]) -> Any:
        answer = await call()
        scene.loop.clock.advance(LEASE.total_seconds() + 1)
        return answer

    scene.store.faults["start"] = [sleeps]
    await scene.turn()
    assert scene.loop.dispatcher.sent == []
    assert (scene.worker.in_flight, scene.worker._places.taken) == (0, 0)
    scene.worker = scene.loop.new_worker("worker_2")
    await scene.turn()
    first = (await scene.loop.runs(job))[0]
    assert (first.status, first.attempt) == (RunStatus.SUCCEEDED, 2)


async def test_a_run_that_settles_during_a_renewal_is_no_stale_write(scene: Scene) -> None:
    await scene.due()
    renewing, settled = asyncio.Event(), asyncio.Event()

    async def is_slow(call: Callable[[], Awaitable[Any]]) -> Any:
        renewing.set()
        await settled.wait()
        return await call()

    answers = asyncio.Event()
    plain_send = scene.loop.dispatcher.send

    async def send(request: Any) -> Any:
        await answers.wait()
        return await plain_send(request)

    scene.loop.dispatcher.send = send  # type: ignore[method-assign]
    scene.store.faults["renew"] = [is_slow]
    await scene.worker.run_once()
    while not scene.worker.in_flight:  # noqa: ASYNC110 - the mark takes a few turns of the loop
        await asyncio.sleep(0)
    renewal = asyncio.get_running_loop().create_task(scene.worker.renew_once())
    await renewing.wait()
    answers.set()
    assert await scene.worker.drain(5) == 0
    settled.set()
    await renewal
    assert scene.loop.events.of(StaleWriteRefused) == []


@pytest.mark.parametrize("fault", [is_lost, reply_is_lost], ids=lambda fault: fault.__name__)
async def test_an_answer_whose_recording_was_in_doubt_is_recorded_once_and_never_discarded(
    scene: Scene, fault: Fault
) -> None:
    job = await scene.due()
    scene.store.faults["change_many"] = [fault]
    await scene.turn()
    (run,) = await scene.loop.runs(job)
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 1)
    assert await scene.loop.store.attempts(TENANT, run.id) == []
    assert scene.loop.events.of(StaleWriteRefused) == []


async def test_a_batch_is_not_recorded_again_because_its_refusals_could_not_be_kept(scene: Scene) -> None:
    lost, kept = await scene.due(), await scene.due()

    async def another_takes_one(call: Callable[[], Awaitable[Any]]) -> Any:
        job = scene.loop.store._jobs[lost.id]
        scene.loop.store._jobs[lost.id] = replace(job, schedule=replace(job.schedule, token=job.schedule.token + 1))
        return await call()

    scene.store.faults["change_many"] = [another_takes_one]
    scene.store.faults["add_attempts"] = [is_lost]
    await scene.turn()
    (run,) = await scene.loop.runs(kept)
    assert await scene.loop.store.attempts(TENANT, run.id) == []
    (discarded,) = await scene.loop.store.attempts(TENANT, (await scene.loop.runs(lost))[0].id)
    assert discarded.status == "discarded"
    assert len(scene.loop.events.of(StaleWriteRefused)) == 1
