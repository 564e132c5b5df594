"""Wake-ups over a real connection: a write wakes the worker, whatever the URL says about TLS."""

import asyncio

import asyncpg
import pytest

from rubato.adapters.postgres.wake import CHANNEL, WakeListener


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
