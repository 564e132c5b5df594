"""The step that nearly every run takes: it ends, its job's schedule moves on, and nothing else of the two rows changes.

One statement writes both, with those columns only; what does more (a pause, an edit, a run asked for by hand) goes the
general way. Settling takes a quarter less of PostgreSQL for it (docs/performance.md).
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from core.entities import Job, Run, RunStatus
from core.ids import bucket_of
from core.ports.store import Change, Snapshot
from rubato.adapters.postgres import bulk, tables
from rubato.adapters.postgres.codec import clean
from rubato.adapters.postgres.engine import Link, to_json

UNCHANGED = (
    "status",
    "token",
    "manual",
    "grid_epoch",
    "edited_at",
    "resumed_at",
    "retry_at",
    "accelerated_on",
    "accelerated_runs",
    "paused_until",
    "pause_reason",
    "paused_by",
    "parked_until",
    "parked_reason",
    "planning.done_seq",
    "planning.token",
    "planning.last_run_at",
    "rules_seq",
    "rule_progress",
    "planning.next_analysis_at",
)
_unchanged = attrgetter(*UNCHANGED)
_KEY = ("tenant_id", "bucket", "job_id")
_SCHEDULE = (
    "ready_at",
    "slot_at",
    "slot_source",
    "slot_kind",
    "slot_hint_id",
    "slot_handles_through",
    "slot_accelerated",
    "handled_through",
    "last_slot_at",
    "last_start_at",
    "failures",
    "failed_runs",
    "counted_runs",
    "plan_seq",
    "plan_ready_at",
    "plan_gate",
)
_RUN_KEY = ("scheduled_for", "id")
_RUN = (
    "status",
    "finished_at",
    "error_message",
    "duration_ms",
    "headers_ms",
    "status_code",
    "response_excerpt",
    "response_bytes",
    "truncated",
    "retry_after",
    "decision",
    "gate",
)


def _sets(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = v.{name}" for name in names)


_COLUMNS = [tables.schedules.columns[name] for name in (*_KEY, *_SCHEDULE)]
_COLUMNS += [tables.runs.columns[name] for name in (*_RUN_KEY, *_RUN)]

STEP = f"""
    WITH v AS MATERIALIZED (SELECT * FROM {bulk.unnested(_COLUMNS)}),
    moved AS (
        UPDATE schedules s SET lease_worker = NULL, lease_until = NULL, lease_run_id = NULL, {_sets(_SCHEDULE)}
        FROM v WHERE s.tenant_id = v.tenant_id AND s.bucket = v.bucket AND s.job_id = v.job_id
    )
    UPDATE runs r SET {_sets(_RUN)}
    FROM v
    WHERE r.scheduled_for = v.scheduled_for AND r.tenant_id = v.tenant_id AND r.bucket = v.bucket
      AND r.job_id = v.job_id AND r.id = v.id
    """


def is_step(before: Snapshot, change: Change) -> bool:
    """Tell whether a change ends the lease's run, as its first, and of the job moves no more than a step does."""
    old, new, was = before.job, change.job, before.run
    return (
        was is not None
        and bool(change.runs)
        and change.runs[0].id == was.id
        and was.status is RunStatus.RUNNING
        and change.runs[0].status not in (RunStatus.RUNNING, RunStatus.SKIPPED)
        and new.schedule.lease is None
        and old.definition is new.definition
        and old.deleted_at == new.deleted_at
        and old.updated_at == new.updated_at
        and _unchanged(old.schedule) == _unchanged(new.schedule)
    )


async def write_steps(link: Link, steps: Sequence[tuple[Job, Run]]) -> None:
    """Write jobs' schedules and the runs that ended. Raises RuntimeError, to undo the transaction, when a run's
    row is not there."""
    if not steps:
        return
    done = await link.execute(STEP, *(list(column) for column in zip(*map(_row, steps), strict=True)))
    if done != f"UPDATE {len(steps)}":
        raise RuntimeError(f"of {len(steps)} runs that ended, not every row was there: {done}")


def _row(step: tuple[Job, Run]) -> tuple[Any, ...]:
    job, run = step
    schedule = job.schedule
    slot, planning = schedule.slot, schedule.planning
    return (
        job.tenant_id,
        bucket_of(job.id),
        job.id,
        schedule.ready_at,
        slot.at if slot else None,
        slot.source.value if slot else None,
        slot.kind.value if slot else None,
        slot.hint_id if slot else None,
        slot.handles_through if slot else None,
        slot.accelerated if slot else False,
        schedule.handled_through,
        schedule.last_slot_at,
        schedule.last_start_at,
        schedule.failures,
        schedule.failed_runs,
        schedule.counted_runs,
        planning.seq,
        planning.ready_at,
        planning.gate,
        run.scheduled_for,
        run.id,
        run.status.value,
        run.finished_at,
        clean(run.error_message),
        run.duration_ms,
        run.headers_ms,
        run.status_code,
        clean(run.response_excerpt),
        run.response_bytes,
        run.truncated,
        clean(run.retry_after),
        to_json(run.decision) if run.decision is not None else None,
        clean(run.gate),
    )
