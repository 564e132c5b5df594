"""The quota port."""

from datetime import datetime
from typing import Protocol

from core.record import record


@record
class Reservation:
    """Tokens set aside in every window at once. An expired one counts as spent until it is settled."""

    id: str
    tenant_id: str
    job_id: str
    tokens: int
    expires_at: datetime


@record
class Denial:
    """No: `code` is tokens_per_day, tokens_per_month, sessions_per_day, sessions_per_month or sessions_per_job_hour;
    one that begins with `all_` is the ceiling over all tenants. `until`: when that window closes."""

    code: str
    reason: str
    until: datetime | None = None


@record
class QuotaWindow:
    """One allowance as it stands. `name` as in `Denial.code`; counts of tokens or sessions."""

    name: str
    opened_at: datetime
    closes_at: datetime
    limit: int
    used: int
    reserved: int


class Quota(Protocol):
    """The guard before every model request. `can_proceed` IS the reservation: there is no gap to race through."""

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation | Denial:
        """Reserve `tokens` (>= 0) and one session in all windows, or say which window refused."""
        ...

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        """Replace the reservation by what was used, charged to the windows it was opened in. Safe twice."""
        ...

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        """Return the tenant's open windows (per-job ones left out)."""
        ...
