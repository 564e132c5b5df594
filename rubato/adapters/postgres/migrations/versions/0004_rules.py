"""Rules: a table of their own; what a job's schedule remembers of them; a tenant's wish to accept them unseen."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE rules (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        state TEXT NOT NULL,
        author TEXT NOT NULL,
        session_id TEXT COLLATE "C",
        description TEXT,
        enter_when JSONB NOT NULL,
        enter_runs INTEGER NOT NULL,
        enter_ms BIGINT NOT NULL,
        leave_when JSONB,
        leave_runs INTEGER NOT NULL,
        leave_ms BIGINT NOT NULL,
        kind TEXT NOT NULL,
        length_ms BIGINT NOT NULL,
        ttl_ms BIGINT NOT NULL,
        reason TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_rules PRIMARY KEY (tenant_id, bucket, job_id, id),
        CONSTRAINT fk_rules_tenant_id_bucket_job_id FOREIGN KEY (tenant_id, bucket, job_id)
            REFERENCES jobs (tenant_id, bucket, id),
        CONSTRAINT ck_rules_state CHECK (state IN ('proposed', 'accepted', 'rejected')),
        CONSTRAINT ck_rules_author CHECK (author IN ('user', 'planner')),
        CONSTRAINT ck_rules_kind CHECK (kind IN ('interval', 'pause')),
        CONSTRAINT ck_rules_lengths CHECK (length_ms > 0 AND ttl_ms >= length_ms),
        CONSTRAINT ck_rules_holds CHECK (enter_runs > 0 AND leave_runs > 0 AND enter_ms >= 0 AND leave_ms >= 0)
    )
    """,
    "CREATE UNIQUE INDEX uq_rules_id ON rules (tenant_id, id)",
    # Neither has an index: every run may write the schedule's row, and in place only what no index names.
    "ALTER TABLE schedules ADD COLUMN rules_seq BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE schedules ADD COLUMN rule_progress JSONB",
    "ALTER TABLE tenants ADD COLUMN auto_accept_rules BOOLEAN NOT NULL DEFAULT false",
)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE tenants DROP COLUMN auto_accept_rules")
    op.execute("ALTER TABLE schedules DROP COLUMN rule_progress")
    op.execute("ALTER TABLE schedules DROP COLUMN rules_seq")
    op.execute("DROP TABLE rules")
