"""Channels and notices on PostgreSQL. What is wrong is read from what runs and sessions left behind."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from core.errors import InvalidInput, Issue, NotFound
from core.ids import lowest_session_id
from core.notices import SLOWDOWN, Channel, ChannelKind, Notice, NoticeKind
from core.ports.notices import Delivery, SlowHint
from core.ports.store import Page
from rubato.adapters.postgres.engine import Engine, to_json, transaction

DENIED_WITHIN = timedelta(minutes=10)  # a session refused this lately: the allowance is still used up
MOST_OPENED = 500  # by one look; the rest comes with the next

_ADD_CHANNEL = text(
    """
    INSERT INTO channels (tenant_id, id, job_id, name, kind, address, events, failure_streak, created_at)
    SELECT :tenant, :id, CAST(:job AS text), :name, :kind, :address, CAST(:events AS jsonb), :streak, :created_at
    WHERE CAST(:job AS text) IS NULL
       OR EXISTS (SELECT 1 FROM jobs WHERE tenant_id = :tenant AND id = :job AND deleted_at IS NULL)
    RETURNING id
    """
)
_CHANNELS = text("SELECT * FROM channels WHERE tenant_id = :tenant ORDER BY created_at, id")
_CHANNEL = text("SELECT * FROM channels WHERE tenant_id = :tenant AND id = :id")
_REMOVE = text("DELETE FROM channels WHERE tenant_id = :tenant AND id = :id RETURNING id")

_ADD = text(
    """
    INSERT INTO notices (tenant_id, id, channel_id, job_id, kind, facts, opened_at, closed_at, next_at)
    VALUES (:tenant, :id, :channel, :job, :kind, CAST(:facts AS jsonb), :opened_at, :opened_at, now())
    """
)
_NOTICES = text(
    """
    SELECT * FROM notices
    WHERE tenant_id = :tenant AND (CAST(:channel AS text) IS NULL OR channel_id = :channel)
      AND (CAST(:before AS timestamptz) IS NULL OR (opened_at, id) < (:before, :before_id))
    ORDER BY opened_at DESC, id DESC LIMIT :limit
    """
)

_SLOW_HINTS = text(
    """
    SELECT h.tenant_id, h.job_id, v.cron_expression, v.timezone, h.interval_ms, h.created_at
    FROM channels c
    JOIN hints h ON h.tenant_id = c.tenant_id AND (c.job_id IS NULL OR h.job_id = c.job_id)
    JOIN schedules s ON s.tenant_id = h.tenant_id AND s.bucket = h.bucket AND s.job_id = h.job_id
    JOIN job_versions v ON v.tenant_id = s.tenant_id AND v.bucket = s.bucket AND v.job_id = s.job_id
        AND v.version = s.version
    WHERE c.events @> '["slowed"]' AND h.state = 'active' AND h.author = 'planner' AND h.kind = 'interval'
      AND h.expires_at > now() AND v.baseline_kind = 'cron' AND s.deleted_at IS NULL
    """
)

# Symptoms: (tenant, channel, job, kind) that hold at this moment, for channels that want to be told of them. What holds
# and has no open notice gets one; what has one and does not hold any more is closed; a streak that ended is told. The
# release before this one counts baseline runs only: of the two counts the greater one is the streak.
_FIND = text(
    """
    WITH symptoms AS MATERIALIZED (
        SELECT c.tenant_id, c.id AS channel_id, s.bucket, s.job_id,
               CASE WHEN s.status = 'parked' THEN 'parked' ELSE 'failing' END AS kind,
               jsonb_build_object('failures', greatest(s.failures, s.failed_runs), 'reason', s.parked_reason) AS facts
        FROM channels c
        JOIN schedules s ON s.tenant_id = c.tenant_id AND (c.job_id IS NULL OR s.job_id = c.job_id)
        WHERE s.deleted_at IS NULL AND CASE WHEN s.status = 'parked' THEN c.events @> '["parked"]'
              ELSE greatest(s.failures, s.failed_runs) >= c.failure_streak
                   AND c.events ?| ARRAY['failing', 'recovered'] END
        UNION ALL
        SELECT c.tenant_id, c.id, h.bucket, h.job_id, CASE WHEN h.kind = 'pause' THEN 'paused' ELSE 'slowed' END,
               jsonb_build_object('reason', max(h.reason), 'until', max(h.until), 'interval_ms', max(h.interval_ms))
        FROM channels c
        JOIN hints h ON h.tenant_id = c.tenant_id AND (c.job_id IS NULL OR h.job_id = c.job_id)
        JOIN schedules s ON s.tenant_id = h.tenant_id AND s.bucket = h.bucket AND s.job_id = h.job_id
        JOIN job_versions v ON v.tenant_id = s.tenant_id AND v.bucket = s.bucket AND v.job_id = s.job_id
            AND v.version = s.version
        WHERE h.state = 'active' AND h.author = 'planner' AND h.expires_at > now() AND s.deleted_at IS NULL
          AND CASE h.kind
              WHEN 'pause' THEN c.events @> '["paused"]' AND h.until > now()
              WHEN 'interval' THEN c.events @> '["slowed"]' AND (
                  h.interval_ms >= :slowdown * v.interval_ms
                  OR (h.tenant_id, h.job_id) IN (
                      SELECT * FROM unnest(CAST(:slow_tenants AS text[]), CAST(:slow_jobs AS text[]))
                  )
              )
              ELSE false END
        GROUP BY 1, 2, 3, 4, 5
        UNION ALL
        SELECT c.tenant_id, c.id, 0, '', 'quota', jsonb_build_object('reason', denied.error)
        FROM channels c
        CROSS JOIN LATERAL (
            SELECT ses.error FROM sessions ses
            WHERE ses.tenant_id = c.tenant_id AND ses.id >= :denied_since AND ses.outcome = 'denied'
              AND (c.job_id IS NULL OR ses.job_id = c.job_id)
            ORDER BY ses.id DESC LIMIT 1
        ) AS denied
        WHERE c.events @> '["quota"]'
    ),
    closed AS (
        UPDATE notices n SET closed_at = now()
        WHERE n.closed_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM symptoms x
            WHERE (x.tenant_id, x.channel_id, x.job_id, x.kind) = (n.tenant_id, n.channel_id, n.job_id, n.kind)
        )
        RETURNING n.tenant_id, n.channel_id, n.job_id, n.kind
    ),
    new AS (
        SELECT x.tenant_id, x.channel_id, x.bucket, x.job_id, x.kind, x.facts, NULL::timestamptz AS closed_at
        FROM symptoms x
        WHERE NOT EXISTS (
            SELECT 1 FROM notices n
            WHERE (n.tenant_id, n.channel_id, n.job_id, n.kind) = (x.tenant_id, x.channel_id, x.job_id, x.kind)
              AND (n.closed_at IS NULL OR n.opened_at > now() - CAST(:quiet AS interval))
        )
        UNION ALL
        SELECT d.tenant_id, d.channel_id, s.bucket, d.job_id, 'recovered', '{}'::jsonb, now()
        FROM closed d
        JOIN channels c ON (c.tenant_id, c.id) = (d.tenant_id, d.channel_id)
        JOIN schedules s ON s.tenant_id = d.tenant_id AND s.job_id = d.job_id
        WHERE d.kind = 'failing' AND s.failures = 0 AND s.failed_runs = 0 AND s.deleted_at IS NULL
          AND c.events @> '["recovered"]'
        LIMIT :most
    ),
    opened AS (
        INSERT INTO notices (tenant_id, id, channel_id, job_id, kind, facts, closed_at, next_at)
        SELECT x.tenant_id, 'ntc_' || replace(gen_random_uuid()::text, '-', ''), x.channel_id, x.job_id, x.kind,
               jsonb_strip_nulls(x.facts || jsonb_build_object(
                   'job_name', j.name,
                   'reason', coalesce(x.facts ->> 'reason', CASE x.kind WHEN 'failing' THEN (
                       SELECT r.error_message FROM runs r
                       WHERE (r.tenant_id, r.bucket, r.job_id) = (x.tenant_id, x.bucket, x.job_id)
                         AND r.status = 'failed' ORDER BY r.id DESC LIMIT 1
                   ) END)
               )),
               x.closed_at,
               CASE WHEN x.kind <> 'failing' OR c.events @> '["failing"]' THEN now() END
        FROM new x
        JOIN channels c ON (c.tenant_id, c.id) = (x.tenant_id, x.channel_id)
        LEFT JOIN jobs j ON (j.tenant_id, j.bucket, j.id) = (x.tenant_id, x.bucket, x.job_id)
        ON CONFLICT DO NOTHING
        RETURNING kind, next_at
    )
    SELECT kind, count(*) AS count FROM opened WHERE next_at IS NOT NULL GROUP BY kind
    """
)

# A try is a lease: a worker that dies with it is followed by another when it ends.
_CLAIM = text(
    """
    UPDATE notices n SET attempts = n.attempts + 1, next_at = now() + CAST(:lease AS interval)
    FROM channels c
    WHERE (c.tenant_id, c.id) = (n.tenant_id, n.channel_id) AND (n.tenant_id, n.id) IN (
        SELECT tenant_id, id FROM notices WHERE next_at <= now() ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING n.*, c.job_id AS only_job, c.name, c.kind AS channel_kind, c.address, c.events, c.failure_streak,
              c.created_at
    """
)
_DELIVERED = text(
    "UPDATE notices SET delivered_at = now(), next_at = NULL, last_error = NULL "
    "WHERE tenant_id = :tenant AND id = :id AND attempts = :attempts"
)
_FAILED = text(
    "UPDATE notices SET last_error = :error, next_at = now() + CAST(:again_in AS interval) "
    "WHERE tenant_id = :tenant AND id = :id AND attempts = :attempts"
)


class PostgresNotices:
    """The port on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add_channel(self, channel: Channel) -> None:
        """Store it."""
        given = {
            "tenant": channel.tenant_id,
            "id": channel.id,
            "job": channel.job_id,
            "name": channel.name,
            "kind": channel.kind.value,
            "address": channel.address,
            "events": to_json([kind.value for kind in channel.events]),
            "streak": channel.failure_streak,
            "created_at": channel.created_at,
        }
        if not await self._rows(_ADD_CHANNEL, given):
            raise NotFound(f"There is no job {channel.job_id}.")

    async def channels(self, tenant_id: str) -> list[Channel]:
        """Return a tenant's channels."""
        return [_channel(row) for row in await self._rows(_CHANNELS, {"tenant": tenant_id})]

    async def channel(self, tenant_id: str, channel_id: str) -> Channel:
        """Return one."""
        rows = await self._rows(_CHANNEL, {"tenant": tenant_id, "id": channel_id})
        if not rows:
            raise NotFound(f"There is no channel {channel_id}.")
        return _channel(rows[0])

    async def remove_channel(self, tenant_id: str, channel_id: str) -> None:
        """Remove it with its notices."""
        if not await self._rows(_REMOVE, {"tenant": tenant_id, "id": channel_id}):
            raise NotFound(f"There is no channel {channel_id}.")

    async def add(self, notice: Notice) -> None:
        """Store a notice that is due at once."""
        given = {
            "tenant": notice.tenant_id,
            "id": notice.id,
            "channel": notice.channel_id,
            "job": notice.job_id or "",
            "kind": notice.kind.value,
            "facts": to_json(dict(notice.facts)),
            "opened_at": notice.opened_at,
        }
        async with transaction(self._engine) as connection:
            await connection.execute(_ADD, given)

    async def notices(
        self, tenant_id: str, *, channel_id: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Notice]:
        """Return notices, newest first."""
        before, before_id = _position(after)
        given = {
            "tenant": tenant_id,
            "channel": channel_id,
            "limit": limit + 1,
            "before": before,
            "before_id": before_id,
        }
        found = [_notice(row) for row in await self._rows(_NOTICES, given)]
        last = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], (last.opened_at.isoformat(), last.id) if last is not None else None)

    async def slow_hints(self) -> list[SlowHint]:
        """Return planners' intervals on cron baselines."""
        return [
            SlowHint(
                row["tenant_id"],
                row["job_id"],
                row["cron_expression"],
                row["timezone"],
                timedelta(milliseconds=row["interval_ms"]),
                row["created_at"].astimezone(UTC),
            )
            for row in await self._rows(_SLOW_HINTS, {})
        ]

    async def find(self, slowed: Sequence[SlowHint], *, quiet: timedelta) -> dict[str, int]:
        """Open and close notices."""
        async with transaction(self._engine) as connection:
            now = (await connection.execute(text("SELECT now()"))).scalar_one()
            given = {
                "slowdown": SLOWDOWN,
                "slow_tenants": [hint.tenant_id for hint in slowed],
                "slow_jobs": [hint.job_id for hint in slowed],
                "denied_since": lowest_session_id(now - DENIED_WITHIN),
                "quiet": quiet,
                "most": MOST_OPENED,
            }
            rows = (await connection.execute(_FIND, given)).mappings().all()
        return {row["kind"]: row["count"] for row in rows}

    async def claim(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        """Take notices that are due."""
        rows = await self._rows(_CLAIM, {"limit": limit, "lease": lease})
        return [
            Delivery(
                _notice(row),
                _channel({**row, "id": row["channel_id"], "kind": row["channel_kind"], "job_id": row["only_job"]}),
            )
            for row in rows
        ]

    async def delivered(self, notice: Notice) -> None:
        """Record that it arrived."""
        given = {"tenant": notice.tenant_id, "id": notice.id, "attempts": notice.attempts}
        async with transaction(self._engine) as connection:
            await connection.execute(_DELIVERED, given)

    async def failed(self, notice: Notice, error: str, *, again_in: timedelta | None) -> None:
        """Record that it did not."""
        given = {
            "tenant": notice.tenant_id,
            "id": notice.id,
            "attempts": notice.attempts,
            "error": error[:500].replace("\0", ""),
            "again_in": again_in,
        }
        async with transaction(self._engine) as connection:
            await connection.execute(_FAILED, given)

    async def _rows(self, statement: Any, given: Mapping[str, Any]) -> list[Any]:
        async with transaction(self._engine) as connection:
            return list((await connection.execute(statement, given)).mappings().all())


def _position(after: tuple[str, ...] | None) -> tuple[datetime | None, str | None]:
    if after is None:
        return None, None
    try:
        at, notice_id = after
        return datetime.fromisoformat(at).astimezone(UTC), notice_id
    except ValueError as error:
        detail = "cursor does not belong to this list; take nextCursor of its page before."
        raise InvalidInput([Issue("?cursor", "invalid_cursor", detail)]) from error


def _channel(row: Mapping[str, Any]) -> Channel:
    return Channel(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        kind=ChannelKind(row["kind"]),
        address=row["address"],
        created_at=row["created_at"].astimezone(UTC),
        job_id=row["job_id"],
        events=tuple(NoticeKind(each) for each in row["events"]),
        failure_streak=row["failure_streak"],
    )


def _notice(row: Mapping[str, Any]) -> Notice:
    return Notice(
        id=row["id"],
        tenant_id=row["tenant_id"],
        channel_id=row["channel_id"],
        kind=NoticeKind(row["kind"]),
        opened_at=row["opened_at"].astimezone(UTC),
        facts=row["facts"],
        job_id=row["job_id"] or None,
        attempts=row["attempts"],
        next_at=row["next_at"],
        delivered_at=row["delivered_at"],
        closed_at=row["closed_at"],
        last_error=row["last_error"],
    )
