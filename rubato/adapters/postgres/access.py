"""Which role may do what with which table, and which rows it sees. Why three roles: docs/adr/0024.

    rubato_tenant    the API once it knows who asks: the rows of one tenant, named per transaction
    rubato_engine    workers: schedules, runs, hints and what they read beside them, of all tenants; no credentials
    rubato_identity  the API before it knows who asks: credentials, of all tenants; no jobs

Each process steps into its roles when it connects; whoever logs in only has to be a member of them. Row-level security
is forced on every table, so that what no policy names stays closed, to the owner too. `rubato migrate` brings grants
and policies in line with this file, table by table, where they differ.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import ConfigurationError
from rubato.adapters.postgres.tables import metadata

TENANT, ENGINE, IDENTITY = "rubato_tenant", "rubato_engine", "rubato_identity"
ROLES = (TENANT, ENGINE, IDENTITY)
SETTING = "rubato.tenant"

_ALL, _READ = "SELECT, INSERT, UPDATE, DELETE", "SELECT"
_EVERYBODYS = "rubato_everybodys"  # the policy by which a tenant sees rows that are everybody's
_OF_JOBS = {TENANT: _ALL, ENGINE: _ALL}

# What each role may do; a table that is missing here is closed to all of them, and a test says so.
GRANTS: dict[str, dict[str, str]] = {
    # The limits in a tenant's row are the operator's: the API changes its name, and ends it.
    "tenants": {
        TENANT: "SELECT, UPDATE (name, deleted_at, suspended_reason)",
        ENGINE: "SELECT, UPDATE (suspended_reason), DELETE",
        IDENTITY: "SELECT, INSERT",
    },
    "jobs": _OF_JOBS,
    "job_versions": _OF_JOBS,
    "job_history": _OF_JOBS,
    "schedules": _OF_JOBS,
    "runs": _OF_JOBS,
    "attempts": _OF_JOBS,
    "hints": _OF_JOBS,
    "rules": _OF_JOBS,
    "decisions": _OF_JOBS,
    "sessions": _OF_JOBS,
    "quota_windows": _OF_JOBS,
    "quota_reservations": _OF_JOBS,
    # Switches of everybody are read by all and turned by the operator; ceilings and their counts are everybody's.
    "flags": {TENANT: "SELECT, INSERT, UPDATE", ENGINE: _ALL},
    "flag_changes": {TENANT: "SELECT, INSERT", ENGINE: _ALL},
    "quota_ceilings": {TENANT: _READ, ENGINE: _ALL},
    "quota_ceiling_windows": {TENANT: "SELECT, INSERT, UPDATE", ENGINE: _ALL},
    # A deleted tenant's last rows go with its jobs, by a worker.
    "users": {TENANT: _ALL, ENGINE: "SELECT (tenant_id), DELETE", IDENTITY: _ALL},
    "api_keys": {TENANT: _ALL, ENGINE: "SELECT (tenant_id), DELETE", IDENTITY: _ALL},
    "sign_ins": {TENANT: _ALL, ENGINE: "SELECT (tenant_id), DELETE", IDENTITY: _ALL},
    "invitations": {TENANT: _ALL, ENGINE: "SELECT (tenant_id), DELETE", IDENTITY: "SELECT, UPDATE"},
    "audit_entries": {
        TENANT: "SELECT, INSERT, UPDATE (status, detail)",
        ENGINE: "SELECT (tenant_id, id, at), DELETE",
        IDENTITY: "INSERT",
    },
    "idempotency_keys": {TENANT: _ALL, ENGINE: "SELECT (tenant_id), DELETE"},
    "request_windows": {TENANT: _ALL, ENGINE: "SELECT (tenant_id), DELETE"},
    "signing_secrets": {TENANT: _ALL, ENGINE: "SELECT, UPDATE (sealed), DELETE"},
    "channels": _OF_JOBS,
    "notices": _OF_JOBS,
    "duties": {TENANT: _ALL, ENGINE: _ALL},
    "bucket_claimers": {ENGINE: _ALL},
    "bucket_ranges": {ENGINE: _ALL},
    "accounts": {IDENTITY: _ALL},
    "verifications": {IDENTITY: _ALL},
}
FUNCTIONS = {
    "rubato_make_partitions(integer)": (ENGINE,),
    "rubato_drop_partition(text)": (ENGINE,),
    "rubato_backlog()": (TENANT, ENGINE),
}

_MARK = text(
    "SELECT obj_description(oid, 'pg_policy') FROM pg_policy WHERE polrelid = CAST(:name AS regclass) "
    "AND polname = :policy"
)

acting_for: ContextVar[str] = ContextVar("acting_for", default="")
"""The tenant whose rows this task may see through engines of the tenant role; none: no rows at all."""

SCOPED = "rubato_scoped"  # the option of engines whose transactions name a tenant
NAME_TENANT = f"SELECT set_config('{SETTING}', {{}}, true)"  # opens one transaction to one tenant's rows


def act_for(tenant_id: str) -> None:
    """Let what this task does from now on see this tenant's rows and no other's."""
    acting_for.set(tenant_id)


def is_scoped(engine: AsyncEngine) -> bool:
    """Tell whether transactions of an engine must name a tenant."""
    return bool(engine.get_execution_options().get(SCOPED))


def grant(connection: Connection) -> None:
    """Make the roles, and bring every table's grants and policies in line. Raises ConfigurationError."""
    _make_roles(connection)
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    for role in ROLES:
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {role}"))
        connection.execute(text(f"GRANT SELECT ON alembic_version TO {role}"))
    for function, roles in FUNCTIONS.items():
        connection.execute(text(f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(roles)}"))
    for table in metadata.sorted_tables:
        statements = list(_of_table(table))
        mark = f"access {hashlib.sha256(''.join(statements).encode()).hexdigest()[:16]}"
        if connection.execute(_MARK, {"name": table.name, "policy": _policy("owner")}).scalar() != mark:
            for statement in statements:
                connection.execute(text(statement))
            connection.execute(text(f"COMMENT ON POLICY {_policy('owner')} ON {table.name} IS '{mark}'"))


def require(connection: Connection, roles: Iterable[str]) -> None:
    """Raise ConfigurationError when whoever logs in may not step into these roles."""
    for role in roles:
        if not _may_step_into(connection, role):
            raise ConfigurationError(
                f"The user of DATABASE_URL may not act as {role}. Let an administrator run: GRANT {role} TO that user."
            )


def _may_step_into(connection: Connection, role: str) -> bool:
    if connection.execute(text("SELECT to_regrole(:role)"), {"role": role}).scalar_one() is None:
        return False
    how = {"role": role, "how": "SET" if _knows_set(connection) else "MEMBER"}
    return bool(connection.execute(text("SELECT pg_has_role(CURRENT_USER, :role, :how)"), how).scalar_one())


def _knows_set(connection: Connection) -> bool:
    """Tell whether the server tells membership from the right to step in: PostgreSQL 16 and newer."""
    return int(connection.execute(text("SHOW server_version_num")).scalar_one()) >= 160000


def _make_roles(connection: Connection) -> None:
    """Make what is missing, and let the owner step into each; another process of this server may be first."""
    step_in = " WITH INHERIT FALSE, SET TRUE" if _knows_set(connection) else ""
    try:
        for role in ROLES:
            connection.execute(text(f"DO $$ BEGIN {_make(role)} END $$"))
            if not _may_step_into(connection, role):
                connection.execute(text(f"GRANT {role} TO CURRENT_USER{step_in}"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        raise ConfigurationError(_HOW_TO_GRANT) from error


def _make(role: str) -> str:
    """Tolerate a role that there is, or that appears at this moment."""
    return (
        f"IF to_regrole('{role}') IS NULL THEN BEGIN CREATE ROLE {role} NOLOGIN; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END; END IF;"
    )


_HOW_TO_GRANT = (
    "The user of DATABASE_URL may not create the roles that Rubato's processes step into. Let an administrator run, "
    f"once: CREATE ROLE {TENANT}; CREATE ROLE {ENGINE}; CREATE ROLE {IDENTITY}; and GRANT {', '.join(ROLES)} TO that "
    "user. Then run `rubato migrate` again."
)


def _of_table(table: Table) -> Iterator[str]:
    name, grants = table.name, GRANTS.get(table.name, {})
    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"
    for policy in (*(_policy(role) for role in ("owner", *ROLES)), _EVERYBODYS):
        yield f"DROP POLICY IF EXISTS {policy} ON {name}"
    yield f"CREATE POLICY {_policy('owner')} ON {name} TO CURRENT_USER USING (true)"
    yield f"REVOKE ALL ON {name} FROM PUBLIC, {', '.join(ROLES)}"
    for role, privileges in grants.items():
        yield f"GRANT {privileges} ON {name} TO {role}"
        yield f"CREATE POLICY {_policy(role)} ON {name} TO {role} USING ({_sees(table, role)})"
    if name == "flags":
        yield f"CREATE POLICY {_EVERYBODYS} ON {name} FOR SELECT TO {TENANT} USING (scope = '')"


def _policy(role: str) -> str:
    return role if role.startswith("rubato_") else f"rubato_{role}"


def _sees(table: Table, role: str) -> str:
    """Return which rows a role sees, and may write. `true` is folded away: the engine's statements pay nothing."""
    column = owner_column(table)
    return f"{column} = current_setting('{SETTING}', true)" if role == TENANT and column else "true"


def owner_column(table: Table) -> str | None:
    """Return the column that says whose a row is; None where rows are nobody's."""
    names = {"tenants": "id", "flags": "scope", "flag_changes": "scope"}
    return names.get(table.name, "tenant_id" if "tenant_id" in table.columns else None)
