"""The store port in memory. One lock stands for the database's row locks; everything inside it is atomic."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from core.entities import (
    Attempt,
    Author,
    Decision,
    Definition,
    Entry,
    Hint,
    HintKind,
    HintState,
    Job,
    JobStatus,
    Lease,
    Limits,
    PlannerMode,
    Run,
    RunStatus,
    Trigger,
)
from core.errors import Conflict, JobsLimitReached, LeaseLostError, NotFound, RubatoError
from core.hints import PAUSE_WINDOW, is_active
from core.ids import bucket_of
from core.ports.clock import Clock
from core.ports.ids import Ids
from core.ports.store import (
    Backlog,
    Change,
    Claimed,
    Claims,
    JobFilter,
    JobRef,
    Known,
    Page,
    PlanClaim,
    RunFilter,
    Snapshot,
    TestClaim,
    Transition,
)
from core.record import evolve
from core.reschedule import give_back, new_run
from core.rules import Rule
from core.sessions import PlanningContext, Session, notes_in
from core.windows import MOST_RUNS
from rubato.adapters.memory.paging import matching_jobs, page, run_matches
from rubato.adapters.memory.reading import ended_hints, gate_counts, one_rule, rules_of, steered_jobs, windows
from rubato.adapters.memory.rows import Hints, Runs


@dataclass(slots=True)
class _TestLease:
    worker_id: str
    until: datetime
    token: int


@dataclass(slots=True)
class MemoryStore:
    """Everything in dictionaries. `clock` is the store's clock: what it says is due, is due.

    `keep_runs`: how many runs and sessions a job keeps, the newest; None: all.
    """

    clock: Clock
    ids: Ids
    keep_runs: int | None = None
    switched_off: set[tuple[str, str]] = field(default_factory=set)  # (scope, name) of kinds of baseline
    _tenants: dict[str, Limits] = field(default_factory=dict)
    _jobs: dict[str, Job] = field(default_factory=dict)
    _versions: dict[str, list[Definition]] = field(default_factory=dict)
    _runs: Runs = field(default_factory=Runs)
    _hints: Hints = field(default_factory=Hints)
    _rules: dict[str, Rule] = field(default_factory=dict)
    _sessions: dict[str, Session] = field(default_factory=dict)
    _decisions: dict[str, Decision] = field(default_factory=dict)
    _tests: dict[str, _TestLease] = field(default_factory=dict)
    _attempts: dict[tuple[str, str, int], Attempt] = field(default_factory=dict)
    _entries: list[Entry] = field(default_factory=list)
    _notes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _held_back: dict[str, datetime] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._runs.keep = self.keep_runs

    def add_tenant(self, tenant_id: str, limits: Limits | None = None) -> None:
        """Create a tenant, or replace its limits."""
        self._tenants[tenant_id] = limits or Limits()

    async def now(self) -> datetime:
        """Return the store's clock."""
        return self.clock.now()

    def tenant_ids(self) -> list[str]:
        """Return the tenants there are."""
        return sorted(self._tenants)

    async def limits(self, tenant_id: str) -> Limits:
        """Return what operator and tenant allow."""
        try:
            return self._tenants[tenant_id]
        except KeyError:
            raise NotFound(f"There is no tenant {tenant_id}.") from None

    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        """Store a new job."""
        async with self._lock:
            self._check_key(job)
            if not await self.room(job.tenant_id):
                raise JobsLimitReached((await self.limits(job.tenant_id)).max_jobs)
            self._jobs[job.id] = job
            self._versions[job.id] = [job.definition]
            self._decisions[job.id] = decision
            self._entries += [entry] if entry is not None else []

    async def room(self, tenant_id: str) -> int:
        """Return how many more jobs the tenant may register."""
        used = sum(job.tenant_id == tenant_id and job.deleted_at is None for job in self._jobs.values())
        return max(0, (await self.limits(tenant_id)).max_jobs - used)

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Return a job that is not deleted."""
        job = self._any_job(tenant_id, job_id)
        if job.deleted_at is not None:
            raise NotFound(f"There is no job {job_id}.")
        return job

    async def snapshot(self, tenant_id: str, job_id: str) -> Snapshot:
        """Return what a transition would see."""
        return self._snapshot(JobRef(tenant_id, job_id))

    async def jobs(
        self, tenant_id: str, where: JobFilter, *, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[Job]:
        """Return jobs that are not deleted, newest first."""
        own = (job for job in self._jobs.values() if job.tenant_id == tenant_id and job.deleted_at is None)
        found = matching_jobs(own, self._hints.values(), where, self.clock.now())
        return page(found, lambda job: (job.id,), limit, after)

    async def last_runs(self, tenant_id: str, job_ids: Sequence[str]) -> dict[str, Run]:
        """Return each job's newest begun or skipped run."""
        newest: dict[str, Run] = {}
        for run in sorted(self._runs.values(), key=lambda run: run.id):
            if run.tenant_id == tenant_id and run.job_id in job_ids and run.trigger is not Trigger.TEST:
                newest[run.job_id] = run
        return newest

    async def versions(self, tenant_id: str, job_id: str) -> list[Definition]:
        """Return every version, newest first."""
        await self.job(tenant_id, job_id)
        return self._versions[job_id][::-1]

    async def change(self, ref: JobRef, transition: Transition) -> Change:
        """Lock, compute, write."""
        async with self._lock:
            change = transition(self._snapshot(ref))
            self._write(change)
            return change

    async def change_many(
        self, work: Sequence[tuple[JobRef, Transition]], *, known: Mapping[JobRef, Known] | None = None
    ) -> list[Change | RubatoError]:
        """Do the same for many jobs; an error stands in its job's place."""
        answers: list[Change | RubatoError] = []
        async with self._lock:
            for ref, transition in work:
                try:
                    change = transition(self._snapshot(ref))
                except RubatoError as error:
                    answers.append(error)
                else:
                    self._write(change)
                    answers.append(change)
        return answers

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
        """Lease due jobs, earliest first, and make their claimed rows."""
        async with self._lock:
            now = self.clock.now()
            waiting = sorted(
                (ready_at, job.id)
                for job in self._jobs.values()
                if (ready_at := self._ready_at(job)) is not None
                and self._tenants[job.tenant_id].suspended is None
                and job.tenant_id not in without
                and (buckets is None or bucket_of(job.id) in buckets)
            )
            due = [job_id for ready_at, job_id in waiting if self._is_claimable(self._jobs[job_id], now, ahead)]
            if is_fair:
                due = self._in_turns(due)
            claimed = [self._claim(self._jobs[job_id], worker_id, now, lease, ahead) for job_id in due[:limit]]
            left = [ready_at for ready_at, job_id in waiting if job_id not in set(due[:limit])]
            return Claims(now, tuple(claimed), left[0] if left else None, off=frozenset(self.switched_off))

    async def start(self, worker_id: str, claims: Sequence[Claimed]) -> dict[str, datetime]:
        """Mark claimed runs as running."""
        async with self._lock:
            started: dict[str, datetime] = {}
            for claim in claims:
                job = self._jobs.get(claim.ref.job_id)
                if job is None or claim.run is None or not _holds(job, worker_id, claim.token):
                    continue
                run = self._runs.get(claim.run.id)
                same = job.definition.version == claim.job.definition.version and job.deleted_at is None
                if run is None or not same or self._tenants[job.tenant_id].suspended is not None:
                    continue
                at = max(self.clock.now(), run.scheduled_for)
                self._runs[run.id] = evolve(run, status=RunStatus.RUNNING, started_at=at, worker_id=worker_id)
                started[job.id] = at
            return started

    async def renew(self, worker_id: str, held: Sequence[tuple[JobRef, int]], *, lease: timedelta) -> list[JobRef]:
        """Extend leases by token; return those no longer held."""
        async with self._lock:
            lost, until = [], self.clock.now() + lease
            for ref, token in held:
                job = self._jobs.get(ref.job_id)
                if job is None or not _holds(job, worker_id, token):
                    lost.append(ref)
                    continue
                self._put(job, lease=evolve(job.schedule.lease, until=until) if job.schedule.lease else None)
            return lost

    async def held_by(self, worker_id: str) -> list[tuple[JobRef, int]]:
        """Return the jobs that are leased to a worker."""
        now = self.clock.now()
        return [
            (JobRef(job.tenant_id, job.id), job.schedule.token)
            for job in self._jobs.values()
            if (lease := job.schedule.lease) is not None and lease.worker_id == worker_id and lease.until > now
        ]

    async def release(
        self, worker_id: str, held: Sequence[tuple[JobRef, int]], *, hold_back: timedelta = timedelta(0)
    ) -> None:
        """Give back claims that were not sent."""
        work = [(ref, partial(give_back, worker_id=worker_id, token=token, hold_back=hold_back)) for ref, token in held]
        for (ref, _), answer in zip(held, await self.change_many(work), strict=True):
            if isinstance(answer, Change) and hold_back:
                self._held_back[ref.job_id] = self.clock.now() + hold_back

    async def stale(self, *, lapsed_for: timedelta, limit: int) -> list[JobRef]:
        """Return jobs whose lease ended so long ago with a run in it."""
        before = self.clock.now() - lapsed_for
        found = [
            JobRef(job.tenant_id, job.id)
            for job in self._jobs.values()
            if (lease := job.schedule.lease) is not None and lease.until <= before and lease.run_id
        ]
        return found[:limit]

    async def add_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record attempts that did not become their run's outcome."""
        async with self._lock:
            self._attempts.update({(each.run_id, each.worker_id, each.attempt): each for each in attempts})

    async def attempts(self, tenant_id: str, run_id: str) -> list[Attempt]:
        """Return a run's attempts that did not become its outcome, oldest first."""
        found = [each for each in self._attempts.values() if (each.tenant_id, each.run_id) == (tenant_id, run_id)]
        return sorted(found, key=lambda each: each.attempt)

    async def add_test_run(self, run: Run) -> None:
        """Store a test run for any worker to pick up."""
        async with self._lock:
            self._runs[run.id] = run

    async def claim_tests(self, worker_id: str, *, limit: int, lease: timedelta) -> list[TestClaim]:
        """Take pending test runs and mark them running."""
        async with self._lock:
            now = self.clock.now()
            claims: list[TestClaim] = []
            for run in self._runs.open_tests():
                held = self._tests.get(run.id)
                free = run.status is RunStatus.CLAIMED or (held is not None and held.until <= now)
                if not free or len(claims) >= limit:
                    continue
                token = held.token + 1 if held else 1
                self._tests[run.id] = _TestLease(
                    worker_id, now + max(lease, _test_lease(self._jobs[run.job_id])), token
                )
                running = evolve(
                    run,
                    status=RunStatus.RUNNING,
                    worker_id=worker_id,
                    started_at=now,
                    attempt=run.attempt + (1 if held else 0),
                )
                self._runs[run.id] = running
                claims.append(TestClaim(running, self._jobs[run.job_id], token))
            return claims

    async def settle_test(self, claim: TestClaim, run: Run) -> None:
        """Record a test run's end."""
        async with self._lock:
            held = self._tests.get(claim.run.id)
            if held is None or held.token != claim.token:
                raise LeaseLostError
            del self._tests[claim.run.id]
            self._runs[run.id] = run

    async def claim_plans(
        self, *, limit: int, lease: timedelta, recent_runs: int, only: JobRef | None = None
    ) -> list[PlanClaim]:
        """Take jobs whose planning is due, raising their planning token."""
        async with self._lock:
            now = self.clock.now()
            claims: list[PlanClaim] = []
            jobs = [job for job in self._jobs.values() if job.deleted_at is None]
            for job in sorted(jobs, key=lambda job: (job.schedule.planning.ready_at or now, job.id)):
                planning = job.schedule.planning
                if only is not None:
                    mine = (job.tenant_id, job.id) == (only.tenant_id, only.job_id)
                    wanted = mine and (planning.ready_at is None or planning.ready_at <= now)
                else:
                    wanted = planning.ready_at is not None and planning.ready_at <= now
                if not wanted or len(claims) >= limit or job.definition.planner is PlannerMode.OFF:
                    continue
                until = now + lease
                job = self._put(job, planning=evolve(planning, token=planning.token + 1, ready_at=until))
                token = job.schedule.planning.token
                claims.append(
                    PlanClaim(
                        JobRef(job.tenant_id, job.id), token, planning.seq, until, self._context(job, recent_runs)
                    )
                )
            return claims

    async def steered_jobs(self, tenant_id: str | None, *, limit: int, after: JobRef | None = None) -> list[JobRef]:
        """Return jobs with an active hint of a planner or a rule."""
        return steered_jobs(self._hints.values(), tenant_id, limit, after)

    async def add_session(self, session: Session) -> None:
        """Store a session that wrote no hints."""
        async with self._lock:
            self._keep_session(session)

    async def run(self, tenant_id: str, run_id: str) -> Run:
        """Return one run."""
        run = self._runs.get(run_id)
        if run is None or run.tenant_id != tenant_id:
            raise NotFound(f"There is no run {run_id}.")
        return run

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
        found = [run for run in self._runs.values() if run.tenant_id == tenant_id and run_matches(run, where)]
        return page(found, lambda run: (run.id,), limit, after, offset)

    async def hints(
        self,
        tenant_id: str,
        *,
        job_id: str | None = None,
        active_only: bool = False,
        limit: int,
        after: tuple[str, ...] | None = None,
    ) -> Page[Hint]:
        """Return hints, newest first."""
        now = self.clock.now()
        found = [
            hint
            for hint in self._hints.values()
            if hint.tenant_id == tenant_id
            and (job_id is None or hint.job_id == job_id)
            and (not active_only or is_active(hint, now))
        ]
        return page(found, lambda hint: (hint.id,), limit, after)

    async def rules(self, tenant_id: str, job_id: str) -> list[Rule]:
        """Return a job's rules, oldest first."""
        return [*rules_of(self._rules, tenant_id, job_id)]

    async def rule(self, tenant_id: str, rule_id: str) -> Rule:
        """Return one rule."""
        return one_rule(self._rules, tenant_id, rule_id)

    async def sessions(
        self, tenant_id: str, *, job_id: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[Session]:
        """Return sessions, newest first."""
        found = [
            session
            for session in self._sessions.values()
            if session.tenant_id == tenant_id and (job_id is None or session.job_id == job_id)
        ]
        return page(found, lambda session: (session.id,), limit, after)

    async def session(self, tenant_id: str, session_id: str) -> Session:
        """Return one session."""
        session = self._sessions.get(session_id)
        if session is None or session.tenant_id != tenant_id:
            raise NotFound(f"There is no session {session_id}.")
        return session

    async def gate_counts(self, tenant_id: str, *, newest: int) -> dict[str, int]:
        """Return how often the gate gave each verdict."""
        return gate_counts((run for run in self._runs.values() if run.tenant_id == tenant_id), newest)

    async def latest_decision(self, tenant_id: str, job_id: str) -> Decision | None:
        """Return the decision in force."""
        job = self._jobs.get(job_id)
        return self._decisions.get(job_id) if job is not None and job.tenant_id == tenant_id else None

    async def backlog(self) -> Backlog:
        """Return figures for the gauges."""
        now = self.clock.now()
        jobs = [job for job in self._jobs.values() if job.deleted_at is None]
        ages = [
            (now - ready_at).total_seconds()
            for job in jobs
            if job.schedule.lease is None and (ready_at := job.schedule.ready_at) is not None and ready_at <= now
        ]
        parked = sum(job.schedule.status is JobStatus.PARKED for job in jobs)
        return Backlog(len(ages), max(ages, default=0.0), parked)

    def _any_job(self, tenant_id: str, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job.tenant_id != tenant_id:
            raise NotFound(f"There is no job {job_id}.")
        return job

    def _snapshot(self, ref: JobRef) -> Snapshot:
        job, now = self._any_job(ref.tenant_id, ref.job_id), self.clock.now()
        schedule = job.schedule
        return Snapshot(
            job=job,
            hints=tuple(self._hints_read(job.id, now)),
            limits=self._tenants[job.tenant_id],
            now=now,
            run=self._runs.get(schedule.lease.run_id) if schedule.lease else None,
            manual_run=self._runs.get(schedule.manual.run_id) if schedule.manual else None,
            rules=rules_of(self._rules, job.tenant_id, job.id),
        )

    def _hints_read(self, job_id: str, now: datetime) -> Iterable[Hint]:
        for hint in self._hints.of(job_id):
            recent_pause = (
                hint.kind is HintKind.PAUSE
                and hint.author is not Author.USER
                and hint.state not in (HintState.SHADOW, HintState.REJECTED)
                and hint.ended_at is not None
                and hint.ended_at > now - PAUSE_WINDOW
            )
            if hint.state is HintState.ACTIVE or recent_pause:
                yield hint

    def _context(self, job: Job, recent_runs: int) -> PlanningContext:
        now = self.clock.now()
        runs = list(islice(self._runs.newest(job.id), max(recent_runs, MOST_RUNS)))
        snapshot = self._snapshot(JobRef(job.tenant_id, job.id))
        siblings, sibling_notes = [], []
        if job.definition.group is not None:
            for other in self._jobs.values():
                same = other.tenant_id == job.tenant_id and other.definition.group == job.definition.group
                if same and other.id != job.id and other.deleted_at is None:
                    theirs = next((run for run in self._runs.newest(other.id) if run.finished_at), None)
                    if theirs is not None:
                        siblings.append((other.definition.name, theirs))
                        sibling_notes.append(self._notes.get(other.id))
        return PlanningContext(
            now=now,
            job=job,
            limits=self._tenants[job.tenant_id],
            hints=tuple(hint for hint in self._hints_read(job.id, now) if is_active(hint, now)),
            runs=tuple(runs[:recent_runs]),
            siblings=tuple(siblings[:20]),
            decision=self._decisions.get(job.id),
            rules=rules_of(self._rules, job.tenant_id, job.id),
            past_hints=ended_hints(self._hints.ended_of(job.id), snapshot),
            windows=windows(runs, now),
            notes=self._notes.get(job.id),
            sibling_notes=tuple(notes for notes in sibling_notes[:20] if notes is not None),
        )

    def _write(self, change: Change) -> None:
        job = change.job
        if job.definition.key != self._jobs[job.id].definition.key:
            self._check_key(job)
        if job.schedule != self._jobs[job.id].schedule:
            self._held_back.pop(job.id, None)  # it is due when its schedule says, as written
        self._jobs[job.id] = job
        if job.definition.version != self._versions[job.id][-1].version:
            self._versions[job.id].append(job.definition)
        for run_id in change.removed_runs:
            self._runs.discard(run_id)
        self._runs.update({run.id: run for run in change.runs})
        self._hints.update({hint.id: hint for hint in change.hints})
        for rule_id in change.removed_rules:
            self._rules.pop(rule_id, None)
        self._rules.update({rule.id: rule for rule in change.rules})
        if change.decision is not None:
            self._decisions[job.id] = change.decision
        self._keep_attempts(change.attempts)
        if change.session is not None:
            self._keep_session(change.session)
        self._entries += [change.entry] if change.entry is not None else []

    def _keep_session(self, session: Session) -> None:
        self._sessions[session.id] = session
        notes = notes_in(session.plan.calls)
        if notes is not None:
            self._notes[session.job_id] = notes
        if self.keep_runs is not None and len(self._sessions) > self.keep_runs * len(self._jobs):
            del self._sessions[next(iter(self._sessions))]

    def _check_key(self, job: Job) -> None:
        key = job.definition.key
        taken = key is not None and any(
            other.tenant_id == job.tenant_id and other.definition.key == key and other.id != job.id
            for other in self._jobs.values()
            if other.deleted_at is None
        )
        if taken:
            raise Conflict("key_taken", f'Another job has the key "{key}"; choose another, or edit that job.')

    def _ready_at(self, job: Job) -> datetime | None:
        ready_at, back = job.schedule.ready_at, self._held_back.get(job.id)
        return max(ready_at, back) if ready_at is not None and back is not None else ready_at

    def _is_claimable(self, job: Job, now: datetime, ahead: timedelta) -> bool:
        ready_at, schedule = self._ready_at(job), job.schedule
        if ready_at is None or ready_at > now + ahead:
            return False
        comes = schedule.lease is None and schedule.slot is not None and schedule.slot.at == ready_at
        return ready_at <= now or comes

    def _in_turns(self, job_ids: Sequence[str]) -> list[str]:
        """Take one of each tenant, then the second of each, and so on."""
        turns: dict[str, int] = {}
        placed: list[tuple[int, int, str]] = []
        for job_id in job_ids:
            tenant_id = self._jobs[job_id].tenant_id
            turns[tenant_id] = turns.get(tenant_id, 0) + 1
            placed.append((turns[tenant_id], len(placed), job_id))
        return [job_id for _, _, job_id in sorted(placed)]

    def _claim(self, job: Job, worker_id: str, now: datetime, lease: timedelta, ahead: timedelta) -> Claimed:
        schedule, made = job.schedule, None
        self._held_back.pop(job.id, None)
        if schedule.lease is not None and schedule.lease.run_id:
            run_id = schedule.lease.run_id
        elif schedule.manual is not None and schedule.manual.at <= now:
            run_id = schedule.manual.run_id
        elif schedule.slot is not None and schedule.slot.at <= now + ahead:
            made = evolve(new_run(job, schedule.slot, Trigger.SCHEDULED, now=now, ids=self.ids), worker_id=worker_id)
            self._runs[made.id], run_id = made, made.id
        else:
            run_id = ""
        lapsed_at = schedule.lease.until if schedule.lease else None
        job = self._put(job, lease=Lease(worker_id, now + lease, run_id), token=schedule.token + 1)
        return Claimed(JobRef(job.tenant_id, job.id), job.schedule.token, job, made, lapsed_at)

    def _keep_attempts(self, attempts: Iterable[Attempt]) -> None:
        for each in attempts:
            self._attempts.setdefault((each.run_id, each.worker_id, each.attempt), each)

    def _put(self, job: Job, **schedule: object) -> Job:
        job = evolve(job, schedule=evolve(job.schedule, **schedule))
        self._jobs[job.id] = job
        return job


def _holds(job: Job, worker_id: str, token: int) -> bool:
    lease = job.schedule.lease
    return job.schedule.token == token and lease is not None and lease.worker_id == worker_id


def _test_lease(job: Job) -> timedelta:
    return job.definition.action.timeout + timedelta(seconds=60)
