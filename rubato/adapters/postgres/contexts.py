"""What a planning session reads of a job: its runs, its siblings, the decision in force."""

from typing import Any

from sqlalchemy import and_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.entities import Decision, Job, Run
from core.hints import is_active
from core.ids import bucket_of
from core.ports.store import Snapshot
from core.sessions import PlanningContext
from rubato.adapters.postgres import tables
from rubato.adapters.postgres.codec import decision_from, run_from
from rubato.adapters.postgres.notes import notes_of

_SIBLINGS = 20


async def latest_decision(connection: AsyncConnection, tenant_id: str, job_id: str) -> Decision | None:
    """Return the decision in force: a settled run carries its own; those that something else caused have rows."""
    runs, decisions = tables.runs, tables.decisions
    settled = (
        select(runs.c.decision)
        .where(of_job(runs, tenant_id, job_id), runs.c.decision.is_not(None))
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    other = (
        select(decisions.c.decision)
        .where(of_job(decisions, tenant_id, job_id))
        .order_by(decisions.c.decided_at.desc())
        .limit(1)
    )
    found = [(await connection.execute(statement)).scalar_one_or_none() for statement in (settled, other)]
    decoded = [decision_from(row) for row in found if row]
    return max(decoded, key=lambda decision: decision.decided_at, default=None)


async def planning_context(connection: AsyncConnection, snapshot: Snapshot, recent_runs: int) -> PlanningContext:
    """Return what a session sees, with the newest `recent_runs` runs, test runs left out."""
    job, runs = snapshot.job, tables.runs
    statement = (
        runs.select()
        .where(of_job(runs, job.tenant_id, job.id), runs.c.trigger != "test")
        .order_by(runs.c.id.desc())
        .limit(recent_runs)
    )
    rows = (await connection.execute(statement)).mappings().all()
    notes, sibling_notes = await notes_of(connection, job)
    return PlanningContext(
        now=snapshot.now,
        job=job,
        limits=snapshot.limits,
        hints=tuple(hint for hint in snapshot.hints if is_active(hint, snapshot.now)),
        runs=tuple(run_from(row) for row in rows),
        siblings=await _siblings(connection, job),
        decision=await latest_decision(connection, job.tenant_id, job.id),
        notes=notes,
        sibling_notes=sibling_notes,
    )


async def _siblings(connection: AsyncConnection, job: Job) -> tuple[tuple[str, Run], ...]:
    if job.definition.group is None:
        return ()
    statement = text(
        """
        SELECT j.name AS sibling_name, r.*
        FROM (SELECT * FROM jobs WHERE tenant_id = :tenant AND group_name = :group AND deleted_at IS NULL
              AND id <> :job LIMIT :limit) AS j
        CROSS JOIN LATERAL (
            SELECT * FROM runs WHERE tenant_id = j.tenant_id AND bucket = j.bucket AND job_id = j.id
            AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1
        ) AS r
        """
    )
    where = {"tenant": job.tenant_id, "group": job.definition.group, "job": job.id, "limit": _SIBLINGS}
    rows = (await connection.execute(statement, where)).mappings().all()
    return tuple((row["sibling_name"], run_from(row)) for row in rows)


def of_job(table: Any, tenant_id: str, job_id: str) -> Any:
    """Return the condition that finds a job's rows."""
    return and_(table.c.tenant_id == tenant_id, table.c.bucket == bucket_of(job_id), table.c.job_id == job_id)
