"""The usage port: what a tenant used, and what it may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from core.entities import RunStatus
from core.record import record


@dataclass(slots=True)
class UsageDay:
    """One UTC day. Runs count on the day of their slot, by how they stand now; sessions on the day they began."""

    day: date
    runs: dict[RunStatus, int] = field(default_factory=dict)
    sessions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@record
class Allowances:
    """The tenant's row as far as it is not the planner's. None: no limit of its own."""

    max_jobs: int
    jobs: int
    runs_per_day: int | None
    runs_today: int
    requests_per_minute: int
    min_interval_ms: int | None


class Usage(Protocol):
    """Figures by tenant, for people and bills; not for deciding anything."""

    async def days(self, tenant_id: str, since: datetime, until: datetime) -> Mapping[date, UsageDay]:
        """Return the days on which anything was used, `since <= instant < until`."""
        ...

    async def allowances(self, tenant_id: str) -> Allowances:
        """Return what the tenant may use, and how much of it is used."""
        ...
