"""The insights port in memory."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from core.entities import Run, RunStatus
from core.errors import NotFound
from core.ports.insights import FailureGroup, Failures, SpentHour
from core.ports.store import RunFilter
from rubato.adapters.memory.store import MemoryStore

EVERYTHING = 1_000_000


@dataclass(slots=True)
class MemoryInsights:
    """Figures and names by tenant."""

    store: MemoryStore

    async def names(self, tenant_id: str, job_ids: Collection[str]) -> Mapping[str, str]:
        """Return jobs' present names."""
        found = {}
        for job_id in job_ids:
            try:
                found[job_id] = (await self.store.snapshot(tenant_id, job_id)).job.definition.name
            except NotFound:
                continue
        return found

    async def failures(self, tenant_id: str, since: datetime, *, newest: int) -> Failures:
        """Return how runs failed."""
        looked = (await self.store.runs(tenant_id, RunFilter(since=since), limit=newest)).items
        groups: dict[tuple[int | None, str | None], list[Run]] = defaultdict(list)
        for run in looked:
            if run.status is RunStatus.FAILED:
                groups[run.status_code, run.error_message].append(run)
        found = [
            FailureGroup(
                status_code=code,
                error_message=message,
                count=len(runs),
                job_ids=tuple(sorted({run.job_id for run in runs})),
                first_at=runs[-1].scheduled_for,
                last_at=runs[0].scheduled_for,
                last_run_id=runs[0].id,
            )
            for (code, message), runs in groups.items()
        ]
        found.sort(key=lambda group: (group.count, group.last_at), reverse=True)
        return Failures(found, len(looked), len(looked) == newest)

    async def spent_hours(self, tenant_id: str, since: datetime, until: datetime) -> list[SpentHour]:
        """Return the hours in which sessions began."""
        hours: dict[datetime, SpentHour] = {}
        for session in (await self.store.sessions(tenant_id, limit=EVERYTHING)).items:
            if since <= session.started_at < until:
                at = session.started_at.replace(minute=0, second=0, microsecond=0)
                so_far = hours.get(at, SpentHour(at, 0, 0))
                hours[at] = SpentHour(at, so_far.sessions + 1, so_far.tokens + session.plan.usage.tokens)
        return [hours[at] for at in sorted(hours)]
