"""The replies port on PostgreSQL."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.ports.ids import Ids
from core.ports.replies import KEPT_FOR, UNDER_WAY, Claim, Earlier, Reply
from rubato.adapters.postgres.engine import to_json, transaction

SWEPT = 20  # expired keys that a claim takes away, so that they cannot pile up

_SWEEP = text(
    """
    DELETE FROM idempotency_keys k USING (
        SELECT tenant_id, key FROM idempotency_keys WHERE tenant_id = :tenant AND expires_at <= now() AND key <> :key
        LIMIT :swept FOR UPDATE SKIP LOCKED
    ) AS old WHERE k.tenant_id = old.tenant_id AND k.key = old.key
    """
)
# Of several that claim a key at once, the first to insert wins; the others wait for its commit, and find its row.
_CLAIM = text(
    """
    INSERT INTO idempotency_keys AS k (tenant_id, key, fingerprint, token, lost_at, expires_at)
    VALUES (:tenant, :key, :fingerprint, :token, now() + CAST(:under_way AS interval),
            now() + CAST(:kept_for AS interval))
    ON CONFLICT (tenant_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, token = excluded.token, lost_at = excluded.lost_at,
            expires_at = excluded.expires_at, status = NULL, headers = NULL, body = NULL
        WHERE k.expires_at <= now()
    RETURNING token
    """
)
_READ = text(
    """
    SELECT fingerprint, status, headers, body, lost_at <= now() AS is_lost FROM idempotency_keys
    WHERE tenant_id = :tenant AND key = :key
    """
)
_KEEP = text(
    """
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body
    WHERE tenant_id = :tenant AND key = :key AND token = :token
    """
)
_DROP = text("DELETE FROM idempotency_keys WHERE tenant_id = :tenant AND key = :key AND token = :token")


class PostgresReplies:
    """Answers by tenant and idempotency key, for a day."""

    def __init__(self, engine: AsyncEngine, ids: Ids) -> None:
        self._engine, self._ids = engine, ids

    async def claim(self, tenant_id: str, key: str, fingerprint: bytes) -> Claim | Earlier:
        """Take a key that is free, or say what is known of the request that has it."""
        where = {"tenant": tenant_id, "key": key}
        claim = Claim(tenant_id, key, self._ids.entropy())
        values = {"fingerprint": fingerprint, "token": claim.token, "under_way": UNDER_WAY, "kept_for": KEPT_FOR}
        while True:
            async with transaction(self._engine) as connection:
                await connection.execute(_SWEEP, {**where, "swept": SWEPT})
                if (await connection.execute(_CLAIM, {**where, **values})).first() is not None:
                    return claim
                row = (await connection.execute(_READ, where)).mappings().first()
            if row is not None:  # else it was given back meanwhile
                reply = Reply(row["status"], row["headers"], row["body"]) if row["status"] is not None else None
                return Earlier(row["fingerprint"], reply, is_lost=row["is_lost"])

    async def keep(self, claim: Claim, reply: Reply) -> None:
        """Record the answer."""
        values = {"status": reply.status, "headers": to_json(dict(reply.headers)), "body": reply.body}
        async with transaction(self._engine) as connection:
            await connection.execute(_KEEP, {**_of(claim), **values})

    async def drop(self, claim: Claim) -> None:
        """Give the key back."""
        async with transaction(self._engine) as connection:
            await connection.execute(_DROP, _of(claim))


def _of(claim: Claim) -> dict[str, str]:
    return {"tenant": claim.tenant_id, "key": claim.key, "token": claim.token}
