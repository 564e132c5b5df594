"""One action on every job that a filter finds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

from core.entities import Job
from core.errors import Conflict, InvalidInput, NotFound, RubatoError
from core.ports.cron import Cron
from core.ports.store import JobFilter, JobRef, Store, Transition
from core.record import record
from core.usecases.rehearsal import SHOWN_RUNS, Rehearsal

AT_A_TIME = 100  # jobs a transaction: it holds their locks for some tens of milliseconds
SHOWN_REFUSALS = 100


@record
class Refusal:
    """A job that the action was refused for."""

    job_id: str
    code: str
    detail: str


@dataclass(slots=True)
class Outcome:
    """What came of it. `refusals`: the first hundred. `next_runs`: of a rehearsal, the earliest."""

    matched: int = 0
    changed: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    next_runs: list[datetime] = field(default_factory=list)

    def count(self, job_id: str, error: RubatoError | None) -> None:
        """Add one job's outcome."""
        self.matched += 1
        if error is None:
            self.changed += 1
        elif len(self.refusals) < SHOWN_REFUSALS:
            self.refusals.append(Refusal(job_id, _code(error), str(error)))


@record
class Bulk:
    """Carries out a transition on many jobs, a batch a transaction: one that is refused does not spoil the others."""

    store: Store
    cron: Cron

    async def apply(self, tenant_id: str, where: JobFilter, transition: Transition) -> Outcome:
        """Change every job that the filter finds as it goes; jobs that are registered meanwhile may be left out."""
        outcome = Outcome()
        async for jobs in self._batches(tenant_id, where):
            answers = await self.store.change_many([(JobRef(tenant_id, job.id), transition) for job in jobs])
            for job, answer in zip(jobs, answers, strict=True):
                outcome.count(job.id, answer if isinstance(answer, RubatoError) else None)
        return outcome

    async def rehearse(self, tenant_id: str, where: JobFilter, transition: Transition) -> Outcome:
        """Compute the same and write nothing."""
        outcome = Outcome()
        async for jobs in self._batches(tenant_id, where):
            for job in jobs:
                rehearsal = Rehearsal(self.store)
                try:
                    await rehearsal.change(JobRef(tenant_id, job.id), transition)
                except (Conflict, InvalidInput, NotFound) as error:
                    outcome.count(job.id, error)
                else:
                    outcome.count(job.id, None)
                    runs = [*outcome.next_runs, *rehearsal.next_runs(self.cron)]
                    outcome.next_runs = sorted(runs)[:SHOWN_RUNS]
        return outcome

    async def _batches(self, tenant_id: str, where: JobFilter) -> AsyncIterator[list[Job]]:
        after = None
        while True:
            page = await self.store.jobs(tenant_id, where, limit=AT_A_TIME, after=after)
            if page.items:
                yield list(page.items)
            if page.next_cursor is None:
                return
            after = page.next_cursor


def _code(error: RubatoError) -> str:
    if isinstance(error, InvalidInput):
        return "invalid_input"
    return error.code if isinstance(error, Conflict) else "not_found"
