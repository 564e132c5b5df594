"""The flag port: switches that act without a restart, with a history of who turned them and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from core.record import record


@record
class Flag:
    """A switch as it stands. `scope`: a tenant's id, or empty for everybody."""

    scope: str
    name: str
    value: str
    changed_at: datetime
    changed_by: str
    reason: str | None = None


@record
class FlagChange:
    """One turn of a switch. `old_value` None: it had never been set."""

    scope: str
    name: str
    old_value: str | None
    new_value: str
    changed_at: datetime
    changed_by: str
    reason: str | None = None


class Flags(Protocol):
    """Keeps switches. Whatever decides reads them with what else it reads of a tenant: there is no cache to grow
    old."""

    async def read(self, scopes: Sequence[str]) -> list[Flag]:
        """Return the switches of these scopes, in order of scope and name."""
        ...

    async def turn(self, scope: str, name: str, value: str, *, by: str, reason: str | None) -> Flag:
        """Set a switch and record who did, in one transaction. Raises NotFound for a tenant that is not there."""
        ...

    async def changes(self, scope: str, *, limit: int) -> list[FlagChange]:
        """Return the newest changes of one scope, newest first."""
        ...
