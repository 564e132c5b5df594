"""Wake-ups over a real connection: a write wakes the worker, whatever the URL says about TLS."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.postgres.wake import CHANNEL, WakeListener
from tests.unit.fakes import FakeCron
from tests.unit.loop import definition


async def notify(url: str) -> None:
    """Send one wake-up."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"NOTIFY {CHANNEL}")
    finally:
        await connection.close()


@pytest.mark.parametrize("query", ["", "?sslmode=disable", "?sslmode=prefer"])
async def test_every_subscriber_is_woken_on_connecting_and_at_a_write(database_url: str, query: str) -> None:
    woken: list[asyncio.Queue[None]] = [asyncio.Queue(), asyncio.Queue()]
    async with WakeListener(database_url + query) as listener, asyncio.timeout(20):
        for queue in woken:
            listener.subscribe(lambda queue=queue: queue.put_nowait(None))  # type: ignore[misc]
        for queue in woken:
            await queue.get()  # connected; one may have been missed until now
        await notify(database_url)
        for queue in woken:
            await queue.get()


async def test_a_lost_connection_is_made_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rubato.adapters.postgres.wake._RECONNECT_S", 0.05)
    woken: asyncio.Queue[None] = asyncio.Queue()
    async with WakeListener(database_url) as listener, asyncio.timeout(20):
        listener.subscribe(lambda: woken.put_nowait(None))
        await woken.get()
        connection = await asyncpg.connect(database_url)
        ended = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = 'rubato wake' AND datname = current_database()"
        )
        await connection.close()
        assert ended == 1
        await woken.get()


async def test_claims_given_back_wake_others_only_for_what_they_may_have_at_once(database_url: str) -> None:
    engine = connect(database_url, application="giving back")
    store = PostgresStore(engine, SystemIds())
    jobs = ManageJobs(store, FakeCron(), SystemIds())
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('tenant_w', 'w')"))
    for _ in range(2):
        await jobs.register("tenant_w", definition())
    first, second = (await store.claim("w1", limit=2, lease=timedelta(seconds=30))).jobs
    told = asyncio.Event()
    listener = await asyncpg.connect(database_url)
    try:
        await listener.add_listener(CHANNEL, lambda *_: told.set())
        await store.release("w1", [(first.ref, first.token)], hold_back=timedelta(minutes=1))
        await listener.execute("SELECT 1")
        assert not told.is_set()
        await store.release("w1", [(second.ref, second.token)])
        await asyncio.wait_for(told.wait(), 20)
    finally:
        await listener.close()
        await engine.dispose()
