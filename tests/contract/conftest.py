"""One suite, every store: each test runs on memory and on PostgreSQL, on a tenant of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.entities import Definition, IntervalBaseline, Job, Run, RunStatus
from core.ports.definitions import Definitions
from core.ports.flags import Flags
from core.ports.store import Change, Claimed, Snapshot, Store, Transition
from core.usecases.begin import Beginning, begin
from core.usecases.manage_jobs import ManageJobs
from core.usecases.settle import Finished, settle
from rubato.adapters.clock import SystemClock
from rubato.adapters.ids import SystemIds
from rubato.adapters.memory.definitions import MemoryDefinitions
from rubato.adapters.memory.flags import MemoryFlags
from rubato.adapters.memory.store import MemoryStore
from rubato.adapters.postgres import access
from rubato.adapters.postgres.definitions import PostgresDefinitions
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.store import PostgresStore
from tests.unit.fakes import FakeCron
from tests.unit.loop import definition

LEASE = timedelta(seconds=30)
AHEAD = timedelta(minutes=1)


@dataclass
class House:
    """A store with one tenant, and what makes jobs in it."""

    store: Store
    tenant: str
    engine: AsyncEngine | None

    def __post_init__(self) -> None:
        self.flags: Flags
        if self.engine is not None:
            self.flags = PostgresFlags(self.engine)
        else:
            assert isinstance(self.store, MemoryStore)
            self.flags = MemoryFlags(self.store)
        self.ids, self.cron = SystemIds(), FakeCron()
        self.jobs = ManageJobs(self.store, self.cron, self.ids)
        self.definitions: Definitions = (
            MemoryDefinitions(self.store)
            if isinstance(self.store, MemoryStore)
            else PostgresDefinitions(self.engine, self.store)
        )

    async def job(self, made: Definition | None = None, *, tenant: str | None = None) -> Job:
        """Register a job that is due at once."""
        job, _ = await self.jobs.register(tenant or self.tenant, made or definition())
        return job

    async def coming(self, seconds: float = 30, **fields: object) -> Job:
        """Register a job whose first slot comes in so long."""
        start_at = await self.store.now() + timedelta(seconds=seconds)
        return await self.job(definition(start_at=start_at, **fields))

    async def claim(self, worker: str = "w1", limit: int = 10, **how: Any) -> tuple[Claimed, ...]:
        """Claim what is due, or what else `how` says."""
        return (await self.store.claim(worker, limit=limit, lease=LEASE, **how)).jobs

    def beginning(self, token: int, worker: str = "w1", lapsed_at: datetime | None = None) -> Transition:
        """Return the transition that marks a claim as running."""
        given = Beginning(token, worker, timedelta(hours=1), lapsed_at, LEASE)
        return lambda seen: begin(seen, given, cron=self.cron, ids=self.ids)

    def settling(self, token: int, status: RunStatus = RunStatus.SUCCEEDED) -> Transition:
        """Return the transition that settles a running run."""
        done = Finished(status, status_code=200, duration_ms=3, response_excerpt="ok", response_bytes=2)
        return lambda seen: settle(seen, token=token, finished=done, cron=self.cron, ids=self.ids)

    async def run_once(self, status: RunStatus = RunStatus.SUCCEEDED) -> list[Run]:
        """Claim, begin and settle everything that is due."""
        settled = []
        for claim in await self.claim():
            await self.store.change(claim.ref, self.beginning(claim.token))
            change = await self.store.change(claim.ref, self.settling(claim.token, status))
            settled.append(change.runs[0])
        return settled

    async def expire_leases(self) -> None:
        """Make every lease end, as if its worker had died long ago."""
        if self.engine is not None:
            async with self.engine.begin() as connection:
                await connection.execute(
                    text(
                        "UPDATE schedules SET lease_until = now() - interval '1 s', ready_at = now() - interval '1 s' "
                        "WHERE lease_until IS NOT NULL"
                    )
                )
            return
        store = self.store
        assert isinstance(store, MemoryStore)
        past = datetime.now(UTC) - timedelta(seconds=1)
        for job in list(store._jobs.values()):
            if job.schedule.lease is not None:
                lease = replace(job.schedule.lease, until=past)
                store._jobs[job.id] = replace(job, schedule=replace(job.schedule, lease=lease))

    async def suspend(self, tenant: str | None = None) -> None:
        """Suspend the tenant, or another one."""
        tenant = tenant or self.tenant
        if self.engine is not None:
            suspended = text("UPDATE tenants SET suspended_reason = 'unpaid' WHERE id = :tenant")
            async with self.engine.begin() as connection:
                await connection.execute(suspended, {"tenant": tenant})
            return
        store = self.store
        assert isinstance(store, MemoryStore)
        store.add_tenant(tenant, replace(await store.limits(tenant), suspended="unpaid"))


@pytest.fixture(params=["memory", "postgres", "postgres by token"])
def place(request: pytest.FixtureRequest) -> tuple[str, bool] | None:
    """Return the address of a fresh database and whether to claim by token, or None for a store in memory."""
    if request.param == "memory":
        return None
    url: str = request.getfixturevalue("database_url")
    return url, request.param == "postgres by token"


@pytest.fixture
async def house(place: tuple[str, bool] | None) -> AsyncIterator[House]:
    """Return a house on each kind of store."""
    if place is None:
        memory = MemoryStore(SystemClock(), SystemIds())
        for tenant in ("ten_a", "ten_b"):
            memory.add_tenant(tenant)
        yield House(memory, "ten_a", None)
        return
    url, by_token = place
    engine = connect(url, application="contract")
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a'), ('ten_b', 'b')"))
    own = connect(url, application="contract", role=access.ENGINE)
    yield House(PostgresStore(own, SystemIds(), by_token=by_token), "ten_a", engine)
    await own.dispose()
    await engine.dispose()


def untouched(snapshot: Snapshot) -> Change:
    """A transition that changes nothing."""
    return Change(snapshot.job, "begin")


def every(seconds: float) -> Definition:
    """Return a job of that interval."""
    return definition(baseline=IntervalBaseline(timedelta(seconds=seconds)))
