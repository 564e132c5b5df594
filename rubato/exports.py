"""Stored runs as lines of JSON, for evaluation elsewhere: what was asked when, what came back, what it cost."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from core.entities import IntervalBaseline, Job, Run, Trigger
from core.ports.store import JobFilter, RunFilter, Store

PAGE = 500


async def exported_runs(
    store: Store, tenant_id: str, *, job_id: str | None = None, since: datetime | None = None
) -> AsyncIterator[str]:
    """Yield a line a run of a tenant's jobs, or of one job, newest first; test runs are left out. No URL, header or
    secret is in it; a response is, as far as the job keeps it."""
    for job in [await store.job(tenant_id, job_id)] if job_id is not None else await _all_jobs(store, tenant_id):
        tokens = await _tokens_by_run(store, job)
        after: tuple[str, ...] | None = None
        while True:
            page = await store.runs(tenant_id, RunFilter(job_id=job.id, since=since), limit=PAGE, after=after)
            for run in page.items:
                if run.trigger is not Trigger.TEST:
                    yield json.dumps(as_line(job, run, tokens), separators=(",", ":"))
            after = page.next_cursor
            if after is None:
                break


def as_line(job: Job, run: Run, tokens: Mapping[str, int]) -> dict[str, Any]:
    """Return what a line says of a run."""
    baseline = job.definition.baseline
    return {
        "jobId": job.id,
        "job": job.definition.name,
        "runId": run.id,
        "scheduledFor": run.scheduled_for.isoformat(),
        "startedAt": run.started_at.isoformat() if run.started_at is not None else None,
        "status": run.status.value,
        "trigger": run.trigger.value,
        "statusCode": run.status_code,
        "durationMs": run.duration_ms,
        "retryAfter": run.retry_after,
        "responseExcerpt": run.response_excerpt,
        "source": run.decision.source.value if run.decision is not None else None,
        "gate": run.gate,
        "tokens": tokens.get(run.id, 0),
        "baselineIntervalMs": round(baseline.every.total_seconds() * 1000)
        if isinstance(baseline, IntervalBaseline)
        else None,
    }


async def _all_jobs(store: Store, tenant_id: str) -> list[Job]:
    found: list[Job] = []
    after: tuple[str, ...] | None = None
    while True:
        page = await store.jobs(tenant_id, JobFilter(), limit=PAGE, after=after)
        found += page.items
        after = page.next_cursor
        if after is None:
            return found


async def _tokens_by_run(store: Store, job: Job) -> dict[str, int]:
    found: dict[str, int] = {}
    after: tuple[str, ...] | None = None
    while True:
        page = await store.sessions(job.tenant_id, job_id=job.id, limit=PAGE, after=after)
        for session in page.items:
            if session.run_id is not None:
                found[session.run_id] = found.get(session.run_id, 0) + session.plan.usage.tokens
        after = page.next_cursor
        if after is None:
            return found
