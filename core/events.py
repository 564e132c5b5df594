"""What the core tells the world about itself: one frozen record a kind of happening.

Durations in seconds unless the name says otherwise. No secrets, no response bodies.
"""

from typing import Literal

from core.record import record


@record
class JobsClaimed:
    """A claim brought `count` jobs."""

    count: int


@record
class ClockChecked:
    """The host's clock is `ahead_s` seconds ahead of the store's (negative: behind)."""

    ahead_s: float


@record
class RunStarted:
    """A request is about to be sent, `delay_s` after its slot."""

    tenant_id: str
    job_id: str
    run_id: str
    trigger: str
    delay_s: float


@record
class RunSettled:
    """A run ended and the next one is set. `outcome`: a terminal run status. `gate`: its verdict on a session."""

    tenant_id: str
    job_id: str
    run_id: str
    outcome: str
    trigger: str
    duration_s: float
    next_source: str
    clamps: tuple[tuple[str, str], ...] = ()  # (bound, source)
    error: str | None = None
    gate: str | None = None


@record
class RunsSkipped:
    """Slots were recorded as skipped."""

    tenant_id: str
    job_id: str
    reason: str
    count: int


@record
class LeaseExpired:
    """A job was taken over from a worker that did not come back."""

    tenant_id: str
    job_id: str
    run_id: str


@record
class StaleWriteRefused:
    """A write came under a token that somebody else had raised."""

    tenant_id: str
    job_id: str
    what: str


@record
class JobParked:
    """One job was set aside for an hour."""

    tenant_id: str
    job_id: str
    reason: str


@record
class HintWritten:
    """A hint was stored. `outcome`: active, shadow or rejected."""

    tenant_id: str
    job_id: str
    kind: str
    author: str
    outcome: str


@record
class RulesMatched:
    """A settled run met the conditions of so many of its job's rules."""

    tenant_id: str
    job_id: str
    count: int


@record
class SessionEnded:
    """A planner session ended."""

    tenant_id: str
    job_id: str
    session_id: str
    outcome: str
    model: str
    duration_s: float
    requests: int
    input_tokens: int
    output_tokens: int
    tool_calls: tuple[tuple[str, str], ...] = ()  # (tool, verdict)
    error: str | None = None
    woken_by: str | None = None  # the gate's verdict
    cost_usd: float | None = 0.0  # None: the model's price is not known


@record
class QuotaDenied:
    """The quota guard refused a session."""

    tenant_id: str
    job_id: str
    reason: str


@record
class LoopTurned:
    """A service finished a turn of its loop."""

    role: Literal["run", "plan"]


@record
class LoopFailed:
    """A turn of a service's loop raised. The loop goes on after a wait."""

    role: str
    error: str


Event = (
    JobsClaimed
    | ClockChecked
    | RunStarted
    | RunSettled
    | RunsSkipped
    | LeaseExpired
    | StaleWriteRefused
    | JobParked
    | HintWritten
    | RulesMatched
    | SessionEnded
    | QuotaDenied
    | LoopTurned
    | LoopFailed
)
