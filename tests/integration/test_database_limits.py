"""How long anything at the database may take, and what goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import asyncpg
import pytest
from sqlalchemy import text

import rubato.adapters.postgres.engine
from core.entities import Job
from core.errors import Unavailable
from core.ids import bucket_of
from core.ports.store import Change, JobRef, Snapshot
from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.engine import Engine, connect, linked, transaction
from rubato.adapters.postgres.store import PostgresStore
from tests.unit.fakes import FakeCron
from tests.unit.loop import definition

T = TypeVar("T")
LEASE = timedelta(seconds=30)
PATIENCE_S = 30.0  # for what must end by itself much sooner


@pytest.fixture
async def store(engine: Engine) -> PostgresStore:
    """Return a store with one tenant."""
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a')"))
    return PostgresStore(engine, SystemIds())


@pytest.fixture
async def stranger(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection of somebody else."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def register(store: PostgresStore, **fields: object) -> Job:
    """Register a job that is due at once."""
    job, _ = await ManageJobs(store, FakeCron(), SystemIds()).register("ten_a", definition(**fields))  # type: ignore[arg-type]
    return job


def renamed(snapshot: Snapshot) -> Change:
    """A transition that writes the schedule."""
    schedule = replace(snapshot.job.schedule, failures=snapshot.job.schedule.failures + 1)
    return Change(replace(snapshot.job, schedule=schedule), "begin")


@pytest.mark.parametrize("keyed", [False, True])
async def test_every_connection_has_limits_on_the_server(database_url: str, keyed: bool) -> None:
    engine = connect(database_url, application="tests", keyed=keyed)
    async with linked(engine) as link:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        limits = [await link.fetchval(f"SHOW {name}") for name in names]
    await engine.dispose()
    assert limits == ["5s", "2s", "10s"]


async def test_a_statement_that_hangs_is_ended_by_the_server_and_its_connection_goes_on(engine: Engine) -> None:
    with pytest.raises(Unavailable):  # noqa: PT012 - the transaction fails inside
        async with linked(engine) as link:
            await link.execute("SET LOCAL statement_timeout = '100ms'")
            await link.execute("SELECT pg_sleep(60)")
    async with linked(engine) as link:
        assert await link.fetchval("SELECT 1") == 1


async def test_a_statement_that_hangs_is_ended_here_though_the_server_lets_it(engine: Engine) -> None:
    for way in (linked, transaction):
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Unavailable):
                async with way(engine, deadline_s=0.2) as open_one:
                    await open_one.execute("SELECT pg_sleep(60)" if way is linked else text("SELECT pg_sleep(60)"))
        async with transaction(engine) as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_transaction_that_idles_is_ended_by_the_server(database_url: str) -> None:
    engine = connect(database_url, application="tests", idle_s=0.1)
    ended = asyncio.Event()
    with pytest.raises(Unavailable):  # noqa: PT012 - the transaction fails inside
        async with linked(engine) as link:
            await link.fetchval("SELECT 1")
            link.add_termination_listener(lambda _: ended.set())  # type: ignore[attr-defined]
            async with asyncio.timeout(PATIENCE_S):
                await ended.wait()
            await link.fetchval("SELECT 1")
    async with linked(engine) as link:
        assert await link.fetchval("SELECT 1") == 1
    await engine.dispose()


async def test_a_change_gives_up_on_a_row_that_somebody_keeps_locked_and_a_claim_passes_it_over(
    store: PostgresStore, stranger: asyncpg.Connection
) -> None:
    locked, free = await register(store), await register(store)
    async with stranger.transaction():
        await stranger.fetch("SELECT 1 FROM schedules WHERE job_id = $1 FOR UPDATE", locked.id)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Unavailable):
                await store.change(JobRef("ten_a", locked.id), renamed)
        claims = await store.claim("w1", limit=9, lease=LEASE)
        assert [claim.ref.job_id for claim in claims.jobs] == [free.id]
    await store.change(JobRef("ten_a", locked.id), renamed)


async def test_batches_in_any_order_lock_in_one_and_do_not_wait_in_a_circle(store: PostgresStore) -> None:
    refs = [JobRef("ten_a", (await register(store)).id) for _ in range(8)]
    claims = await store.claim("w1", limit=9, lease=LEASE)
    held = [(claim.ref, claim.token) for claim in claims.jobs]
    rounds = []
    for turn in range(12):
        work = [(ref, renamed) for ref in (refs if turn % 2 else reversed(refs))]
        rounds.append(store.change_many(work))
        rounds.append(store.renew("w1", held if turn % 2 else held[::-1], lease=LEASE))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*rounds)
    counted = [(await store.job("ten_a", ref.job_id)).schedule.failures for ref in refs]
    assert counted == [12] * 8


async def test_a_batch_that_lost_a_deadlock_is_tried_again(store: PostgresStore, stranger: asyncpg.Connection) -> None:
    first, second = await two_in_order(store)
    made: list[str] = []

    def batch() -> Coroutine[Any, Any, Sequence[object]]:
        made.append("batch")
        return store.change_many([(first, renamed), (second, renamed)])

    answers = await losing(stranger, first, second, batch)
    assert [type(answer) for answer in answers] == [Change, Change]
    assert (await store.job("ten_a", first.job_id)).schedule.failures == len(made)


async def test_a_mark_that_lost_a_deadlock_says_so_and_can_be_made_again(
    store: PostgresStore, stranger: asyncpg.Connection
) -> None:
    first, second = await two_in_order(store)
    claims = (await store.claim("w1", limit=2, lease=LEASE)).jobs
    with pytest.raises(Unavailable, match="too busy"):
        await losing(stranger, first, second, lambda: store.start("w1", claims))
    assert set(await store.start("w1", claims)) == {first.job_id, second.job_id}


async def two_in_order(store: PostgresStore) -> list[JobRef]:
    """Register two jobs; return them in the order in which a batch locks them."""
    refs = [JobRef("ten_a", (await register(store)).id) for _ in range(2)]
    return sorted(refs, key=lambda ref: (bucket_of(ref.job_id), ref.job_id))


async def losing(
    stranger: asyncpg.Connection, first: JobRef, second: JobRef, batch: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """Let a batch over two jobs wait in a circle with a stranger, until it is the batch that loses: who looks for the
    circle last finds it, and that is the stranger when this machine stood still meanwhile."""
    lock = "SELECT 1 FROM schedules WHERE job_id = $1 FOR UPDATE"
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(5):
        try:
            async with asyncio.timeout(PATIENCE_S), stranger.transaction():
                await stranger.fetch(lock, second.job_id)
                waiting = asyncio.create_task(batch())
                while not await stranger.fetchval(waits):  # noqa: ASYNC110 - it waits in another process
                    await asyncio.sleep(0)
                await stranger.fetch(lock, first.job_id)
        except asyncpg.DeadlockDetectedError:
            await waiting
        else:
            return await waiting
    raise AssertionError("the batch never lost")


async def test_with_every_connection_taken_a_call_ends_and_renewals_go_on(
    database_url: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(store)
    (claim,) = (await store.claim("w1", limit=1, lease=LEASE)).jobs
    monkeypatch.setattr(rubato.adapters.postgres.engine, "POOL_WAIT_S", 0.2)
    main = connect(database_url, application="main", pool_size=1)
    renewals = connect(database_url, application="renewals", pool_size=1, keyed=True)
    crowded = PostgresStore(main, SystemIds(), renewal_engine=renewals)
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        stack.push_async_callback(renewals.dispose)
        stack.push_async_callback(main.dispose)
        for _ in range(2):  # the pool and its overflow
            await stack.enter_async_context(main.connect())
        with pytest.raises(Unavailable):
            await crowded.now()
        with pytest.raises(Unavailable):
            await crowded.claim("w1", limit=1, lease=LEASE)
        with pytest.raises(Unavailable):
            await crowded.change(claim.ref, renamed)
        assert await crowded.renew("w1", [(claim.ref, claim.token)], lease=LEASE) == []


async def test_a_run_whose_day_has_no_partition_goes_to_the_default_one_and_lives_there(
    store: PostgresStore, stranger: asyncpg.Connection
) -> None:
    far = await store.now() + timedelta(days=40)
    job = await register(store, start_at=far)
    (claim,) = (await store.claim("w1", limit=1, lease=LEASE, ahead=timedelta(days=41))).jobs
    place = "SELECT tableoid::regclass::text FROM runs WHERE id = $1"
    assert await stranger.fetchval(place, claim.run_id) == "runs_default"
    assert await store.start("w1", [claim]) == {job.id: far}
    assert (await store.run("ten_a", claim.run_id)).started_at == far
    await store.release("w1", [(claim.ref, claim.token)])
