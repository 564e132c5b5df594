"""One line a request, and its id on every line that is written while it is answered."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PROBES = ("/livez", "/readyz", "/metrics")

log = structlog.get_logger("rubato.api")


class RequestLog:
    """Binds the request's id and writes what came of it. Paths hold ids, never secrets; queries are left out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=scope.get("state", {}).get("request_id")):
            try:
                await self.app(scope, receive, watched)
            finally:
                say = log.error if status >= 500 else log.info
                duration_ms = round((time.perf_counter() - begun) * 1000, 1)
                say("request", method=scope["method"], path=scope["path"], status=status, duration_ms=duration_ms)
