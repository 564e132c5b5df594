"""The store port: jobs, runs, hints and sessions.

Everything that changes a job goes through `change` or `change_many`: the store locks the job's rows, reads what a
transition needs under that lock, lets the pure transition compute, and writes the result, in one transaction. So
planner, worker and API decide from the same reads, and a fence is a comparison made under the lock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from core.entities import (
    Attempt,
    Decision,
    Definition,
    Entry,
    Hint,
    Job,
    JobStatus,
    Limits,
    Run,
    RunStatus,
)
from core.errors import RubatoError
from core.record import record
from core.rules import Rule
from core.sessions import PlanningContext, Session


@record
class Snapshot:
    """A locked job and what belongs to it. `now` is the store's clock.

    `hints`: the active ones (those past their expiry too, until a transition ends them) and planners' and
    rules' pauses that ended within the last seven days. `run`: the run of the lease, or None.
    `manual_run`: the row of the pending manual request, or None. `rules`: all of the job's, oldest first.
    """

    job: Job
    hints: tuple[Hint, ...]
    limits: Limits
    now: datetime
    run: Run | None = None
    manual_run: Run | None = None
    rules: tuple[Rule, ...] = ()

    @property
    def last_start_at(self) -> datetime | None:
        """Return when the job last started: its active run, or the newest that settled."""
        return (self.run.started_at if self.run is not None else None) or self.job.schedule.last_start_at


@record
class Change:
    """What a transition wants written. Runs and hints are inserted, or replaced by id.

    A definition whose version is new is stored as a new version. `removed_runs`: ids of claimed, unsent rows.
    `cause`: run, registration, edit, pause, resume, hint, plan, run_now, delete, misfire, ...: with it the decision
    is recorded (a decision that stands in a settled run is not recorded twice). `entry`: for the job's history. Rules
    are inserted, or replaced by id; whoever changes them raises the schedule's `rules_seq`. `rule_matches`: how many
    rules' conditions the run met.
    """

    job: Job
    cause: str
    runs: tuple[Run, ...] = ()
    removed_runs: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    decision: Decision | None = None
    session: Session | None = None
    attempts: tuple[Attempt, ...] = ()
    entry: Entry | None = None
    rules: tuple[Rule, ...] = ()
    removed_rules: tuple[str, ...] = ()
    rule_matches: int = 0


Transition = Callable[[Snapshot], Change]


@record
class JobRef:
    """A job's address."""

    tenant_id: str
    job_id: str


@record
class Claimed:
    """A job that this worker now holds, as it was claimed.

    `run`: the row made for its slot. None: there is more to it than a slot that comes (a run that another worker left,
    a manual request, an hour of parking that is over); `core.usecases.begin` says what. `lapsed_at`: when the lease
    before this one ended, if nobody gave it back. `revision`: of the schedule's row, for `Known`.
    """

    ref: JobRef
    token: int
    job: Job
    run: Run | None
    lapsed_at: datetime | None = None
    revision: int | None = None

    @property
    def slot_at(self) -> datetime | None:
        """Return the slot, if the job has one."""
        slot = self.job.schedule.slot
        return slot.at if slot else None

    @property
    def run_id(self) -> str:
        """Return the id of the lease's run; empty when there is none."""
        lease = self.job.schedule.lease
        return lease.run_id if lease else ""


@record
class Known:
    """What a worker knows of a job that it claimed, so that it need not be read again: the job, good as long as the
    revision of its schedule's row is this one (None: it is not), and the run's row as the worker wrote it."""

    job: Job
    revision: int | None
    run: Run


@record
class Claims:
    """What a claim brought. `now`: the store's clock, which had reached it when the host's monotonic clock showed
    `heard_at` (None: when the answer came). `next_ready_at`: the earliest instant at which more may be due (None:
    nothing scheduled at all); it may be in the past when the limit was reached."""

    now: datetime
    jobs: tuple[Claimed, ...] = ()
    next_ready_at: datetime | None = None
    heard_at: float | None = None


@record
class PlanClaim:
    """A right to plan one job until an instant. `seq` is what the session will clear."""

    ref: JobRef
    token: int
    seq: int
    until: datetime
    context: PlanningContext


@record
class TestClaim:
    """A test run to dispatch: it leaves the schedule alone. `token` fences its settling."""

    run: Run
    job: Job
    token: int


Item = TypeVar("Item")


@record
class Page(Generic[Item]):
    """A page of a list, and where the next one begins (None: this is the last)."""

    items: Sequence[Item]
    next_cursor: tuple[str, ...] | None = None


class Attention(StrEnum):
    """Why somebody would look at a job now, as `core.ports.glances.Summary` counts it."""

    LATE = "late"
    FAILING = "failing"
    STEERED = "steered"


@record
class JobFilter:
    """Which jobs to list; all given conditions hold. `search`: part of the name or the key, in upper or lower case."""

    status: JobStatus | None = None
    group: str | None = None
    key: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    search: str | None = None
    attention: Attention | None = None


@record
class RunFilter:
    """Which runs to list, newest slot first; all given conditions hold. `since <= scheduled_for < until`."""

    job_id: str | None = None
    status: RunStatus | None = None
    since: datetime | None = None
    until: datetime | None = None


@record
class Backlog:
    """What waits. `oldest_due_age_s` is 0 when nothing is due. `quota_used`: the fullest of all tenants' open
    allowances, from 0 to 1 and beyond."""

    due_jobs: int
    oldest_due_age_s: float
    parked_jobs: int
    quota_used: float = 0.0


class Changes(Protocol):
    """The part of the store that a person's changes need. `core.usecases.rehearsal` stands in for it."""

    async def now(self) -> datetime:
        """Return the store's clock."""
        ...

    async def limits(self, tenant_id: str) -> Limits:
        """Return what operator and tenant allow."""
        ...

    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        """Store a new job."""
        ...

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Return a job that is not deleted."""
        ...

    async def run(self, tenant_id: str, run_id: str) -> Run:
        """Return one run."""
        ...

    async def add_test_run(self, run: Run) -> None:
        """Store a test run."""
        ...

    async def change(self, ref: JobRef, transition: Transition) -> Change:
        """Lock, compute, write."""
        ...


class Store(Protocol):
    """Where everything lives. Every method raises `Unavailable` when the database cannot be reached in time."""

    async def now(self) -> datetime:
        """Return the store's clock: the one that decides what is due."""
        ...

    async def limits(self, tenant_id: str) -> Limits:
        """Return what operator and tenant allow. Raises NotFound."""
        ...

    # jobs
    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        """Store a new job with its first definition, decision and line of history.

        Raises Conflict("key_taken"), LimitReached.
        """
        ...

    async def room(self, tenant_id: str) -> int:
        """Return how many more jobs the tenant may register. Raises NotFound."""
        ...

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Return a job that is not deleted. Raises NotFound."""
        ...

    async def snapshot(self, tenant_id: str, job_id: str) -> Snapshot:
        """Return what a transition would see, without locking. Raises NotFound."""
        ...

    async def jobs(
        self, tenant_id: str, where: JobFilter, *, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[Job]:
        """Return jobs that are not deleted, newest first."""
        ...

    async def last_runs(self, tenant_id: str, job_ids: Sequence[str]) -> dict[str, Run]:
        """Return each job's newest run, test runs left out; jobs without one are missing from the answer."""
        ...

    async def versions(self, tenant_id: str, job_id: str) -> list[Definition]:
        """Return every version of a job's definition, newest first. Raises NotFound."""
        ...

    async def change(self, ref: JobRef, transition: Transition) -> Change:
        """Lock, compute, write. Raises NotFound (unknown; a deleted job is handed to the transition, so that its
        last run can still be recorded), and whatever the transition raises; then nothing is written."""
        ...

    async def change_many(
        self, work: Sequence[tuple[JobRef, Transition]], *, known: Mapping[JobRef, Known] | None = None
    ) -> list[Change | RubatoError]:
        """Do the same for many jobs in one transaction, answers in order. One that raises a RubatoError does not
        spoil the others: its error stands in its place and nothing of it is written. Each job at most once.

        `known`: what need not be read again, by job; given (be it empty), the caller is the run loop."""
        ...

    # the run loop
    async def claim(
        self,
        worker_id: str,
        *,
        limit: int,
        lease: timedelta,
        ahead: timedelta = timedelta(0),
        buckets: Sequence[int] | None = None,
        is_fair: bool = False,
        without: Sequence[str] = (),
    ) -> Claims:
        """Lease up to `limit` jobs, earliest first, and make their `claimed` run rows, in one transaction.

        Claimed is what is due, and what has a slot within `ahead`. Two claimers never get the same job. A job whose
        lease expired is due again: its run row is reused. A job with a pending manual request gets that request's
        row. Suspended tenants' jobs, and those of the tenants in `without`, are left alone, at no cost to the others.
        `is_fair`: due tenants get equal shares of the limit, instead of the earliest jobs first.
        """
        ...

    async def start(self, worker_id: str, claims: Sequence[Claimed]) -> dict[str, datetime]:
        """Mark claimed runs (those with a `run`) as running; return when each began, by job: its slot at the earliest.

        Missing from the answer is what has changed hands or definition since, is deleted or suspended: it is left as
        it was. Asking again is safe as long as nothing was sent.
        """
        ...

    async def renew(self, worker_id: str, held: Sequence[tuple[JobRef, int]], *, lease: timedelta) -> list[JobRef]:
        """Extend leases by token; return the jobs whose lease this worker no longer holds."""
        ...

    async def held_by(self, worker_id: str) -> list[tuple[JobRef, int]]:
        """Return the jobs that are leased to a worker, with their tokens; leases that have ended are left out."""
        ...

    async def release(
        self, worker_id: str, held: Sequence[tuple[JobRef, int]], *, hold_back: timedelta = timedelta(0)
    ) -> None:
        """Give back claims that were not sent: their rows are removed (a manual request's row stays, and so does one
        that another worker left `running`). What is due is not claimed again for `hold_back`; its slot stays where it
        is."""
        ...

    async def add_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record attempts that did not become their run's outcome, with the answers that came after all: each takes
        the place of what the worker that took the run over wrote of it."""
        ...

    async def attempts(self, tenant_id: str, run_id: str) -> list[Attempt]:
        """Return a run's attempts that did not become its outcome, oldest first."""
        ...

    async def stale(self, *, lapsed_for: timedelta, limit: int) -> list[JobRef]:
        """Return jobs whose lease ended so long ago with a run in it, that nobody has claimed since."""
        ...

    # test runs
    async def add_test_run(self, run: Run) -> None:
        """Store a `claimed` test run for any worker to pick up."""
        ...

    async def claim_tests(self, worker_id: str, *, limit: int, lease: timedelta) -> list[TestClaim]:
        """Take pending test runs (or ones whose worker is gone), and mark them running."""
        ...

    async def settle_test(self, claim: TestClaim, run: Run) -> None:
        """Record a test run's end. Raises LeaseLostError when another worker took it over."""
        ...

    # the plan loop
    async def claim_plans(
        self, *, limit: int, lease: timedelta, recent_runs: int, only: JobRef | None = None
    ) -> list[PlanClaim]:
        """Take jobs whose planning is due (`planning.ready_at <= now`), raising their planning token. `only`: that
        job, due or not, unless somebody is planning it (then an empty list)."""
        ...

    async def steered_jobs(self, tenant_id: str | None, *, limit: int, after: JobRef | None = None) -> list[JobRef]:
        """Return jobs with an active hint of a planner or a rule, of one tenant or (None) of all, in order of their
        addresses."""
        ...

    async def add_session(self, session: Session) -> None:
        """Store a session that wrote no hints (denied, stale)."""
        ...

    # reading
    async def run(self, tenant_id: str, run_id: str) -> Run:
        """Return one run; runs of deleted jobs too. Raises NotFound."""
        ...

    async def runs(
        self,
        tenant_id: str,
        where: RunFilter,
        *,
        limit: int,
        after: tuple[str, ...] | None = None,
        offset: int = 0,
    ) -> Page[Run]:
        """Return runs, newest slot first."""
        ...

    async def hints(
        self,
        tenant_id: str,
        *,
        job_id: str | None = None,
        active_only: bool = False,
        limit: int,
        after: tuple[str, ...] | None = None,
    ) -> Page[Hint]:
        """Return hints, newest first. Active: state active and not past expiry."""
        ...

    async def rules(self, tenant_id: str, job_id: str) -> list[Rule]:
        """Return a job's rules in every state, oldest first; none for an unknown job."""
        ...

    async def rule(self, tenant_id: str, rule_id: str) -> Rule:
        """Return one rule. Raises NotFound."""
        ...

    async def sessions(
        self, tenant_id: str, *, job_id: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[Session]:
        """Return sessions, newest first."""
        ...

    async def session(self, tenant_id: str, session_id: str) -> Session:
        """Return one session. Raises NotFound."""
        ...

    async def gate_counts(self, tenant_id: str, *, newest: int) -> dict[str, int]:
        """Return how often the gate gave each verdict among so many of the newest runs."""
        ...

    async def latest_decision(self, tenant_id: str, job_id: str) -> Decision | None:
        """Return the decision in force: the newest recorded for the job. None for an unknown job."""
        ...

    async def backlog(self) -> Backlog:
        """Return figures for the gauges, over all tenants."""
        ...
