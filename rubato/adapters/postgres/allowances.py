"""Allowances of planning as rows: a tenant's own, and the ceilings over all tenants."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import ConfigurationError, NotFound
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.quota import NAMES, PER_JOB

_CEILING = text(
    """
    INSERT INTO quota_ceilings (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
    """
)


class PostgresAllowances:
    """Sets what the quota guard reads before each session."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def set(self, values: Mapping[str, int | None], *, tenant: str | None) -> None:
        """Set a tenant's allowances, or the ceilings (tenant None; a value of None lifts one).

        Raises ConfigurationError for a name that is none, NotFound for an unknown tenant.
        """
        known = NAMES if tenant is None else (*NAMES, PER_JOB)
        for name, value in values.items():
            if name not in known:
                raise ConfigurationError(f"{name} is not an allowance here; there are: {', '.join(known)}.")
            if value is None and tenant is not None:
                raise ConfigurationError(f"A tenant always has {name}; give a number.")
        async with transaction(self._engine) as connection:
            if tenant is None:
                await _set_ceilings(connection, values)
                return
            columns = ", ".join(f"{name} = :{name}" for name in values)  # names are those checked above
            statement = text(f"UPDATE tenants SET {columns} WHERE id = :tenant")  # noqa: S608
            if (await connection.execute(statement, {**values, "tenant": tenant})).rowcount != 1:
                raise NotFound(f"There is no tenant {tenant}.")

    async def accept_rules(self, *, unseen: bool, tenant: str) -> None:
        """Let rules that a planner proposes to a tenant's jobs take effect without a person's word, or not any more.

        Raises NotFound for an unknown tenant.
        """
        statement = text("UPDATE tenants SET auto_accept_rules = :unseen WHERE id = :tenant")
        async with transaction(self._engine) as connection:
            if (await connection.execute(statement, {"unseen": unseen, "tenant": tenant})).rowcount != 1:
                raise NotFound(f"There is no tenant {tenant}.")


async def _set_ceilings(connection: AsyncConnection, values: Mapping[str, int | None]) -> None:
    for name, value in values.items():
        if value is None:
            await connection.execute(text("DELETE FROM quota_ceilings WHERE name = :name"), {"name": name})
        else:
            await connection.execute(_CEILING, {"name": name, "value": value})
