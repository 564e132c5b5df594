"""The planner port: one session through the agent, under a deadline, a breaker and limits, ended whatever the model
does."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any

from pydantic_ai import (
    AgentRunError,
    ModelAPIError,
    ModelHTTPError,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    UsageLimitExceeded,
    UsageLimits,
    capture_run_messages,
)
from pydantic_ai.models import Model

from core.sessions import Outcome, Plan, PlanningContext, Usage
from planner.agent import STAGED, agent
from planner.breaker import LONGEST_RETRY_AFTER_S, Breaker
from planner.models import close_model, was_sent, with_fallback
from planner.offline import OFFLINE, offline_model
from planner.prompt import describe_job, prompt_hash
from planner.recollection import notes_call, rhythm_of
from tools.workbench import Workbench

DEADLINE = timedelta(seconds=20)
REQUESTS, TOOL_CALLS, TOKENS = 4, 8, 8_000  # of one session, at the most
ANSWER_TOKENS = 800  # of one answer
ONE_REQUEST = 8_000  # tokens that the last request may add: the limit is looked at between requests
SHORTEST_LOOK, SHORTEST_FREE_LOOK = timedelta(minutes=1), timedelta(seconds=1)
_BYTES_A_TOKEN = 4  # for servers that report no usage
_BILLED = (Outcome.TIMED_OUT, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class LlmPlanner:
    """Asks a model. While the server cannot be used, the offline policy answers in its place, and the plan says so."""

    model: Model
    deadline: timedelta = DEADLINE
    fall_back: bool = True
    breaker: Breaker = field(default_factory=Breaker)
    monotonic_s: Callable[[], float] = monotonic

    @property
    def worst_case_tokens(self) -> int:
        """Tokens that a session can use at the most."""
        return TOKENS + ONE_REQUEST

    async def plan(self, context: PlanningContext) -> Plan:
        """Return what the model proposed, or how it failed."""
        name = self.model.model_name
        key = context.job.tenant_id, name
        wait_s = self.breaker.wait_s(key, self.monotonic_s())
        if wait_s > 0:
            return await self._without_model(context, wait_s)
        errors: list[ModelAPIError] = []
        model = self.model
        if self.fall_back:
            model = with_fallback(model, offline_model(context), errors.append)
        plan, error = await run_session(context, model, self.deadline, planner="llm", name=name)
        if isinstance(error, ModelAPIError):
            errors.append(error)
        plan = self._judged(plan, key, errors)
        if errors and plan.outcome is Outcome.COMPLETED:
            return _annotated(plan, f"{name} could not be used ({_brief(errors[-1])}); the offline policy answered")
        return plan

    def open_breakers(self) -> int:
        """Return how many of this process's breakers are open."""
        return self.breaker.open_count(self.monotonic_s())

    async def close(self) -> None:
        """Close the model's connections."""
        await close_model(self.model)

    def _judged(self, plan: Plan, key: tuple[str, str], errors: Sequence[ModelAPIError]) -> Plan:
        """Tell the breaker how the server did; charge for what it may have read without an answer."""
        if not errors:
            if plan.outcome in _BILLED:
                self.breaker.failed(key, self.monotonic_s())
            else:
                self.breaker.succeeded(key)
            return plan
        error = errors[-1]
        retry_after_s = error.retry_after
        self.breaker.failed(key, self.monotonic_s(), retry_after_s=retry_after_s)
        is_cut_off = was_sent(error) and not isinstance(error, ModelHTTPError)  # perhaps read and billed all the same
        if is_cut_off:
            plan = replace(plan, usage=_at_least_read(plan.usage, len(plan.input_summary.encode())))
        waits = timedelta(seconds=min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))
        return replace(plan, retry_in=waits or None, charged_model=key[1])

    async def _without_model(self, context: PlanningContext, wait_s: float) -> Plan:
        """Return what the offline policy says while the breaker is open; without it, put the session off."""
        name, wait = self.model.model_name, timedelta(seconds=wait_s)
        note = f"{name} is left alone for another {wait_s:.0f} s after it failed"
        if not self.fall_back:
            return Plan(Outcome.FAILED, "llm", name, "", error=note, retry_in=wait)
        plan, _ = await run_session(context, offline_model(context), self.deadline, planner="offline", name=OFFLINE)
        return _annotated(replace(plan, planner="llm", retry_in=wait), f"{note}; the offline policy answered")


@dataclass(frozen=True, slots=True)
class OfflinePlanner:
    """The built-in policy, on the same path of agent and tools. It costs no tokens and asks nobody."""

    deadline: timedelta = DEADLINE

    @property
    def worst_case_tokens(self) -> int:
        """None."""
        return 0

    async def plan(self, context: PlanningContext) -> Plan:
        """Return what the policy proposes."""
        rhythm = rhythm_of(context)
        model = offline_model(context, rhythm)
        plan, _ = await run_session(context, model, self.deadline, planner="offline", name=OFFLINE)
        return plan if rhythm is None else replace(plan, calls=(*plan.calls, notes_call(rhythm)))


async def run_session(
    context: PlanningContext, model: Model, deadline: timedelta, *, planner: str, name: str
) -> tuple[Plan, Exception | None]:
    """Run one session, and return with it what ended it before its time. Only a completed one keeps its proposals: a
    limit or time-out leaves nothing half-written."""
    is_free = planner == "offline"
    bench = Workbench(context, SHORTEST_FREE_LOOK if is_free else SHORTEST_LOOK)
    prompt = describe_job(context)
    outcome, error, reasoning, ended = Outcome.COMPLETED, None, None, None  # type: Any, Any, Any, Any
    with capture_run_messages() as messages:
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                result = await agent.run(
                    prompt,
                    deps=bench,
                    model=model,
                    usage_limits=UsageLimits(
                        request_limit=REQUESTS, tool_calls_limit=TOOL_CALLS, total_tokens_limit=TOKENS
                    ),
                    model_settings={"temperature": 0, "max_tokens": ANSWER_TOKENS},
                )
            reasoning = None if bench.conclusion or result.output == STAGED else result.output
        except TimeoutError as failure:
            outcome, error, ended = Outcome.TIMED_OUT, f"no answer within {deadline.total_seconds():g} s", failure
        except UsageLimitExceeded as failure:
            outcome, error, ended = Outcome.LIMITED, _brief(failure), failure
        except AgentRunError as failure:
            outcome, error, ended = Outcome.FAILED, _brief(failure), failure
        except Exception as failure:  # noqa: BLE001 - whatever a server sends, the session ends and says so
            outcome, error, ended = Outcome.FAILED, type(failure).__name__, failure
    if bench.conclusion is not None:
        reasoning = bench.conclusion.reasoning
    elif reasoning is None and bench.staged:
        reasoning = " ".join(dict.fromkeys(proposal.reason for proposal in bench.staged))
    plan = Plan(
        outcome=outcome,
        planner=planner,
        model=_answered_by(messages) or name,
        input_summary=prompt,
        proposals=tuple(bench.staged) if outcome is Outcome.COMPLETED else (),
        rules=tuple(bench.rules) if outcome is Outcome.COMPLETED else (),
        calls=tuple(bench.calls),
        usage=Usage() if is_free else _usage(messages, ended),
        reasoning=reasoning[:2000] if reasoning else None,
        confidence=bench.conclusion.confidence if bench.conclusion else None,
        next_analysis_in=bench.conclusion.next_analysis_in if bench.conclusion else None,
        messages=ModelMessagesTypeAdapter.dump_json(messages).decode(),
        prompt_hash=prompt_hash(),
        error=error,
    )
    return plan, ended


def _responses(messages: Sequence[ModelMessage]) -> list[ModelResponse]:
    """Return what models answered, without the line that ends a session."""
    return [
        message
        for message in messages
        if isinstance(message, ModelResponse)
        and not any(getattr(part, "content", None) == STAGED for part in message.parts)
    ]


def _answered_by(messages: Sequence[ModelMessage]) -> str | None:
    return next((response.model_name for response in reversed(_responses(messages)) if response.model_name), None)


def _usage(messages: Sequence[ModelMessage], ended: Exception | None) -> Usage:
    """Count what was charged: as reported, estimated where a server reports nothing or its answer never came whole."""
    responses = [response for response in _responses(messages) if response.model_name != OFFLINE]
    read = sum(response.usage.input_tokens for response in responses)
    written = sum(response.usage.output_tokens for response in responses)
    usage = Usage(len(responses), read, written)
    size = len(ModelMessagesTypeAdapter.dump_json(list(messages)))
    if responses and not read + written:
        usage = Usage(len(responses), size // _BYTES_A_TOKEN, 0, estimated=True)
    unanswered = bool(messages) and isinstance(messages[-1], ModelRequest) and ended is not None
    if unanswered and not isinstance(ended, ModelAPIError | UsageLimitExceeded):
        usage = _at_least_read(usage, size)
    return usage


def _at_least_read(usage: Usage, size: int) -> Usage:
    """Add one request of `size` bytes that was sent and not answered."""
    return Usage(usage.requests + 1, usage.input_tokens + size // _BYTES_A_TOKEN, usage.output_tokens, estimated=True)


def _annotated(plan: Plan, note: str) -> Plan:
    return replace(plan, error=f"{note}; {plan.error}" if plan.error else note)


def _brief(error: Any) -> str:
    """Name an error in one line, without what a server may have put into its body."""
    status = getattr(error, "status_code", None)
    if status:
        return f"{type(error).__name__} {status}"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
