"""The accounts port on PostgreSQL. Keys are kept as HMAC-SHA256 under a pepper that the database does not hold."""

import hashlib
import hmac
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.ports.accounts import Principal
from core.ports.ids import Ids
from rubato.adapters.postgres.engine import transaction

BOOTSTRAP_REQUESTS_PER_MINUTE = 6000  # the operator's own key, which sets things up; others begin with 100
LONGEST_KEY = 512  # characters; anything longer is not looked up
_USED_EVERY = timedelta(minutes=1)  # how often `last_used_at` is written at the most

_BOOTSTRAP_LOCK = 0x527562_6B6579

_FIND = text(
    """
    SELECT k.tenant_id, k.user_id, k.id, u.role,
           k.last_used_at IS NULL OR k.last_used_at < now() - CAST(:every AS interval) AS is_stale
    FROM api_keys k JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
    WHERE k.hash = :hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    """
)


class PostgresAccounts:
    """Tenants, users and API keys."""

    def __init__(self, engine: AsyncEngine, ids: Ids, *, pepper: bytes) -> None:
        self._engine = engine
        self._ids = ids
        self._pepper = pepper

    async def authenticate(self, api_key: str) -> Principal | None:
        """Return whose key it is, or None."""
        if not api_key or len(api_key) > LONGEST_KEY:
            return None
        async with transaction(self._engine) as connection:
            return await self._find(connection, api_key)

    async def bootstrap(self, api_key: str, *, tenant: str, user: str) -> Principal:
        """Create tenant, admin user and key unless the key exists; processes take turns."""
        async with transaction(self._engine) as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _BOOTSTRAP_LOCK})
            found = await self._find(connection, api_key)
            if found is not None:
                return found
            own = {
                "tenant": f"ten_{self._ids.entropy()}",
                "user": f"usr_{self._ids.entropy()}",
                "key": f"key_{self._ids.entropy()}",
            }
            await connection.execute(
                text("INSERT INTO tenants (id, name) VALUES (:tenant, :name)"), {**own, "name": tenant}
            )
            await connection.execute(
                text("INSERT INTO users (tenant_id, id, name, role) VALUES (:tenant, :user, :name, 'admin')"),
                {**own, "name": user},
            )
            await connection.execute(
                text(
                    "INSERT INTO api_keys (tenant_id, id, user_id, hash, name, requests_per_minute) "
                    "VALUES (:tenant, :key, :user, :hash, 'bootstrap', :rate)"
                ),
                {**own, "hash": self._hash(api_key), "rate": BOOTSTRAP_REQUESTS_PER_MINUTE},
            )
            return Principal(own["tenant"], own["user"], "admin", own["key"])

    async def _find(self, connection: AsyncConnection, api_key: str) -> Principal | None:
        row = (await connection.execute(_FIND, {"hash": self._hash(api_key), "every": _USED_EVERY})).mappings().first()
        if row is None:
            return None
        if row["is_stale"]:
            await connection.execute(
                text("UPDATE api_keys SET last_used_at = now() WHERE tenant_id = :tenant AND id = :id"),
                {"tenant": row["tenant_id"], "id": row["id"]},
            )
        return Principal(row["tenant_id"], row["user_id"], row["role"], row["id"])

    def _hash(self, api_key: str) -> bytes:
        return hmac.new(self._pepper, api_key.encode(), hashlib.sha256).digest()
