"""What a worker answers over HTTP: is it alive, is it ready, its metrics. A plain ASGI application."""

from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class StatusApp:
    """`/livez`, `/readyz`, `/metrics`. Metrics are open on loopback; elsewhere only if public, or with a key."""

    def __init__(
        self,
        is_ready: Callable[[], Awaitable[bool]],
        metrics: Callable[[], Awaitable[tuple[bytes, str]]],
        *,
        metrics_public: bool,
    ) -> None:
        self._is_ready, self._metrics, self._metrics_public = is_ready, metrics, metrics_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, media_type, body = await self._answer(scope)
        headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope) -> tuple[int, str, bytes]:
        path = scope["path"]
        if path == "/livez":
            return 200, "application/json", b'{"status":"ok"}'
        if path == "/readyz":
            ready = await self._is_ready()
            return (200, "application/json", b'{"status":"ok"}') if ready else _problem(503, "not ready")
        if path == "/metrics":
            if not self._metrics_public and not _is_local(scope):
                return _problem(401, "metrics are open on loopback only; set RUBATO_METRICS_PUBLIC to open them")
            body, media_type = await self._metrics()
            return 200, media_type, body
        return _problem(404, "there is nothing at this address")


def _is_local(scope: Scope) -> bool:
    client = scope.get("client") or ("",)
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _problem(status: int, detail: str) -> tuple[int, str, bytes]:
    body = f'{{"type":"about:blank","status":{status},"detail":"{detail}"}}'
    return status, "application/problem+json", body.encode()
