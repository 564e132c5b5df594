"""Identity for tests of other things: nobody signs in, and the record of changes is a list."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from api.services import Identity
from core.identity import AuditEntry
from core.ports.accounts import Principal


class ListedAudit:
    """Keeps entries in a list; `status` of one that is open is None."""

    def __init__(self) -> None:
        self.listed: list[AuditEntry] = []

    async def open(self, who: Principal, at: datetime, action: str, subject: Mapping[str, str], request_id: str) -> str:
        entry = AuditEntry(f"aud_{len(self.listed)}", at, who.user_id, who.key_id, action, subject, request_id)
        self.listed.append(entry)
        return entry.id

    async def close(self, who: Principal, entry_id: str, *, status: int, detail: Mapping[str, Any]) -> None:
        place = int(entry_id.removeprefix("aud_"))
        old = self.listed[place]
        self.listed[place] = AuditEntry(
            old.id, old.at, old.user_id, old.key_id, old.action, old.subject, old.request_id, status, detail
        )


def no_identity(audit: ListedAudit | None = None) -> Identity:
    """Return an identity whose keys, members and sign-ins are not to be touched."""
    nothing = cast("Any", None)
    return Identity(
        keys=nothing,
        sign_ins=nothing,
        members=nothing,
        audit=cast("Any", audit or ListedAudit()),
        tenant=nothing,
        act_for=lambda tenant_id: None,
        origin="http://127.0.0.1:3000",
    )
