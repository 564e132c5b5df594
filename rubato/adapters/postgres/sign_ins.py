"""The sign-ins port on PostgreSQL, under the identity role. Tokens and states are kept as hashes only."""

import secrets
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import Conflict
from core.identity import Profile, Role
from core.ids import audit_id
from core.ports.accounts import Principal, SignedIn
from core.ports.ids import Ids
from rubato.adapters.postgres.accounts import hashed
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.identity_tables import audit_entries

ATTEMPT = timedelta(minutes=10)  # to the provider and back
IDLE, ABSOLUTE = timedelta(days=7), timedelta(days=30)  # how long a sign-in lasts unused, and at all
_SEEN_EVERY = timedelta(minutes=1)  # how often `seen_at` is written at the most

_ACCOUNT = text(
    """
    INSERT INTO accounts (id, provider, subject, login, name) VALUES (:id, :provider, :subject, :login, :name)
    ON CONFLICT (provider, subject) DO UPDATE
        SET login = excluded.login, name = excluded.name, signed_in_at = now()
    RETURNING id
    """
)
_MEMBERSHIPS = text(
    """
    SELECT u.tenant_id, u.id, u.role, t.name, u.removed_at IS NULL AND t.deleted_at IS NULL AS is_open
    FROM users u JOIN tenants t ON t.id = u.tenant_id
    WHERE u.account_id = :account ORDER BY u.created_at DESC, u.tenant_id
    """
)
_JOIN = text(
    """
    INSERT INTO users AS u (tenant_id, id, name, role, account_id) VALUES (:tenant, :id, :name, :role, :account)
    ON CONFLICT (account_id, tenant_id) WHERE account_id IS NOT NULL DO UPDATE
        SET removed_at = NULL, role = CASE WHEN u.removed_at IS NULL THEN u.role ELSE excluded.role END
    RETURNING u.tenant_id, u.id, u.role
    """
)
_INVITATION = text(
    """
    UPDATE invitations i SET ended_at = now() FROM tenants t
    WHERE i.hash = :hash AND i.ended_at IS NULL AND i.expires_at > now() AND t.id = i.tenant_id AND t.deleted_at IS NULL
    RETURNING i.tenant_id, i.role
    """
)
_RESOLVE = text(
    """
    SELECT s.tenant_id, s.user_id, u.role, s.id, s.account_id, s.seen_at < now() - CAST(:every AS interval) AS is_stale
    FROM sign_ins s
    JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
    JOIN tenants t ON t.id = s.tenant_id
    WHERE s.hash = :hash AND s.expires_at > now() AND s.seen_at > now() - CAST(:idle AS interval)
      AND u.removed_at IS NULL AND t.deleted_at IS NULL
    """
)


class PostgresSignIns:
    """Persons' sign-ins, and their way to the provider and back."""

    def __init__(self, engine: AsyncEngine, ids: Ids, *, pepper: bytes) -> None:
        self._engine, self._ids, self._pepper = engine, ids, pepper

    async def open(self, state: str, *, verifier: str, redirect: str, invitation: str | None) -> None:
        """Remember an attempt for ten minutes; forget those that are older."""
        values = {
            "hash": hashed(self._pepper, state),
            "verifier": verifier,
            "redirect": redirect,
            "invitation": hashed(self._pepper, invitation).hex() if invitation is not None else None,
            "lasts": ATTEMPT,
        }
        add = text(
            "INSERT INTO verifications (hash, verifier, redirect, invitation, expires_at) "
            "VALUES (:hash, :verifier, :redirect, :invitation, now() + CAST(:lasts AS interval))"
        )
        async with transaction(self._engine) as connection:
            await connection.execute(text("DELETE FROM verifications WHERE expires_at < now()"))
            await connection.execute(add, values)

    async def take(self, state: str) -> tuple[str, str, str | None] | None:
        """Return an attempt's verifier, redirect and invitation, once."""
        taken = text(
            "DELETE FROM verifications WHERE hash = :hash RETURNING verifier, redirect, invitation, expires_at > now()"
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(taken, {"hash": hashed(self._pepper, state)})).first()
        return (row[0], row[1], row[2]) if row is not None and row[3] else None

    async def sign_in(
        self, profile: Profile, *, invitation: str | None, previous: str | None, request_id: str
    ) -> SignedIn:
        """Sign a person in: to the tenant that invites them, else to the newest they belong to, else, the first time,
        to one of their own."""
        async with transaction(self._engine) as connection:
            account = (
                await connection.execute(
                    _ACCOUNT,
                    {
                        "id": f"acc_{self._ids.entropy()}",
                        "provider": profile.provider,
                        "subject": profile.subject,
                        "login": profile.login,
                        "name": profile.name,
                    },
                )
            ).scalar_one()
            who = await self._membership(connection, account, profile, invitation)
            renamed = text("UPDATE users SET name = :name WHERE account_id = :account AND name <> :name")
            await connection.execute(renamed, {"name": profile.login, "account": account})
            if previous is not None:
                await self._end(connection, previous)
            token = secrets.token_urlsafe(32)
            await connection.execute(text("DELETE FROM sign_ins WHERE expires_at < now()"))
            await connection.execute(
                text(
                    "INSERT INTO sign_ins (tenant_id, id, user_id, account_id, hash, expires_at) "
                    "VALUES (:tenant, :id, :user, :account, :hash, now() + CAST(:lasts AS interval))"
                ),
                {
                    "tenant": who.tenant_id,
                    "id": f"sgn_{self._ids.entropy()}",
                    "user": who.user_id,
                    "account": account,
                    "hash": hashed(self._pepper, token),
                    "lasts": ABSOLUTE,
                },
            )
            await self._record(connection, who, profile, request_id, invited=invitation is not None)
            return SignedIn(token, who, profile.login)

    async def resolve(self, token: str) -> Principal | None:
        """Return whose sign-in it is."""
        async with transaction(self._engine) as connection:
            row = await self._row(connection, token)
            if row is None:
                return None
            if row["is_stale"]:
                seen = text("UPDATE sign_ins SET seen_at = now() WHERE tenant_id = :tenant AND id = :id")
                await connection.execute(seen, {"tenant": row["tenant_id"], "id": row["id"]})
            return Principal(row["tenant_id"], row["user_id"], row["role"])

    async def tenants(self, who: Principal) -> "list[tuple[str, str, Role]]":
        """Return id, name and role of every tenant that this person belongs to."""
        async with transaction(self._engine) as connection:
            mine = text("SELECT account_id FROM users WHERE tenant_id = :tenant AND id = :id")
            account = (await connection.execute(mine, {"tenant": who.tenant_id, "id": who.user_id})).scalar()
            rows = (await connection.execute(_MEMBERSHIPS, {"account": account})).mappings()
            return [(row["tenant_id"], row["name"], Role(row["role"])) for row in rows if row["is_open"]]

    async def switch(self, token: str, tenant_id: str) -> bool:
        """Move a sign-in to another tenant of the same person."""
        async with transaction(self._engine) as connection:
            row = await self._row(connection, token)
            if row is None:
                return False
            rows = (await connection.execute(_MEMBERSHIPS, {"account": row["account_id"]})).mappings()
            user = next((each["id"] for each in rows if each["is_open"] and each["tenant_id"] == tenant_id), None)
            if user is None:
                return False
            moved = text("UPDATE sign_ins SET tenant_id = :tenant, user_id = :user WHERE hash = :hash")
            where = {"tenant": tenant_id, "user": user, "hash": hashed(self._pepper, token)}
            await connection.execute(moved, where)
            return True

    async def sign_out(self, token: str) -> None:
        """End a sign-in."""
        async with transaction(self._engine) as connection:
            await self._end(connection, token)

    async def _row(self, connection: AsyncConnection, token: str) -> Any:
        where = {"hash": hashed(self._pepper, token), "idle": IDLE, "every": _SEEN_EVERY}
        return (await connection.execute(_RESOLVE, where)).mappings().first()

    async def _end(self, connection: AsyncConnection, token: str) -> None:
        await connection.execute(text("DELETE FROM sign_ins WHERE hash = :hash"), {"hash": hashed(self._pepper, token)})

    async def _record(
        self, connection: AsyncConnection, who: Principal, profile: Profile, request_id: str, *, invited: bool
    ) -> None:
        now = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one().astimezone(UTC)
        await connection.execute(
            insert(audit_entries).values(
                tenant_id=who.tenant_id,
                id=audit_id(now, self._ids.entropy()),
                at=now,
                user_id=who.user_id,
                action="finishSignIn",
                subject={},
                request_id=request_id,
                status=302,
                detail={"provider": profile.provider, "login": profile.login, "invited": invited},
            )
        )

    async def _membership(
        self, connection: AsyncConnection, account: str, profile: Profile, invitation: str | None
    ) -> Principal:
        if invitation is not None:
            found = (await connection.execute(_INVITATION, {"hash": bytes.fromhex(invitation)})).first()
            if found is None:
                raise Conflict("invitation_not_valid", "This invitation was used, withdrawn, or has expired.")
            return await self._join(connection, account, profile, found[0], found[1])
        rows = (await connection.execute(_MEMBERSHIPS, {"account": account})).mappings().all()
        for row in rows:
            if row["is_open"]:
                return Principal(row["tenant_id"], row["id"], row["role"])
        if rows:
            raise Conflict("no_tenant", "You belong to no tenant any more. Ask an admin of one for an invitation.")
        tenant_id = f"ten_{self._ids.entropy()}"
        await connection.execute(
            text("INSERT INTO tenants (id, name) VALUES (:id, :name)"), {"id": tenant_id, "name": profile.login}
        )
        return await self._join(connection, account, profile, tenant_id, Role.ADMIN)

    async def _join(
        self, connection: AsyncConnection, account: str, profile: Profile, tenant_id: str, role: str
    ) -> Principal:
        values = {
            "tenant": tenant_id,
            "id": f"usr_{self._ids.entropy()}",
            "name": profile.login,
            "role": role,
            "account": account,
        }
        row = (await connection.execute(_JOIN, values)).one()
        return Principal(row[0], row[1], row[2])
