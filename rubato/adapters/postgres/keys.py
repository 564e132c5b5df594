"""The keys port on PostgreSQL, under the tenant role: another tenant's keys are not there at all."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import InvalidInput, Issue, NotFound
from core.identity import BASE62, LOOKUP_CHARS, ApiKey, KeyDraft, KeyUse, Scope, compose_key, scopes_from, start_of
from core.ports.accounts import Made, Principal
from core.ports.ids import Ids
from rubato.adapters.postgres.accounts import hashed
from rubato.adapters.postgres.codec import ms, span
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.identity_tables import api_keys


class PostgresKeys:
    """A tenant's API keys."""

    def __init__(self, engine: AsyncEngine, ids: Ids, *, pepper: bytes, prefix: str) -> None:
        self._engine, self._ids, self._pepper, self._prefix = engine, ids, pepper, prefix

    async def create(self, who: Principal, draft: KeyDraft, *, rehearse: bool = False) -> Made:
        """Make a key for whoever asks."""
        _check_scopes(who, draft.scopes)
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            return await self._create(connection, who.tenant_id, who.user_id, draft)

    async def list(self, who: Principal) -> "list[ApiKey]":
        """Return keys that are not revoked, newest first."""
        statement = _seen_by(who).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        async with transaction(self._engine) as connection:
            return [_key_from(row) for row in (await connection.execute(statement)).mappings()]

    async def get(self, who: Principal, key_id: str) -> ApiKey:
        """Return one that is not revoked."""
        async with transaction(self._engine) as connection:
            return _key_from(await _one(connection, who, key_id))

    async def update(
        self, who: Principal, key_id: str, changes: Mapping[str, Any], *, rehearse: bool = False
    ) -> ApiKey:
        """Change what is named."""
        if "scopes" in changes:
            _check_scopes(who, changes["scopes"])
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            row = await _one(connection, who, key_id)
            values = _columns(changes, row["now_at"])
            if values:
                await connection.execute(update(api_keys).where(*_of(who.tenant_id, key_id)).values(values))
            return _key_from(await _one(connection, who, key_id))

    async def rotate(self, who: Principal, key_id: str, *, overlap_s: int, rehearse: bool = False) -> Made:
        """Make a key like that one for the same user; the old one works for `overlap_s` more seconds.

        A caller cannot get scopes this way that it does not have.
        """
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            row = await _one(connection, who, key_id)
            old = _key_from(row)
            _check_scopes(who, old.scopes)
            lifetime = old.expires_at - row["now_at"] if old.expires_at is not None else None
            draft = KeyDraft(old.name, old.scopes, lifetime, old.metadata, old.use)
            made = await self._create(connection, who.tenant_id, old.user_id, draft)
            ends = row["now_at"] + timedelta(seconds=overlap_s)
            if old.expires_at is None or ends < old.expires_at:
                ended = {"expires_at": ends} if overlap_s else {"revoked_at": row["now_at"]}
                await connection.execute(update(api_keys).where(*_of(who.tenant_id, key_id)).values(ended))
            return made

    async def revoke(self, who: Principal, key_id: str, *, rehearse: bool = False) -> None:
        """End a key at once."""
        async with transaction(self._engine, is_rehearsed=rehearse) as connection:
            row = await _one(connection, who, key_id)
            ended = update(api_keys).where(*_of(who.tenant_id, key_id)).values(revoked_at=row["now_at"])
            await connection.execute(ended)

    async def _create(self, connection: AsyncConnection, tenant_id: str, user_id: str, draft: KeyDraft) -> Made:
        value = new_key(self._prefix)
        now = (await connection.execute(text("SELECT now()"))).scalar_one()
        key_id = f"key_{self._ids.entropy()}"
        await connection.execute(
            insert(api_keys).values(
                tenant_id=tenant_id,
                id=key_id,
                user_id=user_id,
                hash=hashed(self._pepper, value),
                lookup=start_of(value).partition("_")[2],
                start=start_of(value),
                **_columns(
                    {
                        "name": draft.name,
                        "scopes": draft.scopes,
                        "metadata": draft.metadata,
                        "lifetime": draft.lifetime,
                        "use": draft.use,
                    },
                    now,
                ),
            )
        )
        row = (await connection.execute(select(api_keys).where(*_of(tenant_id, key_id)))).mappings().one()
        return Made(_key_from(row), value)


def new_key(prefix: str) -> str:
    """Return a fresh key."""
    lookup = "".join(secrets.choice(BASE62) for _ in range(LOOKUP_CHARS))
    return compose_key(prefix, lookup, secrets.randbits(256))


def _seen_by(who: Principal) -> Any:
    statement = select(api_keys, func.now().label("now_at")).where(
        api_keys.c.tenant_id == who.tenant_id, api_keys.c.revoked_at.is_(None)
    )
    return statement if who.is_admin else statement.where(api_keys.c.user_id == who.user_id)


async def _one(connection: AsyncConnection, who: Principal, key_id: str) -> RowMapping:
    row = (await connection.execute(_seen_by(who).where(api_keys.c.id == key_id))).mappings().first()
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    found: RowMapping = row
    return found


def _of(tenant_id: str, key_id: str) -> tuple[Any, Any]:
    return api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id


def _check_scopes(who: Principal, scopes: frozenset[Scope]) -> None:
    beyond = scopes - who.scopes
    if Scope.ADMIN in scopes and not who.is_admin:
        beyond |= {Scope.ADMIN}
    if beyond:
        detail = f"A key cannot be given scopes that you do not have yourself: {', '.join(sorted(beyond))}."
        raise InvalidInput([Issue("/scopes", "scope_not_held", detail)])


def _columns(changes: Mapping[str, Any], now: Any) -> dict[str, Any]:
    """Return the columns of what is named; a lifetime counts from now on."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        match name:
            case "name":
                values["name"] = value or ""
            case "metadata":
                values["metadata"] = dict(value)
            case "scopes":
                values["scopes"] = sorted(value)
            case "lifetime":
                values["expires_at"] = now + value if value is not None else None
            case "use":
                values |= _use_columns(value, now)
    return values


def _use_columns(use: KeyUse | None, now: Any) -> dict[str, Any]:
    if use is None:
        return {"remaining": None, "refill_amount": None, "refill_interval_ms": None, "refilled_at": None}
    return {
        "remaining": use.remaining,
        "refill_amount": use.refill_amount,
        "refill_interval_ms": ms(use.refill_every),
        "refilled_at": now,
    }


def _key_from(row: Mapping[Any, Any]) -> ApiKey:
    every = span(row["refill_interval_ms"])
    use = KeyUse(row["remaining"], row["refill_amount"], every) if row["remaining"] is not None else None
    return ApiKey(
        id=row["id"],
        user_id=row["user_id"],
        name=row["name"] or None,
        start=row["start"],
        scopes=scopes_from(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        metadata=row["metadata"],
        use=use,
    )
