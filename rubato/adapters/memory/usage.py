"""The usage port in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from core.entities import RunStatus
from core.ports.store import RunFilter
from core.ports.usage import Allowances, UsageDay
from rubato.adapters.memory.store import MemoryStore

EVERYTHING = 1_000_000


@dataclass(slots=True)
class MemoryUsage:
    """Figures by tenant. Keys are not counted here."""

    store: MemoryStore

    async def days(self, tenant_id: str, since: datetime, until: datetime) -> Mapping[date, UsageDay]:
        """Return the days on which anything was used."""
        days: dict[date, UsageDay] = {}
        runs = await self.store.runs(tenant_id, RunFilter(since=since, until=until), limit=EVERYTHING)
        for run in runs.items:
            day = days.setdefault(run.scheduled_for.date(), UsageDay(run.scheduled_for.date()))
            day.runs[run.status] = day.runs.get(run.status, 0) + 1
        for session in (await self.store.sessions(tenant_id, limit=EVERYTHING)).items:
            if since <= session.started_at < until:
                day = days.setdefault(session.started_at.date(), UsageDay(session.started_at.date()))
                day.sessions += 1
                day.input_tokens += session.plan.usage.input_tokens
                day.output_tokens += session.plan.usage.output_tokens
        return days

    async def allowances(self, tenant_id: str) -> Allowances:
        """Return what the tenant may use, and how much of it is used."""
        limits, now = await self.store.limits(tenant_id), await self.store.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        runs = (await self.store.runs(tenant_id, RunFilter(since=midnight, until=now), limit=EVERYTHING)).items
        minimum = limits.tenant_minimum
        return Allowances(
            max_jobs=limits.max_jobs,
            jobs=limits.max_jobs - await self.store.room(tenant_id),
            runs_per_day=None,
            runs_today=sum(run.status is not RunStatus.SKIPPED for run in runs),
            requests_per_minute=3000,
            min_interval_ms=int(minimum.total_seconds() * 1000) if minimum is not None else None,
        )
