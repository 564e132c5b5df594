"""The race-critical statements, named and described; everything else that touches rows is in the store.

Who may write a schedule row: whoever holds its row lock, and, of the workers, only the one whose token is current.
"""

from sqlalchemy import text

# Lease due jobs. Rows that another claimer has locked are passed over, so two claimers never wait for, nor get, the
# same job. Moving `ready_at` to the lease's end takes the row out of the range that the next claim scans, and puts it
# back by itself when the worker dies. An unfinished lease's run is kept (the claimer takes it over); else a pending
# manual request goes first; else the run row is made by the caller in the same transaction.
CLAIM = text(
    """
    WITH due AS (
        SELECT s.tenant_id, s.bucket, s.job_id
        FROM schedules s
        WHERE s.ready_at <= statement_timestamp()
          AND (CAST(:buckets AS smallint[]) IS NULL OR s.bucket = ANY(CAST(:buckets AS smallint[])))
          AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = s.tenant_id AND t.suspended_reason IS NOT NULL)
        ORDER BY s.ready_at
        LIMIT :limit
        FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE schedules s
    SET token = s.token + 1,
        lease_worker = :worker,
        lease_until = statement_timestamp() + CAST(:lease AS interval),
        ready_at = statement_timestamp() + CAST(:lease AS interval),
        lease_run_id = CASE
            WHEN s.lease_run_id <> '' THEN s.lease_run_id
            WHEN s.manual_at <= statement_timestamp() THEN s.manual_run_id
            ELSE ''
        END
    FROM due
    WHERE s.tenant_id = due.tenant_id AND s.bucket = due.bucket AND s.job_id = due.job_id
    RETURNING s.tenant_id, s.bucket, s.job_id, s.token, s.lease_run_id, s.slot_at, s.slot_kind, s.version,
              s.slot_at <= statement_timestamp() AS slot_is_due
    """
)

# Name the run of a claim made in this transaction.
NAME_RUN = text(
    """
    UPDATE schedules SET lease_run_id = :run_id
    WHERE tenant_id = :tenant_id AND bucket = :bucket AND job_id = :job_id AND token = :token
    """
)

NEXT_READY = text("SELECT min(ready_at) FROM schedules WHERE ready_at IS NOT NULL")

# Lock the schedules of a batch, always in the same order, so that two batches cannot wait for each other in a circle.
LOCK_SCHEDULES = text(
    """
    SELECT s.* FROM schedules s
    JOIN unnest(CAST(:tenants AS text[]), CAST(:buckets AS smallint[]), CAST(:jobs AS text[]))
         AS wanted (tenant_id, bucket, job_id)
      ON s.tenant_id = wanted.tenant_id AND s.bucket = wanted.bucket AND s.job_id = wanted.job_id
    ORDER BY s.bucket, s.tenant_id, s.job_id
    FOR UPDATE OF s
    """
)
READ_SCHEDULES = text(str(LOCK_SCHEDULES.text).replace("FOR UPDATE OF s", ""))

# What belongs to schedules already locked: read after the locks, in a statement of its own, so that it sees what the
# transactions that held them before have committed.
READ_JOBS = text(
    """
    SELECT v.*, j.updated_at, j.deleted_at, clock_timestamp() AS now_at
    FROM unnest(CAST(:tenants AS text[]), CAST(:buckets AS smallint[]), CAST(:jobs AS text[]),
                CAST(:versions AS integer[])) AS wanted (tenant_id, bucket, job_id, version)
    JOIN jobs j ON j.tenant_id = wanted.tenant_id AND j.bucket = wanted.bucket AND j.id = wanted.job_id
    JOIN job_versions v ON v.tenant_id = wanted.tenant_id AND v.bucket = wanted.bucket
         AND v.job_id = wanted.job_id AND v.version = wanted.version
    """
)
READ_HINTS = text(
    """
    SELECT h.*
    FROM unnest(CAST(:tenants AS text[]), CAST(:buckets AS smallint[]), CAST(:jobs AS text[]))
         AS wanted (tenant_id, bucket, job_id)
    JOIN hints h ON h.tenant_id = wanted.tenant_id AND h.bucket = wanted.bucket AND h.job_id = wanted.job_id
    WHERE h.state = 'active'
       OR (h.kind = 'pause' AND h.author <> 'user' AND h.state NOT IN ('shadow', 'rejected')
           AND h.ended_at > statement_timestamp() - interval '7 days')
    ORDER BY h.id
    """
)
READ_RUNS = text(
    """
    SELECT r.*
    FROM unnest(CAST(:slots AS timestamptz[]), CAST(:tenants AS text[]), CAST(:buckets AS smallint[]),
                CAST(:ids AS text[])) AS wanted (scheduled_for, tenant_id, bucket, id)
    JOIN runs r ON r.scheduled_for = wanted.scheduled_for AND r.tenant_id = wanted.tenant_id
         AND r.bucket = wanted.bucket AND r.id = wanted.id
    """
)

# Extend leases by token; a row that is missing from the answer is no longer this worker's.
RENEW = text(
    """
    UPDATE schedules s
    SET lease_until = statement_timestamp() + CAST(:lease AS interval),
        ready_at = statement_timestamp() + CAST(:lease AS interval)
    FROM unnest(CAST(:tenants AS text[]), CAST(:buckets AS smallint[]), CAST(:jobs AS text[]),
                CAST(:tokens AS bigint[])) AS held (tenant_id, bucket, job_id, token)
    WHERE s.tenant_id = held.tenant_id AND s.bucket = held.bucket AND s.job_id = held.job_id
      AND s.token = held.token AND s.lease_worker = :worker
    RETURNING s.job_id
    """
)

# Take test runs that nobody has, or whose worker is gone. They hold no lease on their job.
CLAIM_TESTS = text(
    """
    WITH waiting AS (
        SELECT r.scheduled_for, r.tenant_id, r.bucket, r.id
        FROM runs r
        WHERE r.trigger = 'test'
          AND (r.status = 'claimed' OR (r.status = 'running' AND r.test_lease_until <= statement_timestamp()))
        ORDER BY r.scheduled_for
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE runs r
    SET status = 'running', worker_id = :worker, started_at = statement_timestamp(),
        attempt = r.attempt + CASE WHEN r.status = 'running' THEN 1 ELSE 0 END,
        test_token = coalesce(r.test_token, 0) + 1,
        test_lease_until = statement_timestamp() + CAST(:lease AS interval)
                           + make_interval(secs => v.timeout_ms / 1000.0)
    FROM waiting, job_versions v
    WHERE r.scheduled_for = waiting.scheduled_for AND r.tenant_id = waiting.tenant_id
      AND r.bucket = waiting.bucket AND r.id = waiting.id
      AND v.tenant_id = r.tenant_id AND v.bucket = r.bucket AND v.job_id = r.job_id AND v.version = r.job_version
    RETURNING r.*
    """
)

# Take jobs whose planning is due. `plan_ready_at` moves to the lease's end, as `ready_at` does in CLAIM.
CLAIM_PLANS = text(
    """
    WITH due AS (
        SELECT s.tenant_id, s.bucket, s.job_id
        FROM schedules s
        WHERE s.plan_ready_at <= statement_timestamp()
        ORDER BY s.plan_ready_at
        LIMIT :limit
        FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE schedules s
    SET plan_token = s.plan_token + 1, plan_ready_at = statement_timestamp() + CAST(:lease AS interval)
    FROM due
    WHERE s.tenant_id = due.tenant_id AND s.bucket = due.bucket AND s.job_id = due.job_id
    RETURNING s.tenant_id, s.job_id, s.plan_token, s.plan_seq, s.plan_ready_at
    """
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

BACKLOG = text(
    """
    SELECT count(*) FILTER (WHERE ready_at <= statement_timestamp()) AS due,
           coalesce(extract(epoch FROM statement_timestamp() - min(ready_at)), 0) AS age,
           (SELECT count(*) FROM schedules WHERE status = 'parked') AS parked
    FROM (SELECT ready_at FROM schedules WHERE ready_at <= statement_timestamp() LIMIT 100000) AS waiting
    """
)

WAKE = text("SELECT pg_notify('rubato_wake', '')")
