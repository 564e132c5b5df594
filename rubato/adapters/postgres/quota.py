"""The quota port on PostgreSQL: one transaction reserves in every window, always in the same order."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import NotFound
from core.ports.ids import Ids
from core.ports.quota import Denial, QuotaWindow, Reservation
from rubato.adapters.postgres.engine import transaction

SETTLED_WITHIN = timedelta(hours=1)  # after its expiry: a session that comes back so late was stopped, and has ended
RESERVED_FOR = timedelta(minutes=5)  # a session's deadline is 20 s; what is not settled by then stays counted

_OPEN = text(
    """
    INSERT INTO quota_windows (tenant_id, name, scope, opened_at, closes_at)
    VALUES (:tenant, :name, :scope, :opened_at, :closes_at)
    ON CONFLICT DO NOTHING
    """
)
# Reserve, if it fits. The row lock makes the sum right whatever runs beside it; no row back: it does not fit.
_RESERVE = text(
    """
    UPDATE quota_windows SET reserved = reserved + :amount
    WHERE tenant_id = :tenant AND name = :name AND scope = :scope AND opened_at = :opened_at
      AND used + reserved + :amount <= :limit AND (used + reserved < :limit OR :amount = 0)
    RETURNING reserved
    """
)
_SETTLE = text(
    """
    UPDATE quota_windows SET reserved = reserved - :reserved, used = used + :used
    WHERE tenant_id = :tenant AND name = :name AND scope = :scope AND opened_at = :opened_at
    """
)


# One reservation long past its time, and no other process's.
_EXPIRED = text(
    """
    DELETE FROM quota_reservations WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM quota_reservations WHERE expires_at < now() - CAST(:after AS interval)
        LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING *
    """
)


class _RefusedError(Exception):
    def __init__(self, window: "_Window") -> None:
        self.window = window
        super().__init__(window.name)


@dataclass(frozen=True, slots=True)
class _Window:
    name: str
    scope: str
    opened_at: datetime
    closes_at: datetime
    limit: int
    amount: int

    @property
    def is_tokens(self) -> bool:
        return self.name.startswith("tokens")


class PostgresQuota:
    """The guard before every model request."""

    def __init__(self, engine: AsyncEngine, ids: Ids) -> None:
        self._engine = engine
        self._ids = ids

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation | Denial:
        """Reserve tokens and one session in all windows, or say which window refused."""
        try:
            async with transaction(self._engine) as connection:
                now, limits = await self._limits(connection, tenant_id)
                windows = _windows(now, limits, job_id, tokens)
                for window in windows:
                    await self._reserve(connection, tenant_id, window)
                return await self._record(connection, tenant_id, job_id, tokens, windows, now)
        except _RefusedError as refused:
            window = refused.window
            noun = "tokens" if window.is_tokens else "sessions"
            reason = (
                f"the {window.limit} {noun} of this {_span(window.name)} are used up until {window.closes_at:%H:%M} UTC"
            )
            return Denial(window.name, reason)

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        """Replace the reservation by what was used, in the windows it was opened in."""
        async with transaction(self._engine) as connection:
            taken = await connection.execute(
                text("DELETE FROM quota_reservations WHERE tenant_id = :tenant AND id = :id RETURNING *"),
                {"tenant": reservation.tenant_id, "id": reservation.id},
            )
            row = taken.mappings().first()
            if row is not None:
                await self._close(connection, row, tokens)

    async def expire(self, *, limit: int = 100) -> int:
        """Count reservations that nobody can settle any more as spent for good; return how many."""
        for count in range(limit):
            async with transaction(self._engine) as connection:
                row = (await connection.execute(_EXPIRED, {"after": SETTLED_WITHIN})).mappings().first()
                if row is None:
                    return count
                await self._close(connection, row, row["tokens"])
        return limit

    async def _close(self, connection: AsyncConnection, row: Any, tokens: int) -> None:
        """Replace a reservation, whose row was taken away, by what was used."""
        opened = {
            "tokens_per_day": ("", row["opened_day"]),
            "tokens_per_month": ("", row["opened_month"]),
            "sessions_per_day": ("", row["opened_day"]),
            "sessions_per_job_hour": (row["job_id"], row["opened_hour"]),
        }
        for name, (scope, opened_at) in opened.items():
            is_tokens = name.startswith("tokens")
            where = {"tenant": row["tenant_id"], "name": name, "scope": scope, "opened_at": opened_at}
            amounts = {"reserved": row["tokens"], "used": tokens} if is_tokens else {"reserved": 1, "used": 1}
            await connection.execute(_SETTLE, {**where, **amounts})

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        """Return the tenant's open windows, per-job ones left out."""
        async with transaction(self._engine) as connection:
            now, limits = await self._limits(connection, tenant_id)
            rows = await connection.execute(
                text("SELECT * FROM quota_windows WHERE tenant_id = :tenant AND scope = '' AND closes_at > :now"),
                {"tenant": tenant_id, "now": now},
            )
            found = {row["name"]: row for row in rows.mappings()}
        answer = []
        for window in _windows(now, limits, "", 0):
            if window.name == "sessions_per_job_hour":
                continue
            row: Any = found.get(window.name, {"used": 0, "reserved": 0})
            answer.append(
                QuotaWindow(window.name, window.opened_at, window.closes_at, window.limit, row["used"], row["reserved"])
            )
        return answer

    async def _limits(self, connection: AsyncConnection, tenant_id: str) -> tuple[datetime, Any]:
        statement = text("SELECT *, clock_timestamp() AS now_at FROM tenants WHERE id = :tenant")
        row = (await connection.execute(statement, {"tenant": tenant_id})).mappings().first()
        if row is None:
            raise NotFound(f"There is no tenant {tenant_id}.")
        return row["now_at"].astimezone(UTC), row

    async def _reserve(self, connection: AsyncConnection, tenant_id: str, window: _Window) -> None:
        where = {
            "tenant": tenant_id,
            "name": window.name,
            "scope": window.scope,
            "opened_at": window.opened_at,
        }
        await connection.execute(_OPEN, {**where, "closes_at": window.closes_at})
        reserved = await connection.execute(_RESERVE, {**where, "amount": window.amount, "limit": window.limit})
        if reserved.first() is None:
            raise _RefusedError(window)

    async def _record(
        self,
        connection: AsyncConnection,
        tenant_id: str,
        job_id: str,
        tokens: int,
        windows: list[_Window],
        now: datetime,
    ) -> Reservation:
        reservation = Reservation(
            f"rsv_{self._ids.entropy()}", tenant_id, job_id, tokens, expires_at=now + RESERVED_FOR
        )
        opened = {window.name: window.opened_at for window in windows}
        await connection.execute(
            text(
                "INSERT INTO quota_reservations "
                "(tenant_id, id, job_id, tokens, opened_day, opened_month, opened_hour, expires_at) "
                "VALUES (:tenant, :id, :job, :tokens, :day, :month, :hour, :expires_at)"
            ),
            {
                "tenant": tenant_id,
                "id": reservation.id,
                "job": job_id,
                "tokens": tokens,
                "day": opened["tokens_per_day"],
                "month": opened["tokens_per_month"],
                "hour": opened["sessions_per_job_hour"],
                "expires_at": reservation.expires_at,
            },
        )
        return reservation


def _windows(now: datetime, limits: Any, job_id: str, tokens: int) -> list[_Window]:
    """Return every window that a session draws on, in the one order in which they are locked."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    hour = now.replace(minute=0, second=0, microsecond=0)
    next_month = (month + timedelta(days=32)).replace(day=1)
    one_day, one_hour = timedelta(days=1), timedelta(hours=1)
    return [
        _Window("tokens_per_day", "", day, day + one_day, limits["tokens_per_day"], tokens),
        _Window("tokens_per_month", "", month, next_month, limits["tokens_per_month"], tokens),
        _Window("sessions_per_day", "", day, day + one_day, limits["sessions_per_day"], 1),
        _Window("sessions_per_job_hour", job_id, hour, hour + one_hour, limits["sessions_per_job_hour"], 1),
    ]


def _span(name: str) -> str:
    return name.rsplit("_", 1)[1]
