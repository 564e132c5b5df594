"""The definitions port on PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, or_, text, tuple_

from core.entities import Definition, Entry, JobStatus, JobVersion, Run
from core.errors import NotFound
from core.ids import bucket_of
from core.ports.definitions import DefinitionFilter, TargetRun, TargetRunFilter
from core.ports.store import JobRef, Page
from rubato.adapters.postgres import queries, tables
from rubato.adapters.postgres.changes import Definitions, addresses, job_from, read_definitions
from rubato.adapters.postgres.codec import definition_from, entry_from, run_from
from rubato.adapters.postgres.contexts import of_job
from rubato.adapters.postgres.engine import Engine, Link, link_of, linked, transaction
from rubato.adapters.postgres.store import PostgresStore

# The newest of each job's runs, by the jobs' own index, and of those the newest: a tenant has few jobs with targets
# among many others, whose runs must not be walked through.
_RUNS = text(
    """
    SELECT r.*
    FROM (
        SELECT DISTINCT tenant_id, bucket, job_id FROM job_versions
        WHERE tenant_id = :tenant AND target IS NOT NULL
          AND (CAST(:job_id AS text) IS NULL OR job_id = :job_id)
          AND (CAST(:target AS text) IS NULL OR target = :target)
          AND (CAST(:key AS text) IS NULL OR key = :key)
    ) AS mine
    CROSS JOIN LATERAL (
        SELECT r.* FROM runs r
        JOIN job_versions v ON v.tenant_id = r.tenant_id AND v.bucket = r.bucket AND v.job_id = r.job_id
             AND v.version = r.job_version
        WHERE r.tenant_id = mine.tenant_id AND r.bucket = mine.bucket AND r.job_id = mine.job_id
          AND v.target IS NOT NULL
          AND (CAST(:target AS text) IS NULL OR v.target = :target)
          AND (CAST(:key AS text) IS NULL OR v.key = :key)
          AND (CAST(:version AS integer) IS NULL OR r.job_version = :version)
          AND (CAST(:status AS text) IS NULL OR r.status = :status)
          AND (CAST(:trigger AS text) IS NULL OR r.trigger = :trigger)
          AND (CAST(:since AS timestamptz) IS NULL OR r.scheduled_for >= :since)
          AND (CAST(:until AS timestamptz) IS NULL OR r.scheduled_for < :until)
          AND (CAST(:after AS text) IS NULL OR r.id < :after)
        ORDER BY r.id DESC LIMIT CAST(:limit AS bigint) + CAST(:offset AS bigint)
    ) AS r
    ORDER BY r.id DESC LIMIT :limit OFFSET :offset
    """
)


class PostgresDefinitions:
    """Reads versions, their runs and histories."""

    def __init__(self, engine: Engine, store: PostgresStore) -> None:
        self._engine, self._store = engine, store

    async def versions(
        self, tenant_id: str, where: DefinitionFilter, *, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[JobVersion]:
        """Return versions whose action is a target, newest job and version first."""
        versions, schedules = tables.job_versions, tables.schedules
        same = and_(*(versions.c[name] == schedules.c[name] for name in ("tenant_id", "bucket", "job_id")))
        statement = versions.select().join_from(versions, schedules, same).where(*_conditions(tenant_id, where))
        if after is not None:
            place = tuple_(versions.c.job_id, versions.c.version)
            statement = statement.where(place < (after[0], _number(after[1:])))
        statement = statement.order_by(versions.c.job_id.desc(), versions.c.version.desc()).limit(limit + 1)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(statement)).mappings().all()
            refs = [JobRef(tenant_id, job_id) for job_id in dict.fromkeys(row["job_id"] for row in rows)]
            link = await link_of(connection)
            current = await link.fetch(queries.READ_SCHEDULES, *addresses(refs))
            defined = await read_definitions(link, current, Definitions())
        jobs = {row["job_id"]: job_from(row, defined[JobRef(tenant_id, row["job_id"])]) for row in current}
        items = [JobVersion(jobs[row["job_id"]], definition_from(row), row["created_at"]) for row in rows[:limit]]
        last = items[-1] if len(rows) > limit else None
        return Page(items, (last.job.id, str(last.definition.version)) if last is not None else None)

    async def runs(
        self,
        tenant_id: str,
        where: TargetRunFilter,
        *,
        limit: int,
        after: tuple[str, ...] | None = None,
        offset: int = 0,
    ) -> Page[TargetRun]:
        """Return runs of versions whose action is a target, newest slot first."""
        given = {
            "tenant": tenant_id,
            "job_id": where.runs.job_id,
            "target": where.target,
            "key": where.key,
            "version": where.version,
            "status": where.runs.status,
            "trigger": where.trigger,
            "since": where.runs.since,
            "until": where.runs.until,
            "after": after[0] if after is not None else None,
            "limit": limit + 1,
            "offset": offset,
        }
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_RUNS, given)).mappings().all()
            runs = [run_from(row) for row in rows[:limit]]
            ran = await _ran(await link_of(connection), runs)
        items = [TargetRun(run, ran[run.job_id, run.job_version]) for run in runs]
        return Page(items, (runs[-1].id,) if len(rows) > limit else None)

    async def run(self, tenant_id: str, run_id: str) -> TargetRun:
        """Return one run of a version whose action is a target."""
        run = await self._store.run(tenant_id, run_id)
        async with linked(self._engine) as link:
            definition = (await _ran(link, [run])).get((run.job_id, run.job_version))
        if definition is None:
            raise NotFound(f"There is no run {run_id} of a registered target.")
        return TargetRun(run, definition)

    async def history(self, tenant_id: str, job_id: str, *, limit: int) -> list[Entry]:
        """Return what people did to a job, newest first."""
        history = tables.job_history
        statement = history.select().where(of_job(history, tenant_id, job_id))
        async with transaction(self._engine) as connection:
            ordered = statement.order_by(history.c.id.desc()).limit(limit)
            rows = (await connection.execute(ordered)).mappings().all()
        return [entry_from(row) for row in rows]


def _number(rest: tuple[str, ...]) -> int:
    """Read a cursor's version; a cursor comes from outside."""
    return int(rest[0]) if rest and rest[0].isdigit() and len(rest[0]) < 10 else 0


def _conditions(tenant_id: str, where: DefinitionFilter) -> list[Any]:
    versions, schedules = tables.job_versions.c, tables.schedules.c
    wanted = [versions.tenant_id == tenant_id, versions.target.is_not(None), schedules.deleted_at.is_(None)]
    if where.job_id is not None:
        wanted.append(of_job(tables.job_versions, tenant_id, where.job_id))
    for column, value in (
        (versions.key, where.key),
        (versions.version, where.version),
        (versions.target, where.target),
    ):
        if value is not None:
            wanted.append(column == value)
    if where.kinds:
        wanted.append(versions.baseline_kind.in_(where.kinds))
    if where.status is not None:
        wanted.append(_in_status(where.status))
    return wanted


def _in_status(status: JobStatus) -> Any:
    """The latest version has its job's status (a timed pause that is over is active); the others are retired."""
    versions, schedules = tables.job_versions.c, tables.schedules.c
    is_latest = versions.version == schedules.version
    is_over = and_(schedules.status == "paused", schedules.paused_until <= func.now())
    if status is JobStatus.RETIRED:
        return or_(versions.version != schedules.version, schedules.status == "retired")
    if status is JobStatus.ACTIVE:
        return and_(is_latest, or_(schedules.status == "active", is_over))
    if status is JobStatus.PAUSED:
        still = or_(schedules.paused_until.is_(None), schedules.paused_until > func.now())
        return and_(is_latest, schedules.status == "paused", still)
    return and_(is_latest, schedules.status == status.value)


async def _ran(link: Link, runs: Sequence[Run]) -> dict[tuple[str, int], Definition]:
    """Return the versions that runs ran, by job and version; those without a target are left out."""
    pairs = dict.fromkeys((run.tenant_id, run.job_id, run.job_version) for run in runs)
    if not pairs:
        return {}
    tenants, jobs, versions = (list(column) for column in zip(*pairs, strict=True))
    rows = await link.fetch(queries.READ_DEFINITIONS, tenants, [bucket_of(job) for job in jobs], jobs, versions)
    return {(row["job_id"], row["version"]): definition_from(row) for row in rows if row["target"] is not None}
