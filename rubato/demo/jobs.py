"""The demo's jobs: an interval, a cron, a single run, a line in the log; registered once, under keys of their own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from core.entities import (
    Action,
    Authority,
    Bounds,
    Catchup,
    CronBaseline,
    Definition,
    HttpAction,
    IntervalBaseline,
    OnceBaseline,
    PlannerMode,
    TargetAction,
)
from core.ports.store import JobFilter, Store
from core.usecases.manage_jobs import ManageJobs


def demo_definitions(base_url: str, now: datetime) -> list[Definition]:
    """Return the jobs as they are registered at `now`, calling the target at `base_url`."""
    return [
        Definition(
            name="Order queue",
            key="demo-queue",
            group="demo",
            description="Watch the order queue: every 2 s while queue_depth is above 100, rarely while it is idle, "
            "and not at all during announced maintenance.",
            action=HttpAction(f"{base_url}/queue", timeout=timedelta(seconds=5)),
            baseline=IntervalBaseline(timedelta(seconds=10)),
            bounds=Bounds(timedelta(seconds=2), timedelta(seconds=60)),
            authority=Authority(tighten=True, relax=True, pause=True),
            catchup=Catchup.LATEST,
            splay=False,
        ),
        Definition(
            name="Report, every half minute",
            key="demo-reports",
            group="demo",
            description="Build the report twice a minute. If it fails, look again every few seconds until it is well.",
            action=HttpAction(f"{base_url}/reports", timeout=timedelta(seconds=5)),
            baseline=CronBaseline("0,30 * * * * *", "UTC"),
            bounds=Bounds(min_interval=timedelta(seconds=5)),
            authority=Authority(tighten=True),
        ),
        Definition(
            name="Smoke test after the release",
            key="demo-deploy",
            group="demo",
            description="Check once that the release is up.",
            action=HttpAction(f"{base_url}/deploy", timeout=timedelta(seconds=5)),
            baseline=OnceBaseline(now + timedelta(minutes=2)),
        ),
        Definition(
            name="A line in the worker's log, every five minutes",
            key="demo-log",
            group="demo",
            action=TargetAction("system.log_message", {"message": "still here"}),
            baseline=CronBaseline("*/5 * * * *", "UTC"),
            planner=PlannerMode.OFF,
        ),
    ]


async def register_demo(jobs: ManageJobs, store: Store, tenant_id: str, base_url: str) -> None:
    """Register what is missing, and point what is there at the target's present address."""
    for definition in demo_definitions(base_url, await store.now()):
        found = (await store.jobs(tenant_id, JobFilter(key=definition.key), limit=1)).items
        if not found:
            await jobs.register(tenant_id, definition)
        elif found[0].definition.action != definition.action:
            await jobs.edit(tenant_id, found[0].id, _with(definition.action))


def _with(action: Action) -> Callable[[Definition], Definition]:
    def patch(old: Definition) -> Definition:
        return replace(old, action=action)

    return patch
