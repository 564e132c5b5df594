"""What planning needs: the gate's state and verdicts, switches with their history, ceilings over all tenants, costs."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE schedules ADD COLUMN plan_analysis_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE schedules ADD COLUMN plan_gate BYTEA",
    "ALTER TABLE runs ADD COLUMN gate TEXT",
    "ALTER TABLE sessions ADD COLUMN woken_by TEXT",
    "ALTER TABLE sessions ADD COLUMN mode TEXT",
    "ALTER TABLE sessions ADD COLUMN cost_usd DOUBLE PRECISION",
    "ALTER TABLE tenants ADD COLUMN sessions_per_month BIGINT DEFAULT 400000 NOT NULL",
    # `scope` is a tenant's id, or empty for everybody.
    """
    CREATE TABLE flags (
        scope TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_by TEXT NOT NULL,
        reason TEXT,
        CONSTRAINT pk_flags PRIMARY KEY (scope, name),
        CONSTRAINT ck_flags_planner CHECK (name <> 'planner' OR value IN ('off', 'shadow', 'on'))
    )
    """,
    """
    CREATE TABLE flag_changes (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        scope TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        old_value TEXT,
        new_value TEXT NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_by TEXT NOT NULL,
        reason TEXT,
        CONSTRAINT pk_flag_changes PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_flag_changes_scope ON flag_changes (scope, id)",
    # What all tenants together may use. No row: no ceiling.
    """
    CREATE TABLE quota_ceilings (
        name TEXT NOT NULL,
        value BIGINT NOT NULL,
        CONSTRAINT pk_quota_ceilings PRIMARY KEY (name),
        CONSTRAINT ck_quota_ceilings_name CHECK (
            name IN ('tokens_per_day', 'tokens_per_month', 'sessions_per_day', 'sessions_per_month')
        ),
        CONSTRAINT ck_quota_ceilings_value CHECK (value >= 0)
    )
    """,
    """
    CREATE TABLE quota_ceiling_windows (
        name TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        closes_at TIMESTAMP WITH TIME ZONE NOT NULL,
        used BIGINT DEFAULT 0 NOT NULL,
        reserved BIGINT DEFAULT 0 NOT NULL,
        CONSTRAINT pk_quota_ceiling_windows PRIMARY KEY (name, opened_at)
    )
    """,
    "CREATE INDEX ix_quota_windows_jobs ON quota_windows (closes_at) WHERE scope <> ''",
    "CREATE INDEX ix_quota_windows_open ON quota_windows (closes_at) WHERE scope = ''",
    "CREATE INDEX ix_quota_reservations_expires ON quota_reservations (expires_at)",
)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    for index in ("ix_quota_reservations_expires", "ix_quota_windows_open", "ix_quota_windows_jobs"):
        op.execute(f"DROP INDEX {index}")
    for table in ("quota_ceiling_windows", "quota_ceilings", "flag_changes", "flags"):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE tenants DROP COLUMN sessions_per_month")
    for column in ("cost_usd", "mode", "woken_by"):
        op.execute(f"ALTER TABLE sessions DROP COLUMN {column}")
    op.execute("ALTER TABLE runs DROP COLUMN gate")
    for column in ("plan_gate", "plan_analysis_at"):
        op.execute(f"ALTER TABLE schedules DROP COLUMN {column}")
