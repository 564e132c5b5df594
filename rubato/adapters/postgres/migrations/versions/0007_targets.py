"""Jobs whose action is a registered target, a history of what people did, and the tenant of Rubato's own jobs."""

from alembic import op

revision = "0007"
down_revision = "0006"
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
    # Workers own no table. Only a whole day of runs that lies behind can be dropped, never the days in use.
    """
    CREATE FUNCTION rubato_drop_partition(partition_name TEXT) RETURNS VOID LANGUAGE plpgsql
    SECURITY DEFINER SET search_path TO {schema}, pg_temp SET timezone TO 'UTC' AS $$
    BEGIN
        IF partition_name !~ '^runs_[0-9]{8}$'
           OR to_date(substr(partition_name, 6), 'YYYYMMDD') + interval '1 day' > now() - interval '1 day' THEN
            RAISE EXCEPTION 'not a day of runs that is over: %', partition_name;
        END IF;
        EXECUTE format('DROP TABLE IF EXISTS %I', partition_name);
    END $$
    """,
    "REVOKE EXECUTE ON FUNCTION rubato_drop_partition FROM PUBLIC",
    "INSERT INTO tenants (id, name) VALUES ('system', 'system') ON CONFLICT DO NOTHING",
)


def upgrade() -> None:
    """Build it. A function with its owner's rights names the schema of what it touches, temporary tables last."""
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for statement in STATEMENTS:
        op.execute(statement.replace("{schema}", schema))


def downgrade() -> None:
    """Undo it. Jobs with targets must be gone first: the release before cannot run them."""
    op.execute("DROP FUNCTION rubato_drop_partition")
    op.execute("DROP TABLE job_history")
    op.execute("DROP INDEX ix_job_versions_key")
    op.execute("DROP INDEX ix_job_versions_target")
    op.execute("ALTER TABLE job_versions DROP COLUMN payload, DROP COLUMN target")
