"""Retention of runs: whole days are dropped, and what lies outside the days' partitions is deleted in batches."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Unavailable
from rubato.adapters.postgres.engine import transaction

BATCH = 5000  # rows deleted in one transaction
PATIENCE_MS = 300  # for the lock that dropping a partition takes on the whole table: all else waits behind it
TRIES = 20
BETWEEN_TRIES_S = 0.5
_AGO = text("SELECT now() - CAST(:keep AS interval)")
_PARTITIONS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'runs'::regclass"
)
# What lies outside the days' partitions: a worker may not touch that one partition by its name.
_STRAYS = text(
    f"""
    DELETE FROM runs WHERE (scheduled_for, tenant_id, bucket, job_id, trigger) IN (
        SELECT scheduled_for, tenant_id, bucket, job_id, trigger FROM runs
        WHERE tableoid = to_regclass('runs_default') AND scheduled_for < :cutoff LIMIT {BATCH}
    )
    """  # noqa: S608 - a number of ours
)
_ATTEMPTS = text(
    f"DELETE FROM attempts WHERE ctid = ANY(ARRAY("  # noqa: S608 - a number of ours
    f"SELECT ctid FROM attempts WHERE scheduled_for < :cutoff LIMIT {BATCH}))"
)
_DAY = re.compile(r"runs_(\d{8})")


@dataclass(frozen=True, slots=True)
class Purged:
    """What went. `left`: partitions that could not be locked this time; the next purge takes them."""

    partitions: tuple[str, ...]
    rows: int
    left: tuple[str, ...] = ()


async def purge_runs(engine: AsyncEngine, *, keep: timedelta) -> Purged:
    """Remove runs, and their attempts, whose slot lies further back than `keep`, by the database's clock.

    A partition goes when its whole day does, so that a run may stay up to a day longer.
    """
    dropped: list[str] = []
    left: list[str] = []
    async with transaction(engine) as connection:
        cutoff: datetime = (await connection.execute(_AGO, {"keep": keep})).scalar_one()
        names = sorted((await connection.execute(_PARTITIONS)).scalars())
    for name in names:
        ends_at = _end(name)
        if ends_at is not None and ends_at <= cutoff:
            (dropped if await _drop(engine, name) else left).append(name)
    rows = await _delete(engine, _STRAYS, cutoff) + await _delete(engine, _ATTEMPTS, cutoff)
    return Purged(tuple(dropped), rows, tuple(left))


def _end(name: str) -> datetime | None:
    """Return when a day's partition ends, or None for another table."""
    found = _DAY.fullmatch(name)
    return datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1) if found else None


async def _drop(engine: AsyncEngine, name: str) -> bool:
    """Drop a partition as soon as nobody is at the table; False: somebody always was."""
    for _ in range(TRIES):
        try:
            async with transaction(engine) as connection:
                await connection.execute(text(f"SET LOCAL lock_timeout = {PATIENCE_MS}"))
                await connection.execute(text("SELECT rubato_drop_partition(:name)"), {"name": name})
        except Unavailable:  # the lock was not to be had in time
            await asyncio.sleep(BETWEEN_TRIES_S)
        else:
            return True
    return False


async def _delete(engine: AsyncEngine, statement: TextClause, cutoff: datetime) -> int:
    total = 0
    while True:
        async with transaction(engine) as connection:
            count = (await connection.execute(statement, {"cutoff": cutoff})).rowcount
        total += count
        if count < BATCH:
            return total
