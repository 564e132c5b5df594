"""Planner sessions on the wire."""

from typing import Any

from api.schemas.decisions import DecisionOut, decision_out
from api.wire import Instant, Wire, ms
from core.sessions import Session


class ToolCallOut(Wire):
    """One call that the planner made, and what it was told."""

    tool: str
    arguments: Any
    verdict: str
    message: str


class TokensOut(Wire):
    """What a session cost. `estimated`: the server reported nothing."""

    input: int
    output: int
    total: int
    estimated: bool


class SessionOut(Wire):
    """One planner invocation. `messages`, the whole conversation, is given for a single session only."""

    id: str
    job_id: str
    job_version: int
    run_id: str | None
    started_at: Instant
    finished_at: Instant
    outcome: str
    planner: str
    model: str
    input_summary: str
    tool_calls: list[ToolCallOut]
    requests: int
    tokens: TokensOut
    reasoning: str | None
    confidence: float | None
    next_analysis_in_ms: int | None
    hint_ids: list[str]
    decision: DecisionOut | None
    prompt_hash: str | None
    error: str | None
    woken_by: str | None
    mode: str | None
    cost_usd: float | None
    messages: str | None = None


def session_out(session: Session, *, with_messages: bool = False) -> SessionOut:
    """Write a session."""
    plan = session.plan
    usage = plan.usage
    return SessionOut(
        id=session.id,
        job_id=session.job_id,
        job_version=session.job_version,
        run_id=session.run_id,
        started_at=session.started_at,
        finished_at=session.finished_at,
        outcome=plan.outcome,
        planner=plan.planner,
        model=plan.model,
        input_summary=plan.input_summary,
        tool_calls=[
            ToolCallOut(tool=call.tool, arguments=call.arguments, verdict=call.verdict, message=call.message)
            for call in plan.calls
        ],
        requests=usage.requests,
        tokens=TokensOut(
            input=usage.input_tokens, output=usage.output_tokens, total=usage.tokens, estimated=usage.estimated
        ),
        reasoning=plan.reasoning,
        confidence=plan.confidence,
        next_analysis_in_ms=ms(plan.next_analysis_in),
        hint_ids=list(session.hint_ids),
        decision=decision_out(session.decision) if session.decision else None,
        prompt_hash=plan.prompt_hash,
        error=plan.error,
        woken_by=session.woken_by,
        mode=session.mode,
        cost_usd=session.cost_usd,
        messages=plan.messages if with_messages else None,
    )
