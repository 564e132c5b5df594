"""The feed port on PostgreSQL: a position is a snapshot, and what it does not see has changed since.

Every change of a job writes its schedule's row, whose `xmin` is the transaction that wrote it. So no column, no trigger
and no work of the run loop stands behind the feed, and a transaction that commits late is not missed, as it would be by
comparing instants. docs/adr/0041.
"""

import re

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.ports.feed import News
from rubato.adapters.postgres.engine import transaction

_SNAPSHOT = re.compile(r"\d{1,18}:\d{1,18}:(?:\d{1,18}(?:,\d{1,18})*)?", re.ASCII)
MOST_JOBS = 500  # named in one answer; of more, any job may be meant
_NOW = text(
    "SELECT pg_current_snapshot()::text AS position, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS latest, "
    "clock_timestamp() AS now"
)
# `xmin` has 32 bits; its epoch is that of the newest transaction, or the one before.
_CHANGED = text(
    """
    SELECT job_id FROM (
        SELECT job_id, deleted_at, xmin::text::bigint + ((CAST(:latest AS bigint) >> 32) << 32) AS wrote
        FROM schedules WHERE tenant_id = :tenant
    ) AS written
    WHERE NOT pg_visible_in_snapshot(
        (CASE WHEN wrote > CAST(:latest AS bigint) THEN greatest(wrote - 4294967296, 3) ELSE wrote END)::text::xid8,
        CAST(CAST(:position AS text) AS pg_snapshot)
    )
    LIMIT :most
    """
)


class PostgresFeed:
    """Reads under the tenant's role."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def since(self, tenant_id: str, position: str | None) -> News:
        """Return what has changed since a position."""
        async with transaction(self._engine) as connection:
            # The position is taken first: what commits between the two reads is told twice rather than never.
            row = (await connection.execute(_NOW)).mappings().one()
            if position is None:
                return News(row["position"], (), row["now"])
            if not _is_known(position, row["latest"]):
                return News(row["position"], None, row["now"])
            values = {"tenant": tenant_id, "latest": row["latest"], "position": position, "most": MOST_JOBS + 1}
            jobs = (await connection.execute(_CHANGED, values)).scalars().all()
        return News(row["position"], tuple(jobs) if len(jobs) <= MOST_JOBS else None, row["now"])


def _is_known(position: str, latest: int) -> bool:
    """Tell whether a position is a snapshot that this database can have taken: `xmin:xmax:xip,xip`."""
    if not _SNAPSHOT.fullmatch(position):
        return False
    first, last, running = position.split(":")
    values = [int(each) for each in (first, *running.split(","), last) if each]
    return values == sorted(values) and values[0] > 0 and values[-1] <= latest and values[-1] not in values[1:-1]
