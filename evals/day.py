"""The demo's day on a virtual clock: what adapting costs and brings against the bare baseline, with the real use cases.

One world, one realisation: a first look, no proof. Requests are what a tempo costs; the delay from a change of phase to
the first run that sees it is what it brings.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from core.entities import Definition, PlannerMode, RunStatus, Trigger
from core.events import Event
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.quota import QuotaWindow, Reservation
from core.ports.store import RunFilter
from core.usecases.manage_jobs import ManageJobs
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from planner.llm import OfflinePlanner
from rubato.adapters.cron import CroniterCron
from rubato.adapters.memory.store import MemoryStore
from rubato.demo.day import DAY_S, phase_at, queue_reply
from rubato.demo.jobs import demo_definitions

BEGUN = datetime(2026, 1, 5, tzinfo=UTC)
TENANT = "ten_eval"


@dataclass
class VirtualClock:
    """Stands still but when it is moved."""

    at: datetime = BEGUN

    def now(self) -> datetime:
        """Return the virtual instant."""
        return self.at

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return (self.at - BEGUN).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Let others run; nobody waits here."""
        await asyncio.sleep(0)


@dataclass
class CountingIds:
    """Ids that repeat from run to run."""

    count: int = 0

    def entropy(self) -> str:
        """Return the next number."""
        self.count += 1
        return f"{self.count:016d}"


@dataclass(frozen=True)
class World:
    """The demo target as a pure function of virtual time."""

    clock: VirtualClock

    async def send(self, request: HttpRequest) -> HttpResult:
        """Answer at once."""
        reply = queue_reply(self.clock.monotonic(), self.clock.now())
        retry_after = dict(reply.headers).get("retry-after")
        return HttpResult(
            reply.status, 5, 4, reply.body, len(reply.body), retry_after=retry_after, content_type="application/json"
        )

    async def close(self) -> None:
        """Close nothing."""


class Unlimited:
    """A quota without limits: the offline policy costs nothing."""

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation:
        """Say yes."""
        return Reservation("free", tenant_id, job_id, tokens, BEGUN)

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        """Count nothing."""

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        """Name none."""
        return []


@dataclass
class Silent:
    """Takes events and keeps none."""

    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Take one."""


@dataclass(frozen=True)
class Score:
    """What a policy cost and brought. Delays in seconds, from a change of phase to the first run after it."""

    policy: str
    requests: int
    failures: int
    during_maintenance: int
    mean_delay_s: float
    worst_delay_s: float


async def live_through(policy: str, made: Definition, days: int) -> Score:
    """Run one job through that many days."""
    clock, ids, cron, events = VirtualClock(), CountingIds(), CroniterCron(), Silent()
    store = MemoryStore(clock, ids)
    store.add_tenant(TENANT)
    worker = RunDue(store, World(clock), cron, clock, ids, events, worker_id="eval")
    plans = PlanDue(store, OfflinePlanner(), Unlimited(), cron, clock, ids, events)
    job, _ = await ManageJobs(store, cron, ids).register(TENANT, made)
    end = BEGUN + timedelta(seconds=days * DAY_S)
    while True:
        ready_at = (await store.job(TENANT, job.id)).schedule.ready_at
        if ready_at is None or ready_at >= end:
            break
        clock.at = max(clock.at, ready_at)
        await worker.run_once()
        await worker.drain(10)
        await plans.run_once()
    page = await store.runs(TENANT, RunFilter(job_id=job.id), limit=10**9)
    sent = [run for run in reversed(page.items) if run.trigger is not Trigger.TEST and run.skip_reason is None]
    seconds = [(run.scheduled_for - BEGUN).total_seconds() for run in sent]
    delays = list(_delays(seconds, days))
    return Score(
        policy=policy,
        requests=len(sent),
        failures=sum(run.status is RunStatus.FAILED for run in sent),
        during_maintenance=sum(phase_at(second) == "maintenance" for second in seconds),
        mean_delay_s=sum(delays) / len(delays),
        worst_delay_s=max(delays),
    )


async def compare(days: int) -> list[Score]:
    """Live through the same days on the baseline alone, and with the offline planner."""
    watched = demo_definitions("http://world.test", BEGUN)[0]
    return [
        await live_through("baseline alone", replace(watched, planner=PlannerMode.OFF), days),
        await live_through("offline planner", watched, days),
    ]


def render(scores: Iterable[Score], days: int) -> str:
    """Return the table."""
    lines = [
        f"The demo's order queue over {days} days of {DAY_S} s, on a virtual clock.",
        "",
        f"{'policy':<18}{'requests':>10}{'failures':>10}{'in maintenance':>16}{'mean delay s':>14}{'worst s':>9}",
    ]
    lines += [
        f"{score.policy:<18}{score.requests:>10}{score.failures:>10}{score.during_maintenance:>16}"
        f"{score.mean_delay_s:>14.1f}{score.worst_delay_s:>9.1f}"
        for score in scores
    ]
    return "\n".join(lines)


def _delays(seconds: list[float], days: int) -> Iterable[float]:
    """Yield, for each change of phase, how long it took until a run."""
    before = phase_at(0)
    for second in range(1, days * DAY_S):
        phase = phase_at(second)
        if phase != before:
            before = phase
            seen = next((run for run in seconds if run >= second), None)
            if seen is not None:
                yield seen - second
