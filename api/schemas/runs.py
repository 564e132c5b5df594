"""Runs on the wire."""

from api.schemas.decisions import DecisionOut, decision_out
from api.wire import Instant, Wire
from core.entities import Run


class RunOut(Wire):
    """One execution attempt of one slot, or the record that it was skipped."""

    id: str
    job_id: str
    scheduled_for: Instant
    started_at: Instant | None
    finished_at: Instant | None
    duration_ms: int | None
    headers_ms: int | None
    status: str
    trigger: str
    kind: str
    attempt: int
    status_code: int | None
    error_message: str | None
    response_excerpt: str | None
    response_bytes: int | None
    truncated: bool
    skip_reason: str | None
    skipped_count: int | None
    skipped_until: Instant | None
    skipped_more: bool
    job_version: int
    worker_id: str | None
    decision: DecisionOut | None
    session_id: str | None
    gate: str | None
    discarded: bool


class RunPreview(RunOut):
    """A run as it would be, and the next five runs of its job then."""

    next_runs: list[Instant]


class LastRunOut(Wire):
    """The newest run of a job, in short."""

    id: str
    status: str
    scheduled_for: Instant
    finished_at: Instant | None
    status_code: int | None
    duration_ms: int | None


def run_out(run: Run) -> RunOut:
    """Write a run."""
    return RunOut(
        id=run.id,
        job_id=run.job_id,
        scheduled_for=run.scheduled_for,
        started_at=run.started_at,
        finished_at=run.finished_at,
        duration_ms=run.duration_ms,
        headers_ms=run.headers_ms,
        status=run.status,
        trigger=run.trigger,
        kind=run.kind,
        attempt=run.attempt,
        status_code=run.status_code,
        error_message=run.error_message,
        response_excerpt=run.response_excerpt,
        response_bytes=run.response_bytes,
        truncated=run.truncated,
        skip_reason=run.skip_reason,
        skipped_count=run.skipped_count,
        skipped_until=run.skipped_until,
        skipped_more=run.skipped_more,
        job_version=run.job_version,
        worker_id=run.worker_id,
        decision=decision_out(run.decision) if run.decision else None,
        session_id=run.session_id,
        gate=run.gate,
        discarded=run.discarded,
    )


def last_run_out(run: Run) -> LastRunOut:
    """Write a run in short."""
    return LastRunOut(
        id=run.id,
        status=run.status,
        scheduled_for=run.scheduled_for,
        finished_at=run.finished_at,
        status_code=run.status_code,
        duration_ms=run.duration_ms,
    )
