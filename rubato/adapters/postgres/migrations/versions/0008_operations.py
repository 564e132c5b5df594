"""What operating needs: duties that one process has at a time, channels and notices."""

from alembic import op

revision = "0008"
down_revision = "0007"
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
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TABLE notices")
    op.execute("DROP TABLE channels")
    op.execute("DROP TABLE duties")
