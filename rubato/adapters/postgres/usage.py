"""The usage port on PostgreSQL, and what keeps tenants to their runs of a day."""

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.entities import RunStatus
from core.ids import session_id
from core.ports.usage import Allowances, UsageDay
from core.usecases.manage_jobs import RUNS_SPENT
from rubato.adapters.postgres.engine import transaction

_RUNS = text(
    """
    SELECT (scheduled_for AT TIME ZONE 'UTC')::date AS day, status, count(*) AS counted FROM runs
    WHERE tenant_id = :tenant AND scheduled_for >= :since AND scheduled_for < :until
    GROUP BY 1, 2
    """
)
_SESSIONS = text(
    """
    SELECT (started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS counted,
           sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens
    FROM sessions WHERE tenant_id = :tenant AND id >= :first AND id < :last GROUP BY 1
    """
)
# How many runs a tenant `t` had since midnight, counted no further than its limit.
_TODAY = """(
        SELECT count(*) FROM (
            SELECT 1 FROM runs r
            WHERE r.tenant_id = t.id AND r.status <> 'skipped' AND r.scheduled_for <= now()
              AND r.scheduled_for >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
            LIMIT coalesce(t.runs_per_day, 1000000)
        ) AS counted
    )"""
_ALLOWANCES = text(
    f"""
    SELECT t.max_jobs, t.runs_per_day, t.requests_per_minute, t.min_interval_ms, {_TODAY} AS runs_today,
           (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id AND j.deleted_at IS NULL) AS jobs
    FROM tenants t WHERE t.id = :tenant
    """
)
_HOLD = text(
    f"""
    UPDATE tenants t SET suspended_reason = :spent
    WHERE t.runs_per_day IS NOT NULL AND t.suspended_reason IS NULL AND {_TODAY} >= t.runs_per_day
    """
)
_LET_GO = text(
    f"""
    UPDATE tenants t SET suspended_reason = NULL
    WHERE t.suspended_reason = :spent AND (t.runs_per_day IS NULL OR {_TODAY} < t.runs_per_day)
    """
)


class PostgresUsage:
    """Figures by tenant."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def days(self, tenant_id: str, since: datetime, until: datetime) -> Mapping[date, UsageDay]:
        """Return the days on which anything was used."""
        days: dict[date, UsageDay] = {}
        between = {"tenant": tenant_id, "since": since, "until": until}
        named = {"tenant": tenant_id, "first": session_id(since, ""), "last": session_id(until, "")}
        async with transaction(self._engine) as connection:
            runs = (await connection.execute(_RUNS, between)).mappings().all()
            sessions = (await connection.execute(_SESSIONS, named)).mappings().all()
        for row in runs:
            day = days.setdefault(row["day"], UsageDay(row["day"]))
            day.runs[RunStatus(row["status"])] = row["counted"]
        for row in sessions:
            day = days.setdefault(row["day"], UsageDay(row["day"]))
            day.sessions = row["counted"]
            day.input_tokens, day.output_tokens = row["input_tokens"], row["output_tokens"]
        return days

    async def allowances(self, tenant_id: str) -> Allowances:
        """Return what the tenant may use, and how much of it is used."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(_ALLOWANCES, {"tenant": tenant_id})).mappings().one()
        return Allowances(**row)


async def hold_to_runs_per_day(engine: AsyncEngine) -> None:
    """Suspend tenants that have had their runs of the day, until midnight UTC or a higher limit; resume the others.

    Counted beside the run loop, so that a run pays nothing for it: a tenant exceeds its limit by what it starts between
    two looks. A suspension for another reason is left alone. Safe from several workers at once. docs/adr/0021.
    """
    async with transaction(engine) as connection:
        await connection.execute(_LET_GO, {"spent": RUNS_SPENT})
        await connection.execute(_HOLD, {"spent": RUNS_SPENT})
