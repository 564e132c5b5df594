"""What operating needs: duties that one process has at a time, the share of allowances that is used, and notices."""

from alembic import op

revision = "0008"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE duties (
        name TEXT NOT NULL,
        holder TEXT COLLATE "C" NOT NULL,
        until TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_duties PRIMARY KEY (name)
    )
    """,
    # Over all tenants, for the gauge of a process that may otherwise see one tenant at a time.
    """
    CREATE FUNCTION rubato_quota_used_ratio() RETURNS DOUBLE PRECISION LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path TO {schema}, pg_temp AS $$
        SELECT coalesce(max((window_.used + window_.reserved)::float8 / nullif(allowed.amount, 0)), 0)
        FROM quota_windows AS window_
        JOIN tenants AS tenant ON tenant.id = window_.tenant_id
        CROSS JOIN LATERAL (
            SELECT CASE window_.name
                WHEN 'tokens_per_day' THEN tenant.tokens_per_day
                WHEN 'tokens_per_month' THEN tenant.tokens_per_month
                WHEN 'sessions_per_day' THEN tenant.sessions_per_day
            END AS amount
        ) AS allowed
        WHERE window_.scope = '' AND window_.closes_at > statement_timestamp()
    $$
    """,
    """
    CREATE TABLE channels (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        job_id TEXT COLLATE "C",
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        address TEXT NOT NULL,
        events JSONB NOT NULL,
        failure_streak INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_channels PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_channels_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
        CONSTRAINT ck_channels_kind CHECK (kind IN ('webhook', 'slack', 'email')),
        CONSTRAINT ck_channels_failure_streak_is_positive CHECK (failure_streak > 0)
    )
    """,
    """
    CREATE TABLE notices (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        channel_id TEXT COLLATE "C" NOT NULL,
        job_id TEXT COLLATE "C" NOT NULL,
        kind TEXT NOT NULL,
        facts JSONB NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE,
        attempts INTEGER DEFAULT 0 NOT NULL,
        next_at TIMESTAMP WITH TIME ZONE,
        delivered_at TIMESTAMP WITH TIME ZONE,
        last_error TEXT,
        CONSTRAINT pk_notices PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_notices_tenant_id_channel_id FOREIGN KEY (tenant_id, channel_id)
            REFERENCES channels (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT ck_notices_kind CHECK
            (kind IN ('failing', 'recovered', 'parked', 'paused', 'slowed', 'quota', 'test'))
    )
    """,
    "CREATE UNIQUE INDEX uq_notices_open ON notices (tenant_id, channel_id, job_id, kind) WHERE closed_at IS NULL",
    "CREATE INDEX ix_notices_next ON notices (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX ix_notices_newest ON notices (tenant_id, opened_at, id)",
)


def upgrade() -> None:
    """Build it. A function with its owner's rights names the schema of what it touches, temporary tables last."""
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for statement in STATEMENTS:
        op.execute(statement.replace("{schema}", schema))


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TABLE notices")
    op.execute("DROP TABLE channels")
    op.execute("DROP FUNCTION rubato_quota_used_ratio")
    op.execute("DROP TABLE duties")
