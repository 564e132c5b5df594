"""The loops of a worker, each a service: run what is due, renew leases, plan what has settled, keep the tables."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from core.events import LoopTurned
from core.ports.clock import Clock
from core.ports.events import Events
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from worker.service import Service

FULL_WAIT_S = 0.02  # while every place is taken
UNCLAIMABLE_WAIT_S = 0.25  # while what is due cannot be had: its tenant is suspended, or another worker is at it
PLAN_POLL_S = 1.0  # a settled run in another process wakes nobody; planning may come this late
MAINTENANCE_S = 600.0
RENEWALS_A_LEASE = 4


def run_service(runs: RunDue, clock: Clock, events: Events, *, poll: timedelta) -> Service:
    """Claim and start what is due; sleep to the next due instant or a wake-up, at most `poll`."""
    wakes_at: list[float] = [0.0]  # on the monotonic clock
    offset: list[timedelta] = [timedelta(0)]  # what the store's clock is ahead of the host's

    async def turn() -> float:
        done = await runs.run_once()
        events.emit(LoopTurned("run"))
        offset[0] = done.now - clock.now()
        seconds = _until(done.next_ready_at, done.now, poll)
        if runs.in_flight >= runs.batch_size:
            seconds = FULL_WAIT_S
        elif done.claimed == 0:
            seconds = max(seconds, min(UNCLAIMABLE_WAIT_S, poll.total_seconds()))
        wakes_at[0] = clock.monotonic() + seconds
        return seconds

    service = Service("run", turn, events)

    def ready(at: datetime | None) -> None:
        if at is None:
            return
        due = clock.monotonic() + (at - clock.now() - offset[0]).total_seconds()
        if due < wakes_at[0]:
            service.wake()

    runs.on_ready = ready
    return service


def renew_service(runs: RunDue, events: Events) -> Service:
    """Renew what this worker holds, four times a lease."""

    async def turn() -> float:
        await runs.renew_once()
        return runs.lease.total_seconds() / RENEWALS_A_LEASE

    return Service("renew", turn, events)


def plan_service(plans: PlanDue, events: Events, *, poll: timedelta) -> Service:
    """Plan jobs whose runs have settled."""

    async def turn() -> float:
        count = await plans.run_once()
        events.emit(LoopTurned("plan"))
        return 0.0 if count else min(PLAN_POLL_S, poll.total_seconds())

    return Service("plan", turn, events)


def maintenance_service(make_partitions: Callable[[], Awaitable[object]], events: Events) -> Service:
    """Make the coming days' partitions."""

    async def turn() -> float:
        await make_partitions()
        return MAINTENANCE_S

    return Service("maintenance", turn, events)


def _until(at: datetime | None, now: datetime, poll: timedelta) -> float:
    if at is None:
        return poll.total_seconds()
    return min(max((at - now).total_seconds(), 0.0), poll.total_seconds())
