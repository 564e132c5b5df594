"""Planner sessions as columns, and back."""

from typing import Any

from core.entities import PlannerMode
from core.sessions import Outcome, Plan, Session, ToolCall, Usage, Verdict
from rubato.adapters.postgres.codec import Row, clean, decision_from, key, ms, span


def session_to(session: Session) -> dict[str, Any]:
    """Write a session's columns."""
    plan = session.plan
    return {
        **key(session.tenant_id, session.job_id),
        "id": session.id,
        "job_version": session.job_version,
        "run_id": session.run_id,
        "started_at": session.started_at,
        "finished_at": session.finished_at,
        "outcome": plan.outcome.value,
        "planner": plan.planner,
        "model": plan.model,
        "input_summary": clean(plan.input_summary),
        "calls": [
            {
                "call_id": call.call_id,
                "tool": call.tool,
                "arguments": call.arguments,
                "verdict": call.verdict.value,
                "message": call.message,
            }
            for call in plan.calls
        ],
        "requests": plan.usage.requests,
        "input_tokens": plan.usage.input_tokens,
        "output_tokens": plan.usage.output_tokens,
        "estimated": plan.usage.estimated,
        "reasoning": clean(plan.reasoning),
        "confidence": plan.confidence,
        "next_analysis_ms": ms(plan.next_analysis_in),
        "messages": clean(plan.messages),
        "prompt_hash": plan.prompt_hash,
        "error": clean(plan.error),
        "hint_ids": list(session.hint_ids),
        "decision": session.decision,
        "woken_by": session.woken_by,
        "mode": session.mode.value if session.mode else None,
        "cost_usd": session.cost_usd,
    }


def session_from(row: Row) -> Session:
    """Read a session."""
    plan = Plan(
        outcome=Outcome(row["outcome"]),
        planner=row["planner"],
        model=row["model"],
        input_summary=row["input_summary"],
        calls=tuple(
            ToolCall(call["call_id"], call["tool"], call["arguments"], Verdict(call["verdict"]), call["message"])
            for call in row["calls"]
        ),
        usage=Usage(row["requests"], row["input_tokens"], row["output_tokens"], row["estimated"]),
        reasoning=row["reasoning"],
        confidence=row["confidence"],
        next_analysis_in=span(row["next_analysis_ms"]),
        messages=row["messages"],
        prompt_hash=row["prompt_hash"],
        error=row["error"],
    )
    return Session(
        id=row["id"],
        tenant_id=row["tenant_id"],
        job_id=row["job_id"],
        job_version=row["job_version"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        plan=plan,
        run_id=row["run_id"],
        hint_ids=tuple(row["hint_ids"]),
        decision=decision_from(row["decision"]) if row["decision"] else None,
        woken_by=row["woken_by"],
        mode=PlannerMode(row["mode"]) if row["mode"] else None,
        cost_usd=row["cost_usd"],
    )
