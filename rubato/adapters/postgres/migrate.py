"""Bringing the schema up to date: safe from several processes at once, and while workers run."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import ConfigurationError
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import patient, transaction

MIGRATIONS = Path(__file__).parent / "migrations"
DAYS_AHEAD = 7
LONGEST_MIGRATION_S = 24 * 3600.0  # waiting for another process that migrates included
_LOCK = 0x527562_61746F  # "Rubato": the advisory lock that migrations and partition making take turns on


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; migrations run on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


async def migrate(engine: AsyncEngine) -> None:
    """Run what is missing, one process at a time, and make the partitions of the coming days."""

    def upgrade(connection: Connection) -> None:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        command.upgrade(alembic_config(connection), "head")
        access.grant(connection)

    async with patient(engine) as own, transaction(own, deadline_s=LONGEST_MIGRATION_S) as connection:
        await connection.run_sync(upgrade)
    await ensure_partitions(engine)


async def require_schema(engine: AsyncEngine, *roles: str) -> None:
    """Raise ConfigurationError for a database that was never migrated, or that is older than this release, and for a
    login that may not step into these roles.

    A newer one is no error: the release before it works on it, so that both may run while a new one is rolled out.
    """
    async with transaction(engine) as connection:
        exists = (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one()
        found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() if exists else None
    if found is None:
        raise ConfigurationError("The database at DATABASE_URL has no tables of Rubato. Run `rubato migrate` first.")
    scripts = ScriptDirectory.from_config(alembic_config())
    older = {script.revision for script in scripts.walk_revisions()} - {scripts.get_current_head()}
    if found in older:
        raise ConfigurationError(
            "The tables of the database at DATABASE_URL are of an older release. Run `rubato migrate` first."
        )
    async with transaction(engine) as connection:
        await connection.run_sync(lambda sync: access.require(sync, roles))


async def ensure_partitions(engine: AsyncEngine, *, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Make the runs' partitions from yesterday to `days_ahead`; return the names of new ones.

    A day whose rows already lie in the default partition stays there: moving them would lock the table.
    """
    async with transaction(engine) as connection:
        made = await connection.execute(text("SELECT rubato_make_partitions(:days)"), {"days": days_ahead})
        return [row[0] for row in made]
