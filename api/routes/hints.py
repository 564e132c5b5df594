"""Hints: who proposes which tempo, until when, and what came of it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response

from api.acting import Act
from api.auth import Given, Who
from api.idempotency import ONCE
from api.paging import DEFAULT_LIMIT, Cursor, Limit, Listed, page_size
from api.routes.documented import CHANGING, EXAMPLE_HINT, previewed, problems
from api.schemas.hints import HintIn, HintOut, HintPreview, NextRuns, hint_out
from api.services import Services

router = APIRouter(tags=["hints"])


class HintsOut(Listed[HintOut]):
    """A page of hints."""


State = Annotated[Literal["active", "all"], Query(description="`active`, or `all` that there ever were.")]
HintBody = Annotated[HintIn, Body(openapi_examples={"interval": {"value": EXAMPLE_HINT}})]


@router.get("/hints", operation_id="listHints", responses=problems(), response_model=HintsOut, summary="List hints")
async def index(
    given: Given, who: Who, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, state: State = "active"
) -> dict[str, Any]:
    """Return hints of every job, newest first."""
    return await _page(given, who.tenant_id, None, state, limit, cursor)


@router.get(
    "/jobs/{job_id}/hints",
    operation_id="listJobHints",
    responses=problems(404),
    response_model=HintsOut,
    summary="List a job's hints",
)
async def of_job(
    job_id: str,
    given: Given,
    who: Who,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    state: State = "active",
) -> dict[str, Any]:
    """Return one job's hints, newest first."""
    await given.store.snapshot(who.tenant_id, job_id)
    return await _page(given, who.tenant_id, job_id, state, limit, cursor)


@router.post(
    "/jobs/{job_id}/hints",
    operation_id="createHint",
    status_code=201,
    response_model=HintOut,
    responses={**problems(404, 409, 412, 413, 415, *CHANGING), **previewed(HintPreview)},
    summary="Write a hint",
    dependencies=ONCE,
)
async def create(job_id: str, body: HintBody, act: Act, who: Who, response: Response) -> HintOut | Response:
    """Propose a tempo as a person. It outranks rules and planners, and obeys the job's bounds."""
    hint = await act.hints.write(who.tenant_id, job_id, body.draft())
    out = hint_out(hint, hint.created_at)
    if act.rehearsal is not None:
        return act.preview(out)
    response.headers["Location"] = f"/api/v1/jobs/{job_id}/hints"
    return out


@router.delete(
    "/jobs/{job_id}/hints",
    operation_id="clearHints",
    status_code=204,
    responses={**problems(404, 412, 429), **previewed(NextRuns)},
    summary="Clear a job's hints",
)
async def clear(job_id: str, act: Act, who: Who) -> Response:
    """Clear every active hint but a person's pause, which `resume` ends."""
    await act.hints.clear(who.tenant_id, job_id)
    return act.preview() if act.rehearsal is not None else Response(status_code=204)


@router.delete(
    "/jobs/{job_id}/hints/{hint_id}",
    operation_id="clearHint",
    status_code=204,
    responses={**problems(404, 412, 429), **previewed(NextRuns)},
    summary="Clear one hint",
)
async def clear_one(job_id: str, hint_id: str, act: Act, who: Who) -> Response:
    """Clear one active hint."""
    await act.hints.clear(who.tenant_id, job_id, hint_id)
    return act.preview() if act.rehearsal is not None else Response(status_code=204)


async def _page(
    given: Services, tenant_id: str, job_id: str | None, state: str, limit: int, cursor: str | None
) -> dict[str, Any]:
    bound_to = ("hints", tenant_id, job_id, state)
    page = await given.store.hints(
        tenant_id,
        job_id=job_id,
        active_only=state == "active",
        limit=page_size(limit),
        after=given.cursors.read(cursor, bound_to=bound_to),
    )
    now = await given.store.now()
    return given.cursors.page(page, lambda hint: hint_out(hint, now), bound_to=bound_to)
