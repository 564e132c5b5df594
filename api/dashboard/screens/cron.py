"""Cron administration: jobs that call registered targets, version by version. Admins only, by the admin routes."""

import json
from typing import Annotated, Any

from fastapi import Query, Response

from api.acting import acting
from api.dashboard.fields import read, text
from api.dashboard.shell import Administering, Form, page_router
from api.paging import Cursor
from api.problems import invalid
from api.routes import cron as routes
from api.schemas.cron import CronJobIn, CronPauseIn, CronRunOut, NewVersionIn, definition_id, read_definition_id
from core.entities import JobStatus, JobVersion, OnceBaseline, RunStatus
from core.ports.definitions import DefinitionFilter, TargetRunFilter
from core.ports.store import RunFilter
from core.usecases.manage_jobs import visible_status

SHOWN, SHOWN_VERSIONS, SHOWN_RUNS = 30, 100, 12
STATUSES = [("", "Any status"), *((status.value, status.value) for status in JobStatus)]

router = page_router()


@router.get("/cron")
async def index(
    view: Administering, status: Annotated[str | None, Query(max_length=20)] = None, cursor: Cursor = None
) -> Response:
    """Show the latest versions, and what targets there are."""
    given, tenant = view.given, view.who.tenant_id
    where = DefinitionFilter(status=JobStatus(status) if status in set(JobStatus) else None)
    bound_to = ("cron page", tenant, where)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.definitions.versions(tenant, where, limit=SHOWN, after=after)
    return view.page(
        "cron.html",
        active="Cron",
        rows=[_row(view, each) for each in page.items],
        next_cursor=given.cursors.page(page, str, bound_to=bound_to)["nextCursor"],
        last_runs=await given.store.last_runs(tenant, sorted({each.job.id for each in page.items})),
        targets=given.targets.listed(tenant),
        asked={"status": status or ""},
        statuses=STATUSES,
    )


@router.get("/cron/{job_id}")
async def show(job_id: str, view: Administering) -> Response:
    """Show one job: its version in force, the ones before it, its runs and its history."""
    given, tenant = view.given, view.who.tenant_id
    found = await routes.found_version(given, view.who, job_id)
    versions = await given.definitions.versions(tenant, DefinitionFilter(found.job.id), limit=SHOWN_VERSIONS)
    runs = await given.definitions.runs(tenant, TargetRunFilter(RunFilter(found.job.id)), limit=SHOWN_RUNS)
    return view.page(
        "cron_job.html",
        active="Cron",
        row=_row(view, found),
        versions=[_row(view, each) for each in versions.items],
        runs=[each.run for each in runs.items],
        names={found.job.id: found.job.definition.name},
        history=await given.definitions.history(tenant, found.job.id, limit=SHOWN_VERSIONS),
        targets=given.targets.listed(tenant),
    )


@router.post("/cron", operation_id="createCronJob")
async def create(view: Administering, fields: Form) -> Response:
    """Register a job with a target."""
    response = Response()
    await routes.create(read(CronJobIn, _written(fields)), await acting(view.given), view.who, response)
    return view.go(f"/cron/{_made(response)}", done="created")


@router.post("/cron/{job_id}/versions", operation_id="createCronJobVersion")
async def new_version(job_id: str, view: Administering, fields: Form) -> Response:
    """Retire the latest version and put the next in its place."""
    response, body = Response(), read(NewVersionIn, _written(fields))
    await routes.new_version(job_id, body, await acting(view.given), view.who, response)
    return view.go(f"/cron/{_made(response)}", done="saved")


@router.post("/cron/{job_id}/pause", operation_id="pauseCronJob")
async def pause(job_id: str, view: Administering, fields: Form) -> Response:
    """Pause, saying why."""
    body = read(CronPauseIn, {"reason": text(fields, "reason") or ""})
    await routes.pause(job_id, body, await acting(view.given), view.who, Response())
    return view.go(f"/cron/{job_id}", done="paused")


@router.post("/cron/{job_id}/resume", operation_id="resumeCronJob")
async def resume(job_id: str, view: Administering) -> Response:
    """End every pause of the job."""
    await routes.resume(job_id, await acting(view.given), view.who, Response())
    return view.go(f"/cron/{job_id}", done="resumed")


@router.post("/cron/{job_id}/run", operation_id="runCronJobNow")
async def run_now(job_id: str, view: Administering) -> Response:
    """Ask for a run at once."""
    run = await routes.run_now(job_id, await acting(view.given), view.who)
    overlaps = isinstance(run, CronRunOut) and run.status == RunStatus.SKIPPED
    return view.go(f"/cron/{job_id}", done="overlapped" if overlaps else "asked")


@router.post("/cron/{job_id}/retire", operation_id="deleteJob")
async def retire(job_id: str, view: Administering) -> Response:
    """End the job: it never runs again, and its runs stay readable."""
    found = await routes.found_version(view.given, view.who, job_id)
    await view.given.jobs.delete(view.who.tenant_id, found.job.id, by=view.who.user_id)
    return view.go("/cron", done="deleted")


def _made(response: Response) -> str:
    """Return the job's id out of a new version's address."""
    return read_definition_id(response.headers["Location"].rpartition("/")[2])[0]


def _row(view: Administering, found: JobVersion) -> dict[str, Any]:
    """Return a version as lists and pages show it: one that was followed is retired."""
    schedule, baseline = found.job.schedule, found.definition.baseline
    status = visible_status(found.job, view.now) if found.is_latest else JobStatus.RETIRED
    return {
        "id": definition_id(found.job.id, found.definition.version),
        "found": found,
        "status": status.value,
        "next_at": schedule.slot.at if schedule.slot and found.is_latest and status is JobStatus.ACTIVE else None,
        "is_once": isinstance(baseline, OnceBaseline),
        "payload": json.dumps(getattr(found.definition.action, "payload", None), ensure_ascii=False),
    }


def _written(fields: Form) -> dict[str, Any]:
    """Return what a form says of a version. What is left empty stays as it is, or takes the default."""
    payload = text(fields, "payload")
    try:
        value = json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        detail = 'The payload must be JSON, such as {"message": "still here"}.'
        raise invalid("/payload", "invalid_json", detail) from None
    names = ("name", "key", "target", "baselineCron", "timezone", "runAt")
    return {**{name: text(fields, name) for name in names}, "payload": value}
