"""Deciding again: what every transition that touches a schedule ends with.

A slot that is due is fixed: only a run, a recorded skip, a pause, an edit of the schedule, retirement or deletion
ends it. `end_slot` does that for the latter; `steer` moves future instants only.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from core.digest import seal
from core.entities import (
    Decision,
    Handled,
    Hint,
    HintState,
    Job,
    JobStatus,
    Limits,
    Run,
    RunStatus,
    Schedule,
    Slot,
    Source,
    Trigger,
)
from core.errors import LeaseLostError
from core.governor import decide
from core.grid import TICK, fire_at_or_after, fires_between
from core.hints import end, expired
from core.ids import run_id
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot
from core.record import evolve, record

PARKED_FOR = timedelta(hours=1)

_PAUSED = (Source.PAUSED_USER, Source.PAUSED_RULE, Source.PAUSED_PLANNER)


def redecide(job: Job, hints: Sequence[Hint], limits: Limits, *, now: datetime, cron: Cron) -> tuple[Job, Decision]:
    """Return the job as the governor now schedules it, with the decision.

    A governor that fails (a bug, a row that cannot be decided) parks this one job for an hour and says why. While the
    tenant is suspended nothing is claimed; the slot kept meanwhile is what the job comes back with.
    """
    try:
        decision = decide(job, hints, limits, now=now, cron=cron)
        standing = decision
        if decision.source is Source.SUSPENDED:
            standing = decide(job, hints, evolve(limits, suspended=None), now=now, cron=cron)
    except Exception as error:  # noqa: BLE001 - whatever it was, the other jobs of the batch must go on
        return set_aside(job, f"it could not be scheduled: {error}", now)
    decision = seal(decision, job, hints, limits, now=now, cron=cron)
    return evolve(job, schedule=_scheduled(job.schedule, standing, hints)), decision


def steer(snapshot: Snapshot, changed: Iterable[Hint], *, cause: str, cron: Cron) -> Change:
    """Return the change that writes `changed` hints and decides again, unless the slot is already due.

    A claim made ahead of its slot is revoked, so that the worker that holds it drops it.
    """
    now = snapshot.now
    changed = (*changed,)
    hints, ended = settle_hints(snapshot.hints, changed, now)
    schedule = snapshot.job.schedule
    if slot_is_fixed(snapshot):
        return Change(snapshot.job, cause, hints=ended)
    schedule, removed = revoke_ahead(schedule, snapshot.run, now)
    job, decision = redecide(evolve(snapshot.job, schedule=schedule), hints, snapshot.limits, now=now, cron=cron)
    return Change(job, cause, removed_runs=removed, hints=ended, decision=decision)


def slot_is_fixed(snapshot: Snapshot) -> bool:
    """Tell whether the slot can only be ended, not moved: it is due, or its run was just marked to begin with it."""
    slot, run = snapshot.job.schedule.slot, snapshot.run
    if slot is None:
        return False
    begun = run is not None and run.status is RunStatus.RUNNING and run.trigger is not Trigger.MANUAL
    return slot.at <= snapshot.now or begun


def settle_hints(
    hints: Sequence[Hint], changed: Iterable[Hint], now: datetime
) -> tuple[tuple[Hint, ...], tuple[Hint, ...]]:
    """Merge `changed` into `hints` by id and end what has expired: (all hints, those to write)."""
    writes = {hint.id: hint for hint in changed}
    merged = {hint.id: hint for hint in hints} | writes
    for hint in expired(merged.values(), now):
        merged[hint.id] = writes[hint.id] = hint
    return tuple(merged.values()), tuple(writes.values())


@record
class EndedSlot:
    """What ending a slot leaves: the schedule without it, rows to write and rows to remove, hints that missed it."""

    schedule: Schedule
    runs: tuple[Run, ...] = ()
    removed: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()


def end_slot(snapshot: Snapshot, reason: str, *, cron: Cron, ids: Ids) -> EndedSlot:
    """End the present slot without a run: a due one leaves a `skipped` row, a future one leaves nothing.

    Claims that have not been sent are revoked; a run that is running is left alone, and so is its slot.
    """
    schedule, now = snapshot.job.schedule, snapshot.now
    if snapshot.run is not None and snapshot.run.status is RunStatus.RUNNING:
        return _drop_manual(EndedSlot(schedule), snapshot, reason)
    ahead, removed = revoke_ahead(schedule, snapshot.run, now)
    if removed:
        return _drop_manual(EndedSlot(evolve(ahead, slot=None), removed=removed), snapshot, reason)
    claimed = snapshot.run if schedule.lease is not None else None
    revoked = evolve(schedule, token=schedule.token + 1, lease=None) if schedule.lease else schedule
    ended = EndedSlot(revoked)
    if claimed is not None and claimed.trigger is Trigger.MANUAL:
        ended = evolve(ended, runs=(_as_skipped(claimed, reason, now),))
        claimed = None
    if schedule.slot is not None and schedule.slot.at <= now:
        row, schedule, hints = skip_slot(snapshot, schedule.slot, reason, cron=cron, ids=ids, row=claimed)
        schedule = evolve(schedule, token=revoked.token, lease=None, slot=None)
        ended = EndedSlot(schedule, (*ended.runs, row), hints=hints)
    return _drop_manual(ended, snapshot, reason)


def skip_slot(
    snapshot: Snapshot,
    slot: Slot,
    reason: str,
    *,
    cron: Cron,
    ids: Ids,
    row: Run | None = None,
    through: datetime | None = None,
) -> tuple[Run, Schedule, tuple[Hint, ...]]:
    """Record a slot and every baseline fire after it up to `through` (default: now) as one `skipped` row.

    Returns the row (`row` itself, if the slot had been claimed), the schedule with those fires handled, and the
    hint of the slot as expired, if it was one that asked for just that instant.
    """
    job, now = snapshot.job, snapshot.now
    gap = missed(job, slot, through or now, cron=cron)
    row = row or new_run(job, slot, Trigger.SCHEDULED, now=now, ids=ids)
    skipped = evolve(
        _as_skipped(row, reason, now), skipped_count=gap.count, skipped_until=gap.last, skipped_more=gap.more
    )
    marks = [job.schedule.handled_through, slot.handles_through, gap.last if gap.last != slot.at else None]
    if gap.more:
        marks.append(through or now)
    handled = max((mark for mark in marks if mark is not None), default=None)
    schedule = evolve(job.schedule, handled_through=handled, last_slot_at=slot.at, retry_at=None)
    hints = tuple(
        end(hint, HintState.EXPIRED, now, f"its run was skipped: {reason}")
        for hint in snapshot.hints
        if hint.id == slot.hint_id and slot.source is Source.HINT_NEXT_TIME and hint.state is HintState.ACTIVE
    )
    return skipped, schedule, hints


def missed(job: Job, slot: Slot, until: datetime, *, cron: Cron) -> Handled:
    """Name the slot and the baseline fires after it that passed up to `until`."""
    after = max(slot.at, slot.handles_through or slot.at) + TICK
    fire = fire_at_or_after(job.definition, job.schedule, after, cron=cron)
    rest = fires_between(job.definition, job.schedule, fire, until, cron=cron) if fire else None
    if rest is None:
        return Handled(slot.at, slot.at, 1)
    return Handled(slot.at, rest.last, rest.count + 1, rest.more)


def new_run(job: Job, slot: Slot, trigger: Trigger, *, now: datetime, ids: Ids) -> Run:
    """Return a claimed run of a slot, under a new id."""
    return Run(
        id=run_id(slot.at, ids.entropy()),
        tenant_id=job.tenant_id,
        job_id=job.id,
        scheduled_for=slot.at,
        status=RunStatus.CLAIMED,
        trigger=trigger,
        kind=slot.kind,
        created_at=now,
        job_version=job.definition.version,
    )


def set_aside(job: Job, reason: str, now: datetime) -> tuple[Job, Decision]:
    """Return the job as parked for an hour, with the decision that says why."""
    until = now + PARKED_FOR
    schedule = evolve(job.schedule, status=JobStatus.PARKED, slot=None, parked_until=until, parked_reason=reason[:500])
    return evolve(job, schedule=schedule), Decision(now, Source.PARKED, None, f"Parked for an hour: {reason[:500]}")


def give_back(snapshot: Snapshot, *, worker_id: str, token: int, hold_back: timedelta = timedelta(0)) -> Change:
    """Return the change that ends a claim which was not sent; its row goes, unless somebody asked for that run.

    A run that is `running` already was taken over from a worker that sent it: it stays so, and the next worker may take
    it over after `hold_back`, not only when this claim's lease has ended. Raises LeaseLostError when the claim is no
    longer the worker's.
    """
    schedule, run = snapshot.job.schedule, snapshot.run
    if schedule.lease is None or schedule.token != token or schedule.lease.worker_id != worker_id:
        raise LeaseLostError
    if run is not None and run.status is RunStatus.RUNNING:
        lease = evolve(schedule.lease, until=snapshot.now + hold_back)
        return Change(evolve(snapshot.job, schedule=evolve(schedule, lease=lease, token=token + 1)), "release")
    removed = (run.id,) if run is not None and run.trigger is not Trigger.MANUAL else ()
    schedule = evolve(schedule, lease=None, token=token + 1)
    return Change(evolve(snapshot.job, schedule=schedule), "release", removed_runs=removed)


def revoke_ahead(schedule: Schedule, run: Run | None, now: datetime) -> tuple[Schedule, tuple[str, ...]]:
    """Take back a claim of a slot that is not due yet; its row never was a slot's and goes."""
    if schedule.lease is None or run is None or schedule.slot is None or schedule.slot.at <= now:
        return schedule, ()
    if run.status is not RunStatus.CLAIMED or run.trigger is Trigger.MANUAL:
        return schedule, ()
    return evolve(schedule, token=schedule.token + 1, lease=None), (run.id,)


def park(snapshot: Snapshot, reason: str) -> Change:
    """Return the change that sets one job aside for an hour, its claim given back; the slot it was claimed for, and a
    run that was asked for by hand, leave `skipped` rows."""
    now, schedule = snapshot.now, snapshot.job.schedule
    unsent = {run.id: run for run in (snapshot.run, snapshot.manual_run) if run and run.status is RunStatus.CLAIMED}
    rows = tuple(_as_skipped(run, "parked", now) for run in unsent.values())
    if snapshot.run is not None and snapshot.run.status is RunStatus.RUNNING and schedule.lease is not None:
        lost = evolve(snapshot.run, status=RunStatus.FAILED, finished_at=now, error_message=f"Given up: {reason}"[:500])
        rows = (*rows, lost)
    slots = [run.scheduled_for for run in rows if run.trigger is not Trigger.MANUAL]
    last_slot_at = max((at for at in (*slots, schedule.last_slot_at) if at is not None), default=None)
    schedule = evolve(schedule, token=schedule.token + 1, lease=None, manual=None, last_slot_at=last_slot_at)
    job, decision = set_aside(evolve(snapshot.job, schedule=schedule), reason, now)
    return Change(job, "park", runs=rows, decision=decision)


def _scheduled(schedule: Schedule, decision: Decision, hints: Sequence[Hint]) -> Schedule:
    if decision.source is Source.PARKED:
        return schedule
    pause = next((hint for hint in hints if hint.id == decision.hint_id), None)
    paused = decision.source in _PAUSED and pause is not None
    status = JobStatus.ACTIVE
    if decision.source is Source.RETIRED:
        status = JobStatus.RETIRED
    elif paused:
        status = JobStatus.PAUSED
    return evolve(
        schedule,
        status=status,
        slot=decision.slot,
        paused_until=decision.paused_until if paused else None,
        pause_reason=pause.reason if paused and pause else None,
        paused_by=pause.author if paused and pause else None,
        parked_until=None,
        parked_reason=None,
    )


def _drop_manual(ended: EndedSlot, snapshot: Snapshot, reason: str) -> EndedSlot:
    """A run that was asked for and not begun goes with the slot, leaving its reason."""
    if snapshot.manual_run is None or ended.schedule.manual is None:
        return ended
    known = {run.id for run in ended.runs}
    rows = () if snapshot.manual_run.id in known else (_as_skipped(snapshot.manual_run, reason, snapshot.now),)
    return evolve(ended, schedule=evolve(ended.schedule, manual=None), runs=(*ended.runs, *rows))


def _as_skipped(run: Run, reason: str, now: datetime) -> Run:
    return evolve(run, status=RunStatus.SKIPPED, skip_reason=reason, finished_at=now, skipped_count=1)
