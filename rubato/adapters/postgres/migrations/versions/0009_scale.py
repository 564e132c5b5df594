"""What more than one machine needs: buckets that workers lease; and streaks of runs of every kind, for notices."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE schedules ADD COLUMN failed_runs INTEGER DEFAULT 0 NOT NULL",
    """
    CREATE TABLE bucket_claimers (
        worker_id TEXT COLLATE "C" NOT NULL,
        until TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_bucket_claimers PRIMARY KEY (worker_id)
    )
    """,
    """
    CREATE TABLE bucket_ranges (
        bucket SMALLINT NOT NULL,
        holder TEXT COLLATE "C",
        token BIGINT DEFAULT 0 NOT NULL,
        until TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_bucket_ranges PRIMARY KEY (bucket),
        CONSTRAINT ck_bucket_ranges_lease_is_whole CHECK ((holder IS NULL) = (until IS NULL))
    )
    """,
    "INSERT INTO bucket_ranges (bucket) SELECT bucket FROM generate_series(0, 252, 4) AS bucket",
)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    op.execute("DROP TABLE bucket_ranges")
    op.execute("DROP TABLE bucket_claimers")
    op.execute("ALTER TABLE schedules DROP COLUMN failed_runs")
