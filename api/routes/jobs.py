"""Jobs: register, read, edit, delete, pause, resume, run by hand, test, plan."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from api.auth import Given, Who
from api.paging import DEFAULT_LIMIT, Cursor, Limit, page_size, read_cursor, render_page
from api.problems import Problem, invalid
from api.routes.documented import EXAMPLE_JOB, problems
from api.schemas.jobs import JobIn, JobOut, PauseIn, VersionOut, definition_out, job_out, patch_schema, patched
from api.schemas.runs import RunOut, run_out
from api.schemas.sessions import SessionOut, session_out
from api.services import Services
from core.entities import Definition, Job, JobStatus
from core.errors import InvalidInput, Issue
from core.ports.store import JobFilter

router = APIRouter(tags=["jobs"])
NO_STORE = {"Cache-Control": "no-store"}

Status = Annotated[JobStatus | None, Query(description="Only jobs in this status.")]
LabelPairs = Annotated[list[str] | None, Query(description="Only jobs with this label, as name:value; repeatable.")]


@router.post(
    "/jobs",
    operation_id="createJob",
    status_code=201,
    response_model=JobOut,
    responses=problems(409, 413, 415),
    summary="Register a job",
)
async def create(
    body: Annotated[JobIn, Body(openapi_examples={"interval": {"value": EXAMPLE_JOB}})],
    given: Given,
    who: Who,
    response: Response,
) -> JobOut:
    """Store a job and schedule its first run."""
    definition = body.definition(given.seal)
    _check_outgoing(given, definition)
    job, _ = await given.jobs.register(who.tenant_id, definition)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return await _shown(given, job, response)


@router.get("/jobs", operation_id="listJobs", responses=problems(), response_model=dict[str, Any], summary="List jobs")
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
        after=read_cursor(cursor, bound_to=bound_to),
    )
    last = await given.store.last_runs(who.tenant_id, [job.id for job in page.items])
    now = await given.store.now()
    response.headers.update(NO_STORE)
    return render_page(
        page,
        lambda job: job_out(job, last.get(job.id), now).model_dump(mode="json", by_alias=True),
        bound_to=bound_to,
    )


@router.get(
    "/jobs/{job_id}", operation_id="getJob", response_model=JobOut, responses=problems(404), summary="Read a job"
)
async def show(job_id: str, given: Given, who: Who, response: Response) -> JobOut:
    """Return one job."""
    return await _shown(given, await given.store.job(who.tenant_id, job_id), response)


@router.patch(
    "/jobs/{job_id}",
    operation_id="updateJob",
    response_model=JobOut,
    responses=problems(404, 409, 413, 415),
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
async def update(job_id: str, request: Request, given: Given, who: Who, response: Response) -> JobOut:
    """Apply a merge-patch: null clears, what is not named stays. A change of the schedule re-anchors it from now."""
    patch = await _json_object(request)
    JobPatch.check(patch)

    def apply(old: Definition) -> Definition:
        new = patched(old, patch, given.seal)
        if new.action != old.action:
            _check_outgoing(given, new)
        return new

    job = await given.jobs.edit(who.tenant_id, job_id, apply)
    return await _shown(given, job, response)


@router.delete(
    "/jobs/{job_id}", operation_id="deleteJob", status_code=204, responses=problems(404), summary="Delete a job"
)
async def delete(job_id: str, given: Given, who: Who) -> Response:
    """Delete softly: it is never claimed again, and its runs stay readable until retention."""
    await given.jobs.delete(who.tenant_id, job_id)
    return Response(status_code=204)


@router.get(
    "/jobs/{job_id}/versions",
    operation_id="listJobVersions",
    responses=problems(404),
    response_model=dict[str, Any],
    summary="List a job's versions",
)
async def versions(job_id: str, given: Given, who: Who) -> dict[str, Any]:
    """Return every version of the definition, newest first."""
    found = await given.store.versions(who.tenant_id, job_id)
    written = [VersionOut(version=each.version, definition=definition_out(each)) for each in found]
    return {"data": [each.model_dump(mode="json", by_alias=True) for each in written], "nextCursor": None}


@router.post(
    "/jobs/{job_id}/pause",
    operation_id="pauseJob",
    response_model=JobOut,
    responses=problems(404, 409, 415),
    summary="Pause a job",
)
async def pause(
    job_id: str,
    given: Given,
    who: Who,
    response: Response,
    body: Annotated[
        PauseIn | None,
        Body(openapi_examples={"timed": {"value": {"until": "2027-01-31T12:00:00Z", "reason": "a migration"}}}),
    ] = None,
) -> JobOut:
    """Pause until an instant, or until resumed. Nothing that passes meanwhile is replayed."""
    asked = body or PauseIn()
    until = asked.until or asked.paused_until
    job = await given.jobs.pause(who.tenant_id, job_id, until=until, reason=asked.reason)
    return await _shown(given, job, response)


@router.post(
    "/jobs/{job_id}/resume",
    operation_id="resumeJob",
    response_model=JobOut,
    responses=problems(404),
    summary="Resume a job",
)
async def resume(job_id: str, given: Given, who: Who, response: Response) -> JobOut:
    """End every pause of the job, a planner's too."""
    return await _shown(given, await given.jobs.resume(who.tenant_id, job_id), response)


@router.post(
    "/jobs/{job_id}/run",
    operation_id="runJob",
    status_code=202,
    response_model=RunOut,
    responses=problems(404, 409),
    summary="Run a job now",
)
async def run(job_id: str, given: Given, who: Who) -> RunOut:
    """Ask for a run at once; while one is active the answer is a `skipped` run."""
    return run_out(await given.jobs.run_now(who.tenant_id, job_id))


@router.post(
    "/jobs/{job_id}/test",
    operation_id="testJob",
    status_code=202,
    response_model=RunOut,
    responses=problems(404),
    summary="Dispatch a job once, leaving its schedule alone",
)
async def test(job_id: str, given: Given, who: Who) -> RunOut:
    """Ask for a test run; read it again to see how it went."""
    return run_out(await given.jobs.test(who.tenant_id, job_id))


@router.post(
    "/jobs/{job_id}/plan",
    operation_id="planJob",
    response_model=SessionOut,
    responses=problems(404, 409),
    summary="Ask the planner now",
)
async def plan(job_id: str, given: Given, who: Who) -> SessionOut:
    """Run one planner session, if the quota allows, and return it."""
    if given.planner is None:
        raise Problem(409, "planner_off", "Planning is switched off on this installation (RUBATO_PLANNER).")
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


async def _shown(given: Services, job: Job, response: Response) -> JobOut:
    last = await given.store.last_runs(job.tenant_id, [job.id])
    response.headers.update({**NO_STORE, "ETag": f'"{job.definition.version}"'})
    return job_out(job, last.get(job.id), await given.store.now())


def _check_outgoing(given: Services, definition: Definition) -> None:
    action = definition.action
    issues = [*given.check_url(action.url), *given.check_headers(action.headers)]
    for name in action.sealed_headers:
        where = f"/secretHeaders/{name.replace('~', '~0').replace('/', '~1')}"
        issues += [Issue(where, issue.code, issue.detail) for issue in given.check_headers({name: ""})]
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
