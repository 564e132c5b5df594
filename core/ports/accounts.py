"""The accounts port: tenants, users and API keys."""

from typing import Protocol

from core.record import record


@record
class Principal:
    """Who is asking: a user of a tenant, through one of its keys. `role`: admin or member."""

    tenant_id: str
    user_id: str
    role: str
    key_id: str | None = None


class Accounts(Protocol):
    """Resolves credentials. Values are compared by keyed hash; none is ever stored or logged."""

    async def authenticate(self, api_key: str) -> Principal | None:
        """Return whose key it is, or None when it is unknown, revoked or expired."""
        ...

    async def bootstrap(self, api_key: str, *, tenant: str, user: str) -> Principal:
        """Create that tenant, admin user and key unless this key exists; safe to call at every start, and by
        several processes at once."""
        ...
