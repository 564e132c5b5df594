"""The signing port: the secrets that a tenant's requests are signed with."""

from datetime import datetime, timedelta
from typing import Protocol

from core.record import record

OVERLAP = timedelta(hours=24)  # how long the former secret goes on signing beside a new one, unless told otherwise
MOST = 2  # secrets in force at once; every request then carries a signature of each


@record
class SigningSecret:
    """One secret, without its value. `expires_at` None: it signs until it is replaced or ended."""

    id: str
    created_at: datetime
    expires_at: datetime | None


class SigningSecrets(Protocol):
    """A tenant's signing secrets, `whsec_...` (Standard Webhooks). None: its requests go unsigned."""

    async def values(self, tenant_id: str) -> tuple[str, ...]:
        """Return the secrets in force, newest first, as they were some seconds ago. Raises RubatoError when they
        cannot be told: then nothing may be sent."""
        ...

    async def listed(self, tenant_id: str) -> list[SigningSecret]:
        """Return the secrets in force, newest first."""
        ...

    async def rotate(self, tenant_id: str, *, overlap: timedelta) -> tuple[SigningSecret, str]:
        """Make a new secret; return it with its value, which is never told again. The one before it expires after
        `overlap`; an older one at once."""
        ...

    async def end(self, tenant_id: str, secret_id: str) -> None:
        """End a secret at once. Raises NotFound."""
        ...
