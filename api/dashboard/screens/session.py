"""A planner session: what it was shown, what it did, what it cost, and what came of it."""

from datetime import timedelta

from fastapi import Response

from api.dashboard.shell import Viewing, page_router
from core.entities import Hint
from core.errors import NotFound
from core.ports.store import RunFilter

LOOKED_THROUGH = 200  # hints of the job, newest first, for those that the session wrote
SHOWN_RUNS = 10
router = page_router()


@router.get("/sessions/{session_id}")
async def session(view: Viewing, session_id: str) -> Response:
    """Show one session."""
    store, tenant = view.given.store, view.who.tenant_id
    found = await store.session(tenant, session_id)
    try:
        name = (await store.job(tenant, found.job_id)).definition.name
    except NotFound:  # deleted since; its sessions stay
        name = None
    written: list[Hint] = []
    if found.hint_ids:
        listed = (await store.hints(tenant, job_id=found.job_id, limit=LOOKED_THROUGH)).items
        written = [each for each in listed if each.id in found.hint_ids]
    after = await store.runs(tenant, RunFilter(job_id=found.job_id, since=found.finished_at), limit=SHOWN_RUNS)
    return view.page(
        "session.html",
        active="Overview",
        session=found,
        plan=found.plan,
        job_name=name,
        took_ms=(found.finished_at - found.started_at) // timedelta(milliseconds=1),
        hints=written,
        runs=after.items,
    )
