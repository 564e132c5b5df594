"""API keys on PostgreSQL."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.accounts import PostgresAccounts

KEY = "cron_a_key_for_tests"


def accounts(engine: AsyncEngine, pepper: bytes = b"p" * 32) -> PostgresAccounts:
    return PostgresAccounts(engine, SystemIds(), pepper=pepper)


async def test_bootstrapping_is_done_once_however_many_start_together(engine: AsyncEngine) -> None:
    made = await asyncio.gather(*(accounts(engine).bootstrap(KEY, tenant="t", user="u") for _ in range(8)))
    assert len({(who.tenant_id, who.user_id, who.key_id) for who in made}) == 1
    assert made[0].role == "admin"
    assert await accounts(engine).authenticate(KEY) == made[0]


async def test_a_wrong_empty_or_endless_key_is_nobodys(engine: AsyncEngine) -> None:
    await accounts(engine).bootstrap(KEY, tenant="t", user="u")
    for wrong in ("", KEY + "x", KEY[:-1], "x" * 100_000):
        assert await accounts(engine).authenticate(wrong) is None


async def test_an_expired_or_revoked_key_is_nobodys(engine: AsyncEngine) -> None:
    await accounts(engine).bootstrap(KEY, tenant="t", user="u")
    for column in ("expires_at", "revoked_at"):
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE api_keys SET {column} = now() - interval '1 s'"))
        assert await accounts(engine).authenticate(KEY) is None
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE api_keys SET {column} = NULL"))
    assert await accounts(engine).authenticate(KEY) is not None


async def test_no_key_is_stored_in_the_clear_and_another_pepper_opens_nothing(engine: AsyncEngine) -> None:
    await accounts(engine).bootstrap(KEY, tenant="t", user="u")
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM api_keys"))).one()
    assert KEY not in str(row)
    assert KEY.encode() not in bytes(row.hash)
    assert await accounts(engine, b"q" * 32).authenticate(KEY) is None
