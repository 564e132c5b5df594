"""What operating needs: duties that one process has at a time, and the share of allowances that is used."""

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
)


def upgrade() -> None:
    """Build it. A function with its owner's rights names the schema of what it touches, temporary tables last."""
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for statement in STATEMENTS:
        op.execute(statement.replace("{schema}", schema))


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP FUNCTION rubato_quota_used_ratio")
    op.execute("DROP TABLE duties")
