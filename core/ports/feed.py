"""The feed port: which of a tenant's jobs have changed since a reader last looked."""

from datetime import datetime
from typing import Protocol

from core.record import record


@record
class News:
    """What has changed. `position`: where to go on from, opaque, good across processes and restarts. `job_ids` None:
    any of them may have."""

    position: str
    job_ids: tuple[str, ...] | None
    now: datetime


class Feed(Protocol):
    """A change is of a job's schedule, as runs, hints, sessions, pauses and edits bring it. None is ever missed; one
    may be told twice. Raises `Unavailable` as the store does."""

    async def since(self, tenant_id: str, position: str | None) -> News:
        """Return what has changed since a position; nothing for None, which begins now. An unknown one begins now too,
        and says that anything may have changed."""
        ...
