"""The replies port: answers that are kept, so that a request which is sent again is not carried out again."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from core.record import record

KEPT_FOR = timedelta(hours=24)
UNDER_WAY = timedelta(minutes=5)  # after that the process that carried it out is taken for dead


@record
class Reply:
    """An answer as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@record
class Claim:
    """The right to carry out the request with this key, and to record its answer."""

    tenant_id: str
    key: str
    token: str


@record
class Earlier:
    """A request with this key came before. `reply` None: it has not been answered; `is_lost`: nor will it be."""

    fingerprint: bytes
    reply: Reply | None
    is_lost: bool = False


class Replies(Protocol):
    """Keeps answers by tenant and idempotency key."""

    async def claim(self, tenant_id: str, key: str, fingerprint: bytes) -> Claim | Earlier:
        """Take a key that is free, or say what is known of the request that has it. Of several, one gets it."""
        ...

    async def keep(self, claim: Claim, reply: Reply) -> None:
        """Record the answer; the key stays taken for a day."""
        ...

    async def drop(self, claim: Claim) -> None:
        """Give the key back: nothing was carried out."""
        ...
