"""A tenant as a whole: its export, the end of its access, and the removal of its rows."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.ports.accounts import Principal
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.tables import metadata

BATCH = 500  # rows a statement; each is a transaction of its own, short beside a run loop
GRACE = timedelta(minutes=10)  # between the end of access and the end of the rows: runs in flight settle meanwhile
AUDIT_KEPT = timedelta(days=400)

_TYPES = {"tenants": "tenant", "job_versions": "jobVersion", "api_keys": "apiKey", "audit_entries": "auditEntry"} | {
    "sign_ins": "signIn",
    "signing_secrets": "signingSecret",
    "quota_windows": "quotaWindow",
    "quota_reservations": "quotaReservation",
    "flag_changes": "flagChange",
    "job_history": "jobHistory",
}
_LEFT_OUT = "ARRAY['hash', 'lookup', 'secret_body', 'sealed']"
_OWNED = [table for table in metadata.sorted_tables if access.owner_column(table) not in (None, "id")]
_PASSING = {"idempotency_keys", "request_windows"}  # the API's own memory of a day and a minute; not exported
_FEW_ROWS = _PASSING | {  # deleted unread, in one statement
    "users",
    "api_keys",
    "sign_ins",
    "invitations",
    "audit_entries",
    "signing_secrets",
}


class PostgresTenantData:
    """Under the tenant role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def name(self, who: Principal) -> str:
        """Return the tenant's name."""
        async with transaction(self._engine) as connection:
            found: str = (
                await connection.execute(text("SELECT name FROM tenants WHERE id = :id"), {"id": who.tenant_id})
            ).scalar_one()
            return found

    async def export(self, who: Principal) -> AsyncIterator[dict[str, Any]]:
        """Yield every row that is the tenant's, parents first. Hashes are left out; secrets are named and null."""
        for table in (metadata.tables["tenants"], *_OWNED):
            after: tuple[Any, ...] = ()
            if table.name in _PASSING:
                continue
            while rows := await self._rows(table, who.tenant_id, after):
                for row in rows:
                    document = row[-1]
                    if "secret_headers" in document:
                        document["secret_headers"] = dict.fromkeys(document["secret_headers"])
                    yield {"type": _TYPES.get(table.name, table.name.removesuffix("s")), **document}
                after = tuple(rows[-1][:-1])

    async def delete(self, who: Principal) -> None:
        """End all access and stop all jobs, in one transaction."""
        async with transaction(self._engine) as connection:
            for statement in (
                "UPDATE tenants SET deleted_at = now(), suspended_reason = 'deleted' WHERE id = :tenant",
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = :tenant",
                "UPDATE invitations SET ended_at = coalesce(ended_at, now()) WHERE tenant_id = :tenant",
                "DELETE FROM sign_ins WHERE tenant_id = :tenant",
            ):
                await connection.execute(text(statement), {"tenant": who.tenant_id})

    async def _rows(self, table: Table, tenant_id: str, after: tuple[Any, ...]) -> list[Any]:
        keys = [f't."{column.name}"' for column in table.primary_key.columns]
        column = access.owner_column(table)
        beyond = ""
        if after:
            beyond = f" AND ({', '.join(keys)}) > ({', '.join(f':k{place}' for place in range(len(keys)))})"
        statement = text(
            f"SELECT {', '.join(keys)}, to_jsonb(t) - {_LEFT_OUT} FROM {table.name} t "
            f"WHERE t.{column} = :tenant{beyond} ORDER BY {', '.join(keys)} LIMIT {BATCH}"
        )
        where = {"tenant": tenant_id, **{f"k{place}": value for place, value in enumerate(after)}}
        async with transaction(self._engine) as connection:
            return list((await connection.execute(statement, where)).all())


async def remove_deleted_tenants(engine: AsyncEngine, *, grace: timedelta = GRACE) -> list[str]:
    """Remove the rows of tenants deleted longer than `grace` ago, children first; return the tenants. An engine of the
    worker's role. What is cut off goes on at the next call."""
    gone = text("SELECT id FROM tenants WHERE deleted_at < now() - CAST(:grace AS interval) ORDER BY id")
    async with transaction(engine) as connection:
        tenants = list((await connection.execute(gone, {"grace": grace})).scalars())
    for tenant_id in tenants:
        for table in reversed(_OWNED):
            while await _remove(engine, table, tenant_id) == BATCH:
                pass
        async with transaction(engine) as connection:
            await connection.execute(text("DELETE FROM tenants WHERE id = :tenant"), {"tenant": tenant_id})
    return tenants


async def remove_old_audit_entries(engine: AsyncEngine, *, kept: timedelta = AUDIT_KEPT) -> int:
    """Remove what is older than `kept`; return how many."""
    old = text("DELETE FROM audit_entries WHERE at < now() - CAST(:kept AS interval)")
    async with transaction(engine) as connection:
        return (await connection.execute(old, {"kept": kept})).rowcount


async def _remove(engine: AsyncEngine, table: Table, tenant_id: str) -> int:
    owned = f"{table.name} WHERE {access.owner_column(table)} = :tenant"
    statement = f"DELETE FROM {owned}"
    if table.name not in _FEW_ROWS:
        keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
        some = f"SELECT {keys} FROM {owned} LIMIT {BATCH}"
        statement = f"DELETE FROM {table.name} WHERE ({keys}) IN ({some})"
    async with transaction(engine) as connection:
        removed = (await connection.execute(text(statement), {"tenant": tenant_id})).rowcount
    return 0 if table.name in _FEW_ROWS else removed
