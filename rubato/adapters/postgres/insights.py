"""The insights port on PostgreSQL: bounded in what it reads. A group of failures names fifty jobs at the most."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.ids import bucket_of, run_id, session_id
from core.ports.insights import FailureGroup, Failures, SpentHour
from rubato.adapters.postgres.engine import transaction

_NAMES = text("SELECT id, name FROM jobs WHERE tenant_id = :tenant AND bucket = ANY(:buckets) AND id = ANY(:ids)")
_FAILURES = text(
    """
    WITH looked AS (
        SELECT id, job_id, status, status_code, error_message, scheduled_for FROM runs
        WHERE tenant_id = :tenant AND id >= :first ORDER BY id DESC LIMIT :newest
    )
    SELECT status_code, error_message, count(*) AS counted, min(scheduled_for) AS first_at,
           max(scheduled_for) AS last_at, max(id) AS last_run_id,
           (array_agg(DISTINCT job_id))[1:50] AS job_ids
    FROM looked WHERE status = 'failed'
    GROUP BY status_code, error_message ORDER BY counted DESC, last_at DESC
    """
)
_EXAMINED = text(
    "SELECT count(*) FROM (SELECT 1 FROM runs WHERE tenant_id = :tenant AND id >= :first LIMIT :newest) AS looked"
)
_HOURS = text(
    """
    SELECT date_trunc('hour', started_at) AS at, count(*) AS sessions,
           sum(input_tokens + output_tokens)::bigint AS tokens
    FROM sessions WHERE tenant_id = :tenant AND id >= :first AND id < :last GROUP BY 1 ORDER BY 1
    """
)


class PostgresInsights:
    """Figures and names by tenant."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def names(self, tenant_id: str, job_ids: Collection[str]) -> Mapping[str, str]:
        """Return jobs' present names."""
        if not job_ids:
            return {}
        asked = {"tenant": tenant_id, "ids": sorted(job_ids), "buckets": sorted({bucket_of(each) for each in job_ids})}
        async with transaction(self._engine) as connection:
            rows = await connection.execute(_NAMES, asked)
            return {row.id: row.name for row in rows}

    async def failures(self, tenant_id: str, since: datetime, *, newest: int) -> Failures:
        """Return how runs failed."""
        asked = {"tenant": tenant_id, "first": run_id(since, ""), "newest": newest}
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_FAILURES, asked)).all()
            examined: int = (await connection.execute(_EXAMINED, asked)).scalar_one()
        groups = [
            FailureGroup(
                status_code=row.status_code,
                error_message=row.error_message,
                count=row.counted,
                job_ids=tuple(row.job_ids),
                first_at=row.first_at,
                last_at=row.last_at,
                last_run_id=row.last_run_id,
            )
            for row in rows
        ]
        return Failures(groups, examined, examined == newest)

    async def spent_hours(self, tenant_id: str, since: datetime, until: datetime) -> list[SpentHour]:
        """Return the hours in which sessions began."""
        between = {"tenant": tenant_id, "first": session_id(since, ""), "last": session_id(until, "")}
        async with transaction(self._engine) as connection:
            rows = await connection.execute(_HOURS, between)
            return [SpentHour(row.at, row.sessions, row.tokens) for row in rows]
