"""What planning reads and leaves behind: context, proposals, tool calls, sessions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from core.entities import Decision, Hint, HintKind, Job, Limits, PlannerMode, Run
from core.record import record
from core.rules import Rule, RuleDraft


class Outcome(StrEnum):
    """How a session ended."""

    COMPLETED = "completed"
    DENIED = "denied"  # the quota guard said no; no model was asked
    TIMED_OUT = "timed_out"
    LIMITED = "limited"  # the model used up its requests, tool calls or tokens
    FAILED = "failed"  # the model was unreachable or answered nonsense
    STALE = "stale"  # the job was edited, or the planning lease passed on, before the hints could be written


class Verdict(StrEnum):
    """What became of one tool call."""

    ACCEPTED = "accepted"
    CLAMPED = "clamped"  # written; the governor will hold it within the bounds
    REJECTED = "rejected"
    ANSWERED = "answered"  # a reading tool


@record
class Proposal:
    """A staged hint. `clear` removes the planner's own hints of that kind instead (every kind if None)."""

    kind: HintKind | None
    reason: str
    call_id: str
    interval: timedelta | None = None
    at: datetime | None = None
    until: datetime | None = None
    ttl: timedelta | None = None
    clear: bool = False


@record
class Conclusion:
    """A session's final answer. `next_analysis_in`: when to look again even if nothing changes, within limits."""

    reasoning: str
    confidence: float
    next_analysis_in: timedelta


@record
class ToolCall:
    """One call that a model made, in order. `message` is what the model was told."""

    call_id: str
    tool: str
    arguments: Any
    verdict: Verdict
    message: str


@record
class Usage:
    """What a session cost. Tokens as the provider reports them; `estimated` when it reported none."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@record
class RunWindow:
    """What a job's runs were like over a while. Skipped runs are left out. Latencies in milliseconds, None without an
    answer. `changed`: runs whose answer was news to the gate. `more`: the while holds more runs than were counted."""

    name: str
    ended: int
    failed: int
    changed: int
    p50_ms: int | None = None
    p95_ms: int | None = None
    more: bool = False


@record
class PlanningContext:
    """All a planner may know: one job. `runs` newest first; `siblings` the latest run of each other job of its group,
    by name. `decision` is the one in force. `hints` are active; `past_hints` are the planner's own of the last day
    that have ended, newest first, and planners' and rules' pauses of the last seven days. `rules`: the job's, in every
    state. `notes`: the numbers that the last session which kept any left to the next, and those of the group's other
    jobs (`sibling_notes`); never words."""

    now: datetime
    job: Job
    limits: Limits
    hints: Sequence[Hint]
    runs: Sequence[Run]
    siblings: Sequence[tuple[str, Run]] = ()
    decision: Decision | None = None
    notes: Mapping[str, Any] | None = None
    sibling_notes: Sequence[Mapping[str, Any]] = ()
    rules: Sequence[Rule] = ()
    past_hints: Sequence[Hint] = ()
    windows: Sequence[RunWindow] = ()


@record
class Plan:
    """What a planner returns. It never raises for a model's faults: they are outcomes.

    `rules`: what it would have as rules; they wait for a person's word. `messages` is the conversation as JSON text;
    `input_summary` what the model was shown, without secrets.
    `retry_in`: the server asked to be left alone for so long. `charged_model`: whose tokens `usage` counts, if another
    than `model` answered in the end.
    """

    outcome: Outcome
    planner: str
    model: str
    input_summary: str
    proposals: tuple[Proposal, ...] = ()
    rules: tuple[RuleDraft, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    reasoning: str | None = None
    confidence: float | None = None
    next_analysis_in: timedelta | None = None
    messages: str | None = None
    prompt_hash: str | None = None
    error: str | None = None
    retry_in: timedelta | None = None
    charged_model: str | None = None


@record
class Session:
    """One planner invocation, kept."""

    id: str
    tenant_id: str
    job_id: str
    job_version: int
    started_at: datetime
    finished_at: datetime
    plan: Plan
    run_id: str | None = None  # the newest run it stood on
    hint_ids: tuple[str, ...] = ()
    decision: Decision | None = None  # taken when its hints were written
    woken_by: str | None = None  # the gate's verdict
    mode: PlannerMode | None = None  # in which it was planned: on or shadow
    cost_usd: float | None = None  # None: the model's price is unknown


NOTES_TOOL = "keep_notes"


def notes_in(calls: Iterable[ToolCall]) -> Mapping[str, Any] | None:
    """Return the notes that a session left to the next, if it kept any: they stand among its calls, for all to see."""
    return next((call.arguments for call in calls if call.tool == NOTES_TOOL), None)
