"""The glances port on PostgreSQL: three statements, however many jobs there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.entities import Hint, RunStatus, Trigger
from core.ids import bucket_of
from core.ports.glances import LATE_AFTER, Glimpse, Mark, Summary
from rubato.adapters.postgres.codec import hint_from
from rubato.adapters.postgres.engine import transaction

_MOST_GROUPS = 50
_SUMMARY = text(
    """
    SELECT count(*) AS jobs,
           count(*) FILTER (WHERE ready_at < now() - CAST(:late AS interval)) AS late,
           count(*) FILTER (WHERE failures > 0) AS failing,
           (
               SELECT count(DISTINCT h.job_id) FROM hints h
               WHERE h.tenant_id = :tenant AND h.state = 'active' AND h.author = 'planner' AND h.expires_at > now()
           ) AS steered,
           (
               SELECT coalesce(jsonb_agg(jsonb_build_array(g.name, g.counted) ORDER BY g.name), '[]') FROM (
                   SELECT group_name AS name, count(*) AS counted FROM jobs
                   WHERE tenant_id = :tenant AND deleted_at IS NULL AND group_name IS NOT NULL
                   GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :groups
               ) g
           ) AS groups
    FROM schedules WHERE tenant_id = :tenant AND deleted_at IS NULL
    """
)
_WANTED = "unnest(CAST(:buckets AS smallint[]), CAST(:jobs AS text[])) AS wanted (bucket, job_id)"
_MARKS = text(
    f"""
    SELECT r.* FROM {_WANTED}
    CROSS JOIN LATERAL (
        SELECT job_id, id, scheduled_for, status, trigger, status_code, duration_ms, skipped_count,
               left(coalesce(error_message, skip_reason, ''), 120) AS detail
        FROM runs
        WHERE tenant_id = :tenant AND bucket = wanted.bucket AND job_id = wanted.job_id AND trigger <> 'test'
        ORDER BY id DESC LIMIT :runs
    ) AS r
    """  # noqa: S608 - a list of ours
)
_HINTS = text(
    f"""
    SELECT h.* FROM {_WANTED} JOIN hints h USING (bucket, job_id)
    WHERE h.tenant_id = :tenant AND h.state = 'active' AND (h.expires_at IS NULL OR h.expires_at > now())
    ORDER BY h.id
    """  # noqa: S608 - a list of ours
)


class PostgresGlances:
    """Reads under the tenant's role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def summary(self, tenant_id: str) -> Summary:
        """Return the figures."""
        values = {"tenant": tenant_id, "late": LATE_AFTER, "groups": _MOST_GROUPS}
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_SUMMARY, values)).mappings().one()
        return Summary(row["jobs"], row["late"], row["failing"], row["steered"], dict(row["groups"]))

    async def glimpses(self, tenant_id: str, job_ids: Sequence[str], *, runs: int) -> Mapping[str, Glimpse]:
        """Return a glimpse of each of these jobs."""
        wanted = {"tenant": tenant_id, "buckets": [bucket_of(each) for each in job_ids], "jobs": list(job_ids)}
        async with transaction(self._engine) as connection:
            marked = (await connection.execute(_MARKS, {**wanted, "runs": runs})).mappings().all()
            hinted = (await connection.execute(_HINTS, wanted)).mappings().all()
        marks: dict[str, list[Mark]] = {job_id: [] for job_id in job_ids}
        hints: dict[str, list[Hint]] = {job_id: [] for job_id in job_ids}
        for row in sorted(marked, key=lambda row: str(row["id"])):
            marks[row["job_id"]].append(_mark(row))
        for row in hinted:
            hints[row["job_id"]].append(hint_from(row))
        return {job_id: Glimpse(tuple(marks[job_id]), tuple(hints[job_id])) for job_id in job_ids}


def _mark(row: Mapping[Any, Any]) -> Mark:
    return Mark(
        id=row["id"],
        at=row["scheduled_for"],
        status=RunStatus(row["status"]),
        trigger=Trigger(row["trigger"]),
        status_code=row["status_code"],
        duration_ms=row["duration_ms"],
        skipped_count=row["skipped_count"],
        detail=row["detail"],
    )
