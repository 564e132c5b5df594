"""Identity: scopes and options of keys, accounts and sign-ins, invitations, the audit, and secrets of jobs."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LOCK = 0x527562_61746F  # as in migrate.py

STATEMENTS = (
    "ALTER TABLE tenants ADD COLUMN deleted_at TIMESTAMP WITH TIME ZONE",
    # A person, by the id that their provider never gives to anybody else. What a person is in a tenant is a user.
    """
    CREATE TABLE accounts (
        id TEXT COLLATE "C" NOT NULL,
        provider TEXT NOT NULL,
        subject TEXT NOT NULL,
        login TEXT NOT NULL,
        name TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        signed_in_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_accounts PRIMARY KEY (id),
        CONSTRAINT uq_accounts_provider_subject UNIQUE (provider, subject)
    )
    """,
    'ALTER TABLE users ADD COLUMN account_id TEXT COLLATE "C"',
    "ALTER TABLE users ADD COLUMN removed_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE users ADD CONSTRAINT fk_users_account_id FOREIGN KEY (account_id) REFERENCES accounts (id)",
    "CREATE UNIQUE INDEX uq_users_account ON users (account_id, tenant_id) WHERE account_id IS NOT NULL",
    'ALTER TABLE api_keys ADD COLUMN lookup TEXT COLLATE "C"',
    "ALTER TABLE api_keys ADD COLUMN start TEXT DEFAULT '' NOT NULL",
    """
    ALTER TABLE api_keys ADD COLUMN scopes JSONB
    DEFAULT '["jobs:read", "jobs:write", "keys:write", "metrics:read", "admin"]' NOT NULL
    """,
    "ALTER TABLE api_keys ADD COLUMN metadata JSONB DEFAULT '{}' NOT NULL",
    "ALTER TABLE api_keys ADD COLUMN remaining BIGINT",
    "ALTER TABLE api_keys ADD COLUMN refill_amount BIGINT",
    "ALTER TABLE api_keys ADD COLUMN refill_interval_ms BIGINT",
    "ALTER TABLE api_keys ADD COLUMN refilled_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE api_keys ADD CONSTRAINT uq_api_keys_lookup UNIQUE (lookup)",
    """
    ALTER TABLE api_keys ADD CONSTRAINT ck_api_keys_refill_is_whole
    CHECK ((refill_amount IS NULL) = (refill_interval_ms IS NULL) AND (refill_amount IS NULL OR remaining IS NOT NULL))
    """,
    """
    CREATE TABLE sign_ins (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        user_id TEXT COLLATE "C" NOT NULL,
        account_id TEXT COLLATE "C" NOT NULL,
        hash BYTEA NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_sign_ins PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_sign_ins_tenant_id_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
        CONSTRAINT fk_sign_ins_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT uq_sign_ins_hash UNIQUE (hash)
    )
    """,
    "CREATE INDEX ix_sign_ins_user ON sign_ins (tenant_id, user_id)",
    # What a sign-in under way has to remember: the hash of its state, which is used once.
    """
    CREATE TABLE verifications (
        hash BYTEA NOT NULL,
        verifier TEXT NOT NULL,
        redirect TEXT NOT NULL,
        invitation TEXT,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_verifications PRIMARY KEY (hash)
    )
    """,
    """
    CREATE TABLE invitations (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        hash BYTEA NOT NULL,
        role TEXT NOT NULL,
        note TEXT,
        invited_by TEXT COLLATE "C" NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_invitations PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_invitations_tenant_id_invited_by FOREIGN KEY (tenant_id, invited_by) REFERENCES users (tenant_id, id),
        CONSTRAINT uq_invitations_hash UNIQUE (hash),
        CONSTRAINT ck_invitations_role CHECK (role IN ('admin', 'member'))
    )
    """,
    """
    CREATE TABLE audit_entries (
        tenant_id TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        user_id TEXT COLLATE "C" NOT NULL,
        key_id TEXT COLLATE "C",
        action TEXT NOT NULL,
        subject JSONB NOT NULL,
        request_id TEXT NOT NULL,
        status INTEGER,
        detail JSONB DEFAULT '{}' NOT NULL,
        CONSTRAINT pk_audit_entries PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_audit_entries_tenant_id_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
    )
    """,
    "CREATE INDEX ix_audit_entries_at ON audit_entries (at)",
    "ALTER TABLE job_versions ADD COLUMN secret_headers JSONB DEFAULT '{}' NOT NULL",
    "ALTER TABLE job_versions ADD COLUMN secret_body TEXT",
    # Workers own no table; this is the one thing they need an owner for.
    """
    CREATE FUNCTION rubato_make_partitions(days_ahead INTEGER) RETURNS SETOF TEXT LANGUAGE plpgsql
    SECURITY DEFINER SET search_path TO {schema}, pg_temp SET timezone TO 'UTC' AS $$
    DECLARE
        midnight TIMESTAMP WITH TIME ZONE := date_trunc('day', now());
        opens TIMESTAMP WITH TIME ZONE;
        closes TIMESTAMP WITH TIME ZONE;
        partition_name TEXT;
    BEGIN
        PERFORM pg_advisory_xact_lock({lock});
        FOR day IN -1..days_ahead LOOP
            opens := midnight + make_interval(days => day);
            closes := opens + interval '1 day';
            partition_name := 'runs_' || to_char(opens, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
            CONTINUE WHEN EXISTS (SELECT 1 FROM runs_default WHERE scheduled_for >= opens AND scheduled_for < closes);
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF runs FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = 60)',
                partition_name, opens, closes
            );
            RETURN NEXT partition_name;
        END LOOP;
    END $$
    """,
    "REVOKE EXECUTE ON FUNCTION rubato_make_partitions FROM PUBLIC",
    # Figures over all tenants, for the gauges of a process that otherwise sees one tenant at a time.
    """
    CREATE FUNCTION rubato_backlog(OUT due BIGINT, OUT age DOUBLE PRECISION, OUT parked BIGINT, OUT quota_used DOUBLE PRECISION)
    LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path TO {schema}, pg_temp AS $$
        SELECT count(*) FILTER (WHERE ready_at <= statement_timestamp()),
               coalesce(extract(epoch FROM statement_timestamp() - min(ready_at)), 0)::float8,
               (SELECT count(*) FROM schedules WHERE status = 'parked'),
               (SELECT coalesce(max((w.used + w.reserved) / nullif(CASE w.name
                    WHEN 'tokens_per_day' THEN t.tokens_per_day WHEN 'tokens_per_month' THEN t.tokens_per_month
                    WHEN 'sessions_per_day' THEN t.sessions_per_day ELSE t.sessions_per_month END, 0)::float8), 0)
                FROM quota_windows w JOIN tenants t ON t.id = w.tenant_id
                WHERE w.scope = '' AND w.closes_at > statement_timestamp())
        FROM (SELECT ready_at FROM schedules WHERE ready_at <= statement_timestamp() LIMIT 100000) AS waiting
    $$
    """,
    "REVOKE EXECUTE ON FUNCTION rubato_backlog FROM PUBLIC",
)


def upgrade() -> None:
    """Build it. Functions with an owner's rights name the schema of what they touch, temporary tables last."""
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for statement in STATEMENTS:
        op.execute(statement.replace("{schema}", schema).replace("{lock}", str(_LOCK)))


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP FUNCTION rubato_backlog")
    op.execute("DROP FUNCTION rubato_make_partitions")
    for column in ("secret_body", "secret_headers"):
        op.execute(f"ALTER TABLE job_versions DROP COLUMN {column}")
    for table in ("audit_entries", "invitations", "verifications", "sign_ins"):
        op.execute(f"DROP TABLE {table}")
    for column in ("lookup", "start", "scopes", "metadata", "remaining", "refill_amount", "refill_interval_ms"):
        op.execute(f"ALTER TABLE api_keys DROP COLUMN {column} CASCADE")
    op.execute("ALTER TABLE api_keys DROP COLUMN refilled_at")
    for column in ("account_id", "removed_at"):
        op.execute(f"ALTER TABLE users DROP COLUMN {column}")
    op.execute("DROP TABLE accounts")
    op.execute("ALTER TABLE tenants DROP COLUMN deleted_at")
