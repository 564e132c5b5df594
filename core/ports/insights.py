"""The insights port: what people look at beyond the store's lists. For reading, never for deciding anything."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from core.record import record


@record
class FailureGroup:
    """Failed runs that ended in the same way. `error_message` as the runs have it; `last_run_id` of the newest slot."""

    status_code: int | None
    error_message: str | None
    count: int
    job_ids: tuple[str, ...]
    first_at: datetime
    last_at: datetime
    last_run_id: str


@record
class Failures:
    """How runs failed. `examined`: runs that were looked at; `is_partial`: there were more, and the oldest were not."""

    groups: Sequence[FailureGroup]
    examined: int
    is_partial: bool


@record
class SpentHour:
    """What planner sessions that began in one hour used."""

    at: datetime
    sessions: int
    tokens: int


class Insights(Protocol):
    """Figures and names by tenant."""

    async def names(self, tenant_id: str, job_ids: Collection[str]) -> Mapping[str, str]:
        """Return jobs' present names by id, deleted jobs' too; unknown ids are left out."""
        ...

    async def failures(self, tenant_id: str, since: datetime, *, newest: int) -> Failures:
        """Return how runs with slots from `since` on failed, the most frequent way first; at most so many of the
        newest runs are looked at."""
        ...

    async def spent_hours(self, tenant_id: str, since: datetime, until: datetime) -> list[SpentHour]:
        """Return the hours in which sessions began, oldest first, `since <= instant < until`."""
        ...
