"""The end of each line of the audit: how the change was really answered."""

import logging
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Unavailable

log = logging.getLogger("rubato.api")


class CloseAudit:
    """Closes the entry that a request opened with the status of its answer, before a byte of that is sent. Pure ASGI.

    A store that cannot be reached then must not turn a change that was made into an error: the entry stays open, which
    says that nobody knows.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                await _close(scope, message["status"])
            await send(message)

        try:
            await self.app(scope, receive, closing)
        except Exception:
            await _close(scope, 500)
            raise


async def _close(scope: Scope, status: int) -> None:
    state = scope["state"]
    opened = state.pop("audited", None)
    if opened is None:
        return
    audit: Any = scope["app"].state.services.identity.audit
    who, entry = opened
    try:
        await audit.close(who, entry, status=status, detail=state.get("audit_detail", {}))
    except Unavailable as error:
        log.warning("an entry of the audit could not be closed", extra={"error": str(error)})
