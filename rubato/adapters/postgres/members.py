"""The members port on PostgreSQL, under the tenant role. Changes of roles take turns on the tenant's row."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import Conflict, NotFound
from core.identity import Invitation, Member, Role
from core.ports.accounts import Principal
from core.ports.ids import Ids
from rubato.adapters.postgres.accounts import hashed
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.identity_tables import api_keys, invitations, sign_ins, users


class PostgresMembers:
    """A tenant's users and invitations."""

    def __init__(self, engine: AsyncEngine, ids: Ids, *, pepper: bytes) -> None:
        self._engine, self._ids, self._pepper = engine, ids, pepper

    async def list(self, who: Principal) -> "tuple[list[Member], list[Invitation]]":
        """Return members and open invitations."""
        members = select(users).where(users.c.tenant_id == who.tenant_id, users.c.removed_at.is_(None))
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(members.order_by(users.c.created_at, users.c.id))).mappings().all()
            open_ = (await connection.execute(_open_invitations(who))).mappings().all()
        return [_member_from(row) for row in rows], [_invitation_from(row) for row in open_]

    async def invite(
        self, who: Principal, role: Role, *, note: str | None, lifetime_s: int, rehearse: bool = False
    ) -> tuple[Invitation, str]:
        """Open an invitation; return it with its token."""
        token, invitation_id = secrets.token_urlsafe(32), f"inv_{self._ids.entropy()}"
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            await connection.execute(
                insert(invitations).values(
                    tenant_id=who.tenant_id,
                    id=invitation_id,
                    hash=hashed(self._pepper, token),
                    role=role.value,
                    note=note,
                    invited_by=who.user_id,
                    expires_at=func.now() + timedelta(seconds=lifetime_s),
                )
            )
            mine = _open_invitations(who).where(invitations.c.id == invitation_id)
            row = (await connection.execute(mine)).mappings().one()
        return _invitation_from(row), token

    async def set_role(self, who: Principal, user_id: str, role: Role, *, rehearse: bool = False) -> Member:
        """Change a member's role; an admin's only while there is another."""
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            member = await self._locked(connection, who, user_id)
            if member.role is Role.ADMIN and role is not Role.ADMIN:
                await _keep_an_admin(connection, who, user_id)
            await connection.execute(update(users).where(*_of(who, user_id)).values(role=role.value))
            return _member_from((await connection.execute(select(users).where(*_of(who, user_id)))).mappings().one())

    async def remove(self, who: Principal, member_id: str, *, rehearse: bool = False) -> None:
        """Remove a member with all their keys and sign-ins, or withdraw an invitation."""
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            if member_id.startswith("inv_"):
                where = (*_of(who, member_id, invitations), invitations.c.ended_at.is_(None))
                if (await connection.execute(update(invitations).where(*where).values(ended_at=func.now()))).rowcount:
                    return
                raise NotFound(f"There is no invitation {member_id}.")
            member = await self._locked(connection, who, member_id)
            if member.role is Role.ADMIN:
                await _keep_an_admin(connection, who, member_id)
            await connection.execute(update(users).where(*_of(who, member_id)).values(removed_at=func.now()))
            theirs = (api_keys.c.tenant_id == who.tenant_id, api_keys.c.user_id == member_id)
            await connection.execute(
                update(api_keys).where(*theirs, api_keys.c.revoked_at.is_(None)).values(revoked_at=func.now())
            )
            await connection.execute(
                delete(sign_ins).where(sign_ins.c.tenant_id == who.tenant_id, sign_ins.c.user_id == member_id)
            )

    async def _locked(self, connection: AsyncConnection, who: Principal, user_id: str) -> Member:
        """Take the tenant's turn, and return the member as it is then."""
        await connection.execute(text("SELECT 1 FROM tenants WHERE id = :id FOR UPDATE"), {"id": who.tenant_id})
        found = select(users).where(*_of(who, user_id), users.c.removed_at.is_(None))
        row = (await connection.execute(found)).mappings().first()
        if row is None:
            raise NotFound(f"There is no member {user_id}.")
        return _member_from(row)


async def _keep_an_admin(connection: AsyncConnection, who: Principal, leaving: str) -> None:
    others = select(func.count()).where(
        users.c.tenant_id == who.tenant_id,
        users.c.role == Role.ADMIN.value,
        users.c.removed_at.is_(None),
        users.c.id != leaving,
    )
    if (await connection.execute(others)).scalar_one() == 0:
        raise Conflict("last_admin", "This is the tenant's last admin. Make another member an admin first.")


def _open_invitations(who: Principal) -> Any:
    return (
        select(invitations)
        .where(
            invitations.c.tenant_id == who.tenant_id,
            invitations.c.ended_at.is_(None),
            invitations.c.expires_at > func.now(),
        )
        .order_by(invitations.c.created_at, invitations.c.id)
    )


def _of(who: Principal, row_id: str, table: Any = users) -> tuple[Any, Any]:
    return table.c.tenant_id == who.tenant_id, table.c.id == row_id


def _member_from(row: Mapping[Any, Any]) -> Member:
    return Member(row["id"], row["name"], Role(row["role"]), row["created_at"], signs_in=row["account_id"] is not None)


def _invitation_from(row: Mapping[Any, Any]) -> Invitation:
    return Invitation(
        id=row["id"],
        role=Role(row["role"]),
        invited_by=row["invited_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        note=row["note"],
    )
