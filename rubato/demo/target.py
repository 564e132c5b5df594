"""The demo target as a plain ASGI application."""

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any

from core.ports.clock import Clock
from rubato.demo.day import ROUTES

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class DemoTarget:
    """Serves the day that began at `origin`, so that a restart goes on where it was."""

    def __init__(self, clock: Clock, origin: datetime) -> None:
        self._clock, self._origin = clock, origin

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Send
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        now = self._clock.now()
        route = ROUTES.get(scope["path"])
        status, body, headers = 404, '{"error":"there is nothing here"}', ()  # type: int, str, Any
        if route is not None:
            reply = route((now - self._origin).total_seconds(), now)
            status, body, headers = reply.status, reply.body, reply.headers
        sent = [(b"content-type", b"application/json"), *((name.encode(), value.encode()) for name, value in headers)]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body.encode()})
