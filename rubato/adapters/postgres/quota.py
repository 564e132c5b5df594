"""The quota port on PostgreSQL: one transaction reserves in every window, always in the same order."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import NotFound
from core.ports.ids import Ids
from core.ports.quota import Denial, QuotaWindow, Reservation
from core.quota import Window, day_of, hour_of, month_of
from rubato.adapters.postgres.engine import transaction

RESERVED_FOR = timedelta(minutes=5)  # a session's deadline is 20 s; what is not settled by then stays counted
LOST_AFTER = timedelta(hours=1)
KEPT_HOURS = timedelta(days=2)  # of a job's hourly windows; no reservation lives so long
NAMES = ("tokens_per_day", "tokens_per_month", "sessions_per_day", "sessions_per_month")
PER_JOB = "sessions_per_job_hour"

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
# What all tenants together use is counted where a ceiling was set when the window was opened.
_OPEN_ALL = text(
    """
    INSERT INTO quota_ceiling_windows (name, opened_at, closes_at) VALUES (:name, :opened_at, :closes_at)
    ON CONFLICT DO NOTHING
    """
)
_RESERVE_ALL = text(
    """
    UPDATE quota_ceiling_windows SET reserved = reserved + :amount
    WHERE name = :name AND opened_at = :opened_at
      AND used + reserved + :amount <= :limit AND (used + reserved < :limit OR :amount = 0)
    RETURNING reserved
    """
)
_SETTLE_ALL = text(
    """
    UPDATE quota_ceiling_windows SET reserved = greatest(0, reserved - :reserved), used = used + :used
    WHERE name = :name AND opened_at = :opened_at
    """
)
_LIMITS = text(
    """
    SELECT t.*, clock_timestamp() AS now_at,
           (SELECT jsonb_object_agg(c.name, c.value) FROM quota_ceilings c) AS ceilings
    FROM tenants t WHERE t.id = :tenant
    """
)
_RECORD = text(
    """
    INSERT INTO quota_reservations
        (tenant_id, id, job_id, tokens, opened_day, opened_month, opened_hour, expires_at)
    VALUES (:tenant, :id, :job, :tokens, :day, :month, :hour, :expires_at)
    """
)
_TAKE = text("DELETE FROM quota_reservations WHERE tenant_id = :tenant AND id = :id RETURNING *")
_LOST = text(
    """
    SELECT tenant_id, id, job_id, tokens, expires_at FROM quota_reservations
    WHERE expires_at < clock_timestamp() - CAST(:grace AS interval) ORDER BY expires_at LIMIT :limit
    """
)
_FORGET = text(
    """
    DELETE FROM quota_windows WHERE (tenant_id, name, scope, opened_at) IN (
        SELECT tenant_id, name, scope, opened_at FROM quota_windows
        WHERE scope <> '' AND closes_at < clock_timestamp() - CAST(:grace AS interval) LIMIT :limit
    )
    """
)
_OF_ALL = "all_"  # how a denial by a ceiling begins


class _RefusedError(Exception):
    def __init__(self, window: "_Window") -> None:
        self.window = window
        super().__init__(window.name)


@dataclass(frozen=True, slots=True)
class _Window:
    """One allowance that a session draws on. `scope` None: the ceiling over all tenants."""

    name: str
    scope: str | None
    span: Window
    limit: int
    amount: int


class PostgresQuota:
    """The guard before every model request."""

    def __init__(self, engine: AsyncEngine, ids: Ids) -> None:
        self._engine = engine
        self._ids = ids

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation | Denial:
        """Reserve tokens and one session in all windows, or say which window refused."""
        try:
            async with transaction(self._engine) as connection:
                now, limits = await _limits(connection, tenant_id)
                for window in _windows(now, limits, job_id, tokens):
                    await _reserve(connection, tenant_id, window)
                return await self._record(connection, tenant_id, job_id, tokens, now)
        except _RefusedError as refused:
            return _denial(refused.window)

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        """Replace the reservation by what was used, in the windows it was opened in."""
        async with transaction(self._engine) as connection:
            where = {"tenant": reservation.tenant_id, "id": reservation.id}
            row = (await connection.execute(_TAKE, where)).mappings().first()
            if row is None:
                return
            for name, scope, opened_at in _drawn_on(row):
                is_tokens = name.startswith("tokens")
                reserved, used = (row["tokens"], tokens) if is_tokens else (1, 1)
                amounts = {"name": name, "opened_at": opened_at, "reserved": reserved, "used": used}
                if scope is None:
                    await connection.execute(_SETTLE_ALL, amounts)
                else:
                    await connection.execute(_SETTLE, {**amounts, "tenant": reservation.tenant_id, "scope": scope})

    async def charge_lost(self) -> int:
        """Charge in full what was reserved by sessions nobody heard of again for an hour; return how many there were.

        Until then an expired reservation counts as spent all the same, and a late settlement still corrects it.
        """
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_LOST, {"grace": LOST_AFTER, "limit": 1000})).mappings().all()
        for row in rows:
            lost = Reservation(row["id"], row["tenant_id"], row["job_id"], row["tokens"], row["expires_at"])
            await self.settle(lost, tokens=lost.tokens)
        return len(rows)

    async def forget_closed(self) -> int:
        """Remove the windows of jobs' hours that closed days ago, some at a time; return how many there were."""
        async with transaction(self._engine) as connection:
            return (await connection.execute(_FORGET, {"grace": KEPT_HOURS, "limit": 10_000})).rowcount

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        """Return the tenant's open windows; those of a job and of all tenants are left out."""
        async with transaction(self._engine) as connection:
            now, limits = await _limits(connection, tenant_id)
            rows = await connection.execute(
                text("SELECT * FROM quota_windows WHERE tenant_id = :tenant AND scope = '' AND closes_at > :now"),
                {"tenant": tenant_id, "now": now},
            )
            found = {row["name"]: row for row in rows.mappings()}
        answer = []
        for window in _windows(now, limits, "", 0):
            if window.scope is None or window.name == PER_JOB:
                continue
            row: Any = found.get(window.name, {"used": 0, "reserved": 0})
            span = window.span
            answer.append(
                QuotaWindow(window.name, span.opened_at, span.closes_at, window.limit, row["used"], row["reserved"])
            )
        return answer

    async def _record(
        self, connection: AsyncConnection, tenant_id: str, job_id: str, tokens: int, now: datetime
    ) -> Reservation:
        entropy, expires_at = self._ids.entropy(), now + RESERVED_FOR
        reservation = Reservation(f"rsv_{entropy}", tenant_id, job_id, tokens, expires_at)
        opened = {"day": day_of(now), "month": month_of(now), "hour": hour_of(now)}
        where = {"tenant": tenant_id, "id": reservation.id, "job": job_id, "tokens": tokens, "expires_at": expires_at}
        await connection.execute(_RECORD, {**where, **{name: span.opened_at for name, span in opened.items()}})
        return reservation


async def _limits(connection: AsyncConnection, tenant_id: str) -> tuple[datetime, Any]:
    row = (await connection.execute(_LIMITS, {"tenant": tenant_id})).mappings().first()
    if row is None:
        raise NotFound(f"There is no tenant {tenant_id}.")
    return row["now_at"].astimezone(UTC), row


async def _reserve(connection: AsyncConnection, tenant_id: str, window: _Window) -> None:
    where = {"name": window.name, "opened_at": window.span.opened_at}
    amounts = {**where, "amount": window.amount, "limit": window.limit}
    opening = {**where, "closes_at": window.span.closes_at}
    if window.scope is None:
        await connection.execute(_OPEN_ALL, opening)
        reserved = await connection.execute(_RESERVE_ALL, amounts)
    else:
        owner = {"tenant": tenant_id, "scope": window.scope}
        await connection.execute(_OPEN, {**opening, **owner})
        reserved = await connection.execute(_RESERVE, {**amounts, **owner})
    if reserved.first() is None:
        raise _RefusedError(window)


def _windows(now: datetime, limits: Any, job_id: str, tokens: int) -> list[_Window]:
    """Return every window that a session draws on, in the one order in which they are locked; the ceilings last, since
    all tenants' sessions meet there."""
    day, month, ceilings = day_of(now), month_of(now), limits["ceilings"] or {}
    spans = {
        "tokens_per_day": (day, tokens),
        "tokens_per_month": (month, tokens),
        "sessions_per_day": (day, 1),
        "sessions_per_month": (month, 1),
    }
    own = [_Window(name, "", span, limits[name], amount) for name, (span, amount) in spans.items()]
    own.append(_Window(PER_JOB, job_id, hour_of(now), limits[PER_JOB], 1))
    everybody = [
        _Window(name, None, span, int(ceilings[name]), amount)
        for name, (span, amount) in spans.items()
        if name in ceilings
    ]
    return own + everybody


def _drawn_on(row: Any) -> list[tuple[str, str | None, datetime]]:
    """Return the windows that a reservation was opened in: name, scope, opening."""
    spans = {name: row["opened_month" if name.endswith("month") else "opened_day"] for name in NAMES}
    own: list[tuple[str, str | None, datetime]] = [(name, "", opened_at) for name, opened_at in spans.items()]
    own.append((PER_JOB, row["job_id"], row["opened_hour"]))
    return own + [(name, None, opened_at) for name, opened_at in spans.items()]


def _denial(window: _Window) -> Denial:
    noun = "tokens" if window.name.startswith("tokens") else "sessions"
    whose = " for all tenants" if window.scope is None else ""
    closes_at = window.span.closes_at
    reason = (
        f"the {window.limit} {noun} of this {window.name.rsplit('_', 1)[1]}{whose} are used up until "
        f"{closes_at:%Y-%m-%d %H:%M} UTC"
    )
    return Denial(_OF_ALL + window.name if window.scope is None else window.name, reason, closes_at)
