"""Runs: what was executed, skipped or is under way."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.acting import Act
from api.auth import Given, Who
from api.idempotency import ONCE
from api.paging import DEFAULT_LIMIT, Cursor, Limit, Listed, page_size
from api.routes.documented import CHANGING, problems
from api.schemas.runs import RunOut, RunPreview, run_out
from api.services import Services
from api.wire import Instant
from core.entities import RunStatus
from core.ports.store import RunFilter

router = APIRouter(tags=["runs"])


class RunsOut(Listed[RunOut]):
    """A page of runs."""


Status = Annotated[RunStatus | None, Query(description="Only runs in this status.")]
Offset = Annotated[int, Query(ge=0, le=100_000, description="How many to leave out from the newest.")]
Since = Annotated[Instant | None, Query(description="Only slots at or after this instant.")]
Until = Annotated[Instant | None, Query(description="Only slots before this instant.")]


@router.get("/runs", operation_id="listRuns", responses=problems(), response_model=RunsOut, summary="List runs")
async def index(
    given: Given,
    who: Who,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
    cursor: Cursor = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
) -> dict[str, Any]:
    """Return runs of every job, newest slot first."""
    return await _page(given, who.tenant_id, RunFilter(None, status, since, until), limit, offset, cursor)


@router.get(
    "/jobs/{job_id}/runs",
    operation_id="listJobRuns",
    responses=problems(404),
    response_model=RunsOut,
    summary="List a job's runs",
)
async def of_job(
    job_id: str,
    given: Given,
    who: Who,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
    cursor: Cursor = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
) -> dict[str, Any]:
    """Return one job's runs, newest slot first; a deleted job's too."""
    await given.store.snapshot(who.tenant_id, job_id)
    return await _page(given, who.tenant_id, RunFilter(job_id, status, since, until), limit, offset, cursor)


@router.get(
    "/runs/{run_id}", operation_id="getRun", response_model=RunOut, responses=problems(404), summary="Read a run"
)
async def show(run_id: str, given: Given, who: Who) -> RunOut:
    """Return one run, with the decision taken when it settled."""
    return run_out(await given.store.run(who.tenant_id, run_id))


@router.post(
    "/runs/{run_id}/cancel",
    operation_id="cancelRun",
    response_model=RunOut | RunPreview,
    responses=problems(404, 409, 412, *CHANGING),
    summary="Cancel a run",
    dependencies=ONCE,
)
async def cancel(run_id: str, act: Act, who: Who) -> RunOut | Response:
    """Cancel a run that has not ended. A request that is out may still reach its target."""
    out = run_out(await act.jobs.cancel(who.tenant_id, run_id))
    return act.preview(out) if act.rehearsal is not None else out


async def _page(
    given: Services, tenant_id: str, where: RunFilter, limit: int, offset: int, cursor: str | None
) -> dict[str, Any]:
    bound_to = ("runs", tenant_id, where)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.store.runs(tenant_id, where, limit=page_size(limit), after=after, offset=offset)
    return given.cursors.page(page, run_out, bound_to=bound_to)
