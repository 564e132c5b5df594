"""What every request passes before its route: an id, a size limit, a media type, known parameters, a stopwatch."""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, answer, unexpected
from api.services import HttpObserver
from core.errors import Issue

PREFIX = "/api/v1"
ADMIN_PREFIX = "/api/v2/admin/cron"
AUTH_PREFIX = "/api/auth"
LARGEST_BODY = 1024 * 1024  # bytes
SECURITY = {  # of answers that are data: nothing in them may be run, framed, sniffed, or read by other sites
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}")
_JSON_TYPES = ("application/json", "application/merge-patch+json")


class RequestGate:
    """Gives each request its id, stops bodies that are too large, and takes the time. Pure ASGI: streams pass."""

    def __init__(self, app: ASGIApp, observe: HttpObserver) -> None:
        self.app, self.observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status = time.perf_counter(), 0
        streams_s: float | None = None  # of an event stream: how long it took to begin, whenever it ends

        async def tagged(message: Message) -> None:
            nonlocal status, streams_s
            if message["type"] == "http.response.start":
                status = message["status"]
                streams_s = time.perf_counter() - begun if _is_stream(message["headers"]) else None
                message["headers"] = [*message["headers"], *_added(scope, message["headers"])]
            await send(message)

        try:
            if _declared(headers) > LARGEST_BODY:
                detail = f"A body may have {LARGEST_BODY} bytes at the most."
                await answer(request_id, 413, "too_large", detail)(scope, receive, tagged)
            else:
                await self.app(scope, _counted(receive), tagged)
        except Exception as error:
            if status:  # the answer has begun; all that is left is to break it off
                raise
            await unexpected(request_id, error)(scope, receive, tagged)
        finally:
            duration_s = time.perf_counter() - begun if streams_s is None else streams_s
            self.observe(method=scope["method"], route=_template(scope), status=status or 500, duration_s=duration_s)


async def check_request(request: Request) -> None:
    """Answer 415 for another media type, 400 for parameters that the route does not take or no database can hold."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if request.method in ("POST", "PUT", "PATCH") and has_body:
        usual = _JSON_TYPES if request.method == "PATCH" else _JSON_TYPES[:1]
        allowed = getattr(request.scope.get("route"), "media_types", usual)
        if media_type not in allowed:
            raise Problem(415, "unsupported_media_type", f"Send the body as {' or '.join(allowed)}.")
    if "\0" in request.scope["path"]:
        raise Problem(404, "not_found", "There is nothing at this address.")
    broken = [name for name, value in request.query_params.multi_items() if "\0" in name or "\0" in value]
    if broken:
        detail = "Parameters must not contain NUL characters."
        raise Problem(400, "invalid_input", detail, issues=[Issue(f"?{broken[0][:60]}", "invalid_text", detail)])
    route: Any = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = set(_query_names(route.dependant))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        takes = ", ".join(sorted(known)) or "none"
        issues = [
            Issue(f"?{name}", "unknown_parameter", f"{name[:60]} is not a parameter here; known: {takes}.")
            for name in unknown
        ]
        raise Problem(400, "invalid_input", issues[0].detail, issues=issues)


def _query_names(dependant: Dependant) -> Iterator[str]:
    """Yield the query parameters that a route and its dependencies take."""
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _query_names(each)


def _template(scope: Scope) -> str:
    """Return the route's template, with the prefix it was included under; never the path, which holds ids."""
    template: str = getattr(scope.get("route"), "path", "unmatched")
    prefixes = (PREFIX, AUTH_PREFIX, ADMIN_PREFIX)
    prefix = next((each for each in prefixes if scope["path"].startswith(each)), "")
    return template if template == "unmatched" or template.startswith(prefix) else prefix + template


def _added(scope: Scope, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that every answer has, less those that its route set otherwise."""
    state = scope["state"]
    tls = {"Strict-Transport-Security": "max-age=31536000"} if scope["scheme"] == "https" else {}
    wanted = {**SECURITY, **tls, **state.get("rate_headers", {}), "X-Request-Id": state["request_id"]}
    taken = {name.lower() for name, _ in given}
    pairs = ((name.lower().encode(), value.encode("latin-1")) for name, value in wanted.items())
    return [(name, value) for name, value in pairs if name not in taken]


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def _declared(headers: dict[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def _counted(receive: Receive) -> Callable[[], Any]:
    """Stop a body that grows past the limit without having declared its length."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > LARGEST_BODY:
            raise Problem(413, "too_large", f"A body may have {LARGEST_BODY} bytes at the most.")
        return message

    return counted
