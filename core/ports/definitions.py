"""The definitions port: reading jobs with registered targets version by version, their runs, and jobs' histories."""

from dataclasses import field
from typing import Protocol

from core.entities import Definition, Entry, JobStatus, JobVersion, Run, Trigger
from core.ports.store import Page, RunFilter
from core.record import record


@record
class DefinitionFilter:
    """Which versions to list; all given conditions hold.

    `status`: a version that another has followed is retired. `kinds`: of cron, interval and once; none: any.
    """

    job_id: str | None = None
    key: str | None = None
    version: int | None = None
    target: str | None = None
    kinds: tuple[str, ...] = ()
    status: JobStatus | None = None


@record
class TargetRunFilter:
    """Which runs to list; all given conditions hold. `key`, `version` and `target`: of the version that ran."""

    runs: RunFilter = field(default_factory=RunFilter)
    key: str | None = None
    version: int | None = None
    target: str | None = None
    trigger: Trigger | None = None


@record
class TargetRun:
    """A run, and the version that it ran: its payload is what the target was called with."""

    run: Run
    definition: Definition


class Definitions(Protocol):
    """Reads only: every change goes through the store. Raises `Unavailable` as the store does."""

    async def versions(
        self, tenant_id: str, where: DefinitionFilter, *, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[JobVersion]:
        """Return the versions, of jobs that are not deleted, whose action is a target: newest job and version first."""
        ...

    async def runs(
        self,
        tenant_id: str,
        where: TargetRunFilter,
        *,
        limit: int,
        after: tuple[str, ...] | None = None,
        offset: int = 0,
    ) -> Page[TargetRun]:
        """Return the runs of versions whose action is a target, newest slot first; deleted jobs' too."""
        ...

    async def run(self, tenant_id: str, run_id: str) -> TargetRun:
        """Return one such run. Raises NotFound."""
        ...

    async def history(self, tenant_id: str, job_id: str, *, limit: int) -> list[Entry]:
        """Return what people did to a job, newest first; to a deleted one too."""
        ...
