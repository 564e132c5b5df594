"""Jobs for a load: registered as the API does it, written in bulk."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.entities import (
    Authority,
    Decision,
    Definition,
    Delivery,
    Entry,
    HttpAction,
    IntervalBaseline,
    Job,
    Limits,
    PlannerMode,
)
from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.cron import CroniterCron
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.changes import decision_row, insert_decisions, insert_job
from rubato.adapters.postgres.engine import connect, linked
from rubato.adapters.postgres.store import PostgresStore
from tests.chaos.evidence import Watched

TENANT = "ten_chaos"
BATCH = 500
LAST_S = 20.0  # of a request; what hangs is a failure well before the run ends
_LIMIT = timedelta(seconds=LAST_S)


@dataclass
class _Collecting(PostgresStore):
    """A store whose new jobs are kept for one big insert."""

    limits_known: Limits
    at: datetime
    made: list[tuple[Job, Decision]] = field(default_factory=list)

    async def now(self) -> datetime:
        return self.at

    async def limits(self, tenant_id: str) -> Limits:
        return self.limits_known

    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        self.made.append((job, decision))


async def register(url: str, define: Callable[[datetime], Iterable[Definition]]) -> list[Watched]:
    """Register what `define` makes of the database's clock; return what to expect of those with an interval."""
    engine = connect(url, application="chaos load")
    store = PostgresStore(engine, SystemIds())
    try:
        async with linked(engine) as link:
            await link.execute("INSERT INTO tenants (id, name) VALUES ($1, 'chaos') ON CONFLICT DO NOTHING", TENANT)
        collecting = _Collecting(await store.limits(TENANT), await store.now())
        manage = ManageJobs(collecting, CroniterCron(), SystemIds())
        for definition in define(collecting.at):
            await manage.register(TENANT, definition)
        for first in range(0, len(collecting.made), BATCH):
            batch = collecting.made[first : first + BATCH]
            async with linked(engine) as link:
                for job, _ in batch:
                    await insert_job(link, job)
                await insert_decisions(link, [decision_row(job, decision, "registration") for job, decision in batch])
    finally:
        await engine.dispose()
    return [watched for job, _ in collecting.made if (watched := _watched(job)) is not None]


def mixed(url: str, count: int, chance: random.Random, *, starts_in_s: float) -> Callable[[datetime], list[Definition]]:
    """Intervals of one to five seconds, spread; a third at most once, a fifth with a planner that may hurry them."""

    def define(now: datetime) -> list[Definition]:
        made = []
        for number in range(count):
            every = timedelta(milliseconds=chance.randrange(1000, 5001, 50))
            start_at = now + timedelta(seconds=starts_in_s + chance.uniform(0, every.total_seconds()))
            delivery = Delivery.AT_MOST_ONCE if number % 3 == 0 else Delivery.AT_LEAST_ONCE
            planner = PlannerMode.ON if number % 5 == 0 else PlannerMode.OFF
            made.append(interval_job(url, every, start_at, delivery=delivery, planner=planner))
        return made

    return define


def interval_job(
    url: str,
    every: timedelta,
    start_at: datetime,
    *,
    delivery: Delivery = Delivery.AT_LEAST_ONCE,
    planner: PlannerMode = PlannerMode.OFF,
    limit: timedelta = _LIMIT,
) -> Definition:
    """Return a job on a known grid."""
    return Definition(
        name="chaos",
        action=HttpAction(url, timeout=limit),
        baseline=IntervalBaseline(every),
        start_at=start_at,
        splay=False,
        delivery=delivery,
        planner=planner,
        authority=Authority(tighten=True),
    )


def _watched(job: Job) -> Watched | None:
    baseline = job.definition.baseline
    if not isinstance(baseline, IntervalBaseline):
        return None
    return Watched(
        job.id,
        job.schedule.grid_epoch,
        baseline.every,
        at_most_once=job.definition.delivery is Delivery.AT_MOST_ONCE,
        is_planned=job.definition.planner is not PlannerMode.OFF,
    )
