"""The tool that proposes a rule: checked like a person's, staged, put before a person. Nothing takes effect here."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from core.entities import HintKind, PlannerMode
from core.modes import mode_of
from core.predicates import Comparison, Op, Predicate, Response, comparisons, judge, parse, read_run
from core.rules import LEAVE_RUNS, Hold, RuleDraft, Terms, default_ttl, is_known, issues_of, room_for
from core.sessions import Verdict
from tools.proposing import LONGEST_REASON, clean_text
from tools.workbench import Answer, Workbench

MOST_CONDITIONS = 8
MOST_A_SESSION = 4
_MS = timedelta(milliseconds=1)


def propose_rule(
    bench: Workbench,
    call_id: str,
    *,
    conditions: Sequence[Mapping[str, Any]],
    match: str,
    until: Sequence[Mapping[str, Any]] | None,
    for_runs: int,
    for_ms: int,
    interval_ms: int | None,
    pause_ms: int | None,
    reason: str,
) -> Answer:
    """Propose a rule that sets a tempo whenever answers meet conditions, without asking a model again.

    A person must accept it before it takes effect. Propose one only where the owner's intent asks for it.

    Args:
        conditions: Each compares a field (a JSON pointer such as /queue_depth, or status_code, duration_ms, outcome).
        match: `all` or `any` of the conditions.
        until: What must all hold, besides, before it lets go again; null for nothing more.
        for_runs: For how many runs in a row they must hold first.
        for_ms: For how long they must hold first, in milliseconds; 0 for at once.
        interval_ms: The tempo while they hold, in milliseconds; null for a pause.
        pause_ms: How long to pause, in milliseconds; null for a tempo.
        reason: The part of the owner's intent that asks for it, at most 300 characters.
    """
    job, limits, rules = bench.context.job, bench.context.limits, bench.context.rules
    if mode_of(job.definition, limits) is PlannerMode.OFF:
        return _no("The job's owner has switched the planner off.")
    given = interval_ms if interval_ms is not None else pause_ms
    if given is None or (interval_ms is not None and pause_ms is not None):
        return _no("Give exactly one of `interval_ms` and `pause_ms`; null for the other.")
    when, wrong = _predicate(conditions, match, "conditions")
    leave, wrong_until = _predicate(until, "all", "until") if until else (None, None)
    if when is None or wrong_until is not None:
        return _no(wrong or wrong_until or "")
    kind, length = (HintKind.INTERVAL if interval_ms is not None else HintKind.PAUSE), given * _MS
    enter, ttl = Hold(for_runs, for_ms * _MS), default_ttl(kind, length, limits)
    terms = Terms(
        when, kind, length, ttl, clean_text(reason, LONGEST_REASON), enter=enter, until=leave, leave=Hold(LEAVE_RUNS)
    )
    refusal = _refusal(bench, terms)
    if refusal is not None:
        return _no(refusal)
    room = room_for(rules, waiting=True)
    if room is not None:
        return _no(f"{room} Propose none for now.")
    if is_known(terms, rules) or any(terms.essence == draft.terms.essence for draft in bench.rules):
        return _no("The job has this rule already, or a person has rejected it. Do not propose it again.")
    if len(bench.rules) >= MOST_A_SESSION:
        return _no(f"{MOST_A_SESSION} rules a session are enough.")
    bench.rules.append(RuleDraft(terms))
    return Answer(Verdict.ACCEPTED, "Staged as a proposal; a person will look at it.")


def _predicate(given: Sequence[Mapping[str, Any]] | None, match: str, name: str) -> tuple[Predicate | None, str | None]:
    """Read the tool's flat conditions; or say what is wrong with them."""
    if not given or len(given) > MOST_CONDITIONS or match not in ("all", "any"):
        return None, f"`{name}` is a list of 1 to {MOST_CONDITIONS} conditions, `match` is all or any."
    plain = [_without_idle_value(each) for each in given]
    predicate, issues = parse(plain[0] if len(plain) == 1 else {match: plain}, f"`{name}`")
    return predicate, " ".join(f"{issue.pointer}: {issue.detail}" for issue in issues[:3]) or None


def _without_idle_value(condition: Mapping[str, Any]) -> dict[str, Any]:
    is_presence = condition.get("op") in (Op.EXISTS, Op.ABSENT)
    return {name: value for name, value in condition.items() if not (is_presence and name == "value" and value is None)}


def _refusal(bench: Workbench, terms: Terms) -> str | None:
    """Say why the job cannot have the rule: its form, its grants, or fields that no answer has."""
    issues = issues_of(terms, bench.context.job.definition, bench.context.limits)
    if issues:
        return " ".join(issue.detail for issue in issues[:3])
    responses = [read_run(run) for run in bench.context.runs if run.finished_at is not None]
    unseen = [field for field in _pointers(terms) if not _seen(field, responses)]
    if unseen and any(response.unread is None for response in responses):
        return f"No answer so far has {unseen[0]}; propose rules about fields that you have seen."
    return None


def _pointers(terms: Terms) -> list[str]:
    named = [*comparisons(terms.when), *comparisons(terms.until)]
    return [each.field for each in named if each.field.startswith("/") and each.op is not Op.ABSENT]


def _seen(field: str, responses: Sequence[Response]) -> bool:
    return any(judge(Comparison(field, Op.EXISTS), response) for response in responses)


def _no(message: str) -> Answer:
    return Answer(Verdict.REJECTED, message)
