"""The rates port: the `limits` library over a table that all processes share.

Windows begin with their first request, so that within any minute that begins with one the allowance is exact.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Unavailable
from core.ports.clock import Clock
from core.ports.rates import Rate
from rubato.adapters.postgres.engine import transaction

ALLOWANCES_KNOWN_S = 10.0  # a changed row is obeyed after this long at the latest
MOST_KNOWN = 10_000
SWEPT = 100

_HIT = text(
    """
    INSERT INTO request_windows AS w (tenant_id, counted, hits, closes_at)
    VALUES (:tenant, :counted, :amount, now() + make_interval(secs => :expiry))
    ON CONFLICT (tenant_id, counted) DO UPDATE SET
        hits = CASE WHEN w.closes_at <= now() THEN excluded.hits ELSE w.hits + excluded.hits END,
        closes_at = CASE WHEN w.closes_at <= now() THEN excluded.closes_at ELSE w.closes_at END
    RETURNING hits, greatest(0, ceil(extract(epoch FROM closes_at - now())))::int AS left_s
    """
)
_SWEEP = text(
    """
    DELETE FROM request_windows w USING (
        SELECT tenant_id, counted FROM request_windows
        WHERE tenant_id = :tenant AND closes_at < now() - interval '1 hour' LIMIT :swept FOR UPDATE SKIP LOCKED
    ) AS old WHERE w.tenant_id = old.tenant_id AND w.counted = old.counted
    """
)
_READ = text(
    "SELECT hits, extract(epoch FROM closes_at)::float8 AS closes FROM request_windows "
    "WHERE tenant_id = :tenant AND counted = :counted"
)
_FORGET = text("DELETE FROM request_windows WHERE tenant_id = :tenant AND counted = :counted")
_FORGET_ALL = text("DELETE FROM request_windows WHERE tenant_id = :tenant")
_ALLOWANCES = text(
    """
    SELECT t.requests_per_minute AS tenant,
           (SELECT k.requests_per_minute FROM api_keys k WHERE k.tenant_id = t.id AND k.id = :key) AS key
    FROM tenants t WHERE t.id = :tenant
    """
)


class PostgresRateStorage(Storage):
    """What `limits` counts one tenant's requests in. Times are the database's. `seen`: each window as it was counted
    last, and the seconds it has left, so that they need not be asked for again."""

    STORAGE_SCHEME = ["rubato+postgresql"]  # noqa: RUF012 - declared so by the library

    def __init__(self, engine: AsyncEngine, tenant_id: str) -> None:
        super().__init__()
        self._engine, self._tenant_id = engine, tenant_id
        self.seen: dict[str, tuple[int, int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """What stands for a storage that cannot be reached."""
        return Unavailable

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, in a new window if the last one is over; return the count."""
        async with transaction(self._engine) as connection:
            hit = {"tenant": self._tenant_id, "counted": key, "expiry": expiry, "amount": amount}
            row = (await connection.execute(_HIT, hit)).mappings().one()
            hits: int = row["hits"]
            self.seen[key] = hits, row["left_s"]
            if hits == amount:
                await connection.execute(_SWEEP, {"tenant": self._tenant_id, "swept": SWEPT})
            return hits

    async def get(self, key: str) -> int:
        """Return the count of the last window."""
        row = await self._row(key)
        return row["hits"] if row is not None else 0

    async def get_expiry(self, key: str) -> float:
        """Return when the window closes, in seconds of the epoch; 0 for none."""
        row = await self._row(key)
        return row["closes"] if row is not None else 0.0

    async def check(self) -> bool:
        """Tell whether the table can be read."""
        await self._row("")
        return True

    async def reset(self) -> int | None:
        """Forget every count."""
        async with transaction(self._engine) as connection:
            return (await connection.execute(_FORGET_ALL, {"tenant": self._tenant_id})).rowcount

    async def clear(self, key: str) -> None:
        """Forget one."""
        async with transaction(self._engine) as connection:
            await connection.execute(_FORGET, {"tenant": self._tenant_id, "counted": key})

    async def _row(self, key: str) -> Any:
        async with transaction(self._engine) as connection:
            return (await connection.execute(_READ, {"tenant": self._tenant_id, "counted": key})).mappings().first()


@dataclass(frozen=True, slots=True)
class _Allowances:
    tenant: int
    key: int | None
    known_until: float


class PostgresRates:
    """Allowances a minute, as the rows of tenant and key say."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._known: OrderedDict[tuple[str, str | None], _Allowances] = OrderedDict()

    async def hit(self, tenant_id: str, key_id: str | None) -> list[Rate]:
        """Count one request in the key's window and the tenant's."""
        allowed = await self._allowances(tenant_id, key_id)
        counted: list[tuple[str, int, tuple[str, ...]]] = [("tenant", allowed.tenant, (tenant_id,))]
        if key_id is not None and allowed.key is not None:
            counted.insert(0, ("key", allowed.key, (tenant_id, key_id)))
        storage = PostgresRateStorage(self._engine, tenant_id)
        limiter = FixedWindowRateLimiter(storage)
        rates = []
        for name, limit, whose in counted:
            item = RateLimitItemPerMinute(limit)
            is_within = await limiter.hit(item, *whose)
            hits, left_s = storage.seen[item.key_for(*whose)]
            remaining = max(0, limit - hits)
            rates.append(Rate(name, limit, item.get_expiry(), remaining, left_s, is_exceeded=not is_within))
        return rates

    async def _allowances(self, tenant_id: str, key_id: str | None) -> _Allowances:
        whose, now = (tenant_id, key_id), self._clock.monotonic()
        known = self._known.get(whose)
        if known is not None and known.known_until > now:
            return known
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_ALLOWANCES, {"tenant": tenant_id, "key": key_id})).mappings().one()
        found = _Allowances(row["tenant"], row["key"], now + ALLOWANCES_KNOWN_S)
        self._known[whose] = found
        self._known.move_to_end(whose)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return found
