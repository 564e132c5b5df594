"""What the API keeps: allowances of tenants and keys, answers by idempotency key, requests counted in windows,
secrets that outgoing requests are signed with."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE tenants ADD COLUMN requests_per_minute INTEGER DEFAULT 3000 NOT NULL",
    "ALTER TABLE tenants ADD COLUMN max_jobs BIGINT DEFAULT 100000 NOT NULL",
    "ALTER TABLE tenants ADD COLUMN runs_per_day BIGINT",
    "ALTER TABLE api_keys ADD COLUMN requests_per_minute INTEGER DEFAULT 100 NOT NULL",
    """
    CREATE TABLE idempotency_keys (
        tenant_id TEXT COLLATE "C" NOT NULL,
        key TEXT COLLATE "C" NOT NULL,
        fingerprint BYTEA NOT NULL,
        token TEXT NOT NULL,
        lost_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        status INTEGER,
        headers JSONB,
        body BYTEA,
        CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant_id, key),
        CONSTRAINT fk_idempotency_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id),
        CONSTRAINT ck_idempotency_keys_reply_is_whole
            CHECK ((status IS NULL) = (headers IS NULL) AND (status IS NULL) = (body IS NULL))
    )
    """,
    "CREATE INDEX ix_idempotency_keys_expires ON idempotency_keys (tenant_id, expires_at)",
    """
    CREATE TABLE signing_secrets (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        sealed TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_signing_secrets PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_signing_secrets_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
    )
    """,
    # Counts of a minute: written at every request, worth nothing after a crash.
    """
    CREATE UNLOGGED TABLE request_windows (
        tenant_id TEXT COLLATE "C" NOT NULL,
        counted TEXT COLLATE "C" NOT NULL,
        hits BIGINT NOT NULL,
        closes_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_request_windows PRIMARY KEY (tenant_id, counted)
    ) WITH (fillfactor = 50)
    """,
)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TABLE request_windows")
    op.execute("DROP TABLE signing_secrets")
    op.execute("DROP TABLE idempotency_keys")
    op.execute("ALTER TABLE api_keys DROP COLUMN requests_per_minute")
    for column in ("requests_per_minute", "max_jobs", "runs_per_day"):
        op.execute(f"ALTER TABLE tenants DROP COLUMN {column}")
