"""What a change would do, without doing it; and changes that hold for one version of a job only.

Both stand in for the store under the same use cases, so that a rehearsed change is computed by the code that would
carry it out, from the same reads.
"""

from collections.abc import Collection
from datetime import datetime

from core.entities import Decision, Entry, Job, Limits, Run
from core.errors import Conflict, JobsLimitReached, VersionMismatch
from core.ports.cron import Cron
from core.ports.store import Change, Changes, JobFilter, JobRef, Snapshot, Store, Transition
from core.usecases.explain import forecast

SHOWN_RUNS = 5


class Rehearsal:
    """Computes changes and writes none. `after`: what the last one would have left behind."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.after: Snapshot | None = None

    async def now(self) -> datetime:
        """Return the store's clock."""
        return await self._store.now()

    async def limits(self, tenant_id: str) -> Limits:
        """Return what operator and tenant allow."""
        return await self._store.limits(tenant_id)

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Return a job that is not deleted."""
        return await self._store.job(tenant_id, job_id)

    async def run(self, tenant_id: str, run_id: str) -> Run:
        """Return one run."""
        return await self._store.run(tenant_id, run_id)

    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        """Refuse what storing it would refuse."""
        await self._check_key(job)
        limits = await self.limits(job.tenant_id)
        if not await self._store.room(job.tenant_id):
            raise JobsLimitReached(limits.max_jobs)
        self.after = Snapshot(job, (), limits, job.updated_at)

    async def add_test_run(self, run: Run) -> None:
        """A test leaves the schedule alone."""
        self.after = await self._store.snapshot(run.tenant_id, run.job_id)

    async def change(self, ref: JobRef, transition: Transition) -> Change:
        """Compute from what a lock would show now."""
        snapshot = await self._store.snapshot(ref.tenant_id, ref.job_id)
        change = transition(snapshot)
        if change.job.definition.key != snapshot.job.definition.key:
            await self._check_key(change.job)
        written = {hint.id: hint for hint in change.hints}
        hints = (*(hint for hint in snapshot.hints if hint.id not in written), *written.values())
        self.after = Snapshot(change.job, hints, snapshot.limits, snapshot.now)
        return change

    def next_runs(self, cron: Cron) -> list[datetime]:
        """Return the instants of the next runs after the last change, if each succeeds at its slot."""
        after = self.after
        if after is None or after.job.deleted_at is not None:
            return []
        last = datetime.max.replace(tzinfo=after.now.tzinfo)
        return [item.at for item in forecast(after, until=last, limit=SHOWN_RUNS, cron=cron).items]

    async def _check_key(self, job: Job) -> None:
        key = job.definition.key
        if key is not None and (await self._store.jobs(job.tenant_id, JobFilter(key=key), limit=1)).items:
            raise Conflict("key_taken", "Another job has this key; choose another, or edit that job.")


class Expecting:
    """Changes jobs as long as they are at one of these versions, which is seen under the lock."""

    def __init__(self, changes: Changes, versions: Collection[int]) -> None:
        self._changes, self._versions = changes, versions

    async def now(self) -> datetime:
        """Return the store's clock."""
        return await self._changes.now()

    async def limits(self, tenant_id: str) -> Limits:
        """Return what operator and tenant allow."""
        return await self._changes.limits(tenant_id)

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Return a job that is not deleted."""
        return await self._changes.job(tenant_id, job_id)

    async def run(self, tenant_id: str, run_id: str) -> Run:
        """Return one run."""
        return await self._changes.run(tenant_id, run_id)

    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        """Raise VersionMismatch: a job that is not there has no version."""
        raise VersionMismatch(None)

    async def add_test_run(self, run: Run) -> None:
        """Store a test run, if it is of an expected version."""
        self._check(run.job_version)
        await self._changes.add_test_run(run)

    async def change(self, ref: JobRef, transition: Transition) -> Change:
        """Lock, compare, compute, write. Raises VersionMismatch."""

        def guarded(snapshot: Snapshot) -> Change:
            if snapshot.job.deleted_at is None:
                self._check(snapshot.job.definition.version)
            return transition(snapshot)

        return await self._changes.change(ref, guarded)

    def _check(self, version: int) -> None:
        if version not in self._versions:
            raise VersionMismatch(version)
