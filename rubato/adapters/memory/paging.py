"""Which rows a list shows, in which order, and where its next page begins."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import TypeVar

from core.entities import Author, Hint, Job, Run
from core.hints import is_active
from core.ports.glances import LATE_AFTER
from core.ports.store import Attention, JobFilter, Page, RunFilter
from core.usecases.manage_jobs import visible_status

Item = TypeVar("Item")


def matching_jobs(jobs: Iterable[Job], hints: Iterable[Hint], where: JobFilter, now: datetime) -> list[Job]:
    """Return those of these jobs that are asked for."""
    steered = {hint.job_id for hint in hints if hint.author is Author.PLANNER and is_active(hint, now)}
    return [job for job in jobs if _job_matches(job, where, now, steered)]


def _job_matches(job: Job, where: JobFilter, now: datetime, steered: Collection[str]) -> bool:
    """Tell whether a job is among those asked for. `steered`: jobs with an active hint of a planner."""
    definition, search, ready_at = job.definition, (where.search or "").lower(), job.schedule.ready_at
    wanted = {
        Attention.LATE: ready_at is not None and ready_at < now - LATE_AFTER,
        Attention.FAILING: job.schedule.failures > 0,
        Attention.STEERED: job.id in steered,
    }
    return (
        (where.status is None or visible_status(job, now) is where.status)
        and (where.group is None or definition.group == where.group)
        and (where.key is None or definition.key == where.key)
        and (search in definition.name.lower() or search in (definition.key or "").lower())
        and (where.attention is None or wanted[where.attention])
        and where.labels.items() <= dict(definition.labels).items()
    )


def run_matches(run: Run, where: RunFilter) -> bool:
    """Tell whether a run is among those asked for."""
    return (
        (where.job_id is None or run.job_id == where.job_id)
        and (where.status is None or run.status is where.status)
        and (where.since is None or run.scheduled_for >= where.since)
        and (where.until is None or run.scheduled_for < where.until)
    )


def page(
    found: Iterable[Item],
    key: Callable[[Item], tuple[str, ...]],
    limit: int,
    after: tuple[str, ...] | None,
    offset: int = 0,
) -> Page[Item]:
    """Ids sort by creation, a run's by its slot; so newest first is descending by id."""
    ordered = sorted(found, key=key, reverse=True)
    if after is not None:
        ordered = [item for item in ordered if key(item) < after]
    ordered = ordered[offset:]
    shown = ordered[:limit]
    return Page(shown, key(shown[-1]) if len(ordered) > limit else None)
