"""What the run loop needs: runs updated in place, a claim that leaves the range it scans, attempts that were lost."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DIGITS = " || ".join(
    f"substr('0123456789abcdefghjkmnpqrstvwxyz', ((micros >> {5 * place}) & 31)::int + 1, 1)"
    for place in range(10, -1, -1)
)

STATEMENTS = (
    # One row a job, slot and trigger: that is the key, and every write of the run loop goes by it. With the id in the key
    # and the slot in an index of its own, thousands of jobs of one slot were scanned for each row that was looked for.
    "ALTER TABLE runs DROP CONSTRAINT pk_runs",
    "DROP INDEX uq_runs_slot",
    "ALTER TABLE runs ADD CONSTRAINT pk_runs PRIMARY KEY (scheduled_for, tenant_id, bucket, job_id, trigger)",
    "DROP INDEX ix_runs_tenant",
    "CREATE UNIQUE INDEX uq_runs_id ON runs (tenant_id, id, scheduled_for)",
    # An index whose predicate names `status` forbids updating a run in place.
    "DROP INDEX ix_runs_tests",
    "CREATE INDEX ix_runs_tests ON runs (scheduled_for) WHERE test_token IS NOT NULL",
    "UPDATE runs SET test_token = coalesce(test_token, 0) WHERE trigger = 'test' AND finished_at IS NULL",
    "UPDATE runs SET test_token = NULL WHERE finished_at IS NOT NULL AND test_token IS NOT NULL",
    # Deletion is read under the schedule's lock; the job's own row may be newer or older than that.
    "ALTER TABLE schedules ADD COLUMN deleted_at TIMESTAMP WITH TIME ZONE",
    """
    UPDATE schedules s SET deleted_at = j.deleted_at FROM jobs j
    WHERE j.tenant_id = s.tenant_id AND j.bucket = s.bucket AND j.id = s.job_id AND j.deleted_at IS NOT NULL
    """,
    "DROP INDEX ix_schedules_bucket_ready",
    """
    ALTER TABLE schedules SET (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0.01,
        autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.05
    )
    """,
    "ALTER TABLE runs_default SET (fillfactor = 60)",
    """
    CREATE TABLE attempts (
        scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        run_id TEXT COLLATE "C" NOT NULL,
        worker_id TEXT COLLATE "C" NOT NULL,
        attempt INTEGER NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
        status TEXT NOT NULL,
        status_code INTEGER,
        duration_ms BIGINT,
        error_message TEXT,
        CONSTRAINT pk_attempts PRIMARY KEY (scheduled_for, tenant_id, bucket, run_id, worker_id, attempt),
        CONSTRAINT ck_attempts_status CHECK (status IN ('lost', 'discarded'))
    )
    """,
    # The same id as core.ids.run_id gives, for claims that name their runs in the statement that makes them.
    f"""
    CREATE FUNCTION rubato_run_id(micros BIGINT, entropy TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT 'run_' || {_DIGITS} || entropy $$
    """,
)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE runs DROP CONSTRAINT pk_runs")
    op.execute("ALTER TABLE runs ADD CONSTRAINT pk_runs PRIMARY KEY (scheduled_for, tenant_id, bucket, id)")
    op.execute("CREATE UNIQUE INDEX uq_runs_slot ON runs (scheduled_for, tenant_id, bucket, job_id, trigger)")
    op.execute("DROP INDEX uq_runs_id")
    op.execute("CREATE INDEX ix_runs_tenant ON runs (tenant_id, id)")
    op.execute("DROP FUNCTION rubato_run_id")
    op.execute("DROP TABLE attempts")
    op.execute("CREATE INDEX ix_schedules_bucket_ready ON schedules (bucket, ready_at) WHERE ready_at IS NOT NULL")
    op.execute("ALTER TABLE schedules DROP COLUMN deleted_at")
    op.execute("DROP INDEX ix_runs_tests")
    op.execute(
        "CREATE INDEX ix_runs_tests ON runs (scheduled_for) WHERE trigger = 'test' AND status IN ('claimed', 'running')"
    )
