"""What planning reads: of a job its runs, siblings, past hints and the decision in force; which jobs a hint steers."""

from typing import Any

from sqlalchemy import and_, literal, literal_column, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from core.entities import Author, Decision, Hint, HintState, Job, Run, RunStatus
from core.hints import is_active
from core.ids import bucket_of
from core.ports.store import JobRef, Snapshot
from core.sessions import PlanningContext
from core.windows import MOST_PAST_HINTS, MOST_RUNS, PAST_HINTS_SPAN, SPAN, RunFigures, past_hints, windows_of
from rubato.adapters.postgres import tables
from rubato.adapters.postgres.codec import decision_from, hint_from, run_from
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
    active = tuple(hint for hint in snapshot.hints if is_active(hint, snapshot.now))
    return PlanningContext(
        now=snapshot.now,
        job=job,
        limits=snapshot.limits,
        hints=active,
        runs=tuple(run_from(row) for row in rows),
        siblings=await _siblings(connection, job),
        decision=await latest_decision(connection, job.tenant_id, job.id),
        rules=snapshot.rules,
        past_hints=await _past_hints(connection, snapshot),
        windows=windows_of(await _figures(connection, snapshot), snapshot.now),
        notes=notes,
        sibling_notes=sibling_notes,
    )


async def _past_hints(connection: AsyncConnection, snapshot: Snapshot) -> tuple[Hint, ...]:
    job, hints = snapshot.job, tables.hints
    statement = (
        hints.select()
        .where(
            of_job(hints, job.tenant_id, job.id),
            hints.c.author == Author.PLANNER.value,
            hints.c.state != HintState.ACTIVE.value,
            hints.c.created_at > snapshot.now - PAST_HINTS_SPAN,
        )
        .order_by(hints.c.id.desc())
        .limit(MOST_PAST_HINTS)
    )
    found = [hint_from(row) for row in (await connection.execute(statement)).mappings()]
    return past_hints(found, snapshot)


async def _figures(connection: AsyncConnection, snapshot: Snapshot) -> list[RunFigures]:
    job, runs = snapshot.job, tables.runs
    statement = (
        select(runs.c.scheduled_for, runs.c.status, runs.c.duration_ms, runs.c.gate)
        .where(
            of_job(runs, job.tenant_id, job.id),
            runs.c.scheduled_for >= snapshot.now - SPAN,
            runs.c.trigger != "test",
            runs.c.status.in_(("succeeded", "failed")),
        )
        .order_by(runs.c.id.desc())
        .limit(MOST_RUNS)
    )
    rows = (await connection.execute(statement)).all()
    return [RunFigures(row[0], RunStatus(row[1]), row[2], row[3]) for row in rows]


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


async def steered_jobs(
    connection: AsyncConnection, tenant_id: str | None, *, limit: int, after: JobRef | None
) -> list[JobRef]:
    """Return jobs with an active hint of a planner or a rule, in order of their addresses."""
    hints = tables.hints
    statement = (
        select(hints.c.tenant_id, hints.c.job_id)
        .where(hints.c.state == literal_column("'active'"), hints.c.author != Author.USER.value)
        .distinct()
        .order_by(hints.c.tenant_id, hints.c.job_id)
        .limit(limit)
    )
    if tenant_id is not None:
        statement = statement.where(hints.c.tenant_id == tenant_id)
    if after is not None:
        address = tuple_(hints.c.tenant_id, hints.c.job_id)
        statement = statement.where(address > tuple_(literal(after.tenant_id), literal(after.job_id)))
    rows = (await connection.execute(statement)).all()
    return [JobRef(row.tenant_id, row.job_id) for row in rows]


async def gate_counts(connection: AsyncConnection, tenant_id: str, newest: int) -> dict[str, int]:
    """Return how often the gate gave each verdict among so many of the tenant's newest runs."""
    statement = text(
        """
        SELECT split_part(r.gate, ':', 1) AS verdict, count(*) AS times
        FROM (SELECT gate FROM runs WHERE tenant_id = :tenant ORDER BY id DESC LIMIT :newest) AS r
        WHERE r.gate IS NOT NULL GROUP BY verdict
        """
    )
    rows = (await connection.execute(statement, {"tenant": tenant_id, "newest": newest})).all()
    return {row.verdict: row.times for row in rows}


def of_job(table: Any, tenant_id: str, job_id: str) -> Any:
    """Return the condition that finds a job's rows."""
    return and_(table.c.tenant_id == tenant_id, table.c.bucket == bucket_of(job_id), table.c.job_id == job_id)
