"""From answer to next run: record what happened and decide again, in one transaction."""

from datetime import datetime
from typing import Any

from core.entities import (
    CronBaseline,
    Decision,
    Definition,
    Handled,
    Hint,
    HintKind,
    HintState,
    OnceBaseline,
    PlannerMode,
    Planning,
    Run,
    RunStatus,
    Schedule,
    Slot,
    SlotKind,
    Source,
    Trigger,
)
from core.errors import LeaseLostError
from core.gate import Answer, judge_run
from core.governor import decide
from core.grid import TICK, fires_between, later, next_fire
from core.hints import counting, end, with_outcome
from core.modes import mode_of
from core.ports.cron import Cron
from core.ports.dispatcher import HttpResult
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot
from core.predicates import Response, read
from core.record import evolve, record
from core.reschedule import new_run, redecide, set_aside, settle_hints, skip_slot
from core.ruling import Ruling, rule_on
from core.verdict import judge

OVERLAP = "overlap"
NO_RULING = Ruling({})


@record
class Finished:
    """How a run ended. `status` is terminal; the rest as in `core.entities.Run`.

    `response`: what rules look at, with the whole body; None where none was read for them.
    """

    status: RunStatus
    error_message: str | None = None
    duration_ms: int | None = None
    headers_ms: int | None = None
    status_code: int | None = None
    response_excerpt: str | None = None
    response_bytes: int | None = None
    truncated: bool = False
    retry_after: str | None = None
    response: Response | None = None


def finish(definition: Definition, result: HttpResult, *, excerpt_chars: int, for_rules: bool = False) -> Finished:
    """Judge an exchange and keep of it what the job allows: an excerpt, or status and sizes only.

    `for_rules`: read the body for the job's rules as well, here and not under the lock that settles it.
    """
    status, message = judge(definition, result)
    code, took = result.status_code, result.duration_ms
    body = result.body if definition.store_responses else None
    return Finished(
        status=status,
        error_message=message,
        duration_ms=result.duration_ms,
        headers_ms=result.headers_ms,
        status_code=result.status_code,
        response_excerpt=body[:excerpt_chars] if body is not None else None,
        response_bytes=result.body_bytes,
        truncated=result.truncated or (body is not None and len(body) > excerpt_chars),
        retry_after=result.retry_after[:200] if result.retry_after else None,
        response=read(status, code, took, result.body, truncated=result.truncated) if for_rules else None,
    )


def close(
    run: Run, finished: Finished, now: datetime, decision: Decision | None = None, gate: str | None = None
) -> Run:
    """Return the run with its outcome, the decision that was taken on it, and what the gate said."""
    return evolve(
        run,
        decision=decision,
        gate=gate,
        status=finished.status,
        finished_at=now,
        error_message=finished.error_message,
        duration_ms=finished.duration_ms,
        headers_ms=finished.headers_ms,
        status_code=finished.status_code,
        response_excerpt=finished.response_excerpt,
        response_bytes=finished.response_bytes,
        truncated=finished.truncated,
        retry_after=finished.retry_after,
    )


def settle(
    snapshot: Snapshot,
    *,
    token: int,
    finished: Finished,
    cron: Cron,
    ids: Ids,
    cause: str = "run",
    park_because: str | None = None,
) -> Change:
    """Record the lease's run and set the next one, from hints read under the same lock.

    Slots that passed meanwhile become one `skipped` row. `park_because`: set the job aside for an hour instead.
    Raises LeaseLostError when the token was superseded.
    """
    schedule, run, now = snapshot.job.schedule, snapshot.run, snapshot.now
    if schedule.token != token or schedule.lease is None or run is None:
        raise LeaseLostError
    if run.status is not RunStatus.RUNNING and finished.status is not RunStatus.CANCELED:
        raise LeaseLostError
    own_slot = schedule.slot if run.trigger is not Trigger.MANUAL else None
    has_rules = bool(snapshot.rules) and snapshot.limits.rules
    ruling = _ruling(snapshot, finished, ids) if has_rules and park_because is None else NO_RULING
    planning, gate = _at_the_gate(snapshot, finished, own_slot, is_covered=ruling.is_covered)
    changes: dict[str, Any] = {
        "lease": None,
        "last_start_at": run.started_at or schedule.last_start_at,
        "planning": planning,
    }
    if ruling.progress != schedule.rule_progress:
        changes["rule_progress"] = ruling.progress
    if schedule.manual is not None and schedule.manual.run_id == run.id:
        changes["manual"] = None  # canceled before it began
    if own_slot is not None:
        changes |= after_run(snapshot.job.definition, schedule, own_slot, finished.status, now)
    elif finished.status is RunStatus.SUCCEEDED:
        changes |= {"failures": 0, "failed_runs": 0}
    job = evolve(snapshot.job, schedule=evolve(schedule, **changes))
    after = evolve(snapshot, job=job)
    try:
        skipped = _overlapped(after, run, cron=cron, ids=ids)
    except Exception:  # noqa: BLE001 - a row that cannot be decided is parked below; its run is recorded all the same
        skipped = _Skipped(job.schedule)
    hints, writes = settle_hints(snapshot.hints, (*skipped.hints, *_missed_next_times(after, run), *ruling.hints), now)
    schedule = skipped.schedule
    if schedule.slot is not None and schedule.slot.at <= now:
        schedule = evolve(schedule, slot=None)
    if schedule is not job.schedule:
        job = evolve(job, schedule=schedule)
    if park_because is None:
        job, decision = redecide(job, hints, snapshot.limits, now=now, cron=cron)
    else:
        job, decision = set_aside(job, park_because, now)
    closed = close(run, finished, now, decision, gate)
    if ruling.hints:
        writes = tuple(with_outcome(hint, decision) for hint in writes)
    matches = ruling.matches
    return Change(job, cause, (closed, *skipped.runs), hints=writes, decision=decision, rule_matches=matches)


def _ruling(snapshot: Snapshot, finished: Finished, ids: Ids) -> Ruling:
    """Evaluate the rules on what came back. A run without an answer of its own (canceled, unknown) tells nothing."""
    if finished.status not in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        return Ruling(snapshot.job.schedule.rule_progress)
    response = finished.response
    if response is None:  # the rule was made while the run was out
        excerpt, cut = finished.response_excerpt, finished.truncated
        response = read(finished.status, finished.status_code, finished.duration_ms, excerpt, truncated=cut)
    return rule_on(snapshot, response, ids=ids)


def after_run(
    definition: Definition, schedule: Schedule, slot: Slot, status: RunStatus, ended_at: datetime
) -> dict[str, Any]:
    """Return what the end of a slot's run changes of the schedule: the slot is handled, its outcome counted."""
    failures, failed_runs, retry_at = schedule.failures, schedule.failed_runs, None
    if status is RunStatus.SUCCEEDED:
        failures = failed_runs = 0
    elif status is RunStatus.FAILED:
        failed_runs += 1
    if status is RunStatus.FAILED and slot.kind is SlotKind.BASELINE:
        failures += 1
        if definition.retry_after_failure is not None and isinstance(definition.baseline, CronBaseline | OnceBaseline):
            retry_at = later(ended_at, definition.retry_after_failure)
    marks = [mark for mark in (schedule.handled_through, slot.handles_through) if mark is not None]
    day = slot.at.date()
    accelerated = schedule.accelerated_runs if schedule.accelerated_on == day else 0
    return {
        "slot": None,
        "failures": failures,
        "failed_runs": failed_runs,
        "retry_at": retry_at,
        "handled_through": max(marks, default=None),
        "last_slot_at": slot.at,
        "counted_runs": schedule.counted_runs + 1,
        "accelerated_on": day if slot.accelerated else schedule.accelerated_on,
        "accelerated_runs": accelerated + 1 if slot.accelerated else schedule.accelerated_runs,
    }


def _at_the_gate(
    snapshot: Snapshot, finished: Finished, slot: Slot | None, *, is_covered: bool
) -> tuple[Planning, str | None]:
    """Ask the gate; what passes raises the planning seq. Returns the planning, and the verdict to keep with the run.

    A session under way (its `ready_at` lies ahead) is left to finish first. A run that was canceled tells nothing.
    """
    job, now = snapshot.job, snapshot.now
    planning = job.schedule.planning
    if mode_of(job.definition, snapshot.limits) is PlannerMode.OFF or finished.status is RunStatus.CANCELED:
        return planning, None
    judged = judge_run(
        planning.gate,
        Answer(finished.status, finished.status_code, finished.duration_ms, finished.response_excerpt, slot),
        job_version=job.definition.version,
        hints=snapshot.hints,
        next_analysis_at=planning.next_analysis_at,
        now=now,
        covered=is_covered,
    )
    if not judged.verdict.passes:
        same = judged.state == planning.gate
        return planning if same else evolve(planning, gate=judged.state), judged.note
    ready_at = planning.ready_at if planning.ready_at is not None else now
    return evolve(planning, seq=planning.seq + 1, ready_at=ready_at, gate=judged.state), judged.note


@record
class _Skipped:
    schedule: Schedule
    runs: tuple[Run, ...] = ()
    hints: tuple[Hint, ...] = ()


def _overlapped(after: Snapshot, run: Run, *, cron: Cron, ids: Ids) -> _Skipped:
    """Record the slots that passed while the run was active."""
    job, now = after.job, after.now
    schedule = job.schedule
    if job.deleted_at is not None:
        return _Skipped(schedule)
    if schedule.slot is not None:  # a manual run: the slot that waited beside it
        if schedule.slot.at > now:
            return _Skipped(schedule)
        row, schedule, hints = skip_slot(after, schedule.slot, OVERLAP, cron=cron, ids=ids)
        return _Skipped(evolve(schedule, slot=None), (row,), hints)
    passed = _passed(after, run.scheduled_for, cron)
    if passed is None:
        return _Skipped(schedule)
    slot = Slot(passed.first, Source.BASELINE_INTERVAL, SlotKind.BASELINE, handles_through=passed.first)
    row, schedule, hints = skip_slot(
        after, slot, OVERLAP, cron=cron, ids=ids, row=new_run(job, slot, Trigger.SCHEDULED, now=now, ids=ids)
    )
    return _Skipped(schedule, (row,), hints)


def _passed(after: Snapshot, slot_at: datetime, cron: Cron) -> Handled | None:
    """Name the baseline fires that would have been slots between the run's own slot and now.

    Counted from the slot, not from the start: a run that began late, or was taken over, kept its successors waiting.
    A suspension keeps nothing from being a slot: it began after this run, and what it delays is recorded as missed.
    """
    job, now = after.job, after.now
    first = next_fire(job.definition, job.schedule, not_before=slot_at + TICK, cron=cron)
    if first is None or first > now or isinstance(job.definition.baseline, OnceBaseline):
        return None
    due = decide(job, after.hints, evolve(after.limits, suspended=None), now=slot_at, cron=cron)
    if due.slot is None or due.slot.at > now:
        return None
    if due.slot.kind is SlotKind.BASELINE:
        first = max(first, due.slot.at)
    return fires_between(job.definition, job.schedule, first, now, cron=cron)


def _missed_next_times(after: Snapshot, run: Run) -> tuple[Hint, ...]:
    """End the hints whose one instant passed while the run was active."""
    slot_at, now = run.scheduled_for, after.now
    return tuple(
        end(hint, HintState.EXPIRED, now, "missed: a run was active at its instant")
        for hint in counting(after.job.definition, after.hints, after.limits, now)
        if hint.kind is HintKind.NEXT_TIME and hint.at is not None and slot_at <= hint.at <= now
    )
