"""Rubato's own upkeep as jobs of the system tenant: retention, and handles on what workers do anyway.

Reaping, the expiry of reservations and the making of partitions are services of every worker, which no definition can
stop; their jobs show when they last ran and let an operator run them now. Retention has no service: its job is it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.entities import Catchup, CronBaseline, Definition, PlannerMode, TargetAction
from core.errors import Conflict
from core.ports.cron import Cron
from core.ports.events import Events
from core.ports.ids import Ids
from core.ports.store import JobFilter, Store
from core.ports.targets import SYSTEM_TENANT
from core.usecases.manage_jobs import ManageJobs
from core.usecases.reap import ReapStale
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import Engine, connect
from rubato.adapters.postgres.migrate import ensure_partitions
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.retention import purge_runs
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.targets.context import Context
from rubato.adapters.targets.registry import Target
from rubato.adapters.targets.shipped import log_message

RETENTION_DAYS = 180
_TIMEOUT = timedelta(minutes=15)


class PurgeRuns(BaseModel):
    """How many days of runs to keep."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(RETENTION_DAYS, ge=1, le=36_500)


class Nothing(BaseModel):
    """No payload."""

    model_config = ConfigDict(extra="forbid")


def system_targets(url: str, *, cron: Cron, ids: Ids, events: Events, lease: timedelta) -> list[Target[..., Any]]:
    """Return the shipped targets. Handlers run off the worker's event loop, so each call connects for itself."""

    async def purge(payload: PurgeRuns, context: Context) -> dict[str, Any]:
        async with _engine(url) as engine:
            gone = await purge_runs(engine, keep=timedelta(days=payload.days))
        return {"partitions": list(gone.partitions), "rows": gone.rows, "left": list(gone.left)}

    async def reap(payload: Nothing, context: Context) -> dict[str, int]:
        async with _engine(url) as engine:
            store = PostgresStore(engine, ids)
            return {"reaped": await ReapStale(store, cron, ids, events, lease).run_once()}

    async def expire(payload: Nothing, context: Context) -> dict[str, int]:
        async with _engine(url) as engine:
            return {"charged": await PostgresQuota(engine, ids).charge_lost()}

    async def partition(payload: Nothing, context: Context) -> dict[str, list[str]]:
        async with _engine(url) as engine:
            return {"made": await ensure_partitions(engine)}

    made: tuple[tuple[str, Any, type[BaseModel], str], ...] = (
        ("purge_runs", purge, PurgeRuns, "Remove runs whose slot is older than `days`, 180 by default."),
        ("reap_stale", reap, Nothing, "End runs whose worker was not heard of for 15 minutes."),
        ("expire_reservations", expire, Nothing, "Count reservations that nobody will settle as spent."),
        ("make_partitions", partition, Nothing, "Make the coming days' partitions of runs."),
    )
    own = [Target(f"system.{name}", call, kind, said, is_maintenance=True) for name, call, kind, said in made]
    return [log_message, *own]


def system_definitions() -> list[Definition]:
    """Return the system tenant's jobs as they are first registered; an operator may change them."""
    return [
        _definition("purge-runs", "system.purge_runs", "17 3 * * *", "Retention of runs", {"days": RETENTION_DAYS}),
        _definition("reap-stale", "system.reap_stale", "*/15 * * * *", "Stale runs: a handle on a worker service"),
        _definition(
            "expire-reservations",
            "system.expire_reservations",
            "3-59/15 * * * *",
            "Reservations: a handle on a worker service",
        ),
        _definition(
            "make-partitions", "system.make_partitions", "7 * * * *", "Partitions of runs: a handle on a worker service"
        ),
    ]


async def register_system_jobs(jobs: ManageJobs, store: Store) -> None:
    """Register what is missing; several processes may do so at once."""
    for definition in system_definitions():
        if (await store.jobs(SYSTEM_TENANT, JobFilter(key=definition.key), limit=1)).items:
            continue
        with suppress(Conflict):  # another process was first
            await jobs.register(SYSTEM_TENANT, definition)


def _definition(key: str, target: str, expression: str, name: str, payload: Any = None) -> Definition:
    return Definition(
        name=name,
        key=key,
        action=TargetAction(target, payload, _TIMEOUT),
        baseline=CronBaseline(expression, "UTC"),
        catchup=Catchup.LATEST,
        planner=PlannerMode.OFF,
    )


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[Engine]:
    engine = connect(url, application="rubato maintenance", pool_size=1, role=access.ENGINE)
    try:
        yield engine
    finally:
        await engine.dispose()
