"""The first screen: what is late, what fails, what the planner changes, what budget is left; and a row a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response

from api.dashboard.drawing import band, hints, strip
from api.dashboard.shell import Viewing, page_router
from api.paging import Cursor
from api.services import Services
from core.entities import Hint, Job, JobStatus, Limits
from core.ports.glances import Glimpse
from core.ports.quota import QuotaWindow
from core.ports.store import Attention, JobFilter
from core.usecases.manage_jobs import visible_status

SHOWN_JOBS = 25
router = page_router()

Words = Annotated[str | None, Query(max_length=255)]


@dataclass(frozen=True, slots=True)
class Row:
    """One job as the list shows it."""

    job: Job
    status: JobStatus
    is_running: bool
    strip: strip.Strip
    band: band.Band | None
    baseline: str
    hint: Hint | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the list is narrowed to; empty: it is not."""

    q: str
    status: str
    group: str
    label: str
    show: str

    @property
    def is_narrow(self) -> bool:
        """Tell whether anything is left out."""
        return any((self.q, self.status, self.group, self.label, self.show))

    def filter(self) -> JobFilter:
        """Return it as the store takes it."""
        name, _, value = self.label.partition(":")
        return JobFilter(
            status=JobStatus(self.status) if self.status in set(JobStatus) else None,
            group=self.group or None,
            labels={name: value} if name else {},
            search=self.q or None,
            attention=Attention(self.show) if self.show in set(Attention) else None,
        )


@router.get("/")
async def overview(
    view: Viewing,
    q: Words = None,
    status: Words = None,
    group: Words = None,
    label: Words = None,
    show: Words = None,
    cursor: Cursor = None,
) -> Response:
    """Show the four answers and a page of jobs. The statements it takes do not grow with the jobs."""
    given, tenant = view.given, view.who.tenant_id
    asked = Asked(*(each or "" for each in (q, status, group, label, show)))
    bound_to = ("overview", tenant, asked)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.store.jobs(tenant, asked.filter(), limit=SHOWN_JOBS, after=after)
    glimpses = await given.glances.glimpses(tenant, [job.id for job in page.items], runs=strip.COLUMNS)
    limits = await given.store.limits(tenant)
    listed = given.cursors.page(
        page, lambda job: _row(given, job, glimpses[job.id], limits, view.now), bound_to=bound_to
    )
    return view.page(
        "overview.html",
        active="Overview",
        rows=listed["data"],
        next_cursor=listed["nextCursor"],
        summary=await given.glances.summary(tenant),
        budget=tightest(await given.quota.windows(tenant)),
        planning=given.planner is not None,
        suspended=limits.suspended,
        asked=asked,
        statuses=[("", "Any status"), *((each.value, each.value.capitalize()) for each in JobStatus)],
    )


def _row(given: Services, job: Job, glimpse: Glimpse, limits: Limits, now: datetime) -> Row:
    status, slot = visible_status(job, now), job.schedule.slot
    hint = hints.in_force(glimpse.hints, slot)
    return Row(
        job=job,
        status=status,
        is_running=any(mark.status in ("running", "claimed") for mark in glimpse.marks[-1:]),
        strip=strip.lay_out(glimpse.marks),
        band=band.draw(job, limits, band.baseline_interval(job.definition, given.jobs.cron, now)),
        baseline=hints.baseline(job.definition),
        hint=hint,
        next_at=slot.at if slot is not None and status is not JobStatus.PAUSED else None,
    )


def tightest(windows: list[QuotaWindow]) -> Mapping[str, Any] | None:
    """Return the allowance that is nearest to its end: its name, the share that is left, and when it is full again."""
    open_ones = [each for each in windows if each.limit > 0]
    if not open_ones:
        return None
    window = min(open_ones, key=_left)
    return {"name": window.name.replace("_", " "), "left": _left(window), "closes_at": window.closes_at}


def _left(window: QuotaWindow) -> float:
    return max(0.0, 1 - (window.used + window.reserved) / window.limit)
