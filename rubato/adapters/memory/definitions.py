"""The definitions port over the store in memory, whose tables it reads."""

from dataclasses import dataclass
from datetime import datetime

from core.entities import (
    CronBaseline,
    Definition,
    Entry,
    IntervalBaseline,
    Job,
    JobStatus,
    JobVersion,
    Run,
    TargetAction,
)
from core.errors import NotFound
from core.ports.definitions import DefinitionFilter, TargetRun, TargetRunFilter
from core.ports.store import Page
from core.usecases.manage_jobs import visible_status
from rubato.adapters.memory.paging import page, run_matches
from rubato.adapters.memory.store import MemoryStore


@dataclass(frozen=True, slots=True)
class MemoryDefinitions:
    """Reads versions, their runs and histories."""

    store: MemoryStore

    async def versions(
        self, tenant_id: str, where: DefinitionFilter, *, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[JobVersion]:
        """Return versions whose action is a target, newest job and version first."""
        found = [
            JobVersion(job, definition, self._created_at(job, definition.version))
            for job, definition in self._every_version(tenant_id)
            if job.deleted_at is None and isinstance(definition.action, TargetAction)
        ]
        found = [each for each in found if self._matches(each, where)]
        return page(found, lambda each: (each.job.id, str(each.definition.version).zfill(9)), limit, after)

    async def runs(
        self,
        tenant_id: str,
        where: TargetRunFilter,
        *,
        limit: int,
        after: tuple[str, ...] | None = None,
        offset: int = 0,
    ) -> Page[TargetRun]:
        """Return runs of versions whose action is a target, newest slot first."""
        ran = {(job.id, each.version): each for job, each in self._every_version(tenant_id)}
        found = [
            TargetRun(run, ran[run.job_id, run.job_version])
            for run in self._every_run(tenant_id)
            if run_matches(run, where.runs)
        ]
        found = [each for each in found if _ran(each.run, each.definition, where)]
        return page(found, lambda each: (each.run.id,), limit, after, offset)

    async def run(self, tenant_id: str, run_id: str) -> TargetRun:
        """Return one run of a version whose action is a target."""
        found = await self.runs(tenant_id, TargetRunFilter(), limit=1_000_000)
        for each in found.items:
            if each.run.id == run_id:
                return each
        raise NotFound(f"There is no run {run_id} of a registered target.")

    async def history(self, tenant_id: str, job_id: str, *, limit: int) -> list[Entry]:
        """Return what people did to a job, newest first."""
        return self._entries(tenant_id, job_id)[::-1][:limit]

    def _every_version(self, tenant_id: str) -> list[tuple[Job, Definition]]:
        jobs, versions = self.store._jobs, self.store._versions  # noqa: SLF001 - this reads that store's tables
        mine = [job for job in jobs.values() if job.tenant_id == tenant_id]
        return [(job, definition) for job in mine for definition in versions[job.id]]

    def _every_run(self, tenant_id: str) -> list[Run]:
        return [run for run in self.store._runs.values() if run.tenant_id == tenant_id]  # noqa: SLF001 - as above

    def _entries(self, tenant_id: str, job_id: str) -> list[Entry]:
        entries = self.store._entries  # noqa: SLF001 - as above
        return [each for each in entries if (each.tenant_id, each.job_id) == (tenant_id, job_id)]

    def _created_at(self, job: Job, version: int) -> datetime:
        made = [
            each.at
            for each in self._entries(job.tenant_id, job.id)
            if each.version == version and each.what in ("registration", "edit")
        ]
        return made[0] if made else job.schedule.created_at

    def _matches(self, found: JobVersion, where: DefinitionFilter) -> bool:
        definition = found.definition
        status = visible_status(found.job, self.store.clock.now()) if found.is_latest else JobStatus.RETIRED
        return (
            where.job_id in (None, found.job.id)
            and where.key in (None, definition.key)
            and where.version in (None, definition.version)
            and where.target in (None, _target(definition))
            and (not where.kinds or _kind(definition) in where.kinds)
            and where.status in (None, status)
        )


def _ran(run: Run, definition: Definition, where: TargetRunFilter) -> bool:
    return (
        isinstance(definition.action, TargetAction)
        and where.key in (None, definition.key)
        and where.version in (None, definition.version)
        and where.target in (None, definition.action.target)
        and where.trigger in (None, run.trigger)
    )


def _target(definition: Definition) -> str | None:
    return definition.action.target if isinstance(definition.action, TargetAction) else None


def _kind(definition: Definition) -> str:
    if isinstance(definition.baseline, CronBaseline):
        return "cron"
    return "interval" if isinstance(definition.baseline, IntervalBaseline) else "once"
