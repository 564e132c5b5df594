"""What the offline planner remembers of a job: its rhythm, carried from session to session among its calls."""

from collections.abc import Sequence
from datetime import datetime

from core.entities import IntervalBaseline, Run, RunStatus
from core.sessions import NOTES_TOOL, PlanningContext, ToolCall, Verdict
from planner.evidence import is_unwell, same_answer
from planner.rhythm import Look, Rhythm, from_notes, group_rate

_ANSWERED = (RunStatus.SUCCEEDED, RunStatus.FAILED)


def rhythm_of(context: PlanningContext) -> Rhythm | None:
    """Return the job's rhythm with every run up to now; None where there is no interval to vary."""
    baseline = context.job.definition.baseline
    if not isinstance(baseline, IntervalBaseline):
        return None
    rhythm = from_notes(context.notes, baseline.every)
    rhythm.group_rate = group_rate(rhythm, context.sibling_notes)
    for look in looks_since([run for run in context.runs if run.status in _ANSWERED], rhythm.through):
        rhythm.add(look)
    return rhythm


def looks_since(newest_first: Sequence[Run], through: float | None) -> list[Look]:
    """Return the looks after `through`, oldest first. Runs that are missing between woke no session: nothing had
    changed, and the gap is one long look at the same answer."""
    looks: list[Look] = []
    newer = newest_first[0] if newest_first else None
    for run in (*newest_first[1:], None):
        if newer is None or (through is not None and _start(newer).timestamp() <= through):
            break
        at = _start(newer).timestamp()
        if run is None:
            since = through if through is not None else at
            looks.append(Look(at, at - since, changed=False, in_trouble=in_trouble(newer)))
        else:
            since = max(through or 0.0, _start(run).timestamp())
            looks.append(Look(at, at - since, not same_answer(newer, run), in_trouble(run)))
        newer = run
    return looks[::-1]


def in_trouble(run: Run) -> bool:
    """Tell whether an answer was a failure, or reports a bad state."""
    return run.status is RunStatus.FAILED or is_unwell(run) is not None


def notes_call(rhythm: Rhythm) -> ToolCall:
    """Return the record that carries a rhythm to the next session."""
    return ToolCall("notes", NOTES_TOOL, rhythm.to_notes(), Verdict.ANSWERED, "Kept for the next session.")


def _start(run: Run) -> datetime:
    return run.started_at or run.scheduled_for
