"""What more than one machine needs: streaks of runs of every kind, for notices."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = ("ALTER TABLE schedules ADD COLUMN failed_runs INTEGER DEFAULT 0 NOT NULL",)


def upgrade() -> None:
    """Build it."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Undo it."""
    op.execute("ALTER TABLE schedules DROP COLUMN failed_runs")
