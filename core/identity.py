"""Who may do what: roles, the scopes of keys, and the nouns of tenancy. Values only; nothing here holds a secret."""

import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from core.record import record

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LOOKUP_CHARS, SECRET_CHARS, CHECK_CHARS = 12, 43, 6  # 43 digits of base 62 hold 256 bits, 6 hold a CRC32

_KEY = re.compile(rf"[a-z][a-z0-9]*_([0-9A-Za-z]{{{LOOKUP_CHARS}}})[0-9A-Za-z]{{{SECRET_CHARS + CHECK_CHARS}}}")


class Role(StrEnum):
    """What a member of a tenant is."""

    ADMIN = "admin"
    MEMBER = "member"


class Scope(StrEnum):
    """What a key may be used for. A person who signed in has them all, `admin` only as an admin."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    KEYS_WRITE = "keys:write"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})


@record
class KeyUse:
    """A bound on how often a key may be used. Every `refill_every` it is `refill_amount` again; None: never."""

    remaining: int
    refill_amount: int | None = None
    refill_every: timedelta | None = None


@record
class ApiKey:
    """What may be shown of a key. `start`: its public beginning, by which its holder knows it again."""

    id: str
    user_id: str
    name: str | None
    start: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    use: KeyUse | None = None


@record
class KeyDraft:
    """What somebody asks for with a new key. `lifetime` None: it does not expire."""

    name: str | None = None
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    lifetime: timedelta | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    use: KeyUse | None = None


@record
class Profile:
    """A person as a sign-in provider vouches for them. `subject` is the identity; `login` is a name that may change."""

    provider: str
    subject: str
    login: str
    name: str | None = None
    organisations: frozenset[str] = frozenset()  # logins, lower case


@record
class Member:
    """A user of a tenant. `signs_in`: false for one that was made for a key alone."""

    id: str
    name: str
    role: Role
    created_at: datetime
    signs_in: bool = True


@record
class Invitation:
    """A place in a tenant that is kept for whoever brings its token."""

    id: str
    role: Role
    invited_by: str
    created_at: datetime
    expires_at: datetime
    note: str | None = None


@record
class AuditEntry:
    """One change that was asked for. `status`: the HTTP status it was answered with; None: it was cut off.

    `subject`: the ids of what was changed, by the name of the path's parameter; `detail`: what else tells it apart.
    Neither ever holds a body.
    """

    id: str
    at: datetime
    user_id: str
    key_id: str | None
    action: str
    subject: Mapping[str, str]
    request_id: str
    status: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def scopes_from(names: Collection[str]) -> frozenset[Scope]:
    """Read scopes; names of a later release are left out."""
    return frozenset(scope for scope in Scope if scope.value in names)


def compose_key(prefix: str, lookup: str, secret: int) -> str:
    """Return a key: prefix, look-up id, 256 secret bits and a checksum, which tells a typing error from a wrong key."""
    body = f"{prefix}{lookup}{base62(secret, SECRET_CHARS)}"
    return body + base62(zlib.crc32(body.encode()), CHECK_CHARS)


def lookup_of(key: str) -> str | None:
    """Return the look-up id of a key of our own make; None for any other, and for one that is damaged."""
    found = _KEY.fullmatch(key)
    if found is None or base62(zlib.crc32(key[:-CHECK_CHARS].encode()), CHECK_CHARS) != key[-CHECK_CHARS:]:
        return None
    return found.group(1)


def start_of(key: str) -> str:
    """Return what may be shown of a key for ever."""
    lookup = lookup_of(key)
    prefix, underscore, _ = key.partition("_")
    if lookup is None:
        return f"{prefix[:16]}_" if underscore else ""
    return f"{prefix}_{lookup}"


def base62(number: int, digits: int) -> str:
    """Write a number in base 62, to this many digits."""
    chars = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        chars.append(BASE62[digit])
    return "".join(reversed(chars))
