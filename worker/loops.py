"""The loops of a worker, each a service: run what is due, renew leases, plan what has settled, keep the tables
and what others left behind."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from core.events import LoopTurned
from core.ports.clock import Clock
from core.ports.events import Events
from core.usecases.notify import Notify
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue, Turn
from worker.service import Service

FULL_WAIT_S = 0.05  # while every place is taken; room that appears ends the wait
CLAIM_GAP_S = 0.005  # between two claims: what becomes due meanwhile shares one
UNCLAIMABLE_WAIT_S = 0.25  # while what is due cannot be had: its tenant is suspended, or another worker is at it
PLAN_POLL_S = 1.0  # a settled run in another process wakes nobody; planning may come this late
ALLOWANCES_S = 15.0  # a tenant exceeds its runs of a day by what it starts in this time
MAINTENANCE_S = 600.0
DELIVER_POLL_S = 2.0  # a notice may come this late
LOOK_S = 15.0  # between two looks for what is wrong, by one worker of all
REAP_S = 60.0  # a run is stale after 15 minutes
RENEWALS_A_LEASE = 4
LEASE_CHECKS_A_LEASE = 24


def run_service(runs: RunDue, clock: Clock, events: Events, *, poll: timedelta) -> Service:
    """Claim and start what is due; sleep to the next due instant or a wake-up, at most `poll`."""
    wakes_at = announced = 0.0  # on the monotonic clock

    async def turn() -> float:
        nonlocal wakes_at, announced
        announced = float("inf")
        done = await runs.run_once()
        events.emit(LoopTurned("run"))
        now = clock.monotonic()
        seconds = _until_next(done, poll.total_seconds())
        seconds = min(
            seconds, max(announced - now, CLAIM_GAP_S)
        )  # what was told meanwhile, the claim may not have seen
        wakes_at = now + seconds
        return seconds

    service = Service("run", turn, events)

    def ready(seconds: float) -> None:
        nonlocal announced
        at = clock.monotonic() + seconds - runs.ahead.total_seconds() / 2
        announced = min(announced, at)
        if at < wakes_at:
            service.wake()

    runs.on_ready = ready
    runs.on_room = service.wake
    return service


def _until_next(done: Turn, poll_s: float) -> float:
    """Return how long to wait after a turn."""
    if done.is_full:
        return min(FULL_WAIT_S, poll_s)
    if done.has_more:
        return 0.0
    if done.next_in_s is None:
        return poll_s
    if done.next_in_s <= 0 and done.claimed == 0:
        return min(UNCLAIMABLE_WAIT_S, poll_s)
    return min(max(done.next_in_s, CLAIM_GAP_S), poll_s)


def renew_service(runs: RunDue, events: Events) -> Service:
    """Renew what this worker holds, four times a lease."""

    async def turn() -> float:
        await runs.renew_once()
        return runs.lease.total_seconds() / RENEWALS_A_LEASE

    return Service("renew", turn, events)


def lease_service(runs: RunDue, events: Events) -> Service:
    """Give up in time what could not be renewed; a service of its own, since a renewal may hang."""

    async def turn() -> float:
        runs.check_leases()
        return runs.lease.total_seconds() / LEASE_CHECKS_A_LEASE

    return Service("leases", turn, events)


def bucket_service(
    runs: RunDue,
    hold: Callable[[], Awaitable[list[int]]],
    leave: Callable[[], Awaitable[None]],
    wake: Callable[[], None],
    events: Events,
    *,
    every: timedelta,
) -> Service:
    """Let the run loop claim from the buckets that this worker holds, and from none before it holds any."""
    runs.buckets = []

    async def turn() -> float:
        held = await hold()
        if held != runs.buckets:
            runs.buckets = held
            wake()
        return every.total_seconds()

    return Service("buckets", turn, events, last=leave)


def plan_service(plans: PlanDue, events: Events, *, poll: timedelta) -> Service:
    """Plan jobs whose runs have settled."""

    async def turn() -> float:
        count = await plans.run_once()
        events.emit(LoopTurned("plan"))
        return 0.0 if count else min(PLAN_POLL_S, poll.total_seconds())

    return Service("plan", turn, events)


def maintenance_service(make_partitions: Callable[[], Awaitable[object]], events: Events) -> Service:
    """Make the coming days' partitions."""
    return _repeated("maintenance", make_partitions, events, MAINTENANCE_S)


def reap_service(reap: Callable[[], Awaitable[object]], events: Events) -> Service:
    """End runs that nobody holds any more."""
    return _repeated("reap", reap, events, REAP_S)


def _repeated(name: str, work: Callable[[], Awaitable[object]], events: Events, seconds: float) -> Service:
    async def turn() -> float:
        await work()
        return seconds

    return Service(name, turn, events)


def allowance_service(hold: Callable[[], Awaitable[object]], events: Events) -> Service:
    """Keep tenants to their runs of a day."""
    return _repeated("allowances", hold, events, ALLOWANCES_S)


def look_service(notify: Notify, is_mine: Callable[[], Awaitable[bool]], events: Events) -> Service:
    """Look for what is wrong, where it is this worker that does."""

    async def turn() -> float:
        if await is_mine():
            await notify.find_once()
        return LOOK_S

    return Service("look", turn, events)


def deliver_service(notify: Notify, events: Events) -> Service:
    """Deliver notices."""

    async def turn() -> float:
        return 0.0 if await notify.deliver_once() else DELIVER_POLL_S

    return Service("deliver", turn, events)
