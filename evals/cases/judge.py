"""Whether a decision is sound: one of the acts expected, within its ranges; and in words what is wrong with it."""

from core.entities import HintKind
from core.sessions import Outcome, Plan, Proposal
from evals.cases.case import NOW, Act, Case, Expected

_KINDS: dict[HintKind, Act] = {
    HintKind.INTERVAL: "interval",
    HintKind.NEXT_TIME: "next_time",
    HintKind.PAUSE: "pause",
}


def acts_of(plan: Plan) -> list[Act]:
    """Return what a plan does, in order."""
    return ["clear" if each.clear or each.kind is None else _KINDS[each.kind] for each in plan.proposals] or ["none"]


def faults(case: Case, plan: Plan) -> list[str]:
    """Say what is unsound about a plan; nothing: it is sound."""
    if plan.outcome is not Outcome.COMPLETED:
        return [f"the session ended as {plan.outcome}: {plan.error}"]
    expected = case.entry.expect
    sound = " or ".join(expected.acts)
    found = [f"{act}, where {sound} is sound" for act in acts_of(plan) if act not in expected.acts]
    for proposal in plan.proposals:
        found += _beyond(expected, proposal)
    return found


def _beyond(expected: Expected, proposal: Proposal) -> list[str]:
    instant = proposal.at or proposal.until
    values = (
        ("interval", proposal.interval.total_seconds() if proposal.interval else None, expected.interval_s),
        ("instant", (instant - NOW).total_seconds() if instant else None, expected.at_s),
        ("lifetime", proposal.ttl.total_seconds() if proposal.ttl else None, expected.ttl_s),
    )
    return [
        f"{name} {value:g} s, where {allowed[0]:g} to {allowed[1]:g} s is sound"
        for name, value, allowed in values
        if value is not None and allowed is not None and not allowed[0] <= value <= allowed[1]
    ]
