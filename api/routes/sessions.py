"""Planner sessions: what was shown, asked, answered and written."""

from typing import Any

from fastapi import APIRouter

from api.auth import Given, Who
from api.paging import DEFAULT_LIMIT, Cursor, Limit, Listed, page_size
from api.routes.documented import problems
from api.schemas.sessions import SessionOut, session_out
from api.services import Services

router = APIRouter(tags=["sessions"])


class SessionsOut(Listed[SessionOut]):
    """A page of sessions, without their conversations."""


@router.get(
    "/sessions",
    operation_id="listSessions",
    responses=problems(),
    response_model=SessionsOut,
    summary="List planner sessions",
)
async def index(given: Given, who: Who, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> dict[str, Any]:
    """Return sessions of every job, newest first."""
    return await _page(given, who.tenant_id, None, limit, cursor)


@router.get(
    "/jobs/{job_id}/sessions",
    operation_id="listJobSessions",
    responses=problems(404),
    response_model=SessionsOut,
    summary="List a job's planner sessions",
)
async def of_job(
    job_id: str, given: Given, who: Who, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """Return one job's sessions, newest first."""
    await given.store.snapshot(who.tenant_id, job_id)
    return await _page(given, who.tenant_id, job_id, limit, cursor)


@router.get(
    "/sessions/{session_id}",
    operation_id="getSession",
    response_model=SessionOut,
    responses=problems(404),
    summary="Read a planner session",
)
async def show(session_id: str, given: Given, who: Who) -> SessionOut:
    """Return one session with its whole conversation."""
    return session_out(await given.store.session(who.tenant_id, session_id), with_messages=True)


async def _page(given: Services, tenant_id: str, job_id: str | None, limit: int, cursor: str | None) -> dict[str, Any]:
    bound_to = ("sessions", tenant_id, job_id)
    page = await given.store.sessions(
        tenant_id, job_id=job_id, limit=page_size(limit), after=given.cursors.read(cursor, bound_to=bound_to)
    )
    return given.cursors.page(page, session_out, bound_to=bound_to)
