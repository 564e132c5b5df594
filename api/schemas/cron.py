"""The cron administration on the wire: versions of jobs whose action is a registered target.

Its words are those of jobs; the older names `jobKey` and `cronExpression` are taken too.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictStr, model_validator
from pydantic.alias_generators import to_camel

from api.schemas.jobs import AuthorityIn, AuthorityOut, Label, Seal, definition_out, patched, read_definition
from api.schemas.runs import LastRunOut, RunOut, last_run_out, run_out
from api.wire import Instant, Milliseconds, Wire
from core.entities import Definition, Entry, JobStatus, JobVersion, OnceBaseline, Run, TargetAction
from core.ports.definitions import TargetRun
from core.ports.dispatcher import MAXIMUM_TIMEOUT
from core.usecases.manage_jobs import visible_status

_OLDER = {"job_key": "key", "cron_expression": "baseline_cron"}
_OF_REQUESTS = (
    *("url", "method", "headersJson", "bodyJson", "secretHeaders", "bodySecret"),
    *("success", "splay", "minIntervalMs", "maxIntervalMs"),
)


class _Changeable(Wire):
    """What a version may say anew."""

    name: Annotated[str | None, Field(strict=True, min_length=1, max_length=255)] = None
    description: Annotated[str | None, Field(strict=True, max_length=10_000)] = None
    group: Annotated[str | None, Field(strict=True, min_length=1, max_length=255)] = None
    labels: Annotated[dict[Label, Label] | None, Field(max_length=50)] = None
    metadata: dict[StrictStr, Any] | None = None
    target: Annotated[str | None, Field(strict=True, min_length=1, max_length=100)] = None
    payload: Any = None
    schedule_type: Literal["recurring", "one_time"] | None = None
    baseline_cron: Annotated[str | None, Field(strict=True, min_length=1)] = None
    cron_expression: Annotated[str | None, Field(strict=True, min_length=1)] = None
    timezone: Annotated[str | None, Field(strict=True, min_length=1, max_length=100)] = None
    run_at: Instant | None = None
    start_at: Instant | None = None
    end_at: Instant | None = None
    max_runs: Annotated[int | None, Field(strict=True, ge=1, le=2_000_000_000)] = None
    timeout_ms: Annotated[int | None, Field(strict=True, ge=1, le=MAXIMUM_TIMEOUT // timedelta(milliseconds=1))] = None
    overlap: Literal["skip"] | None = None
    catchup: Literal["skip", "latest"] | None = None
    delivery: Literal["at_least_once", "at_most_once"] | None = None
    authority: AuthorityIn | None = None
    planner: Literal["off", "shadow", "on"] | None = None
    store_responses: StrictBool | None = None
    retry_after_failure_ms: Milliseconds | None = None

    @model_validator(mode="after")
    def _one_name_and_one_schedule(self) -> "_Changeable":
        for older, name in _OLDER.items():
            if {older, name} <= self.model_fields_set:
                raise ValueError(f"{to_camel(older)} and {to_camel(name)} are the same field; give one of them")
        cron = self.baseline_cron or self.cron_expression
        if cron is not None and self.run_at is not None:
            raise ValueError("give one of baselineCron, for a recurring job, and runAt, for one run")
        if self.schedule_type == "recurring" and self.run_at is not None:
            raise ValueError("a recurring job takes baselineCron, not runAt")
        if self.schedule_type == "one_time" and cron is not None:
            raise ValueError("a one_time job takes runAt, not baselineCron")
        return self

    def fields(self) -> dict[str, Any]:
        """Return what was given, under the names of a job."""
        given = self.model_dump(by_alias=False, exclude_unset=True, exclude={"schedule_type"})
        return {to_camel(_OLDER.get(name, name)): value for name, value in given.items()}


class CronJobIn(_Changeable):
    """A new definition: a key, a target, and baselineCron or runAt. `name`: the key, if left out."""

    key: Annotated[str | None, Field(strict=True, min_length=1, max_length=255)] = None
    job_key: Annotated[str | None, Field(strict=True, min_length=1, max_length=255)] = None

    @model_validator(mode="after")
    def _whole(self) -> "CronJobIn":
        if self.key is None and self.job_key is None:
            raise ValueError("key is required: it names the job through all its versions")
        if self.target is None:
            raise ValueError("target is required: the name of a registered function; GET /targets lists them")
        if (self.baseline_cron or self.cron_expression or self.run_at) is None:
            missing = {"recurring": "baselineCron", "one_time": "runAt", None: "baselineCron or runAt"}
            raise ValueError(f"{missing[self.schedule_type]} is required")
        return self

    def definition(self, seal: Seal) -> Definition:
        """Return it as core takes it. Raises RequestValidationError."""
        given = self.fields()
        return read_definition({**given, "name": given.get("name") or given["key"]}, seal)


class NewVersionIn(_Changeable):
    """What the next version says differently; null clears, what is not named stays. The key stays in any case."""

    def apply(self, old: Definition, seal: Seal) -> Definition:
        """Return the next version. Raises RequestValidationError."""
        return patched(old, self.fields(), seal)


class CronPauseIn(Wire):
    """Why a job is paused, and until when if not until resumed."""

    reason: Annotated[str, Field(strict=True, min_length=5, max_length=300)]
    until: Instant | None = None


class EntryOut(Wire):
    """One line of a job's history. `actor`: a user's id. `changed`: the fields an edit gave other values."""

    id: str
    at: Instant
    what: str
    version: int
    actor: str | None
    reason: str | None
    changed: list[str]


class CronJobOut(Wire):
    """One version of a job. `id` names the version, `jobId` the job; a version that was followed is `retired`."""

    id: str
    job_id: str
    key: str | None
    version: int
    status: str
    name: str
    description: str | None
    group: str | None
    labels: dict[str, str]
    metadata: dict[str, Any]
    target: str
    payload: Any
    schedule_type: Literal["recurring", "one_time"]
    baseline_cron: str | None
    timezone: str | None
    baseline_interval_ms: int | None
    run_at: Instant | None
    start_at: Instant | None
    end_at: Instant | None
    max_runs: int | None
    timeout_ms: int
    overlap: str
    catchup: str
    delivery: str
    authority: AuthorityOut
    planner: str
    store_responses: bool
    retry_after_failure_ms: int | None
    next_run_at: Instant | None
    paused_until: Instant | None
    pause_reason: str | None
    parked_reason: str | None
    failure_count: int
    last_run: LastRunOut | None
    created_at: Instant


class CronJobPreview(CronJobOut):
    """A version as it would be, and the next five runs of its job then."""

    next_runs: list[Instant]


class CronJobDetailOut(CronJobOut):
    """A version with its job's history, newest first."""

    history: list[EntryOut]


class CronRunOut(RunOut):
    """A run, with the version it ran: `payload` is what the target was called with."""

    definition_id: str
    key: str | None
    target: str
    payload: Any


class CronRunPreview(CronRunOut):
    """A run as it would be, and the next five runs of its job then."""

    next_runs: list[Instant]


class TargetOut(Wire):
    """A registered target. `payloadSchema`: a JSON schema; null: any JSON value."""

    target: str
    description: str
    payload_schema: dict[str, Any] | None


def definition_id(job_id: str, version: int) -> str:
    """Return the id of one version of a job."""
    return f"{job_id}.{version}"


def read_definition_id(text: str) -> tuple[str, int | None]:
    """Return the job's id and the version that an id names; a job's own id names none."""
    job_id, dot, number = text.partition(".")
    if not dot:
        return job_id, None
    known = number.isascii() and number.isdigit() and len(number) <= 9 and not number.startswith("0")
    return (job_id, int(number)) if known else (text, None)


def cron_job_out(found: JobVersion, last_run: Run | None, now: datetime) -> CronJobOut:
    """Write a version as it is at `now`."""
    return CronJobOut.model_validate(_written(found, last_run, now))


def cron_job_detail_out(
    found: JobVersion, last_run: Run | None, now: datetime, history: list[Entry]
) -> CronJobDetailOut:
    """Write a version with its job's history."""
    lines = [
        EntryOut(
            id=each.id,
            at=each.at,
            what=each.what,
            version=each.version,
            actor=each.actor,
            reason=each.reason,
            changed=list(each.changed),
        )
        for each in history
    ]
    return CronJobDetailOut.model_validate({**_written(found, last_run, now), "history": lines})


def _written(found: JobVersion, last_run: Run | None, now: datetime) -> dict[str, Any]:
    definition, job, schedule = found.definition, found.job, found.job.schedule
    status = visible_status(job, now) if found.is_latest else JobStatus.RETIRED
    paused = status is JobStatus.PAUSED
    slot = schedule.slot if found.is_latest and not paused else None
    fields = {name: value for name, value in definition_out(definition).items() if name not in _OF_REQUESTS}
    return {
        **fields,
        "id": definition_id(job.id, definition.version),
        "jobId": job.id,
        "version": definition.version,
        "status": status.value,
        "scheduleType": "one_time" if isinstance(definition.baseline, OnceBaseline) else "recurring",
        "nextRunAt": slot.at if slot else None,
        "pausedUntil": schedule.paused_until if paused else None,
        "pauseReason": schedule.pause_reason if paused else None,
        "parkedReason": schedule.parked_reason if found.is_latest else None,
        "failureCount": schedule.failures if found.is_latest else 0,
        "lastRun": last_run_out(last_run) if last_run else None,
        "createdAt": found.created_at,
    }


def cron_run_out(found: TargetRun) -> CronRunOut:
    """Write a run with the version it ran."""
    run, definition = found.run, found.definition
    assert isinstance(definition.action, TargetAction)  # noqa: S101 - the port returns no others
    return CronRunOut.model_validate(
        {
            **run_out(run).model_dump(by_alias=True),
            "definitionId": definition_id(run.job_id, run.job_version),
            "key": definition.key,
            "target": definition.action.target,
            "payload": definition.action.payload,
        }
    )
