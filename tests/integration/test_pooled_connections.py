"""Connections behind a pooler leave nothing on the server's connection, which the next transaction of anybody gets."""

import asyncpg
import pytest
from sqlalchemy import text

from core.errors import ConfigurationError
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import connect, link_of, linked, transaction
from rubato.settings import load

SEEN = "SELECT current_user || ' ' || current_setting('statement_timeout')"
LEFT = "SELECT count(*) FROM pg_prepared_statements"


async def test_role_and_limits_last_for_one_transaction_and_nothing_is_left_prepared(database_url: str) -> None:
    engine = connect(database_url, application="pooled", pool_size=1, role=access.ENGINE, pooled=True)
    async with transaction(engine) as connection:
        assert (await connection.execute(text(SEEN))).scalar_one() == f"{access.ENGINE} 5s"
    async with linked(engine) as link:
        assert await link.fetchval(SEEN) == f"{access.ENGINE} 5s"
        assert await link.fetchval("SELECT $1::text[]", ["a"]) == ["a"]
    async with engine.connect() as connection:
        bare = await link_of(connection)
        assert isinstance(bare, asyncpg.Connection)
        assert await bare.fetchval(SEEN) == "rubato 0"
        assert await bare.fetchval(LEFT) == 0
    await engine.dispose()


async def test_a_tenant_is_named_behind_a_pooler_too(database_url: str) -> None:
    engine = connect(database_url, application="pooled", pool_size=1, role=access.TENANT, pooled=True)
    access.act_for("ten_a")
    async with transaction(engine) as connection:
        named = await connection.execute(text("SELECT current_setting('rubato.tenant')"))
        assert named.scalar_one() == "ten_a"
    await engine.dispose()


@pytest.mark.parametrize("given", [{}, {"DATABASE_URL": "postgresql://h/d"}])
def test_a_direct_address_goes_with_that_of_the_pooler(given: dict[str, str]) -> None:
    direct = "postgresql://h/d" if not given else "mysql://h/d"
    with pytest.raises(ConfigurationError, match="RUBATO_DIRECT_DATABASE_URL"):
        load({**given, "RUBATO_DIRECT_DATABASE_URL": direct})
