"""Sealing jobs' secrets anew, while everything runs: each row is compared and set, a few at a time."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import SecretLostError
from rubato.adapters.postgres.engine import to_json, transaction

BATCH = 200  # rows a transaction; none is read by the run loop more than once, so none of its locks is felt

_READ = text(
    """
    SELECT tenant_id, bucket, job_id, version, secret_headers, secret_body FROM job_versions
    WHERE (tenant_id, bucket, job_id, version) > (:tenant_id, :bucket, :job_id, :version)
      AND (secret_headers <> '{}' OR secret_body IS NOT NULL)
    ORDER BY tenant_id, bucket, job_id, version LIMIT :batch
    """
)
_WRITE = text(
    """
    UPDATE job_versions SET secret_headers = CAST(:headers AS jsonb), secret_body = :body
    WHERE tenant_id = :tenant_id AND bucket = :bucket AND job_id = :job_id AND version = :version
    """
)


_READ_SIGNING = text(
    """
    SELECT tenant_id, id, sealed FROM signing_secrets WHERE (tenant_id, id) > (:tenant_id, :id)
    ORDER BY tenant_id, id LIMIT :batch
    """
)
_WRITE_SIGNING = text(
    "UPDATE signing_secrets SET sealed = :renewed WHERE tenant_id = :tenant_id AND id = :id AND sealed = :sealed"
)


class Rotated(NamedTuple):
    """How many versions of jobs hold secrets, and signing secrets there are; how many were sealed anew, and how many
    could not be opened (they were left as they are)."""

    seen: int
    renewed: int
    lost: int


async def rotate_secrets(engine: AsyncEngine, renew: Callable[[str], str | None]) -> Rotated:
    """Seal every secret of jobs and every signing secret under the newest key.

    `renew` returns None for what already is, and raises SecretLostError.

    What is cut off goes on where it was when it is called again. A version's secrets are never edited by anybody else.
    """
    signing = await _rotate_signing(engine, renew)
    seen, renewed, lost = signing
    after: Mapping[str, Any] = {"tenant_id": "", "bucket": -1, "job_id": "", "version": -1}
    while True:
        async with transaction(engine) as connection:
            rows = (await connection.execute(_READ, {**after, "batch": BATCH})).mappings().all()
            for row in rows:
                after = {name: row[name] for name in after}
                seen += 1
                try:
                    changed = _renewed(row, renew)
                except SecretLostError:
                    lost += 1
                    continue
                if changed is not None:
                    await connection.execute(_WRITE, {**after, **changed})
                    renewed += 1
        if len(rows) < BATCH:
            return Rotated(seen, renewed, lost)


async def _rotate_signing(engine: AsyncEngine, renew: Callable[[str], str | None]) -> Rotated:
    seen = renewed = lost = 0
    after: Mapping[str, Any] = {"tenant_id": "", "id": ""}
    while True:
        async with transaction(engine) as connection:
            rows = (await connection.execute(_READ_SIGNING, {**after, "batch": BATCH})).mappings().all()
            for row in rows:
                after = {name: row[name] for name in after}
                seen += 1
                try:
                    changed = renew(row["sealed"])
                except SecretLostError:
                    lost += 1
                    continue
                if changed is not None:
                    await connection.execute(_WRITE_SIGNING, {**row, "renewed": changed})
                    renewed += 1
        if len(rows) < BATCH:
            return Rotated(seen, renewed, lost)


def _renewed(row: Mapping[Any, Any], renew: Callable[[str], str | None]) -> dict[str, Any] | None:
    headers = {name: renew(sealed) for name, sealed in row["secret_headers"].items()}
    body = renew(row["secret_body"]) if row["secret_body"] is not None else None
    if body is None and not any(headers.values()):
        return None
    kept = {name: new or row["secret_headers"][name] for name, new in headers.items()}
    return {"headers": to_json(kept), "body": body or row["secret_body"]}
