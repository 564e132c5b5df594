"""Users at the API, at random: they register, edit, pause, resume, hint, run by hand, cancel, test, delete, and
operators suspend tenants. Every write wakes the workers, mostly."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from core.entities import (
    Authority,
    Baseline,
    Bounds,
    Catchup,
    CronBaseline,
    Definition,
    Delivery,
    HintKind,
    HttpAction,
    IntervalBaseline,
    Job,
    OnceBaseline,
    PlannerMode,
)
from core.errors import RubatoError
from core.ports.store import RunFilter
from core.usecases.manage_hints import HintDraft, ManageHints
from core.usecases.manage_jobs import ManageJobs
from tests.simulation.target import MOODY, PLAIN
from tests.unit.fakes import START, FakeCron

POISON = "every 3"
TENANTS = ("tenant_a", "tenant_b")


def seconds(value: float) -> timedelta:
    """Return a span of whole milliseconds."""
    return timedelta(milliseconds=int(value * 1000))


def plain(rng: Random, number: int) -> Definition:
    """Return a job that nobody steers and whose target is always well: each of its fires must be accounted for."""
    every = pick(rng, (2, 4, 5, 6))
    baseline: Baseline = IntervalBaseline(timedelta(seconds=every)) if number % 2 else CronBaseline(f"every {every}")
    return Definition(
        name=f"plain {number}",
        action=HttpAction(f"{PLAIN}{number}", timeout=timedelta(seconds=10)),
        baseline=baseline,
        planner=PlannerMode.OFF,
        catchup=pick(rng, tuple(Catchup)),
        delivery=pick(rng, tuple(Delivery)),
    )


@dataclass
class PoisonedCron(FakeCron):
    """Fires as the fake does, but for one expression, of which it suddenly knows nothing. `at()`: seconds by the loop."""

    at: Callable[[], float] = lambda: 0.0
    poisoned_from_s: float = float("inf")

    def next_after(self, expression: str, timezone: str, after: datetime) -> datetime | None:
        if expression == POISON and self.at() >= self.poisoned_from_s:
            raise ZeroDivisionError("a bug in a cron library")
        return super().next_after(expression, timezone, after)


def poisonous(rng: Random) -> Definition:
    """Return a job that cannot be decided any more at some time."""
    delivery, catchup = pick(rng, tuple(Delivery)), pick(rng, tuple(Catchup))
    action = HttpAction(f"{MOODY}poison", timeout=timedelta(seconds=20))
    return Definition(name="poison", action=action, baseline=CronBaseline(POISON), delivery=delivery, catchup=catchup)


def any_definition(rng: Random, number: int, now_s: float) -> Definition:
    """Return a job of any kind."""
    every = seconds(2 + rng.random() * 10)
    draw = rng.random()
    baseline: Baseline
    if draw < 0.55:
        baseline = IntervalBaseline(every)
    elif draw < 0.8:
        baseline = CronBaseline(f"every {4 + int(rng.random() * 10)}")
    else:
        baseline = OnceBaseline(START + seconds(now_s + rng.random() * 30))
    low = seconds(1 + rng.random()) if rng.random() < 0.5 else None
    high = seconds(12 + rng.random() * 30) if rng.random() < 0.5 else None
    return Definition(
        name=f"job {number}",
        action=HttpAction(f"{MOODY}{number}", timeout=seconds(4 + rng.random() * 26)),
        baseline=baseline,
        bounds=Bounds(low, high),
        start_at=START + seconds(now_s + rng.random() * 8) if draw < 0.8 and rng.random() < 0.15 else None,
        end_at=START + seconds(now_s + 30 + rng.random() * 30) if rng.random() < 0.15 else None,
        max_runs=1 + int(rng.random() * 5) if rng.random() < 0.15 else None,
        splay=rng.random() < 0.6,
        retry_after_failure=seconds(0.5 + rng.random() * 3) if rng.random() < 0.4 else None,
        catchup=pick(rng, tuple(Catchup)),
        delivery=pick(rng, tuple(Delivery)),
        authority=Authority(rng.random() < 0.7, rng.random() < 0.7, rng.random() < 0.7),
        planner=pick(rng, (PlannerMode.ON, PlannerMode.ON, PlannerMode.OFF, PlannerMode.SHADOW)),
        store_responses=rng.random() < 0.8,
    )


def pick(rng: Random, items: Any) -> Any:
    """Return one of them."""
    return items[int(rng.random() * len(items))]


@dataclass
class People:
    """Acts until `until_s`. `steered`: the jobs they may touch. `suspend(tenant, reason or None)`; `wake()`."""

    rng: Random
    store: Any
    jobs: ManageJobs
    hints: ManageHints
    steered: list[Job]
    until_s: float
    note: Callable[..., None]
    suspend: Callable[[str, str | None], None]
    wake: Callable[[], None]
    count: int = 0

    async def act(self) -> None:
        """Do one thing after another, with pauses."""
        loop, rng = asyncio.get_running_loop(), self.rng
        while True:
            await asyncio.sleep(rng.random() * 3.5)
            if loop.time() >= self.until_s:
                return
            deed = pick(rng, _DEEDS)
            try:
                await getattr(self, deed)()
            except RubatoError as error:
                self.note("user", deed, type(error).__name__)
            else:
                self.count += 1
                self.note("user", deed)
                self.wake()

    def _job(self) -> Job:
        return pick(self.rng, self.steered)  # type: ignore[no-any-return]

    async def register(self) -> None:
        loop = asyncio.get_running_loop()
        tenant = pick(self.rng, TENANTS)
        number = 100 + len(self.steered)
        job, _ = await self.jobs.register(tenant, any_definition(self.rng, number, loop.time()))
        self.steered.append(job)

    async def edit(self) -> None:
        rng, job = self.rng, self._job()
        other = any_definition(rng, 0, asyncio.get_running_loop().time())
        fields = rng.random() < 0.5
        planner, authority, delivery = other.planner, other.authority, other.delivery

        def patch(old: Definition) -> Definition:
            if fields:
                return replace(old, baseline=other.baseline, start_at=None, end_at=None, bounds=other.bounds)
            return replace(old, planner=planner, authority=authority, delivery=delivery)

        await self.jobs.edit(job.tenant_id, job.id, patch)

    async def pause(self) -> None:
        rng, job = self.rng, self._job()
        until = await self.store.now() + seconds(0.2 + rng.random() * 12) if rng.random() < 0.7 else None
        await self.jobs.pause(job.tenant_id, job.id, until=until)

    async def resume(self) -> None:
        job = self._job()
        await self.jobs.resume(job.tenant_id, job.id)

    async def delete(self) -> None:
        job = self._job()
        if self.rng.random() < 0.4:
            await self.jobs.delete(job.tenant_id, job.id)

    async def run_now(self) -> None:
        job = self._job()
        await self.jobs.run_now(job.tenant_id, job.id)

    async def test(self) -> None:
        job = self._job()
        await self.jobs.test(job.tenant_id, job.id)

    async def hint(self) -> None:
        rng, job = self.rng, self._job()
        span, draw = seconds(0.2 + rng.random() * 20), rng.random()
        if draw < 0.5:
            draft = HintDraft(HintKind.INTERVAL, interval=span, ttl=seconds(1 + rng.random() * 30))
        elif draw < 0.8:
            draft = HintDraft(HintKind.NEXT_TIME, at=await self.store.now() + span)
        else:
            draft = HintDraft(HintKind.PAUSE, until=await self.store.now() + span)
        await self.hints.write(job.tenant_id, job.id, draft)

    async def clear(self) -> None:
        job = self._job()
        await self.hints.clear(job.tenant_id, job.id)

    async def cancel(self) -> None:
        job = self._job()
        page = await self.store.runs(job.tenant_id, RunFilter(job_id=job.id), limit=3)
        if page.items:
            await self.jobs.cancel(job.tenant_id, pick(self.rng, page.items).id)

    async def suspension(self) -> None:
        if self.rng.random() < 0.5:
            tenant = pick(self.rng, TENANTS)
            self.suspend(tenant, "unpaid")
            await asyncio.sleep(self.rng.random() * 8)
            self.suspend(tenant, None)


_DEEDS = (
    *("pause", "pause", "resume", "resume", "edit", "edit", "hint", "hint", "hint", "run_now", "run_now"),
    *("register", "delete", "test", "clear", "cancel", "cancel", "suspension"),
)
