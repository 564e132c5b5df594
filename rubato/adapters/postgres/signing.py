"""The signing port on PostgreSQL. Values are sealed at rest, under keys that the database does not hold."""

import base64
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import NotFound
from core.ports.clock import Clock
from core.ports.ids import Ids
from core.ports.signing import MOST, SigningSecret
from rubato.adapters.postgres.engine import transaction

KNOWN_S = 10.0  # secrets in force are asked for this often by each worker; a rotation reaches all of them within it
MOST_KNOWN = 10_000
SECRET_BYTES = 32

_IN_FORCE = text(
    """
    SELECT id, sealed, created_at, expires_at FROM signing_secrets
    WHERE tenant_id = :tenant AND (expires_at IS NULL OR expires_at > now())
    ORDER BY created_at DESC, id DESC LIMIT :most
    """
)
_FORGET = text("DELETE FROM signing_secrets WHERE tenant_id = :tenant AND expires_at IS NOT NULL")
_RETIRE = text(
    "UPDATE signing_secrets SET expires_at = now() + CAST(:overlap AS interval) "
    "WHERE tenant_id = :tenant AND expires_at IS NULL"
)
_ADD = text("INSERT INTO signing_secrets (tenant_id, id, sealed) VALUES (:tenant, :id, :sealed) RETURNING created_at")
_END = text("DELETE FROM signing_secrets WHERE tenant_id = :tenant AND id = :id")
_IN_TURN = text("SELECT pg_advisory_xact_lock(x'73696E67'::int, hashtext(:tenant))")  # "sing": rotations take turns


class PostgresSigningSecrets:
    """A tenant's signing secrets."""

    def __init__(
        self, engine: AsyncEngine, ids: Ids, clock: Clock, *, seal: Callable[[str], str], opener: Callable[[str], str]
    ) -> None:
        self._engine, self._ids, self._clock, self._seal, self._open = engine, ids, clock, seal, opener
        self._known: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()

    async def values(self, tenant_id: str) -> tuple[str, ...]:
        """Return the secrets in force, newest first, as they were ten seconds ago at most."""
        now, known = self._clock.monotonic(), self._known.get(tenant_id)
        if known is not None and known[0] > now:
            return known[1]
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_IN_FORCE, {"tenant": tenant_id, "most": MOST})).mappings().all()
        found = tuple(self._open(row["sealed"]) for row in rows)
        self._known[tenant_id] = now + KNOWN_S, found
        self._known.move_to_end(tenant_id)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return found

    async def listed(self, tenant_id: str) -> list[SigningSecret]:
        """Return the secrets in force, newest first."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_IN_FORCE, {"tenant": tenant_id, "most": MOST})).mappings().all()
        return [SigningSecret(row["id"], row["created_at"], row["expires_at"]) for row in rows]

    async def rotate(self, tenant_id: str, *, overlap: timedelta) -> tuple[SigningSecret, str]:
        """Make a new secret beside the one before it; forget any older one."""
        value = f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
        own = {"tenant": tenant_id, "id": f"whs_{self._ids.entropy()}", "sealed": self._seal(value)}
        async with transaction(self._engine) as connection:
            await connection.execute(_IN_TURN, {"tenant": tenant_id})
            await connection.execute(_FORGET, {"tenant": tenant_id})
            await connection.execute(_RETIRE, {"tenant": tenant_id, "overlap": overlap})
            created_at = (await connection.execute(_ADD, own)).scalar_one()
        self._known.pop(tenant_id, None)
        return SigningSecret(own["id"], created_at, None), value

    async def end(self, tenant_id: str, secret_id: str) -> None:
        """End a secret at once."""
        async with transaction(self._engine) as connection:
            ended = await connection.execute(_END, {"tenant": tenant_id, "id": secret_id})
        if ended.rowcount != 1:
            raise NotFound(f"There is no signing secret {secret_id}.")
        self._known.pop(tenant_id, None)
