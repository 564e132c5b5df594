"""What a worker has in its hands: claims it holds to their slots, and runs it has sent and not recorded yet."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from core.entities import Attempt, Job, Run, RunStatus
from core.ports.store import Claimed, JobRef, Known
from core.record import evolve
from core.usecases.settle import Finished


@dataclass(slots=True, eq=False)
class Hold:
    """A claim that was not sent yet. Instants by the worker's monotonic clock.

    `sends_at`: its slot, by the store's clock. `good_until`: how long its lease may be relied on. `late_s`: how late
    the slot was when it was claimed. `has_place`: it takes one up.
    """

    claim: Claimed
    sends_at: float
    good_until: float
    late_s: float = 0.0
    has_place: bool = False
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class Flight:
    """A run that was marked, until it is recorded. `is_out`: its answer is not here yet. `was_unsure`: a try to record
    it got no answer, and may have been carried out all the same. `revision`: of the schedule's row that `job` was read
    from, if it was not written since. `tried`: outcomes that were tried to be recorded."""

    job: Job
    run: Run
    token: int
    good_until: float
    revision: int | None = None
    task: "asyncio.Task[None] | None" = None
    finished: Finished | None = None
    park_because: str | None = None
    is_out: bool = True
    was_unsure: bool = False
    tried: set[RunStatus] = field(default_factory=set)

    @property
    def ref(self) -> JobRef:
        """Return the job's address."""
        return JobRef(self.job.tenant_id, self.job.id)

    @property
    def known(self) -> Known:
        """Return what need not be read again to record it."""
        return Known(self.job, self.revision, self.run)

    def discarded(self, worker_id: str, now: datetime) -> Attempt:
        """Return its answer as an attempt that did not become the run's outcome."""
        run, finished = self.run, self.finished
        return Attempt(
            run_id=run.id,
            tenant_id=run.tenant_id,
            job_id=run.job_id,
            scheduled_for=run.scheduled_for,
            worker_id=worker_id,
            attempt=run.attempt,
            status="discarded",
            ended_at=now,
            started_at=run.started_at,
            status_code=finished.status_code if finished else None,
            duration_ms=finished.duration_ms if finished else None,
            error_message=finished.error_message if finished else None,
        )


def marked(run: Run, started_at: datetime) -> Run:
    """Return a claimed run as `Store.start` marked it."""
    return evolve(run, status=RunStatus.RUNNING, started_at=started_at)
