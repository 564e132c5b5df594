"""The cron administration: definitions of jobs with registered targets, their versions and runs. For admins only.

The same engine and store as everything else: a definition is a version of a job.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response

from api.acting import NO_STORE, Act, Acting
from api.auth import Admin, Given
from api.guards import ADMIN_PREFIX
from api.idempotency import ONCE_FOR_ADMINS
from api.paging import DEFAULT_LIMIT, Cursor, Limit, page_size
from api.routes.documented import CHANGING, previewed, problems
from api.routes.jobs import check_action
from api.routes.runs import Offset, Since, Until
from api.schemas.cron import (
    CronJobDetailOut,
    CronJobIn,
    CronJobOut,
    CronJobPreview,
    CronPauseIn,
    CronRunOut,
    CronRunPreview,
    NewVersionIn,
    TargetOut,
    cron_job_detail_out,
    cron_job_out,
    cron_run_out,
    definition_id,
    read_definition_id,
)
from api.services import Services
from core.entities import Definition, Job, JobStatus, JobVersion, RunStatus, Trigger
from core.errors import Conflict, NotFound
from core.ports.accounts import Principal
from core.ports.definitions import DefinitionFilter, TargetRun, TargetRunFilter
from core.ports.store import RunFilter
from core.record import evolve

router = APIRouter(tags=["cron administration"])
HISTORY = 100  # lines of a job's history in its answer
KINDS = {None: (), "recurring": ("cron", "interval"), "one_time": ("once",)}

Key = Annotated[str | None, Query(max_length=255, description="Only of the job with this key.")]
Version = Annotated[int | None, Query(ge=1, le=2_000_000_000, description="Only of this version.")]
TargetName = Annotated[str | None, Query(max_length=100, description="Only of this target.")]
JobId = Annotated[str | None, Query(alias="jobId", max_length=100, description="A job's id, or one version's.")]
EXAMPLE = {
    "key": "heartbeat",
    "target": "system.log_message",
    "payload": {"message": "still here"},
    "baselineCron": "*/5 * * * *",
    "timezone": "UTC",
}


@router.post(
    "/jobs",
    operation_id="createCronJob",
    status_code=201,
    response_model=CronJobOut,
    responses={**problems(403, 412, 413, 415, *CHANGING), **previewed(CronJobPreview)},
    summary="Register a job with a target",
    dependencies=ONCE_FOR_ADMINS,
)
async def create(
    body: Annotated[CronJobIn, Body(openapi_examples={"recurring": {"value": EXAMPLE}})],
    act: Act,
    who: Admin,
    response: Response,
) -> CronJobOut | Response:
    """Store version 1 and schedule its first run. An unknown target is refused, the known ones listed."""
    definition = body.definition(act.given.seal)
    check_action(act.given, who, definition)
    job, _ = await act.jobs.register(who.tenant_id, definition, by=who.user_id)
    return await _made(act, who, job, response)


@router.get(
    "/jobs",
    operation_id="listCronJobs",
    responses=problems(403),
    response_model=dict[str, Any],
    summary="List versions of jobs with targets",
)
async def index(
    given: Given,
    who: Admin,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: Annotated[JobStatus | None, Query(description="Only versions in this status.")] = None,
    key: Key = None,
    version: Version = None,
    target: TargetName = None,
    job_id: JobId = None,
    schedule_type: Annotated[Literal["recurring", "one_time"] | None, Query(alias="scheduleType")] = None,
) -> dict[str, Any]:
    """Return versions, the newest job's newest version first. Those that were followed are `retired`."""
    job, named = read_definition_id(job_id) if job_id is not None else (None, None)
    where = DefinitionFilter(job, key, version or named, target, KINDS[schedule_type], status)
    bound_to = ("cron jobs", who.tenant_id, where)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.definitions.versions(who.tenant_id, where, limit=page_size(limit), after=after)
    last = await given.store.last_runs(who.tenant_id, sorted({each.job.id for each in page.items if each.is_latest}))
    now = await given.store.now()
    response.headers.update(NO_STORE)

    def written(each: JobVersion) -> dict[str, Any]:
        last_run = last.get(each.job.id) if each.is_latest else None
        return cron_job_out(each, last_run, now).model_dump(mode="json", by_alias=True)

    return given.cursors.page(page, written, bound_to=bound_to)


@router.get(
    "/jobs/{job_id}",
    operation_id="getCronJob",
    response_model=CronJobDetailOut,
    responses=problems(403, 404),
    summary="Read a version",
)
async def show(job_id: str, given: Given, who: Admin, response: Response) -> CronJobDetailOut:
    """Return one version with its job's history; under a job's own id, the latest."""
    found = await found_version(given, who, job_id)
    last = await given.store.last_runs(who.tenant_id, [found.job.id]) if found.is_latest else {}
    history = await given.definitions.history(who.tenant_id, found.job.id, limit=HISTORY)
    response.headers.update(_about(found))
    return cron_job_detail_out(found, last.get(found.job.id), await given.store.now(), history)


@router.patch(
    "/jobs/{job_id}/pause",
    operation_id="pauseCronJob",
    response_model=CronJobOut | CronJobPreview,
    responses=problems(403, 404, 409, 412, 415),
    summary="Pause a job, saying why",
)
async def pause(
    job_id: str,
    body: Annotated[CronPauseIn, Body(openapi_examples={"a": {"value": {"reason": "the ledger is being migrated"}}})],
    act: Act,
    who: Admin,
    response: Response,
) -> CronJobOut | Response:
    """Pause. Slots that pass meanwhile are not replayed."""
    found = await _latest(act.given, who, job_id)
    job = await act.jobs.pause(who.tenant_id, found.job.id, until=body.until, reason=body.reason, by=who.user_id)
    return await _changed(act, who, evolve(found, job=job), response)


@router.patch(
    "/jobs/{job_id}/resume",
    operation_id="resumeCronJob",
    response_model=CronJobOut | CronJobPreview,
    responses=problems(403, 404, 409, 412),
    summary="Resume a job",
)
async def resume(job_id: str, act: Act, who: Admin, response: Response) -> CronJobOut | Response:
    """End every pause of the job, without a backlog."""
    found = await _latest(act.given, who, job_id)
    if found.job.schedule.status is JobStatus.RETIRED:
        raise Conflict("job_not_active", "The job is retired; make a new version with a new schedule instead.")
    job = await act.jobs.resume(who.tenant_id, found.job.id, by=who.user_id)
    return await _changed(act, who, evolve(found, job=job), response)


@router.post(
    "/jobs/{job_id}/new-version",
    operation_id="createCronJobVersion",
    status_code=201,
    response_model=CronJobOut,
    responses={**problems(403, 404, 412, 413, 415, *CHANGING), **previewed(CronJobPreview)},
    summary="Make the next version",
    dependencies=ONCE_FOR_ADMINS,
)
async def new_version(
    job_id: str,
    body: Annotated[NewVersionIn, Body(openapi_examples={"hourly": {"value": {"baselineCron": "0 * * * *"}}})],
    act: Act,
    who: Admin,
    response: Response,
) -> CronJobOut | Response:
    """Retire the latest version and put the next in its place, in one transaction. Its runs keep their version."""
    found = await found_version(act.given, who, job_id)
    _, of = read_definition_id(job_id)

    def apply(old: Definition) -> Definition:
        new = body.apply(old, act.given.seal)
        check_action(act.given, who, new)
        return new

    job = await act.jobs.new_version(who.tenant_id, found.job.id, apply, of=of, by=who.user_id)
    return await _made(act, who, job, response)


@router.post(
    "/jobs/{job_id}/run-now",
    operation_id="runCronJobNow",
    status_code=202,
    response_model=CronRunOut,
    responses={**problems(403, 404, 412, *CHANGING), **previewed(CronRunPreview)},
    summary="Run a job now",
    dependencies=ONCE_FOR_ADMINS,
)
async def run_now(job_id: str, act: Act, who: Admin) -> CronRunOut | Response:
    """Ask for a run at once; while one is active the answer is a `skipped` run. 409 while paused or retired."""
    found = await _latest(act.given, who, job_id)
    run = await act.jobs.run_now(who.tenant_id, found.job.id, by=who.user_id)
    out = cron_run_out(TargetRun(run, found.definition))
    return act.preview(out) if act.rehearsal is not None else out


@router.get(
    "/runs",
    operation_id="listCronRuns",
    responses=problems(403),
    response_model=dict[str, Any],
    summary="List runs of targets",
)
async def runs(
    given: Given,
    who: Admin,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
    cursor: Cursor = None,
    status: Annotated[RunStatus | None, Query(description="Only runs in this status.")] = None,
    trigger: Annotated[Trigger | None, Query(description="Only runs with this trigger.")] = None,
    key: Key = None,
    version: Version = None,
    target: TargetName = None,
    job_id: JobId = None,
    since: Since = None,
    until: Until = None,
) -> dict[str, Any]:
    """Return runs, newest slot first."""
    job, named = read_definition_id(job_id) if job_id is not None else (None, None)
    where = TargetRunFilter(RunFilter(job, status, since, until), key, version or named, target, trigger)
    bound_to = ("cron runs", who.tenant_id, where)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.definitions.runs(who.tenant_id, where, limit=page_size(limit), after=after, offset=offset)
    response.headers.update(NO_STORE)

    def written(each: TargetRun) -> dict[str, Any]:
        return cron_run_out(each).model_dump(mode="json", by_alias=True)

    return given.cursors.page(page, written, bound_to=bound_to)


@router.get(
    "/runs/{run_id}",
    operation_id="getCronRun",
    response_model=CronRunOut,
    responses=problems(403, 404),
    summary="Read a run of a target",
)
async def run(run_id: str, given: Given, who: Admin) -> CronRunOut:
    """Return one run, with the version it ran and its payload."""
    return cron_run_out(await given.definitions.run(who.tenant_id, run_id))


@router.get(
    "/targets",
    operation_id="listTargets",
    responses=problems(403),
    response_model=dict[str, Any],
    summary="List the registered targets",
)
async def targets(given: Given, who: Admin) -> dict[str, Any]:
    """Return what a job may call, with the schema of each payload."""
    listed = [
        TargetOut(
            target=each.name,
            description=each.description,
            payload_schema=dict(each.payload_schema) if each.payload_schema is not None else None,
        )
        for each in given.targets.listed(who.tenant_id)
    ]
    return {"data": [each.model_dump(mode="json", by_alias=True) for each in listed], "nextCursor": None}


async def found_version(given: Services, who: Principal, text: str) -> JobVersion:
    """Return the version that an id names; the latest for a job's own id. Raises NotFound."""
    job_id, version = read_definition_id(text)
    page = await given.definitions.versions(who.tenant_id, DefinitionFilter(job_id, version=version), limit=1)
    if not page.items or (version is None and not page.items[0].is_latest):
        raise NotFound(f"There is no job {text} with a registered target.")
    return page.items[0]


async def _latest(given: Services, who: Principal, text: str) -> JobVersion:
    """Return the version that an id names, if it is the latest. Raises NotFound, Conflict("job_not_active")."""
    found = await found_version(given, who, text)
    if not found.is_latest:
        followed = f"Version {found.definition.version} is retired; {found.job.definition.version} is the latest."
        raise Conflict("job_not_active", followed)
    return found


async def _changed(act: Acting, who: Principal, changed: JobVersion, response: Response) -> CronJobOut | Response:
    """Return the latest version as it is now, or as it would be."""
    last = await act.given.store.last_runs(who.tenant_id, [changed.job.id])
    out = cron_job_out(changed, last.get(changed.job.id), await act.given.store.now())
    if act.rehearsal is not None:
        return act.preview(out)
    response.headers.update(_about(changed))
    return out


async def _made(act: Acting, who: Principal, job: Job, response: Response) -> CronJobOut | Response:
    """Return a new version."""
    if act.rehearsal is None:
        text = definition_id(job.id, job.definition.version)
        response.headers["Location"] = f"{ADMIN_PREFIX}/jobs/{text}"
        return await _changed(act, who, await found_version(act.given, who, text), response)
    return await _changed(act, who, JobVersion(job, job.definition, job.updated_at), response)


def _about(found: JobVersion) -> dict[str, str]:
    return {**NO_STORE, "ETag": f'"{found.definition.version}"'}
