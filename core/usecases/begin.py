"""From claim to sending: the last look at a job before its request leaves."""

from datetime import datetime, timedelta

from core.entities import (
    Attempt,
    Catchup,
    Delivery,
    Hint,
    HintState,
    JobStatus,
    OnceBaseline,
    Run,
    RunStatus,
    Schedule,
    Slot,
    SlotKind,
    Source,
    Trigger,
)
from core.errors import LeaseLostError
from core.grid import TICK, next_fire
from core.hints import end
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot
from core.record import evolve, record
from core.reschedule import give_back, missed, new_run, redecide, settle_hints, skip_slot
from core.usecases.settle import Finished, settle

MISSED = "missed"
PARKED = "parked"
STALE_AFTER = timedelta(minutes=15)  # since the last heartbeat; a lease normally ends it in a minute
PLAIN_ATTEMPTS = 2  # sent and never recorded so often, a run is next made in a process of its own
UNCERTAIN = Finished(RunStatus.UNKNOWN, error_message="The worker was lost after sending, before recording")
STALE = Finished(RunStatus.FAILED, error_message="Stale: its worker was not heard of for 15 minutes")
LAST_ATTEMPT = 8  # workers may be killed for other reasons than this run; but no run is sent without end


@record
class Beginning:
    """What a worker brings to the beginning of a run. `grace`: a slot later than this was missed.

    `lapsed_at`: when the `lease` of the worker that held the job before ended; None: nobody left it behind.
    """

    token: int
    worker_id: str
    grace: timedelta
    lapsed_at: datetime | None = None
    lease: timedelta = timedelta(0)

    @property
    def heartbeat(self) -> datetime | None:
        """Return when the worker that held the job before was last heard of."""
        return self.lapsed_at - self.lease if self.lapsed_at is not None else None

    def has_marked(self, run: Run) -> bool:
        """Tell whether a `running` run was marked under this very claim, by a write whose answer never came."""
        if self.lapsed_at is None:
            return True
        return run.worker_id == self.worker_id and run.started_at is not None and run.started_at >= self.lapsed_at

    def is_missed(self, slot: Slot, run: Run, now: datetime) -> bool:
        """Tell whether a slot is later than the grace. A run that was claimed in time and never sent, since its worker
        died, is not: it counts from the end of that worker's lease."""
        if self.lapsed_at is None:
            return now - slot.at > self.grace
        return run.created_at - slot.at > self.grace or now - self.lapsed_at > self.grace


def begin(snapshot: Snapshot, given: Beginning, *, cron: Cron, ids: Ids) -> Change:
    """Mark a claimed run as running, or settle what must not be sent.

    A slot later than the grace was missed: `catchup` says whether only its record or the newest run remains. A run
    that was already `running` belonged to a worker that died: see `_take_over`. The answer tells the caller whether to
    send: its run is `running`, or not. Raises LeaseLostError when the token was superseded.
    """
    schedule, run = snapshot.job.schedule, snapshot.run
    if schedule.token != given.token or schedule.lease is None or schedule.lease.worker_id != given.worker_id:
        raise LeaseLostError
    if run is None or run.status not in (RunStatus.CLAIMED, RunStatus.RUNNING):
        return _decide_afresh(snapshot, cron=cron, ids=ids)
    if run.status is RunStatus.RUNNING and given.has_marked(run):
        return Change(snapshot.job, "begin", runs=(run,))
    if run.status is RunStatus.RUNNING:
        return _take_over(snapshot, run, given, cron=cron, ids=ids)
    if snapshot.job.deleted_at is not None:
        schedule = evolve(schedule, lease=None, slot=None, manual=None)
        return Change(evolve(snapshot.job, schedule=schedule), "begin", removed_runs=(run.id,))
    if snapshot.limits.suspended is not None:
        return give_back(snapshot, worker_id=given.worker_id, token=given.token)
    if run.trigger is Trigger.MANUAL:
        return _start(snapshot, run, given.worker_id)
    if schedule.slot is None:
        raise LeaseLostError
    if given.is_missed(schedule.slot, run, snapshot.now):
        return _catch_up(snapshot, schedule.slot, run, given.worker_id, cron=cron, ids=ids)
    return _start(snapshot, run, given.worker_id)


def _take_over(snapshot: Snapshot, run: Run, given: Beginning, *, cron: Cron, ids: Ids) -> Change:
    """Go on with a run that its worker sent and never recorded.

    It is sent again under the same id, or becomes `unknown`, as the job's delivery says; `failed` when nobody has been
    heard of for too long. One that has outlived several workers is parked with its job.
    """
    now, job = snapshot.now, snapshot.job
    lost = lost_attempt(run, now)
    ended: Finished | None = None
    reason: str | None = None
    if job.definition.delivery is Delivery.AT_MOST_ONCE or job.deleted_at is not None:
        ended = UNCERTAIN
    elif given.heartbeat is not None and now - given.heartbeat >= STALE_AFTER:
        ended = STALE
    elif run.attempt >= LAST_ATTEMPT:
        reason = f"its run was sent {run.attempt} times and no worker lived to record it"
        ended = Finished(RunStatus.FAILED, error_message=f"Given up: {reason}")
    if ended is None:
        change = _start(snapshot, evolve(run, attempt=run.attempt + 1), given.worker_id)
    else:
        change = settle(snapshot, token=given.token, finished=ended, cron=cron, ids=ids, park_because=reason)
    return evolve(change, attempts=(lost,))


def lost_attempt(run: Run, now: datetime) -> Attempt:
    """Return a run's attempt as one whose worker never recorded anything."""
    return Attempt(
        run_id=run.id,
        tenant_id=run.tenant_id,
        job_id=run.job_id,
        scheduled_for=run.scheduled_for,
        worker_id=run.worker_id or "",
        attempt=run.attempt,
        status="lost",
        started_at=run.started_at,
        ended_at=now,
    )


def _start(snapshot: Snapshot, run: Run, worker_id: str) -> Change:
    schedule = snapshot.job.schedule
    now = max(snapshot.now, run.scheduled_for)
    running = evolve(
        run,
        status=RunStatus.RUNNING,
        started_at=now,
        worker_id=worker_id,
        job_version=snapshot.job.definition.version,
    )
    manual = None if schedule.manual is not None and schedule.manual.run_id == run.id else schedule.manual
    schedule = evolve(schedule, last_start_at=now, manual=manual)
    return Change(evolve(snapshot.job, schedule=schedule), "begin", runs=(running,), hints=_consumed(snapshot, run))


def _consumed(snapshot: Snapshot, run: Run) -> tuple[Hint, ...]:
    slot = snapshot.job.schedule.slot
    if slot is None or slot.source is not Source.HINT_NEXT_TIME or run.trigger is Trigger.MANUAL:
        return ()
    return tuple(
        end(hint, HintState.CONSUMED, snapshot.now, f"its run {run.id} started")
        for hint in snapshot.hints
        if hint.id == slot.hint_id and hint.state is HintState.ACTIVE
    )


def _catch_up(snapshot: Snapshot, slot: Slot, run: Run, worker_id: str, *, cron: Cron, ids: Ids) -> Change:
    """Record what was missed; with `latest`, run the newest of it."""
    gap = missed(snapshot.job, slot, snapshot.now, cron=cron)
    if snapshot.job.definition.catchup is Catchup.SKIP:
        return _skip_all(snapshot, slot, run, cron=cron, ids=ids)
    newest = gap.last or snapshot.now
    if newest == slot.at:
        return _start(snapshot, evolve(run, trigger=Trigger.CATCHUP), worker_id)
    row, schedule, hints = skip_slot(snapshot, slot, MISSED, cron=cron, ids=ids, row=run, through=newest - TICK)
    source = slot.source if slot.source is not Source.HINT_NEXT_TIME else Source.BASELINE_INTERVAL
    latest = Slot(newest, source, slot.kind, handles_through=newest)
    caught_up = new_run(snapshot.job, latest, Trigger.CATCHUP, now=snapshot.now, ids=ids)
    schedule = _holding(evolve(schedule, slot=latest), caught_up)
    started = _start(evolve(snapshot, job=evolve(snapshot.job, schedule=schedule)), caught_up, worker_id)
    return evolve(started, runs=(row, *started.runs), hints=(*hints, *started.hints))


def _skip_all(snapshot: Snapshot, slot: Slot, run: Run, *, cron: Cron, ids: Ids) -> Change:
    row, schedule, hints = skip_slot(snapshot, slot, MISSED, cron=cron, ids=ids, row=run)
    schedule = evolve(schedule, lease=None, slot=None)
    merged, writes = settle_hints(snapshot.hints, hints, snapshot.now)
    job, decision = redecide(
        evolve(snapshot.job, schedule=schedule), merged, snapshot.limits, now=snapshot.now, cron=cron
    )
    return Change(job, "misfire", runs=(evolve(row, decision=decision),), hints=writes, decision=decision)


def _decide_afresh(snapshot: Snapshot, *, cron: Cron, ids: Ids) -> Change:
    """Nothing is there to be run (the hour of a parked job is over, say): look at the job again. The slots that passed
    while it was parked leave one `skipped` row."""
    schedule = evolve(snapshot.job.schedule, lease=None)
    runs: tuple[Run, ...] = ()
    if schedule.status is JobStatus.PARKED and snapshot.job.deleted_at is None:
        runs, schedule = _passed_while_parked(snapshot, schedule, cron=cron, ids=ids)
    schedule = evolve(schedule, status=JobStatus.ACTIVE, parked_until=None, parked_reason=None)
    merged, writes = settle_hints(snapshot.hints, (), snapshot.now)
    job, decision = redecide(
        evolve(snapshot.job, schedule=schedule), merged, snapshot.limits, now=snapshot.now, cron=cron
    )
    return Change(job, "unpark", runs=runs, hints=writes, decision=decision)


def _passed_while_parked(
    snapshot: Snapshot, schedule: Schedule, *, cron: Cron, ids: Ids
) -> tuple[tuple[Run, ...], Schedule]:
    job, now = evolve(snapshot.job, schedule=schedule), snapshot.now
    since = schedule.last_slot_at or schedule.created_at
    try:
        first = next_fire(job.definition, schedule, not_before=since + TICK, cron=cron)
        if first is None or first > now or isinstance(job.definition.baseline, OnceBaseline):
            return (), schedule
        slot = Slot(first, Source.BASELINE_INTERVAL, SlotKind.BASELINE, handles_through=first)
        row = new_run(job, slot, Trigger.SCHEDULED, now=now, ids=ids)
        row, schedule, _ = skip_slot(evolve(snapshot, job=job), slot, PARKED, cron=cron, ids=ids, row=row)
    except Exception:  # noqa: BLE001 - a row that still cannot be decided is parked again by what follows
        return (), schedule
    return (row,), schedule


def _holding(schedule: Schedule, run: Run) -> Schedule:
    lease = schedule.lease
    return schedule if lease is None else evolve(schedule, lease=evolve(lease, run_id=run.id))
