"""Decisions, explanations and forecasts on the wire."""

from typing import Any

from api.schemas.hints import HintOut
from api.wire import Instant, Wire
from core.entities import Decision


class CandidateOut(Wire):
    """One instant the governor considered."""

    source: str
    at: Instant | None
    hint_id: str | None
    note: str


class ClampOut(Wire):
    """A proposed instant that a bound moved."""

    bound: str
    proposed: Instant
    applied: Instant


class HandledOut(Wire):
    """Baseline fires that a hinted run stands for."""

    first: Instant
    last: Instant | None
    count: int
    more: bool


class DecisionOut(Wire):
    """What was chosen for the next run, out of which candidates, and why."""

    decided_at: Instant
    next_run_at: Instant | None
    source: str
    reason: str
    candidates: list[CandidateOut]
    clamps: list[ClampOut]
    hint_id: str | None
    paused_until: Instant | None
    handles: HandledOut | None
    digest: str
    governor_version: str
    tzdata_version: str


class BoundsOut(Wire):
    """The bounds in force, defaults filled in. `minimumFrom`: min_interval, tenant_minimum or operator_minimum."""

    min_interval_ms: int
    max_interval_ms: int | None
    minimum_from: str


class ShadowOut(Wire):
    """What a planner in shadow mode would have in force, and what would be decided now if it were on."""

    hints: list[HintOut]
    decision: DecisionOut


class ExplanationOut(DecisionOut):
    """The decision in force with what it stands on."""

    job_id: str
    now: Instant
    status: str
    baseline: dict[str, Any]
    bounds: BoundsOut
    active_hints: list[HintOut]
    planner_mode: str
    shadow: ShadowOut | None


class ForecastItemOut(Wire):
    """One expected run."""

    at: Instant
    source: str
    hint_id: str | None


class ForecastOut(Wire):
    """Expected runs, if each succeeds at its slot and no new hint comes."""

    job_id: str
    until: Instant
    data: list[ForecastItemOut]
    truncated: bool


class SimulationOut(Wire):
    """What the governor decides now without and with a hint; nothing was written."""

    job_id: str
    before: DecisionOut
    after: DecisionOut


def decision_out(decision: Decision) -> DecisionOut:
    """Write a decision."""
    return DecisionOut(**decision_fields(decision))


def decision_fields(decision: Decision) -> dict[str, Any]:
    """Return a decision's fields, by their Python names."""
    handles = decision.handles
    return {
        "decided_at": decision.decided_at,
        "next_run_at": decision.next_run_at,
        "source": decision.source,
        "reason": decision.reason,
        "candidates": [
            CandidateOut(source=each.source, at=each.at, hint_id=each.hint_id, note=each.note)
            for each in decision.candidates
        ],
        "clamps": [
            ClampOut(bound=each.bound, proposed=each.proposed, applied=each.applied) for each in decision.clamps
        ],
        "hint_id": decision.hint_id,
        "paused_until": decision.paused_until,
        "handles": HandledOut(first=handles.first, last=handles.last, count=handles.count, more=handles.more)
        if handles
        else None,
        "digest": decision.digest,
        "governor_version": decision.governor_version,
        "tzdata_version": decision.tzdata_version,
    }
