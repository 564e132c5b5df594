"""Lock, compute, write: how every change to jobs is carried out, many at a time, in a handful of statements."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from core.entities import Decision, Hint, Job, Limits, Run
from core.errors import NotFound, RubatoError
from core.ids import bucket_of, slot_of
from core.ports.store import Change, JobRef, Snapshot, Transition
from rubato.adapters.postgres import queries, tables
from rubato.adapters.postgres.codec import (
    Row,
    decision_to,
    definition_from,
    definition_to,
    hint_from,
    hint_to,
    key,
    limits_from,
    run_from,
    run_to,
    schedule_from,
    schedule_to,
    session_to,
)

_QUIET = frozenset({"begin", "run", "misfire", "unpark", "park"})  # the hot path never wakes anybody

_UPDATE_SCHEDULE = (
    update(tables.schedules)
    .where(
        tables.schedules.c.tenant_id == bindparam("k_tenant"),
        tables.schedules.c.bucket == bindparam("k_bucket"),
        tables.schedules.c.job_id == bindparam("k_job"),
    )
    .values(
        {
            column.name: bindparam(column.name)
            for column in tables.schedules.columns
            if column.name not in ("tenant_id", "bucket", "job_id", "created_at")
        }
    )
)
_UPDATE_JOB = (
    update(tables.jobs)
    .where(
        tables.jobs.c.tenant_id == bindparam("k_tenant"),
        tables.jobs.c.bucket == bindparam("k_bucket"),
        tables.jobs.c.id == bindparam("k_job"),
    )
    .values({name: bindparam(name) for name in ("key", "name", "group_name", "labels", "updated_at", "deleted_at")})
)
_DELETE_RUN = delete(tables.runs).where(
    tables.runs.c.scheduled_for == bindparam("k_slot"),
    tables.runs.c.tenant_id == bindparam("k_tenant"),
    tables.runs.c.bucket == bindparam("k_bucket"),
    tables.runs.c.id == bindparam("k_id"),
)


def _upsert(table: Any) -> Any:
    statement = insert(table)
    keys = {column.name for column in table.primary_key.columns}
    replaced = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    for kept in ("test_token", "test_lease_until"):
        replaced.pop(kept, None)
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=replaced)


_PUT_RUN = _upsert(tables.runs)
_PUT_HINT = _upsert(tables.hints)


async def read_snapshots(
    connection: AsyncConnection, refs: Sequence[JobRef], *, lock: bool, operator_minimum: timedelta
) -> dict[JobRef, Snapshot]:
    """Read what transitions see, for all jobs at once; unknown jobs are missing from the answer."""
    where = _addresses(refs)
    statement = queries.LOCK_SCHEDULES if lock else queries.READ_SCHEDULES
    schedules = (await connection.execute(statement, where)).mappings().all()
    if not schedules:
        return {}
    found = _addresses([JobRef(row["tenant_id"], row["job_id"]) for row in schedules])
    versions = [row["version"] for row in schedules]
    job_rows = (await connection.execute(queries.READ_JOBS, {**found, "versions": versions})).mappings().all()
    definitions = {JobRef(row["tenant_id"], row["job_id"]): row for row in job_rows}
    limits = await read_limits(connection, {row["tenant_id"] for row in schedules}, operator_minimum)
    hints = await _read_hints(connection, found)
    runs = await _read_runs(connection, schedules)
    answer = {}
    for row in schedules:
        ref = JobRef(row["tenant_id"], row["job_id"])
        definition_row = definitions[ref]
        job = Job(
            tenant_id=ref.tenant_id,
            id=ref.job_id,
            definition=definition_from(definition_row),
            schedule=schedule_from(row),
            updated_at=definition_row["updated_at"],
            deleted_at=definition_row["deleted_at"],
        )
        lease, manual = job.schedule.lease, job.schedule.manual
        answer[ref] = Snapshot(
            job=job,
            hints=tuple(hints.get(ref, ())),
            limits=limits[ref.tenant_id],
            now=definition_row["now_at"],
            run=runs.get(lease.run_id) if lease else None,
            manual_run=runs.get(manual.run_id) if manual else None,
        )
    return answer


async def read_limits(
    connection: AsyncConnection, tenant_ids: Iterable[str], operator_minimum: timedelta
) -> dict[str, Limits]:
    """Read tenants' limits."""
    statement = tables.tenants.select().where(tables.tenants.c.id.in_(list(tenant_ids)))
    rows = (await connection.execute(statement)).mappings().all()
    return {row["id"]: limits_from(row, operator_minimum) for row in rows}


async def change_many(
    connection: AsyncConnection, work: Sequence[tuple[JobRef, Transition]], *, operator_minimum: timedelta
) -> list[Change | RubatoError]:
    """Carry out transitions in the connection's transaction. A RubatoError stands in its job's place."""
    refs = [ref for ref, _ in work]
    snapshots = await read_snapshots(connection, refs, lock=True, operator_minimum=operator_minimum)
    answers: list[Change | RubatoError] = []
    accepted: list[tuple[Snapshot, Change]] = []
    for ref, transition in work:
        snapshot = snapshots.get(ref)
        if snapshot is None:
            answers.append(NotFound(f"There is no job {ref.job_id}."))
            continue
        try:
            change = transition(snapshot)
        except RubatoError as error:
            answers.append(error)
        else:
            accepted.append((snapshot, change))
            answers.append(change)
    await _write(connection, accepted)
    return answers


async def insert_job(connection: AsyncConnection, job: Job) -> None:
    """Insert a job's head, first version and schedule."""
    own = key(job.tenant_id, job.id)
    await connection.execute(
        insert(tables.jobs),
        {
            "tenant_id": job.tenant_id,
            "bucket": own["bucket"],
            "id": job.id,
            **_head(job),
            "created_at": job.schedule.created_at,
        },
    )
    await connection.execute(insert(tables.job_versions), {**own, **definition_to(job.definition)})
    await connection.execute(insert(tables.schedules), {**own, **schedule_to(job.schedule, job.definition.version)})


async def insert_decisions(connection: AsyncConnection, decided: Sequence[dict[str, Any]]) -> None:
    """Record decisions that no settled run carries."""
    if decided:
        await connection.execute(insert(tables.decisions).on_conflict_do_nothing(), decided)


async def _write(connection: AsyncConnection, accepted: Sequence[tuple[Snapshot, Change]]) -> None:
    schedules, heads, versions, decided = [], [], [], []
    runs: list[Run] = []
    hints: list[Hint] = []
    removed, sessions = [], []
    for before, change in accepted:
        job, old = change.job, before.job
        keys = {"k_tenant": job.tenant_id, "k_bucket": bucket_of(job.id), "k_job": job.id}
        if (job.schedule, job.definition.version) != (old.schedule, old.definition.version):
            schedules.append({**schedule_to(job.schedule, job.definition.version), **keys})
        if (job.updated_at, job.deleted_at, job.definition.version) != (
            old.updated_at,
            old.deleted_at,
            old.definition.version,
        ):
            heads.append({**_head(job), **keys})
        if job.definition.version != old.definition.version:
            versions.append({**key(job.tenant_id, job.id), **definition_to(job.definition)})
        runs.extend(change.runs)
        hints.extend(change.hints)
        removed += [_run_key(job, run_id) for run_id in change.removed_runs]
        if change.session is not None:
            sessions.append(session_to(change.session))
        if change.decision is not None and all(run.decision is None for run in change.runs):
            decided.append(decision_row(job, change.decision, change.cause))
    if versions:
        await connection.execute(insert(tables.job_versions), versions)
    if schedules:
        await connection.execute(_UPDATE_SCHEDULE, [_without(row, "created_at") for row in schedules])
    if heads:
        await connection.execute(_UPDATE_JOB, heads)
    if removed:
        await connection.execute(_DELETE_RUN, removed)
    if runs:
        await connection.execute(_PUT_RUN, [run_to(run) for run in runs])
    if hints:
        await connection.execute(_PUT_HINT, [hint_to(hint) for hint in hints])
    if sessions:
        await connection.execute(insert(tables.sessions), sessions)
    await insert_decisions(connection, decided)
    if any(change.cause not in _QUIET for _, change in accepted):
        await connection.execute(queries.WAKE)


async def _read_hints(connection: AsyncConnection, where: dict[str, Any]) -> dict[JobRef, list[Hint]]:
    hints: dict[JobRef, list[Hint]] = {}
    for row in (await connection.execute(queries.READ_HINTS, where)).mappings():
        hints.setdefault(JobRef(row["tenant_id"], row["job_id"]), []).append(hint_from(row))
    return hints


async def _read_runs(connection: AsyncConnection, schedules: Sequence[Row]) -> dict[str, Run]:
    wanted = []
    for row in schedules:
        for run_id in (row["lease_run_id"] if row["lease_until"] else None, row["manual_run_id"]):
            slot = slot_of(run_id) if run_id else None
            if slot is not None:
                wanted.append((slot, row["tenant_id"], row["bucket"], run_id))
    if not wanted:
        return {}
    slots, tenants, buckets, ids = (list(column) for column in zip(*wanted, strict=True))
    where = {"slots": slots, "tenants": tenants, "buckets": buckets, "ids": ids}
    rows = (await connection.execute(queries.READ_RUNS, where)).mappings().all()
    return {row["id"]: run_from(row) for row in rows}


def _addresses(refs: Sequence[JobRef]) -> dict[str, Any]:
    return {
        "tenants": [ref.tenant_id for ref in refs],
        "buckets": [bucket_of(ref.job_id) for ref in refs],
        "jobs": [ref.job_id for ref in refs],
    }


def _head(job: Job) -> dict[str, Any]:
    definition = job.definition
    return {
        "key": definition.key,
        "name": definition.name,
        "group_name": definition.group,
        "labels": dict(definition.labels),
        "updated_at": job.updated_at,
        "deleted_at": job.deleted_at,
    }


def _run_key(job: Job, run_id: str) -> dict[str, Any]:
    slot: datetime | None = slot_of(run_id)
    return {"k_slot": slot, "k_tenant": job.tenant_id, "k_bucket": bucket_of(job.id), "k_id": run_id}


def decision_row(job: Job, decision: Decision, cause: str) -> dict[str, Any]:
    """Write a decision's columns."""
    return {
        **key(job.tenant_id, job.id),
        "decided_at": decision.decided_at,
        "cause": cause,
        "decision": decision_to(decision),
    }


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {column: value for column, value in row.items() if column != name}
