"""From claim to sending: the last look at a job before its request leaves."""

from dataclasses import replace
from datetime import timedelta

from core.entities import Catchup, Delivery, Hint, HintState, JobStatus, Run, RunStatus, Schedule, Slot, Source, Trigger
from core.errors import LeaseLostError
from core.grid import TICK
from core.hints import end
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot
from core.reschedule import missed, new_run, redecide, settle_hints, skip_slot
from core.usecases.settle import Finished, settle

MISSED = "missed"


def begin(snapshot: Snapshot, *, token: int, worker_id: str, grace: timedelta, cron: Cron, ids: Ids) -> Change:
    """Mark a claimed run as running, or settle what must not be sent.

    A slot later than `grace` was missed: `catchup` says whether only its record or the newest run remains. A run
    that was already `running` belonged to a worker that died: it is sent again under the same id, or becomes
    `unknown`, as the job's delivery says. The job's status tells the caller which: its run is `running`, or not.
    Raises LeaseLostError when the token was superseded.
    """
    schedule, run = snapshot.job.schedule, snapshot.run
    if schedule.token != token or schedule.lease is None or schedule.lease.worker_id != worker_id:
        raise LeaseLostError
    if run is None or run.status not in (RunStatus.CLAIMED, RunStatus.RUNNING):
        return _decide_afresh(snapshot, cron)
    if snapshot.job.deleted_at is not None and run.status is RunStatus.CLAIMED:
        schedule = replace(schedule, lease=None, slot=None, manual=None)
        return Change(replace(snapshot.job, schedule=schedule), "begin", removed_runs=(run.id,))
    if run.status is RunStatus.RUNNING:
        if snapshot.job.definition.delivery is Delivery.AT_MOST_ONCE or snapshot.job.deleted_at is not None:
            lost = Finished(RunStatus.UNKNOWN, error_message="The worker was lost after sending, before recording")
            return settle(snapshot, token=token, finished=lost, cron=cron, ids=ids)
        return _start(snapshot, replace(run, attempt=run.attempt + 1), worker_id)
    if run.trigger is Trigger.MANUAL:
        return _start(snapshot, run, worker_id)
    if schedule.slot is None:
        raise LeaseLostError
    if snapshot.now - schedule.slot.at > grace:
        return _catch_up(snapshot, schedule.slot, run, worker_id, cron=cron, ids=ids)
    return _start(snapshot, run, worker_id)


def _start(snapshot: Snapshot, run: Run, worker_id: str) -> Change:
    now, schedule = snapshot.now, snapshot.job.schedule
    running = replace(
        run,
        status=RunStatus.RUNNING,
        started_at=now,
        worker_id=worker_id,
        job_version=snapshot.job.definition.version,
    )
    manual = None if schedule.manual is not None and schedule.manual.run_id == run.id else schedule.manual
    schedule = replace(schedule, last_start_at=now, manual=manual)
    return Change(replace(snapshot.job, schedule=schedule), "begin", runs=(running,), hints=_consumed(snapshot, run))


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
        return _start(snapshot, replace(run, trigger=Trigger.CATCHUP), worker_id)
    row, schedule, hints = skip_slot(snapshot, slot, MISSED, cron=cron, ids=ids, row=run, through=newest - TICK)
    source = slot.source if slot.source is not Source.HINT_NEXT_TIME else Source.BASELINE_INTERVAL
    latest = Slot(newest, source, slot.kind, handles_through=newest)
    caught_up = new_run(snapshot.job, latest, Trigger.CATCHUP, now=snapshot.now, ids=ids)
    schedule = _holding(replace(schedule, slot=latest), caught_up)
    started = _start(replace(snapshot, job=replace(snapshot.job, schedule=schedule)), caught_up, worker_id)
    return replace(started, runs=(row, *started.runs), hints=(*hints, *started.hints))


def _skip_all(snapshot: Snapshot, slot: Slot, run: Run, *, cron: Cron, ids: Ids) -> Change:
    row, schedule, hints = skip_slot(snapshot, slot, MISSED, cron=cron, ids=ids, row=run)
    schedule = replace(schedule, lease=None, slot=None)
    merged, writes = settle_hints(snapshot.hints, hints, snapshot.now)
    job, decision = redecide(
        replace(snapshot.job, schedule=schedule), merged, snapshot.limits, now=snapshot.now, cron=cron
    )
    return Change(job, "misfire", runs=(replace(row, decision=decision),), hints=writes, decision=decision)


def _decide_afresh(snapshot: Snapshot, cron: Cron) -> Change:
    """Nothing is there to be run (the hour of a parked job is over, say): look at the job again."""
    schedule = replace(
        snapshot.job.schedule, lease=None, status=JobStatus.ACTIVE, parked_until=None, parked_reason=None
    )
    merged, writes = settle_hints(snapshot.hints, (), snapshot.now)
    job, decision = redecide(
        replace(snapshot.job, schedule=schedule), merged, snapshot.limits, now=snapshot.now, cron=cron
    )
    return Change(job, "unpark", hints=writes, decision=decision)


def _holding(schedule: Schedule, run: Run) -> Schedule:
    lease = schedule.lease
    return schedule if lease is None else replace(schedule, lease=replace(lease, run_id=run.id))
