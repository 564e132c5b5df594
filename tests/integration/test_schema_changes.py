"""Statements that were prepared before a migration: one of them fails, and not one a connection."""

import asyncio

import asyncpg
import pytest

from core.errors import Unavailable
from rubato.adapters.postgres.engine import Engine, connect, linked


async def looked(engine: Engine) -> None:
    async with linked(engine) as link:
        await link.fetch("SELECT * FROM duties")
        await asyncio.sleep(0.1)  # so that the others need connections of their own


async def test_a_worker_goes_on_after_one_failure_when_a_table_has_another_column(database_url: str) -> None:
    engine = connect(database_url, application="tests", pool_size=4)
    await asyncio.gather(*(looked(engine) for _ in range(4)))
    stranger = await asyncpg.connect(database_url)
    await stranger.execute("ALTER TABLE duties ADD COLUMN note TEXT")
    await stranger.close()
    with pytest.raises(Unavailable, match="migrated"):
        await looked(engine)
    await asyncio.gather(*(looked(engine) for _ in range(4)))
    await engine.dispose()
