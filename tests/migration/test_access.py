"""Roles and row-level security: what each role may do, said by the database itself."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from rubato.adapters.postgres import access, queries
from rubato.adapters.postgres.engine import Engine, connect, linked, transaction
from rubato.adapters.postgres.migrate import ensure_partitions, migrate
from rubato.adapters.postgres.tables import metadata

UNREFERENCED = {
    "runs",
    "attempts",
    "request_windows",
}  # written at every run or request; a foreign key would be checked at each


@pytest.fixture
async def as_role(database_url: str) -> AsyncIterator[dict[str, Engine]]:
    """Return an engine for each role, on one database with two tenants."""
    engines = {role: connect(database_url, application="tests", role=role) for role in access.ROLES}
    owner = connect(database_url, application="tests")
    async with owner.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a'), ('ten_b', 'b')"))
        await connection.execute(
            text(
                "INSERT INTO users (tenant_id, id, name, role) "
                "VALUES ('ten_a', 'u', 'a', 'admin'), ('ten_b', 'u', 'b', 'admin')"
            )
        )
    yield {**engines, "owner": owner}
    for engine in (*engines.values(), owner):
        await engine.dispose()


async def rows(engine: Engine, statement: str) -> list[tuple[object, ...]]:
    async with transaction(engine) as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def test_security_is_forced_on_every_table_and_every_table_says_who_may_what(engine: AsyncEngine) -> None:
    assert set(access.GRANTS) == set(metadata.tables), "name the new table's grants in access.GRANTS"
    found = await rows(
        engine,
        "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relkind IN ('r', 'p') "
        "AND relnamespace = 'public'::regnamespace AND NOT relispartition AND relname <> 'alembic_version'",
    )
    assert {name for name, forced in found if forced} == set(metadata.tables)


async def test_no_role_reaches_a_partition_past_its_table(engine: AsyncEngine) -> None:
    made = await ensure_partitions(engine, days_ahead=9)
    assert len(made) == 2
    found = await rows(
        engine,
        "SELECT c.relname, g.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) g "
        "WHERE c.relispartition AND c.relkind = 'r' AND g.grantee <> c.relowner",
    )
    assert found == []


async def test_foreign_keys_between_tenants_rows_hold_the_tenant() -> None:
    owned = {name: table for name, table in metadata.tables.items() if "tenant_id" in table.columns}
    for name, table in owned.items():
        keys = [key for key in table.foreign_key_constraints if key.referred_table.name in {*owned, "tenants"}]
        for key in keys:
            assert "tenant_id" in key.column_keys, (name, key.column_keys)
        assert keys or name in UNREFERENCED, name


async def test_a_tenants_transaction_sees_its_rows_and_no_others(as_role: dict[str, Engine]) -> None:
    access.act_for("ten_a")
    assert await rows(as_role[access.TENANT], "SELECT tenant_id FROM users") == [("ten_a",)]
    assert await rows(as_role[access.TENANT], "SELECT id FROM tenants") == [("ten_a",)]
    access.act_for("")
    assert await rows(as_role[access.TENANT], "SELECT tenant_id FROM users") == []


async def test_a_tenant_cannot_write_into_another_or_raise_its_own_limits(as_role: dict[str, Engine]) -> None:
    access.act_for("ten_a")
    insert = "INSERT INTO users (tenant_id, id, name, role) VALUES ('ten_b', 'x', 'x', 'admin') RETURNING id"
    for statement, why in (
        (insert, "row-level security"),
        ("UPDATE users SET tenant_id = 'ten_b' RETURNING id", "row-level security"),
        ("UPDATE tenants SET tokens_per_day = 1e9 RETURNING id", "permission denied"),
        ("SELECT login FROM accounts", "permission denied"),
        ("SELECT * FROM runs_default", "permission denied"),
    ):
        with pytest.raises(DBAPIError, match=why):
            await rows(as_role[access.TENANT], statement)
    assert await rows(as_role[access.TENANT], "UPDATE users SET name = 'mine' RETURNING tenant_id") == [("ten_a",)]


async def test_an_engine_sees_all_tenants_jobs_and_no_credential(as_role: dict[str, Engine]) -> None:
    engine = as_role[access.ENGINE]
    assert {("ten_a",), ("ten_b",), ("system",)} == {tuple(row) for row in await rows(engine, "SELECT id FROM tenants")}
    assert await rows(engine, "SELECT job_id FROM schedules") == []
    for table in ("users", "api_keys", "sign_ins", "accounts", "verifications"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await rows(engine, f"SELECT * FROM {table}")


async def test_who_looks_credentials_up_sees_no_jobs(as_role: dict[str, Engine]) -> None:
    assert len(await rows(as_role[access.IDENTITY], "SELECT id FROM users")) == 2
    for table in ("jobs", "job_versions", "schedules", "runs", "hints", "sessions"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await rows(as_role[access.IDENTITY], f"SELECT * FROM {table}")


async def test_the_engines_plans_are_those_without_row_level_security(as_role: dict[str, Engine]) -> None:
    now, span = datetime.now(UTC), timedelta(seconds=30)
    keys: tuple[Any, ...] = (["ten_a"], [1], ["job"])
    measured = {
        queries.CLAIM: ("w", 10, span, span, ["e"] * 10, None, False, []),
        queries.NEXT_READY: (),
        queries.START: ("w", *keys, [1], [1], ["run"], [now]),
        queries.LOCK_SCHEDULES: keys,
        queries.LOCK_KNOWN: keys,
        queries.READ_DEFINITIONS: (*keys, [1]),
        queries.READ_LIMITS: (["ten_a"],),
        queries.READ_HINTS: keys,
        queries.RENEW: ("w", span, *keys, [1]),
    }

    async def plans(engine: Engine) -> dict[str, list[str]]:
        async with linked(engine) as link:
            return {
                query: [row[0] for row in await link.fetch(f"EXPLAIN (COSTS OFF) {query}", *given)]
                for query, given in measured.items()
            }

    under_policies = await plans(as_role[access.ENGINE])
    async with as_role["owner"].begin() as connection:
        for table in metadata.tables:
            await connection.execute(text(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"))
    assert under_policies == await plans(as_role[access.ENGINE])


async def test_a_tenants_plans_do_carry_the_condition(as_role: dict[str, Engine]) -> None:
    plan = "EXPLAIN SELECT job_id FROM schedules WHERE ready_at <= now() ORDER BY ready_at LIMIT 5"
    assert "rubato.tenant" in str(await rows(as_role[access.TENANT], plan))


async def test_migrating_again_changes_no_grant(as_role: dict[str, Engine]) -> None:
    history = "SELECT xmin::text FROM pg_class WHERE relname = 'jobs'"
    before = await rows(as_role["owner"], history)
    await migrate(as_role["owner"])
    assert await rows(as_role["owner"], history) == before
