"""The tables of who may do what: accounts, users, keys, sign-ins, invitations, and the audit."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from rubato.adapters.postgres.columns import Identifier, Instant, Json, metadata

_EVERY_SCOPE = '["jobs:read", "jobs:write", "keys:write", "metrics:read", "admin"]'  # of keys older than scopes

accounts = Table(
    "accounts",
    metadata,
    Column("id", Identifier, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("login", Text, nullable=False),
    Column("name", Text),
    Column("created_at", Instant, nullable=False, server_default=text("now()")),
    Column("signed_in_at", Instant, nullable=False, server_default=text("now()")),
    UniqueConstraint("provider", "subject"),
)

users = Table(
    "users",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("id", Identifier, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=text("now()")),
    Column("account_id", Identifier),
    Column("removed_at", Instant),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    ForeignKeyConstraint(["account_id"], ["accounts.id"]),
    CheckConstraint("role IN ('admin', 'member')", name="role"),
    Index("uq_users_account", "account_id", "tenant_id", unique=True, postgresql_where=text("account_id IS NOT NULL")),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=text("now()")),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("requests_per_minute", Integer, nullable=False, server_default=text("100")),
    Column("lookup", Identifier, unique=True),
    Column("start", Text, nullable=False, server_default=text("''")),
    Column("scopes", Json, nullable=False, server_default=text(f"'{_EVERY_SCOPE}'")),
    Column("metadata", Json, nullable=False, server_default=text("'{}'")),
    Column("remaining", BigInteger),
    Column("refill_amount", BigInteger),
    Column("refill_interval_ms", BigInteger),
    Column("refilled_at", Instant),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
    CheckConstraint(
        "(refill_amount IS NULL) = (refill_interval_ms IS NULL) AND (refill_amount IS NULL OR remaining IS NOT NULL)",
        name="refill_is_whole",
    ),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("id", Identifier, primary_key=True),
    Column("user_id", Identifier, nullable=False),
    Column("account_id", Identifier, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False, server_default=text("now()")),
    Column("seen_at", Instant, nullable=False, server_default=text("now()")),
    Column("expires_at", Instant, nullable=False),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
    ForeignKeyConstraint(["account_id"], ["accounts.id"]),
    Index("ix_sign_ins_user", "tenant_id", "user_id"),
)

verifications = Table(
    "verifications",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("verifier", Text, nullable=False),
    Column("redirect", Text, nullable=False),
    Column("invitation", Text),
    Column("expires_at", Instant, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("id", Identifier, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("note", Text),
    Column("invited_by", Identifier, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=text("now()")),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    ForeignKeyConstraint(["tenant_id", "invited_by"], ["users.tenant_id", "users.id"]),
    CheckConstraint("role IN ('admin', 'member')", name="role"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("tenant_id", Identifier, primary_key=True),
    Column("id", Identifier, primary_key=True),
    Column("at", Instant, nullable=False, server_default=text("now()")),
    Column("user_id", Identifier, nullable=False),
    Column("key_id", Identifier),
    Column("action", Text, nullable=False),
    Column("subject", Json, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("status", Integer),
    Column("detail", Json, nullable=False, server_default=text("'{}'")),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
    Index("ix_audit_entries_at", "at"),
)
