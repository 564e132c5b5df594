"""The numbers that sessions leave to later ones, of a job and of its group."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.entities import Job
from core.ids import bucket_of
from core.sessions import NOTES_TOOL

_NEWEST = 5  # sessions of a job looked through: a model's keep none
_SIBLINGS = 20


async def notes_of(
    connection: AsyncConnection, job: Job
) -> tuple[Mapping[str, Any] | None, tuple[Mapping[str, Any], ...]]:
    """Return the newest notes of a job, and those of the other jobs of its group."""
    statement = text(
        """
        SELECT j.id, s.notes
        FROM (SELECT id, bucket FROM jobs WHERE tenant_id = :tenant AND bucket = :bucket AND id = :job
              UNION ALL
              (SELECT id, bucket FROM jobs WHERE tenant_id = :tenant AND group_name = :group AND deleted_at IS NULL
               AND id <> :job LIMIT :siblings)) AS j
        CROSS JOIN LATERAL (
            SELECT each.call -> 'arguments' AS notes
            FROM (SELECT id, calls FROM sessions WHERE tenant_id = :tenant AND bucket = j.bucket AND job_id = j.id
                  ORDER BY id DESC LIMIT :newest) AS newest
            CROSS JOIN LATERAL jsonb_array_elements(newest.calls) AS each (call)
            WHERE each.call ->> 'tool' = :tool
            ORDER BY newest.id DESC LIMIT 1
        ) AS s
        """
    )
    where = {
        "tenant": job.tenant_id,
        "bucket": bucket_of(job.id),
        "job": job.id,
        "group": job.definition.group,
        "siblings": _SIBLINGS,
        "newest": _NEWEST,
        "tool": NOTES_TOOL,
    }
    found = {row.id: row.notes for row in await connection.execute(statement, where)}
    own = found.pop(job.id, None)
    return own, tuple(found.values())
