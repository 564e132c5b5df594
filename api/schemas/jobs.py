"""Jobs on the wire: what a user sends, what a user sees, and how a merge-patch becomes a new definition."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import Field, StrictBool, StrictStr, ValidationError, model_validator

from api.schemas.runs import LastRunOut, last_run_out
from api.wire import Instant, Milliseconds, Wire, ms, rfc3339, span
from core.entities import (
    Action,
    Authority,
    Baseline,
    Bounds,
    Catchup,
    CronBaseline,
    Definition,
    Delivery,
    HttpAction,
    IntervalBaseline,
    Job,
    JobStatus,
    OnceBaseline,
    PlannerMode,
    Run,
    Success,
    TargetAction,
)
from core.ports.dispatcher import DEFAULT_TIMEOUT, MAXIMUM_TIMEOUT, MINIMUM_TIMEOUT
from core.usecases.manage_jobs import visible_status

_OF_ACTIONS = ("url", "method", "headersJson", "bodyJson", "secretHeaders", "bodySecret", "target", "payload")
_BASELINES = ("baselineCron", "baselineIntervalMs", "runAt")
_MERGED = ("authority", "success")  # structured; every other object is opaque and replaced whole

SecretValue = Annotated[str, Field(strict=True, max_length=8192, pattern=r"^[\t\x20-\x7e]*$")]
Seal = Callable[[str, str | None], str]  # a value, and what is stored: that again, where it holds the value
Label = Annotated[str, Field(strict=True, max_length=255)]


class AuthorityIn(Wire):
    """What the planner and rules may do: run sooner, run later, pause. Left out: the default of the baseline."""

    tighten: StrictBool | None = None
    relax: StrictBool | None = None
    pause: StrictBool | None = None


class SuccessIn(Wire):
    """What counts as success instead of any 2xx."""

    status_codes: Annotated[
        list[Annotated[int, Field(strict=True, ge=100, le=599)]] | None, Field(min_length=1, max_length=50)
    ] = None
    json_pointer: Annotated[str | None, Field(strict=True, max_length=500, pattern=r"^(/.*)?$")] = None
    equals: Any = None

    @model_validator(mode="after")
    def _equals_needs_a_place(self) -> "SuccessIn":
        if "equals" in self.model_fields_set and self.equals is not None and self.json_pointer is None:
            raise ValueError("equals needs jsonPointer, which says where to look")
        return self


class JobIn(Wire):
    """What a user registers. Exactly one of url and target, and of baselineCron, baselineIntervalMs and runAt."""

    name: Annotated[str, Field(strict=True, min_length=1, max_length=255)]
    url: Annotated[str | None, Field(strict=True, min_length=1)] = None
    target: Annotated[str | None, Field(strict=True, min_length=1, max_length=100)] = None
    payload: Any = None
    key: Annotated[str | None, Field(strict=True, min_length=1, max_length=255)] = None
    description: Annotated[str | None, Field(strict=True, max_length=10_000)] = None
    group: Annotated[str | None, Field(strict=True, min_length=1, max_length=255)] = None
    labels: Annotated[dict[Label, Label] | None, Field(max_length=50)] = None
    metadata: dict[StrictStr, Any] | None = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] | None = None
    headers_json: Annotated[dict[StrictStr, StrictStr] | None, Field(max_length=100)] = None
    body_json: Any = None
    secret_headers: Annotated[
        dict[StrictStr, SecretValue | None] | None,
        Field(
            max_length=100,
            description="Headers whose values are kept encrypted and read back as null. Sent as null: as it is stored.",
        ),
    ] = None
    body_secret: Annotated[
        StrictBool | None,
        Field(description="The body is kept encrypted and reads back as null. Sent as null: as it is stored."),
    ] = None
    baseline_cron: Annotated[str | None, Field(strict=True, min_length=1)] = None
    timezone: Annotated[str | None, Field(strict=True, min_length=1, max_length=100)] = None
    baseline_interval_ms: Milliseconds | None = None
    run_at: Instant | None = None
    start_at: Instant | None = None
    end_at: Instant | None = None
    max_runs: Annotated[int | None, Field(strict=True, ge=1, le=2_000_000_000)] = None
    min_interval_ms: Milliseconds | None = None
    max_interval_ms: Milliseconds | None = None
    timeout_ms: Annotated[int | None, Field(strict=True, ge=1, le=MAXIMUM_TIMEOUT // timedelta(milliseconds=1))] = None
    overlap: Literal["skip"] | None = None
    catchup: Literal["skip", "latest"] | None = None
    delivery: Literal["at_least_once", "at_most_once"] | None = None
    success: SuccessIn | None = None
    authority: AuthorityIn | None = None
    planner: Literal["off", "shadow", "on"] | None = None
    store_responses: StrictBool | None = None
    splay: StrictBool | None = None
    retry_after_failure_ms: Milliseconds | None = None

    @model_validator(mode="after")
    def _one_baseline(self) -> "JobIn":
        given = [
            name
            for name, value in zip(
                _BASELINES, (self.baseline_cron, self.baseline_interval_ms, self.run_at), strict=True
            )
            if value is not None
        ]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"give exactly one of {', '.join(_BASELINES)}; {found} was given")
        if self.timezone is not None and self.baseline_cron is None:
            raise ValueError("timezone goes with baselineCron only")
        return self

    @model_validator(mode="after")
    def _one_action(self) -> "JobIn":
        if (self.url is None) == (self.target is None):
            found = "both were" if self.url is not None else "neither was"
            raise ValueError(f"give exactly one of url and target; {found} given")
        if self.target is not None:
            status_codes = self.success.status_codes if self.success is not None else None
            of_requests = {"method": self.method, "headersJson": self.headers_json or None, "bodyJson": self.body_json}
            of_requests |= {"secretHeaders": self.secret_headers or None, "bodySecret": self.body_secret or None}
            given = [name for name, value in of_requests.items() if value is not None]
            given += ["success.statusCodes"] if status_codes is not None else []
            if given:
                raise ValueError(f"{' and '.join(given)} go with url only; a target takes payload")
        elif self.payload is not None:
            raise ValueError("payload goes with target only; a request takes bodyJson")
        return self

    def definition(self, seal: Seal, *, kept: Action | None = None) -> Definition:
        """Return it as core takes it, defaults filled in and secrets sealed. `kept`: the action whose secrets stay
        where they are sent as null. Raises RequestValidationError when there are none."""
        baseline = self._baseline()
        return Definition(
            name=self.name,
            action=self._action(seal, kept),
            baseline=baseline,
            key=self.key,
            description=self.description,
            group=self.group,
            labels=self.labels or {},
            metadata=self.metadata or {},
            bounds=Bounds(span(self.min_interval_ms), span(self.max_interval_ms)),
            start_at=self.start_at,
            end_at=self.end_at,
            max_runs=self.max_runs,
            splay=self.splay if self.splay is not None else True,
            retry_after_failure=span(self.retry_after_failure_ms),
            catchup=Catchup(self.catchup) if self.catchup else default_catchup(baseline),
            delivery=Delivery(self.delivery or "at_least_once"),
            success=self._success(),
            authority=self._authority(baseline),
            planner=PlannerMode(self.planner or ("on" if self.target is None else "off")),
            store_responses=self.store_responses if self.store_responses is not None else True,
        )

    def _action(self, seal: Seal, kept: Action | None) -> Action:
        timeout = max(span(self.timeout_ms) or DEFAULT_TIMEOUT, MINIMUM_TIMEOUT)
        if self.target is not None:
            return TargetAction(self.target, self.payload, timeout)
        url = self.url or ""
        stored = kept if isinstance(kept, HttpAction) else HttpAction(url)
        open_names = {name.lower() for name in self.headers_json or {}}
        sealed_headers = {}
        for name, value in (self.secret_headers or {}).items():
            if name.lower() in open_names:
                raise _refused(("secretHeaders", name), f"{name[:60]} also stands in headersJson; give it once")
            if value is None and name not in stored.sealed_headers:
                raise _refused(("secretHeaders", name), f"{name[:60]} is null, and no value of it is stored")
            known = stored.sealed_headers.get(name)
            sealed_headers[name] = stored.sealed_headers[name] if value is None else seal(value, known)
        sealed_body = None
        if self.body_secret:
            sealed_body = stored.sealed_body
            if self.body_json is not None:
                sealed_body = seal(json.dumps(self.body_json), stored.sealed_body)
            if sealed_body is None:
                raise _refused(("bodyJson",), "bodySecret is true, and there is no body, sent or stored")
        body_json = None if self.body_secret else self.body_json
        return HttpAction(
            url, self.method or "GET", self.headers_json or {}, body_json, timeout, sealed_headers, sealed_body
        )

    def _baseline(self) -> Baseline:
        if self.baseline_cron is not None:
            return CronBaseline(self.baseline_cron, self.timezone or "UTC")
        every = span(self.baseline_interval_ms)
        if every is not None:
            return IntervalBaseline(every)
        assert self.run_at is not None  # noqa: S101 - the validator saw to exactly one
        return OnceBaseline(self.run_at)

    def _success(self) -> Success:
        if self.success is None:
            return Success()
        codes = self.success.status_codes
        return Success(
            status_codes=tuple(codes) if codes is not None else None,
            json_pointer=self.success.json_pointer,
            equals=self.success.equals,
            has_equals="equals" in self.success.model_fields_set and self.success.json_pointer is not None,
        )

    def _authority(self, baseline: Baseline) -> Authority:
        default = default_authority(baseline)
        given = self.authority
        if given is None:
            return default
        return Authority(
            tighten=default.tighten if given.tighten is None else given.tighten,
            relax=default.relax if given.relax is None else given.relax,
            pause=default.pause if given.pause is None else given.pause,
        )


class AuthorityOut(Wire):
    """What the planner and rules may do."""

    tighten: bool
    relax: bool
    pause: bool


class JobOut(Wire):
    """A job: its definition, and where its schedule stands. `nextRunAt` is null while it is paused."""

    id: str
    key: str | None
    name: str
    description: str | None
    group: str | None
    labels: dict[str, str]
    metadata: dict[str, Any]
    url: str | None
    method: str | None
    headers_json: dict[str, str]
    body_json: Any
    target: str | None
    payload: Any
    secret_headers: dict[str, None]
    body_secret: bool
    baseline_cron: str | None
    timezone: str | None
    baseline_interval_ms: int | None
    run_at: Instant | None
    start_at: Instant | None
    end_at: Instant | None
    max_runs: int | None
    min_interval_ms: int | None
    max_interval_ms: int | None
    timeout_ms: int
    overlap: str
    catchup: str
    delivery: str
    success: dict[str, Any] | None
    authority: AuthorityOut
    planner: str
    store_responses: bool
    splay: bool
    retry_after_failure_ms: int | None
    status: str
    version: int
    next_run_at: Instant | None
    next_run_source: str | None
    paused_until: Instant | None
    pause_reason: str | None
    paused_by: str | None
    parked_reason: str | None
    failure_count: int
    last_run: LastRunOut | None
    created_at: Instant
    updated_at: Instant


class JobPreview(JobOut):
    """A job as it would be, and the next five runs then."""

    next_runs: list[Instant]


class VersionOut(Wire):
    """One version of a job's definition."""

    version: int
    definition: dict[str, Any]


class PauseIn(Wire):
    """How long and why. `until` and `pausedUntil` are the same field; neither: until resumed."""

    until: Instant | None = None
    paused_until: Instant | None = None
    reason: Annotated[str | None, Field(strict=True, max_length=300)] = None

    @model_validator(mode="after")
    def _once(self) -> "PauseIn":
        if self.until is not None and self.paused_until is not None:
            raise ValueError("until and pausedUntil are the same field; give one of them")
        return self


def default_catchup(baseline: Baseline) -> Catchup:
    """Return what a job does about missed slots unless it says otherwise."""
    return Catchup.LATEST if isinstance(baseline, IntervalBaseline) else Catchup.SKIP


def default_authority(baseline: Baseline) -> Authority:
    """Return what a job grants unless it says otherwise: a cron fire is a promise, a single instant more so."""
    if isinstance(baseline, IntervalBaseline):
        return Authority(tighten=True, relax=True, pause=True)
    return Authority(tighten=isinstance(baseline, CronBaseline))


def baseline_out(baseline: Baseline) -> dict[str, Any]:
    """Write a baseline's fields, all four of them."""
    fields: dict[str, Any] = {"baselineCron": None, "timezone": None, "baselineIntervalMs": None, "runAt": None}
    if isinstance(baseline, CronBaseline):
        return {**fields, "baselineCron": baseline.expression, "timezone": baseline.timezone}
    if isinstance(baseline, IntervalBaseline):
        return {**fields, "baselineIntervalMs": ms(baseline.every)}
    return {**fields, "runAt": rfc3339(baseline.run_at)}


def action_out(action: Action) -> dict[str, Any]:
    """Write an action's fields, those of the other kind as null."""
    if isinstance(action, TargetAction):
        called: dict[str, Any] = {"target": action.target, "payload": action.payload}
        secrets: dict[str, Any] = {"secretHeaders": {}, "bodySecret": False}
        return {"url": None, "method": None, "headersJson": {}, "bodyJson": None, **secrets, **called}
    return {
        "url": action.url,
        "method": action.method,
        "headersJson": dict(action.headers),
        "bodyJson": action.body_json,
        "secretHeaders": dict.fromkeys(action.sealed_headers),
        "bodySecret": action.sealed_body is not None,
        "target": None,
        "payload": None,
    }


def definition_out(definition: Definition) -> dict[str, Any]:
    """Write a definition as a user could have sent it, defaults filled in."""
    success = definition.success
    return {
        "name": definition.name,
        "key": definition.key,
        "description": definition.description,
        "group": definition.group,
        "labels": dict(definition.labels),
        "metadata": dict(definition.metadata),
        **action_out(definition.action),
        **baseline_out(definition.baseline),
        "startAt": rfc3339(definition.start_at) if definition.start_at else None,
        "endAt": rfc3339(definition.end_at) if definition.end_at else None,
        "maxRuns": definition.max_runs,
        "minIntervalMs": ms(definition.bounds.min_interval),
        "maxIntervalMs": ms(definition.bounds.max_interval),
        "timeoutMs": ms(definition.action.timeout),
        "overlap": "skip",
        "catchup": definition.catchup.value,
        "delivery": definition.delivery.value,
        "success": _success_out(success),
        "authority": {
            "tighten": definition.authority.tighten,
            "relax": definition.authority.relax,
            "pause": definition.authority.pause,
        },
        "planner": definition.planner.value,
        "storeResponses": definition.store_responses,
        "splay": definition.splay,
        "retryAfterFailureMs": ms(definition.retry_after_failure),
    }


def _success_out(success: Success) -> dict[str, Any] | None:
    if success == Success():
        return None
    written: dict[str, Any] = {}
    if success.status_codes is not None:
        written["statusCodes"] = list(success.status_codes)
    if success.json_pointer is not None:
        written["jsonPointer"] = success.json_pointer
    if success.has_equals:
        written["equals"] = success.equals
    return written


def patched(old: Definition, patch: Mapping[str, Any], seal: Seal) -> Definition:
    """Apply a merge-patch (RFC 7396): null clears, what is not named stays, a new baseline replaces the old one.
    Within `secretHeaders` null means as it is stored, as it reads; what is left out of it is gone.

    Raises RequestValidationError for what is not valid afterwards.
    """
    named = _camel(patch)
    merged = definition_out(old)
    if any(named.get(name) is not None for name in _BASELINES):
        merged.update({name: None for name in (*_BASELINES, "timezone") if name not in named})
        if named.get("baselineCron") is not None and "timezone" not in named:
            merged["timezone"] = baseline_out(old.baseline)["timezone"]
    if named.get("target" if merged["url"] is not None else "url") is not None:  # an action of the other kind
        merged.update({name: None for name in _OF_ACTIONS if name not in named})
    for name, value in named.items():
        if name in _MERGED and isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            kept = {**merged[name], **value}
            merged[name] = {field: each for field, each in kept.items() if each is not None or field == "equals"}
        else:
            merged[name] = value
    return read_definition(merged, seal, kept=old.action)


def read_definition(fields: Mapping[str, Any], seal: Seal, *, kept: Action | None = None) -> Definition:
    """Return the definition that a job's fields make; see `JobIn.definition`. Raises RequestValidationError."""
    try:
        return JobIn.model_validate(fields).definition(seal, kept=kept)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


def _refused(path: tuple[str, ...], message: str) -> RequestValidationError:
    """Return the refusal of one field; it never quotes a value."""
    return RequestValidationError([{"type": "value_error", "loc": ("body", *path), "msg": message}])


def patch_schema() -> dict[str, Any]:
    """Return the JSON schema of a merge-patch: the fields of a job, none of them required."""
    schema = JobIn.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    left_out = ("$defs", "required", "title", "description")
    return {name: value for name, value in schema.items() if name not in left_out}


def _camel(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a patch with its fields in camelCase; JobIn has already refused two spellings of one."""
    aliases = {name: field.alias or name for name, field in JobIn.model_fields.items()}
    return {aliases.get(name, name): value for name, value in patch.items()}


def job_out(job: Job, last_run: Run | None, now: datetime) -> JobOut:
    """Write a job as it is at `now`."""
    schedule, status = job.schedule, visible_status(job, now)
    paused = status is JobStatus.PAUSED
    slot = None if paused else schedule.slot
    written = definition_out(job.definition)
    return JobOut.model_validate(
        {
            **written,
            "id": job.id,
            "status": status.value,
            "version": job.definition.version,
            "nextRunAt": slot.at if slot else None,
            "nextRunSource": _source(job, paused=paused),
            "pausedUntil": schedule.paused_until if paused else None,
            "pauseReason": schedule.pause_reason if paused else None,
            "pausedBy": schedule.paused_by.value if paused and schedule.paused_by else None,
            "parkedReason": schedule.parked_reason,
            "failureCount": schedule.failures,
            "lastRun": last_run_out(last_run) if last_run else None,
            "createdAt": schedule.created_at,
            "updatedAt": job.updated_at,
        }
    )


def _source(job: Job, *, paused: bool) -> str | None:
    if paused:
        return f"paused_{job.schedule.paused_by}" if job.schedule.paused_by else None
    if job.schedule.slot is not None:
        return job.schedule.slot.source.value
    return job.schedule.status.value if job.schedule.status is not JobStatus.ACTIVE else None
