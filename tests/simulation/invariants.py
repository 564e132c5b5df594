"""What must hold after every operation on the store, and whenever a request arrives. Each has a name; a violation says
which, when, and about what."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.entities import (
    Author,
    CronBaseline,
    Decision,
    Delivery,
    Hint,
    HintKind,
    HintState,
    Job,
    JobStatus,
    Run,
    RunStatus,
    Source,
    Trigger,
)
from core.governor import decide, effective_bounds
from core.grid import TICK, next_fire
from core.hints import is_active
from core.ids import webhook_id
from core.ports.cron import Cron
from core.ports.store import Change
from core.transitions import RUN
from tests.simulation.faults import StoreClock
from tests.simulation.journal import JournaledStore
from tests.simulation.loop import Process
from tests.simulation.people import POISON
from tests.simulation.target import Request
from tests.simulation.workers import LEASE

OPEN = (RunStatus.CLAIMED, RunStatus.RUNNING)
OWN_WRITES = ("start", "renew", "release", "change_many")  # what a worker may do only to what it holds
REPLAY_EVERY = 3  # decisions: replaying each would cost a third of the time
CALLS_A_SECOND = 100  # of one process: thirty is the most that was seen, more is spinning
_POISONED = CronBaseline(POISON)
_STEPS = {(old, new) for (old, _), new in RUN.items()} | {(RunStatus.CLAIMED, RunStatus.CLAIMED)}


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold."""

    name: str
    at_s: float
    about: str


@dataclass
class Invariants:
    """Sees every write and every request. `note` writes the trace."""

    store: JournaledStore
    clock: StoreClock
    cron: Cron
    note: Callable[..., None]
    violations: list[Violation] = field(default_factory=list)
    sent: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    _expected: dict[str, str] = field(default_factory=dict)
    _slots: dict[tuple[str, datetime], str] = field(default_factory=dict)
    _open: dict[str, dict[str, Run]] = field(default_factory=lambda: defaultdict(dict))
    _pauses: dict[str, Hint] = field(default_factory=dict)  # a person's, the newest of each job
    _calls: Counter[tuple[str, int]] = field(default_factory=Counter)

    def violated(self, name: str, about: str) -> None:
        """Record a violation."""
        self.note("VIOLATION", name, about)
        self.violations.append(Violation(name, self.clock.monotonic(), about))

    # operations on the store

    def observe(self, operation: str, process: Process | None, args: tuple[Any, ...], answer: Any) -> None:
        """Look at what an operation wrote."""
        self._count(operation, process)
        store, now = self.store, self.clock.now()
        runs = store._runs.take()  # type: ignore[attr-defined]  # a journaled table
        jobs = store._jobs.take()  # type: ignore[attr-defined]
        hints = store._hints.take()  # type: ignore[attr-defined]
        attempts = store._attempts.take()  # type: ignore[attr-defined]
        if not (runs or jobs or hints or attempts):
            return
        who = process.name if process is not None else "api"
        changes = {change.job.id: change for change in _changes(answer)}
        for _, old, new in hints:
            self.counts["hints"] += old is None
            self._hint(old, new, changes)
        for key, old, new in runs:
            self._run(key, old, new, now)
            self.note(who, operation, key, new.status.value if new else "removed")
        for key, old, new in jobs:
            if old is not None:
                self._job(old, new, operation, process, now)
                slot = new.schedule.slot
                self.note(who, operation, key, new.schedule.token, slot.at if slot else None)
        for key, _, new in attempts:
            self.counts[new.status] += 1
            self.note(who, operation, key, new.status)
        if process is not None and operation == "change_many":
            self._tokens(args[0], answer, {key: old for key, old, _ in jobs})
        for change in changes.values():
            if change.decision is not None:
                self._decision(change, now)

    def _count(self, operation: str, process: Process | None) -> None:
        if process is not None:
            key = (process.name, int(self.clock.monotonic()))
            self._calls[key] += 1
            if self._calls[key] == CALLS_A_SECOND:
                self.violated("no worker spins", f"{process.name} made {CALLS_A_SECOND} calls within a second")
        self.counts[operation] += 1

    def _job(self, old: Job, new: Job, operation: str, process: Process | None, now: datetime) -> None:
        before, after = old.schedule, new.schedule
        if after.token < before.token:
            self.violated("tokens rise", f"{new.id}: {before.token} became {after.token}")
        held, holds = before.lease, after.lease
        taken = operation != "release" and held is not None and holds is not None and before.token != after.token
        if taken and held is not None and held.until > now:
            self.violated("two workers never hold one job", f"{new.id}: taken from {held.worker_id} by {holds}")
        if process is not None and operation in OWN_WRITES and (held is None or held.worker_id != process.name):
            self.violated("a stale token's write never lands", f"{new.id}: {operation} of {process.name}, held: {held}")
        if before.slot is not None and (after.slot is None or after.slot.at != before.slot.at):
            self._slot_left(old, new, operation, now)
        last = after.last_slot_at
        if last is not None and before.last_slot_at is not None and last < before.last_slot_at:
            self.violated("slots rise strictly", f"{new.id}: the last slot went back to {last}")
        if after.slot is not None and last is not None and after.slot.at <= last:
            self.violated("slots rise strictly", f"{new.id}: {after.slot.at} follows {last}")
        self._open_rows(new)
        pause = self._pauses.get(new.id)
        if pause is not None and after.status is JobStatus.ACTIVE and new.deleted_at is None and is_active(pause, now):
            self.violated("a person's pause holds", f"{new.id} is active by {operation}, paused by {pause.id}")

    def _slot_left(self, old: Job, new: Job, operation: str, now: datetime) -> None:
        """A slot that was due, or whose run had begun, ends in a row and in nothing else."""
        slot = old.schedule.slot
        if slot is None or slot.at > now:
            return
        row = self.store._runs.get(self._slots.get((old.id, slot.at), ""))
        gone = new.deleted_at is not None and row is not None and row.status is RunStatus.RUNNING
        if not gone and (row is None or row.status in OPEN):
            self.violated("no silent miss", f"{old.id}: {slot.at} was ended by {operation}, its row is {row}")

    def _open_rows(self, job: Job) -> None:
        schedule = job.schedule
        known = {schedule.lease.run_id if schedule.lease else "", schedule.manual.run_id if schedule.manual else ""}
        rows = self._open[job.id]
        for row in rows.values():
            if row.id not in known:
                self.violated("no row is left behind", f"{job.id}: {row.id} is {row.status} and belongs to nothing")
        if schedule.lease is not None and schedule.lease.run_id and schedule.lease.run_id not in rows:
            self.violated("no row is left behind", f"{job.id}: the lease's run {schedule.lease.run_id} has ended")
        if sum(row.status is RunStatus.RUNNING for row in rows.values()) > 1:
            self.violated("one run of a job at a time", f"{job.id}: {sorted(rows)}")

    # rows

    def _run(self, run_id: str, old: Run | None, new: Run | None, now: datetime) -> None:
        row = new or old
        if row is None:
            return
        is_slot = row.trigger in (Trigger.SCHEDULED, Trigger.CATCHUP)
        key = (row.job_id, row.scheduled_for)
        if new is None:
            if old is not None and (old.status is not RunStatus.CLAIMED or self.sent.get(run_id)):
                self.violated("only unsent claims are removed", f"{run_id} was {old.status}")
            self._open[row.job_id].pop(run_id, None)
            if self._slots.get(key) == run_id:
                del self._slots[key]
            return
        if is_slot and self._slots.setdefault(key, run_id) != run_id:
            self.violated("one row a job and slot", f"{run_id} and {self._slots[key]} at {row.scheduled_for}")
        if old is not None:
            self._moved(old, new)
        if row.trigger is not Trigger.TEST:
            if new.status in OPEN:
                self._open[row.job_id][run_id] = new
            else:
                self._open[row.job_id].pop(run_id, None)
        if new.status is RunStatus.RUNNING:
            request = new.id if new.trigger is Trigger.MANUAL else ""
            self._expected[webhook_id(new.job_id, new.scheduled_for, new.trigger, request)] = run_id
            if old is None or old.status is not RunStatus.RUNNING:
                self._marked(new, now)

    def _moved(self, old: Run, new: Run) -> None:
        if old.status not in OPEN:
            self.violated("what has ended never changes", f"{new.id}: {old.status} became {new.status}")
        elif (old.status, new.status) not in _STEPS:
            self.violated("runs move as the table says", f"{new.id}: {old.status} became {new.status}")
        moved = new.scheduled_for != old.scheduled_for or new.job_id != old.job_id
        if moved or (new.trigger is not old.trigger and old.status is not RunStatus.CLAIMED):
            self.violated("the same webhook-id for every attempt", f"{new.id}: {old.trigger} became {new.trigger}")
        if new.status is RunStatus.RUNNING and new.attempt > old.attempt:
            self.counts["taken over"] += 1

    def _marked(self, run: Run, now: datetime) -> None:
        """A run begins: nothing that was committed before may forbid it."""
        job = self.store._jobs[run.job_id]
        self.counts["runs"] += 1
        if run.trigger is Trigger.TEST:
            return
        if job.deleted_at is not None:
            self.violated("a deleted job never begins", f"{run.id}, deleted at {job.deleted_at}")
        if self.store._tenants[job.tenant_id].suspended is not None:
            self.violated("a suspended tenant's job never begins", run.id)
        pause = self._pauses.get(job.id)
        if pause is None or not is_active(pause, now):
            return
        if pause.expires_at is None or run.scheduled_for < pause.expires_at:
            self.violated("a paused job never begins", f"{run.id}, paused by {pause.id}")

    def _hint(self, old: Hint | None, new: Hint | None, changes: dict[str, Change]) -> None:
        if new is not None and new.kind is HintKind.PAUSE and new.author is Author.USER and new != old:
            newer = self._pauses.get(new.job_id)
            if newer is None or newer.id <= new.id:
                self._pauses[new.job_id] = new
        if old is None or new is None or old == new:
            return
        if old.state is not HintState.ACTIVE and new.state is not old.state:
            self.violated("what has ended never changes", f"{new.id}: {old.state} became {new.state}")
        change = changes.get(new.job_id)
        planned = change is not None and change.cause == "plan"
        if planned and old.author is Author.USER and new.state is not HintState.EXPIRED:
            self.violated("no planner touches a person's word", f"{new.id}: {old.state} became {new.state}")

    def _tokens(self, work: Sequence[Any], answers: Any, before: dict[str, Job]) -> None:
        """A change that landed was made under the job's own token."""
        for (ref, transition), answer in zip(work, answers or (), strict=False):
            words = getattr(transition, "keywords", {})
            holder = words.get("flight") or words.get("claim")
            token = holder.token if holder is not None else words.get("token")
            job = before.get(ref.job_id)
            if isinstance(answer, Change) and job is not None and token not in (None, job.schedule.token):
                self.violated("a stale token's write never lands", f"{ref.job_id}: {token} for {job.schedule.token}")

    # decisions

    def _decision(self, change: Change, now: datetime) -> None:
        decision, job = change.decision, change.job
        if decision is None or job.definition.baseline == _POISONED:
            return
        if decision.source in (Source.PARKED, Source.RETIRED, Source.SUSPENDED):
            return
        self.counts["decisions"] += 1
        if job.schedule.slot != decision.slot:
            self.violated("the slot is the decision's", f"{job.id}: {job.schedule.slot}, decided: {decision.slot}")
        limits = self.store._tenants[job.tenant_id]
        hints = tuple(self.store._hints_read(job.id, now))
        self._within(job, decision, hints, now)
        if self.counts["decisions"] % REPLAY_EVERY == 0:
            again = decide(job, hints, limits, now=decision.decided_at, cron=self.cron)
            if (again.slot, again.source, again.clamps) != (decision.slot, decision.source, decision.clamps):
                self.violated(
                    "a decision replays", f"{job.id} ({change.cause}): {decision.reason} | again: {again.reason}"
                )

    def _within(self, job: Job, decision: Decision, hints: tuple[Hint, ...], now: datetime) -> None:
        """A hinted instant keeps to bounds and grants, computed here anew."""
        slot, schedule = decision.slot, job.schedule
        hint = next((each for each in hints if each.id == decision.hint_id), None)
        if slot is None or hint is None or hint.kind is HintKind.PAUSE:
            return
        if any("it expires at" in each.note for each in decision.candidates):
            return  # decided as of another instant
        if job.deleted_at is not None:
            return
        regular = next_fire(job.definition, schedule, not_before=now, cron=self.cron)
        bounds, start = effective_bounds(job.definition, self.store._tenants[job.tenant_id]), schedule.last_start_at
        lowest = start + bounds.floor if start is not None else now
        highest = datetime.max.replace(tzinfo=now.tzinfo)
        if bounds.maximum is not None and regular is not None:
            highest = max((start or schedule.created_at) + bounds.maximum, regular)
        free = (regular, now, schedule.last_slot_at + TICK if schedule.last_slot_at else None)
        if slot.at not in free and not min(lowest, highest) <= slot.at <= max(lowest, highest):
            self.violated("within bounds", f"{job.id}: {slot.at} by {hint.id}; {lowest} to {highest}")
        grants = job.definition.authority
        if hint.author is Author.USER or regular is None or slot.at in free[2:]:
            return
        if (slot.at < regular and not grants.tighten) or (slot.at > regular and not grants.relax):
            self.violated("within grants", f"{job.id}: {slot.at} by {hint.id}; the baseline is {regular}")

    # requests

    def on_request(self, request: Request) -> None:
        """Look at a request as it arrives."""
        now = self.clock.now()
        run_id = self._expected.get(request.webhook_id)
        self.note(request.process.name, "sends", request.webhook_id, run_id)
        if run_id is None:
            self.violated("sent only after the mark", f"{request.process.name} sent {request.webhook_id}, unknown")
            return
        run = self.store._runs[run_id]
        earlier = self.sent[run_id]
        earlier.append(request)
        self.counts["requests"] += 1
        if now < run.scheduled_for:
            self.violated("never early", f"{run_id} was sent at {now}")
        if run.trigger is Trigger.TEST:
            return
        job = self.store._jobs[run.job_id]
        if job.definition.delivery is Delivery.AT_MOST_ONCE and len(earlier) > 1 and not self._was_edited(job):
            self.violated("at most once", f"{run_id} was sent {len(earlier)} times")
        for other in earlier[:-1]:
            awake = other.process.is_alive and not other.process.is_frozen
            if other.is_out and awake and other.process.thawed_at < request.at - LEASE.total_seconds():
                self.violated("a lease is given up in time", f"{other.process.name} still has {run_id} out")

    def _was_edited(self, job: Job) -> bool:
        return len({each.delivery for each in self.store._versions[job.id]}) > 1


def _changes(answer: Any) -> list[Change]:
    if isinstance(answer, Change):
        return [answer]
    if isinstance(answer, list):
        return [each for each in answer if isinstance(each, Change)]
    return []
