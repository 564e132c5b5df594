"""The flag port on PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import NotFound
from core.modes import EVERYBODY
from core.ports.flags import Flag, FlagChange
from rubato.adapters.postgres import planning_tables as tables
from rubato.adapters.postgres.engine import transaction

# The old row is locked first: of two who turn the same switch at once, the second sees what the first has set.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('rubato.flags.' || :scope || '.' || :name, 0))")
_OLD = text("SELECT value FROM flags WHERE scope = :scope AND name = :name")
_TURN = text(
    """
    INSERT INTO flags (scope, name, value, changed_at, changed_by, reason)
    VALUES (:scope, :name, :value, clock_timestamp(), :by, :reason)
    ON CONFLICT (scope, name) DO UPDATE
    SET value = excluded.value, changed_at = excluded.changed_at, changed_by = excluded.changed_by,
        reason = excluded.reason
    RETURNING *
    """
)
_RECORD = text(
    """
    INSERT INTO flag_changes (scope, name, old_value, new_value, changed_at, changed_by, reason)
    VALUES (:scope, :name, :old, :value, :changed_at, :by, :reason)
    """
)


class PostgresFlags:
    """Switches and their history."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, scopes: Sequence[str]) -> list[Flag]:
        """Return the switches of these scopes."""
        flags = tables.flags
        statement = flags.select().where(flags.c.scope.in_(scopes)).order_by(flags.c.scope, flags.c.name)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [Flag(**row) for row in rows]

    async def turn(self, scope: str, name: str, value: str, *, by: str, reason: str | None) -> Flag:
        """Set a switch and record who did, in one transaction."""
        where = {"scope": scope, "name": name}
        given = {**where, "value": value, "by": by, "reason": reason}
        async with transaction(self._engine) as connection:
            if scope != EVERYBODY:
                known = await connection.execute(text("SELECT 1 FROM tenants WHERE id = :scope"), {"scope": scope})
                if known.first() is None:
                    raise NotFound(f"There is no tenant {scope}.")
            await connection.execute(_LOCK, where)
            old = (await connection.execute(_OLD, where)).scalar_one_or_none()
            row = (await connection.execute(_TURN, given)).mappings().one()
            await connection.execute(_RECORD, {**given, "old": old, "changed_at": row["changed_at"]})
        return Flag(**row)

    async def changes(self, scope: str, *, limit: int) -> list[FlagChange]:
        """Return the newest changes of one scope."""
        history = tables.flag_changes
        statement = history.select().where(history.c.scope == scope).order_by(history.c.id.desc()).limit(limit)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [FlagChange(**{name: value for name, value in row.items() if name != "id"}) for row in rows]
