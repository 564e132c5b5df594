"""The schema: built from nothing, by several at once, equal to the tables in the code, and strict by itself."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import ConfigurationError
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.migrate import ensure_partitions, migrate, require_schema
from rubato.adapters.postgres.tables import metadata


async def test_an_empty_database_is_built_by_several_at_once(empty_database_url: str) -> None:
    engines = [connect(empty_database_url, application=f"m{n}") for n in range(3)]
    with pytest.raises(ConfigurationError, match="rubato migrate"):
        await require_schema(engines[0])
    await asyncio.gather(*(migrate(engine) for engine in engines))
    await require_schema(engines[0])
    for engine in engines:
        await engine.dispose()


@pytest.mark.parametrize(("revision", "is_refused"), [("0001", True), ("a release that comes after this one", False)])
async def test_tables_of_an_older_release_are_refused_and_of_a_newer_one_are_not(
    empty_database_url: str, revision: str, is_refused: bool
) -> None:
    engine = connect(empty_database_url, application="revisions")
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE alembic_version ALTER version_num TYPE text"))
        await connection.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": revision})
    with pytest.raises(ConfigurationError, match="older release") if is_refused else nullcontext():
        await require_schema(engine)
    await engine.dispose()


async def test_the_migrated_schema_is_the_one_in_the_code(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        partitions = {"alembic_version", "runs_default"}

        def ours(name: str | None, kind: str, parents: object) -> bool:
            return not (kind == "table" and (name in partitions or (name or "").startswith("runs_2")))

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": ours})
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_every_check_of_the_code_stands_in_the_database(engine: AsyncEngine) -> None:
    wanted = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.__class__.__name__ == "CheckConstraint"
    }
    async with engine.connect() as connection:
        found = set((await connection.execute(text("SELECT conname FROM pg_constraint WHERE contype = 'c'"))).scalars())
    assert wanted - found == set()


@pytest.mark.parametrize(
    ("kind", "cron", "zone", "interval", "run_at"),
    [
        ("cron", None, "UTC", None, None),
        ("cron", "* * * * *", None, None, None),
        ("interval", None, None, None, None),
        ("interval", None, None, 0, None),
        ("interval", None, None, -5, None),
        ("once", None, None, None, None),
        ("cron", "* * * * *", "UTC", 1000, None),
        ("once", None, None, 1000, datetime(2027, 1, 1, tzinfo=UTC)),
        ("daily", None, None, 1000, None),
    ],
)
async def test_the_database_refuses_a_baseline_that_is_none(
    engine: AsyncEngine, kind: str, cron: str | None, zone: str | None, interval: int | None, run_at: datetime | None
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('t', 't')"))
        await connection.execute(
            text(
                "INSERT INTO jobs (tenant_id, bucket, id, name, labels, created_at, updated_at) "
                "VALUES ('t', 1, 'j', 'n', '{}', now(), now())"
            )
        )
    insert = text(
        "INSERT INTO job_versions (tenant_id, bucket, job_id, version, name, labels, metadata, url, method, headers, "
        "timeout_ms, baseline_kind, cron_expression, timezone, interval_ms, run_at, splay, catchup, delivery, "
        "may_tighten, may_relax, may_pause, planner, store_responses) VALUES ('t', 1, 'j', 1, 'n', '{}', '{}', 'u', "
        "'GET', '{}', 1000, :kind, :cron, :zone, :interval, :run_at, true, 'skip', 'at_least_once', true, true, true, "
        "'on', true)"
    )
    values = {"kind": kind, "cron": cron, "zone": zone, "interval": interval, "run_at": run_at}
    with pytest.raises(IntegrityError, match="ck_job_versions"):
        async with engine.begin() as connection:
            await connection.execute(insert, values)


async def test_the_indexes_that_the_cron_administration_stands_on_exist(engine: AsyncEngine) -> None:
    wanted = {
        "ix_job_versions_key": "(tenant_id, key, version)",
        "ix_job_versions_target": "(tenant_id, target, baseline_kind)",
        "uq_jobs_key": "(tenant_id, key)",
        "ix_schedules_ready": "(ready_at)",
        "ix_runs_job": "(tenant_id, bucket, job_id, id)",
        "pk_runs": "(scheduled_for, tenant_id, bucket, job_id, trigger)",
    }
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT indexname, indexdef FROM pg_indexes"))
        found = {row.indexname: row.indexdef for row in rows}
    assert [name for name, columns in wanted.items() if columns not in found.get(name, "")] == []


@pytest.mark.parametrize(
    ("url", "target", "payload"), [("", None, None), ("https://example.com", "reports.daily", None), ("u", None, "{}")]
)
async def test_the_database_refuses_a_version_without_exactly_one_action(
    engine: AsyncEngine, url: str, target: str | None, payload: str | None
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('t', 't')"))
        await connection.execute(
            text(
                "INSERT INTO jobs (tenant_id, bucket, id, name, labels, created_at, updated_at) "
                "VALUES ('t', 1, 'j', 'n', '{}', now(), now())"
            )
        )
    insert = text(
        "INSERT INTO job_versions (tenant_id, bucket, job_id, version, name, labels, metadata, url, method, headers, "
        "target, payload, timeout_ms, baseline_kind, interval_ms, splay, catchup, delivery, may_tighten, may_relax, "
        "may_pause, planner, store_responses) VALUES ('t', 1, 'j', 1, 'n', '{}', '{}', :url, 'GET', '{}', :target, "
        "CAST(:payload AS jsonb), 1000, 'interval', 1000, true, 'skip', 'at_least_once', true, true, true, 'on', true)"
    )
    with pytest.raises(IntegrityError, match="ck_job_versions"):
        async with engine.begin() as connection:
            await connection.execute(insert, {"url": url, "target": target, "payload": payload})


async def test_partitions_are_made_ahead_and_a_day_already_in_the_default_one_is_left(engine: AsyncEngine) -> None:
    assert await ensure_partitions(engine) == []
    far = datetime.now(UTC) + timedelta(days=9)
    insert = text(
        "INSERT INTO runs (scheduled_for, tenant_id, bucket, id, job_id, status, trigger, kind, attempt, job_version, "
        "created_at, truncated, skipped_more, discarded) "
        "VALUES (:at, 't', 1, 'r', 'j', 'running', 'scheduled', 'baseline', 1, 1, now(), false, false, false)"
    )
    async with engine.begin() as connection:
        await connection.execute(insert, {"at": far})
    made = await ensure_partitions(engine, days_ahead=10)
    assert f"runs_{far:%Y%m%d}" not in made
    assert len(made) == 2
    async with engine.connect() as connection:
        place = (await connection.execute(text("SELECT tableoid::regclass::text FROM runs"))).scalar_one()
    assert place == "runs_default"
