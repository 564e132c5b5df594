"""The replies port in memory."""

from dataclasses import dataclass, field
from datetime import datetime

from core.ports.clock import Clock
from core.ports.ids import Ids
from core.ports.replies import KEPT_FOR, UNDER_WAY, Claim, Earlier, Reply


@dataclass(slots=True)
class _Kept:
    fingerprint: bytes
    token: str
    at: datetime
    reply: Reply | None = None


@dataclass(slots=True)
class MemoryReplies:
    """Answers by tenant and idempotency key, for a day."""

    clock: Clock
    ids: Ids
    _kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)

    async def claim(self, tenant_id: str, key: str, fingerprint: bytes) -> Claim | Earlier:
        """Take a key that is free, or say what is known of the request that has it."""
        now, found = self.clock.now(), self._kept.get((tenant_id, key))
        if found is not None and found.at + KEPT_FOR > now:
            return Earlier(found.fingerprint, found.reply, is_lost=found.at + UNDER_WAY <= now)
        claim = Claim(tenant_id, key, self.ids.entropy())
        self._kept[tenant_id, key] = _Kept(fingerprint, claim.token, now)
        return claim

    async def keep(self, claim: Claim, reply: Reply) -> None:
        """Record the answer."""
        found = self._kept.get((claim.tenant_id, claim.key))
        if found is not None and found.token == claim.token:
            found.reply = reply

    async def drop(self, claim: Claim) -> None:
        """Give the key back."""
        found = self._kept.get((claim.tenant_id, claim.key))
        if found is not None and found.token == claim.token:
            del self._kept[claim.tenant_id, claim.key]
