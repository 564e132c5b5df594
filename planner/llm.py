"""The planner port: one session through the agent, under a deadline and limits, ended whatever the model does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pydantic_ai import (
    AgentRunError,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    UsageLimitExceeded,
    UsageLimits,
    capture_run_messages,
)
from pydantic_ai.models import Model

from core.sessions import Outcome, Plan, PlanningContext, Usage
from planner.agent import STAGED, agent
from planner.models import close_model, with_fallback
from planner.offline import OFFLINE, offline_model
from planner.prompt import describe_job, prompt_hash
from planner.recollection import notes_call, rhythm_of
from tools.workbench import Workbench

DEADLINE = timedelta(seconds=20)
REQUESTS, TOOL_CALLS, TOKENS = 4, 8, 8_000  # of one session, at the most
_CHARS_A_TOKEN = 4  # for servers that report no usage


@dataclass(frozen=True, slots=True)
class LlmPlanner:
    """Asks a model. While the server cannot be used, the offline policy answers in its place, and the plan says so."""

    model: Model
    deadline: timedelta = DEADLINE
    fall_back: bool = True

    @property
    def worst_case_tokens(self) -> int:
        """Tokens that a session can use at the most."""
        return TOKENS

    async def plan(self, context: PlanningContext) -> Plan:
        """Return what the model proposed, or how it failed."""
        failures: list[str] = []
        model = self.model
        if self.fall_back:
            model = with_fallback(model, offline_model(context), lambda error: failures.append(_brief(error)))
        plan = await run_session(context, model, self.deadline, planner="llm", name=self.model.model_name)
        if not failures:
            return plan
        note = f"{self.model.model_name} could not be used ({failures[-1]}); the offline policy answered"
        return _annotated(plan, note)

    async def close(self) -> None:
        """Close the model's connections."""
        await close_model(self.model)


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
        plan = await run_session(context, model, self.deadline, planner="offline", name=OFFLINE)
        return plan if rhythm is None else replace(plan, calls=(*plan.calls, notes_call(rhythm)))


async def run_session(context: PlanningContext, model: Model, deadline: timedelta, *, planner: str, name: str) -> Plan:
    """Run one session. Only a completed one keeps its proposals: a limit or time-out leaves nothing half-written."""
    bench = Workbench(context)
    prompt = describe_job(context)
    outcome, error, reasoning = Outcome.COMPLETED, None, None
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
                    model_settings={"temperature": 0, "parallel_tool_calls": False},
                )
            reasoning = None if result.output == STAGED else result.output
        except TimeoutError:
            outcome, error = Outcome.TIMED_OUT, f"no answer within {deadline.total_seconds():g} s"
        except UsageLimitExceeded as limit:
            outcome, error = Outcome.LIMITED, _brief(limit)
        except AgentRunError as failure:
            outcome, error = Outcome.FAILED, _brief(failure)
        except Exception as failure:  # noqa: BLE001 - whatever a server sends, the session ends and says so
            outcome, error = Outcome.FAILED, type(failure).__name__
    if reasoning is None and bench.staged:
        reasoning = " ".join(dict.fromkeys(proposal.reason for proposal in bench.staged))
    return Plan(
        outcome=outcome,
        planner=planner,
        model=_answered_by(messages) or name,
        input_summary=prompt,
        proposals=tuple(bench.staged) if outcome is Outcome.COMPLETED else (),
        calls=tuple(bench.calls),
        usage=_usage(messages, charged=planner != "offline"),
        reasoning=reasoning[:2000] if reasoning else None,
        messages=ModelMessagesTypeAdapter.dump_json(messages).decode(),
        prompt_hash=prompt_hash(),
        error=error,
    )


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


def _usage(messages: Sequence[ModelMessage], *, charged: bool) -> Usage:
    responses = [response for response in _responses(messages) if response.model_name != OFFLINE]
    if not charged or not responses:
        return Usage()
    read = sum(response.usage.input_tokens for response in responses)
    written = sum(response.usage.output_tokens for response in responses)
    if read + written:
        return Usage(len(responses), read, written)
    size = len(ModelMessagesTypeAdapter.dump_json(list(messages)))
    return Usage(len(responses), size // _CHARS_A_TOKEN, 0, estimated=True)


def _annotated(plan: Plan, note: str) -> Plan:
    return replace(plan, error=f"{note}; {plan.error}" if plan.error else note)


def _brief(error: Any) -> str:
    """Name an error in one line, without what a server may have put into its body."""
    status = getattr(error, "status_code", None)
    if status:
        return f"{type(error).__name__} {status}"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
