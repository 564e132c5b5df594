"""What goes and what stays of old runs, and Rubato's own jobs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.entities import RunStatus, Schedule
from core.ids import run_id
from core.ports.store import JobFilter, RunFilter
from core.ports.targets import SYSTEM_TENANT
from core.usecases.manage_jobs import ManageJobs
from core.usecases.run_due import RunDue
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres import retention
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.retention import purge_runs
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.targets.registry import Registry
from rubato.adapters.targets.runner import LocalTargets
from rubato.maintenance import register_system_jobs, system_definitions, system_targets
from tests.unit.fakes import EventLog, FakeDispatcher

KEEP = timedelta(days=180)
RUN = text(
    "INSERT INTO runs (scheduled_for, tenant_id, bucket, id, job_id, status, trigger, kind, attempt, job_version, "
    "created_at, truncated, skipped_more, discarded) "
    "VALUES (:at, 't', 1, :id, 'j', 'succeeded', 'scheduled', 'baseline', 1, 1, :at, false, false, false)"
)
ATTEMPT = text(
    "INSERT INTO attempts (scheduled_for, tenant_id, bucket, run_id, worker_id, attempt, job_id, ended_at, status) "
    "VALUES (:at, 't', 1, :id, 'w', 1, 'j', :at, 'lost')"
)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = connect(database_url, application="retention")
    yield made
    await made.dispose()


async def put(engine: AsyncEngine, days_ago: int, *, partition: bool) -> str:
    """Store a run, and an attempt at it, of that many days ago, in a partition of its day or in the default one."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    made = run_id(at, f"{days_ago:016d}")
    async with engine.begin() as connection:
        if partition:
            bounds = f"FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
            await connection.execute(text(f"CREATE TABLE runs_{day:%Y%m%d} PARTITION OF runs FOR VALUES {bounds}"))
        for statement in (RUN, ATTEMPT):
            await connection.execute(statement, {"at": at, "id": made})
    return made


async def kept(engine: AsyncEngine, table: str = "runs", name: str = "id") -> set[str]:
    async with engine.connect() as connection:
        return set((await connection.execute(text(f"SELECT {name} FROM {table}"))).scalars())


@pytest.mark.parametrize("partition", [True, False])
async def test_a_run_of_181_days_ago_goes_and_one_of_179_days_stays(engine: AsyncEngine, partition: bool) -> None:
    await put(engine, 181, partition=partition)
    young = await put(engine, 179, partition=partition)
    gone = await purge_runs(engine, keep=KEEP)
    assert await kept(engine) == {young}
    assert await kept(engine, "attempts", "run_id") == {young}
    assert (len(gone.partitions), gone.rows, gone.left) == ((1, 1, ()) if partition else (0, 2, ()))
    assert (await purge_runs(engine, keep=KEEP)).partitions == ()


async def test_a_partition_that_somebody_reads_is_left_for_the_next_time(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "TRIES", 1)
    monkeypatch.setattr(retention, "BETWEEN_TRIES_S", 0)
    old = await put(engine, 200, partition=True)
    async with engine.begin() as reader:
        await reader.execute(text("SELECT count(*) FROM runs"))
        assert len((await purge_runs(engine, keep=KEEP)).left) == 1
        assert await kept(engine) == {old}
    assert len((await purge_runs(engine, keep=KEEP)).partitions) == 1


def maintained(database_url: str, engine: AsyncEngine) -> tuple[ManageJobs, PostgresStore, RunDue]:
    """Return a worker that has the shipped targets, as the wiring makes it."""
    clock, ids, cron, events = SystemClock(), SystemIds(), CroniterCron(), EventLog()
    store = PostgresStore(engine, ids)
    own = system_targets(database_url, cron=cron, ids=ids, events=events, lease=timedelta(seconds=60))
    targets = LocalTargets(Registry(own), clock)
    worker = RunDue(store, FakeDispatcher(), cron, clock, ids, events, worker_id="w1", targets=targets)
    return ManageJobs(store, cron, ids), store, worker


async def test_rubatos_own_jobs_are_registered_once_and_run_by_hand(database_url: str, engine: AsyncEngine) -> None:
    old = await put(engine, 181, partition=True)
    jobs, store, worker = maintained(database_url, engine)
    await register_system_jobs(jobs, store)
    await register_system_jobs(jobs, store)
    own = (await store.jobs(SYSTEM_TENANT, JobFilter(), limit=100)).items
    assert {job.definition.key for job in own} == {each.key for each in system_definitions()}
    assert all(isinstance(job.schedule, Schedule) and job.schedule.slot is not None for job in own)
    for job in own:
        await jobs.run_now(SYSTEM_TENANT, job.id)
    await worker.run_once()
    assert await worker.drain(30) == 0
    runs = (await store.runs(SYSTEM_TENANT, RunFilter(), limit=100)).items
    assert [(run.status, run.error_message) for run in runs] == [(RunStatus.SUCCEEDED, None)] * len(own)
    assert old not in await kept(engine)
