"""The tables of planning's allowances and switches; what belongs to a job stands in `tables`."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Identity, Index, Table, Text, text

from rubato.adapters.postgres.columns import Identifier, Instant, metadata

quota_windows = Table(
    "quota_windows",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("scope", Identifier, primary_key=True),
    Column("opened_at", Instant, primary_key=True),
    Column("closes_at", Instant, nullable=False),
    Column("used", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_quota_windows_jobs", "closes_at", postgresql_where=text("scope <> ''")),
    Index("ix_quota_windows_open", "closes_at", postgresql_where=text("scope = ''")),
)

quota_reservations = Table(
    "quota_reservations",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("id", Identifier, primary_key=True),
    Column("job_id", Identifier, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("opened_day", Instant, nullable=False),
    Column("opened_month", Instant, nullable=False),
    Column("opened_hour", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_quota_reservations_expires", "expires_at"),
)

_CEILINGS = "'tokens_per_day', 'tokens_per_month', 'sessions_per_day', 'sessions_per_month'"

quota_ceilings = Table(
    "quota_ceilings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    CheckConstraint(f"name IN ({_CEILINGS})", name="name"),
    CheckConstraint("value >= 0", name="value"),
)

quota_ceiling_windows = Table(
    "quota_ceiling_windows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("opened_at", Instant, primary_key=True),
    Column("closes_at", Instant, nullable=False),
    Column("used", BigInteger, nullable=False, server_default=text("0")),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
)

flags = Table(
    "flags",
    metadata,
    Column("scope", Identifier, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("reason", Text),
    CheckConstraint("name <> 'planner' OR value IN ('off', 'shadow', 'on')", name="planner"),
)

flag_changes = Table(
    "flag_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("scope", Identifier, nullable=False),
    Column("name", Text, nullable=False),
    Column("old_value", Text),
    Column("new_value", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("reason", Text),
    Index("ix_flag_changes_scope", "scope", "id"),
)
