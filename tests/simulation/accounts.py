"""What must hold when a scenario is over: every slot accounted for, every request explained, nothing left waiting."""

from datetime import UTC, datetime, timedelta

from core.entities import (
    Author,
    CronBaseline,
    IntervalBaseline,
    Job,
    JobStatus,
    OnceBaseline,
    PlannerMode,
    Run,
    RunStatus,
    Trigger,
)
from tests.simulation.invariants import OPEN, Invariants
from tests.simulation.workers import LEASE, POLL

WITHIN = LEASE + POLL + timedelta(seconds=1)  # docs/reliability.md: recovery once faults have stopped
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_liveness(seen: Invariants, due_by: datetime, *, plans: bool) -> None:
    """Everything that was due by then has been taken up: it is being run at this moment, or is over."""
    now = seen.clock.now()
    for job in seen.store._jobs.values():
        schedule = job.schedule
        if job.deleted_at is not None or seen.store._tenants[job.tenant_id].suspended is not None:
            continue
        due = [each for each in (schedule.slot, schedule.manual) if each is not None and each.at <= due_by]
        if schedule.parked_until is not None and schedule.parked_until <= due_by:
            due.append(schedule)  # type: ignore[arg-type]  # only counted
        if due and not _is_out(seen, job):
            seen.violated("what is due runs in time", f"{job.id} at {now}: {schedule}")
        ready_at = schedule.planning.ready_at
        if plans and ready_at is not None and not due_by - 2 * LEASE < ready_at <= now + LEASE:
            seen.violated("what has settled is planned", f"{job.id} at {now}: {schedule.planning}")


def check_tests(seen: Invariants, asked_by: datetime) -> None:
    """Test runs that were asked for by then have begun."""
    for run in seen.store._runs.values():
        if run.trigger is Trigger.TEST and run.status is RunStatus.CLAIMED and run.created_at <= asked_by:
            seen.violated("what is due runs in time", f"the test run {run.id}")


def _is_out(seen: Invariants, job: Job) -> bool:
    lease = job.schedule.lease
    requests = seen.sent.get(lease.run_id, ()) if lease is not None and lease.until > seen.clock.now() else ()
    return any(request.is_out and request.process.is_alive for request in requests)


def check_ledger(seen: Invariants) -> None:
    """The target's ledger against the store's rows."""
    store = seen.store
    attempts: dict[str, int] = {}
    for attempt in store._attempts.values():
        attempts[attempt.run_id] = attempts.get(attempt.run_id, 0) + 1
        run = store._runs.get(attempt.run_id)
        own = run is not None and (run.worker_id, run.attempt) == (attempt.worker_id, attempt.attempt)
        if own and run is not None and run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
            parked = (run.error_message or "").startswith(("Given up", "Stale"))
            if not parked:
                seen.violated("an outcome is no lost attempt", f"{run.id}: {attempt.status} by {attempt.worker_id}")
    for run_id, requests in seen.sent.items():
        run = store._runs.get(run_id)
        if run is None:
            seen.violated("every request has its row", run_id)
        elif run.trigger is not Trigger.TEST and len(requests) > 1 + attempts.get(run_id, 0):
            seen.violated(
                "sent twice only after a loss", f"{run_id}: {len(requests)} requests, {attempts.get(run_id, 0)}"
            )
        if len({request.webhook_id for request in requests}) > 1:
            seen.violated("the same webhook-id for every attempt", run_id)
    for run in store._runs.values():
        begun = run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)
        if begun and not seen.sent.get(run.id) and not (run.error_message or "").startswith(("Given up", "Stale")):
            seen.violated("what has an outcome was sent", f"{run.id} is {run.status}")


def check_rows(seen: Invariants) -> None:
    """Slots rise strictly, in the order in which their rows came to be; `maxRuns` is kept."""
    by_job: dict[str, list[Run]] = {}
    for run in seen.store._runs.values():
        if run.trigger in (Trigger.SCHEDULED, Trigger.CATCHUP):
            by_job.setdefault(run.job_id, []).append(run)
    for job_id, runs in by_job.items():
        job = seen.store._jobs[job_id]
        through: datetime | None = None
        for run in sorted(runs, key=lambda each: each.scheduled_for):
            if through is not None and run.scheduled_for <= through:
                seen.violated("slots rise strictly", f"{run.id} lies within what was skipped up to {through}")
            through = max(run.scheduled_for, run.skipped_until or run.scheduled_for)
        if _is_unsteered(seen, job):
            off = [run.scheduled_for for run in runs if not _is_fire(job, run.scheduled_for)]
            if off:
                seen.violated("without hints every slot is a fire", f"{job_id}: {off}")
        most = job.definition.max_runs
        done = sum(run.status is not RunStatus.SKIPPED for run in runs)
        if most is not None and len(seen.store._versions[job_id]) == 1 and done > most:
            seen.violated("maxRuns is kept", f"{job_id}: {done} of {most}")


def _is_unsteered(seen: Invariants, job: Job) -> bool:
    """Tell whether nothing but its baseline ever said when this job runs."""
    definition = job.definition
    return (
        len(seen.store._versions[job.id]) == 1
        and definition.planner is not PlannerMode.ON
        and definition.retry_after_failure is None
        and not isinstance(definition.baseline, OnceBaseline)
        and not any(hint.job_id == job.id and hint.author is Author.USER for hint in seen.store._hints.values())
    )


def _grid(job: Job) -> tuple[datetime, timedelta]:
    baseline = job.definition.baseline
    if isinstance(baseline, IntervalBaseline):
        return job.schedule.grid_epoch, baseline.every
    assert isinstance(baseline, CronBaseline)
    return _EPOCH, timedelta(seconds=int(baseline.expression.split()[1]))


def _is_fire(job: Job, at: datetime) -> bool:
    epoch, step = _grid(job)
    return (at - epoch) % step == timedelta(0)


def check_fires(seen: Invariants, job: Job) -> None:
    """A job that nobody steers and whose target is well: each fire of its grid is a run, or stands in a skipped row."""
    job = seen.store._jobs[job.id]
    epoch, step = _grid(job)
    created = job.schedule.created_at
    expected = epoch + max(0, -((epoch - created) // step)) * step
    runs = [run for run in seen.store._runs.values() if run.job_id == job.id]
    for run in sorted(runs, key=lambda each: each.scheduled_for):
        if run.scheduled_for != expected:
            seen.violated("every fire is accounted for", f"{job.id}: {run.id} at {run.scheduled_for}, not {expected}")
            return
        last = run.skipped_until or run.scheduled_for
        if run.status is RunStatus.SKIPPED and run.skipped_count != (last - run.scheduled_for) // step + 1:
            seen.violated("every fire is accounted for", f"{job.id}: {run.skipped_count} skipped up to {last}")
        expected = last + step
        if (run.error_message or "").startswith("Given up"):
            return  # parked for an hour, as it should be
        if run.status is RunStatus.FAILED:
            seen.violated("every fire is accounted for", f"{job.id}: {run.id} failed: {run.error_message}")
    slot = job.schedule.slot
    is_open = any(run.status in OPEN for run in runs)
    if not is_open and job.schedule.status is not JobStatus.PARKED and (slot is None or slot.at != expected):
        seen.violated("every fire is accounted for", f"{job.id}: {expected} comes next, not {slot}")


def check_end(seen: Invariants) -> None:
    """All workers have stopped by themselves: nobody holds anything."""
    for job in seen.store._jobs.values():
        if job.schedule.lease is not None:
            seen.violated("a worker that stops gives back", f"{job.id}: {job.schedule.lease}")
