"""Which state follows which. One table a noun; the database repeats the states as CHECKs, and
docs/state_machine.md is rendered from here by a test."""

from collections.abc import Mapping
from typing import Any

from core.entities import HintState, JobStatus, RuleState, RunStatus
from core.errors import Conflict

JOB: Mapping[tuple[JobStatus, str], JobStatus] = {
    (JobStatus.ACTIVE, "pause"): JobStatus.PAUSED,
    (JobStatus.ACTIVE, "no_baseline_left"): JobStatus.RETIRED,
    (JobStatus.ACTIVE, "undecidable"): JobStatus.PARKED,
    (JobStatus.PAUSED, "pause"): JobStatus.PAUSED,
    (JobStatus.PAUSED, "pause_over"): JobStatus.ACTIVE,
    (JobStatus.PAUSED, "no_baseline_left"): JobStatus.RETIRED,
    (JobStatus.PAUSED, "undecidable"): JobStatus.PARKED,
    (JobStatus.PARKED, "hour_over"): JobStatus.ACTIVE,
    (JobStatus.PARKED, "pause"): JobStatus.PAUSED,
    (JobStatus.PARKED, "no_baseline_left"): JobStatus.RETIRED,
    (JobStatus.PARKED, "undecidable"): JobStatus.PARKED,
    (JobStatus.RETIRED, "new_schedule"): JobStatus.ACTIVE,
}

RUN: Mapping[tuple[RunStatus, str], RunStatus] = {
    (RunStatus.CLAIMED, "send"): RunStatus.RUNNING,
    (RunStatus.CLAIMED, "skip"): RunStatus.SKIPPED,
    (RunStatus.CLAIMED, "cancel"): RunStatus.CANCELED,
    (RunStatus.RUNNING, "send_again"): RunStatus.RUNNING,
    (RunStatus.RUNNING, "succeed"): RunStatus.SUCCEEDED,
    (RunStatus.RUNNING, "fail"): RunStatus.FAILED,
    (RunStatus.RUNNING, "lose"): RunStatus.UNKNOWN,
    (RunStatus.RUNNING, "cancel"): RunStatus.CANCELED,
}

HINT: Mapping[tuple[HintState, str], HintState] = {
    (HintState.ACTIVE, "expire"): HintState.EXPIRED,
    (HintState.ACTIVE, "supersede"): HintState.SUPERSEDED,
    (HintState.ACTIVE, "consume"): HintState.CONSUMED,
    (HintState.ACTIVE, "clear"): HintState.CLEARED,
}


RULE: Mapping[tuple[RuleState, str], RuleState] = {
    (RuleState.PROPOSED, "accept"): RuleState.ACCEPTED,
    (RuleState.PROPOSED, "reject"): RuleState.REJECTED,
    (RuleState.ACCEPTED, "reject"): RuleState.REJECTED,
    (RuleState.REJECTED, "accept"): RuleState.ACCEPTED,
}


def after_run_event(status: RunStatus, event: str) -> RunStatus:
    """Return a run's next status. Raises Conflict("run_finished") where the table has no such step."""
    try:
        return RUN[status, event]
    except KeyError:
        raise Conflict("run_finished", f"A run that is {status} cannot {event.replace('_', ' ')}.") from None


def render() -> str:
    """Return the tables as Markdown, for docs/state_machine.md."""
    lines = ["# States and what moves them", "", "Rendered from `core/transitions.py`; a test keeps it so."]
    tables: tuple[tuple[str, Mapping[Any, Any]], ...] = (
        ("Job", JOB),
        ("Run", RUN),
        ("Hint", HINT),
        ("Rule", RULE),
    )
    for noun, table in tables:
        lines += ["", f"## {noun}", "", "| from | event | to |", "|---|---|---|"]
        lines += [f"| {state} | {event.replace('_', ' ')} | {to} |" for (state, event), to in table.items()]
    return "\n".join(lines) + "\n"
