"""The race-critical statements, named and described; everything else that touches rows is in the store.

Who may write a schedule row: whoever holds its row lock, and, of the workers, only the one whose token is current.
Those with `$1` go over the driver's connection, those with `:name` through SQLAlchemy.
"""

from sqlalchemy import text

_CLAIMABLE = """s.ready_at <= statement_timestamp() + $4
          AND (s.ready_at <= statement_timestamp() OR (s.lease_until IS NULL AND s.ready_at = s.slot_at))
          AND ($6::smallint[] IS NULL OR s.bucket = ANY($6))"""

# Lease jobs that are due, or whose slot comes within the look-ahead ($4), and make their claimed run rows.
#
# Rows that another claimer has locked are passed over, so two claimers never wait for, nor get, the same job. Moving
# `ready_at` to the lease's end takes the row out of the range that the next claim scans, and puts it back by itself
# when the worker dies. An unfinished lease's run is kept (the claimer takes it over); else a pending manual request
# goes first; else the slot's run is made here, named by the entropy ($5) of its place in the batch.
#
# The head of the queue is taken as it stands, unless ($7) it is long, or rows of suspended or held-back tenants ($8)
# may lie in it: then the due tenants are walked through their own index, passing over what may not run without
# touching a row of it, and each gets an equal share. A million rows of one tenant cost the others nothing: a tenant is
# looked for as a range, since for an equality the planner may take the index on `ready_at` alone and filter.
_CLAIM = f"""
    WITH RECURSIVE mode AS MATERIALIZED (
        SELECT $7::boolean OR cardinality($8::text[]) > 0
               OR EXISTS (
                   SELECT 1 FROM tenants t
                   WHERE t.suspended_reason IS NOT NULL
                     AND EXISTS (
                         SELECT 1 FROM schedules s
                         WHERE s.tenant_id >= t.id AND (s.tenant_id, s.ready_at) <= (t.id, statement_timestamp() + $4)
                     )
               ) AS fair
    ),
    tenant_walk AS (
        SELECT (SELECT s.tenant_id FROM schedules s WHERE s.ready_at IS NOT NULL ORDER BY s.tenant_id LIMIT 1) AS id
        WHERE (SELECT fair FROM mode)
        UNION ALL
        SELECT (SELECT s.tenant_id FROM schedules s WHERE s.ready_at IS NOT NULL AND s.tenant_id > w.id
                ORDER BY s.tenant_id LIMIT 1)
        FROM tenant_walk w WHERE w.id IS NOT NULL
    ),
    due_tenants AS MATERIALIZED (
        SELECT w.id, oldest.ready_at
        FROM tenant_walk w
        JOIN tenants t ON t.id = w.id AND t.suspended_reason IS NULL
        CROSS JOIN LATERAL (
            SELECT s.ready_at FROM schedules s
            WHERE s.tenant_id = w.id AND s.ready_at <= statement_timestamp() + $4
            ORDER BY s.ready_at LIMIT 1
        ) AS oldest
        WHERE w.id <> ALL ($8)
    ),
    share AS MATERIALIZED (
        SELECT greatest(1, ceil($2::float8 / greatest(1, count(*)))::bigint) AS rows FROM due_tenants
    ),
    fair AS (
        SELECT mine.*
        FROM (SELECT * FROM due_tenants ORDER BY ready_at LIMIT $2) AS t
        CROSS JOIN LATERAL (
            SELECT s.tenant_id, s.bucket, s.job_id, s.token, s.ready_at, s.lease_until, s.lease_run_id FROM schedules s
            WHERE s.tenant_id >= t.id AND (s.tenant_id, s.ready_at) <= (t.id, statement_timestamp() + $4)
              AND {_CLAIMABLE}
            ORDER BY s.tenant_id, s.ready_at LIMIT (SELECT rows FROM share)
            {{lock}}
        ) AS mine
        LIMIT $2
    ),
    head AS (
        SELECT s.tenant_id, s.bucket, s.job_id, s.token, s.ready_at, s.lease_until, s.lease_run_id FROM schedules s
        WHERE NOT (SELECT fair FROM mode) AND {_CLAIMABLE}
        ORDER BY s.ready_at LIMIT $2
        {{lock}}
    ),
    picked AS MATERIALIZED (
        SELECT *, row_number() OVER ()::int AS place
        FROM (SELECT * FROM fair UNION ALL SELECT * FROM head) AS both_ways {{order}}
    ),
    leased AS (
        UPDATE schedules s
        SET token = s.token + 1,
            lease_worker = $1,
            lease_until = statement_timestamp() + $3,
            ready_at = statement_timestamp() + $3,
            lease_run_id = CASE
                WHEN s.lease_run_id <> '' THEN s.lease_run_id
                WHEN s.manual_at <= statement_timestamp() THEN s.manual_run_id
                WHEN s.slot_at <= statement_timestamp() + $4
                    THEN rubato_run_id((extract(epoch FROM s.slot_at) * 1000000)::bigint, ($5::text[])[p.place])
                ELSE ''
            END
        FROM picked p
        WHERE s.tenant_id = p.tenant_id AND s.bucket = p.bucket AND s.job_id = p.job_id {{unchanged}}
        RETURNING s.*, s.xmin AS revision, p.lease_until AS lapsed_at,
                  coalesce(p.lease_run_id, '') = '' AND s.lease_run_id <> ''
                  AND s.lease_run_id IS DISTINCT FROM s.manual_run_id AS is_new
    ),
    made AS (
        INSERT INTO runs (scheduled_for, tenant_id, bucket, id, job_id, status, trigger, kind, attempt, job_version,
                          worker_id, created_at, truncated, skipped_more, discarded)
        SELECT slot_at, tenant_id, bucket, lease_run_id, job_id, 'claimed', 'scheduled', slot_kind, 1, version,
               $1, statement_timestamp(), false, false, false
        FROM leased WHERE is_new
        ON CONFLICT DO NOTHING
    )
    SELECT leased.*, statement_timestamp() AS now_at FROM leased
    """

_SKIPPING = "FOR UPDATE OF s SKIP LOCKED"
CLAIM = _CLAIM.format(lock=_SKIPPING, order="", unchanged="")

# The same for engines on which passing over locked rows is slow or missing (docs/scale.md): what is due is read without
# a lock, and leased if nobody has touched it since. Two claimers of the same rows get fewer each, and none twice;
# claimers whose buckets are disjoint (`buckets.py`) do not meet. The rows are visited in the order of LOCK_SCHEDULES.
CLAIM_BY_TOKEN = _CLAIM.format(
    lock="",
    order="ORDER BY bucket, tenant_id, job_id",
    unchanged="AND s.token = p.token AND s.ready_at = p.ready_at "
    "AND s.lease_run_id IS NOT DISTINCT FROM p.lease_run_id",
)

# When something may be due that this transaction has not claimed, which kinds of baseline are off, and the clock. A
# statement of its own, and a short one: what the worker knows of the clock is as old as this answer's way to it.
_NEXT_READY = """
    SELECT statement_timestamp() AS now_at, (SELECT min(ready_at) FROM schedules {within}) AS ready_at,
           (SELECT array_agg(ARRAY[scope, name]) FROM flags WHERE name IN ('cron', 'interval') AND value = 'off') AS off
    """
NEXT_READY = _NEXT_READY.format(within="")
NEXT_READY_IN = _NEXT_READY.format(within="WHERE bucket = ANY($1)")

# Mark claimed runs as running, at their slot at the earliest. What has another token or version by now, or is
# suspended, is missing from the answer and left as it is. The schedules are locked, in the order of LOCK_SCHEDULES, and
# not written: a pause that would revoke the claim waits, and then finds the run begun. `last_start_at` is set when the
# run settles.
START = """
    WITH held AS (
        SELECT * FROM unnest($2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::integer[], $7::text[],
                             $8::timestamptz[])
               AS v (tenant_id, bucket, job_id, token, version, run_id, slot_at)
    ),
    begun AS MATERIALIZED (
        SELECT s.tenant_id, s.bucket, s.job_id, s.slot_at, s.lease_run_id
        FROM held JOIN schedules s
          ON s.tenant_id = held.tenant_id AND s.bucket = held.bucket AND s.job_id = held.job_id
        WHERE s.token = held.token AND s.lease_worker = $1 AND s.version = held.version
          AND s.lease_run_id = held.run_id AND s.slot_at = held.slot_at AND s.deleted_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = s.tenant_id AND t.suspended_reason IS NOT NULL)
        ORDER BY s.bucket, s.tenant_id, s.job_id
        FOR NO KEY UPDATE OF s
    )
    UPDATE runs r SET status = 'running', started_at = greatest(clock_timestamp(), begun.slot_at), worker_id = $1
    FROM begun
    WHERE r.scheduled_for = begun.slot_at AND r.tenant_id = begun.tenant_id AND r.bucket = begun.bucket
      AND r.job_id = begun.job_id AND r.trigger = 'scheduled'
      AND r.id = begun.lease_run_id AND r.status IN ('claimed', 'running')
    RETURNING r.job_id, r.started_at
    """

_WANTED = "unnest($1::text[], $2::smallint[], $3::text[]) AS wanted (tenant_id, bucket, job_id)"

# Lock the schedules of a batch, always in the same order, so that two batches cannot wait for each other in a circle.
READ_SCHEDULES = f"""
    SELECT s.* FROM {_WANTED}
    JOIN schedules s ON s.tenant_id = wanted.tenant_id AND s.bucket = wanted.bucket AND s.job_id = wanted.job_id
    ORDER BY s.bucket, s.tenant_id, s.job_id
    """
LOCK_SCHEDULES = f"{READ_SCHEDULES} FOR UPDATE OF s"

# The same for rows that their claimer knows: the row's version tells whether anybody has written it since.
LOCK_KNOWN = f"""
    SELECT s.tenant_id, s.job_id, s.xmin AS revision FROM {_WANTED}
    JOIN schedules s ON s.tenant_id = wanted.tenant_id AND s.bucket = wanted.bucket AND s.job_id = wanted.job_id
    ORDER BY s.bucket, s.tenant_id, s.job_id FOR UPDATE OF s
    """

# What belongs to schedules already locked: read after the locks, in statements of their own, so that they see what
# the transactions that held them before have committed.
READ_DEFINITIONS = """
    SELECT v.*, j.updated_at
    FROM unnest($1::text[], $2::smallint[], $3::text[], $4::integer[]) AS wanted (tenant_id, bucket, job_id, version)
    JOIN jobs j ON j.tenant_id = wanted.tenant_id AND j.bucket = wanted.bucket AND j.id = wanted.job_id
    JOIN job_versions v ON v.tenant_id = wanted.tenant_id AND v.bucket = wanted.bucket
         AND v.job_id = wanted.job_id AND v.version = wanted.version
    """
# The switches of planning and rules stand in the same answer: every decision obeys them as they are at that moment.
READ_LIMITS = """
    SELECT t.*, clock_timestamp() AS now_at,
           (SELECT array_agg(f.value) FROM flags f WHERE f.name = 'planner' AND f.scope IN ('', t.id)) AS planner_flags,
           EXISTS (
               SELECT 1 FROM flags f WHERE f.name = 'rules' AND f.value = 'off' AND f.scope IN ('', t.id)
           ) AS rules_off
    FROM tenants t WHERE t.id = ANY($1::text[])
    """
# Registrations of one tenant take turns, so that two cannot both take the last place. 0x6A6F6273 is "jobs".
REGISTER_IN_TURN = "SELECT pg_advisory_xact_lock(x'6A6F6273'::int, hashtext($1))"
ROOM = """
    SELECT t.max_jobs, (
        SELECT count(*) FROM (
            SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.deleted_at IS NULL LIMIT t.max_jobs
        ) AS counted
    ) AS used
    FROM tenants t WHERE t.id = $1
    """
READ_HINTS = f"""
    SELECT h.*
    FROM {_WANTED}
    JOIN hints h ON h.tenant_id = wanted.tenant_id AND h.bucket = wanted.bucket AND h.job_id = wanted.job_id
    WHERE h.state = 'active'
       OR (h.kind = 'pause' AND h.author <> 'user' AND h.state NOT IN ('shadow', 'rejected')
           AND h.ended_at > statement_timestamp() - interval '7 days')
    ORDER BY h.id
    """
READ_RUNS = """
    SELECT r.*
    FROM unnest($1::timestamptz[], $2::text[], $3::smallint[], $4::text[], $5::text[])
         AS wanted (scheduled_for, tenant_id, bucket, job_id, id)
    JOIN runs r ON r.scheduled_for = wanted.scheduled_for AND r.tenant_id = wanted.tenant_id
         AND r.bucket = wanted.bucket AND r.job_id = wanted.job_id AND r.id = wanted.id
    """

# Extend leases by token; a row that is missing from the answer is no longer this worker's. The rows are locked in the
# order of LOCK_SCHEDULES first: a batch that settles some of them may be under way.
RENEW = """
    WITH held AS MATERIALIZED (
        SELECT s.tenant_id, s.bucket, s.job_id
        FROM unnest($3::text[], $4::smallint[], $5::text[], $6::bigint[]) AS v (tenant_id, bucket, job_id, token)
        JOIN schedules s ON s.tenant_id = v.tenant_id AND s.bucket = v.bucket AND s.job_id = v.job_id
             AND s.token = v.token AND s.lease_worker = $1
        ORDER BY s.bucket, s.tenant_id, s.job_id
        FOR UPDATE OF s
    )
    UPDATE schedules s SET lease_until = statement_timestamp() + $2, ready_at = statement_timestamp() + $2
    FROM held
    WHERE s.tenant_id = held.tenant_id AND s.bucket = held.bucket AND s.job_id = held.job_id
    RETURNING s.job_id
    """

# What is leased to a worker: asked only after a claim whose answer was lost. A lease's end is the row's `ready_at`.
HELD_BY = """
    SELECT s.tenant_id, s.job_id, s.token FROM schedules s
    WHERE s.ready_at > statement_timestamp() AND s.lease_worker = $1 AND s.lease_until > statement_timestamp()
    """

# Jobs whose lease ended that long ago with a run in it, and that nobody could claim since (a suspended tenant's, say).
STALE = """
    SELECT s.tenant_id, s.job_id FROM schedules s
    WHERE s.ready_at <= statement_timestamp() - $1::interval AND s.lease_until <= statement_timestamp() - $1::interval
      AND s.lease_run_id <> ''
    ORDER BY s.ready_at LIMIT $2
    """

# Put off jobs that were just given back: not before this long.
HOLD_BACK = f"""
    UPDATE schedules s SET ready_at = statement_timestamp() + $4
    FROM {_WANTED}
    WHERE s.tenant_id = wanted.tenant_id AND s.bucket = wanted.bucket AND s.job_id = wanted.job_id
      AND s.lease_until IS NULL AND s.ready_at <= statement_timestamp() + $4
    """

# Take test runs that nobody has, or whose worker is gone. They hold no lease on their job.
_CLAIM_TESTS = """
    WITH waiting AS (
        SELECT r.scheduled_for, r.tenant_id, r.bucket, r.id, r.test_token
        FROM runs r
        WHERE r.test_token IS NOT NULL
          AND (r.status = 'claimed' OR (r.status = 'running' AND r.test_lease_until <= statement_timestamp()))
        ORDER BY r.scheduled_for
        LIMIT :limit
        {lock}
    )
    UPDATE runs r
    SET status = 'running', worker_id = :worker, started_at = statement_timestamp(),
        attempt = r.attempt + CASE WHEN r.status = 'running' THEN 1 ELSE 0 END,
        test_token = r.test_token + 1,
        test_lease_until = statement_timestamp() + CAST(:lease AS interval)
                           + make_interval(secs => v.timeout_ms / 1000.0)
    FROM waiting, job_versions v
    WHERE r.scheduled_for = waiting.scheduled_for AND r.tenant_id = waiting.tenant_id
      AND r.bucket = waiting.bucket AND r.id = waiting.id
      AND v.tenant_id = r.tenant_id AND v.bucket = r.bucket AND v.job_id = r.job_id AND v.version = r.job_version
      {unchanged}
    RETURNING r.*
    """
CLAIM_TESTS = text(_CLAIM_TESTS.format(lock="FOR UPDATE OF r SKIP LOCKED", unchanged=""))
CLAIM_TESTS_BY_TOKEN = text(_CLAIM_TESTS.format(lock="", unchanged="AND r.test_token = waiting.test_token"))

# Take jobs whose planning is due. `plan_ready_at` moves to the lease's end, as `ready_at` does in CLAIM.
_CLAIM_PLANS = """
    WITH due AS (
        SELECT s.tenant_id, s.bucket, s.job_id, s.plan_token, s.plan_ready_at
        FROM schedules s
        WHERE s.plan_ready_at <= statement_timestamp()
        ORDER BY s.plan_ready_at
        LIMIT :limit
        {lock}
    )
    UPDATE schedules s
    SET plan_token = s.plan_token + 1, plan_ready_at = statement_timestamp() + CAST(:lease AS interval)
    FROM due
    WHERE s.tenant_id = due.tenant_id AND s.bucket = due.bucket AND s.job_id = due.job_id {unchanged}
    RETURNING s.tenant_id, s.job_id, s.plan_token, s.plan_seq, s.plan_ready_at
    """
CLAIM_PLANS = text(_CLAIM_PLANS.format(lock=_SKIPPING, unchanged=""))
CLAIM_PLANS_BY_TOKEN = text(
    _CLAIM_PLANS.format(lock="", unchanged="AND s.plan_token = due.plan_token AND s.plan_ready_at = due.plan_ready_at")
)
CLAIM_PLAN = text(
    """
    UPDATE schedules s
    SET plan_token = s.plan_token + 1, plan_ready_at = statement_timestamp() + CAST(:lease AS interval)
    WHERE s.tenant_id = :tenant_id AND s.bucket = :bucket AND s.job_id = :job_id
      AND (s.plan_ready_at IS NULL OR s.plan_ready_at <= statement_timestamp())
    RETURNING s.tenant_id, s.job_id, s.plan_token, s.plan_seq, s.plan_ready_at
    """
)

BACKLOG = text("SELECT due, age, parked, quota_used FROM rubato_backlog()")

WAKE = "SELECT pg_notify('rubato_wake', '')"
