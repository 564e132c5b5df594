"""The audit port on PostgreSQL."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from core.identity import AuditEntry
from core.ids import audit_id
from core.ports.accounts import Principal
from core.ports.ids import Ids
from core.ports.store import Page
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.identity_tables import audit_entries


class PostgresAudit:
    """A tenant's record of changes. Each of its writes is a transaction of its own, so that a change that fails, or
    whose process dies, has been recorded all the same."""

    def __init__(self, engine: AsyncEngine, ids: Ids) -> None:
        self._engine, self._ids = engine, ids

    async def open(self, who: Principal, at: datetime, action: str, subject: Mapping[str, str], request_id: str) -> str:
        """Record that a change was asked for; return the entry's id."""
        entry_id = audit_id(at, self._ids.entropy())
        async with transaction(self._engine) as connection:
            await connection.execute(
                insert(audit_entries).values(
                    tenant_id=who.tenant_id,
                    id=entry_id,
                    at=at,
                    user_id=who.user_id,
                    key_id=who.key_id,
                    action=action,
                    subject=dict(subject),
                    request_id=request_id,
                )
            )
        return entry_id

    async def close(self, who: Principal, entry_id: str, *, status: int, detail: Mapping[str, Any]) -> None:
        """Record how it was answered."""
        entries = audit_entries.c
        mine = (entries.tenant_id == who.tenant_id, entries.id == entry_id)
        async with transaction(self._engine) as connection:
            await connection.execute(update(audit_entries).where(*mine).values(status=status, detail=dict(detail)))

    async def entries(
        self, who: Principal, *, action: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[AuditEntry]:
        """Return entries, newest first."""
        entries = audit_entries.c
        statement = select(audit_entries).where(entries.tenant_id == who.tenant_id)
        if action is not None:
            statement = statement.where(entries.action == action)
        if after is not None:
            statement = statement.where(entries.id < after[0])
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(statement.order_by(entries.id.desc()).limit(limit + 1))).mappings().all()
        items = [_entry_from(row) for row in rows[:limit]]
        return Page(items, (items[-1].id,) if len(rows) > limit else None)


def _entry_from(row: Mapping[Any, Any]) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        user_id=row["user_id"],
        key_id=row["key_id"],
        action=row["action"],
        subject=row["subject"],
        request_id=row["request_id"],
        status=row["status"],
        detail=row["detail"],
    )
