"""Jobs as they are listed: definitions beside their schedules."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, func, literal_column, or_, select

from core.entities import Job, JobStatus
from core.ports.glances import LATE_AFTER
from core.ports.store import Attention
from rubato.adapters.postgres import tables
from rubato.adapters.postgres.codec import definition_from, schedule_from


def job_rows() -> Select[Any]:
    """Select definitions beside their schedules; columns of the schedule win where names meet."""
    jobs, versions, schedules = tables.jobs, tables.job_versions, tables.schedules
    shared = {column.name for column in schedules.columns}
    return (
        select(
            *schedules.columns,
            *(column for column in versions.columns if column.name not in shared),
            jobs.c.updated_at,
            jobs.c.deleted_at,
        )
        .select_from(schedules)
        .join(
            jobs,
            and_(
                jobs.c.tenant_id == schedules.c.tenant_id,
                jobs.c.bucket == schedules.c.bucket,
                jobs.c.id == schedules.c.job_id,
            ),
        )
        .join(
            versions,
            and_(
                versions.c.tenant_id == schedules.c.tenant_id,
                versions.c.bucket == schedules.c.bucket,
                versions.c.job_id == schedules.c.job_id,
                versions.c.version == schedules.c.version,
            ),
        )
    )


def listed_job(row: Mapping[Any, Any]) -> Job:
    """Read a job from such a row."""
    return Job(
        tenant_id=row["tenant_id"],
        id=row["job_id"],
        definition=definition_from(row),
        schedule=schedule_from(row),
        updated_at=row["updated_at"],
        deleted_at=row["deleted_at"],
    )


def named_like(search: str) -> Any:
    """The name or the key holds these characters, in upper or lower case."""
    jobs = tables.jobs
    return or_(jobs.c.name.icontains(search, autoescape=True), jobs.c.key.icontains(search, autoescape=True))


def wanting(attention: Attention) -> Any:
    """As `rubato.adapters.postgres.glances` counts them."""
    schedules, hints = tables.schedules, tables.hints
    if attention is Attention.LATE:
        return schedules.c.ready_at < func.now() - LATE_AFTER
    if attention is Attention.FAILING:
        return schedules.c.failures > 0
    of_planners = select(hints.c.job_id).where(
        hints.c.tenant_id == schedules.c.tenant_id,
        hints.c.bucket == schedules.c.bucket,
        hints.c.job_id == schedules.c.job_id,
        hints.c.state == "active",
        hints.c.author == "planner",
        hints.c.expires_at > func.now(),
    )
    return of_planners.exists()


def visible(status: JobStatus) -> Any:
    """A timed pause that is over counts as active, as `core.usecases.manage_jobs.visible_status` has it."""
    schedules = tables.schedules
    over = and_(schedules.c.status == "paused", schedules.c.paused_until <= func.now())
    if status is JobStatus.ACTIVE:
        return or_(schedules.c.status == "active", over)
    if status is JobStatus.PAUSED:
        still = or_(schedules.c.paused_until.is_(None), schedules.c.paused_until > func.now())
        return and_(schedules.c.status == "paused", still)
    return schedules.c.status == literal_column(f"'{status.value}'")
