"""The nouns: jobs and their schedules, runs, hints and decisions. Frozen; a change is a new value.

Instants are aware and in UTC, to the microsecond. Enum values are what the API shows and the database keeps.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from core.record import record


class JobStatus(StrEnum):
    """What a job is doing with its schedule; see `core.transitions`."""

    ACTIVE = "active"
    PAUSED = "paused"
    PARKED = "parked"  # something about this one row failed; it is tried again in an hour
    RETIRED = "retired"  # no baseline is left


class RunStatus(StrEnum):
    """Where one run stands; the last five are terminal."""

    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"  # sent, never recorded, and not to be sent again
    CANCELED = "canceled"


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    CATCHUP = "catchup"
    TEST = "test"


class HintKind(StrEnum):
    """What a hint proposes."""

    PAUSE = "pause"
    NEXT_TIME = "next_time"
    INTERVAL = "interval"


class Author(StrEnum):
    """Who wrote a hint, in order of precedence."""

    USER = "user"
    RULE = "rule"
    PLANNER = "planner"


class HintState(StrEnum):
    """Where a hint stands; all but the first are final."""

    ACTIVE = "active"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    CONSUMED = "consumed"
    CLEARED = "cleared"
    REJECTED = "rejected"
    SHADOW = "shadow"  # written by a planner that is only being watched


class Source(StrEnum):
    """What set the next run."""

    BASELINE_CRON = "baseline_cron"
    BASELINE_INTERVAL = "baseline_interval"
    BASELINE_ONCE = "baseline_once"
    BACKOFF = "backoff"
    RETRY = "retry"
    PROBE = "probe"
    HINT_INTERVAL = "hint_interval"
    HINT_NEXT_TIME = "hint_next_time"
    PAUSED_USER = "paused_user"
    PAUSED_RULE = "paused_rule"
    PAUSED_PLANNER = "paused_planner"
    SUSPENDED = "suspended"
    PARKED = "parked"
    RETIRED = "retired"


class SlotKind(StrEnum):
    """What the run of a slot will be. Only baseline runs count towards backoff."""

    BASELINE = "baseline"
    HINTED = "hinted"
    RETRY = "retry"
    PROBE = "probe"


class RuleState(StrEnum):
    """Where a rule stands. Only an accepted one is evaluated."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class PlannerMode(StrEnum):
    """Whether a planner may steer a job: not at all, only on paper, or within its grants."""

    OFF = "off"
    SHADOW = "shadow"
    ON = "on"


class Catchup(StrEnum):
    """What to do with slots missed by more than the misfire grace."""

    SKIP = "skip"
    LATEST = "latest"


class Delivery(StrEnum):
    """What to do with a run that was sent and never recorded: send again, or leave it `unknown`."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


@record
class CronBaseline:
    """Fires of a cron expression in an IANA zone."""

    expression: str
    timezone: str = "UTC"


@record
class IntervalBaseline:
    """A grid of instants `every` apart; its origin is the schedule's `grid_epoch`."""

    every: timedelta


@record
class OnceBaseline:
    """One instant."""

    run_at: datetime


Baseline = CronBaseline | IntervalBaseline | OnceBaseline


@record
class Bounds:
    """What no hint leaves, measured from the last start. None: see `core.governor.effective_bounds`."""

    min_interval: timedelta | None = None
    max_interval: timedelta | None = None


@record
class Authority:
    """What planners and rules may do to a job: run it sooner, run it later, pause it."""

    tighten: bool = False
    relax: bool = False
    pause: bool = False


@record
class Success:
    """What counts as success. Without it: any 2xx.

    `json_pointer` (RFC 6901) must exist in the response's JSON and, when `has_equals`, equal `equals`.
    """

    status_codes: tuple[int, ...] | None = None
    json_pointer: str | None = None
    equals: Any = None
    has_equals: bool = False


@record
class HttpAction:
    """An HTTP request. `body_json` None: no body. `timeout` None: the dispatcher's default.

    `sealed_headers` and `sealed_body` are ciphertext, which nothing but the dispatcher opens; a sealed body takes the
    place of `body_json`.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body_json: Any = None
    timeout: timedelta = timedelta(seconds=30)
    sealed_headers: Mapping[str, str] = field(default_factory=dict)
    sealed_body: str | None = None


@record
class TargetAction:
    """A call of a function that the worker's code registers under the name `target`. `payload`: any JSON value."""

    target: str
    payload: Any = None
    timeout: timedelta = timedelta(seconds=30)


Action = HttpAction | TargetAction


@record
class Definition:
    """One immutable version of what a user registered."""

    name: str
    action: Action
    baseline: Baseline
    version: int = 1
    key: str | None = None
    description: str | None = None
    group: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    bounds: Bounds = Bounds()
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_runs: int | None = None
    splay: bool = True
    retry_after_failure: timedelta | None = None
    catchup: Catchup = Catchup.SKIP
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    success: Success = Success()
    authority: Authority = Authority()
    planner: PlannerMode = PlannerMode.ON
    store_responses: bool = True


@record
class Slot:
    """The instant a job is next due, and what its run will be.

    `handles_through`: once the run starts, baseline fires up to and including this instant count as handled.
    `accelerated`: a planner or rule brought it forward; it draws on the job's daily allowance.
    """

    at: datetime
    source: Source
    kind: SlotKind
    hint_id: str | None = None
    handles_through: datetime | None = None
    accelerated: bool = False


@record
class Lease:
    """A worker's right to a job until an instant. The schedule's token fences later writers."""

    worker_id: str
    until: datetime
    run_id: str


@record
class ManualRequest:
    """A run that somebody asked for and no worker has finished yet. Its run row exists already."""

    run_id: str
    at: datetime


@record
class Planning:
    """How far planning has come. `seq` rises with every settled run; a session clears only the seq it read.

    `ready_at`: when a session may begin (a leased one: when its lease ends); None: nothing to plan.
    `last_run_at`: start of the newest run that a session has already stood on. `next_analysis_at`: a run that settles
    from then on is planned even if nothing has changed. `gate`: what `core.gate` remembers of the answers so far.
    """

    seq: int = 0
    done_seq: int = 0
    token: int = 0
    ready_at: datetime | None = None
    last_run_at: datetime | None = None
    next_analysis_at: datetime | None = None
    gate: bytes = b""


@record
class RuleProgress:
    """How far a rule has come with the responses so far; one at rest has none.

    `is_active`: it has taken effect. `runs` and `since`: for how many runs in a row, and from when on, the condition
    has held that would change that; `runs` stops at what the rule asks for.
    """

    is_active: bool
    runs: int = 0
    since: datetime | None = None


@record
class Schedule:
    """The narrow, often-written half of a job.

    `token` rises with each claim and each revocation. `handled_through` is the last handled baseline slot.
    `failures` counts failed *baseline* runs in a row, for the backoff; `failed_runs` scheduled ones of every kind, for
    people. `edited_at` and `resumed_at` are the last edit of schedule
    fields and the last resume; fires up to them are past. `counted_runs` counts towards `max_runs`. `rules_seq` rises
    with each change of the job's rules; 0: it never had one. `rule_progress` is by rule id.
    """

    created_at: datetime
    grid_epoch: datetime
    status: JobStatus = JobStatus.ACTIVE
    slot: Slot | None = None
    token: int = 0
    lease: Lease | None = None
    manual: ManualRequest | None = None
    handled_through: datetime | None = None
    last_slot_at: datetime | None = None
    last_start_at: datetime | None = None
    edited_at: datetime | None = None
    resumed_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    failed_runs: int = 0
    counted_runs: int = 0
    accelerated_on: date | None = None
    accelerated_runs: int = 0
    paused_until: datetime | None = None
    pause_reason: str | None = None
    paused_by: Author | None = None
    parked_until: datetime | None = None
    parked_reason: str | None = None
    planning: Planning = Planning()
    rules_seq: int = 0
    rule_progress: Mapping[str, RuleProgress] = field(default_factory=dict)

    @property
    def ready_at(self) -> datetime | None:
        """When a worker should look at the job: its lease's end, or the earliest thing that is due."""
        if self.lease is not None:
            return self.lease.until
        instants = [self.slot.at] if self.slot else []
        if self.manual is not None:
            instants.append(self.manual.at)
        if self.parked_until is not None:
            instants.append(self.parked_until)
        return min(instants, default=None)


@record
class Job:
    """A registered job: its current definition and its schedule."""

    tenant_id: str
    id: str
    definition: Definition
    schedule: Schedule
    updated_at: datetime
    deleted_at: datetime | None = None


@record
class Entry:
    """One line of a job's history: who did what, and when. `what`: registration, edit, pause, resume, run_now, delete.

    `version`: the definition's, afterwards. `changed`: the fields that an edit gave other values, which stand in the
    versions. `actor`: a user's id, or None where no person acted.
    """

    id: str
    tenant_id: str
    job_id: str
    at: datetime
    what: str
    version: int
    actor: str | None = None
    reason: str | None = None
    changed: tuple[str, ...] = ()


@record
class JobVersion:
    """One version of a job's definition, beside the job as it is now."""

    job: Job
    definition: Definition
    created_at: datetime

    @property
    def is_latest(self) -> bool:
        """Tell whether it is the version in force; the others are retired."""
        return self.definition.version == self.job.definition.version


@record
class Hint:
    """A time-limited proposal. Exactly one of `interval`, `at`, `until` says what; an endless pause has none.

    `expires_at` None: never (only a person's). `proposed` and `applied` are the instants of the decision taken
    when it was written: what it asked for, and what it got (None where it did not win).
    """

    id: str
    tenant_id: str
    job_id: str
    kind: HintKind
    author: Author
    created_at: datetime
    expires_at: datetime | None
    interval: timedelta | None = None
    at: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    state: HintState = HintState.ACTIVE
    ended_at: datetime | None = None
    end_reason: str | None = None
    session_id: str | None = None
    rule_id: str | None = None
    proposed: datetime | None = None
    applied: datetime | None = None


@record
class Candidate:
    """One instant the governor considered, and in words why it won or fell."""

    source: Source
    at: datetime | None
    note: str
    hint_id: str | None = None


@record
class Clamp:
    """A proposed instant that a bound moved. `bound`: min_interval, max_interval, tenant_minimum,
    operator_minimum, now or grid."""

    bound: str
    proposed: datetime
    applied: datetime


@record
class Handled:
    """Baseline fires that a hinted run stands for. `count` stops at 1,000 for cron; then `more` is true."""

    first: datetime
    last: datetime | None
    count: int
    more: bool = False


@record
class Decision:
    """What the governor chose, out of which candidates, and why.

    `slot` is None when nothing is scheduled. `digest` identifies the inputs; equal inputs, equal decisions.
    """

    decided_at: datetime
    source: Source
    slot: Slot | None
    reason: str
    candidates: tuple[Candidate, ...] = ()
    clamps: tuple[Clamp, ...] = ()
    hint_id: str | None = None
    paused_until: datetime | None = None
    handles: Handled | None = None
    digest: str = ""
    governor_version: str = ""
    tzdata_version: str = ""

    @property
    def next_run_at(self) -> datetime | None:
        """The instant chosen, or None."""
        return self.slot.at if self.slot else None


@record
class Run:
    """One execution attempt of one slot (or the record that it was skipped), with its outcome.

    `skipped_count` and `skipped_until`: a skipped row may stand for a whole gap; `skipped_more` when counting
    stopped. `decision` is the one taken when the run settled. `response_excerpt` is capped; see `truncated`.
    `gate`: whether the run asked for a planner session, and why; None where no planner may steer the job.
    """

    id: str
    tenant_id: str
    job_id: str
    scheduled_for: datetime
    status: RunStatus
    trigger: Trigger
    created_at: datetime
    kind: SlotKind = SlotKind.BASELINE
    attempt: int = 1
    job_version: int = 1
    worker_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    headers_ms: int | None = None
    status_code: int | None = None
    error_message: str | None = None
    response_excerpt: str | None = None
    response_bytes: int | None = None
    truncated: bool = False
    retry_after: str | None = None
    skip_reason: str | None = None
    skipped_count: int | None = None
    skipped_until: datetime | None = None
    skipped_more: bool = False
    discarded: bool = False
    decision: Decision | None = None
    session_id: str | None = None
    gate: str | None = None


@record
class Attempt:
    """An attempt at a run that did not become its outcome. `lost`: its worker never recorded anything;
    `discarded`: it brought an answer after the lease had gone to another worker. `ended_at`: when that was found."""

    run_id: str
    tenant_id: str
    job_id: str
    scheduled_for: datetime
    worker_id: str
    attempt: int
    status: str
    ended_at: datetime
    started_at: datetime | None = None
    status_code: int | None = None
    duration_ms: int | None = None
    error_message: str | None = None


@record
class Limits:
    """What operator and tenant allow, whatever a job says. Rows of the tenant, defaults of the operator.

    `pause_share`: how much of a rolling week planners and rules may pause a job. `accelerated_runs_per_day`:
    hinted runs earlier than the baseline, a job and UTC day. `max_jobs`: registered and not deleted at once.
    """

    operator_minimum: timedelta = timedelta(seconds=1)
    tenant_minimum: timedelta | None = None
    hint_lifetime: timedelta = timedelta(hours=24)
    accelerated_runs_per_day: int = 2880
    pause_share: float = 0.25
    max_jobs: int = 100_000
    suspended: str | None = None  # why, when global or tenant-wide suspension is on
    auto_accept_rules: bool = False  # a planner's rules take effect without a person's word
    planner: PlannerMode = PlannerMode.ON  # the lower of the switches for everybody and for the tenant
    rules: bool = True  # both of their switches are on
