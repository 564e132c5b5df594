"""The accounts port on PostgreSQL. Keys are kept as HMAC-SHA256 under a pepper that the database does not hold."""

import hashlib
import hmac
import math
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import KeySpentError
from core.identity import ALL_SCOPES, lookup_of, scopes_from, start_of
from core.ports.accounts import Principal
from core.ports.ids import Ids
from rubato.adapters.postgres.engine import to_json, transaction

REQUESTS_PER_MINUTE = 100  # of a new key
BOOTSTRAP_REQUESTS_PER_MINUTE = 6000  # the operator's own key, which sets things up
LONGEST_KEY = 512  # characters; anything longer is not looked up
_USED_EVERY = timedelta(minutes=1)  # how often `last_used_at` is written at the most

_BOOTSTRAP_LOCK = 0x527562_6B6579

# By its look-up id; a key that somebody thought up has none, and is found by its hash.
_FIND = text(
    """
    SELECT k.tenant_id, k.user_id, k.id, u.role, k.hash, k.scopes, k.remaining IS NOT NULL AS is_counted,
           k.last_used_at IS NULL OR k.last_used_at < now() - CAST(:every AS interval) AS is_stale
    FROM api_keys k JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
    WHERE CASE WHEN :lookup = '' THEN k.lookup IS NULL AND k.hash = :hash ELSE k.lookup = :lookup END
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND u.removed_at IS NULL
    """
)

# Take one use, refilling first when that is due. No row: there is none left.
_TAKE_USE = text(
    """
    UPDATE api_keys k
    SET remaining = left_now.uses - 1, refilled_at = CASE WHEN left_now.is_refill THEN now() ELSE k.refilled_at END
    FROM (
        SELECT id, CASE WHEN is_refill THEN refill_amount ELSE remaining END AS uses, is_refill
        FROM (
            SELECT id, remaining, refill_amount,
                   coalesce(refilled_at + make_interval(secs => refill_interval_ms / 1000.0) <= now(), false)
                       AS is_refill
            FROM api_keys WHERE tenant_id = :tenant AND id = :id FOR UPDATE
        ) AS held
    ) AS left_now
    WHERE k.tenant_id = :tenant AND k.id = left_now.id AND left_now.uses > 0
    RETURNING k.remaining
    """
)
_REFILL = text(
    """
    SELECT extract(epoch FROM refilled_at + make_interval(secs => refill_interval_ms / 1000.0) - now())::float8
    FROM api_keys WHERE tenant_id = :tenant AND id = :id
    """
)
_ADD_KEY = text(
    """
    INSERT INTO api_keys (tenant_id, id, user_id, hash, name, lookup, start, scopes, requests_per_minute)
    VALUES (:tenant, :key, :user, :hash, :key_name, :lookup, :start, CAST(:scopes AS jsonb), :requests_per_minute)
    """
)


class PostgresAccounts:
    """Resolves keys before anybody's tenant is known; `engine` is of the identity role."""

    def __init__(self, engine: AsyncEngine, ids: Ids, *, pepper: bytes) -> None:
        self._engine = engine
        self._ids = ids
        self._pepper = pepper

    async def authenticate(self, api_key: str) -> Principal | None:
        """Return whose key it is, or None. Raises KeySpentError."""
        if not api_key or len(api_key) > LONGEST_KEY:
            return None
        async with transaction(self._engine) as connection:
            return await self._find(connection, api_key)

    async def bootstrap(self, api_key: str, *, tenant: str, user: str, tenant_id: str | None = None) -> Principal:
        """Create tenant, admin user and key unless the key exists; processes take turns."""
        async with transaction(self._engine) as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _BOOTSTRAP_LOCK})
            found = await self._find(connection, api_key)
            if found is not None:
                return found
            own = {"tenant": tenant_id or f"ten_{self._ids.entropy()}", "user": f"usr_{self._ids.entropy()}"}
            await connection.execute(
                text("INSERT INTO tenants (id, name) VALUES (:tenant, :name) ON CONFLICT DO NOTHING"),
                {**own, "name": tenant},
            )
            await connection.execute(
                text("INSERT INTO users (tenant_id, id, name, role) VALUES (:tenant, :user, :name, 'admin')"),
                {**own, "name": user},
            )
            return await self._add_key(
                connection, own, api_key, "bootstrap", requests_per_minute=BOOTSTRAP_REQUESTS_PER_MINUTE
            )

    async def create_key(self, api_key: str, *, tenant: str, name: str) -> Principal | None:
        """Store a key of all scopes for the oldest admin of a tenant, given by id or name; None: there is none.

        For an operator at the command line, who has the database anyway.
        """
        oldest = text(
            "SELECT u.tenant_id, u.id FROM users u JOIN tenants t ON t.id = u.tenant_id "
            "WHERE (t.id = :tenant OR t.name = :tenant) AND u.role = 'admin' AND u.removed_at IS NULL "
            "ORDER BY t.id = :tenant DESC, t.created_at, u.created_at LIMIT 1"
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(oldest, {"tenant": tenant})).first()
            if row is None:
                return None
            return await self._add_key(connection, {"tenant": row[0], "user": row[1]}, api_key, name)

    async def _add_key(
        self,
        connection: AsyncConnection,
        own: dict[str, str],
        api_key: str,
        name: str,
        *,
        requests_per_minute: int = REQUESTS_PER_MINUTE,
    ) -> Principal:
        key_id = f"key_{self._ids.entropy()}"
        values = {
            **own,
            "key": key_id,
            "key_name": name,
            "hash": hashed(self._pepper, api_key),
            "lookup": lookup_of(api_key),
            "start": start_of(api_key),
            "scopes": to_json(sorted(ALL_SCOPES)),
            "requests_per_minute": requests_per_minute,
        }
        await connection.execute(_ADD_KEY, values)
        return Principal(own["tenant"], own["user"], "admin", key_id)

    async def _find(self, connection: AsyncConnection, api_key: str) -> Principal | None:
        given = hashed(self._pepper, api_key)
        where = {"hash": given, "lookup": lookup_of(api_key) or "", "every": _USED_EVERY}
        row = (await connection.execute(_FIND, where)).mappings().first()
        if row is None or not hmac.compare_digest(row["hash"], given):
            return None
        own = {"tenant": row["tenant_id"], "id": row["id"]}
        if row["is_counted"]:
            await _take_use(connection, own)
        if row["is_stale"]:
            used = text("UPDATE api_keys SET last_used_at = now() WHERE tenant_id = :tenant AND id = :id")
            await connection.execute(used, own)
        return Principal(row["tenant_id"], row["user_id"], row["role"], row["id"], scopes_from(row["scopes"]))


async def _take_use(connection: AsyncConnection, own: dict[str, Any]) -> None:
    if (await connection.execute(_TAKE_USE, own)).first() is None:
        wait_s = (await connection.execute(_REFILL, own)).scalar_one_or_none()
        raise KeySpentError(None if wait_s is None else max(1, math.ceil(wait_s)))


def hashed(pepper: bytes, secret: str) -> bytes:
    """Return what is kept of a key or token."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).digest()
