"""Ending well: claiming stops at once, runs are waited for, and a second signal or the time limit cuts off the rest."""

import asyncio
import os
import signal
from dataclasses import dataclass, field

from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.store import JobFilter
from tests.unit.fakes import OK, EventLog
from tests.unit.loop import TENANT, Loop, cramped, definition
from worker.loops import renew_service
from worker.service import Service
from worker.supervisor import Supervisor, signals

LONG_S = 3600.0


@dataclass
class SlowTarget:
    """A dispatcher whose answers wait for `answer`."""

    sent: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, request: HttpRequest) -> HttpResult:
        self.sent.set()
        await self.answer.wait()
        return OK

    async def close(self) -> None:
        return None


async def a_run_in_flight(loop: Loop) -> tuple[SlowTarget, Service]:
    """Register a job, and start a run service whose request is out."""
    target = SlowTarget()
    loop.worker = loop.new_worker("worker_1", target)
    await loop.until_slot(await loop.register(definition()))

    async def turn() -> float:
        await loop.worker.run_once()
        return LONG_S

    service = Service("run", turn, loop.events)
    return target, service


async def statuses(loop: Loop) -> list[str]:
    """Return the states of the one job's runs."""
    (job,) = (await loop.store.jobs(TENANT, JobFilter(), limit=10)).items
    return [run.status.value for run in await loop.runs(job)]


async def ended(service: Service) -> None:
    """Wait for a service's loop to end."""
    task = service._task
    assert task is not None
    async with asyncio.timeout(10):
        await asyncio.wait([task])


async def test_a_stop_waits_for_the_answer_and_records_it() -> None:
    loop = Loop()
    target, service = await a_run_in_flight(loop)
    supervisor = Supervisor([service], loop.worker)
    await supervisor.start()
    await target.sent.wait()
    ready = [supervisor.is_ready]
    stop = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    assert [*ready, supervisor.is_ready] == [True, False]
    target.answer.set()
    await stop
    assert await statuses(loop) == ["succeeded"]
    assert not service.is_running


async def test_a_second_signal_leaves_the_run_uncertain_instead_of_waiting() -> None:
    loop, forced = Loop(), asyncio.Event()
    target, service = await a_run_in_flight(loop)
    supervisor = Supervisor([service], loop.worker)
    await supervisor.start()
    await target.sent.wait()
    forced.set()
    async with asyncio.timeout(10):
        await supervisor.stop(forced)
    assert await statuses(loop) == [
        "running"
    ]  # its lease ends, and another worker decides by the job's delivery policy
    assert loop.worker.in_flight == 0


async def test_the_drain_ends_at_its_limit() -> None:
    loop = Loop()
    target, service = await a_run_in_flight(loop)
    supervisor = Supervisor([service], loop.worker, drain_s=0.01)
    await supervisor.start()
    await target.sent.wait()
    async with asyncio.timeout(10):
        await supervisor.stop()
    assert loop.worker.in_flight == 0


async def test_a_planner_that_waits_for_its_model_does_not_keep_the_run_loop_claiming() -> None:
    planning = asyncio.Event()

    async def plan() -> float:
        planning.set()
        await asyncio.Event().wait()
        return LONG_S

    async def claim() -> float:
        return LONG_S

    plans, runs = Service("plan", plan, EventLog()), Service("run", claim, EventLog())
    supervisor, forced = Supervisor([plans, runs], None), asyncio.Event()
    await supervisor.start()
    await planning.wait()
    stop = asyncio.create_task(supervisor.stop(forced))
    await ended(runs)
    assert plans.is_running
    assert not stop.done()
    forced.set()
    async with asyncio.timeout(10):
        await stop
    assert not plans.is_running


async def test_leases_are_renewed_until_the_last_answer_is_in() -> None:
    loop = Loop()
    target, service = await a_run_in_flight(loop)
    renewals = renew_service(loop.worker, loop.events)
    supervisor = Supervisor([service, renewals], loop.worker)
    await supervisor.start()
    await target.sent.wait()
    stop = asyncio.create_task(supervisor.stop())
    await ended(service)
    assert renewals.is_running
    target.answer.set()
    await stop
    assert not renewals.is_running


async def test_stopping_before_the_start_and_twice_is_safe() -> None:
    supervisor = Supervisor([Service("run", _nothing, EventLog())], Loop().worker)
    await supervisor.stop()
    await supervisor.start()
    await supervisor.stop()
    await supervisor.stop()
    assert not supervisor.is_ready


async def test_the_first_signal_stops_and_the_second_forces() -> None:
    async with signals() as taken:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await taken.stop.wait()
        assert not taken.force.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(10):
            await taken.force.wait()


async def _nothing() -> float:
    return LONG_S


async def with_claims_held(loop: Loop) -> tuple[Supervisor, asyncio.Event]:
    """Return a worker with one request out, three claims held, and a planner that waits for its model."""
    await cramped(loop)

    async def plan() -> float:
        await asyncio.Event().wait()
        return LONG_S

    async def idle() -> float:
        return LONG_S

    services = [Service("plan", plan, loop.events), Service("run", idle, loop.events)]
    supervisor, forced = Supervisor(services, loop.worker, drain_s=5), asyncio.Event()
    await supervisor.start()
    await asyncio.sleep(0)
    return supervisor, forced


async def turns(count: int = 50) -> None:
    """Let others run."""
    for _ in range(count):
        await asyncio.sleep(0.001)


async def test_claims_are_given_back_at_once_though_a_planner_still_waits() -> None:
    loop = Loop()
    supervisor, forced = await with_claims_held(loop)
    stopping = asyncio.create_task(supervisor.stop(forced))
    await turns()
    assert loop.worker.held == 0
    loop.dispatcher.answers.set()
    await turns()
    assert len(loop.dispatcher.sent) == 1
    forced.set()
    await stopping


async def test_nothing_is_sent_after_the_second_signal() -> None:
    loop = Loop()
    supervisor, forced = await with_claims_held(loop)
    forced.set()
    await supervisor.stop(forced)
    loop.dispatcher.answers.set()
    await turns()
    assert (len(loop.dispatcher.sent), loop.worker.held) == (1, 0)
