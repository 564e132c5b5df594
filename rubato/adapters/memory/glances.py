"""The glances port in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence

from core.entities import Author, Run, Trigger
from core.hints import is_active
from core.ports.glances import LATE_AFTER, Glimpse, Mark, Summary
from core.ports.store import JobFilter, RunFilter
from rubato.adapters.memory.store import MemoryStore

_ALL = 1_000_000


class MemoryGlances:
    """Reads a memory store through its own lists."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def summary(self, tenant_id: str) -> Summary:
        """Return the figures."""
        now = await self._store.now()
        jobs = (await self._store.jobs(tenant_id, JobFilter(), limit=_ALL)).items
        hints = (await self._store.hints(tenant_id, active_only=True, limit=_ALL)).items
        ready = [job.schedule.ready_at for job in jobs]
        groups = Counter(job.definition.group for job in jobs if job.definition.group is not None)
        return Summary(
            jobs=len(jobs),
            late=sum(1 for at in ready if at is not None and at < now - LATE_AFTER),
            failing=sum(1 for job in jobs if job.schedule.failures > 0),
            steered=len({hint.job_id for hint in hints if hint.author is Author.PLANNER}),
            groups=dict(sorted(groups.items())),
        )

    async def glimpses(self, tenant_id: str, job_ids: Sequence[str], *, runs: int) -> Mapping[str, Glimpse]:
        """Return a glimpse of each of these jobs."""
        now, seen = await self._store.now(), {}
        for job_id in job_ids:
            newest = (await self._store.runs(tenant_id, RunFilter(job_id=job_id), limit=_ALL)).items
            marks = [_mark(run) for run in newest if run.trigger is not Trigger.TEST][:runs]
            hints = (await self._store.hints(tenant_id, job_id=job_id, active_only=True, limit=_ALL)).items
            active = tuple(hint for hint in reversed(hints) if is_active(hint, now))
            seen[job_id] = Glimpse(tuple(reversed(marks)), active)
        return seen


def _mark(run: Run) -> Mark:
    return Mark(
        id=run.id,
        at=run.scheduled_for,
        status=run.status,
        trigger=run.trigger,
        status_code=run.status_code,
        duration_ms=run.duration_ms,
        skipped_count=run.skipped_count,
        detail=(run.error_message or run.skip_reason or "")[:120],
    )
