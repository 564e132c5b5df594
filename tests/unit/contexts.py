"""Planning contexts for planner and tool tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from core.entities import Definition, Hint, Job, Limits, Run, RunStatus, Schedule, Trigger
from core.governor import decide
from core.sessions import PlanningContext
from core.windows import RunFigures, windows_of
from tests.unit.fakes import START, FakeCron
from tests.unit.loop import TENANT, definition

NOW = START + timedelta(hours=1)


def run(seconds_ago: float, body: str = '{"status":"ok"}', *, code: int = 200, retry_after: str | None = None) -> Run:
    """Return a settled run of that long ago."""
    at = NOW - timedelta(seconds=seconds_ago)
    good = 200 <= code <= 299
    return Run(
        id=f"run_{int(1e6 - seconds_ago)}",
        tenant_id=TENANT,
        job_id="job_1",
        scheduled_for=at,
        status=RunStatus.SUCCEEDED if good else RunStatus.FAILED,
        trigger=Trigger.SCHEDULED,
        created_at=at,
        started_at=at,
        finished_at=at,
        duration_ms=12,
        status_code=code,
        error_message=None if good else f"HTTP {code}",
        response_excerpt=body,
        retry_after=retry_after,
    )


def context(
    runs: Sequence[Run] = (), *, made: Definition | None = None, hints: Sequence[Hint] = (), now: datetime = NOW
) -> PlanningContext:
    """Return the context of a job whose last run began when the newest of `runs` did."""
    schedule = Schedule(
        created_at=START,
        grid_epoch=START,
        last_start_at=runs[0].started_at if runs else None,
        handled_through=runs[0].scheduled_for if runs else None,
    )
    job = Job(TENANT, "job_1", made or definition(), schedule, updated_at=START)
    decision = decide(job, (), Limits(), now=now, cron=FakeCron())
    ended = [each for each in runs if each.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)]
    figures = [RunFigures(each.scheduled_for, each.status, each.duration_ms, each.gate) for each in ended]
    return PlanningContext(
        now=now,
        job=job,
        limits=Limits(),
        hints=tuple(hints),
        runs=tuple(runs),
        decision=replace(decision),
        windows=windows_of(figures, now),
    )
