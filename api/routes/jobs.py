"""Jobs: register, read, edit, delete, pause, resume, run by hand, test, plan."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response

from api.acting import NO_STORE, Act, Acting
from api.auth import Given, Who
from api.idempotency import ONCE
from api.paging import DEFAULT_LIMIT, Cursor, Limit, Listed, page_size
from api.problems import Problem, invalid
from api.routes.documented import CHANGING, EXAMPLE_JOB, previewed, problems
from api.schemas.jobs import (
    JobIn,
    JobOut,
    JobPreview,
    PauseIn,
    VersionOut,
    definition_out,
    job_out,
    patch_schema,
    patched,
)
from api.schemas.runs import RunOut, RunPreview, run_out
from api.schemas.sessions import SessionOut, session_out
from api.services import Services
from core.entities import Definition, HttpAction, Job, JobStatus
from core.errors import InvalidInput, Issue
from core.ports.accounts import Principal
from core.ports.store import JobFilter, JobRef
from core.record import evolve
from core.usecases.manage_jobs import as_it_is, put_job

router = APIRouter(tags=["jobs"])


class JobsOut(Listed[JobOut]):
    """A page of jobs."""


class VersionsOut(Listed[VersionOut]):
    """Every version of a job's definition."""


Status = Annotated[JobStatus | None, Query(description="Only jobs in this status.")]
JobBody = Annotated[JobIn, Body(openapi_examples={"interval": {"value": EXAMPLE_JOB}})]
LabelPairs = Annotated[list[str] | None, Query(description="Only jobs with this label, as name:value; repeatable.")]


@router.post(
    "/jobs",
    operation_id="createJob",
    status_code=201,
    response_model=JobOut,
    responses={**problems(403, 413, 415, *CHANGING), **previewed(JobPreview)},
    summary="Register a job",
    dependencies=ONCE,
)
async def create(body: JobBody, act: Act, who: Who, response: Response) -> JobOut | Response:
    """Store a job and schedule its first run."""
    definition = body.definition(act.given.seal)
    check_action(act.given, who, definition)
    job, _ = await act.jobs.register(who.tenant_id, definition, by=who.user_id)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return await _shown(act, job, response)


@router.put(
    "/jobs/by-key/{key:path}",
    operation_id="putJobByKey",
    response_model=JobOut | JobPreview,
    responses={
        **problems(403, 404, 409, 412, 413, 415),
        201: {"model": JobOut, "description": "There was none with this key: it was registered."},
    },
    summary="Register a job, or replace its definition",
)
async def put(
    key: Annotated[str, Path(min_length=1, max_length=255)], body: JobBody, act: Act, who: Who, response: Response
) -> JobOut | Response:
    """Make the job with this key be so: what the body leaves out gets its default. The same body twice is no edit; a
    secret that is sent as null, as it reads, stays as it is stored."""
    if body.key not in (None, key):
        raise invalid("/key", "other_key", "key is not the one in the address; leave it out, or make them equal.")

    def make(old: Definition | None) -> Definition:
        kept = old.action if old is not None else None
        new = evolve(body.definition(act.given.seal, kept=kept), key=key)
        check_action(act.given, who, new)
        return new

    job, is_new = await put_job(act.given.store, act.jobs, who.tenant_id, key, make, by=who.user_id)
    if is_new and act.rehearsal is None:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return await _shown(act, job, response)


@router.get("/jobs", operation_id="listJobs", responses=problems(), response_model=JobsOut, summary="List jobs")
async def index(
    given: Given,
    who: Who,
    response: Response,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: Status = None,
    group: Annotated[str | None, Query(max_length=255)] = None,
    key: Annotated[str | None, Query(max_length=255)] = None,
    label: LabelPairs = None,
) -> dict[str, Any]:
    """Return jobs, newest first."""
    labels = _labels(label or [])
    bound_to = ("jobs", who.tenant_id, status, group, key, sorted(labels.items()))
    page = await given.store.jobs(
        who.tenant_id,
        JobFilter(status, group, key, labels),
        limit=page_size(limit),
        after=given.cursors.read(cursor, bound_to=bound_to),
    )
    last = await given.store.last_runs(who.tenant_id, [job.id for job in page.items])
    now = await given.store.now()
    response.headers.update(NO_STORE)
    return given.cursors.page(page, lambda job: job_out(job, last.get(job.id), now), bound_to=bound_to)


@router.get(
    "/jobs/{job_id}", operation_id="getJob", response_model=JobOut, responses=problems(404), summary="Read a job"
)
async def show(job_id: str, given: Given, who: Who, response: Response) -> JobOut:
    """Return one job."""
    return await _read(given, await given.store.job(who.tenant_id, job_id), response)


@router.patch(
    "/jobs/{job_id}",
    operation_id="updateJob",
    response_model=JobOut | JobPreview,
    responses=problems(403, 404, 409, 412, 413, 415),
    summary="Edit a job",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": patch_schema(), "example": {"baselineIntervalMs": 120000}}
                for media in ("application/merge-patch+json", "application/json")
            },
        }
    },
)
async def update(job_id: str, request: Request, act: Act, who: Who, response: Response) -> JobOut | Response:
    """Apply a merge-patch: null clears, what is not named stays. A change of the schedule re-anchors it from now."""
    patch = await _json_object(request)
    JobPatch.check(patch)

    def apply(old: Definition) -> Definition:
        new = patched(old, patch, act.given.seal)
        if new.action != old.action:
            check_action(act.given, who, new)
        return new

    job = await act.jobs.edit(who.tenant_id, job_id, apply, by=who.user_id)
    return await _shown(act, job, response)


@router.delete(
    "/jobs/{job_id}",
    operation_id="deleteJob",
    status_code=204,
    responses={**problems(404, 412), **previewed(JobPreview)},
    summary="Delete a job",
)
async def delete(job_id: str, act: Act, who: Who) -> Response:
    """Delete softly: it is never claimed again, and its runs stay readable until retention."""
    await act.jobs.delete(who.tenant_id, job_id, by=who.user_id)
    if act.rehearsal is None or act.rehearsal.after is None:
        return Response(status_code=204)
    return act.preview(job_out(act.rehearsal.after.job, None, act.rehearsal.after.now))


@router.get(
    "/jobs/{job_id}/versions",
    operation_id="listJobVersions",
    responses=problems(404),
    response_model=VersionsOut,
    summary="List a job's versions",
)
async def versions(job_id: str, given: Given, who: Who) -> VersionsOut:
    """Return every version of the definition, newest first."""
    found = await given.store.versions(who.tenant_id, job_id)
    written = [VersionOut(version=each.version, definition=definition_out(each)) for each in found]
    return VersionsOut(data=written, next_cursor=None)


@router.post(
    "/jobs/{job_id}/pause",
    operation_id="pauseJob",
    response_model=JobOut | JobPreview,
    responses=problems(404, 412, 413, 415, *CHANGING),
    summary="Pause a job",
    dependencies=ONCE,
)
async def pause(
    job_id: str,
    act: Act,
    who: Who,
    response: Response,
    body: Annotated[
        PauseIn | None,
        Body(openapi_examples={"timed": {"value": {"until": "2027-01-31T12:00:00Z", "reason": "a migration"}}}),
    ] = None,
) -> JobOut | Response:
    """Pause until an instant, or until resumed. Nothing that passes meanwhile is replayed."""
    asked = body or PauseIn()
    until = asked.until or asked.paused_until
    job = await act.jobs.pause(who.tenant_id, job_id, until=until, reason=asked.reason, by=who.user_id)
    return await _shown(act, job, response)


@router.post(
    "/jobs/{job_id}/resume",
    operation_id="resumeJob",
    response_model=JobOut | JobPreview,
    responses=problems(404, 412, *CHANGING),
    summary="Resume a job",
    dependencies=ONCE,
)
async def resume(job_id: str, act: Act, who: Who, response: Response) -> JobOut | Response:
    """End every pause of the job, a planner's too."""
    return await _shown(act, await act.jobs.resume(who.tenant_id, job_id, by=who.user_id), response)


@router.post(
    "/jobs/{job_id}/run",
    operation_id="runJob",
    status_code=202,
    response_model=RunOut,
    responses={**problems(404, 412, *CHANGING), **previewed(RunPreview)},
    summary="Run a job now",
    dependencies=ONCE,
)
async def run(job_id: str, act: Act, who: Who) -> RunOut | Response:
    """Ask for a run at once; while one is active the answer is a `skipped` run."""
    out = run_out(await act.jobs.run_now(who.tenant_id, job_id, by=who.user_id))
    return act.preview(out) if act.rehearsal is not None else out


@router.post(
    "/jobs/{job_id}/test",
    operation_id="testJob",
    status_code=202,
    response_model=RunOut,
    responses={**problems(404, 412, *CHANGING), **previewed(RunPreview)},
    summary="Dispatch a job once, leaving its schedule alone",
    dependencies=ONCE,
)
async def test(job_id: str, act: Act, who: Who) -> RunOut | Response:
    """Ask for a test run; read it again to see how it went."""
    out = run_out(await act.jobs.test(who.tenant_id, job_id))
    return act.preview(out) if act.rehearsal is not None else out


@router.post(
    "/jobs/{job_id}/plan",
    operation_id="planJob",
    response_model=SessionOut | JobPreview,
    responses=problems(404, 412, *CHANGING),
    summary="Ask the planner now",
    dependencies=ONCE,
)
async def plan(job_id: str, given: Given, who: Who, act: Act, response: Response) -> SessionOut | JobOut | Response:
    """Run one planner session, if the quota allows, and return it. What it would say, nobody can: a rehearsal answers
    with the job as it is."""
    if given.planner is None:
        raise Problem(409, "planner_off", "Planning is switched off on this installation (RUBATO_PLANNER).")
    job = await given.store.job(who.tenant_id, job_id)
    act.expect(job.definition.version)
    if act.rehearsal is not None:
        await act.rehearsal.change(JobRef(who.tenant_id, job_id), as_it_is)
        return await _shown(act, job, response)
    return session_out(await given.planner.plan_now(who.tenant_id, job_id))


class JobPatch:
    """A merge-patch of a job: a JSON object that names known fields, each in one spelling."""

    @staticmethod
    def check(patch: dict[str, Any]) -> None:
        """Refuse unknown fields and doubled spellings at once, before anything is merged."""
        aliases = {name: field.alias or name for name, field in JobIn.model_fields.items()}
        for name in patch:
            if name not in aliases and name not in aliases.values():
                detail = f"{name[:60]} is not a field that can be changed; check its spelling or leave it out."
                raise invalid("/" + name.replace("~", "~0").replace("/", "~1"), "unknown_field", detail)
            if name in aliases and aliases[name] != name and aliases[name] in patch:
                raise invalid(f"/{name}", "given_twice", f"{aliases[name]} is given twice; give it once.")
        baselines = ("baseline_cron", "baseline_interval_ms", "run_at")
        chosen = [n for n in baselines if patch.get(n) is not None or patch.get(aliases[n]) is not None]
        if len(chosen) > 1:
            names = " and ".join(aliases[name] for name in chosen)
            raise invalid(f"/{aliases[chosen[1]]}", "two_baselines", f"A job has one baseline; {names} were given.")


async def _shown(act: Acting, job: Job, response: Response) -> JobOut | Response:
    """Return the job as it is now, or as it would be."""
    if act.rehearsal is None:
        return await _read(act.given, job, response)
    last = await act.given.store.last_runs(job.tenant_id, [job.id])
    return act.preview(job_out(job, last.get(job.id), await act.given.store.now()))


async def _read(given: Services, job: Job, response: Response) -> JobOut:
    last = await given.store.last_runs(job.tenant_id, [job.id])
    response.headers.update({**NO_STORE, "ETag": f'"{job.definition.version}"'})
    return job_out(job, last.get(job.id), await given.store.now())


def check_action(given: Services, who: Principal, definition: Definition) -> None:
    """Refuse a request that may not be sent, or a target that may not be called: targets are for admins."""
    action = definition.action
    if isinstance(action, HttpAction):
        issues = [*given.check_url(action.url), *given.check_headers(action.headers)]
        for name in action.sealed_headers:
            where = f"/secretHeaders/{name.replace('~', '~0').replace('/', '~1')}"
            issues += [Issue(where, issue.code, issue.detail) for issue in given.check_headers({name: ""})]
    else:
        if not who.is_admin:
            raise Problem(
                403, "admins_only", "Targets are for the tenant's admins, and for their keys with the scope admin."
            )
        issues = given.targets.check(who.tenant_id, action.target, action.payload)
    if issues:
        raise InvalidInput(issues)


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name:
            raise invalid("?label", "invalid_label", "label is given as name:value, such as team:payments.")
        labels[name] = value
    return labels


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Problem(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise invalid("", "not_an_object", "A patch is a JSON object of the fields to change.")
    return body
