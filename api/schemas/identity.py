"""Keys, sign-ins, members and the audit on the wire."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, model_validator

from api.wire import Instant, Milliseconds, Wire, ms, span
from core.identity import (
    DEFAULT_SCOPES,
    ApiKey,
    AuditEntry,
    Invitation,
    KeyDraft,
    KeyUse,
    Member,
    Scope,
)

Uses = Annotated[int, Field(strict=True, ge=1, le=2**53)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=316_224_000)]
Name = Annotated[str, Field(strict=True, max_length=255)]
ScopeName = Literal["jobs:read", "jobs:write", "keys:write", "metrics:read", "admin"]
RoleName = Literal["admin", "member"]


class KeyOptions(Wire):
    """What a key may be given. `expiresIn` is in seconds, `expiresInMs` the same in milliseconds."""

    name: Name | None = None
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=20)] | None = None
    expires_in: Seconds | None = None
    expires_in_ms: Milliseconds | None = None
    metadata: dict[StrictStr, Any] | None = None
    remaining: Uses | None = None
    refill_amount: Uses | None = None
    refill_interval_ms: Milliseconds | None = None

    @model_validator(mode="after")
    def _whole(self) -> "KeyOptions":
        if self.expires_in is not None and self.expires_in_ms is not None:
            raise ValueError("expiresIn and expiresInMs are the same thing; give one of them")
        if (self.refill_amount is None) != (self.refill_interval_ms is None):
            raise ValueError("refillAmount and refillIntervalMs go together")
        if self.refill_amount is not None and self.remaining is None:
            raise ValueError("refillAmount needs remaining, the uses until the first refill")
        return self

    def lifetime(self) -> timedelta | None:
        """Return how long the key lasts; None: for ever."""
        return timedelta(seconds=self.expires_in) if self.expires_in is not None else span(self.expires_in_ms)

    def use(self) -> KeyUse | None:
        """Return the bound on uses; None: none."""
        if self.remaining is None:
            return None
        return KeyUse(self.remaining, self.refill_amount, span(self.refill_interval_ms))

    def wanted_scopes(self) -> frozenset[Scope]:
        """Return the scopes, or the default ones."""
        return frozenset(Scope(each) for each in self.scopes) if self.scopes else DEFAULT_SCOPES


class KeyIn(KeyOptions):
    """A new key. Left out: it reads and writes jobs, does not expire, and is not counted."""

    def draft(self) -> KeyDraft:
        """Return it as core takes it."""
        return KeyDraft(self.name, self.wanted_scopes(), self.lifetime(), self.metadata or {}, self.use())


class KeyUpdateIn(KeyOptions):
    """Changes to a key: null takes a limit away, what is not named stays."""

    key_id: Annotated[str, Field(strict=True, min_length=1, max_length=100)]

    def changes(self) -> dict[str, Any]:
        """Return what is named, as core takes it."""
        named = self.model_fields_set
        changes: dict[str, Any] = {}
        if "name" in named:
            changes["name"] = self.name
        if "scopes" in named:
            changes["scopes"] = self.wanted_scopes()
        if "metadata" in named:
            changes["metadata"] = self.metadata or {}
        if named & {"expires_in", "expires_in_ms"}:
            changes["lifetime"] = self.lifetime()
        if "remaining" in named:
            changes["use"] = self.use()
        return changes


class KeyRefIn(Wire):
    """Which key."""

    key_id: Annotated[str, Field(strict=True, min_length=1, max_length=100)]


class KeyRotateIn(KeyRefIn):
    """Which key, and for how long the old value goes on working; left out: not at all."""

    overlap_ms: Annotated[int | None, Field(strict=True, ge=0, le=30 * 86_400_000)] = None


class KeyOut(Wire):
    """A key without its value. `start` is its public beginning."""

    id: str
    name: str | None
    start: str
    user_id: str
    scopes: list[str]
    metadata: dict[str, Any]
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None
    remaining: int | None
    refill_amount: int | None
    refill_interval_ms: int | None


class NewKeyOut(KeyOut):
    """A new key with its value, which is shown this once."""

    key: str


class DoneOut(Wire):
    """It was done."""

    success: bool


class RedirectOut(Wire):
    """Where to send the browser."""

    url: str
    redirect: bool


class TenantOut(Wire):
    """A tenant that a person belongs to."""

    id: str
    name: str
    role: str


class SignedInOut(Wire):
    """Who is asking. `tenants` is empty for a key whose user never signed in."""

    user_id: str
    tenant_id: str
    role: str
    scopes: list[str]
    via: str
    tenants: list[TenantOut]


class SwitchIn(Wire):
    """Which of one's own tenants to go on in."""

    tenant_id: Annotated[str, Field(strict=True, min_length=1, max_length=100)]


class MemberOut(Wire):
    """A member. `signsIn`: false for one that was made for a key alone."""

    id: str
    name: str
    role: str
    signs_in: bool
    created_at: Instant


class InvitationOut(Wire):
    """An open invitation."""

    id: str
    role: str
    note: str | None
    invited_by: str
    created_at: Instant
    expires_at: Instant


class MembersOut(Wire):
    """Everybody, and everybody who was asked."""

    data: list[MemberOut]
    invitations: list[InvitationOut]
    next_cursor: str | None


class InviteIn(Wire):
    """Whom to ask, in one's own words, and as what."""

    role: RoleName
    note: Annotated[str | None, Field(strict=True, max_length=255)] = None
    expires_in_ms: Annotated[int | None, Field(strict=True, ge=60_000, le=30 * 86_400_000)] = None


class NewInvitationOut(InvitationOut):
    """An invitation with the address that accepts it, which is shown this once."""

    url: str


class RoleIn(Wire):
    """A member's new role."""

    role: RoleName


class AuditEntryOut(Wire):
    """One change that was asked for. `status` null: the process ended before it was answered."""

    id: str
    at: Instant
    user_id: str
    key_id: str | None
    action: str
    subject: dict[str, str]
    request_id: str
    status: int | None
    detail: dict[str, Any]


def key_out(key: ApiKey) -> KeyOut:
    """Write a key."""
    return KeyOut.model_validate(_key(key))


def new_key_out(key: ApiKey, value: str) -> NewKeyOut:
    """Write a key with its value."""
    return NewKeyOut.model_validate({**_key(key), "key": value})


def _key(key: ApiKey) -> dict[str, Any]:
    use = key.use
    return {
        "id": key.id,
        "name": key.name,
        "start": key.start,
        "userId": key.user_id,
        "scopes": sorted(key.scopes),
        "metadata": dict(key.metadata),
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "lastUsedAt": key.last_used_at,
        "remaining": use.remaining if use else None,
        "refillAmount": use.refill_amount if use else None,
        "refillIntervalMs": ms(use.refill_every) if use else None,
    }


def member_out(member: Member) -> MemberOut:
    """Write a member."""
    return MemberOut(
        id=member.id,
        name=member.name,
        role=member.role.value,
        signs_in=member.signs_in,
        created_at=member.created_at,
    )


def invitation_fields(invitation: Invitation) -> dict[str, Any]:
    """Return an invitation's fields."""
    return {
        "id": invitation.id,
        "role": invitation.role.value,
        "note": invitation.note,
        "invitedBy": invitation.invited_by,
        "createdAt": invitation.created_at,
        "expiresAt": invitation.expires_at,
    }


def audit_entry_out(entry: AuditEntry) -> AuditEntryOut:
    """Write an entry."""
    return AuditEntryOut(
        id=entry.id,
        at=entry.at,
        user_id=entry.user_id,
        key_id=entry.key_id,
        action=entry.action,
        subject=dict(entry.subject),
        request_id=entry.request_id,
        status=entry.status,
        detail=dict(entry.detail),
    )
