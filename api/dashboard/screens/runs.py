"""Runs: every job's, newest slot first, narrowed as the API's list is; and one run with all that is kept of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Query, Response

from api.dashboard.drawing.filters import instant_of, since_choices
from api.dashboard.shell import Viewing, page_router
from api.paging import Cursor
from core.entities import Run, RunStatus
from core.ports.store import RunFilter

SHOWN = 50
STATUSES = [("", "Any status"), *((status.value, status.value) for status in RunStatus)]

router = page_router()

Word = Annotated[str | None, Query(max_length=100)]


@router.get("/runs")
async def index(
    view: Viewing,
    status: Word = None,
    job: Word = None,
    since: Word = None,
    until: Word = None,
    cursor: Cursor = None,
) -> Response:
    """Show a page of runs."""
    given, tenant = view.given, view.who.tenant_id
    wanted = RunStatus(status) if status in set(RunStatus) else None
    begins, ends = instant_of(since, view.now), instant_of(until, view.now)
    where = RunFilter(job or None, wanted, begins, ends)
    bound_to = ("runs page", tenant, job, status, since, until)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.store.runs(tenant, where, limit=SHOWN, after=after)
    return view.page(
        "runs.html",
        active="Runs",
        runs=page.items,
        names=await names_of(view, page.items, job),
        next_cursor=given.cursors.page(page, str, bound_to=bound_to)["nextCursor"],
        asked={"status": status or "", "job": job or "", "since": since or "", "until": until or ""},
        statuses=STATUSES,
        sinces=since_choices(since),
    )


@router.get("/runs/{run_id}")
async def show(run_id: str, view: Viewing) -> Response:
    """Show one run: how it went, what it answered, and what was decided when it settled."""
    run = await view.given.store.run(view.who.tenant_id, run_id)
    attempts = await view.given.store.attempts(view.who.tenant_id, run_id)
    names = await names_of(view, [run], None)
    lateness = _lateness_ms(run.scheduled_for, run.started_at)
    return view.page("run.html", active="Runs", run=run, names=names, attempts=attempts, lateness=lateness)


@router.post("/runs/{run_id}/cancel", operation_id="cancelRun")
async def cancel(run_id: str, view: Viewing) -> Response:
    """Cancel a run that has not ended."""
    await view.given.jobs.cancel(view.who.tenant_id, run_id)
    return view.go(f"/runs/{run_id}", done="canceled")


async def names_of(view: Viewing, runs: Sequence[Run], job_id: str | None) -> dict[str, str]:
    """Return the names of the jobs that these runs are of, by id; an id stands for a name that is gone."""
    ids = {run.job_id for run in runs} | ({job_id} if job_id else set())
    known = await view.given.insights.names(view.who.tenant_id, ids)
    return {each: known.get(each, each) for each in ids}


def _lateness_ms(slot: datetime, started_at: datetime | None) -> int | None:
    """Return how late a run began."""
    return None if started_at is None else max(0, round((started_at - slot).total_seconds() * 1000))
