"""The ports of identity: credentials, keys, sign-ins, members, and the record of who changed what."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from core.identity import (
    ALL_SCOPES,
    ApiKey,
    AuditEntry,
    Invitation,
    KeyDraft,
    Member,
    Profile,
    Role,
    Scope,
)
from core.ports.store import Page
from core.record import record


@record
class Principal:
    """Who is asking: a user of a tenant, through one of its keys or (`key_id` None) a sign-in."""

    tenant_id: str
    user_id: str
    role: str
    key_id: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES

    @property
    def is_admin(self) -> bool:
        """An admin's key has only the scopes it was given."""
        return self.role == Role.ADMIN and Scope.ADMIN in self.scopes


class Accounts(Protocol):
    """Resolves credentials. Values are compared by keyed hash; none is ever stored or logged."""

    async def authenticate(self, api_key: str) -> Principal | None:
        """Return whose key it is, or None when it is unknown, revoked or expired. Raises KeySpentError."""
        ...

    async def bootstrap(self, api_key: str, *, tenant: str, user: str, tenant_id: str | None = None) -> Principal:
        """Create that tenant, admin user and key unless this key exists; safe to call at every start, and by
        several processes at once. `tenant_id`: of a tenant that may be there already."""
        ...


class Made(NamedTuple):
    """A new key and its value, which is nowhere else and is never shown again."""

    key: ApiKey
    value: str


class Keys(Protocol):
    """A tenant's keys. A member sees its own, an admin all; what is not theirs to see raises NotFound.

    With `rehearse` a change answers or raises what it would, and changes nothing.
    """

    async def create(self, who: Principal, draft: KeyDraft, *, rehearse: bool = False) -> Made:
        """Make a key for whoever asks. Raises InvalidInput for scopes beyond their own."""
        ...

    async def list(self, who: Principal) -> "list[ApiKey]":
        """Return keys that are not revoked, newest first."""
        ...

    async def get(self, who: Principal, key_id: str) -> ApiKey:
        """Return one that is not revoked."""
        ...

    async def update(
        self, who: Principal, key_id: str, changes: Mapping[str, Any], *, rehearse: bool = False
    ) -> ApiKey:
        """Change `name`, `metadata`, `scopes`, `lifetime` (from now on) or `use`; what is not named stays."""
        ...

    async def rotate(self, who: Principal, key_id: str, *, overlap_s: int, rehearse: bool = False) -> Made:
        """Make a key like that one; the old one works for `overlap_s` more seconds."""
        ...

    async def revoke(self, who: Principal, key_id: str, *, rehearse: bool = False) -> None:
        """End a key at once."""
        ...


@record
class SignedIn:
    """A sign-in: its secret token, for the cookie alone, and who it is for."""

    token: str
    who: Principal
    login: str


class SignIns(Protocol):
    """Sign-ins of persons, and what has to be remembered on their way to the provider and back."""

    async def open(self, state: str, *, verifier: str, redirect: str, invitation: str | None) -> None:
        """Remember an attempt for ten minutes."""
        ...

    async def take(self, state: str) -> tuple[str, str, str | None] | None:
        """Return an attempt's verifier, redirect and invitation, once; None when it is unknown, old or was taken."""
        ...

    async def sign_in(
        self, profile: Profile, *, invitation: str | None, previous: str | None, request_id: str
    ) -> SignedIn:
        """Sign a person in: the account of their provider's id, whatever their name is now; the audit has it.

        `invitation`: as `take` returned it. `previous`: the token that this sign-in replaces. Raises Conflict when they
        belong to no tenant, or the invitation does not hold.
        """
        ...

    async def resolve(self, token: str) -> Principal | None:
        """Return whose sign-in it is; None when it is unknown, ended, idle for too long, or its user was removed."""
        ...

    async def tenants(self, who: Principal) -> "list[tuple[str, str, Role]]":
        """Return id, name and role of every tenant that this person belongs to."""
        ...

    async def switch(self, token: str, tenant_id: str) -> bool:
        """Move a sign-in to another tenant of the same person; False when they do not belong there."""
        ...

    async def sign_out(self, token: str) -> None:
        """End a sign-in."""
        ...


class Provider(Protocol):
    """A sign-in provider that speaks OAuth 2.0."""

    def authorisation_url(self, state: str, verifier: str) -> str:
        """Return where to send the browser."""
        ...

    async def profile(self, code: str, verifier: str) -> Profile:
        """Exchange a code for who the person is. Raises NotAllowed when the provider refuses or the person is
        not allowed here, Unavailable when it cannot be reached."""
        ...


class Members(Protocol):
    """A tenant's users. The last admin cannot be removed or made a member: Conflict `last_admin`.

    `rehearse` is as for keys.
    """

    async def list(self, who: Principal) -> "tuple[list[Member], list[Invitation]]":
        """Return members and open invitations."""
        ...

    async def invite(
        self, who: Principal, role: Role, *, note: str | None, lifetime_s: int, rehearse: bool = False
    ) -> tuple[Invitation, str]:
        """Open an invitation; return it with its token, which is shown once."""
        ...

    async def set_role(self, who: Principal, user_id: str, role: Role, *, rehearse: bool = False) -> Member:
        """Change a member's role."""
        ...

    async def remove(self, who: Principal, member_id: str, *, rehearse: bool = False) -> None:
        """Remove a member with all their keys and sign-ins, or withdraw an invitation."""
        ...


class Audit(Protocol):
    """The record of changes: written before a change is carried out, closed with its outcome."""

    async def open(self, who: Principal, at: datetime, action: str, subject: Mapping[str, str], request_id: str) -> str:
        """Record that a change was asked for; return the entry's id."""
        ...

    async def close(self, who: Principal, entry_id: str, *, status: int, detail: Mapping[str, Any]) -> None:
        """Record how it was answered."""
        ...

    async def entries(
        self, who: Principal, *, action: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[AuditEntry]:
        """Return entries, newest first."""
        ...


class TenantData(Protocol):
    """A tenant as a whole."""

    async def name(self, who: Principal) -> str:
        """Return the tenant's name."""
        ...

    def export(self, who: Principal) -> AsyncIterator[dict[str, Any]]:
        """Yield every row that is the tenant's, as `{"type": ..., ...}`; secrets are left out."""
        ...

    async def delete(self, who: Principal) -> None:
        """End all access at once and stop all jobs; the rows go soon after."""
        ...
