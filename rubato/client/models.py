"""What the service answers, typed. Fields are snake_case here and camelCase on the wire.

A field that a newer service adds is kept (`model_extra`) and comes out of `wire()` again: an old client loses nothing.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    def wire(self) -> dict[str, Any]:
        """Return it as the service wrote it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Candidate(Answer):
    """One instant that the governor considered."""

    source: str
    at: datetime | None
    hint_id: str | None
    note: str


class Clamp(Answer):
    """A proposed instant that a bound moved."""

    bound: str
    proposed: datetime
    applied: datetime


class Handled(Answer):
    """Baseline fires that a hinted run stands for."""

    first: datetime
    last: datetime | None
    count: int
    more: bool


class Decision(Answer):
    """What was chosen for the next run, out of which candidates, and why."""

    decided_at: datetime
    next_run_at: datetime | None
    source: str
    reason: str
    candidates: list[Candidate]
    clamps: list[Clamp]
    hint_id: str | None
    paused_until: datetime | None
    handles: Handled | None
    digest: str
    governor_version: str
    tzdata_version: str


class Hint(Answer):
    """A time-limited proposal, and what came of it."""

    id: str
    job_id: str
    kind: str
    interval_ms: int | None
    at: datetime | None
    until: datetime | None
    ttl_ms: int | None
    reason: str | None
    author: str
    session_id: str | None
    rule_id: str | None
    state: str
    end_reason: str | None
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    proposed: datetime | None
    applied: datetime | None


class Authority(Answer):
    """What the planner and rules may do."""

    tighten: bool
    relax: bool
    pause: bool


class LastRun(Answer):
    """The newest run of a job, in short."""

    id: str
    status: str
    scheduled_for: datetime
    finished_at: datetime | None
    status_code: int | None
    duration_ms: int | None


class Job(Answer):
    """A job: its definition, and where its schedule stands. `next_runs` is set in an answer to `validate_only`."""

    id: str
    key: str | None
    name: str
    description: str | None
    group: str | None
    labels: dict[str, str]
    metadata: dict[str, Any]
    url: str | None
    method: str | None
    headers_json: dict[str, str] | None
    body_json: Any
    secret_headers: dict[str, None] | None = None
    body_secret: bool | None = None
    target: str | None = None
    payload: Any = None
    baseline_cron: str | None
    timezone: str | None
    baseline_interval_ms: int | None
    run_at: datetime | None
    start_at: datetime | None
    end_at: datetime | None
    max_runs: int | None
    min_interval_ms: int | None
    max_interval_ms: int | None
    timeout_ms: int
    overlap: str
    catchup: str
    delivery: str
    success: dict[str, Any] | None
    authority: Authority
    planner: str
    store_responses: bool
    splay: bool
    retry_after_failure_ms: int | None
    status: str
    version: int
    next_run_at: datetime | None
    next_run_source: str | None
    paused_until: datetime | None
    pause_reason: str | None
    paused_by: str | None
    parked_reason: str | None
    failure_count: int
    last_run: LastRun | None
    created_at: datetime
    updated_at: datetime
    next_runs: list[datetime] | None = None


class Version(Answer):
    """One version of a job's definition."""

    version: int
    definition: dict[str, Any]


class Run(Answer):
    """One execution attempt of one slot, or the record that it was skipped."""

    id: str
    job_id: str
    scheduled_for: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    headers_ms: int | None
    status: str
    trigger: str
    kind: str
    attempt: int
    status_code: int | None
    error_message: str | None
    response_excerpt: str | None
    response_bytes: int | None
    truncated: bool
    skip_reason: str | None
    skipped_count: int | None
    skipped_until: datetime | None
    skipped_more: bool
    job_version: int
    worker_id: str | None
    decision: Decision | None
    session_id: str | None
    discarded: bool
    gate: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its outcome is known."""
        return self.status not in ("claimed", "running")


class Bounds(Answer):
    """The bounds in force."""

    min_interval_ms: int
    max_interval_ms: int | None
    minimum_from: str


class Shadow(Answer):
    """What a planner in shadow mode would have in force, and what would be decided if it were on."""

    hints: list[Hint]
    decision: Decision


class Explanation(Decision):
    """The decision in force with what it stands on."""

    job_id: str
    now: datetime
    status: str
    baseline: dict[str, Any]
    bounds: Bounds
    active_hints: list[Hint]
    planner_mode: str | None = None
    shadow: Shadow | None = None


class ForecastItem(Answer):
    """One expected run."""

    at: datetime
    source: str
    hint_id: str | None


class Forecast(Answer):
    """Expected runs, if each succeeds at its slot and no new hint comes."""

    job_id: str
    until: datetime
    data: list[ForecastItem]
    truncated: bool


class Simulation(Answer):
    """What the governor decides now without and with a hint; nothing was written."""

    job_id: str
    before: Decision
    after: Decision


class ToolCall(Answer):
    """One call that the planner made, and what it was told."""

    tool: str
    arguments: Any
    verdict: str
    message: str


class Tokens(Answer):
    """What a session cost. `estimated`: the model's server reported nothing."""

    input: int
    output: int
    total: int
    estimated: bool


class Session(Answer):
    """One planner invocation. `messages`, the whole conversation, is set for a single session only."""

    id: str
    job_id: str
    job_version: int
    run_id: str | None
    started_at: datetime
    finished_at: datetime
    outcome: str
    planner: str
    model: str
    input_summary: str
    tool_calls: list[ToolCall]
    requests: int
    tokens: Tokens
    reasoning: str | None
    confidence: float | None
    next_analysis_in_ms: int | None
    hint_ids: list[str]
    decision: Decision | None
    prompt_hash: str | None
    error: str | None
    woken_by: str | None = None
    mode: str | None = None
    cost_usd: float | None = None
    messages: str | None = None


class QuotaWindow(Answer):
    """One allowance of the planner: tokens or sessions of a day or month."""

    name: str
    opened_at: datetime
    closes_at: datetime
    limit: int
    used: int
    reserved: int
    remaining: int


class Allowance(Answer):
    """An allowance without a window of its own. `limit` None: there is none."""

    name: str
    limit: int | None
    used: int | None


class Quota(Answer):
    """The tenant's open windows, and what else it is allowed."""

    data: list[QuotaWindow]
    limits: list[Allowance] | None = None


class Used(Answer):
    """Runs by how they stand, planner sessions, and the tokens these took; of one UTC day where `date` says which."""

    runs: dict[str, int]
    sessions: int
    input_tokens: int
    output_tokens: int
    date: str | None = None


class Usage(Answer):
    """What was used between two instants, in all and by day; days on which nothing was used are left out."""

    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to")
    total: Used
    data: list[Used]


class Flag(Answer):
    """A switch. `scope`: `everybody`, turned by the operator, or `tenant`."""

    name: str
    value: str
    scope: str
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None


class Refusal(Answer):
    """A job that a change of many was refused for."""

    job_id: str
    code: str
    detail: str


class Changed(Answer):
    """What came of a change of many jobs. `failed`: the first hundred refusals."""

    action: str
    matched: int
    changed: int
    failed: list[Refusal]
    next_runs: list[datetime] | None = None


class Rule(Answer):
    """A condition on responses, and what it asks for while it holds. docs/rules.md has the terms."""

    id: str
    job_id: str
    state: str
    author: str
    session_id: str | None
    in_effect: bool
    when: Any
    for_runs: int
    for_ms: int
    until: Any
    until_runs: int
    until_ms: int
    interval_ms: int | None
    pause_ms: int | None
    ttl_ms: int
    reason: str
    in_words: str
    description: str | None
    created_at: datetime
    updated_at: datetime


class Member(Answer):
    """Somebody of the tenant. `signs_in` False: made for a key alone."""

    id: str
    name: str
    role: str
    signs_in: bool
    created_at: datetime


class Invitation(Answer):
    """An invitation. `url`, which accepts it, is set in the answer that made it and nowhere else."""

    id: str
    role: str
    note: str | None
    invited_by: str
    created_at: datetime
    expires_at: datetime
    url: str | None = None


class Members(Answer):
    """Everybody of the tenant, and open invitations."""

    data: list[Member]
    invitations: list[Invitation]


class Health(Answer):
    """The service answers."""

    status: str
    timestamp: datetime


class ApiKey(Answer):
    """An API key. `key`, its value, is set in the answer that made it and nowhere else; `start` is its beginning."""

    id: str
    name: str | None
    start: str
    scopes: list[str]
    metadata: dict[str, Any]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    remaining: int | None
    refill_amount: int | None
    refill_interval_ms: int | None
    user_id: str | None = None
    key: str | None = None
