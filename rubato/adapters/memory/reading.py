"""Reading rows in memory: what planning is shown, and a job's rules."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from core.entities import Author, Hint, HintState, Run, RunStatus
from core.errors import NotFound
from core.ports.store import JobRef, Snapshot
from core.rules import Rule
from core.sessions import RunWindow
from core.windows import MOST_PAST_HINTS, MOST_RUNS, PAST_HINTS_SPAN, SPAN, RunFigures, past_hints, windows_of


def steered_jobs(hints: Iterable[Hint], tenant_id: str | None, limit: int, after: JobRef | None) -> list[JobRef]:
    """Return jobs with an active hint of a planner or a rule, in order of their addresses."""
    found = {
        (hint.tenant_id, hint.job_id)
        for hint in hints
        if hint.state is HintState.ACTIVE
        and hint.author is not Author.USER
        and (tenant_id is None or hint.tenant_id == tenant_id)
    }
    begun = (after.tenant_id, after.job_id) if after is not None else ("", "")
    return [JobRef(*each) for each in sorted(found) if each > begun][:limit]


def gate_counts(runs: Iterable[Run], newest: int) -> dict[str, int]:
    """Return how often the gate gave each verdict among so many of the newest of these runs."""
    chosen = sorted(runs, key=lambda run: run.id, reverse=True)[:newest]
    return dict(Counter(run.gate.partition(":")[0] for run in chosen if run.gate is not None))


def ended_hints(hints: Iterable[Hint], snapshot: Snapshot) -> tuple[Hint, ...]:
    """Return the planner's own of a job's hints that have ended within a day, and the pauses that still count."""
    own = [
        hint
        for hint in hints
        if hint.author is Author.PLANNER
        and hint.state is not HintState.ACTIVE
        and hint.created_at > snapshot.now - PAST_HINTS_SPAN
    ]
    return past_hints(sorted(own, key=lambda hint: hint.id)[-MOST_PAST_HINTS:], snapshot)


def windows(runs: Sequence[Run], now: datetime) -> tuple[RunWindow, ...]:
    """Return the windows of a job's runs, newest first."""
    figures: list[RunFigures] = []
    for run in runs:
        if run.scheduled_for < now - SPAN or len(figures) >= MOST_RUNS:
            break
        if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
            figures.append(RunFigures(run.scheduled_for, run.status, run.duration_ms, run.gate))
    return windows_of(figures, now)


def rules_of(rules: Mapping[str, Rule], tenant_id: str, job_id: str) -> tuple[Rule, ...]:
    """Return a job's rules, oldest first."""
    own = [rule for rule in rules.values() if (rule.tenant_id, rule.job_id) == (tenant_id, job_id)]
    return tuple(sorted(own, key=lambda rule: rule.id))


def one_rule(rules: Mapping[str, Rule], tenant_id: str, rule_id: str) -> Rule:
    """Return one rule. Raises NotFound."""
    rule = rules.get(rule_id)
    if rule is None or rule.tenant_id != tenant_id:
        raise NotFound(f"There is no rule {rule_id}.")
    return rule
