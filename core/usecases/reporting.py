"""What the run loop tells of a change: one event a thing that happened."""

from core.entities import Author, HintState, Run, RunStatus
from core.events import HintWritten, JobParked, RulesMatched, RunSettled, RunsSkipped
from core.ports.events import Events
from core.ports.store import Change


def report(change: Change, events: Events) -> None:
    """Tell which runs ended, which were skipped, what rules made of them, and whether the job was set aside."""
    decision = change.decision
    clamps = tuple((clamp.bound, decision.source.value) for clamp in decision.clamps) if decision else ()
    for run in change.runs:
        if run.status is RunStatus.SKIPPED:
            events.emit(RunsSkipped(run.tenant_id, run.job_id, run.skip_reason or "", run.skipped_count or 1))
        elif run.status not in (RunStatus.CLAIMED, RunStatus.RUNNING):
            events.emit(settled(run, decision.source if decision else "none", clamps))
    job = change.job
    if change.rule_matches:
        events.emit(RulesMatched(job.tenant_id, job.id, change.rule_matches))
    for hint in change.hints:
        if hint.author is Author.RULE and (hint.ended_at is None or hint.state is HintState.SHADOW):
            events.emit(HintWritten(hint.tenant_id, hint.job_id, hint.kind, hint.author, hint.state))
    if job.schedule.parked_reason is not None:
        events.emit(JobParked(job.tenant_id, job.id, job.schedule.parked_reason))


def settled(run: Run, next_source: str, clamps: tuple[tuple[str, str], ...] = ()) -> RunSettled:
    """Return the event of a run that ended."""
    return RunSettled(
        run.tenant_id,
        run.job_id,
        run.id,
        outcome=run.status,
        trigger=run.trigger,
        duration_s=(run.duration_ms or 0) / 1000,
        next_source=next_source,
        clamps=clamps,
        error=run.error_message,
        gate=run.gate.partition(":")[0] if run.gate is not None else None,
    )
