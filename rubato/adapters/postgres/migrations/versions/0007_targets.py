"""Jobs whose action is a registered target, a history of what people did, and the tenant of Rubato's own jobs."""

from alembic import op

revision = "0007"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE job_versions ADD COLUMN target TEXT, ADD COLUMN payload JSONB",
    "ALTER TABLE job_versions ADD CONSTRAINT ck_job_versions_one_action CHECK ((target IS NULL) = (url <> ''))",
    "ALTER TABLE job_versions ADD CONSTRAINT ck_job_versions_payload_has_target CHECK (target IS NOT NULL OR payload IS NULL)",
    "CREATE INDEX ix_job_versions_target ON job_versions (tenant_id, target, baseline_kind) WHERE target IS NOT NULL",
    "CREATE INDEX ix_job_versions_key ON job_versions (tenant_id, key, version) WHERE target IS NOT NULL",
    """
    CREATE TABLE job_history (
        tenant_id TEXT COLLATE "C" NOT NULL,
        bucket SMALLINT NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        what TEXT NOT NULL,
        version INTEGER NOT NULL,
        actor TEXT COLLATE "C",
        reason TEXT,
        changed JSONB NOT NULL,
        CONSTRAINT pk_job_history PRIMARY KEY (tenant_id, bucket, job_id, id),
        CONSTRAINT fk_job_history_tenant_id_bucket_job_id
            FOREIGN KEY (tenant_id, bucket, job_id) REFERENCES jobs (tenant_id, bucket, id)
    )
    """,
    "INSERT INTO tenants (id, name) VALUES ('system', 'system') ON CONFLICT DO NOTHING",
)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it. Jobs with targets must be gone first: the release before cannot run them."""
    op.execute("DROP TABLE job_history")
    op.execute("DROP INDEX ix_job_versions_key")
    op.execute("DROP INDEX ix_job_versions_target")
    op.execute("ALTER TABLE job_versions DROP COLUMN payload, DROP COLUMN target")
