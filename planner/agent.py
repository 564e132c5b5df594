"""The agent: the catalogue's tools with strict schemas, collected on a workbench, committed by nobody here."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai import (
    Agent,
    FunctionToolset,
    ModelResponse,
    ModelRetry,
    RunContext,
    SkipModelRequest,
    TextPart,
    ToolOutput,
)
from pydantic_ai.capabilities import Hooks

from core.sessions import Verdict
from planner.prompt import instructions
from tools import concluding, proposing, proposing_rules, reading
from tools.workbench import Answer, Workbench

STAGED = "Staged; nothing more to say."

_toolset = FunctionToolset[Workbench](
    id="tempo",
    max_retries=2,
    sequential=True,
    strict=True,
    timeout=5,
    docstring_format="google",
    require_parameter_descriptions=True,
)
_hooks: Hooks[Workbench] = Hooks()

Reason = Annotated[str, Field(strict=True, min_length=1, max_length=proposing.LONGEST_REASON)]
IntervalMs = Annotated[int, Field(strict=True, ge=1, le=proposing.LONGEST_INTERVAL_MS)]
TtlMs = Annotated[int, Field(strict=True, ge=proposing.SHORTEST_TTL_MS, le=proposing.LONGEST_TTL_MS)]
Instant = Annotated[str, Field(strict=True, min_length=10, max_length=40)]


class Condition(BaseModel):
    """One comparison of a rule. `exists` and `absent` take null as their value."""

    model_config = ConfigDict(extra="forbid", strict=True)

    field: Annotated[str, Field(max_length=300)]
    op: Literal["eq", "ne", "gt", "ge", "lt", "le", "exists", "absent"]
    value: str | bool | int | float | None


Conditions = Annotated[list[Condition], Field(min_length=1, max_length=proposing_rules.MOST_CONDITIONS)]


def _carry_out(
    ctx: RunContext[Workbench], tool: Callable[..., Answer], arguments: dict[str, Any], *, proposes: bool
) -> str:
    """Call a tool, keep its verdict, and hand a refusal back as something to mend."""
    call_id = ctx.tool_call_id or ""
    answer = tool(ctx.deps, call_id, **arguments) if proposes else tool(ctx.deps, **arguments)
    ctx.deps.record(call_id, tool.__name__, arguments, answer)
    if answer.verdict is Verdict.REJECTED:
        raise ModelRetry(answer.message)
    return answer.message


@_toolset.tool(name="propose_interval")
def _propose_interval(ctx: RunContext[Workbench], interval_ms: IntervalMs, ttl_ms: TtlMs, reason: Reason) -> str:
    """Run every `interval_ms` milliseconds for the next `ttl_ms` milliseconds, then go back to the baseline.

    Args:
        interval_ms: Milliseconds from one start to the next.
        ttl_ms: For how long, in milliseconds. Keep it short; it can be renewed on new evidence.
        reason: The evidence in one sentence.
    """
    arguments = {"interval_ms": interval_ms, "ttl_ms": ttl_ms, "reason": reason}
    return _carry_out(ctx, proposing.propose_interval, arguments, proposes=True)


@_toolset.tool(name="propose_next_time")
def _propose_next_time(ctx: RunContext[Workbench], at: Instant, reason: Reason) -> str:
    """Run once at an instant, sooner or later than the baseline would; afterwards the baseline goes on.

    Args:
        at: The instant, RFC 3339 with its offset, such as 2026-01-31T12:00:00Z.
        reason: The evidence in one sentence.
    """
    return _carry_out(ctx, proposing.propose_next_time, {"at": at, "reason": reason}, proposes=True)


@_toolset.tool(name="pause_until")
def _pause_until(ctx: RunContext[Workbench], until: Instant | None, reason: Reason) -> str:
    """Stop running until an instant; one probe run follows. null ends a pause that the planner made itself.

    Args:
        until: The instant, RFC 3339 with its offset, at most a day ahead; or null.
        reason: The evidence in one sentence.
    """
    return _carry_out(ctx, proposing.pause_until, {"until": until, "reason": reason}, proposes=True)


@_toolset.tool(name="clear_hints")
def _clear_hints(ctx: RunContext[Workbench], reason: Reason) -> str:
    """Take back every hint that the planner itself wrote; the job goes back to its baseline.

    Args:
        reason: Why they are no longer needed.
    """
    return _carry_out(ctx, proposing.clear_hints, {"reason": reason}, proposes=True)


@_toolset.tool(name="propose_rule")
def _propose_rule(
    ctx: RunContext[Workbench],
    conditions: Conditions,
    match: Literal["all", "any"],
    until: Conditions | None,
    for_runs: Annotated[int, Field(strict=True, ge=1, le=1000)],
    for_ms: Annotated[int, Field(strict=True, ge=0, le=604_800_000)],
    interval_ms: IntervalMs | None,
    pause_ms: TtlMs | None,
    reason: Reason,
) -> str:
    """Propose a rule that sets a tempo whenever answers meet conditions, without asking you again.

    A person must accept it before it takes effect. Propose one only where the owner's intent asks for it.

    Args:
        conditions: Each compares a field (a JSON pointer such as /queue_depth, or status_code, duration_ms, outcome).
        match: `all` or `any` of the conditions.
        until: What must all hold, besides, before it lets go again; null for nothing more.
        for_runs: For how many runs in a row they must hold first.
        for_ms: For how long they must hold first, in milliseconds; 0 for at once.
        interval_ms: The tempo while they hold, in milliseconds; null for a pause.
        pause_ms: How long to pause, in milliseconds; null for a tempo.
        reason: The part of the owner's intent that asks for it.
    """
    arguments = {
        "conditions": [each.model_dump() for each in conditions],
        "match": match,
        "until": [each.model_dump() for each in until] if until is not None else None,
        "for_runs": for_runs,
        "for_ms": for_ms,
        "interval_ms": interval_ms,
        "pause_ms": pause_ms,
        "reason": reason,
    }
    return _carry_out(ctx, proposing_rules.propose_rule, arguments, proposes=True)


@_toolset.tool(name="get_latest_response")
def _get_latest_response(ctx: RunContext[Workbench]) -> str:
    """Read the newest answer of the job's target: status, times, and the beginning of its body."""
    return _carry_out(ctx, reading.get_latest_response, {}, proposes=False)


@_toolset.tool(name="get_response_history")
def _get_response_history(
    ctx: RunContext[Workbench], limit: Annotated[int, Field(strict=True, ge=1, le=reading.LONGEST_HISTORY)]
) -> str:
    """Read the newest answers, newest first.

    Args:
        limit: How many.
    """
    return _carry_out(ctx, reading.get_response_history, {"limit": limit}, proposes=False)


@_toolset.tool(name="get_sibling_latest_responses")
def _get_sibling_latest_responses(ctx: RunContext[Workbench]) -> str:
    """Read the newest answer of each other job of the same group."""
    return _carry_out(ctx, reading.get_sibling_latest_responses, {}, proposes=False)


def conclude(
    ctx: RunContext[Workbench],
    reasoning: Annotated[str, Field(strict=True, min_length=1, max_length=concluding.LONGEST_REASONING)],
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)],
    next_analysis_in_ms: Annotated[int, Field(strict=True, ge=0, le=proposing.LONGEST_INTERVAL_MS)],
) -> str:
    """End the session with its final answer; what was proposed before stands.

    Args:
        reasoning: Why the tempo is right as it now is, in one or two sentences.
        confidence: From 0 (a guess) to 1 (certain).
        next_analysis_in_ms: When to look again even if nothing changes, in milliseconds. A change is seen without it.
    """
    arguments = {"reasoning": reasoning, "confidence": confidence, "next_analysis_in_ms": next_analysis_in_ms}
    return _carry_out(ctx, concluding.conclude, arguments, proposes=False)


@_hooks.on.before_model_request
async def _stop_once_staged(ctx: RunContext[Workbench], request_context: Any) -> Any:
    """A session that has staged something is over: the next request would only cost tokens."""
    if ctx.deps.staged:
        raise SkipModelRequest(ModelResponse([TextPart(STAGED)]))
    return request_context


agent: Agent[Workbench, str] = Agent(
    deps_type=Workbench,
    output_type=[ToolOutput(conclude, name="conclude", strict=True), str],
    toolsets=[_toolset],
    instructions=instructions(),
    name="planner",
    capabilities=[_hooks],
)
